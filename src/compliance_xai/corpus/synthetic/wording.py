"""Puts a meaning into words: several surface forms for each, with the key of every span that decides something."""

import random

from compliance_xai.corpus.synthetic.meaning import Condition, Limit, Meaning, Requirement, fill
from compliance_xai.corpus.synthetic.vocabulary import AFTER_OF, COMPARATORS, DEONTICS, article, plural

Words = list[tuple[str, str]]
"""Pieces of a clause in reading order: text, and the key of the rule element it decides (empty for none)."""

UNITS = {
    "mm": ("mm", "mm", "millimetres"),
    "m": ("m", "m", "metres"),
    "m2": ("m2", "square metres"),
    "L": ("L", "litres"),
    "s": ("s", "seconds"),
    "degC": ("degC", "degrees Celsius"),
    "deg": ("degrees",),
    "%": ("%", "per cent"),
}

REMARKS = (
    "Figure {n} gives an example.",
    "See also Note {n}.",
    "This follows the {year} edition.",
    "Table {n} is for information only.",
    "Amendment {n} changed the wording.",
    "Example {n} shows a typical layout.",
    "The guide of {year} explains the background.",
)


def clause_words(meaning: Meaning, rng: random.Random) -> tuple[Words, str]:
    """The clause as words, and what its extra number does (``distracts`` if a remark carries one, else empty)."""
    head: Words = []
    if meaning.identifier:
        letter = "" if meaning.qualified or rng.random() < 0.75 else f" {rng.choice('abcd')})"
        head = [(meaning.identifier, "identifier" if meaning.qualified else ""), (f"{letter} ", "")]
    if rng.random() < 0.15:
        head.append((rng.choice(meaning.context.headings) + ". ", ""))
    before, after = _conditions(meaning, rng)
    first, *others = meaning.requirements
    body = _requirement(meaning, first, "r0", rng)
    for index, requirement in enumerate(others, start=1):
        body += _fill(" and {second}", second=_second(meaning, requirement, f"r{index}", rng))
    (text, key), *rest = [*before, *body, *after, (".", "")]
    words = [*head, (text[0].upper() + text[1:], key), *rest]
    if rng.random() < 0.25:
        words.append((" " + rng.choice(REMARKS).format(n=rng.randint(1, 12), year=rng.randint(1992, 2019)), ""))
        return words, "distracts"
    return words, ""


def _fill(template: str, **parts: tuple[str, str] | Words) -> Words:
    """``the {property} of {thing}`` with its parts in place; the text between them decides nothing."""
    return fill(template, ("",), **parts)


def _conditions(meaning: Meaning, rng: random.Random) -> tuple[Words, Words]:
    """Conditions before the main sentence and after it, read in the order of the rule."""
    phrases = [_condition(condition, f"c{index}", rng) for index, condition in enumerate(meaning.conditions)]
    front = phrases[:1] if len(phrases) == 2 or (phrases and rng.random() < 0.55) else []
    before = _fill("{phrase}, ", phrase=front[0]) if front else []
    after = [piece for phrase in phrases[len(front) :] for piece in _fill(" {phrase}", phrase=phrase)]
    if meaning.exception:
        after += _exception(meaning.exception, rng)
    return before, after


_CONDITIONS = {
    "use": ("in {a}{name}", "in {names}", "where the building is {a}{name}"),
    "place": ("in {a}{name}", "if located in {a}{name}"),
    "system": ("in buildings with {a}{name}", "where the building has {a}{name}"),
    "no system": ("in buildings {without} {a}{name}", "where the building has {no} {name}"),
}


def _condition(condition: Condition, key: str, rng: random.Random) -> Words:
    kind = "no system" if condition.negated else condition.kind
    if kind not in _CONDITIONS:
        return _numeric_condition(condition, key, rng)
    name = condition.name
    return _fill(
        rng.choice(_CONDITIONS[kind]),
        a=(f"{article(name)} ", ""),
        name=(name, f"{key}.name"),
        names=(plural(name), f"{key}.name"),
        without=("without", f"{key}.not"),
        no=("no", f"{key}.not"),
    )


def _numeric_condition(condition: Condition, key: str, rng: random.Random) -> Words:
    after_of = condition.kind == "storeys" or rng.random() < 0.5
    phrases = (AFTER_OF if after_of else COMPARATORS)[condition.comparator]
    parts = {
        "comparator": (rng.choice(phrases), f"{key}.comparator"),
        "value": (condition.value, f"{key}.value"),
        "property": ("occupant load" if condition.kind == "load" else condition.kind, f"{key}.property"),
    }
    if condition.kind == "storeys":
        lead = rng.choice(("in buildings with", "where the building has"))
        return _fill(f"{lead} {{comparator}} {{value}} {{property}}", **parts)
    if condition.kind == "height":
        parts["unit"] = (rng.choice(UNITS["m"]), f"{key}.unit")
        lead = "in buildings with a {property} of" if after_of else "where the building {property} is"
        return _fill(lead + " {comparator} {value} {unit}", **parts)
    lead = "for an {property} of" if after_of else "where the {property} is"
    return _fill(lead + " {comparator} {value}", **parts)


_EXCEPTIONS = {
    "system": (("unless", "the building has"), ("except", "where the building has")),
    "use": (("unless", "the building is"), ("except", "in")),
    "place": (("unless", "located in"), ("except", "in")),
}


def _exception(condition: Condition, rng: random.Random) -> Words:
    lead, link = rng.choice(_EXCEPTIONS[condition.kind])
    name = (condition.name, "x.name")
    return _fill(f" {{lead}} {link} {article(condition.name)} {{name}}", lead=(lead, "x.exception"), name=name)


