"""The statements behind each claim: one for every comparison that the claim speaks of, from the stages' tables.

A statement says whether an effect exists, how big it is, how sure that is, and how many views agree. It is about the
declared primary view. The other views are repeated measurements of the same thing, so they are counted, not tested one
by one.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from compliance_xai.stats.competence import name_cells
from compliance_xai.stats.contrasts import DIRECT
from compliance_xai.stats.declared import Declared
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, TRAINED
from compliance_xai.stats.size_steps import SLOPE, STEP, TUNING, WHOLE
from compliance_xai.study.labels import label_of, size_label, strategy_label
from compliance_xai.study.stage_settings import Thresholds

YES, NO, OPEN = "yes", "no", "open"
WIDE = "the interval holds both no effect and one of interest"
SMALLER, LARGER = "smaller than the smallest effect of interest", "an effect of interest"

LIFTS = {
    "numerical_constraint": "numbers, units and comparators",
    "rule_identifier_all": "rule identifiers and references",
}
"""The two outcomes of C3: category of words, and what readers call it."""

OVER_CHANCE = "semantic_over_chance"
"""Semantic similarity with chance taken off (``competence.correct_for_chance``)."""

BEST = {"exact": 1.0, "equivalent": 1.0, "lrml_f1": 100.0}
"""The best that each outcome of C4 can be."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One comparison in the primary view, and what the other views say to it."""

    claim: str
    comparison: str
    """Which claim it belongs to, and what is compared, in words."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str
    """The effect with its 95 % interval for other clauses and other trainings (90 % for a plateau); positive speaks for
    the claim. None where it could not be computed."""
    p: float | None = None
    p_smallest: float | None = None
    """Of the test that there is no effect, and the least it could have been; for a plateau of the test that the change
    is beyond the margin."""
    beyond_zero: float | None = None
    beyond_margin: float | None = None
    margin: float
    """One-sided confidence that the effect is larger than zero, and than the smallest effect of interest."""
    size: str = ""
    """The effect in a word."""
    agree: int = 0
    beyond: int = 0
    views: int = 0
    """How many of the other views have an effect on the same side, how many beyond the smallest effect of interest, and
    how many there are."""
    second: str = "not asked"
    second_value: float | None = None
    second_low: float | None = None
    second_high: float | None = None
    """What the second method says (``same direction``, ``unclear``, ``opposite direction`` or ``not asked``), and its
    effect with a 95 % interval in units of its own range, since methods differ in how far they spread."""
    n_clauses: int = 0
    n_runs: int = 0
    """Clauses and pairs of runs behind it."""
    left_out: str
    """Cells that did not pass the gate."""
    answer: str
    sentence: str
    doubt: str
    """``yes``, ``no`` or ``open``; what was found, as a sentence; and why it stays open, else empty."""


@dataclass(frozen=True)
class Views:
    """One comparison as seen in the primary view, in the others of the main method, and by the second method.

    Effects are on a scale where zero is none and ``margin`` is the smallest effect of interest; positive speaks for the
    claim. Each is (value, error, degrees of freedom); NaN where unknown.
    """

    primary: tuple[float, float, float]
    others: tuple[tuple[float, float, float], ...]
    second: tuple[float, float, float] | None
    margin: float

    def confidence(self, bound: float) -> float:
        """One-sided confidence that the primary effect exceeds a bound."""
        value, error, dof = self.primary
        return float(stdtr(dof, (value - bound) / error)) if error > 0 else math.nan

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Of the primary effect."""
        return interval_of(self.primary, confidence)

    @property
    def sign(self) -> float:
        """The side of zero that the primary effect is on."""
        return math.copysign(1.0, self.primary[0])

    @property
    def agree(self) -> int:
        """Other views whose effect is on the same side."""
        return sum(self.sign * value > 0 for value, _, _ in self.others)

    @property
    def beyond(self) -> int:
        """Other views whose effect is on the same side and larger than the margin."""
        return sum(self.sign * value > self.margin for value, _, _ in self.others)

    @property
    def second_says(self) -> str:
        """A second method is asked for the direction: its own size depends on its own range."""
        if self.second is None or math.isnan(self.second[0]):
            return "not asked"
        if self.sign * self.second[0] > 0:
            return "same direction"
        low, high = interval_of(self.second, 0.95)
        return "opposite direction" if (high < 0 if self.sign > 0 else low > 0) else "unclear"


