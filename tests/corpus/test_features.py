import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compliance_xai.corpus.features import NEUTRAL_WORD, UNITS, perturb, segment
from compliance_xai.errors import InputError
from compliance_xai.records import CATEGORIES

REAL = (
    "D1/4.2.1 b) Doors on an accessible route shall have a clear width of not less than 760 mm, "
    "except where Table 3 applies."
)


def tags(clause, **options):
    return [(feature.text, feature.category) for feature in segment(clause, **options)]


def of(clause, category):
    return [feature.text for feature in segment(clause) if feature.category == category]


def join(clause, features):
    pieces, position = [], 0
    for feature in features:
        pieces += [clause[position : feature.start], feature.text]
        position = feature.end
    return "".join([*pieces, clause[position:]])


@settings(deadline=None)
@given(st.text(), st.sampled_from(UNITS))
@example(REAL, "word")
@example("a\u0301 \u200b\ufeff 1.2\u00a0m — “(b)” 家 \r\n\x1c x", "word")
def test_features_and_gaps_give_the_clause_back(clause, unit):
    features = segment(clause, unit)
    assert join(clause, features) == clause
    for before, after in itertools.pairwise(features):
        assert before.end <= after.start
    for feature in features:
        assert feature.start < feature.end
        assert feature.text == clause[feature.start : feature.end]
        assert feature.text.strip() == feature.text
        assert feature.category in CATEGORIES


@settings(deadline=None)
@given(st.text(alphabet="ab1.,()– \n", max_size=30), st.data())
def test_a_kept_clause_is_untouched_and_a_deleted_word_takes_one_space(clause, data):
    features = segment(clause)
    assert perturb(clause, features, [True] * len(features)) == clause
    assert perturb(clause, features, [True] * len(features), baseline="mask") == clause
    if features:
        index = data.draw(st.integers(0, len(features) - 1))
        keep = [position != index for position in range(len(features))]
        removed = len(clause) - len(perturb(clause, features, keep))
        size = features[index].end - features[index].start
        assert removed in (size, size + 1)
        masked = perturb(clause, features, keep, baseline="mask")
        assert masked == clause[: features[index].start] + NEUTRAL_WORD + clause[features[index].end :]


@settings(deadline=None)
@given(st.text(alphabet="abc ,", max_size=30))
def test_deleting_everything_leaves_no_word(clause):
    features = segment(clause)
    assert segment(perturb(clause, features, [False] * len(features))) == []


def test_the_worked_example():
    assert tags(REAL) == [
        ("D1/4.2.1", "rule_identifier"),
        ("b)", "rule_identifier"),
        ("Doors", "object"),
        ("on", "other"),
        ("an", "other"),
        ("accessible", "object"),
        ("route", "object"),
        ("shall", "deontic"),
        ("have", "other"),
        ("a", "other"),
        ("clear", "property"),
        ("width", "property"),
        ("of", "other"),
        ("not", "comparator"),
        ("less", "comparator"),
        ("than", "comparator"),
        ("760", "number"),
        ("mm", "unit"),
        ("except", "condition"),
        ("where", "condition"),
        ("Table", "cross_reference"),
        ("3", "cross_reference"),
        ("applies", "other"),
    ]


@pytest.mark.parametrize(
    ("clause", "words"),
    [
        ("a self-closing door (see 14(c)).", ["a", "self-closing", "door", "see", "14(c)"]),
        ("a 1:12 ramp – 20% “steep”;", ["a", "1:12", "ramp", "20%", "steep"]),
        ("at -5 °C, i.e. F5/AS1.", ["at", "-5", "°C", "i.e", "F5/AS1"]),
        ("(b) doors and/or 'gates'…", ["(b)", "doors", "and/or", "gates"]),
        (" – ( ) … ", []),
        ("", []),
    ],
)
def test_words_lose_outer_punctuation_and_nothing_else(clause, words):
    assert [feature.text for feature in segment(clause)] == words


