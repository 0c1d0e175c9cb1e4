"""Colours, markers, labels and panels: the same strategy looks the same in every figure, on screen and in print."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_xai.records import SPLITS

GREY = "#7f8790"
POSITIVE = "#b3500a"
NEGATIVE = "#0064be"
"""Signed scores: orange raises, blue lowers a token's probability. Nobody confuses the two hues, whatever colours they
see (purple and blue, tried before, look alike without red cones), and neither is a strategy's colour."""

SPLIT_COLOURS: dict[str, str] = dict(zip(SPLITS, (GREY, "#56B4E9", "#CC79A7", "#D55E00"), strict=True))


@dataclass(frozen=True)
class Style:
    """How one strategy is drawn: Okabe-Ito colour, plotly symbol, matplotlib marker, hollow or filled."""

    label: str
    colour: str
    symbol: str
    marker: str
    hollow: bool = False


_KNOWN = {
    "none": Style("base, not tuned", "#999999", "circle-open", "o", hollow=True),
    "full": Style("full", "#0072B2", "circle", "o"),
    "lora": Style("LoRA", "#E69F00", "square", "s"),
    "qlora": Style("QLoRA", "#009E73", "diamond", "D"),
    "lora+": Style("LoRA+", "#D55E00", "triangle-up", "^"),
    "dora": Style("DoRA", "#CC79A7", "triangle-down", "v"),
    "lora-then-full": Style("LoRA, then full", "#56B4E9", "star", "*"),
    "full-top": Style("full above, LoRA below", "#999933", "triangle-left", "<"),  # Okabe-Ito's yellow fades on white
}
_SPARE = (
    ("#D55E00", "pentagon", "p"),
    ("#CC79A7", "hexagon", "h"),
    ("#56B4E9", "cross", "P"),
    ("#AA4499", "x", "X"),
)


def style_strategies(names: Iterable[str]) -> dict[str, Style]:
    """A style for each strategy, in drawing order: those with a fixed style first, then the study's own by name.

    Examples
    --------
    >>> [style.marker for style in style_strategies(["qlora", "full", "my_hybrid"]).values()]
    ['o', 'D', 'p']
    """
    unique = set(names)
    styles = {name: style for name, style in _KNOWN.items() if name in unique}
    for index, name in enumerate(sorted(unique - set(_KNOWN))):
        colour, symbol, marker = _SPARE[index % len(_SPARE)]
        styles[name] = Style(name, colour, symbol, marker)
    return styles


def format_parameters(count: float) -> str:
    """A parameter count as people say it.

    Examples
    --------
    >>> [format_parameters(n) for n in (312_000, 1_050_000, 7_240_000_000)]
    ['0.31 M', '1.1 M', '7.2 B']
    """
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if count >= size:
            return f"{count / size:.2g} {unit}"
    return f"{count / 1e6:.2g} M"


def plain(text: object) -> str:
    """Text for a plotly label: plotly reads a few HTML tags in labels, and data must never be read as one."""
    return html.escape(str(text), quote=False).replace("\n", " ")


def humanise(name: str) -> str:
    """A column or category name as a label.

    Examples
    --------
    >>> humanise("numerical_constraint")
    'numerical constraint'
    """
    return name.replace("_", " ")


def order_scales(frame: Any, order: Sequence[str] = ()) -> list[str]:
    """The scales of a frame from the smallest to the largest; ``all`` (pooled rows) comes last.

    ``order`` decides where it is given, then the column ``parameters``, then the order of the rows.
    """
    scales = list(dict.fromkeys(frame["scale"]))
    if order:
        return sorted(scales, key=lambda scale: (scale == "all", order.index(scale) if scale in order else len(order)))
    if "parameters" in frame:
        sizes = frame.groupby("scale")["parameters"].max()
        scales.sort(key=lambda scale: (scale == "all", sizes[scale]))
    return scales


