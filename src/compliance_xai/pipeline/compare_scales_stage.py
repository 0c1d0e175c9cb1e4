"""The stage that compares scales: quality of the rules, category lift over size, and plateaus."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.pipeline.joining import join_cells, keep_evaluated
from compliance_xai.pipeline.stages import StageResult, Work, run_stage
from compliance_xai.records import VIEW
from compliance_xai.rules.compare.error_kinds import KINDS
from compliance_xai.rules.scores import COLUMNS
from compliance_xai.stats import run_tests as runs
from compliance_xai.stats.equivalence_tests import equivalence_table
from compliance_xai.stats.frames import with_trained
from compliance_xai.stats.shares import error_shares
from compliance_xai.stats.summary import summarise_measures
from compliance_xai.stats.trends import find_break, scale_trend
from compliance_xai.study.settings import Study


def compare_scales(study: Study | Path | str) -> StageResult:
    """Compare the scales of a study.

    Returns
    -------
    StageResult
        ``quality`` and ``lift`` (``summarise_measures`` of the scores, by split, and of category log-lift),
        ``trends`` (``scale_trend`` of log-lift by category), ``equivalence`` (``equivalence_table`` between
        neighbouring rungs) and ``breaks`` (``find_break``) of the outcome declared for C4, and ``error_shares``
        (``error_shares``, by cell and split).
    """
    return run_stage(study, "compare_scales", work=_work)


def _work(work: Work) -> None:
    thresholds, plateau = work.study.thresholds, work.study.tests.C4
    scores = join_cells(work, "generate", "scores")
    categories = keep_evaluated(work, join_cells(work, "attribute", "categories"))
    evaluated = keep_evaluated(work, scores)
    group, by = ("scale", "parameters", "strategy"), ("strategy", *VIEW, "category")
    measured = [name for name in COLUMNS if evaluated[name].notna().any()]
    lift = summarise_measures(categories, ("log_lift",), by=(*group, *VIEW, "category"), bootstrap=thresholds.bootstrap)
    categories, evaluated = with_trained(categories), with_trained(evaluated)
    tables = {
        "quality": summarise_measures(scores, measured, by=(*group, "split"), bootstrap=thresholds.bootstrap),
        "lift": lift,
        "trends": runs.add_errors(
            scale_trend(
                categories, "log_lift", by=by, bootstrap=thresholds.bootstrap, permutations=thresholds.permutations
            ),
            runs.slope_errors(categories, "log_lift", by=by),
        ),
        "equivalence": runs.add_errors(
            equivalence_table(evaluated, plateau.outcome, margin=plateau.margin),
            runs.step_errors(evaluated, plateau.outcome),
        ),
        "breaks": find_break(evaluated, plateau.outcome, bootstrap=thresholds.bootstrap),
        "error_shares": error_shares(
            scores, join_cells(work, "generate", "errors"), kinds=list(KINDS), by=(*group, "split")
        ),
    }
    for name, table in tables.items():
        work.write_frame(table, name)
