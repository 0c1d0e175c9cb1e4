"""Does attribution find errors? How well signals rank wrong elements of generated rules, and predict them.

The signals are those of ``attribution.elements``. Elements of one clause stay together: they are resampled, and
left out of a regression, as a whole. ``review_flags`` chooses with these areas what a reviewer reads first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.elements import ATTRIBUTION
from compliance_xai.stats.frames import groups
from compliance_xai.stats.summary import interval, resample_counts

FOLDS = 5
LEAST_WRONG = 5
"""Fewest clauses with a wrong element, and without one, for an area or a regression."""


def weighted_auroc(values: np.ndarray, wrong: np.ndarray, clusters: np.ndarray, weights_BC: np.ndarray) -> np.ndarray:
    """Area under the ROC curve with cluster ``c`` counted ``weights_BC[b, c]`` times: shape (B,).

    Ties count half (Mann-Whitney); NaN where one class is missing. Every pair of clusters is compared once, whatever
    the number of replicates.
    """
    _, group = np.unique(values, return_inverse=True)
    n_groups, n_clusters = int(group.max()) + 1, weights_BC.shape[1]
    place = clusters * n_groups + group
    sides = [np.bincount(place[wrong == side], minlength=n_clusters * n_groups) for side in (True, False)]
    wrong_CG, right_CG = (counts.reshape(n_clusters, n_groups).astype(np.float64) for counts in sides)
    hits_CC = wrong_CG @ (np.cumsum(right_CG, axis=1) - right_CG / 2).T
    weights = weights_BC.astype(np.float64)
    pairs_B = (weights @ wrong_CG.sum(axis=1)) * (weights @ right_CG.sum(axis=1))
    hits_B = ((weights @ hits_CC) * weights).sum(axis=1)
    return np.divide(hits_B, pairs_B, out=np.full(len(weights), np.nan), where=pairs_B > 0)


def rank_signals(
    frame: pd.DataFrame, signals: Sequence[str], *, against: str | None = None, bootstrap: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """How well each signal tells wrong elements from right ones.

    ``frame``: ``split, id`` (clause), ``wrong`` and the signals, one row per element. ``against``: a signal; the
    difference of every other one's area to it is given too, on the same resamples.

    Columns: ``split, signal, n_elements, n_wrong, n_clauses, auroc, low, high`` (95 % percentile bootstrap over
    clauses, all elements of a clause together, whichever model wrote them), ``difference, difference_low,
    difference_high``, ``reason`` (why there is no area, else empty). Chance is 0.5.
    """
    records = []
    for keys, group in groups(frame, ["split"]):
        complete = group.dropna(subset=list(signals)).reset_index(drop=True)
        counts = {"n_elements": len(complete), "n_wrong": int(complete["wrong"].sum())}
        clusters, names = pd.factorize(complete["id"], sort=True)
        reason = too_few(complete)
        areas = {}
        if not reason:
            weights = np.vstack([np.ones(len(names)), resample_counts(len(names), bootstrap, seed)])
            wrong = complete["wrong"].to_numpy(dtype=bool)
            areas = {
                name: weighted_auroc(complete[name].to_numpy(dtype=float), wrong, clusters, weights) for name in signals
            }
        for name in signals:
            record: dict[Any, Any] = keys | {"signal": name} | counts | {"n_clauses": len(names), "reason": reason}
            more = areas[name] - areas[against] if against in areas and against != name else None
            for centre, prefix, values in (("auroc", "", areas.get(name)), ("difference", "difference_", more)):
                if values is not None:
                    ends = interval(values[1:][~np.isnan(values[1:])])
                    record |= {centre: float(values[0]), f"{prefix}low": ends[0], f"{prefix}high": ends[1]}
            records.append(record)
    columns = ["split", "signal", "n_elements", "n_wrong", "n_clauses", "auroc", "low", "high"]
    columns += ["difference", "difference_low", "difference_high", "reason"]
    return pd.DataFrame.from_records(records, columns=columns)


def too_few(frame: pd.DataFrame) -> str:
    """Why these elements allow no area and no regression, or an empty text."""
    wrong = frame.groupby("id")["wrong"].any() if len(frame) else frame["wrong"]
    right = frame.groupby("id")["wrong"].all() if len(frame) else frame["wrong"]
    n_wrong, n_right = int(wrong.sum()), int((~right.astype(bool)).sum())
    if min(n_wrong, n_right) < LEAST_WRONG:
        side, count = ("a wrong", n_wrong) if n_wrong <= n_right else ("a right", n_right)
        return f"{count} clauses with {side} element, at least {LEAST_WRONG} are needed"
    return ""


def predict_wrong(elements: pd.DataFrame, models: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Probability that each element is wrong, by logistic regressions that have seen no element of its clause.

    ``elements``: as for ``rank_signals``; their clauses are divided into five folds. ``models``: name of a regression
    -> the signals that it is given.

    The elements with all signals, in their order, with a column for each model; empty where ``too_few``.
    """
    from sklearn.model_selection import GroupKFold

    needed = sorted({name for names in models.values() for name in names})
    elements = elements.dropna(subset=needed).reset_index(drop=True)
    if too_few(elements):
        return elements.iloc[:0].assign(**dict.fromkeys(models, np.nan))
    predicted = {}
    for model, names in models.items():
        x, y = elements[list(names)].to_numpy(dtype=float), elements["wrong"].to_numpy(dtype=bool)
        probability = np.full(len(elements), np.nan)
        for seen, unseen in GroupKFold(FOLDS).split(x, y, elements["id"]):
            # A fold without a wrong element would have nothing to learn from; its elements get the share of wrong ones.
            both = 0 < y[seen].sum() < len(seen)
            probability[unseen] = (
                fit_regression(x[seen], y[seen]).predict_proba(x[unseen])[:, 1] if both else y[seen].mean()
            )
        predicted[model] = probability
    return elements.assign(**predicted)


def fit_regression(x: np.ndarray, y: np.ndarray) -> Any:
    """A pipeline of standardisation and logistic regression, fitted to signals and whether each element is wrong."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)


def describe_gain(signals: pd.DataFrame) -> list[str]:
    """Does attribution find errors better than how unlikely a token was? A sentence for each split, from intervals.

    ``signals`` is ``rank_signals`` against ``unlikely``.
    """
    sentences = []
    for split in dict.fromkeys(signals["split"]):
        where = "On the held-out context" if split == "document" else "On contexts that were trained on"
        single = signals[(signals["split"] == split) & signals["signal"].isin(ATTRIBUTION)]
        plain = signals[(signals["split"] == split) & (signals["signal"] == "unlikely")]
        if single["auroc"].isna().all() or plain["auroc"].isna().all():
            sentences.append(f"{where}: no area ({signals.loc[single.index[0], 'reason']}).")
            continue
        best, plain = single.loc[single["auroc"].idxmax()], plain.iloc[0]
        compared = "better" if best["difference_low"] > 0 else "worse" if best["difference_high"] < 0 else ""
        sentences.append(
            f"{where}: the best single signal of attribution reaches an area of {best['auroc']:.2f} "
            f"[{best['low']:.2f}, {best['high']:.2f}], the likelihood of the token alone {plain['auroc']:.2f} "
            f"[{plain['low']:.2f}, {plain['high']:.2f}]; attribution is {compared or 'not shown to differ'}."
        )
    return sentences
