"""Interpretive features: spans of a clause that a reader recognises, each with one category.

The same spans serve every tokenizer and every model, so attributions can be compared across them. Segmenting only
marks characters; joining features and the gaps between them gives the clause back, whatever it contains.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from compliance_xai.corpus.word_breaks import find_runs, require_spaces
from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import read_package_data
from compliance_xai.records import CATEGORIES, Feature

_TEXTS: dict[str, str] = read_package_data(Path(__file__).with_name("lexicons.yaml"))

WORDS = {name: frozenset(text.split()) for name, text in _TEXTS.items() if "," not in text}
"""Words of building regulations, by the part they play in a requirement; ``lexicons.yaml`` explains the lists."""
WORDS["units"] = WORDS["unit_symbols"] | WORDS["unit_names"]

PHRASES = {
    name: sorted({tuple(phrase.split()) for phrase in text.split(",")}, key=lambda phrase: (-len(phrase), phrase))
    for name, text in _TEXTS.items()
    if "," in text
}
"""Phrases as words, by list, longest first."""

UNITS = ("word", "phrase", "category", "sentence")
BASELINES = ("delete", "mask", "counterfactual")

NEUTRAL_WORD = "it"
"""What the ``mask`` baseline puts in a feature's place: a short word without meaning of its own."""

_LIST_MARKER = re.compile(r"\(?(?:[a-z]{1,2}|[ivx]{1,4}|\d{1,2})\)", re.IGNORECASE)
_CODE_CLAUSE = re.compile(r"[A-Z]\d{1,2}(?:-[A-Z]\d{1,2})?(?:/(?:AS|VM)\d+)?(?:/\d+(?:\.\d+)*)?|[A-Z]/(?:AS|VM)\d+")
_SOLUTION = re.compile(r"[A-Z]\d{0,2}/(?:AS|VM)\d+")
_REFERENCE_ITEM = re.compile(r"\(?[A-Z]{0,3}\d[\w.:/-]*(?:\([A-Za-z0-9]+\))*|[A-Z]|\(?[A-Za-z]{1,3}\)|[ivxIVX]+")
_REFERENCED = re.compile(r"\d|(?:\(?[A-Z]{1,3}\d*[\w./()-]*|\([a-z]\))\Z")
"""The beginning of what a word such as ``Table`` refers to."""
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
    tags = _Tagger(texts, gaps).tag(vocabulary or {})
    words = [Feature(start, end, text, tag) for (start, end), text, tag in zip(spans, texts, tags, strict=True)]
    return words if unit == "word" else group(clause, words, unit)


