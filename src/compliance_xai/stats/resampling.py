"""Bootstrap over clauses and permutation of runs, exact where few arrangements exist."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
_TOLERANCE = 1e-12
"""Two permuted statistics closer than this (relative) are the same number computed in another order."""


@functools.lru_cache(maxsize=64)
def resample_counts(n: int, n_resamples: int, seed: int) -> np.ndarray:
    """How often each of ``n`` units is drawn, with replacement: int64, shape (n_resamples, n). Read-only, cached."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    counts.setflags(write=False)
    return counts


def bootstrap_mean(
    values: np.ndarray, *, n_resamples: int = 2000, seed: int = 0, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Mean over units with a percentile bootstrap interval (Efron and Tibshirani 1993, section 13.3).

    NaN values are left out; with none left all three are NaN, with one the interval is NaN.

    Returns
    -------
    mean, low, high
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[~np.isnan(kept)]
    if len(kept) == 0:
        return math.nan, math.nan, math.nan
    if len(kept) == 1:
        return float(kept[0]), math.nan, math.nan
    means = resample_counts(len(kept), n_resamples, seed) @ kept / len(kept)
    return float(kept.mean()), *interval(means, confidence)


def bootstrap_ratio(
    numerator: np.ndarray, denominator: np.ndarray, *, n_resamples: int, seed: int
) -> tuple[float, float, float]:
    """Ratio of two means over the same units, with a percentile bootstrap interval over units."""
    if len(numerator) < 2 or not denominator.mean() > 0:
        return math.nan, math.nan, math.nan
    counts = resample_counts(len(numerator), n_resamples, seed)
    below = counts @ denominator
    ratios = np.divide(counts @ numerator, below, out=np.full(len(below), np.nan), where=below > 0)
    return float(numerator.mean() / denominator.mean()), *interval(ratios[~np.isnan(ratios)])


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Central percentile interval of resampled values; NaN where there are none."""
    if len(values) == 0:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def assignments(sizes: Sequence[int]) -> np.ndarray:
    """Every way to deal ``sum(sizes)`` runs into labelled groups of these sizes: int, shape (ways, runs).

    The first row is the order as given (all of group 0, then group 1, ...).

    Examples
    --------
    >>> assignments([1, 2]).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    labels = [group for group, size in enumerate(sizes) for _ in range(size)]
    return np.array(list(_multiset_permutations(tuple(labels))), dtype=np.int64)


@functools.lru_cache(maxsize=64)
def _multiset_permutations(labels: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    if not labels:
        return ((),)
    result = []
    for label in sorted(set(labels)):
        rest = list(labels)
        rest.remove(label)
        result.extend((label, *tail) for tail in _multiset_permutations(tuple(rest)))
    return tuple(result)


def count_assignments(sizes: Sequence[int]) -> int:
    """Number of rows of ``assignments``, without making them."""
    return math.factorial(sum(sizes)) // math.prod(math.factorial(size) for size in sizes)


def combine_strata(
    statistics: Sequence[np.ndarray], *, permutations: int, seed: int, two_sided: bool = False
) -> tuple[float, float]:
    """P-value of a sum over strata, each permuted on its own.

    Parameters
    ----------
    statistics
        One array for each stratum: the statistic under every arrangement, the observed one first.
    permutations
        Every combination is counted if there are at most this many; else this many are drawn.
    two_sided
        Compare absolute values; else large values are extreme.

    Returns
    -------
    p, smallest
        The p-value (counting the observed arrangement), and the smallest p-value that this design could reach.
    """
    total = math.prod(len(values) for values in statistics)
    if total <= permutations:
        sums = np.array([0.0])
        for values in statistics:
            sums = (sums[:, None] + values[None, :]).ravel()
        observed = sums[0]
    else:
        rng = np.random.default_rng(seed)
        observed = float(sum(values[0] for values in statistics))
        sums = np.sum([values[rng.integers(len(values), size=permutations)] for values in statistics], axis=0)
        sums = np.concatenate([[observed], sums])
    sizes, reach = (np.abs(sums), abs(observed)) if two_sided else (sums, observed)
    slack = _TOLERANCE * max(1.0, float(np.abs(sums).max()))
    p = float((sizes >= reach - slack).mean())
    best = [_share_of_largest(values) for values in statistics]
    smallest = math.prod(best) * (2 if two_sided else 1)
    return p, max(min(1.0, smallest), 1 / len(sums))


def _share_of_largest(values: np.ndarray) -> float:
    """Share of arrangements that give the largest statistic, where labels of equal groups can be swapped."""
    slack = _TOLERANCE * max(1.0, float(np.abs(values).max()))
    return float((values >= values.max() - slack).mean())


def draw_assignments(sizes: Sequence[int], *, permutations: int, seed: int) -> np.ndarray:
    """All assignments where there are few, else the observed one and random ones."""
    if count_assignments(sizes) <= permutations:
        return assignments(sizes)
    labels = np.array(list(itertools.chain.from_iterable([group] * size for group, size in enumerate(sizes))))
    rng = np.random.default_rng(seed)
    return np.vstack([labels, rng.permuted(np.tile(labels, (permutations, 1)), axis=1)])
