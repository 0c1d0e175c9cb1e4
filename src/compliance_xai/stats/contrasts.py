"""Differences between strategies in one measure, clause by clause and run by run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.estimates import Estimate, paired_difference, swap_test
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, RunTable, as_names, groups

NO_SIZE = "no model size at which both strategies have a model that counts"
ONE_SEED = "a single seed: the interval is for other clauses, not for other trainings"
NUMBERS = ("error", "dof", "low", "high", "p", "p_runs", "p_runs_smallest")
COLUMNS = ("n_clauses", "n_dropped", "n_scales", "n_runs", "mean_a", "mean_b", "difference", *NUMBERS, "reason")


def compare_strategies(
    frame: pd.DataFrame,
    measures: str | Sequence[str],
    *,
    by: Sequence[str] = VIEW,
    clusters: Mapping[str, str] | None = None,
    left_out: Collection[tuple[str, str]] = (),
    permutations: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """The difference between every two strategies, at each model size and over all sizes that both have.

    Runs are paired by seed, since trainings with one seed share the order of their data. The untouched base is the
    same for every seed; against it there is an interval and no test.

    Parameters
    ----------
    frame
        ``by``..., ``scale, strategy, seed, id`` and the measures.
    clusters
        Clause id -> document, where clauses come from few documents; each clause is drawn by itself where None.
    left_out
        Cells (scale, strategy) that do not count when sizes are taken together.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``scale`` (each, and ``all``: the mean over sizes), ``measure, strategy_a, strategy_b``, ``n_clauses,
        n_dropped`` (with an undefined value in some run), ``n_scales, n_runs`` (pairs of runs), ``mean_a, mean_b,
        difference`` (a - b), ``error, dof, low, high`` (95 % interval for other clauses and other trainings, see
        ``stats.estimates``), ``p`` (two-sided t test of it), ``p_runs`` (two-sided, exact: the runs of each seed swap
        strategies; for these clauses), ``p_runs_smallest`` (the least that this many runs can give), ``reason`` (why a
        number is missing, else empty).
    """
    names = as_names(measures)
    need_columns(frame, [*by, "scale", "strategy", "seed", "id", *names], "compare_strategies")
    records = []
    for name in names:
        for keys, group in groups(frame, by):
            table = RunTable(group, name, "compare_strategies")
            scales = list(group["scale"].unique())
            for a, b in itertools.combinations(group["strategy"].unique(), 2):
                shared = [scale for scale in scales if table.seeds(a, scale) and table.seeds(b, scale)]
                for label, chosen in size_choices(shared, a, b, left_out).items():
                    record: dict[str, Any] = dict.fromkeys(COLUMNS, math.nan)
                    record |= _compare(table, a, b, chosen, clusters, permutations, seed)
                    records.append(keys | {"scale": label, "measure": name, "strategy_a": a, "strategy_b": b} | record)
    columns = [*by, "scale", "measure", "strategy_a", "strategy_b", *COLUMNS]
    return pd.DataFrame.from_records(records, columns=columns)


def size_choices(scales: Sequence[str], a: str, b: str, left_out: Collection[tuple[str, str]]) -> dict[str, list[str]]:
    """The sizes that are taken together, under ``all``, and each by itself."""
    counted = [scale for scale in scales if not {(scale, a), (scale, b)} & set(left_out)]
    return {ALL_SCALES: counted, **{scale: [scale] for scale in scales}}


def shared_seeds(table: RunTable, a: str, b: str, scale: str) -> list[tuple[int, int]]:
    """Pairs of seeds of two cells of one size: the same on both sides, or the untouched base with every one."""
    first, second = (table.seeds(name, scale) for name in (a, b))
    if a == CONTROL:
        return [(first[0], run) for run in second]
    if b == CONTROL:
        return [(run, second[0]) for run in first]
    return [(run, run) for run in first if run in second]


def _compare(
    table: RunTable,
    a: str,
    b: str,
    scales: Sequence[str],
    clusters: Mapping[str, str] | None,
    permutations: int,
    seed: int,
) -> dict[str, Any]:
    pairs = {scale: shared_seeds(table, a, b, scale) for scale in scales}
    if not pairs:
        return {"n_scales": 0, "reason": NO_SIZE}
    if not all(pairs.values()):
        return {"n_scales": len(scales), "reason": "no seed that both strategies were trained with"}
    sides = [[(name, scale, run[side]) for scale in scales for run in pairs[scale]] for side, name in ((0, a), (1, b))]
    values_a, values_b = (table.take(side) for side in sides)
    kept = np.asarray(~np.isnan(values_a + values_b).any(axis=0))
    result: dict[str, Any] = {"n_clauses": int(kept.sum()), "n_dropped": int((~kept).sum()), "n_scales": len(scales)}
    result |= {"n_runs": len(sides[0]), "reason": ""}
    if kept.sum() < 2:
        return result | {"reason": "fewer than two clauses with a defined value in every run"}
    values_a, values_b = values_a[:, kept], values_b[:, kept]
    ends = np.cumsum([len(runs) for runs in pairs.values()])[:-1]
    strata = [part[None] for part in np.split(values_a - values_b, ends)]
    single = min(part.shape[1] for part in strata) < 2
    found = paired_difference(strata, table.clusters(kept, clusters), trainings=not single)
    result |= {"mean_a": float(values_a.mean()), "mean_b": float(values_b.mean())} | describe(found, "difference")
    if single:
        return result | {"reason": ONE_SEED}
    if CONTROL in (a, b):
        return result
    p, smallest = swap_test([part.mean(axis=-1) for part in strata], permutations=permutations, seed=seed)
    return result | {"p_runs": float(p[0]), "p_runs_smallest": smallest}


def describe(found: Estimate, name: str = "value") -> dict[str, float]:
    """A single study's estimate as cells of a table: ``name``, ``error, dof, low, high, p``."""
    low, high = found.interval()
    above = found.confidence_above(0.0)
    numbers = (found.value, found.error, found.dof, low, high, 2 * np.minimum(above, 1 - above))
    return dict(zip((name, "error", "dof", "low", "high", "p"), (float(part[0]) for part in numbers), strict=True))
