"""Interpretive features: spans of a clause that a reader recognises, each with one category.

The same spans serve every tokenizer and every model, so attributions can be compared across them. Segmenting only
marks characters; joining features and the gaps between them gives the clause back, whatever it contains.
"""

from __future__ import annotations

import itertools
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from compliance_xai.corpus import lexicons
from compliance_xai.corpus.word_breaks import find_runs, require_spaces
from compliance_xai.errors import InputError, require_choice
from compliance_xai.records import CATEGORIES, Feature

UNITS = ("word", "phrase", "category", "sentence")
BASELINES = ("delete", "mask", "counterfactual")

NEUTRAL_WORD = "it"
"""What the ``mask`` baseline puts in a feature's place: a short word without meaning of its own."""

_LIST_MARKER = re.compile(r"\(?(?:[a-z]{1,2}|[ivx]{1,4}|\d{1,2})\)", re.IGNORECASE)
_CODE_CLAUSE = re.compile(r"[A-Z]\d{1,2}(?:-[A-Z]\d{1,2})?(?:/(?:AS|VM)\d+)?(?:/\d+(?:\.\d+)*)?|[A-Z]/(?:AS|VM)\d+")
_SOLUTION = re.compile(r"[A-Z]\d{0,2}/(?:AS|VM)\d+")
_REFERENCE_ITEM = re.compile(r"\(?[A-Z]{0,3}\d[\w.:/-]*(?:\([A-Za-z0-9]+\))*|[A-Z]|\(?[A-Za-z]{1,3}\)|[ivxIVX]+")
_FRACTION = "¼½¾⅐-⅞"
_DIGITS = rf"(?:\d+(?:[.,'’\s]\d+)*[{_FRACTION}]?|[{_FRACTION}])(?:\^[-−]?\d+|⁻?[⁰¹²³⁴-⁹]+)?"
_NUMBER = re.compile(
    rf"(?P<sign>[≤≥⩽⩾≦≧<>=±~+\-−–]*)(?:[-–]/)?{_DIGITS}(?:(?:[:/x×±–-]|\.\.\.?)-?{_DIGITS})*(?P<unit>[^\d\s{_FRACTION}].*)?"
)
_FEET = re.compile(r"\d+(?:'|′)(?:[-–]?\d+(?:[.,]\d+|[-–]\d+/\d+)?(?:\"|″))?|\d+(?:[.,/]\d+|[-–]\d+/\d+)?(?:\"|″)")
"""Feet and inches: ``6'-8"``, ``6'``, ``3/4"``."""
_SENTENCE_END = re.compile(r"[.!?;][\"'”’)]*\s+(?=[A-Z(]|[a-z]{1,3}\))")
_KEPT_PUNCTUATION = frozenset("%‰§&@#′″")
_UNIT_OPENERS = frozenset(["per", "square", "cubic", "linear"])
_PHRASE_OPENERS = frozenset(["and", "or", "which", "that", "of", "with", "to", "in", "for", "from", "by", "at", "on"])


def segment(clause: str, unit: str = "word", *, vocabulary: Mapping[str, str] | None = None) -> list[Feature]:
    """Cut a clause into features.

    Parameters
    ----------
    clause
        Any text. It is not changed: spans are offsets into it.
    unit
        ``word``: maximal runs of non-space characters without outer punctuation (``1.2``, ``D1/AS1``, ``1:12``,
        ``self-closing`` and the list marker ``b)`` stay whole; punctuation alone is not a feature).
        ``phrase``: words up to the next punctuation, condition, deontic or comparator. ``category``: neighbouring
        words of one category. ``sentence``: sentences and items separated by semicolons.
    vocabulary
        Head words or word groups (lower case, singular) mapped to ``object`` or ``property``; taken before the
        built-in lexicon.

    Returns
    -------
    list of Feature
        In text order, without overlap. A larger unit carries the category that its words share, else ``other``.

    Raises
    ------
    InputError
        If ``unit`` is unknown, or the clause has no spaces between words.

    Examples
    --------
    >>> [(f.text, f.category) for f in segment("4.2.1 Doors shall be not less than 1.2 m wide.")][:4]
    [('4.2.1', 'rule_identifier'), ('Doors', 'object'), ('shall', 'deontic'), ('be', 'other')]
    """
    require_choice("segment, unit", unit, UNITS)
    require_spaces(clause)
    spans = _word_spans(clause)
    texts = [clause[start:end] for start, end in spans]
    gaps = [clause[left:right] for (_, left), (right, _) in itertools.pairwise([*spans, (len(clause), 0)])]
    tags = _tag(texts, gaps, vocabulary or {})
    words = [Feature(start, end, text, tag) for (start, end), text, tag in zip(spans, texts, tags, strict=True)]
    return words if unit == "word" else group(clause, words, unit)


