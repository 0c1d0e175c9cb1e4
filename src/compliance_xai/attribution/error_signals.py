"""Signals of "this element of a rule rests on the wrong words", for rules that models wrote.

A signal needs the clause, the rule that a model wrote and the model; the reference rule only tells afterwards which
elements were wrong. Every signal is larger where the element is more suspect. Beside the signals of attribution are
those that cost nothing: how unlikely and how unsure the model was while it wrote, the clause's length, and whether the
clause has a word that spells the element at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from compliance_xai.attribution.elements import spelled_by
from compliance_xai.attribution.focus import mass, normalised_entropy
from compliance_xai.records import Attribution, Feature
from compliance_xai.rules.compare.rule_elements import Element, mark_wrong

ATTRIBUTION = ("unsupported", "top_elsewhere", "spread", "weak")
BASELINES = ("unlikely", "unsure", "clause_words", "unspelled")
SIGNALS = (*ATTRIBUTION, *BASELINES)

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
    return np.array([any(_same_word(feature.text.lower(), part) for part in parts) for feature in features], dtype=bool)


def _same_word(word: str, part: str) -> bool:
    shared = min(_STEM, len(part))
    return len(word) >= shared and word[:shared] == part[:shared]


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
    inside_T = np.array(
        [t.start < element.end and element.start < t.end for t in attribution.target_tokens], dtype=bool
    )
    if not inside_T.any():
        return dict.fromkeys(SIGNALS, float("nan"))
    mass_F = mass(attribution.scores[:, inside_T], "positive")
    matching_F = matching_words(element, attribution.features)
    total = mass_F.sum()
    return {
        "unsupported": float(1 - mass_F[matching_F].sum() / total) if total > 0 else 1.0,
        "top_elsewhere": float(not (total > 0 and matching_F[int(mass_F.argmax())])),
        "spread": normalised_entropy(mass_F),
        "weak": float(-total / inside_T.sum()),
        "unlikely": _log_odds_against(float(log_probs_T[inside_T].min())),
        "unsure": float(np.log(max(entropies_T[inside_T].max(), _TINY))),
        "clause_words": float(len(mass_F)),
        "unspelled": float(not matching_F.any()),
    }


def _log_odds_against(log_prob: float) -> float:
    return float(np.log(max(-np.expm1(log_prob), _TINY)) - log_prob)


def element_rows(
    attribution: Attribution,
    reference: str,
    log_probs_T: np.ndarray,
    entropies_T: np.ndarray,
    notation: str = "lrml",
) -> list[dict[str, Any]]:
    """Every element of an attributed rule: ``element`` (from 0), ``kind``, ``wrong`` and the ``SIGNALS``."""
    return [
        {"element": index, "kind": element.kind, "wrong": wrong}
        | element_signals(attribution, element, log_probs_T, entropies_T)
        for index, (element, wrong) in enumerate(mark_wrong(attribution.target, reference, notation))
    ]