def interval_of(effect: tuple[float, float, float], confidence: float = 0.95) -> tuple[float, float]:
    """Central t interval of (value, error, degrees of freedom)."""
    value, error, dof = effect
    reach = float(stdtrit(dof, (1 + confidence) / 2)) * error if dof > 0 else math.nan
    return value - reach, value + reach


def decide(views: Views, p: float, limits: Thresholds, falling: Sequence[str] = ()) -> tuple[str, str]:
    """Does the comparison speak for the claim? The rule in force, for C1 to C3.

    Yes: the effect exists (p at most ``alpha``) on the claim's side, at least the share ``min_agreement`` of the other
    views has it there too, and the second method does not find the opposite. No: it exists on the other side under the
    same conditions, or it is surely smaller than the smallest effect of interest. Otherwise open, and why.
    """
    if not math.isfinite(views.primary[0]):
        return OPEN, "it could not be computed"
    exists = p <= limits.alpha
    share = views.agree / len(views.others) if views.others else 1.0
    if exists and views.second_says == "opposite direction":
        return OPEN, "the second method of attribution finds the opposite"
    if exists and share < limits.min_agreement:
        return OPEN, f"only {views.agree} of {len(views.others)} other views agree on the direction"
    if exists and views.sign > 0 and falling:
        return OPEN, f"it falls from {', '.join(falling)}, so the sizes do not agree"
    if exists:
        return (YES, "") if views.sign > 0 else (NO, "")
    _, high = views.interval()
    if high < views.margin:
        return NO, ""
    return OPEN, WIDE


def decide_plateau(
    steps: Sequence[tuple[float, float, float]], level: float, best: float, *, margin: float, alpha: float
) -> tuple[str, str]:
    """C4: a rise by more than the margin, then a step that surely stays within it (two one-sided tests).

    Schuirmann (1987): the interval of the last step, of confidence ``1 - 2 alpha``, lies inside the margin.

    ``steps``: each step between neighbouring sizes: (value, error, degrees of freedom). ``level``, ``best``: the score
    of the largest model, and the best possible one.
    """
    bounds = [interval_of(step, 1 - 2 * alpha) for step in steps]
    low, high = bounds[-1]
    if low > margin or high < -margin:
        return NO, ""
    if level + margin >= best:
        return OPEN, f"the largest model is at the ceiling of the score ({level:.3g} of {best:g})"
    if not (-margin < low and high < margin):
        return OPEN, "the interval of the last step reaches beyond the margin"
    if not any(rise > margin for rise, _ in bounds[:-1]):
        return OPEN, "no earlier step surely rose by more than the margin"
    return YES, ""


def share(log_excess: float) -> float:
    """A share of the squared distance, or of words fewer, from its log."""
    return -math.expm1(-log_excess)


def band_of(value: float, bands: tuple[float, ...]) -> str:
    """Negligible, small, moderate or large.

    >>> [band_of(value, (0.05, 0.15, 0.3)) for value in (0.01, 0.1, 0.2, 0.5)]
    ['negligible', 'small', 'moderate', 'large']
    """
    return ("negligible", "small", "moderate", "large")[sum(value >= bound for bound in bands)]


