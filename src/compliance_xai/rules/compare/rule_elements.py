"""The elements of a written rule with their characters, and which of them are wrong.

An element is what a reviewer would tick off by itself: a deontic word, a comparator, a negation, a number, a unit, a
thing, its property, a reference. Words of the notation that match no word of a clause are not elements.
"""

import itertools
import re
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from compliance_xai.rules.compare.error_kinds import error_kinds
from compliance_xai.rules.notation.parse import tokens
from compliance_xai.rules.notation.tree import COMPARATORS, DEONTICS, Leaf

_NOTATION = frozenset(["building", "requirement", "use", "location"])
"""Names that rules need and clauses rarely say; the synthetic corpus aligns none of them with a word."""
_TOKEN = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+|[^\w\s]")


@dataclass(frozen=True)
class Element:
    """One element of a rule: its kind and its characters, half-open.

    Kinds are ``deontic``, ``comparator``, ``negation``, ``value``, ``unit``, ``object``, ``property``, ``reference``;
    in other notations than the LRML short form, ``value`` (a number) and ``token`` (any other word).
    """

    kind: str
    start: int
    end: int
    text: str


def list_elements(rule: str, notation: str = "lrml") -> list[Element]:
    """The elements of a rule in the order of the text; text that is not a rule is read as far as its words go.
    In another notation (``text``), every number and every word is one.

    >>> [(element.kind, element.text) for element in list_elements("then(obligation(lessThan(door.width,1.2 m)))")]
    [('deontic', 'obligation'), ('comparator', 'lessThan'), ('object', 'door'), ('property', 'width'),
    ('value', '1.2'), ('unit', 'm')]
    """
    if notation == "text":
        tokens_found = (match for match in _TOKEN.finditer(rule) if match[0][0].isalnum())
        return [Element("value" if t[0][0].isdigit() else "token", *t.span(), t[0]) for t in tokens_found]
    found: list[Element] = []
    pieces = [*tokens(rule), ("", len(rule))]
    for (text, start), (following, _) in itertools.pairwise(pieces):
        if text in ("(", ")", ","):
            continue
        if following != "(":
            found += _name_leaf(text, start)
        elif text in _TERMS:
            found.append(Element(_TERMS[text], start, start + len(text), text))
    return found


_TERMS = dict.fromkeys(DEONTICS, "deontic") | dict.fromkeys(COMPARATORS, "comparator") | {"not": "negation"}


def _name_leaf(text: str, start: int) -> list[Element]:
    leaf = Leaf(text)
    if leaf.quantity:
        value, unit = leaf.quantity
        elements = [Element("value", start, start + len(value), value)]
        if unit:
            at = start + len(text) - len(unit)
            elements.append(Element("unit", at, at + len(unit), unit))
        return elements
    if leaf.kind == "reference":
        return [Element("reference", start, start + len(text), text)]
    if leaf.kind != "name":
        return []
    elements, at = [], start
    for place, part in enumerate(leaf.parts):
        if part not in _NOTATION:
            elements.append(Element("property" if place else "object", at, at + len(part), part))
        at += len(part) + 1
    return elements


def mark_wrong(rule: str, reference: str, notation: str = "lrml") -> list[tuple[Element, bool]]:
    """The elements of a generated rule, and whether each is wrong.

    An element is wrong if the fewest edits that make the reference's tokens of the rule's touch it, *and* one of the
    rule's errors (``error_kinds``) has found it or a part that holds it. The first keeps apart a name that is right
    here and wrong there; the second forgives other orders and spellings that say the same. What a rule leaves out has
    no element, so an omission marks none.

    >>> reference = "if(exist(door)),then(obligation(greaterThan(door.width,1200 mm)))"
    >>> marked = mark_wrong("if(exist(door)),then(obligation(lessThan(door.width,900 mm)))", reference)
    >>> [element.text for element, wrong in marked if wrong]
    ['lessThan', '900']
    """
    elements = list_elements(rule, notation)
    if notation == "text":
        touched = _touched(rule, reference)
        return [(element, _touches(element, touched)) for element in elements]
    errors = error_kinds(rule, reference)
    found = [error.found for error in errors if error.found and error.kind != "syntax"]
    if not found:
        return [(element, False) for element in elements]
    touched = _touched(rule, reference)
    return [
        (element, _touches(element, touched) and any(_holds(text, element) for text in found)) for element in elements
    ]


def _touched(rule: str, reference: str) -> list[tuple[int, int]]:
    """Characters of the rule whose tokens the fewest edits replace or delete."""
    spans = [match.span() for match in _TOKEN.finditer(rule)]
    ours, theirs = [rule[a:b] for a, b in spans], _TOKEN.findall(reference)
    edits = Levenshtein.editops(ours, theirs)
    return [spans[edit.src_pos] for edit in edits if edit.tag in ("replace", "delete")]


def _touches(element: Element, spans: list[tuple[int, int]]) -> bool:
    return any(start < element.end and element.start < end for start, end in spans)


def _holds(text: str, element: Element) -> bool:
    """Whether an error's text has the element as a word of its own (``waterSeal`` is not in ``waterSeals``)."""
    return re.search(rf"(?<![\w.]){re.escape(element.text)}(?!\w)|\.{re.escape(element.text)}(?!\w)", text) is not None
