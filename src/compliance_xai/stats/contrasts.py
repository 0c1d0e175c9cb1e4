"""Differences between strategies in one measure, clause by clause and run by run; what remains at equal confidence.

A model that is unsure of everything looks unfocused, and how sure a model is depends on its strategy. So a difference
between strategies has a *total* effect (as measured), which is what a claim speaks of, and a *direct* one, at equal
confidence, which is shown beside it.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.estimates import Estimate, paired_difference, swap_test
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, RunTable, cluster_array, groups

NO_SIZE = "no model size at which both strategies have a model that counts"
ONE_SEED = "a single seed: the interval is for other clauses, not for other trainings"
NUMBERS = ("error", "dof", "low", "high", "p", "p_runs", "p_runs_smallest")
COLUMNS = ("n_clauses", "n_dropped", "n_scales", "n_runs", "mean_a", "mean_b", "difference", *NUMBERS, "reason")


@dataclass(frozen=True)
class Choices:
    """What the comparisons of one table share; the fields are the parameters of ``compare_strategies``."""

    clusters: Mapping[str, str] | None
    left_out: Collection[tuple[str, str]]
    permutations: int
    seed: int


def compare_strategies(
    frame: pd.DataFrame,
    measure: str,
    *,
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
        ``VIEW``..., ``scale, strategy, seed, id`` and the measure.
    clusters
        Clause id -> document, where clauses come from few documents; each clause is drawn by itself where None.
    left_out
        Cells (scale, strategy) that do not count when sizes are taken together.

    Returns
    -------
    pandas.DataFrame
        ``VIEW``..., ``scale`` (each, and ``all``: the mean over sizes), ``measure, strategy_a, strategy_b, n_clauses,
        n_dropped`` (with an undefined value in some run), ``n_scales, n_runs`` (pairs of runs), ``mean_a, mean_b,
        difference`` (a - b), ``error, dof, low, high`` (95 % interval for other clauses and other trainings, see
        ``stats.estimates``), ``p`` (two-sided t test of it), ``p_runs`` (two-sided, exact: the runs of each seed swap
        strategies; for these clauses), ``p_runs_smallest`` (the least that this many runs can give), ``reason`` (why a
        number is missing, else empty).
    """
    need_columns(frame, [*VIEW, "scale", "strategy", "seed", "id", measure], "compare_strategies")
    records, choices = [], Choices(clusters, left_out, permutations, seed)
    for keys, group in groups(frame, VIEW):
        table = RunTable(group, measure, "compare_strategies")
        scales = list(group["scale"].unique())
        for a, b in itertools.combinations(group["strategy"].unique(), 2):
            shared = [scale for scale in scales if table.seeds(a, scale) and table.seeds(b, scale)]
            for label, chosen in size_choices(shared, a, b, left_out).items():
                place = {"scale": label, "measure": measure, "strategy_a": a, "strategy_b": b}
                records.append(keys | place | _compare(table, a, b, chosen, choices))
    columns = [*VIEW, "scale", "measure", "strategy_a", "strategy_b", *COLUMNS]
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


def _compare(table: RunTable, a: str, b: str, scales: Sequence[str], choices: Choices) -> dict[str, Any]:
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
    result |= {"mean_a": float(values_a.mean()), "mean_b": float(values_b.mean())}
    result |= estimate(strata, cluster_array(table.ids, kept, choices.clusters), "difference")
    if result["reason"] or CONTROL in (a, b):
        return result
    means = [part.mean(axis=-1) for part in strata]
    p, smallest = swap_test(means, permutations=choices.permutations, seed=choices.seed)
    return result | {"p_runs": float(p[0]), "p_runs_smallest": smallest}


def estimate(strata_NBC: Sequence[np.ndarray], clusters_C: np.ndarray | None, name: str) -> dict[str, Any]:
    """``describe`` a study's ``paired_difference``; with a single seed for other clauses alone, which is the reason."""
    single = min(part.shape[1] for part in strata_NBC) < 2
    found = paired_difference(strata_NBC, clusters_C, trainings=not single)
    return describe(found, name) | {"reason": ONE_SEED if single else ""}


def describe(found: Estimate, name: str = "value") -> dict[str, float]:
    """A single study's estimate as cells of a table: ``name``, ``error, dof, low, high, p``."""
    low, high = found.interval()
    above = found.confidence_above(0.0)
    numbers = (found.value, found.error, found.dof, low, high, 2 * np.minimum(above, 1 - above))
    return dict(zip((name, "error", "dof", "low", "high", "p"), (float(part[0]) for part in numbers), strict=True))


STRATA = ("short clauses", "medium clauses", "long clauses")
ADJUSTED = {
    "equal total mass": ("mass",),
    "equal log-probability": ("log_prob",),
    "equal mass and log-probability": ("mass", "log_prob"),
}
DIRECT = "equal mass and log-probability"
"""The control that the direct effect holds equal."""
CONTROLS = ("as measured", *ADJUSTED, *STRATA)
"""What is held equal, or which third of the clauses by number of words is looked at."""

_COLUMNS = ("n_clauses", "n_runs", "n_near", "estimate", "error", "dof", "low", "high", "p", "reason")


