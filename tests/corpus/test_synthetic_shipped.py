"""The shipped synthetic files: the generator's bytes, clean splits, and a data card that tells the truth."""

import re

import pytest

from compliance_xai.corpus.checks import find_unparsable
from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.description import describe_corpus
from compliance_xai.corpus.shipped import write_synthetic
from compliance_xai.corpus.splits import find_leaks
from compliance_xai.records import SPLITS
from compliance_xai.study.folders import find_data_folder


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("synthetic")


def test_the_generator_makes_the_shipped_bytes(tmp_path):
    folder = write_synthetic(tmp_path / "again")
    for name in (*(f"{split}.jsonl" for split in SPLITS), "SHA256SUMS"):
        assert (folder / name).read_bytes() == (find_data_folder() / "synthetic" / name).read_bytes(), name


def test_nothing_leaks_and_every_rule_parses(corpus):
    assert find_leaks(corpus.examples) == []
    assert find_unparsable([example.rule for example in corpus]) == []


def test_every_link_decides_with_words_that_stand_in_the_clause(corpus):
    for example in corpus:
        for link in example.alignment:
            assert link.spans, (example.id, link)
            texts = [example.clause[start:end] for start, end in link.spans]
            assert all(text and text == text.strip() for text in texts), (example.id, link)
            if link.kind == "value":
                assert texts == [example.rule[link.start : link.end]], (example.id, link)
            if link.kind == "identifier":
                assert [text.lower().replace("/", "_") for text in texts] == [example.rule[link.start : link.end]]


def test_roles_agree_with_the_alignment(corpus):
    for example in corpus:
        kinds = {link.kind for link in example.alignment}
        assert ("identifier" in kinds) == (example.identifier_role == "decides"), example.id
        headed = re.match(r"(?:[A-Z]\d/)?\d\.\d\.\d ", example.clause)
        assert bool(headed) == (example.identifier_role != "absent"), example.id
        if example.number_role == "decides":
            assert "value" in kinds, example.id
        if example.number_role == "absent":
            assert "value" not in kinds, example.id


def test_the_data_card_has_the_counts_of_the_files(corpus):
    card = (find_data_folder() / "synthetic" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", card, flags=re.MULTILINE)
    counts = describe_corpus(corpus)["counts"].set_index(["context", "split"])["clauses"].to_dict()
    written = {
        (context, split): int(number)
        for context, *numbers in rows
        for split, number in zip(SPLITS, numbers, strict=True)
        if number != "0"
    }
    assert written == counts
    assert sum(counts.values()) == len(corpus) >= 2000
    assert len({context for context, _ in counts}) >= 7
    held_out = {context for context, split in counts if split == "document"}
    assert held_out == {"plumbing"}
    assert not any(context in held_out for context, split in counts if split != "document")


def test_held_out_pairs_combine_what_the_training_pairs_hold(corpus):
    """But for two accessories, which the data card names."""
    seen = elements(corpus, "train")
    assert elements(corpus, "validation") | elements(corpus, "test") <= seen | {"dampBarrier", "mainSwitch"}
    # The held-out context has objects of its own.
    assert len(elements(corpus, "document") - seen) >= 10


def elements(corpus, split):
    kinds = ("object", "property", "condition")
    return {
        example.rule[link.start : link.end]
        for example in corpus.split(split)
        for link in example.alignment
        if link.kind in kinds
    }


def test_the_data_card_names_every_kind_of_link(corpus):
    card = (find_data_folder() / "synthetic" / "README.md").read_text(encoding="utf-8")
    for kind in {link.kind for example in corpus for link in example.alignment}:
        assert f"`{kind}`" in card, kind
