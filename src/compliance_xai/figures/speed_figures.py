"""How the time of an attribution grows, for this engine and others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import GREY, Panels, Style, lay_out_panels, new_print_figure, print_style

if TYPE_CHECKING:
    import pandas as pd

PANELS = {"clause": "longer clauses", "target": "longer rules"}
_X_TITLES = {"clause": "words of the clause", "target": "tokens of the rule"}
_Y_TITLE = "seconds"
_MINIMUM = "least positions, scaled"
_STYLES = {
    "this engine": Style("this engine", "#000000", "circle", "o"),
    "captum, teacher-forced": Style("captum, teacher-forced", "#D55E00", "triangle-up", "^"),
    "shap": Style("shap, per evaluation", "#56B4E9", "star", "*"),
}


def draw_growth(cases: pd.DataFrame, *, folder: Path | str, where: str) -> Figure:
    """Seconds of a whole leave-one-out against the length of the clause and of the rule.

    Parameters
    ----------
    cases
        ``varied`` (``clause`` or ``target``), ``size``, ``system``, ``seconds``, ``minimum`` (positions).
    where
        The model and machine that were measured.
    """
    frame = require_rows(cases, "attribution-speed").copy()
    ours = frame["system"] == "this engine"
    per_position = float((frame.loc[ours, "seconds"] / frame.loc[ours, "minimum"]).median())
    frame["scaled_minimum"] = frame["minimum"] * per_position
    layout = _lay_out(frame)
    last = frame.loc[frame.groupby(["varied", "system"])["size"].idxmax()]
    said = "; ".join(
        f"{row.system}, {PANELS[str(row.varied)]}, {row.size}: {row.seconds:.3g} s" for row in last.itertuples()
    )
    return save_figure(
        "attribution-speed",
        _draw_interactive(frame, layout),
        _draw_still(frame),
        frame,
        title="Time of one leave-one-out attribution",
        caption="Seconds for every word of one clause, on logarithmic axes. The dotted line is the least number of "
        "positions that any engine must compute, at this engine's median time a position: where a curve runs beside "
        f"it, cost grows as the minimum does. shap is charged for as many evaluations as leave-one-out needs. {where}",
        alt=f"Both axes logarithmic; at the longest: {said}.",
        n="one clause a point, the median of repeats that take turns",
        interval="none",
        folder=folder,
        narrow=layout.narrow,
    )


def _lay_out(frame: pd.DataFrame) -> Panels:
    low, high = frame["seconds"].min(), frame["seconds"].max()
    ticks = [digit * 10.0**power for power in range(-4, 4) for digit in (1, 2, 5)]
    layout = lay_out_panels(
        list(PANELS.values()),
        x={"type": "log", "zeroline": False},
        y={
            "type": "log", "zeroline": False, "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks],
            "range": [float(np.log10(low / 1.5)), float(np.log10(high * 1.5))],
        },
        height=300,
        x_title=list(_X_TITLES.values()),
        y_title=_Y_TITLE,
    )  # fmt: skip
    for part in (layout.layout, layout.narrow):
        for index, varied in enumerate(PANELS):
            sizes = sorted(set(frame.loc[frame["varied"] == varied, "size"]))
            part[f"xaxis{index + 1 if index else ''}"] |= {"tickvals": sizes, "ticktext": [str(size) for size in sizes]}
    return layout


def _draw_interactive(frame: pd.DataFrame, layout: Panels) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure(layout=layout.layout)
    for index, varied in enumerate(PANELS):
        x_axis, y_axis = layout.axes[index]
        axes = {"xaxis": x_axis, "yaxis": y_axis, "showlegend": index == 0}
        here = frame[frame["varied"] == varied].sort_values("size")
        least = here[here["system"] == "this engine"]
        figure.add_trace(
            go.Scatter(
                x=least["size"].to_numpy(), y=least["scaled_minimum"].to_numpy(), mode="lines", name=_MINIMUM,
                legendgroup=_MINIMUM, line={"color": GREY, "width": 1.5, "dash": "dot"}, hoverinfo="skip", **axes,
            )
        )  # fmt: skip
        for system, style in _STYLES.items():
            some = here[here["system"] == system]
            figure.add_trace(
                go.Scatter(
                    x=some["size"].to_numpy(), y=some["seconds"].to_numpy(), mode="lines+markers", name=style.label,
                    legendgroup=system, line={"color": style.colour, "width": 2},
                    marker={"color": style.colour, "symbol": style.symbol, "size": 9},
                    hovertemplate=f"<b>{style.label}</b>, %{{x}}<br>%{{y:.3g}} s<extra></extra>", **axes,
                )
            )  # fmt: skip
    return figure


def _draw_still(frame: pd.DataFrame) -> Any:
    with print_style():
        figure, axes = new_print_figure(1, len(PANELS), width=7.6, height=3.3, sharey=True)
        for axis, (varied, title) in zip(axes.flat, PANELS.items(), strict=True):
            here = frame[frame["varied"] == varied].sort_values("size")
            least = here[here["system"] == "this engine"]
            axis.plot(least["size"], least["scaled_minimum"], ":", color=GREY, label=_MINIMUM)
            for system, style in _STYLES.items():
                some = here[here["system"] == system]
                axis.plot(some["size"], some["seconds"], style.marker + "-", color=style.colour, label=style.label)
            axis.set_xscale("log")
            axis.set_yscale("log")
            sizes = sorted(set(here["size"]))
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.minorticks_off()
            axis.set_title(title)
            axis.set_xlabel(_X_TITLES[varied])
        axes[0, 0].set_ylabel(_Y_TITLE)
        axes[0, 0].legend(loc="lower right")
    return figure
