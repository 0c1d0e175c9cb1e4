"""The statements behind each claim: one for every comparison that the claim speaks of, from the stages' tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.stats.competence import name_cells
from compliance_xai.stats.controls import DIRECT
from compliance_xai.stats.declared import Declared
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, TRAINED
from compliance_xai.stats.size_steps import SLOPE, STEP, TUNING, WHOLE
from compliance_xai.stats.statements import (
    NO,
    OPEN,
    WIDE,
    YES,
    Statement,
    Views,
    decide,
    decide_plateau,
    decide_rise,
    gather_views,
    interval_of,
)
from compliance_xai.study.labels import label_of, size_label, strategy_label

LIFTS = {
    "numerical_constraint": "numbers, units and comparators",
    "rule_identifier_all": "rule identifiers and references",
}
"""The two outcomes of C3: category of words, and what readers call it."""

OVER_CHANCE = "semantic_over_chance"
"""Semantic similarity with chance taken off (``competence.correct_for_chance``)."""

BEST = {"exact": 1.0, "equivalent": 1.0, "lrml_f1": 100.0}
"""The best that each outcome of C4 can be."""

SMALLER, LARGER = "smaller than the smallest effect of interest", "an effect of interest"
_NAN = (math.nan, math.nan, math.nan)


def share(log_excess: float) -> float:
    """A share of the squared distance, or of words fewer, from its log."""
    return -math.expm1(-log_excess)


def band_of(value: float, bands: tuple[float, ...]) -> str:
    """Negligible, small, moderate or large.

    Examples
    --------
    >>> [band_of(value, (0.05, 0.15, 0.3)) for value in (0.01, 0.1, 0.2, 0.5)]
    ['negligible', 'small', 'moderate', 'large']
    """
    return ("negligible", "small", "moderate", "large")[sum(value >= bound for bound in bands)]


def percent(value: float, low: float, high: float, *, sign: str = "") -> str:
    """A share with its interval in per cent.

    Examples
    --------
    >>> percent(0.123, 0.08, 0.15), percent(0.123, math.nan, math.nan)
    ('12 % [8, 15]', '12 % (no interval)')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{100 * value:{sign}.0f} % (no interval)"
    return f"{100 * value:{sign}.0f} % [{100 * low:{sign}.0f}, {100 * high:{sign}.0f}]"


def say_p(p: float, smallest: float) -> str:
    """A p-value; where it is the least that the design can give, a bound.

    Examples
    --------
    >>> say_p(0.0312, 0.001), say_p(0.0002, 0.0002)
    ('p = 0.031', 'p ≤ 0.0002')
    """
    if not math.isfinite(p):
        return "no test"
    return f"p ≤ {smallest:.2g}" if p <= smallest * 1.5 else f"p = {p:.2g}"


@dataclass(frozen=True)
class Evidence:
    """A study's design, its tables, and the cells that do not pass the gate."""

    declared: Declared
    frames: Mapping[str, pd.DataFrame]
    failing: frozenset[tuple[str, str]]

    def primary(self, frame: pd.DataFrame) -> list[dict[str, Any]]:
        """The rows of the primary view."""
        chosen = self.declared.primary
        rows = frame[(frame[list(chosen)] == list(chosen.values())).all(axis=1)]
        return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]

    def views(self, rows: pd.DataFrame, effect: str, margin: float, turn: Any = None) -> Views | None:
        """``Views`` of one comparison; None where the primary view has no effect."""
        declared = self.declared
        found = gather_views(rows, declared.primary, declared.second_method, effect, margin=margin, turn=turn)
        return found if found is not None and math.isfinite(found.primary[0]) else None

    def decide(self, views: Views, p: float) -> tuple[str, str]:
        """The rule in force, with the study's thresholds."""
        limits = self.declared.thresholds
        return decide(views, p, alpha=limits.alpha, min_agreement=limits.min_agreement)

    def pair(self, name: str, a: str, b: str, measure: str) -> tuple[pd.DataFrame, np.ndarray]:
        """Rows of a pair of strategies over all sizes, and for each 1, or -1 where ``a`` is the second."""
        frame = self.frames[name]
        chosen = frame["strategy_a"].isin([a, b]) & frame["strategy_b"].isin([a, b]) & (frame["measure"] == measure)
        if "scale" in frame:
            chosen &= frame["scale"] == ALL_SCALES
        rows = frame[chosen]
        return rows, np.where(rows["strategy_a"] == a, 1.0, -1.0)

    def sizes(self, measure: str) -> pd.DataFrame:
        """Changes of a measure with size inside the family that has most sizes."""
        frame = self.frames["sizes"]
        family = self.declared.families[self.declared.largest_family[0]]
        return frame[(frame["measure"] == measure) & (frame["family"] == family)]

    def left_out(self, strategies: Iterable[str]) -> str:
        """Which cells of these strategies do not pass the gate, in words."""
        names = set(strategies)
        return name_cells(frozenset(cell for cell in self.failing if cell[1] in names))