def percent(value: float, low: float, high: float, *, sign: str = "") -> str:
    """A share with its interval in per cent.

    >>> percent(0.123, 0.08, 0.15), percent(0.123, math.nan, math.nan)
    ('12 % [8, 15]', '12 % (no interval)')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{100 * value:{sign}.0f} % (no interval)"
    return f"{100 * value:{sign}.0f} % [{100 * low:{sign}.0f}, {100 * high:{sign}.0f}]"


def say_p(p: float, smallest: float) -> str:
    """A p-value; where it is the least that the design can give, a bound.

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

    def asked(self, frame: pd.DataFrame) -> pd.Series:
        """Which rows are those of the second method."""
        return (frame["method"] == self.declared.second_method) & (frame["sign"] == self.declared.primary["sign"])

    def level_of_second(self, frame: pd.DataFrame, column: str) -> float:
        """The size of a number that the second method found; NaN where it was not asked."""
        found = frame.loc[self.asked(frame), column]
        return abs(float(found.iloc[0])) if len(found) else math.nan

    def views(self, rows: pd.DataFrame, effect: str, margin: float, turn: float | pd.Series = 1.0) -> Views | None:
        """One comparison in all views, a row for each; None where the primary view has no effect.

        Effects are multiplied by ``turn``: -1 where what speaks for the claim is negative.
        """
        numbers = rows.assign(**{effect: rows[effect].astype(float) * turn})[[effect, "error", "dof"]].astype(float)
        effects = list(numbers.itertuples(index=False, name=None))
        main = (rows["method"] == self.declared.method).to_numpy()
        own = (rows[list(self.declared.primary)] == list(self.declared.primary.values())).all(axis=1).to_numpy()
        asked = np.flatnonzero(self.asked(rows))
        if not own.any() or not math.isfinite(effects[int(np.flatnonzero(own)[0])][0]):
            return None
        others = tuple(effects[i] for i in np.flatnonzero(main & ~own) if math.isfinite(effects[i][0]))
        second = effects[int(asked[0])] if len(asked) else None
        return Views(effects[int(np.flatnonzero(own)[0])], others, second, margin)

    def pair(self, name: str, a: str, b: str, measure: str) -> pd.DataFrame:
        """Rows of a pair of strategies over all sizes; ``turn`` is 1, or -1 where ``a`` is the second of the pair."""
        frame = self.frames[name]
        chosen = frame["strategy_a"].isin([a, b]) & frame["strategy_b"].isin([a, b]) & (frame["measure"] == measure)
        if "scale" in frame:
            chosen &= frame["scale"] == ALL_SCALES
        rows = frame[chosen]
        return rows.assign(turn=np.where(rows["strategy_a"] == a, 1.0, -1.0))

    def sizes(self, measure: str) -> pd.DataFrame:
        """Changes of a measure with size inside the family that has most sizes."""
        frame = self.frames["sizes"]
        family = self.declared.families[self.declared.largest_family[0]]
        return frame[(frame["measure"] == measure) & (frame["family"] == family)]

    def at_equal_loss(self, full: str, other: str) -> dict[str, float]:
        """Other strategies that train everything and end at the validation loss of ``other``: name -> the difference.

        They are trained for fewer or more steps and annealed like all others, so nothing but the loss is made equal.
        """
        losses = self.frames["runs"].groupby(["strategy", "scale"], observed=True)["validation_loss"].mean()
        found = {}
        for name in (name for name, kind in self.declared.kinds.items() if kind == "full" and name != full):
            if {name, other} <= set(losses.index.get_level_values("strategy")):
                ratio = (losses.loc[name] / losses.loc[other]).dropna()
                away = float(np.abs(np.log(ratio)).max()) if len(ratio) else math.inf
                if away <= math.log1p(self.declared.thresholds.matched_loss):
                    found[name] = math.expm1(away)
        return found


