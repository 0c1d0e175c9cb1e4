"""The published LRML F1, pair by pair: how many terms and leaves of one text the other has.

This is a new implementation of the score of Fuchs et al. (2023),
https://github.com/stefan-1992/phd-thesis-supplementary-material, Chapter 8; tests hold it to the published values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

ENTITY_WEIGHT = 2
"""How much an entity (the words of an innermost term) counts, against 1 for a term."""


@dataclass(frozen=True)
class _Element:
    """A term, or (``entity``) an innermost term once more without its name; its words are ``words[start:end]``."""

    name: str
    start: int
    end: int
    entity: bool


@dataclass(frozen=True)
class _Outline:
    """The elements of one text, terms in the order they open and then entities, and all its words in order."""

    elements: list[_Element]
    words: list[str]


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
    wanted = _outline(_without_clue(reference))
    given = _outline(_without_clue(prediction))
    named = [each for each in given.elements if each.name.strip() or each.start < each.end]
    given = _Outline(named, given.words)
    vocabulary = {word: column for column, word in enumerate(sorted(set(wanted.words) & set(given.words)))}
    counts_WV, counts_GV = _bags(wanted, vocabulary), _bags(given, vocabulary)
    return _covered(given, counts_GV, wanted, counts_WV), _covered(wanted, counts_WV, given, counts_GV)


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


def _outline(text: str) -> _Outline:
    """Terms with their words. A term's words are one run of the text's words, so a run is all that is kept."""
    words: list[str] = []
    terms: list[list] = []  # name, start, end, innermost
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
    elements = [_Element(name, start, end, False) for name, start, end, _ in terms]
    entities = [_Element("", start, end, True) for _, start, end, innermost in terms if innermost]
    return _Outline(elements + entities, words)


def _bags(outline: _Outline, vocabulary: dict[str, int]) -> np.ndarray:
    """How often each shared word occurs in each element: int32, elements x vocabulary."""
    columns = np.array([vocabulary.get(word, -1) for word in outline.words], dtype=np.int64)
    counts_EV = np.zeros((len(outline.elements), len(vocabulary)), dtype=np.int32)
    for row, element in enumerate(outline.elements):
        inside = columns[element.start : element.end]
        counts_EV[row] = np.bincount(inside[inside >= 0], minlength=len(vocabulary))
    return counts_EV


def _covered(side: _Outline, counts_SV: np.ndarray, other: _Outline, counts_OV: np.ndarray) -> float:
    """Weighted share of the elements of ``side`` that ``other`` covers, each by its best unused match."""
    unused: dict[str, list[int]] = {}
    for row, element in enumerate(other.elements):
        unused.setdefault(element.name, []).append(row)
    score = 0.0
    for row, element in enumerate(side.elements):
        options = unused.get(element.name)
        if not options or element.start == element.end:
            continue
        shared = np.minimum(counts_SV[row], counts_OV[options]).sum(axis=1)
        best = int(shared.argmax())  # the first of equals, as in the original
        if shared[best] > 0:
            matched = other.elements[options.pop(best)]
            weight = ENTITY_WEIGHT if matched.entity else 1
            score += int(shared[best]) / (element.end - element.start) * weight
    total = len(side.elements) + sum(element.entity for element in side.elements) * (ENTITY_WEIGHT - 1)
    return score / total if total else 0.0
