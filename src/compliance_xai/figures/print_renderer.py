"""A chart for print: matplotlib's panels with seaborn's looks, lines and heat maps."""

import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from compliance_xai.figures.marks import Axis, Bars, Chart, Heat, Panel, Points
from compliance_xai.figures.theme import NEGATIVE, POSITIVE, SEQUENTIAL, clean

_FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "Hiragino Sans GB", "PingFang SC", "Apple SD Gothic Neo", "Microsoft YaHei", "Malgun Gothic",
)  # fmt: skip
"""The first has most scripts of the world; the others, if one is installed, Chinese, Japanese and Korean."""
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_UNCHANGED = "#e3e6e9"


@contextmanager
def print_style() -> Iterator[None]:
    """Seaborn's white grid, fixed fonts, stable SVG identifiers; every text is text and never a formula.

    A character that no font has becomes an empty box, and is no reason to stop.
    """
    # A first start may warn that it builds its font cache; a page must not carry that.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    import matplotlib
    import seaborn
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    settings: dict[Any, Any] = {
        "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlesize": 10, "axes.labelsize": 10,
        "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9, "legend.frameon": False,
        "font.family": [font for font in _FONTS if font in installed], "svg.fonttype": "path",
        "svg.hashsalt": "compliance_xai", "text.parse_math": False,
    }  # fmt: skip
    grid = {"grid.color": "#e3e6e9", "axes.edgecolor": "#b9c0c7"}
    with matplotlib.rc_context(), seaborn.axes_style("whitegrid", grid), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        matplotlib.rcParams.update(settings)
        yield


