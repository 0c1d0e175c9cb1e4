import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_xai.attribution.methods import chain_masks, draw_orders, efficiency_gap, mean_gains, sample_values


def random_game(n_features, n_tokens=2, seed=0):
    """A value for every subset, with interactions of every order."""
    values = np.random.default_rng(seed).normal(size=(2**n_features, n_tokens))

    def score(masks_MF):
        return values[np.asarray(masks_MF) @ (1 << np.arange(n_features))]

    return score


def exact_shapley(score, n_features):
    """The definition: a weighted mean over all subsets without the feature."""
    total = 0.0
    rows = []
    for feature in range(n_features):
        others = [f for f in range(n_features) if f != feature]
        total = 0.0
        for size in range(n_features):
            for subset in itertools.combinations(others, size):
                weight = math.factorial(size) * math.factorial(n_features - size - 1) / math.factorial(n_features)
                mask = np.isin(np.arange(n_features), subset)
                total = total + weight * (score((mask | (np.arange(n_features) == feature))[None]) - score(mask[None]))
        rows.append(total[0])
    return np.array(rows)


def exact_owen(score, groups):
    """The definition (Owen 1977): subsets of the other groups, times subsets of the feature's own group."""
    n_features, names = len(groups), sorted(set(groups))
    rows = []
    for feature in range(n_features):
        others = [name for name in names if name != groups[feature]]
        mates = [f for f in range(n_features) if groups[f] == groups[feature] and f != feature]
        total = 0.0
        for r in range(len(others) + 1):
            for joined in itertools.combinations(others, r):
                for size in range(len(mates) + 1):
                    for subset in itertools.combinations(mates, size):
                        weight = 1 / ((len(others) + 1) * math.comb(len(others), r))
                        weight /= (len(mates) + 1) * math.comb(len(mates), size)
                        mask = np.array([groups[f] in joined or f in subset for f in range(n_features)])
                        more = mask | (np.arange(n_features) == feature)
                        total = total + weight * (score(more[None]) - score(mask[None]))
        rows.append(total[0])
    return np.array(rows)


def all_orders(n_features, groups=None):
    """Every order (that keeps groups together), each followed by its reverse."""
    orders = []
    for order in itertools.permutations(range(n_features)):
        met = [] if groups is None else [name for name, _ in itertools.groupby(groups[f] for f in order)]
        if len(met) == len(set(met)):
            orders += [order, order[::-1]]
    return np.array(orders)


def test_all_orders_together_give_the_exact_values():
    score, groups = random_game(5), [0, 0, 1, 2, 2]
    masks = chain_masks(all_orders(5))
    np.testing.assert_allclose(mean_gains(masks, score(masks))[0], exact_shapley(score, 5), atol=1e-12)
    masks = chain_masks(all_orders(5, groups))
    np.testing.assert_allclose(mean_gains(masks, score(masks))[0], exact_owen(score, groups), atol=1e-12)


@pytest.mark.parametrize("levels", [(), [[0, 0, 1, 2, 2]]])
def test_sampling_comes_as_near_as_its_standard_error_says(levels):
    score = random_game(5, n_tokens=40)
    exact = exact_owen(score, levels[0]) if levels else exact_shapley(score, 5)
    found = [sample_values(score, 5, levels=levels, budget=12 * 40, seed=seed) for seed in range(40)]
    z = np.array([(one.scores_FT - exact) / one.standard_errors_FT for one in found])
    assert 0.9 < z.std() < 1.15
    assert np.abs(z.mean()) < 0.1
    assert max(one.report["efficiency_gap"] for one in found) < 1e-5


def test_one_feature_in_every_group_and_one_group_for_all_are_shapley_values():
    score, budget = random_game(4), 10 * 300
    for levels in ([[0, 1, 2, 3]], [[0, 0, 0, 0]]):
        found = sample_values(score, 4, levels=levels, budget=budget)
        np.testing.assert_allclose(found.scores_FT, exact_shapley(score, 4), atol=5 * found.standard_errors_FT.max())


def test_groups_inside_groups_stay_together():
    levels = [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]]
    orders = draw_orders(6, 300, levels=levels)
    for order in orders:
        for level in levels:
            met = [name for name, _ in itertools.groupby(level[f] for f in order)]
            assert len(met) == len(set(met))
    assert len({tuple(order) for order in orders}) == 2 * 2 * 2**3  # every order that the groups allow


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 5))
def test_orders_come_in_pairs_and_depend_on_their_number_alone(n_features, pairs, more):
    orders = draw_orders(n_features, pairs, seed=3)
    assert (np.sort(orders, axis=1) == np.arange(n_features)).all()
    np.testing.assert_array_equal(orders[1::2], orders[0::2, ::-1])
    np.testing.assert_array_equal(orders, draw_orders(n_features, pairs + more, seed=3)[: 2 * pairs])


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 99))
def test_scores_of_any_game_are_efficient(n_features, pairs, seed):
    score = random_game(n_features, seed=seed)
    masks = chain_masks(draw_orders(n_features, pairs, seed=seed))
    gains, _ = mean_gains(masks, score(masks))
    whole, empty = score(np.ones((1, n_features), bool))[0], score(np.zeros((1, n_features), bool))[0]
    assert efficiency_gap(gains, whole, empty) < 1e-12
    assert efficiency_gap(gains + 0.5, whole, empty) == pytest.approx(0.5 * n_features)


def test_additive_values_have_no_error():
    weights = np.array([[3.0], [-1.0], [0.0]])
    found = sample_values(lambda masks: masks @ weights, 3, budget=70)
    np.testing.assert_allclose(found.scores_FT, weights, atol=1e-6)
    assert found.standard_errors_FT.max() < 1e-6
    assert (found.report["pairs"], found.report["masks"]) == (8, 8 * 2 * 4)  # as many as the budget allows
