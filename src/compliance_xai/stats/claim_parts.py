"""What the frames say about each part of a claim: one comparison, looked at in one way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compliance_xai.records import VIEW
from compliance_xai.stats.frames import ALL_SCALES, TRAINED
from compliance_xai.stats.run_tests import widen

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.study.claim_settings import ClaimTests, Thresholds

OUTCOMES = ("numerical_constraint", "rule_identifier_all")
HELD_EQUAL = "equal mass and log-probability"
_NO_RUN = {
    **dict.fromkeys(("p_run", "p_run_smallest", "run_error", "run_dof"), math.nan),
    "reason": "no comparison of runs",
}


@dataclass(frozen=True)
class Part:
    """One comparison of a claim in one view: its numbers, and what speaks for and against it."""

    name: str
    method: str
    baseline: str
    effect: float
    low: float
    high: float
    n: int
    holds: bool
    excluded: bool
    doubt: str


@dataclass(frozen=True)
class Rules:
    """What a part is held against: the study's declared tests and thresholds, and its main method."""

    tests: ClaimTests
    thresholds: Thresholds
    method: str


def distance_parts(distances: pd.DataFrame, wanted: Sequence[tuple[str, str]], rules: Rules) -> list[Part]:
    """C1: are patterns of two strategies further apart than those of two seeds?"""
    test, alpha = rules.tests.C1, rules.thresholds.alpha
    rows = distances[(distances["scale"] == ALL_SCALES) & (distances["measure"] == test.outcome)]
    parts = []
    for full, adapter in wanted:
        found = _pair_rows(rows, full, adapter)
        parts += _absent(f"{full} and {adapter}", found)
        for row, _ in found:
            low, high, wide = _reach(row, row, row["ratio"], row["ratio_low"], row["ratio_high"])
            told, far = str(row["reason"]), wide and low >= test.margin
            close = "" if far else f"the ratio's lower bound is below {test.margin:g}"
            parts.append(
                _part(
                    f"{full} and {adapter}",
                    row,
                    (row["ratio"], low, high),
                    row["n_clauses"],
                    far and row["p_run"] <= alpha and not told,
                    wide and high < test.margin and not told,
                    told or _run_doubt(row, alpha) or close,
                    rules,
                    test.margin,
                )
            )
    return parts


def focus_parts(
    frames: Mapping[str, pd.DataFrame], wanted: Sequence[tuple[str, str]], rules: Rules
) -> tuple[list[Part], list[str]]:
    """C2: is full fine-tuning more focused? Also remarks on mixed models that did not converge."""
    outcome = rules.tests.C2.outcome
    chosen = {name: frames[name][frames[name]["measure"] == outcome] for name in ("effects", "mixed")}
    pooled = frames["pairs"][(frames["pairs"]["scale"] == ALL_SCALES) & (frames["pairs"]["measure"] == outcome)]
    controls = frames["controls"]
    chosen["controls"] = controls[(controls["control"] == HELD_EQUAL) & (controls["measure"] == outcome)]
    parts: list[Part] = []
    remarks: list[str] = []
    for full, adapter in wanted:
        name = f"{full} and {adapter}"
        found = _pair_rows(pooled, full, adapter)
        parts += _absent(name, found)
        beside = {key: _by_view(_pair_rows(frame, full, adapter)) for key, frame in chosen.items()}
        for row, turn in found:
            view = _view(row)
            own = {key: rows.get(view) for key, rows in beside.items()}
            part, remark = _focus_part(name, row, turn, own, rules)
            parts.append(part)
            remarks += [remark] if remark else []
    return parts, remarks


def _focus_part(
    name: str, row: dict[str, Any], turn: float, own: Mapping[str, tuple[dict[str, Any], float] | None], rules: Rules
) -> tuple[Part, str]:
    margin, alpha = rules.tests.C2.margin, rules.thresholds.alpha
    # Lower entropy is more focus, so the sign is turned: positive speaks for the claim.
    effect = -turn * row["rank_biserial"]
    low, high = sorted((-turn * row["rank_biserial_low"], -turn * row["rank_biserial_high"]))
    run, _ = own["effects"] or (_NO_RUN, 1.0)
    low, high, wide = _reach(row, run, effect, low, high)
    low, high = max(-1.0, low), min(1.0, high)
    mixed, mixed_turn = own["mixed"] or ({"converged": False, "reason": "no mixed model"}, 1.0)
    control, control_turn = own["controls"] or ({"estimate": math.nan}, 1.0)
    adjusted = -control_turn * control["estimate"]
    strong = effect >= margin and row["p_holm"] <= alpha
    modelled = not mixed["converged"] or (-mixed_turn * mixed["estimate"] > 0 and mixed["p"] <= alpha)
    doubts = (
        str(row["reason"] or run["reason"]),
        _run_doubt(run, alpha),
        "" if strong else f"over clauses the effect is below {margin:g} or not significant",
        "" if modelled else f"mixed model p = {mixed['p']:.3g}",
        "" if math.isnan(adjusted) or adjusted > 0 else f"it vanishes at {HELD_EQUAL}",
    )
    doubt = next((text for text in doubts if text), "")
    part = _part(name, row, (effect, low, high), row["n"], not doubt, wide and high < margin, doubt, rules, margin)
    if mixed["converged"] or row["method"] != rules.method:
        return part, ""
    return part, f"{_place(name, row)}: {mixed['reason']}; decided by its companion, Wilcoxon's test"