def controls_table(
    frame: pd.DataFrame,
    measure: str,
    *,
    clusters: Mapping[str, str] | None = None,
    left_out: Collection[tuple[str, str]] = (),
) -> pd.DataFrame:
    """The difference between two trained strategies, over all sizes, under each of ``CONTROLS``.

    The paired difference of the measure (same clause, size and seed) is regressed on the paired differences of log
    total mass and of log-probability per target token; the intercept is the difference that is left where those are
    equal (analysis of covariance within pairs). Where two strategies never come near equality this extrapolates:
    ``n_near`` says for how many pairs the covariates differ by no more than their spread.

    ``frame``: ``VIEW``..., ``scale, strategy, seed, id, n_features, n_target_tokens, baseline_log_prob, total_mass``
    and the measure. ``clusters``, ``left_out``: as for ``stats.compare_strategies``.

    Columns: ``VIEW``..., ``measure, strategy_a, strategy_b, control, n_clauses, n_runs, n_near`` (pairs), ``estimate``
    (a - b), ``error, dof, low, high`` (95 %, for other clauses and other trainings), ``p`` (two-sided), ``reason``.
    """
    columns = [*VIEW, "scale", "strategy", "seed", "id", "n_features", "n_target_tokens", "baseline_log_prob"]
    need_columns(frame, [*columns, "total_mass", measure], "controls_table")
    values = frame.assign(
        mass=np.log(frame["total_mass"].where(frame["total_mass"] > 0)),
        log_prob=frame["baseline_log_prob"] / frame["n_target_tokens"],
    )
    records = []
    for keys, group in groups(values[values["strategy"] != CONTROL], VIEW):
        tables = {name: RunTable(group, name, "controls_table") for name in (measure, "mass", "log_prob")}
        words = group.groupby("id")["n_features"].first()
        for a, b in itertools.combinations(group["strategy"].unique(), 2):
            scales = size_choices(list(group["scale"].unique()), a, b, left_out)[ALL_SCALES]
            strata = _paired(tables, a, b, scales)
            for control in CONTROLS:
                place = {"measure": measure, "strategy_a": a, "strategy_b": b, "control": control}
                records.append(keys | place | _control(strata, tables[measure], words, control, clusters))
    columns = [*VIEW, "measure", "strategy_a", "strategy_b", "control", *_COLUMNS]
    return pd.DataFrame.from_records(records, columns=columns)


Strata = list[dict[str, np.ndarray]]
"""For each size, the paired differences of the measure (first) and the covariates: pairs of runs x clauses."""


def _paired(tables: Mapping[str, RunTable], a: str, b: str, scales: Sequence[str]) -> Strata:
    strata = []
    for scale in scales:
        runs = shared_seeds(next(iter(tables.values())), a, b, scale)
        if runs:
            sides = [[(name, scale, run[side]) for run in runs] for side, name in ((0, a), (1, b))]
            strata.append({name: table.take(sides[0]) - table.take(sides[1]) for name, table in tables.items()})
    return strata


def _control(
    strata: Strata, table: RunTable, words: pd.Series, control: str, clusters: Mapping[str, str] | None
) -> dict[str, Any]:
    if not strata:
        return {"n_clauses": 0, "reason": "no seed that both strategies were trained with"}
    kept = ~np.any([np.isnan(values).any(axis=0) for stratum in strata for values in stratum.values()], axis=0)
    if control in STRATA:
        # Thirds by rank, so that many clauses of one length still make three groups of one size.
        rank = np.argsort(np.argsort(words.reindex(table.ids).to_numpy()[kept], kind="stable"))
        kept[kept] = rank * len(STRATA) // max(1, len(rank)) == STRATA.index(control)
    measures = [next(iter(stratum.values()))[:, kept] for stratum in strata]
    result: dict[str, Any] = {"n_clauses": int(kept.sum()), "n_runs": sum(map(len, measures))}
    if kept.sum() < 2:
        return result | {"reason": "fewer than two clauses with defined values"}
    result["n_near"] = sum(part.size for part in measures)
    names = ADJUSTED.get(control, ())
    if names:
        adjusted = _adjust(measures, [np.stack([own[name][:, kept] for name in names], axis=-1) for own in strata])
        if adjusted is None:
            return result | {"reason": f"the difference in {' or '.join(names)} hardly varies"}
        measures, result["n_near"] = adjusted
    return result | estimate([part[None] for part in measures], cluster_array(table.ids, kept, clusters), "estimate")


def _adjust(measures: list[np.ndarray], covariates: list[np.ndarray]) -> tuple[list[np.ndarray], int] | None:
    """Values whose mean is the intercept, and whose deviations are each pair's influence on it; pairs near equality.

    Ordinary least squares over all pairs of runs and clauses, sizes counting alike.
    """
    y = np.concatenate([part.ravel() for part in measures])
    x = np.concatenate([part.reshape(-1, part.shape[-1]) for part in covariates])
    spread = x.std(axis=0)
    if len(y) < 5 * (1 + x.shape[1]) or not (spread > 1e-12).all():
        return None
    weight = np.concatenate([np.full(part.size, 1 / part.size / len(measures)) for part in measures])
    design = np.column_stack([np.ones(len(x)), x])
    inverse = np.linalg.inv((design * weight[:, None]).T @ design)
    coefficients = inverse @ ((design * weight[:, None]).T @ y)
    influence = (design @ inverse[0]) * (y - design @ coefficients)
    ends = np.cumsum([part.size for part in measures])[:-1]
    values = [
        coefficients[0] + part.reshape(own.shape) for part, own in zip(np.split(influence, ends), measures, strict=True)
    ]
    return values, int((np.abs(x) <= spread).all(axis=1).sum())
