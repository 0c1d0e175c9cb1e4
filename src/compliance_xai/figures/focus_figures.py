"""Figures of how models read: focus, kinds of words, distances between patterns, and all of it by context."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.figures.contract import Drawing, drawn, require_rows
from compliance_xai.figures.forms import (
    count_clauses,
    count_range,
    order_scales,
    pad,
    rows_chart,
    select,
    size_chart,
    turn_towards,
)
from compliance_xai.figures.marks import Axis, Chart, Panel, Points
from compliance_xai.figures.theme import GREY, Style, style_strategies
from compliance_xai.records import CATEGORIES
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, beside
from compliance_xai.stats.statements import LIFTS
from compliance_xai.study.labels import format_interval, format_number, label_of, say_value, strategy_label

SOURCES = {
    "batch": "same model, another batch",
    "dtype": "same model, another float type",
    "seeds": "two seeds of one strategy",
    "strategies": "two strategies",
    "baselines": "same model, another way to remove words",
    "methods": "same model, another method",
}
_MEASURES = ("jensen_shannon", "spearman", "rank_biased_overlap")


@drawn
def draw_focus_paired(
    focus: pd.DataFrame, summary: pd.DataFrame, measure: str, *, baseline: str = "delete", sign: str = "net"
) -> Drawing:
    """Each clause as one line through the strategies, and the means with intervals over them; a panel per size.

    ``focus``: ``focus_frame`` of all cells with ``scale``, ``strategy``, ``parameters``. ``summary``:
    ``stats.summarise_measures`` of it: ``measure``, ``mean``, ``low``, ``high``, ``n_clauses`` per cell.
    """
    chosen = select(focus, "focus", measure, baseline=baseline, sign=sign)
    clauses = chosen.groupby(["scale", "strategy", "id"], sort=False)[measure].mean().reset_index()
    means = select(summary, "focus", "mean", baseline=baseline, sign=sign, measure=measure)
    styles = style_strategies(chosen["strategy"])
    x, y_axis = Axis("", (-0.5, len(styles) - 0.5), {}, grid=False), Axis(label_of(measure).axis, pad(clauses[measure]))
    panels, counts = [], []
    for scale, title in order_scales(chosen).items():
        table = clauses[clauses["scale"] == scale].pivot(index="id", columns="strategy", values=measure)
        gaps = table.reindex(columns=[*styles, ""]).to_numpy(dtype=float)
        counts.append(len(table))
        places = np.tile([*range(len(styles)), np.nan], len(table))
        fade = float(np.clip(14 / len(table), 0.15, 0.5))
        thin = Style("one clause", GREY)
        layers = [Points(places, gaps.ravel(), thin, line="solid", symbols=False, width=1, opacity=fade)]
        for place, (name, style) in enumerate(styles.items()):
            row = means[(means["scale"] == scale) & (means["strategy"] == name)]
            y, low, high = (row[column].to_numpy(dtype=float) for column in ("mean", "low", "high"))
            notes = [f"{style.label}\nmean {format_interval(*values, 3)}" for values in zip(y, low, high, strict=True)]
            layers.append(Points([place] * len(row), y, style, low, high, notes=notes, size=13))
        panels.append(Panel(title, x, y_axis, layers))
    return Drawing(
        f"focus-{measure.replace('_', '-')}",
        Chart(panels, 300, share_x=True, share_y=True),
        clauses,
        words={"measure": label_of(measure).text},
        n=count_clauses(counts, baseline, sign, " of each model size, the same for every strategy"),
    )


@drawn
def draw_focus_by_scale(summary: pd.DataFrame, *, baseline: str = "delete", sign: str = "net") -> Drawing:
    """Measures of focus against model size, a panel for each and a line per strategy (``stats.summarise_measures``)."""
    name, measures = "focus-by-scale", ["normalised_entropy", "gini", "top_3_mass", "effective_number"]
    frame = select(summary, name, "mean", baseline=baseline, sign=sign, measure=measures)
    panels = {measure: label_of(measure).axis for measure in measures if measure in set(frame["measure"])}
    return Drawing(
        name,
        size_chart(frame, name, panel="measure", panels=panels),
        frame,
        n=count_clauses(frame["n_clauses"], baseline, sign, " per mark"),
    )


@drawn
def draw_differences(
    pairs: pd.DataFrame, measure: str, *, baseline: str = "delete", sign: str = "net", scales: Sequence[str] = ()
) -> Drawing:
    """Differences between strategies on the same clauses with their intervals (``stats.compare_strategies``).

    ``scales`` gives the order of the panels: this frame has no parameter counts.
    """
    where: dict[str, Any] = {"baseline": baseline, "sign": sign, "measure": measure}
    frame = select(pairs, "difference", "difference", **where)
    first, second = (frame[f"strategy_{side}"].map(strategy_label) for side in "ab")
    what = label_of(measure).text
    return Drawing(
        f"difference-{measure.replace('_', '-')}",
        rows_chart(
            frame.assign(pair=first + " − " + second), row="pair", value="difference", series="",
            panels=order_scales(frame, scales), styles={"": Style("mean difference")}, mark=(0.0, "no difference"),
            x_title=f"mean difference in {what}",
        ),
        frame,
        n=count_clauses(frame["n_clauses"], baseline, sign, " per pair"),
        words={"what": what},
    )  # fmt: skip


@drawn
def draw_controls(
    controls: pd.DataFrame, *, first: str = "full", baseline: str = "delete", sign: str = "net"
) -> Drawing:
    """The difference between ``first`` and each trained strategy under every control (``stats.controls_table``).

    The untouched base is left out: it is far from any trained model in confidence, and holding that equal would be
    extrapolation.
    """
    frame = turn_towards(controls, first, "controls", "estimate", baseline=baseline, sign=sign)
    name, title = strategy_label(first), "difference in the log of the number of words"
    return Drawing(
        "controls",
        rows_chart(frame, row="control", panel="", x_title=f"{title}, {name} − the other", mark=(0.0, "no difference")),
        frame,
        n=count_clauses((frame["n_clauses"].min(), frame["n_clauses"].max()), baseline, sign),
        words={"title": title.capitalize(), "name": name},
    )


@drawn
def draw_category_lift(lift: pd.DataFrame, *, baseline: str = "delete", sign: str = "net") -> Drawing:
    """Log lift of every category, a mark per strategy and a panel per model size.

    ``lift`` is ``stats.summarise_measures`` of ``log_lift`` by scale, strategy, baseline, sign and category.
    """
    frame = select(lift, "category-lift", "mean", baseline=baseline, sign=sign, category=list(CATEGORIES))
    return Drawing(
        "category-lift",
        rows_chart(
            frame, row="category", value="mean", x_title="log lift (nats)", mark=(0.0, "as much as their share"),
            rows={name: say_value("category", name) for name in CATEGORIES if name in set(frame["category"])},
        ),
        frame,
        n=count_clauses(frame["n_clauses"], baseline, sign, ", depending on the category"),
    )  # fmt: skip


@drawn
def draw_lift_by_scale(lift: pd.DataFrame, *, baseline: str = "delete", sign: str = "net") -> Drawing:
    """Log lift of the categories of claim C3 against model size (same frame as ``draw_category_lift``)."""
    name = "lift-by-scale"
    frame = select(lift, name, "mean", baseline=baseline, sign=sign, category=list(LIFTS))
    panels = {category: say_value("category", category) for category in LIFTS if category in set(frame["category"])}
    return Drawing(
        name,
        size_chart(
            frame, name, panel="category", panels=panels, y_title="log lift (nats)",
            mark=(0.0, "as much as their share"),
        ),
        frame,
        n=count_clauses(frame["n_clauses"], baseline, sign),
    )  # fmt: skip


@drawn
def draw_noise(
    noise: pd.DataFrame, measure: str = "jensen_shannon", *, sign: str = "net", scales: Sequence[str] = ()
) -> Drawing:
    """How far apart two patterns are, by what differs between them (``stats.noise_table``); a panel per model size."""
    frame = select(noise, "noise", "mean", sign=sign, measure=measure)
    return Drawing(
        f"noise-{measure.replace('_', '-')}",
        rows_chart(
            frame, row="source", rows={name: text for name, text in SOURCES.items() if name in set(frame["source"])},
            value="mean", panels=order_scales(frame, scales), x_title=label_of(measure).axis, series="",
            styles={"": Style("mean distance")},
        ),
        frame,
        n=f"{count_range(frame['n_clauses'])} clauses per row, fewest where one model is computed in another way; "
        f"{sign} scores",
    )  # fmt: skip


@drawn
def draw_separation(
    tests: pd.DataFrame, *, first: str = "full", baseline: str = "delete", sign: str = "net"
) -> Drawing:
    """Distances from ``first`` to each other strategy over those between seeds, a panel for each distance.

    ``tests`` is ``stats.compare_patterns``; its rows of all sizes are drawn. The untouched base is so far off that only
    the caption gives its ratio.
    """
    ends = ("ratio_low", "ratio_high")
    where = {"baseline": baseline, "sign": sign, "scale": ALL_SCALES}
    chosen = beside(select(tests, "separation", "ratio", ends=ends, **where), first)
    base = chosen.loc[chosen["other"] == CONTROL, "ratio"]
    frame = require_rows(chosen[chosen["other"] != CONTROL], "separation")
    note = ""
    if len(base):
        far = " to ".join(dict.fromkeys(format_number(ratio, 1) for ratio in (base.min(), base.max())))
        note = f" Not drawn: the untouched base, {far} times as far."
    own = strategy_label(first)
    return Drawing(
        "separation",
        rows_chart(
            frame, row="other", rows={row: style.label for row, style in style_strategies(frame["other"]).items()},
            value="ratio", ends=ends, series="other", listed=False, mark=(1.0, "as two seeds of one strategy"),
            panels={name: label_of(name).text for name in _MEASURES if name in set(frame["measure"])}, panel="measure",
            x_title="distance between strategies / between seeds of one strategy",
        ),
        frame,
        n=count_clauses(frame["n_clauses"], baseline, sign),
        words={"own": own, "note": note},
    )  # fmt: skip


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


def _name(context: str, clauses: Any, held_out: bool) -> str:
    """A context as the label of a row, short enough to leave room for its marks."""
    name = label_of(context).text or "no context"
    name = name if len(name) <= 32 else f"{name[:31]}…"
    return f"{name}{' (held out)' if held_out else ''}, n = {clauses}"
