"""One mutation for each kind of error: exactly that kind is reported, with its place."""

import csv
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import HOSTILE, RULES, relaxed

from compliance_xai.rules.compare.error_kinds import KINDS, error_kinds
from compliance_xai.rules.notation.tree import canonical, format_rule

RULE = (
    "if(and(is(stair.location,exit),greaterThan(building.storeys,3),not(has(building,sprinkler)))),"
    "then(obligation(and(greaterThanEqual(stair.width,1200 mm),has(stair,or(handrail,guard)),asPer(stair,d1_t2),"
    "complyWith(guard,nzs_4))))"
)

# what is replaced, by what, kind, where, expected, found
MUTATIONS = [
    (",then", "then", "syntax", "character 94", "',' or the end of the text", "'then'"),
    ("obligation", "permission", "wrong_deontic", "then/obligation", "obligation", "permission"),
    ("if(and", "if(or", "wrong_connective", "if", "and", "or"),
    ("or(handrail", "and(handrail", "wrong_connective", "then/obligation/has/2", "or", "and"),
    ("not(has(building,sprinkler))", "has(building,sprinkler)", "wrong_negation", "if/not", "not", ""),
    ("is(stair.location,exit)", "not(is(stair.location,exit))", "wrong_negation", "if/is", "", "not"),
    ("greaterThanEqual", "greaterThan", "wrong_comparator", "then/obligation/greaterThanEqual", None, "greaterThan"),
    ("greaterThan(", "lessThan(", "wrong_comparator", "if/greaterThan", "greaterThan", "lessThan"),
    ("1200 mm", "1100 mm", "wrong_value", "then/obligation/greaterThanEqual/2", "1200 mm", "1100 mm"),
    ("1200 mm", "1.1 m", "wrong_value", "then/obligation/greaterThanEqual/2", "1200 mm", "1.1 m"),
    (",3)", ",4)", "wrong_value", "if/greaterThan/2", "3", "4"),
    ("exit", "lobby", "wrong_value", "if/is/2", "exit", "lobby"),
    ("1200 mm", "1200 m", "wrong_unit", "then/obligation/greaterThanEqual/2", "1200 mm", "1200 m"),
    ("1200 mm", "1200 kg", "wrong_unit", "then/obligation/greaterThanEqual/2", "1200 mm", "1200 kg"),
    ("1200 mm", "1200", "wrong_unit", "then/obligation/greaterThanEqual/2", "1200 mm", "1200"),
    ("stair.width", "ramp.width", "wrong_object", "then/obligation/greaterThanEqual/1", "stair", "ramp"),
    ("sprinkler", "alarm", "wrong_object", "if/not/has/2", "sprinkler", "alarm"),
    ("stair.width", "stair.height", "wrong_property", "then/obligation/greaterThanEqual/1", "width", "height"),
    ("stair.width", "stair", "wrong_property", "then/obligation/greaterThanEqual/1", "width", ""),
    ("has(building", "include(building", "wrong_predicate", "if/not/has", "has", "include"),
    ("nzs_4)", "nzs_5)", "wrong_reference", "then/obligation/complyWith/2", "nzs_4", "nzs_5"),
    ("is(stair.location,exit),", "", "missing_condition", "if/is", "is(stair.location,exit)", ""),
    ("if(and(", "if(and(exist(lift),", "extra_condition", "if/exist", "", "exist(lift)"),
    (",not(has(building,sprinkler))", "", "missing_exception", "if/not", "not(has(building,sprinkler))", ""),
    ("if(and(", "if(and(not(exist(lift)),", "extra_exception", "if/not", "", "not(exist(lift))"),
    ("or(handrail,guard)", "handrail", "missing_requirement", "then/obligation/has/2", "guard", ""),
    ("has(stair,or(handrail,guard)),", "", "missing_requirement", "then/obligation", None, ""),
    ("obligation(and(", "obligation(and(exist(lift),", "extra_requirement", "then/obligation", "", None),
    (",asPer(stair,d1_t2)", "", "missing_reference", "then/obligation", "obligation(asPer(stair,d1_t2))", ""),
    ("nzs_4)", "standard)", "missing_reference", "then/obligation/complyWith/2", "nzs_4", "standard"),
    ("obligation(and(", "obligation(and(asPer(lift,d9_t9),", "invented_reference", "then/obligation", "", None),
    ("stair,d1_t2", "stair,d1_t2,d9_t9", "invented_reference", "then/obligation/asPer/3", "", "d9_t9"),
    ("(stair.location,exit)", "(stair.location,exit,now)", "wrong_structure", "if/is/3", "", "now"),
    ("exit", "count(exit)", "wrong_structure", "if/is/2", "exit", "count(exit)"),
]


