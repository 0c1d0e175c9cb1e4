import pytest

from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.description import describe_corpus
from compliance_xai.corpus.features import segment
from compliance_xai.records import CATEGORIES, Example, Link

LINK = (Link("value", 0, 1, ((0, 1),)),)
CORPUS = Corpus(
    "mine",
    (
        Example("t1", "A door shall be 2 m wide.", "if(a),then(b)", "access", "test", LINK, "absent", "decides"),
        Example(
            "a1", "The gutter shall not leak", "if(x y,z),then(not(w))", "roof", "train", LINK, "decides", "absent"
        ),
        Example("a2", "A ramp may be steep", "if(a),then(b)", "access", "train", (), "distracts", "absent"),
        Example("a3", "A stair may be steep", "if(a),then(b)", "access", "train"),
    ),
    "0" * 64,
)


def test_counts_come_in_the_order_of_splits_and_contexts():
    assert describe_corpus(CORPUS)["counts"].to_dict("list") == {
        "split": ["train", "train", "test"],
        "context": ["access", "roof", "access"],
        "clauses": [2, 1, 1],
        "distinct_rules": [1, 1, 1],
        "aligned": [0, 1, 1],
    }


def test_roles_are_counted_where_they_are_known():
    rows = [tuple(row) for row in describe_corpus(CORPUS)["roles"].itertuples(index=False)]
    assert rows == [
        ("train", "identifier_role", "decides", 1),
        ("train", "identifier_role", "distracts", 1),
        ("train", "number_role", "absent", 2),
        ("test", "identifier_role", "absent", 1),
        ("test", "number_role", "decides", 1),
    ]


def test_lengths_count_words_of_clauses_and_atoms_of_rules():
    lengths = describe_corpus(CORPUS)["lengths"].set_index(["id", "text"])
    assert lengths.loc[("a1", "clause"), ["words", "characters"]].tolist() == [5, 25]
    assert lengths.loc[("a1", "rule"), ["words", "characters"]].tolist() == [7, 22]  # if x y z then not w
    assert len(lengths) == 8


def test_categories_are_those_of_the_features():
    categories = describe_corpus(CORPUS)["categories"]
    assert categories.groupby(["split", "context"], sort=False)["category"].apply(tuple).tolist() == [CATEGORIES] * 3
    assert categories.groupby(["split", "context"])["share"].sum().tolist() == pytest.approx([1.0] * 3)
    test = categories[categories["split"] == "test"].set_index("category")["features"]
    assert test.sum() == len(segment(CORPUS.examples[0].clause)) == 7
    assert (test["number"], test["unit"], test["deontic"]) == (1, 1, 1)


def test_a_clause_without_features_has_no_shares():
    corpus = Corpus("dashes", (Example("a", "-- --", "r", "x", "train"),), "0" * 64)
    categories = describe_corpus(corpus)["categories"]
    assert categories["features"].sum() == 0
    assert categories["share"].isna().all()


def test_examples_are_the_first_of_each_split_and_context():
    assert describe_corpus(CORPUS)["shown"]["id"].tolist() == ["a2", "a1", "t1"]


def test_frames_without_rows_keep_their_columns():
    description = describe_corpus(Corpus("empty", (), "0" * 64))
    assert list(description["roles"].columns) == ["split", "role", "value", "clauses"]
    assert list(description["categories"].columns) == ["split", "context", "category", "features", "share"]
    assert len(description["lengths"]) == 0
