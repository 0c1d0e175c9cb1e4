"""Figures of the corpus: how many clauses, how long, and which kinds of words (frames of ``corpus.descriptions``)."""

import numpy as np
import pandas as pd

from compliance_xai.figures.contract import Drawing, drawn
from compliance_xai.figures.forms import rows_chart
from compliance_xai.figures.marks import Axis, Bars, Chart, Panel
from compliance_xai.figures.theme import SPLIT_STYLES, make_style
from compliance_xai.records import CATEGORIES
from compliance_xai.study.labels import label_of


@drawn
def draw_corpus_counts(counts: pd.DataFrame) -> Drawing:
    """Clauses by regulatory context and split, as stacked bars (columns ``split``, ``context``, ``clauses``)."""
    table = counts.pivot_table(index="context", columns="split", values="clauses", aggfunc="sum", fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    table = table[[split for split in SPLIT_STYLES if split in table]]
    start = table.cumsum(axis=1) - table
    names = [label_of(str(name)).text for name in table.index]
    bars = [
        Bars(
            np.arange(len(table)),
            table[split].to_numpy(),
            SPLIT_STYLES[split],
            start[split].to_numpy(),
            notes=[
                f"{name}, {SPLIT_STYLES[split].label}\n{count} clauses"
                for name, count in zip(names, table[split], strict=True)
            ],
        )
        for split in map(str, table)
    ]
    x = Axis("clauses", (0, 1.03 * float(table.sum(axis=1).max())))
    y = Axis("", (len(table) - 0.5, -0.5), dict(enumerate(names)), names=True)
    return Drawing(
        "corpus-counts",
        Chart([Panel("", x, y, bars)], 20 + 30 * len(table)),
        counts,
        n=f"{int(table.to_numpy().sum()):,} clauses",
    )


@drawn
def draw_corpus_lengths(lengths: pd.DataFrame) -> Drawing:
    """Words of clauses and of rules by context: medians, middle halves (columns ``text``, ``context``, ``words``)."""
    words = lengths.groupby(["text", "context"])["words"]
    frame = words.agg(value="median", low=lambda one: one.quantile(0.25), high=lambda one: one.quantile(0.75), n="size")
    panels = {"clause": "clauses, in words", "rule": "rules, in names, values and operators"}
    rows = {name: label_of(name).text for name in sorted(set(lengths["context"]))}
    chart = rows_chart(
        frame.reset_index(), row="context", rows=rows, n="n", panel="text", panels=panels, series="", x_title="length",
        styles={"": make_style("median")},
    )  # fmt: skip
    return Drawing("corpus-lengths", chart, lengths, n=f"{lengths['id'].nunique():,} clause–rule pairs")


@drawn
def draw_corpus_categories(categories: pd.DataFrame) -> Drawing:
    """Share of the words of each category, by split (columns ``split``, ``category``, ``features``)."""
    table = categories.groupby(["split", "category"])["features"].sum().unstack(fill_value=0)
    frame = pd.DataFrame({"features": table.reindex(columns=list(CATEGORIES), fill_value=0).stack()}).reset_index()
    total = frame.groupby("split")["features"].transform("sum")
    marks = frame.assign(percent=100 * frame["features"] / total, low=np.nan, high=np.nan)
    chart = rows_chart(
        marks, row="category", value="percent", n="features", panel="", series="split",
        x_title="share of the words (%)",
        styles={split: style for split, style in SPLIT_STYLES.items() if split in table.index},
    )  # fmt: skip
    return Drawing(
        "corpus-categories", chart, frame[["category", "split", "features"]], n=f"{int(table.to_numpy().sum()):,} words"
    )
