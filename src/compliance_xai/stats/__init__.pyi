from .controls import CONTROLS, controls_table
from .equivalence_tests import equivalence_table
from .frames import ALL_SCALES, CONTROL, TRAINED, beside, with_trained
from .mixed import mixed_model_table
from .paired_tests import compare_strategies, friedman_table, strategy_effects
from .reliability import (
    feature_reliability,
    measure_reliability,
    noise_table,
    repeatability_limit,
    spearman_brown,
    split_half_table,
)
from .resampling import bootstrap_mean
from .separation import compare_distances
from .shares import ANY, error_shares, wilson_interval
from .summary import summarise_measures
from .trends import find_break, scale_trend