@pytest.mark.parametrize(("old", "new", "kind", "where", "expected", "found"), MUTATIONS)
def test_a_mutation_gives_exactly_its_kind(old, new, kind, where, expected, found):
    assert RULE.count(old) == 1 or old in ("obligation", "sprinkler", "exit")
    (error,) = error_kinds(RULE.replace(old, new), RULE)
    assert (error.kind, error.where) == (kind, where)
    assert expected is None or error.expected == expected
    assert found is None or error.found == found


def test_every_kind_has_its_mutation():
    assert {kind for _, _, kind, *_ in MUTATIONS} == set(KINDS)


SAME_MEANING = [
    ("1200 mm", "1.2 m"),
    (
        "is(stair.location,exit),greaterThan(building.storeys,3)",
        "greaterThan(building.storeys,3),is(stair.location,exit)",
    ),
    ("greaterThan(building.storeys,3)", "not(lessThanEqual(building.storeys,3))"),
    ("greaterThan(building.storeys,3)", "lessThan(3,building.storeys)"),
    ("has(building,sprinkler)", "and(has(building,sprinkler))"),
    ("asPer(stair,d1_t2),complyWith(guard,nzs_4)", "and(asPer(stair,d1_t2),complyWith(guard,nzs_4))"),
    ("nzs_4", "NZS_4"),
    (",complyWith(guard,nzs_4))))", ")),obligation(complyWith(guard,nzs_4)))"),
]


@pytest.mark.parametrize(("old", "new"), SAME_MEANING)
def test_what_changes_nothing_is_no_error(old, new):
    assert old in RULE
    assert error_kinds(RULE.replace(old, new), RULE) == []


def test_several_errors_come_in_the_order_of_the_kinds():
    wrong = RULE.replace("greaterThanEqual(stair.width,1200 mm)", "lessThan(stair.width,900 kg)")
    kinds = [error.kind for error in error_kinds(wrong.replace("is(stair.location,exit),", ""), RULE)]
    assert kinds == ["wrong_comparator", "wrong_value", "wrong_unit", "missing_condition"]


def test_text_without_a_rule_is_one_error():
    assert [error.kind for error in error_kinds("I cannot do this.", RULE)] == ["syntax"]
    assert [error.kind for error in error_kinds(None, RULE)] == ["syntax"]
    assert [error.kind for error in error_kinds("exist(a)", "no rule")] == ["wrong_structure"]
    assert error_kinds("no rule ", "no rule") == []


def test_forbidding_two_things_together_forbids_neither_alone():
    together, apart = "prohibition(and(exist(a),exist(b)))", "and(prohibition(exist(a)),prohibition(exist(b)))"
    assert [error.kind for error in error_kinds(apart, together)] == ["wrong_structure"]
    assert error_kinds(apart.replace("prohibition", "obligation"), together.replace("prohibition", "obligation")) == []


@relaxed
@given(RULES, RULES)
def test_only_rules_that_say_the_same_have_no_errors(first, second):
    one, other = format_rule(first), format_rule(second)
    assert error_kinds(one, one) == error_kinds(format_rule(canonical(first)), one) == []
    errors = error_kinds(one, other)
    assert {error.kind for error in errors} <= set(KINDS)
    assert errors == error_kinds(one, other)
    assert bool(errors) == bool(error_kinds(other, one))


@relaxed
@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_taken(first, second):
    assert {error.kind for error in error_kinds(first, second)} <= set(KINDS)


@pytest.mark.parametrize("name", ["deep", "deep with siblings", "statements", "rules", "surrogates", "then"])
def test_runaway_text_is_read_soon(name):
    started = time.process_time()
    assert error_kinds(HOSTILE[name], RULE)
    assert time.process_time() - started < 20


def test_published_rules_have_no_errors_against_themselves(shared_data):
    with (shared_data / "nzbc_lrml_v8_dev.csv").open(encoding="utf-8", newline="") as file:
        rules = [row["lrml"] for row in csv.DictReader(file)]
    for rule in rules:
        read = canonical_text(rule)
        assert error_kinds(read, rule) == [], rule
    assert all(error_kinds(one, other) for one, other in itertools.pairwise(rules) if one != other)


def canonical_text(rule):
    from compliance_xai.rules.notation.parse import parse_rule

    return format_rule(canonical(parse_rule(rule)))
