"""The stage that compares strategies: focus, and distances between runs."""

from __future__ import annotations

from pathlib import Path

from compliance_xai import stats
from compliance_xai.focus import MEASURES
from compliance_xai.stages.common import StageResult, Work, run_stage
from compliance_xai.stages.joining import join_cells, join_costs, join_masses, join_trained, keep_evaluated
from compliance_xai.stats import runs
from compliance_xai.study import Study

FOCUS = (*MEASURES, "total_mass")


def compare_strategies(study: Study | Path | str) -> StageResult:
    """Compare the strategies of a study, clause by clause and run by run.

    Returns
    -------
    StageResult
        ``focus`` (all cells), ``summary`` (``stats.summarise_measures`` of it), ``pairs``
        (``stats.compare_strategies``), ``friedman``, ``effects`` (``stats.strategy_effects``), ``mixed``
        (``stats.mixed_model_table``), ``controls`` (``stats.controls_table``) and ``strategy_equivalence``
        (``stats.equivalence_table`` between strategies) of the outcome declared for C2; ``noise``
        (``stats.noise_table``), ``reliability``, ``feature_reliability``, ``split_half``; ``distances``
        (``stats.distance_frame``) and ``distance_tests`` (``stats.compare_distances``). ``effects`` and
        ``distance_tests`` also say what other trainings would change (``stats.runs``). ``focus`` holds every split;
        the others the evaluated one. Of the fine-tuned cells, with ``scale``, ``strategy`` and ``seed``: ``movement``,
        ``costs`` (``joining.join_costs``).
    """
    return run_stage(study, "compare_strategies", work=_work)


def _work(work: Work) -> None:
    bootstrap, permutations = work.study.thresholds.bootstrap, work.study.thresholds.permutations
    everything = join_cells(work, "attribute", "focus")
    focus, masses = (keep_evaluated(work, frame) for frame in (everything, join_masses(work)))
    outcome, trained = work.study.tests.C2.outcome, focus[focus["strategy"] != stats.CONTROL]
    distances = stats.distance_frame(masses)
    own_masses = masses[masses["strategy"] != stats.CONTROL]
    numeric = join_cells(work, "attribute", "noise")
    tables = {
        "focus": everything,
        "summary": stats.summarise_measures(
            focus, FOCUS, by=("scale", "parameters", "strategy", *stats.VIEW), bootstrap=bootstrap
        ),
        "pairs": stats.compare_strategies(focus, FOCUS, bootstrap=bootstrap),
        "friedman": stats.friedman_table(focus, outcome),
        "effects": runs.add_errors(
            stats.strategy_effects(focus, outcome, bootstrap=bootstrap, permutations=permutations),
            runs.rank_biserial_errors(focus, outcome),
        ),
        "mixed": stats.mixed_model_table(focus, outcome),
        "controls": stats.controls_table(focus, outcome, bootstrap=bootstrap),
        "strategy_equivalence": stats.equivalence_table(trained, outcome, along="strategy", by=stats.VIEW),
        "noise": stats.noise_table(
            distances[~distances[["strategy_a", "strategy_b"]].isin([stats.CONTROL]).any(axis=1)],
            own_masses,
            numeric[numeric["strategy"] != stats.CONTROL],
            bootstrap=bootstrap,
        ),
        "reliability": stats.measure_reliability(trained, (outcome, "total_mass")),
        "feature_reliability": stats.feature_reliability(own_masses),
        "split_half": stats.split_half_table(trained, bootstrap=bootstrap),
        "distances": distances,
        "distance_tests": runs.add_errors(
            stats.compare_distances(distances, bootstrap=bootstrap, permutations=permutations),
            runs.ratio_errors(distances),
        ),
        "movement": join_trained(work, "movement"),
        "costs": join_costs(work),
    }
    for name, table in tables.items():
        work.write_frame(table, name)
