"""Means with intervals, for figures and tables."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from compliance_xai.records import need_columns
from compliance_xai.stats.frames import as_names, groups
from compliance_xai.stats.resampling import bootstrap_mean


def summarise_measures(
    frame: pd.DataFrame,
    measures: str | Sequence[str],
    *,
    by: Sequence[str],
    bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean of each measure by group, with a 95 % percentile bootstrap interval over clauses.

    Seeds are averaged inside a clause first, so the interval tells about other clauses, not about other trainings.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, n_clauses`` (with a defined value), ``n_dropped`` (without), ``n_seeds, mean, low, high``.
    """
    names = as_names(measures)
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
