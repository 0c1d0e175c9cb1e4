"""What a reviewer checks, item by item, with signals of an error: parts of a rule, words of a clause, the rule itself.

The signals of a part are those of ``elements`` and whether the clause says it at all. A word that decides
something (a number, a condition, an exception, a negation) may have been missed where nothing in the rule rests on it.
Nothing here needs a reference rule; ``mark_items`` says afterwards, against one, which items point at an error.
"""

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from compliance_xai.attribution.elements import SIGNALS, element_signals
from compliance_xai.attribution.said_in_clause import find_absent, read_clause
from compliance_xai.records import Attribution
from compliance_xai.rules.compare.error_kinds import error_kinds
from compliance_xai.rules.compare.rule_elements import list_elements, mark_wrong
from compliance_xai.rules.scores import parses

PART, WORD, RULE = "part", "word", "rule"
DECIDING = ("number", "condition", "negation")
"""Categories of words that must leave a trace in the rule."""

ITEM_SIGNALS = (*SIGNALS, "absent", "disputed", "unread", "broken", "unseen", "no_duty")
"""Larger is more suspect; NaN for items that have no such signal. ``absent``: 1 for an amount, unit, comparator or
reference that the clause does not contain. ``disputed``: the share of other models whose rule lacks the part; NaN
without other models. ``unread``: minus the nats by which the word raises the part that rests on it most. Of the rule
as a whole: ``broken`` (1 where it cannot be parsed), ``unseen`` (words of the clause that no training clause has; NaN
where those are not known), ``no_duty`` (1 where no word of the clause obliges, permits, forbids or compares)."""

FLOOR = math.log(2)
"""Nats: a word counts where the part of the rule is at most half as likely without it."""

_LETTERS = re.compile(r"[^\W\d_]+")
_MISSED = ("missing_condition", "missing_exception", "missing_requirement", "missing_reference", "wrong_negation")


def list_items(
    attribution: Attribution,
    log_probs_T: np.ndarray,
    entropies_T: np.ndarray,
    known: Collection[str] = (),
    *,
    others: Sequence[str] = (),
    notation: str = "lrml",
) -> list[dict[str, Any]]:
    """The items of a rule that an attribution by leave-one-out explains.

    Parameters
    ----------
    log_probs_T, entropies_T
        Of the rule's tokens (``models.generation.read_confidence``), nats.
    known
        The words of the training clauses (``list_words``).
    others
        What other models wrote for the clause.

    Returns
    -------
    list of dict
        ``item`` (``part``, ``word`` or ``rule``), ``kind`` (of the element, or the word's category), ``text`` (for the
        rule, the words that no training clause has), ``start, end`` (characters of the rule for parts, of the clause
        for words), ``probability`` (of a part after the clause and the rule up to it), ``words`` (that a part rests on,
        the strongest first, with nats) and ``ITEM_SIGNALS``.
    """
    rule, features = attribution.target, attribution.features
    elements = list_elements(rule, notation)
    absent = find_absent(rule, read_clause(attribution.clause, features), notation)
    theirs = [{(e.kind, e.text) for e in list_elements(other, notation)} for other in others]
    items = []
    for e, gone in zip(elements, absent, strict=True):
        signals = element_signals(attribution, e, log_probs_T, entropies_T) | {"absent": float(gone)}
        signals["disputed"] = sum((e.kind, e.text) not in one for one in theirs) / len(theirs) if theirs else np.nan
        items.append(_item(PART, e.kind, e.text, e.start, e.end, **signals))
    own = [attribution.tokens_in(e.start, e.end) for e in elements]
    towards = [attribution.scores[:, own_T].sum(axis=1) for own_T in own]
    for item, own_T, scores_F in zip(items, own, towards, strict=True):
        item["probability"] = math.exp(float(log_probs_T[own_T].sum()))
        item["words"] = _name_words(attribution, scores_F)
    raised_FE = np.stack(towards or [np.zeros(len(features))], axis=1)  # nats
    items += [
        _item(WORD, f.category, f.text, f.start, f.end, unread=-float(raised_E.max()))
        for f, raised_E in zip(features, raised_FE, strict=True)
        if f.category in DECIDING
    ]
    new = sorted(set(list_words(attribution.clause)).difference(known)) if known else []
    broken = float(not parses(rule)) if notation == "lrml" else float("nan")
    duty = any(f.category in ("deontic", "comparator") for f in features)
    whole = {"broken": broken, "unseen": float(len(new)) if known else np.nan, "no_duty": float(not duty)}
    return [*items, _item(RULE, RULE, ", ".join(new), 0, len(rule), **whole)]


def _item(item: str, kind: str, text: str, start: int, end: int, **signals: float) -> dict[str, Any]:
    place = {"item": item, "kind": kind, "text": text, "start": start, "end": end, "probability": math.nan, "words": ""}
    return place | dict.fromkeys(ITEM_SIGNALS, float("nan")) | signals


def _name_words(attribution: Attribution, scores_F: np.ndarray) -> str:
    order = [index for index in np.argsort(-scores_F, kind="stable") if scores_F[index] >= FLOOR]
    return ", ".join(f"{attribution.features[index].text} {scores_F[index]:.1f}" for index in order[:4])


def list_words(text: str) -> list[str]:
    """Runs of letters, in lower case: what is compared with the words of training clauses."""
    return _LETTERS.findall(text.lower())


def mark_items(items: Sequence[dict[str, Any]], rule: str, reference: str, *, notation: str = "lrml") -> list[bool]:
    """Whether each item of ``list_items`` points at an error of the rule, against its reference.

    A part: whether it is wrong (``rule_elements.mark_wrong``). A number of the clause: whether the reference
    has it and the rule does not. A condition or negation: whether the rule leaves something out, or negates what the
    reference does not. The rule: whether anything is wrong with it.
    """
    if notation == "lrml":
        errors = {error.kind for error in error_kinds(rule, reference)}
    else:
        errors = {"text"} if rule.split() != reference.split() else set()
    parts = iter(wrong for _, wrong in mark_wrong(rule, reference, notation))
    missing = set(re.findall(r"\d+(?:\.\d+)?", reference)) - set(re.findall(r"\d+(?:\.\d+)?", rule))
    marked = []
    for item in items:
        if item["item"] == PART:
            marked.append(next(parts))
        elif item["item"] == RULE:
            marked.append(bool(errors))
        elif item["kind"] == "number":
            marked.append(bool(missing & set(re.findall(r"\d+(?:\.\d+)?", item["text"]))))
        else:
            marked.append(bool(errors & set(_MISSED)))
    return marked
