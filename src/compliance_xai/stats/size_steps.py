"""How a measure changes with model size: step by step between neighbours, and a slope only where a line will do.

Models of one family (same data, tokenizer and design) make a line of sizes; models of different families never do.
Runs are paired by strategy and seed. What the untouched base does at the same sizes is shown beside: pre-training may
explain a change that looks like one of fine-tuning.
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.records import need_columns
from compliance_xai.stats.contrasts import NUMBERS, Choices, estimate
from compliance_xai.stats.estimates import count_reach
from compliance_xai.stats.frames import CONTROL, TRAINED, RunTable, cluster_array, groups, scale_order

TUNING = "trained less base"
STEP, WHOLE, SLOPE = "step", "whole range", "slope"
COLUMNS = ("n_clauses", "n_dropped", "n_runs", "mean_a", "mean_b", "change", *NUMBERS, "line_p", "reason")


def compare_sizes(
    frame: pd.DataFrame,
    measure: str,
    *,
    families: Mapping[str, str],
    by: Sequence[str] = (),
    pooled: Sequence[str] | None = None,
    clusters: Mapping[str, str] | None = None,
    left_out: Collection[tuple[str, str]] = (),
    permutations: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """Changes of a measure between sizes of one family.

    Parameters
    ----------
    frame
        ``by``..., ``scale, parameters, strategy, seed, id`` and the measure.
    families
        Scale -> family of models.
    pooled
        Strategies that make up ``trained`` (their mean); every one but the untouched base where None.
    clusters, left_out, permutations, seed
        As for ``stats.compare_strategies``; a cell that is left out does not count in ``trained``.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, family, strategy`` (each; ``trained``; and ``trained less base``, the change less that of
        the untouched base on the same clause), ``kind`` (``step`` between neighbours; ``whole range``; ``slope`` per
        factor of ten in parameters), ``a, b`` (the smaller and the larger scale), ``n_clauses, n_dropped, n_runs``,
        ``mean_a, mean_b, change`` (b - a; the slope), ``error, dof, low, high, p`` (t, for other clauses and other
        trainings), ``p_runs, p_runs_smallest`` (the runs of each strategy and seed change sizes), ``line_p`` (of
        slopes: does any step's slope differ from its neighbour's? Bonferroni; small: no line), ``reason``.
    """
    need_columns(frame, [*by, "scale", "parameters", "strategy", "seed", "id", measure], "compare_sizes")
    names = [name for name in frame["strategy"].unique() if name != CONTROL]
    members = {name: [name] for name in frame["strategy"].unique()}
    members[TRAINED] = [name for name in names if pooled is None or name in pooled]
    if CONTROL in members:
        members[TUNING] = members[TRAINED]
    records, order, choices = [], scale_order(frame), Choices(clusters, left_out, permutations, seed)
    for keys, group in groups(frame, by):
        table = RunTable(group, measure, "compare_sizes")
        here = set(group["scale"].unique())
        for family in dict.fromkeys(families[name] for name, _ in order if name in here):
            sizes = {name: float(np.log10(n)) for name, n in order if name in here and families[name] == family}
            for strategy, own in members.items():
                for kind, a, b, weights in _changes(sizes):
                    bad = {n for s, n in left_out if s in weights} if strategy in (TRAINED, TUNING) else set()
                    kept = [name for name in own if name not in bad]
                    record = _change(table, kept, strategy == TUNING, weights, choices)
                    if kind == SLOPE:
                        record |= {"mean_a": math.nan, "mean_b": math.nan}
                        record["line_p"] = _line_p(table, kept, strategy == TUNING, sizes, choices)
                    place = {"measure": measure, "family": family, "strategy": strategy, "kind": kind, "a": a, "b": b}
                    records.append(keys | place | record)
    columns = [*by, "measure", "family", "strategy", "kind", "a", "b", *COLUMNS]
    return pd.DataFrame.from_records(records, columns=columns)


def _changes(sizes: Mapping[str, float]) -> list[tuple[str, str, str, dict[str, float]]]:
    """Kind, smaller and larger scale, and the weight of each scale in the change.

    Between models of equal size there is no step, and with them no slope.
    """
    names = list(sizes)
    found = [(STEP, a, b, {a: -1.0, b: 1.0}) for a, b in itertools.pairwise(names) if sizes[a] != sizes[b]]
    if len(names) > 2 and len(set(sizes.values())) == len(names):
        found.append((WHOLE, names[0], names[-1], {names[0]: -1.0, names[-1]: 1.0}))
        centred = np.array(list(sizes.values())) - np.mean(list(sizes.values()))
        slope = dict(zip(names, (centred / (centred @ centred)).tolist(), strict=True))
        found.append((SLOPE, names[0], names[-1], slope))
    return found


def _gather(
    table: RunTable, members: Sequence[str], over_base: bool, scales: Sequence[str]
) -> tuple[list[np.ndarray], np.ndarray]:
    """For each strategy, values (seeds, scales, clauses) of the seeds that it has at every scale; the clauses kept."""
    runs = []
    for name in members:
        shared = set.intersection(*(set(table.seeds(name, scale)) for scale in scales))
        if shared:
            runs.append([(name, scale, seed) for seed in sorted(shared) for scale in scales])
    base = [(CONTROL, scale, seed) for scale in scales for seed in table.seeds(CONTROL, scale)[:1]]
    if not runs or (over_base and len(base) < len(scales)):
        return [], np.zeros(len(table.ids), dtype=bool)
    strata = [table.take(own).reshape(-1, len(scales), len(table.ids)) for own in runs]
    if over_base:
        strata = [values - table.take(base)[None] for values in strata]
    kept = ~np.any([np.isnan(values).any(axis=(0, 1)) for values in strata], axis=0)
    return [values[..., kept] for values in strata], kept


def _change(
    table: RunTable, members: Sequence[str], over_base: bool, weights: Mapping[str, float], choices: Choices
) -> dict[str, Any]:
    strata, kept = _gather(table, members, over_base, list(weights))
    if not strata:
        return {"n_runs": 0, "reason": "no strategy has models that count, with one seed, at all of these sizes"}
    result: dict[str, Any] = {"n_clauses": int(kept.sum()), "n_dropped": int((~kept).sum())}
    result["n_runs"] = sum(map(len, strata))
    if kept.sum() < 2:
        return result | {"reason": "fewer than two clauses with a defined value in every run"}
    weight_K = np.array(list(weights.values()))
    changes = [np.einsum("bkc,k->bc", values, weight_K)[None] for values in strata]
    means = np.mean([values.mean(axis=(0, 2)) for values in strata], axis=0)
    result |= {"mean_a": float(means[0]), "mean_b": float(means[-1])}
    result |= estimate(changes, cluster_array(table.ids, kept, choices.clusters), "change")
    if result["reason"]:
        return result
    means = [values.mean(axis=-1) for values in strata]
    p, smallest = order_test(means, weight_K, choices.permutations, choices.seed)
    return result | {"p_runs": p, "p_runs_smallest": smallest}


def order_test(
    strata_BK: Sequence[np.ndarray], weight_K: np.ndarray, permutations: int, seed: int
) -> tuple[float, float]:
    """Two-sided p-value of a weighted sum over sizes, the runs changing sizes; and the least that it can be.

    The runs of each strategy and seed take all orders where there are at most ``permutations``, else that many drawn at
    random. Orders that only exchange sizes of equal weight are one order.
    """
    values_BK = np.concatenate([values / len(values) for values in strata_BK])
    orders = np.array(list(itertools.permutations(range(len(weight_K)))))
    _, first = np.unique(weight_K[orders.argsort(axis=1)], axis=0, return_index=True)
    orders = orders[np.sort(first)]
    ways = len(orders) ** len(values_BK)
    sums_BO = (values_BK[:, orders] * weight_K).sum(axis=-1)  # what each block would add in each order
    if ways <= permutations:
        total = np.zeros(1)
        for sums in sums_BO:
            total = (total[:, None] + sums[None]).ravel()
    else:
        drawn = np.random.default_rng(seed).integers(len(orders), size=(permutations, len(values_BK)))
        total = sums_BO[np.arange(len(values_BK)), drawn].sum(axis=1)
        total = np.concatenate([[sums_BO[:, 0].sum()], total])
    return float(count_reach(np.abs(total)[None])[0]), max(2 / ways, 1 / len(total))


def _line_p(
    table: RunTable, members: Sequence[str], over_base: bool, sizes: Mapping[str, float], choices: Choices
) -> float:
    """Smallest p-value of a change of slope from one step to the next, times their number; NaN where unknown."""
    strata, kept = _gather(table, members, over_base, list(sizes))
    if not strata or kept.sum() < 2 or min(map(len, strata)) < 2:
        return math.nan
    x_K = np.array(list(sizes.values()))
    slopes = [np.diff(values, axis=1) / np.diff(x_K)[:, None] for values in strata]
    bends = [np.diff(values, axis=1) for values in slopes]
    groups_C = cluster_array(table.ids, kept, choices.clusters)
    found = [estimate([v[None, :, bend] for v in bends], groups_C, "bend")["p"] for bend in range(len(x_K) - 2)]
    return min(1.0, len(found) * min(found))
