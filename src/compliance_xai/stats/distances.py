"""Do attribution patterns of two strategies differ by more than two seeds of one strategy do?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.errors import InputError
from compliance_xai.stats.frames import ALL_SCALES, groups, need_columns
from compliance_xai.stats.resampling import bootstrap_ratio, combine_strata, draw_assignments

if TYPE_CHECKING:
    import pandas as pd


def jensen_shannon(p_NF: np.ndarray, q_NF: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance of distributions, row by row: from 0 (the same) to 1 (disjoint).

    Square root of the base-2 divergence, ``sqrt((KL(p || m) + KL(q || m)) / 2)`` with ``m = (p + q) / 2``
    (Lin 1991; a metric: Endres and Schindelin 2003). NaN where a row is NaN. The same numbers as
    ``scipy.spatial.distance.jensenshannon(base=2)``, but never the root of a rounding error below zero.

    Examples
    --------
    >>> jensen_shannon(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[0.0, 1.0], [0.5, 0.5]])).tolist()
    [1.0, 0.0]
    """
    from scipy.special import rel_entr

    middle = (p_NF + q_NF) / 2
    divergence = (rel_entr(p_NF, middle) + rel_entr(q_NF, middle)).sum(axis=-1) / (2 * math.log(2))
    return np.sqrt(np.clip(divergence, 0.0, 1.0))


def distance_frame(masses: pd.DataFrame) -> pd.DataFrame:
    """Distances between all pairs of runs of one scale, clause by clause.

    Parameters
    ----------
    masses
        ``focus.mass_frame`` with ``scale`` and ``strategy``.

    Returns
    -------
    pandas.DataFrame
        One row per clause and pair of runs: ``scale, baseline, sign, id, strategy_a, seed_a, strategy_b, seed_b, pair``
        (``within`` one strategy, or ``between`` two), ``jensen_shannon`` (0 to 1; NaN where a run has no mass there).
    """
    import pandas as pd

    by = ["scale", "baseline", "sign", "id"]
    need_columns(masses, [*by, "strategy", "seed", "feature", "share"], "distance_frame")
    order = {name: index for index, name in enumerate(dict.fromkeys(masses["strategy"]))}
    ordered = masses.assign(
        place=masses.groupby(by, sort=False, observed=True).ngroup(), rank=masses["strategy"].map(order)
    ).sort_values(["place", "rank", "seed", "feature"], kind="stable")
    parts = [_clause_distances(block, by) for _, block in ordered.groupby("place", sort=False)]
    columns = [*by, "strategy_a", "seed_a", "strategy_b", "seed_b", "pair", "jensen_shannon"]
    if not parts:
        return pd.DataFrame(columns=pd.Index(columns))
    frame = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    frame["pair"] = np.where(frame["strategy_a"] == frame["strategy_b"], "within", "between")
    return frame[columns]


def _clause_distances(block: pd.DataFrame, by: list[str]) -> dict[str, np.ndarray]:
    """All pairs of runs of one clause; ``block`` is sorted by run, then by feature."""
    n_features = block["feature"].nunique()
    features = block["feature"].to_numpy()
    if len(block) % n_features or (features.reshape(-1, n_features) != features[:n_features]).any():
        where = ", ".join(f"{name} {block[name].iloc[0]}" for name in by)
        raise InputError(
            f"distance_frame, {where}",
            expected="the same features in every run, each once",
            found=f"{len(block)} rows for {n_features} features",
            remedy="Attribute the same clauses with the same unit in every cell, and join each cell once.",
        )
    share = block["share"].to_numpy().reshape(-1, n_features)
    strategy, seed = (block[name].to_numpy()[::n_features] for name in ("strategy", "seed"))
    left, right = np.triu_indices(len(share), k=1)
    keys = {name: np.full(len(left), block[name].iloc[0], dtype=object) for name in by}
    return keys | {
        "strategy_a": strategy[left],
        "seed_a": seed[left],
        "strategy_b": strategy[right],
        "seed_b": seed[right],
        "jensen_shannon": jensen_shannon(share[left], share[right]),
    }


