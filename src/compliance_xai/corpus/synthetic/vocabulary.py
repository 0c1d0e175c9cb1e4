"""What the synthetic clauses speak of: the contexts in ``contexts.yaml``, conditions, and the words of the grammar."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance_xai.files import read_package_data


@dataclass(frozen=True)
class Property:
    """A numeric property: unit, plausible range, step, and whether codes limit it from below, above or both.

    ``limit`` is ``min``, ``max`` or ``both``. ``unit`` ``":"`` marks a gradient written ``1:n``; low, high and step
    are then of ``n``, and *steeper* means a smaller ``n``.
    """

    name: str
    unit: str
    low: float
    high: float
    step: float
    limit: str


@dataclass(frozen=True)
class Item:
    """An object: its properties, what it can be fitted with, what it can be made of, and where it can be.

    An object without places of its own can be in those of its context.
    """

    name: str
    properties: tuple[Property, ...]
    accessories: tuple[str, ...]
    materials: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """A regulatory context: its document code, headings, objects, places and standards."""

    name: str
    code: str
    headings: tuple[str, ...]
    items: tuple[Item, ...]
    places: tuple[str, ...]
    standards: tuple[str, ...]


def _read_contexts() -> tuple[Context, ...]:
    contexts = read_package_data(Path(__file__).with_name("contexts.yaml"))
    return tuple(
        Context(
            name,
            fields["code"],
            _list(fields["headings"]),
            tuple(_item(item, parts) for item, parts in fields["items"].items()),
            _list(fields["places"]),
            _list(fields["standards"]),
        )
        for name, fields in contexts.items()
    )


def _item(name: str, parts: dict[str, Any]) -> Item:
    properties = []
    for entry in parts["properties"].split(";"):
        *words, unit, numbers, limit = entry.split()
        low, high, step = (float(number) for number in re.split(r"\.\.|/", numbers))
        properties.append(Property(" ".join(words), unit, low, high, step, limit))
    return Item(name, tuple(properties), *(_list(parts.get(word, "")) for word in ("with", "of", "in")))


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


CONTEXTS = _read_contexts()

HELD_OUT_CONTEXT = "plumbing"
"""Its rules are in no training or pre-training pair: the ``document`` split."""

USES = ("hospital", "school", "hotel", "office", "warehouse", "theatre", "shop", "factory", "rest home", "library")
SYSTEMS = ("sprinkler system", "fire alarm", "backup generator", "goods lift", "control room", "public address system")

COMPARATORS: dict[str, tuple[str, ...]] = {
    "greaterThanEqual": ("at least", "not less than", "no less than", "a minimum of"),
    "lessThanEqual": ("at most", "not more than", "no more than", "a maximum of", "up to"),
    "greaterThan": ("more than", "greater than", "above"),
    "lessThan": ("less than", "below", "under"),
    "equal": ("equal to", "exactly"),
}
AFTER_OF: dict[str, tuple[str, ...]] = COMPARATORS | {
    "greaterThan": ("more than", "greater than"),
    "lessThan": ("less than",),
    "equal": ("exactly",),
}
"""Comparators that read well after ``of``, ``with`` and ``has``."""
SYMBOLS = {"greaterThanEqual": ">=", "lessThanEqual": "<=", "greaterThan": ">", "lessThan": "<", "equal": "="}

DEONTICS = {
    "obligation": ("shall", "must"),
    "permission": ("may", "can"),
    "prohibition": ("shall not", "must not", "may not"),
}


def camel(phrase: str) -> str:
    """``exit door`` -> ``exitDoor``, as identifiers of the rule notation are written.

    >>> camel("public address system")
    'publicAddressSystem'
    """
    first, *rest = phrase.split()
    return first + "".join(word[0].upper() + word[1:] for word in rest)


def article(phrase: str) -> str:
    """``a`` or ``an``, by the first letter (no silent h or long u occurs in the vocabulary; a test reads them all).

    >>> article("exit door"), article("hospital")
    ('an', 'a')
    """
    return "an" if phrase[0] in "aeio" or (phrase.startswith(("up", "un")) and not phrase.startswith("uni")) else "a"


def plural(phrase: str) -> str:
    """The plural of an object's name.

    >>> plural("light switch"), plural("floor joist"), plural("library")
    ('light switches', 'floor joists', 'libraries')
    """
    if phrase.endswith(("ch", "sh", "s", "x")):
        return phrase + "es"
    if phrase.endswith("y") and phrase[-2] not in "aeiou":
        return phrase[:-1] + "ies"
    return phrase + "s"


def words_of_category() -> dict[str, str]:
    """Every noun phrase of the vocabulary with its feature category, ``object`` or ``property``."""
    table: dict[str, str] = {}
    for context in CONTEXTS:
        for item in context.items:
            for prop in item.properties:
                table[prop.name] = "property"
            for name in (*item.accessories, *context.places, *item.places, *item.materials):
                table[name] = table[plural(name)] = "object"
    for context in CONTEXTS:
        for item in context.items:
            table[item.name] = table[plural(item.name)] = "object"
    for name in (*USES, *SYSTEMS, "building"):
        table[name] = table[plural(name)] = "object"
    for name in ("occupant load", "height", "storeys", "use", "location"):
        table[name] = "property"
    return table
