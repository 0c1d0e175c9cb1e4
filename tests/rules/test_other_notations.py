"""Rules in a language of one's own: a table with Prolog-like rules, scored and attributed without a parser."""

import json

import numpy as np
import pandas as pd
import pytest
from sacrebleu.metrics import CHRF

from compliance_xai.attribution.elements import element_frame
from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.table_source import TableOptions
from compliance_xai.errors import InputError
from compliance_xai.records import Attribution, TargetToken, attribution_row
from compliance_xai.rules.compare.rule_elements import list_elements, mark_wrong
from compliance_xai.rules.scores import SCORES, corpus_scores, list_errors, list_verdicts, score_rules
from compliance_xai.stats.competence import competence_table, floor_rules

THINGS = ("door", "ramp", "stair", "lobby", "corridor", "landing", "window", "gutter", "handrail", "drain")
RULE = "compliant(X) :- {0}(X), width(X, W), W >= {1}."
WIDTHS = dict(zip(THINGS, range(900, 1400, 50), strict=True))
ROWS = [
    {"clause": f"Every {thing} shall be at least {width} mm wide.", "rule": RULE.format(thing, width)}
    for thing, width in WIDTHS.items()
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "prolog.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    with pytest.raises(InputError, match=r"(?s)expected a rule in LRML short notation.*\(rules: text\)"):
        load_corpus("table", path=path)
    return load_corpus("table", path=path, options=TableOptions(rules="text"))


def test_a_table_of_other_rules_is_read_and_split(corpus):
    assert [example.rule for example in corpus] == [row["rule"] for row in ROWS]
    assert {example.split for example in corpus} == {"train", "validation", "test"}


def test_scores_that_need_no_parser_are_given_and_the_others_are_empty(corpus):
    references = [example.rule for example in corpus]
    written = [references[0].replace(" ", "  "), references[1].replace("950", "900"), *references[2:]]
    frame = score_rules(written, references, notation="text")
    assert frame["exact"].tolist() == [1.0, 0.0, *[1.0] * 8]
    assert frame["chrf"][1] == pytest.approx(CHRF().sentence_score(written[1], [references[1]]).score)
    empty = [score.column for score in SCORES.values() if score.needs_lrml]
    assert empty == ["parses", "lrml_f1", "tree_edit_distance", "numeric_fidelity", "identifier_fidelity", "equivalent"]
    assert frame[empty].isna().all(axis=None)
    assert frame[["bleu", "chrf", "token_edit_distance"]].notna().all(axis=None)
    totals = corpus_scores(written, references, notation="text")
    assert set(totals) == {"exact_match", "bleu", "chrf", "token_edit_distance"}
    assert totals["exact_match"] == 0.9
    assert list_errors(written, references, notation="text").empty
    assert set(list_verdicts(written, references, notation="text")["answer"]) == {"unknown"}


def test_numbers_and_words_of_any_rule_are_its_elements():
    found = list_elements(ROWS[0]["rule"], "text")
    assert [element.text for element in found] == ["compliant", "X", "door", "X", "width", "X", "W", "W", "900"]
    assert {element.kind for element in found[:-1]} == {"token"}
    assert found[-1].kind == "value"
    marked = mark_wrong(ROWS[0]["rule"], ROWS[1]["rule"], "text")
    assert [element.text for element, wrong in marked if wrong] == ["door", "900"]


def test_the_number_of_any_rule_is_found_in_the_clause():
    from compliance_xai.corpus.features import segment

    clause, rule = ROWS[0]["clause"], "W >= 900."
    features = segment(clause)
    tokens = [TargetToken(0, 1, "W"), TargetToken(2, 4, ">="), TargetToken(5, 8, "900"), TargetToken(8, 9, ".")]
    scores = np.zeros((len(features), len(tokens)), dtype=np.float32)
    scores[[feature.text for feature in features].index("900"), 2] = 1.5
    attribution = Attribution("a", clause, rule, tuple(features), tuple(tokens), scores, np.zeros(4, np.float32))
    frame = element_frame([attribution_row(attribution, seed=0, baseline="delete")], "text")
    assert frame[["kind", "net", "hit"]].to_dict("list") == {
        "kind": ["token", "value"],
        "net": [0.0, 1.5],
        "hit": pytest.approx([np.nan, 1.0], nan_ok=True),
    }


def test_cells_are_judged_by_chrf_against_the_nearest_rule(corpus):
    train = [example for example in corpus if example.split == "train"]
    wanted = [example for example in corpus if example.split != "train"]
    references = [example.rule for example in wanted]

    def scored(rules, **about):
        frame = score_rules(rules, references, notation="text")
        return frame.assign(id=[example.id for example in wanted], **about)

    floors = pd.concat([scored(rules, floor=floor) for floor, rules in floor_rules(train, wanted).items()])
    right = scored(references, scale="1m", strategy="lora", seed=0)
    wrong = scored(["?"] * len(wanted), scale="1m", strategy="full", seed=0)
    table = competence_table(pd.concat([right, wrong]), floors, min_parse=0.9).set_index("strategy")
    assert table["passes"].to_dict() == {"lora": True, "full": False}
    assert table.loc["full", "reason"].startswith("chrF 0.0, copying the nearest training rule gives ")
    assert table["lrml_f1"].isna().all()
