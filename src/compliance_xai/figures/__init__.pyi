from .clause_figures import attribution_html, draw_score_matrix
from .comparison_figures import (
    draw_category_lift,
    draw_differences,
    draw_distances,
    draw_focus_paired,
    draw_lift_by_scale,
)
from .contract import Figure, NothingToPlot, figure_html, read_figure, save_figure, show, show_drawn, show_html
from .corpus_figures import draw_corpus_categories, draw_corpus_counts, draw_corpus_lengths
from .correctness_figures import draw_correctness_by_element
from .error_figures import draw_error_kinds, draw_errors_by_scale
from .faithfulness_figures import (
    draw_by_context,
    draw_correctness_by_scale,
    draw_distance_by_context,
    draw_faithfulness,
    draw_reliability,
    draw_removal_curves,
    draw_signals,
)
from .focus_figures import draw_focus_by_scale, draw_protocols, draw_separation
from .movement_figures import draw_movement
from .noise_figures import draw_controls, draw_noise
from .power_figures import draw_power
from .speed_figures import draw_growth
from .tables import claims_html, format_interval, name_of, pairs_html, table_html, verdicts_html
from .training_figures import draw_learning_curves, draw_pretraining, draw_quality_by_scale
