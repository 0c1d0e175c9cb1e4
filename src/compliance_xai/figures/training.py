"""Figures of the runs: learning curves of one cell, and the quality of the generated rules over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.figures.charts import draw_lines
from compliance_xai.figures.comparison import BOOTSTRAP, MEASURES
from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import (
    GREY,
    lay_out_panels,
    new_print_figure,
    print_legend,
    print_style,
    style_strategies,
)

if TYPE_CHECKING:
    import pandas as pd

_LINES = {"train": ("training, as logged", "dot", ":", 1.2, 0.7), "validation": ("validation", "solid", "-", 2.2, 1.0)}


def draw_learning_curves(log: pd.DataFrame, strategy: str, *, folder: Path | str) -> Figure:
    """Loss against training step, one line per seed and split (columns ``seed``, ``step``, ``split``, ``loss``)."""
    import numpy as np
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
