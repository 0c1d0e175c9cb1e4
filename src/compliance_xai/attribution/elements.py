"""What each element of a rule rests on, and whether a literal copy rests on the word that spells it.

Numbers and identifiers that stand in clause and rule alike need no annotator: what was copied is known. How often the
heaviest word is the one that spells the literal is an alignment that every natural corpus has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.focus import KEYS, SIGNS, mass, read_keys
from compliance_xai.records import Attribution, attribution_from_row
from compliance_xai.rules.compare.rule_elements import Element, list_elements

LITERALS = ("value", "reference")
"""Kinds of elements that can be literal copies."""

_NUMBER = re.compile(r"\d+(?:[.:/]\d+)*")


def element_frame(rows: Iterable[dict[str, Any]], notation: str = "lrml") -> pd.DataFrame:
    """What each element of each explained rule rests on, all words together; ``notation`` as in ``list_elements``.

    Returns
    -------
    pandas.DataFrame
        One row per (id, seed, method, baseline, element): ``id, split, seed, method, baseline, element`` (from 0),
        ``kind``, and in nats (float32) ``net, absolute, positive`` (summed over words and the element's tokens);
        ``n_words`` of the clause, ``n_spelling`` (words that spell the literal; 0 for other elements), ``hit`` (1 where
        the word with the largest net score towards the element is such a word; ties share) and ``chance`` (of a random
        word), both NaN where there is no such word or every word is one.
    """
    records = []
    for row in rows:
        attribution = attribution_from_row(row)
        keys = read_keys(row, attribution)
        for index, element in enumerate(list_elements(attribution.target, notation)):
            inside_T = _tokens_of(attribution, element)
            if inside_T.any():
                records.append(keys | {"element": index, "kind": element.kind} | _weigh(attribution, element, inside_T))
    columns = [*KEYS, "element", "kind", *SIGNS, "n_words", "n_spelling", "hit", "chance"]
    frame = pd.DataFrame.from_records(records, columns=columns)
    return frame.astype(dict.fromkeys((*SIGNS, "hit", "chance"), np.float32))


def _tokens_of(attribution: Attribution, element: Element) -> np.ndarray:
    tokens = attribution.target_tokens
    return np.array([t.start < element.end and element.start < t.end and t.start < t.end for t in tokens], dtype=bool)


def _weigh(attribution: Attribution, element: Element, inside_T: np.ndarray) -> dict[str, Any]:
    scores = attribution.scores[:, inside_T].astype(np.float64)
    found: dict[str, Any] = {sign: float(mass(scores, sign).sum()) for sign in SIGNS} | {"net": float(scores.sum())}
    spelling_F = spelled_by(element, [feature.text for feature in attribution.features])
    count, size = int(spelling_F.sum()), len(spelling_F)
    found |= {"n_words": size, "n_spelling": count, "hit": np.nan, "chance": np.nan}
    if 0 < count < size:
        net_F = scores.sum(axis=1)
        heaviest_F = net_F == net_F.max()
        found |= {"hit": float(spelling_F[heaviest_F].mean()), "chance": count / size}
    return found


def spelled_by(element: Element, words: list[str]) -> np.ndarray:
    """Which words spell a literal: they hold the same number. Bool, shape (words,); none for other elements.

    Examples
    --------
    >>> spelled_by(Element("reference", 0, 8, "nzs_3604"), ["NZS", "3604", "section", "4"]).tolist()
    [False, True, False, False]
    >>> spelled_by(Element("value", 0, 3, "1.2"), ["1.20", "m"]).tolist()
    [True, False]
    """
    if element.kind not in LITERALS:
        return np.zeros(len(words), dtype=bool)
    wanted = {_value(number) for number in _NUMBER.findall(element.text)}
    return np.array([any(_value(n) in wanted for n in _NUMBER.findall(word)) for word in words], dtype=bool)


def _value(number: str) -> float | str:
    try:
        return float(number)
    except ValueError:
        return number
