import pytest

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.rules.compare.rule_elements import list_elements, mark_wrong

REFERENCE = (
    "if(not(is(door.location,garage))),then(obligation(and(greaterThan(door.width,1200 mm),asPer(requirement,c1_2.1))))"
)


def wrong_in(rule, reference=REFERENCE):
    return [(element.kind, element.text) for element, wrong in mark_wrong(rule, reference) if wrong]


def test_elements_of_a_rule_with_their_characters():
    found = list_elements(REFERENCE)
    assert [(element.kind, element.text) for element in found] == [
        ("negation", "not"),
        ("object", "door"),
        ("object", "garage"),
        ("deontic", "obligation"),
        ("comparator", "greaterThan"),
        ("object", "door"),
        ("property", "width"),
        ("value", "1200"),
        ("unit", "mm"),
        ("reference", "c1_2.1"),
    ]
    assert all(REFERENCE[element.start : element.end] == element.text for element in found)


def test_elements_are_what_the_corpus_aligns():
    """Every gold link of the synthetic corpus is an element, but for 'or', which joins elements."""
    for example in load_corpus("synthetic", split="test"):
        texts = [(element.start, element.text) for element in list_elements(example.rule)]
        links = [link for link in example.alignment if link.kind != "alternative"]
        # A link to a property may take the dot before it along.
        starts = [link.start + (example.rule[link.start] == ".") for link in links]
        assert texts == [(start, example.rule[start : link.end]) for start, link in zip(starts, links, strict=True)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1200 mm", "900 mm", [("value", "900")]),
        ("1200 mm", "1200 m", [("unit", "m")]),
        ("greaterThan", "lessThan", [("comparator", "lessThan")]),
        ("obligation", "permission", [("deontic", "permission")]),
        ("garage", "attic", [("object", "attic")]),
        ("greaterThan(door.width", "greaterThan(door.depth", [("property", "depth")]),
        ("greaterThan(door.width", "greaterThan(gate.width", [("object", "gate")]),  # the other door stays right
        ("c1_2.1", "c2_2.1", [("reference", "c2_2.1")]),
        ("1200 mm", "1.2 m", []),  # the same amount
        (",asPer(requirement,c1_2.1)", "", []),  # what is left out has no element
    ],
)
def test_what_is_wrong_is_marked_and_nothing_else(old, new, expected):
    assert old in REFERENCE
    assert wrong_in(REFERENCE.replace(old, new)) == expected


def test_another_order_is_not_wrong():
    first, second = "greaterThan(door.width,1200 mm)", "asPer(requirement,c1_2.1)"
    assert wrong_in(REFERENCE.replace(f"{first},{second}", f"{second},{first}")) == []


def test_an_addition_is_wrong_as_a_whole():
    more = REFERENCE.replace("and(greater", "and(lessThan(gate.depth,5 m),greater")
    assert wrong_in(more) == [
        ("comparator", "lessThan"),
        ("object", "gate"),
        ("property", "depth"),
        ("value", "5"),
        ("unit", "m"),
    ]


@pytest.mark.parametrize("text", ["", "no rule at all", "if(((", "then(obligation(", "5 m"])
def test_text_that_is_no_rule_still_has_its_elements(text):
    assert all(text[element.start : element.end] == element.text for element, _ in mark_wrong(text, REFERENCE))


def test_a_lost_bracket_marks_nothing():
    assert wrong_in(REFERENCE[:-1]) == []
