"""Statistics with the clause as unit, seeds as replicates, and a noise floor from the runs themselves.

Pingouin and scipy do the tests they have; what is ours (run-level permutation, bootstrap by counts) is checked against
them or against hand-computed cases. Every result is the same for the same seed, and every row that could not be
computed says why in ``reason``.
"""

from compliance_xai.stats.controls import CONTROLS, controls_table
from compliance_xai.stats.distances import (
    DISTANCES,
    all_distances,
    distance_frame,
    jensen_shannon,
    rank_biased_distance,
    spearman_distance,
)
from compliance_xai.stats.equivalence import equivalence_table
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, TRAINED, VIEW, beside, with_trained
from compliance_xai.stats.mixed import mixed_model_table
from compliance_xai.stats.pairs import (
    compare_strategies,
    friedman_table,
    strategy_effects,
)
from compliance_xai.stats.reliability import (
    feature_reliability,
    measure_reliability,
    noise_table,
    repeatability_limit,
    spearman_brown,
    split_half_table,
)
from compliance_xai.stats.resampling import bootstrap_mean
from compliance_xai.stats.separation import compare_distances
from compliance_xai.stats.shares import ANY, error_shares, wilson_interval
from compliance_xai.stats.summary import summarise_measures
from compliance_xai.stats.trends import find_break, scale_trend

__all__ = [
    "ALL_SCALES",
    "ANY",
    "DISTANCES",
    "CONTROL",
    "CONTROLS",
    "TRAINED",
    "VIEW",
    "all_distances",
    "beside",
    "bootstrap_mean",
    "compare_distances",
    "compare_strategies",
    "controls_table",
    "distance_frame",
    "equivalence_table",
    "error_shares",
    "feature_reliability",
    "find_break",
    "friedman_table",
    "jensen_shannon",
    "measure_reliability",
    "mixed_model_table",
    "noise_table",
    "rank_biased_distance",
    "repeatability_limit",
    "scale_trend",
    "spearman_brown",
    "spearman_distance",
    "split_half_table",
    "strategy_effects",
    "summarise_measures",
    "wilson_interval",
    "with_trained",
]
