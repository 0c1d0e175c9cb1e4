"""Numbers, units, identifiers and comparators as people write them; wrong categories are worse than missing ones."""

import json

import pytest

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError

NAMES = ("number", "unit", "comparator")


def marked(clause, category):
    """Words of a category; a unit may be attached to its number (``900mm``)."""
    wanted = (category, "number") if category == "unit" else (category,)
    return " ".join(feature.text for feature in segment(clause) if feature.category in wanted)


def test_every_sentence_that_was_reported_gets_its_categories(shared_data):
    path = shared_data.parent / "inputs" / "numbers.jsonl"
    if not path.is_file():
        pytest.skip("no shared inputs beside this checkout")
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(cases) == 17
    for case in cases:
        for name in NAMES:
            for text in case.get(name, ()):
                assert text in marked(case["text"], name), (case["text"], name, text)
        features = {feature.text: feature.category for feature in segment(case["text"])}
        for text, category in case.get("not", {}).items():
            assert features[text] != category, (case["text"], text)


@pytest.mark.parametrize(
    ("clause", "category", "words"),
    [
        ("at least 1\u202f200\u00a0mm", "number", "1\u202f200"),
        ("at least 12\u2009500 mm", "number", "12\u2009500"),
        ("a gap of 7¾ inches", "number", "7¾"),
        ("a gap of ⅓ of it", "number", "⅓"),
        ("2.5×10³ N", "number", "2.5×10³"),
        ("a door 6 ft 8 in high", "unit", "6 ft 8 in"),
        ("a rise of 1 in 12 is allowed", "unit", "1 in 12"),
        ("a door 900mm wide", "number", "900mm"),
        ("a load of 9.8kN/m2", "number", "9.8kN/m2"),
        ("a 2-hour rating and a 30-page plan", "number", "2-hour"),
        ("a load of 50 psf or 5 kN·m", "unit", "50 psf 5 kN·m"),
        ("fire resistance REI 120 is needed", "number", "REI 120"),
        ("Tolerance ±5 mm", "number", "±5"),
        ("called 'the 8' here", "number", "8"),
        ("≧5 m", "number", "≧5"),
        ("no fewer than 2", "comparator", "no fewer than"),
        ("a two-storey house", "number", ""),
        ("in: 1. showers; 2. saunas", "rule_identifier", "1 2"),
        ("as in Clause D1", "cross_reference", "Clause D1"),
        ("M12 bolts of grade C16", "cross_reference", ""),
    ],
)
def test_spellings(clause, category, words):
    assert marked(clause, category) == words


def test_a_number_after_a_name_is_not_joined_to_it():
    assert [feature.text for feature in segment("as in Table 3 200 mm wide")][2:5] == ["Table", "3", "200"]


@pytest.mark.parametrize(
    "clause",
    [
        "疏散楼梯的净宽度不应小于1.20米且不应大于",
        "避難階段の有効幅は百二十センチメートル以上とする",
        "ความกว้างของบันไดต้องไม่น้อยกว่า",
        "피난계단의유효너비는백이십센티미터이상",
    ],
)
def test_scripts_without_spaces_are_refused_with_the_reason(clause):
    with pytest.raises(InputError, match=r"expected words separated by spaces, found \d+ characters without one"):
        segment(clause)


@pytest.mark.parametrize("clause", ["The fire door (防火门) shall close", "피난 계단의 유효 너비는 120 cm 이상"])
def test_quoted_terms_and_spaced_korean_are_segmented(clause):
    assert len(segment(clause)) >= 6


@pytest.mark.parametrize("language", ["en", "zh"])
def test_near_duplicates_across_a_split_are_seen_in_every_script(shared_data, language):
    path = shared_data.parent / "inputs" / "tables" / f"near_duplicates_{language}.jsonl"
    if not path.is_file():
        pytest.skip("no shared inputs beside this checkout")
    with pytest.raises(InputError, match=r"near-duplicate clause in train and test: \d+"):
        load_corpus("table", path=path)


def test_clauses_that_people_asked_to_explain(shared_inputs):
    lines = (shared_inputs / "explain_clauses.txt").read_text(encoding="utf-8").splitlines()
    with pytest.raises(InputError, match="expected words separated by spaces"):
        segment(lines[0])
    found = [[f.text for f in segment(line) if f.category in ("number", "unit")] for line in lines[1:]]
    assert found == [["0,90", "m"], ["1 200", "mm"]]
