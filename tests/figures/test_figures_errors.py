from __future__ import annotations

import itertools

import pandas as pd
import pytest

from compliance_xai import figures
from compliance_xai.figures import NothingToPlot


@pytest.fixture
def shares() -> pd.DataFrame:
    """Invented shares in the shape of ``stats.error_shares``."""
    sizes = {"300k": 312_000, "1m": 1_050_000}
    kinds = {"any": 0.7, "wrong_value": 0.4, "syntax": 0.1, "wrong_unit": 0.0}
    rows = [
        {"scale": scale, "parameters": sizes[scale], "strategy": strategy, "split": "test", "kind": kind,
         "n_clauses": 40, "n_seeds": 1, "n_rules": int(40 * share), "share": share, "low": share * 0.8,
         "high": 0.2 + share * 0.8}
        for scale, strategy, (kind, share) in itertools.product(sizes, ("full", "lora"), kinds.items())
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _marks(figure, name):
    return [trace for trace in figure.spec["data"] if trace.get("name") == name]


def test_kinds_stand_by_frequency_and_absent_ones_are_left_out(shares, tmp_path):
    figure = figures.draw_error_kinds(shares, folder=tmp_path)
    assert figure.spec["layout"]["yaxis"]["ticktext"] == ["any error", "wrong value", "syntax"]
    assert _marks(figure, "LoRA")[0]["x"] == [0.7, 0.4, 0.1]
    assert figure.n == "40 clauses per mark"
    assert "Wilson" in figure.interval
    assert "full fine-tuning, any error, 300K: 0.700 [0.560," in figure.alt


def test_one_cell_has_a_panel_per_split(shares, tmp_path):
    cell = shares[(shares["scale"] == "1m") & (shares["strategy"] == "full")].drop(columns=["scale", "parameters"])
    both = pd.concat([cell, cell.assign(split="document")])
    figure = figures.draw_error_kinds(both, folder=tmp_path, panel="split")
    titles = [note["text"] for note in figure.spec["layout"]["annotations"] if note["text"].startswith("<b>")]
    assert titles == ["<b>test</b>", "<b>held out</b>"]


def test_errors_by_scale_has_a_panel_per_kind(shares, tmp_path):
    figure = figures.draw_errors_by_scale(shares, folder=tmp_path)
    titles = [note["text"] for note in figure.spec["layout"]["annotations"]]
    assert [title for title in titles if title.startswith("<b>")] == [
        f"<b>{name}</b>" for name in ("any error", "wrong value", "syntax")
    ]
    assert _marks(figure, "full fine-tuning")[0]["y"] == [0.7, 0.7]


def test_the_axis_ends_at_the_data_and_the_base_is_left_out(shares, tmp_path):
    few = shares.assign(share=shares["share"] / 10, low=shares["low"] / 10, high=shares["high"] / 10)
    base = few.assign(strategy="none", share=1.0, low=0.9, high=1.0)
    figure = figures.draw_error_kinds(pd.concat([base, few]), folder=tmp_path)
    assert figure.spec["layout"]["xaxis"]["range"][1] < 0.1
    assert {trace["name"] for trace in figure.spec["data"]} == {"full fine-tuning", "LoRA"}
    alone = figures.draw_error_kinds(base, folder=tmp_path)
    assert {trace["name"] for trace in alone.spec["data"]} == {"untouched base"}
    trend = figures.draw_errors_by_scale(pd.concat([base, few]), folder=tmp_path)
    assert trend.spec["layout"]["yaxis"]["range"][1] < 0.1


def test_one_model_size_is_no_trend(shares, tmp_path):
    with pytest.raises(NothingToPlot, match="expected two model sizes or more, found one"):
        figures.draw_errors_by_scale(shares[shares["scale"] == "1m"], folder=tmp_path)


def test_no_rules_no_figure(shares, tmp_path):
    with pytest.raises(NothingToPlot):
        figures.draw_error_kinds(shares[:0], folder=tmp_path)
