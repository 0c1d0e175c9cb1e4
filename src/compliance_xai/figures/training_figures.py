"""Figures of the runs: learning curves of one cell or of a ladder, and the quality of the generated rules over all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.figures.charts import SHARES, draw_lines
from compliance_xai.figures.comparison_figures import BOOTSTRAP, MEASURES
from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import (
    GREY,
    Style,
    lay_out_panels,
    new_print_figure,
    plain,
    print_legend,
    print_style,
    style_strategies,
)

if TYPE_CHECKING:
    import pandas as pd

_LINES = {"train": ("training, as logged", "dot", ":", 1.2, 0.7), "validation": ("validation", "solid", "-", 2.2, 1.0)}


def draw_learning_curves(log: pd.DataFrame, strategy: str, *, folder: Path | str) -> Figure:
    """Loss against training step, one line per seed and split (columns ``seed``, ``step``, ``split``, ``loss``)."""
    import plotly.graph_objects as go

    log = require_rows(log[log["loss"].notna()], "learning-curves")
    style = style_strategies([strategy])[strategy]
    top = float(np.log10(log["loss"].max() * 1.15))
    bottom = float(np.log10(max(log["loss"].min() / 1.25, 1e-4)))
    layout = lay_out_panels(
        [""],
        x={"zeroline": False, "rangemode": "tozero", "nticks": 7},
        y={"type": "log", "range": [bottom, top], "zeroline": False, "dtick": "D2", "tickformat": "~g"},
        height=330,
        x_title="training step",
        y_title="loss (nats per rule token, log scale)",
    )
    interactive = go.Figure(layout=layout.layout)
    with print_style():
        still, axes = new_print_figure(1, 1, width=6.4, height=3.6)
        axis = axes[0, 0]
        for split, (label, dash, line, width, opacity) in _LINES.items():
            colour = style.colour if split == "validation" else GREY
            for index, (seed, some) in enumerate(log[log["split"] == split].groupby("seed")):
                some = some.sort_values("step")
                interactive.add_trace(
                    go.Scatter(
                        x=some["step"].to_numpy(), y=some["loss"].to_numpy(),
                        mode="lines+markers" if split == "validation" else "lines",
                        line={"color": colour, "width": width, "dash": dash}, opacity=opacity, name=label,
                        legendgroup=split,
                        showlegend=index == 0, marker={"symbol": style.symbol, "size": 6},
                        hovertemplate=f"{label}, seed {seed}<br>step %{{x}}: %{{y:.3f}} nats<extra></extra>",
                    )
                )  # fmt: skip
                axis.plot(
                    some["step"], some["loss"], line, color=colour, linewidth=width * 0.8, alpha=opacity, markersize=4,
                    marker=style.marker if split == "validation" else None, label=label if index == 0 else "_more",
                )  # fmt: skip
        axis.set_yscale("log")
        axis.set_ylim(10**bottom, 10**top)
        axis.set_xlabel("training step")
        axis.set_ylabel("loss (nats per rule token, log scale)")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        print_legend(still, axis, columns=2)
    seeds = sorted(set(log["seed"]))
    last = log[log["split"] == "validation"].sort_values("step").groupby("seed")["loss"].last()
    return save_figure(
        "learning-curves",
        interactive,
        still,
        log,
        title=f"Learning curves: {style.label}",
        caption="One line per training seed. Only the tokens of the rule count towards the loss.",
        alt="Loss against training step. Last validation loss: "
        + "; ".join(f"seed {seed} {loss:.3f} nats" for seed, loss in last.items()) + ".",
        n=f"{len(seeds)} training seed{'s' if len(seeds) != 1 else ''} ({', '.join(str(seed) for seed in seeds)})",
        interval="none",
        folder=folder,
        narrow=layout.narrow,
    )  # fmt: skip


_RUNGS = (
    Style("", "#C77700", "circle", "o"),
    Style("", "#D1495B", "square", "s"),
    Style("", "#A23B9B", "diamond", "D"),
    Style("", "#6A5ACD", "triangle-up", "^"),
    Style("", "#1F78B4", "star", "*"),
)
"""From the smallest rung to the largest; none is a strategy's colour."""
_PRETRAINING = {"loss": "loss (nats per token, log scale)", "exact": "exact rules in the base notations"}


