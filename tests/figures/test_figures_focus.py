import pandas as pd
import pytest

from compliance_xai import figures
from compliance_xai.figures import NothingToPlot


@pytest.fixture
def separation():
    rows = [
        {"scale": scale, "baseline": "delete", "sign": "net", "measure": measure, "strategy_a": a, "strategy_b": b,
         "n_clauses": 40, "ratio": ratio, "ratio_low": ratio - 0.1, "ratio_high": ratio + 0.1}
        for scale in ("1m", "all")
        for measure in ("jensen_shannon", "spearman")
        for a, b, ratio in (("none", "full", 2.0), ("full", "lora", 1.25), ("lora", "qlora", 1.0))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_focus_by_scale_has_a_panel_for_each_measure(focus_summary, tmp_path):
    figure = figures.draw_focus_by_scale(focus_summary, folder=tmp_path)
    drawn = [trace for trace in figure.spec["data"] if trace["showlegend"]]
    assert [trace["name"] for trace in drawn] == ["untouched base", "full fine-tuning", "LoRA", "QLoRA"]
    assert figure.n == "40 clauses per mark; words are deleted; net scores"
    with pytest.raises(NothingToPlot):
        figures.draw_focus_by_scale(focus_summary, folder=tmp_path, baseline="mask")


def test_separation_shows_all_scales_and_only_pairs_of_the_first_strategy(separation, tmp_path):
    figure = figures.draw_separation(separation, folder=tmp_path)
    rows = figure.spec["layout"]["yaxis"]["ticktext"]
    assert rows == ["LoRA"]
    assert pd.read_csv(tmp_path / "separation.csv")["ratio"].tolist() == [1.25, 1.25]
    assert "the untouched base, 2.0 times as far" in figure.caption
    assert [trace["name"] for trace in figure.spec["data"] if trace["showlegend"]] == ["as two seeds of one strategy"]
    with pytest.raises(NothingToPlot):
        figures.draw_separation(separation.assign(ratio=float("nan")), folder=tmp_path)


def test_correctness_by_element_puts_all_first_then_the_best_read(tmp_path):
    rows = [
        {"scale": scale, "parameters": size, "strategy": strategy, "baseline": "delete", "sign": "positive",
         "kind": kind, "n_clauses": n, "n_links": n, "precision_at_k": value, "precision_at_k_low": value - 0.1,
         "precision_at_k_high": value + 0.1, "precision_at_k_chance_high": 0.2}
        for scale, size in (("4m", 4_200_000), ("1m", 1_050_000))
        for strategy in ("none", "full", "lora")
        for kind, value, n in (("deontic", 0.3, 48), ("value", 0.9, 39), ("all", 0.6, 48), ("negation", 0.95, 3))
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    figure = figures.draw_correctness(frame, folder=tmp_path)
    assert figure.spec["layout"]["yaxis"]["ticktext"] == ["all kinds (48)", "value (39)", "deontic (48)"]
    panels = [note["text"] for note in figure.spec["layout"]["annotations"] if note["text"].startswith("<b>")]
    assert panels == ["<b>1M</b>", "<b>4M</b>"]
    assert "Left out (fewer than 5 clauses): negation." in figure.caption
    assert "full fine-tuning, value (39), 1M: 0.900 [0.800," in figure.alt
    with pytest.raises(NothingToPlot):
        figures.draw_correctness(frame.iloc[:0], folder=tmp_path)
