"""Estimates over clauses and runs: against textbook formulas, by hand, and by how often intervals hold the truth."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from compliance_xai.stats.estimates import Estimate, count_reach, paired_difference, swap_signs, swap_test


def test_an_interval_is_student_s():
    values = np.random.default_rng(0).normal(0.3, 1, (1, 1, 30))
    found = paired_difference([values], trainings=False)
    reference = ttest_1samp(values[0, 0], 0.0)
    low, high = (float(bound[0]) for bound in found.interval())
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    above = float(found.confidence_above(0.0)[0])
    assert 2 * min(above, 1 - above) == pytest.approx(reference.pvalue)


def test_the_variance_is_that_of_two_ways_of_clustering():
    values = np.random.default_rng(1).normal(size=(1, 4, 6)) + np.arange(4)[None, :, None] + np.arange(6)
    found = paired_difference([values])
    b, c = values.shape[1:]
    x = values[0]
    runs = x.mean(axis=1).var(ddof=1) / b
    clauses = x.mean(axis=0).var(ddof=1) / c
    rest = x - x.mean(axis=1, keepdims=True)
    both = c / (c - 1) * (rest.var(axis=0, ddof=1) / b).sum() / c**2
    assert found.error[0] ** 2 == pytest.approx(runs + clauses - both)


def test_clauses_of_one_document_count_as_one_draw():
    rng = np.random.default_rng(2)
    documents = np.repeat(np.arange(8), 10)
    values = (rng.normal(size=8)[documents] + rng.normal(0, 0.1, 80))[None, None]
    alone, grouped = (paired_difference([values], c, trainings=False).error[0] for c in (None, documents))
    means = values[0, 0].reshape(8, 10).mean(axis=1)
    assert grouped == pytest.approx(means.std(ddof=1) / math.sqrt(8))
    assert grouped > 2 * alone


def test_a_single_training_says_nothing_about_others():
    found = paired_difference([np.random.default_rng(0).normal(size=(1, 1, 20))])
    assert np.isnan(found.error).all()
    assert np.isnan(found.interval()).all()


@pytest.mark.parametrize(("seeds", "sizes", "run"), [(5, 3, 0.05), (3, 3, 0.05), (4, 1, 0.1), (3, 2, 0.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds, sizes, run):
    rng = np.random.default_rng(seeds)
    studies, clauses = 1500, 40
    effect = rng.normal(0, 0.1, (studies, 1, clauses))
    strata = [
        effect + rng.normal(0, run, (studies, seeds, 1)) + rng.normal(0, 0.2, (studies, seeds, clauses))
        for _ in range(sizes)
    ]
    low, high = paired_difference(strata).interval()
    assert np.mean((low < 0) & (high > 0)) == pytest.approx(0.95, abs=0.025)


def test_confidence_beyond_a_bound():
    found = Estimate(np.array([1.0]), np.array([0.5]), np.array([1e6]))
    assert found.confidence_above(0.0)[0] == pytest.approx(0.97725, abs=1e-4)  # normal: 2 standard errors
    assert found.confidence_above(1.0)[0] == pytest.approx(0.5)


def test_all_ways_of_swapping_are_counted_and_the_observed_comes_first():
    signs = swap_signs(5, permutations=32, seed=0)
    assert len({tuple(row) for row in signs.tolist()}) == len(signs) == 32
    assert signs[0].tolist() == [1] * 5
    drawn = swap_signs(5, permutations=31, seed=0)
    assert (len(drawn), drawn[0].tolist()) == (32, [1] * 5)


def test_an_exact_p_value_by_hand():
    # Differences 3, 2, 1: |sum| = 6 is reached by all as they are and all swapped, 2 of 8 ways.
    p, smallest = swap_test([np.array([[3.0, 2.0, 1.0]])], permutations=100)
    assert (p[0], smallest) == (0.25, 0.25)
    # Differences 3, 2, -1: |4| is reached by +-(3, 2, -1) and +-(3, 2, 1): 4 of 8.
    assert swap_test([np.array([[3.0, 2.0, -1.0]])], permutations=100)[0][0] == 0.5


def test_swapping_finds_nothing_where_there_is_nothing():
    rng = np.random.default_rng(0)
    p, smallest = swap_test([rng.normal(size=(2000, 4)), rng.normal(size=(2000, 4))], permutations=500)
    assert smallest == 2**-7
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.02)


def test_equal_statistics_in_another_order_count_as_equal():
    assert count_reach(np.array([[0.1 + 0.2, 0.3, 0.0, 1.0]]))[0] == 0.75
