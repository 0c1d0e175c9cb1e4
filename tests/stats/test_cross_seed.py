"""Distances between runs of other seeds: identities, and what is found where the truth is known."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from compliance_xai.stats.cross_seed import (
    Pair,
    excess,
    excess_test,
    pair_up,
    pairs_variance,
    remaining_share,
    share_of,
    spread_ratio,
    spread_test,
    squared_distances,
)


def simulate(*, studies=150, sizes=3, seeds=4, clauses=30, words=10, tilt=0.0, shared=0.0, wider=1.0, seed=0):
    """Pairs of strategies: ``tilt`` apart, with what runs of one seed ``shared``, b's seeds ``wider`` apart."""
    rng = np.random.default_rng(seed)
    log = rng.normal(0, 1, (studies, 1, 1, 1, clauses, words))
    log = log + rng.normal(0, tilt, (studies, 1, 2, 1, clauses, words))
    own = rng.normal(0, 0.4, (studies, sizes, 2, seeds, clauses, words)) * np.array([1, wider])[:, None, None, None]
    log = log + own + rng.normal(0, shared, (studies, sizes, 1, seeds, clauses, words))
    share = np.exp(log)
    share /= share.sum(axis=-1, keepdims=True)
    flat = share.reshape(studies, sizes, 2 * seeds, clauses, words)
    return [Pair(squared_distances(flat[:, k])) for k in range(sizes)]


def test_squared_distances_are_those_of_scipy():
    shares = np.random.default_rng(0).dirichlet(np.ones(6), size=(1, 3, 2))
    found, ranks = squared_distances(shares), squared_distances(shares, "spearman")
    for i, j, c in ((0, 1, 0), (1, 2, 1), (2, 0, 1)):
        assert found[0, i, j, c] == pytest.approx(jensenshannon(shares[0, i, c], shares[0, j, c], base=2) ** 2)
        expected = (1 - spearmanr(shares[0, i, c], shares[0, j, c]).statistic) / 2
        assert ranks[0, i, j, c] == pytest.approx(expected)


def test_padding_and_patterns_without_mass():
    short = np.full((1, 2, 2, 5), np.nan)
    short[0, :, 0, :3] = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]
    short[0, 0, 1] = 0.2  # the other run has no mass on this clause
    for outcome in ("jensen_shannon", "spearman"):
        found = squared_distances(short, outcome)
        assert np.isfinite(found[0, 0, 1, 0])
        assert np.isnan(found[0, 0, 1, 1])
    exact = squared_distances(short[..., :1, :3])[0, 0, 1, 0]
    assert squared_distances(short)[0, 0, 1, 0] == pytest.approx(exact)


