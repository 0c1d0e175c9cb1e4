"""Where fine-tuning moved the weights: layers by matrices, a panel per strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import lay_out_panels, new_print_figure, plain, print_style, style_strategies

if TYPE_CHECKING:
    import pandas as pd

_ORDER = (
    "embed",
    "wte",
    "wpe",
    "q_proj",
    "k_proj",
    "v_proj",
    "c_attn",
    "o_proj",
    "gate",
    "up",
    "c_fc",
    "down",
    "c_proj",
)
_STILL = "#e3e6e9"
_SCALE = ((0.0, "#f3e9f0"), (0.5, "#c77ba8"), (1.0, "#5a1142"))
_FLOOR = 1e-3
"""Changes below this share of a weight's norm have the lightest shade."""


def draw_movement(frame: pd.DataFrame, *, folder: Path | str, name: str = "movement", where: str = "") -> Figure:
    """Relative change of every weight, a panel per strategy; the mean over seeds, shaded on a log scale.

    Parameters
    ----------
    frame
        ``strategies.movement_frame`` with ``strategy`` and ``seed`` in front; one scale.
    where
        What the title adds, such as the scale.
    """
    import plotly.graph_objects as go

    frame = require_rows(frame.dropna(subset=["relative_change"]), name)
    means = frame.groupby(["strategy", "layer", "matrix"], sort=False)["relative_change"].mean().reset_index()
    styles = style_strategies(means["strategy"])
    rows, layers = _order_matrices(list(means["matrix"])), sorted(set(means["layer"]))
    labels = ["–" if layer == 0 else str(layer) for layer in layers]
    top = max(float(means["relative_change"].max()), 10 * _FLOOR)
    tables = {strategy: _spread(means[means["strategy"] == strategy], rows, layers) for strategy in styles}
    layout = lay_out_panels(
        [style.label for style in styles.values()],
        x={"tickvals": list(range(len(layers))), "ticktext": labels, "showgrid": False, "zeroline": False},
        y={"tickvals": list(range(len(rows))), "ticktext": [plain(row) for row in rows], "autorange": "reversed",
           "showgrid": False, "zeroline": False},
        height=40 + 19 * len(rows),
        columns=min(3, len(styles)),
        x_title="layer, the lowest first",
        legend=False,
    )  # fmt: skip
    interactive = go.Figure(layout=layout.layout)
    for index, (strategy, (x, y)) in enumerate(zip(styles, layout.axes, strict=True)):
        interactive.add_trace(_heat(tables[strategy], rows, labels, top, x, y, shown=index == 0))
    largest = means.loc[means.groupby("strategy", sort=False)["relative_change"].idxmax()]
    seeds = frame["seed"].nunique()
    return save_figure(
        name,
        interactive,
        _print(tables, styles, rows, labels, top),
        means,
        title="Where the weights moved" + (f": {where}" if where else ""),
        caption="Frobenius norm of a weight's change over its norm before fine-tuning, with adapters merged in a copy. "
        "Grey: not changed at all. Blank: the layer has no such weight. –: outside the layers.",
        alt="Heat maps of layers by matrices. Largest relative change: "
        + "; ".join(
            f"{row.strategy} {row.relative_change:.3g} at {row.matrix}, "
            + ("outside the layers" if row.layer == 0 else f"layer {row.layer}")
            for row in largest.itertuples()
        )
        + ".",
        n="1 training seed" if seeds == 1 else f"{seeds} training seeds, averaged",
        interval="none",
        folder=folder,
        narrow=layout.narrow,
    )


def _order_matrices(names: Sequence[str]) -> list[str]:
    """Matrices in the order of the data's path, then biases, then norms and the rest, each as first met."""
    first = list(dict.fromkeys(names))

    def rank(name: str) -> tuple[int, int]:
        group = 2 if "norm" in name or name.startswith("ln_") else 1 if name.endswith(".bias") else 0
        place = next((index for index, start in enumerate(_ORDER) if name.startswith(start)), len(_ORDER))
        return group, place

    return sorted(first, key=lambda name: (*rank(name), first.index(name)))