def group(clause: str, words: Sequence[Feature], unit: str) -> list[Feature]:
    """Larger features made of whole words: ``unit`` is ``phrase``, ``category`` or ``sentence`` (see ``segment``).

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
    larger = []
    for members in groups:
        start, end, named = members[0].start, members[-1].end, {word.category for word in members} - {"other"}
        larger.append(Feature(start, end, clause[start:end], named.pop() if len(named) == 1 else "other"))
    return larger


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
    characters, removed = list(clause), [*itertools.compress(zip(features, substitutes, strict=True), ~keep)]
    for feature, text in removed:
        characters[feature.start : feature.end] = [text, *[""] * (feature.end - feature.start - 1)]
    for feature, _ in removed if baseline == "delete" else ():
        before, after = feature.start - 1, feature.end
        if before >= 0 and characters[before].isspace():
            characters[before] = ""
        elif after < len(clause) and clause[after].isspace():
            characters[after] = ""
    return "".join(characters)


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
        # Whether the bracket that ends a word was also opened inside it, after its first character: "14(c)".
        closed = rest.count("(") == rest.count(")") and not rest.startswith("(")
        if rest.endswith(")") and ((_LIST_MARKER.fullmatch(rest) and not unit) or closed):
            break  # but "(196 mm)" ends in a unit, not in a list marker
        end -= 1
    return start, end


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P") and character not in _KEPT_PUNCTUATION


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


# --- categories -------------------------------------------------------------------------------------------------


class _Tagger:
    """One category per word; ``gaps`` are what follows each.

    Earlier rules win: a word in a reference is never a number.
    """

    def __init__(self, texts: list[str], gaps: list[str]) -> None:
        self.texts, self.gaps = texts, gaps
        self.lower = [text.lower() for text in texts]
        self.joined = [not _breaks(gap) for gap in gaps]
        self.tags: list[str | None] = [None] * len(texts)

    def tag(self, vocabulary: Mapping[str, str]) -> list[str]:
        self.tag_leading_identifier()
        self.tag_list_numbers()
        self.tag_references()
        self.tag_phrases("comparators", "comparator")
        self.tag_numbers()
        self.tag_phrases("comparators_before_number", "comparator", needs_number=True)
        self.tag_ranges()
        self.tag_phrases("conditions", "condition")
        for index, word in enumerate(self.lower[1:], start=1):
            if word == "provided" and self.tags[index] is None and not self.joined[index - 1]:
                self.tags[index] = "condition"  # "..., provided the route is clear", but not "shall be provided"
        self.tag_phrases("deontics", "deontic")
        for index, word in enumerate(self.lower):
            if self.tags[index] is None and word in WORDS["negations"]:
                counts = word == "no" and self.gaps[index].startswith(".") and self.after(index)[:1].isdigit()
                self.tags[index] = "other" if counts else "negation"  # "No. 8 screws"
        folded = [_singular(word) for word in self.lower]
        for head, category in sorted(vocabulary.items(), key=lambda entry: (-len(entry[0].split()), entry[0])):
            if phrase := tuple(_singular(word) for word in head.lower().split()):
                self.tag_phrase(folded, phrase, category)
        self.tag_nouns()
        return [tag if tag in CATEGORIES else "other" for tag in self.tags]

    def after(self, index: int) -> str:
        """The word that follows; empty at the end."""
        return self.texts[index + 1] if index + 1 < len(self.texts) else ""

    def tag_phrases(self, name: str, category: str, *, needs_number: bool = False) -> None:
        """Tag every word of each phrase of a list, longest phrase first."""
        for phrase in PHRASES[name]:
            self.tag_phrase(self.lower, phrase, category, needs_number=needs_number)

    def tag_phrase(
        self, words: list[str], phrase: tuple[str, ...], category: str, *, needs_number: bool = False
    ) -> None:
        """Tag a phrase wherever it occurs; it never spans punctuation."""
        size = len(phrase)
        for start in range(len(words) - size + 1):
            end = start + size
            if tuple(words[start:end]) != phrase or any(self.tags[start:end]) or not all(self.joined[start : end - 1]):
                continue
            if not needs_number or self.number_follows(end):
                self.tags[start:end] = [category] * size

    def number_follows(self, index: int) -> bool:
        while index < len(self.lower) and self.lower[index] in ("a", "an", "the", "about", "approximately"):
            index += 1
        return index < len(self.lower) and self.tags[index] == "number"

    def tag_ranges(self) -> None:
        """``between 900 mm and 1000 mm``, ``from 5 to 10``: the joining word is part of the comparator."""
        for index, word in enumerate(self.lower):
            if word not in ("between", "from") or self.tags[index] != "comparator":
                continue
            joining = "and" if word == "between" else "to"
            for later in range(index + 2, min(index + 5, len(self.lower) - 1)):
                if self.lower[later] == joining and self.tags[later] is None and self.tags[later + 1] == "number":
                    self.tags[later] = "comparator"
                    break

    # Identifiers and references

    def tag_leading_identifier(self) -> None:
        """The clause's own number: ``4.2.1``, ``D1/4.2.1 b)``, ``Clause 4.2.1``, ``1.4 ... 1.4.3`` before a heading."""
        index = 0
        if len(self.texts) > 1 and self.lower[0] in WORDS["reference_heads"] and _is_identifier(self.texts[1]):
            self.tags[0], index = "rule_identifier", 1
        if index < len(self.texts) and (_is_identifier(self.texts[index]) or self.opens_sentence(index)):
            self.tags[index] = "rule_identifier"
            index += 1
        while (
            index < len(self.texts)
            and _LIST_MARKER.fullmatch(self.texts[index])
            and (index == 0 or self.tags[index - 1])
        ):
            self.tags[index] = "rule_identifier"
            index += 1

    def opens_sentence(self, index: int) -> bool:
        """``1.2 Doors shall`` has an identifier, ``1.2 m wide`` has a number."""
        following = self.after(index)
        is_number = re.fullmatch(r"\d+(?:\.\d+)?", self.texts[index]) is not None
        return is_number and following[:1].isupper() and following.lower() not in WORDS["units"]

    def tag_list_numbers(self) -> None:
        """Items counted inside a sentence: ``in: 1. showers; 2. saunas``, also with spaces around the punctuation."""
        for index in range(1, len(self.texts)):
            text, before, gap = self.texts[index], self.gaps[index - 1], self.gaps[index]
            ratio = before == " : " and re.fullmatch(r"[\d.,]+", self.texts[index - 1])
            begins = before.rstrip().endswith((":", ";")) and not ratio
            ends = gap.lstrip().startswith((".", ")")) or _LIST_MARKER.fullmatch(text)
            if begins and ends and re.fullmatch(r"\d{1,2}\)?", text):
                self.tags[index] = "rule_identifier"

    def tag_references(self) -> None:
        """``Table 3``, ``Paragraphs 3.7.1 to 3.7.4``, ``NZS 3604:2011``, ``Acceptable Solution C/AS2``, ``F5/AS1``."""
        for index, text in enumerate(self.texts):
            following = self.after(index)
            if self.tags[index] is not None:
                continue
            if self.lower[index] in WORDS["reference_heads"] and _REFERENCED.match(following):
                self.tags[index] = "cross_reference"
                self.tag_reference_items(index + 1)
            elif self.is_standard_body(index):
                self.tags[index] = "cross_reference"
                while index + 1 < len(self.texts) and (
                    self.is_standard_body(index + 1) or re.fullmatch(r"[A-Z]{0,2}\d[\w.:/-]*", self.texts[index + 1])
                ):
                    index += 1
                    self.tags[index] = "cross_reference"
            elif _SOLUTION.fullmatch(text):
                self.tags[index] = "cross_reference"
                if self.lower[max(0, index - 2) : index] in (["acceptable", "solution"], ["verification", "method"]):
                    self.tags[index - 2 : index] = ["cross_reference", "cross_reference"]
            elif _is_grade(self.lower[index - 1] if index else "", text):
                continue
            elif re.fullmatch(r"[A-Z]\d{1,2}(?:-[A-Z]\d{1,2})?", text) or _is_identifier(text):
                headed = text[0].isdigit() and following[:1].isupper()
                self.tags[index] = "rule_identifier" if headed else "cross_reference"
        for index in range(1, len(self.lower) - 1):  # "Table 3 of NZS 3604" is one reference
            if self.lower[index] in ("of", "in") and (
                self.tags[index - 1] == "cross_reference" == self.tags[index + 1]
            ):
                self.tags[index] = "cross_reference"

    def is_standard_body(self, index: int) -> bool:
        return self.texts[index].isupper() and self.lower[index] in WORDS["standard_bodies"]

    def tag_reference_items(self, index: int) -> None:
        """The identifiers after a head, with the conjunctions between them (``Tables 20, 21 and 22``)."""
        last = index - 1
        while index < len(self.texts) and index - last <= 2:
            if _REFERENCE_ITEM.fullmatch(self.texts[index]):
                self.tags[last + 1 : index + 1] = ["cross_reference"] * (index - last)
                last = index
            elif self.lower[index] not in ("and", "or", "to"):
                return
            index += 1

    # Numbers and units

    def tag_numbers(self) -> None:
        for index, word in enumerate(self.lower):
            if self.tags[index] is not None or (word == "one" and self.is_pronoun(index)):
                continue
            text, following = self.texts[index], self.after(index)
            # "EI 30": letters of a fire-resistance class before its minutes (EN 13501-2)
            fire_class = text in WORDS["fire_classes"] and following in WORDS["fire_minutes"]
            inside = 0 < index < len(self.lower) - 1 and self.tags[index - 1] == "number"
            if _is_number(text) or _is_number_word(word) or fire_class or (inside and self.continues_number(index)):
                self.tags[index] = "number"
            elif self.is_unit(index):
                self.tags[index] = "unit"

    def is_pronoun(self, index: int) -> bool:
        """``one`` that counts nothing: ``one which``, ``from one wall to another``, ``one above the other``."""
        following = self.lower[index + 1 : index + 7]
        return following[:1] in (["which"], ["that"], ["who"]) or bool({"another", "other"} & set(following))

    def continues_number(self, index: int) -> bool:
        """A word between two parts of a number: ``1 in 12``, ``600 x 600``, ``half a metre``."""
        word, before, after = self.lower[index], self.texts[index - 1], self.texts[index + 1]
        return (word in ("in", "x", "×", "by") and _is_number(after) and _is_number(before.lower())) or (
            word in ("a", "an") and before.lower() in ("half", "quarter", "third") and after.lower() in WORDS["units"]
        )

    def is_unit(self, index: int) -> bool:
        word, following = self.lower[index], self.after(index).lower()
        before = self.tags[index - 1] if index else None
        previous = self.lower[index - 1] if index else ""
        if word == "per":
            first = "per" not in self.lower[max(0, index - 3) : index]
            divisor = any(following in WORDS[name] for name in ("units", "counted", "units_after_number"))
            return before in ("number", "unit") and (divisor or (first and following.isalpha()))
        if previous == "per" and before == "unit":
            return word not in WORDS["function_words"]
        if word in WORDS["counted"]:
            return before == "number" and following == "per"
        if word == "in":  # inches, but not "1 in 12" or "2 in the kitchen"
            return before == "number" and (not following or following in WORDS["after_inches"])
        if word == "air" and following not in ("change", "changes"):
            return False
        if word in WORDS["unit_symbols"] or (word in WORDS["unit_names"] and previous in _UNIT_OPENERS):
            return True
        known = word in WORDS["unit_names"] or _spelt(self.texts[index]) in WORDS["units_after_number"]
        return (known or _is_compound_unit(self.texts[index])) and before in ("number", "unit")

    # Things and properties

    def tag_nouns(self) -> None:
        """Lexicon heads first; then content words before a head, and the noun group after a determiner."""
        for index, word in enumerate(self.lower):
            if self.tags[index] is None and word not in WORDS["function_words"]:
                forms = {word, _singular(word)}
                self.tags[index] = (
                    "property" if forms & WORDS["properties"] else "object" if forms & WORDS["objects"] else None
                )
        for index in range(len(self.lower) - 2, -1, -1):  # right to left, so that a modifier of a modifier follows too
            heads = self.joined[index] and self.tags[index + 1] in ("object", "property")
            if heads and self.is_open(index):
                self.tags[index] = self.tags[index + 1]
        for index in range(1, len(self.lower)):
            if not self.joined[index - 1] or not self.is_open(index):
                continue
            after_determiner = self.lower[index - 1] in WORDS["determiners"] and not self.lower[index].endswith("ing")
            if after_determiner or (self.tags[index - 1] == "object" and self.closes_group(index)):
                self.tags[index] = "object"

    def is_open(self, index: int) -> bool:
        """Whether it is a content word without a category."""
        word = self.lower[index]
        content = word not in WORDS["function_words"] and word[:1].isalpha() and not word.endswith("ly")
        return content and self.tags[index] is None

    def closes_group(self, index: int) -> bool:
        """Whether a verb or ``of`` follows, so that the word closes a noun group (``sprinkler heads shall``)."""
        following = self.after(index).lower()
        verb = following in ("is", "are", "has", "have", "of")
        return verb or (bool(following) and self.tags[index + 1] == "deontic")


