"""The published LRML F1, pair by pair: how many terms and leaves of one text the other has.

This is a new implementation of the score of Fuchs et al. (2023),
https://github.com/stefan-1992/phd-thesis-supplementary-material, Chapter 8; tests hold it to the published values.
"""

import re
from typing import NamedTuple

import numpy as np

ENTITY_WEIGHT = 2
"""How much an entity (the words of an innermost term) counts, against 1 for a term."""


class _Element(NamedTuple):
    """A term, or (``entity``) an innermost term once more without its name, and how often it has each word."""

    name: str
    words_V: np.ndarray
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

    >>> pair_overlap("if( a( wall))", "if( a( wall door))")
    (1.0, 0.5)
    """
    vocabulary: dict[str, int] = {}
    outlines = [_outline(_without_clue(text), vocabulary) for text in (reference, prediction)]
    wanted, given = (_list_elements(*outline, len(vocabulary)) for outline in outlines)
    given = [each for each in given if each.name.strip() or each.words_V.any()]
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


def _outline(text: str, vocabulary: dict[str, int]) -> tuple[list[int], list[list]]:
    """The words of a text, numbered by ``vocabulary``, which grows, and its terms in the order they open."""
    words: list[int] = []
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
                words.extend(vocabulary.setdefault(word, len(vocabulary)) for word in _split_words(current))
            current = ""
            close()
    while stack:
        close()
    return words, terms


def _list_elements(words: list[int], terms: list[list], size: int) -> list[_Element]:
    """Terms, then entities."""
    numbers = np.array(words, dtype=int)
    counts = [np.bincount(numbers[start:end], minlength=size).astype(np.int32) for _, start, end, _ in terms]
    named = [_Element(name, count_V, False) for (name, *_), count_V in zip(terms, counts, strict=True)]
    return named + [_Element("", count_V, True) for (*_, inner), count_V in zip(terms, counts, strict=True) if inner]


def _covered(side: list[_Element], other: list[_Element]) -> float:
    """Weighted share of the elements of ``side`` that ``other`` covers, each by its best unused match."""
    unused: dict[str, list[int]] = {}
    for place, element in enumerate(other):
        unused.setdefault(element.name, []).append(place)
    words_OV = np.array([element.words_V for element in other])
    score = 0.0
    for element in side:
        if places := unused.get(element.name):
            shared = np.minimum(words_OV[places], element.words_V).sum(axis=1)
            best = int(shared.argmax())  # the first of equals, as in the original
            if shared[best]:
                matched = other[places.pop(best)]
                score += int(shared[best]) / int(element.words_V.sum()) * (ENTITY_WEIGHT if matched.entity else 1)
    total = sum(ENTITY_WEIGHT if element.entity else 1 for element in side)
    return score / total if total else 0.0