def _spread(means: pd.DataFrame, rows: list[str], layers: list[int]) -> np.ndarray:
    """Relative changes, shape (matrices, layers); no number where there is no such weight."""
    table = means.pivot_table(index="matrix", columns="layer", values="relative_change")
    return table.reindex(index=rows, columns=layers).to_numpy(dtype=float)


def _shade(changes: np.ndarray, top: float) -> np.ndarray:
    """0 to 1 on a log scale from the floor to the largest change; no number where nothing changed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shade = np.log(np.maximum(changes, _FLOOR) / _FLOOR) / np.log(top / _FLOOR)
    return np.where(changes > 0, shade, np.nan)


def _ticks(top: float) -> list[float]:
    return [value for value in (1e-3, 1e-2, 1e-1, 1.0, 10.0) if value <= top]


def _place(label: str) -> str:
    return "outside the layers" if label == "–" else f"layer {label}"


def _heat(changes: np.ndarray, rows: list[str], labels: list[str], top: float, x: str, y: str, *, shown: bool) -> Any:
    import plotly.graph_objects as go

    ticks = _ticks(top)
    texts = [
        [
            "" if np.isnan(value) else f"<b>{plain(row)}</b>, {_place(label)}<br>moved by {value:.3g} of its norm"
            for label, value in zip(labels, line, strict=True)
        ]
        for row, line in zip(rows, changes, strict=True)
    ]
    # Weights that did not move lie below 0 and take the grey end of the colours.
    z = np.where(changes == 0, -0.1, _shade(changes, top))
    colours = [[0.0, _STILL], [0.09, _STILL], *[[0.0909 + share * 0.9091, colour] for share, colour in _SCALE]]
    return go.Heatmap(
        z=[[None if np.isnan(value) else round(float(value), 4) for value in line] for line in z],
        x=list(range(len(labels))), y=list(range(len(rows))), xaxis=x, yaxis=y, zmin=-0.1, zmax=1, xgap=1, ygap=1,
        colorscale=colours, text=texts, hovertemplate="%{text}<extra></extra>", hoverongaps=False, showscale=shown,
        colorbar={"thickness": 9, "outlinewidth": 0, "tickvals": [-0.1, *_shade(np.array(ticks), top).tolist()],
                  "ticktext": ["0", *[f"{value:g}" for value in ticks]], "len": 0.9, "x": 1.01, "xpad": 2},
    )  # fmt: skip


def _print(tables: dict[str, np.ndarray], styles: Any, rows: list[str], labels: list[str], top: float) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    colours = LinearSegmentedColormap.from_list("moved", list(_SCALE))
    columns = min(3, len(tables))
    lines = -(-len(tables) // columns)
    norm = LogNorm(_FLOOR, top)
    with print_style():
        still, axes = new_print_figure(
            lines,
            columns,
            width=2.2 + columns * (1.1 + 0.28 * len(labels)),
            height=lines * (0.9 + 0.2 * len(rows)) + 0.4,
            sharex=True,
            sharey=True,
        )
        for axis in axes.flat[len(tables) :]:
            axis.set_axis_off()
        for axis, (strategy, changes) in zip(axes.flat, tables.items(), strict=False):
            axis.imshow(np.where(changes == 0, 1.0, np.nan), cmap=_plain_map(), vmin=0, vmax=1, aspect="auto")
            moved = np.where(changes > 0, np.maximum(changes, _FLOOR), np.nan)
            axis.imshow(moved, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
            axis.set_title(styles[strategy].label)
            axis.set_xticks(range(len(labels)), labels)
            axis.set_yticks(range(len(rows)), rows, fontsize=8)
            axis.grid(visible=False)
        still.supxlabel("layer, the lowest first", fontsize=10)
        bar = still.colorbar(ScalarMappable(norm, colours), ax=list(axes.flat), shrink=0.8, pad=0.02)
        bar.set_label("relative change")
        bar.set_ticks(_ticks(top), labels=[f"{value:g}" for value in _ticks(top)])
        bar.minorticks_off()
    return still


def _plain_map() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([_STILL])
