from __future__ import annotations

import html
import re

import numpy as np
import pandas as pd
import pytest

from compliance_xai import figures
from compliance_xai.figures import NothingToPlot


def _named(figure, name, axis="x"):
    return [trace for trace in figure.spec["data"] if trace.get("name") == name and trace.get("xaxis", "x") == axis]


def test_focus_shows_each_clause_once_and_the_means_of_the_summary(focus, focus_summary, tmp_path):
    figure = figures.draw_focus_paired(focus, focus_summary, "normalised_entropy", folder=tmp_path)
    lines = _named(figure, "one clause")[0]["y"]
    assert lines.count(None) == 40
    clause = focus[(focus["scale"] == "300k") & (focus["id"] == "c00") & (focus["strategy"] == "lora")]
    assert lines[2] == pytest.approx(clause["normalised_entropy"].mean(), abs=1e-5)
    mean = focus_summary.query("scale == '1m' and strategy == 'full'").iloc[0]
    mark = _named(figure, "full fine-tuning", "x2")[0]
    assert mark["y"][0] == pytest.approx(mean["mean"], abs=1e-5)
    assert mark["error_y"]["array"][0] == pytest.approx(mean["high"] - mean["mean"], abs=1e-5)
    assert figure.n.startswith("40 clauses")
    assert "bootstrap over clauses" in figure.interval


def test_strategies_keep_colour_and_marker_across_figures(focus, focus_summary, quality, tmp_path):
    focus_figure = figures.draw_focus_paired(focus, focus_summary, "normalised_entropy", folder=tmp_path)
    quality_figure = figures.draw_quality_by_scale(quality, folder=tmp_path)
    for name in ("untouched base", "full fine-tuning", "LoRA", "QLoRA"):
        first, second = _named(focus_figure, name)[0]["marker"], _named(quality_figure, name)[0]["marker"]
        assert (first["color"], first["symbol"]) == (second["color"], second["symbol"])


def test_panels_follow_model_size_not_the_alphabet(lift, tmp_path):
    lift["scale"] = lift["scale"].replace({"300k": "70m", "1m": "160m", "4m": "1b"})
    figure = figures.draw_category_lift(lift, folder=tmp_path)
    titles = [note["text"] for note in figure.spec["layout"]["annotations"] if note["text"].startswith("<b>")]
    assert titles == ["<b>70M</b>", "<b>160M</b>", "<b>1B</b>"]


def test_scales_of_frames_without_sizes_come_in_the_order_given(pairs, tmp_path):
    frame = pairs.drop(columns="parameters")
    figure = figures.draw_differences(frame, "normalised_entropy", folder=tmp_path, scales=("4m", "1m", "300k"))
    titles = [note["text"] for note in figure.spec["layout"]["annotations"] if note["text"].startswith("<b>")]
    assert titles == ["<b>4M</b>", "<b>1M</b>", "<b>300K</b>", "<b>all sizes</b>"]


def test_differences_show_their_intervals(pairs, tmp_path):
    figure = figures.draw_differences(pairs, "normalised_entropy", folder=tmp_path)
    first = pairs.iloc[0]
    mark = _named(figure, "mean difference")[0]
    assert mark["x"][0] == pytest.approx(first["difference"], abs=1e-5)
    assert mark["error_x"]["arrayminus"][0] == pytest.approx(0.03, abs=1e-4)
    assert "full fine-tuning − LoRA" in figure.spec["layout"]["yaxis"]["ticktext"]


def test_lift_by_scale_has_a_panel_per_category(lift, tmp_path):
    figure = figures.draw_lift_by_scale(lift, folder=tmp_path)
    titles = [note["text"] for note in figure.spec["layout"]["annotations"]]
    assert "<b>numerical constraints</b>" in titles
    assert "<b>rule identifiers and references</b>" in titles
    expected = lift.query("category == 'numerical_constraint' and strategy == 'full'")["mean"]
    assert _named(figure, "full fine-tuning")[0]["y"] == pytest.approx(expected.tolist(), abs=1e-5)


def test_learning_curves_draw_every_seed(log, tmp_path):
    figure = figures.draw_learning_curves(log, "lora", folder=tmp_path)
    assert len(_named(figure, "validation")) == 2
    assert len(_named(figure, "training, as logged")) == 2
    assert figure.n == "2 training seeds (0, 1)"
    last = log[(log["split"] == "validation") & (log["seed"] == 1)]["loss"].iloc[-1]
    assert f"seed 1: step 150: {last:.3f} nats" in figure.alt


def test_quality_is_drawn_from_zero_to_one(quality, tmp_path):
    shares = figures.draw_quality_by_scale(quality, folder=tmp_path)
    assert shares.spec["layout"]["yaxis"]["range"] == [-0.03, 1.05]


def test_corpus_figures_count_what_they_show(corpus_frames, tmp_path):
    figure = figures.draw_corpus_counts(corpus_frames["counts"], folder=tmp_path)
    drawn = sum(int(sum(trace["x"])) for trace in figure.spec["data"])
    assert drawn == corpus_frames["counts"]["clauses"].sum()
    assert figure.n == f"{drawn:,} clauses"
    lengths = figures.draw_corpus_lengths(corpus_frames["lengths"], folder=tmp_path)
    assert lengths.n == "175 clause–rule pairs"
    words = corpus_frames["lengths"].query("text == 'clause'").groupby("context")["words"]
    assert lengths.spec["data"][0]["x"] == pytest.approx(words.median().sort_index().tolist())
    categories = figures.draw_corpus_categories(corpus_frames["categories"], folder=tmp_path)
    for trace in categories.spec["data"]:
        assert sum(trace["x"]) == pytest.approx(100, abs=1e-3)


