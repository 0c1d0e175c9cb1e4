"""Would a difference in focus remain at equal confidence, and for short and long clauses alike?

A model that is unsure of everything looks unfocused, and how sure a model is depends on its strategy. So a difference
between strategies has a *total* effect (as measured), which is what a claim speaks of, and a *direct* one, at equal
confidence, which is shown beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.contrasts import ONE_SEED, describe, shared_seeds, size_choices
from compliance_xai.stats.estimates import paired_difference
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, RunTable, groups

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
    by: Sequence[str] = VIEW,
    clusters: Mapping[str, str] | None = None,
    left_out: Collection[tuple[str, str]] = (),
) -> pd.DataFrame:
    """The difference between two trained strategies, over all sizes, under each of ``CONTROLS``.

    The paired difference of the measure (same clause, size and seed) is regressed on the paired differences of log
    total mass and of log-probability per target token; the intercept is the difference that is left where those are
    equal (analysis of covariance within pairs). Where two strategies never come near equality this extrapolates:
    ``n_near`` says for how many pairs the covariates differ by no more than their spread.

    Parameters
    ----------
    frame
        ``by``..., ``scale, strategy, seed, id, n_features, n_target_tokens, baseline_log_prob, total_mass`` and the
        measure.
    clusters, left_out
        As for ``stats.compare_strategies``.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, strategy_a, strategy_b, control, n_clauses, n_runs, n_near`` (pairs), ``estimate`` (a -
        b), ``error, dof, low, high`` (95 %, for other clauses and other trainings), ``p`` (two-sided), ``reason``.
    """
    columns = [*by, "scale", "strategy", "seed", "id", "n_features", "n_target_tokens", "baseline_log_prob"]
    need_columns(frame, [*columns, "total_mass", measure], "controls_table")
    values = frame.assign(
        mass=np.log(frame["total_mass"].where(frame["total_mass"] > 0)),
        log_prob=frame["baseline_log_prob"] / frame["n_target_tokens"],
    )
    records = []
    for keys, group in groups(values[values["strategy"] != CONTROL], by):
        tables = {name: RunTable(group, name, "controls_table") for name in (measure, "mass", "log_prob")}
        words = group.groupby("id")["n_features"].first()
        for a, b in itertools.combinations(group["strategy"].unique(), 2):
            scales = size_choices(list(group["scale"].unique()), a, b, left_out)[ALL_SCALES]
            strata = _paired(tables, a, b, scales)
            for control in CONTROLS:
                record: dict[str, Any] = dict.fromkeys(_COLUMNS, math.nan) | {"reason": ""}
                record |= _control(strata, tables[measure], words, control, clusters)
                names = {"measure": measure, "strategy_a": a, "strategy_b": b, "control": control}
                records.append(keys | names | record)
    return pd.DataFrame.from_records(
        records, columns=[*by, "measure", "strategy_a", "strategy_b", "control", *_COLUMNS]
    )


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
    single = min(map(len, measures)) < 2
    found = paired_difference([part[None] for part in measures], table.clusters(kept, clusters), trainings=not single)
    return result | describe(found, "estimate") | {"reason": ONE_SEED if single else ""}


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
