"""Distances between patterns: against scipy, and by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_xai.attribution.distances import (
    all_distances,
    distance_frame,
    jensen_shannon,
    rank_biased_distance,
    spearman_distance,
)


def make_shares(strategies=("full", "lora"), seeds=2, clauses=3, words=8):
    rng = np.random.default_rng(0)
    keys = [(name, seed, f"c{c}") for name in strategies for seed in range(seeds) for c in range(clauses)]
    frames = [
        pd.DataFrame({"strategy": name, "seed": seed, "id": clause, "feature": range(words),
                      "share": rng.dirichlet(np.ones(words))})
        for name, seed, clause in keys
    ]  # fmt: skip
    view = {"scale": "1m", "method": "leave_one_out", "baseline": "delete", "sign": "net"}
    return pd.concat(frames, ignore_index=True).assign(**view)


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**31))
def test_jensen_shannon_agrees_with_scipy(n, seed):
    from scipy.spatial.distance import jensenshannon

    p, q = np.random.default_rng(seed).dirichlet(np.full(n, 0.5), size=2)
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert jensen_shannon(p, p) == 0.0


@settings(deadline=None)
@given(st.integers(3, 12), st.integers(0, 2**31), st.integers(1, 3))
def test_spearman_distance_agrees_with_scipy(n, seed, digits):
    from scipy.stats import spearmanr

    p, q = np.random.default_rng(seed).dirichlet(np.ones(n), size=2).round(digits)  # few digits: ties
    if np.ptp(p) and np.ptp(q):
        expected = 1 - spearmanr(p, q).statistic
        assert spearman_distance(p[None], q[None])[0] == pytest.approx(expected, abs=1e-9)


def test_rank_biased_overlap_by_hand():
    order = {"abc": [3.0, 2.0, 1.0], "acb": [3.0, 1.0, 2.0], "cba": [1.0, 2.0, 3.0], "a(bc)": [3.0, 1.0, 1.0]}

    def overlap(a, b, p):
        return 1 - rank_biased_distance(np.array([order[a]]), np.array([order[b]]), persistence=p)[0]

    # Agreement at depths 1, 2, 3: 1, 1/2, 1. RBO = (1 - p) / p (p + p^2 / 2 + p^3) + p^3.
    assert overlap("abc", "acb", 0.9) == pytest.approx(0.1 / 0.9 * (0.9 + 0.81 / 2 + 0.729) + 0.729)
    assert overlap("abc", "cba", 0.5) == pytest.approx(0 * 0.5 + 0.5 * 0.25 + 0.125 + 0.125)
    # b and c enter together at depth 2: agreements 1, 2 * 2 / (2 + 3), 1.
    assert overlap("abc", "a(bc)", 0.9) == pytest.approx(0.1 / 0.9 * (0.9 + 0.81 * 0.8 + 0.729) + 0.729)
    for name in order:
        assert overlap(name, name, 0.9) == pytest.approx(1.0)


def test_distances_of_nothing_are_undefined():
    nothing, some = np.full((1, 3), np.nan), np.array([[0.5, 0.3, 0.2]])
    assert all(np.isnan(value).all() for value in all_distances(nothing, some).values())
    assert np.isnan(spearman_distance(np.full((1, 3), 1 / 3), some)).all()


def test_all_pairs_of_runs_are_measured():
    frame = distance_frame(make_shares(seeds=3))
    one = frame[frame["id"] == "c0"]
    assert len(one) == 15
    assert one["pair"].value_counts().to_dict() == {"between": 9, "within": 6}
    assert frame["jensen_shannon"].between(0, 1).all()
