"""What a synthetic clause means, before it is put into words: drawn from a seed, written as a rule in two notations."""

import hashlib
import itertools
import random
import re
from dataclasses import dataclass
from string import Formatter
from typing import Any

from compliance_xai.corpus.synthetic import vocabulary
from compliance_xai.corpus.synthetic.vocabulary import Context, Item, Property, camel
from compliance_xai.rules.notation.parse import parse_rule
from compliance_xai.rules.notation.tree import Term, fold, format_node

Piece = tuple[str, str, tuple[str, ...]]
"""A piece of a rule: its text, its element kind (empty for brackets), the keys of the clause spans that decide it."""

TEST_PERCENT = 12
VALIDATION_PERCENT = 8


@dataclass(frozen=True)
class Limit:
    """``property comparator value unit``; ``key`` prefixes the keys of its clause spans."""

    prop: Property
    comparator: str
    value: str


@dataclass(frozen=True)
class Requirement:
    """What the clause asks of its object.

    ``kind`` is one of ``limit``, ``range``, ``has``, ``either``, ``comply``, ``table``, ``material``.
    """

    kind: str
    limits: tuple[Limit, ...] = ()
    prop: Property | None = None
    names: tuple[str, ...] = ()
    reference: tuple[str, str] | None = None

    @property
    def target(self) -> str:
        """What is combined with a condition when combinations are held out."""
        prop = self.prop or (self.limits[0].prop if self.limits else None)
        return prop.name if prop else " ".join(self.names) or self.kind


@dataclass(frozen=True)
class Condition:
    """When the requirement holds: by use, height, storeys, occupant load, system or place; perhaps negated."""

    kind: str
    name: str = ""
    comparator: str = ""
    value: str = ""
    negated: bool = False

    @property
    def head(self) -> str:
        """What is combined with a requirement when combinations are held out."""
        return f"{self.kind}:{self.name}" if self.name else self.kind


@dataclass(frozen=True)
class Meaning:
    """Everything that decides the rule; the words of the clause are chosen afterwards."""

    context: Context
    item: Item
    mode: str
    requirements: tuple[Requirement, ...]
    conditions: tuple[Condition, ...]
    exception: Condition | None
    identifier: str
    qualified: bool

    def combinations(self) -> set[tuple[str, str, str]]:
        """Every (object, requirement, condition) of the clause; a split holds out some of these."""
        heads = [condition.head for condition in self.conditions] or ["none"]
        if self.exception:
            heads.append(f"not {self.exception.head}")
        return {
            (self.item.name, requirement.target, head)
            for requirement, head in itertools.product(self.requirements, heads)
        }


def split_of(meaning: Meaning) -> str:
    """The split a meaning belongs to, by its held-out context or its held-out combinations.

    The hash of a combination decides, so that the split is the same on every machine and for every sample.
    """
    if meaning.context.name == vocabulary.HELD_OUT_CONTEXT:
        return "document"
    buckets = [
        int.from_bytes(hashlib.sha256("|".join(key).encode()).digest()[:4], "big") % 100
        for key in meaning.combinations()
    ]
    if any(bucket < TEST_PERCENT for bucket in buckets):
        return "test"
    if any(bucket < TEST_PERCENT + VALIDATION_PERCENT for bucket in buckets):
        return "validation"
    return "train"


def draw_meaning(rng: random.Random, split: str) -> Meaning:
    """A meaning of the given split; how complex it is is drawn once, so that every split has the same mixture."""
    mode = rng.choices(("obligation", "permission", "prohibition"), (74, 12, 14))[0]
    requirements = 2 if mode == "obligation" and rng.random() < 0.18 else 1
    conditions = rng.choices((0, 1, 2), (34, 50, 16))[0]
    exception = rng.random() < 0.15
    identifier = rng.choices(("absent", "distracts", "decides"), (34, 33, 33))[0]
    while True:
        meaning = _draw_content(rng, split == "document", mode, requirements, conditions, exception, identifier)
        if split_of(meaning) == split:
            return meaning