def _is_identifier(text: str) -> bool:
    return bool(
        re.fullmatch(r"\d+(?:\.\d+){2,4}[A-Za-z]?(?:\([a-z0-9]+\))*", text)
        or re.fullmatch(r"[A-Z]{1,3}\d{0,2}[./-]\d+(?:\.\d+)*[A-Za-z]?(?:\([a-z0-9]+\))*", text)
        or (_CODE_CLAUSE.fullmatch(text) and not _SOLUTION.fullmatch(text))
    )


def _is_grade(before: str, text: str) -> bool:
    """``M12`` and ``C16/20`` are sizes and grades, as is what follows ``grade``; not clauses of a code."""
    if re.fullmatch(r"M\d{1,2}(?:x\d+)?|C\d\d(?:/\d\d)?", text):
        return True
    return before in WORDS["grades"] and re.fullmatch(r"[A-Z]{1,3}\d{1,3}", text) is not None


def _is_number_word(word: str) -> bool:
    """``two``, ``thirty-two``, ``two-thirds``."""
    first, *others = word.split("-")
    return first in WORDS["number_words"] and all(
        other in WORDS["number_words"] or other in WORDS["fraction_words"] for other in others
    )


def _is_number(text: str) -> bool:
    if _FEET.fullmatch(text):
        return True
    match = _NUMBER.fullmatch(text)
    unit = (match["unit"] or "").lstrip("-‑") if match else ""  # "2-hour"
    return match is not None and (not unit or _is_known_unit(unit) or _is_compound_unit(unit))


def _is_known_unit(text: str) -> bool:
    return text.lower() in WORDS["units"] or _spelt(text) in WORDS["units_after_number"]


def _spelt(unit: str) -> str:
    """Lower case, but for a single letter, where case tells units apart."""
    return unit if len(unit) == 1 else unit.lower()


def _is_compound_unit(text: str) -> bool:
    """``mg/m3``, ``ties/m2``: a quotient whose divisor is a unit; ``l/s·m²``, ``kN·m``: made of units throughout."""
    _, slash, divisor = text.rpartition("/")
    if slash and _is_known_unit(divisor):
        return True
    factors = [re.sub(r"(?<=[A-Za-z])(?:\^?-?[23]|[²³])$", "", factor) for factor in re.split(r"[/·*]", text)]
    return len(factors) > 1 and all(_is_known_unit(factor) for factor in factors)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
