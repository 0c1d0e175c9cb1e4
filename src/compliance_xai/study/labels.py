"""What readers see instead of names in files: strategies, model sizes, and every measure with unit and format.

Files, columns and settings keep short names (``1m``, ``lora``, ``lrml_f1``). Tables, figures, pages and messages show
the labels given here, so that one thing is called the same everywhere.
"""

import functools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

STRATEGY_LABELS: Mapping[str, str] = {
    "none": "untouched base",
    "full": "full fine-tuning",
    "lora": "LoRA",
    "qlora": "QLoRA",
    "dora": "DoRA",
    "lora+": "LoRA+",
    "lora-then-full": "LoRA, then full",
    "full-top": "full above, LoRA below",
}
"""A label for each kind of fine-tuning, in drawing order."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmbt])")


def strategy_label(name: str) -> str:
    """A strategy as readers see it; a name of the study's own stays as it is.

    Examples
    --------
    >>> [strategy_label(name) for name in ("none", "qlora", "lora_wide")]
    ['untouched base', 'QLoRA', 'lora_wide']
    """
    return STRATEGY_LABELS.get(name, name)


def size_label(scale: str) -> str:
    """A model size as readers see it: ``1m``, which could be a metre, as ``1M``; other names stay as they are.

    Examples
    --------
    >>> [size_label(scale) for scale in ("0.3m", "1.5b", "all", "smollm2")]
    ['0.3M', '1.5B', 'all', 'smollm2']
    """
    size = _SIZE.fullmatch(scale)
    return size[1] + size[2].upper() if size else scale


def format_parameters(count: float) -> str:
    """A number of parameters with at most three significant digits.

    Examples
    --------
    >>> [format_parameters(count) for count in (312_000, 1_018_496, 134_515_008, 999_900_000, 70_553_706_496)]
    ['0.312M', '1.02M', '135M', '1B', '70.6B']
    """
    size, unit = (1e9, "B") if count >= 0.9995e9 else (1e6, "M")
    return f"{float(f'{count / size:.3g}'):g}{unit}"


_SIGN = re.compile(r"(?<![\w.,\-])-(?=[\d.])")
_POWER = re.compile(r"([+-]?[\d.]+)e([+-])0*(\d+)")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def typeset(text: str) -> str:
    """A number, or a text of numbers, with real minus signs and powers of ten.

    Examples
    --------
    >>> [typeset(text) for text in ("-0.25", "9.5e-06", "1e-04", "0.0e+00", "-0.00", "2026-11-26")]
    ['−0.25', '9.5 × 10⁻⁶', '10⁻⁴', '0', '0.00', '2026-11-26']
    """
    power = _POWER.fullmatch(text)
    if power:
        mantissa, sign, exponent = power.groups()
        if not float(mantissa):
            return "0"
        raised = f"10{(sign.strip('+') + exponent).translate(_RAISED)}"
        return raised if float(mantissa) == 1 else f"{mantissa.replace('-', '−')} × {raised}"
    text = re.sub(r"(?<![\w.])-(0(?:\.0*)?%?)(?![\d.])", r"\1", text)
    return _SIGN.sub("−", text)


def format_number(value: float, digits: int = 2) -> str:
    """A number with a real minus sign; a dash if there is none.

    Examples
    --------
    >>> [format_number(value) for value in (-0.256, float("nan"), float("inf"))]
    ['−0.26', '–', '∞']
    """
    if math.isnan(value):
        return "–"
    return typeset(f"{value:.{digits}f}").replace("inf", "∞")


def format_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """A value with its interval as one text; the value alone if there is no interval.

    Examples
    --------
    >>> format_interval(-0.5, -0.75, 0.25)
    '−0.50 [−0.75,\\xa00.25]'
    >>> format_interval(0.5, float("nan"), float("nan"))
    '0.50'
    """
    if math.isnan(low) or math.isnan(high):
        return format_number(value, digits)
    return f"{format_number(value, digits)} [{format_number(low, digits)},\u00a0{format_number(high, digits)}]"


class Label(NamedTuple):
    """What a column or measure is called, its unit or range, and the format specification of its values."""

    text: str
    unit: str = ""
    format: str = ""

    @property
    def axis(self) -> str:
        """The text with its unit in brackets: the title of an axis or the heading of a column."""
        return f"{self.text} ({self.unit})" if self.unit else self.text


def label_of(name: str) -> Label:
    """The label of a column, measure or value; the name with spaces for underscores if none is registered.

    Examples
    --------
    >>> label_of("lrml_f1").axis
    'LRML F1 (0 to 100)'
    >>> label_of("held_out").axis
    'held out'
    """
    return labels().get(name) or Label(name.replace("_", " "))


_TOGETHER = {"trained": "all fine-tuned", "trained less base": "fine-tuned less base"}
SIZES = frozenset({"scale", "a", "b"})
NAMED = frozenset(
    {"measure", "method", "category", "kind", "name", "source", "metric", "outcome", "test", "companion", "control"}
    | {"baseline", "attribution", "operator", "split", "signal"}
)
"""Columns of model sizes, and columns whose values are names of the code."""


def say_value(column: str, value: object) -> str:
    """A value of a column as readers see it.

    Examples
    --------
    >>> [say_value(*pair) for pair in (("scale", "1m"), ("strategy_a", "lora"), ("baseline", "mask"), ("id", "a_b"))]
    ['1M', 'LoRA', 'neutral word', 'a_b']
    """
    text = str(value)
    if column in SIZES:
        return "all sizes" if text == "all" else size_label(text)
    if column == "other" or column.startswith("strategy"):
        return _TOGETHER.get(text) or strategy_label(text)
    return label_of(text).text if column in NAMED else text


def heading_of(column: str) -> str:
    """The heading of a table's column.

    Examples
    --------
    >>> [heading_of(column) for column in ("n_clauses", "ratio_low", "qlora", "what it trains", "a")]
    ['clauses', 'low', 'QLoRA', 'what it trains', 'from']
    """
    headings = _read()["headings"]
    if column in headings or column.endswith(("_low", "_high")):
        return headings.get(column) or column.rsplit("_", 1)[1]
    return strategy_label(column) if column in STRATEGY_LABELS else label_of(column).axis


@functools.cache
def _read() -> Mapping[str, Mapping[str, Any]]:
    """The groups of ``labels.yaml``."""
    return yaml.safe_load(Path(__file__).with_name("labels.yaml").read_text(encoding="utf-8"))


@functools.cache
def labels() -> Mapping[str, Label]:
    """Labels of measures, columns and values by their names in files."""
    groups = (group for name, group in _read().items() if name != "headings")
    return {name: Label(*label) for group in groups for name, label in group.items()}
