"""CODE-ACCORD: sentences of English and Finnish codes whose words people labelled, to judge our feature categories.

The published labels are ``object``, ``property``, ``quality`` and ``value`` in IOB form. A ``value`` is a figure or
number word with its unit, without the comparator and outside references; what we call number and unit together.
``quality`` (a described state, often with figures inside) has no counterpart among our categories.

Source: Hettiarachchi, H., et al. (2025). CODE-ACCORD: A corpus of building regulatory data for rule generation towards
automatic compliance checking. Scientific Data 12, 170.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError
from compliance_xai.files import read_rows

if TYPE_CHECKING:
    import pandas as pd

COUNTERPARTS = {"value": ("number", "unit"), "object": ("object",), "property": ("property",)}
"""Their labels, and the categories of ours that mean the same."""


@dataclass(frozen=True)
class LabelledSentence:
    """A sentence as its publishers cut it into words, and one label per word (``O`` where there is none)."""

    words: tuple[str, ...]
    labels: tuple[str, ...]


def read_entities(path: Path | str) -> list[LabelledSentence]:
    """Read the published table of labelled sentences (columns ``processed_content`` and ``label``).

    Raises
    ------
    InputError
        If the file is no such table, or a sentence has not one label per word.
    """
    _, rows, _ = read_rows(Path(path), remedy="Run 'compliance-xai corpus fetch code-accord-train', or give the path.")
    sentences = []
    for row in rows:
        words, labels = (tuple(str(row.cells.get(name, "")).split(" ")) for name in ("processed_content", "label"))
        if len(words) != len(labels) or not any(words):
            raise InputError(
                f"{path}, {row.place}",
                expected="columns processed_content and label, with as many labels as words",
                found=f"{len(words)} words and {len(labels)} labels",
                remedy="Take the file as it is published.",
            )
        sentences.append(
            LabelledSentence(words, tuple(label.removeprefix("B-").removeprefix("I-") for label in labels))
        )
    return sentences


def tagged_words(sentence: LabelledSentence, categories: Sequence[str]) -> list[bool]:
    """Which of a sentence's words overlap a feature of one of these categories, in ``segment`` of the whole sentence.

    Examples
    --------
    >>> tagged_words(LabelledSentence(("at", "least", "850", "mm"), ("O", "O", "value", "value")), ["number", "unit"])
    [False, False, True, True]
    """
    starts = [0, *accumulate(len(word) + 1 for word in sentence.words)]
    spans = [(f.start, f.end) for f in segment(" ".join(sentence.words)) if f.category in categories]
    return [
        any(first < start + len(word) and start < last for first, last in spans)
        for start, word in zip(starts, sentence.words, strict=False)
    ]


def measure_agreement(sentences: Sequence[LabelledSentence], *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Precision, recall and F1 of our categories against the labels, word by word.

    Returns
    -------
    pandas.DataFrame
        ``label``; ``words`` that carry it; ``precision``, ``recall``, ``f1`` (0 to 1; NaN where nothing is marked);
        ``low``, ``high``: 95 % percentile interval of F1, bootstrapped over sentences.
    """
    import pandas as pd
    from scipy.stats import bootstrap

    rows = []
    for label, categories in COUNTERPARTS.items():
        hits_S, extra_S, missed_S = np.array([_count(each, label, categories) for each in sentences]).T
        hits, extra, missed = hits_S.sum(), extra_S.sum(), missed_S.sum()
        interval = bootstrap(
            (hits_S, extra_S, missed_S), _f1, paired=True, vectorized=True, n_resamples=resamples, method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
        precision, recall = (hits / n if n else np.nan for n in (hits + extra, hits + missed))
        f1 = _f1(hits_S, extra_S, missed_S)
        rows.append((label, int(hits + missed), precision, recall, f1, interval.low, interval.high))
    columns = ["label", "words", "precision", "recall", "f1", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))


def count_disagreements(sentences: Sequence[LabelledSentence]) -> dict[str, int]:
    """Where our values and theirs part: words only they call a value, and words only we do, by what they are.

    Returns
    -------
    dict
        ``missed without a digit``, ``missed with a digit``; ``extra, theirs a quality``, ``extra, theirs something
        else``.
    """
    names = ("missed without a digit", "missed with a digit", "extra, theirs a quality", "extra, theirs something else")
    counts: dict[str, int] = dict.fromkeys(names, 0)
    for sentence in sentences:
        tagged = tagged_words(sentence, COUNTERPARTS["value"])
        for word, label, ours in zip(sentence.words, sentence.labels, tagged, strict=True):
            if label == "value" and not ours:
                counts[names[any(letter.isdigit() for letter in word)]] += 1
            elif ours and label != "value":
                counts[names[2 + (label != "quality")]] += 1
    return counts


def _count(sentence: LabelledSentence, label: str, categories: Sequence[str]) -> tuple[int, int, int]:
    """Words that we and they mark, only we, only they."""
    ours = np.array(tagged_words(sentence, categories))
    theirs = np.array([each == label for each in sentence.labels])
    return int((ours & theirs).sum()), int((ours & ~theirs).sum()), int((~ours & theirs).sum())


def _f1(hits: np.ndarray, extra: np.ndarray, missed: np.ndarray, axis: int = -1) -> np.ndarray:
    hits, extra, missed = (np.sum(each, axis=axis) for each in (hits, extra, missed))
    return 2 * hits / np.maximum(2 * hits + extra + missed, 1)
