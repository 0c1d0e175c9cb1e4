"""A rule under review: its parts, and what each rests on, for a model whose habits are known."""

import json

import numpy as np
import pytest

from compliance_xai import cli
from compliance_xai.errors import InputError
from compliance_xai.pipeline import review
from compliance_xai.pipeline.review import (
    CLAUSE,
    NOTHING,
    REPEATS,
    WORDS,
    RuleWriter,
    load_writer,
    review_clause,
    split_rule,
)
from compliance_xai.records import Attribution, Feature, TargetToken

RULE = "if(exist(ramp)),then(obligation(lessThan(ramp.width,2.5 m)))"
CLAUSE_TEXT = "Ramps shall be under 2.5 m."


def test_the_parts_of_a_rule_are_its_names_operators_numbers_and_units():
    assert [(text, kind) for text, kind, _, _ in split_rule(RULE)] == [
        ("ramp", "name"),
        ("obligation", "operator"),
        ("lessThan", "operator"),
        ("ramp", "name"),
        ("width", "name"),
        ("2.5", "number"),
        ("m", "unit"),
    ]


@pytest.mark.parametrize(
    "rule",
    [RULE, "then(asPer(x,c3_5.7.2)", "is(a.b,'two words')", "no rule at all", "and(,)", "", "count(exit),1:12"],
)
def test_parts_say_where_they_stand_in_broken_rules_too(rule):
    parts = list(split_rule(rule))
    assert all(rule[start:end] == text for text, _, start, end in parts)
    assert parts == sorted(parts, key=lambda part: part[2])


def test_an_identifier_keeps_its_dots():
    assert [part[0] for part in split_rule("asPer(requirement,c3_5.7.2)")] == ["asPer", "requirement", "c3_5.7.2"]


class Stub(RuleWriter):
    """Writes ``RULE``; "Ramps" decides the first name, "2.5" the number, the whole clause the width."""

    def write(self, clauses, *, max_new_tokens=192):
        return [RULE] * len(clauses)

    def explain(self, clause, rule=None, **options):
        parts = [(start, end) for _, _, start, end in split_rule(RULE)]
        tokens = tuple(TargetToken(start, end, RULE[start:end]) for start, end in parts)
        words = ("Ramps", "shall", "be", "under", "2.5", "m")
        places = [CLAUSE_TEXT.index(word) for word in words]
        features = tuple(Feature(p, p + len(w), w, "other") for w, p in zip(words, places, strict=True))
        scores = np.zeros((6, 7), dtype=np.float32)
        scores[0, 0], scores[4, 5], scores[1, 1] = 3.0, 9.0, 0.5
        return Attribution("", clause, RULE, features, tokens, scores, np.log(np.full(7, 0.5, dtype=np.float32)))


@pytest.fixture
def reviewed(monkeypatch):
    empty = np.log(np.array([[0.01, 0.5, 0.5, 0.5, 0.1, 1e-6, 0.5]], dtype=np.float32))
    monkeypatch.setattr(review, "score_masks", lambda *arguments, **options: empty)
    return review_clause(Stub("stub", None, None), CLAUSE_TEXT)


def test_each_part_rests_on_words_the_clause_an_earlier_part_or_nothing(reviewed):
    assert reviewed.parts["rests_on"].tolist() == [WORDS, NOTHING, NOTHING, REPEATS, CLAUSE, WORDS, NOTHING]
    assert reviewed.parts["words"].tolist() == ["Ramps 3.0", "", "", "", "", "2.5 9.0", ""]
    assert reviewed.parts["probability"].tolist() == pytest.approx([0.5] * 7)
    assert reviewed.parts.loc[4, "clause_nats"] == pytest.approx(np.log(5), abs=1e-5)


def test_a_review_on_a_page_is_escaped(reviewed):
    markup = review.review_html(reviewed)
    assert markup.count('class="cx-nowhere"') == 4  # three parts and the key below them
    hostile = review.Review("<b>", "<i>x</i>", reviewed.attribution, reviewed.parts.iloc[:0])
    assert "<i>x</i>" not in review.review_html(hostile)


def test_a_model_that_writes_nothing_is_named(monkeypatch):
    monkeypatch.setattr(Stub, "write", lambda self, clauses: [""])
    with pytest.raises(InputError, match="model stub: expected a rule, found nothing"):
        review_clause(Stub("stub", None, None), "A clause.")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (("xl", "full", None), "scale: expected one of s, m, found 'xl'"),
        (("s", "dora", None), "strategy: expected one of none, full, lora, found 'dora'"),
        (("s", "full", 9), "seed: expected one of 0, found 9"),
    ],
)
def test_a_cell_that_is_not_there_is_refused(toy, cell, message):
    with pytest.raises(InputError, match=message):
        load_writer(toy.study, *cell)


def test_a_shipped_model_reads_the_number():
    from compliance_xai.pipeline.lessons import load_writer as load_shipped

    writer = load_shipped("0.3m")
    clause = "The clear width of an exit door shall be not less than 850 mm."
    assert writer.write([clause]) == ["exitDoor => must exitDoor.clearWidth >= 850 mm"]
    found = writer.explain(clause)
    strongest = found.features[int(found.scores.sum(axis=1).argmax())]
    assert strongest.text == "850"
    assert writer.tokens(found.target)[-1] == ""
    assert writer.log_probs([clause], found.target)[0] == pytest.approx(found.baseline_log_probs, abs=1e-4)


def test_a_review_can_be_read_by_scripts(reviewed, toy, monkeypatch, capsys):
    writer = Stub("s, full, seed 0", None, None)
    monkeypatch.setattr(review, "load_writer", lambda *cell: writer)
    monkeypatch.setattr(review, "review_clause", lambda *given: reviewed)
    monkeypatch.setattr("sys.argv", ["compliance-xai", "explain", "toy", CLAUSE_TEXT, "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], said["clause"], said["rule"]) == (writer.name, CLAUSE_TEXT, RULE)
    assert said["parts"][4] == reviewed.parts.loc[4].to_dict()
