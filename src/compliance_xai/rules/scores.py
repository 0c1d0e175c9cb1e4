"""One plain function per score of generated rules, for a whole corpus; ``rules.metrics`` offers them all.

Each takes lists of texts and returns one value, in the range its docstring gives. The ``evaluate`` modules in
``compliance_xai.rules.measures`` call these. Functions that end in ``_of_pairs`` give the values pair by pair.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from compliance_xai.errors import InputError
from compliance_xai.rules.compare.edits import token_distance, tree_distance
from compliance_xai.rules.compare.equivalence import Verdict, equivalent
from compliance_xai.rules.compare.overlap import pair_overlap
from compliance_xai.rules.notation.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.notation.quantities import quantities_of, references_of
from compliance_xai.rules.notation.spelling import expand
from compliance_xai.rules.notation.tolerant import read_tolerant
from compliance_xai.rules.notation.tree import canonical, format_rule

if TYPE_CHECKING:
    from compliance_xai.rules.code_similarity import CodeEncoder
    from compliance_xai.rules.sentence_encoder import Encoder

Spelling = Literal["as_written", "intermediate"]
"""What the LRML F1 is computed on; see ``lrml_f1``."""


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
    return _mean(is_exact, predictions, references)


def equivalence_rate(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Share of predictions that say the same as their reference, whatever their wording; 0 to 1.

    ``rules.equivalent`` decides. What it cannot decide, and what is no rule, does not count as the same.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    Examples
    --------
    >>> reference = "if(exist(stair)),then(obligation(greaterThanEqual(stair.width,1200 mm)))"
    >>> same = "if(exist(stair)),then(prohibition(lessThan(stair.width,1.2 m)))"
    >>> equivalence_rate([same, "exist(stair"], [reference, reference])
    0.5
    """
    return float(np.mean([says_the_same(verdict) for verdict in verdicts_of_pairs(predictions, references)]))


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
    check_pairs(predictions, predictions)
    return float(np.mean([parses(prediction) for prediction in predictions]))


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
    check_pairs(predictions, references)
    return float(sacrebleu_metric("BLEU").corpus_score(list(predictions), [list(references)]).score)


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
    check_pairs(predictions, references)
    return float(sacrebleu_metric("CHRF").corpus_score(list(predictions), [list(references)]).score)


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
    check_pairs(predictions, references)
    return float(np.mean(cosines_of_pairs(predictions, references, encoder)))


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
    check_pairs(predictions, references)
    overlaps = np.array(overlaps_of_pairs(predictions, references, spelling))
    precision, recall = (sum(column) / len(column) for column in overlaps.T.tolist())
    return {"precision": 100 * precision, "recall": 100 * recall, "f1": f1_of(precision, recall)}


