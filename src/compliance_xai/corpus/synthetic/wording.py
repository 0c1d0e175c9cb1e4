"""Puts a meaning into words: several surface forms for each, with the key of every span that decides something."""

from __future__ import annotations

import random

from compliance_xai.corpus.synthetic.meaning import Condition, Limit, Meaning, Requirement
from compliance_xai.corpus.synthetic.vocabulary import (
    AFTER_OF,
    COMPARATORS,
    OBLIGATIONS,
    PERMISSIONS,
    PROHIBITIONS,
    article,
    plural,
)

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
    """The clause as words, and what its extra number does (``distracts`` where a remark carries one, else empty)."""
    head: Words = []
    if meaning.identifier:
        letter = "" if meaning.qualified or rng.random() < 0.75 else f" {rng.choice('abcd')})"
        head = [(meaning.identifier, "identifier" if meaning.qualified else ""), (f"{letter} ", "")]
    if rng.random() < 0.15:
        head.append((rng.choice(meaning.context.headings) + ". ", ""))
    before, after = _conditions(meaning, rng)
    body = _body(meaning, rng)
    sentence = [*before, *body, *after, (".", "")]
    if not before:
        sentence[0] = (sentence[0][0][0].upper() + sentence[0][0][1:], sentence[0][1])
    words = [*head, *sentence]
    if rng.random() < 0.25:
        words.append((" " + rng.choice(REMARKS).format(n=rng.randint(1, 12), year=rng.randint(1992, 2019)), ""))
        return words, "distracts"
    return words, ""


def _conditions(meaning: Meaning, rng: random.Random) -> tuple[Words, Words]:
    """Conditions before the main sentence and after it, read in the order of the rule."""
    phrases = [_condition(condition, f"c{index}", rng) for index, condition in enumerate(meaning.conditions)]
    front = phrases[:1] if len(phrases) == 2 or (phrases and rng.random() < 0.55) else []
    back = phrases[len(front) :]
    before: Words = []
    for phrase in front:
        before = [(phrase[0][0][0].upper() + phrase[0][0][1:], phrase[0][1]), *phrase[1:], (", ", "")]
    after: Words = [piece for phrase in back for piece in ((" ", ""), *phrase)]
    if meaning.exception:
        after += _exception(meaning.exception, rng)
    return before, after


def _condition(condition: Condition, key: str, rng: random.Random) -> Words:
    name = condition.name
    if condition.kind == "use":
        return rng.choice(
            (
                [(f"in {article(name)} ", ""), (name, f"{key}.name")],
                [("in ", ""), (plural(name), f"{key}.name")],
                [(f"where the building is {article(name)} ", ""), (name, f"{key}.name")],
            )
        )
    if condition.kind == "place":
        return rng.choice(
            (
                [(f"in {article(name)} ", ""), (name, f"{key}.name")],
                [(f"if located in {article(name)} ", ""), (name, f"{key}.name")],
            )
        )
    if condition.kind == "system":
        if condition.negated:
            return rng.choice(
                (
                    [
                        ("in buildings ", ""),
                        ("without", f"{key}.not"),
                        (f" {article(name)} ", ""),
                        (name, f"{key}.name"),
                    ],
                    [("where the building has ", ""), ("no", f"{key}.not"), (" ", ""), (name, f"{key}.name")],
                )
            )
        return rng.choice(
            (
                [(f"in buildings with {article(name)} ", ""), (name, f"{key}.name")],
                [(f"where the building has {article(name)} ", ""), (name, f"{key}.name")],
            )
        )
    return _numeric_condition(condition, key, rng)