@dataclass(frozen=True)
class Comparison:
    """What a statement is about: its claim, its name, the unit of its effect, and how to show it in that unit."""

    claim: str
    name: str
    unit: str
    margin: float
    strategies: tuple[str, ...]
    show: Callable[[float], float] = float

    def state(
        self,
        evidence: Evidence,
        views: Views,
        row: Mapping[str, Any],
        *,
        p: float,
        smallest: float | None,
        answer: tuple[str, str],
        size: str,
        sentence: str,
        second_range: float = math.nan,
        confidence: float = 0.95,
    ) -> Statement:
        """A statement with these numbers."""
        low, high = views.interval(confidence)
        asked = views.second is not None and views.second_says != "not asked"
        second = (views.second[0], *interval_of(views.second)) if asked and views.second else _NAN
        numbers = [self.show(part) for part in (views.primary[0], low, high)]
        numbers += [p, views.confidence(0.0), views.confidence(views.margin), *(part / second_range for part in second)]
        numbers.append(math.nan if smallest is None else smallest)
        names = (
            "value",
            "low",
            "high",
            "p",
            "beyond_zero",
            "beyond_margin",
            "second_value",
            "second_low",
            "second_high",
            "p_smallest",
        )
        runs = row["n_runs"] if "n_runs" in row else row["n_seeds"] * row["n_scales"]
        return Statement(
            claim=self.claim, comparison=self.name, unit=self.unit, margin=self.margin, size=size,
            agree=views.agree, beyond=views.beyond, views=len(views.others), second=views.second_says,
            n_clauses=int(row["n_clauses"]), n_runs=int(runs), left_out=evidence.left_out(self.strategies),
            answer=answer[0], doubt=answer[1], sentence=sentence,
            **dict(zip(names, map(_number, numbers), strict=True)),
        )  # fmt: skip

    def nothing(self, evidence: Evidence, rows: list[dict[str, Any]]) -> Statement:
        """A statement about a comparison that could not be made."""
        out = evidence.left_out(self.strategies)
        reason = str(rows[0]["reason"]) if rows and rows[0]["reason"] else "the tables hold no such comparison"
        empty = ("value", "low", "high", "p", "p_smallest", "beyond_zero", "beyond_margin", "second_value",
                 "second_low", "second_high")  # fmt: skip
        return Statement(
            claim=self.claim, comparison=self.name, unit=self.unit, margin=self.margin, size="", agree=0, beyond=0,
            views=0, second="not asked", n_clauses=0, n_runs=0, left_out=out, answer=OPEN,
            sentence=f"{self.name}: nothing could be computed.",
            doubt=f"{reason} (not counted: {out})" if out else reason, **dict.fromkeys(empty),
        )  # fmt: skip