@dataclass(frozen=True)
class Panels:
    """Side-by-side panels on a wide page and stacked ones on a narrow page: two sets of axis domains for one figure.

    ``layout`` and ``narrow`` are plotly layouts; the page's script merges the second over the first where the figure
    is narrower than 600 px.
    """

    layout: dict[str, Any]
    narrow: dict[str, Any]
    axes: tuple[tuple[str, str], ...]


def axis_name(letter: str, index: int) -> str:
    """The layout key of a panel's axis: ``xaxis``, ``xaxis2``, ..."""
    return f"{letter}axis" + ("" if index == 0 else str(index + 1))


def lay_out_panels(
    titles: Sequence[str],
    *,
    x: dict[str, Any],
    y: dict[str, Any],
    height: int,
    columns: int | None = None,
    x_title: str | Sequence[str] = "",
    y_title: str = "",
    legend: bool = True,
    gap: float = 0.05,
    narrow_columns: int = 1,
) -> Panels:
    """Axes for ``titles`` panels that share ``x`` and ``y`` settings; ``height`` is that of one panel in px.

    ``x_title`` is one text for all panels, or one for each.

    The legend is no part of the drawing: the page's script writes it above, where it wraps and takes the keyboard.
    """
    count = len(titles)
    columns = min(count, columns or count)
    few = min(count, narrow_columns)
    gap_few = 0.08 if few > 1 else 0.0
    layout = _arrange(titles, columns, height, gap_x=gap, x=x, y=y, x_title=x_title, y_title=y_title, line=44)
    narrow = _arrange(titles, few, height, gap_x=gap_few, x=x, y=y, x_title=x_title, y_title=y_title, line=22)
    layout |= {
        "showlegend": legend,
        "font": {"size": 13, "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"},
        "hovermode": "closest",
    }  # fmt: skip
    axes = tuple((f"x{index + 1 if index else ''}", f"y{index + 1 if index else ''}") for index in range(count))
    return Panels(layout, narrow, axes)


