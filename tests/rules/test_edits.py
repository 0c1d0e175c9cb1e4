"""Edit distances: hand-counted cases, and the whole-tree distance that the shortcuts must not change."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import HOSTILE, RULES, relaxed

from compliance_xai.rules.compare import edits
from compliance_xai.rules.notation.tree import format_rule

REFERENCE = "if(exist(ramp)),then(obligation(lessThanEqual(ramp.gradient,1:12)))"

# Edits and sizes counted by hand: 8 nodes in REFERENCE.
COUNTED = [
    (REFERENCE.replace("1:12", "1:8"), 1, 8),
    (REFERENCE.replace("exist(ramp)", "and(exist(ramp),exist(lift))"), 3, 11),
    (REFERENCE.replace("obligation(lessThanEqual(ramp.gradient,1:12))", "exist(ramp)"), 4, 6),
    ("exist(roof)", 7, 2),
]


@pytest.mark.parametrize(("prediction", "edited", "size"), COUNTED)
def test_the_tree_distance_counts_nodes(prediction, edited, size):
    assert edits.tree_distance(prediction, REFERENCE) == pytest.approx(2 * edited / (8 + size + edited))


def whole_tree_edits(one, other):
    forests = [edits._Branch("root", tuple(forest), 0, -1) for forest in (one, other)]
    return edits.APTED(forests[0], forests[1], edits._UnitCosts()).compute_edit_distance()


@relaxed
@given(RULES, RULES)
def test_keeping_what_is_common_does_not_change_the_distance(first, second):
    numbers = {}
    forests = [edits._branches(format_rule(rule), numbers) for rule in (first, second)]
    assert edits._forest_edits(*forests) == whole_tree_edits(*forests)


@relaxed
@given(RULES, st.data())
def test_keeping_what_is_common_holds_for_rules_that_share_most(rule, data):
    text = format_rule(rule)
    leaves = sorted({leaf.text for leaf in rule.leaves()})
    edited = text.replace(
        data.draw(st.sampled_from(leaves)), data.draw(st.sampled_from(["x", "and(x,y)", "has(x,1 m)"]))
    )
    numbers = {}
    forests = [edits._branches(each, numbers) for each in (text, edited)]
    assert edits._forest_edits(*forests) == whole_tree_edits(*forests)


@relaxed
@given(RULES, RULES, RULES)
def test_the_distances_keep_the_triangle_inequality(first, second, third):
    a, b, c = (format_rule(rule) for rule in (first, second, third))
    for distance in (edits.tree_distance, edits.token_distance):
        assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12


def test_order_counts_for_tokens_alone():
    one, other = "and(exist(a),exist(b))", "and( exist(b), exist(a))"
    assert edits.tree_distance(one, other) == 0.0
    assert edits.token_distance(one, other) == pytest.approx(2 * 2 / (12 + 12 + 2))


def test_texts_without_a_rule():
    assert edits.tree_distance("sorry", REFERENCE) == edits.tree_distance(REFERENCE, "") == 1.0
    assert edits.tree_distance("sorry ", "sorry") == 0.0
    assert edits.tree_distance("sorry", "no") == 1.0
    assert edits.token_distance("", "") == 0.0
    assert edits.token_distance("", "a") == 1.0


def test_what_lies_beyond_the_limits_still_counts(monkeypatch):
    deep = "and(exist(a)," * 80 + "exist(b)" + ")" * 80
    assert edits.tree_distance(deep, deep) == 0.0
    assert edits.tree_distance(deep, deep.replace("exist(b)", "exist(c)")) > 0.0
    long = ",".join(f"exist(a{index})" for index in range(40))
    exact = edits.tree_distance(long, "has(x,y)")
    monkeypatch.setattr(edits, "NODES", 10)
    assert edits.tree_distance(long, "has(x,y)") == pytest.approx(exact)


@pytest.mark.parametrize("name", ["deep", "statements", "rules", "digits", "surrogates"])
def test_runaway_text_gets_a_distance_soon(name):
    started = time.process_time()
    assert 0.0 < edits.tree_distance(HOSTILE[name], REFERENCE) <= 1.0
    assert time.process_time() - started < 20