def _draw_content(
    rng: random.Random, held_out: bool, mode: str, n_requirements: int, n_conditions: int, exception: bool, role: str
) -> Meaning:
    context = rng.choice(
        [context for context in vocabulary.CONTEXTS if (context.name == vocabulary.HELD_OUT_CONTEXT) == held_out]
    )
    item = rng.choice(context.items)
    requirements: list[Requirement] = []
    while len(requirements) < n_requirements:
        drawn = _draw_requirement(rng, context, item, mode, second=bool(requirements))
        if drawn.target not in {requirement.target for requirement in requirements}:
            requirements.append(drawn)
    conditions: list[Condition] = []
    while len(conditions) < n_conditions + exception:
        drawn_condition = _draw_condition(rng, item.places or context.places, exception=len(conditions) == n_conditions)
        if drawn_condition.kind not in {condition.kind for condition in conditions}:
            conditions.append(drawn_condition)
    code = context.code + str(rng.randint(1, 4))
    number = ".".join(str(rng.randint(1, 9)) for _ in range(3))
    return Meaning(
        context,
        item,
        mode,
        tuple(requirements),
        tuple(conditions[:n_conditions]),
        conditions[-1] if exception else None,
        "" if role == "absent" else f"{code}/{number}" if role == "decides" else number,
        role == "decides",
    )


def _draw_requirement(rng: random.Random, context: Context, item: Item, mode: str, *, second: bool) -> Requirement:
    weights = {
        "limit": 60,
        "range": 0,
        "has": 16,
        "either": 7,
        "comply": 8,
        "table": 8,
        "material": 5 if item.materials else 0,
    }
    if mode == "obligation" and not second:
        weights["range"] = 7
    if mode != "obligation":
        weights |= {"comply": 0, "table": 0, "has": 25, "either": 4 if mode == "permission" else 0}
    if second:
        weights |= {"either": 0, "table": 0, "material": 0, "comply": 0}
    kind = rng.choices(list(weights), list(weights.values()))[0]
    prop = rng.choice(item.properties)
    if kind == "limit":
        return Requirement("limit", (Limit(prop, _draw_comparator(rng, prop, mode), draw_value(rng, prop)),))
    if kind == "range":
        prop = rng.choice([candidate for candidate in item.properties if candidate.unit != ":"])
        low, high = _draw_range(rng, prop)
        return Requirement("range", (Limit(prop, "greaterThanEqual", low), Limit(prop, "lessThanEqual", high)))
    if kind == "has":
        return Requirement("has", names=(rng.choice(item.accessories),))
    if kind == "either":
        return Requirement("either", names=tuple(rng.sample(item.accessories, 2)))
    if kind == "comply":
        return Requirement("comply", reference=("standard", rng.choice(context.standards)))
    if kind == "table":
        return Requirement(
            "table", prop=prop, reference=(f"{context.code}{rng.randint(1, 4)}", str(rng.randint(1, 12)))
        )
    return Requirement("material", names=(rng.choice(item.materials),))


def _draw_comparator(rng: random.Random, prop: Property, mode: str) -> str:
    """Codes bound a property on the side where it fails; a prohibition names the failing side itself."""
    side = prop.limit if prop.limit != "both" else rng.choice(("min", "max"))
    if mode == "prohibition":
        return "lessThan" if side == "min" else "greaterThan"
    inclusive, strict = ("greaterThanEqual", "greaterThan") if side == "min" else ("lessThanEqual", "lessThan")
    return rng.choices((inclusive, strict, "equal"), (78, 14, 8))[0]


def draw_value(rng: random.Random, prop: Property) -> str:
    """A value on the property's own grid, written as a clause would write it."""
    steps = round((prop.high - prop.low) / prop.step)
    value = prop.low + prop.step * rng.randint(0, steps)
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"1:{text}" if prop.unit == ":" else text


def _draw_range(rng: random.Random, prop: Property) -> tuple[str, str]:
    """Two different values, the smaller first."""
    while True:
        low, high = sorted((draw_value(rng, prop), draw_value(rng, prop)), key=float)
        if low != high:
            return low, high