def _number(value: float) -> float | None:
    """Six digits, which machines that add in different orders agree on."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _name_pair(a: str, b: str) -> str:
    first = strategy_label(a)
    return f"{first[:1].upper()}{first[1:]} and {strategy_label(b)}"


def patterns_differ(evidence: Evidence) -> tuple[list[Statement], list[str]]:
    """C1: the strategy's share of the squared distance between patterns. Statements, and sentences beside them."""
    test, found, beside = evidence.declared.tests.C1, [], []
    margin = -math.log1p(-test.bands[0])
    for full, other in evidence.declared.pairs:
        names = _name_pair(full, other)
        case = Comparison("C1", names, "share of the squared distance", test.bands[0], (full, other), share)
        rows, _ = evidence.pair("patterns", full, other, test.outcome)
        rows = rows.assign(excess=-np.log1p(-rows["share"].to_numpy(dtype=float)))
        views, own = evidence.views(rows, "excess", margin), evidence.primary(rows)
        if views is None:
            found.append(case.nothing(evidence, own))
            continue
        (row,) = own
        p, smallest = row["p_runs"], row["p_runs_smallest"]
        answer = evidence.decide(views, p)
        if views.sign < 0 and answer[0] == NO and not views.interval()[1] < margin:
            answer = OPEN, WIDE  # below zero by chance: no two patterns are closer than the same
        size = band_of(row["share"], test.bands)
        low, high = map(share, views.interval())
        told = f"{percent(row['share'], low, high)} of the squared distance between two runs is due to the strategy"
        exists = p <= evidence.declared.thresholds.alpha
        verb = "read differently" if exists else "are not shown to read differently"
        sentence = f"{names} {verb} ({say_p(p, smallest)}): {told} ({size})."
        found.append(
            case.state(evidence, views, row, p=p, smallest=smallest, answer=answer, size=size, sentence=sentence,
                       second_range=1.0)
        )  # fmt: skip
        beside.append(f"{compare_spread(row, full, other)[1]}.")
        for name, away in _at_equal_loss(evidence, full, other).items():
            for same in evidence.primary(evidence.pair("patterns", name, other, test.outcome)[0]):
                told = percent(*(same[part] for part in ("share", "share_low", "share_high")))
                beside.append(f"At equal validation loss ({name}, at most {away:.0%} away): {told} of the distance.")
    return found, beside


def _at_equal_loss(evidence: Evidence, full: str, other: str) -> dict[str, float]:
    """Other strategies that train everything and end at the validation loss of ``other``: name -> largest difference.

    They are trained for fewer or more steps and annealed like all others, so nothing but the loss is made equal.
    """
    runs = evidence.frames["runs"]
    losses = runs.groupby(["strategy", "scale"], observed=True)["validation_loss"].mean()
    found = {}
    for name in (name for name, kind in evidence.declared.kinds.items() if kind == "full" and name != full):
        if {name, other} <= set(losses.index.get_level_values("strategy")):
            ratio = (losses.loc[name] / losses.loc[other]).dropna()
            away = float(np.abs(np.log(ratio)).max()) if len(ratio) else math.inf
            if away <= math.log1p(evidence.declared.thresholds.matched_loss):
                found[name] = math.expm1(away)
    return found


def compare_spread(row: Mapping[str, Any], full: str, other: str) -> tuple[tuple[float, float, float], str]:
    """How much further apart seeds of the adapter are than seeds of full fine-tuning, with its bounds and in words."""
    value, low, high = row["spread"], row["spread_low"], row["spread_high"]
    if row["strategy_a"] != full:
        value, low, high = 1 / value, 1 / high, 1 / low
    told = (
        f"Two seeds of {strategy_label(other)} are {value:.2f} [{low:.2f}, {high:.2f}] times as far apart as two seeds "
        f"of {strategy_label(full)} ({say_p(row['spread_p_runs'], row['spread_p_runs_smallest'])})"
    )
    return (value, low, high), told


