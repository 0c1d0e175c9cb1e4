"""Scores of generated rules against their references: one registry, ``SCORES``, for single pairs and whole corpora.

``score_rules`` gives one row per pair, ``corpus_scores`` one value per corpus, computed by the ``evaluate`` module in
``rules/evaluate_scores.py``, which has one configuration per score. ``list_errors`` and ``list_verdicts`` say what is
wrong with each rule and how it relates to its reference in logic.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from compliance_xai.errors import InputError, require_choice
from compliance_xai.rules.compare.edits import token_distance, tree_distance
from compliance_xai.rules.compare.equivalence import Verdict, equivalent
from compliance_xai.rules.compare.error_kinds import RuleError, error_kinds
from compliance_xai.rules.compare.overlap import pair_overlap
from compliance_xai.rules.notation.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.notation.quantities import quantities_of, references_of
from compliance_xai.rules.notation.spelling import expand
from compliance_xai.rules.notation.tolerant import read_tolerant
from compliance_xai.rules.notation.tree import Rule, canonical, format_rule
from compliance_xai.rules.sentence_encoder import Encoder, load_encoder

Spelling = Literal["as_written", "intermediate"]
"""The text that the LRML F1 reads: the rules as they are, or both expanded to the intermediate spelling, for which the
published values of compact rules were computed. A text without a term, or with more copies than
``rules.notation.spelling.LIMIT``, is read as written."""

Notation = Literal["lrml", "text"]
"""The language of the rules: the LRML short form, or any other, which is scored as the text that it is. Scores that
need a parser are then empty, no error is named, and no solver is asked."""

UNREADABLE = "unreadable"
"""The answer of ``list_verdicts`` if one of the two texts is not a rule."""

ANSWERS = ("equivalent", "stronger", "weaker", "different", "unknown", UNREADABLE)
"""Every answer of ``list_verdicts``."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Generated rules and their references, pair by pair, and how they are to be read.

    ``encoder`` is for the semantic similarity: a loaded encoder, or what ``load_encoder`` takes; ``spelling`` is for
    the LRML F1; ``notation`` says what language they are in.

    Raises
    ------
    InputError
        If the lists differ in length, are empty or hold anything but strings, or a choice is unknown.
    """

    predictions: Sequence[str]
    references: Sequence[str]
    _: KW_ONLY
    encoder: Encoder | str | None = None
    spelling: Spelling = "as_written"
    notation: Notation = "lrml"

    def __post_init__(self) -> None:
        for name, texts in (("predictions", self.predictions), ("references", self.references)):
            if isinstance(texts, str):
                remedy = "Put the text into a list."
                raise InputError(name, expected="a list of strings", found="one string", remedy=remedy)
            for row, text in enumerate(texts):
                if not isinstance(text, str):
                    remedy = "Replace missing rules with an empty string."
                    found = type(text).__name__
                    raise InputError(f"{name}, row {row}", expected="a string", found=found, remedy=remedy)
        if len(self.predictions) != len(self.references) or not len(self.references):
            raise InputError(
                "predictions and references",
                expected="lists of the same length, at least 1",
                found=f"{len(self.predictions)} and {len(self.references)}",
                remedy="Give one reference per prediction.",
            )
        require_choice("spelling", self.spelling, get_args(Spelling))
        require_choice("notation", self.notation, get_args(Notation))

    def map(self, score: Callable[[str, str], Any]) -> list:
        """The value of a function of two texts for every pair."""
        return [score(*pair) for pair in zip(self.predictions, self.references, strict=True)]


@dataclass(frozen=True)
class Score:
    """One score of generated rules."""

    name: str
    """What it is called for a corpus, and its configuration of the ``evaluate`` module."""
    column: str
    """Its column in ``score_rules``."""
    range: tuple[float, float]
    """The smallest and the largest value."""
    description: str
    """What it measures, how, and what the ends of the range mean."""
    of_pairs: Callable[[Pairs], Iterable[float]]
    """One value per pair."""
    of_corpus: Callable[[Pairs], dict[str, float]] | None = None
    """The values of a corpus by name; without one, the mean over the pairs."""
    source: str = ""
    """The publication that defines it."""
    needs_lrml: bool = True
    """Whether it reads rules of the LRML short form only."""

    def total(self, pairs: Pairs) -> dict[str, float]:
        """The values of a corpus by name."""
        if self.of_corpus is not None:
            return self.of_corpus(pairs)
        return {self.name: float(np.mean(list(self.of_pairs(pairs))))}

    def reads(self, notation: Notation) -> bool:
        """Whether it can score rules in a notation."""
        return notation == "lrml" or not self.needs_lrml


def score_rules(predictions: Sequence[str], references: Sequence[str], **settings: Any) -> pd.DataFrame:
    """Score every pair.

    Parameters
    ----------
    predictions, references
        Generated and reference rules, pair by pair.
    settings
        ``encoder``, ``spelling`` and ``notation``; see ``Pairs``.

    Returns
    -------
    pandas.DataFrame
        One row per pair and one float64 column per entry of ``SCORES``, which says what each means and its range.
        ``semantic`` is NaN without an encoder, a fidelity if neither side has anything to compare, and whatever needs
        a parser if ``notation`` is ``text``.

    Notes
    -----
    The value of a corpus is not the mean of these columns for ``lrml_f1`` (F1 of the mean precision and recall),
    ``bleu`` and ``chrf`` (statistics summed over the corpus) and the two fidelities (counts summed over the corpus):
    use ``corpus_scores``.

    Examples
    --------
    >>> frame = score_rules(["and(exist(b),exist(a))", "exist(a"], ["and(exist(a),exist(b))", "exist(a)"])
    >>> frame["exact"].tolist(), frame["parses"].tolist()
    ([1.0, 0.0], [1.0, 0.0])
    """
    pairs = Pairs(predictions, references, **settings)
    columns = {score.column: list(score.of_pairs(pairs)) for score in SCORES.values() if score.reads(pairs.notation)}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(predictions)), columns=list(COLUMNS)).astype("float64")


def corpus_scores(predictions: Sequence[str], references: Sequence[str], **settings: Any) -> dict[str, float]:
    """Score a corpus with every configuration of the ``evaluate`` module that reads its notation; see ``score_rules``.

    Returns
    -------
    dict
        The values of ``SCORES`` by name; ``lrml_f1`` also gives ``lrml_precision`` and ``lrml_recall``. Without an
        encoder there is no ``semantic_similarity``. A fidelity is NaN if there is nothing to compare.
    """
    import evaluate

    pairs = Pairs(predictions, references, **settings)
    names = [name for name, score in SCORES.items() if score.reads(pairs.notation)]
    if pairs.encoder is None:
        names.remove("semantic_similarity")
    choices: dict[str, Any] = {"encoder": None, "keep_in_memory": True} | settings
    modules = [evaluate.load(str(MODULE), name, **choices) for name in names]
    values = evaluate.combine(modules).compute(predictions=list(predictions), references=list(references))
    return {name: float(value) for name, value in values.items()}


MODULE = Path(__file__).with_name("evaluate_scores.py")
"""The ``evaluate`` module: ``evaluate.load(str(MODULE), name, **settings)`` needs no network."""


def list_errors(predictions: Sequence[str], references: Sequence[str], *, notation: Notation = "lrml") -> pd.DataFrame:
    """What is wrong with every prediction (``rules.compare.error_kinds``), one row per error; none in other notations.

    Columns: ``pair`` (int64, position in the lists), ``kind``, ``where``, ``expected``, ``found`` (texts).
    """
    pairs = Pairs(predictions, references, notation=notation)
    found: list[list[RuleError]] = pairs.map(error_kinds) if notation == "lrml" else []
    rows = [(index, e.kind, e.where, e.expected, e.found) for index, errors in enumerate(found) for e in errors]
    return _frame_of_texts(rows, "kind", "where", "expected", "found")


def list_verdicts(
    predictions: Sequence[str], references: Sequence[str], *, notation: Notation = "lrml"
) -> pd.DataFrame:
    """How every prediction relates to its reference in logic (``rules.compare.equivalence``), one row per pair.

    Columns: ``pair`` (int64, position in the lists), ``answer`` (``equivalent``, ``stronger``: the prediction asks
    more, ``weaker``: it asks less, ``different``, ``unknown``, or ``unreadable`` if either is not a rule), ``reason``
    and ``counterexample`` (a building that satisfies one of the two, a the prediction and b the reference; or empty).
    Rules in another notation are ``unknown``.
    """
    pairs = Pairs(predictions, references, notation=notation)
    rows = []
    for index, pair in enumerate(zip(pairs.predictions, pairs.references, strict=True)):
        verdict = decide_pair(*pair) if notation == "lrml" else _ANOTHER_NOTATION
        if verdict is None:
            verdict = Verdict(UNREADABLE, "One of the two is not a rule.")
        rows.append((index, verdict.answer, verdict.reason, str(verdict.counterexample or "")))
    return _frame_of_texts(rows, "answer", "reason", "counterexample")


_ANOTHER_NOTATION = Verdict("unknown", "The rules are not in the LRML short form.")


def _frame_of_texts(rows: list[tuple], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["pair", *columns]).astype({"pair": "int64"} | dict.fromkeys(columns, "str"))


# Pair by pair


def is_exact(prediction: str, reference: str) -> bool:
    """Whether two texts are the same rule up to order; if either is not a rule, whether they are the same text."""
    if prediction.strip() == reference.strip():
        return True
    try:
        return canonical(parse_rule(prediction)) == canonical(parse_rule(reference))
    except RuleSyntaxError:
        return False


def parses(text: str, _: str = "") -> bool:
    """Whether the strict reader accepts a text; the reference does not matter."""
    try:
        parse_rule(text)
    except RuleSyntaxError:
        return False
    return True


@lru_cache(maxsize=10_000)
def decide_pair(prediction: str, reference: str) -> Verdict | None:
    """How a prediction relates to its reference in logic; None if either is not a rule. Several scores ask for it."""
    return equivalent(prediction, reference) if parses(prediction) and parses(reference) else None


def _says_the_same(prediction: str, reference: str) -> bool:
    verdict = decide_pair(prediction, reference)
    return verdict is not None and verdict.answer == "equivalent"


def _overlaps(pairs: Pairs) -> list[tuple[float, float]]:
    """Precision and recall of each pair, 0 to 1."""
    spell = _expanded if pairs.spelling == "intermediate" else str
    return pairs.map(lambda prediction, reference: pair_overlap(spell(prediction), spell(reference)))


def _expanded(text: str) -> str:
    rule = read_tolerant(text)
    try:
        return text if rule is None else format_rule(expand(rule))
    except InputError:
        return text


def _harmonic_mean(precision: float, recall: float) -> float:
    """Of two shares, times 100; 0 if one of them is 0."""
    return 0.0 if precision == 0 or recall == 0 else 100 * 2 * precision * recall / (precision + recall)


def _lrml_totals(pairs: Pairs) -> dict[str, float]:
    precision, recall = (sum(column) / len(column) for column in zip(*_overlaps(pairs), strict=True))
    f1 = _harmonic_mean(precision, recall)
    return {"lrml_precision": 100 * precision, "lrml_recall": 100 * recall, "lrml_f1": f1}


def _sacrebleu(name: str, **settings: bool) -> Any:
    from sacrebleu import metrics

    return getattr(metrics, name)(**settings)


def _of_sentences(metric: Any, pairs: Pairs) -> list[float]:
    return pairs.map(lambda prediction, reference: metric.sentence_score(prediction, [reference]).score)


def _of_texts(name: str, pairs: Pairs) -> float:
    return float(_sacrebleu(name).corpus_score(list(pairs.predictions), [list(pairs.references)]).score)


def _cosines(pairs: Pairs) -> np.ndarray:
    """float64, shape (pairs,): the cosine of each pair's embeddings; NaN without an encoder."""
    if pairs.encoder is None:
        return np.full(len(pairs.predictions), np.nan)
    encoder = load_encoder(pairs.encoder) if isinstance(pairs.encoder, str) else pairs.encoder
    rows_2ND = encoder.encode([*pairs.predictions, *pairs.references])  # together, so that equal texts are read once
    rows_PD, rows_RD = np.split(rows_2ND.astype(np.float64), 2)
    return np.clip((rows_PD * rows_RD).sum(axis=1), -1.0, 1.0)


