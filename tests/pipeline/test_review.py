"""A rule under review: what is flagged, in which order, and what a batch leaves behind."""

import base64
import dataclasses
import hashlib
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch

from compliance_xai import cli
from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError
from compliance_xai.figures.review_report import report_html
from compliance_xai.pipeline import review
from compliance_xai.pipeline.review import (
    Evidence,
    RuleWriter,
    load_bare,
    load_writer,
    read_clauses,
    review_clause,
    review_many,
    write_rules,
)
from compliance_xai.records import Attribution, TargetToken
from compliance_xai.rules.compare.rule_elements import list_elements
from compliance_xai.rules.legalruleml.rule_tables import read_statements
from compliance_xai.rules.notation.tree import format_rule
from compliance_xai.stats.review_flags import FLAGS, Risk
from compliance_xai.study.folders import find_data_folder

RULE = "if(exist(ramp)),then(obligation(lessThanEqual(ramp.width,2.6 m)))"
CLAUSE = "Unless covered, ramps shall be at most 2.5 m."


class Stub(RuleWriter):
    """Writes ``RULE``; "ramps" decides the object, "2.5" the number, of which the model is not sure."""

    rule = RULE

    def write(self, clauses, *, max_new_tokens=192):
        if any(len(clause) > 1000 for clause in clauses):
            raise InputError("clause", expected="a short clause", found="a long one", remedy="Shorten it.")
        return [self.rule] * len(clauses)

    def explain(self, clause, rule=None, *, id="", **options):
        rule = rule or RULE
        elements = list_elements(rule)
        features = tuple(segment(clause))
        if not features:
            raise InputError(
                "clause", expected="a clause with at least one word", found=repr(clause), remedy="Write it."
            )
        scores = np.zeros((len(features), len(elements)), dtype=np.float32)
        for place, feature in enumerate(features):
            for column, element in enumerate(elements):
                scores[place, column] = 3.0 * (feature.text == "ramps" and element.text == "ramp")
                scores[place, column] += 9.0 * (feature.text == "2.5" and element.kind == "value")
        tokens = tuple(TargetToken(e.start, e.end, e.text) for e in elements)
        return Attribution(id, clause, rule, features, tokens, scores, np.zeros(len(elements), dtype=np.float32))

    def log_probs(self, clauses, rule):
        return np.full((len(clauses), 1), -1.0 if rule == RULE else -2.0)

    def confidence(self, pairs):
        found = []
        for _, rule in pairs:
            kinds = [element.kind for element in list_elements(rule)]
            log_probs = np.array([-1.5 if kind == "value" else -0.01 for kind in kinds])
            if "2.5 m" in rule:
                log_probs += 0.05
            found.append((log_probs, np.full(len(kinds), 0.1)))
        return found


@pytest.fixture
def writer():
    return Stub("stub", torch.nn.Linear(2, 2), None)


def test_what_the_clause_does_not_contain_comes_first(writer):
    reviewed = review_clause(writer, CLAUSE)
    first = reviewed.checks.iloc[0]
    assert (first["where"], first["text"]) == ("rule", "2.6")
    assert first["reason"] == f"{FLAGS['absent'].says}; {FLAGS['improbable'].says}"
    assert first["precision"] == "not measured; not measured"
    parts = reviewed.parts.set_index("part")
    assert parts.loc["2.6", "probability"] == pytest.approx(math.exp(-1.5))
    assert parts.loc["2.6", "words"] == "2.5 9.0"
    assert parts.loc["2.6", "risk"] == 1.0
    assert reviewed.parts["risk"].idxmax() == reviewed.parts["part"].tolist().index("2.6")


def test_measured_flags_say_how_often_they_are_right(writer):
    bounds = {
        f"{name}{end}": value
        for name in ("precision", "recall")
        for end, value in (("", 0.6), ("_low", 0.4), ("_high", 0.8))
    }
    measured = pd.DataFrame([{"flag": name, **bounds} for name in FLAGS])
    evidence = Evidence(
        dict.fromkeys(FLAGS, 0.5) | {"unread": 0.0, "improbable": math.inf, "elsewhere": math.inf}, measured
    )
    checks = review_clause(Stub("stub", None, None, evidence=evidence), CLAUSE).checks
    missed = checks[checks["where"] == "clause"]
    assert missed["text"].tolist() == ["Unless"]
    assert missed["chance"].tolist() == [0.6]
    assert set(checks["precision"]) == {"60% [40%, 80%]"}


