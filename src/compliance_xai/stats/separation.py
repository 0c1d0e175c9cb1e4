"""Do attribution patterns of two strategies differ by more than two seeds of one strategy do?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.attribution.distances import DISTANCES
from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.frames import ALL_SCALES, groups
from compliance_xai.stats.resampling import bootstrap_ratio, combine_strata, draw_assignments

if TYPE_CHECKING:
    import pandas as pd


def compare_distances(
    distances: pd.DataFrame,
    measures: Sequence[str] = DISTANCES,
    *,
    by: Sequence[str] = VIEW,
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
        ``scale`` (each, and ``all``), ``by``..., ``measure`` (one of ``DISTANCES``), ``strategy_a, strategy_b,
        n_clauses, n_scales, within, between`` (mean distances), ``difference, ratio`` (between / within), ``ratio_low,
        ratio_high`` (95 % percentile bootstrap over clauses), ``p_run, p_run_smallest, p_clause`` (one-sided: further
        apart), ``reason``.
    """
    import pandas as pd

    need_columns(distances, ["scale", *by, "id", "strategy_a", "strategy_b", *measures], "compare_distances")
    columns = ("n_clauses", "n_scales", "within", "between", "difference", "ratio", "ratio_low", "ratio_high")
    columns = (*columns, "p_run", "p_run_smallest", "p_clause", "reason")
    records = []
    for keys, group in groups(distances, by):
        names = list(dict.fromkeys([*group["strategy_a"], *group["strategy_b"]]))
        for measure, (a, b) in itertools.product(measures, itertools.combinations(names, 2)):
            tensors = distance_tensors(group, measure, a, b)
            chosen = {scale: {scale: tensor} for scale, tensor in tensors.items()}
            for scale, part in ({ALL_SCALES: tensors} | chosen).items():
                record: dict[str, Any] = dict.fromkeys(columns, math.nan)
                record |= _test_pair(part, permutations, bootstrap, seed)
                pair = {"measure": measure, "strategy_a": a, "strategy_b": b}
                records.append({"scale": scale} | keys | pair | record)
    return pd.DataFrame.from_records(records, columns=["scale", *by, "measure", "strategy_a", "strategy_b", *columns])


class _Tensor:
    """Distances of one scale: clauses x runs x runs, the runs of the first strategy in front."""

    def __init__(self, ids: list[str], values: np.ndarray, sizes: tuple[int, int]) -> None:
        self.ids, self.values, self.sizes = ids, values, sizes


def distance_tensors(group: pd.DataFrame, measure: str, a: str, b: str) -> dict[str, _Tensor]:
    """Distances between the runs of two strategies, by clause: shape (clauses, runs, runs), for each scale."""
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
        values[i, left, right] = values[i, right, left] = part[measure].to_numpy()
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
    within = np.mean([within_tensors(v, s) for v, s in zip(values, sizes, strict=True)], axis=0)
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


def within_tensors(values_CRR: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
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
        columns.append(v[:, : sizes[0], sizes[0] :].mean(axis=(1, 2)) - within_tensors(v, sizes))
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
