"""The stage that compares scales: quality of the rules, category lift over size, and plateaus."""

from __future__ import annotations

from pathlib import Path

from compliance_xai import stats
from compliance_xai.metrics import COLUMNS
from compliance_xai.stages.common import StageResult, Work, run_stage
from compliance_xai.stages.joining import join_cells, join_error_shares, keep_evaluated
from compliance_xai.stats import runs
from compliance_xai.study import Study


def compare_scales(study: Study | Path | str) -> StageResult:
    """Compare the scales of a study.

    Returns
    -------
    StageResult
        ``quality`` and ``lift`` (``stats.summarise_measures`` of the scores, by split, and of category log-lift),
        ``trends`` (``stats.scale_trend`` of log-lift by category), ``equivalence`` (``stats.equivalence_table`` between
        neighbouring rungs) and ``breaks`` (``stats.find_break``) of the outcome declared for C4, and ``error_shares``
        (``stats.error_shares``, by cell and split).
    """
    return run_stage(study, "compare_scales", work=_work)


def _work(work: Work) -> None:
    thresholds, plateau = work.study.thresholds, work.study.tests.C4
    scores = join_cells(work, "generate", "scores")
    categories = keep_evaluated(work, join_cells(work, "attribute", "categories"))
    evaluated = keep_evaluated(work, scores)
    group, by = ("scale", "parameters", "strategy"), ("strategy", *stats.VIEW, "category")
    measured = [name for name in COLUMNS if evaluated[name].notna().any()]
    lift = stats.summarise_measures(
        categories, ("log_lift",), by=(*group, *stats.VIEW, "category"), bootstrap=thresholds.bootstrap
    )
    categories, evaluated = stats.with_trained(categories), stats.with_trained(evaluated)
    tables = {
        "quality": stats.summarise_measures(scores, measured, by=(*group, "split"), bootstrap=thresholds.bootstrap),
        "lift": lift,
        "trends": runs.add_errors(
            stats.scale_trend(
                categories, "log_lift", by=by, bootstrap=thresholds.bootstrap, permutations=thresholds.permutations
            ),
            runs.slope_errors(categories, "log_lift", by=by),
        ),
        "equivalence": runs.add_errors(
            stats.equivalence_table(evaluated, plateau.outcome, margin=plateau.margin),
            runs.step_errors(evaluated, plateau.outcome),
        ),
        "breaks": stats.find_break(evaluated, plateau.outcome, bootstrap=thresholds.bootstrap),
        "error_shares": join_error_shares(work),
    }
    for name, table in tables.items():
        work.write_frame(table, name)
