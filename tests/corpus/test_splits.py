import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_xai.corpus.splits import count_leaks, find_leaks, find_relations, group, make_splits, normalise
from compliance_xai.errors import InputError
from compliance_xai.records import SPLITS, Example

words = st.sampled_from([f"w{i}" for i in range(12)])
clause_lists = st.lists(st.lists(words, max_size=9).map(" ".join), min_size=1, max_size=25)


def jaccard(first, second):
    one, other = set(re.findall(r"\w+", first)), set(re.findall(r"\w+", second))
    return len(one & other) / len(one | other) if one | other else 0.0


def distinct_rows(n):
    """Rows that share no word and no rule: each is a group of its own."""
    return [f"a{i} b{i} c{i} d{i}" for i in range(n)], [f"r{i}" for i in range(n)]


@given(clauses=clause_lists, near=st.sampled_from([0.5, 0.6, 0.75, 0.8, 1.0]))
def test_near_duplicates_are_exactly_the_pairs_above_the_threshold(clauses, near):
    found = {(r.first, r.second) for r in find_relations(clauses, [str(i) for i in range(len(clauses))], near=near)}
    pairs = itertools.combinations(range(len(clauses)), 2)
    expected = {
        (i, j)
        for i, j in pairs
        if normalise(clauses[i]) != normalise(clauses[j]) and jaccard(clauses[i], clauses[j]) >= near - 1e-9
    }
    firsts = {}
    for index, clause in enumerate(clauses):
        first = firsts.setdefault(normalise(clause), index)
        if first != index:
            expected.add((first, index))
    assert found == expected


def test_kinds_of_relation():
    clauses = ["The wall shall be 9 m.", "the  WALL shall be 9 m.", "The wall shall be 8 m.", "Pipes drain."]
    rules = ["r(1)", "r(2)", "r(3)", "r(1)"]
    found = [(r.first, r.second, r.kind) for r in find_relations(clauses, rules, near=0.7)]
    assert found == [
        (0, 1, "same clause"),
        (0, 2, "near-duplicate clause"),
        (0, 3, "same rule"),
        (1, 2, "near-duplicate clause"),
    ]


def test_numbers_with_points_are_one_word():
    # {wall, is, 1.2} and {wall, is, 1.3}: 2 of 4 words; cut at the point it would be 3 of 5.
    assert find_relations(["wall is 1.2", "wall is 1.3"], ["a", "b"], near=0.55) == []


def test_groups_are_connected_components():
    assert group(6, [(0, 3), (3, 5), (1, 2)]) == [[0, 3, 5], [1, 2], [4]]


@given(clauses=clause_lists, seed=st.integers(0, 5))
def test_related_clauses_never_straddle_splits(clauses, seed):
    fresh, fresh_rules = distinct_rows(30)
    clauses = clauses + fresh
    rules = [f"rule {len(clause)}" for clause in clauses[: -len(fresh)]] + fresh_rules
    splits = make_splits(clauses, rules, seed=seed, near=0.6)
    rows = [Example(str(i), c, r, "x", s) for i, (c, r, s) in enumerate(zip(clauses, rules, splits, strict=True))]
    assert find_leaks(rows, near=0.6) == []
    assert set(splits) == {"train", "validation", "test"}


@given(order=st.permutations(range(40)), seed=st.integers(0, 3))
def test_a_split_depends_on_texts_and_seed_not_on_row_order(order, seed):
    clauses, rules = distinct_rows(40)
    straight = dict(zip(clauses, make_splits(clauses, rules, seed=seed), strict=True))
    shuffled = [clauses[i] for i in order]
    assert make_splits(shuffled, [rules[i] for i in order], seed=seed) == [straight[clause] for clause in shuffled]


def test_split_sizes_and_seeds():
    clauses, rules = distinct_rows(100)
    first = make_splits(clauses, rules, seed=0)
    assert {split: first.count(split) for split in SPLITS} == {"train": 80, "validation": 10, "test": 10, "document": 0}
    assert make_splits(clauses, rules, seed=0) == first
    assert make_splits(clauses, rules, seed=1) != first


def test_whole_contexts_are_held_out_with_those_they_share_clauses_with():
    clauses, rules = distinct_rows(100)
    contexts = ["fire"] * 60 + ["access"] * 28 + ["roof"] * 7 + ["gutter"] * 5
    rules[90] = rules[99]  # roof and gutter share a rule, so they go together: 12 rows, more than a tenth
    with pytest.raises(
        InputError, match=r"scheme 'document': expected a context with at most 10 rows.*gutter\+roof \(12\)"
    ):
        make_splits(clauses, rules, seed=0, contexts=contexts)
    contexts[88:91] = ["access"] * 3  # nine rows
    rules[90], rules[92] = "r90", rules[99]
    splits = make_splits(clauses, rules, seed=0, contexts=contexts)
    held_out = {context for context, split in zip(contexts, splits, strict=True) if split == "document"}
    assert held_out == {"roof", "gutter"}
    assert splits.count("document") == 9
    assert (splits.count("test"), splits.count("validation")) == (9, 9)


def test_groups_that_are_too_large_are_explained():
    with pytest.raises(InputError, match=r"mine\.csv: .* to fill split 'validation', found 40 rows in 1 groups"):
        make_splits(["the same words"] * 40, ["r"] * 40, seed=0, where="mine.csv")


def test_leaks_are_counted_by_kind_and_splits():
    rows = [
        Example("a", "one two three four five", "r1", "x", "test"),
        Example("b", "one two three four five", "r2", "x", "train"),
        Example("c", "one two three four six", "r1", "x", "train"),
        Example("d", "seven eight", "r1", "x", "document"),
        Example("e", "nine ten", "r3", "x", "train"),
    ]
    leaks = find_leaks(rows, near=0.6)
    assert count_leaks(rows, leaks) == [
        "near-duplicate clause in train and test: 1 (first: a and c)",
        "same clause in train and test: 1 (first: a and b)",
        "same rule in test and document: 1 (first: a and d)",
    ]