def _deontic(meaning: Meaning, rng: random.Random) -> tuple[str, str]:
    return rng.choice(DEONTICS[meaning.mode]), "deontic"


def _measure(limit: Limit, key: str, rng: random.Random, phrases: dict[str, tuple[str, ...]] = AFTER_OF) -> Words:
    comparator = (rng.choice(phrases[limit.comparator]), f"{key}.comparator")
    return _fill("{comparator} {quantity}", comparator=comparator, quantity=_quantity(limit, key, rng))


def _quantity(limit: Limit, key: str, rng: random.Random) -> Words:
    words = [(limit.value, f"{key}.value")]
    unit = limit.prop.unit
    return words if unit == ":" else [*words, (" ", ""), (rng.choice(UNITS.get(unit, (unit,))), f"{key}.unit")]


def _requirement(meaning: Meaning, requirement: Requirement, key: str, rng: random.Random) -> Words:
    deontic, name = _deontic(meaning, rng), meaning.item.name
    thing = rng.choice(([(f"{article(name)} ", ""), (name, "object")], [(plural(name), "object")]))
    parts: dict[str, tuple[str, str] | Words] = {"deontic": deontic, "thing": thing}
    if requirement.kind == "limit":
        return _limit(meaning, requirement.limits[0], key, parts, rng)
    if requirement.kind == "range":
        return _range(requirement, key, parts, rng)
    if requirement.reference:
        code, name = requirement.reference
        text = f"Table {name} of {code}" if requirement.kind == "table" else name
        parts["reference"] = (text, f"{key}.reference")
    if requirement.prop:
        parts["property"] = (requirement.prop.name, f"{key}.property")
    for index, name in enumerate(requirement.names):
        parts |= {f"a{index}": (article(name), ""), f"name{index}": (name, f"{key}.name{index}")}
    if requirement.kind == "comply":
        verb = rng.choice(("comply with", "meet the requirements of", "be installed in accordance with"))
        return _fill(f"{{thing}} {{deontic}} {verb} {{reference}}", **parts)
    if requirement.kind == "table":
        verb = rng.choice(("be as given in", "be taken from"))
        return _fill(f"the {{property}} of {{thing}} {{deontic}} {verb} {{reference}}", **parts)
    if requirement.kind == "material":
        return _fill("{thing} {deontic} be {made} {name0}", made=("made of", f"{key}.property"), **parts)
    if requirement.kind == "either":
        verb = rng.choice(("have either", "be fitted with either", "have"))
        template = f"{{thing}} {{deontic}} {verb} {{a0}} {{name0}} {{or_}} {{a1}} {{name1}}"
        return _fill(template, or_=("or", f"{key}.or"), **parts)
    if rng.random() < 0.25 and meaning.mode == "obligation":
        return _fill("{a0} {name0} {deontic} be provided for {thing}", **parts)
    verb = rng.choice(("have", "be fitted with", "be provided with"))
    return _fill(f"{{thing}} {{deontic}} {verb} {{a0}} {{name0}}", **parts)


def _limit(meaning: Meaning, limit: Limit, key: str, parts: dict, rng: random.Random) -> Words:
    name = limit.prop.name
    parts |= {"property": (name, f"{key}.property"), "a": (article(name), "")}
    forms = ["have"] if meaning.mode == "prohibition" else ["of", "of", "have", "provided"]
    if meaning.mode == "obligation" and limit.comparator in ("greaterThanEqual", "lessThanEqual"):
        forms.append("not")
    form, key = rng.choice(forms), f"{key}.0"
    if form == "not":
        phrase = "not exceed" if limit.comparator == "lessThanEqual" else "not be less than"
        parts |= {"phrase": (phrase, f"{key}.comparator"), "quantity": _quantity(limit, key, rng)}
        return _fill("the {property} of {thing} {deontic} {phrase} {quantity}", **parts)
    if form == "of":
        measure = _measure(limit, key, rng, COMPARATORS)
        return _fill("the {property} of {thing} {deontic} be {measure}", measure=measure, **parts)
    measure = _measure(limit, key, rng)
    if form == "provided":
        return _fill("{a} {property} of {measure} {deontic} be provided for {thing}", measure=measure, **parts)
    return _fill("{thing} {deontic} have {a} {property} of {measure}", measure=measure, **parts)


def _range(requirement: Requirement, key: str, parts: dict, rng: random.Random) -> Words:
    low, high = requirement.limits
    first, second = ("between", "and") if rng.random() < 0.5 else ("from", "to")
    # One unit word serves both limits, so it carries both keys (joined by a blank).
    unit = low.prop.unit
    return _fill(
        "the {property} of {thing} {deontic} be {first} {low} {second} {high} {unit}",
        property=(low.prop.name, f"{key}.property"),
        first=(first, f"{key}.0.comparator"),
        low=(low.value, f"{key}.0.value"),
        second=(second, f"{key}.1.comparator"),
        high=(high.value, f"{key}.1.value"),
        unit=(rng.choice(UNITS.get(unit, (unit,))), f"{key}.0.unit {key}.1.unit"),
        **parts,
    )


def _second(meaning: Meaning, requirement: Requirement, key: str, rng: random.Random) -> Words:
    deontic = _deontic(meaning, rng)
    if requirement.kind == "limit":
        limit = requirement.limits[0]
        return _fill(
            "the {property} {deontic} be {measure}",
            property=(limit.prop.name, f"{key}.property"),
            deontic=deontic,
            measure=_measure(limit, f"{key}.0", rng, COMPARATORS),
        )
    name = requirement.names[0]
    return _fill(f"{article(name)} {{name}} {{deontic}} be provided", name=(name, f"{key}.name0"), deontic=deontic)