@pytest.mark.parametrize(
    ("clause", "category", "words"),
    [
        ("1.4 Calculating loads 1.4.3 Duplication shall be avoided.", "rule_identifier", ["1.4", "1.4.3"]),
        ("Clause 4.2.1 The door shall open.", "rule_identifier", ["Clause", "4.2.1"]),
        ("1.2 m wide doors", "number", ["1.2"]),
        ("1.2 m wide doors", "rule_identifier", []),
        ("Tables 20, 21 and 22 apply.", "cross_reference", ["Tables", "20", "21", "and", "22"]),
        ("as in Paragraphs 3.7.1 to 3.7.4", "cross_reference", ["Paragraphs", "3.7.1", "to", "3.7.4"]),
        ("to NZS 3604:2011 or AS/NZS 1734", "cross_reference", ["NZS", "3604:2011", "AS/NZS", "1734"]),
        ("with Acceptable Solution G13/AS2.", "cross_reference", ["Acceptable", "Solution", "G13/AS2"]),
        ("Table 3 of NZS 3604 applies", "cross_reference", ["Table", "3", "of", "NZS", "3604"]),
        ("part of the building", "cross_reference", []),
        ("shall not exceed 12 m", "comparator", ["not", "exceed"]),
        ("no less than 5% of it", "comparator", ["no", "less", "than"]),
        ("within 5 m of the wall", "comparator", ["within"]),
        ("within the building", "comparator", []),
        ("between 900 mm and 1000 mm", "comparator", ["between", "and"]),
        ("a minimum thickness of 4 mm", "comparator", ["minimum"]),
        ("5 litres per second per person", "unit", ["litres", "per", "second", "per", "person"]),
        ("a gradient of 1 in 20 metres", "number", ["1", "in", "20"]),
        ("a hatch of 600 x 600 mm, half a metre deep", "number", ["600", "x", "600", "half", "a"]),
        ("one or more doors", "number", ["one"]),
        ("from one wall to another", "number", []),
        ("walls of class EI 30", "number", ["EI", "30"]),
        ("rooms: 1. showers; 2) saunas of 3 m", "number", ["3"]),
        ("rooms : 1 . showers ; 2 ) saunas", "rule_identifier", ["1", "2"]),
        ("as in PAS 3621", "cross_reference", ["PAS", "3621"]),
        ("18 dm3/s per m2 or 35 mg/m3", "unit", ["dm3/s", "per", "m2", "mg/m3"]),
        ("four air changes per hour in each air duct", "unit", ["air", "changes", "per", "hour"]),
        ("the water meter of the second storey", "unit", []),
        ("the hours of use in a year", "unit", []),
        ("more than two storeys of 60 persons", "unit", ["storeys"]),
        ("two persons per square metre", "unit", ["persons", "per", "square", "metre"]),
        ("20 litres per second per machine", "unit", ["litres", "per", "second"]),
        ("no fewer than two doors", "number", ["two"]),
        ("shall not have a tap without a trap", "negation", ["not", "without"]),
        ("is required to be, may, cannot", "deontic", ["is", "required", "to", "may", "cannot"]),
        ("shall be provided, provided it is clear", "condition", ["provided"]),
        ("unless sprinklered, or if it is dry", "condition", ["unless", "if"]),
        ("The ventilation rate of a kitchen", "property", ["ventilation", "rate"]),
        ("The ventilation rate of a kitchen", "object", ["kitchen"]),
    ],
)
def test_categories(clause, category, words):
    assert of(clause, category) == words


def test_a_vocabulary_comes_before_the_lexicon():
    clause = "The zorbs of a gully trap"
    assert tags(clause)[-2:] == [("gully", "object"), ("trap", "object")]
    known = tags(clause, vocabulary={"gully trap": "property", "zorb": "object"})
    assert known == [
        ("The", "other"),
        ("zorbs", "object"),
        ("of", "other"),
        ("a", "other"),
        ("gully", "property"),
        ("trap", "property"),
    ]


def test_larger_units_cover_the_words_they_name():
    assert [f.text for f in segment(REAL, "category")][:5] == [
        "D1/4.2.1 b)",
        "Doors",
        "on an",
        "accessible route",
        "shall",
    ]
    phrases = segment(REAL, "phrase")
    assert ("not less than 760 mm", "other") in [(f.text, f.category) for f in phrases]
    sentences = segment("Doors shall open. They shall be 1.2 m wide; b) Gates may too.", "sentence")
    assert [f.text for f in sentences] == ["Doors shall open", "They shall be 1.2 m wide", "b) Gates may too"]


@pytest.mark.parametrize(
    ("clause", "sentences"),
    [
        ("It is 5 m. The door is 1 m wide.", ["It is 5 m", "The door is 1 m wide"]),
        ("Refer to Table 3. Doors open.", ["Refer to Table 3", "Doors open"]),
        ("Walls of group R. Doors open.", ["Walls of group R", "Doors open"]),
        ("Doors open. (Gates may.) A wall", ["Doors open", "Gates may", "A wall"]),
        ("Doors open; b) gates", ["Doors open", "b) gates"]),
    ],
)
def test_a_sentence_ends_after_its_last_word(clause, sentences):
    assert [feature.text for feature in segment(clause, "sentence")] == sentences


@pytest.mark.parametrize(
    ("keep", "delete", "mask"),
    [
        ([0, 1, 1], "wide door", "it wide door"),
        ([1, 0, 1], "A door", "A it door"),
        ([1, 1, 0], "A wide", "A wide it"),
        ([0, 0, 1], "door", "it it door"),
        ([0, 0, 0], "", "it it it"),
    ],
)
def test_perturbing(keep, delete, mask):
    features = segment("A wide door")
    assert perturb("A wide door", features, keep) == delete
    assert perturb("A wide door", features, keep, baseline="mask") == mask


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: segment("a b", "letter"), "segment, unit: expected one of word, .*, found 'letter'"),
        (
            lambda f: perturb("a b", f, [1, 1], baseline="zero"),
            "expected one of delete, mask, counterfactual, found 'zero'",
        ),
        (lambda f: perturb("a b", f, [1]), r"expected one truth value for each of 2 features, found .* shape \(1,\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call(segment("a b"))


def test_gold_spans_of_the_synthetic_corpus_have_the_category_of_their_kind():
    from compliance_xai.corpus.synthetic.build import build_corpus

    expected = {
        "value": "number",
        "unit": "unit",
        "comparator": "comparator",
        "identifier": "rule_identifier",
        "reference": "cross_reference",
        "exception": "condition",
        "negation": "negation",
    }
    hits, total = dict.fromkeys(expected, 0), dict.fromkeys(expected, 0)
    for case in build_corpus(5, {"test": 150, "document": 30}):
        features = segment(case.clause)
        for link in case.alignment:
            if link.kind not in expected:
                continue
            for start, end in link.spans:
                for feature in features:
                    if feature.start < end and start < feature.end:
                        total[link.kind] += 1
                        hits[link.kind] += feature.category == expected[link.kind]
    assert min(total.values()) > 3
    assert {kind: hits[kind] / total[kind] for kind in expected if hits[kind] < 0.97 * total[kind]} == {}
