from .contrasts import CONTROLS, compare_strategies, controls_table
from .frames import ALL_SCALES, CONTROL, TRAINED, beside
from .pattern_tests import compare_patterns, compare_sources
from .reliability import feature_reliability, measure_reliability, noise_table, spearman_brown, split_half_table
from .size_steps import compare_sizes
from .summary import ANY, bootstrap_mean, error_shares, summarise_measures, wilson_interval
