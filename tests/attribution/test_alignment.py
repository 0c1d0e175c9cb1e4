import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from compliance_xai.attribution import alignment
from compliance_xai.records import Attribution, Example, Feature, Link, TargetToken, attribution_row

EXAMPLE = Example(
    "a",
    "door 760 mm",
    "min(door,760 mm)",
    "fire",
    "test",
    (Link("object", 4, 8, ((0, 4),)), Link("value", 9, 12, ((5, 8),)), Link("unit", 13, 15, ())),
    identifier_role="absent",
    number_role="decides",
)


def make_row(scores):
    clause, target = EXAMPLE.clause, EXAMPLE.rule
    features = tuple(Feature(start, end, clause[start:end], "other") for start, end in ((0, 4), (5, 8), (9, 11)))
    tokens = tuple(TargetToken(start, end, target[start:end]) for start, end in ((0, 4), (4, 9), (9, 15), (16, 16)))
    attribution = Attribution(
        "a", clause, target, features, tokens, np.array(scores, dtype=np.float32), np.zeros(4, dtype=np.float32)
    )
    return attribution_row(attribution, seed=1, baseline="delete")


SCORES = [[9.0, 3.0, 1.0, 9.0], [9.0, 1.0, 0.5, 9.0], [9.0, 2.0, -4.0, 9.0]]


def test_gold_frame_by_hand():
    frame = alignment.gold_frame([make_row(SCORES)], [EXAMPLE])
    assert len(frame) == 9
    rows = {(row["sign"], row["kind"]): row for row in frame.to_dict("records")}
    # The object's token (4..8) gives masses 3, 1, 2: its feature is first.
    first = rows["absolute", "object"]
    assert (first["precision_at_k"], first["average_precision"], first["auroc"]) == (1.0, 1.0, 1.0)
    assert (first["n_features"], first["n_gold"], first["n_target_tokens"]) == (3, 1, 1)
    assert first["chance_precision"] == pytest.approx(1 / 3)
    assert first["chance_average_precision"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    # The value's token gives absolute masses 1, 0.5, 4 (gold last) and positive ones 1, 0.5, 0 (gold second).
    last, second = rows["absolute", "value"], rows["positive", "value"]
    assert (last["precision_at_k"], last["auroc"]) == (0.0, 0.0)
    assert last["average_precision"] == pytest.approx(1 / 3)
    assert (second["auroc"], second["average_precision"]) == (0.5, 0.5)
    assert rows["absolute", "unit"]["reason"] == "no feature overlaps the gold spans"
    assert math.isnan(rows["absolute", "unit"]["auroc"])
    assert set(frame["number_role"]) == {"decides"}


@settings(deadline=None)
@given(st.integers(2, 6), st.data())
def test_chance_variances_are_those_over_all_orders(n, data):
    gold = data.draw(st.integers(1, n - 1))
    values = {name: [] for name in alignment.GOLD_MEASURES}
    for positions in itertools.combinations(range(n), gold):
        mass_F, gold_F = -np.arange(float(n)), np.isin(np.arange(n), positions)
        for name, measure in alignment.GOLD_MEASURES.items():
            values[name].append(measure(mass_F, gold_F))
    precision, average, area = alignment.chance_variance(gold, n)
    assert precision == pytest.approx(np.var(values["precision_at_k"]))
    assert area == pytest.approx(np.var(values["auroc"]))
    assert average == pytest.approx(np.var(values["average_precision"]), rel=0.15)


def test_constant_attributions_say_why():
    frame = alignment.gold_frame([make_row(np.zeros((3, 4)))], [EXAMPLE])
    assert frame["reason"].tolist()[:2] == ["no mass towards the element"] * 2
    assert frame["auroc"].isna().all()


@settings(deadline=None)
@given(st.integers(2, 6), st.data())
def test_chance_average_precision_is_the_mean_over_all_orders(n, data):
    gold = data.draw(st.integers(1, n))
    totals = []
    for positions in itertools.combinations(range(1, n + 1), gold):
        totals.append(np.mean([(index + 1) / position for index, position in enumerate(positions)]))
    assert alignment.chance_average_precision(gold, n) == pytest.approx(np.mean(totals))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.0 + 1e-12, 7.25]), st.booleans()), min_size=2))
def test_ranking_measures_equal_scikit_learn(pairs):
    mass_F, gold_F = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    assume(0 < gold_F.sum() < len(gold_F))
    assert alignment.average_precision(mass_F, gold_F) == pytest.approx(average_precision_score(gold_F, mass_F))
    assert alignment.auroc(mass_F, gold_F) == pytest.approx(roc_auc_score(gold_F, mass_F))


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=7), st.data())
def test_precision_at_k_is_the_mean_over_orders_of_ties(values, data):
    gold = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)).filter(any))
    k = sum(gold)
    hits = []
    for order in itertools.permutations(range(len(values))):
        ranked = sorted(order, key=lambda index: -values[index])  # stable: keeps the permuted order inside a tie
        hits.append(np.mean([gold[index] for index in ranked[:k]]))
    assert alignment.precision_at_k(np.array(values), np.array(gold)) == pytest.approx(np.mean(hits))


def test_a_corpus_without_alignment_gives_an_empty_frame():
    plain = Example("a", EXAMPLE.clause, EXAMPLE.rule, "", "test")
    frame = alignment.gold_frame([make_row(SCORES)], [plain])
    assert frame.empty
    assert "auroc" in frame.columns