def more_focused(evidence: Evidence) -> tuple[list[Statement], list[str]]:
    """C2: how many words fewer full fine-tuning rests on (total effect); the direct effect beside."""
    margin, found, beside = evidence.declared.tests.C2.margin, [], []
    for full, other in evidence.declared.pairs:
        names = _name_pair(full, other)
        case = Comparison("C2", names, "share of words fewer", margin, (full, other), share)
        rows, turn = evidence.pair("contrasts", full, other, "log_words")
        views = evidence.views(rows, "difference", -math.log1p(-margin), -turn)
        own = evidence.primary(rows)
        if views is None:
            found.append(case.nothing(evidence, own))
            continue
        (row,) = own
        p, smallest = max(row["p"], row["p_runs"]), row["p_runs_smallest"]
        told = f"{percent(*map(share, (views.primary[0], *views.interval())))} fewer words"
        size = LARGER if abs(share(views.primary[0])) >= margin else SMALLER
        exists = p <= evidence.declared.thresholds.alpha
        sentence = (
            f"Full fine-tuning rests on {told} than {strategy_label(other)} ({say_p(p, smallest)}): {size}."
            if exists
            else f"{names} are not shown to rest on different numbers of words: {told} ({say_p(p, smallest)})."
        )
        found.append(
            case.state(evidence, views, row, p=p, smallest=smallest, answer=evidence.decide(views, p), size=size,
                       sentence=sentence, second_range=_range_of_second(evidence, full))
        )  # fmt: skip
        beside += _direct_effect(evidence, full, other)
        for name, away in _at_equal_loss(evidence, full, other).items():
            pair, sides = evidence.pair("contrasts", name, other, "log_words")
            for same in evidence.primary(pair.assign(turn=sides)):
                bounds = sorted(-same["turn"] * same[end] for end in ("low", "high"))
                told = percent(*map(share, (-same["turn"] * same["difference"], *bounds)))
                beside.append(f"At equal validation loss ({name}, at most {away:.0%} away): {told} fewer words.")
    return found, beside


def _range_of_second(evidence: Evidence, full: str) -> float:
    """How far the second method's number of words moves from the untouched base to full fine-tuning; NaN: no base."""
    rows, _ = evidence.pair("contrasts", CONTROL, full, "log_words")
    rows = rows[
        (rows["method"] == evidence.declared.second_method) & (rows["sign"] == evidence.declared.primary["sign"])
    ]
    return abs(float(rows["difference"].iloc[0])) if len(rows) else math.nan


def _direct_effect(evidence: Evidence, full: str, other: str) -> list[str]:
    """At equal total mass and log-probability."""
    rows, turn = evidence.pair("controls", full, other, "log_words")
    chosen = rows["control"] == DIRECT
    found = evidence.primary(rows[chosen].assign(turn=turn[chosen]))
    if not found or not math.isfinite(found[0]["estimate"]):
        return []
    low, high = sorted(-found[0]["turn"] * found[0][end] for end in ("low", "high"))
    told = percent(*map(share, (-found[0]["turn"] * found[0]["estimate"], low, high)))
    return [f"At {DIRECT} (the direct effect): {told} fewer words than {strategy_label(other)}."]


def weight_rises(evidence: Evidence) -> tuple[list[Statement], list[str]]:
    """C3: how the weight of two kinds of words changes with size; the untouched base's change beside."""
    declared, found, beside = evidence.declared, [], []
    margin, lifts = declared.tests.C3.margin, evidence.sizes("log_lift")
    for category, label in LIFTS.items():
        own = lifts[lifts["category"] == category]
        trained = own[own["strategy"] == TRAINED]
        slopes = evidence.primary(trained[trained["kind"] == SLOPE])
        line = bool(slopes) and not slopes[0]["line_p"] <= declared.thresholds.alpha
        kind, over = (
            (SLOPE, "for ten times the parameters") if line else (WHOLE, "from the smallest to the largest model")
        )
        case = Comparison("C3", label, f"more weight {over}", margin, tuple(declared.deciding), math.expm1)
        rows = evidence.primary(trained[trained["kind"] == kind])
        views = evidence.views(trained[trained["kind"] == kind], "change", math.log1p(margin))
        if views is None:
            found.append(case.nothing(evidence, rows))
            continue
        (row,) = rows
        p, smallest = max(row["p"], row["p_runs"]), row["p_runs_smallest"]
        steps = evidence.primary(trained[trained["kind"] == STEP])
        falling = [f"{size_label(step['a'])} to {size_label(step['b'])}" for step in steps if step["high"] < 0]
        limits = declared.thresholds
        answer = decide_rise(views, p, falling, alpha=limits.alpha, min_agreement=limits.min_agreement)
        told = percent(*map(math.expm1, (views.primary[0], *views.interval())), sign="+")
        by_step = "; ".join(
            f"{size_label(step['a'])} to {size_label(step['b'])} "
            + percent(*(math.expm1(step[name]) for name in ("change", "low", "high")), sign="+")
            for step in steps
        )
        sentence = f"Weight on {label}: {told} {over}{'' if line else ' (no line fits)'} ({say_p(p, smallest)})"
        found.append(
            case.state(evidence, views, row, p=p, smallest=smallest, answer=answer,
                       size=LARGER if abs(views.primary[0]) >= math.log1p(margin) else SMALLER,
                       sentence=f"{sentence}; step by step: {by_step}.",
                       second_range=_level_of_second(evidence, trained))
        )  # fmt: skip
        beside += _base_beside(evidence, own, label)
    return found, beside


