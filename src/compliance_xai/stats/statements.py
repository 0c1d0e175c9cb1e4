"""What one comparison says: does an effect exist, how big is it, how sure is that, and how many views agree.

A statement is about the declared primary view. The other views are repeated measurements of the same thing, so they are
counted, not tested one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

YES, NO, OPEN = "yes", "no", "open"
WIDE = "the interval holds both no effect and one of interest"


@dataclass(frozen=True)
class Statement:
    """One comparison in the primary view, and what the other views say to it.

    Attributes
    ----------
    claim, comparison
        Which claim it belongs to, and what is compared, in words.
    value, low, high, unit
        The effect with its 95 % interval for other clauses and other trainings (90 % for a plateau); positive speaks
        for the claim. None where it could not be computed.
    p, p_smallest
        Of the test that there is no effect, and the least it could have been; for a plateau of the test that the
        change is beyond the margin.
    beyond_zero, beyond_margin, margin
        One-sided confidence that the effect is larger than zero, and than the smallest effect of interest.
    size
        The effect in a word.
    agree, beyond, views
        How many of the other views have an effect on the same side, how many beyond the smallest effect of interest,
        and how many there are.
    second, second_value, second_low, second_high
        What the second method says (``same direction``, ``unclear``, ``opposite direction`` or ``not asked``), and its
        effect with a 95 % interval in units of its own range, since methods differ in how far they spread.
    n_clauses, n_runs
        Clauses and pairs of runs behind it.
    left_out
        Cells that did not pass the gate.
    answer, sentence, doubt
        ``yes``, ``no`` or ``open``; what was found, as a sentence; and why it stays open, else empty.
    """

    claim: str
    comparison: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    p: float | None
    p_smallest: float | None
    beyond_zero: float | None
    beyond_margin: float | None
    margin: float
    size: str
    agree: int
    beyond: int
    views: int
    second: str
    second_value: float | None
    second_low: float | None
    second_high: float | None
    n_clauses: int
    n_runs: int
    left_out: str
    answer: str
    sentence: str
    doubt: str


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


def decide(views: Views, p: float, *, alpha: float, min_agreement: float) -> tuple[str, str]:
    """Does the comparison speak for the claim? The rule in force, for C1 to C3.

    Yes: the effect exists (p at most ``alpha``) on the claim's side, at least the share ``min_agreement`` of the other
    views has it there too, and the second method does not find the opposite. No: it exists on the other side under the
    same conditions, or it is surely smaller than the smallest effect of interest.

    Returns
    -------
    answer, doubt
        ``yes``, ``no`` or ``open``, and why it is open.
    """
    if not math.isfinite(views.primary[0]):
        return OPEN, "it could not be computed"
    exists = p <= alpha
    share = views.agree / len(views.others) if views.others else 1.0
    if exists and views.second_says == "opposite direction":
        return OPEN, "the second method of attribution finds the opposite"
    if exists and share < min_agreement:
        return OPEN, f"only {views.agree} of {len(views.others)} other views agree on the direction"
    if exists:
        return (YES, "") if views.sign > 0 else (NO, "")
    _, high = views.interval()
    if high < views.margin:
        return NO, ""
    return OPEN, WIDE


def decide_rise(
    views: Views, p: float, falling: Sequence[str], *, alpha: float, min_agreement: float
) -> tuple[str, str]:
    """C3: as ``decide``, but a rise over all sizes with a step that surely falls (``falling``, in words) stays open."""
    answer, doubt = decide(views, p, alpha=alpha, min_agreement=min_agreement)
    if answer == YES and falling:
        return OPEN, f"it falls from {', '.join(falling)}, so the sizes do not agree"
    return answer, doubt


def decide_plateau(
    steps: Sequence[tuple[float, float, float]], level: float, best: float, *, margin: float, alpha: float
) -> tuple[str, str]:
    """C4: a rise by more than the margin, then a step that surely stays within it (two one-sided tests).

    Schuirmann (1987): the interval of the last step, of confidence ``1 - 2 alpha``, lies inside the margin.

    Parameters
    ----------
    steps
        Each step between neighbouring sizes: (value, error, degrees of freedom).
    level, best
        The score of the largest model, and the best possible one.
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


def gather_views(
    rows: pd.DataFrame,
    primary: Mapping[str, str],
    second_method: str | None,
    effect: str,
    *,
    margin: float,
    turn: Sequence[float] | None = None,
) -> Views | None:
    """``Views`` from the rows of one comparison: one row for each method, baseline and sign; None without the primary.

    Parameters
    ----------
    rows
        ``method, baseline, sign``, ``effect``, ``error, dof``.
    turn
        For each row 1, or -1 where its sides are swapped.
    """
    turns = np.ones(len(rows)) if turn is None else np.asarray(turn)
    columns = (rows[effect].to_numpy(dtype=float) * turns, rows["error"].to_numpy(), rows["dof"].to_numpy())
    effects = [(float(value), float(error), float(dof)) for value, error, dof in zip(*columns, strict=True)]
    main = (rows["method"] == primary["method"]).to_numpy()
    own = main & (rows["baseline"] == primary["baseline"]).to_numpy() & (rows["sign"] == primary["sign"]).to_numpy()
    asked = ((rows["method"] == second_method) & (rows["sign"] == primary["sign"])).to_numpy()
    if not own.any():
        return None
    others = tuple(effects[i] for i in np.flatnonzero(main & ~own) if math.isfinite(effects[i][0]))
    second = effects[int(np.flatnonzero(asked)[0])] if asked.any() else None
    return Views(effects[int(np.flatnonzero(own)[0])], others, second, margin)
