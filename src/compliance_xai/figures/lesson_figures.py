"""Two plain charts for the workshop: bars of a few numbers, and curves; by the contract of all figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import lay_out_panels, new_print_figure, plain, print_legend, print_style

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
_DASHES = (("solid", "-"), ("dash", "--"), ("dot", ":"), ("dashdot", "-."))


def draw_bars(
    frame: pd.DataFrame,
    label: str,
    value: str,
    *,
    unit: str,
    title: str,
    caption: str,
    n: str,
    name: str,
    folder: Path | str,
) -> Figure:
    """One horizontal bar for each row, in the frame's order; columns ``low`` and ``high`` give its interval."""
    import plotly.graph_objects as go

    require_rows(frame, name)
    places = list(range(len(frame)))
    labels = [str(text) for text in frame[label]]
    has_interval = {"low", "high"} <= set(frame.columns)
    reach = [frame["high"] - frame[value], frame[value] - frame["low"]] if has_interval else None
    height = 110 + 24 * len(frame)
    layout = lay_out_panels(
        [""],
        x={"zeroline": True},
        y={
            "tickvals": places,
            "ticktext": [plain(text) for text in labels],
            "autorange": "reversed",
            "showgrid": False,
        },
        height=height,
        x_title=unit,
        y_title="",
    )
    error: dict[str, Any] | None = None
    if reach is not None:
        error = {"type": "data", "array": reach[0].to_numpy(), "arrayminus": reach[1].to_numpy()}
    interactive = go.Figure(
        go.Bar(
            x=frame[value].to_numpy(), y=places, orientation="h", marker={"color": _COLOURS[0]}, error_x=error,
            customdata=[plain(text) for text in labels], hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
        ),
        layout=layout.layout,
    )  # fmt: skip
    interactive.update_layout(showlegend=False)
    with print_style():
        still, axes = new_print_figure(1, 1, width=6.4, height=0.9 + 0.24 * len(frame))
        axis = axes[0, 0]
        still_error = None if reach is None else [reach[1].to_numpy(), reach[0].to_numpy()]
        axis.barh(places, frame[value], color=_COLOURS[0], xerr=still_error)
        axis.set_yticks(places, [text.replace("$", r"\$") for text in labels])
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(unit)
    values = "; ".join(f"{text} {number:.2f}" for text, number in zip(labels, frame[value], strict=True))
    return save_figure(
        name,
        interactive,
        still,
        frame,
        title=title,
        caption=caption,
        alt=f"Bar chart in {unit}: {values}.",
        n=n,
        interval="95 % bootstrap over clauses" if has_interval else "none",
        folder=folder,
    )


def draw_curves(
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    *,
    units: tuple[str, str],
    title: str,
    caption: str,
    n: str,
    name: str,
    folder: Path | str,
) -> Figure:
    """One line for each value of ``by``; ``units`` are the titles of the two axes."""
    import plotly.graph_objects as go

    require_rows(frame, name)
    layout = lay_out_panels(
        [""], x={"zeroline": False}, y={"zeroline": True}, height=340, x_title=units[0], y_title=units[1]
    )
    interactive = go.Figure(layout=layout.layout)
    ends = []
    with print_style():
        still, axes = new_print_figure(1, 1, width=6.4, height=3.4)
        for (key, some), colour, (dash, line) in zip(frame.groupby(by, sort=False), _COLOURS, _DASHES, strict=False):
            some = some.sort_values(x)
            interactive.add_trace(
                go.Scatter(
                    x=some[x].to_numpy(), y=some[y].to_numpy(), mode="lines", name=str(key),
                    line={"color": colour, "dash": dash, "width": 2.2},
                    hovertemplate=f"{plain(key)}<br>%{{x:.2f}}: %{{y:.3f}}<extra></extra>",
                )
            )  # fmt: skip
            axes[0, 0].plot(some[x], some[y], line, color=colour, linewidth=1.8, label=str(key))
            ends.append(f"{key} from {some[y].iloc[0]:.2f} to {some[y].iloc[-1]:.2f}")
        axes[0, 0].set_xlabel(units[0])
        axes[0, 0].set_ylabel(units[1])
        print_legend(still, axes[0, 0], columns=4)
    return save_figure(
        name,
        interactive,
        still,
        frame,
        title=title,
        caption=caption,
        alt=f"Lines of {units[1]} against {units[0]}: {'; '.join(ends)}.",
        n=n,
        interval="none",
        folder=folder,
    )
