"""Means over clauses with intervals: of measures, of shares of rules, and of agreement with the gold alignment."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.alignment import GOLD_MEASURES, chance_variance
from compliance_xai.records import need_columns
from compliance_xai.stats.frames import groups

CONFIDENCE = 0.95


@functools.lru_cache(maxsize=64)
def resample_counts(n: int, n_resamples: int, seed: int) -> np.ndarray:
    """How often each of ``n`` units is drawn, with replacement: int64, shape (n_resamples, n). Read-only, cached."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    counts.setflags(write=False)
    return counts


def bootstrap_mean(
    values: np.ndarray, *, n_resamples: int = 2000, seed: int = 0, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Mean over units, low and high: a percentile bootstrap interval (Efron and Tibshirani 1993, section 13.3).

    NaN values are left out; with none left all three are NaN, with one the interval is NaN.
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[~np.isnan(kept)]
    if len(kept) == 0:
        return math.nan, math.nan, math.nan
    if len(kept) == 1:
        return float(kept[0]), math.nan, math.nan
    means = resample_counts(len(kept), n_resamples, seed) @ kept / len(kept)
    return float(kept.mean()), *interval(means, confidence)


def bootstrap_ratio(
    numerator: np.ndarray, denominator: np.ndarray, *, n_resamples: int, seed: int
) -> tuple[float, float, float]:
    """Ratio of two means over the same units, with a percentile bootstrap interval over units."""
    if len(numerator) < 2 or not denominator.mean() > 0:
        return math.nan, math.nan, math.nan
    counts = resample_counts(len(numerator), n_resamples, seed)
    below = counts @ denominator
    ratios = np.divide(counts @ numerator, below, out=np.full(len(below), np.nan), where=below > 0)
    return float(numerator.mean() / denominator.mean()), *interval(ratios[~np.isnan(ratios)])


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Central percentile interval of resampled values; NaN where there are none."""
    if len(values) == 0:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def summarise_measures(
    frame: pd.DataFrame, measures: str | Sequence[str], *, by: Sequence[str], bootstrap: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Mean of each measure by group, with a 95 % percentile bootstrap interval over clauses.

    Seeds are averaged inside a clause first, so the interval tells about other clauses, not about other trainings.

    Columns: ``by``..., ``measure, n_clauses`` (with a defined value), ``n_dropped`` (without), ``n_seeds, mean, low,
    high``.
    """
    names = [measures] if isinstance(measures, str) else list(measures)
    need_columns(frame, [*by, "seed", "id", *names], "summarise_measures")
    records = []
    for keys, group in groups(frame, by):
        clauses = group.groupby("id", sort=True, observed=True)[names].mean(skipna=False)
        for name in names:
            mean, low, high = bootstrap_mean(clauses[name].to_numpy(), n_resamples=bootstrap, seed=seed)
            defined = int(clauses[name].notna().sum())
            numbers = {"n_clauses": defined, "n_dropped": len(clauses) - defined, "n_seeds": group["seed"].nunique()}
            records.append(keys | {"measure": name} | numbers | {"mean": mean, "low": low, "high": high})
    columns = [*by, "measure", "n_clauses", "n_dropped", "n_seeds", "mean", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)


ANY = "any"
"""Stands for at least one error of whatever kind."""


def wilson_interval(share: float, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a share of ``n`` units, each bound 0 to 1.

    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22, 209-212.

    >>> [round(bound, 3) for bound in wilson_interval(0.0, 10)]
    [0.0, 0.278]
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(share * n, n, alpha=1 - confidence, method="wilson")
    # Rounding must not put a bound on the wrong side of the share.
    return max(0.0, min(share, float(low))), min(1.0, max(share, float(high)))  # pyright: ignore[reportArgumentType]


def error_shares(rules: pd.DataFrame, errors: pd.DataFrame, *, kinds: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Share of rules that have each kind of error, by group.

    A rule counts once for a kind, however often it has it. Seeds are averaged inside a clause first, and the clause is
    the unit of the interval: with several seeds, whose average varies less than a yes or no, it is wider than need be.

    Parameters
    ----------
    rules
        One row per rule: ``by``..., ``seed``, ``id``.
    errors
        One row per error: the same columns and ``kind``.
    kinds
        The kinds to report, in order; those that no rule has get rows too.
    by
        What makes a group, such as ``("scale", "parameters", "strategy", "split")``.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``kind`` (``any`` first, for rules with at least one error), ``n_clauses``, ``n_seeds``, ``n_rules``
        (that have it, over all seeds), ``share`` (0 to 1), ``low``, ``high`` (Wilson, 95 %).
    """
    keys = [*by, "seed", "id"]
    need_columns(rules, keys, "error_shares, rules")
    need_columns(errors, [*keys, "kind"], "error_shares, errors")
    rows = pd.MultiIndex.from_frame(rules[keys])
    present = errors.drop_duplicates([*keys, "kind"])
    wrong = {ANY: rows.isin(pd.MultiIndex.from_frame(errors[keys]))}
    wrong |= {kind: rows.isin(pd.MultiIndex.from_frame(present.loc[present["kind"] == kind, keys])) for kind in kinds}
    records = []
    for group_keys, group in groups(rules.assign(**wrong), by):
        clauses = group.groupby("id", sort=True)[list(wrong)].mean()
        counts = {"n_clauses": len(clauses), "n_seeds": group["seed"].nunique()}
        for kind in wrong:
            share = float(clauses[kind].mean())
            low, high = wilson_interval(share, len(clauses))
            count = {"n_rules": int(group[kind].sum()), "share": share, "low": low, "high": high}
            records.append(group_keys | {"kind": kind} | counts | count)
    columns = [*by, "kind", "n_clauses", "n_seeds", "n_rules", "share", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)


def summarise_gold(
    gold: pd.DataFrame,
    by: Sequence[str] = ("scale", "strategy", "method", "baseline", "sign", "kind"),
    *,
    bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean agreement by group, with a 95 % percentile bootstrap interval over clauses.

    The clause is the unit: links and seeds are averaged inside each clause first.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``n_clauses, n_links`` (of one seed, with a defined measure), then for each of ``precision_at_k,
        average_precision, auroc``: mean, ``_low`` and ``_high``; ``chance_precision, chance_average_precision``; and
        for each measure ``_chance_low, _chance_high``: where 95 % of random rankings of the same clauses would lie.
    """
    records = []
    for keys, group in gold.groupby(list(by), sort=False, observed=True):
        judged = group[group["reason"] == ""]
        clauses = judged.groupby("id")[[*GOLD_MEASURES, "chance_precision", "chance_average_precision"]].mean()
        record: dict[Any, Any] = dict(zip(by, keys, strict=True))
        record |= {"n_clauses": len(clauses), "n_links": len(judged[["id", "link"]].drop_duplicates())}
        for measure in GOLD_MEASURES:
            mean, low, high = bootstrap_mean(clauses[measure].to_numpy(), n_resamples=bootstrap, seed=seed)
            record |= {measure: mean, f"{measure}_low": low, f"{measure}_high": high}
        record |= clauses[["chance_precision", "chance_average_precision"]].mean().to_dict()
        records.append(record | chance_bands(judged))
    columns = [*by, "n_clauses", "n_links"]
    columns += [f"{measure}{end}" for measure in GOLD_MEASURES for end in ("", "_low", "_high")]
    columns += ["chance_precision", "chance_average_precision"]
    columns += [f"{measure}_chance_{end}" for measure in GOLD_MEASURES for end in ("low", "high")]
    return pd.DataFrame.from_records(records, columns=columns)


def chance_bands(judged: pd.DataFrame) -> dict[str, float]:
    """Where the mean over clauses would lie if the words were ranked at random: normal approximation, 0 to 1."""
    bands = {f"{measure}_chance_{end}": float("nan") for measure in GOLD_MEASURES for end in ("low", "high")}
    links = judged.drop_duplicates(["id", "link"])
    if links.empty:
        return bands
    variances = [chance_variance(gold, n) for gold, n in zip(links["n_gold"], links["n_features"], strict=True)]
    means = {"precision_at_k": links["chance_precision"], "average_precision": links["chance_average_precision"]}
    for place, measure in enumerate(GOLD_MEASURES):
        per_link = links.assign(variance=[each[place] for each in variances]).groupby("id")["variance"]
        spread = 1.96 * float(np.sqrt((per_link.sum() / per_link.size() ** 2).sum()) / per_link.ngroups)
        mean = means.get(measure)
        centre = 0.5 if mean is None else float(mean.groupby(links["id"]).mean().mean())
        bands |= {
            f"{measure}_chance_low": max(0.0, centre - spread),
            f"{measure}_chance_high": min(1.0, centre + spread),
        }
    return bands
