from .clause_figures import attribution_html, draw_score_matrix
from .contract import Drawing, Figure, NothingToPlot, figure_html, save_figure, show, show_drawn, show_html
from .corpus_figures import draw_corpus_categories, draw_corpus_counts, draw_corpus_lengths
from .correctness_figures import draw_correctness, draw_faithfulness, draw_removal_curves, draw_signals
from .focus_figures import (
    draw_by_context,
    draw_category_lift,
    draw_controls,
    draw_differences,
    draw_distance_by_context,
    draw_focus_by_scale,
    draw_focus_paired,
    draw_lift_by_scale,
    draw_noise,
    draw_separation,
)
from .planning_figures import draw_growth, draw_power
from .quality_figures import draw_error_kinds, draw_errors_by_scale, draw_quality_by_scale
from .tables import claims_html, format_interval, statements_html, table_html, verdicts_html
from .training_figures import draw_learning_curves, draw_movement, draw_pretraining