def _arrange(
    titles: Sequence[str],
    columns: int,
    height: int,
    *,
    gap_x: float,
    x: dict,
    y: dict,
    x_title: str | Sequence[str],
    y_title: str,
    line: int,
) -> dict[str, Any]:
    rows = -(-len(titles) // columns)
    shared, each = (x_title, []) if isinstance(x_title, str) else ("", list(x_title))
    lines = _wrap(shared, line) if columns == 1 else [shared]
    deepest = max((title.count("<br>") + 1 for title in each), default=len(lines))
    top, bottom = (34 if any(titles) else 10), (34 + 18 * deepest if x_title else 34)
    between = 64 + 18 * deepest if each else 62
    inner = rows * height + (rows - 1) * between
    layout: dict[str, Any] = {
        "height": inner + top + bottom,
        "margin": {"l": 62, "r": 14, "t": top, "b": bottom},
        "annotations": [],
    }
    width = (1 - gap_x * (columns - 1)) / columns
    for index, title in enumerate(titles):
        row, column = divmod(index, columns)
        left, high = column * (width + gap_x), 1 - row * (height + between) / inner
        domain_x, domain_y = [left, min(1, left + width)], [max(0, high - height / inner), high]
        own_title = each[index] if each else "<br>".join(lines) if columns == 1 and row == rows - 1 else ""
        layout[axis_name("x", index)] = {
            **x, "domain": domain_x, "anchor": f"y{index + 1 if index else ''}",
            "title": {"text": own_title, "standoff": 10, "font": {"size": 13}}, "automargin": True, "tickangle": 0,
        }  # fmt: skip
        layout[axis_name("y", index)] = {
            **y, "domain": domain_y, "anchor": f"x{index + 1 if index else ''}",
            "title": {"text": y_title if column == 0 else "", "standoff": 12, "font": {"size": 13}},
            "showticklabels": column == 0, "automargin": True,
        }  # fmt: skip
        if title:
            layout["annotations"].append({
                "text": f"<b>{plain(title)}</b>", "x": left, "y": high, "xref": "paper", "yref": "paper",
                "xanchor": "left", "yanchor": "bottom", "yshift": 6, "showarrow": False, "font": {"size": 13},
            })  # fmt: skip
    if shared and columns > 1:
        layout["annotations"].append({
            "text": plain(shared), "x": 0.5, "y": 0, "xref": "paper", "yref": "paper", "xanchor": "center",
            "yanchor": "top",
            "yshift": -28, "showarrow": False, "font": {"size": 13},
        })  # fmt: skip
    return layout


def _wrap(title: str, most: int) -> list[str]:
    """An axis title in lines that fit below a single panel, which row labels may leave little room."""
    return [plain(line) for line in textwrap.wrap(title, most)] or [""]


@contextmanager
def print_style() -> Iterator[None]:
    """Seaborn's style for the still pictures: white, light grid, fixed fonts, stable SVG identifiers."""
    import logging

    import matplotlib

    # A first start may warn that it builds its font cache; a page must not carry that.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    import seaborn

    settings: dict[Any, Any] = {
        "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlesize": 10, "axes.labelsize": 10,
        "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9, "legend.frameon": False,
        "font.family": "DejaVu Sans", "svg.fonttype": "path", "svg.hashsalt": "compliance_xai",
    }  # fmt: skip
    with (
        matplotlib.rc_context(),
        seaborn.axes_style("whitegrid", {"grid.color": "#e3e6e9", "axes.edgecolor": "#b9c0c7"}),
    ):
        matplotlib.rcParams.update(settings)
        yield


def new_print_figure(rows: int, columns: int, *, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """A matplotlib figure off any screen, with an array of axes, shape (rows, columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as PrintFigure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = PrintFigure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.05, hspace=0.06))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def print_legend(figure: Any, axis: Any, *, columns: int = 5) -> None:
    """The legend above a print figure, in as many columns (at most ``columns``) as its width has room for."""
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    for count in range(min(columns, len(unique)), 0, -1):
        legend = figure.legend(unique.values(), unique.keys(), loc="outside upper left", ncols=count, handletextpad=0.4)
        if count == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def box_summary(values: Any) -> dict[str, list[float]]:
    """What a box shows, as plotly's keys: quartiles, and whiskers to the last value within 1.5 box lengths.

    Without it plotly draws whiskers to the extremes where single points are not shown.

    Examples
    --------
    >>> box_summary([1, 2, 3, 4, 20])
    {'q1': [2.0], 'median': [3.0], 'q3': [4.0], 'lowerfence': [1.0], 'upperfence': [4.0]}
    """
    found = np.asarray(values, dtype=float)
    q1, median, q3 = (float(value) for value in np.percentile(found, (25, 50, 75)))
    inside = found[(found >= q1 - 1.5 * (q3 - q1)) & (found <= q3 + 1.5 * (q3 - q1))]
    # An inner end that falls short of the box would turn the whisker round.
    low, high = min(float(inside.min()), q1), max(float(inside.max()), q3)
    return {"q1": [q1], "median": [median], "q3": [q3], "lowerfence": [low], "upperfence": [high]}


def draw_print_boxes(
    axis: Any, groups: Sequence[Any], labels: Sequence[str], colours: Sequence[str], *, fliers: bool
) -> None:
    """Horizontal boxes of quartiles, the first on top; seaborn's own still use an argument that matplotlib gives up."""
    for place, (values, colour) in enumerate(zip(groups, colours, strict=True)):
        line = {"color": colour, "linewidth": 1.3}
        axis.boxplot(
            [values], positions=[place], widths=0.55, orientation="horizontal", showfliers=fliers, manage_ticks=False,
            boxprops=line, medianprops=line, whiskerprops=line, capprops=line,
            flierprops={"marker": "o", "markersize": 2, "markeredgecolor": colour},
        )  # fmt: skip
    axis.set_yticks(range(len(labels)), [label.replace("$", r"\$") for label in labels])
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