def test_the_runner_up_of_a_number_and_the_words_against_it(writer):
    rows = review_clause(writer, CLAUSE).alternatives.set_index("part")
    assert rows.loc["2.6", "runner_up"] == "2.5"
    assert rows.loc["2.6", "odds"] > 1
    assert rows.loc["lessThanEqual", "odds"] == pytest.approx(1.0)
    assert rows.loc["lessThanEqual", "wins_without"] == ""


def test_the_words_that_have_to_go_for_the_runner_up_to_win(writer):
    class Reader(Stub):
        def log_probs(self, clauses, rule):
            return np.array([[-1.0 if ("2.5" in clause) == ("2.6 m" in rule) else -2.0] for clause in clauses])

        def explain(self, clause, rule=None, **options):
            found = super().explain(clause, rule)
            return found if rule == RULE else dataclasses.replace(found, scores=found.scores * 0)

    rows = review_clause(Reader("reader", None, None), CLAUSE).alternatives.set_index("part")
    assert rows.loc["2.6", "wins_without"] == "2.5"


def test_other_models_that_disagree_are_a_flag(writer):
    other = Stub("other", None, None)
    object.__setattr__(other, "rule", RULE.replace("2.6", "2.5"))
    parts = review_clause(dataclasses.replace(writer, others=(other, writer)), CLAUSE).parts.set_index("part")
    assert "disputed" in parts.loc["2.6", "flags"]  # one of two others writes 2.5
    assert parts.loc["ramp", "flags"].tolist() == ["", ""]


def test_a_text_that_is_no_rule_is_flagged(writer):
    checks = review_clause(writer, CLAUSE, rule="ramp must be wide").checks
    assert FLAGS["broken"].says in checks["reason"].tolist()


def test_a_review_on_a_page_is_escaped(writer):
    hostile = "<script>alert(1)</script> shall be at most 2.5 m"
    page = review.review_html(review_clause(writer, hostile, rule="then(obligation(is(<i>.x,9 m)))"))
    assert "<script>" not in page
    assert "<i>" not in page
    assert '<mark class="cx-nowhere">' in page


def test_a_model_that_writes_nothing_is_named(writer):
    with pytest.raises(InputError, match="model stub: expected a rule, found nothing"):
        review_clause(writer, CLAUSE, rule=" ")


def test_a_bare_model_is_reviewed_with_its_prompt():
    folder = find_data_folder() / "ladders" / "embedded" / "0.3m"
    writer = load_bare(str(folder), "# clause: {clause}\n# rule: ")
    review = review_clause(writer, CLAUSE)
    assert review.rule
    assert set(review.checks["precision"]) <= {"not measured", "not measured; not measured"}
    with pytest.raises(InputError, match="clause"):
        load_bare(str(folder), "no place for it")


def test_nothing_is_lost_in_a_batch(writer, tmp_path):
    bad = {"empty": "", "long": "wide " * 400, "markup": "<b>ramps</b> shall be 2.5 m", "control": "ramps \x07 2.5 m"}
    clauses = [("good", CLAUSE), *bad.items(), ("good", CLAUSE)]
    rows = review_many(writer, clauses, tmp_path)
    assert sorted(row["id"] for row in rows) == sorted(["good", *bad])
    assert {row["id"] for row in rows if row["error"]} == {"empty", "long"}
    assert [bool(row["error"]) for row in rows] == [True, True, False, False, False]  # what needs a person comes first
    assert len(pd.read_csv(tmp_path / "clauses.csv")) == 5
    assert "2.6" in pd.read_csv(tmp_path / "checks.csv")["text"].tolist()


