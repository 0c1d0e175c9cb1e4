"""Scores of generated rules against their references: one plain function per score, and frames of all of them.

Corpus functions take two lists of equal length and return one value for the corpus, in the range their docstring
gives. ``score_rules`` gives the same scores pair by pair; ``corpus_scores`` computes them through the ``evaluate``
modules that ship with the package (``compliance_xai.measures``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from compliance_xai.errors import InputError
from compliance_xai.rules import RuleSyntaxError, canonical, expand, format_rule, parse_rule, read_tolerant

if TYPE_CHECKING:
    from compliance_xai.semantic import Encoder

Spelling = Literal["as_written", "intermediate"]

ENTITY_WEIGHT = 2
"""How much an entity (the words of a leaf term) counts in the LRML F1, against 1 for a term."""

COLUMNS = ("exact", "parses", "lrml_f1", "bleu", "chrf", "semantic")
"""The columns of ``score_rules``, in order."""


def score_rules(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder | str | None = None,
    spelling: Spelling = "as_written",
) -> pd.DataFrame:
    """Score every pair.

    Parameters
    ----------
    predictions, references
        Generated and reference rules, pair by pair.
    encoder
        A loaded encoder, or what ``load_encoder`` takes; None leaves ``semantic`` empty.
    spelling
        What ``lrml_f1`` is computed on; see there.

    Returns
    -------
    pandas.DataFrame
        One row per pair, float64 columns: ``exact`` (0 or 1; equal after canonical ordering), ``parses`` (0 or 1; the
        prediction is a rule), ``lrml_f1`` (0 to 100; F1 of the pair's own precision and recall), ``bleu`` and ``chrf``
        (0 to 100; of the sentence), ``semantic`` (-1 to 1; cosine; NaN without an encoder).

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    Notes
    -----
    Corpus values are not the means of these columns for ``lrml_f1`` (F1 of the mean precision and recall), ``bleu``
    and ``chrf`` (statistics summed over the corpus): use ``corpus_scores``.
    """
    _check_pairs(predictions, references)
    pairs = list(zip(predictions, references, strict=True))
    overlaps = _overlaps(predictions, references, spelling)
    sentence_bleu, sentence_chrf = _sacrebleu("BLEU", effective_order=True), _sacrebleu("CHRF")
    columns = {
        "exact": [_is_exact(prediction, reference) for prediction, reference in pairs],
        "parses": [_parses(prediction) for prediction in predictions],
        "lrml_f1": [_f1(precision, recall) for precision, recall in overlaps],
        "bleu": [sentence_bleu.sentence_score(prediction, [reference]).score for prediction, reference in pairs],
        "chrf": [sentence_chrf.sentence_score(prediction, [reference]).score for prediction, reference in pairs],
        "semantic": np.nan if encoder is None else _cosines(predictions, references, encoder),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(pairs)), columns=list(COLUMNS)).astype("float64")


def corpus_scores(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder | str | None = None,
    spelling: Spelling = "as_written",
) -> dict[str, float]:
    """Score a corpus with every shipped ``evaluate`` module, joined by ``evaluate.combine``.

    Parameters
    ----------
    predictions, references, encoder, spelling
        As in ``score_rules``.

    Returns
    -------
    dict
        ``exact_match``, ``parse_rate`` (0 to 1), ``lrml_precision``, ``lrml_recall``, ``lrml_f1``, ``bleu``, ``chrf``
        (0 to 100) and, with an encoder, ``semantic_similarity`` (-1 to 1).

    Raises
    ------
    InputError
        As ``score_rules``.
    """
    from compliance_xai.measures import MEASURES, combine_measures

    _check_pairs(predictions, references)
    names = [name for name in MEASURES if name != "semantic_similarity" or encoder is not None]
    combined = combine_measures(names, encoder=encoder or "minilm", spelling=spelling)
    scores = combined.compute(predictions=list(predictions), references=list(references))
    return {name: float(value) for name, value in scores.items()}


def exact_match(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Share of predictions that are the reference up to the order of ``and`` and ``or`` arguments; 0 to 1.

    Both sides are read strictly and put into canonical order; layout does not count. Where either side is no rule,
    the two texts must be the same, spaces around them aside.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    Examples
    --------
    >>> exact_match(["and(exist(b),exist(a))", "exist(a"], ["and(exist(a),exist(b))", "exist(a)"])
    0.5
    """
    _check_pairs(predictions, references)
    return float(np.mean([_is_exact(*pair) for pair in zip(predictions, references, strict=True)]))


def parse_rate(predictions: Sequence[str]) -> float:
    """Share of predictions that ``parse_rule`` accepts; 0 to 1.

    Raises
    ------
    InputError
        An empty list, or something that is no string.

    Examples
    --------
    >>> parse_rate(["exist(roof)", "exist(roof", "I cannot help with that."])
    0.3333333333333333
    """
    _check_pairs(predictions, predictions)
    return float(np.mean([_parses(prediction) for prediction in predictions]))


def bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU of sacrebleu with its defaults (4-grams, 13a tokens, exponential smoothing); 0 to 100.

    The tokenizer cuts at brackets and commas and keeps camelCase names whole: a long name that is nearly right
    counts as wrong. ``chrf`` is the complement.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    References
    ----------
    Post, M. (2018). A call for clarity in reporting BLEU scores. WMT, 186-191.
    """
    _check_pairs(predictions, references)
    return float(_sacrebleu("BLEU").corpus_score(list(predictions), [list(references)]).score)


def chrf(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Corpus chrF2 of sacrebleu with its defaults (character 6-grams, beta 2, no words); 0 to 100.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    References
    ----------
    Popović, M. (2015). chrF: character n-gram F-score for automatic MT evaluation. WMT, 392-395.
    """
    _check_pairs(predictions, references)
    return float(_sacrebleu("CHRF").corpus_score(list(predictions), [list(references)]).score)


def semantic_similarity(
    predictions: Sequence[str], references: Sequence[str], *, encoder: Encoder | str = "minilm"
) -> float:
    """Mean cosine of the sentence embeddings of prediction and reference; -1 to 1, 1 for the same text.

    The encoder reads rules as plain text. It was trained on English sentences, so two rules that differ in a single
    number stay close to 1: read it beside ``exact_match`` and ``lrml_f1``, never alone.

    Parameters
    ----------
    predictions, references
        Pair by pair.
    encoder
        A loaded encoder, or what ``load_encoder`` takes.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    References
    ----------
    Reimers, N., Gurevych, I. (2019). Sentence-BERT. EMNLP, 3982-3992.
    """
    _check_pairs(predictions, references)
    return float(np.mean(_cosines(predictions, references, encoder)))


def lrml_f1(
    predictions: Sequence[str], references: Sequence[str], *, spelling: Spelling = "as_written"
) -> dict[str, float]:
    """The published LRML F1: how many terms and leaves of the reference the prediction has, and the reverse.

    Brackets open and close terms; commas vanish; what is open at the end is closed. A term is its name and the bag of
    words below it; every innermost term counts once more, nameless, as an *entity* of weight 2. Each element of one
    side takes the still unused element of the same name on the other side with which it shares most words, and scores
    shared / own words. Recall walks the reference's elements, precision the prediction's; both are means over pairs,
    and F1 is their harmonic mean.

    Parameters
    ----------
    predictions, references
        Pair by pair.
    spelling
        ``as_written`` scores the texts as they are, as the published code does. ``intermediate`` reads both sides
        (tolerantly) and expands them first, which is what the published values for compact rules are computed on; a
        text without a term, or with more copies than ``rules.spelling.LIMIT``, is scored as written.

    Returns
    -------
    dict
        ``precision``, ``recall`` and ``f1``, each 0 to 100 for ordinary rules.

    Raises
    ------
    InputError
        Lists of different or no length, something that is no string, or an unknown spelling.

    Notes
    -----
    Kept from the original, because published values depend on them: the first character of a text goes, or, where a
    colon stands within the first 30 characters, all up to the character after it; names compare with their spaces, so
    ``if( is(`` and ``if(is(`` share little; dropping commas joins the words of tight text, so that ``has(wall,door)``
    has the one word ``walldoor``, which is why compact rules are better scored in the intermediate spelling; ``then``
    without a space before it closes all that is open; terms without name and words count in the reference alone. A
    nameless bracket that holds no bracket can be matched with an entity, which takes a score over 100 on odd texts.

    References
    ----------
    Fuchs, S. et al. (2023), https://github.com/stefan-1992/phd-thesis-supplementary-material, Chapter 8. This is our
    own writing of the score; the tests hold it to the published values.

    Examples
    --------
    >>> lrml_f1(["if( a( wall))"], ["if( a( wall door))"])
    {'precision': 100.0, 'recall': 50.0, 'f1': 66.66666666666667}
    """
    _check_pairs(predictions, references)
    overlaps = np.array(_overlaps(predictions, references, spelling))
    precision, recall = (sum(column) / len(column) for column in overlaps.T.tolist())
    return {"precision": 100 * precision, "recall": 100 * recall, "f1": _f1(precision, recall)}


def _check_pairs(predictions: Sequence[str], references: Sequence[str]) -> None:
    for name, texts in (("predictions", predictions), ("references", references)):
        if isinstance(texts, str):
            raise InputError(name, expected="a list of strings", found="one string", remedy="Put the text into a list.")
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(
                    f"{name}, row {row}",
                    expected="a string",
                    found=type(text).__name__,
                    remedy="Replace missing rules with an empty string.",
                )
    if len(predictions) != len(references) or not len(references):
        raise InputError(
            "predictions and references",
            expected="lists of the same length, at least 1",
            found=f"{len(predictions)} and {len(references)}",
            remedy="Give one reference per prediction.",
        )


def _is_exact(prediction: str, reference: str) -> bool:
    if prediction.strip() == reference.strip():
        return True
    try:
        return canonical(parse_rule(prediction)) == canonical(parse_rule(reference))
    except RuleSyntaxError:
        return False


def _parses(text: str) -> bool:
    try:
        parse_rule(text)
    except RuleSyntaxError:
        return False
    return True


def _sacrebleu(name: str, **settings: bool):
    from sacrebleu import metrics

    return getattr(metrics, name)(**settings)


def _cosines(predictions: Sequence[str], references: Sequence[str], encoder: Encoder | str) -> np.ndarray:
    from compliance_xai.semantic import load_encoder

    loaded = load_encoder(encoder) if isinstance(encoder, str) else encoder
    rows_2ND = loaded.encode([*predictions, *references])  # together, so that equal texts are read once
    rows_PD, rows_RD = np.split(rows_2ND.astype(np.float64), 2)
    return np.clip((rows_PD * rows_RD).sum(axis=1), -1.0, 1.0)


# ---- LRML F1 -------------------------------------------------------------------------------------------------------


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


def _overlaps(predictions: Sequence[str], references: Sequence[str], spelling: Spelling) -> list[tuple[float, float]]:
    """Precision and recall of each pair, 0 to 1."""
    if spelling not in ("as_written", "intermediate"):
        raise InputError(
            "spelling",
            expected="'as_written' or 'intermediate'",
            found=repr(spelling),
            remedy="Choose one of the two.",
        )
    rewrite = _intermediate if spelling == "intermediate" else str
    return [
        _pair_overlap(rewrite(prediction), rewrite(reference))
        for prediction, reference in zip(predictions, references, strict=True)
    ]


def _intermediate(text: str) -> str:
    rule = read_tolerant(text).rule
    try:
        return text if rule is None else format_rule(expand(rule))
    except InputError:
        return text


def _pair_overlap(prediction: str, reference: str) -> tuple[float, float]:
    wanted = _outline(_without_clue(reference))
    given = _outline(_without_clue(prediction))
    named = [each for each in given.elements if each.name.strip() or each.start < each.end]
    given = _Outline(named, given.words)
    vocabulary = {word: column for column, word in enumerate(sorted(set(wanted.words) & set(given.words)))}
    counts_WV, counts_GV = _bags(wanted, vocabulary), _bags(given, vocabulary)
    return _covered(given, counts_GV, wanted, counts_WV), _covered(wanted, counts_WV, given, counts_GV)


def _without_clue(text: str) -> str:
    # The original drops a leading "clue: " this way. Where there is no colon, find() is -1 and one character goes.
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
    """How often each shared word stands in each element: int32, elements x vocabulary."""
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


def _f1(precision: float, recall: float) -> float:
    return 0.0 if precision == 0 or recall == 0 else 100 * 2 * precision * recall / (precision + recall)