def _draw_condition(rng: random.Random, places: tuple[str, ...], *, exception: bool) -> Condition:
    kind = rng.choices(
        ("use", "height", "storeys", "load", "system", "place"),
        (30, 0 if exception else 12, 0 if exception else 12, 0 if exception else 12, 26, 14),
    )[0]
    if kind == "use":
        return Condition("use", rng.choice(vocabulary.USES))
    if kind == "system":
        return Condition("system", rng.choice(vocabulary.SYSTEMS), negated=not exception and rng.random() < 0.35)
    if kind == "place":
        return Condition("place", rng.choice(places))
    comparator = rng.choices(("greaterThan", "lessThan", "greaterThanEqual"), (60, 20, 20))[0]
    value = {
        "height": rng.choice((7, 10, 15, 20, 25, 30, 45, 60)),
        "storeys": rng.randint(2, 12),
        "load": rng.choice((10, 20, 50, 100, 150, 250, 500, 1000)),
    }
    return Condition(kind, comparator=comparator, value=str(value[kind]))


def fill(template: str, plain: tuple, **parts: Any) -> list:
    """Pieces of a text: ``template`` with its parts (each a piece, or a list of pieces) in place.

    The text between them becomes pieces of its own, with ``plain`` behind it.

    >>> fill("is({name},{use})", ("",), name=("ramp", "object"), use=[("a", "1"), ("b", "2")])
    [('is(', ''), ('ramp', 'object'), (',', ''), ('a', '1'), ('b', '2'), (')', '')]
    """
    pieces: list = []
    for text, name, _, _ in Formatter().parse(template):
        pieces += [(text, *plain)] if text else []
        if name:
            pieces += parts[name] if isinstance(parts[name], list) else [parts[name]]
    return pieces


def _fill(template: str, **parts: Piece | list[Piece]) -> list[Piece]:
    return fill(template, ("", ()), **parts)


def rule_pieces(meaning: Meaning) -> list[Piece]:
    """The rule in the LRML short form, with what decides each of its elements."""
    conditions = [
        _condition_pieces(meaning, condition, f"c{index}") for index, condition in enumerate(meaning.conditions)
    ]
    if meaning.exception:
        inner = _condition_pieces(meaning, meaning.exception, "x")
        conditions.append([("not(", "exception", ("x.exception",)), *inner, (")", "", ())])
    if not conditions:
        conditions = [_fill("exist({thing})", thing=_object(meaning))]
    body = [
        part
        for index, requirement in enumerate(meaning.requirements)
        for part in _requirement_pieces(meaning, requirement, f"r{index}")
    ]
    if meaning.qualified:
        code, number = meaning.identifier.split("/")
        body.append(_fill("asPer(requirement,{id})", id=(f"{code.lower()}_{number}", "identifier", ("identifier",))))
    mode: Piece = (meaning.mode, "deontic", ("deontic",))
    return _fill("if({conditions}),then({mode}({body}))", conditions=_joined(conditions), mode=mode, body=_joined(body))


def _joined(parts: list[list[Piece]]) -> list[Piece]:
    if len(parts) == 1:
        return parts[0]
    inner = [piece for part in parts for piece in ((",", "", ()), *part)][1:]
    return _fill("and({inner})", inner=inner)


def _object(meaning: Meaning) -> Piece:
    return (camel(meaning.item.name), "object", ("object",))


def _property(meaning: Meaning, prop: Property, key: str) -> list[Piece]:
    name: Piece = (camel(prop.name), "property", (f"{key}.property",))
    return _fill("{thing}.{name}", thing=_object(meaning), name=name)


def _quantity(value: str, unit: str, key: str) -> list[Piece]:
    pieces: list[Piece] = [(value, "value", (f"{key}.value",))]
    return pieces if unit in ("", ":") else [*pieces, (" ", "", ()), (unit, "unit", (f"{key}.unit",))]


def _requirement_pieces(meaning: Meaning, requirement: Requirement, key: str) -> list[list[Piece]]:
    """One list of pieces per conjunct; a range has two."""
    if requirement.limits:
        return [
            _fill(
                "{comparator}({property},{quantity})",
                comparator=(limit.comparator, "comparator", (f"{key}.{index}.comparator",)),
                property=_property(meaning, limit.prop, key),
                quantity=_quantity(limit.value, limit.prop.unit, f"{key}.{index}"),
            )
            for index, limit in enumerate(requirement.limits)
        ]
    parts: dict[str, Any] = {"thing": _object(meaning)}
    for index, name in enumerate(requirement.names):
        parts[f"name{index}"] = (camel(name), "object", (f"{key}.name{index}",))
    if requirement.reference:
        code, name = requirement.reference
        text = f"{code.lower()}_t{name}" if requirement.prop else name.lower().replace(" ", "_")
        parts["reference"] = (text, "reference", (f"{key}.reference",))
    if requirement.prop:
        parts["property"] = _property(meaning, requirement.prop, key)
    if requirement.kind == "material":
        parts["property"] = (".material,", "property", (f"{key}.property",))
    parts["or_"] = ("or(", "alternative", (f"{key}.or",))
    return [_fill(_REQUIREMENTS[requirement.kind], **parts)]