def test_what_a_table_cannot_say_is_read_as_it_is(writer, tmp_path):
    """Half a character, an empty cell, a number, and a text that a spreadsheet would compute."""
    lines, parquet = tmp_path / "clauses.jsonl", tmp_path / "clauses.parquet"
    lines.write_text('{"id": 7, "clause": "ramps \\ud800 2.5 m"}\n{"clause": null}\n{"clause": "=1+1 ramps"}\n')
    pd.DataFrame({"clause": ["2.5 m", None], "id": [1.5, np.nan]}).to_parquet(parquet)
    clauses = read_clauses(lines)
    assert clauses == [("7", "ramps \\ud800 2.5 m"), ("2", ""), ("3", "=1+1 ramps")]
    assert read_clauses(parquet) == [("1.5", "2.5 m"), ("2", "")]
    rows = review_many(writer, clauses, tmp_path)
    assert [row["id"] for row in rows if row["error"]] == ["2"]
    assert "'=1+1 ramps" in pd.read_csv(tmp_path / "clauses.csv")["clause"].tolist()
    assert "=1+1 ramps" in pd.read_parquet(tmp_path / "clauses.parquet")["clause"].tolist()


def test_an_interrupted_batch_goes_on(writer, tmp_path, monkeypatch):
    review_many(writer, [("a", CLAUSE)], tmp_path)
    with (tmp_path / "reviews.jsonl").open("a") as file:
        file.write('{"id": "half')
    asked = []
    monkeypatch.setattr(Stub, "write", lambda self, clauses: asked.extend(clauses) or [RULE] * len(clauses))
    rows = review_many(writer, [("a", CLAUSE), ("b", CLAUSE + " x")], tmp_path)
    assert asked == [CLAUSE + " x"]
    assert len(rows) == 2
    review_many(Stub("stub", torch.nn.Linear(2, 2), None), [("a", CLAUSE)], tmp_path)  # another model starts anew
    assert asked[-1] == CLAUSE


def test_the_report_needs_no_network_and_runs_its_own_script_only(writer, tmp_path):
    rows = review_many(writer, [('<img src=x onerror="a()">', "<script>a()</script> 2.5 m shall")], tmp_path)
    page = report_html(rows, "stub")
    assert page == (tmp_path / "report.html").read_text()
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    allowed = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in page
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|<img|<link", page)


def test_a_review_can_be_read_by_scripts(writer, toy, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(review, "load_writer", lambda *cell, compare: writer)
    xml = tmp_path / "rules.xml"
    monkeypatch.setattr("sys.argv", ["compliance-xai", "review", "toy", CLAUSE, "--json", "--legalruleml", str(xml)])
    with pytest.raises(SystemExit):
        cli.main()
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], said["clause"], said["rule"]) == (writer.name, CLAUSE, RULE)
    assert said["checks"][0]["text"] == "2.6"
    assert len(said["parts"]) == len(list_elements(RULE))
    (statement,) = read_statements(xml)
    assert (format_rule(statement.rule), statement.paraphrase) == (RULE, CLAUSE)


def test_rules_of_a_batch_as_legalruleml(tmp_path):
    path = tmp_path / "rules.lrml"
    assert write_rules([("a 1", CLAUSE, RULE), ("b", "ramps \x07<b>", "no rule"), ("c", "", "")], path) == 2
    found = {one.key: (one.rule and format_rule(one.rule), one.paraphrase) for one in read_statements(path)}
    assert found == {"a 1": (RULE, CLAUSE), "b": (None, "ramps <b>"), "c": (None, "")}


def test_a_review_needs_a_clause_or_a_file(toy, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["compliance-xai", "explain", "toy"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "expected a clause or --file, found neither" in " ".join(capsys.readouterr().err.split())


def test_a_table_of_clauses_needs_a_column(tmp_path):
    path = tmp_path / "clauses.csv"
    path.write_text("clause,id\nA door,x\nA gate,\n")
    assert read_clauses(path) == [("x", "A door"), ("2", "A gate")]
    path.write_text("text\nA door\n")
    with pytest.raises(InputError, match="expected a column clause, found text"):
        read_clauses(path)


def test_what_was_measured_is_read_back():
    risk = Risk("without attribution", -1.0, {"unlikely": (0.0, 1.0, 2.0), "absent": (0.5, 0.5, 1.0)})
    assert Risk.from_coefficients(risk.coefficients()) == risk
    assert Risk.from_coefficients(Risk().coefficients()) == Risk()
    assert risk.predict(pd.DataFrame({"unlikely": [0.5], "absent": [math.nan]}))[0] == 0.5  # unknown counts as the mean


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
