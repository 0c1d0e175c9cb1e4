"""The two chart forms that most figures share, each drawn twice: interactively and for print."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.figures.theme import (
    GREY,
    Panels,
    Style,
    format_parameters,
    humanise,
    lay_out_panels,
    new_print_figure,
    plain,
    print_legend,
    print_style,
    style_strategies,
)

if TYPE_CHECKING:
    import pandas as pd


SHARES = (-0.04, 1.04)
"""Range of an axis of shares: marks at 0 and 1 are drawn whole."""


def draw_rows(
    frame: pd.DataFrame,
    *,
    rows: list[str],
    panels: list[str],
    x_title: str,
    labels: dict[str, str] | None = None,
    reference: float | None = None,
    reference_label: str = "",
    x_range: tuple[float, float] | None = None,
    styles: dict[str, Style] | None = None,
    dodge: bool = True,
) -> tuple[Any, Any, Panels]:
    """Rows of values with intervals: one row per category, one panel per scale, one mark per strategy.

    Parameters
    ----------
    frame
        Columns ``row``, ``panel``, ``strategy``, ``value``, ``low``, ``high``, ``n`` and, if each row has a reference
        of its own, ``chance``.
    reference
        A vertical line at this value in every panel.
    styles
        How the values of ``strategy`` are drawn; by default as strategies are everywhere.
    dodge
        Whether marks of one row stand below each other; not needed where a row has one mark.

    Returns
    -------
    tuple
        The plotly figure, the matplotlib figure and the panels.
    """
    labels = labels or {row: humanise(row) for row in rows}
    styles = styles or style_strategies(frame["strategy"])
    # Few marks stand close together, so that each is seen to belong to its row.
    room = min(0.58, 0.3 * (len(styles) - 1)) if dodge else 0.0
    offsets = dict(zip(styles, spread(len(styles), room), strict=True))
    abreast = len(styles) if dodge else 2
    span = list(x_range) if x_range else _pad(frame, reference)
    layout = lay_out_panels(
        panels if len(panels) > 1 else [""],
        x={"zeroline": False, "range": span, "tickvals": _ticks(span, 4 if len(panels) < 3 else 3), "matches": "x"},
        y={
            "tickvals": list(range(len(rows))), "ticktext": [plain(labels[row]) for row in rows],
            "range": [len(rows) - 0.5, -0.5], "zeroline": False, "gridcolor": "rgba(127,135,144,0.16)",
        },
        height=max(150, 30 + (18 + 9 * abreast) * len(rows)),
        columns=2 if len(panels) == 4 else None,
        x_title=x_title,
    )  # fmt: skip
    return (
        _plotly_rows(frame, rows, panels, styles, offsets, layout, reference, reference_label, labels),
        _print_rows(frame, rows, panels, styles, offsets, labels, x_title, reference, reference_label, span),
        layout,
    )


def _plotly_rows(frame, rows, panels, styles, offsets, layout, reference, reference_label, labels) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure(layout=layout.layout)
    for index, panel in enumerate(panels):
        x_axis, y_axis = layout.axes[index]
        here = frame[frame["panel"] == panel]
        if reference is not None:
            figure.add_trace(
                go.Scatter(
                    x=[reference, reference], y=[-0.5, len(rows) - 0.5], xaxis=x_axis, yaxis=y_axis, mode="lines",
                    line={"color": GREY, "width": 1.5, "dash": "dot"}, hoverinfo="skip", name=reference_label,
                    showlegend=index == 0 and bool(reference_label), legendgroup="reference",
                )
            )  # fmt: skip
        if "chance" in here:
            marks = here.groupby("row")["chance"].mean().reindex(rows).dropna()
            figure.add_trace(
                go.Scatter(
                    x=marks.to_numpy(), y=[rows.index(row) for row in marks.index], xaxis=x_axis, yaxis=y_axis,
                    mode="markers", name=reference_label, legendgroup="chance", showlegend=index == 0,
                    marker={"symbol": "line-ns-open", "size": 20, "color": GREY, "line": {"width": 2, "color": GREY}},
                    hovertemplate="%{x:.3f} by chance<extra></extra>",
                )
            )  # fmt: skip
        for name, style in styles.items():
            some = here[(here["strategy"] == name) & here["row"].isin(rows)]
            figure.add_trace(
                go.Scatter(
                    x=some["value"].to_numpy(),
                    y=[rows.index(row) + offsets[name] for row in some["row"]],
                    xaxis=x_axis, yaxis=y_axis, mode="markers", name=style.label, legendgroup=name,
                    showlegend=index == 0, marker=_plotly_marker(style), cliponaxis=False,
                    error_x=_plotly_error(some, style),
                    customdata=[
                        [plain(labels[row.row]), row.n, row.low, row.high] for row in some.itertuples(index=False)
                    ],
                    hovertemplate=f"<b>{plain(style.label)}</b>, %{{customdata[0]}}<br>%{{x:.3f}}"
                    " [%{customdata[2]:.3f}, %{customdata[3]:.3f}]<br>n = %{customdata[1]}<extra></extra>",
                )
            )  # fmt: skip
    return figure


def _print_rows(frame, rows, panels, styles, offsets, labels, x_title, reference, reference_label, span) -> Any:
    with print_style():
        figure, axes = new_print_figure(
            1,
            len(panels),
            width=2.2 + 2.3 * len(panels),
            height=1.5 + (0.16 + 0.095 * (len(styles) if any(offsets.values()) else 2)) * len(rows),
            sharex=True,
            sharey=True,
        )
        for axis, panel in zip(axes[0], panels, strict=True):
            here = frame[frame["panel"] == panel]
            axis.grid(axis="y", visible=False)
            if reference is not None:
                axis.axvline(reference, color=GREY, linestyle=":", label=reference_label or "_reference")
            if "chance" in here:
                marks = here.groupby("row")["chance"].mean().reindex(rows).dropna()
                axis.plot(
                    marks.to_numpy(), [rows.index(row) for row in marks.index], "|", color=GREY, markersize=15,
                    markeredgewidth=1.6, label=reference_label,
                )  # fmt: skip
            for name, style in styles.items():
                some = here[(here["strategy"] == name) & here["row"].isin(rows)]
                positions = [rows.index(row) + offsets[name] for row in some["row"]]
                _print_marks(axis, some["value"], positions, some, style, vertical=False)
            axis.set_title(panel if len(panels) > 1 else "")
        if len(panels) == 1:
            axes[0, 0].set_xlabel("\n".join(textwrap.wrap(x_title, 36)))
        else:  # one title below all panels: side by side, long ones would run into each other
            figure.supxlabel(x_title, fontsize=10)
        axes[0, 0].set_yticks(range(len(rows)), [labels[row].replace("$", r"\$") for row in rows])
        axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        if span:
            axes[0, 0].set_xlim(span)
        print_legend(figure, axes[0, 0])
    return figure


def draw_lines(
    frame: pd.DataFrame,
    *,
    panels: list[str],
    y_title: str,
    titles: dict[str, str] | None = None,
    reference: float | None = None,
    y_range: tuple[float, float] | None = None,
    columns: int = 2,
    narrow_columns: int = 1,
    height: int = 270,
    points: pd.DataFrame | None = None,
    bands: pd.DataFrame | None = None,
    band_label: str = "",
) -> tuple[Any, Any, Panels]:
    """Values against model size, a line with intervals per strategy, one panel per measure or category.

    Parameters
    ----------
    frame
        Columns ``panel``, ``strategy``, ``scale``, ``parameters``, ``value``, ``low``, ``high``, ``n``.
    points
        Single values drawn small beside the means: ``panel``, ``strategy``, ``parameters``, ``value`` (one per seed).
    bands
        A shaded band behind each panel: ``panel``, ``parameters``, ``low``, ``high``.
    """
    titles = titles or {panel: humanise(panel) for panel in panels}
    styles = style_strategies(frame["strategy"])
    sizes = sorted(set(frame["parameters"]))
    # Dodged on the log axis so that intervals at one size stand beside each other.
    margin = 1.45
    dodge = dict(zip(styles, 10 ** (_dodge(sizes, margin) * spread(len(styles), 2.0)), strict=True))
    layout = lay_out_panels(
        [titles[panel] for panel in panels],
        x={
            "type": "log", "tickvals": sizes, "ticktext": [format_parameters(size) for size in sizes],
            "range": [float(np.log10(sizes[0] / margin)), float(np.log10(sizes[-1] * margin))], "zeroline": False,
        },
        y={"zeroline": False, "nticks": 6, "range": list(y_range) if y_range else None},
        height=height,
        columns=columns,
        narrow_columns=narrow_columns,
        x_title="parameters (log scale)",
        y_title=y_title,
        gap=0.1 if columns < 3 else 0.035,
    )  # fmt: skip
    if columns < 3:  # many panels share one scale, so the first of a row carries it
        for part in (layout.layout, layout.narrow):
            for index in range(len(panels)):
                part[f"yaxis{index + 1 if index else ''}"]["showticklabels"] = True
    interactive = _plotly_lines(frame, panels, styles, dodge, layout, reference, points, bands, band_label)
    still = _print_lines(
        frame, panels, styles, dodge, titles, sizes, margin, y_title, reference, y_range, columns, points, bands,
        band_label,
    )  # fmt: skip
    return interactive, still, layout


def _plotly_lines(frame, panels, styles, dodge, layout, reference, points, bands, band_label) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure(layout=layout.layout)
    for index, panel in enumerate(panels):
        x_axis, y_axis = layout.axes[index]
        here = frame[frame["panel"] == panel]
        if bands is not None:
            x, low, high = _band_corners(bands, panel, 10 ** np.asarray(layout.layout["xaxis"]["range"]))
            figure.add_trace(
                go.Scatter(
                    x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), xaxis=x_axis, yaxis=y_axis,
                    fill="toself", fillcolor="rgba(127,135,144,0.28)", line={"width": 0}, mode="lines",
                    hoverinfo="skip", name=band_label, legendgroup="band", showlegend=index == 0,
                )
            )  # fmt: skip
        if reference is not None:
            bounds = 10 ** np.asarray(layout.layout["xaxis"]["range"])
            figure.add_trace(
                go.Scatter(
                    x=bounds, y=[reference, reference], xaxis=x_axis, yaxis=y_axis, mode="lines", hoverinfo="skip",
                    line={"color": GREY, "width": 1.5, "dash": "dot"}, showlegend=False,
                )
            )  # fmt: skip
        for name, style in styles.items():
            some = here[here["strategy"] == name].sort_values("parameters")
            if points is not None:
                seeds = points[(points["panel"] == panel) & (points["strategy"] == name)]
                figure.add_trace(
                    go.Scatter(
                        x=seeds["parameters"].to_numpy() * dodge[name], y=seeds["value"].to_numpy(), xaxis=x_axis,
                        yaxis=y_axis, mode="markers", showlegend=False, legendgroup=name, opacity=0.5,
                        marker=_plotly_marker(style) | {"size": 5},
                        hovertemplate=f"{plain(style.label)}, one seed: %{{y:.3f}}<extra></extra>",
                    )
                )  # fmt: skip
            figure.add_trace(
                go.Scatter(
                    x=some["parameters"].to_numpy() * dodge[name], y=some["value"].to_numpy(), xaxis=x_axis,
                    yaxis=y_axis, mode="lines+markers", name=style.label, legendgroup=name, showlegend=index == 0,
                    marker=_plotly_marker(style), line={"color": style.colour, "width": 2},
                    error_y=_plotly_error(some, style),
                    customdata=[[plain(row.scale), row.n, row.low, row.high] for row in some.itertuples(index=False)],
                    hovertemplate=f"<b>{plain(style.label)}</b>, %{{customdata[0]}}<br>%{{y:.3f}}"
                    " [%{customdata[2]:.3f}, %{customdata[3]:.3f}]<br>n = %{customdata[1]}<extra></extra>",
                )
            )  # fmt: skip
    return figure


def _print_lines(
    frame, panels, styles, dodge, titles, sizes, margin, y_title, reference, y_range, columns, points, bands, band_label
) -> Any:
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    wide, high = (3.3, 2.6) if columns < 3 else (2.3, 1.9)
    with print_style():
        figure, axes = new_print_figure(rows, columns, width=1.0 + wide * columns, height=0.7 + high * rows)
        for index, axis in enumerate(axes.flat):
            if index >= len(panels):
                axis.set_axis_off()
                continue
            here = frame[frame["panel"] == panels[index]]
            if bands is not None:
                x, low, high = _band_corners(bands, panels[index], np.array([sizes[0] / margin, sizes[-1] * margin]))
                axis.fill_between(x, low, high, color=GREY, alpha=0.3, linewidth=0, label=band_label)
            if reference is not None:
                axis.axhline(reference, color=GREY, linestyle=":")
            for name, style in styles.items():
                some = here[here["strategy"] == name].sort_values("parameters")
                places = some["parameters"] * dodge[name]
                axis.plot(places, some["value"], color=style.colour, linewidth=1.4)
                if points is not None:
                    seeds = points[(points["panel"] == panels[index]) & (points["strategy"] == name)]
                    axis.plot(
                        seeds["parameters"] * dodge[name], seeds["value"], style.marker, color=style.colour,
                        markersize=3, alpha=0.5, markerfacecolor="none" if style.hollow else style.colour,
                    )  # fmt: skip
                _print_marks(axis, some["value"], places, some, style, vertical=True)
            axis.set_xscale("log")
            axis.set_xlim(sizes[0] / margin, sizes[-1] * margin)
            axis.set_xticks(sizes, [format_parameters(size) for size in sizes])
            axis.minorticks_off()
            axis.set_title(titles[panels[index]])
            if columns < 3 or index + columns >= len(panels):
                axis.set_xlabel("parameters (log scale)")
            if index % columns == 0:
                axis.set_ylabel(y_title)
            if y_range:
                axis.set_ylim(y_range)
        print_legend(figure, axes[0, 0])
    return figure


def _band_corners(bands: pd.DataFrame, panel: str, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A band's places and edges, drawn out to both ends of the axis."""
    here = bands[bands["panel"] == panel].sort_values("parameters")
    inner = here[["parameters", "low", "high"]].to_numpy(dtype=float)
    if not len(inner):
        return np.empty(0), np.empty(0), np.empty(0)
    x = np.concatenate([ends[:1], inner[:, 0], ends[1:]])
    low, high = (np.concatenate([edge[:1], edge, edge[-1:]]) for edge in (inner[:, 1], inner[:, 2]))
    return x, low, high


