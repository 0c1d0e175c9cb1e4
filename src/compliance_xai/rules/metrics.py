"""Scores of generated rules against their references: one plain function per score, and frames of all of them.

Corpus functions take two lists of equal length and return one value for the corpus, in the range their docstring
gives. ``score_rules`` gives the same scores pair by pair; ``corpus_scores`` computes them through the ``evaluate``
modules that ship with the package (``compliance_xai.rules.measures``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from compliance_xai.rules import scores
from compliance_xai.rules.compare.error_kinds import RuleError, error_kinds
from compliance_xai.rules.scores import (
    Spelling,
    bleu,
    chrf,
    code_bert_score,
    equivalence_rate,
    exact_match,
    identifier_fidelity,
    lrml_f1,
    numeric_fidelity,
    parse_rate,
    semantic_similarity,
    token_edit_distance,
    tree_edit_distance,
)

if TYPE_CHECKING:
    from compliance_xai.rules.code_similarity import CodeEncoder
    from compliance_xai.rules.sentence_encoder import Encoder

__all__ = [
    "COLUMNS",
    "RuleError",
    "Spelling",
    "bleu",
    "chrf",
    "code_bert_score",
    "corpus_scores",
    "equivalence_rate",
    "error_kinds",
    "exact_match",
    "identifier_fidelity",
    "list_errors",
    "list_verdicts",
    "lrml_f1",
    "numeric_fidelity",
    "parse_rate",
    "score_rules",
    "semantic_similarity",
    "token_edit_distance",
    "tree_edit_distance",
]

COLUMNS = (
    "exact",
    "parses",
    "lrml_f1",
    "bleu",
    "chrf",
    "semantic",
    "tree_edit_distance",
    "token_edit_distance",
    "numeric_fidelity",
    "identifier_fidelity",
    "equivalent",
    "code_bert_f1",
    "code_bert_f3",
)
"""The columns of ``score_rules``, in order."""

UNREADABLE = "unreadable"
"""The answer of ``list_verdicts`` where there is nothing to compare."""

ANSWERS = ("equivalent", "stronger", "weaker", "different", "unknown", UNREADABLE)
"""Every answer of ``list_verdicts``."""


def score_rules(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder | str | None = None,
    code_encoder: CodeEncoder | str | None = None,
    spelling: Spelling = "as_written",
) -> pd.DataFrame:
    """Score every pair.

    Parameters
    ----------
    predictions, references
        Generated and reference rules, pair by pair.
    encoder
        A loaded encoder, or what ``load_encoder`` takes; None leaves ``semantic`` empty.
    code_encoder
        A loaded code encoder, or what ``load_code_encoder`` takes; None leaves ``code_bert_f1`` and ``code_bert_f3``
        empty.
    spelling
        What ``lrml_f1`` is computed on; see there.

    Returns
    -------
    pandas.DataFrame
        One row per pair, float64 columns: ``exact`` (0 or 1; equal after canonical ordering), ``parses`` (0 or 1; the
        prediction is a rule), ``lrml_f1`` (0 to 100; F1 of the pair's own precision and recall), ``bleu`` and ``chrf``
        (0 to 100; of the sentence), ``semantic`` (-1 to 1; cosine; NaN without an encoder), ``tree_edit_distance`` and
        ``token_edit_distance`` (0 to 1; 0 is the same), ``numeric_fidelity`` and ``identifier_fidelity`` (0 to 1; NaN
        where neither side has a quantity, or cites anything), ``equivalent`` (0 or 1; says the same), ``code_bert_f1``
        and ``code_bert_f3`` (0 to 1; NaN
        without a code encoder).

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    Notes
    -----
    Corpus values are not the means of these columns for ``lrml_f1`` (F1 of the mean precision and recall), ``bleu``
    and ``chrf`` (statistics summed over the corpus) and the two fidelities (counts summed over the corpus): use
    ``corpus_scores``.
    """
    scores.check_pairs(predictions, references)
    pairs = list(zip(predictions, references, strict=True))
    overlaps = scores.overlaps_of_pairs(predictions, references, spelling)
    sentence_bleu, sentence_chrf = (
        scores.sacrebleu_metric("BLEU", effective_order=True),
        scores.sacrebleu_metric("CHRF"),
    )
    code_P2 = (
        np.full((len(pairs), 2), np.nan)
        if code_encoder is None
        else scores.code_scores_of_pairs(predictions, references, code_encoder)
    )
    columns = {
        "exact": [scores.is_exact(prediction, reference) for prediction, reference in pairs],
        "parses": [scores.parses(prediction) for prediction in predictions],
        "lrml_f1": [scores.f1_of(precision, recall) for precision, recall in overlaps],
        "bleu": [sentence_bleu.sentence_score(prediction, [reference]).score for prediction, reference in pairs],
        "chrf": [sentence_chrf.sentence_score(prediction, [reference]).score for prediction, reference in pairs],
        "semantic": np.nan if encoder is None else scores.cosines_of_pairs(predictions, references, encoder),
        "tree_edit_distance": [scores.tree_distance(*pair) for pair in pairs],
        "token_edit_distance": [scores.token_distance(*pair) for pair in pairs],
        "numeric_fidelity": list(map(scores.share_of, scores.quantity_counts_of_pairs(predictions, references))),
        "identifier_fidelity": list(map(scores.share_of, scores.reference_counts_of_pairs(predictions, references))),
        "equivalent": list(map(scores.says_the_same, scores.verdicts_of_pairs(predictions, references))),
        "code_bert_f1": code_P2[:, 0],
        "code_bert_f3": code_P2[:, 1],
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(pairs)), columns=list(COLUMNS)).astype("float64")


def corpus_scores(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder | str | None = None,
    code_encoder: CodeEncoder | str | None = None,
    spelling: Spelling = "as_written",
) -> dict[str, float]:
    """Score a corpus with every shipped ``evaluate`` module, joined by ``evaluate.combine``.

    Parameters
    ----------
    predictions, references, encoder, code_encoder, spelling
        As in ``score_rules``.

    Returns
    -------
    dict
        ``exact_match``, ``parse_rate`` (0 to 1), ``lrml_precision``, ``lrml_recall``, ``lrml_f1``, ``bleu``, ``chrf``
        (0 to 100), ``tree_edit_distance``, ``token_edit_distance``, ``numeric_fidelity``, ``identifier_fidelity`` (0 to
        1; these two NaN where there is nothing to find), ``equivalence_rate``
        (0 to 1), with an encoder ``semantic_similarity`` (-1 to 1), and with
        a code encoder ``code_bert_f1`` and ``code_bert_f3`` (0 to 1).

    Raises
    ------
    InputError
        As ``score_rules``.
    """
    from compliance_xai.rules.measures import MEASURES, combine_measures

    scores.check_pairs(predictions, references)
    left_out = {"semantic_similarity": encoder is None, "code_bert_score": code_encoder is None}
    names = [name for name in MEASURES if not left_out.get(name)]
    combined = combine_measures(names, encoder=encoder or "minilm", code_encoder=code_encoder, spelling=spelling)
    values = combined.compute(predictions=list(predictions), references=list(references))
    return {name: float(value) for name, value in values.items()}


def list_errors(predictions: Sequence[str], references: Sequence[str]) -> pd.DataFrame:
    """What is wrong with every prediction (``rules.error_kinds``), one row per error.

    Returns
    -------
    pandas.DataFrame
        ``pair`` (int64, position in the lists), ``kind``, ``where``, ``expected``, ``found`` (texts).

    Raises
    ------
    InputError
        As ``score_rules``.
    """
    scores.check_pairs(predictions, references)
    rows = [
        (index, error.kind, error.where, error.expected, error.found)
        for index, pair in enumerate(zip(predictions, references, strict=True))
        for error in error_kinds(*pair)
    ]
    frame = pd.DataFrame(rows, columns=["pair", "kind", "where", "expected", "found"])
    return frame.astype({"pair": "int64"} | dict.fromkeys(("kind", "where", "expected", "found"), "str"))


def list_verdicts(predictions: Sequence[str], references: Sequence[str]) -> pd.DataFrame:
    """How every prediction relates to its reference in logic (``rules.equivalent``), one row per pair.

    Returns
    -------
    pandas.DataFrame
        ``pair`` (int64, position in the lists), ``answer`` (``equivalent``, ``stronger``: the prediction asks more,
        ``weaker``: it asks less, ``different``, ``unknown``, or ``unreadable`` where either is no rule), ``reason`` and
        ``counterexample`` (a building that satisfies one of the two, a the prediction and b the reference; or empty).

    Raises
    ------
    InputError
        As ``score_rules``.
    """
    rows = [
        (index, verdict.answer, verdict.reason, str(verdict.counterexample or ""))
        if verdict
        else (index, UNREADABLE, "One of the two is no rule.", "")
        for index, verdict in enumerate(scores.verdicts_of_pairs(predictions, references))
    ]
    frame = pd.DataFrame(rows, columns=["pair", "answer", "reason", "counterexample"])
    return frame.astype({"pair": "int64"} | dict.fromkeys(("answer", "reason", "counterexample"), "str"))
