"""What needs no training: the rule of the most similar training clause, and one rule for every clause.

A model that does no better than these has not learnt to write rules, and how it reads says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compliance_xai.corpus.nearest import find_nearest
from compliance_xai.records import Example

NEAREST, CONSTANT, ANOTHER = "nearest rule", "constant rule", "another rule"


def floor_rules(train: Sequence[Example], wanted: Sequence[Example], *, seed: int = 0) -> dict[str, list[str]]:
    """For every floor, a rule for each wanted clause.

    ``another rule`` is the reference of another wanted clause, drawn at random: what a score gives by chance to a rule
    of the right kind. The other floors read training rules alone.
    """
    order = np.random.default_rng(seed).permutation(len(wanted))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return {
        NEAREST: nearest_rules(train, wanted),
        CONSTANT: [constant_rule(train)] * len(wanted),
        ANOTHER: [wanted[index].rule for index in other],
    }


def nearest_rules(train: Sequence[Example], wanted: Sequence[Example]) -> list[str]:
    """For each wanted clause, the rule of the training clause that shares most words with it (``find_nearest``).

    Examples
    --------
    >>> train = [Example("a", "wide stair", "exist(stair)", "", ""), Example("b", "a door", "exist(door)", "", "")]
    >>> nearest_rules(train, [Example("c", "every stair", "", "", "test")])
    ['exist(stair)']
    """
    return [train[places[0]].rule for places in find_nearest(train, wanted, 1)]


def constant_rule(train: Sequence[Example]) -> str:
    """The training rule that is most like all others: largest mean cosine of tf-idf vectors of the rules' words.

    Examples
    --------
    >>> constant_rule([Example(rule, "", rule, "", "train") for rule in ("is(a,b)", "is(a,c)", "no(x)")])
    'is(a,b)'
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors: Any = TfidfVectorizer(token_pattern=r"\w+").fit_transform([example.rule for example in train])
    mean = np.asarray(vectors.sum(axis=0)).ravel()
    return train[int((vectors @ mean).argmax())].rule
