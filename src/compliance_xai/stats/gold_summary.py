"""Agreement with the gold alignment, by group: means over clauses with intervals, beside what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.alignment import GOLD_MEASURES, chance_variance
from compliance_xai.stats.resampling import bootstrap_mean


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
