"""Quantities of rules, with one closed list of units as exact factors to base units, and the references rules cite.

``0.9 m`` and ``900 mm`` are the same. A unit outside the list is unknown: it converts to nothing, and is never read as
another unit by a prefix or a letter.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path

from compliance_xai.files import read_package_data
from compliance_xai.rules.notation.tree import CONNECTIVES, Leaf, Node, Rule, Term, normalise

Dimension = tuple[tuple[str, Fraction], ...]
"""Base dimensions and their exponents, by name; empty for a plain number."""

UNITS = Path(__file__).with_name("units.yaml")
"""The list, with a comment on how to read it."""

LONGEST_NUMBER = 40

_CENTRES = "Centres"
_PLAIN_TEXT = str.maketrans("²³¹⁻⋅", "231-·")
_BRACKETS = re.compile(r"/\(([^()/]+)\)$")
_FACTOR = re.compile(r"(?P<sign>[/*·.])?(?P<word>°[CF]?|[%‰]|[A-Za-zµμΩ]+)(?:\^?(?P<exponent>-?[1-9]))?")
_INSIDE_QUOTES = re.compile(
    r"(?<![\w.])\d+(?:\.\d+)?(?:\s?[:/]\s?\d+(?:\.\d+)?)?(?:\s+(?!x\d*\b)[A-Za-z°%µ][^\s()+*-]*)?(?![\w.])"
)
_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?)(?:\s?[:/]\s?(\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Unit:
    """How a number in this unit becomes one in base units: ``number * factor + offset``; ``known`` if it is listed."""

    factor: Fraction
    dimension: Dimension
    offset: Fraction = Fraction(0)
    known: bool = True


PLAIN = Unit(Fraction(1), ())


def times(left: Dimension, right: Dimension, power: int = 1) -> Dimension:
    """The dimension of a product, or of a quotient where ``power`` is -1."""
    exponents = dict(left)
    for name, exponent in right:
        exponents[name] = exponents.get(name, Fraction(0)) + power * exponent
    return tuple(sorted((name, exponent) for name, exponent in exponents.items() if exponent))


def describe_dimension(dimension: Dimension) -> str:
    """A dimension in words, such as ``length`` or ``mass/length^2``.

    >>> describe_dimension(read_unit("kg/m2").dimension), describe_dimension(())
    ('mass/length^2', 'a plain number')
    """
    above = [_power(name, exponent) for name, exponent in dimension if exponent > 0]
    below = [_power(name, -exponent) for name, exponent in dimension if exponent < 0]
    return "/".join(["*".join(above) or "1", *below]) if dimension else "a plain number"


def _power(name: str, exponent: Fraction) -> str:
    return name if exponent == 1 else f"{name}^{exponent}"


@lru_cache(maxsize=4096)
def read_unit(text: str) -> Unit:
    """A unit as it is written after a number; one outside the list has a dimension of its own name.

    Units of the list, with exponents (``m2``, ``m²``, ``m^2``, ``s-1``), joined by ``*``, ``·`` or ``.`` or, after an
    exponent, by nothing. Everything after the first ``/`` divides: ``W/m2K``, ``W/(m2.K)`` and ``W/m2/K`` are the same.
    Spacings (``mmCentres``, millimetres at centres) are a dimension of their own.

    >>> read_unit("mm").factor, read_unit("degC").offset, read_unit("furlongs").known
    (Fraction(1, 1000), Fraction(5463, 20), False)
    """
    return _read(text, _listed())


def _read(text: str, listed: dict[str, Unit]) -> Unit:
    if text in listed:
        return listed[text]
    if text.endswith(_CENTRES) and (spacing := listed.get(text.removesuffix(_CENTRES))):
        return Unit(spacing.factor, times(spacing.dimension, (("centres", Fraction(1)),)))
    unknown = Unit(Fraction(1), ((text, Fraction(1)),), known=False)
    plain = _BRACKETS.sub(r"/\1", text.translate(_PLAIN_TEXT))
    factor, dimension, position, below, joined = Fraction(1), (), 0, False, True
    while position < len(plain):
        match = _FACTOR.match(plain, position)
        word = listed.get(match["word"]) if match else None
        if match is None or word is None or word.offset or not (match["sign"] or joined):
            return unknown
        below = below or match["sign"] == "/"
        power = int(match["exponent"] or 1) * (-1 if below else 1)
        factor *= word.factor**power
        dimension = times(dimension, word.dimension, power)
        position, joined = match.end(), match["exponent"] is not None
    return Unit(factor, dimension)


@cache
def _listed() -> dict[str, Unit]:
    listed: dict[str, Unit] = {}
    for names, meaning in read_package_data(UNITS).items():
        scale, _, zero = meaning.partition(" + ")
        number, _, unit = scale.partition(" ")
        if number[0].isdigit():
            base = _read(unit, listed) if unit else PLAIN
            found = Unit(Fraction(number) * base.factor, base.dimension, Fraction(zero or 0))
        else:
            found = Unit(Fraction(1), ((number, Fraction(1)),))
        listed |= dict.fromkeys(names.split(), found)
    return listed


@dataclass(frozen=True)
class Measure:
    """A quantity in a rule: the number as written, as an exact fraction, and its unit."""

    number: Fraction
    unit: Unit
    unit_text: str

    @property
    def difference(self) -> Fraction:
        """In base units, as a difference: 5 degC is 5 K."""
        return self.number * self.unit.factor

    @property
    def absolute(self) -> Fraction:
        """In base units, as a point on its scale: 5 degC is 278.15 K."""
        return self.difference + self.unit.offset


def read_measure(text: str) -> Measure | None:
    """The quantity that a text is, or None; None also for a ratio to zero, and for numbers of more than 40 characters.

    >>> read_measure("900 mm").absolute == read_measure("0.9 m").absolute
    True
    >>> read_measure("1:12").absolute, read_measure("door")
    (Fraction(1, 12), None)
    """
    quantity = Leaf(text).quantity
    match = _NUMBER.fullmatch(quantity[0]) if quantity else None
    if quantity is None or match is None or len(quantity[0]) > LONGEST_NUMBER:
        return None
    below = Fraction(match[2]) if match[2] else Fraction(1)
    if not below:
        return None
    return Measure(Fraction(match[1]) / below, read_unit(quantity[1]) if quantity[1] else PLAIN, quantity[1])


def write_number(number: Fraction) -> str:
    """A decimal if it ends within twelve places, else a fraction.

    >>> write_number(Fraction(7, 8)), write_number(Fraction(-1, 3)), write_number(Fraction(900))
    ('0.875', '-1/3', '900')
    """
    scaled = number * 10**12
    if scaled.denominator != 1:
        return f"{number.numerator}/{number.denominator}"
    whole, part = divmod(abs(scaled.numerator), 10**12)
    digits = f"{whole}.{part:012d}".rstrip("0").rstrip(".")
    return f"-{digits}" if number < 0 else digits


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
