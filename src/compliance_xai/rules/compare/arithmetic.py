"""Sums of properties and numbers: what ``'x0 + 150 mm'`` is before a comparison reads it."""

import ast
import re
from collections.abc import Callable
from fractions import Fraction

from compliance_xai.rules.notation.quantities import LONGEST_NUMBER, PLAIN, Dimension, read_unit, times

Monomial = tuple[str, ...]
"""The names that are multiplied, in order; empty for the constant."""

Sum = dict[Monomial, tuple[Fraction, Dimension]]
"""Coefficient in base units and its dimension per monomial. A constant stays even if it is 0: it has a dimension."""

LONGEST = 200
MOST_TERMS = 50

_NAME = r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*"
_UNIT = r"(?:[^\W\d_]|[°%])+[1-9]?(?:/[^\W\d_]+[1-9]?)*(?![\w.])"
_TOKEN = re.compile(rf"\s*(?:(?P<number>\d+(?:\.\d+)?)(?:\s*(?P<unit>{_UNIT}))?|(?P<name>{_NAME})|(?P<sign>[-+*/()]))")


class NotASum(Exception):
    """Text or a combination that is not a sum of products: another language, or metres added to kilograms."""


def constant(number: Fraction, dimension: Dimension) -> Sum:
    """A sum that is one number in base units."""
    return {(): (number, dimension)}


def symbol(name: str) -> Sum:
    """A sum that is one property."""
    return {(name,): (Fraction(1), ())}


def add(left: Sum, right: Sum, factor: int = 1) -> Sum:
    """``left + factor * right``; NotASum where two coefficients of one monomial differ in dimension."""
    total = dict(left)
    for monomial, (coefficient, dimension) in right.items():
        before, known = total.get(monomial, (Fraction(0), dimension))
        if known != dimension:
            raise NotASum
        total[monomial] = (before + factor * coefficient, dimension)
    return {monomial: part for monomial, part in total.items() if part[0] or not monomial}


def multiply(left: Sum, right: Sum) -> Sum:
    """The product, multiplied out."""
    total: Sum = {}
    if len(left) * len(right) > MOST_TERMS:
        raise NotASum
    for names, (coefficient, dimension) in left.items():
        for others, (factor, unit) in right.items():
            monomial = tuple(sorted(names + others))
            total = add(total, {monomial: (coefficient * factor, times(dimension, unit))})
    return total


def divide(left: Sum, right: Sum) -> Sum:
    """``left`` over a number; NotASum where ``right`` holds a property or is 0."""
    if set(right) != {()} or not right[()][0]:
        raise NotASum
    factor, dimension = right[()]
    return multiply(left, constant(1 / factor, times((), dimension, -1)))


def read_sum(text: str, resolve: Callable[[str], Sum]) -> Sum:
    """Read ``+``, ``-``, ``*``, ``/``, brackets, numbers with units, and names (``resolve`` says what they stand for).

    The sum is multiplied out: ``2 * (a + b)`` is ``2 * a + 2 * b``. NotASum if the text is something else
    (``100 mm x 100 mm``), adds different dimensions, divides by a property, or has more than 200 characters.

    >>> read_sum("2 * (x0 + 150 mm) / 4", symbol)[("x0",)][0]
    Fraction(1, 2)
    """
    if len(text) > LONGEST:
        raise NotASum
    matches: list[re.Match[str]] = []
    position, text = 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NotASum
        matches.append(match)
        position = match.end()
    # Python's own parser knows precedence and brackets; numbers and names are numbered, so that none is a keyword.
    code = " ".join(match["sign"] or f"_{place}" for place, match in enumerate(matches))
    try:
        tree = ast.parse(code, mode="eval").body
    except SyntaxError:
        raise NotASum from None

    def value(node: ast.expr) -> Sum:
        match node:
            case ast.BinOp(left, operator, right) if type(operator) in _OPERATIONS:
                return _OPERATIONS[type(operator)](value(left), value(right))
            case ast.UnaryOp(ast.UAdd() | ast.USub() as sign, operand):
                return add({}, value(operand), -1 if isinstance(sign, ast.USub) else 1)
            case ast.Name(name):
                return _read_atom(matches[int(name[1:])], resolve)
        raise NotASum

    return value(tree)


_OPERATIONS: dict[type[ast.operator], Callable[[Sum, Sum], Sum]] = {
    ast.Add: add,
    ast.Sub: lambda left, right: add(left, right, -1),
    ast.Mult: multiply,
    ast.Div: divide,
}


def _read_atom(token: re.Match[str], resolve: Callable[[str], Sum]) -> Sum:
    if token["name"]:
        return resolve(token["name"])
    if len(token["number"]) > LONGEST_NUMBER:
        raise NotASum
    unit = read_unit(token["unit"]) if token["unit"] else PLAIN
    return constant(Fraction(token["number"]) * unit.factor, unit.dimension)