@dataclass(frozen=True)
class Comparison:
    """What a statement is about: its claim, its name, the unit of its effect, and how to show it in that unit."""

    evidence: Evidence
    claim: str
    name: str
    unit: str
    margin: float
    strategies: tuple[str, ...]
    show: Callable[[float], float] = float

    @property
    def about(self) -> dict[str, Any]:
        """The fields of a statement that its numbers do not decide."""
        out = name_cells(frozenset(cell for cell in self.evidence.failing if cell[1] in self.strategies))
        return {"claim": self.claim, "comparison": self.name, "unit": self.unit, "margin": self.margin, "left_out": out}

    def state(
        self,
        views: Views,
        row: Mapping[str, Any],
        *,
        p: float,
        answer: tuple[str, str],
        size: str,
        sentence: str,
        smallest: float = math.nan,
        second_range: float = math.nan,
        confidence: float = 0.95,
    ) -> Statement:
        """A statement with these numbers."""
        effect = (views.primary[0], *views.interval(confidence))
        second = (views.second[0], *interval_of(views.second)) if views.second else (math.nan,) * 3
        numbers = dict(zip(("value", "low", "high"), map(self.show, effect), strict=True))
        numbers |= {"p": p, "p_smallest": smallest}
        numbers |= {"beyond_zero": views.confidence(0.0), "beyond_margin": views.confidence(views.margin)}
        numbers |= {
            f"second_{end}": one / second_range for end, one in zip(("value", "low", "high"), second, strict=True)
        }
        rounded: dict[str, Any] = {name: _number(number) for name, number in numbers.items()}
        return Statement(
            **self.about, size=size, agree=views.agree, beyond=views.beyond, views=len(views.others),
            second=views.second_says, n_clauses=int(row["n_clauses"]), answer=answer[0], doubt=answer[1],
            sentence=sentence,
            n_runs=int(row["n_runs"] if "n_runs" in row else row["n_seeds"] * row["n_scales"]),
            **rounded,
        )  # fmt: skip

    def nothing(self, rows: list[dict[str, Any]]) -> Statement:
        """A statement about a comparison that could not be made."""
        reason = str(rows[0]["reason"]) if rows and rows[0]["reason"] else "the tables hold no such comparison"
        out, told = self.about["left_out"], f"{self.name}: nothing could be computed."
        doubt = f"{reason} (not counted: {out})" if out else reason
        return Statement(**self.about, answer=OPEN, doubt=doubt, sentence=told)


def _number(value: float) -> float | None:
    """Six digits, which machines that add in different orders agree on."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _name_pair(a: str, b: str) -> str:
    first = strategy_label(a)
    return f"{first[:1].upper()}{first[1:]} and {strategy_label(b)}"


Found = Iterator[tuple[Statement, list[str]]]
"""A claim's statements, each with sentences that belong beside it."""


def patterns_differ(evidence: Evidence) -> Found:
    """C1: the strategy's share of the squared distance between patterns."""
    test = evidence.declared.tests.C1
    margin = -math.log1p(-test.bands[0])
    for full, other in evidence.declared.pairs:
        names = _name_pair(full, other)
        case = Comparison(evidence, "C1", names, "share of the squared distance", test.bands[0], (full, other), share)
        rows = evidence.pair("patterns", full, other, test.outcome)
        rows = rows.assign(excess=-np.log1p(-rows["share"].to_numpy(dtype=float)))
        views, own = evidence.views(rows, "excess", margin), evidence.primary(rows)
        if views is None:
            yield case.nothing(own), []
            continue
        (row,) = own
        p, smallest = row["p_runs"], row["p_runs_smallest"]
        answer = decide(views, p, evidence.declared.thresholds)
        if views.sign < 0 and answer[0] == NO and not views.interval()[1] < margin:
            answer = OPEN, WIDE  # below zero by chance: no two patterns are closer than the same
        size = band_of(row["share"], test.bands)
        low, high = map(share, views.interval())
        told = f"{percent(row['share'], low, high)} of the squared distance between two runs is due to the strategy"
        exists = p <= evidence.declared.thresholds.alpha
        verb = "read differently" if exists else "are not shown to read differently"
        sentence = f"{names} {verb} ({say_p(p, smallest)}): {told} ({size})."
        beside = [f"{compare_spread(row, full, other)[1]}."]
        for name, away in evidence.at_equal_loss(full, other).items():
            for same in evidence.primary(evidence.pair("patterns", name, other, test.outcome)):
                told = percent(*(same[part] for part in ("share", "share_low", "share_high")))
                beside.append(f"At equal validation loss ({name}, at most {away:.0%} away): {told} of the distance.")
        numbers = {"p": p, "smallest": smallest, "second_range": 1.0}
        yield case.state(views, row, **numbers, answer=answer, size=size, sentence=sentence), beside


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


