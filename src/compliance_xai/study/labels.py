"""What readers see instead of names in files: strategies, model sizes, and every measure with unit and format.

Files, columns and settings keep short names (``1m``, ``lora``, ``lrml_f1``). Tables, figures, pages and messages show
the labels given here, so that one thing is called the same everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

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
    return LABELS.get(name) or Label(name.replace("_", " "))


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
    if column in HEADINGS or column.endswith(("_low", "_high")):
        return HEADINGS.get(column) or column.rsplit("_", 1)[1]
    return strategy_label(column) if column in STRATEGY_LABELS else label_of(column).axis


_FOCUS = {
    "normalised_entropy": Label("normalised entropy", "1 = even", ".3f"),
    "gini": Label("Gini coefficient", "1 = concentrated", ".3f"),
    "top_1_mass": Label("mass on the heaviest word", "", ".3f"),
    "top_3_mass": Label("mass on the 3 heaviest words", "", ".3f"),
    "effective_number": Label("effective number of words", "", ".2f"),
    "log_words": Label("log of the number of words", "0.05 = 5 %", ".3f"),
    "effective_fraction": Label("effective share of the words", "", ".3f"),
    "total_mass": Label("total mass", "nats", ".3f"),
    "log_lift": Label("log lift", "nats; 0 = its share of the clause", ".3f"),
    "log_lift_numerical": Label("log lift of numerical constraints", "nats", ".3f"),
    "log_lift_identifier": Label("log lift of identifiers and references", "nats", ".3f"),
}

_DISTANCES = {
    "jensen_shannon": Label("Jensen–Shannon distance", "0 = same, 1 = disjoint", ".3f"),
    "spearman": Label("1 − Spearman's rank correlation", "", ".3f"),
    "rank_biased_overlap": Label("1 − rank-biased overlap", "", ".3f"),
}

_SCORES = {
    "exact": Label("exact match", "share of rules", ".2f"),
    "equivalent": Label("same meaning", "share of rules", ".2f"),
    "parses": Label("readable rule", "share of rules", ".2f"),
    "lrml_f1": Label("LRML F1", "0 to 100", ".1f"),
    "lrml_precision": Label("LRML precision", "0 to 100", ".1f"),
    "lrml_recall": Label("LRML recall", "0 to 100", ".1f"),
    "bleu": Label("BLEU", "0 to 100", ".1f"),
    "chrf": Label("chrF", "0 to 100", ".1f"),
    "semantic": Label("semantic similarity", "cosine", ".3f"),
    "tree_edit_distance": Label("tree edit distance", "0 = same", ".2f"),
    "token_edit_distance": Label("token edit distance", "0 = same", ".2f"),
    "numeric_fidelity": Label("numeric fidelity", "F1", ".2f"),
    "identifier_fidelity": Label("identifier fidelity", "F1", ".2f"),
}
_SCORES |= {
    "exact_match": _SCORES["exact"],
    "equivalence_rate": _SCORES["equivalent"],
    "parse_rate": _SCORES["parses"],
    "semantic_similarity": _SCORES["semantic"],
}

_GOLD = {
    "precision_at_k": Label("precision at k", "", ".2f"),
    "average_precision": Label("average precision", "", ".2f"),
    "auroc": Label("area under the ROC curve", "0.5 = chance", ".2f"),
    "chance_precision": Label("precision by chance", "", ".2f"),
    "chance_average_precision": Label("average precision by chance", "", ".2f"),
}

_FAITHFULNESS = {
    "deletion": Label("deletion", "normalised area", ".3f"),
    "insertion": Label("insertion", "normalised area", ".3f"),
    "random_deletion": Label("deletion, random order", "", ".3f"),
    "reversed_deletion": Label("deletion, reversed order", "", ".3f"),
    "lds": Label("linear datamodeling score", "rank correlation", ".3f"),
    "top_1_drop": Label("drop without the heaviest word", "share of log p", ".3f"),
    "top_3_drop": Label("drop without the 3 heaviest words", "share of log p", ".3f"),
    "random_top_1_drop": Label("drop without a random word", "share of log p", ".3f"),
    "random_top_3_drop": Label("drop without 3 random words", "share of log p", ".3f"),
    "brier": Label("Brier score", "", ".3f"),
    "brier_base": Label("Brier score without signals", "", ".3f"),
    "ece": Label("calibration error", "", ".3f"),
}

_SIGNALS = {
    "unsupported": Label("on other words"),
    "top_elsewhere": Label("top word is another"),
    "spread": Label("spread out"),
    "weak": Label("on little"),
    "unlikely": Label("unlikely token"),
    "unsure": Label("unsure token"),
    "clause_words": Label("long clause"),
    "unspelled": Label("no such word"),
    "attribution": Label("attribution signals"),
}

_TRAINING = {
    "parameters": Label("all parameters", "", ",.0f"),
    "trained": Label("trained parameters", "", ",.0f"),
    "share": Label("share", "", ".1%"),
    "learning_rate": Label("learning rate", "", ".2g"),
    "full_learning_rate": Label("learning rate of whole weights", "", ".2g"),
    "loss": Label("loss", "nats per rule token", ".4f"),
    "validation_loss": Label("validation loss", "nats per rule token", ".4f"),
    "target": Label("loss to match", "nats per rule token", ".4f"),
    "relative_change": Label("relative change of the weights", "", ".3g"),
    "tokens": Label("tokens read", "", ",.0f"),
    "seconds": Label("time", "s", ".1f"),
    "memory": Label("peak memory", "MiB", ".0f"),
    "hidden_size": Label("width"),
    "dtype": Label("float type"),
}

_STATISTICS = {
    "mean": Label("mean", "", ".3f"),
    "low": Label("low", "", ".3f"),
    "high": Label("high", "", ".3f"),
    "difference": Label("difference", "", ".3f"),
    "p": Label("p", "", ".3f"),
    "p_runs": Label("p (runs permuted)", "", ".3f"),
    "p_runs_smallest": Label("smallest possible p", "", ".3f"),
    "line_p": Label("p (a line fits)", "", ".3f"),
    "icc": Label("ICC", "", ".2f"),
    "correlation": Label("correlation of the halves", "", ".2f"),
    "reliability": Label("reliability", "", ".2f"),
    "ratio": Label("ratio", "", ".2f"),
    "within_a": Label("seeds of a", "", ".3f"),
    "within_b": Label("seeds of b", "", ".3f"),
    "between": Label("between", "", ".3f"),
    "mean_a": Label("at the first", "", ".3f"),
    "mean_b": Label("at the second", "", ".3f"),
    "change": Label("change", "", ".3f"),
    "floor": Label("copied rules", "", ".1f"),
    "above_floor": Label("difference", "", ".1f"),
    "hit": Label("rests on it", "", ".0%"),
    "chance": Label("by chance", "", ".0%"),
    "above_chance": Label("difference", "", ".0%"),
    "known": Label("known", "", ".3f"),
    "held_out": Label("held out", "", ".3f"),
    "adjusted": Label("over the base", "", ".3f"),
    "beyond_zero": Label("above zero", "", ".1%"),
    "beyond_margin": Label("above it", "", ".1%"),
    "margin": Label("smallest effect", "", "g"),
    "deviation": Label("deviation", "", ".1e"),
    "tolerance": Label("tolerance", "", ".0e"),
    "noise_floor": Label("noise floor", "nats", ".1e"),
    "log_prob": Label("log-probability of the rule", "mean, nats", ".2g"),
    "largest_token": Label("largest at one token", "nats", ".2g"),
    "largest_score": Label("largest at one score", "nats", ".2g"),
    "distance": Label("distance of patterns", "", ".3f"),
    "same_word": Label("same word first", "", ".0%"),
    "probability": Label("probability", "", ".2f"),
    "clause_nats": Label("the clause adds", "nats", ".1f"),
    "precision": Label("precision", "", ".2f"),
    "recall": Label("recall", "", ".2f"),
    "dof": Label("df"),
    "n": Label("clauses", "", ",.0f"),
    "n_clauses": Label("clauses", "", ",.0f"),
    "n_runs": Label("pairs of runs", "", ",.0f"),
    "n_dropped": Label("undefined", "", ",.0f"),
    "n_links": Label("elements", "", ",.0f"),
    "n_known": Label("known clauses", "", ",.0f"),
    "n_held_out": Label("held-out clauses", "", ",.0f"),
    "n_seeds": Label("seeds", "", ",.0f"),
    "n_scales": Label("model sizes", "", ",.0f"),
    "n_elements": Label("elements", "", ",.0f"),
    "n_rules": Label("rules", "", ",.0f"),
    "n_pairs": Label("pairs", "", ",.0f"),
    "n_wrong": Label("wrong", "", ",.0f"),
}

_NAMES = {
    "scale": Label("model size"),
    "strategy_a": Label("strategy a"),
    "strategy_b": Label("strategy b"),
    "shapley": Label("Shapley values"),
    "owen": Label("Owen values"),
    "surrogate_lasso": Label("surrogate (lasso)"),
    "surrogate_ridge": Label("surrogate (ridge)"),
    "delete": Label("deleted"),
    "mask": Label("neutral word"),
    "counterfactual": Label("word of the same category"),
    "document": Label("held out"),
    "rule_identifier_all": Label("rule identifiers and references"),
    "numerical_constraint": Label("numerical constraints"),
}

HEADINGS: Mapping[str, str] = {
    "a": "from",
    "b": "to",
    "attribution": "scores made by",
    "baseline": "words removed",
    "effect_name": "effect",
    "operator": "judged by",
    "second": "second method",
    "signal": "given",
    "template": "prompt",
    "what": "what is trained",
    "what_would_change": "what would change it",
}
"""Headings that differ from the label of the same name elsewhere."""

LABELS: Mapping[str, Label] = (
    _FOCUS | _DISTANCES | _SCORES | _GOLD | _FAITHFULNESS | _SIGNALS | _TRAINING | _STATISTICS | _NAMES
)
"""Labels of measures, columns and values by their names in files."""
