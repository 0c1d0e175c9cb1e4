"""Verdicts on the claims under study, computed from frames by declared tests. A doubt is a verdict too.

A claim that speaks of several comparisons holds only if every one of them does (an intersection-union test, Berger
1982: each at level alpha, without a correction), over every baseline, method and way of treating signs. It is
contradicted where one of its parts is excluded by the interval under all of them. Anything else is *inconclusive*,
with the reason.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compliance_xai.stats.claim_parts import Part, Rules, distance_parts, focus_parts, rows_of, trend_parts
from compliance_xai.stats.claim_records import (
    CONTRADICTED,
    INCONCLUSIVE,
    STATEMENTS,
    SUPPORTED,
    Finding,
    findings_frame,
    findings_from_json,
    findings_to_json,
)
from compliance_xai.stats.frames import TRAINED
from compliance_xai.stats.run_tests import widen

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.study.claim_settings import ClaimTests, Thresholds

__all__ = [
    "AGREEMENT",
    "CONTRADICTED",
    "FRAMES",
    "INTERVALS",
    "INCONCLUSIVE",
    "RULES",
    "STATEMENTS",
    "SUPPORTED",
    "Finding",
    "findings_frame",
    "findings_from_json",
    "findings_to_json",
    "judge",
]

FRAMES = {
    "compare_strategies": {
        "distances": "distance_tests",
        "effects": "effects",
        "pairs": "pairs",
        "mixed": "mixed",
        "controls": "controls",
    },
    "compare_scales": {"trends": "trends", "equivalence": "equivalence", "breaks": "breaks"},
}
"""What ``judge`` reads, by stage: its name for a frame, and the name of the stage's table."""

RULES = {
    "C1": (
        "Supported where, for every pair of full fine-tuning with an adapter strategy, baseline and sign, whole-run "
        "permutation gives p_run <= alpha and the lower bound of the ratio of distances between and within strategies "
        "is at least the margin. Contradicted where for one pair the upper bound is below the margin throughout."
    ),
    "C2": (
        "Supported where, for every such pair, baseline and sign, full fine-tuning is more focused with p <= alpha in "
        "the mixed model, p_holm <= alpha over clauses, p_run <= alpha over runs, a rank-biserial correlation of at "
        "least the margin, and still so at equal total mass and log-probability. A mixed model that does not converge "
        "is reported and leaves the decision to the others. Contradicted where for one pair the interval of the "
        "rank-biserial correlation excludes the margin throughout."
    ),
    "C3": (
        "Supported where, for both outcomes (numerical constraint, rule identifier), baseline and sign, the lower "
        "bound of the slope of log-lift is above the margin, with Page's test and whole-run permutation at p <= alpha, "
        "on three or more scales. Contradicted where for one outcome the upper bound is below the margin throughout."
    ),
    "C4": (
        "Supported where the two largest rungs are equivalent within the margin over clauses and over runs, and an "
        "earlier step rose by more than chance (p <= alpha over both, interval above 0, not equivalent); with four or "
        "more rungs the line before the break must also be steeper than the one after it, intervals apart. The margin "
        "is what two trainings of one cell differ by, and at most the declared one. Inconclusive where the largest "
        "rung is within the margin of the best possible score: then the task ends, not the models. Contradicted where "
        "the interval of the last step lies above the declared margin."
    ),
}
"""The decision rules in words, as ``judge`` applies them."""

AGREEMENT = (
    "C1 to C3 are decided only where enough baselines and methods were run (min_baselines, min_methods). The second "
    "method, on fewer clauses, must find an effect on the same side of the margin; p-values are not asked of it."
)
"""What holds for every claim about attributions."""

INTERVALS = (
    "Intervals hold for other clauses and other trainings: half widths over clauses (bootstrap) and over runs (spread "
    "of seeds) add as squares. With a single seed there is none for other trainings, and nothing is contradicted. Each "
    "claim is tested at alpha by itself; all of its parts must hold, so they take no correction."
)
"""What holds for every claim."""


@dataclass(frozen=True)
class _Wording:
    effect_name: str
    change: str


_WORDING = {
    "C1": _Wording(
        "ratio of the {outcome} distance between strategies to that between seeds",
        "More seeds: whole-run permutation needs them to reach a small p-value.",
    ),
    "C2": _Wording(
        "rank-biserial correlation of {outcome} (positive: full fine-tuning is more focused)",
        "More seeds and clauses, and strategies compared at equal validation loss.",
    ),
    "C3": _Wording(
        "slope of {outcome} per factor of ten in parameters", "More rungs, a wider range of sizes, and more seeds."
    ),
    "C4": _Wording(
        "difference in mean {outcome} between the two largest rungs",
        "More rungs above the last one, and more seeds.",
    ),
}


