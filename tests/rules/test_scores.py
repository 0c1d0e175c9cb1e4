"""Scores: the published values, hand-made cases, one frame for all, and the ``evaluate`` module."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import evaluate
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import RULES

from compliance_xai.errors import InputError
from compliance_xai.rules import scores
from compliance_xai.rules.notation.tree import format_rule

REFERENCE = "if(and(is(a.type,b),exist(c))),then(obligation(greaterThan(a.width,1200 mm)))"
REORDERED = "if(and(exist(c),is(a.type,b))),then(obligation(greaterThan(a.width,1200 mm)))"
WRONG = "if(and(exist(c),is(a.type,b))),then(obligation(greaterThan(a.width,900 mm)))"
BROKEN = "if(and(exist(c),is(a.type,b"


def total(name, predictions, references, **settings):
    return scores.SCORES[name].total(scores.Pairs(predictions, references, **settings))[name]


def lrml(predictions, references, **settings):
    values = scores.SCORES["lrml_f1"].total(scores.Pairs(predictions, references, **settings))
    return {name.removeprefix("lrml_"): value for name, value in values.items()}


def test_lrml_f1_is_the_published_one(shared_data):
    systems = json.loads((shared_data / "lrml_f1_examples.json").read_text(encoding="utf-8"))
    assert len(systems) == 3
    for system in systems:
        found = lrml(system["predictions"], system["references"])
        assert found["f1"] == pytest.approx(system["published_f1"], abs=1e-6), system["name"]
        assert found["precision"] == pytest.approx(system["precision"], abs=1e-6)
        assert found["recall"] == pytest.approx(system["recall"], abs=1e-6)


# Values of compute_lrml(predictions, references, entity_weight=2, filter_empty=True), Chapter8/lrml_score.py of
# stefan-1992/phd-thesis-supplementary-material at commit f145e94 (Python 3.11): precision, recall.
PUBLISHED_CORNERS = [
    ("if( a( wall))", "if( a( wall door))", 100.0, 50.0),
    ("if(has(wall,door))", "if(has(wall,window))", 0.0, 0.0),
    ("if( is( x, y), then( z( u", "if( is( x, y)), then( z( u))", 66.66666666666666, 50.0),
    ("clue: if( a( b))", "if( a( b))", 75.0, 75.0),
    ("if( a( 1 kN))", "if( a( 1 kn))", 33.33333333333333, 50.0),
    ("x( a( ( b)))", "x( a( b))", 80.0, 100.0),
    ("qx(b)(b)", "qx(b)y(b)z(b)", 116.66666666666667, 66.66666666666666),
    ("a", "if( a( b))", 0.0, 0.0),
    ("", "", 0.0, 0.0),
    ("x(a)then(b(riskGroup_2 5mm))", "x(a) then(b(risk group 2 5 mm))", 85.71428571428571, 85.71428571428571),
]


@pytest.mark.parametrize(("prediction", "reference", "precision", "recall"), PUBLISHED_CORNERS)
def test_lrml_f1_keeps_the_corners_of_the_original(prediction, reference, precision, recall):
    found = lrml([prediction], [reference])
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)


def test_lrml_f1_of_a_corpus_is_of_the_mean_precision_and_recall():
    first = lrml(["if( a( wall))"], ["if( a( wall door))"])
    second = lrml(["if( b( wall door))"], ["if( b( wall))"])
    both = lrml(["if( a( wall))", "if( b( wall door))"], ["if( a( wall door))", "if( b( wall))"])
    assert both["precision"] == pytest.approx((first["precision"] + second["precision"]) / 2)
    assert both["recall"] == pytest.approx((first["recall"] + second["recall"]) / 2)
    assert both["f1"] == pytest.approx(2 * both["precision"] * both["recall"] / (both["precision"] + both["recall"]))


def test_the_intermediate_spelling_sees_a_shared_argument_that_tight_text_hides():
    pair = ["if(has(wall,door)),then(exist(roof))"], ["if(has(wall,window)),then(exist(roof))"]
    hidden, seen = lrml(*pair), lrml(*pair, spelling="intermediate")
    assert hidden["f1"] == pytest.approx(50.0)
    assert seen["f1"] > 80
    spaced = ["if( expression( function( has), atom( variable( wall)), data( door))), then( exist( roof))"]
    assert lrml(spaced, spaced, spelling="intermediate")["f1"] == pytest.approx(100.0)


def test_unreadable_predictions_are_scored_as_written_in_either_spelling():
    as_written = lrml(["sorry"], [REFERENCE])
    assert lrml(["sorry"], [REFERENCE], spelling="intermediate")["f1"] == as_written["f1"] == 0.0


def test_a_long_deep_prediction_scores_soon():
    started = time.process_time()
    found = lrml(["and( exist( roof), " * 10_000], ["if( and( exist( roof), exist( wall)))"])
    assert 0 < found["recall"] < 100
    nested = "and( x, " * 2000 + "y" + ")" * 2000
    assert lrml([nested], [nested])["f1"] == pytest.approx(100.0)
    assert time.process_time() - started < 10


@settings(deadline=None)
@given(st.text(alphabet="ab(), ._:A1%'", max_size=60), st.text(alphabet="ab(), ._:A1%'", max_size=60))
def test_lrml_f1_takes_any_text_and_swaps_precision_with_recall_for_named_terms(first, second):
    one, other = lrml([first], [second]), lrml([second], [first])
    assert one["f1"] >= 0
    if "(" not in first + second:
        assert one == other == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_exact_match_forgives_order_and_layout_alone():
    spaced = REFERENCE.replace("(", "( ").replace(",", ", ")
    predictions = [REFERENCE, REORDERED, spaced, WRONG, BROKEN, f" {BROKEN} "]
    references = [REFERENCE, REFERENCE, REFERENCE, REFERENCE, REFERENCE, BROKEN]
    frame = scores.score_rules(predictions, references)
    assert frame.exact.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    assert frame.parses.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    assert total("exact_match", predictions, references) == pytest.approx(4 / 6)
    assert total("parse_rate", predictions, references) == pytest.approx(4 / 6)


def test_bleu_and_chrf_are_those_of_sacrebleu():
    # python -m sacrebleu reference.txt -i wrong.txt -m bleu chrf -w 6   (sacrebleu 2.6.0)
    assert total("bleu", [WRONG], [REFERENCE]) == pytest.approx(77.99891, abs=1e-5)
    assert total("chrf", [WRONG], [REFERENCE]) == pytest.approx(83.8985, abs=1e-4)
    assert total("bleu", [REFERENCE], [REFERENCE]) == pytest.approx(100.0)
    assert total("chrf", [REFERENCE], [REFERENCE]) == pytest.approx(100.0)


def test_score_rules_gives_one_row_per_pair():
    frame = scores.score_rules([REFERENCE, BROKEN, ""], [REFERENCE] * 3)
    assert tuple(frame.columns) == scores.COLUMNS
    assert set(frame.dtypes.astype(str)) == {"float64"}
    assert frame[["exact", "parses", "lrml_f1"]].to_numpy()[0].tolist() == [1.0, 1.0, 100.0]
    assert frame[["exact", "parses", "lrml_f1", "bleu", "chrf"]].to_numpy()[2].tolist() == [0.0] * 5
    assert 0 < frame.lrml_f1.tolist()[1] < 100
    distances = ["tree_edit_distance", "token_edit_distance"]
    assert frame[distances].to_numpy()[[0, 2]].tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert frame.numeric_fidelity.tolist() == [1.0, 0.0, 0.0]
    assert frame[["semantic", "identifier_fidelity"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(frame, scores.score_rules([REFERENCE, BROKEN, ""], [REFERENCE] * 3))


def test_718_pairs_score_in_seconds():
    rules = [REFERENCE.replace("1200", str(number)) for number in range(718)]
    started = time.process_time()
    frame = scores.score_rules(rules[::-1], rules, spelling="intermediate")
    assert time.process_time() - started < 20
    empty = ["semantic", "identifier_fidelity"]  # no encoder; these rules cite nothing
    assert np.isfinite(frame.drop(columns=empty)).all(axis=None)
    assert frame[empty].isna().all(axis=None)


RULES_OR_NOISE = st.one_of(RULES.map(format_rule), st.text(alphabet="ab(), .'1m_A", max_size=40))
BOUNDED = ("exact", "parses", "tree_edit_distance", "token_edit_distance", "numeric_fidelity", "identifier_fidelity")


@settings(deadline=None, max_examples=60)
@given(RULES_OR_NOISE, RULES_OR_NOISE)
def test_scores_stay_in_their_range_and_are_best_for_the_same_text(first, second):
    frame = scores.score_rules([first, first], [second, first])
    assert frame[list(BOUNDED)].fillna(0.0).to_numpy().min() >= 0.0
    assert frame[list(BOUNDED)].fillna(0.0).to_numpy().max() <= 1.0
    same = frame.iloc[1]
    assert same["tree_edit_distance"] == same["token_edit_distance"] == 0.0
    assert same["exact"] == 1.0
    assert same[["numeric_fidelity", "identifier_fidelity"]].fillna(1.0).tolist() == [1.0, 1.0]


@settings(deadline=None, max_examples=60)
@given(RULES_OR_NOISE, RULES_OR_NOISE)
def test_distances_and_fidelities_do_not_ask_which_side_is_which(first, second):
    for name in ("tree_edit_distance", "token_edit_distance", "numeric_fidelity", "identifier_fidelity"):
        assert total(name, [first], [second]) == pytest.approx(total(name, [second], [first]), nan_ok=True), name


def test_fidelities_of_a_corpus_count_every_quantity_and_reference_once():
    references = ["and(greaterThan(a.width,1 m),lessThan(a.height,2 m))", "complyWith(a,nzs_1)", "exist(a)"]
    predictions = ["and(greaterThan(a.width,1000 mm),lessThan(a.height,2 mm))", "complyWith(a,NZS_1)", "exist(b)"]
    assert total("numeric_fidelity", predictions, references) == 0.5
    assert total("identifier_fidelity", predictions, references) == 1.0
    assert np.isnan(total("numeric_fidelity", references[2:], references[2:]))
    invented = ["and(complyWith(a,nzs_1),complyWith(a,nzs_2))"]
    assert total("identifier_fidelity", invented, references[1:2]) == pytest.approx(2 / 3)


def test_list_errors_gives_a_row_per_error():
    frame = scores.list_errors([REFERENCE, WRONG, BROKEN], [REFERENCE] * 3)
    assert frame["pair"].tolist() == [1, 2, 2]
    assert frame["kind"].tolist() == ["wrong_value", "syntax", "missing_requirement"]
    assert frame[["expected", "found"]].to_numpy()[0].tolist() == ["1200 mm", "900 mm"]
    assert scores.list_errors([REFERENCE], [REFERENCE]).dtypes.equals(frame.dtypes)


def test_verdicts_say_which_rule_asks_more():
    reference = "if(exist(stair)),then(obligation(greaterThanEqual(stair.width,1200 mm)))"
    written = {
        "equivalent": reference.replace("1200 mm", "1.2 m"),
        "stronger": reference.replace("1200", "1300"),
        "weaker": reference.replace("1200", "1100"),
        "different": reference.replace("obligation", "permission"),
        scores.UNREADABLE: reference[:-1],
    }
    frame = scores.list_verdicts(list(written.values()), [reference] * len(written))
    assert frame["answer"].tolist() == list(written)
    assert frame["counterexample"][2].endswith("satisfies a, not b")
    assert frame["counterexample"][[0, 4]].tolist() == ["", ""]
    scored = scores.score_rules(list(written.values()), [reference] * len(written))
    assert scored["equivalent"].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert total("equivalence_rate", list(written.values()), [reference] * len(written)) == 0.2


@pytest.mark.parametrize("score", [scores.score_rules, scores.corpus_scores, scores.list_errors, scores.list_verdicts])
@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (["a"], ["a", "b"], "expected lists of the same length, at least 1, found 1 and 2"),
        ([], [], "found 0 and 0"),
        ("a(b)", ["a(b)"], "predictions: expected a list of strings, found one string"),
        (["a", None], ["a", "b"], "predictions, row 1: expected a string, found NoneType"),
        (["a"], [float("nan")], "references, row 0: expected a string, found float"),
    ],
)
def test_bad_lists_are_refused(score, predictions, references, message):
    with pytest.raises(InputError, match=message):
        score(predictions, references)


def test_an_unknown_spelling_is_refused():
    with pytest.raises(InputError, match="expected one of as_written, intermediate, found 'short'"):
        scores.score_rules(["a(b)"], ["a(b)"], spelling="short")  # pyright: ignore[reportArgumentType]


PREDICTIONS = [
    "if(exist(roof)),then(has(roof,gutter))",
    "if(exist(wall",
    "and(exist(b),exist(a))",
    "and(equal(a.width,2 m),complyWith(a,nzs_1))",
]
REFERENCES = [
    "if(exist(roof)),then(has(roof,gutters))",
    "if(exist(wall)),then(exist(roof))",
    "and(exist(a),exist(b))",
    "and(equal(a.width,2000 mm),equal(a.height,3 m),complyWith(a,nzs_2),asPer(a,nzs_1))",
]


class Letters:
    """Stands in for an encoder: unit rows by first letter."""

    def encode(self, texts):
        return np.eye(26, dtype=np.float32)[[ord(text[0]) - ord("a") for text in texts]]


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("score", scores.SCORES.values(), ids=scores.SCORES)
def test_a_configuration_gives_the_registrys_value_and_states_its_range(score, no_network, tmp_path):
    settings = {"encoder": Letters(), "spelling": "intermediate"}
    expected = score.total(scores.Pairs(PREDICTIONS, REFERENCES, **settings))
    module = evaluate.load(str(scores.MODULE), score.name, keep_in_memory=True, **settings)
    assert module.compute(predictions=PREDICTIONS, references=REFERENCES) == pytest.approx(expected)
    assert f"Range: {score.range[0]} to {score.range[1]}." in module.description
    assert module.info.config_name == score.name
    module = evaluate.load(str(scores.MODULE), score.name, cache_dir=str(tmp_path), **settings)
    module.add_batch(predictions=PREDICTIONS, references=REFERENCES)
    assert module.compute() == pytest.approx(expected)


def test_corpus_scores_are_those_of_the_configurations(no_network):
    values = scores.corpus_scores(PREDICTIONS, REFERENCES, encoder=Letters())  # pyright: ignore[reportArgumentType]
    pairs = scores.Pairs(PREDICTIONS, REFERENCES, encoder=Letters())  # pyright: ignore[reportArgumentType]
    expected = {name: value for score in scores.SCORES.values() for name, value in score.total(pairs).items()}
    assert values == expected
    assert values["semantic_similarity"] == 1.0
    assert all(type(value) is float for value in values.values())
    assert expected.keys() - scores.corpus_scores(PREDICTIONS, REFERENCES).keys() == {"semantic_similarity"}


def test_an_unknown_score_is_refused():
    with pytest.raises(InputError, match=r"expected one of exact_match, .*, found 'rouge'"):
        evaluate.load(str(scores.MODULE), "rouge")


def test_importing_the_scores_loads_nothing_heavy():
    heavy = "torch transformers evaluate datasets sacrebleu sentence_transformers"
    code = (
        f"import sys, compliance_xai.rules.scores; print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