def draw_pretraining(curves: pd.DataFrame, *, clauses: int, folder: Path | str) -> Figure:
    """How the rungs of a ladder learned before any fine-tuning, a line for each.

    Parameters
    ----------
    curves
        ``rung``, ``parameters``, ``tokens`` (seen), ``loss`` (mean since the point before), ``exact`` (share).
    clauses
        How many a share is of.
    """
    import plotly.graph_objects as go

    frame = require_rows(curves, "pretraining").sort_values(["parameters", "tokens"], kind="stable")
    rungs = list(dict.fromkeys(frame["rung"]))
    styles = {name: replace(_RUNGS[place % len(_RUNGS)], label=name) for place, name in enumerate(rungs)}
    ticks = [digit * 10.0**power for power in range(-2, 2) for digit in (1, 2, 5)]
    low, high = frame["loss"].min() / 1.15, frame["loss"].max() * 1.15
    layout = lay_out_panels(
        list(_PRETRAINING.values()),
        x={"zeroline": False, "rangemode": "tozero", "nticks": 6},
        y={"zeroline": False},
        height=290,
        gap=0.09,
        x_title="tokens seen (millions)",
    )
    for part in (layout.layout, layout.narrow):
        part["yaxis"] |= {
            "type": "log", "range": [float(np.log10(low)), float(np.log10(high))], "tickvals": ticks,
            "ticktext": [f"{tick:g}" for tick in ticks],
        }  # fmt: skip
        part["yaxis2"] |= {"range": list(SHARES), "showticklabels": True}
    interactive = go.Figure(layout=layout.layout)
    with print_style():
        still, axes = new_print_figure(1, 2, width=7.6, height=3.1)
        for index, (column, title) in enumerate(_PRETRAINING.items()):
            axis = axes[0, index]
            for name, style in styles.items():
                some = frame[frame["rung"] == name]
                seen = some["tokens"].to_numpy() / 1e6
                interactive.add_trace(
                    go.Scatter(
                        x=seen, y=some[column].to_numpy(), xaxis=layout.axes[index][0], yaxis=layout.axes[index][1],
                        mode="lines+markers", name=name, legendgroup=name, showlegend=index == 0,
                        line={"color": style.colour, "width": 2}, marker={"symbol": style.symbol, "size": 8},
                        hovertemplate=f"<b>{plain(name)}</b>, %{{x:.1f}} million tokens<br>%{{y:.3g}}<extra></extra>",
                    )
                )  # fmt: skip
                axis.plot(seen, some[column], style.marker + "-", color=style.colour, markersize=4, label=name)
            axis.set_title(title)
            axis.set_xlabel("tokens seen (millions)")
            axis.set_xlim(left=0)
        axes[0, 0].set_yscale("log")
        axes[0, 0].set_ylim(low, high)
        axes[0, 0].set_yticks([tick for tick in ticks if low <= tick <= high])
        axes[0, 0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes[0, 0].minorticks_off()
        axes[0, 1].set_ylim(SHARES)
        print_legend(still, axes[0, 0])
    last = frame.groupby("rung", sort=False).last()
    return save_figure(
        "pretraining",
        interactive,
        still,
        frame,
        title="How the rungs of the embedded ladder learned, before any fine-tuning",
        caption="Loss is the mean since the point before; the clause of a pair weighs less in it than the rule. Exact "
        "rules are of clauses with combinations that were never trained, in notations that no study fine-tunes on.",
        alt="At the last point of each: "
        + "; ".join(f"{name} loss {row.loss:.2f}, exact {row.exact:.0%}" for name, row in last.iterrows()) + ".",
        n=f"{clauses} clauses a point for exact rules",
        interval="none",
        folder=folder,
        narrow=layout.narrow,
    )  # fmt: skip


def draw_quality_by_scale(
    quality: pd.DataFrame,
    *,
    folder: Path | str,
    measures: tuple[str, ...] = ("exact", "semantic"),
    seeds: pd.DataFrame | None = None,
) -> Figure:
    """Quality of the generated rules against model size, a panel per measure.

    Parameters
    ----------
    quality
        ``stats.summarise_measures`` of the scores: ``measure``, ``scale``, ``parameters``, ``strategy``, ``mean``,
        ``low``, ``high``, ``n_clauses``; of one split.
    seeds
        Means of single seeds, drawn small: ``measure``, ``parameters``, ``strategy``, ``value``.
    """
    chosen = quality[quality["measure"].isin(measures)].dropna(subset=["mean"])
    require_rows(chosen, "quality-by-scale")
    frame = chosen.assign(panel=chosen["measure"], value=chosen["mean"], n=chosen["n_clauses"])
    panels = [name for name in measures if name in set(frame["panel"])]
    points: Any = None if seeds is None else seeds.assign(panel=seeds["measure"])
    interactive, still, layout = draw_lines(
        frame,
        panels=panels,
        y_title="",
        titles={name: MEASURES[name] for name in panels},
        points=points,
        y_range=(-0.03, 1.05) if set(panels) <= {"exact", "parses", "semantic"} else None,
    )
    counts = sorted({int(count) for count in frame["n"]})
    ordered = frame.sort_values(["panel", "strategy", "parameters"]).to_dict("records")
    return save_figure(
        "quality-by-scale",
        interactive,
        still,
        chosen,
        title="Quality of the generated rules against model size",
        caption="Means over clauses. Semantic similarity is lenient: rules that differ in one digit are "
        "nearly the same "
        "sentence. Read it beside exact match." + ("" if seeds is None else " Small marks: single training seeds."),
        alt="Line chart. "
        + "; ".join(f"{r['panel']}, {r['strategy']} at {r['scale']} {r['value']:.2f}" for r in ordered)
        + ".",
        n=f"{counts[0] if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'} clauses a point",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )
