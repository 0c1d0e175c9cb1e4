"""Verdicts on the claims under study, computed from frames by declared thresholds. A doubt is a verdict too.

A claim that speaks of several comparisons holds only if every one of them does (an intersection-union test, Berger
1982: each at level alpha, without a correction), over every baseline and both ways of dropping signs. It is
contradicted where one of its parts is excluded by the interval under all of them. Anything else is *inconclusive*,
with the reason.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from compliance_xai.stats.frames import ALL_SCALES, TRAINED

if TYPE_CHECKING:
    import pandas as pd

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"

STATEMENTS = {
    "C1": "Attribution patterns of full fine-tuning differ statistically from those of LoRA and quantised LoRA.",
    "C2": "Full fine-tuning gives more focused attribution patterns.",
    "C3": "With scale, models prioritise numerical constraints and rule identifiers in the clause.",
    "C4": "Semantic similarity of generated and reference rules plateaus beyond some scale.",
}
"""After the abstract of Shi, Dang, Solihin and Yeoh (2026), arXiv:2604.15589; the only part of it known to us."""

RULES = {
    "C1": (
        "Supported where, for every pair of full fine-tuning with an adapter strategy, baseline and sign, whole-run "
        "permutation gives p_run <= alpha and the lower bound of the ratio of distances between and within strategies "
        "is at least min_distance_ratio. Contradicted where for one pair the upper bound is below min_distance_ratio "
        "throughout."
    ),
    "C2": (
        "Supported where, for every such pair, baseline and sign, normalised entropy is lower under full fine-tuning "
        "with p_holm <= alpha over clauses, p_run <= alpha over runs and a rank-biserial correlation of at least "
        "min_effect_rank_biserial. Contradicted where for one pair the interval excludes that size throughout."
    ),
    "C3": (
        "Supported where, for both outcomes (numerical constraint, rule identifier), baseline and sign, the lower "
        "bound of the slope of log-lift is above min_slope, with Page's test and whole-run permutation at p <= alpha, "
        "on three or more scales. Contradicted where for one outcome the upper bound is below min_slope throughout."
    ),
    "C4": (
        "Supported where the two largest rungs are equivalent within equivalence_margin and an earlier step rose by "
        "more than chance (p <= alpha, interval above 0, not equivalent). Contradicted where the interval of the last "
        "step lies above the margin."
    ),
}
"""The decision rules in words, as ``judge`` applies them."""

OUTCOMES = ("numerical_constraint", "rule_identifier_all")
FOCUS_MEASURE = "normalised_entropy"
SIMILARITY_MEASURE = "semantic"


class ThresholdSettings(Protocol):
    """What ``judge`` reads of a study's thresholds."""

    @property
    def alpha(self) -> float: ...  # noqa: D102
    @property
    def min_effect_rank_biserial(self) -> float: ...  # noqa: D102
    @property
    def min_distance_ratio(self) -> float: ...  # noqa: D102
    @property
    def min_slope(self) -> float: ...  # noqa: D102
    @property
    def equivalence_margin(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class Finding:
    """A verdict on one claim for one corpus and ladder.

    ``effect``, ``low`` and ``high`` belong to the comparison that decides (the weakest part of the claim); None where
    nothing could be computed. ``n`` counts clauses.
    """

    claim: str
    statement: str
    corpus: str
    ladder: str
    verdict: str
    effect: float | None
    effect_name: str
    low: float | None
    high: float | None
    n: int
    reason: str
    what_would_change: str


@dataclass(frozen=True)
class _Part:
    """One comparison of a claim: its numbers, and what speaks for and against it."""

    name: str
    effect: float
    low: float
    high: float
    n: int
    holds: bool
    excluded: bool
    doubt: str


def judge(
    thresholds: ThresholdSettings,
    *,
    corpus: str,
    ladder: str,
    kinds: Mapping[str, str],
    distances: pd.DataFrame,
    effects: pd.DataFrame,
    pairs: pd.DataFrame,
    trends: pd.DataFrame,
    equivalence: pd.DataFrame,
    missing: Sequence[str] = (),
) -> list[Finding]:
    """Decide the four claims.

    Parameters
    ----------
    thresholds
        The study's declared thresholds.
    corpus, ladder
        What was run; stored with each finding.
    kinds
        Kind of each strategy name (``none``, ``full``, ``lora``, ``qlora``).
    distances
        ``stats.compare_distances`` of the mass distributions.
    effects, pairs
        ``stats.strategy_effects`` and ``stats.compare_strategies`` of the focus frame.
    trends
        ``stats.scale_trend(with_trained(categories), "log_lift", by=("strategy", "baseline", "sign", "category"))``.
    equivalence
        ``stats.equivalence_table(with_trained(scores), "semantic", margin=...)``.
    missing
        Names of cells (``scale/strategy``) that the study declares and that have no results.

    Returns
    -------
    list of Finding
        C1 to C4. Missing cells, a single seed or scale, NaN and constant attributions give *inconclusive* with the
        reason; nothing is dropped in silence.
    """
    if missing:
        reason = f"cells without results: {', '.join(missing)}"
        return [_inconclusive(claim, corpus, ladder, reason, "Run the missing cells.") for claim in STATEMENTS]
    wanted, lacking = _pairs_of_kinds(kinds)
    judged = {
        "C1": _judge_parts("C1", lacking, _distance_parts(distances, wanted, thresholds), _C1),
        "C2": _judge_parts("C2", lacking, _focus_parts(effects, pairs, wanted, thresholds), _C2),
        "C3": _judge_parts("C3", "", _trend_parts(trends, thresholds), _C3),
        "C4": _judge_plateau(equivalence, thresholds),
    }
    return [dataclasses.replace(finding, corpus=corpus, ladder=ladder) for finding in judged.values()]


def findings_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """One row per finding, a column per field of ``Finding``."""
    import pandas as pd

    names = [field.name for field in dataclasses.fields(Finding)]
    return pd.DataFrame([dataclasses.asdict(finding) for finding in findings], columns=names)


def findings_to_json(findings: Iterable[Finding]) -> str:
    """Findings as JSON text, in order; numbers that could not be computed are null."""
    return json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2, allow_nan=False) + "\n"


def findings_from_json(text: str) -> list[Finding]:
    """What ``findings_to_json`` wrote."""
    return [Finding(**record) for record in json.loads(text)]


# --- deciding ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wording:
    effect_name: str
    change: str


_C1 = _Wording(
    "ratio of the Jensen-Shannon distance between strategies to that between seeds",
    "More seeds: whole-run permutation needs them to reach a small p-value.",
)
_C2 = _Wording(
    "rank-biserial correlation of normalised entropy (positive: full fine-tuning is more focused)",
    "More seeds and clauses, and strategies compared at equal validation loss.",
)
_C3 = _Wording(
    "slope of log-lift per factor of ten in parameters",
    "More rungs, a wider range of sizes, and more seeds.",
)


def _judge_parts(claim: str, lacking: str, parts: list[_Part], wording: _Wording) -> Finding:
    if lacking:
        return _inconclusive(claim, "", "", lacking, "Add the strategy to the study.", wording.effect_name)
    if not parts:
        return _inconclusive(
            claim, "", "", "the frames hold no row for this claim", wording.change, wording.effect_name
        )
    known = [part for part in parts if not math.isnan(part.effect)]
    weakest = min(known, key=lambda part: part.effect) if known else None
    verdict, reason = _decide(parts)
    return _finding(claim, verdict, reason, wording, weakest)


def _decide(parts: list[_Part]) -> tuple[str, str]:
    names = list(dict.fromkeys(part.name for part in parts))
    for name in names:
        own = [part for part in parts if part.name == name]
        if all(part.excluded for part in own):
            return CONTRADICTED, f"{name}: the interval excludes the declared effect under every baseline and sign"
    doubts = list(dict.fromkeys(part.doubt for part in parts if part.doubt))
    if not all(part.holds for part in parts):
        return INCONCLUSIVE, "; ".join(doubts[:3]) + (f"; and {len(doubts) - 3} more" if len(doubts) > 3 else "")
    return SUPPORTED, f"holds for {', '.join(names)} under every baseline and sign"


def _finding(claim: str, verdict: str, reason: str, wording: _Wording, part: _Part | None) -> Finding:
    return Finding(
        claim=claim,
        statement=STATEMENTS[claim],
        corpus="",
        ladder="",
        verdict=verdict,
        effect=_number(part.effect) if part else None,
        effect_name=wording.effect_name + (f": {part.name}" if part else ""),
        low=_number(part.low) if part else None,
        high=_number(part.high) if part else None,
        n=part.n if part else 0,
        reason=reason,
        what_would_change=wording.change,
    )


def _inconclusive(claim: str, corpus: str, ladder: str, reason: str, change: str, effect_name: str = "") -> Finding:
    return Finding(
        claim, STATEMENTS[claim], corpus, ladder, INCONCLUSIVE, None, effect_name, None, None, 0, reason, change
    )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# --- the parts of each claim ------------------------------------------------------------------------------------


def _pairs_of_kinds(kinds: Mapping[str, str]) -> tuple[list[tuple[str, str]], str]:
    """(full, adapter) strategy names, and what kind the study lacks."""
    by_kind = {kind: [name for name, found in kinds.items() if found == kind] for kind in ("full", "lora", "qlora")}
    lacking = [kind for kind, names in by_kind.items() if not names]
    if lacking:
        return [], f"the claim speaks of full, lora and qlora; no strategy is of kind {' or '.join(lacking)}"
    return [(full, name) for full in by_kind["full"] for kind in ("lora", "qlora") for name in by_kind[kind]], ""


def _pair_rows(frame: pd.DataFrame, full: str, adapter: str) -> list[tuple[dict[str, Any], float]]:
    """Rows of a pair, each with +1 where ``full`` is strategy a and -1 where it is b."""
    rows = []
    for row in frame.pipe(_records):
        if (row["strategy_a"], row["strategy_b"]) == (full, adapter):
            rows.append((row, 1.0))
        elif (row["strategy_a"], row["strategy_b"]) == (adapter, full):
            rows.append((row, -1.0))
    return rows


_NO_RUN = {"p_run": math.nan, "p_run_smallest": math.nan, "reason": "no comparison of runs"}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _distance_parts(
    distances: pd.DataFrame, wanted: list[tuple[str, str]], thresholds: ThresholdSettings
) -> list[_Part]:
    pooled = distances[distances["scale"] == ALL_SCALES]
    parts = []
    for full, adapter in wanted:
        rows = _pair_rows(pooled, full, adapter)
        parts += _absent_rows(f"{full} and {adapter}", rows)
        for row, _ in rows:
            told = str(row["reason"])
            far = row["ratio_low"] >= thresholds.min_distance_ratio
            stands_out = row["p_run"] <= thresholds.alpha
            doubt = (
                told
                or _run_doubt(row, thresholds)
                or ("" if far else f"the ratio's lower bound is below {thresholds.min_distance_ratio:g}")
            )
            parts.append(
                _part(
                    f"{full} and {adapter}",
                    row,
                    (row["ratio"], row["ratio_low"], row["ratio_high"]),
                    row["n_clauses"],
                    far and stands_out and not told,
                    row["ratio_high"] < thresholds.min_distance_ratio and not told,
                    doubt,
                )
            )
    return _need_baselines(parts, pooled)


def _focus_parts(
    effects: pd.DataFrame, pairs: pd.DataFrame, wanted: list[tuple[str, str]], thresholds: ThresholdSettings
) -> list[_Part]:
    pooled = pairs[(pairs["scale"] == ALL_SCALES) & (pairs["measure"] == FOCUS_MEASURE)]
    over_runs = effects[effects["measure"] == FOCUS_MEASURE]
    least = thresholds.min_effect_rank_biserial
    parts = []
    for full, adapter in wanted:
        name = f"{full} and {adapter}"
        rows = _pair_rows(pooled, full, adapter)
        parts += _absent_rows(name, rows)
        runs = {(row["baseline"], row["sign"]): row for row, _ in _pair_rows(over_runs, full, adapter)}
        for row, turn in rows:
            # Lower entropy is more focus, so the sign is turned: positive speaks for the claim.
            effect = -turn * row["rank_biserial"]
            low, high = sorted((-turn * row["rank_biserial_low"], -turn * row["rank_biserial_high"]))
            run = runs.get((row["baseline"], row["sign"]), _NO_RUN)
            strong = effect >= least and row["p_holm"] <= thresholds.alpha
            weak = "" if strong else f"over clauses the effect is below {least:g} or not significant"
            doubt = str(row["reason"] or run["reason"]) or _run_doubt(run, thresholds) or weak
            holds = strong and run["p_run"] <= thresholds.alpha and not run["reason"]
            parts.append(_part(name, row, (effect, low, high), row["n"], holds, high < least, doubt))
    return _need_baselines(parts, pooled)


def _trend_parts(trends: pd.DataFrame, thresholds: ThresholdSettings) -> list[_Part]:
    pooled = trends[(trends["strategy"] == TRAINED) & (trends["measure"] == "log_lift")]
    parts = []
    for outcome in OUTCOMES:
        rows = pooled[pooled["category"] == outcome].pipe(_records)
        parts += _absent_rows(outcome, rows)
        for row in rows:
            steep = row["low"] > thresholds.min_slope
            rising = row["page_p"] <= thresholds.alpha and row["p_run"] <= thresholds.alpha
            few = "" if row["n_scales"] > 2 else "fewer than three scales"
            seeds = "" if row["n_seeds"] > 1 else "a single seed in some cell"
            doubt = row["reason"] or few or seeds or _run_doubt(row, thresholds)
            doubt = doubt or ("" if steep else f"the slope's lower bound is not above {thresholds.min_slope:g}")
            doubt = doubt or ("" if rising else "Page's test does not reach alpha")
            parts.append(
                _part(
                    outcome,
                    row,
                    (row["slope"], row["low"], row["high"]),
                    row["n_clauses"],
                    steep and rising and not (few or seeds),
                    row["high"] < thresholds.min_slope and not (few or seeds),
                    doubt,
                )
            )
    return _need_baselines(parts, pooled)


