"""Agreement with the gold alignment: means over clauses, and where random rankings would lie."""

import math

import numpy as np
import pandas as pd
import pytest

from compliance_xai.attribution.alignment import GOLD_MEASURES, precision_at_k
from compliance_xai.stats.summary import chance_bands, summarise_gold


def test_the_chance_band_is_where_random_rankings_lie():
    rng = np.random.default_rng(0)
    shapes = [
        (f"c{index}", link, int(rng.integers(1, 4)), int(rng.integers(6, 12))) for index in range(12) for link in (0, 1)
    ]
    means = []
    for _ in range(400):
        rows = []
        for clause, _, gold, n in shapes:
            gold_F = np.arange(n) < gold
            rows.append((clause, precision_at_k(rng.random(n), gold_F)))
        means.append(pd.DataFrame(rows, columns=["id", "value"]).groupby("id")["value"].mean().mean())
    frame = pd.DataFrame(shapes, columns=["id", "link", "n_gold", "n_features"])
    frame = frame.assign(chance_precision=frame["n_gold"] / frame["n_features"], chance_average_precision=0.5)
    band = chance_bands(frame)
    inside = np.mean(
        [band["precision_at_k_chance_low"] <= mean <= band["precision_at_k_chance_high"] for mean in means]
    )
    assert inside == pytest.approx(0.95, abs=0.03)
    assert band["auroc_chance_low"] < 0.5 < band["auroc_chance_high"]


def test_summary_takes_the_clause_as_unit():
    links = [("object", 0, 1.0, ""), ("unit", 1, math.nan, "every feature is gold")]
    frame = pd.DataFrame(
        [
            {"id": "a", "seed": 1, "method": "leave_one_out", "baseline": "delete", "sign": "absolute", "kind": kind}
            | {"link": link, "n_gold": 1, "n_features": 3, "chance_precision": 1 / 3, "reason": reason}
            | {"chance_average_precision": 0.6}
            | dict.fromkeys(GOLD_MEASURES, value)
            for kind, link, value, reason in links
        ]
    )
    twice = frame.assign(id="b", auroc=0.0)
    both = pd.concat([frame, frame.assign(seed=2), twice]).assign(scale="1m", strategy="full")
    summary = summarise_gold(both, bootstrap=200)
    row = summary[(summary["kind"] == "object") & (summary["sign"] == "absolute")].iloc[0]
    assert (row["n_clauses"], row["n_links"]) == (2, 2)
    assert row["auroc"] == 0.5  # mean of 1 (two seeds of a) and 0 (b)
    assert (row["auroc_low"], row["auroc_high"]) == (0.0, 1.0)
    unit = summary[(summary["kind"] == "unit") & (summary["sign"] == "absolute")].iloc[0]
    assert unit["n_clauses"] == 0
    assert math.isnan(unit["auroc"])


def test_a_frame_without_links_gives_an_empty_summary():
    columns = ["scale", "strategy", "method", "baseline", "sign", "kind", "id", "link", "reason"]
    summary = summarise_gold(pd.DataFrame(columns=columns))
    assert summary.empty
    assert list(summary.columns[:6]) == columns[:6]
