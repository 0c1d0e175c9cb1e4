"""Quantities and expressions in base units."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_xai.rules.compare.arithmetic import NotASum, read_sum, symbol
from compliance_xai.rules.notation.units import describe_dimension, read_measure, read_unit, write_number

# Factors by definition of the units (SI brochure, 9th edition; international inch, pound and pascal-free units).
FACTORS = {
    "mm": (Fraction(1, 1000), "length"),
    "mm2": (Fraction(1, 10**6), "length^2"),
    "m²": (Fraction(1), "length^2"),
    "ha": (Fraction(10**4), "length^2"),
    "l": (Fraction(1, 1000), "length^3"),
    "L/s": (Fraction(1, 1000), "length^3/time"),
    "l/s/m2": (Fraction(1, 1000), "length/time"),
    "minutes": (Fraction(60), "time"),
    "kg/m2": (Fraction(1), "mass/length^2"),
    "kPa": (Fraction(1000), "mass/length/time^2"),
    "kN": (Fraction(1000), "length*mass/time^2"),
    "m2K/W": (Fraction(1), "temperature*time^3/mass"),
    "in": (Fraction(254, 10_000), "length"),
    "percent": (Fraction(1, 100), "a plain number"),
    "%": (Fraction(1, 100), "a plain number"),
    "deg": (Fraction(1), "angle"),
    "°": (Fraction(1), "angle"),
    "dB": (Fraction(1), "level"),
    "mCentres": (Fraction(1), "centres*length"),
    "l/person": (Fraction(1, 1000), "length^3/person"),
    "airChangesPerHour": (Fraction(1), "airChangesPerHour"),
    "dBA": (Fraction(1), "dBA"),
    "W/(mK)": (Fraction(1), "W/(mK)"),
    "½": (Fraction(1), "½"),
}


@pytest.mark.parametrize(("text", "expected"), FACTORS.items())
def test_units(text, expected):
    unit = read_unit(text)
    assert (unit.factor, describe_dimension(unit.dimension)) == expected
    assert unit.offset == 0


@pytest.mark.parametrize(
    ("text", "kelvin"), [("0 degC", "273.15"), ("-40 °C", "233.15"), ("-40 degF", "233.15"), ("212 degF", "373.15")]
)
def test_temperatures_have_their_own_zero(text, kelvin):
    assert read_measure(text).absolute == Fraction(kelvin)


@pytest.mark.parametrize("text", ["1:0", "door", "1/0 m", "9" * 41, "'5 mm'", "500e"])
def test_what_is_no_measure(text):
    assert read_measure(text) is None


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/*^µΩ°%²·()0123456789", min_size=1))
def test_any_word_is_some_unit(text):
    unit = read_unit(text)
    assert unit.factor != 0
    assert read_unit(text) == unit


@given(st.integers(-(10**9), 10**9), st.integers(0, 12))
def test_decimals_are_written_exactly(number, places):
    value = Fraction(number, 10**places)
    assert Fraction(write_number(value)) == value


@given(st.fractions(max_denominator=1000))
def test_fractions_are_written_exactly(value):
    assert Fraction(write_number(value)) == value


def test_an_expression_is_multiplied_out():
    length, area = read_unit("m").dimension, read_unit("m2").dimension
    assert read_sum("-2 * (x0 + 150 mm) * (1/4 - 1)", symbol) == {
        ("x0",): (Fraction(3, 2), ()),
        (): (Fraction(225, 1000), length),
    }
    assert read_sum("x1 * x0 - 2 m * 3 m", symbol) == {("x0", "x1"): (1, ()), (): (-6, area)}
    assert read_sum("x0 - x0", symbol) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100 mm x 100 mm",
        "+/- 20 degrees",
        "1 m + 1 kg",
        "1 / x0",
        "1 / 0",
        "(x0",
        "x0)",
        "x0 x1",
        "2 m + 2 m + 'a'",
        "((((((((((((((((((((((1))))))))))))))))))))))",
        "x0 + " * 50 + "1",
        "(a+b+c+d+e+f+g+h)*(a+b+c+d+e+f+g+h)",
    ],
)
def test_what_is_no_sum(text):
    with pytest.raises(NotASum):
        read_sum(text, symbol)
