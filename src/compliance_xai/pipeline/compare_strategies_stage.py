"""The stage that compares strategies: focus, and distances between runs."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.attribution.distances import distance_frame
from compliance_xai.attribution.focus import MEASURES
from compliance_xai.pipeline.joining import join_cells, join_costs, join_masses, join_trained, keep_evaluated
from compliance_xai.pipeline.stages import StageResult, Work, run_stage
from compliance_xai.records import VIEW
from compliance_xai.stats import run_tests as runs
from compliance_xai.stats.controls import controls_table
from compliance_xai.stats.equivalence_tests import equivalence_table
from compliance_xai.stats.frames import CONTROL
from compliance_xai.stats.mixed import mixed_model_table
from compliance_xai.stats.paired_tests import compare_strategies as compare_pairs
from compliance_xai.stats.paired_tests import friedman_table, strategy_effects
from compliance_xai.stats.reliability import feature_reliability, measure_reliability, noise_table, split_half_table
from compliance_xai.stats.separation import compare_distances
from compliance_xai.stats.summary import summarise_measures
from compliance_xai.study.settings import Study

FOCUS = (*MEASURES, "total_mass")


def compare_strategies(study: Study | Path | str) -> StageResult:
    """Compare the strategies of a study, clause by clause and run by run.

    Returns
    -------
    StageResult
        ``focus`` (all cells), ``summary`` (``summarise_measures`` of it), ``pairs``
        (``compare_pairs``), ``friedman``, ``effects`` (``strategy_effects``), ``mixed``
        (``mixed_model_table``), ``controls`` (``controls_table``) and ``strategy_equivalence``
        (``equivalence_table`` between strategies) of the outcome declared for C2; ``noise``
        (``noise_table``), ``reliability``, ``feature_reliability``, ``split_half``; ``distances``
        (``distance_frame``) and ``distance_tests`` (``compare_distances``). ``effects`` and
        ``distance_tests`` also say what other trainings would change (``stats.runs``). ``focus`` holds every split;
        the others the evaluated one. Of the fine-tuned cells, with ``scale``, ``strategy`` and ``seed``: ``movement``,
        ``costs`` (``joining.join_costs``).
    """
    return run_stage(study, "compare_strategies", work=_work)


def _work(work: Work) -> None:
    bootstrap, permutations = work.study.thresholds.bootstrap, work.study.thresholds.permutations
    everything = join_cells(work, "attribute", "focus")
    focus, masses = (keep_evaluated(work, frame) for frame in (everything, join_masses(work)))
    outcome, trained = work.study.tests.C2.outcome, focus[focus["strategy"] != CONTROL]
    distances = distance_frame(masses)
    own_masses = masses[masses["strategy"] != CONTROL]
    numeric = join_cells(work, "attribute", "noise")
    tables = {
        "focus": everything,
        "summary": summarise_measures(focus, FOCUS, by=("scale", "parameters", "strategy", *VIEW), bootstrap=bootstrap),
        "pairs": compare_pairs(focus, FOCUS, bootstrap=bootstrap),
        "friedman": friedman_table(focus, outcome),
        "effects": runs.add_errors(
            strategy_effects(focus, outcome, bootstrap=bootstrap, permutations=permutations),
            runs.rank_biserial_errors(focus, outcome),
        ),
        "mixed": mixed_model_table(focus, outcome),
        "controls": controls_table(focus, outcome, bootstrap=bootstrap),
        "strategy_equivalence": equivalence_table(trained, outcome, along="strategy", by=VIEW),
        "noise": noise_table(
            distances[~distances[["strategy_a", "strategy_b"]].isin([CONTROL]).any(axis=1)],
            own_masses,
            numeric[numeric["strategy"] != CONTROL],
            bootstrap=bootstrap,
        ),
        "reliability": measure_reliability(trained, (outcome, "total_mass")),
        "feature_reliability": feature_reliability(own_masses),
        "split_half": split_half_table(trained, bootstrap=bootstrap),
        "distances": distances,
        "distance_tests": runs.add_errors(
            compare_distances(distances, bootstrap=bootstrap, permutations=permutations),
            runs.ratio_errors(distances),
        ),
        "movement": join_trained(work, "movement"),
        "costs": join_costs(work),
    }
    for name, table in tables.items():
        work.write_frame(table, name)
