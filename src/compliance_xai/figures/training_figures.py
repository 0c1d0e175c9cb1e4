"""Figures of training: learning curves of one cell or of a ladder, and where the weights changed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from compliance_xai.figures.contract import Drawing, drawn, require_rows
from compliance_xai.figures.forms import line_of, log_ticks, select
from compliance_xai.figures.marks import Axis, Chart, Heat, Panel, Ramp
from compliance_xai.figures.theme import GREY, Style, style_in_order, style_strategies
from compliance_xai.study.labels import size_label

_MATRICES = (
    "embed", "wte", "wpe", "q_proj", "k_proj", "v_proj", "c_attn", "o_proj", "gate", "up", "c_fc", "down", "c_proj",
)  # fmt: skip
"""Starts of names of matrices, in the order of the data's path."""
_FLOOR = 1e-3
"""Changes below this share of a weight's norm have the lightest shade."""


@drawn
def draw_learning_curves(log: pd.DataFrame, strategy: str) -> Drawing:
    """Loss against training step, one line per seed and split (columns ``seed``, ``step``, ``split``, ``loss``)."""
    log = select(log, "learning-curves", "loss")
    own = style_strategies([strategy])[strategy]
    validation, training = replace(own, label="validation"), Style("training, as logged", GREY)
    layers = []
    for split, style, looks in (
        ("train", training, {"line": "dot", "symbols": False, "width": 1.2, "opacity": 0.7}),
        ("validation", validation, {"line": "solid", "size": 6}),
    ):
        said = "{label}, seed {seed}\nstep {step}: {loss:.3f} nats"
        groups = log[log["split"] == split].groupby("seed")
        layers += [line_of(some, "step", "loss", style, said, **looks) for _, some in groups]
    span = (max(log["loss"].min() / 1.25, 1e-4), log["loss"].max() * 1.15)
    y = Axis("loss (nats per rule token, log scale)", span, log_ticks(span), log=True)
    seeds = sorted(set(log["seed"]))
    return Drawing(
        "learning-curves",
        Chart([Panel("", Axis("training step"), y, layers)], 300),
        log,
        n=f"{len(seeds)} training seed{'s' if len(seeds) != 1 else ''} ({', '.join(map(str, seeds))})",
        words={"strategy": own.label},
    )


@drawn
def draw_pretraining(curves: pd.DataFrame, *, clauses: int) -> Drawing:
    """How the rungs of a ladder learned before any fine-tuning, a line for each.

    ``curves``: ``rung``, ``parameters``, ``tokens`` (seen), ``loss`` (mean since the point before), ``exact`` (share).
    ``clauses``: how many clauses a share is of.
    """
    frame = require_rows(curves, "pretraining").sort_values(["parameters", "tokens"], kind="stable")
    styles = style_in_order(size_label(rung) for rung in dict.fromkeys(frame["rung"]))
    x = Axis("tokens seen (millions)")
    axes = {
        "loss": Axis("nats per token (log scale)", None, log_ticks(frame["loss"]), log=True),
        "exact": Axis("share of rules", (-0.04, 1.04)),
    }
    frame, panels = frame.assign(seen=frame["tokens"] / 1e6), []
    for column, title in (("loss", "loss"), ("exact", "exact rules in the base notations")):
        said = f"{{label}}, {{seen:.1f}} million tokens\n{{{column}:.3f}}"
        layers = [
            line_of(some, "seen", column, styles[size_label(str(rung))], said, size=7)
            for rung, some in frame.groupby("rung", sort=False)
        ]
        panels.append(Panel(title, x, axes[column], layers))
    return Drawing("pretraining", Chart(panels, 280), frame, n=f"{clauses} clauses per point for exact rules")


@drawn
def draw_movement(frame: pd.DataFrame, *, where: str = "") -> Drawing:
    """Relative change of every weight, a panel per strategy; the mean over seeds, shaded on a log scale.

    ``frame``: ``movement_frame`` with ``strategy`` and ``seed`` in front; one model size. ``where``: the model size,
    for the title.
    """
    frame = select(frame, "movement", "relative_change")
    means = frame.groupby(["strategy", "layer", "matrix"], sort=False)["relative_change"].mean().reset_index()
    rows, layers = _order_matrices(list(means["matrix"])), sorted(set(means["layer"]))
    top = max(float(means["relative_change"].max()), 10 * _FLOOR)
    x = Axis(
        "layer, lowest first", (-0.5, len(layers) - 0.5), {i: str(at or "–") for i, at in enumerate(layers)}, grid=False
    )
    y = Axis(
        "", (len(rows) - 0.5, -0.5), {at: row.replace("_layernorm", " norm") for at, row in enumerate(rows)}, grid=False
    )
    panels = []
    for strategy, style in style_strategies(means["strategy"]).items():
        table = means[means["strategy"] == strategy].pivot(index="matrix", columns="layer", values="relative_change")
        changes = table.reindex(index=rows, columns=layers).to_numpy(dtype=float)
        panels.append(Panel(style.label, x, y, [_heat(changes, rows, layers, top)]))
    ticks = [value for value in (1e-3, 1e-2, 1e-1, 1.0, 10.0) if value <= top]
    labels = {float(_shade(np.array(value), top)): f"{value:g}" for value in ticks}
    seeds = frame["seed"].nunique()
    return Drawing(
        "movement",
        Chart(panels, 30 + 19 * len(rows), share_x=True, share_y=True, ramp=Ramp(False, labels, "unchanged")),
        means,
        n="1 training seed" if seeds == 1 else f"{seeds} training seeds, averaged",
        words={"where": f": {size_label(where)}" if where else ""},
    )


def _heat(changes: np.ndarray, rows: Sequence[str], layers: Sequence[int], top: float) -> Heat:
    notes = [
        [
            f"{row}, {f'layer {layer}' if layer else 'outside the layers'}\nchanged by {value:.3g} of its norm"
            for layer, value in zip(layers, line, strict=True)
        ]
        for row, line in zip(rows, changes, strict=True)
    ]
    return Heat(np.where(changes > 0, _shade(changes, top), np.nan), False, notes, unchanged=changes == 0)


def _shade(changes: np.ndarray, top: float) -> np.ndarray:
    """0 to 1 on a log scale, from the floor to the largest change."""
    return np.log(np.maximum(changes, _FLOOR) / _FLOOR) / np.log(top / _FLOOR)


def _order_matrices(names: Sequence[str]) -> list[str]:
    """Matrices in the order of the data's path, then biases, then norms and the rest, each as first met."""
    first = list(dict.fromkeys(names))

    def rank(name: str) -> tuple[int, int]:
        group = 2 if "norm" in name or name.startswith("ln_") else 1 if name.endswith(".bias") else 0
        return group, next((at for at, start in enumerate(_MATRICES) if name.startswith(start)), len(_MATRICES))

    return sorted(first, key=lambda name: (*rank(name), first.index(name)))
