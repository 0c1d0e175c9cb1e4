"""Colours, symbols and safe text: a strategy looks the same in every figure, on screen and in print."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from compliance_xai.records import SPLITS
from compliance_xai.study.labels import STRATEGY_LABELS, label_of, strategy_label

GREY = "#7f8790"
VIOLET = "#8367b8"
"""For marks that stand for no strategy."""

POSITIVE = "#b3500a"
NEGATIVE = "#0064be"
"""Signed scores: orange raises, blue lowers a token's probability. The two hues differ for every kind of colour vision,
and neither is a strategy's colour."""

SEQUENTIAL = "#8e2a6b"
"""The dark end of a scale from nothing to much, in print."""


@dataclass(frozen=True)
class Style:
    """How one series is drawn: its label, its colour, plotly's symbol and matplotlib's marker, hollow or filled."""

    label: str
    colour: str = VIOLET
    symbol: str = "circle"
    marker: str = "o"
    hollow: bool = False


_SYMBOLS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "star": "*",
    "triangle-left": "<", "pentagon": "p", "hexagon": "h", "cross": "P", "x": "X",
}  # fmt: skip
"""plotly's names of symbols, and matplotlib's of the same."""

_COLOURS = {
    "none": ("#999999", "circle"),
    "full": ("#0072B2", "circle"),
    "lora": ("#E69F00", "square"),
    "qlora": ("#009E73", "diamond"),
    "lora+": ("#D55E00", "triangle-up"),
    "dora": ("#CC79A7", "triangle-down"),
    "lora-then-full": ("#56B4E9", "star"),
    "full-top": ("#999933", "triangle-left"),  # the yellow of Okabe and Ito fades on white
}
_SPARE = (("#D55E00", "pentagon"), ("#CC79A7", "hexagon"), ("#56B4E9", "cross"), ("#AA4499", "x"))
_IN_ORDER = ("#C77700", "#D1495B", "#A23B9B", "#6A5ACD", "#1F78B4")
"""From the smallest to the largest of something; none is a strategy's colour."""

SPLIT_STYLES = {
    split: Style(label_of(split).text, colour, symbol, _SYMBOLS[symbol])
    for split, colour, symbol in zip(
        SPLITS, (GREY, "#56B4E9", "#CC79A7", "#D55E00"), ("circle", "square", "diamond", "triangle-up"), strict=True
    )
}


def make_style(label: str, colour: str = VIOLET, symbol: str = "circle", *, hollow: bool = False) -> Style:
    """A style by plotly's name of its symbol."""
    return Style(label, colour, symbol + ("-open" if hollow else ""), _SYMBOLS[symbol], hollow)


def style_strategies(names: Iterable[str]) -> dict[str, Style]:
    """A style for each strategy, in drawing order: those with a fixed style first, then the study's own by name.

    >>> [style.marker for style in style_strategies(["qlora", "full", "my_hybrid"]).values()]
    ['o', 'D', 'p']
    """
    unique = set(names)
    known = [name for name in STRATEGY_LABELS if name in unique]
    looks = {name: _COLOURS[name] for name in known}
    looks |= {name: _SPARE[place % len(_SPARE)] for place, name in enumerate(sorted(unique - set(known)))}
    return {
        name: make_style(strategy_label(name), colour, symbol, hollow=name == "none")
        for name, (colour, symbol) in looks.items()
    }


def style_in_order(labels: Iterable[str]) -> dict[str, Style]:
    """A style for each label of an ordered series, such as model sizes or numbers of seeds."""
    symbols = list(_SYMBOLS)
    return {
        label: make_style(label, _IN_ORDER[place % len(_IN_ORDER)], symbols[place % len(symbols)])
        for place, label in enumerate(labels)
    }


def clean(text: object) -> str:
    """Text as it may stand in a figure: control characters become spaces, halves of characters question marks.

    >>> clean("a\\x1b[2Jb\\nc")
    'a [2Jb c'
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", str(text)).encode("utf-8", "replace").decode()
