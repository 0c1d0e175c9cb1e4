"""What a clause says itself: its amounts, comparators and references, for comparison with those of a rule.

Amounts are compared by value and dimension: ``1 200 mm``, ``1,200 mm`` and ``1.2 m`` are one amount, ``0,90 m`` is 900
mm. Needs no model.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from compliance_xai.records import Feature
from compliance_xai.rules.compare.rule_elements import list_elements
from compliance_xai.rules.notation.quantities import Amount, read_amount
from compliance_xai.rules.notation.tree import COMPARATORS

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:[:/]\d+)?")
_POWER = re.compile(r"(square|cubic) (\w+)")
_RANGE = ("to", "and", "or", "by", "x", "×")
_GROUPS = re.compile(r"(?<![A-Za-z\d.])\d+(?:\.\d+)*")
_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NAMED = {word: str(place) for place, word in enumerate(_WORDS, start=1)}
_DIRECTIONS = {
    "greaterThanEqual": "least minimum min ≥ ⩾ ≧ >=",
    "lessThanEqual": "most maximum max within upto ≤ ⩽ ≦ <=",
    "lessThan": "less fewer smaller lower shorter narrower below under thinner closer flatter <",
    "greaterThan": "more greater larger higher longer wider taller deeper thicker steeper further above over beyond "
    "excess exceed exceeds exceeding exceeded >",
}
_OPPOSITE = {"lessThan": "greaterThanEqual", "greaterThan": "lessThanEqual"}
_OPPOSITE |= {value: key for key, value in _OPPOSITE.items()}


@dataclass(frozen=True)
class Said:
    """What a clause says: amounts in base units, plain numbers, comparators of rules, and numbers as written.

    A comparator is there with its opposite, since ``not less than`` can become an obligation to be greater or equal, or
    a prohibition of being less.
    """

    amounts: frozenset[Amount]
    numbers: frozenset[Fraction]
    comparators: frozenset[str]
    groups: frozenset[str]
    letters: str


def read_clause(clause: str, features: Sequence[Feature]) -> Said:
    """Read what a clause says.

    ``features``: its words, from ``corpus.features.segment``.
    """
    found = [*_list_amounts(features)]
    return Said(
        amounts=frozenset(amount for amount, _ in found if amount),
        numbers=frozenset(number for _, number in found),
        comparators=frozenset(_list_comparators(features)),
        groups=frozenset(_GROUPS.findall(clause)),
        letters=re.sub(r"[\W_]", "", clause).lower(),
    )


def _list_amounts(features: Sequence[Feature]) -> Iterator[tuple[Amount | None, Fraction]]:
    for place, feature in enumerate(features):
        text = _NAMED.get(feature.text.lower(), re.sub(r"(?<=\d)\s(?=\d{3})", "", feature.text))  # 1 200
        match = _NUMBER.search(text)
        if match is None:
            continue
        units = [text[match.end() :], *_units_after(features, place + 1)]
        # A comma divides thousands or begins the decimals; both are read where both are possible.
        for number in {match[0].replace(",", ""), match[0].replace(",", ".")}:
            value = _fraction(number)
            if value is not None:
                for unit in dict.fromkeys(units):
                    yield read_amount(f"{number} {unit}".strip()), value


def _units_after(features: Sequence[Feature], start: int) -> list[str]:
    """Units that follow a number, or the range that it begins: one word, or several that make one unit."""
    while start < len(features) and (features[start].category == "number" or features[start].text in _RANGE):
        start += 1
    words = [f.text for f in itertools.takewhile(lambda f: f.category == "unit", features[start : start + 3])]
    joined = " ".join(words).lower()
    written_out = _POWER.sub(lambda match: match[2] + {"square": "2", "cubic": "3"}[match[1]], joined)
    return [*words[:1], " ".join(words), "".join(words), re.sub(r"degrees? celsius", "degC", written_out), ""]


def _list_comparators(features: Sequence[Feature]) -> Iterator[str]:
    for category, group in itertools.groupby(features, key=lambda feature: feature.category):
        if category not in ("comparator", "negation"):
            continue
        words = [feature.text.lower() for feature in group]
        text = {*words, "".join(words)}
        for name, spelled in _DIRECTIONS.items():
            if text & set(spelled.split()):
                exact = f"{name}Equal" if "equal" in text and not name.endswith("Equal") else name
                yield from (exact, _OPPOSITE[exact])
        if text & {"between", "from"}:
            yield from COMPARATORS
        if "or" in words and text & {"more", "greater", "above"}:
            yield from ("greaterThanEqual", "lessThan")
        if "or" in words and text & {"less", "fewer", "below"}:
            yield from ("lessThanEqual", "greaterThan")


def find_absent(rule: str, said: Said, notation: str = "lrml") -> list[bool]:
    """For each element of a rule (``list_elements``): is it an amount, unit, comparator or reference not in the clause?

    >>> from compliance_xai.corpus.features import segment
    >>> clause = "A ramp shall be at least 1 200 mm wide."
    >>> said = read_clause(clause, segment(clause))
    >>> find_absent("obligation(greaterThanEqual(ramp.width,1.2 m))", said)
    [False, False, False, False, False, False]
    >>> find_absent("lessThanEqual(ramp.width,1200 m)", said)  # another comparator, and another unit
    [True, False, False, False, True]
    """
    elements = list_elements(rule, notation)
    absent = []
    for place, element in enumerate(elements):
        unit, number = ((elements[i] if 0 <= i < len(elements) else None) for i in (place + 1, place - 1))
        text = element.text
        if element.kind == "value":
            amount = read_amount(f"{text} {unit.text if unit and unit.kind == 'unit' else ''}".strip())
            absent.append(amount not in said.amounts and _fraction(text) not in said.numbers)
        elif element.kind == "unit":
            value = number.text if number else ""
            amount = read_amount(f"{value} {text}".strip())
            other = amount is None or amount.unit not in {known.unit for known in said.amounts}
            absent.append(amount not in said.amounts and (other or _fraction(value) in said.numbers))
        elif element.kind == "comparator":
            absent.append(text != "equal" and text not in said.comparators)
        elif element.kind == "reference":
            parts = [part for part in re.split(r"[_\s]+", text.lower()) if any(letter.isdigit() for letter in part)]
            absent.append(not all(_is_cited(part, said) for part in parts))
        else:
            absent.append(False)
    return absent


def _fraction(number: str) -> Fraction | None:
    try:
        return Fraction(number.replace(" ", "").replace(":", "/"))
    except (ValueError, ZeroDivisionError):
        return None


def _is_cited(part: str, said: Said) -> bool:
    """Whether a clause has a part of a reference: as it is (``e2as1``), or by its number (``t1`` is Table 1)."""
    number = re.fullmatch(r"[a-z]?(\d+(?:\.\d+)*)", part)
    if number and number[1] in said.groups:
        return True
    return part[0].isalpha() and re.sub(r"\W", "", part) in said.letters