def tree_edit_distance(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean normalised edit distance of the rule trees; 0 (the same trees up to order) to 1 (nothing in common).

    Insertions, deletions and renamings of one node cost 1 each. With d edits between trees of m and n nodes the
    distance is 2 d / (m + n + d), which keeps the triangle inequality. Trees are in canonical order, as for
    ``exact_match``, and text that is no rule counts as the nearest rule; where just one side holds no term at all the
    distance is 1.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    Notes
    -----
    Levels below the 60th count as one leaf, and nodes after the thousandth as one edit each: limits for runaway
    generations, far beyond real rules. Sorting by text can part two arguments that differ in their first letters.

    References
    ----------
    Pawlik, M., Augsten, N. (2016). Tree edit distance: robust and memory-efficient. Information Systems 56, 157-173;
    computed by the package apted. Yujian, L., Bo, L. (2007). A normalized Levenshtein distance metric. IEEE TPAMI
    29(6), 1091-1095, for the normalisation (the Steinhaus transform with the empty tree as its base point, so it holds
    for trees as for strings).

    Examples
    --------
    >>> tree_edit_distance(["is(a,b)"], ["is(a,c)"])  # 1 edit, 3 nodes each
    0.2857142857142857
    """
    return _mean(tree_distance, predictions, references)


def token_edit_distance(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean normalised Levenshtein distance of the texts' tokens; 0 (the same tokens) to 1 (none in common).

    A token is a number, a word (camelCase names stay whole) or a sign; spaces do not count, order does. Normalised as
    ``tree_edit_distance``.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    References
    ----------
    Yujian, L., Bo, L. (2007), as above; computed by the package rapidfuzz.

    Examples
    --------
    >>> token_edit_distance(["is(a,b)"], ["is( a, c)"])  # 1 edit, 6 tokens each
    0.15384615384615385
    """
    return _mean(token_distance, predictions, references)


def numeric_fidelity(predictions: Sequence[str], references: Sequence[str]) -> float:
    """F1 of the quantities of a corpus, each with its comparator and unit; 0 to 1, NaN where there is none at all.

    1 means that every quantity of the references was found and none was invented. Amounts are compared in base units
    (``1.2 m`` is ``1200 mm``), comparators after negations and mirrored comparisons are resolved. Each quantity counts
    as often as it stands.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    Examples
    --------
    >>> reference = "and(greaterThanEqual(a.width,1200 mm),lessThan(a.height,2 m))"
    >>> numeric_fidelity(["and(greaterThanEqual(a.width,1.2 m),lessThan(a.height,3 m))"], [reference])
    0.5
    """
    return _corpus_f1(quantity_counts_of_pairs(predictions, references))


def identifier_fidelity(predictions: Sequence[str], references: Sequence[str]) -> float:
    """F1 of the tables, standards and clauses that a corpus cites; 0 to 1, NaN where none is cited at all.

    1 means that every reference was found and none was invented. Capitals do not count; each one counts as often as it
    is cited.

    Raises
    ------
    InputError
        Lists of different or no length, or something that is no string.

    Examples
    --------
    >>> identifier_fidelity(["complyWith(wall,nzs_3604)"], ["complyWith(wall,nzs_4229)"])
    0.0
    """
    return _corpus_f1(reference_counts_of_pairs(predictions, references))


def code_bert_score(
    predictions: Sequence[str], references: Sequence[str], encoder: CodeEncoder | str
) -> dict[str, float]:
    """Token embeddings of any encoder, matched greedily; F1 and F3, each 0 to 1, 1 for the same tokens.

    Precision is the mean over the prediction's tokens of the largest cosine with a token of the reference, recall the
    reverse; F3 weighs recall nine times as much, so it asks first whether anything is missing. A mean of 0 or less
    counts as 0.

    Parameters
    ----------
    predictions, references
        Pair by pair.
    encoder
        A loaded code encoder, or what ``load_code_encoder`` takes: a hub id or a folder.

    Returns
    -------
    dict
        ``f1`` and ``f3``: means over the pairs.

    Raises
    ------
    InputError
        Lists of different or no length, something that is no string, or an encoder that cannot be loaded.

    Notes
    -----
    In the manner of CodeBERTScore, without its weighting by rarity, its context and its choice of tokens: the last
    layer, every token but the special ones. Values are comparable for one encoder only.

    References
    ----------
    Zhou, S. et al. (2023). CodeBERTScore: evaluating code generation with pretrained models of code. EMNLP,
    13921-13937.
    """
    check_pairs(predictions, references)
    f1, f3 = code_scores_of_pairs(predictions, references, encoder).mean(axis=0)
    return {"f1": float(f1), "f3": float(f3)}


def check_pairs(predictions: Sequence[str], references: Sequence[str]) -> None:
    """Refuse lists of different or no length, and anything in them that is no string."""
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


def _mean(score: Callable[[str, str], float], predictions: Sequence[str], references: Sequence[str]) -> float:
    """A pair score's mean over checked pairs."""
    check_pairs(predictions, references)
    return float(np.mean([score(*pair) for pair in zip(predictions, references, strict=True)]))


def is_exact(prediction: str, reference: str) -> bool:
    """Whether one prediction is the reference up to order; see ``exact_match``."""
    if prediction.strip() == reference.strip():
        return True
    try:
        return canonical(parse_rule(prediction)) == canonical(parse_rule(reference))
    except RuleSyntaxError:
        return False


def verdicts_of_pairs(predictions: Sequence[str], references: Sequence[str]) -> list[Verdict | None]:
    """How each prediction (``a``) relates to its reference (``b``) in logic; None where either is no rule."""
    check_pairs(predictions, references)
    return [decide_pair(*pair) for pair in zip(predictions, references, strict=True)]


def says_the_same(verdict: Verdict | None) -> bool:
    """Whether a verdict is ``equivalent``."""
    return verdict is not None and verdict.answer == "equivalent"


@lru_cache(maxsize=10_000)
def decide_pair(prediction: str, reference: str) -> Verdict | None:
    """How a prediction relates to its reference in logic; None where either is no rule. Several scores ask for it."""
    return equivalent(prediction, reference) if parses(prediction) and parses(reference) else None


def parses(text: str) -> bool:
    """Whether the strict reader takes one text."""
    try:
        parse_rule(text)
    except RuleSyntaxError:
        return False
    return True


def sacrebleu_metric(name: str, **settings: bool):
    """``BLEU`` or ``CHRF`` of sacrebleu."""
    from sacrebleu import metrics

    return getattr(metrics, name)(**settings)


def cosines_of_pairs(predictions: Sequence[str], references: Sequence[str], encoder: Encoder | str) -> np.ndarray:
    """float64, shape (pairs,): the cosine of each pair's embeddings."""
    from compliance_xai.rules.sentence_encoder import load_encoder

    loaded = load_encoder(encoder) if isinstance(encoder, str) else encoder
    rows_2ND = loaded.encode([*predictions, *references])  # together, so that equal texts are read once
    rows_PD, rows_RD = np.split(rows_2ND.astype(np.float64), 2)
    return np.clip((rows_PD * rows_RD).sum(axis=1), -1.0, 1.0)


def overlaps_of_pairs(
    predictions: Sequence[str], references: Sequence[str], spelling: Spelling
) -> list[tuple[float, float]]:
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
        pair_overlap(rewrite(prediction), rewrite(reference))
        for prediction, reference in zip(predictions, references, strict=True)
    ]


