"""Parts of the book's chapters that are computed when it is built, so that no number in them is typed.

``write_parts`` leaves them in ``book/runs``: the worked examples of "Method" and "What is a correct rule?", a rule
under review, what benchmarks measured, the verdicts of all studies and what a study can find (``evidence``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.book.evidence import format_findings, format_power
from compliance_xai.book.landing import format_citation, format_landing
from compliance_xai.book.markdown import raw_html
from compliance_xai.book.measured import (
    AGREEMENT,
    MEASURED,
    format_agreement,
    format_planned,
    format_speed,
    format_training,
)
from compliance_xai.book.strategy_parts import (
    format_costs,
    format_kinds,
    format_ladders,
    format_plan,
    format_pretraining,
    plan_key,
)
from compliance_xai.book.worked_example import (
    choose_reviewer,
    format_features,
    format_review,
    format_score,
    format_scores,
    format_verdicts,
)
from compliance_xai.files import digest
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.grid import stage_folder
from compliance_xai.pipeline.stores import keep_file, write_changed
from compliance_xai.pipeline.summary_stage import STORED

if TYPE_CHECKING:
    from compliance_xai.pipeline.running import Plan

REFERENCE = "reference"
"""The stored study whose results are on the landing page, and its chapter."""


def write_parts(project: Path, plan: Plan) -> list[Path]:
    """Write the computed parts into ``book/runs``; an unchanged one is left alone.

    Parameters
    ----------
    plan
        The book's study; the rule under review comes from one of its trained models.

    Returns
    -------
    list of pathlib.Path
        The parts, in the order of their names.
    """
    runs = project / "book" / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    code, parts = code_digest(ROOMS), []
    cell = choose_reviewer(plan)
    makers: dict[str, tuple[str, Callable[[], str]]] = {
        "worked_scores": (code, format_scores),
        "worked_verdicts": (code, format_verdicts),
        "worked_features": (code, format_features),
        "worked_plan": (plan_key(), format_plan),
        "power": (
            code_digest(ROOMS),
            lambda: raw_html(format_power(runs / "_static" / "power")),
        ),
        "worked_review": (digest([code, cell]), lambda: format_review(plan.study, cell)),
        "worked_score": (digest([code, cell]), lambda: format_score(plan.study, cell)),
    }
    for name, (key, make) in makers.items():
        parts.append(_make(runs / f"{name}.md", key, make))
    for name, make_table in (("planner", format_planned), ("training", format_training)):
        stored = project / MEASURED / f"{name}.json"
        if stored.is_file():
            parts.append(_write(runs / f"measured_{name}.md", make_table(stored)))
    agreement = project / AGREEMENT
    if agreement.is_file():
        parts.append(_write(runs / "agreement.md", format_agreement(agreement)))
    parts.append(_write(runs / "speed.md", format_speed(project)))
    summaries = {project / STORED / REFERENCE: f"{REFERENCE}.html"}
    summaries[stage_folder(plan.study.name, "summary")] = f"runs/{plan.study.name}/summary.html"
    parts.append(_write(runs / "landing.md", format_landing(summaries)))
    if (cited := project / "CITATION.cff").is_file():
        parts.append(_write(runs / "citation.md", format_citation(cited)))
    parts.append(_write(runs / "verdicts.md", raw_html(format_findings(project))))
    parts.append(_write(runs / "strategies_kinds.md", format_kinds()))
    parts.append(_write(runs / "strategies_ladders.md", format_ladders()))
    parts.append(_write(runs / "strategies_pretraining.md", format_pretraining(runs / "_static" / "pretraining")))
    parts.append(_write(runs / "strategies_costs.md", format_costs(plan.study)))
    return sorted(parts)


def _make(part: Path, key: str, make: Callable[[], str]) -> Path:
    """Write a part that takes time (models, simulations, many figures), unless one of the same key is there."""
    keep_file(part, key, make)
    return part


def _write(part: Path, text: str) -> Path:
    return write_changed(part, text.rstrip("\n") + "\n")
