"""How often a study finds an effect that is there, by the size of the effect and the number of seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import GREY, Panels, Style, lay_out_panels, new_print_figure, print_style

if TYPE_CHECKING:
    import pandas as pd

ASKED = 0.8
"""The power that is usually asked for."""
_Y_TITLE = "share of studies that find it"
# None is a strategy's colour, and all stand out on white and on black.
_STYLES = {
    2: Style("2 seeds", "#848e99", "circle", "o"),
    3: Style("3 seeds", "#3a9188", "square", "s"),
    5: Style("5 seeds", "#9d5bd2", "diamond", "D"),
}


def draw_power(rates: pd.DataFrame, *, clauses: int, studies: int, folder: Path | str) -> Figure:
    """Shares of simulated studies that find an effect, a panel per claim and a line per number of seeds.

    Parameters
    ----------
    rates
        ``claim``, ``unit`` (what ``effect`` counts), ``effect``, ``seeds``, ``value`` and its interval ``low``,
        ``high``.
    clauses, studies
        How many clauses each study has, and how many studies each point stands for.
    """
    frame = require_rows(rates, "power")
    titles = {str(claim): f"{claim}: {unit}" for claim, unit in zip(frame["claim"], frame["unit"], strict=True)}
    layout = _lay_out(frame, titles)
    most = frame[frame["seeds"] == frame.groupby("claim")["seeds"].transform("max")]
    said = "; ".join(
        f"{row.claim}, effect {row.effect:g}, {row.seeds} seeds: {row.value:.0%}" for row in most.itertuples()
    )
    return save_figure(
        "power",
        _draw_interactive(frame, list(titles), layout),
        _draw_still(frame, titles),
        frame,
        title="What a study can find",
        caption=f"Simulated studies of {clauses} clauses. At effect 0 there is nothing to find, and the share is an "
        f"error rate; the dotted line is {ASKED:.0%}.",
        alt=f"Lines that rise with the effect and with the number of seeds. {said}.",
        n=f"{studies} simulated studies a point",
        interval="95 % Wilson interval of the share",
        folder=folder,
        narrow=layout.narrow,
    )


def _lay_out(frame: pd.DataFrame, titles: dict[str, str]) -> Panels:
    layout = lay_out_panels(
        list(titles),
        x={"zeroline": False},
        y={"zeroline": False, "range": [-0.03, 1.06], "tickformat": ".0%", "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1]},
        height=230,
        columns=2,
        x_title=[_wrap(title.partition(": ")[2]) for title in titles.values()],
        y_title=_Y_TITLE,
        gap=0.1,
    )
    for part in (layout.layout, layout.narrow):
        for index, claim in enumerate(titles):
            effects = sorted(set(frame.loc[frame["claim"] == claim, "effect"]))
            name = f"xaxis{index + 1 if index else ''}"
            edge = 0.06 * effects[-1]
            part[name] |= {"tickvals": effects, "range": [-edge, effects[-1] + edge]}
    return layout


def _wrap(text: str) -> str:
    import textwrap

    return "<br>".join(textwrap.wrap(text, 36))


def _draw_interactive(frame: pd.DataFrame, claims: list[str], layout: Panels) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure(layout=layout.layout)
    for index, claim in enumerate(claims):
        x_axis, y_axis = layout.axes[index]
        here = frame[frame["claim"] == claim]
        figure.add_trace(
            go.Scatter(
                x=[here["effect"].min(), here["effect"].max()], y=[ASKED, ASKED], xaxis=x_axis, yaxis=y_axis,
                mode="lines", hoverinfo="skip", showlegend=False, line={"color": GREY, "width": 1.5, "dash": "dot"},
            )
        )  # fmt: skip
        for seeds, style in _STYLES.items():
            some = here[here["seeds"] == seeds].sort_values("effect")
            figure.add_trace(
                go.Scatter(
                    x=some["effect"].to_numpy(), y=some["value"].to_numpy(), xaxis=x_axis, yaxis=y_axis,
                    mode="lines+markers", name=style.label, legendgroup=style.label, showlegend=index == 1,
                    line={"color": style.colour, "width": 2},
                    marker={"color": style.colour, "symbol": style.symbol, "size": 9},
                    error_y={
                        "type": "data", "symmetric": False, "color": style.colour, "thickness": 1.5, "width": 0,
                        "array": (some["high"] - some["value"]).to_numpy(),
                        "arrayminus": (some["value"] - some["low"]).to_numpy(),
                    },
                    customdata=some[["low", "high"]].to_numpy(),
                    hovertemplate=f"<b>{style.label}</b>, effect %{{x:g}}<br>%{{y:.0%}} "
                    "[%{customdata[0]:.0%}, %{customdata[1]:.0%}]<extra></extra>",
                )
            )  # fmt: skip
    return figure


def _draw_still(frame: pd.DataFrame, titles: dict[str, str]) -> Any:
    with print_style():
        figure, axes = new_print_figure(2, 2, width=7.6, height=5.6, sharey=True)
        for axis, (claim, title) in zip(axes.flat, titles.items(), strict=False):
            here = frame[frame["claim"] == claim]
            axis.axhline(ASKED, linestyle=":", color=GREY)
            for seeds, style in _STYLES.items():
                some = here[here["seeds"] == seeds].sort_values("effect")
                if len(some):
                    reach = [some["value"] - some["low"], some["high"] - some["value"]]
                    axis.errorbar(
                        some["effect"], some["value"], reach, color=style.colour, marker=style.marker, label=style.label
                    )
            axis.set_xticks(sorted(set(here["effect"])))
            axis.set_title(claim)
            axis.set_xlabel(_wrap(title.partition(": ")[2]).replace("<br>", "\n"))
            axis.yaxis.set_major_formatter("{x:.0%}")
        for row in axes:
            row[0].set_ylabel(_Y_TITLE)
        axes.flat[1].legend(loc="lower right")
    return figure