def _numeric_condition(condition: Condition, key: str, rng: random.Random) -> Words:
    after_of = condition.kind == "storeys" or rng.random() < 0.5
    phrases = (AFTER_OF if after_of else COMPARATORS)[condition.comparator]
    measure: Words = [(rng.choice(phrases), f"{key}.comparator"), (" ", ""), (condition.value, f"{key}.value")]
    if condition.kind == "storeys":
        lead = rng.choice(("in buildings with ", "where the building has "))
        return [(lead, ""), *measure, (" ", ""), ("storeys", f"{key}.property")]
    if condition.kind == "height":
        measure += [(" ", ""), (rng.choice(UNITS["m"]), f"{key}.unit")]
        lead, name = ("in buildings with a ", "height") if after_of else ("where the building ", "height")
    else:
        lead, name = ("for an ", "occupant load") if after_of else ("where the ", "occupant load")
    return [(lead, ""), (name, f"{key}.property"), (" of " if after_of else " is ", ""), *measure]


def _exception(condition: Condition, rng: random.Random) -> Words:
    name = condition.name
    if condition.kind == "system":
        lead, link = rng.choice((("unless", " the building has "), ("except", " where the building has ")))
    elif condition.kind == "use":
        lead, link = rng.choice((("unless", " the building is "), ("except", " in ")))
    else:
        lead, link = rng.choice((("unless", " located in "), ("except", " in ")))
    return [(" ", ""), (lead, "x.exception"), (f"{link}{article(name)} ", ""), (name, "x.name")]


def _deontic(meaning: Meaning, rng: random.Random) -> str:
    return rng.choice({"obligation": OBLIGATIONS, "permission": PERMISSIONS, "prohibition": PROHIBITIONS}[meaning.mode])


def _body(meaning: Meaning, rng: random.Random) -> Words:
    first, *others = meaning.requirements
    words = _requirement(meaning, first, "r0", rng)
    for index, requirement in enumerate(others, start=1):
        words += [(" and ", ""), *_second(meaning, requirement, f"r{index}", rng)]
    return words


def _thing(meaning: Meaning, rng: random.Random) -> Words:
    name = meaning.item.name
    return rng.choice(([(f"{article(name)} ", ""), (name, "object")], [(plural(name), "object")]))


def _measure(limit: Limit, key: str, rng: random.Random, phrases: dict[str, tuple[str, ...]] = AFTER_OF) -> Words:
    """``comparator value unit``."""
    return [(rng.choice(phrases[limit.comparator]), f"{key}.comparator"), (" ", ""), *_quantity(limit, key, rng)]


def _quantity(limit: Limit, key: str, rng: random.Random) -> Words:
    words = [(limit.value, f"{key}.value")]
    unit = limit.prop.unit
    return words if unit == ":" else [*words, (" ", ""), (rng.choice(UNITS.get(unit, (unit,))), f"{key}.unit")]


def _requirement(meaning: Meaning, requirement: Requirement, key: str, rng: random.Random) -> Words:
    deontic = (_deontic(meaning, rng), "deontic")
    thing = _thing(meaning, rng)
    if requirement.kind == "limit":
        return _limit(meaning, requirement.limits[0], key, deontic, thing, rng)
    if requirement.kind == "range":
        return _range(requirement, key, deontic, thing, rng)
    if requirement.kind == "comply":
        assert requirement.reference
        verb = rng.choice((" comply with ", " meet the requirements of ", " be installed in accordance with "))
        return [*thing, (" ", ""), deontic, (verb, ""), (requirement.reference[1], f"{key}.reference")]
    if requirement.kind == "table":
        assert requirement.prop
        assert requirement.reference
        code, number = requirement.reference
        return [
            ("the ", ""),
            (requirement.prop.name, f"{key}.property"),
            (" of ", ""),
            *thing,
            (" ", ""),
            deontic,
            (rng.choice((" be as given in ", " be taken from ")), ""),
            (f"Table {number} of {code}", f"{key}.reference"),
        ]
    name = requirement.names[0]
    if requirement.kind == "material":
        return [
            *thing,
            (" ", ""),
            deontic,
            (" be ", ""),
            ("made of", f"{key}.property"),
            (" ", ""),
            (name, f"{key}.name0"),
        ]
    if requirement.kind == "either":
        other = requirement.names[1]
        tail = [
            (f"{article(name)} ", ""),
            (name, f"{key}.name0"),
            (" ", ""),
            ("or", f"{key}.or"),
            (f" {article(other)} ", ""),
            (other, f"{key}.name1"),
        ]
        return [
            *thing,
            (" ", ""),
            deontic,
            (rng.choice((" have either ", " be fitted with either ", " have ")), ""),
            *tail,
        ]
    if rng.random() < 0.25 and meaning.mode == "obligation":
        return [
            (f"{article(name)} ", ""),
            (name, f"{key}.name0"),
            (" ", ""),
            deontic,
            (" be provided for ", ""),
            *thing,
        ]
    verb = rng.choice((" have ", " be fitted with ", " be provided with "))
    return [*thing, (" ", ""), deontic, (f"{verb}{article(name)} ", ""), (name, f"{key}.name0")]


