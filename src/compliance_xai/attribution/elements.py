"""What each element of a rule rests on: whether a literal copy rests on the word that spells it, and signals of errors.

Numbers and identifiers that stand in clause and rule alike need no annotator: what was copied is known. How often the
heaviest word is the one that spells the literal is an alignment that every natural corpus has.

A signal of "this element rests on the wrong words" needs the clause, the rule that a model wrote and the model; the
reference rule only tells afterwards which elements were wrong. Every signal is larger where the element is more
suspect. Beside the signals of attribution are those that cost nothing: how unlikely and how unsure the model was while
it wrote, the clause's length, and whether the clause has a word that spells the element at all.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.focus import KEYS, SIGNS, mass, normalised_entropy, read_keys
from compliance_xai.records import Attribution, Feature, attribution_from_row
from compliance_xai.rules.compare.rule_elements import Element, list_elements

LITERALS = ("value", "reference")
"""Kinds of elements that can be literal copies."""

ATTRIBUTION = ("unsupported", "top_elsewhere", "spread", "weak")
BASELINES = ("unlikely", "unsure", "clause_words", "unspelled")
SIGNALS = (*ATTRIBUTION, *BASELINES)

_NUMBER = re.compile(r"\d+(?:[.:/]\d+)*")


def element_frame(rows: Iterable[dict[str, Any]], notation: str = "lrml") -> pd.DataFrame:
    """What each element of each explained rule rests on, all words together; ``notation`` as in ``list_elements``.

    One row per (id, seed, method, baseline, element): ``id, split, seed, method, baseline, element`` (from 0),
    ``kind``, and in nats (float32) ``net, absolute, positive`` (summed over words and the element's tokens);
    ``n_words`` of the clause, ``n_spelling`` (words that spell the literal; 0 for other elements), ``hit`` (1 where the
    word with the largest net score towards the element is such a word; ties share) and ``chance`` (of a random word),
    both NaN where there is no such word or every word is one.
    """
    records = []
    for row in rows:
        attribution = attribution_from_row(row)
        for index, element in enumerate(list_elements(attribution.target, notation)):
            inside_T = attribution.tokens_in(element.start, element.end)
            if inside_T.any():
                keys = read_keys(row, attribution) | {"element": index, "kind": element.kind}
                records.append(keys | _weigh(attribution, element, inside_T))
    columns = [*KEYS, "element", "kind", *SIGNS, "n_words", "n_spelling", "hit", "chance"]
    frame = pd.DataFrame.from_records(records, columns=columns)
    return frame.astype(dict.fromkeys((*SIGNS, "hit", "chance"), np.float32))


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


# --- signals of an error ------------------------------------------------------------------------------------------

_CATEGORIES = {
    "deontic": ("deontic",),
    "comparator": ("comparator", "negation"),
    "negation": ("negation", "condition"),
    "unit": ("unit",),
    "reference": ("rule_identifier", "cross_reference"),
}
_TINY = 1e-9
"""Below this, a probability or an entropy is rounding."""
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_STEM = 4
"""Letters that a word and a part of a name must share to count as the same word in another form."""


def matching_words(element: Element, features: Sequence[Feature]) -> np.ndarray:
    """Which words of the clause an element should rest on, by its kind and spelling alone: bool, shape (features,).

    A number: words with the same value. A name: words that start with the same letters as one of its parts. A unit, a
    deontic word, a comparator, a negation, a reference: words of that category.
    """
    if element.kind == "value":
        return spelled_by(element, [feature.text for feature in features])
    if element.kind in _CATEGORIES:
        return np.array([feature.category in _CATEGORIES[element.kind] for feature in features], dtype=bool)
    parts = [part.lower() for part in _PARTS.findall(element.text)]
    stems = tuple(part[:_STEM] for part in parts)
    return np.array([feature.text.lower().startswith(stems) for feature in features], dtype=bool)


def element_signals(
    attribution: Attribution, element: Element, log_probs_T: np.ndarray, entropies_T: np.ndarray
) -> dict[str, float]:
    """The signals of one element of the rule that an attribution explains.

    Returns
    -------
    dict
        ``unsupported``: share of the positive mass towards the element that is not on ``matching_words`` (0 to 1; 1
        where no word matches or there is no positive mass). ``top_elsewhere``: 1 where the heaviest word is no such
        word. ``spread``: normalised entropy of the mass (0 to 1; NaN without mass). ``weak``: minus the mass per token
        (nats). ``unlikely``: log odds of another token where its least likely token stands. ``unsure``: natural log of
        the largest entropy (nats) of its next-token distributions. Both are logs only to suit a logistic regression;
        their order is that of probability and entropy. ``clause_words``: number of words. ``unspelled``: 1 where no
        word matches.
    """
    inside_T = attribution.tokens_in(element.start, element.end)
    if not inside_T.any():
        return dict.fromkeys(SIGNALS, float("nan"))
    mass_F = mass(attribution.scores[:, inside_T], "positive")
    matching_F = matching_words(element, attribution.features)
    total, least = mass_F.sum(), float(log_probs_T[inside_T].min())
    return {
        "unsupported": float(1 - mass_F[matching_F].sum() / total) if total > 0 else 1.0,
        "top_elsewhere": float(not (total > 0 and matching_F[int(mass_F.argmax())])),
        "spread": normalised_entropy(mass_F),
        "weak": float(-total / inside_T.sum()),
        "unlikely": float(np.log(max(-np.expm1(least), _TINY)) - least),
        "unsure": float(np.log(max(entropies_T[inside_T].max(), _TINY))),
        "clause_words": float(len(mass_F)),
        "unspelled": float(not matching_F.any()),
    }
