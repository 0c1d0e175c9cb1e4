"""Figures by regulatory context: the contexts that models were trained on, and the one that they were not."""

from __future__ import annotations

from typing import Any

import pandas as pd

from compliance_xai.figures.contract import Drawing, drawn, require_rows
from compliance_xai.figures.forms import count_range, rows_chart, select
from compliance_xai.stats.frames import ALL_SCALES, beside
from compliance_xai.study.labels import label_of, strategy_label

_HELD_OUT = "document"


@drawn
def draw_by_context(by_context: pd.DataFrame, measure: str, *, label: str, baseline: str = "delete") -> Drawing:
    """One measure by regulatory context, the held-out one last; a mark per strategy and a panel per model size.

    ``by_context`` is ``stats.summarise_measures`` of ``stats.gather_values``.
    """
    name = f"context-{measure.replace('_', '-')}"
    frame = select(by_context, name, "mean", measured=measure, baseline=[baseline, ""])
    order = frame.assign(last=frame["split"] == _HELD_OUT).sort_values(["last", "context"], kind="stable")
    counts = frame.groupby("context")["n_clauses"].max()
    held_out = set(frame.loc[frame["split"] == _HELD_OUT, "context"])
    rows = {context: _name(context, counts[context], context in held_out) for context in order["context"]}
    return Drawing(
        name,
        rows_chart(frame, row="context", rows=rows, value="mean", x_title=label),
        frame,
        words={"label": label, "last": ", and last the one that they were not trained on" if held_out else ""},
        n=f"{count_range(counts)} clauses per mark",
    )


@drawn
def draw_distance_by_context(table: pd.DataFrame, *, first: str = "full") -> Drawing:
    """Distances from ``first`` to each other strategy over those between seeds, a row for each regulatory context.

    ``table`` is ``stats.separate_contexts``; its rows of all sizes are drawn.
    """
    name, ends = "context-distance", ("ratio_low", "ratio_high")
    chosen = beside(select(table, name, "ratio", ends=ends, scale=ALL_SCALES), first)
    frame = require_rows(chosen, name).rename(columns={"other": "strategy"})
    frame = frame.assign(held_out=frame["split"] == _HELD_OUT, whole=frame["context"] == "")
    frame = frame.sort_values(["held_out", "whole", "context"], ascending=[True, False, True], kind="stable")
    # A split with a single context is drawn once.
    frame = frame[~(frame["whole"] & (frame.groupby("split")["context"].transform("nunique") == 2))]
    frame["row"] = frame["split"] + "/" + frame["context"]
    rows = {
        str(row.row): f"all {'held-out' if row.held_out else 'known'} contexts, n = {row.n_clauses}"
        if row.whole
        else _name(str(row.context), row.n_clauses, bool(row.held_out))
        for row in frame.drop_duplicates("row").itertuples(index=False)
    }
    return Drawing(
        name,
        rows_chart(
            frame, row="row", rows=rows, value="ratio", ends=ends, panel="", mark=(1.0, "as far as two seeds"),
            x_title="times as far as two seeds",
        ),
        frame.drop(columns=["row", "held_out", "whole"]),
        n=f"{count_range(frame['n_clauses'])} clauses per mark",
        words={"first": strategy_label(first)},
    )  # fmt: skip


def _name(context: str, clauses: Any, held_out: bool, most: int = 32) -> str:
    """A context as the label of a row, short enough to leave room for its marks."""
    name = label_of(context).text or "no context"
    name = name if len(name) <= most else f"{name[: most - 1]}…"
    return f"{name}{' (held out)' if held_out else ''}, n = {clauses}"
