"""Figures: a tidy frame in, one figure out, always by the same contract; no test and no interval is computed here.

Every figure is an interactive HTML drawing that needs no network, a still picture for print (PNG and SVG), the plotted
data (CSV), a caption with the number of observations and the kind of interval, and a text for those who cannot see it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Figure": "contract",
    "save_figure": "contract",
    "read_figure": "contract",
    "figure_html": "contract",
    "show": "contract",
    "show_drawn": "contract",
    "NothingToPlot": "contract",
    "show_html": "contract",
    "draw_corpus_counts": "corpus",
    "draw_corpus_lengths": "corpus",
    "draw_corpus_categories": "corpus",
    "draw_learning_curves": "training",
    "draw_movement": "movement",
    "draw_pretraining": "training",
    "draw_quality_by_scale": "training",
    "attribution_html": "clause",
    "draw_score_matrix": "clause",
    "draw_focus_paired": "comparison",
    "draw_differences": "comparison",
    "draw_distances": "comparison",
    "draw_category_lift": "comparison",
    "draw_lift_by_scale": "comparison",
    "draw_noise": "noise",
    "draw_controls": "noise",
    "draw_correctness_by_element": "correctness",
    "draw_correctness_by_scale": "faithfulness",
    "draw_faithfulness": "faithfulness",
    "draw_removal_curves": "faithfulness",
    "draw_signals": "faithfulness",
    "draw_reliability": "faithfulness",
    "draw_by_context": "faithfulness",
    "draw_distance_by_context": "faithfulness",
    "draw_error_kinds": "errors",
    "draw_errors_by_scale": "errors",
    "draw_focus_by_scale": "focus",
    "draw_protocols": "focus",
    "draw_separation": "focus",
    "draw_growth": "speed",
    "draw_power": "power",
    "table_html": "tables",
    "format_interval": "tables",
    "name_of": "tables",
    "claims_html": "tables",
    "pairs_html": "tables",
    "verdicts_html": "tables",
    "collect_assets": "assets",
}

__all__ = [
    "Figure",
    "save_figure",
    "read_figure",
    "figure_html",
    "show",
    "show_drawn",
    "NothingToPlot",
    "show_html",
    "draw_corpus_counts",
    "draw_corpus_lengths",
    "draw_corpus_categories",
    "draw_learning_curves",
    "draw_movement",
    "draw_pretraining",
    "draw_quality_by_scale",
    "attribution_html",
    "draw_score_matrix",
    "draw_focus_paired",
    "draw_differences",
    "draw_distances",
    "draw_category_lift",
    "draw_lift_by_scale",
    "draw_noise",
    "draw_controls",
    "draw_correctness_by_element",
    "draw_correctness_by_scale",
    "draw_faithfulness",
    "draw_removal_curves",
    "draw_signals",
    "draw_reliability",
    "draw_by_context",
    "draw_distance_by_context",
    "draw_error_kinds",
    "draw_errors_by_scale",
    "draw_focus_by_scale",
    "draw_protocols",
    "draw_separation",
    "draw_growth",
    "draw_power",
    "table_html",
    "format_interval",
    "name_of",
    "claims_html",
    "pairs_html",
    "verdicts_html",
    "collect_assets",
]

if TYPE_CHECKING:
    from compliance_xai.figures.assets import collect_assets
    from compliance_xai.figures.clause import attribution_html, draw_score_matrix
    from compliance_xai.figures.comparison import (
        draw_category_lift,
        draw_differences,
        draw_distances,
        draw_focus_paired,
        draw_lift_by_scale,
    )
    from compliance_xai.figures.contract import (
        Figure,
        NothingToPlot,
        figure_html,
        read_figure,
        save_figure,
        show,
        show_drawn,
        show_html,
    )
    from compliance_xai.figures.corpus import draw_corpus_categories, draw_corpus_counts, draw_corpus_lengths
    from compliance_xai.figures.correctness import draw_correctness_by_element
    from compliance_xai.figures.errors import draw_error_kinds, draw_errors_by_scale
    from compliance_xai.figures.faithfulness import (
        draw_by_context,
        draw_correctness_by_scale,
        draw_distance_by_context,
        draw_faithfulness,
        draw_reliability,
        draw_removal_curves,
        draw_signals,
    )
    from compliance_xai.figures.focus import draw_focus_by_scale, draw_protocols, draw_separation
    from compliance_xai.figures.movement import draw_movement
    from compliance_xai.figures.noise import draw_controls, draw_noise
    from compliance_xai.figures.power import draw_power
    from compliance_xai.figures.speed import draw_growth
    from compliance_xai.figures.tables import (
        claims_html,
        format_interval,
        name_of,
        pairs_html,
        table_html,
        verdicts_html,
    )
    from compliance_xai.figures.training import draw_learning_curves, draw_pretraining, draw_quality_by_scale


def __getattr__(name: str) -> Any:
    """Import a figure's module when the figure is asked for: plotly and seaborn stay unloaded until then."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
