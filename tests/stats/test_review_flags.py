"""Flags, their thresholds and the model of risk, on items whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from compliance_xai.attribution.elements import SIGNALS
from compliance_xai.attribution.review_items import ITEM_SIGNALS
from compliance_xai.stats.review_flags import (
    FLAGS,
    Risk,
    choose_threshold,
    choose_thresholds,
    describe_reading,
    fit_risk,
    mark_disputed,
    measure_flags,
    reading_table,
)


def make_parts(clauses=60, seed=0, *, split="validation"):
    """Parts of rules: ``unlikely`` tells wrong ones apart by one standard deviation, no other signal does."""
    rng = np.random.default_rng(seed)
    n = clauses * 5
    wrong = rng.random(n) < 0.25
    frame = pd.DataFrame({name: rng.normal(size=n) for name in (*SIGNALS, "absent", "disputed")})
    frame = frame.assign(unlikely=rng.normal(size=n) + wrong)
    frame = frame.reindex(columns=[*ITEM_SIGNALS])
    return frame.assign(
        scale="1m",
        strategy="full",
        split=split,
        item="part",
        kind="value",
        id=np.repeat([f"c{i}" for i in range(clauses)], 5),
        wrong=wrong,
    )


def test_the_threshold_is_that_of_the_largest_f1():
    values, wrong = np.array([1.0, 2, 3, 4, 5]), np.array([False, True, False, True, True])
    assert choose_threshold(values, wrong) == 2.0  # finds 3 of 3 in 4: F1 6/7; from 4 on 2 of 3 in 2: 4/5
    assert choose_threshold(values, np.zeros(5, dtype=bool)) == np.inf


def test_precision_and_recall_by_hand():
    parts = make_parts(clauses=4).assign(absent=[1, 0, 0, 0, 1] * 4, wrong=[True, True, False, False, False] * 4)
    table = measure_flags(parts, dict.fromkeys(FLAGS, 0.5), bootstrap=200).set_index("flag")
    row = table.loc["absent"]
    assert (row["n_items"], row["n_wrong"], row["n_flagged"]) == (20, 8, 8)
    assert (row["precision"], row["recall"]) == (0.5, 0.5)
    assert row["precision_low"] == row["precision_high"] == 0.5  # all clauses alike
    assert table.loc["broken", "n_items"] == 0
    assert np.isnan(table.loc["broken", "precision"])


def test_thresholds_are_chosen_for_graded_signals_only():
    chosen = choose_thresholds(make_parts())
    assert chosen["absent"] == 0.5
    assert -1 < chosen["improbable"] < 2
    assert chosen["unread"] == np.inf  # there is no such item


@pytest.mark.parametrize(
    ("better", "by", "name", "single"),
    [("unlikely", 0.0, "unlikely", "unlikely"), ("unsupported", 1.0, "all signals", "unlikely"),
     ("unsupported", 3.0, "unsupported", "unsupported"), ("unsure", 1.0, "without attribution", "unlikely"),
     ("disputed", 1.0, "with other models", "unlikely")],
)  # fmt: skip
def test_more_than_likelihood_is_used_only_where_it_ranks_errors_better(better, by, name, single):
    parts = make_parts(clauses=200)
    parts[better] += by * parts["wrong"]
    risk, table = fit_risk(parts, bootstrap=400)
    assert risk.name == name
    assert table["signal"].tolist() == [single, "without attribution", "with other models", "all signals"]
    new = make_parts(seed=1)
    new[better] += by * new["wrong"]
    predicted = risk.predict(new)
    assert predicted[new["wrong"]].mean() > predicted[~new["wrong"]].mean() + 0.05
    assert predicted.mean() == pytest.approx(0.25, abs=0.06)  # calibrated


def test_too_few_errors_give_no_model_but_an_order():
    risk, _ = fit_risk(make_parts().assign(wrong=False), bootstrap=50)
    assert risk == Risk()
    parts = pd.DataFrame({"unlikely": [0.0, 2.0, -3.0], "absent": [0.0, 0.0, 1.0]})
    assert risk.predict(parts).argsort().tolist() == [0, 1, 2]


def test_reading_the_riskiest_fifth():
    parts = make_parts(split="test")
    table = reading_table(parts.assign(risk=parts["wrong"].astype(float)), bootstrap=100).set_index("order")
    assert table.loc["risk", "found"] == pytest.approx(0.2 * len(parts) / parts["wrong"].sum())
    assert table.loc["random", "found"] == 0.2
    assert 0.2 < table.loc["likelihood", "found"] < table.loc["risk", "found"]
    risks = [Risk(), Risk("unlikely", 0.0, {"unlikely": (0.0, 1.0, 1.0)})]
    cells = [risk.coefficients().assign(scale="1m", strategy=name) for risk, name in zip(risks, "ab", strict=True)]
    told = describe_reading(table.reset_index(), pd.concat(cells))
    assert told[0].startswith(f"On the test split: the riskiest 20% of {len(parts)} parts hold")
    assert told[1:] == [
        "Of 2 fine-tuned models, 1 are ordered by likelihood, with too few errors on validation to compare; 1 by the "
        "best single signal (unlikely token: 1), since several together are no better.",
        "Attribution improves the order of reading for none of them.",
    ]


def test_a_part_is_disputed_by_the_share_of_other_models_that_lack_it():
    rows = [("full", "850"), ("lora", "850"), ("qlora", "900")]
    items = pd.DataFrame([{"strategy": name, "text": text} for name, text in rows])
    items = items.assign(item="part", kind="value", scale="1m", split="test", id="a", seed=0)
    assert mark_disputed(items)["disputed"].tolist() == [0.5, 0.5, 1.0]
    assert mark_disputed(items[:1])["disputed"].isna().all()  # nobody else was asked


def test_errors_without_any_flag_are_counted():
    parts = make_parts(clauses=4).assign(absent=[1, 0, 0, 0, 1] * 4, wrong=[True, True, False, False, False] * 4)
    off = dict.fromkeys(FLAGS, np.inf) | {"absent": 0.5}
    row = measure_flags(parts, off, bootstrap=50).set_index("flag").loc["any"]
    assert (row["precision"], row["recall"]) == (0.5, 0.5)
