"""Quantities and expressions in base units."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_xai.rules.compare.arithmetic import NotASum, read_sum, symbol
from compliance_xai.rules.notation.quantities import UNITS, describe_dimension, read_measure, read_unit, write_number

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
    "airChangesPerHour": (Fraction(1, 3600), "airChange/time"),
    "dBA": (Fraction(1), "level_A"),
    "W/(mK)": (Fraction(1), "length*mass/temperature/time^3"),
    "W/m²K": (Fraction(1), "mass/temperature/time^3"),
    "W/m2/K": (Fraction(1), "mass/temperature/time^3"),
    "W/m2.K": (Fraction(1), "mass/temperature/time^3"),
    "kNm": (Fraction(1000), "length^2*mass/time^2"),
    "kN·m": (Fraction(1000), "length^2*mass/time^2"),
    "cfm": (Fraction(3048**3, 10**12) / 60, "length^3/time"),
    "psf": (Fraction("4.4482216152605") / Fraction("0.09290304"), "mass/length/time^2"),
    "ksi": (Fraction("4448.2216152605") / Fraction("0.00064516"), "mass/length/time^2"),
    "ac": (Fraction("4046.8564224"), "length^2"),
    "pcs": (Fraction(1), "piece"),
    "storeys": (Fraction(1), "storey"),
}


@pytest.mark.parametrize(("text", "expected"), FACTORS.items())
def test_units(text, expected):
    unit = read_unit(text)
    assert (unit.factor, describe_dimension(unit.dimension)) == expected
    assert unit.offset == 0


UNKNOWN = ("furlong", "MM", "kmh2", "½", "cfms", "m.", "mm/foo", "Centres", "x", "gauge", "mKK", "μN", "pcm", "kft")


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_unit_outside_the_list_is_unknown_and_no_other_by_prefix(text):
    unit = read_unit(text)
    assert not unit.known
    assert describe_dimension(unit.dimension) == text


def test_every_listed_unit_is_listed_once():
    lines = UNITS.read_text(encoding="utf-8").splitlines()
    names = [name for line in lines if line[0] == '"' for name in line.split('"')[1].split()]
    assert len(names) == len(set(names))
    assert all(read_unit(name).known for name in names)


def amount(text):
    measure = read_measure(text)
    return measure.absolute, measure.unit.dimension, measure.unit.known


def test_amounts_that_people_wrote(shared_inputs):
    cases = json.loads((shared_inputs / "units.json").read_text(encoding="utf-8"))
    assert [pair for pair in cases["equal"] if amount(pair[0]) != amount(pair[1])] == []
    assert [pair for pair in cases["different"] if amount(pair[0]) == amount(pair[1])] == []
    right = {
        "volume per time": "length^3/time",
        "count": "piece",
        "area": "length^2",
        "pressure": "mass/length/time^2",
    }
    for text, meaning in cases["unknown_or_right"].items():
        assert describe_dimension(read_unit(text).dimension) == right[meaning]


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
    assert read_sum("is * -((2))", symbol) == {("is",): (-2, ())}


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
        "a b",
        "a(b)",
        "x0 + " * 50 + "1",
        "(a+b+c+d+e+f+g+h)*(a+b+c+d+e+f+g+h)",
    ],
)
def test_what_is_no_sum(text):
    with pytest.raises(NotASum):
        read_sum(text, symbol)