def more_focused(evidence: Evidence) -> Found:
    """C2: how many words fewer full fine-tuning rests on (total effect); the direct effect beside."""
    margin = evidence.declared.tests.C2.margin
    for full, other in evidence.declared.pairs:
        names = _name_pair(full, other)
        case = Comparison(evidence, "C2", names, "share of words fewer", margin, (full, other), share)
        rows = evidence.pair("contrasts", full, other, "log_words")
        views = evidence.views(rows, "difference", -math.log1p(-margin), -rows["turn"])
        own = evidence.primary(rows)
        if views is None:
            yield case.nothing(own), []
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
        # How far the second method's number of words moves from the untouched base to full fine-tuning.
        moved = evidence.level_of_second(evidence.pair("contrasts", CONTROL, full, "log_words"), "difference")
        direct = evidence.pair("controls", full, other, "log_words")
        beside = [
            f"At {DIRECT} (the direct effect): {_fewer(same, 'estimate')} fewer words than {strategy_label(other)}."
            for same in evidence.primary(direct[direct["control"] == DIRECT])[:1]
            if math.isfinite(same["estimate"])
        ]
        for name, away in evidence.at_equal_loss(full, other).items():
            beside += [
                f"At equal validation loss ({name}, at most {away:.0%} away): {_fewer(same, 'difference')} fewer words."
                for same in evidence.primary(evidence.pair("contrasts", name, other, "log_words"))
            ]
        numbers = {"p": p, "smallest": smallest, "second_range": moved}
        answer = decide(views, p, evidence.declared.thresholds)
        yield case.state(views, row, **numbers, answer=answer, size=size, sentence=sentence), beside


def _fewer(row: Mapping[str, Any], effect: str) -> str:
    """The share of words fewer, from a difference of logs."""
    bounds = sorted(-row["turn"] * row[end] for end in ("low", "high"))
    return percent(*map(share, (-row["turn"] * row[effect], *bounds)))


