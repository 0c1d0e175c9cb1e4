"""Estimates with errors over clauses and over runs, for many studies at once.

Every array has a leading studies axis (N): a real study is N = 1, and the power simulation sends hundreds through the
same code. A *block* (B) is a pair of runs that share their seed, one on either side of a comparison; blocks that could
change places belong to one *stratum* (a model size, or a strategy). C counts clauses.

Two things could have come out differently: which clauses were read, and how the trainings went. An estimate's variance
counts both as one does for two ways of clustering (Cameron, Gelbach and Miller 2011): over runs, plus over clauses,
less what a clause does in one run only, which is part of either.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
_SLACK = 1e-9
"""Statistics closer than this (relative) are the same number computed in another order."""

OverRuns = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Variance over runs, shape (N, G), of the mean over strata of means over blocks of arrays (N, B, G)."""


@dataclass(frozen=True)
class Estimate:
    """Values with standard errors and degrees of freedom, each of shape (N,); NaN where the error is unknown."""

    value: np.ndarray
    error: np.ndarray
    dof: np.ndarray

    def interval(self, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
        """Central t interval."""
        reach = stdtrit(self.dof, (1 + confidence) / 2) * self.error
        return self.value - reach, self.value + reach

    def confidence_above(self, bound: float) -> np.ndarray:
        """One-sided confidence that the effect exceeds ``bound``: one minus the p-value of a t test against it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return stdtr(self.dof, (self.value - bound) / self.error)


def two_way(
    value_N: np.ndarray,
    strata_NBC: Sequence[np.ndarray],
    over_runs: OverRuns,
    dof_runs: int,
    clusters_C: np.ndarray | None = None,
) -> Estimate:
    """An estimate that is, to first order, the mean over strata of the mean over blocks and clauses of an array.

    Its degrees of freedom are effective ones (Satterthwaite 1946).

    Parameters
    ----------
    value_N
        The estimate.
    strata_NBC
        For each stratum, what every block (or pair of blocks) and clause adds to it.
    over_runs, dof_runs
        The variance over runs, and its degrees of freedom; 0 where it is unknown, and then so is the error.
    clusters_C
        What clauses belong to (documents), where they were not drawn one by one.
    """
    unknown = np.full(len(value_N), math.nan)
    sums = [_cluster_sums(part, clusters_C) for part in strata_NBC]
    groups = sums[0].shape[-1]
    if dof_runs < 1 or groups < 2:
        return Estimate(value_N, unknown, unknown)
    correction = groups / (groups - 1)
    runs_N = over_runs([part.mean(axis=-1, keepdims=True) for part in strata_NBC])[:, 0]
    clauses_N = correction * (np.mean([part.mean(axis=1) for part in sums], axis=0) ** 2).sum(axis=-1)
    both_N = correction * over_runs(sums).sum(axis=-1)
    total_N = np.maximum.reduce([runs_N, clauses_N, runs_N + clauses_N - both_N])
    below_N = runs_N**2 / dof_runs + (total_N - runs_N) ** 2 / (groups - 1)
    dof_N = np.divide(total_N**2, below_N, out=np.full(len(value_N), float(dof_runs)), where=below_N > 0)
    return Estimate(value_N, np.sqrt(total_N), dof_N)


def _cluster_sums(values_NBC: np.ndarray, clusters_C: np.ndarray | None) -> np.ndarray:
    """Deviations from the mean over clauses, added up by cluster and divided by the number of clauses: (N, B, G)."""
    deviations = (values_NBC - values_NBC.mean(axis=-1, keepdims=True)) / values_NBC.shape[-1]
    if clusters_C is None:
        return deviations
    _, place = np.unique(clusters_C, return_inverse=True)
    return np.stack([deviations[..., place == g].sum(axis=-1) for g in range(place.max() + 1)], axis=-1)


def blocks_variance(strata_NBG: Sequence[np.ndarray]) -> np.ndarray:
    """Variance of the mean over strata of means over n independent blocks, s^2 / n each: shape (N, G)."""
    parts = [values.var(axis=1, ddof=1) / values.shape[1] for values in strata_NBG]
    return np.sum(parts, axis=0) / len(parts) ** 2


def paired_difference(
    strata_NBC: Sequence[np.ndarray], clusters_C: np.ndarray | None = None, *, trainings: bool = True
) -> Estimate:
    """Mean of differences between the two runs of each block, clause by clause; one array for each stratum.

    With ``trainings=False`` the error is for other clauses alone, and holds for the models that were trained.

    >>> rng = np.random.default_rng(0)
    >>> found = paired_difference([1.0 + rng.normal(size=(1, 5, 40)) + rng.normal(size=(1, 5, 1))])
    >>> bool(found.error[0] > 0.3)  # five trainings, one unit apart: 1 / sqrt(5)
    True
    """
    value_N = np.mean([part.mean(axis=(1, 2)) for part in strata_NBC], axis=0)
    if not trainings:
        means = np.mean([part.mean(axis=1, keepdims=True) for part in strata_NBC], axis=0)
        return two_way(value_N, [means], lambda parts: np.zeros_like(parts[0][:, 0]), 1, clusters_C)
    sizes = [part.shape[1] for part in strata_NBC]
    dof = sum(size - 1 for size in sizes) if min(sizes) > 1 else 0
    return two_way(value_N, strata_NBC, blocks_variance, dof, clusters_C)


def swap_signs(blocks: int, *, permutations: int, seed: int) -> np.ndarray:
    """Ways of swapping the two runs of each block: +1 as they were, -1 swapped; shape (ways, blocks), observed first.

    Every way where there are at most ``permutations``, else that many drawn at random.

    >>> swap_signs(2, permutations=10, seed=0).tolist()
    [[1, 1], [1, -1], [-1, 1], [-1, -1]]
    """
    if blocks < 63 and 2**blocks <= permutations:
        return np.array(list(itertools.product((1, -1), repeat=blocks)), dtype=np.int8).reshape(-1, blocks)
    drawn = np.random.default_rng(seed).integers(0, 2, size=(permutations, blocks), dtype=np.int8) * 2 - 1
    return np.vstack([np.ones((1, blocks), dtype=np.int8), drawn])


def count_reach(statistics_NA: np.ndarray) -> np.ndarray:
    """P-value of the first statistic of each row: the share of all that are at least as large."""
    slack = _SLACK * np.maximum(1.0, np.abs(statistics_NA).max(axis=1, keepdims=True))
    return (statistics_NA >= statistics_NA[:, :1] - slack).mean(axis=1)


def swap_test(strata_NB: Sequence[np.ndarray], *, permutations: int, seed: int = 0) -> tuple[np.ndarray, float]:
    """Two-sided p-value of the mean over strata of mean differences, shape (N,); and the smallest that it can be.

    If it did not matter on which side a run is, each block's difference could as well have had the other sign. With few
    blocks every way of swapping the runs is counted, so p is exact.
    """
    weighted = np.concatenate([part / part.shape[1] for part in strata_NB], axis=1)
    signs_AB = swap_signs(weighted.shape[1], permutations=permutations, seed=seed)
    smallest = max(2.0 ** (1 - weighted.shape[1]), 1 / len(signs_AB))
    return count_reach(np.abs(weighted @ signs_AB.T)), smallest