def draw_print(chart: Chart) -> Any:
    """A matplotlib figure off any screen, as large as its panels need."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(chart.columns, len(chart.panels))
    rows = -(-len(chart.panels) // columns)
    with print_style():
        engine = ConstrainedLayoutEngine(wspace=0.04, hspace=0.05)
        figure = Figure(figsize=_measure(chart, rows, columns), layout=engine)
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=chart.share_x, sharey=chart.share_y)
        x_titles = {panel.x.title for panel in chart.panels}
        y_titles = {panel.y.title for panel in chart.panels}
        for index, axis in enumerate(axes.flat):
            if index >= len(chart.panels):
                axis.set_axis_off()
                continue
            panel = chart.panels[index]
            _draw_panel(axis, panel, last=index + columns >= len(chart.panels))
            if len(x_titles) > 1:
                axis.set_xlabel("\n".join(textwrap.wrap(clean(panel.x.title), 36)))
            if index % columns == 0 or len(y_titles) > 1:
                axis.set_ylabel(clean(panel.y.title))
        if len(x_titles) == 1 and columns == 1:
            axes[-1, 0].set_xlabel("\n".join(textwrap.wrap(clean(*x_titles), 64)))
        elif len(x_titles) == 1:
            title = "\n".join(textwrap.wrap(clean(next(iter(x_titles))), 34 + 30 * columns))
            figure.supxlabel(title, fontsize=10)
        if chart.ramp:
            _draw_ramp(figure, axes, chart)
        elif chart.legend:
            _draw_legend(figure, chart, axes)
    return figure


def _measure(chart: Chart, rows: int, columns: int) -> tuple[float, float]:
    """Inches: room for the names of rows, for each panel, for the legend and for titles."""
    names = [clean(label) for label in (chart.panels[0].y.ticks or {}).values()]
    left = 0.5 + 0.07 * max(map(len, names), default=3)
    if chart.ramp:  # cells of a fixed size
        cells_x, cells_y = (len(axis.ticks or ()) for axis in (chart.panels[0].x, chart.panels[0].y))
        width = left + 1.0 + columns * (0.5 + 0.22 * cells_x)
        return min(40.0, width), min(60.0, rows * (0.9 + 0.2 * cells_y) + 0.7)
    panel = {1: 5.0, 2: 3.1, 3: 2.4}.get(columns, 2.0)
    return min(11.0, left + columns * panel), rows * (0.5 + chart.height / 92) + 0.7


def _draw_panel(axis: Any, panel: Panel, *, last: bool) -> None:
    for layer in panel.layers:
        _draw_layer(axis, layer)
    axis.set_title("\n".join(textwrap.wrap(clean(panel.title), 44)))
    # One title below all panels, or one each: seaborn writes neither.
    axis.set_xlabel("")
    axis.set_ylabel("")
    # Seaborn's heat maps count cells from their corners, everything else from the middle.
    shift = 0.5 if any(isinstance(layer, Heat) for layer in panel.layers) else 0.0
    for name, settings in (("x", panel.x), ("y", panel.y)):
        _draw_axis(axis, name, settings, shift)
    axis.tick_params(labelbottom=True) if last else None


def _draw_axis(axis: Any, name: str, settings: Axis, shift: float) -> None:
    from matplotlib.ticker import FuncFormatter

    own = getattr(axis, f"{name}axis")
    if settings.log:
        getattr(axis, f"set_{name}scale")("log")
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if settings.ticks is not None:
        many = len(settings.ticks) > 40
        labels = [clean(label) for label in settings.ticks.values()]
        turn = {"rotation": 90} if settings.turned else {}
        own.set_ticks([place + shift for place in settings.ticks], labels, fontsize=7 if many else None, **turn)
    elif not settings.log:
        axis.locator_params(axis=name, nbins=5)
    if settings.percent:
        own.set_major_formatter("{x:.0%}")
    axis.minorticks_off()
    if settings.span:
        getattr(axis, f"set_{name}lim")([end + shift for end in settings.span])
    if not settings.grid:
        axis.grid(visible=False, axis=name)


def _draw_layer(axis: Any, layer: Any) -> None:
    import seaborn

    match layer:
        case Points():
            _draw_points(axis, layer)
        case Bars():
            known = layer.low is not None and np.isfinite(layer.low).any()
            ends = [layer.length - layer.low, layer.high - layer.length] if known else None
            axis.barh(layer.places, layer.length, left=layer.start, height=0.62, color=layer.style.colour, xerr=ends)
        case Heat():
            looks = {"xticklabels": False, "yticklabels": False, "cbar": False, "ax": axis}
            if layer.unchanged is not None:
                seaborn.heatmap(np.where(layer.unchanged, 1.0, np.nan), cmap=[_UNCHANGED], vmin=0, vmax=1, **looks)
            least = -1 if layer.signed else 0
            seaborn.heatmap(layer.shades, cmap=_shades(layer.signed), vmin=least, vmax=1, **looks)


def _draw_points(axis: Any, layer: Points) -> None:
    import seaborn

    if not len(layer.x):
        return
    style = layer.style
    looks = {"color": style.colour, "alpha": layer.opacity, "ax": axis, "legend": False}
    if layer.line:
        seaborn.lineplot(
            x=np.asarray(layer.x, dtype=float), y=np.asarray(layer.y, dtype=float), estimator=None, errorbar=None,
            sort=False, linestyle=_DASHES[layer.line], linewidth=0.7 * layer.width, **looks,
        )  # fmt: skip
    if not layer.symbols:
        return
    reach = None
    if layer.low is not None:
        values = np.asarray(layer.y if layer.upright else layer.x, dtype=float)
        reach = np.vstack([values - layer.low, np.asarray(layer.high) - values])
    axis.errorbar(
        layer.x, layer.y, **{"yerr" if layer.upright else "xerr": reach}, color=style.colour, elinewidth=1.4,
        linestyle="none", marker=style.marker, markersize=0.6 * layer.size, alpha=layer.opacity,
        markerfacecolor="white" if style.hollow else style.colour, markeredgewidth=1.6 if style.marker == "|" else 1,
    )  # fmt: skip


def _shades(signed: bool) -> Any:
    """Seaborn's and the theme's colours as a map from shades to colours."""
    import seaborn
    from matplotlib.colors import LinearSegmentedColormap

    if signed:
        return LinearSegmentedColormap.from_list("signed", [NEGATIVE, "#f7f7f7", POSITIVE])
    return seaborn.light_palette(SEQUENTIAL, as_cmap=True)


def _draw_ramp(figure: Any, axes: Any, chart: Chart) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    assert chart.ramp is not None
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), _shades(chart.ramp.signed)), ax=list(axes.flat), shrink=0.8, pad=0.02
    )
    bar.set_ticks(list(chart.ramp.labels), labels=[clean(label) for label in chart.ramp.labels.values()])
    bar.minorticks_off()


def _draw_legend(figure: Any, chart: Chart, axes: Any) -> None:
    """One entry for each series that is drawn, above the panels, in as many columns as there is room for."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: dict[str, Any] = {}
    for panel in chart.panels:
        for layer in panel.layers:
            match layer:
                case Points(style=style) if layer.listed and style.label and len(layer.x):
                    looks = {"marker": style.marker if layer.symbols else "", "color": style.colour, "markersize": 5.5}
                    looks |= {"linestyle": _DASHES.get(layer.line, "none"), "linewidth": 0.7 * layer.width}
                    looks |= {"markerfacecolor": "white" if style.hollow else style.colour}
                    entries.setdefault(clean(style.label), Line2D([], [], **looks))
                case Bars(style=style) if style.label:
                    entries.setdefault(clean(style.label), Patch(color=style.colour))
    if len(entries) < 2:
        return
    for count in range(min(5, len(entries)), 0, -1):
        legend = figure.legend(
            entries.values(), entries.keys(), loc="outside upper left", ncols=count, handletextpad=0.4
        )
        if count == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()
