"""Quantities with their comparators, and the references that a rule cites; two spellings of one amount are equal.

``compliance_xai.rules.notation.units`` converts amounts to base units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from compliance_xai.rules.notation.tree import CONNECTIVES, Leaf, Node, Rule, Term, normalise
from compliance_xai.rules.notation.units import describe_dimension, read_measure, write_number

_INSIDE_QUOTES = re.compile(
    r"(?<![\w.])\d+(?:\.\d+)?(?:\s?[:/]\s?\d+(?:\.\d+)?)?(?:\s+(?!x\d*\b)[A-Za-z°%µ][^\s()+*-]*)?(?![\w.])"
)


@dataclass(frozen=True)
class Amount:
    """An amount in base units: its exact value, and its dimension (empty for a plain number).

    Examples
    --------
    >>> read_amount("1.2 m") == read_amount("1200 mm"), read_amount("1200 mm") == read_amount("1200 m")
    (True, False)
    >>> read_amount("1:12"), read_amount("60 degC")
    (Amount(value='1/12', unit=''), Amount(value='333.15', unit='temperature'))
    """

    value: str
    unit: str


def read_amount(text: str) -> Amount | None:
    """The amount in a leaf's text, or None if it is not a quantity; one without a value is known by its text."""
    if Leaf(text).quantity is None:
        return None
    measure = read_measure(text)
    if measure is None:
        return Amount(text.casefold(), "")
    dimension = measure.unit.dimension
    return Amount(write_number(measure.absolute), describe_dimension(dimension) if dimension else "")


def quantities_of(rule: Rule) -> list[tuple[str, Amount]]:
    """Every quantity of a rule with its comparator, in the order of the normal form.

    The comparator is the nearest term above that is no ``and`` or ``or``: ``greaterThanEqual``, or any other predicate
    (``is``). Numbers inside quoted expressions count, too.

    >>> from compliance_xai.rules.notation.parse import parse_rule
    >>> quantities_of(parse_rule("not(lessThan(door.width,0.85 m))"))
    [('greaterThanEqual', Amount(value='0.85', unit='length'))]
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
    """The table, standard or clause that a leaf cites, in lower case and without quotes; None if it cites none."""
    bare = Leaf(leaf.text.strip("'").strip())
    return bare.text.lower() if bare.kind == "reference" else None


def references_of(rule: Rule) -> list[str]:
    """Every table, standard and clause that a rule cites, in the order of the text.

    >>> from compliance_xai.rules.notation.parse import parse_rule
    >>> references_of(parse_rule("and(complyWith(wall,nzs_3604),asPer(wall.height,nzbc_e2as1_t1))"))
    ['nzs_3604', 'nzbc_e2as1_t1']
    """
    cited = (reference_in(leaf) for leaf in rule.leaves())
    return [each for each in cited if each is not None]