def _part(
    name: str,
    row: Mapping[str, Any],
    numbers: tuple[float, float, float],
    n: float,
    holds: bool,
    excluded: bool,
    doubt: str,
) -> _Part:
    where = f"{name} ({row['baseline']}, {row['sign']})"
    known = all(math.isfinite(number) for number in numbers)
    if not known and not doubt:
        doubt = row.get("reason") or "undefined values"
    count = int(n) if math.isfinite(n) else 0
    told = f"{where}: {doubt}" if doubt else ""
    return _Part(name, *numbers, count, bool(holds and known), bool(excluded and known), told)


def _run_doubt(row: Mapping[str, Any], thresholds: ThresholdSettings) -> str:
    """What the runs cannot tell: too few seeds to reach alpha, or a p-value above it."""
    if math.isnan(row["p_run"]):
        return str(row["reason"] or "no whole-run permutation")
    if row["p_run_smallest"] > thresholds.alpha:
        return f"too few seeds: whole-run permutation cannot go below p = {row['p_run_smallest']:.3g}"
    if row["p_run"] > thresholds.alpha:
        return f"whole-run permutation p = {row['p_run']:.3g}"
    return ""


def _absent_rows(name: str, rows: Sequence[Any]) -> list[_Part]:
    nothing = (math.nan, math.nan, math.nan)
    return [] if rows else [_Part(name, *nothing, 0, False, False, f"{name}: no comparison at all scales")]


def _need_baselines(parts: list[_Part], frame: pd.DataFrame) -> list[_Part]:
    """One baseline alone decides nothing: what it calls important may be the baseline's own doing."""
    if not parts or frame["baseline"].nunique() > 1:
        return parts
    doubt = "a single attribution baseline, with no second one to agree with"
    return [dataclasses.replace(part, holds=False, excluded=False, doubt=part.doubt or doubt) for part in parts]


def _judge_plateau(equivalence: pd.DataFrame, thresholds: ThresholdSettings) -> Finding:
    change = "More rungs above the last one, and more seeds; on an easy corpus the ceiling of the task comes first."
    wording = _Wording("difference in mean semantic similarity between the two largest rungs", change)
    rows = equivalence[(equivalence["strategy"] == TRAINED) & (equivalence["measure"] == SIMILARITY_MEASURE)]
    steps = rows.pipe(_records)  # in order of scale
    if len(steps) < 2:
        return _finding("C4", INCONCLUSIVE, "fewer than three scales", wording, None)
    last = steps[-1]
    numbers = (last["mean_difference"], last["low"], last["high"])
    part = _Part(f"{last['a']} to {last['b']}", *numbers, int(last["n"]), False, False, "")
    if any(math.isnan(step["mean_difference"]) for step in steps):
        return _finding("C4", INCONCLUSIVE, _first_reason(steps) or "undefined similarities", wording, None)
    if min(step["n_seeds"] for step in steps) < 2:
        return _finding("C4", INCONCLUSIVE, "a single seed in some cell", wording, part)
    return _finding("C4", *_plateau_verdict(steps, thresholds), wording, part)


def _first_reason(steps: Sequence[Mapping[str, Any]]) -> str:
    return next((str(step["reason"]) for step in steps if step["reason"]), "")


def _plateau_verdict(steps: Sequence[Mapping[str, Any]], thresholds: ThresholdSettings) -> tuple[str, str]:
    last, margin, alpha = steps[-1], thresholds.equivalence_margin, thresholds.alpha
    level = f"{last['mean_b']:.3f} on the largest rung"
    if last["low"] > margin:
        return CONTRADICTED, f"the last step still rises by more than {margin:g} ({level})"
    if not last["p_tost"] <= alpha:
        return INCONCLUSIVE, f"the last step is neither equivalent within {margin:g} nor surely larger ({level})"
    rose = [step for step in steps[:-1] if step["low"] > 0 and step["p_difference"] <= alpha and not step["equivalent"]]
    if not rose:
        return INCONCLUSIVE, f"no rise before the last step: the ladder is flat throughout ({level})"
    return SUPPORTED, f"rises from {rose[0]['a']} to {rose[-1]['b']}, then stays within {margin:g} ({level})"
