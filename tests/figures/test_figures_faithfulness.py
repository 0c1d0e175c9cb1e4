import itertools

import numpy as np
import pandas as pd
import pytest

from compliance_xai import figures
from compliance_xai.attribution.elements import SIGNALS
from compliance_xai.stats import review_flags as detector

SCALES = {"300k": 312_000, "1m": 1_050_000}
STRATEGIES = ("none", "full", "lora")


def cells(**columns):
    keys = itertools.product(SCALES, STRATEGIES, *columns.values())
    rows = [
        {"scale": scale, "parameters": SCALES[scale], "strategy": strategy} | dict(zip(columns, values, strict=True))
        for scale, strategy, *values in keys
    ]
    return pd.DataFrame(rows)


def with_interval(frame, name="mean"):
    values = np.linspace(0.2, 0.8, len(frame))
    return frame.assign(**{name: values, "low": values - 0.05, "high": values + 0.05, "n_clauses": 20})


def test_faithfulness_shows_what_a_random_order_reaches(tmp_path):
    frame = cells(
        attribution=["delete"], operator=["mask", "delete"],
        measure=["deletion", "insertion", "lds", "top_1_drop", "random_deletion", "random_top_1_drop"],
    )  # fmt: skip
    frame = with_interval(frame)
    frame.loc[frame["measure"] == "random_deletion", "mean"] = 0.48
    figure = figures.draw_faithfulness(frame, folder=tmp_path)
    chance = next(trace for trace in figure.spec["data"] if trace["name"] == "random order")
    places = dict(zip(figure.spec["layout"]["yaxis"]["ticktext"], range(9), strict=False))
    by_row = dict(zip(chance["y"], chance["x"], strict=True))
    assert by_row[places["deletion"]] == pytest.approx(0.48)
    assert by_row[places["linear datamodeling score"]] == 0
    assert "circular" not in figure.caption
    circular = figures.draw_faithfulness(frame, folder=tmp_path, operator="delete")
    assert "circular" in circular.caption
    assert circular.name != figure.name
    assert not any(trace["name"] == "untouched base" for trace in figure.spec["data"])


def test_removal_curves_show_every_order(tmp_path):
    scored = cells(attribution=["delete"], operator=["mask"], order=["score"], step=[0, 1, 2])
    others = cells(attribution=[""], operator=["mask"], order=["random", "best", "worst"], step=[0, 1, 2])
    figure = figures.draw_removal_curves(with_interval(pd.concat([scored, others])), folder=tmp_path)
    names = [trace["name"] for trace in figure.spec["data"] if trace["xaxis"] == "x"]
    other = "best and worst order found"
    assert names == ["random order", other, other, "full fine-tuning", "LoRA"]
    assert all(trace["x"] == [0, 50, 100] for trace in figure.spec["data"])
    assert all(None not in trace["y"] for trace in figure.spec["data"])
    stored = pd.read_csv(tmp_path / "removal-curves-delete-by-mask.csv")
    assert set(stored["order"]) == {"score", "random", "best", "worst"}


def test_removal_curves_of_a_stored_study_have_the_grey_lines_too(tmp_path):
    """An empty attribution is read back from a table of text as no value."""
    scored = cells(attribution=["delete"], operator=["mask"], order=["score"], step=[0, 1])
    others = cells(attribution=[np.nan], operator=["mask"], order=["random", "best", "worst"], step=[0, 1])
    figure = figures.draw_removal_curves(with_interval(pd.concat([scored, others])), folder=tmp_path)
    listed = [trace["name"] for trace in figure.spec["data"] if trace["showlegend"]]
    assert listed == ["random order", "best and worst order found", "full fine-tuning", "LoRA"]


def test_signals_name_their_counts(tmp_path):
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.3
    frame = pd.DataFrame({"id": [f"c{i // 10}" for i in range(400)], "split": "test", "wrong": wrong})
    frame = frame.assign(**{name: rng.normal(size=400) + wrong for name in SIGNALS})
    signals = detector.rank_signals(frame, SIGNALS, against="unlikely", bootstrap=100)
    figure = figures.draw_signals(signals, folder=tmp_path)
    assert figure.n == f"{wrong.sum()} wrong of 400 elements in 40 clauses (known contexts)"
    families = {trace["name"] for trace in figure.spec["data"]}
    assert families == {"by chance", "from attribution", "without attribution"}


def test_contexts_come_with_the_held_out_one_last(tmp_path):
    frame = cells(measured=["exact"], baseline=[""], context=["plumbing", "fire", "access"])
    frame = with_interval(frame).assign(split=["document" if c == "plumbing" else "test" for c in frame["context"]])
    figure = figures.draw_by_context(frame, "exact", folder=tmp_path, label="exact match")
    labels = figure.spec["layout"]["yaxis"]["ticktext"]
    assert labels == ["access, n = 20", "fire, n = 20", "plumbing (held out), n = 20"]


def test_distances_by_context_set_the_split_first_and_name_a_lone_context_once(tmp_path):
    rows = [
        ("test", "", 20),
        ("test", "fire", 12),
        ("test", "access", 8),
        ("document", "", 9),
        ("document", "pipes", 9),
    ]
    frame = pd.DataFrame(rows, columns=["split", "context", "n_clauses"]).assign(
        scale="all", strategy_a="full", strategy_b="lora", ratio=1.1, ratio_low=1.0, ratio_high=1.2
    )
    figure = figures.draw_distance_by_context(frame, folder=tmp_path)
    labels = figure.spec["layout"]["yaxis"]["ticktext"]
    assert labels == ["all known contexts, n = 20", "access, n = 8", "fire, n = 12", "pipes (held out), n = 9"]
    with pytest.raises(figures.NothingToPlot):
        figures.draw_distance_by_context(frame, folder=tmp_path, first="dora")