def test_the_excess_is_an_inner_product_of_other_seeds():
    """In a Euclidean space M_ij = 2 <a_i - b_i, a_j - b_j>; runs of one seed meet nowhere."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(8, 3))  # a_0..a_3, b_0..b_3
    d = ((points[:, None] - points[None]) ** 2).sum(axis=-1)[None, :, :, None]
    pair = Pair(d)
    differences = points[:4] - points[4:]
    expected = np.mean([differences[i] @ differences[j] for i in range(4) for j in range(4) if i != j])
    assert (pair.between() - pair.within()).mean() == pytest.approx(expected)
    moved = d.copy()
    for i in range(4):
        moved[0, i, 4 + i] = moved[0, 4 + i, i] = 99.0
    assert excess([Pair(moved)]).value == excess([pair]).value


@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_strategies_that_do_not_differ_have_a_ratio_of_one_even_if_seeds_are_coupled(shared):
    """Adapters with one seed share data order and first weights, as LoRA and QLoRA do."""
    pairs = simulate(shared=shared)
    found = excess(pairs)
    assert np.exp(found.value / 2).mean() == pytest.approx(1.0, abs=0.003)
    low, high = found.interval()
    assert np.mean((low <= 0) & (high >= 0)) > 0.93
    p, smallest = excess_test(pairs, permutations=300)
    assert np.mean(p <= 0.05) <= 0.1
    assert smallest == pytest.approx(1 / 301)
    # With pairs of one seed among them, as before, the coupled strategies look closer than seeds of one.
    mean = np.mean([pair.d_NRRC[:, :4, 4:].mean(axis=(1, 2, 3)) for pair in pairs], axis=0)
    within = np.mean([pair.within().mean(axis=(1, 2)) for pair in pairs], axis=0)
    biased = np.sqrt(mean / within).mean()
    assert biased < 0.98 if shared else biased == pytest.approx(1.0, abs=0.003)


def test_a_planted_difference_is_found_with_its_size():
    pairs = simulate(tilt=0.2)
    found = excess(pairs)
    truth = share_of(np.median(excess(simulate(tilt=0.2, studies=400, seed=9)).value))
    low, high = (share_of(bound) for bound in found.interval())
    assert truth == pytest.approx(0.2, abs=0.03)  # tilt^2 / (tilt^2 + 0.4^2)
    assert np.mean((low < truth) & (truth < high)) == pytest.approx(0.95, abs=0.05)
    assert np.mean(excess_test(pairs, permutations=300)[0] <= 0.05) > 0.95


def test_exact_permutation_by_hand():
    """One size, two seeds: either as observed, or the runs of one seed swapped."""
    d = np.full((1, 4, 4, 1), 2.0)
    d[0, 0, 1] = d[0, 1, 0] = d[0, 2, 3] = d[0, 3, 2] = 1.0
    p, smallest = excess_test([Pair(d)], permutations=100)
    assert (p[0], smallest) == (0.5, 0.5)
    p, smallest = excess_test([Pair(d)] * 5, permutations=5000)
    assert (p[0], smallest) == (1 / 32, 1 / 32)


def test_seeds_that_are_further_apart_are_found():
    pairs = simulate(wider=1.3)
    found = spread_ratio(pairs)
    assert np.exp(found.value).mean() == pytest.approx(1.27, abs=0.03)
    assert np.mean(spread_test(pairs, permutations=300)[0] <= 0.05) > 0.95
    even = simulate()
    assert np.mean(spread_test(even, permutations=300)[0] <= 0.05) == pytest.approx(0.05, abs=0.05)
    low, high = spread_ratio(even).interval()
    assert np.mean((low < 0) & (high > 0)) == pytest.approx(0.95, abs=0.05)


def test_the_variance_of_a_mean_over_pairs():
    """Of sums of two blocks it is 4 var / n; of independent pairs s^2 / P (a jackknife gives 2.5 times that)."""
    rng = np.random.default_rng(0)
    n, pairs = 6, 15
    alone = rng.normal(size=(6, 1000, pairs, 1))
    assert 1 / pairs <= 6 * pairs_variance(list(alone)).mean() <= 1.5 / pairs  # never below its least: a bit too large
    blocks = pair_up(rng.normal(size=(4000, n, 1))) * 2
    assert pairs_variance([blocks]).mean() == pytest.approx(4 / n, rel=0.05)


def test_what_is_left_of_a_distance():
    rng = np.random.default_rng(0)
    log = rng.normal(0, 1, (100, 1, 1, 30, 10))
    apart = rng.normal(0, 0.4, (100, 1, 1, 30, 10))
    runs = [log + k * apart + rng.normal(0, 0.3, (100, 1, 4, 30, 10)) for k in (0.0, 1.0, 0.5)]  # full, lora, lora+
    shares = [np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True) for x in runs]
    whole, fewer = (
        [Pair(squared_distances(np.concatenate([shares[0][:, 0], shares[k][:, 0]], axis=1)))] for k in (1, 2)
    )
    found = remaining_share(fewer, whole)
    low, high = found.interval()
    centre = np.median(found.value)
    assert centre == pytest.approx(0.25, abs=0.03)  # half as far: a quarter of the squared distance
    assert np.mean((low < centre) & (centre < high)) > 0.9
