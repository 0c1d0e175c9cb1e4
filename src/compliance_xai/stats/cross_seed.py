"""How much of the distance between two patterns is due to the strategy: pairs of runs with different seeds only.

Two runs with one seed share the order of their training data, and adapters their first weights, so they are closer
than two independent runs; no such pair is used here. With squared distances d of a space with an inner product (the
Jensen-Shannon divergence is one: Fuglede and Topsoe 2004), runs a_i, b_i of two strategies and i != j,

    M_ij = d(a_i, b_j) + d(a_j, b_i) - d(a_i, a_j) - d(b_i, b_j) = 2 <a_i - b_i, a_j - b_j>,

so the mean of M / 2 is an unbiased estimate of the squared distance between the strategies' mean patterns, zero or not:
the cross-validated distance of Walther et al. (2016), and the energy statistic of Szekely and Rizzo (2004) without its
pairs of one seed. Axes are N studies, S seeds, P pairs of seeds, R runs, C clauses, F features; see
``stats.estimates``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr
from scipy.stats import rankdata

from compliance_xai.stats.estimates import Estimate, count_reach, swap_signs, two_way

OUTCOMES = ("jensen_shannon", "spearman")


def squared_distances(shares_NRCF: np.ndarray, outcome: str = "jensen_shannon") -> np.ndarray:
    """Squared distances between all runs, clause by clause: shape (N, R, R, C), 0 to 1; NaN where a run has no mass.

    ``jensen_shannon``: the divergence in bits (Lin 1991). ``spearman``: ``(1 - rho) / 2``, a quarter of the squared
    distance between standardised ranks. Features that are padding, NaN in every run of a clause, count for nothing.

    >>> shares = np.array([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # one study, two runs, one clause, two features
    >>> squared_distances(shares)[0, :, :, 0].tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    n, runs, clauses, _ = shares_NRCF.shape
    if outcome == "spearman":
        ranks = rankdata(shares_NRCF, axis=-1, nan_policy="omit")
        with np.errstate(invalid="ignore", divide="ignore"):
            centred = ranks - np.nansum(ranks, axis=-1, keepdims=True) / (~np.isnan(ranks)).sum(axis=-1, keepdims=True)
            unit = np.nan_to_num(centred) / np.sqrt(np.nansum(centred**2, axis=-1, keepdims=True))
        found = np.clip((1 - np.einsum("nrcf,nqcf->nrqc", unit, unit)) / 2, 0.0, 1.0)
        found[:, range(runs), range(runs)] = 0.0
        return found
    found = np.zeros((n, runs, runs, clauses))
    empty = np.isnan(shares_NRCF).all(axis=-1, keepdims=True)
    filled = np.where(empty, np.nan, np.nan_to_num(shares_NRCF))
    for left in range(runs - 1):
        one, others = filled[:, left : left + 1], filled[:, left + 1 :]
        middle = (one + others) / 2
        divergence = (rel_entr(one, middle) + rel_entr(others, middle)).sum(axis=-1) / (2 * math.log(2))
        found[:, left, left + 1 :] = found[:, left + 1 :, left] = np.clip(divergence, 0.0, 1.0)
    return found


@dataclass(frozen=True)
class Pair:
    """Squared distances of one stratum: ``d_NRRC`` with the S runs of strategy a first, then those of b, by seed.

    What it returns holds one number for each pair of seeds i < j, in the order of ``numpy.triu_indices``.
    """

    d_NRRC: np.ndarray

    @property
    def seeds(self) -> int:
        """Number of seeds that both strategies have."""
        return self.d_NRRC.shape[1] // 2

    def between(self) -> np.ndarray:
        """Distances between the strategies, of other seeds: the mean of a_i to b_j and a_j to b_i. (N, P, C)."""
        s, (i, j) = self.seeds, np.triu_indices(self.seeds, k=1)
        return (self.d_NRRC[:, i, s + j] + self.d_NRRC[:, j, s + i]) / 2

    def within(self, side: int | None = None) -> np.ndarray:
        """Distances between seeds of strategy a (0) or b (1); the mean of the two where ``side`` is None."""
        s, (i, j) = self.seeds, np.triu_indices(self.seeds, k=1)
        sides = [self.d_NRRC[:, i, j], self.d_NRRC[:, s + i, s + j]]
        return np.mean(sides, axis=0) if side is None else sides[side]


def pair_up(values_NSC: np.ndarray) -> np.ndarray:
    """Values of single seeds as values of pairs of seeds, their mean: (N, P, C). The overall mean stays the same."""
    i, j = np.triu_indices(values_NSC.shape[1], k=1)
    return (values_NSC[:, i] + values_NSC[:, j]) / 2


def pairs_variance(strata_NPG: Sequence[np.ndarray]) -> np.ndarray:
    """Variance of the mean over strata of means over all pairs of n independent seeds: (N, G).

    A value is taken as ``mu + a_i + a_j + g_ij``, so a mean has the variance ``4 var(a) / n + 2 var(g) / (n (n - 1))``;
    both come from the sums of squares. With three seeds they cannot be told apart and all is put down to ``a``: that is
    the jackknife, which as a standard error is up to twice too large where two strategies do not differ.
    """
    total, least = 0.0, 0.0
    for values_NPG in strata_NPG:
        n = _seeds_of(values_NPG)
        i, j = np.triu_indices(n, k=1)
        deviations = values_NPG - values_NPG.mean(axis=1, keepdims=True)
        sums = np.stack([deviations[:, (i == seed) | (j == seed)].sum(axis=1) for seed in range(n)], axis=1)
        total = total + 4 * (sums**2).sum(axis=1) / (n * (n - 1) * (n - 2) ** 2)
        if n > 3:
            own = sums / (n - 2)
            rest = ((deviations - own[:, i] - own[:, j]) ** 2).sum(axis=1) / (n * (n - 3) / 2)
            total, least = total - 2 * rest / ((n - 1) * (n - 2)), least + 2 * rest / (n * (n - 1))
    return np.maximum(total, least) / len(strata_NPG) ** 2


def _seeds_of(values_NPG: np.ndarray) -> int:
    """How many seeds make this number of pairs."""
    return round((1 + math.sqrt(1 + 8 * values_NPG.shape[1])) / 2)


def log_ratio(
    above_NPC: Sequence[np.ndarray], below_NPC: Sequence[np.ndarray], clusters_C: np.ndarray | None = None
) -> Estimate:
    """Log of the ratio of two means over strata, pairs of seeds and clauses; one array for each stratum and side.

    The error is unknown with fewer than three seeds in a stratum: then leaving one out leaves no pair.
    """
    top_N, bottom_N = (np.mean([part.mean(axis=(1, 2)) for part in side], axis=0) for side in (above_NPC, below_NPC))
    with np.errstate(divide="ignore", invalid="ignore"):
        influence = [
            one / top_N[:, None, None] - other / bottom_N[:, None, None]
            for one, other in zip(above_NPC, below_NPC, strict=True)
        ]
        return _of_pairs(np.log(top_N / bottom_N), influence, clusters_C)


def _of_pairs(value_N: np.ndarray, influence_NPC: Sequence[np.ndarray], clusters_C: np.ndarray | None) -> Estimate:
    seeds = [_seeds_of(part) for part in influence_NPC]
    dof = sum(size - 1 for size in seeds) if min(seeds) > 2 else 0
    return two_way(value_N, influence_NPC, pairs_variance, dof, clusters_C)


def excess(pairs: Sequence[Pair], clusters_C: np.ndarray | None = None) -> Estimate:
    """Log of the mean squared distance between two strategies over that between seeds of one.

    ``share_of`` turns it into the strategy's share of the squared distance.
    """
    return log_ratio([pair.between() for pair in pairs], [pair.within() for pair in pairs], clusters_C)


def share_of(log_excess: np.ndarray | float) -> np.ndarray:
    """Share of the squared distance between runs of two strategies that is due to the strategy: ``1 - exp(-x)``.

    >>> float(share_of(np.log(1.25)).round(6))
    0.2
    """
    return -np.expm1(-np.asarray(log_excess))


def excess_test(pairs: Sequence[Pair], *, permutations: int, seed: int = 0) -> tuple[np.ndarray, float]:
    """One-sided p-value of the excess, the two runs of each seed swapping strategies; and the smallest it can be.

    The statistic is ``sum_ij s_i s_j M_ij`` over the seeds of each stratum, with signs s; swapping a whole stratum
    changes nothing.
    """
    total, sizes = 0.0, [pair.seeds for pair in pairs]
    signs_AB = swap_signs(sum(sizes), permutations=permutations, seed=seed)
    for pair, end in zip(pairs, np.cumsum(sizes), strict=True):
        s = pair.seeds
        mean = pair.d_NRRC.mean(axis=-1)
        cross = mean[:, :s, s:]
        m_NSS = cross + cross.transpose(0, 2, 1) - mean[:, :s, :s] - mean[:, s:, s:]
        m_NSS[:, range(s), range(s)] = 0.0
        signs = signs_AB[:, end - s : end].astype(float)
        total = total + np.einsum("as,nst,at->na", signs, m_NSS, signs, optimize=True) / (s * (s - 1))
    return count_reach(np.asarray(total)), max(2.0 ** -sum(size - 1 for size in sizes), 1 / len(signs_AB))


def spread_ratio(pairs: Sequence[Pair], clusters_C: np.ndarray | None = None) -> Estimate:
    """Log of how far seeds of strategy b are apart, over how far those of a are (root mean squares)."""
    found = log_ratio([pair.within(1) for pair in pairs], [pair.within(0) for pair in pairs], clusters_C)
    return Estimate(found.value / 2, found.error / 2, found.dof)


def spread_test(pairs: Sequence[Pair], *, permutations: int, seed: int = 0) -> tuple[np.ndarray, float]:
    """Two-sided p-value of ``spread_ratio``, the two runs of each seed swapping sides; and the smallest it can be."""
    sizes = [pair.seeds for pair in pairs]
    signs_AB = swap_signs(sum(sizes), permutations=permutations, seed=seed)
    sides: list = [0.0, 0.0]
    for pair, end in zip(pairs, np.cumsum(sizes), strict=True):
        s = pair.seeds
        mean = pair.d_NRRC.mean(axis=-1)
        first = signs_AB[:, end - s : end] > 0
        for side, own in enumerate((first, ~first)):
            member = np.concatenate([own, ~own], axis=1).astype(float)
            sums = np.einsum("ar,nrq,aq->na", member, mean, member, optimize=True)
            sides[side] = sides[side] + sums / (s * (s - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.abs(np.log(sides[1] / sides[0]))
    return count_reach(statistics), max(2.0 ** (1 - sum(sizes)), 1 / len(signs_AB))


def remaining_share(fewer: Sequence[Pair], whole: Sequence[Pair], clusters_C: np.ndarray | None = None) -> Estimate:
    """Squared distance between the strategies of ``fewer`` over that of ``whole``, with the same seeds in both.

    For example what is left of the distance from full fine-tuning once adapters train the embeddings too.
    """
    above, below = ([pair.between() - pair.within() for pair in side] for side in (fewer, whole))
    top_N, bottom_N = (np.mean([part.mean(axis=(1, 2)) for part in side], axis=0) for side in (above, below))
    value_N = top_N / bottom_N
    influence = [
        (one - value_N[:, None, None] * other) / bottom_N[:, None, None]
        for one, other in zip(above, below, strict=True)
    ]
    return _of_pairs(value_N, influence, clusters_C)