def group(clause: str, words: Sequence[Feature], unit: str) -> list[Feature]:
    """Larger features made of whole words: ``unit`` is ``phrase``, ``category`` or ``sentence`` (see ``segment``).

    Examples
    --------
    >>> clause = "Where a door opens, it shall be 1.2 m wide"
    >>> [feature.text for feature in group(clause, segment(clause), "phrase")]
    ['Where', 'a door opens', 'it', 'shall', 'be 1.2 m', 'wide']
    """
    require_choice("group, unit", unit, _STARTS_NEW, remedy="Choose a unit larger than the word.")
    groups: list[list[Feature]] = []
    for word in words:
        if groups and not _STARTS_NEW[unit](clause, groups[-1][-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return [
        Feature(
            members[0].start, members[-1].end, clause[members[0].start : members[-1].end], _shared_category(members)
        )
        for members in groups
    ]


def perturb(
    clause: str,
    features: Sequence[Feature],
    keep_mask_F: Sequence[bool] | np.ndarray,
    *,
    baseline: str = "delete",
    replacements: Sequence[str] | None = None,
) -> str:
    """Write the clause with some features perturbed.

    Parameters
    ----------
    clause, features
        A clause and features of it, in text order and without overlap.
    keep_mask_F
        One truth value per feature: keep it, or perturb it.
    baseline
        ``delete`` removes the feature and one white-space character (the one before it; at the start of the text the
        one after). ``mask`` puts ``NEUTRAL_WORD`` in its
        place, ``counterfactual`` its replacement.
    replacements
        For ``counterfactual``, one text per feature (see ``counterfactuals.draw_replacements``).

    Returns
    -------
    str
        Equal to ``clause`` if every feature is kept.

    Examples
    --------
    >>> clause = "Where a door, if any, opens"
    >>> perturb(clause, segment(clause), [True, True, False, True, True, True])
    'Where a, if any, opens'
    """
    require_choice("perturb, baseline", baseline, BASELINES)
    keep = np.asarray(keep_mask_F, dtype=bool)
    if keep.shape != (len(features),):
        raise InputError(
            "perturb, keep_mask_F",
            expected=f"one truth value for each of {len(features)} features",
            found=f"an array of shape {keep.shape}",
            remedy="Build the mask from the features that segment gave for this clause.",
        )
    if baseline == "counterfactual" and (replacements is None or len(replacements) != len(features)):
        raise InputError(
            "perturb, baseline 'counterfactual'",
            expected=f"a replacement for each of {len(features)} features",
            found="none" if replacements is None else str(len(replacements)),
            remedy="Draw them with compliance_xai.corpus.counterfactuals.draw_replacements.",
        )
    substitutes = [NEUTRAL_WORD] * len(features) if baseline == "mask" else replacements or [""] * len(features)
    gone, pieces = [False] * len(clause), {}
    for feature, text, kept in zip(features, substitutes, keep, strict=True):
        if not kept:
            gone[feature.start : feature.end] = [True] * (feature.end - feature.start)
            pieces[feature.start] = text
    if baseline == "delete":
        for feature in itertools.compress(features, ~keep):
            _take_space(clause, gone, feature)
        return "".join(itertools.compress(clause, map(operator.not_, gone)))
    return "".join(
        pieces.get(position, "") + ("" if removed else character)
        for position, (character, removed) in enumerate(zip(clause, gone, strict=True))
    )


def _take_space(clause: str, gone: list[bool], feature: Feature) -> None:
    """Mark the space before a feature, or else the one after."""
    before, after = feature.start - 1, feature.end
    if before >= 0 and clause[before].isspace() and not gone[before]:
        gone[before] = True
    elif after < len(clause) and clause[after].isspace():
        gone[after] = True


# --- spans ------------------------------------------------------------------------------------------------------


def _word_spans(clause: str) -> list[tuple[int, int]]:
    spans = []
    for run in find_runs(clause):
        start, end = _trim(clause, *run)
        inches = _FEET.match(clause, start, run[1])
        # A mark after digits may also close a quotation that began before.
        if inches and all(clause.count(mark, 0, start) % 2 == 0 for mark in "'\""):
            end = max(end, inches.end())
        if start < end:
            spans.append((start, end))
    return spans


def _trim(clause: str, start: int, end: int) -> tuple[int, int]:
    """Take outer punctuation off, but not what belongs to the word: ``b)``, ``14(c)``, ``-5``, ``20%``."""
    while start < end and _is_punctuation(clause[start]):
        rest = clause[start:end]
        if re.match(r"[-–][/\d]", rest) or _LIST_MARKER.match(rest):
            break
        start += 1
    while start < end and _is_punctuation(clause[end - 1]):
        rest = clause[start:end]
        unit = _is_known_unit(rest[:-1]) and clause.count("(", 0, start) > clause.count(")", 0, start)
        if rest.endswith(")") and ((_LIST_MARKER.fullmatch(rest) and not unit) or _is_closed(rest)):
            break  # but "(196 mm)" ends in a unit, not in a list marker
        end -= 1
    return start, end


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P") and character not in _KEPT_PUNCTUATION


def _is_closed(text: str) -> bool:
    """Whether the bracket that ends a word was also opened inside it, after its first character: ``14(c)``."""
    return text.count("(") == text.count(")") and not text.startswith("(")


def _breaks(gap: str) -> bool:
    """Whether a gap between two words ends a phrase (it holds more than white space)."""
    return bool(gap.strip())


# --- larger units -----------------------------------------------------------------------------------------------


def _phrase_starts(clause: str, before: Feature, word: Feature) -> bool:
    opens = ("condition", "deontic", "comparator", "negation", "cross_reference")
    changes = word.category != before.category
    return (
        _breaks(clause[before.end : word.start])
        or (changes and word.category in opens)
        or (changes and before.category in ("rule_identifier", "unit", "deontic", "condition"))
        or (word.category == "other" and word.text.lower() in _PHRASE_OPENERS)
    )


def _sentence_starts(clause: str, before: Feature, word: Feature) -> bool:
    """Whether a sentence ends between two words; the pattern sees the word's beginning, but must not end inside it."""
    found = _SENTENCE_END.search(clause, before.end, word.start + 4)
    return found is not None and found.end() <= word.start


_STARTS_NEW: dict[str, Callable[[str, Feature, Feature], bool]] = {
    "phrase": _phrase_starts,
    "category": lambda clause, before, word: (
        word.category != before.category or _breaks(clause[before.end : word.start])
    ),
    "sentence": _sentence_starts,
}


def _shared_category(group: Sequence[Feature]) -> str:
    named = {word.category for word in group} - {"other"}
    return named.pop() if len(named) == 1 else "other"


# --- categories -------------------------------------------------------------------------------------------------


def _tag(texts: list[str], gaps: list[str], vocabulary: Mapping[str, str]) -> list[str]:
    """One category per word, ``gaps`` being what follows each.

    Earlier rules win: a word in a reference is never a number.
    """
    lower = [text.lower() for text in texts]
    joined = [not _breaks(gap) for gap in gaps]
    tags: list[str | None] = [None] * len(texts)
    _tag_leading_identifier(texts, lower, tags)
    _tag_list_numbers(texts, gaps, tags)
    _tag_references(texts, lower, tags)
    _tag_phrases(lower, joined, tags, lexicons.COMPARATORS, "comparator")
    _tag_numbers(texts, lower, tags)
    _tag_phrases(lower, joined, tags, lexicons.COMPARATORS_BEFORE_NUMBER, "comparator", needs_number=True)
    _tag_ranges(lower, tags)
    _tag_phrases(lower, joined, tags, lexicons.CONDITIONS, "condition")
    for index, word in enumerate(lower[1:], start=1):
        if word == "provided" and tags[index] is None and not joined[index - 1]:
            tags[index] = "condition"  # "..., provided the route is clear", but not "shall be provided"
    _tag_phrases(lower, joined, tags, lexicons.DEONTICS, "deontic")
    for index, word in enumerate(lower):
        if tags[index] is None and word in lexicons.NEGATIONS:
            counts = (
                word == "no"
                and gaps[index].startswith(".")
                and index + 1 < len(lower)
                and texts[index + 1][0].isdigit()
            )
            tags[index] = "other" if counts else "negation"  # "No. 8 screws"
    _tag_vocabulary(lower, joined, tags, vocabulary)
    _tag_nouns(texts, lower, joined, tags)
    return [tag if tag in CATEGORIES else "other" for tag in tags]


def _tag_leading_identifier(texts: list[str], lower: list[str], tags: list[str | None]) -> None:
    """The clause's own number: ``4.2.1``, ``D1/4.2.1 b)``, ``Clause 4.2.1``, ``1.4 ... 1.4.3`` before a heading."""
    index = 0
    if len(texts) > 1 and lower[0] in lexicons.REFERENCE_HEADS and _is_identifier(texts[1]):
        tags[0], index = "rule_identifier", 1
    if index < len(texts) and (_is_identifier(texts[index]) or _opens_sentence(texts, index)):
        tags[index] = "rule_identifier"
        index += 1
    while index < len(texts) and _LIST_MARKER.fullmatch(texts[index]) and (index == 0 or tags[index - 1]):
        tags[index] = "rule_identifier"
        index += 1


def _tag_list_numbers(texts: list[str], gaps: list[str], tags: list[str | None]) -> None:
    """Items counted inside a sentence: ``in: 1. showers; 2. saunas``, also with spaces around the punctuation."""
    for index in range(1, len(texts)):
        ratio = gaps[index - 1] == " : " and re.fullmatch(r"[\d.,]+", texts[index - 1])
        begins = gaps[index - 1].rstrip().endswith((":", ";")) and not ratio
        ends = gaps[index].lstrip().startswith((".", ")")) or _LIST_MARKER.fullmatch(texts[index])
        if begins and ends and re.fullmatch(r"\d{1,2}\)?", texts[index]):
            tags[index] = "rule_identifier"


def _is_identifier(text: str) -> bool:
    return bool(
        re.fullmatch(r"\d+(?:\.\d+){2,4}[A-Za-z]?(?:\([a-z0-9]+\))*", text)
        or re.fullmatch(r"[A-Z]{1,3}\d{0,2}[./-]\d+(?:\.\d+)*[A-Za-z]?(?:\([a-z0-9]+\))*", text)
        or (_CODE_CLAUSE.fullmatch(text) and not _SOLUTION.fullmatch(text))
    )


def _opens_sentence(texts: list[str], index: int) -> bool:
    """``1.2 Doors shall`` has an identifier, ``1.2 m wide`` has a number."""
    following = texts[index + 1] if index + 1 < len(texts) else ""
    is_number = re.fullmatch(r"\d+(?:\.\d+)?", texts[index]) is not None
    return is_number and following[:1].isupper() and following.lower() not in lexicons.UNITS


def _tag_references(texts: list[str], lower: list[str], tags: list[str | None]) -> None:
    """``Table 3``, ``Paragraphs 3.7.1 to 3.7.4``, ``NZS 3604:2011``, ``Acceptable Solution C/AS2``, ``F5/AS1``."""
    for index, text in enumerate(texts):
        if tags[index] is not None:
            continue
        if lower[index] in lexicons.REFERENCE_HEADS and _reference_follows(texts, index):
            tags[index] = "cross_reference"
            _tag_reference_items(texts, lower, tags, index + 1)
        elif text.isupper() and lower[index] in lexicons.STANDARD_BODIES:
            tags[index] = "cross_reference"
            _tag_standard_number(texts, lower, tags, index + 1)
        elif _SOLUTION.fullmatch(text):
            tags[index] = "cross_reference"
            _tag_solution_name(lower, tags, index)
        elif _is_grade(lower[index - 1] if index else "", text):
            continue
        elif re.fullmatch(r"[A-Z]\d{1,2}(?:-[A-Z]\d{1,2})?", text) or _is_identifier(text):
            headed = text[0].isdigit() and index + 1 < len(texts) and texts[index + 1][:1].isupper()
            tags[index] = "rule_identifier" if headed else "cross_reference"
    _join_references(lower, tags)


def _is_grade(before: str, text: str) -> bool:
    """``M12`` and ``C16/20`` are sizes and grades, as is what follows ``grade``; not clauses of a code."""
    if re.fullmatch(r"M\d{1,2}(?:x\d+)?|C\d\d(?:/\d\d)?", text):
        return True
    return before in lexicons.GRADES and re.fullmatch(r"[A-Z]{1,3}\d{1,3}", text) is not None


def _join_references(lower: list[str], tags: list[str | None]) -> None:
    """``Table 3 of NZS 3604`` is one reference."""
    for index in range(1, len(lower) - 1):
        if lower[index] in ("of", "in") and tags[index - 1] == "cross_reference" == tags[index + 1]:
            tags[index] = "cross_reference"


def _reference_follows(texts: list[str], index: int) -> bool:
    following = texts[index + 1] if index + 1 < len(texts) else ""
    return bool(following) and (
        following[0].isdigit() or bool(re.fullmatch(r"\(?[A-Z]{1,3}\d*[\w./()-]*|\([a-z]\)", following))
    )


def _tag_reference_items(texts: list[str], lower: list[str], tags: list[str | None], index: int) -> None:
    """The identifiers after a head, with the conjunctions between them (``Tables 20, 21 and 22``)."""
    last = index - 1
    while index < len(texts) and index - last <= 2:
        if _REFERENCE_ITEM.fullmatch(texts[index]):
            tags[last + 1 : index + 1] = ["cross_reference"] * (index - last)
            last = index
        elif lower[index] not in ("and", "or", "to"):
            return
        index += 1


def _tag_standard_number(texts: list[str], lower: list[str], tags: list[str | None], index: int) -> None:
    while index < len(texts) and (
        (texts[index].isupper() and lower[index] in lexicons.STANDARD_BODIES)
        or re.fullmatch(r"[A-Z]{0,2}\d[\w.:/-]*", texts[index])
    ):
        tags[index] = "cross_reference"
        index += 1


def _tag_solution_name(lower: list[str], tags: list[str | None], index: int) -> None:
    for name in (("acceptable", "solution"), ("verification", "method")):
        if tuple(lower[max(0, index - 2) : index]) == name:
            tags[index - 2 : index] = ["cross_reference", "cross_reference"]


def _tag_phrases(
    lower: list[str],
    joined: list[bool],
    tags: list[str | None],
    phrases: Sequence[tuple[str, ...]],
    category: str,
    *,
    needs_number: bool = False,
) -> None:
    """Tag every word of each phrase, longest phrase first; a phrase never spans punctuation."""
    for phrase in phrases:
        size = len(phrase)
        for start in range(len(lower) - size + 1):
            end = start + size
            if tuple(lower[start:end]) != phrase or any(tags[start:end]) or not all(joined[start : end - 1]):
                continue
            if needs_number and not _number_follows(lower, tags, end):
                continue
            tags[start:end] = [category] * size


def _number_follows(lower: list[str], tags: list[str | None], index: int) -> bool:
    while index < len(lower) and lower[index] in ("a", "an", "the", "about", "approximately"):
        index += 1
    return index < len(lower) and tags[index] == "number"


def _tag_ranges(lower: list[str], tags: list[str | None]) -> None:
    """``between 900 mm and 1000 mm``, ``from 5 to 10``: the joining word is part of the comparator."""
    for index, word in enumerate(lower):
        if word not in ("between", "from") or tags[index] != "comparator":
            continue
        joining = "and" if word == "between" else "to"
        for later in range(index + 2, min(index + 5, len(lower) - 1)):
            if lower[later] == joining and tags[later] is None and tags[later + 1] == "number":
                tags[later] = "comparator"
                break


def _tag_numbers(texts: list[str], lower: list[str], tags: list[str | None]) -> None:
    for index, word in enumerate(lower):
        if tags[index] is not None:
            continue
        if word == "one" and _is_pronoun(lower, index):
            continue
        counts = _is_number(texts[index]) or _is_number_word(word) or _is_fire_class(texts, index)
        inside = 0 < index < len(lower) - 1 and tags[index - 1] == "number"
        if counts or (inside and _continues_number(texts, index)):
            tags[index] = "number"
        elif _is_unit(texts, lower, tags, index):
            tags[index] = "unit"


def _is_number_word(word: str) -> bool:
    """``two``, ``thirty-two``, ``two-thirds``."""
    first, *others = word.split("-")
    return first in lexicons.NUMBER_WORDS and all(
        other in lexicons.NUMBER_WORDS or other in lexicons.FRACTION_WORDS for other in others
    )


def _is_pronoun(lower: list[str], index: int) -> bool:
    """``one`` that counts nothing: ``one which``, ``from one wall to another``, ``one above the other``."""
    following = lower[index + 1 : index + 7]
    return following[:1] in (["which"], ["that"], ["who"]) or bool({"another", "other"} & set(following))


def _continues_number(texts: list[str], index: int) -> bool:
    """A word between two parts of a number: ``1 in 12``, ``600 x 600``, ``half a metre``."""
    word, before, after = texts[index].lower(), texts[index - 1].lower(), texts[index + 1]
    return (word in ("in", "x", "×", "by") and _is_number(after) and _is_number(before)) or (
        word in ("a", "an") and before in ("half", "quarter", "third") and after.lower() in lexicons.UNITS
    )


def _is_fire_class(texts: list[str], index: int) -> bool:
    """``EI 30``: letters of a fire-resistance class before its minutes (EN 13501-2)."""
    following = texts[index + 1] if index + 1 < len(texts) else ""
    return texts[index] in lexicons.FIRE_CLASSES and following in lexicons.FIRE_MINUTES


def _is_number(text: str) -> bool:
    if _FEET.fullmatch(text):
        return True
    match = _NUMBER.fullmatch(text)
    if match is None:
        return False
    unit = match["unit"]
    return not unit or _is_known_unit(unit) or _is_compound_unit(unit)


def _is_known_unit(text: str) -> bool:
    return text.lower() in lexicons.UNITS or _spelt(text) in lexicons.UNITS_AFTER_NUMBER


def _spelt(unit: str) -> str:
    """Lower case, but for a single letter, where case tells units apart."""
    return unit if len(unit) == 1 else unit.lower()


def _is_unit(texts: list[str], lower: list[str], tags: list[str | None], index: int) -> bool:
    word = lower[index]
    before = tags[index - 1] if index else None
    following = lower[index + 1] if index + 1 < len(lower) else ""
    if word == "per":
        first = "per" not in lower[max(0, index - 3) : index]
        return before in ("number", "unit") and (_is_divisor(following) or (first and following.isalpha()))
    if index and lower[index - 1] == "per" and before == "unit":
        return word not in lexicons.FUNCTION_WORDS
    if word in lexicons.COUNTED:
        return before == "number" and following == "per"
    if word == "in":  # inches, but not "1 in 12" or "2 in the kitchen"
        return before == "number" and (not following or following in lexicons.AFTER_INCHES)
    if word == "air" and following not in ("change", "changes"):
        return False
    if word in lexicons.UNIT_SYMBOLS or (word in lexicons.UNIT_NAMES and index and lower[index - 1] in _UNIT_OPENERS):
        return True
    spelt = _spelt(texts[index])
    known = word in lexicons.UNIT_NAMES or spelt in lexicons.UNITS_AFTER_NUMBER or _is_compound_unit(texts[index])
    return known and before in ("number", "unit")


def _is_divisor(word: str) -> bool:
    return word in lexicons.UNITS or word in lexicons.COUNTED or word in lexicons.UNITS_AFTER_NUMBER


def _is_compound_unit(text: str) -> bool:
    """``mg/m3``, ``ties/m2``: a quotient whose divisor is a unit; ``l/s·m²``, ``kN·m``: made of units throughout."""
    _, slash, divisor = text.rpartition("/")
    if slash and _is_known_unit(divisor):
        return True
    factors = [re.sub(r"(?<=[A-Za-z])(?:\^?-?[23]|[²³])$", "", factor) for factor in re.split(r"[/·*]", text)]
    return len(factors) > 1 and all(_is_known_unit(factor) for factor in factors)


def _tag_vocabulary(
    lower: list[str], joined: list[bool], tags: list[str | None], vocabulary: Mapping[str, str]
) -> None:
    folded = [_singular(word) for word in lower]
    entries = sorted(vocabulary.items(), key=lambda entry: (-len(entry[0].split()), entry[0]))
    for head, category in entries:
        phrase = tuple(_singular(word) for word in head.lower().split())
        if phrase:
            _tag_phrases(folded, joined, tags, [phrase], category)


def _tag_nouns(texts: list[str], lower: list[str], joined: list[bool], tags: list[str | None]) -> None:
    """Lexicon heads first; then content words before a head, and the noun group after a determiner."""
    for index, word in enumerate(lower):
        if tags[index] is None and word not in lexicons.FUNCTION_WORDS:
            tags[index] = _noun_category(word)
    for index in range(len(lower) - 2, -1, -1):  # right to left, so that a modifier of a modifier follows too
        if (
            tags[index] is None
            and joined[index]
            and tags[index + 1] in ("object", "property")
            and _is_content(texts, index)
        ):
            tags[index] = tags[index + 1]
    for index, word in enumerate(lower):
        if index == 0 or tags[index] is not None or not joined[index - 1] or not _is_content(texts, index):
            continue
        after_determiner = lower[index - 1] in lexicons.DETERMINERS and not word.endswith("ing")
        ends_subject = tags[index - 1] == "object" and _is_followed(lower, tags, index)
        if after_determiner or ends_subject:
            tags[index] = "object"


def _is_followed(lower: list[str], tags: list[str | None], index: int) -> bool:
    """Whether a verb or ``of`` follows, so that the word closes a noun group (``sprinkler heads shall``)."""
    following = lower[index + 1] if index + 1 < len(lower) else ""
    return following in ("is", "are", "has", "have", "of") or (bool(following) and tags[index + 1] == "deontic")


def _noun_category(word: str) -> str | None:
    forms = (word, _singular(word))
    if any(form in lexicons.PROPERTIES for form in forms):
        return "property"
    if any(form in lexicons.OBJECTS for form in forms):
        return "object"
    return None


def _is_content(texts: list[str], index: int) -> bool:
    word = texts[index].lower()
    return word not in lexicons.FUNCTION_WORDS and word[:1].isalpha() and not word.endswith("ly")


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
