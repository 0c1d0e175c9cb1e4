"""Amounts, comparators and references, and the normal form that they are read in."""

import pytest
from hypothesis import given
from trees import RULES, relaxed

from compliance_xai.rules.notation.parse import parse_rule
from compliance_xai.rules.notation.quantities import (
    Amount,
    amounts_in,
    quantities_of,
    read_amount,
    reference_in,
    references_of,
)
from compliance_xai.rules.notation.tree import Leaf, canonical, format_rule, normalise

SAME = [
    ("1.2 m", "1200 mm"),
    ("1:12", "1/12"),
    ("0.25 ha", "2500 m2"),
    ("5 percent", "5 %"),
    ("5 percent", "0.05"),
    ("90 minutes", "1.5 hours"),
    ("3 kPa", "3000 N/m2"),
    ("15 L/s", "0.015 m3/s"),
    ("2 m2K/W", "2 m²K/W"),
    ("180 deg", "180 °"),
    ("7 mmCentres", "0.7 cmCentres"),
    ("4", "4.0"),
]
DIFFERENT = [
    ("5 deg", "5"),
    ("60 degC", "60 K"),
    ("30 dB", "1000"),
    ("1.2 m", "1.2 m2"),
    ("20 gauge", "20"),
    ("1:0", "1"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_amount_in_two_spellings(one, other):
    assert read_amount(one) is not None
    assert read_amount(one) == read_amount(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_amounts_of_different_size_or_kind(one, other):
    assert read_amount(one) != read_amount(other)


def test_what_is_no_amount():
    assert read_amount("door.width") is None
    assert read_amount("x0") is None
    assert read_amount("1 " + "m" * 50) == Amount("1", "m" * 50)


@pytest.mark.parametrize(
    ("rule", "comparators"),
    [
        ("lessThan(2 m,a.width)", ["greaterThan"]),
        ("not(greaterThan(a.width,2 m))", ["lessThanEqual"]),
        ("is(a.width,or(2 m,3 m))", ["is", "is"]),
        ("greaterThanEqual(a.width,'x0 + 150 mm')", ["greaterThanEqual"]),
        ("obligation(exist(a))", []),
    ],
)
def test_comparators_are_read_after_negation_and_mirroring(rule, comparators):
    assert [comparator for comparator, _ in quantities_of(parse_rule(rule))] == comparators


def test_quoted_expressions_hold_amounts_and_no_variables():
    assert amounts_in(Leaf("'0.05 * x1 + (x0 - 12) / 2 m'")) == [read_amount(text) for text in ("0.05", "12", "2 m")]
    assert amounts_in(Leaf("'nzs_4256_2_9.3'")) == []


def test_references_are_read_in_quotes_and_capitals():
    rule = parse_rule("and(complyWith(a,NZS_3604),asPer(a,'nzs_4256_2_9.3'),has(a,b_c))")
    assert references_of(rule) == ["nzs_3604", "nzs_4256_2_9.3"]
    assert reference_in(Leaf("wall.height")) is None


@relaxed
@given(RULES)
def test_the_normal_form_is_reached_at_once(rule):
    assert normalise(normalise(rule)) == normalise(rule)
    assert sorted(map(str, quantities_of(rule))) == sorted(map(str, quantities_of(canonical(rule))))


def test_the_normal_form_leaves_other_negations_alone():
    for text in ("not(exist(a))", "not(or(exist(a),exist(b)))", "greaterThan(1 m,2 m)", "and(a)"):
        assert format_rule(normalise(parse_rule(text))) == text
    assert format_rule(normalise(parse_rule("not(not(exist(a)))"))) == "exist(a)"
