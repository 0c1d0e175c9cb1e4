"""How well signals and flags find errors, where thresholds are, and how likely each part of a rule is wrong.

Thresholds and the model of risk come from a validation split alone; their precision and recall are measured there and,
out of sample, on other splits. Items of one clause stay together: they are resampled, and left out of a regression, as
a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.elements import ATTRIBUTION, BASELINES, SIGNALS
from compliance_xai.attribution.review_items import PART, RULE, WORD
from compliance_xai.stats.frames import groups
from compliance_xai.stats.summary import bootstrap_ratio, interval, resample_counts
from compliance_xai.study.labels import label_of


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
    "disputed": Flag("half or more of the study's other models write it otherwise", PART, "disputed"),
    "unread": Flag("nothing in the rule rests on it: was it missed?", WORD, "unread", chosen=True),
    "unseen": Flag("the clause has words that no training clause has", RULE, "unseen"),
    "no_duty": Flag("the clause obliges, permits and forbids nothing: does it ask for a rule?", RULE, "no_duty"),
}
"""Every flag, by name."""

ANY = Flag("any flag on a part of the rule", PART, "any")
"""How it goes with all flags on parts together: what has none of them and is wrong, a reviewer is not warned of."""

SAYS = {name: flag.says for name, flag in (FLAGS | {"any": ANY}).items()}

_ALONE = (*BASELINES, "absent")
_ALL = (*SIGNALS, "absent", "disputed")
MODELS = {"without attribution": _ALONE, "with other models": (*_ALONE, "disputed"), "all signals": _ALL}
"""Models of risk: name -> the signals that a logistic regression is given."""

READ = 0.2
"""The share of parts that a hurried reviewer reads."""

FOLDS = 5
LEAST_WRONG = 5
"""Fewest clauses with a wrong element, and without one, for an area or a regression."""

CELL = ("scale", "strategy")

ORDERS = {"random": None, "likelihood": "unlikely", "entropy": "unsure", "risk": "risk"}
"""Orders of reading, by the column whose largest values come first."""


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
        best, plain = single.nlargest(1, "auroc").iloc[0], plain.iloc[0]
        compared = "better" if best["difference_low"] > 0 else "worse" if best["difference_high"] < 0 else ""
        sentences.append(
            f"{where}: the best single signal of attribution reaches an area of {best['auroc']:.2f} "
            f"[{best['low']:.2f}, {best['high']:.2f}], the likelihood of the token alone {plain['auroc']:.2f} "
            f"[{plain['low']:.2f}, {plain['high']:.2f}]; attribution is {compared or 'not shown to differ'}."
        )
    return sentences


def choose_threshold(values: np.ndarray, wrong: np.ndarray) -> float:
    """The value from which on a signal is a flag: that of the largest F1; infinite where nothing is wrong.

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


def mark_disputed(items: pd.DataFrame) -> pd.DataFrame:
    """The items, each part with the share of the other models of its size whose rule for the clause lacks it.

    Other strategies and seeds are other models; where there is none, the share is NaN.
    """
    parts = items[items["item"] == PART]
    model = parts["strategy"] + " " + parts["seed"].astype(str)
    clause = [parts[name] for name in ("scale", "split", "id")]
    others = model.groupby(clause).transform("nunique") - 1
    agree = model.groupby([*clause, parts["kind"], parts["text"]]).transform("nunique") - 1
    return items.assign(disputed=(1 - agree / others.where(others > 0)).reindex(items.index))


