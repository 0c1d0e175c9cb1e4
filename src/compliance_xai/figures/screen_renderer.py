"""A chart for the page: plotly's traces, and its layouts for a wide and for a narrow page."""

import html
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from compliance_xai.figures.marks import Axis, Bars, Chart, Heat, Points
from compliance_xai.figures.theme import GREY, clean

_FONT = {"size": 13, "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"}
_TITLES, _TICKS, _BUTTONS, _LINE = 30, 34, 26, 18
"""Heights in px: a line of panel titles, tick labels, the row of buttons above the drawing, a line of text."""


def draw_screen(chart: Chart) -> dict[str, Any]:
    """plotly's ``data`` and ``layout``; ``narrow`` replaces parts of the layout on a narrow page.

    ``ramp`` is the legend of a heat map, and the script of the page draws both kinds of legend.
    """
    import plotly.graph_objects as go

    traces, listed = [], set()
    for index, panel in enumerate(chart.panels):
        number = str(index + 1) if index else ""
        for layer in panel.layers:
            for trace in _trace(layer):
                shown = trace.showlegend is not False and bool(trace.name) and trace.name not in listed
                trace.update(xaxis=f"x{number}", yaxis=f"y{number}", showlegend=shown and chart.legend)
                listed |= {trace.name} if shown else set()
                traces.append(trace)
    spec = {
        "data": json.loads(str(go.Figure(traces).to_json()))["data"],
        "layout": _lay_out(chart, min(chart.columns, len(chart.panels)), narrow=False),
        "narrow": _lay_out(chart, 1, narrow=True),
        "min_width": chart.min_width,
    }
    if chart.ramp:
        labels = {f"{share:.3f}": clean(label) for share, label in chart.ramp.labels.items()}
        spec["ramp"] = {"signed": chart.ramp.signed, "labels": labels, "unchanged": chart.ramp.unchanged}
    return spec


def plain(text: object) -> str:
    """Text for plotly, which reads a few HTML tags in labels: data must never be read as one."""
    return html.escape(clean(text), quote=False)


