from .contrasts import compare_strategies
from .controls import CONTROLS, controls_table
from .frames import ALL_SCALES, CONTROL, TRAINED, beside
from .pattern_tests import compare_patterns, compare_sources
from .reliability import feature_reliability, measure_reliability, noise_table, spearman_brown, split_half_table
from .resampling import bootstrap_mean
from .shares import ANY, error_shares, wilson_interval
from .size_steps import compare_sizes
from .summary import summarise_measures
