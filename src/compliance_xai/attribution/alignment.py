"""Is the attribution right? Ranks features by their mass towards one rule element against the gold clause spans.

Only the synthetic corpus knows the gold alignment. For every link (rule element -> clause spans) features are ranked by
their mass summed over the tokens of that element; those that overlap the gold spans should come first.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from compliance_xai.attribution.focus import KEYS, SIGNS, mass, read_keys
from compliance_xai.records import Attribution, Example, Link, attribution_from_row


def precision_at_k(mass_F: np.ndarray, gold_F: np.ndarray) -> float:
    """Share of gold features among the ``k`` heaviest, ``k`` being the number of gold features (R-precision).

    From 0 to 1. Features of equal mass at the cut count with their share of gold (the mean over all orders of the tie).

    Examples
    --------
    >>> precision_at_k(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.5
    """
    values, gold = np.asarray(mass_F, dtype=np.float64), np.asarray(gold_F, dtype=bool)
    k = int(gold.sum())
    cut = np.sort(values)[::-1][k - 1]
    above, tied = values > cut, values == cut
    hits = gold[above].sum() + (k - above.sum()) * gold[tied].mean()
    return float(hits / k)


def average_precision(mass_F: np.ndarray, gold_F: np.ndarray) -> float:
    """Precision at every distinct mass, weighted by the gold features that it adds; from 0 to 1.

    The same number as scikit-learn's ``average_precision_score``, whose checks of its input would take most of the
    stage's time: a study asks for tens of thousands of them.

    Examples
    --------
    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([False, True, True]))
    0.5833333333333333
    """
    _, group = np.unique(-np.asarray(mass_F, dtype=np.float64), return_inverse=True)
    gold_G = np.bincount(group, weights=gold_F)
    hits_G, size_G = np.cumsum(gold_G), np.cumsum(np.bincount(group))
    return float((hits_G / size_G * gold_G).sum() / gold_G.sum())


def auroc(mass_F: np.ndarray, gold_F: np.ndarray) -> float:
    """Chance that a gold feature is heavier than another one, ties counted half; from 0 to 1 (Mann-Whitney).

    Examples
    --------
    >>> auroc(np.array([3.0, 2.0, 1.0, 1.0]), np.array([True, False, True, False]))
    0.625
    """
    gold = np.asarray(gold_F, dtype=bool)
    n_gold, n_other = int(gold.sum()), int((~gold).sum())
    above = rankdata(mass_F)[gold].sum() - n_gold * (n_gold + 1) / 2
    return float(above / (n_gold * n_other))


GOLD_MEASURES = {"precision_at_k": precision_at_k, "average_precision": average_precision, "auroc": auroc}
"""Each from masses and which features are gold."""


def chance_average_precision(n_gold: int, n_features: int) -> float:
    """Expected average precision of a random order of ``n`` features, ``R`` of them gold.

    ``(H_n + (R - 1) / (n - 1) * (n - H_n)) / n`` with ``H_n`` the harmonic number, from linearity of expectation over
    positions (Bestgen 2015).

    Examples
    --------
    >>> chance_average_precision(1, 2)  # first (1) or second (1/2), equally likely
    0.75
    """
    if n_features < 2:
        return 1.0
    harmonic = float((1.0 / np.arange(1, n_features + 1)).sum())
    return (harmonic + (n_gold - 1) / (n_features - 1) * (n_features - harmonic)) / n_features


@functools.lru_cache(maxsize=4096)
def chance_variance(n_gold: int, n_features: int) -> tuple[float, float, float]:
    """Variance of each of ``GOLD_MEASURES`` over random orders of ``n`` features, ``R`` of them gold (0 < R < n).

    Precision at k: ``(n - R)**2 / (n**2 (n - 1))``, from the hypergeometric distribution. AUROC: ``(n + 1) / (12 R
    (n - R))``, from the rank-sum statistic (Mann and Whitney 1947). Average precision has no such formula: from
    4,000 random orders, always the same.

    >>> chance_variance(1, 2)[0], chance_variance(1, 2)[2]  # 0 or 1, equally likely
    (0.25, 0.25)
    """
    n, gold = n_features, n_gold
    places_DR = np.random.default_rng((n, gold)).random((4000, n)).argsort(axis=1)[:, :gold]
    hits_R = np.arange(1, gold + 1)
    precisions_D = (hits_R / (np.sort(places_DR, axis=1) + 1)).mean(axis=1)
    return (n - gold) ** 2 / (n**2 * (n - 1)), float(precisions_D.var()), (n + 1) / (12 * gold * (n - gold))


def gold_frame(rows: Iterable[dict[str, Any]], examples: Sequence[Example]) -> pd.DataFrame:
    """Agreement of stored attributions with the gold alignment, link by link.

    Parameters
    ----------
    rows
        Rows of an attribution file, whose target is the example's own rule: the gold alignment holds for no other text.
    examples
        The examples behind the rows.

    Returns
    -------
    pandas.DataFrame
        One row per (id, seed, method, baseline, sign, link): ``id, split, seed, method, baseline, sign, link`` (from
        0), ``kind, n_features, n_gold`` (features that overlap the gold spans), ``n_target_tokens`` (that overlap the
        element), ``precision_at_k, average_precision, auroc, chance_precision`` (n_gold / n_features),
        ``chance_average_precision, identifier_role, number_role, reason`` (why the measures are NaN, else empty).
        Chance for ``auroc`` is 0.5. Empty for a corpus without alignment.
    """
    by_id = {example.id: example for example in examples}
    records = []
    for row in rows:
        attribution = attribution_from_row(row)
        example = by_id[attribution.id]
        for sign in SIGNS:
            for index, link in enumerate(example.alignment):
                records.append(
                    read_keys(row, attribution)
                    | {"sign": sign, "link": index, "kind": link.kind}
                    | _judge_link(attribution, link, sign)
                    | {"identifier_role": example.identifier_role, "number_role": example.number_role}
                )
    return pd.DataFrame.from_records(records, columns=list(_COLUMNS))


_COLUMNS = (
    *(*KEYS, "sign", "link", "kind", "n_features", "n_gold", "n_target_tokens"),
    *GOLD_MEASURES,
    *("chance_precision", "chance_average_precision", "identifier_role", "number_role", "reason"),
)


def _judge_link(attribution: Attribution, link: Link, sign: str) -> dict[str, Any]:
    gold_F = np.array(
        [any(f.start < end and start < f.end for start, end in link.spans) for f in attribution.features], dtype=bool
    )
    tokens_T = attribution.tokens_in(link.start, link.end)
    mass_F = mass(attribution.scores[:, tokens_T], sign)
    n_features, n_gold, n_tokens = len(gold_F), int(gold_F.sum()), int(tokens_T.sum())
    problems = {
        "no feature overlaps the gold spans": n_gold == 0,
        "every feature is gold": n_gold == n_features,
        "no target token overlaps the element": n_tokens == 0,
        "no mass towards the element": not mass_F.sum() > 0,
    }
    reason = next((reason for reason, holds in problems.items() if holds), "")
    return {
        **{"n_features": n_features, "n_gold": n_gold, "n_target_tokens": n_tokens},
        **{name: np.nan if reason else measure(mass_F, gold_F) for name, measure in GOLD_MEASURES.items()},
        "chance_precision": n_gold / n_features if n_gold else np.nan,
        "chance_average_precision": chance_average_precision(n_gold, n_features) if n_gold else np.nan,
        "reason": reason,
    }
