"""Does a measure rise with the number of parameters, and does it level off?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.frames import clause_table, groups, members, pivot, scale_order
from compliance_xai.stats.resampling import bootstrap_mean, combine_strata, draw_assignments, interval, resample_counts

if TYPE_CHECKING:
    import pandas as pd

_TOLERANCE = 1e-15
"""A fit must beat the last one by more than rounding."""


def scale_trend(
    frame: pd.DataFrame,
    measure: str,
    *,
    by: Sequence[str] = ("strategy", *VIEW),
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
    order = dict(scale_order(frame))
    records = []
    for keys, group in groups(frame.assign(member=members(frame)), by):
        record: dict[str, Any] = dict.fromkeys(columns, math.nan)
        here = set(group["scale"])
        own = {scale: size for scale, size in order.items() if scale in here}
        record |= _trend(group, measure, own, bootstrap, permutations, seed)
        records.append(keys | {"measure": measure} | record)
    return pd.DataFrame.from_records(records, columns=[*by, "measure", *columns])


def _trend(
    group: pd.DataFrame, measure: str, order: dict[str, int], bootstrap: int, permutations: int, seed: int
) -> dict[str, Any]:
    import pandas as pd

    scales, decades = list(order), np.log10(list(order.values()))
    runs = pivot(group, ["id"], ["member", "scale", "seed"], measure, "scale_trend").sort_index(axis=1)
    cells = pd.MultiIndex.from_frame(runs.columns.to_frame()[["member", "scale"]])
    seeds = cells.value_counts()
    complete = runs.dropna()
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
    values_CR, names = complete.to_numpy(), list(dict.fromkeys(cells.get_level_values("member")))
    values_CS = np.stack(
        [np.mean([values_CR[:, cells == (name, scale)].mean(axis=1) for name in names], axis=0) for scale in scales],
        axis=1,
    )
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


def find_break(
    frame: pd.DataFrame, measure: str, *, by: Sequence[str] = ("strategy",), bootstrap: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Where a measure's rise with log10(parameters) changes its slope: two lines that meet (Muggeo 2003).

    ``y = a + b x + c max(x - break, 0)``, least squares on the means of the rungs, the break lying between the second
    and the last but one rung. Clauses are resampled and the break is found anew each time. With three rungs two lines
    fit every curve, so four are asked for. No library at hand fits this with clauses as the unit; R has it as
    ``segmented::segmented``.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, n_clauses, n_dropped, n_scales, break_parameters`` with ``break_low, break_high``,
        ``slope_before, slope_after`` (per factor of ten) each with ``_low, _high`` (95 % percentile bootstrap over
        clauses), ``reason``.
    """
    import pandas as pd

    need_columns(frame, [*by, "scale", "parameters", "strategy", "seed", "id", measure], "find_break")
    names = [f"{name}{end}" for name in ("slope_before", "slope_after") for end in ("", "_low", "_high")]
    columns = ["n_clauses", "n_dropped", "n_scales", "break_parameters", "break_low", "break_high", *names, "reason"]
    records = []
    for keys, group in groups(frame, by):
        order = scale_order(group)
        table = clause_table(group, measure, "scale")[[name for name, _ in order]]
        values_CS = table.dropna().to_numpy()
        record: dict[str, Any] = dict.fromkeys(columns, math.nan)
        record |= {"n_clauses": len(values_CS), "n_dropped": len(table) - len(values_CS), "n_scales": len(order)}
        record["reason"] = "fewer than four scales: two lines would fit any curve" if len(order) < 4 else ""
        if not record["reason"] and len(values_CS) < 2:
            record["reason"] = "fewer than two clauses with a defined value at every scale"
        if not record["reason"]:
            record |= _bootstrap_break(np.log10([size for _, size in order]), values_CS, bootstrap, seed)
        records.append(keys | {"measure": measure} | record)
    return pd.DataFrame.from_records(records, columns=[*by, "measure", *columns])


def _bootstrap_break(x_S: np.ndarray, values_CS: np.ndarray, bootstrap: int, seed: int) -> dict[str, float]:
    counts = resample_counts(len(values_CS), bootstrap, seed)
    means_BS = np.vstack([values_CS.mean(axis=0), counts @ values_CS / len(values_CS)])
    place_B, before_B, after_B = fit_two_lines(x_S, means_BS)
    found: dict[str, float] = {}
    for name, drawn in (("break_parameters", 10**place_B), ("slope_before", before_B), ("slope_after", after_B)):
        low, high = interval(drawn[1:])
        short = "break" if name == "break_parameters" else name
        found |= {name: float(drawn[0]), f"{short}_low": low, f"{short}_high": high}
    return found


def fit_two_lines(x_S: np.ndarray, values_BS: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Break and the two slopes of the best continuous pair of lines through each row of ``values_BS``.

    Exact (Hudson 1966): the break is either one of the inner points, or where the best lines of the points on either
    side meet, if that lies between the two sides. ``x_S`` rises; the first of equally good breaks counts.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    >>> [float(part[0].round(6)) for part in fit_two_lines(x, np.array([[0.0, 1.0, 2.0, 2.0, 2.0]]))]
    [2.0, 1.0, 0.0]
    """
    best_B = np.full(len(values_BS), np.inf)
    place_B, before_B, after_B = (np.zeros(len(values_BS)) for _ in range(3))
    for inner in range(1, len(x_S) - 1):
        found = [_bend_at(x_S, values_BS, x_S[inner])]
        if inner + 2 < len(x_S):
            found.append(_meet_after(x_S, values_BS, inner))
        for found_B, error_B, first_B, second_B in found:
            better = error_B < best_B - _TOLERANCE
            best_B[better], place_B[better] = error_B[better], found_B[better]
            before_B[better], after_B[better] = first_B[better], second_B[better]
    return place_B, before_B, after_B


_Lines = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Break, sum of squared errors, slope before and after, of each row."""


def _bend_at(x_S: np.ndarray, values_BS: np.ndarray, place: float) -> _Lines:
    """The best pair of lines that meets at ``place``."""
    design = np.column_stack([np.ones_like(x_S), x_S, np.clip(x_S - place, 0, None)])
    coefficients = values_BS @ np.linalg.pinv(design).T
    error_B = ((values_BS - coefficients @ design.T) ** 2).sum(axis=1)
    return np.full(len(values_BS), place), error_B, coefficients[:, 1], coefficients[:, 1] + coefficients[:, 2]


def _meet_after(x_S: np.ndarray, values_BS: np.ndarray, last: int) -> _Lines:
    """The best lines of the points up to ``last`` and after it; an infinite error where they do not meet between."""
    sides, error_B = [], np.zeros(len(values_BS))
    for part in (slice(None, last + 1), slice(last + 1, None)):
        design = np.column_stack([np.ones_like(x_S[part]), x_S[part]])
        coefficients = values_BS[:, part] @ np.linalg.pinv(design).T
        error_B += ((values_BS[:, part] - coefficients @ design.T) ** 2).sum(axis=1)
        sides.append(coefficients)
    (level_B, before_B), (other_B, after_B) = sides[0].T, sides[1].T
    turn_B = after_B - before_B
    place_B = np.divide(level_B - other_B, turn_B, out=np.full(len(turn_B), np.nan), where=turn_B != 0)
    inside_B = (place_B > x_S[last]) & (place_B < x_S[last + 1])
    return place_B, np.where(inside_B, error_B, np.inf), before_B, after_B
