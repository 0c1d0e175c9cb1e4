"""How well a number repeats: agreement of seeds, of the halves of a rule, and of ways to look at one model."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from compliance_xai.attribution.distances import DISTANCES, pair_distances
from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.frames import groups
from compliance_xai.stats.summary import bootstrap_mean

CELL = ("scale", "strategy", *VIEW)


def spearman_brown(correlation: float, factor: float = 2.0) -> float:
    """Reliability of a test ``factor`` times as long: ``k r / (1 + (k - 1) r)`` (Spearman 1910, Brown 1910).

    >>> spearman_brown(0.5)
    0.6666666666666666
    """
    return factor * correlation / (1 + (factor - 1) * correlation)


def split_half_table(focus: pd.DataFrame, *, bootstrap: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Do the two halves of a rule's tokens rest on the same words? Spearman-Brown reliability of the pattern.

    ``focus``: ``focus.focus_frame`` of all cells; its ``half_correlation`` is averaged over seeds, then over clauses.

    Columns: ``CELL``..., ``n_clauses, n_dropped`` (with an undefined correlation), ``correlation`` (of the halves),
    ``reliability`` (of the whole, stepped up) and its ``low, high`` (95 % percentile bootstrap over clauses).
    """
    need_columns(focus, [*CELL, "id", "half_correlation"], "split_half_table")
    records = []
    for keys, group in groups(focus, CELL):
        clauses = group.groupby("id", sort=True)["half_correlation"].mean()
        mean, low, high = bootstrap_mean(clauses.to_numpy(), n_resamples=bootstrap, seed=seed)
        counts = {"n_clauses": int(clauses.notna().sum()), "n_dropped": int(clauses.isna().sum())}
        stepped = {"reliability": spearman_brown(mean), "low": spearman_brown(low), "high": spearman_brown(high)}
        records.append(keys | counts | {"correlation": mean} | stepped)
    columns = [*CELL, "n_clauses", "n_dropped", "correlation", "reliability", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)


SOURCES = ("batch", "dtype", "seeds", "strategies", "baselines", "methods")
"""How two patterns may differ, all else the same; from ``noise_table``."""


