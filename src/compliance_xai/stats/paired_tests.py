"""Paired comparisons of strategies over clauses: Wilcoxon, Friedman, and the same with whole runs permuted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.frames import ALL_SCALES, as_names, clause_table, groups, pivot
from compliance_xai.stats.resampling import bootstrap_mean, combine_strata, draw_assignments, interval, resample_counts

if TYPE_CHECKING:
    import pandas as pd

BY = ("scale", *VIEW)


def compare_strategies(
    frame: pd.DataFrame,
    measures: str | Sequence[str],
    *,
    by: Sequence[str] = BY,
    bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every pair of strategies, clause by clause (Wilcoxon signed-rank test, paired over clauses).

    Seeds are averaged inside a clause first, so the clause is the unit. Rows with ``scale`` ``all`` average each clause
    over all scales, for the strategies that ran at every one. The tests are conditional on the trained runs:
    ``strategy_effects`` says whether a difference stands out from the differences between seeds.

    Parameters
    ----------
    frame
        A focus or category frame with ``scale`` and ``strategy``.
    measures
        Columns to compare.
    by
        What is kept apart.
    bootstrap, seed
        Resamples of clauses for the intervals, and their seed.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, strategy_a, strategy_b, n`` (clauses), ``n_dropped`` (clauses with an undefined value),
        ``mean_a, mean_b, mean_difference`` (a - b), ``low, high`` (95 % percentile bootstrap over clauses),
        ``statistic`` (the smaller rank sum W), ``p, p_holm`` (Holm 1979; a family is one measure and key of ``by``,
        over all pairs: the ``all`` rows by themselves, and the single scales together), ``rank_biserial`` (Kerby 2014:
        favourable minus unfavourable rank share; positive where a is larger), ``rank_biserial_low, rank_biserial_high,
        reason`` (why a number is NaN, else empty).
    """
    import pandas as pd

    names = as_names(measures)
    need_columns(frame, [*by, "strategy", "id", *names], "compare_strategies")
    records = []
    for name in names:
        for keys, group in _with_all_scales(frame, name, by):
            table = clause_table(group, name, "strategy")
            for a, b in itertools.combinations(table.columns, 2):
                pair = _compare_pair(table[a].to_numpy(), table[b].to_numpy(), bootstrap, seed)
                records.append(keys | {"measure": name, "strategy_a": a, "strategy_b": b} | pair)
    columns = [*by, "measure", "strategy_a", "strategy_b", *_PAIR_COLUMNS]
    result = pd.DataFrame.from_records(records, columns=columns)
    return _holm(result, [column for column in by if column != "scale"] + ["measure"], by)


_PAIR_COLUMNS = (
    *("n", "n_dropped", "mean_a", "mean_b", "mean_difference", "low", "high", "statistic", "p", "p_holm"),
    *("rank_biserial", "rank_biserial_low", "rank_biserial_high", "reason"),
)


def _with_all_scales(frame: pd.DataFrame, measure: str, by: Sequence[str]):
    yield from groups(frame, by)
    if "scale" not in by:
        return
    rest = [column for column in by if column != "scale"]
    runs = frame.groupby("strategy", observed=True)["scale"].nunique()
    complete = frame[frame["strategy"].isin(runs.index[runs == frame["scale"].nunique()])]
    means = complete.groupby([*rest, "strategy", "scale", "id"], observed=True, sort=False)[measure].mean(skipna=False)
    for keys, group in groups(means.reset_index(), rest):
        ordered = {column: (ALL_SCALES if column == "scale" else keys[column]) for column in by}
        yield ordered, group


