"""Two plain charts for the workshop: bars of a few numbers, and curves; by the contract of all figures."""

import numpy as np
import pandas as pd

from compliance_xai.figures.contract import Drawing, drawn, require_rows
from compliance_xai.figures.forms import line_of, pad
from compliance_xai.figures.marks import Axis, Bars, Chart, Panel, reference
from compliance_xai.figures.theme import make_style
from compliance_xai.study.labels import format_interval

_LOOKS = (("#0072B2", "solid"), ("#E69F00", "dash"), ("#009E73", "dot"), ("#CC79A7", "dashdot"))


@drawn
def draw_bars(
    frame: pd.DataFrame, label: str, value: str, *, unit: str, title: str, caption: str, n: str, name: str
) -> Drawing:
    """One horizontal bar for each row, in the frame's order; columns ``low`` and ``high`` give its interval."""
    require_rows(frame, name)
    labels, values = [str(text) for text in frame[label]], frame[value].to_numpy(dtype=float)
    has_ends = {"low", "high"} <= set(frame.columns)
    nothing = np.full(len(frame), np.nan)
    low, high = (frame[end].to_numpy(dtype=float) if has_ends else nothing for end in ("low", "high"))
    places, edges = np.arange(len(frame)), (len(frame) - 0.5, -0.5)
    texts = [format_interval(*numbers) for numbers in zip(values, low, high, strict=True)]
    notes = [f"{text}\n{number} {unit}" for text, number in zip(labels, texts, strict=True)]
    style = make_style(unit, _LOOKS[0][0])
    bars = Bars(places, values, style, low=low, high=high, notes=notes)
    x, y = Axis(unit, pad([0.0, *values, *low, *high])), Axis("", edges, dict(enumerate(labels)), names=True)
    return Drawing(
        name,
        Chart([Panel("", x, y, [reference(0.0, edges), bars])], 20 + 26 * len(frame), legend=False),
        frame,
        title=title,
        caption=caption,
        n=n,
        interval="95 % bootstrap over clauses" if has_ends else "none",
    )


@drawn
def draw_curves(
    frame: pd.DataFrame, x: str, y: str, by: str, *, units: tuple[str, str], title: str, caption: str, n: str, name: str
) -> Drawing:
    """One line for each value of ``by``; ``units`` are the titles of the two axes."""
    require_rows(frame, name)
    said = f"{{label}}\n{units[0]} {{{x}:g}}: {{{y}:.3f}}"
    layers = [
        line_of(some, x, y, make_style(str(key), colour), said, line=line, symbols=False)
        for (key, some), (colour, line) in zip(frame.groupby(by, sort=False), _LOOKS, strict=False)
    ]
    return Drawing(
        name,
        Chart([Panel("", Axis(units[0]), Axis(units[1]), layers)], 300),
        frame,
        title=title,
        caption=caption,
        n=n,
        interval="none",
    )
