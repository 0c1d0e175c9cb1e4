"""Quantities as exact numbers in base units, so that ``0.9 m`` and ``900 mm`` are the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from compliance_xai.rules.notation.tree import Leaf

if TYPE_CHECKING:
    import pint

Dimension = tuple[tuple[str, Fraction], ...]
"""Base dimensions and their exponents, by name; empty for a plain number."""

LONGEST_NUMBER = 40

# Angles and decibels have no dimension in SI, yet 3 deg is not 3, and codes write slopes both ways.
_OWN = {"deg": "angle", "degree": "angle", "degrees": "angle", "°": "angle", "dB": "level"}
_SPELLINGS = {"%": "percent", "°C": "degC", "°F": "degF"}
_POWERS = str.maketrans("²³", "23")
_CENTRES = "Centres"
_LOCK = Lock()
"""pint fills its caches as it reads, so one thread reads at a time."""
_FACTOR = re.compile(r"(?P<divided>/)?[*·]?(?P<word>°[CF]?|%|[A-Za-zµΩ]+)(?:\^?(?P<exponent>[1-9]))?")
_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?)(?:\s?[:/]\s?(\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Unit:
    """How a number in this unit becomes one in base units: ``number * factor + offset``."""

    factor: Fraction
    dimension: Dimension
    offset: Fraction = Fraction(0)


PLAIN = Unit(Fraction(1), ())


def times(left: Dimension, right: Dimension, power: int = 1) -> Dimension:
    """The dimension of a product, or of a quotient where ``power`` is -1."""
    exponents = dict(left)
    for name, exponent in right:
        exponents[name] = exponents.get(name, Fraction(0)) + power * exponent
    return tuple(sorted((name, exponent) for name, exponent in exponents.items() if exponent))


def describe_dimension(dimension: Dimension) -> str:
    """A dimension in words, such as ``length`` or ``mass/length^2``.

    Examples
    --------
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
    """A unit as it stands behind a number.

    SI and common units are converted by pint. Angles (``deg``), levels (``dB``), spacings (``mmCentres``, millimetres
    at centres), and every word that pint does not know (``series``) or that is no straight scale, get a dimension of
    their own: they convert to nothing else. A year is 365.25 days.

    Parameters
    ----------
    text
        ``mm``, ``kg/m2``, ``m2K/W``; empty for a plain number.

    Returns
    -------
    Unit
        Exact factor and offset to base units, and the dimension.

    Examples
    --------
    >>> read_unit("mm").factor, read_unit("degC").offset, read_unit("series").dimension
    (Fraction(1, 1000), Fraction(5463, 20), (('series', Fraction(1, 1)),))
    """
    text = text.translate(_POWERS)
    factor, dimension, position = Fraction(1), (), 0
    while position < len(text):
        match = _FACTOR.match(text, position)
        if match is None:
            return Unit(Fraction(1), ((text, Fraction(1)),))
        word = _read_word(match["word"])
        if match.end() == len(text) and position == 0 and not match["exponent"]:
            return word
        power = int(match["exponent"] or 1) * (-1 if match["divided"] else 1)
        factor *= word.factor**power
        dimension = times(dimension, word.dimension, power)
        position = match.end()
    return Unit(factor, dimension)


def _read_word(word: str) -> Unit:
    import pint

    if word in _OWN:
        return Unit(Fraction(1), ((_OWN[word], Fraction(1)),))
    if word.endswith(_CENTRES) and word != _CENTRES:
        spacing = _read_word(word.removesuffix(_CENTRES))
        return Unit(spacing.factor, times(spacing.dimension, (("centres", Fraction(1)),)))
    name = _SPELLINGS.get(word, word)
    try:
        with _LOCK:
            points = [_registry().Quantity(number, name).to_base_units() for number in map(Fraction, range(3))]
    except (pint.errors.PintError, ArithmeticError, AttributeError, TypeError, ValueError):
        return Unit(Fraction(1), ((word, Fraction(1)),))
    zero, one, two = (Fraction(str(point.magnitude)) for point in points)
    if two - one != one - zero or one == zero:
        return Unit(Fraction(1), ((word, Fraction(1)),))
    exponents = {dimension.strip("[]"): Fraction(str(power)) for dimension, power in points[1].dimensionality.items()}
    return Unit(one - zero, times((), tuple(exponents.items())), zero)


@cache
def _registry() -> pint.UnitRegistry:
    """pint's units with fractions for numbers; read once, never changed."""
    import pint

    return pint.UnitRegistry(non_int_type=Fraction)  # type: ignore[arg-type]


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
    """The quantity that a text is, or None.

    Parameters
    ----------
    text
        ``60 degC``, ``1:12``, ``0.25 ha``, ``7``.

    Returns
    -------
    Measure or None
        None also for a ratio to zero, and for numbers of more than 40 characters.

    Examples
    --------
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
    """A decimal where it ends within twelve places, else a fraction.

    Examples
    --------
    >>> write_number(Fraction(7, 8)), write_number(Fraction(-1, 3)), write_number(Fraction(900))
    ('0.875', '-1/3', '900')
    """
    scaled = number * 10**12
    if scaled.denominator != 1:
        return f"{number.numerator}/{number.denominator}"
    whole, part = divmod(abs(scaled.numerator), 10**12)
    digits = f"{whole}.{part:012d}".rstrip("0").rstrip(".")
    return f"-{digits}" if number < 0 else digits