def measure_flags(
    items: pd.DataFrame, thresholds: Mapping[str, float], *, bootstrap: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Precision and recall of each flag, and of all on parts together (``any``), split by split.

    ``items``: ``split, id, wrong`` and the columns of ``review_items.list_items``.

    Columns: ``split, flag, threshold, n_items, n_wrong, n_flagged``; ``precision`` (the share of flagged items that
    point at an error) and ``recall`` (the share of such items that are flagged), each with ``_low, _high`` (95 %
    percentile bootstrap over clauses; NaN where nothing is flagged, or wrong).
    """
    items, thresholds, records = items.assign(any=find_flagged(items, thresholds)), {**thresholds, "any": 0.5}, []
    for keys, group in groups(items, ["split"]):
        for name, flag in (FLAGS | {"any": ANY}).items():
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


def find_flagged(items: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.Series:
    """1 for each part that has a flag, else 0; NaN for other items."""
    flags = [items[flag.signal] >= thresholds[name] for name, flag in FLAGS.items() if flag.item == PART]
    return pd.concat(flags, axis=1).any(axis=1).astype(float).where(items["item"] == PART)


def _share(some: np.ndarray, whole: np.ndarray, ids: pd.Series, bootstrap: int, seed: int) -> tuple[float, ...]:
    """How many of ``whole`` are also in ``some``: the share with its interval over clauses."""
    counts = pd.DataFrame({"some": some.astype(float), "whole": whole.astype(float)}).groupby(ids.to_numpy()).sum()
    if counts.empty:
        return (np.nan,) * 3
    return bootstrap_ratio(counts["some"].to_numpy(), counts["whole"].to_numpy(), n_resamples=bootstrap, seed=seed)


@dataclass(frozen=True)
class Risk:
    """The probability that a part is wrong: ``1 / (1 + exp(-(intercept + sum of weight * (signal - mean) / spread)))``.

    ``name`` is its key in ``MODELS``, or a signal; empty where too few parts were wrong, or right, to fit anything:
    then parts are ordered by how unlikely they were, those that the clause does not contain first.
    """

    name: str = ""
    intercept: float = 0.0
    terms: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """Signal -> mean, spread and weight."""

    def predict(self, parts: pd.DataFrame) -> np.ndarray:
        """One probability for each part; signals that are unknown count as their mean."""
        if not self.name:
            unlikely = parts["unlikely"].fillna(0.0).to_numpy(dtype=float)
            return np.maximum(1 / (1 + np.exp(-unlikely)), parts["absent"].fillna(0.0).to_numpy(dtype=float))
        means, spreads, weights = np.array(list(self.terms.values())).T
        scaled = np.nan_to_num((parts[list(self.terms)].to_numpy(dtype=float) - means) / spreads)
        return 1 / (1 + np.exp(-(scaled @ weights + self.intercept)))

    def coefficients(self) -> pd.DataFrame:
        """``name, signal, mean, spread, weight``: a row for each signal, after one for the intercept."""
        rows = [("intercept", 0.0, 1.0, self.intercept), *((name, *term) for name, term in self.terms.items())]
        return pd.DataFrame(rows, columns=["signal", "mean", "spread", "weight"]).assign(name=self.name)

    @classmethod
    def from_coefficients(cls, frame: pd.DataFrame) -> Risk:
        """The model that a frame of ``coefficients`` is about."""
        first, *rest = frame[["signal", "mean", "spread", "weight"]].itertuples(index=False, name=None)
        return cls(str(frame["name"].iloc[0]), first[3], {signal: tuple(term) for signal, *term in rest})


def fit_risk(parts: pd.DataFrame, *, bootstrap: int = 2000, seed: int = 0) -> tuple[Risk, pd.DataFrame]:
    """The model of risk for these parts: more than likelihood only where that ranks errors better, out of sample.

    It starts from likelihood alone. Another single signal, and then each of ``MODELS``, takes the place of the one
    before it if the 95 % interval of the difference of their areas under the ROC curve is above zero; each clause is
    predicted by a regression that has not seen it.
    The table is ``rank_signals`` of every model against the best single signal.
    """
    # Without mass there is nothing to be concentrated; without other models nobody disagrees.
    parts = parts.assign(spread=parts["spread"].fillna(1.0), disputed=parts["disputed"].fillna(0.0), split="validation")
    predicted = predict_wrong(parts, MODELS)

    def rank(*names: str) -> pd.DataFrame:
        """Against the first; by the parts themselves, with why there is no area, if nothing could be predicted."""
        frame = parts if predicted.empty else predicted
        return rank_signals(frame, names, against=names[0], bootstrap=bootstrap, seed=seed)

    best = single = "unlikely"
    if predicted.empty:
        return Risk(), rank(single)
    for name in (*_ALL, *MODELS):
        if name != best and rank(best, name)["difference_low"].iloc[1] > 0:
            best, single = name, name if name in _ALL else single
    signals = MODELS.get(best, (best,))
    scaler, regression = fit_regression(parts[list(signals)].to_numpy(float), parts["wrong"].to_numpy(bool))
    columns = (column.tolist() for column in (scaler.mean_, scaler.scale_, regression.coef_[0]))
    terms = dict(zip(signals, zip(*columns, strict=True), strict=True))
    return Risk(best, float(regression.intercept_[0]), terms), rank(single, *MODELS)


def reading_table(parts: pd.DataFrame, *, read: float = READ, bootstrap: int = 2000, seed: int = 0) -> pd.DataFrame:
    """How many wrong parts are found by reading the most suspect ones of each model, in each of ``ORDERS``.

    ``parts``: ``scale, strategy, split, id, wrong, risk`` and the signals.

    Columns: ``split, order, n_parts, n_wrong, read, found`` (share of the wrong parts among those read; in random order
    the share that is read) with ``low, high`` (95 % percentile bootstrap over clauses).
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


def describe_reading(table: pd.DataFrame, risk: pd.DataFrame) -> list[str]:
    """What reading the riskiest parts finds, in sentences, and which signals give the order.

    ``table``: ``reading_table``. ``risk``: ``scale, strategy`` and ``Risk.coefficients`` of each fine-tuned model.
    """
    if table.empty:
        return ["No fine-tuned model wrote a rule with parts, so there is nothing to review."]
    sentences = []
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
    return [*sentences, *_describe_order(risk)]


def _describe_order(risk: pd.DataFrame) -> list[str]:
    """For how many models several signals give the order, and for how many attribution is among them."""
    signals = risk.groupby(list(CELL), sort=False)["signal"].agg(set)
    names = risk.groupby(list(CELL), sort=False)["name"].first()
    single = Counter(label_of(name).text for name in names if name and name not in MODELS)
    unfitted, joint, said = sum(names == ""), sum(names.isin(list(MODELS))), []
    if unfitted:
        said.append(f"{unfitted} are ordered by likelihood, with too few errors on validation to compare")
    if single:
        counts = ", ".join(f"{name}: {count}" for name, count in single.items())
        said.append(f"{single.total()} by the best single signal ({counts}), since several together are no better")
    if joint:
        said.append(f"{joint} by a regression on several signals, which is better than the best single one")
    used = sum(bool(own & set(ATTRIBUTION)) for own in signals)
    order = f"Of {len(names)} fine-tuned models, {'; '.join(said)}."
    return [order, f"Attribution improves the order of reading for {used or 'none'} of them."]
