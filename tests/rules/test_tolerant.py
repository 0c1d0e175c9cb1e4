"""The tolerant reader: named repairs, and no text that it raises or hangs on."""

import csv
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import HOSTILE, RULES, relaxed

from compliance_xai.rules.notation.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.notation.tolerant import REPAIRS, read_tolerant
from compliance_xai.rules.notation.tree import canonical, format_rule


@pytest.mark.parametrize(
    ("text", "rule", "kinds"),
    [
        ("if(and(a(b),then(c(d)", "if(and(a(b))),then(c(d))", ["unclosed_before_then", "unclosed_at_end"]),
        ("if(a(b)),then(c(d)))", "if(a(b)),then(c(d))", ["text_after"]),
        ("if(a(b)),then(c(d)) if(e(f))", "if(a(b)),then(c(d))", ["text_after"]),
        ("Rule: (see below) if(a(b)),then(c(d))", "if(a(b)),then(c(d))", ["prose_before"]),
        ("```\nif(a(b)),then(c(d))\n```", "if(a(b)),then(c(d))", ["prose_before", "illegal_characters"]),
        ("if(a(b))),then(c(d))", "if(a(b)),then(c(d))", ["extra_bracket"]),
        ("if(a(b)),c(d),then(e(f))", "if(a(b),c(d)),then(e(f))", ["moved_into_if"]),
        ("if(a(b)),obligation(c(d))", "if(a(b)),then(obligation(c(d)))", ["wrapped_in_then"]),
        ("a(b),then(c(d))", "if(a(b)),then(c(d))", ["wrapped_in_if"]),
        ("and(a(b),if(c(d)))", "and(a(b),and(c(d)))", ["nested_if"]),
        ("is[a,{b}]", "is(a,b)", ["other_brackets", "unnamed_brackets"]),
        ('is(a,"b")', "is(a,b)", ["illegal_characters"]),
        ("is(a,'b)", "is(a,b)", ["unclosed_quote"]),
        ("is(a,,b,)", "is(a,b)", ["extra_comma"]),
        ("and(a(b)c(d))", "and(a(b),c(d))", ["missing_comma"]),
        ("and(exist(),a(b))", "and(exist,a(b))", ["empty_term"]),
        ("and((a(b)))", "and(a(b))", ["unnamed_brackets"]),
        ("0.5*has(a,b)", "has(a,b)", ["bad_name"]),
        ("a(b),", "a(b)", ["extra_comma"]),
        ("roof, a(b)", "a(b)", ["bare_text", "extra_comma"]),
    ],
)
def test_repairs_are_made_and_named(text, rule, kinds):
    read = read_tolerant(text)
    assert read.rule is not None
    assert format_rule(read.rule, layout="tight") == rule
    assert sorted(repair.kind for repair in read.repairs) == sorted(kinds)
    assert read.complete
    assert all(repair.message == REPAIRS[repair.kind] for repair in read.repairs)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("if(a(b))", "missing_then"), ("then(a(b))", "missing_if"), ("I cannot.", "no_rule"), ("", "no_rule")],
)
def test_what_cannot_be_mended_is_said(text, kind):
    read = read_tolerant(text)
    assert not read.complete
    assert kind in [repair.kind for repair in read.repairs]


def test_anything_but_text_gives_no_rule():
    read = read_tolerant(None)
    assert read.rule is None
    assert [(repair.kind, repair.count) for repair in read.repairs] == [("not_text", 1)]


def test_equal_repairs_are_counted_once_per_kind():
    (repair,) = read_tolerant("a(b,,,,c)").repairs
    assert (repair.kind, repair.position, repair.count) == ("extra_comma", 4, 3)


@relaxed
@given(RULES)
def test_a_right_rule_needs_no_repair(rule):
    read = read_tolerant(format_rule(rule))
    assert read.rule == rule
    assert read.repairs == ()


ALPHABET = st.sampled_from([*"(),'[]{} ab\n\"0.:", "if(", "then(", "and(", "if(a(b)),then(", "x0", "\ud800", "é"])


@relaxed
@given(st.one_of(st.text(), st.lists(ALPHABET, max_size=40).map("".join)))
def test_no_text_raises_and_repairs_mean_that_the_strict_reader_refuses(text):
    read = read_tolerant(text)
    try:
        assert parse_rule(text) == read.rule
        assert read.repairs == ()
    except RuleSyntaxError:
        assert read.repairs
    if read.complete:
        assert read.rule is not None
        assert parse_rule(format_rule(read.rule)) == read.rule
    if read.rule is not None:
        assert read_tolerant(format_rule(read.rule)).rule == read.rule


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_texts_end_soon(name):
    started = time.process_time()
    read = read_tolerant(HOSTILE[name])
    if read.rule is not None:
        assert format_rule(canonical(read.rule)) is not None
    assert bool(read.repairs) is (name not in ("deep", "deep with siblings", "digits"))
    assert time.process_time() - started < 30  # a second or two in practice; quadratic work takes minutes


def test_published_rules_and_predictions_read(shared_data):
    with (shared_data / "nzbc_lrml_v8_dev.csv").open(encoding="utf-8", newline="") as file:
        rules = [row["lrml"] for row in csv.DictReader(file)]
    assert all(read_tolerant(rule).repairs == () for rule in rules)
    systems = json.loads((shared_data / "lrml_f1_examples.json").read_text(encoding="utf-8"))
    reads = [read_tolerant(text) for system in systems for text in system["predictions"]]
    assert len(reads) == 213
    assert all(read.rule is not None for read in reads)