def trend_parts(trends: pd.DataFrame, rules: Rules) -> list[Part]:
    """C3: does the lift of the two named outcomes rise with size?"""
    test, alpha = rules.tests.C3, rules.thresholds.alpha
    pooled = trends[(trends["strategy"] == TRAINED) & (trends["measure"] == test.outcome)]
    parts = []
    for outcome in OUTCOMES:
        found = rows_of(pooled[pooled["category"] == outcome])
        parts += _absent(outcome, found)
        for row in found:
            low, high, wide = _reach(row, row, row["slope"], row["low"], row["high"])
            steep = wide and low > test.margin
            rising = row["page_p"] <= alpha and row["p_run"] <= alpha
            few = "" if row["n_scales"] > 2 else "fewer than three scales"
            seeds = "" if row["n_seeds"] > 1 else "a single seed in some cell"
            doubt = row["reason"] or few or seeds or _run_doubt(row, alpha)
            doubt = doubt or ("" if steep else f"the slope's lower bound is not above {test.margin:g}")
            doubt = doubt or ("" if rising else "Page's test does not reach alpha")
            parts.append(
                _part(
                    outcome,
                    row,
                    (row["slope"], low, high),
                    row["n_clauses"],
                    steep and rising and not (few or seeds),
                    wide and high < test.margin and not (few or seeds),
                    doubt,
                    rules,
                    test.margin,
                )
            )
    return parts


def _reach(
    row: Mapping[str, Any], run: Mapping[str, Any], effect: float, low: float, high: float
) -> tuple[float, float, bool]:
    """The interval for other clauses and other trainings, and whether it is one: else it is that over clauses alone."""
    wide = widen(effect, low, high, run["run_error"], run["run_dof"])
    return (*wide, True) if math.isfinite(wide[0]) else (low, high, False)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as dicts, their keys text."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _pair_rows(frame: pd.DataFrame, full: str, adapter: str) -> list[tuple[dict[str, Any], float]]:
    """Rows of a pair, each with +1 where ``full`` is strategy a and -1 where it is b."""
    rows = []
    for row in rows_of(frame):
        if (row["strategy_a"], row["strategy_b"]) == (full, adapter):
            rows.append((row, 1.0))
        elif (row["strategy_a"], row["strategy_b"]) == (adapter, full):
            rows.append((row, -1.0))
    return rows


def _view(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in VIEW)


def _by_view(rows: list[tuple[dict[str, Any], float]]) -> dict[tuple[str, ...], tuple[dict[str, Any], float]]:
    return {_view(row): (row, turn) for row, turn in rows}


def _place(name: str, row: Mapping[str, Any]) -> str:
    return f"{name} ({', '.join(_view(row)[1:])})"


def _part(
    name: str,
    row: Mapping[str, Any],
    numbers: tuple[float, float, float],
    n: float,
    holds: bool,
    excluded: bool,
    doubt: str,
    rules: Rules,
    margin: float,
) -> Part:
    """A part; another method than the main one sees fewer clauses and is asked for the direction only."""
    known = all(math.isfinite(number) for number in numbers)
    where = _place(name, row)
    if row["method"] != rules.method:
        known, effect = math.isfinite(numbers[0]), numbers[0]
        holds, excluded = effect >= margin, effect < margin
        doubt = "" if holds else f"{row['method']} does not find it" if known else str(row["reason"])
    if not known and not doubt:
        doubt = str(row.get("reason") or "undefined values")
    told = f"{where}: {doubt}" if doubt else ""
    count = int(n) if math.isfinite(n) else 0
    method, baseline = str(row["method"]), str(row["baseline"])
    return Part(name, method, baseline, *numbers, count, bool(holds and known), bool(excluded and known), told)


def _run_doubt(row: Mapping[str, Any], alpha: float) -> str:
    """What the runs cannot tell: too few seeds to reach alpha, or a p-value above it."""
    if math.isnan(row["p_run"]):
        return str(row["reason"] or "no whole-run permutation")
    if row["p_run_smallest"] > alpha:
        return f"too few seeds: whole-run permutation cannot go below p = {row['p_run_smallest']:.3g}"
    return f"whole-run permutation p = {row['p_run']:.3g}" if row["p_run"] > alpha else ""


def _absent(name: str, rows: Sequence[Any]) -> list[Part]:
    nothing = (math.nan, math.nan, math.nan)
    return [] if rows else [Part(name, "", "", *nothing, 0, False, False, f"{name}: no comparison at all scales")]
