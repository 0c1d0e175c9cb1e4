"""What a clause says, and the items that a reviewer checks."""

import numpy as np
import pytest

from compliance_xai.attribution.review_items import list_items, list_words, mark_items
from compliance_xai.attribution.said_in_clause import find_absent, read_clause
from compliance_xai.corpus.features import segment
from compliance_xai.records import Attribution, TargetToken
from compliance_xai.rules.compare.rule_elements import list_elements

CLAUSE = "Unless it is fixed, a ramp shall be at least 1200 mm wide."
RULE = "if(exist(ramp)),then(obligation(greaterThanEqual(ramp.width,900 mm)))"


@pytest.mark.parametrize(
    ("clause", "rule", "absent"),
    [
        ("A ramp shall be at least 1 200 mm wide.", "obligation(greaterThanEqual(ramp.width,1.2 m))", []),
        ("It shall not exceed 0,90 m.", "obligation(lessThanEqual(height,900 mm))", []),
        ("It shall not exceed 0,90 m.", "prohibition(greaterThan(height,900 mm))", []),
        ("It shall not exceed 0.90 m.", "obligation(greaterThanEqual(height,90 mm))", ["greaterThanEqual", "90"]),
        ("The width is 1,200 mm.", "is(width,1200 m)", ["m"]),
        ("The width is 1200mm.", "is(width,1200 kg)", ["kg"]),
        ("No fewer than two exits.", "greaterThanEqual(count(exit),2)", []),
        ("A slope of 1:12 or less for 3 hours.", "and(lessThanEqual(slope,1:12),is(time,3 h))", []),
        ("E1/3.5.7 See Table 2 of B1.", "and(asPer(x,e1_3.5.7),asPer(x,b1_t2),asPer(x,b1_3.5.8))", ["b1_3.5.8"]),
        ("It may be from 64 to 66 degrees Celsius.", "and(greaterThanEqual(t,64 degC),lessThanEqual(t,66 degC))", []),
        ("It may not be less than 2.9 square metres.", "greaterThanEqual(area,2.9 m2)", []),
        ("From 900 to 1200 mm.", "and(is(x,0.9 m),is(x,1.2 m))", []),
        ("See NZS 3604 and E2/AS1 Table 1.", "and(asPer(x,nzs_3604),asPer(x,nzbc_e2as1_t1))", []),
        ("See E2/AS1 Table 1.", "and(asPer(x,e2as1_t1),asPer(x,e2as1_t2),asPer(x,e3as1_t1))", ["e2as1_t2", "e3as1_t1"]),
    ],
)
def test_amounts_are_compared_by_value_and_dimension(clause, rule, absent):
    found = find_absent(rule, read_clause(clause, segment(clause)))
    assert [element.text for element, gone in zip(list_elements(rule), found, strict=True) if gone] == absent


def make_attribution(rule=RULE, unless=0.0):
    features = tuple(segment(CLAUSE))
    tokens = tuple(TargetToken(e.start, e.end, e.text) for e in list_elements(rule))
    scores = np.zeros((len(features), len(tokens)), dtype=np.float32)
    scores[0, 0] = unless
    return Attribution("a", CLAUSE, rule, features, tokens, scores, np.zeros(len(tokens), dtype=np.float32))


def items_of(attribution, known=()):
    n = len(attribution.target_tokens)
    return list_items(attribution, np.full(n, -0.1), np.full(n, 0.2), known)


def test_parts_words_and_the_rule_are_items():
    items = items_of(
        make_attribution(unless=3.0), known=["it", "is", "a", "ramp", "shall", "be", "at", "least", "mm", "wide"]
    )
    by_text = {item["text"]: item for item in items}
    assert by_text["900"]["absent"] == 1.0
    assert by_text["mm"]["absent"] == 0.0
    assert by_text["Unless"]["unread"] == -3.0
    assert by_text["1200"]["unread"] == 0.0
    whole = items[-1]
    assert (whole["item"], whole["broken"], whole["no_duty"]) == ("rule", 0.0, 0.0)
    assert whole["unseen"] == 2.0  # "unless" and "fixed"
    assert np.isnan(whole["absent"])


def test_items_are_marked_against_the_reference():
    reference = "if(and(exist(ramp),not(is(ramp,fixed)))),then(obligation(greaterThanEqual(ramp.width,1200 mm)))"
    items = items_of(make_attribution())
    marked = dict(zip([item["text"] for item in items], mark_items(items, RULE, reference), strict=True))
    assert marked["900"]
    assert not marked["greaterThanEqual"]
    assert marked["1200"]  # the reference has it, the rule does not
    assert marked["Unless"]  # an exception is missing
    assert marked[""]
    assert not any(mark_items(items, RULE, RULE))


def test_text_that_is_no_rule_is_broken():
    items = items_of(make_attribution("greaterThanEqual(ramp.width"))
    assert items[-1]["broken"] == 1.0
    assert list_words("Self-closing D1 doors, 3 m") == ["self", "closing", "d", "doors", "m"]