def _compare_pair(a: np.ndarray, b: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
    defined = ~(np.isnan(a) | np.isnan(b))
    a, b = a[defined], b[defined]
    result: dict[str, Any] = dict.fromkeys(_PAIR_COLUMNS, math.nan)
    result |= {"n": len(a), "n_dropped": int((~defined).sum()), "reason": ""}
    if len(a) == 0:
        return result | {"reason": "no clause has a defined value for both"}
    difference = a - b
    mean, low, high = bootstrap_mean(difference, n_resamples=bootstrap, seed=seed)
    result |= {"mean_a": a.mean(), "mean_b": b.mean(), "mean_difference": mean, "low": low, "high": high}
    if len(a) < 2:
        return result | {"reason": "a single clause"}
    if not difference.any():
        zero = dict.fromkeys(("rank_biserial", "rank_biserial_low", "rank_biserial_high"), 0.0)
        return result | zero | {"p": 1.0, "reason": "no difference on any clause"}
    import pingouin

    test = pingouin.wilcoxon(a, b).iloc[0]
    low, high = rank_biserial_interval(difference, bootstrap, seed)
    return result | {
        "statistic": float(test["W_val"]),
        "p": float(test["p_val"]),
        "rank_biserial": float(test["RBC"]),
        "rank_biserial_low": low,
        "rank_biserial_high": high,
    }


def rank_biserial_interval(difference: np.ndarray, bootstrap: int, seed: int) -> tuple[float, float]:
    """Bootstrap over clauses; resamples without any difference count as 0.

    Copies of one clause share size and sign, so the rank sum of a block of ``m`` equal sizes after ``c`` smaller ones
    is ``m c + m (m + 1) / 2``, shared by sign. That needs one sort in all instead of one for each resample.
    """
    counts = resample_counts(len(difference), bootstrap, seed)
    sizes, block = np.unique(np.abs(difference), return_inverse=True)
    positive = np.zeros((len(difference), len(sizes)))
    positive[np.arange(len(difference)), block] = difference > 0
    every = np.zeros_like(positive)
    every[np.arange(len(difference)), block] = difference != 0
    up, m = counts @ positive, counts @ every
    before = np.cumsum(m, axis=1) - m
    ranks = before + (m + 1) / 2
    favourable, total = (ranks * up).sum(axis=1), (ranks * m).sum(axis=1)
    share = np.divide(favourable, total, out=np.full(len(total), 0.5), where=total > 0)
    return interval(2 * share - 1)


def _holm(frame: pd.DataFrame, family: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    import pingouin

    pooled = frame["scale"].eq(ALL_SCALES) if "scale" in by else frame["measure"].isna()
    for _, rows in frame.groupby([*family, pooled.rename("pooled")], sort=False, observed=True).groups.items():
        p = frame.loc[rows, "p"].to_numpy(dtype=float)
        tested = ~np.isnan(p)
        if tested.any():
            frame.loc[rows[tested], "p_holm"] = pingouin.multicomp(p[tested], method="holm")[1]
    return frame


def friedman_table(frame: pd.DataFrame, measures: str | Sequence[str], *, by: Sequence[str] = BY) -> pd.DataFrame:
    """Do any of three or more strategies differ over the same clauses? (Friedman 1937)

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, n, n_dropped, n_strategies, statistic`` (chi-squared), ``dof, p, kendall_w`` (0: no
        agreement between clauses on the order of strategies, 1: the same order on every clause), ``reason``.
    """
    import pandas as pd
    import pingouin

    names = as_names(measures)
    need_columns(frame, [*by, "strategy", "id", *names], "friedman_table")
    columns = ("n", "n_dropped", "n_strategies", "statistic", "dof", "p", "kendall_w", "reason")
    records = []
    for name in names:
        for keys, group in groups(frame, by):
            table = clause_table(group, name, "strategy")
            complete = table.dropna()
            record = dict.fromkeys(columns, math.nan) | {
                "n": len(complete),
                "n_dropped": len(table) - len(complete),
                "n_strategies": table.shape[1],
                "reason": _why_no_friedman(complete),
            }
            if not record["reason"]:
                test = pingouin.friedman(complete.reset_index(drop=True)).iloc[0]
                record |= {"statistic": float(test["Q"]), "dof": float(test["ddof1"])}
                record |= {"p": float(test["p_unc"]), "kendall_w": float(test["W"])}
            records.append(keys | {"measure": name} | record)
    return pd.DataFrame.from_records(records, columns=[*by, "measure", *columns])


def _why_no_friedman(complete: pd.DataFrame) -> str:
    if complete.shape[1] < 3:
        return "fewer than three strategies"
    if len(complete) < 3:
        return "fewer than three clauses with defined values"
    if (complete.nunique(axis=1) == 1).all():
        return "no difference on any clause"
    return ""


def strategy_effects(
    frame: pd.DataFrame,
    measures: str | Sequence[str],
    *,
    by: Sequence[str] = VIEW,
    permutations: int = 5000,
    bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences between strategies against the differences between runs: whole runs change label, scale by scale.

    A run is one trained model (scale, strategy, seed). If the strategy did not matter, its label could as well stand on
    any of the runs of that scale. All arrangements are counted where there are at most ``permutations``.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, strategy_a, strategy_b, n_scales`` (at which both ran), ``n_clauses`` (defined
        everywhere), ``n_runs_a, n_runs_b`` (over all scales), ``mean_difference`` (a - b, mean over scales), ``low,
        high`` (95 % percentile bootstrap over clauses), ``p_run`` (two-sided), ``p_run_smallest`` (the least that this
        number of runs can reach), ``reason``.
    """
    import pandas as pd

    names = as_names(measures)
    need_columns(frame, [*by, "scale", "strategy", "seed", "id", *names], "strategy_effects")
    columns = ("n_scales", "n_clauses", "n_runs_a", "n_runs_b", "mean_difference", "low", "high")
    columns = (*columns, "p_run", "p_run_smallest", "reason")
    records = []
    for name in names:
        for keys, group in groups(frame, by):
            for a, b in itertools.combinations(dict.fromkeys(group["strategy"]), 2):
                record: dict[str, Any] = dict.fromkeys(columns, math.nan)
                record |= _run_effect(group, name, a, b, permutations, bootstrap, seed)
                records.append(keys | {"measure": name, "strategy_a": a, "strategy_b": b} | record)
    return pd.DataFrame.from_records(records, columns=[*by, "measure", "strategy_a", "strategy_b", *columns])


def run_tables(frame: pd.DataFrame, measure: str, a: str, b: str) -> dict[str, pd.DataFrame]:
    """For each scale that both strategies ran at: clauses x runs (strategy, seed), runs of ``a`` first."""
    tables = {}
    for keys, group in groups(frame[frame["strategy"].isin([a, b])], ["scale"]):
        table = pivot(group, ["id"], ["strategy", "seed"], measure, "strategy_effects")
        if {a, b} <= set(table.columns.get_level_values(0)):
            ordered = [column for name in (a, b) for column in sorted(c for c in table.columns if c[0] == name)]
            tables[keys["scale"]] = table[ordered]
    return tables


def _run_effect(
    group: pd.DataFrame, measure: str, a: str, b: str, permutations: int, bootstrap: int, seed: int
) -> dict[str, Any]:
    tables = run_tables(group, measure, a, b)
    if not tables:
        return {"n_scales": 0, "reason": "the two strategies share no scale"}
    kept = sorted(set.intersection(*(set(table.dropna().index) for table in tables.values())))
    sizes = {
        scale: [int((table.columns.get_level_values(0) == s).sum()) for s in (a, b)] for scale, table in tables.items()
    }
    result: dict[str, Any] = {
        "n_scales": len(tables),
        "n_clauses": len(kept),
        "n_runs_a": sum(size[0] for size in sizes.values()),
        "n_runs_b": sum(size[1] for size in sizes.values()),
        "reason": "",
    }
    if not kept:
        return result | {"reason": "no clause has defined values in every run"}
    differences, statistics = [], []
    for scale, table in tables.items():
        values = table.loc[kept].to_numpy()
        n_a = sizes[scale][0]
        differences.append(values[:, :n_a].mean(axis=1) - values[:, n_a:].mean(axis=1))
        labels = draw_assignments(sizes[scale], permutations=permutations, seed=seed)
        run_means = values.mean(axis=0)
        first = labels == 0
        statistics.append((first @ run_means) / n_a - (~first @ run_means) / sizes[scale][1])
    mean, low, high = bootstrap_mean(np.mean(differences, axis=0), n_resamples=bootstrap, seed=seed)
    p, smallest = combine_strata(statistics, permutations=permutations, seed=seed, two_sided=True)
    result |= {"mean_difference": mean, "low": low, "high": high, "p_run": p, "p_run_smallest": smallest}
    if min(min(size) for size in sizes.values()) < 2:
        result["reason"] = "a strategy has a single seed at some scale"
    return result
