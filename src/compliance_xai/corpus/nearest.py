"""The training clauses that are most like a clause, and a clause with such examples in front of it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from compliance_xai.records import Example


def find_nearest(train: Sequence[Example], wanted: Sequence[Example], count: int) -> np.ndarray:
    """For each wanted clause, the places of the training clauses that share most words with it, nearest first.

    Cosine of tf-idf vectors of words (scikit-learn's ``TfidfVectorizer`` with its defaults, fitted on the training
    clauses); the first of equally similar clauses counts. Reads no rule. The array is of int, shape (wanted, count),
    with fewer columns if there are fewer training clauses.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    words: Any = TfidfVectorizer().fit([example.clause for example in train])
    known, asked = (words.transform([example.clause for example in side]) for side in (train, wanted))
    similarity = (asked @ known.T).toarray()  # rows have length one, so the product is the cosine
    return np.argsort(-similarity, axis=1, kind="stable")[:, :count]


def put_examples_first(train: Sequence[Example], wanted: Sequence[Example], count: int, template: str) -> list[Example]:
    """The wanted examples, each clause with the nearest training pairs in front of it, the nearest one last.

    Put into ``template``, such a clause reads as ``count`` finished translations and one to be made.

    >>> train, wanted = [Example("a", "a door", "door", "", "")], [Example("b", "no door", "", "", "")]
    >>> put_examples_first(train, wanted, 3, "Clause: {clause} Rule: ")[0].clause
    'a door Rule: door\\n\\nClause: no door'
    """
    before, _, after = template.partition("{clause}")
    shown = []
    for example, places in zip(wanted, find_nearest(train, wanted, count), strict=True):
        pairs = [f"{train[place].clause}{after}{train[place].rule}\n\n{before}" for place in reversed(places)]
        shown.append(dataclasses.replace(example, clause="".join(pairs) + example.clause))
    return shown
