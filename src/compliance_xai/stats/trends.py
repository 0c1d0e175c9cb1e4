"""Does a measure rise with the number of parameters?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.stats.frames import groups, members, need_columns, pivot, scale_order
from compliance_xai.stats.resampling import bootstrap_mean, combine_strata, draw_assignments

if TYPE_CHECKING:
    import pandas as pd


def scale_trend(
    frame: pd.DataFrame,
    measure: str,
    *,
    by: Sequence[str] = ("strategy", "baseline", "sign"),
    bootstrap: int = 2000,
    permutations: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """Slope of a measure over log10(parameters), and Page's test for a rising order of the scales.

    Each clause gets its own least-squares slope over the scales (strategies, then seeds inside a strategy, averaged
    first); the mean slope over clauses is reported. Only clauses that have a defined value at every scale are used. Add
    the pooled rows with ``frames.with_trained``.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, n_clauses, n_dropped, n_scales, n_seeds`` (fewest of any cell), ``scales`` (in order,
        joined by spaces), ``slope`` (per factor of ten in parameters), ``low, high`` (95 % percentile bootstrap over
        clauses), ``page_statistic, page_p`` (Page 1963, one-sided: rising, clause as unit), ``p_run`` (one-sided:
        whole runs change scale inside a strategy), ``p_run_smallest, first, last`` (means at the smallest and largest
        rung), ``reason``.
    """
    import pandas as pd

    need_columns(frame, [*by, "scale", "parameters", "strategy", "seed", "id", measure], "scale_trend")
    columns = ("n_clauses", "n_dropped", "n_scales", "n_seeds", "scales", "slope", "low", "high", "page_statistic")
    columns = (*columns, "page_p", "p_run", "p_run_smallest", "first", "last", "reason")
    records = []
    for keys, group in groups(frame, by):
        record: dict[str, Any] = dict.fromkeys(columns, math.nan)
        record |= _trend(group, measure, bootstrap, permutations, seed)
        records.append(keys | {"measure": measure} | record)
    return pd.DataFrame.from_records(records, columns=[*by, "measure", *columns])


def _trend(group: pd.DataFrame, measure: str, bootstrap: int, permutations: int, seed: int) -> dict[str, Any]:
    order = scale_order(group)
    scales, decades = [name for name, _ in order], np.log10([parameters for _, parameters in order])
    group = group.assign(member=members(group))
    runs = pivot(group, ["id"], ["member", "scale", "seed"], measure, "scale_trend")
    seeds = group.groupby(["member", "scale"], observed=True)["seed"].nunique()
    complete = runs.sort_index(axis=1).dropna()
    result: dict[str, Any] = {
        "n_clauses": len(complete),
        "n_dropped": len(runs) - len(complete),
        "n_scales": len(scales),
        "n_seeds": int(seeds.min()),
        "scales": " ".join(scales),
        "reason": _why_no_trend(complete, scales, seeds),
    }
    if result["reason"]:
        return result
    by_strategy = complete.T.groupby(level=["member", "scale"], sort=False, observed=True).mean()
    values_CS = by_strategy.groupby(level="scale", sort=False, observed=True).mean().T[scales].to_numpy()
    centred = decades - decades.mean()
    slopes = values_CS @ centred / (centred @ centred)
    slope, low, high = bootstrap_mean(slopes, n_resamples=bootstrap, seed=seed)
    result |= {"slope": slope, "low": low, "high": high}
    result |= {"first": float(values_CS[:, 0].mean()), "last": float(values_CS[:, -1].mean())}
    if len(scales) > 2:
        from scipy.stats import page_trend_test

        page = page_trend_test(values_CS, method="asymptotic" if len(values_CS) > 20 else "exact")
        result |= {"page_statistic": float(page.statistic), "page_p": float(page.pvalue)}
    else:
        result["reason"] = "two scales: a difference, not a trend"
    p, smallest = _permute_scales(complete.mean(), scales, centred, permutations, seed)
    return result | {"p_run": p, "p_run_smallest": smallest}


def _why_no_trend(complete: pd.DataFrame, scales: list[str], seeds: pd.Series) -> str:
    if len(scales) < 2:
        return "a single scale"
    scales_run = seeds.groupby(level="member", observed=True).size()
    if (scales_run < len(scales)).any():
        lacking = ", ".join(str(name) for name in scales_run.index[scales_run < len(scales)])
        return f"not every scale was run with {lacking}"
    if len(complete) < 2:
        return "fewer than two clauses with a defined value at every scale"
    return ""


def _permute_scales(
    run_means: pd.Series, scales: list[str], centred: np.ndarray, permutations: int, seed: int
) -> tuple[float, float]:
    """P-value of the slope with whole runs changing scale inside their strategy."""
    statistics = []
    for _, part in run_means.groupby(level="member", sort=False, observed=True):
        found = part.index.get_level_values("scale")
        values = np.concatenate([part[found == scale].to_numpy() for scale in scales])
        sizes = [int((found == scale).sum()) for scale in scales]
        labels = draw_assignments(sizes, permutations=permutations, seed=seed)
        weight = centred / np.array(sizes)
        statistics.append(weight[labels] @ values)
    return combine_strata(statistics, permutations=permutations, seed=seed)