_BEST = {"semantic": 1.0, "exact": 1.0, "equivalent": 1.0, "lrml_f1": 100.0, "chrf": 100.0}
"""The best that each outcome of C4 can be."""


def judge(
    tests: ClaimTests,
    thresholds: Thresholds,
    frames: Mapping[str, pd.DataFrame],
    *,
    corpus: str,
    ladder: str,
    kinds: Mapping[str, str],
    method: str = "leave_one_out",
    missing: Sequence[str] = (),
) -> list[Finding]:
    """Decide the four claims.

    Parameters
    ----------
    tests, thresholds
        As the study declares them.
    frames
        By the names in ``FRAMES``: ``distances`` (``stats.compare_distances``), ``effects``
        (``stats.strategy_effects``), ``pairs`` (``stats.compare_strategies``), ``mixed`` (``stats.mixed_model_table``)
        and ``controls`` (``stats.controls_table``) of the focus frame; ``trends`` (``stats.scale_trend`` of
        ``with_trained(categories)`` by strategy, view and category); ``equivalence`` (``stats.equivalence_table``) and
        ``breaks`` (``stats.find_break``) of ``with_trained(scores)``.
    corpus, ladder
        What was run; stored with each finding.
    kinds
        Kind of each strategy name (``none``, ``full``, ``lora``, ``qlora``).
    method
        The study's main method of attribution; others are asked for the direction only.
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
        found = [_finding(claim, tests, INCONCLUSIVE, reason, None, "Run the missing cells.") for claim in STATEMENTS]
    else:
        rules = Rules(tests, thresholds, method)
        wanted, lacking = _pairs_of_kinds(kinds)
        focused, remarks = focus_parts(frames, wanted, rules)
        found = [
            _judge_parts("C1", lacking, distance_parts(frames["distances"], wanted, rules), rules),
            _judge_parts("C2", lacking, focused, rules, remarks),
            _judge_parts("C3", "", trend_parts(frames["trends"], rules), rules),
            _judge_plateau(frames["equivalence"], frames["breaks"], rules),
        ]
    return [dataclasses.replace(finding, corpus=corpus, ladder=ladder) for finding in found]


def _pairs_of_kinds(kinds: Mapping[str, str]) -> tuple[list[tuple[str, str]], str]:
    """(full, adapter) strategy names, and what kind the study lacks."""
    by_kind = {kind: [name for name, found in kinds.items() if found == kind] for kind in ("full", "lora", "qlora")}
    lacking = [kind for kind, names in by_kind.items() if not names]
    if lacking:
        return [], f"the claim speaks of full, lora and qlora; no strategy is of kind {' or '.join(lacking)}"
    return [(full, name) for full in by_kind["full"] for kind in ("lora", "qlora") for name in by_kind[kind]], ""


def _judge_parts(claim: str, lacking: str, parts: list[Part], rules: Rules, remarks: Sequence[str] = ()) -> Finding:
    if lacking:
        return _finding(claim, rules.tests, INCONCLUSIVE, lacking, None, "Add the strategy to the study.")
    if not parts:
        return _finding(claim, rules.tests, INCONCLUSIVE, "the frames hold no row for this claim", None)
    known = [part for part in parts if part.method == rules.method and not math.isnan(part.effect)]
    weakest = min(known, key=lambda part: part.effect) if known else None
    verdict, reason = _decide(parts)
    too_few, change = _too_few_views(parts, rules)
    if too_few and weakest is not None:
        # What the views there are would say is worth a word, but it is no verdict.
        verdict, reason = INCONCLUSIVE, f"by design: {too_few}. Under these alone: {verdict}, {reason}"
    if remarks:
        reason += f". {remarks[0]}" + (f", and {len(remarks) - 1} more like it" if len(remarks) > 1 else "")
    return _finding(claim, rules.tests, verdict, reason, weakest, change)


def _decide(parts: list[Part]) -> tuple[str, str]:
    names = list(dict.fromkeys(part.name for part in parts))
    for name in names:
        own = [part for part in parts if part.name == name]
        if all(part.excluded for part in own):
            return CONTRADICTED, f"{name}: the interval excludes the declared effect in every view"
    doubts = list(dict.fromkeys(part.doubt for part in parts if part.doubt))
    if not all(part.holds for part in parts):
        return INCONCLUSIVE, "; ".join(doubts[:3]) + (f"; and {len(doubts) - 3} more" if len(doubts) > 3 else "")
    return SUPPORTED, f"holds for {', '.join(names)} in every view"


def _too_few_views(parts: list[Part], rules: Rules) -> tuple[str, str]:
    """One way of looking decides nothing: what it calls important may be its own doing. And what would mend it."""
    baselines = sorted({part.baseline for part in parts if part.method == rules.method})
    methods = sorted({part.method for part in parts if part.method})
    few = []
    for kind, found, least in (
        ("baseline", baselines, rules.thresholds.min_baselines),
        ("method", methods, rules.thresholds.min_methods),
    ):
        if len(found) < least:
            few.append(f"{least} {kind}s of attribution must agree, and the study has {', '.join(found) or 'none'}")
    return "; ".join(few), "Declare more baselines or a second method of attribution in the study." if few else ""


def _judge_plateau(equivalence: pd.DataFrame, breaks: pd.DataFrame, rules: Rules) -> Finding:
    tests, outcome = rules.tests, rules.tests.C4.outcome
    chosen = equivalence[(equivalence["strategy"] == TRAINED) & (equivalence["measure"] == outcome)]
    steps = rows_of(chosen)  # in order of scale
    if len(steps) < 2:
        return _finding("C4", tests, INCONCLUSIVE, "fewer than three scales", None)
    last = steps[-1]
    if any(math.isnan(step["mean_difference"]) for step in steps):
        reason = next((str(step["reason"]) for step in steps if step["reason"]), "undefined similarities")
        return _finding("C4", tests, INCONCLUSIVE, reason, None)
    # Bounds of 90 %, as two one-sided tests have them, for other clauses and other trainings.
    wide = widen(*(last[key] for key in ("mean_difference", "low", "high", "run_error", "run_dof")), confidence=0.9)
    if math.isfinite(wide[0]):
        last |= {"low": wide[0], "high": wide[1]}
    numbers = (last["mean_difference"], last["low"], last["high"])
    part = Part(f"{last['a']} to {last['b']}", "", "", *numbers, int(last["n"]), False, False, "")
    if min(step["n_seeds"] for step in steps) < 2:
        return _finding("C4", tests, INCONCLUSIVE, "a single seed in some cell", part)
    if min(step["n_runs"] for step in steps) < 3:
        return _finding("C4", tests, INCONCLUSIVE, "fewer than three pairs of runs at some step", part)
    if last["mean_b"] + last["margin"] >= _BEST[outcome]:
        reason = f"the largest rung is at the ceiling of the score: {last['mean_b']:.3f} of {_BEST[outcome]:g}"
        return _finding("C4", tests, INCONCLUSIVE, reason, part, "A harder corpus.")
    bends = rows_of(breaks[(breaks["strategy"] == TRAINED) & (breaks["measure"] == outcome)])
    bend = bends[0] if bends else {"reason": "no break"}
    verdict, reason = _plateau_verdict(steps, bend, rules.thresholds.alpha, tests.C4.margin)
    return _finding("C4", tests, verdict, reason, part)


def _plateau_verdict(
    steps: Sequence[Mapping[str, Any]], bend: Mapping[str, Any], alpha: float, declared: float
) -> tuple[str, str]:
    last = steps[-1]
    within = f"{last['margin']:.3g} ({last['mean_b']:.3f} on the largest rung)"
    if last["low"] > max(declared, last["margin"]):
        return CONTRADICTED, f"the last step still rises by more than {max(declared, last['margin']):.3g}"
    if not max(last["p_tost"], last["p_tost_run"]) <= alpha:
        return INCONCLUSIVE, f"the last step is neither equivalent within {within} nor surely larger"
    rose = [
        step
        for step in steps[:-1]
        if step["low"] > 0 and max(step["p_difference"], step["p_difference_run"]) <= alpha and not step["equivalent"]
    ]
    if not rose:
        return INCONCLUSIVE, f"no step before the last rose for sure by more than {within}"
    if not bend["reason"] and not bend["slope_after_high"] < bend["slope_before_low"]:
        return INCONCLUSIVE, f"the last step stays within {within}, but no break in the slope stands out"
    where = "" if bend["reason"] else (
        f"; the slope breaks at {bend['break_parameters']:.3g} parameters "
        f"[{bend['break_low']:.3g}, {bend['break_high']:.3g}]"
    )  # fmt: skip
    return SUPPORTED, f"rises from {rose[0]['a']} to {rose[-1]['b']}, then stays within {within}{where}"


def _finding(claim: str, tests: ClaimTests, verdict: str, reason: str, part: Part | None, change: str = "") -> Finding:
    wording = _WORDING[claim]
    name = wording.effect_name.format(outcome=getattr(tests, claim).outcome.replace("_", " "))
    return Finding(
        claim=claim,
        statement=STATEMENTS[claim],
        corpus="",
        ladder="",
        verdict=verdict,
        effect=_number(part.effect) if part else None,
        effect_name=name + (f": {part.name}" if part else ""),
        low=_number(part.low) if part else None,
        high=_number(part.high) if part else None,
        n=part.n if part else 0,
        reason=reason,
        what_would_change=f"{change} {wording.change}".strip(),
    )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