def _intermediate(text: str) -> str:
    rule = read_tolerant(text).rule
    try:
        return text if rule is None else format_rule(expand(rule))
    except InputError:
        return text


def f1_of(precision: float, recall: float) -> float:
    """Harmonic mean of two shares, times 100; 0 where one of them is."""
    return 0.0 if precision == 0 or recall == 0 else 100 * 2 * precision * recall / (precision + recall)


Counts = tuple[int, int, int]
"""What both sides of a pair have, what the prediction has, what the reference has."""


def quantity_counts_of_pairs(predictions: Sequence[str], references: Sequence[str]) -> list[Counts]:
    """Quantities with their comparators that agree, that the prediction has, and that the reference has."""
    check_pairs(predictions, references)
    return [_agreeing(_quantities(a), _quantities(b)) for a, b in zip(predictions, references, strict=True)]


def reference_counts_of_pairs(predictions: Sequence[str], references: Sequence[str]) -> list[Counts]:
    """Cited references that agree, that the prediction has, and that the reference rule has."""
    check_pairs(predictions, references)
    return [_agreeing(_references(a), _references(b)) for a, b in zip(predictions, references, strict=True)]


def _quantities(text: str) -> Sequence[Hashable]:
    rule = read_tolerant(text).rule
    return quantities_of(rule) if rule else []


def _references(text: str) -> Sequence[Hashable]:
    rule = read_tolerant(text).rule
    return references_of(rule) if rule else []


def _agreeing(given: Sequence[Hashable], wanted: Sequence[Hashable]) -> Counts:
    return (Counter(given) & Counter(wanted)).total(), len(given), len(wanted)


def share_of(counts: Counts) -> float:
    """F1 of one pair, 0 to 1; NaN where neither side has anything."""
    both, given, wanted = counts
    return 2 * both / (given + wanted) if given + wanted else math.nan


def _corpus_f1(counts: Sequence[Counts]) -> float:
    both, given, wanted = (sum(column) for column in zip(*counts, strict=True))
    return share_of((both, given, wanted))


def code_scores_of_pairs(
    predictions: Sequence[str], references: Sequence[str], encoder: CodeEncoder | str
) -> np.ndarray:
    """float64, shape (pairs, 2): F1 and F3 of each pair; see ``code_bert_score``."""
    from compliance_xai.rules.code_similarity import load_code_encoder, match_tokens

    loaded = load_code_encoder(encoder) if isinstance(encoder, str) else encoder
    embedded = loaded.encode([*predictions, *references])
    pairs = zip(embedded[: len(predictions)], embedded[len(predictions) :], strict=True)
    return np.array([match_tokens(*pair) for pair in pairs], dtype=np.float64)
