"""From tidy frames to charts: rows of marks, lines over model size, and the words that describe them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.figures.contract import NothingToPlot, require_rows
from compliance_xai.figures.marks import Axis, Chart, Panel, Points, reference
from compliance_xai.figures.theme import GREY, Style, style_in_order, style_strategies
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, beside
from compliance_xai.study.labels import format_interval, label_of, say_value, size_label, typeset

FEW = 5
"""Fewer clauses than this have no interval: a bootstrap of two or three clauses only looks precise."""
NO_INTERVAL = f"There is no interval where a mark stands for fewer than {FEW} clauses."
MANY = 5
"""More strategies than this would hide each other as lines, so each gets a row."""
_REMOVED = {
    "delete": "words are deleted",
    "mask": "words are replaced by a neutral word",
    "counterfactual": "words are replaced by others of their category",
}


def select(
    frame: pd.DataFrame, name: str, value: str, *, ends: tuple[str, str] = ("low", "high"), **where: Any
) -> pd.DataFrame:
    """The rows that a figure shows: their value is known, and their interval is gone if it rests on too few clauses.

    ``ends``: columns of the interval's ends. ``where``: what columns must hold: a value, or one of a list.
    If no row is left, it raises NothingToPlot.
    """
    for column, wanted in where.items():
        frame = frame[frame[column].isin(wanted if isinstance(wanted, list) else [wanted])]
    chosen = require_rows(frame.dropna(subset=[value]), name).reset_index(drop=True)
    if {"n_clauses", *ends} <= set(chosen):
        chosen.loc[chosen["n_clauses"] < FEW, list(ends)] = np.nan
    return chosen


def rows_chart(
    frame: pd.DataFrame,
    *,
    row: str,
    x_title: str,
    value: str = "value",
    ends: tuple[str, str] = ("low", "high"),
    n: str = "n_clauses",
    panel: str = "scale",
    series: str = "strategy",
    rows: Mapping[str, str] | None = None,
    panels: Mapping[str, str] | None = None,
    styles: Mapping[Any, Style] | None = None,
    mark: tuple[float, str] | None = None,
    chance: tuple[str, str] | None = None,
    span: tuple[float, float] | None = None,
    listed: bool = True,
) -> Chart:
    """Rows of values with intervals: a row per category, a panel per model size or the like, a mark per series.

    Parameters
    ----------
    row, value, ends, n, panel, series
        Columns of the frame; an empty ``panel`` or ``series`` if there is one only.
    rows, panels, styles
        Labels and looks, in drawing order; by default as strategies and model sizes are shown everywhere.
    mark
        A value with a dotted line in every panel, and what it stands for.
    chance
        A column with a mark of reference for each row, and what it stands for.
    """
    marks = frame.assign(
        value=frame[value], low=frame[ends[0]], high=frame[ends[1]], n=frame[n], row=frame[row].astype(str),
        panel=frame[panel].astype(str) if panel else "", series=frame[series] if series else "",
    )  # fmt: skip
    panels = panels or (order_scales(frame) if panel == "scale" else {"": ""})
    rows = rows or {name: say_value(row, name) for name in marks["row"]}
    styles = styles or style_strategies(marks["series"])
    places = {name: place for place, name in enumerate(rows)}
    abreast = int(marks.groupby(["row", "panel"])["series"].nunique().max())
    room = min(0.5, 0.26 * (len(styles) - 1)) if abreast > 1 else 0.0
    dodge = dict(zip(styles, spread(len(styles), room), strict=True))
    drawn = [marks[name] for name in ("value", "low", "high", *(chance or ())[:1])]
    span = span or pad(np.concatenate([*drawn, [mark[0]] if mark else []]))
    names = Axis("", (len(rows) - 0.5, -0.5), {place: rows[name] for name, place in places.items()}, names=True)
    made = []
    for key, title in panels.items():
        here = marks[(marks["panel"] == key) & marks["row"].isin(places)]
        layers: list[Any] = [reference(mark[0], (-0.5, len(rows) - 0.5), mark[1])] if mark else []
        if chance:
            means = here.groupby("row")[chance[0]].mean().dropna()
            at = [places[str(name)] for name in means.index]
            layers.append(Points(means.to_numpy(), at, Style(chance[1], GREY, "line-ns-open", "|"), size=18))
        for name, style in styles.items():
            some = here[here["series"] == name]
            heights = [places[label] + dodge[name] for label in some["row"]]
            notes = _notes(some, style.label if len(styles) > 1 else "", [rows[label] for label in some["row"]])
            x, low, high = (some[column].to_numpy(dtype=float) for column in ("value", "low", "high"))
            layers.append(Points(x, heights, style, low, high, upright=False, notes=notes, listed=listed))
        made.append(Panel(title if len(panels) > 1 else "", Axis(x_title, span), names, layers))
    height = max(120, 16 + (16 + 10 * abreast) * len(rows))
    return Chart(made, height, 2 if len(panels) == 4 else 3, share_x=True, share_y=True, note=_note(marks))


def size_chart(
    frame: pd.DataFrame,
    name: str,
    *,
    panel: str,
    panels: Mapping[str, str],
    value: str = "mean",
    y_title: str = "",
    mark: tuple[float, str] | None = None,
    span: tuple[float, float] | None = None,
    from_zero: bool = False,
) -> Chart:
    """Values against model size: a panel per measure or category, and a line with intervals per strategy.

    With more than ``MANY`` strategies each gets a row instead, with a mark per size.

    Parameters
    ----------
    frame
        With columns ``strategy, scale, parameters, n_clauses, low, high``, beside those that are named.
    panels
        Labels of the panels, in drawing order.
    span, from_zero
        One range for all panels; or from zero to what each panel needs.

    If the frame has one model size, it raises NothingToPlot: a trend needs two.
    """
    sizes = dict(sorted(set(zip(frame["parameters"], frame["scale"], strict=True))))
    if len(sizes) < 2:
        raise NothingToPlot(
            f"figure {name!r}", expected="two model sizes or more", found="one", remedy="Add a model size to the study."
        )
    marks = frame.assign(value=frame[value], n=frame["n_clauses"])
    styles = style_strategies(frame["strategy"])
    if len(styles) > MANY:
        return _size_rows(marks, styles, panel, panels, mark)
    reach = min(sizes) / 1.45, max(sizes) * 1.45
    x_axis = Axis("model size (log scale)", reach, {at: size_label(scale) for at, scale in sizes.items()}, log=True)
    room = min(0.07 * np.log10(reach[1] / reach[0]), *(0.5 * np.diff(np.log10(list(sizes)))))
    dodge = dict(zip(styles, 10 ** spread(len(styles), room), strict=True))
    made = []
    for key, title in panels.items():
        here = marks[marks[panel] == key]
        layers = [reference(mark[0], reach, mark[1], upright=False)] if mark else []
        for strategy, style in styles.items():
            some = here[here["strategy"] == strategy].sort_values("parameters")
            notes = _notes(some, style.label, [size_label(scale) for scale in some["scale"]])
            at, y, low, high = (some[column].to_numpy(dtype=float) for column in ("parameters", "value", "low", "high"))
            layers.append(Points(at * dodge[strategy], y, style, low, high, line="solid", notes=notes))
        own_span = span_from_zero([*here["value"], *here["high"]]) if from_zero else span
        made.append(Panel(title, x_axis, Axis(y_title, own_span), layers))
    return Chart(made, 250, 2, note=_note(marks))


def _size_rows(
    marks: pd.DataFrame,
    styles: Mapping[str, Style],
    panel: str,
    panels: Mapping[str, str],
    mark: tuple[float, str] | None,
) -> Chart:
    """Rows of strategies, a mark per model size; panels have ranges of their own, for measures of different units."""
    rows = {name: style.label for name, style in styles.items()}
    sizes = style_in_order(order_scales(marks).values())
    marks = marks.assign(series=[size_label(scale) for scale in marks["scale"]])
    charts = [
        rows_chart(
            marks[marks[panel] == key], row="strategy", rows=rows, x_title=title, n="n", panel="", series="series",
            styles=sizes, mark=mark,
        )
        for key, title in panels.items()
    ]  # fmt: skip
    return Chart([chart.panels[0] for chart in charts], charts[0].height, 2, share_y=True, note=_note(marks))


def line_of(frame: pd.DataFrame, x: str, y: str, style: Style, said: str, **looks: Any) -> Points:
    """A series as a line through its rows in the order of ``x``, with intervals where there are ``low`` and ``high``.

    ``said`` is the hover box of each row: a format string over its columns and ``label``; empty for none.
    """
    some = frame.sort_values(x, kind="stable")
    at, values, *ends = (some[name].to_numpy(dtype=float) for name in (x, y, "low", "high") if name in some)
    rows: list[dict[str, Any]] = some.to_dict("records") if said else []  # pyright: ignore[reportAssignmentType]
    notes = [typeset(said.format(label=style.label, **row)) for row in rows]
    return Points(at, values, style, *ends, notes=notes, **{"line": "solid"} | looks)


def _note(marks: pd.DataFrame) -> str:
    """A sentence for the caption where some marks have an interval and others rest on too few clauses for one."""
    return NO_INTERVAL if marks["low"].notna().any() and (marks["n"] < FEW).any() else ""


def _notes(marks: pd.DataFrame, label: str, names: Sequence[str]) -> list[str]:
    """The hover box of each mark."""
    columns = (marks[column] for column in ("value", "low", "high", "n"))
    return [
        f"{', '.join(filter(None, (label, name)))}\n{format_interval(value, low, high, 3)}\nn = {n}"
        for name, value, low, high, n in zip(names, *columns, strict=True)
    ]


def spread(count: int, width: float) -> np.ndarray:
    """Offsets of ``count`` marks that stand side by side, around 0 and ``width`` apart from first to last."""
    return np.linspace(-width / 2, width / 2, count) if count > 1 else np.zeros(1)


def pad(values: Iterable[float]) -> tuple[float, float]:
    """From the least to the most, with a little room on both sides."""
    low, high = float(np.nanmin(np.asarray(values))), float(np.nanmax(np.asarray(values)))
    room = 0.05 * (high - low or 1.0)
    return low - room, high + room


def span_from_zero(values: Iterable[float]) -> tuple[float, float]:
    """From just below zero, so that marks there are drawn whole, to a little more than the largest value."""
    reach = pad([0.0, *values])[1]
    return -0.03 * reach, reach


def log_ticks(values: Iterable[float]) -> dict[float, str]:
    """Ones, twos and fives for a logarithmic axis, as many as fall between the least and the most."""
    low, high = min(values), max(values)
    ticks = [digit * 10.0**power for power in range(-6, 12) for digit in (1, 2, 5)]
    return {tick: f"{tick:g}" for tick in ticks if low / 1.3 <= tick <= high * 1.3}


def order_scales(frame: pd.DataFrame, order: Sequence[str] = ()) -> dict[str, str]:
    """Labels of a frame's model sizes, the smallest first; rows of all sizes together come last.

    ``order`` decides where it is given, then the column ``parameters``, then the order of the rows.
    """
    scales = list(dict.fromkeys(frame["scale"]))
    if order:
        scales.sort(key=lambda scale: order.index(scale) if scale in order else len(order))
    elif "parameters" in frame:
        sizes = frame.groupby("scale")["parameters"].max()
        scales.sort(key=lambda scale: sizes[scale])
    scales.sort(key=lambda scale: scale == ALL_SCALES)
    if len(scales) == 2 and scales[1] == ALL_SCALES:  # the same twice
        del scales[1]
    return {str(scale): say_value("scale", scale) for scale in scales}


def turn_towards(frame: pd.DataFrame, first: str, name: str, value: str, **where: Any) -> pd.DataFrame:
    """Differences between ``first`` and each other trained strategy, as ``first`` minus the other.

    Adds ``strategy`` (the other), ``value``, and turns ``low`` and ``high`` where ``first`` is the second of the pair.
    """
    chosen = beside(select(frame, name, value, **where), first)
    chosen = require_rows(chosen[chosen["other"] != CONTROL], name)
    sign = np.where(chosen["strategy_b"] == first, -1.0, 1.0)
    ends = np.sort([sign * chosen["low"], sign * chosen["high"]], axis=0)
    return chosen.assign(strategy=chosen["other"], value=sign * chosen[value], low=ends[0], high=ends[1])


def count_range(counts: Iterable[Any]) -> str:
    """Counts in words: ``6`` or ``6 to 48``."""
    values = sorted({int(count) for count in counts})
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def count_clauses(counts: Iterable[Any], baseline: str, sign: str, each: str = "") -> str:
    """How many clauses a mark stands for, and how its scores were made."""
    removed = _REMOVED.get(baseline, f"removal: {label_of(baseline).text}")
    told = count_range(counts)
    return f"{told} clause{'s' * (told != '1')}{each}; {removed}; {sign} scores"