Found = Callable[[Rule], Sequence[Hashable]]
"""What a rule has of something that is counted: quantities, or references."""


def _counts(find: Found, pairs: Pairs) -> list[tuple[int, int, int]]:
    """Of each pair: how many both sides have, the prediction has, the reference has."""

    def count(prediction: str, reference: str) -> tuple[int, int, int]:
        rules = (read_tolerant(text) for text in (prediction, reference))
        given, wanted = (find(rule) if rule else () for rule in rules)
        return (Counter(given) & Counter(wanted)).total(), len(given), len(wanted)

    return pairs.map(count)


def _share(both: int, given: int, wanted: int) -> float:
    """F1 from counts, 0 to 1; NaN if neither side has anything."""
    return 2 * both / (given + wanted) if given + wanted else math.nan


def _fidelity(name: str, description: str, find: Found) -> Score:
    return Score(
        name,
        name,
        (0, 1),
        description,
        lambda pairs: [_share(*counts) for counts in _counts(find, pairs)],
        lambda pairs: {name: _share(*map(sum, zip(*_counts(find, pairs), strict=True)))},
    )


SCORES = {
    score.name: score
    for score in (
        Score(
            "exact_match",
            "exact",
            (0, 1),
            "Share of rules that are the reference up to the order of 'and' and 'or' arguments, both read strictly; "
            "spaces do not count. Text that is not a rule, and a rule in another notation, must be the same text.",
            lambda pairs: pairs.map(is_exact if pairs.notation == "lrml" else lambda a, b: a.split() == b.split()),
            needs_lrml=False,
        ),
        Score(
            "parse_rate",
            "parses",
            (0, 1),
            "Share of predictions that are rules in the LRML short form, read strictly.",
            lambda pairs: pairs.map(parses),
        ),
        Score(
            "lrml_f1",
            "lrml_f1",
            (0, 100),
            "F1 of the terms and leaves that prediction and reference share, as published "
            "(rules/compare/overlap.py has the details); of a corpus, the F1 of the mean precision and recall.",
            lambda pairs: [_harmonic_mean(*overlap) for overlap in _overlaps(pairs)],
            _lrml_totals,
            source="Fuchs, S. et al. (2023), https://github.com/stefan-1992/phd-thesis-supplementary-material, Ch. 8.",
        ),
        Score(
            "bleu",
            "bleu",
            (0, 100),
            "BLEU of sacrebleu with its defaults (4-grams, 13a tokens, exponential smoothing; of a single pair with "
            "effective order). Its tokens end at brackets and commas and keep camelCase names whole, so a long name "
            "that is nearly right counts as wrong; chrf is the complement.",
            lambda pairs: _of_sentences(_sacrebleu("BLEU", effective_order=True), pairs),
            lambda pairs: {"bleu": _of_texts("BLEU", pairs)},
            source="Post, M. (2018). A call for clarity in reporting BLEU scores. WMT, 186-191.",
            needs_lrml=False,
        ),
        Score(
            "chrf",
            "chrf",
            (0, 100),
            "chrF2 of sacrebleu with its defaults (character 6-grams, beta 2, no words).",
            lambda pairs: _of_sentences(_sacrebleu("CHRF"), pairs),
            lambda pairs: {"chrf": _of_texts("CHRF", pairs)},
            source="Popović, M. (2015). chrF: character n-gram F-score for automatic MT evaluation. WMT, 392-395.",
            needs_lrml=False,
        ),
        Score(
            "semantic_similarity",
            "semantic",
            (-1, 1),
            "Mean cosine of the sentence embeddings of prediction and reference, read as plain text; 1 for the same "
            "text. The encoder was trained on English sentences, so two rules that differ in one number stay close "
            "to 1: read it beside exact_match and lrml_f1, never alone.",
            _cosines,
            source="Reimers, N., Gurevych, I. (2019). Sentence-BERT. EMNLP, 3982-3992.",
            needs_lrml=False,
        ),
        Score(
            "tree_edit_distance",
            "tree_edit_distance",
            (0, 1),
            "Mean normalised edit distance of the rule trees in canonical order; 0 for the same trees, 1 for nothing "
            "in common (rules/compare/edits.py has the details).",
            lambda pairs: pairs.map(tree_distance),
            source="Pawlik, M., Augsten, N. (2016). Tree edit distance. Information Systems 56, 157-173.",
        ),
        Score(
            "token_edit_distance",
            "token_edit_distance",
            (0, 1),
            "Mean normalised Levenshtein distance of the texts' tokens (numbers, words, signs); 0 for the same tokens, "
            "1 for none in common. Spaces do not count, order does.",
            lambda pairs: pairs.map(token_distance),
            source="Yujian, L., Bo, L. (2007). A normalized Levenshtein distance metric. IEEE TPAMI 29(6), 1091-1095.",
            needs_lrml=False,
        ),
        _fidelity(
            "numeric_fidelity",
            "F1 of the quantities, each with its comparator and unit, counted over the corpus; 1: all found, none "
            "invented. Amounts are compared in base units (1.2 m is 1200 mm), comparators after negations and mirrored "
            "comparisons are resolved. NaN if there is no quantity.",
            quantities_of,
        ),
        _fidelity(
            "identifier_fidelity",
            "F1 of the tables, standards and clauses that are cited, counted over the corpus; 1: all found, none "
            "invented. Upper and lower case are the same. NaN if none is cited.",
            references_of,
        ),
        Score(
            "equivalence_rate",
            "equivalent",
            (0, 1),
            "Share of rules that say the same as their reference, whatever their wording, decided by a solver; what it "
            "cannot decide, and what is not a rule, does not count as the same.",
            lambda pairs: pairs.map(_says_the_same),
        ),
    )
}
"""Every score, by name."""

COLUMNS = tuple(score.column for score in SCORES.values())
"""The columns of ``score_rules``."""
