"""Figures of noise and of controls: what they draw are the numbers they were given."""

import numpy as np
import pandas as pd
import pytest

from compliance_xai import figures
from compliance_xai.figures import NothingToPlot
from compliance_xai.stats.contrasts import CONTROLS


@pytest.fixture
def noise():
    """Invented means in the shape of ``stats.noise_table``; one clause has no interval."""
    rows = [
        (scale, "net", source, "jensen_shannon", n, mean, low, high)
        for scale in ("300k", "1m")
        for source, n, mean, low, high in (
            ("batch", 1, 0.0, np.nan, np.nan), ("seeds", 40, 0.2, 0.18, 0.22), ("strategies", 40, 0.3, 0.27, 0.33),
        )
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["scale", "sign", "source", "measure", "n_clauses", "mean", "low", "high"])


def test_noise_has_a_row_for_each_source_and_a_panel_for_each_scale(noise, tmp_path):
    figure = figures.draw_noise(noise, folder=tmp_path, scales=("300k", "1m"))
    assert "two seeds of one strategy, 300K: 0.200 [0.180," in figure.alt
    assert figure.n.startswith("1 to 40 clauses per row")
    assert figure.spec["layout"]["yaxis"]["ticktext"] == [
        "same model, another batch",
        "two seeds of one strategy",
        "two strategies",
    ]
    with pytest.raises(NothingToPlot):
        figures.draw_noise(noise, "spearman", folder=tmp_path)


def test_controls_turn_differences_towards_the_first_strategy(tmp_path):
    rows = [
        ("delete", "net", a, b, control, 40, value, value - 0.02, value + 0.02)
        for (a, b), value in ((("full", "lora"), -0.03), (("qlora", "full"), 0.05), (("lora", "qlora"), 0.9))
        for control in CONTROLS
    ]
    names = ["baseline", "sign", "strategy_a", "strategy_b", "control", "n_clauses", "estimate", "low", "high"]
    figure = figures.draw_controls(pd.DataFrame(rows, columns=names), folder=tmp_path)
    assert "LoRA, as measured: −0.030 [−0.050," in figure.alt
    assert "QLoRA, long clauses: −0.050 [−0.070," in figure.alt
    assert "0.900" not in figure.alt
    assert len(figure.spec["layout"]["yaxis"]["ticktext"]) == len(CONTROLS)
