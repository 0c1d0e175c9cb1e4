"""How well flags find errors, where their thresholds are, and how likely each part of a rule is wrong.

Thresholds and the model of risk come from a validation split alone; their precision and recall are measured there and,
out of sample, on other splits. Items of one clause stay together: they are resampled as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.elements import BASELINES, SIGNALS
from compliance_xai.attribution.review_items import PART, RULE, WORD
from compliance_xai.stats.error_detector import fit_regression, predict_wrong, rank_signals
from compliance_xai.stats.frames import groups
from compliance_xai.stats.summary import bootstrap_ratio


@dataclass(frozen=True)
class Flag:
    """A reason to look: what it says, of which items, and the signal that raises it at a threshold."""

    says: str
    item: str
    signal: str
    chosen: bool = False
    """Whether its threshold is chosen on validation; else the signal is 0, or 1 and more."""


FLAGS = {
    "broken": Flag("the text cannot be read as a rule", RULE, "broken"),
    "absent": Flag("the clause does not contain it", PART, "absent"),
    "improbable": Flag("the model was not sure of it", PART, "unlikely", chosen=True),
    "elsewhere": Flag("it rests on other words than those that spell it", PART, "unsupported", chosen=True),
    "unread": Flag("nothing in the rule rests on it: was it missed?", WORD, "unread", chosen=True),
    "unseen": Flag("the clause has words that no training clause has", RULE, "unseen"),
    "no_duty": Flag("the clause obliges, permits and forbids nothing: does it ask for a rule?", RULE, "no_duty"),
}
"""Every flag, by name."""

_NOT_ATTRIBUTED = (*BASELINES, "absent")
MODELS = {"likelihood": ("unlikely",), "without attribution": _NOT_ATTRIBUTED, "all signals": (*SIGNALS, "absent")}
"""Models of risk: name -> the signals that a logistic regression is given; the first is a single signal."""

READ = 0.2
"""The share of parts that a hurried reviewer reads."""

CELL = ("scale", "strategy")

ORDERS = {"random": None, "likelihood": "unlikely", "entropy": "unsure", "risk": "risk"}
"""Orders of reading, by the column whose largest values come first."""


def choose_threshold(values: np.ndarray, wrong: np.ndarray) -> float:
    """The value from which on a signal is a flag: that of the largest F1; infinite where nothing is wrong.

    Examples
    --------
    >>> choose_threshold(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    0.8
    """
    if not wrong.any():
        return float("inf")
    found = [(2 * wrong[values >= at].sum() / ((values >= at).sum() + wrong.sum()), at) for at in np.unique(values)]
    return float(max(found)[1])


def choose_thresholds(items: pd.DataFrame) -> dict[str, float]:
    """For each flag, the threshold that suits these items."""
    found = {}
    for name, flag in FLAGS.items():
        rows = _of_flag(items, flag)
        found[name] = (
            choose_threshold(rows[flag.signal].to_numpy(), rows["wrong"].to_numpy(bool)) if flag.chosen else 0.5
        )
    return found


def _of_flag(items: pd.DataFrame, flag: Flag) -> pd.DataFrame:
    return items[(items["item"] == flag.item) & items[flag.signal].notna()]


def measure_flags(
    items: pd.DataFrame, thresholds: Mapping[str, float], *, bootstrap: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Precision and recall of each flag, split by split.

    Parameters
    ----------
    items
        ``split, id, wrong`` and the columns of ``review_items.list_items``.

    Returns
    -------
    pandas.DataFrame
        ``split, flag, threshold, n_items, n_wrong, n_flagged``; ``precision`` (the share of flagged items that point at
        an error) and ``recall`` (the share of such items that are flagged), each with ``_low, _high`` (95 % percentile
        bootstrap over clauses; NaN where nothing is flagged, or wrong).
    """
    records = []
    for keys, group in groups(items, ["split"]):
        for name, flag in FLAGS.items():
            rows = _of_flag(group, flag)
            flagged = (rows[flag.signal] >= thresholds[name]).to_numpy()
            wrong = rows["wrong"].to_numpy(dtype=bool)
            record: dict[str, Any] = {"flag": name, "threshold": thresholds[name], "n_items": len(rows)}
            record |= {"n_wrong": int(wrong.sum()), "n_flagged": int(flagged.sum())}
            for measure, below in (("precision", flagged), ("recall", wrong)):
                numbers = _share(flagged & wrong, below, rows["id"], bootstrap, seed)
                record |= dict(zip((measure, f"{measure}_low", f"{measure}_high"), numbers, strict=True))
            records.append(keys | record)
    return pd.DataFrame(records)


def _share(some: np.ndarray, whole: np.ndarray, ids: pd.Series, bootstrap: int, seed: int) -> tuple[float, ...]:
    """How many of ``whole`` are also in ``some``: the share with its interval over clauses."""
    counts = pd.DataFrame({"some": some.astype(float), "whole": whole.astype(float)}).groupby(ids.to_numpy()).sum()
    if counts.empty:
        return (np.nan,) * 3
    return bootstrap_ratio(counts["some"].to_numpy(), counts["whole"].to_numpy(), n_resamples=bootstrap, seed=seed)


@dataclass(frozen=True)
class Risk:
    """The probability that a part is wrong: ``1 / (1 + exp(-(intercept + sum of weight * (signal - mean) / spread)))``.

    ``name`` is its key in ``MODELS``; empty where too few parts were wrong, or right, to fit anything: then parts are
    ordered by how unlikely they were, those that the clause does not contain first.
    """

    name: str = ""
    signals: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    intercept: float = 0.0

    def predict(self, parts: pd.DataFrame) -> np.ndarray:
        """One probability for each part; signals that are unknown count as their mean."""
        if not self.name:
            unlikely = parts["unlikely"].fillna(0.0).to_numpy(dtype=float)
            return np.maximum(1 / (1 + np.exp(-unlikely)), parts["absent"].fillna(0.0).to_numpy(dtype=float))
        values = parts[list(self.signals)].to_numpy(dtype=float)
        scaled = np.nan_to_num((values - np.array(self.means)) / np.array(self.spreads))
        return 1 / (1 + np.exp(-(scaled @ np.array(self.weights) + self.intercept)))


def fit_risk(parts: pd.DataFrame, *, bootstrap: int = 2000, seed: int = 0) -> tuple[Risk, pd.DataFrame]:
    """The model of risk for these parts: more signals only where they rank errors better, out of sample.

    A model with more signals takes the place of the one before it in ``MODELS`` if the 95 % interval of the difference
    of their areas under the ROC curve is above zero; each clause is predicted by a regression that has not seen it.

    Returns
    -------
    risk, table
        The model, and ``error_detector.rank_signals`` of every model against the likelihood alone.
    """
    parts = parts.assign(spread=parts["spread"].fillna(1.0))  # without mass there is nothing to be concentrated
    predicted = predict_wrong(parts, models=MODELS)
    table = rank_signals(
        predicted.assign(split="validation"), tuple(MODELS), against="likelihood", bootstrap=bootstrap, seed=seed
    )
    if predicted.empty:
        return Risk(), table
    best = "likelihood"
    for name in tuple(MODELS)[1:]:
        pair = rank_signals(predicted.assign(split=""), (best, name), against=best, bootstrap=bootstrap, seed=seed)
        if pair["difference_low"].iloc[1] > 0:
            best = name
    signals = MODELS[best]
    scaler, regression = fit_regression(parts[list(signals)].to_numpy(float), parts["wrong"].to_numpy(bool))
    columns = (scaler.mean_, scaler.scale_, regression.coef_[0])
    means, scales, weights = (tuple(float(value) for value in column) for column in columns)
    return Risk(best, signals, means, scales, weights, float(regression.intercept_[0])), table


def reading_table(parts: pd.DataFrame, *, read: float = READ, bootstrap: int = 2000, seed: int = 0) -> pd.DataFrame:
    """How many wrong parts are found by reading the most suspect ones of each model, in each of ``ORDERS``.

    Parameters
    ----------
    parts
        ``scale, strategy, split, id, wrong, risk`` and the signals.

    Returns
    -------
    pandas.DataFrame
        ``split, order, n_parts, n_wrong, read, found`` (share of the wrong parts among those read; in random order the
        share that is read) with ``low, high`` (95 % percentile bootstrap over clauses).
    """
    records = []
    for keys, group in groups(parts, ["split"]):
        wrong = group["wrong"].to_numpy(dtype=bool)
        for name, column in ORDERS.items():
            record = {"order": name, "n_parts": len(group), "n_wrong": int(wrong.sum()), "read": read}
            numbers = (read, np.nan, np.nan)
            if column is not None:
                cells = group.groupby(list(CELL), sort=False)[column]
                place = cells.rank(method="first", ascending=False)
                hit = (place <= (read * cells.transform("size")).round()).to_numpy() & wrong
                numbers = _share(hit, wrong, group["id"], bootstrap, seed)
            records.append(keys | record | dict(zip(("found", "low", "high"), numbers, strict=True)))
    return pd.DataFrame(records)


def describe_reading(table: pd.DataFrame, risk: Sequence[str]) -> list[str]:
    """What reading the riskiest parts finds, in sentences, and whether attribution is part of the order.

    Parameters
    ----------
    table
        ``reading_table``.
    risk
        The name of the model of risk of each fine-tuned model.
    """
    sentences = []
    if table.empty:
        return ["No fine-tuned model wrote a rule with parts, so there is nothing to review."]
    for keys, rows in groups(table, ["split"]):
        found = rows.set_index("order")["found"].to_dict()
        first = rows.iloc[0]
        where = "In the held-out context" if keys["split"] == "document" else f"On the {keys['split']} split"
        if not first["n_wrong"]:
            sentences.append(f"{where}: none of {first['n_parts']} parts is wrong, so there is nothing to find.")
            continue
        sentences.append(
            f"{where}: the riskiest {first['read']:.0%} of {first['n_parts']} parts hold {found['risk']:.0%} of the "
            f"{first['n_wrong']} wrong ones; ordered by likelihood {found['likelihood']:.0%}, by entropy "
            f"{found['entropy']:.0%}, at random {found['random']:.0%}."
        )
    used = sum(name == "all signals" for name in risk)
    says = "does not improve the order of reading for any" if not used else f"improves the order of reading for {used}"
    return [*sentences, f"On validation, attribution {says} of {len(risk)} fine-tuned models."]