def weight_rises(evidence: Evidence) -> Found:
    """C3: how the weight of two kinds of words changes with size; the untouched base's change beside."""
    declared = evidence.declared
    margin, lifts = declared.tests.C3.margin, evidence.sizes("log_lift")
    for category, label in LIFTS.items():
        own = lifts[lifts["category"] == category]
        trained = own[own["strategy"] == TRAINED]
        slopes = evidence.primary(trained[trained["kind"] == SLOPE])
        line = bool(slopes) and not slopes[0]["line_p"] <= declared.thresholds.alpha
        kind, over = (
            (SLOPE, "for ten times the parameters") if line else (WHOLE, "from the smallest to the largest model")
        )
        case = Comparison(evidence, "C3", label, f"more weight {over}", margin, tuple(declared.deciding), math.expm1)
        rows = evidence.primary(trained[trained["kind"] == kind])
        views = evidence.views(trained[trained["kind"] == kind], "change", math.log1p(margin))
        if views is None:
            yield case.nothing(rows), []
            continue
        (row,) = rows
        p, smallest = max(row["p"], row["p_runs"]), row["p_runs_smallest"]
        steps = evidence.primary(trained[trained["kind"] == STEP])
        falling = [_name_step(step) for step in steps if step["high"] < 0]
        told = percent(*map(math.expm1, (views.primary[0], *views.interval())), sign="+")
        by_step = "; ".join(f"{_name_step(step)} {_change(step)}" for step in steps)
        sentence = f"Weight on {label}: {told} {over}{'' if line else ' (no line fits)'} ({say_p(p, smallest)})"
        # The weight that the second method finds at the largest size.
        level = evidence.level_of_second(trained[trained["kind"] == WHOLE], "mean_b")
        parts = [
            f"{told} {_change(row)}"
            for strategy, told in ((CONTROL, "the untouched base changes by"), (TUNING, "fine-tuning adds"))
            for row in evidence.primary(own[(own["strategy"] == strategy) & (own["kind"] == WHOLE)])
            if math.isfinite(row["change"])
        ]
        beside = [f"Weight on {label}, smallest to largest model: {'; '.join(parts)}."] if parts else []
        numbers = {"p": p, "smallest": smallest, "second_range": level}
        size = LARGER if abs(views.primary[0]) >= math.log1p(margin) else SMALLER
        told, answer = f"{sentence}; step by step: {by_step}.", decide(views, p, declared.thresholds, falling)
        yield case.state(views, row, **numbers, answer=answer, size=size, sentence=told), beside


def _name_step(step: Mapping[str, Any]) -> str:
    return f"{size_label(step['a'])} to {size_label(step['b'])}"


def _change(row: Mapping[str, Any]) -> str:
    return percent(*(math.expm1(row[name]) for name in ("change", "low", "high")), sign="+")


def levels_off(evidence: Evidence) -> Found:
    """C4: does correctness stop rising? Semantic similarity with chance taken off beside."""
    test, alpha = evidence.declared.tests.C4, evidence.declared.thresholds.alpha
    margin, label = test.margin, label_of(test.outcome)
    name = f"{label.text}, last step"
    case = Comparison(evidence, "C4", name, label.axis, margin, tuple(evidence.declared.deciding))
    steps = _steps_of(evidence, test.outcome)
    if not steps or not all(math.isfinite(step["error"]) for step in steps):
        yield case.nothing(steps[-1:]), []
        return
    effects = [(float(step["change"]), float(step["error"]), float(step["dof"])) for step in steps]
    bounds = [interval_of(effect, 1 - 2 * alpha) for effect in effects]
    last, views = steps[-1], Views(effects[-1], (), None, margin)
    answer = decide_plateau(effects, last["mean_b"], BEST[test.outcome], margin=margin, alpha=alpha)
    told = "; ".join(
        f"{_name_step(step)} {step['change']:+.3g} [{low:+.3g}, {high:+.3g}]"
        for step, (low, high) in zip(steps, bounds, strict=True)
    )
    sentence = f"{label.text[:1].upper()}{label.text[1:]}, step by step: {told} (90 % intervals, margin {margin:g})."
    similar = "; ".join(
        f"{_name_step(step)} {step['change']:+.3f} [{step['low']:+.3f}, {step['high']:+.3f}]"
        for step in _steps_of(evidence, OVER_CHANCE)
        if math.isfinite(step["change"])
    )
    beside = f"Semantic similarity with chance taken off (0: as close as another rule), step by step: {similar}."
    statement = case.state(
        views, last, p=max(1 - views.confidence(-margin), views.confidence(margin)), answer=answer,
        size="level" if answer[0] == YES else "not shown to be level", sentence=sentence, confidence=1 - 2 * alpha,
    )  # fmt: skip
    yield statement, [beside] if similar else []


def _steps_of(evidence: Evidence, measure: str) -> list[dict[str, Any]]:
    rows = evidence.sizes(measure)
    return rows[(rows["strategy"] == TRAINED) & (rows["kind"] == STEP)].to_dict("records")  # pyright: ignore
