"""Statistics with the clause as unit, seeds as replicates, and a noise floor from the runs themselves.

Pingouin and scipy do the tests they have; what is ours (run-level permutation, bootstrap by counts) is checked against
them or against hand-computed cases. Every result is the same for the same seed, and every row that could not be
computed says why in ``reason``.
"""

from compliance_xai.stats.distances import compare_distances, distance_frame, jensen_shannon
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, TRAINED, with_trained
from compliance_xai.stats.pairs import (
    compare_strategies,
    equivalence_table,
    friedman_table,
    measure_reliability,
    strategy_effects,
)
from compliance_xai.stats.resampling import bootstrap_mean
from compliance_xai.stats.shares import ANY, error_shares, wilson_interval
from compliance_xai.stats.summary import summarise_measures
from compliance_xai.stats.trends import scale_trend

__all__ = [
    "ALL_SCALES",
    "ANY",
    "CONTROL",
    "TRAINED",
    "bootstrap_mean",
    "compare_distances",
    "compare_strategies",
    "distance_frame",
    "equivalence_table",
    "error_shares",
    "friedman_table",
    "jensen_shannon",
    "measure_reliability",
    "scale_trend",
    "strategy_effects",
    "summarise_measures",
    "wilson_interval",
    "with_trained",
]
