"""Bootstrap over clauses, for intervals of single means."""

from __future__ import annotations

import functools
import math

import numpy as np

CONFIDENCE = 0.95


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