def test_the_score_matrix_is_complete_and_signed(attribution, tmp_path):
    figure = figures.draw_score_matrix(attribution, folder=tmp_path)
    trace = figure.spec["data"][0]
    assert (trace["zmin"], trace["zmax"], trace["meta"]) == (-1, 1, "signed")
    data = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    assert data["score_nats"].to_numpy() == pytest.approx(attribution.scores.ravel(), abs=1e-6)
    # Columns are parts of the rule: the scores of tokens inside one name are added.
    parts = data.groupby(["feature", "part"])["score_nats"].sum().unstack()
    assert parts.shape == (len(trace["z"]), len(trace["z"][0]))
    limit = np.abs(parts.to_numpy()).max()
    assert np.array(trace["z"], dtype=float) == pytest.approx(parts.to_numpy() / limit, abs=1e-4)
    labels = figure.spec["layout"]["xaxis"]["ticktext"]
    assert labels[-1] == "⏎"
    assert re.fullmatch(r"Heat map: parts of the rule\. .* → .*: [+−]\d+\.\d\d nats.*", figure.alt)


@pytest.mark.parametrize("draw", ["draw_category_lift", "draw_lift_by_scale"])
def test_an_empty_frame_is_nothing_to_plot(draw, lift, tmp_path):
    with pytest.raises(NothingToPlot, match="expected at least one row to plot"):
        getattr(figures, draw)(lift.iloc[:0], folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_sentence_stands_where_nothing_can_be_plotted(lift, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **options: shown.append(bundle))
    figures.show_drawn(figures.draw_category_lift, lift.iloc[:0], folder=tmp_path, otherwise="No <gold> here.")
    assert shown == [{"text/html": '<p class="cx-nothing">No &lt;gold&gt; here.</p>', "text/plain": "No <gold> here."}]


def test_every_figure_says_n_and_interval_and_has_a_text(
    focus, focus_summary, pairs, lift, quality, log, attribution, corpus_frames, tmp_path
):
    drawn = [
        figures.draw_focus_paired(focus, focus_summary, "normalised_entropy", folder=tmp_path),
        figures.draw_differences(pairs, "normalised_entropy", folder=tmp_path),
        figures.draw_category_lift(lift, folder=tmp_path),
        figures.draw_lift_by_scale(lift, folder=tmp_path),
        figures.draw_quality_by_scale(quality, folder=tmp_path),
        figures.draw_learning_curves(log, "lora", folder=tmp_path),
        figures.draw_score_matrix(attribution, folder=tmp_path),
    ]
    for figure in drawn:
        markup = figures.figure_html(figure)
        assert html.escape(figure.n) in markup
        assert re.search(r"\d", figure.alt)
        assert figure.spec["layout"]["height"] > 0
        assert {path.suffix for path in tmp_path.glob(f"{figure.name}.*")} == {".png", ".svg", ".csv", ".json"}


@pytest.fixture
def moved() -> pd.DataFrame:
    rows = [("q_proj", layer, 0.2) for layer in (1, 2)] + [("input_layernorm", 1, 0.0), ("embed_tokens", 0, 0.05)]
    return pd.DataFrame(
        {"strategy": strategy, "seed": seed, "layer": layer, "matrix": matrix, "relative_change": change * (1 + seed)}
        for strategy in ("full", "lora-then-full")
        for seed in (0, 1)
        for matrix, layer, change in rows
    )


def test_movement_shades_what_moved_and_leaves_the_rest_grey(moved, tmp_path):
    figure = figures.draw_movement(moved, folder=tmp_path, where="1m")
    titles = [note["text"] for note in figure.spec["layout"]["annotations"] if note["text"].startswith("<b>")]
    assert titles == ["<b>full fine-tuning</b>", "<b>LoRA, then full</b>"]
    shades = figure.spec["data"][0]["z"]
    assert figure.spec["layout"]["yaxis"]["ticktext"] == ["embed_tokens", "q_proj", "input norm"]
    assert shades[1] == [None, 1.0, 1.0]
    assert shades[2] == [None, None, None]
    unchanged = next(trace for trace in figure.spec["data"] if trace["meta"] == "unchanged")
    assert unchanged["z"][2] == [None, 1.0, None]
    assert 0 < shades[0][0] < 1
    assert "q_proj, layer 1, LoRA, then full: changed by 0.3 of its norm" in figure.alt
    assert figure.spec["ramp"]["unchanged"] == "unchanged"
    assert figure.title == "Where the weights changed: 1M"
    assert figure.n == "2 training seeds, averaged"
    stored = pd.read_csv(tmp_path / "movement.csv")
    assert stored.query("strategy == 'full' and matrix == 'embed_tokens'")["relative_change"].item() == pytest.approx(
        0.075
    )


def test_every_kind_of_strategy_has_a_style_of_its_own():
    from compliance_xai.figures.theme import style_strategies
    from compliance_xai.study.strategy_settings import KINDS

    styles = style_strategies([*KINDS, "mine"])
    assert len({style.colour for name, style in styles.items() if name != "mine"}) == len(KINDS)
    assert len({style.marker for name, style in styles.items() if name != "none"}) == len(KINDS)


def test_without_a_sentence_a_figure_with_nothing_to_plot_shows_nothing(lift, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **options: shown.append(bundle))
    figures.show_drawn(figures.draw_category_lift, lift.iloc[:0], folder=tmp_path)
    assert shown == []
