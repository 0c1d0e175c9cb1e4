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
    "show_html": "contract",
    "draw_corpus_counts": "corpus",
    "draw_corpus_lengths": "corpus",
    "draw_corpus_categories": "corpus",
    "draw_learning_curves": "training",
    "draw_quality_by_scale": "training",
    "attribution_html": "clause",
    "draw_score_matrix": "clause",
    "draw_focus_paired": "comparison",
    "draw_differences": "comparison",
    "draw_distances": "comparison",
    "draw_category_lift": "comparison",
    "draw_lift_by_scale": "comparison",
    "draw_correctness": "comparison",
    "table_html": "tables",
    "claims_html": "tables",
    "prepare_assets": "assets",
}

__all__ = list(_HOMES)

if TYPE_CHECKING:
    from compliance_xai.figures.assets import prepare_assets as prepare_assets
    from compliance_xai.figures.clause import attribution_html as attribution_html
    from compliance_xai.figures.clause import draw_score_matrix as draw_score_matrix
    from compliance_xai.figures.comparison import draw_category_lift as draw_category_lift
    from compliance_xai.figures.comparison import draw_correctness as draw_correctness
    from compliance_xai.figures.comparison import draw_differences as draw_differences
    from compliance_xai.figures.comparison import draw_distances as draw_distances
    from compliance_xai.figures.comparison import draw_focus_paired as draw_focus_paired
    from compliance_xai.figures.comparison import draw_lift_by_scale as draw_lift_by_scale
    from compliance_xai.figures.contract import Figure as Figure
    from compliance_xai.figures.contract import figure_html as figure_html
    from compliance_xai.figures.contract import read_figure as read_figure
    from compliance_xai.figures.contract import save_figure as save_figure
    from compliance_xai.figures.contract import show as show
    from compliance_xai.figures.contract import show_html as show_html
    from compliance_xai.figures.corpus import draw_corpus_categories as draw_corpus_categories
    from compliance_xai.figures.corpus import draw_corpus_counts as draw_corpus_counts
    from compliance_xai.figures.corpus import draw_corpus_lengths as draw_corpus_lengths
    from compliance_xai.figures.tables import claims_html as claims_html
    from compliance_xai.figures.tables import table_html as table_html
    from compliance_xai.figures.training import draw_learning_curves as draw_learning_curves
    from compliance_xai.figures.training import draw_quality_by_scale as draw_quality_by_scale


def __getattr__(name: str) -> Any:
    """Import a figure's module when the figure is asked for: plotly and seaborn stay unloaded until then."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
