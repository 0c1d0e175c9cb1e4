"""The tolerant reader: repairs, and no text that it raises or hangs on."""

import contextlib
import csv
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import HOSTILE, RULES, relaxed

from compliance_xai.rules.notation.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.notation.tolerant import read_tolerant
from compliance_xai.rules.notation.tree import canonical, format_rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("if(and(a(b),then(c(d)", "if(and(a(b))),then(c(d))"),
        ("if(a(b)),then(c(d)))", "if(a(b)),then(c(d))"),
        ("if(a(b)),then(c(d)) if(e(f))", "if(a(b)),then(c(d))"),
        ("Rule: (see below) if(a(b)),then(c(d))", "if(a(b)),then(c(d))"),
        ("```\nif(a(b)),then(c(d))\n```", "if(a(b)),then(c(d))"),
        ("if(a(b))),then(c(d))", "if(a(b)),then(c(d))"),
        ("if(a(b)),c(d),then(e(f))", "if(a(b),c(d)),then(e(f))"),
        ("if(a(b)),obligation(c(d))", "if(a(b)),then(obligation(c(d)))"),
        ("a(b),then(c(d))", "if(a(b)),then(c(d))"),
        ("and(a(b),if(c(d)))", "and(a(b),and(c(d)))"),
        ("is[a,{b}]", "is(a,b)"),
        ('is(a,"b")', "is(a,b)"),
        ("is(a,'b)", "is(a,b)"),
        ("is(a,,b,)", "is(a,b)"),
        ("and(a(b)c(d))", "and(a(b),c(d))"),
        ("and(exist(),a(b))", "and(exist,a(b))"),
        ("and((a(b)))", "and(a(b))"),
        ("0.5*has(a,b)", "has(a,b)"),
        ("a(b),", "a(b)"),
        ("roof, a(b)", "a(b)"),
    ],
)
def test_repairs(text, rule):
    assert format_rule(read_tolerant(text), layout="tight") == rule
    assert parse_rule(rule) == read_tolerant(text)


@pytest.mark.parametrize(("text", "rule"), [("if(a(b))", "if(a(b))"), ("then(a(b))", "then(a(b))")])
def test_a_missing_half_of_a_rule_is_not_made_up(text, rule):
    assert format_rule(read_tolerant(text)) == rule


@pytest.mark.parametrize("text", ["I cannot.", "", None, 3])
def test_what_holds_no_term_gives_no_rule(text):
    assert read_tolerant(text) is None


@relaxed
@given(RULES)
def test_a_right_rule_needs_no_repair(rule):
    assert read_tolerant(format_rule(rule)) == rule


ALPHABET = st.sampled_from([*"(),'[]{} ab\n\"0.:", "if(", "then(", "and(", "if(a(b)),then(", "x0", "\ud800", "é"])


@relaxed
@given(st.one_of(st.text(), st.lists(ALPHABET, max_size=40).map("".join)))
def test_no_text_raises_and_what_the_strict_reader_accepts_is_the_same(text):
    rule = read_tolerant(text)
    with contextlib.suppress(RuleSyntaxError):
        assert parse_rule(text) == rule
    if rule is not None:
        assert read_tolerant(format_rule(rule)) == rule


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_texts_end_soon(name):
    started = time.process_time()
    rule = read_tolerant(HOSTILE[name])
    if rule is not None:
        assert format_rule(canonical(rule)) is not None
    assert time.process_time() - started < 30  # a second or two in practice; quadratic work takes minutes


def test_published_rules_and_predictions_read(shared_data):
    with (shared_data / "nzbc_lrml_v8_dev.csv").open(encoding="utf-8", newline="") as file:
        rules = [row["lrml"] for row in csv.DictReader(file)]
    assert all(read_tolerant(rule) == parse_rule(rule) for rule in rules)
    systems = json.loads((shared_data / "lrml_f1_examples.json").read_text(encoding="utf-8"))
    reads = [read_tolerant(text) for system in systems for text in system["predictions"]]
    assert len(reads) == 213
    assert None not in reads