def noise_table(
    distances: pd.DataFrame, masses: pd.DataFrame, numeric: pd.DataFrame, *, bootstrap: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Distances between patterns by how the two differ: only what exceeds the noise means something.

    Runs of two strategies count only with different seeds: those of one seed share the order of their data.

    Parameters
    ----------
    distances
        ``distance_frame`` of trained strategies: pairs of ``seeds`` and of ``strategies``.
    masses
        ``focus.share_frame``: one run seen with two ``baselines`` or ``methods``.
    numeric
        The attribute stage's ``noise``: ``scale, sign, id, source`` (``batch`` or ``dtype``) and ``DISTANCES``.

    Returns
    -------
    pandas.DataFrame
        ``scale, sign, source`` (of ``SOURCES``), ``measure`` (of ``DISTANCES``), ``n_clauses, n_pairs, n_dropped``
        (undefined), ``mean, low, high`` (over clauses, pairs averaged inside a clause first; 95 % percentile
        bootstrap, NaN for one clause).
    """
    runs = ["scale", "strategy", "seed", "sign", "id"]
    other_seeds = distances[distances["seed_a"] != distances["seed_b"]]
    parts = [
        other_seeds.assign(source=other_seeds["pair"].map({"within": "seeds", "between": "strategies"})),
        pair_distances(masses, [*runs, "method"], ["baseline"]).assign(source="baselines"),
        pair_distances(masses, [*runs, "baseline"], ["method"]).assign(source="methods"),
        numeric,
    ]
    columns = ["scale", "sign", "source", "id", *DISTANCES]
    found = pd.concat([part[columns] for part in parts if len(part)] or [numeric[columns]], ignore_index=True)
    order = {name: index for index, name in enumerate(SOURCES)}
    found = found.sort_values("source", key=lambda names: names.map(order), kind="stable")
    records = []
    for keys, group in groups(found, ["scale", "sign", "source"]):
        clauses = group.groupby("id", sort=True)[list(DISTANCES)].mean()
        for measure in DISTANCES:
            mean, low, high = bootstrap_mean(clauses[measure].to_numpy(), n_resamples=bootstrap, seed=seed)
            counts = {"n_clauses": int(clauses[measure].notna().sum()), "n_pairs": len(group)}
            counts["n_dropped"] = int(group[measure].isna().sum())
            records.append(keys | {"measure": measure} | counts | {"mean": mean, "low": low, "high": high})
    columns = ["scale", "sign", "source", "measure", "n_clauses", "n_pairs", "n_dropped", "mean", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)


def measure_reliability(frame: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """How far seeds of one cell agree on a clause: intraclass correlation ICC(A,1) of clauses over seeds.

    Shrout and Fleiss (1979), ICC(2,1): two-way random effects, absolute agreement, one rater. 1: seeds agree fully; 0
    or less: a clause's value says nothing about its value in another run.

    Columns: ``CELL``..., ``measure, n_clauses, n_seeds, icc, low, high`` (95 % interval), ``reason``.
    """
    need_columns(frame, [*CELL, "seed", "id", *measures], "measure_reliability")
    records = []
    for name in measures:
        for keys, group in groups(frame, CELL):
            table = group.pivot(index="id", columns="seed", values=name).dropna()
            records.append(keys | {"measure": name, "n_clauses": len(table)} | _agreement(table))
    return pd.DataFrame.from_records(records, columns=[*CELL, "measure", "n_clauses", *_AGREEMENT])


def feature_reliability(masses: pd.DataFrame) -> pd.DataFrame:
    """Do seeds of one cell agree on single features? ICC(A,1) of each feature's mass over seeds.

    The mass is taken over its clause's mean mass, so that long and short clauses, or sure and unsure ones, do not look
    like agreement.

    ``masses``: ``focus.share_frame`` of all cells.

    Columns: ``CELL``..., ``n_clauses, n_features, n_seeds, icc, low, high`` (95 % interval, over features), ``reason``.
    """
    need_columns(masses, [*CELL, "id", "feature", "seed", "share"], "feature_reliability")
    records = []
    for keys, group in groups(masses, CELL):
        table = group.pivot(index=["id", "feature"], columns="seed", values="share").dropna()
        table = table.mul(table.groupby(level="id").transform("size"), axis=0)
        counts = {"n_clauses": table.index.get_level_values("id").nunique(), "n_features": len(table)}
        records.append(keys | counts | _agreement(table.set_axis(pd.RangeIndex(len(table), name="id"))))
    return pd.DataFrame.from_records(records, columns=[*CELL, "n_clauses", "n_features", *_AGREEMENT])


_AGREEMENT = ("n_seeds", "icc", "low", "high", "reason")


def _agreement(table: pd.DataFrame) -> dict[str, Any]:
    """ICC of the rows of a table over its columns, which are seeds."""
    found: dict[str, Any] = dict.fromkeys(_AGREEMENT, math.nan) | {"n_seeds": table.shape[1]}
    if table.shape[1] < 2:
        return found | {"reason": "a single seed"}
    if len(table) < 5:
        return found | {"reason": "fewer than five clauses with defined values"}
    if table.to_numpy().std() == 0:
        return found | {"reason": "the same value everywhere"}
    return found | {"reason": ""} | _icc(table)


def _icc(table: pd.DataFrame) -> dict[str, float]:
    import warnings

    import pingouin

    long = table.reset_index().melt(id_vars="id", var_name="seed", value_name="value")
    before = pingouin.options["round.column.CI95"]
    pingouin.options["round.column.CI95"] = None  # pingouin rounds intervals to two digits; given back below
    try:
        with warnings.catch_warnings():
            # pingouin 0.7 calls pandas in a way that pandas 3.1 announces to drop.
            warnings.filterwarnings("ignore", message="The inplace keyword")
            result = pingouin.intraclass_corr(long, targets="id", raters="seed", ratings="value")
    finally:
        pingouin.options["round.column.CI95"] = before
    row = result[result["Type"] == "ICC(A,1)"].to_dict("records")[0]
    low, high = row["CI95"]
    return {"icc": float(row["ICC"]), "low": float(low), "high": float(high)}