def _level_of_second(evidence: Evidence, trained: pd.DataFrame) -> float:
    """The weight that the second method finds at the largest size; NaN where there is none."""
    rows = trained[(trained["kind"] == WHOLE) & (trained["method"] == evidence.declared.second_method)]
    rows = rows[rows["sign"] == evidence.declared.primary["sign"]]
    return abs(float(rows["mean_b"].iloc[0])) if len(rows) else math.nan


def _base_beside(evidence: Evidence, own: pd.DataFrame, label: str) -> list[str]:
    """How the untouched base changes over the same sizes, and what fine-tuning adds."""
    parts = []
    for strategy, told in ((CONTROL, "the untouched base changes by"), (TUNING, "fine-tuning adds")):
        for row in evidence.primary(own[(own["strategy"] == strategy) & (own["kind"] == WHOLE)]):
            if math.isfinite(row["change"]):
                numbers = (math.expm1(row[name]) for name in ("change", "low", "high"))
                parts.append(f"{told} {percent(*numbers, sign='+')}")
    return [f"Weight on {label}, smallest to largest model: {'; '.join(parts)}."] if parts else []


def levels_off(evidence: Evidence) -> tuple[list[Statement], list[str]]:
    """C4: does correctness stop rising? Semantic similarity with chance taken off beside."""
    test, alpha = evidence.declared.tests.C4, evidence.declared.thresholds.alpha
    margin, label = test.margin, label_of(test.outcome)
    case = Comparison("C4", f"{label.text}, last step", label.axis, margin, tuple(evidence.declared.deciding))
    steps = _steps_of(evidence, test.outcome)
    if not steps or not all(math.isfinite(step["error"]) for step in steps):
        return [case.nothing(evidence, steps[-1:])], []
    effects = [(float(step["change"]), float(step["error"]), float(step["dof"])) for step in steps]
    bounds = [interval_of(effect, 1 - 2 * alpha) for effect in effects]
    last, views = steps[-1], Views(effects[-1], (), None, margin)
    answer = decide_plateau(effects, last["mean_b"], BEST[test.outcome], margin=margin, alpha=alpha)
    told = "; ".join(
        f"{size_label(step['a'])} to {size_label(step['b'])} {step['change']:+.3g} [{low:+.3g}, {high:+.3g}]"
        for step, (low, high) in zip(steps, bounds, strict=True)
    )
    sentence = f"{label.text[:1].upper()}{label.text[1:]}, step by step: {told} (90 % intervals, margin {margin:g})."
    p = max(1 - views.confidence(-margin), views.confidence(margin))
    statement = case.state(
        evidence, views, last, p=p, smallest=None, answer=answer,
        size="level" if answer[0] == YES else "not shown to be level", sentence=sentence, confidence=1 - 2 * alpha,
    )  # fmt: skip
    similar = "; ".join(
        f"{size_label(step['a'])} to {size_label(step['b'])} {step['change']:+.3f} [{step['low']:+.3f}, "
        f"{step['high']:+.3f}]"
        for step in _steps_of(evidence, OVER_CHANCE)
        if math.isfinite(step["change"])
    )
    beside = f"Semantic similarity with chance taken off (0: as close as another rule), step by step: {similar}."
    return [statement], [beside] if similar else []


def _steps_of(evidence: Evidence, measure: str) -> list[dict[str, Any]]:
    rows = evidence.sizes(measure)
    return rows[(rows["strategy"] == TRAINED) & (rows["kind"] == STEP)].to_dict("records")  # pyright: ignore