def compare_distances(
    distances: pd.DataFrame,
    *,
    by: Sequence[str] = ("baseline", "sign"),
    permutations: int = 5000,
    bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Test whether runs of two strategies lie further apart than runs of one, above the noise floor of seeds.

    The statistic is the mean distance between strategies minus the mean distance within them, averaged over clauses and
    scales (as in the energy test of Szekely and Rizzo 2004, with the Jensen-Shannon distance). Two permutations:

    - ``p_run``: whole runs change strategy, scale by scale; respects that all clauses of a run share one training.
      With two
      seeds on each side one scale offers 3 arrangements, three scales 27: ``p_run_smallest`` says what can be reached.
    - ``p_clause``: labels are permuted inside each clause on its own; conditional on the trained runs, so it says that
      these
      runs differ, not that the strategies do.

    Returns
    -------
    pandas.DataFrame
        ``scale`` (each, and ``all``), ``by``..., ``strategy_a, strategy_b, n_clauses, n_scales, within, between`` (mean
        distances), ``difference, ratio`` (between / within), ``ratio_low, ratio_high`` (95 % percentile bootstrap over
        clauses), ``p_run, p_run_smallest, p_clause`` (one-sided: further apart), ``reason``.
    """
    import pandas as pd

    need_columns(distances, ["scale", *by, "id", "strategy_a", "strategy_b", "jensen_shannon"], "compare_distances")
    columns = ("n_clauses", "n_scales", "within", "between", "difference", "ratio", "ratio_low", "ratio_high")
    columns = (*columns, "p_run", "p_run_smallest", "p_clause", "reason")
    records = []
    for keys, group in groups(distances, by):
        names = list(dict.fromkeys([*group["strategy_a"], *group["strategy_b"]]))
        for a, b in itertools.combinations(names, 2):
            tensors = _distance_tensors(group, a, b)
            chosen = {scale: {scale: tensor} for scale, tensor in tensors.items()}
            for scale, part in ({ALL_SCALES: tensors} | chosen).items():
                record: dict[str, Any] = dict.fromkeys(columns, math.nan)
                record |= _test_pair(part, permutations, bootstrap, seed)
                records.append({"scale": scale} | keys | {"strategy_a": a, "strategy_b": b} | record)
    return pd.DataFrame.from_records(records, columns=["scale", *by, "strategy_a", "strategy_b", *columns])


class _Tensor:
    """Distances of one scale: clauses x runs x runs, the runs of the first strategy in front."""

    def __init__(self, ids: list[str], values: np.ndarray, sizes: tuple[int, int]) -> None:
        self.ids, self.values, self.sizes = ids, values, sizes


def _distance_tensors(group: pd.DataFrame, a: str, b: str) -> dict[str, _Tensor]:
    chosen = group[group["strategy_a"].isin([a, b]) & group["strategy_b"].isin([a, b])]
    tensors = {}
    for keys, part in groups(chosen, ["scale"]):
        runs = {(s, int(r)) for s, r in zip(part["strategy_a"], part["seed_a"], strict=True)}
        runs |= {(s, int(r)) for s, r in zip(part["strategy_b"], part["seed_b"], strict=True)}
        ordered = sorted(run for run in runs if run[0] == a) + sorted(run for run in runs if run[0] == b)
        sizes = (sum(run[0] == a for run in ordered), sum(run[0] == b for run in ordered))
        if min(sizes) == 0:
            continue
        position = {run: index for index, run in enumerate(ordered)}
        ids = sorted(set(part["id"]))
        row = {name: index for index, name in enumerate(ids)}
        values = np.full((len(ids), len(ordered), len(ordered)), np.nan)
        values[:, range(len(ordered)), range(len(ordered))] = 0.0
        i = part["id"].map(row).to_numpy()
        left = [position[s, int(r)] for s, r in zip(part["strategy_a"], part["seed_a"], strict=True)]
        right = [position[s, int(r)] for s, r in zip(part["strategy_b"], part["seed_b"], strict=True)]
        values[i, left, right] = values[i, right, left] = part["jensen_shannon"].to_numpy()
        tensors[keys["scale"]] = _Tensor(ids, values, sizes)
    return tensors


def _test_pair(tensors: dict[str, _Tensor], permutations: int, bootstrap: int, seed: int) -> dict[str, Any]:
    if not tensors:
        return {"n_scales": 0, "reason": "the two strategies share no scale"}
    complete = [
        {name for name, values in zip(t.ids, t.values, strict=True) if not np.isnan(values).any()}
        for t in tensors.values()
    ]
    kept = sorted(set.intersection(*complete))
    result: dict[str, Any] = {"n_clauses": len(kept), "n_scales": len(tensors), "reason": ""}
    if not kept:
        return result | {"reason": "no clause has mass in every run"}
    values = [t.values[[t.ids.index(name) for name in kept]] for t in tensors.values()]
    sizes = [t.sizes for t in tensors.values()]
    between = np.mean([v[:, : s[0], s[0] :].mean(axis=(1, 2)) for v, s in zip(values, sizes, strict=True)], axis=0)
    result["between"] = float(between.mean())
    if any(sum(size) < 3 for size in sizes):
        return result | {"reason": "a single seed of each strategy: no distance within a strategy to compare with"}
    within = np.mean([_within(v, s) for v, s in zip(values, sizes, strict=True)], axis=0)
    ratio, low, high = bootstrap_ratio(between, within, n_resamples=bootstrap, seed=seed)
    result |= {"within": float(within.mean()), "difference": float((between - within).mean())}
    result |= {"ratio": ratio, "ratio_low": low, "ratio_high": high}
    by_label = [_by_assignment(v, s, permutations, seed) for v, s in zip(values, sizes, strict=True)]
    p_run, smallest = combine_strata([table.mean(axis=0) for table in by_label], permutations=permutations, seed=seed)
    result |= {"p_run": p_run, "p_run_smallest": smallest, "p_clause": _permute_clauses(by_label, permutations, seed)}
    if not within.mean() > 0:
        result["reason"] = "seeds of one strategy give identical attributions: no noise floor to compare with"
    elif min(min(size) for size in sizes) < 2:
        result["reason"] = "a single seed of one strategy: the noise floor comes from the other alone"
    return result


def _within(values_CRR: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Mean distance inside each strategy with two or more runs, averaged over strategies, per clause."""
    parts = []
    for start, size in ((0, sizes[0]), (sizes[0], sizes[1])):
        if size > 1:
            block = values_CRR[:, start : start + size, start : start + size]
            parts.append(block.sum(axis=(1, 2)) / (size * (size - 1)))
    return np.mean(parts, axis=0)


def _by_assignment(values_CRR: np.ndarray, sizes: tuple[int, int], permutations: int, seed: int) -> np.ndarray:
    """Between minus within under every assignment of runs to strategies: clauses x assignments, observed first."""
    labels = draw_assignments(sizes, permutations=permutations, seed=seed)
    columns = []
    for row in labels:
        order = np.argsort(row, kind="stable")
        v = values_CRR[:, order][:, :, order]
        columns.append(v[:, : sizes[0], sizes[0] :].mean(axis=(1, 2)) - _within(v, sizes))
    return np.stack(columns, axis=1)


def _permute_clauses(by_label: list[np.ndarray], permutations: int, seed: int) -> float:
    """Each clause of each scale draws its own assignment; the observed arrangement counts as one."""
    rng = np.random.default_rng(seed)
    observed = float(sum(table[:, 0].mean() for table in by_label))
    drawn = np.zeros(permutations)
    for table in by_label:
        for values in table:
            drawn += rng.choice(values, size=permutations) / len(table)
    return float((1 + (drawn >= observed - 1e-12).sum()) / (permutations + 1))
