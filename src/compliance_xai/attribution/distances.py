"""How far apart the attribution patterns of two runs are: three distances, for every pair of runs."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import rel_entr
from scipy.stats import rankdata

from compliance_xai.records import VIEW, need_columns

PERSISTENCE = 0.9
"""Of rank-biased overlap: the ten heaviest features carry 86 % of the weight (Webber et al. 2010, equation 21)."""


def jensen_shannon(p_NF: np.ndarray, q_NF: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance of distributions, row by row: from 0 (the same) to 1 (disjoint).

    Square root of the base-2 divergence, ``sqrt((KL(p || m) + KL(q || m)) / 2)`` with ``m = (p + q) / 2``
    (Lin 1991; a metric: Endres and Schindelin 2003). NaN where a row is NaN. The same numbers as
    ``scipy.spatial.distance.jensenshannon(base=2)``, but never the root of a rounding error below zero.

    >>> jensen_shannon(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[0.0, 1.0], [0.5, 0.5]])).tolist()
    [1.0, 0.0]
    """
    middle = (p_NF + q_NF) / 2
    divergence = (rel_entr(p_NF, middle) + rel_entr(q_NF, middle)).sum(axis=-1) / (2 * math.log(2))
    return np.sqrt(np.clip(divergence, 0.0, 1.0))


def spearman_distance(p_NF: np.ndarray, q_NF: np.ndarray) -> np.ndarray:
    """One minus Spearman's rank correlation, row by row: 0 (the same order) to 2 (reversed); ties share their rank.

    NaN where a row is NaN or gives all features the same mass. The same numbers as ``1 - scipy.stats.spearmanr``.

    >>> spearman_distance(np.array([[0.5, 0.3, 0.2]]), np.array([[0.2, 0.3, 0.5]])).tolist()
    [2.0]
    """
    ranks = [rankdata(values, axis=-1) for values in (p_NF, q_NF)]
    a, b = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    scale = np.where(np.isnan(p_NF).any(axis=-1) | np.isnan(q_NF).any(axis=-1), np.nan, scale)
    return 1 - np.divide((a * b).sum(axis=-1), scale, out=np.full(len(scale), np.nan), where=scale > 0)


def rank_biased_distance(p_NF: np.ndarray, q_NF: np.ndarray, *, persistence: float = PERSISTENCE) -> np.ndarray:
    """One minus extrapolated rank-biased overlap, row by row: 0 (the same order) to 1.

    ``RBO = A_n p^n + (1 - p) / p sum_d A_d p^d`` over depths ``d = 1 .. n``, with ``A_d`` the agreement of the two sets
    of features down to depth d (Webber, Moffat and Zobel 2010, equation 32 for lists of one length). Tied features
    enter together, and ``A_d = 2 |S & T| / (|S| + |T|)`` (their section 4.5). NaN where a row is NaN.

    >>> rank_biased_distance(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])).round(6).tolist()
    [0.045]
    """
    n = p_NF.shape[-1]
    a, b = (rankdata(-np.nan_to_num(values), method="min", axis=-1) for values in (p_NF, q_NF))
    total = np.zeros(len(p_NF))
    for depth in range(1, n + 1):
        inside_a, inside_b = a <= depth, b <= depth
        agreement = 2 * (inside_a & inside_b).sum(axis=-1) / (inside_a.sum(axis=-1) + inside_b.sum(axis=-1))
        total += agreement * persistence**depth * ((1 - persistence) / persistence + (depth == n))
    defined = ~(np.isnan(p_NF).any(axis=-1) | np.isnan(q_NF).any(axis=-1))
    return np.where(defined, np.clip(1 - total, 0.0, 1.0), np.nan)


DISTANCES = {
    "jensen_shannon": jensen_shannon,
    "spearman": spearman_distance,
    "rank_biased_overlap": rank_biased_distance,
}
"""Each 0 for the same pattern: of the shares, of all ranks, and of ranks with the heaviest features counting most."""


def all_distances(p_NF: np.ndarray, q_NF: np.ndarray) -> dict[str, np.ndarray]:
    """``DISTANCES`` of patterns, row by row."""
    return {name: distance(p_NF, q_NF) for name, distance in DISTANCES.items()}


def distance_frame(masses: pd.DataFrame) -> pd.DataFrame:
    """Distances between all pairs of runs of one scale, clause by clause.

    ``masses``: ``focus.share_frame`` with ``scale`` and ``strategy``.

    One row per clause and pair of runs: ``scale, method, baseline, sign, id, strategy_a, seed_a, strategy_b, seed_b``,
    ``DISTANCES`` (NaN where a run has no mass there), ``pair`` (``within`` one strategy, or ``between`` two).
    """
    frame = pair_distances(masses, ["scale", *VIEW, "id"], ["strategy", "seed"])
    frame["pair"] = np.where(frame["strategy_a"] == frame["strategy_b"], "within", "between")
    return frame


def pair_distances(masses: pd.DataFrame, by: Sequence[str], apart: Sequence[str]) -> pd.DataFrame:
    """Distances between all patterns that agree in ``by`` (which names the clause) and differ in ``apart``.

    Columns: ``by``..., each of ``apart`` with ``_a`` and ``_b``, ``DISTANCES``.
    """
    need_columns(masses, [*by, *apart, "feature", "share"], "distances")
    names = dict.fromkeys(masses[apart[0]])
    order = {name: index for index, name in enumerate(names)}
    ordered = masses.assign(
        place=masses.groupby(list(by), sort=False, observed=True).ngroup(), rank=masses[apart[0]].map(order)
    ).sort_values(["place", "rank", *apart[1:], "feature"], kind="stable")
    blocks = (block for _, block in ordered.groupby("place", sort=False)) if len(names) > 1 or len(apart) > 1 else ()
    parts = [_clause_distances(block, by, apart) for block in blocks]
    columns = [*by, *(f"{name}_{side}" for side in "ab" for name in apart), *DISTANCES]
    if not parts:
        return pd.DataFrame(columns=pd.Index(columns))
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in columns})


def _clause_distances(block: pd.DataFrame, by: Sequence[str], apart: Sequence[str]) -> dict[str, np.ndarray]:
    """All pairs of patterns of one clause; ``block`` is sorted by pattern, then by feature, the same in all."""
    n_features = block["feature"].nunique()
    share = block["share"].to_numpy(dtype=np.float64).reshape(-1, n_features)
    left, right = np.triu_indices(len(share), k=1)
    keys = {name: np.full(len(left), block[name].iloc[0], dtype=object) for name in by}
    for name in apart:
        values = block[name].to_numpy()[::n_features]
        keys |= {f"{name}_a": values[left], f"{name}_b": values[right]}
    return keys | all_distances(share[left], share[right])
