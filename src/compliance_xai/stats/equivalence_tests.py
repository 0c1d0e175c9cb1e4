"""Are two rungs, or two strategies, as good as the same? Two one-sided tests, over clauses and over runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.records import need_columns
from compliance_xai.stats.frames import clause_table, groups, members, scale_order
from compliance_xai.stats.reliability import repeatability_limit

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05

_COLUMNS = (
    *("n", "n_runs", "n_seeds", "mean_a", "mean_b", "mean_difference", "low", "high", "margin", "margin_seeds"),
    *("p_tost", "p_difference", "p_tost_run", "p_difference_run", "equivalent", "reason"),
)


def equivalence_table(
    frame: pd.DataFrame,
    measure: str,
    *,
    margin: float = math.inf,
    along: str = "scale",
    by: Sequence[str] = ("strategy",),
) -> pd.DataFrame:
    """Are neighbouring rungs (or pairs of strategies) the same within a margin? Two one-sided t tests.

    Schuirmann (1987). A difference that is not significant is no evidence of equality; this test asks for that
    evidence, twice: over clauses (seeds averaged inside a clause), so that it holds for other clauses, and over runs
    (paired by what else they share: seed, and strategy or scale), so that it holds for other trainings.

    Parameters
    ----------
    margin
        The largest difference that could count as none, in the measure's unit. The margin used is never larger than
        the noise floor: it is the smaller of this and ``repeatability_limit``, what two trainings of one cell differ
        by, where that is known and not zero.
    along
        ``scale``: each rung with the next larger one; ``strategy``: all pairs.
    by
        What is kept apart.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, a, b, n`` (clauses), ``n_runs`` (pairs of runs), ``n_seeds`` (fewest of any cell),
        ``mean_a, mean_b, mean_difference`` (b - a), ``low, high`` (90 % t interval over clauses: inside the margin just
        where ``p_tost < 0.05``), ``margin, margin_seeds`` (the noise floor), ``p_tost, p_difference`` (two-sided t
        test), ``p_tost_run, p_difference_run`` (the same over runs; NaN with fewer than three pairs), ``equivalent``
        (both TOST p below 0.05), ``reason``.
    """
    import pandas as pd

    need_columns(frame, [*by, "scale", "strategy", "seed", "id", measure], "equivalence_table")
    records = []
    for keys, group in groups(frame, by):
        if along == "scale":
            names = [scale for scale, _ in scale_order(group)]
            pairs = list(itertools.pairwise(names))
        else:
            pairs = list(itertools.combinations(dict.fromkeys(group[along]), 2))
        floor = repeatability_limit(group.assign(strategy=members(group)), measure)
        table, runs = clause_table(group, measure, along), run_means(group, measure, along)
        seeds = group.groupby([along, "scale", "strategy"], observed=True)["seed"].nunique().groupby(level=0).min()
        for a, b in pairs:
            record: dict[str, Any] = dict.fromkeys(_COLUMNS, math.nan)
            used = min(margin, floor) if floor > 0 else margin
            record |= {"margin": used, "margin_seeds": floor, "n_seeds": int(seeds.loc[[a, b]].min())}
            record |= _compare(table[[a, b]].dropna(), runs[[a, b]].dropna(), used)
            records.append(keys | {"measure": measure, "a": a, "b": b} | record)
    return pd.DataFrame.from_records(records, columns=[*by, "measure", "a", "b", *_COLUMNS])


def run_means(group: pd.DataFrame, measure: str, along: str) -> pd.DataFrame:
    """Means of whole runs; what they share apart from ``along`` x ``along``. NaN where a clause is undefined."""
    shared = ["strategy" if along == "scale" else "scale", "seed"]
    named = group.assign(strategy=members(group))
    means = named.groupby([*shared, along], observed=True)[measure].agg(lambda values: values.mean(skipna=False))
    return means.unstack(along)


def _compare(clauses: pd.DataFrame, runs: pd.DataFrame, margin: float) -> dict[str, Any]:
    result: dict[str, Any] = {"n": len(clauses), "n_runs": len(runs), "equivalent": False, "reason": ""}
    if len(clauses) < 2:
        return result | {"reason": "fewer than two clauses with defined values"}
    a, b = (clauses[name].to_numpy() for name in clauses)
    result |= {"mean_a": float(a.mean()), "mean_b": float(b.mean()), "mean_difference": float((b - a).mean())}
    if not math.isfinite(margin):
        return result | {"reason": "a single seed in every cell: there is no noise floor to take a margin from"}
    over_clauses = _two_one_sided(a, b, margin)
    result |= {"low": over_clauses["low"], "high": over_clauses["high"]}
    result |= {"p_tost": over_clauses["p_tost"], "p_difference": over_clauses["p_difference"]}
    if np.ptp(b - a) == 0:
        result["reason"] = "the same difference on every clause"
    if len(runs) < 3:
        return result | {"reason": result["reason"] or "fewer than three pairs of runs"}
    run_a, run_b = (runs[name].to_numpy() for name in runs)
    over_runs = _two_one_sided(run_a, run_b, margin)
    result |= {"p_tost_run": over_runs["p_tost"], "p_difference_run": over_runs["p_difference"]}
    return result | {"equivalent": max(over_clauses["p_tost"], over_runs["p_tost"]) < LEVEL}


def _two_one_sided(a: np.ndarray, b: np.ndarray, margin: float) -> dict[str, float]:
    """``p_tost``, ``p_difference`` and the 90 % interval of b - a, paired."""
    difference = b - a
    if np.ptp(difference) == 0:
        mean = float(difference.mean())
        tost, test = 0.0 if abs(mean) < margin else 1.0, 1.0 if mean == 0 else 0.0
        return {"p_tost": tost, "p_difference": test, "low": mean, "high": mean}
    import pingouin
    from scipy.stats import ttest_rel

    tost = pingouin.tost(b, a, bound=margin, paired=True)  # pyright: ignore[reportArgumentType]
    test = ttest_rel(b, a)
    limits = test.confidence_interval(1 - 2 * LEVEL)
    return {
        "p_tost": float(tost["pval"].iloc[0]),
        "p_difference": float(test.pvalue),
        "low": float(limits.low),
        "high": float(limits.high),
    }