def _lay_out(chart: Chart, columns: int, *, narrow: bool) -> dict[str, Any]:
    """Axes and titles of the panels in this many columns, arranged by plotly."""
    from plotly.subplots import make_subplots

    count = len(chart.panels)
    rows = -(-count // columns)
    width = (46 if narrow else 80) // columns
    titles = ["<br>".join(f"<b>{line}</b>" for line in _wrap(panel.title, width) if line) for panel in chart.panels]
    x_titles = list(dict.fromkeys(panel.x.title for panel in chart.panels))
    y_titles = list(dict.fromkeys(panel.y.title for panel in chart.panels))
    # One title below all panels, or one below each; below a single column it is that of the last panel.
    shared = "<br>".join(_wrap(x_titles[0], 100)) if len(x_titles) == 1 and columns > 1 else ""
    each = ["<br>".join(_wrap(panel.x.title, width)) for panel in chart.panels] if len(x_titles) > 1 else [""] * count
    if len(x_titles) == 1 and columns == 1:
        each[-1] = "<br>".join(_wrap(x_titles[0], 46 if narrow else 90))
    lines = max(title.count("<br>") + 1 if title else 0 for title in each)
    names = chart.panels[0].x
    upwards = 5.5 * max(map(len, names.ticks.values())) if names.turned and names.ticks else 0.0
    below = _TICKS + (_LINE * lines if len(x_titles) > 1 else 0) + upwards
    height = _narrow_height(chart) if narrow else chart.height
    above = max(_TITLES + _LINE * title.count("<br>") if title else 8 for title in titles)
    gap = above + below
    inner = rows * height + (rows - 1) * gap
    shares: dict[str, Any] = {"shared_xaxes": chart.share_x and "all", "shared_yaxes": chart.share_y and "all"}
    grid = make_subplots(
        rows,
        columns,
        specs=[[{} if row * columns + column < count else None for column in range(columns)] for row in range(rows)],
        subplot_titles=titles,
        **shares,
        horizontal_spacing=(0.03 if chart.share_y else 0.1) if columns > 1 else None,
        vertical_spacing=gap / inner if rows > 1 else None,
        x_title=shared or None,
    )
    for index, panel in enumerate(chart.panels):
        row, column = index // columns + 1, index % columns + 1
        grid.update_xaxes(_axis(panel.x, narrow=narrow, horizontal=True), row=row, col=column, showticklabels=True)
        own = _axis(panel.y, narrow=narrow)
        grid.update_yaxes(
            own,
            row=row,
            col=column,
            showticklabels=(column == 1 or not chart.share_y) and not (narrow and panel.y.names),
        )
        grid.update_xaxes(title_text=each[index], row=row, col=column)
        if column == 1 or len(y_titles) > 1:
            grid.update_yaxes(title_text=plain(panel.y.title), row=row, col=column)
        if panel.y.names and narrow:
            for place, label in (panel.y.ticks or {}).items():
                at = {"x": 0, "y": place - 0.5, "xref": "x domain", "yref": "y", "xanchor": "left"}
                grid.add_annotation(text=plain(label), showarrow=False, row=row, col=column, **at)
    layout = json.loads(str(grid.to_json()))["layout"]
    layout.pop("template", None)
    for place, note in enumerate(layout.setdefault("annotations", [])):
        note["font"] = {"size": 13}
        if place < sum(map(bool, titles)):
            axis = [index for index, title in enumerate(titles) if title][place]
            note |= {"x": layout[f"xaxis{axis + 1 if axis else ''}"]["domain"][0], "xanchor": "left", "yshift": 4}
    top = above + (0 if narrow else _BUTTONS)
    bottom = below + (_LINE if shared or len(x_titles) == 1 else 0)
    return layout | {
        "height": inner + top + bottom,
        "margin": {"l": 10, "r": 12, "t": top, "b": bottom},
        "font": _FONT,
        "hovermode": "closest",
        "barmode": "stack",
        "bargap": 0.3,
        "showlegend": chart.legend,
    }


def _narrow_height(chart: Chart) -> float:
    """Where names of rows stand above their rows, each row needs room for a line of text more."""
    axis = chart.panels[0].y
    return chart.height + 20 * len(axis.ticks) if axis.names and axis.ticks else chart.height


def _wrap(text: str, width: int) -> list[str]:
    return [plain(line) for line in textwrap.wrap(clean(text), width)] or [""]


def _axis(axis: Axis, *, narrow: bool, horizontal: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "zeroline": False, "showgrid": axis.grid and not (axis.names and narrow), "automargin": True, "nticks": 5,
        "tickangle": 0, "type": "log" if axis.log else "linear", "title": {"standoff": 8, "font": {"size": 13}},
    }  # fmt: skip
    if axis.percent:
        found["tickformat"] = ".0%"
    if axis.span:
        found["range"] = [float(np.log10(end)) for end in axis.span] if axis.log else list(map(float, axis.span))
    if axis.ticks is not None:
        places, labels = [float(place) for place in axis.ticks], [plain(label) for label in axis.ticks.values()]
        found |= {"tickvals": places, "ticktext": labels}
        if axis.names and narrow:
            found["range"] = [len(places) - 0.5, -0.8]
    if axis.turned:
        found["tickangle"] = -90
    return found


def _trace(layer: Any) -> list[Any]:
    """plotly's traces of one layer; none where it holds no number."""
    import plotly.graph_objects as go

    match layer:
        case Points():
            return _points(layer)
        case Bars():
            starts = np.broadcast_to(np.asarray(layer.start, dtype=float), np.shape(layer.length))
            return [
                go.Bar(
                    x=_numbers(layer.length), y=_numbers(layer.places), base=_numbers(starts), orientation="h",
                    marker={"color": layer.style.colour}, name=plain(layer.style.label), **_hover(layer.notes),
                    error_x=_reach(layer.length, layer.low, layer.high, "#444"), width=0.62,
                )
            ]  # fmt: skip
        case Heat():
            return _heat(layer)
    raise TypeError(type(layer))


def _points(layer: Points) -> list[Any]:
    import plotly.graph_objects as go

    if not len(layer.x):
        return []
    style = layer.style
    values = layer.y if layer.upright else layer.x
    mode = "+".join(name for name, drawn in (("lines", layer.line), ("markers", layer.symbols)) if drawn)
    line = {"color": style.colour, "width": layer.width, "dash": layer.line or "solid"}
    marker = {
        "symbol": style.symbol, "color": style.colour, "size": layer.size,
        "line": {"width": 2 if style.symbol.endswith("-open") else 0, "color": style.colour},
    }  # fmt: skip
    return [
        go.Scatter(
            x=_numbers(layer.x), y=_numbers(layer.y), mode=mode, name=plain(style.label), opacity=layer.opacity,
            legendgroup=plain(style.label), showlegend=layer.listed, line=line if layer.line else None,
            marker=marker if layer.symbols else None, **_hover(layer.notes),
            **{"error_y" if layer.upright else "error_x": _reach(values, layer.low, layer.high, style.colour)},
        )
    ]  # fmt: skip


def _heat(layer: Heat) -> list[Any]:
    """The page's script colours a heat map by what its ``meta`` says, as the colours depend on the theme."""
    import plotly.graph_objects as go

    rows, columns = layer.shades.shape
    common = {"x": list(range(columns)), "y": list(range(rows)), "xgap": 1, "ygap": 1, "showscale": False}
    texts = [["<br>".join(map(plain, note.split("\n"))) for note in line] for line in layer.notes]
    common |= {"text": texts, "hovertemplate": "%{text}<extra></extra>", "hoverongaps": False, "zmax": 1}
    shades = [_numbers(line) for line in layer.shades]
    kind, least = ("signed", -1) if layer.signed else ("sequential", 0)
    made = [go.Heatmap(z=shades, zmin=least, meta=kind, colorscale=[[0, "#ccc"], [1, "#333"]], **common)]
    if layer.unchanged is not None and layer.unchanged.any():
        plain_cells = [_numbers(line) for line in np.where(layer.unchanged, 1.0, np.nan)]
        made.append(go.Heatmap(z=plain_cells, zmin=0, meta="unchanged", colorscale=[[0, GREY], [1, GREY]], **common))
    return made


def _hover(notes: Sequence[str]) -> dict[str, Any]:
    if not notes:
        return {"hoverinfo": "skip"}
    lines = [[plain(line) for line in note.split("\n")] for note in notes]
    texts = ["<br>".join([f"<b>{first}</b>", *others]) for first, *others in lines]
    return {"customdata": texts, "hovertemplate": "%{customdata}<extra></extra>"}


def _reach(values: Any, low: Any, high: Any, colour: str) -> dict[str, Any] | None:
    """plotly's error bars: how far an interval reaches to both sides of the value."""
    if low is None or not np.isfinite(np.asarray(low, dtype=float)).any():
        return None
    up, down = np.asarray(high) - np.asarray(values), np.asarray(values) - np.asarray(low)
    looks = {"type": "data", "symmetric": False, "color": colour, "thickness": 1.6, "width": 0}
    return looks | {"array": _numbers(up), "arrayminus": _numbers(down)}


def _numbers(values: Iterable[Any]) -> list[float | None]:
    """Six significant digits are more than a drawing shows, and keep the page small."""
    return [None if not np.isfinite(value) else float(f"{value:.6g}") for value in np.asarray(values, dtype=float)]
