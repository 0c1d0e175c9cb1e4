"""Scores of generated rules against their references: one plain function per score, and frames of all of them.

Corpus functions take two lists of equal length and return one value for the corpus, in the range their docstring
gives. ``score_rules`` gives the same scores pair by pair; ``corpus_scores`` computes them through the ``evaluate``
modules that ship with the package (``compliance_xai.measures``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from compliance_xai import scores
from compliance_xai.scores import Spelling, bleu, chrf, exact_match, lrml_f1, parse_rate, semantic_similarity

if TYPE_CHECKING:
    from compliance_xai.semantic import Encoder

__all__ = [
    "COLUMNS",
    "Spelling",
    "bleu",
    "chrf",
    "corpus_scores",
    "exact_match",
    "lrml_f1",
    "parse_rate",
    "score_rules",
    "semantic_similarity",
]

COLUMNS = ("exact", "parses", "lrml_f1", "bleu", "chrf", "semantic")
"""The columns of ``score_rules``, in order."""


def score_rules(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder | str | None = None,
    spelling: Spelling = "as_written",
) -> pd.DataFrame:
    """Score every pair.

    Parameters
    ----------
    predictions, references
        Generated and reference rules, pair by pair.
    encoder
        A loaded encoder, or what ``load_encoder`` takes; None leaves ``semantic`` empty.
    spelling
        What ``lrml_f1`` is computed on; see there.

    Returns
    -------
    pandas.DataFrame
        One row per pair, float64 columns: ``exact`` (0 or 1; equal after canonical ordering), ``parses`` (0 or 1; the
        prediction is a rule), ``lrml_f1`` (0 to 100; F1 of the pair's own precision and recall), ``bleu`` and ``chrf``
        (0 to 100; of the sentence), ``semantic`` (-1 to 1; cosine; NaN without an encoder).

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    Notes
    -----
    Corpus values are not the means of these columns for ``lrml_f1`` (F1 of the mean precision and recall), ``bleu``
    and ``chrf`` (statistics summed over the corpus): use ``corpus_scores``.
    """
    scores.check_pairs(predictions, references)
    pairs = list(zip(predictions, references, strict=True))
    overlaps = scores.overlaps_of_pairs(predictions, references, spelling)
    sentence_bleu, sentence_chrf = (
        scores.sacrebleu_metric("BLEU", effective_order=True),
        scores.sacrebleu_metric("CHRF"),
    )
    columns = {
        "exact": [scores.is_exact(prediction, reference) for prediction, reference in pairs],
        "parses": [scores.parses(prediction) for prediction in predictions],
        "lrml_f1": [scores.f1_of(precision, recall) for precision, recall in overlaps],
        "bleu": [sentence_bleu.sentence_score(prediction, [reference]).score for prediction, reference in pairs],
        "chrf": [sentence_chrf.sentence_score(prediction, [reference]).score for prediction, reference in pairs],
        "semantic": np.nan if encoder is None else scores.cosines_of_pairs(predictions, references, encoder),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(pairs)), columns=list(COLUMNS)).astype("float64")


def corpus_scores(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder | str | None = None,
    spelling: Spelling = "as_written",
) -> dict[str, float]:
    """Score a corpus with every shipped ``evaluate`` module, joined by ``evaluate.combine``.

    Parameters
    ----------
    predictions, references, encoder, spelling
        As in ``score_rules``.

    Returns
    -------
    dict
        ``exact_match``, ``parse_rate`` (0 to 1), ``lrml_precision``, ``lrml_recall``, ``lrml_f1``, ``bleu``, ``chrf``
        (0 to 100) and, with an encoder, ``semantic_similarity`` (-1 to 1).

    Raises
    ------
    InputError
        As ``score_rules``.
    """
    from compliance_xai.measures import MEASURES, combine_measures

    scores.check_pairs(predictions, references)
    names = [name for name in MEASURES if name != "semantic_similarity" or encoder is not None]
    combined = combine_measures(names, encoder=encoder or "minilm", spelling=spelling)
    values = combined.compute(predictions=list(predictions), references=list(references))
    return {name: float(value) for name, value in values.items()}
