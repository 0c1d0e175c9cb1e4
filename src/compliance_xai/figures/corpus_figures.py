"""Figures of the corpus page: how many clauses, how long, which kinds of words (frames of ``corpus.describe``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.figures.charts import spread
from compliance_xai.figures.contract import Figure, save_figure
from compliance_xai.figures.theme import (
    SPLIT_COLOURS,
    box_summary,
    draw_print_boxes,
    humanise,
    lay_out_panels,
    new_print_figure,
    plain,
    print_legend,
    print_style,
)
from compliance_xai.records import CATEGORIES, SPLITS

if TYPE_CHECKING:
    import pandas as pd


def draw_corpus_counts(counts: pd.DataFrame, *, folder: Path | str) -> Figure:
    """Clauses by regulatory context and split, as stacked bars (columns ``split``, ``context``, ``clauses``)."""
    import plotly.graph_objects as go

    table = counts.pivot_table(index="context", columns="split", values="clauses", aggfunc="sum", fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values(kind="stable").index, [s for s in SPLITS if s in table]]
    layout = lay_out_panels(
        [""],
        x={"zeroline": False, "nticks": 6},
        y={"categoryorder": "array", "categoryarray": [plain(humanise(name)) for name in table.index]},
        height=60 + 30 * len(table),
        x_title="clauses",
    )
    interactive = go.Figure(layout=layout.layout | {"barmode": "stack", "bargap": 0.32})
    for split in [str(name) for name in table]:
        interactive.add_trace(
            go.Bar(
                x=table[split].to_numpy(), y=[plain(humanise(name)) for name in table.index], orientation="h",
                name=split,
                marker={"color": SPLIT_COLOURS[split]}, hovertemplate=f"%{{y}}, {split}: %{{x}} clauses<extra></extra>",
            )
        )  # fmt: skip
    with print_style():
        still, axes = new_print_figure(1, 1, width=6.4, height=1.1 + 0.3 * len(table))
        left: Any = 0
        for split in [str(name) for name in table]:
            axes[0, 0].barh(
                [humanise(name) for name in table.index],
                table[split],
                left=left,
                color=SPLIT_COLOURS[split],
                label=split,
            )
            left = left + table[split]
        axes[0, 0].grid(axis="y", visible=False)
        axes[0, 0].set_xlabel("clauses")
        axes[0, 0].set_xlim(0, 1.03 * float(left.max()))
        print_legend(still, axes[0, 0])
    totals = "; ".join(f"{humanise(str(name))} {int(total)}" for name, total in table.sum(axis=1)[::-1].items())
    return save_figure(
        "corpus-counts",
        interactive,
        still,
        counts,
        title="Clauses by regulatory context and split",
        caption="The document split holds contexts or documents that no training clause comes from.",
        alt=f"Stacked bars of clauses by context: {totals}.",
        n=f"{int(table.to_numpy().sum()):,} clauses",
        interval="none",
        folder=folder,
        narrow=layout.narrow,
    )


def draw_corpus_lengths(lengths: pd.DataFrame, *, folder: Path | str) -> Figure:
    """Words of clauses and of rules by context, as boxes (columns ``text``, ``context``, ``words``)."""
    import plotly.graph_objects as go

    texts = ["clause", "rule"]
    units = ["words", "names, values and operators"]
    order = sorted(set(lengths["context"]))
    shown = [humanise(name) for name in order]
    layout = lay_out_panels(
        ["clauses", "rules"],
        x={"zeroline": False, "rangemode": "tozero", "nticks": 6},
        y={
            "categoryorder": "array",
            "categoryarray": [plain(name) for name in shown[::-1]],
            "range": [-0.5, len(order) - 0.5],
        },
        height=60 + 32 * len(order),
        x_title=units,
        legend=False,
    )
    colours = dict(zip(texts, ("#7a6fb0", "#5f8f86"), strict=True))
    interactive = go.Figure(layout=layout.layout)
    for (x_axis, y_axis), text in zip(layout.axes, texts, strict=True):
        some = lengths[lengths["text"] == text]
        for context, name in zip(order, shown, strict=True):
            words = some.loc[some["context"] == context, "words"].to_numpy()
            interactive.add_trace(
                go.Box(
                    **box_summary(words), y=[plain(name)], orientation="h", xaxis=x_axis, yaxis=y_axis,
                    name=plain(name), line={"color": colours[text], "width": 1.6}, showlegend=False, width=0.55,
                )
            )  # fmt: skip
    with print_style():
        still, axes = new_print_figure(1, 2, width=7.6, height=1.0 + 0.32 * len(order), sharey=True)
        for axis, text, unit in zip(axes[0], texts, units, strict=True):
            some = lengths[lengths["text"] == text]
            groups = [some.loc[some["context"] == context, "words"].to_numpy() for context in order]
            draw_print_boxes(axis, groups, shown, [colours[text]] * len(order), fliers=False)
            axis.set_title(f"{text}s")
            axis.set_xlabel(unit)
            axis.set_xlim(left=0)
    medians = lengths.groupby("text")["words"].median()
    return save_figure(
        "corpus-lengths",
        interactive,
        still,
        lengths,
        title="Length of clauses and rules by regulatory context",
        caption="Clauses in words; rules in names, values and operators.",
        alt=f"Box plots of length by context. Over all contexts the median clause "
        f"has {medians['clause']:.0f} words and the "
        f"median rule {medians['rule']:.0f} names, values and operators.",
        n=f"{lengths['id'].nunique():,} clause–rule pairs",
        interval="the box spans the quartiles, the whiskers at most 1.5 box lengths; "
        "outliers are not drawn (they are in the data)",
        folder=folder,
        narrow=layout.narrow,
    )


def draw_corpus_categories(categories: pd.DataFrame, *, folder: Path | str) -> Figure:
    """Share of the words of each category, by split (columns ``split``, ``category``, ``features``)."""
    import plotly.graph_objects as go

    table = categories.pivot_table(index="category", columns="split", values="features", aggfunc="sum", fill_value=0)
    table = table.reindex(list(CATEGORIES), fill_value=0)[[split for split in SPLITS if split in table]]
    share = table / table.sum()
    rows = [plain(humanise(name)) for name in share.index]
    layout = lay_out_panels(
        [""],
        x={"zeroline": False, "tickformat": ".0%", "rangemode": "tozero", "nticks": 7},
        y={"tickvals": list(range(len(rows))), "ticktext": rows, "range": [len(rows) - 0.5, -0.5], "zeroline": False},
        height=60 + 48 * len(rows),
        x_title="share of the words",
    )
    symbols: dict[str, tuple[str, str]] = dict(
        zip(SPLITS, (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^")), strict=True)
    )
    interactive = go.Figure(layout=layout.layout)
    with print_style():
        still, axes = new_print_figure(1, 1, width=6.4, height=1.2 + 0.4 * len(rows))
        for split, offset in zip([str(name) for name in share], spread(share.shape[1]), strict=True):
            symbol, marker = symbols[split]
            places = offset + np.arange(len(rows))
            interactive.add_trace(
                go.Scatter(
                    x=share[split].to_numpy(), y=places, mode="markers", name=split,
                    marker={"symbol": symbol, "size": 9, "color": SPLIT_COLOURS[split]},
                    customdata=[[row, int(count)] for row, count in zip(rows, table[split], strict=True)],
                    hovertemplate=f"{split}, %{{customdata[0]}}: %{{x:.1%}} (%{{customdata[1]}} words)<extra></extra>",
                )
            )  # fmt: skip
            axes[0, 0].plot(100 * share[split], places, marker, color=SPLIT_COLOURS[split], markersize=4.5, label=split)
        axes[0, 0].set_yticks(range(len(rows)), [humanise(name) for name in share.index])
        axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        axes[0, 0].set_xlim(left=0)
        axes[0, 0].set_xlabel("share of the words (%)")
        print_legend(still, axes[0, 0])
    overall = (table.sum(axis=1) / table.to_numpy().sum()).sort_values(ascending=False, kind="stable")
    return save_figure(
        "corpus-categories",
        interactive,
        still,
        table.reset_index().melt(id_vars="category", var_name="split", value_name="features"),
        title="Which kinds of words the clauses are made of",
        caption="Every word of a clause has one category; the categories are those of all later pages.",
        alt="Share of words by category over all splits: "
        + "; ".join(f"{humanise(str(k))} {v:.0%}" for k, v in overall.items())
        + ".",
        n=f"{int(table.to_numpy().sum()):,} words",
        interval="none",
        folder=folder,
        narrow=layout.narrow,
    )
