"""One closed list of units, as exact factors to base units, so that ``0.9 m`` and ``900 mm`` are the same.

A unit outside the list is unknown: it converts to nothing, and is never read as another unit by a prefix or a letter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

from compliance_xai.rules.notation.tree import Leaf

Dimension = tuple[tuple[str, Fraction], ...]
"""Base dimensions and their exponents, by name; empty for a plain number."""

UNITS = """
m metre metres meter meters = length
kg kilogram kilograms = mass
s sec second seconds = time
K kelvin = temperature
A amp amps ampere amperes = current
cd candela = luminosity
deg degree degrees ° = angle
dB decibel decibels = level
dBA dB(A) = level_A
person persons people = person
occupant occupants = occupant
storey storeys story stories = storey
dwelling dwellings = dwelling
bedroom bedrooms = bedroom
piece pieces pc pcs = piece
airChange airChanges = airChange
% percent pct = 0.01
‰ permille = 0.001
µm μm um micron microns = 0.000001 m
mm millimetre millimetres millimeter millimeters = 0.001 m
cm centimetre centimetres centimeter centimeters = 0.01 m
dm = 0.1 m
km kilometre kilometres kilometer kilometers = 1000 m
in inch inches = 0.0254 m
ft foot feet = 0.3048 m
yd yard yards = 0.9144 m
mi mile miles = 1609.344 m
mil mils = 0.0000254 m
ha hectare hectares = 10000 m2
ac acre acres = 43560 ft2
sqm = 1 m2
sqft sf = 1 ft2
l L litre litres liter liters = 0.001 m3
ml mL millilitre millilitres = 0.000001 m3
gal gallon gallons = 0.003785411784 m3
g gram grams = 0.001 kg
mg milligram milligrams = 0.000001 kg
t tonne tonnes = 1000 kg
lb lbs pound pounds = 0.45359237 kg
oz ounce ounces = 0.028349523125 kg
ms millisecond milliseconds = 0.001 s
min mins minute minutes = 60 s
h hr hrs hour hours = 3600 s
d day days = 86400 s
wk week weeks = 604800 s
yr year years = 31557600 s
month months = 2629800 s
Hz hertz = 1 /s
kHz = 1000 Hz
MHz = 1000000 Hz
airChangesPerHour airChangePerHour ach ACH = 1 airChange/h
cfm CFM = 1 ft3/min
cfs = 1 ft3/s
gpm = 1 gal/min
mph = 1 mi/h
kph = 1 km/h
N newton newtons = 1 kg*m/s2
kN kilonewton kilonewtons = 1000 N
MN = 1000000 N
lbf = 4.4482216152605 N
kip kips = 1000 lbf
plf = 1 lbf/ft
Nm = 1 N*m
kNm = 1000 N*m
MNm = 1000000 N*m
Pa pascal pascals = 1 N/m2
hPa = 100 Pa
kPa kilopascal kilopascals = 1000 Pa
MPa megapascal megapascals = 1000000 Pa
GPa gigapascal gigapascals = 1000000000 Pa
bar = 100000 Pa
mbar = 100 Pa
psf = 1 lbf/ft2
psi = 1 lbf/in2
ksi = 1000 lbf/in2
J joule joules = 1 N*m
kJ kilojoule kilojoules = 1000 J
MJ megajoule megajoules = 1000000 J
GJ = 1000000000 J
W watt watts = 1 J/s
kW kilowatt kilowatts = 1000 W
MW megawatt megawatts = 1000000 W
Wh = 3600 J
kWh = 3600000 J
MWh = 3600000000 J
Btu BTU = 1055.05585262 J
mK = 1 m*K
V volt volts = 1 W/A
kV = 1000 V
ohm ohms Ω = 1 V/A
lm lumen lumens = 1 cd
lx lux = 1 lm/m2
fc footcandle footcandles = 1 lm/ft2
°C degC C celsius Celsius = 1 K + 273.15
°F degF F fahrenheit Fahrenheit = 5/9 K + 45967/180
"""
"""Names = a base dimension, or a number and units above it, then the zero of the scale in base units. No angle or
level converts to a plain number: 3 deg is not 3, and codes write slopes both ways. A year has 365.25 days, a month is a
twelfth of it; pounds, feet and gallons are those of the United States."""

LONGEST_NUMBER = 40

_CENTRES = "Centres"
_PLAIN_TEXT = str.maketrans("²³¹⁻⋅", "231-·")
_BRACKETS = re.compile(r"/\(([^()/]+)\)$")
_FACTOR = re.compile(r"(?P<sign>[/*·.])?(?P<word>°[CF]?|[%‰]|[A-Za-zµμΩ]+)(?:\^?(?P<exponent>-?[1-9]))?")
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
    """A unit as it is written after a number.

    Units of the list, with exponents (``m2``, ``m²``, ``m^2``, ``s-1``), joined by ``*``, ``·`` or ``.`` or, after an
    exponent, by nothing. Everything after the first ``/`` divides: ``W/m2K``, ``W/(m2.K)`` and ``W/m2/K`` are the same.
    Spacings (``mmCentres``, millimetres at centres) are a dimension of their own.

    Parameters
    ----------
    text
        ``mm``, ``kg/m2``, ``m2K/W``; empty for a plain number.

    Returns
    -------
    Unit
        Exact factor and offset to base units, and the dimension. An unknown unit has a dimension of its own name.

    Examples
    --------
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
    for line in UNITS.strip().splitlines():
        names, _, meaning = line.partition(" = ")
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