def _limit(
    meaning: Meaning, limit: Limit, key: str, deontic: tuple[str, str], thing: Words, rng: random.Random
) -> Words:
    prop = (limit.prop.name, f"{key}.property")
    lower = limit.prop.name
    forms = ["have"] if meaning.mode == "prohibition" else ["of", "of", "have", "provided"]
    if meaning.mode == "obligation" and limit.comparator in ("greaterThanEqual", "lessThanEqual"):
        forms.append("not")
    form = rng.choice(forms)
    if form == "not":
        phrase = "not exceed" if limit.comparator == "lessThanEqual" else "not be less than"
        return [
            ("the ", ""),
            prop,
            (" of ", ""),
            *thing,
            (" ", ""),
            deontic,
            (" ", ""),
            (phrase, f"{key}.0.comparator"),
            (" ", ""),
            *_quantity(limit, f"{key}.0", rng),
        ]
    if form == "of":
        measure = _measure(limit, f"{key}.0", rng, COMPARATORS)
        return [("the ", ""), prop, (" of ", ""), *thing, (" ", ""), deontic, (" be ", ""), *measure]
    measure = _measure(limit, f"{key}.0", rng)
    if form == "provided":
        return [
            (f"{article(lower)} ", ""),
            prop,
            (" of ", ""),
            *measure,
            (" ", ""),
            deontic,
            (" be provided for ", ""),
            *thing,
        ]
    return [*thing, (" ", ""), deontic, (f" have {article(lower)} ", ""), prop, (" of ", ""), *measure]


def _range(requirement: Requirement, key: str, deontic: tuple[str, str], thing: Words, rng: random.Random) -> Words:
    low, high = requirement.limits
    start: Words = [
        ("the ", ""),
        (low.prop.name, f"{key}.property"),
        (" of ", ""),
        *thing,
        (" ", ""),
        deontic,
        (" be ", ""),
    ]
    comparators = ("between", "and") if rng.random() < 0.5 else ("from", "to")
    # One unit word serves both limits, so it carries both keys (joined by a blank).
    unit = low.prop.unit
    return [
        *start,
        (comparators[0], f"{key}.0.comparator"),
        (" ", ""),
        (low.value, f"{key}.0.value"),
        (" ", ""),
        (comparators[1], f"{key}.1.comparator"),
        (" ", ""),
        (high.value, f"{key}.1.value"),
        (" ", ""),
        (rng.choice(UNITS.get(unit, (unit,))), f"{key}.0.unit {key}.1.unit"),
    ]


def _second(meaning: Meaning, requirement: Requirement, key: str, rng: random.Random) -> Words:
    deontic = (_deontic(meaning, rng), "deontic")
    if requirement.kind == "limit":
        limit = requirement.limits[0]
        return [
            ("the ", ""),
            (limit.prop.name, f"{key}.property"),
            (" ", ""),
            deontic,
            (" be ", ""),
            *_measure(limit, f"{key}.0", rng, COMPARATORS),
        ]
    name = requirement.names[0]
    return [(f"{article(name)} ", ""), (name, f"{key}.name0"), (" ", ""), deontic, (" be provided", "")]
