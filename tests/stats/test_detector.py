import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from compliance_xai.attribution import elements
from compliance_xai.corpus.features import segment
from compliance_xai.records import Attribution, TargetToken
from compliance_xai.rules.compare.rule_elements import Element, list_elements
from compliance_xai.stats import review_flags as detector

CLAUSE = "Exit doors shall be not less than 850 mm wide."
RULE = "then(obligation(greaterThanEqual(exitDoor.width,850 mm)))"
TEXTS = ("obligation", "greaterThanEqual", "exitDoor", "width", "850", "mm")


def make_attribution(mass):
    """An attribution in which element ``text`` rests on the words given: ``{text: {word: nats}}``."""
    features = tuple(segment(CLAUSE, vocabulary={"door": "object", "wide": "property"}))
    tokens = tuple(TargetToken(RULE.index(text), RULE.index(text) + len(text), text) for text in TEXTS)
    scores = np.zeros((len(features), len(tokens)), dtype=np.float32)
    for token, text in enumerate(TEXTS):
        for place, feature in enumerate(features):
            scores[place, token] = mass.get(text, {}).get(feature.text, 0.0)
    return Attribution("c1", CLAUSE, RULE, features, tokens, scores, np.zeros(len(tokens), dtype=np.float32))


def words_for(kind, text):
    features = segment(CLAUSE, vocabulary={"door": "object", "wide": "property"})
    matching = elements.matching_words(Element(kind, 0, len(text), text), features)
    return [feature.text for feature, match in zip(features, matching, strict=True) if match]


def test_the_words_an_element_should_rest_on():
    assert words_for("value", "850") == ["850"]
    assert words_for("value", "850.0") == ["850"]
    assert words_for("value", "900") == []
    assert words_for("object", "exitDoor") == ["Exit", "doors"]
    assert words_for("object", "gate") == []
    assert words_for("deontic", "obligation") == ["shall"]
    assert words_for("unit", "m") == ["mm"]
    assert set(words_for("comparator", "lessThan")) >= {"less", "than"}


def test_signals_by_hand():
    attribution = make_attribution({"850": {"850": 3.0, "Exit": 1.0}, "exitDoor": {"wide": 2.0, "doors": 1.0}})
    log_probs, entropies = np.array([-0.1, -0.2, -2.0, -0.4, -0.5, -0.6]), np.arange(6.0)
    by_text = {
        element.text: elements.element_signals(attribution, element, log_probs, entropies)
        for element in list_elements(RULE)
    }
    value, thing, unit = by_text["850"], by_text["exitDoor"], by_text["mm"]
    assert (value["unsupported"], value["top_elsewhere"], value["weak"], value["unspelled"]) == (0.25, 0, -4, 0)
    n = len(attribution.features)
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(n)
    assert value["spread"] == pytest.approx(expected)
    odds = math.log((1 - math.exp(-0.5)) / math.exp(-0.5))
    assert (value["unlikely"], value["unsure"]) == pytest.approx((odds, math.log(4.0)))
    assert value["clause_words"] == n
    assert (thing["unsupported"], thing["top_elsewhere"]) == (pytest.approx(2 / 3), 1)
    assert (unit["unsupported"], unit["top_elsewhere"], unit["weak"]) == (1, 1, 0)  # rests on nothing
    assert math.isnan(unit["spread"])


MODELS = {"baselines": elements.BASELINES, "both": elements.SIGNALS}


def make_elements(seed=0, clauses=40, each=6, strength=2.0):
    rng = np.random.default_rng(seed)
    wrong = rng.random(clauses * each) < 0.3
    frame = pd.DataFrame(
        {"id": np.repeat([f"c{i:02d}" for i in range(clauses)], each), "split": "test", "wrong": wrong}
    )
    for name in elements.SIGNALS:
        frame[name] = rng.normal(size=len(frame)).round(1)
    frame["unlikely"] += strength * wrong
    return frame


def test_areas_are_those_of_scikit_learn():
    frame = make_elements()
    table = detector.rank_signals(frame, ("unlikely", "spread"), against="unlikely", bootstrap=200).set_index("signal")
    for name in ("unlikely", "spread"):
        assert table.loc[name, "auroc"] == pytest.approx(roc_auc_score(frame["wrong"], frame[name]))
        assert table.loc[name, "low"] < table.loc[name, "auroc"] < table.loc[name, "high"]
    difference = table.loc["spread", "auroc"] - table.loc["unlikely", "auroc"]
    assert table.loc["spread", "difference"] == pytest.approx(difference)
    assert table.loc["spread", "difference_high"] < 0
    assert math.isnan(table.loc["unlikely", "difference"])


def test_weights_count_whole_clauses():
    frame = make_elements(clauses=8)
    clusters, names = pd.factorize(frame["id"])
    weights = np.array([[2, 0, 1, 1, 0, 3, 1, 0]])
    (area,) = detector.weighted_auroc(frame["unlikely"].to_numpy(), frame["wrong"].to_numpy(), clusters, weights)
    repeated = pd.concat(
        [frame[frame["id"] == name] for name, count in zip(names, weights[0], strict=True) for _ in range(count)]
    )
    assert area == pytest.approx(roc_auc_score(repeated["wrong"], repeated["unlikely"]))


def test_clauses_that_hang_together_widen_the_interval():
    frame = make_elements()
    copies = pd.concat([frame] * 5, ignore_index=True)  # five models that all make the same mistakes
    once, five = (detector.rank_signals(part, ("unlikely",), bootstrap=500).iloc[0] for part in (frame, copies))
    assert five["n_elements"] == 5 * once["n_elements"]
    assert (five["low"], five["high"]) == pytest.approx((once["low"], once["high"]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wrong": False}, "0 clauses with a wrong element, at least 5 are needed"),
        ({"wrong": True}, "0 clauses with a right element, at least 5 are needed"),
        ({"unlikely": np.nan}, "0 clauses with a wrong element, at least 5 are needed"),
    ],
)
def test_one_class_alone_says_why(change, reason):
    frame = make_elements().assign(**change)
    row = detector.rank_signals(frame, ("unlikely",), bootstrap=100).iloc[0]
    assert row["reason"] == reason
    assert math.isnan(row["auroc"])
    assert detector.predict_wrong(frame, MODELS).empty


def test_a_clause_is_predicted_by_a_regression_that_has_not_seen_it():
    frame = make_elements(strength=0.0)
    # A signal that is the clause's own share of wrong elements would look perfect if clauses leaked into the fit.
    marks = frame.groupby("id")["wrong"].transform("mean")
    frame["spread"] = marks + np.random.default_rng(1).normal(0, 5, len(frame))
    predicted = detector.predict_wrong(frame, MODELS)
    assert len(predicted) == len(frame)
    assert roc_auc_score(predicted["wrong"], predicted["both"]) < 0.65
    strong = detector.predict_wrong(make_elements(strength=4.0), MODELS)
    assert roc_auc_score(strong["wrong"], strong["baselines"]) > 0.95
