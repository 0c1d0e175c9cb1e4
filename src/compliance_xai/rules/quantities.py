"""Quantities with their comparators, and the references that a rule cites; two spellings of one amount are equal.

Units are pint's, after the attached exponents of the notation (``m2``, ``kg/m2``) are written out. A unit that pint
does not know (``gauge``, ``mmCentres``) or that is no plain multiple of a base unit (``degC``, ``dB``) stands for
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from compliance_xai.rules.normal import normalise
from compliance_xai.rules.tree import CONNECTIVES, Leaf, Node, Rule, Term

_INSIDE_QUOTES = re.compile(
    r"(?<![\w.])\d+(?:\.\d+)?(?:\s?[:/]\s?\d+(?:\.\d+)?)?(?:\s+(?!x\d*\b)[A-Za-z°%µ][^\s()+*-]*)?(?![\w.])"
)
_EXPONENT = re.compile(r"(?<=[A-Za-z])(\d)")
_PRODUCT = re.compile(r"(?<=\d)(?=[A-Za-z])")


@dataclass(frozen=True)
class Amount:
    """An amount in base units: ``value`` to ten significant digits, and the base unit's name.

    Examples
    --------
    >>> read_amount("1.2 m") == read_amount("1200 mm"), read_amount("1200 mm") == read_amount("1200 m")
    (True, False)
    >>> read_amount("1:12"), read_amount("60 degC")
    (Amount(value='0.08333333333', unit=''), Amount(value='60', unit='degC'))
    """

    value: str
    unit: str


def read_amount(text: str) -> Amount | None:
    """The amount that a leaf's text states, or None where it is no quantity."""
    quantity = Leaf(text).quantity
    if quantity is None:
        return None
    number, written = quantity
    factor, unit = _unit(written)
    return Amount(f"{_number(number) * factor:.10g}", unit)


def _number(text: str) -> float:
    """``12``, ``0.5``, and ``1:12`` or ``1/12`` as a ratio; a ratio to nothing is infinite."""
    parts = [float(part) for part in re.split("[:/]", text)]
    if len(parts) == 1:
        return parts[0]
    return parts[0] / parts[1] if parts[1] else float("inf")


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)


@cache
def _unit(text: str) -> tuple[float, str]:
    """How many base units a unit is, and the base unit; 1 and the text itself where pint cannot tell."""
    if not text:
        return 1.0, ""
    if len(text) > 40:
        return 1.0, text.casefold()
    import pint

    written = _EXPONENT.sub(r"**\1", _PRODUCT.sub("*", text).replace("²", "2").replace("³", "3"))
    try:
        registry = _registry()
        unit = registry.Unit(written)
        zero, one = (registry.Quantity(amount, unit).to_base_units() for amount in (0.0, 1.0))
    except (pint.PintError, ArithmeticError, AttributeError, AssertionError, TypeError, ValueError, SyntaxError):
        return 1.0, text.casefold()
    if zero.magnitude != 0:  # degC and dB do not start at nothing, so they are no multiples
        return 1.0, text
    name = str(one.units)
    return float(one.magnitude), "" if name == "dimensionless" else name


def quantities_of(rule: Rule) -> list[tuple[str, Amount]]:
    """Every quantity of a rule with its comparator, in the order of the normal form.

    The comparator is the nearest term above that is no ``and`` or ``or``: ``greaterThanEqual``, or any other predicate
    (``is``). Numbers inside quoted expressions count, too.

    Examples
    --------
    >>> from compliance_xai.rules import parse_rule
    >>> quantities_of(parse_rule("not(lessThan(door.width,0.85 m))"))
    [('greaterThanEqual', Amount(value='0.85', unit='meter'))]
    """
    found: list[tuple[str, Amount]] = []
    stack: list[tuple[Node, str]] = [(node, "") for node in reversed(normalise(rule).statements)]
    while stack:
        node, above = stack.pop()
        if isinstance(node, Term):
            name = above if node.name in CONNECTIVES else node.name
            stack.extend((argument, name) for argument in reversed(node.args))
        else:
            found.extend((above, amount) for amount in amounts_in(node))
    return found


def amounts_in(leaf: Leaf) -> list[Amount]:
    """The amount of a quantity, every amount of a quoted expression, or none."""
    texts: Iterable[str] = (leaf.text,)
    if leaf.kind == "quoted":
        texts = () if reference_in(leaf) else (match.group() for match in _INSIDE_QUOTES.finditer(leaf.text[1:-1]))
    amounts = (read_amount(text) for text in texts)
    return [amount for amount in amounts if amount is not None]


def reference_in(leaf: Leaf) -> str | None:
    """The table, standard or clause that a leaf cites, in lower case and without quotes; None where it cites none."""
    bare = Leaf(leaf.text.strip("'").strip())
    return bare.text.lower() if bare.kind == "reference" else None


def references_of(rule: Rule) -> list[str]:
    """Every table, standard and clause that a rule cites, in the order of the text.

    Examples
    --------
    >>> from compliance_xai.rules import parse_rule
    >>> references_of(parse_rule("and(complyWith(wall,nzs_3604),asPer(wall.height,nzbc_e2as1_t1))"))
    ['nzs_3604', 'nzbc_e2as1_t1']
    """
    cited = (reference_in(leaf) for leaf in rule.leaves())
    return [each for each in cited if each is not None]