def _dodge(sizes: list[float], margin: float) -> float:
    """Half the room that the marks of one size take, in decades: a share of the axis, and apart from other sizes."""
    decades = np.log10(sizes)
    room = 0.035 * float(decades[-1] - decades[0] + 2 * np.log10(margin))
    return min([room, *(0.35 * np.diff(decades))])


def _pad(frame: pd.DataFrame, reference: float | None) -> list[float]:
    """From the least to the most that is drawn, the reference too, with room beside both."""
    drawn = frame[[name for name in ("value", "low", "high", "chance") if name in frame]]
    values = np.append(drawn.to_numpy(dtype=float).ravel(), [] if reference is None else reference)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.04 * (high - low or 1.0)
    return [low - room, high + room]


def _ticks(span: Sequence[float], most: int) -> list[float]:
    """Round numbers inside a range; a narrow panel has room for few, but never for one alone."""
    from matplotlib.ticker import MaxNLocator

    low, high = span
    ticks = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2).tick_values(low, high)
    return [float(round(tick, 10)) for tick in ticks if low <= tick <= high]


def spread(count: int, width: float = 0.58) -> np.ndarray:
    """Offsets of ``count`` marks that stand side by side, around 0 and ``width`` apart from first to last."""
    return np.linspace(-width / 2, width / 2, count) if count > 1 else np.zeros(1)


def _plotly_marker(style: Style) -> dict[str, Any]:
    return {
        "symbol": style.symbol,
        "color": style.colour,
        "size": 9,
        "line": {"width": 2 if style.hollow else 0, "color": style.colour},
    }


def _plotly_error(frame: pd.DataFrame, style: Style) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "color": style.colour, "thickness": 1.6, "width": 0,
        "array": (frame["high"] - frame["value"]).to_numpy(), "arrayminus": (frame["value"] - frame["low"]).to_numpy(),
    }  # fmt: skip


def _print_marks(axis: Any, values: Any, places: Any, frame: pd.DataFrame, style: Style, *, vertical: bool) -> None:
    errors = np.vstack([frame["value"] - frame["low"], frame["high"] - frame["value"]])
    x, y = (places, values) if vertical else (values, places)
    axis.errorbar(
        x, y, **{"yerr" if vertical else "xerr": errors}, fmt=style.marker, color=style.colour, markersize=5.5,
        markerfacecolor="white" if style.hollow else style.colour, elinewidth=1.4, label=style.label,
    )  # fmt: skip
