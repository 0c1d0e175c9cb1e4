"""The grammar itself; that the shipped files are its output is tested in ``test_synthetic_shipped``."""

import random
from collections import Counter
from itertools import islice

import pytest

from compliance_xai.corpus.synthetic.build import BASE_NOTATIONS, SIZES, base_pairs, build_corpus, make_example
from compliance_xai.corpus.synthetic.meaning import base_rule, draw_meaning, draw_value, list_rule, split_of
from compliance_xai.corpus.synthetic.vocabulary import (
    CONTEXTS,
    HELD_OUT_CONTEXT,
    article,
    camel,
    plural,
    words_of_category,
)
from compliance_xai.rules.notation.parse import parse_rule
from compliance_xai.rules.notation.tree import format_rule


@pytest.fixture(scope="module")
def corpus():
    return build_corpus()


def test_the_sizes_and_contexts_are_those_declared(corpus):
    assert Counter(example.split for example in corpus) == SIZES
    assert sum(SIZES.values()) >= 2000
    assert len(CONTEXTS) >= 7
    assert {example.context for example in corpus if example.split == "document"} == {HELD_OUT_CONTEXT}
    assert HELD_OUT_CONTEXT not in {example.context for example in corpus if example.split != "document"}


def test_every_rule_is_in_the_notation_and_every_clause_once(corpus):
    assert all(format_rule(parse_rule(example.rule)) == example.rule for example in corpus)
    assert len({example.clause for example in corpus}) == len(corpus)


def test_gold_spans_hold_what_they_say(corpus):
    for example in corpus:
        for link in example.alignment:
            element = example.rule[link.start : link.end]
            words = [example.clause[start:end] for start, end in link.spans]
            assert element
            assert words
            assert all(words)
            if link.kind == "value":
                assert words == [element]
            if link.kind == "identifier":
                assert words[0].lower().replace("/", "_") == element
            if link.kind in ("object", "condition") and element != "occupantLoad":
                assert camel(words[0].lower()) in (element, plural_camel(element)), example


def plural_camel(name: str) -> str:
    return plural(name)


def test_an_identifier_decides_only_where_the_rule_carries_it(corpus):
    for example in corpus:
        identifiers = [link for link in example.alignment if link.kind == "identifier"]
        assert bool(identifiers) == (example.identifier_role == "decides")
    roles = Counter(example.identifier_role for example in corpus)
    assert min(roles[role] for role in ("absent", "decides", "distracts")) > 0.25 * len(corpus)


def test_a_distracting_number_stands_in_no_gold_span(corpus):
    distracted = [example for example in corpus if example.number_role == "distracts"]
    assert len(distracted) > 300
    for example in distracted:
        gold = {index for link in example.alignment for start, end in link.spans for index in range(start, end)}
        digits = [index for index, letter in enumerate(example.clause) if letter.isdigit()]
        assert any(index not in gold for index in digits)


def test_held_out_combinations_are_not_in_training():
    rng = random.Random(1)
    seen = Counter()
    combinations = {split: set() for split in ("train", "validation", "test")}
    for split in combinations:
        for _ in range(400):
            meaning = draw_meaning(rng, split)
            assert split_of(meaning) == split
            combinations[split] |= meaning.combinations()
            seen[split] += 1
    held_out = {
        key for meaning in (draw_meaning(rng, "test") for _ in range(400)) for key in meaning.combinations()
    } - combinations["train"]
    assert held_out
    assert not held_out & combinations["train"]


def test_every_split_mixes_simple_and_complex_clauses_alike(corpus):
    lengths = {
        split: [len(example.alignment) for example in corpus if example.split == split] for split in ("train", "test")
    }
    means = {split: sum(values) / len(values) for split, values in lengths.items()}
    assert means["test"] == pytest.approx(means["train"], rel=0.1)


def test_values_stay_within_the_plausible_range_of_their_object():
    rng = random.Random(0)
    for context in CONTEXTS:
        for item in context.items:
            for prop in item.properties:
                assert prop.limit in ("min", "max", "both")
                assert prop.low < prop.high
                for _ in range(30):
                    value = float(draw_value(rng, prop).removeprefix("1:"))
                    assert prop.low <= value <= prop.high, (item.name, prop.name)
                    assert abs((value - prop.low) / prop.step - round((value - prop.low) / prop.step)) < 1e-6


def test_articles_read_well_for_the_whole_vocabulary():
    for name in words_of_category():
        assert (article(name) == "an") == name.startswith(("a", "e", "i", "o", "up", "un")), name


@pytest.mark.parametrize("notation", list(BASE_NOTATIONS))
def test_a_base_notation_shares_no_keyword_with_the_target(notation):
    keywords = ("if(", "then(", "obligation", "permission", "prohibition", "Than", "asPer", "complyWith", "exist(")
    for _, base in islice(base_pairs(3, "train", notation), 500):
        assert not any(keyword in base for keyword in keywords), base


def test_one_meaning_has_several_surface_forms_and_one_rule():
    meaning = draw_meaning(random.Random(5), "train")
    examples = [make_example(meaning, random.Random(seed), identifier="", split="train") for seed in range(40)]
    assert len({example.clause for example in examples}) > 8
    assert len({example.rule for example in examples}) == 1
    assert len({base_rule(meaning), list_rule(meaning), examples[0].rule}) == 3