_REQUIREMENTS = {
    "table": "asPer({property},{reference})",
    "comply": "complyWith({thing},{reference})",
    "material": "is({thing}{property}{name0})",
    "has": "has({thing},{name0})",
    "either": "has({thing},{or_}{name0},{name1}))",
}


def _condition_pieces(meaning: Meaning, condition: Condition, key: str) -> list[Piece]:
    name: Piece = (camel(condition.name), "condition", (f"{key}.name",)) if condition.name else ("", "", ())
    if condition.kind == "use":
        return _fill("is(building.use,{name})", name=name)
    if condition.kind == "place":
        return _fill("is({thing}.location,{name})", thing=_object(meaning), name=name)
    if condition.kind == "system":
        inner = _fill("has(building,{name})", name=name)
        return [("not(", "negation", (f"{key}.not",)), *inner, (")", "", ())] if condition.negated else inner
    prop, unit = {"height": ("height", "m"), "storeys": ("storeys", ""), "load": ("occupantLoad", "")}[condition.kind]
    return _fill(
        "{comparator}(building.{property},{quantity})",
        comparator=(condition.comparator, "comparator", (f"{key}.comparator",)),
        property=(prop, "condition", (f"{key}.property",)),
        quantity=_quantity(condition.value, unit, key),
    )


def base_rule(meaning: Meaning) -> str:
    """The same rule in the *base* notation that the ladder is pre-trained on: infix, symbols, conditions first.

    ``building.use = hospital & !(building + fireAlarm) => must exitDoor.clearWidth >= 850 mm # d1/4.2.1``
    """
    rule = parse_rule("".join(text for text, _, _ in rule_pieces(meaning)))
    conditions, conclusions = fold((rule.conditions[0], rule.conclusions[0]), format_node, _infix)
    return f"{conditions} => {conclusions}"


def _infix(term: Term, parts: list[str]) -> str:
    if term.name in LIST_WORDS and len(parts) == 1:
        opening = {"exist": "", "not": "!("}.get(term.name, f"{LIST_WORDS[term.name]} ")
        return opening + parts[0] + (")" if term.name == "not" else "")
    if term.name == "and":  # what the clause's identifier decides comes last, without the sign
        return " & ".join(parts).replace(" & # ", " # ")
    code, _, name = parts[-1].partition("_")
    if parts[0] == "requirement":
        return f"# {code}/{name}"
    if term.name == "asPer":
        return f"{parts[0]} ~ {code} table {name[1:]}"
    if term.name == "complyWith":
        return f"{parts[0]} ~ {parts[1].replace('_', ' ')}"
    return f" {_INFIX.get(term.name) or vocabulary.SYMBOLS[term.name]} ".join(parts)


_INFIX = {"or": "|", "is": "=", "has": "+"}


LIST_WORDS = {
    "if": "when",
    "then": "do",
    "and": "all",
    "or": "one",
    "not": "no",
    "has": "with",
    "is": "=",
    "exist": "any",
    "asPer": "see",
    "complyWith": "meets",
    "obligation": "must",
    "permission": "may",
    "prohibition": "never",
    **vocabulary.SYMBOLS,
}
"""What the list notation writes for each keyword of the rule notation."""


def list_rule(meaning: Meaning) -> str:
    """The same rule in the second base notation: bracketed lists with other keywords.

    ``(when (= building.use hospital)) (do (must (>= exitDoor.clearWidth 850 mm)))``
    """
    rule = "".join(text for text, _, _ in rule_pieces(meaning))
    return re.sub(r"(\w+)\(", lambda found: f"({LIST_WORDS[found[1]]} ", rule).replace(",", " ")
