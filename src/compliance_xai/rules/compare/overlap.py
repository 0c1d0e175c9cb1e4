"""The published LRML F1, pair by pair: how many terms and leaves of one text the other has.

This is a new implementation of the score of Fuchs et al. (2023),
https://github.com/stefan-1992/phd-thesis-supplementary-material, Chapter 8; tests hold it to the published values.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

ENTITY_WEIGHT = 2
"""How much an entity (the words of an innermost term) counts, against 1 for a term."""


class _Element(NamedTuple):
    """A term, or (``entity``) an innermost term once more without its name, and the words below it."""

    name: str
    words: Counter[str]
    entity: bool


def pair_overlap(prediction: str, reference: str) -> tuple[float, float]:
    """Precision and recall of one pair, 0 to 1 for ordinary rules.

    Brackets open and close terms; commas are dropped; what is open at the end is closed. A term is its name and the bag
    of words below it; every innermost term counts once more, without a name, as an *entity* of weight 2. Each element
    of one side takes the still unused element of the same name on the other side with which it shares most words, and
    scores shared / own words. Recall goes through the elements of the reference, precision through those of the
    prediction.

    Notes
    -----
    Kept from the original, because published values depend on them: the first character of a text is dropped, or, if
    there is a colon within the first 30 characters, everything up to the character after it; names are compared with
    their spaces, so ``if( is(`` and ``if(is(`` share little; dropping commas joins the words of tight text, so that
    ``has(wall,door)`` has the one word ``walldoor``, which is why compact rules are better scored in the intermediate
    spelling; ``then`` without a space before it closes all that is open; terms without name and words count in the
    reference alone. A nameless bracket that holds no bracket can be matched with an entity, which gives scores over 1
    on odd texts.

    Examples
    --------
    >>> pair_overlap("if( a( wall))", "if( a( wall door))")
    (1.0, 0.5)
    """
    wanted, given = _outline(_without_clue(reference)), _outline(_without_clue(prediction))
    given = [each for each in given if each.name.strip() or each.words]
    return _covered(given, wanted), _covered(wanted, given)


def _without_clue(text: str) -> str:
    # The original drops a leading "clue: " this way. Without a colon, find() is -1 and one character goes.
    colon = text.find(":")
    return text[colon + 2 :] if colon < 30 else text


_JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z%])")
_DIGIT_LETTER = re.compile(r"(?<=[0-9])(?=[a-z])")
_DOT = re.compile(r"(?<=[a-z])\.(?=[a-z])")


def _split_words(text: str) -> list[str]:
    """Lower-case words, cut in camelCase, behind digits, at underscores and at dots between letters.

    Cut at single spaces after two passes over double ones, as in the original: odd spacing leaves empty words, which
    count.
    """
    text = _JOINT.sub(" ", text.replace("_", " _ ")).lower().replace("  ", " ")
    text = _DIGIT_LETTER.sub(" ", text).replace("  ", " ")
    return _DOT.sub(" ", text.replace(" k n ", " kn ")).replace(" _ ", " ").split(" ")


_BRACKET = re.compile(r"[()]")


def _outline(text: str) -> list[_Element]:
    """The elements of a text: terms in the order they open, then entities."""
    words: list[str] = []
    terms: list[list] = []  # name, start and end in the words, innermost
    stack: list[int] = []
    current = ""

    def close() -> None:
        terms[stack.pop()][2] = len(words)

    last = 0
    for match in _BRACKET.finditer(text):
        current += text[last : match.start()].replace(",", "")
        last = match.end()
        if match.group() == "(":
            if current == "then":
                while stack:
                    close()
            if stack:
                terms[stack[-1]][3] = False
            stack.append(len(terms))
            terms.append([current, len(words), len(words), True])
            current = ""
        elif stack:
            current = current.strip()
            if current:
                words.extend(_split_words(current))
            current = ""
            close()
    while stack:
        close()
    elements = [(name, Counter(words[start:end]), innermost) for name, start, end, innermost in terms]
    return [
        *(_Element(name, bag, False) for name, bag, _ in elements),
        *(_Element("", bag, True) for _, bag, innermost in elements if innermost),
    ]


def _covered(side: list[_Element], other: list[_Element]) -> float:
    """Weighted share of the elements of ``side`` that ``other`` covers, each by its best unused match."""
    unused: dict[str, list[_Element]] = {}
    for element in other:
        unused.setdefault(element.name, []).append(element)
    score = 0.0
    for element in side:
        shared = [(element.words & option.words).total() for option in unused.get(element.name, ())]
        if any(shared):
            best = shared.index(max(shared))  # the first of equals, as in the original
            matched = unused[element.name].pop(best)
            score += shared[best] / element.words.total() * (ENTITY_WEIGHT if matched.entity else 1)
    total = sum(ENTITY_WEIGHT if element.entity else 1 for element in side)
    return score / total if total else 0.0
