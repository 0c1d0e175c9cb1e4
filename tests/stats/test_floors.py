"""Floors: what copying a training rule scores."""

import pytest

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.nearest import put_examples_first
from compliance_xai.records import Example
from compliance_xai.rules.scores import SCORES, Pairs
from compliance_xai.stats.competence import ANOTHER, CONSTANT, NEAREST, constant_rule, floor_rules


def example(name, clause, rule):
    return Example(name, clause, rule, "", "train")


def test_the_nearest_rule_is_that_of_the_clause_with_most_words_in_common():
    train = [
        example("a", "Stairs shall be 900 mm wide.", "stairs"),
        example("b", "Doors shall be 2 m high.", "doors"),
        example("c", "Doors shall be 2 m high.", "second doors"),
    ]
    wanted = [example("d", "A door and doors high", ""), example("e", "wide stairs", "")]
    assert floor_rules(train, wanted)[NEAREST] == ["doors", "stairs"]


def test_examples_stand_before_the_clause_as_the_prompt_shows_them_nearest_last():
    train = [example("a", "a roof", "R"), example("b", "a wide stair", "S"), example("c", "a wide wide door", "D")]
    shown = put_examples_first(train, [example("d", "a wide stair door", "")], 2, "Clause: {clause}\nRule:\n")
    assert f"Clause: {shown[0].clause}\nRule:\n" == (
        "Clause: a wide wide door\nRule:\nD\n\nClause: a wide stair\nRule:\nS\n\nClause: a wide stair door\nRule:\n"
    )
    assert (shown[0].id, shown[0].rule) == ("d", "")


def test_a_clause_without_a_known_word_gets_the_first_rule():
    train = [example("a", "roof", "r"), example("b", "wall", "w")]
    assert floor_rules(train, [example("c", "xyz", "")])[NEAREST] == ["r"]


def test_the_constant_rule_is_the_one_most_like_the_others():
    rules = ["exist(a)", "if(is(a,b)),then(exist(c))", "if(is(a,b)),then(exist(d))", "if(is(a,b)),then(exist(c,d))"]
    assert constant_rule([example(str(i), "", rule) for i, rule in enumerate(rules)]) == rules[3]


def test_floors_of_the_published_table(shared_data):
    corpus = load_corpus("nzbc-lrml", path=shared_data / "nzbc_lrml_v8.csv")
    train, test = ([e for e in corpus.examples if e.split == split] for split in ("train", "test"))
    references = [e.rule for e in test]
    nearest, constant = (
        SCORES["lrml_f1"].total(Pairs(rules, references, spelling="intermediate"))["lrml_f1"]
        for rules in (floor_rules(train, test)[NEAREST], [constant_rule(train)] * len(test))
    )
    assert nearest == pytest.approx(44.84, abs=0.01)
    assert constant == pytest.approx(12.21, abs=0.01)


def test_another_rule_is_never_the_clause_s_own():
    train = [example("a", "roof", "r")]
    wanted = [example(str(index), "wall", f"rule {index}") for index in range(7)]
    floors = floor_rules(train, wanted)
    assert floors[ANOTHER] != [e.rule for e in wanted]
    assert all(rule != e.rule for rule, e in zip(floors[ANOTHER], wanted, strict=True))
    assert sorted(floors[ANOTHER]) == sorted(e.rule for e in wanted)
    assert floors[CONSTANT] == floors[NEAREST] == ["r"] * 7
