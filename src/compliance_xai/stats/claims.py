"""Verdicts on the claims under study, from graded statements about single comparisons.

A claim that speaks of several comparisons is *supported* if every one of them speaks for it (an intersection-union
test, Berger 1982: each at level alpha, without a correction) and *contradicted* if one of them speaks against it.
Otherwise it is *undecided*, with the reason and with what would change that. A claim that a study could not decide by
its design gets no verdict at all.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml
from pydantic import TypeAdapter

from compliance_xai.stats import statements as graded
from compliance_xai.stats.competence import failing_cells, name_cells
from compliance_xai.stats.declared import CLAIMS, Declared, why_undecidable
from compliance_xai.stats.statements import Evidence, Statement
from compliance_xai.study.labels import size_label

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_JUDGED = "supported", "contradicted", "undecided", "not judged"

FRAMES = {
    "compare_strategies": {name: name for name in ("competence", "patterns", "contrasts", "controls", "runs")},
    "compare_sizes": {"sizes": "sizes"},
}
"""What ``judge`` reads, by stage: its name for a frame, and the name of the stage's table."""


def read_rules() -> dict[str, str]:
    """The decision rules in words: what holds for all claims, and for each."""
    return yaml.safe_load(Path(__file__).with_name("claim_rules.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Finding:
    """A verdict on one claim for one corpus and ladder.

    ``effect``, ``low`` and ``high`` are those of the first statement; None where nothing could be computed. ``n``
    counts clauses. ``statements`` are all comparisons behind the verdict; ``beside`` has sentences that decide nothing
    but belong to the picture; ``scope`` says for which models and texts it holds.
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
    scope: str = ""
    statements: tuple[Statement, ...] = ()
    beside: tuple[str, ...] = ()


def findings_to_json(findings: Iterable[Finding]) -> str:
    """Findings as JSON text, in order; numbers that could not be computed are null."""
    return json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2, allow_nan=False) + "\n"


def findings_from_json(text: str) -> list[Finding]:
    """What ``findings_to_json`` wrote."""
    return TypeAdapter(list[Finding]).validate_json(text)


def judge(declared: Declared, frames: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """Judge the four claims, C1 to C4.

    Parameters
    ----------
    declared
        The study's design, tests and thresholds.
    frames
        By the names in ``FRAMES``: ``competence`` (``competence_table``), ``patterns`` (``compare_patterns``),
        ``contrasts`` (``compare_strategies``) and ``controls`` (``controls_table``) of ``log_words``, ``runs``
        (``study_tables.RawFrames``), and ``sizes``
        (``compare_sizes`` of ``log_lift`` by view and category, of the outcome of C4, and of
        ``statements.OVER_CHANCE``).
    """
    evidence = Evidence(declared, frames, failing_cells(frames["competence"]))
    gather = {
        "C1": graded.patterns_differ,
        "C2": graded.more_focused,
        "C3": graded.weight_rises,
        "C4": graded.levels_off,
    }
    undecidable = why_undecidable(declared)
    found = []
    for claim, statement in CLAIMS.items():
        gathered = list(gather[claim](evidence))
        statements = [statement for statement, _ in gathered]
        if undecidable[claim]:
            verdict, change = NOT_JUDGED, "A study that has what this one lacks."
            reason = f"This study's design cannot decide it: {'; '.join(undecidable[claim])}."
        else:
            verdict, reason = _decide(statements)
            change = _what_would_change(verdict, statements, declared.thresholds.alpha)
        first = statements[0] if statements else None
        found.append(
            Finding(
                claim=claim, statement=statement, corpus=declared.corpus, ladder=declared.ladder, verdict=verdict,
                effect=first.value if first else None, low=first.low if first else None,
                high=first.high if first else None, n=first.n_clauses if first else 0,
                effect_name=f"{first.unit}: {first.comparison}" if first else "", reason=reason,
                what_would_change=change, scope=_say_scope(evidence, claim), statements=tuple(statements),
                beside=tuple(text for _, beside in gathered for text in beside),
            )
        )  # fmt: skip
    return found


def _decide(statements: list[Statement]) -> tuple[str, str]:
    against = [one.sentence for one in statements if one.answer == graded.NO]
    if against:
        return CONTRADICTED, " ".join(against)
    if all(one.answer == graded.YES for one in statements) and statements:
        return SUPPORTED, " ".join(one.sentence for one in statements)
    told = [f"{one.sentence} It stays open: {one.doubt}." for one in statements if one.answer == graded.OPEN]
    told += [one.sentence for one in statements if one.answer == graded.YES]
    return UNDECIDED, " ".join(told) or "There is nothing to compare."


def _what_would_change(verdict: str, statements: list[Statement], alpha: float) -> str:
    """What could lead to another verdict, from the numbers at hand."""
    if verdict == SUPPORTED:
        views = "; ".join(f"{one.agree} of {one.views}" for one in statements if one.views)
        agreed = f" Other views that agree: {views}." if views else ""
        return f"More seeds or clauses would hardly change it.{agreed} Other models or other texts might."
    if verdict == CONTRADICTED:
        return "Other models or other texts: here the interval leaves no room."
    changes = dict.fromkeys(_need_of(one, alpha) for one in statements if one.answer == graded.OPEN)
    text = "; ".join(changes) or "something to compare"
    return f"{text[:1].upper()}{text[1:]}."


def _need_of(one: Statement, alpha: float) -> str:
    """What one open statement lacks."""
    if one.value is None:
        return f"models that pass the gate (now {one.left_out} do not)" if one.left_out else f"{one.doubt}: the remedy"
    if one.p_smallest is not None and one.p_smallest > alpha:
        return f"more seeds (p cannot fall below {one.p_smallest:.2g} for {one.comparison})"
    if one.doubt == graded.WIDE and one.low is not None and one.high is not None:
        room = max(abs(one.value), abs(one.margin - one.value))
        times = math.ceil(((one.high - one.low) / 2 / room) ** 2)
        return f"about {max(2, times)} times as many runs and clauses ({one.comparison})"
    return f"to understand why {one.doubt} ({one.comparison})"


def _say_scope(evidence: Evidence, claim: str) -> str:
    declared = evidence.declared
    scales = declared.largest_family if claim in ("C3", "C4") else list(declared.families)
    families = ", ".join(dict.fromkeys(declared.families[scale] for scale in scales))
    out = f"; not counted, as they do not pass the gate: {name_cells(evidence.failing)}" if evidence.failing else ""
    out += f"; not run: {', '.join(declared.missing)}" if declared.missing else ""
    return f"Corpus {declared.corpus}; {families} models of {', '.join(map(size_label, scales))}{out}."
