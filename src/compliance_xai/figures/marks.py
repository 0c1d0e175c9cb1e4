"""The grammar of figures: a chart is described once, as panels with layers of marks, and drawn on screen and in print.

Places and values are numbers; names of rows are the ticks of an axis. All texts are plain texts, which the renderers
escape. ``screen_renderer`` and ``print_renderer`` draw every kind of layer, and ``describe`` puts them into words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_xai.figures.theme import GREY, Style


@dataclass(frozen=True)
class Axis:
    """One axis of a panel: its title with the unit, its range, and its ticks where they are not round numbers.

    ``names``: the ticks are names of rows, which a narrow page writes above the rows; ``turned``: they read upwards.
    """

    title: str = ""
    span: tuple[float, float] | None = None
    ticks: Mapping[float, str] | None = None
    log: bool = False
    percent: bool = False
    grid: bool = True
    names: bool = False
    turned: bool = False


@dataclass(frozen=True, eq=False)
class Points:
    """Marks of one series, joined by a line or not, each with its interval where there is one."""

    x: Any
    y: Any
    style: Style
    low: Any = None
    high: Any = None
    """Ends of the intervals, along y if ``upright``, else along x; not a number where there is no interval."""
    upright: bool = True
    line: str = ""
    """``""`` for none, or ``solid``, ``dash``, ``dot`` or ``dashdot``."""
    symbols: bool = True
    notes: Sequence[str] = ()
    """The hover box of each place: a name, then a line feed and what there is to say."""
    size: float = 9
    width: float = 2
    opacity: float = 1
    listed: bool = True
    """Whether the legend has this series."""


@dataclass(frozen=True, eq=False)
class Bars:
    """Horizontal bars of one series, from ``start`` on and ``length`` long."""

    places: Any
    length: Any
    style: Style
    start: Any = 0
    low: Any = None
    high: Any = None
    notes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Heat:
    """A table of shaded cells, from -1 to 1 if ``signed``, else from 0 to 1; a cell that is not a number is blank.

    Cells that are ``unchanged`` have a plain shade of their own.
    """

    shades: np.ndarray
    signed: bool
    notes: Sequence[Sequence[str]]
    unchanged: np.ndarray | None = None


Layer = Points | Bars | Heat


@dataclass(frozen=True)
class Ramp:
    """What the shades of a heat map stand for: labels at shares of the way from one end to the other."""

    signed: bool
    labels: Mapping[float, str]
    unchanged: str = ""


@dataclass(frozen=True, eq=False)
class Panel:
    """Layers that share a pair of axes, drawn in their order."""

    title: str
    x: Axis
    y: Axis
    layers: Sequence[Layer]


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure before it is drawn."""

    panels: Sequence[Panel]
    height: float
    """Of a panel, in px."""
    columns: int = 3
    """Panels beside each other; on a narrow page each is below the one before."""
    share_x: bool = False
    share_y: bool = False
    """Whether all panels have the same axis."""
    ramp: Ramp | None = None
    note: str = ""
    """A sentence for the caption that the data call for."""
    min_width: int = 0
    """Below this, in px, the drawing scrolls."""
    legend: bool = True


def reference(at: float, along: tuple[float, float], label: str = "", *, upright: bool = True) -> Points:
    """A dotted line at one value, from one end of the other axis to its other end."""
    level, ends = np.full(2, at, dtype=float), np.asarray(along, dtype=float)
    x, y = (level, ends) if upright else (ends, level)
    return Points(x, y, Style(label, GREY), line="dot", symbols=False, width=1.5, listed=bool(label))


def describe(chart: Chart, most: int = 12) -> str:
    """The chart in words, for those who cannot see it: all its values, or of many the largest and the smallest."""
    said = sorted((found for panel in chart.panels for found in _say(panel)), key=lambda found: -found[0])
    parts = [text for _, text in said]
    titles = dict.fromkeys(axis.title for panel in chart.panels for axis in (panel.x, panel.y) if axis.title)
    kinds = {type(layer) for panel in chart.panels for layer in panel.layers}
    kind = next((name for layer, name in _KINDS.items() if layer in kinds), "Marks")
    start = f"{kind}: {' against '.join(list(titles)[:2][::-1])}. "
    if len(parts) <= most:
        return start + "; ".join(parts) + "."
    ends = f"Largest: {'; '.join(parts[:4])}. Smallest: {'; '.join(parts[-4:])}."
    return f"{start}{ends} The data file has all values."


_KINDS = {Heat: "Heat map", Bars: "Bars"}


def _say(panel: Panel) -> Iterator[tuple[float, str]]:
    """Each value of a panel and its words; of a long line the last value only."""
    end = f", {panel.title}" if panel.title else ""
    for layer in panel.layers:
        match layer:
            case Points(notes=notes) if notes:
                values = np.asarray(layer.y if layer.upright else layer.x, dtype=float)
                chosen = slice(-1, None) if layer.line and len(notes) > 6 else slice(None)
                told = zip(values[chosen], notes[chosen], strict=True)
            case Bars():
                told = zip(np.asarray(layer.length, dtype=float), layer.notes, strict=True)
            case Heat():
                shades = np.abs(np.nan_to_num(layer.shades))
                told = [(shades.flat[at], layer.notes[at // shades.shape[1]][at % shades.shape[1]])
                        for at in np.argsort(-shades, axis=None, kind="stable")[:4]]  # fmt: skip
            case _:
                told = []
        for value, note in told:
            name, words, *_ = str(note).split("\n")
            if np.isfinite(value):
                yield float(value), f"{name}{end}: {words}"
