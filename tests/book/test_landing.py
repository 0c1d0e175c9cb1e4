"""The landing page: results with a small picture each, and verdicts of claims that the study could decide."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from compliance_xai.book.landing import Result, draw_interval, find_results, format_citation, format_landing
from compliance_xai.pipeline.summary_stage import open_summary

REPOSITORY = Path(__file__).resolve().parents[2]
OBSERVED = {
    "question": ["What moves a pattern?", "What moves a pattern?", "Do copies rest on their words?"],
    "comparison": ["Another seed", "Another method", "All fine-tuned models"],
    "value": [1.0, 1.6, 0.5], "low": [0.9, 1.5, 0.4], "high": [1.1, 1.7, 0.6],
    "unit": ["times as far", "times as far", "above chance"], "p": [0.9, 0.001, 0.001], "n_clauses": [40, 40, 30],
    "sentence": ["Another seed <moves> it.", "Another <method> moves it.", "All fine-tuned models: 70% of copies."],
}  # fmt: skip
FINDING = {"claim": "C1", "statement": "Patterns differ.", "verdict": "supported", "reason": "By a lot."}


@pytest.fixture
def folder(tmp_path):
    """A summary with observations, correctness by cell and exact matches by split."""
    folder = tmp_path / "toy"
    folder.mkdir()
    described = json.loads((REPOSITORY / "data" / "results" / "reference" / "study.json").read_text(encoding="utf-8"))
    described["study"] |= {"name": "a<b", "scales": ["1m", "4m"]}
    folder.joinpath("study.json").write_text(json.dumps(described), encoding="utf-8")
    findings = [FINDING, {"claim": "C2", "statement": "s", "verdict": "not judged", "reason": "One seed."}]
    folder.joinpath("findings.json").write_text(json.dumps(findings), encoding="utf-8")
    pd.DataFrame(OBSERVED).to_csv(folder / "observations.csv", index=False)
    cells = {"scale": ["1m", "4m", "4m"], "strategy": ["full", "none", "full"], "baseline": "delete", "kind": "all"}
    numbers = {"precision_at_k": [0.6, 0.2, 0.8], "precision_at_k_low": 0.7, "precision_at_k_high": 0.9}
    correctness = pd.DataFrame(cells | numbers | {"precision_at_k_chance_high": 0.09, "method": "leave_one_out"})
    correctness.to_csv(folder / "correctness.csv", index=False)
    scores = {"scale": "4m", "strategy": "full", "measure": "exact", "split": ["test", "document"]}
    scores |= {"mean": [0.97, 0.02], "low": [0.9, 0.0], "high": [1.0, 0.1]}
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    return folder


def test_results_are_one_sentence_and_one_picture_each(folder):
    found = find_results(open_summary(folder))
    assert [one.sentence.split(" (")[0] for one in found] == [
        "80% of the words that attribution puts first are the words that decide the part of the rule",
        "Another <method> moves it.",
        "Do copies rest on their words? All fine-tuned models: 70% of copies.",
        "In contexts that it was trained on, full fine-tuning at 4M writes 97% of the rules exactly right; in one that "
        "it has never seen, 2%.",
    ]
    assert [one.nothing for one in found] == [0.09, 1.0, 0.0, 0.97]
    page = format_landing({folder: "reference.html"})
    assert page.count("<svg") == len(found)
    assert "Another &lt;method&gt; moves it." in page
    assert '<em>a&lt;b</em>: <a href="reference.html">' in page


def test_only_claims_that_the_study_could_decide_have_a_verdict(folder):
    page = format_landing({folder.with_name("missing"): "x.html", folder: "y.html"})
    assert "C1: supported" in page
    assert "C2" not in page


def test_a_study_that_has_not_finished_has_no_results(tmp_path):
    assert format_landing({tmp_path: "x.html"}).startswith("The study of this book has not finished yet")


def test_the_citation_is_that_of_the_citation_file():
    told = format_citation(REPOSITORY / "CITATION.cff")
    assert told.startswith("compliance_xai contributors, version ")
    assert "  author = {{compliance_xai contributors}},\n" in told
    assert "  title = {{compliance_xai: which words" in told


def test_an_interval_is_drawn_in_order():
    drawn = draw_interval(Result("s", value=0.5, low=0.25, high=1.0))
    start, end = map(float, re.search(r'class="bar" d="M([\d.]+) 11H([\d.]+)"', drawn).groups())
    nothing, value = (float(re.search(pattern, drawn)[1]) for pattern in (r"M([\d.]+) 2V20", r'cx="([\d.]+)"'))
    assert nothing < start < value < end
    assert "bar" not in draw_interval(Result("s", value=0.5, low=float("nan"), high=float("nan")))
