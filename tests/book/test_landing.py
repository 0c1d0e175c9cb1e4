"""The landing page: what was found, a sentence and a picture each, and verdicts of claims that could be judged."""

import html
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from compliance_xai.book.landing import MOST, find_results, format_citation, format_landing, format_short
from compliance_xai.pipeline.summary_stage import open_summary

REPOSITORY = Path(__file__).resolve().parents[2]
METHOD = {"method": "leave_one_out"}
OBSERVED = {
    "question": ["What moves a pattern more than the choice of strategy?"] * 2,
    "comparison": ["Another seed", "Another <method>"],
    "value": [1.0, 1.6], "low": [0.9, 1.5], "high": [1.1, 1.7],
    "unit": "times as far", "p": [0.9, 0.001], "n_clauses": 40, "sentence": "s",
}  # fmt: skip
FINDING = {"claim": "C1", "statement": "Patterns differ.", "verdict": "supported", "reason": "By a lot."}


def write(folder, name, **columns):
    rows = max([len(column) for column in columns.values() if isinstance(column, list)] or [1])
    pd.DataFrame(columns | METHOD, index=range(rows)).to_csv(folder / f"{name}.csv", index=False)


@pytest.fixture
def folder(tmp_path):
    """A summary with every table that the landing page reads, the numbers made up."""
    folder = tmp_path / "toy"
    folder.mkdir()
    described = json.loads((REPOSITORY / "data" / "results" / "reference" / "study.json").read_text(encoding="utf-8"))
    described["study"] |= {"name": "a<b", "scales": ["1m", "4m"]}
    folder.joinpath("study.json").write_text(json.dumps(described), encoding="utf-8")
    findings = [FINDING, {"claim": "C2", "statement": "s", "verdict": "not judged", "reason": "One seed."}]
    folder.joinpath("findings.json").write_text(json.dumps(findings), encoding="utf-8")
    pd.DataFrame(OBSERVED).to_csv(folder / "observations.csv", index=False)
    write(folder, "correctness", scale=["1m", "4m", "4m"], strategy=["full", "none", "full"], baseline="delete",
          kind="all", precision_at_k=[0.6, 0.2, 0.8], precision_at_k_low=0.7, precision_at_k_high=0.9,
          precision_at_k_chance_high=0.09)  # fmt: skip
    write(folder, "scores", scale="4m", strategy="full", measure="exact", split=["test", "document"], n_clauses=60,
          mean=[0.97, 0.0], low=[0.9, 0.0], high=[1.0, 0.1])  # fmt: skip
    view = {"baseline": "delete", "sign": "absolute"}
    write(folder, "lift", scale="4m", strategy="full", measure="log_lift", category=["number", "unit", "deontic"],
          mean=[0.6931, -0.6931, 0.0], low=[0.5, -0.8, -0.1], high=[0.9, -0.5, 0.1], **view)  # fmt: skip
    write(folder, "contrasts", scale="all", measure="log_words", strategy_a="lora", strategy_b="full", mean_a=1.6094,
          mean_b=1.3863, difference=0.22, p=0.001, p_runs=0.2, **view)  # fmt: skip
    write(folder, "held_out", scale="all", measure="log_words", baseline="delete", known=1.3863, held_out=2.0794,
          difference=0.69, low=0.4, high=0.9, reason="")  # fmt: skip
    write(folder, "signals", split="document", signal=["unlikely", "spread", "weak"], auroc=[0.95, 0.77, 0.4],
          low=0.3, high=1.0, difference_low=-0.3, difference_high=-0.1)  # fmt: skip
    write(folder, "literals", scale="all", baseline="delete", n_clauses=14, hit=0.98, chance=0.06, low=0.9)
    return folder


def read_text(page):
    """The text of a page's raw HTML."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())


def test_each_result_is_a_plain_sentence_with_the_numbers_of_the_study(folder):
    page = format_landing({folder: "runs/toy/{}.html"})
    told = read_text(page)
    for sentence in (
        "Of the words that attribution puts first, 80% are those words.",
        "A number counts 2.0 times as much as the average word of its clause, a unit 0.5 times, and “shall”",
        # The strategies' runs could have come out so by chance (p_runs), whatever the clauses say.
        "A rule depends on 4.0 words of its clause after full fine-tuning, and on 5.0 after LoRA. Chance could explain",
        "Another <method>: this changes which words seem to count 1.6 times as much as another fine-tuning strategy",
        "the model (full fine-tuning, 4M) gets 97% of the rules exactly right. In a new subject it gets none",
        "There a rule depends on 8.0 words of its clause, in known subjects on 4.0.",
        "the model’s own probability picks out the wrong one 95 times in 100; the best",
    ):
        assert sentence in told
    assert page.count("<li>") == page.count('<div class="cx-bars">') == page.count("</div></li>") == MOST
    assert '<a href="runs/toy/contexts.html">Contexts</a>' in page
    assert "Another &lt;method&gt;: this changes" in page
    assert "a&lt;b" in page
    assert not re.search(r"nan|None|\[|p = ", told)


def test_a_result_without_its_table_is_left_out(folder):
    for name in ("correctness", "lift", "contrasts", "held_out", "signals", "scores"):
        (folder / f"{name}.csv").unlink()
    assert list(find_results(open_summary(folder))) == ["sources", "copies"]
    assert "When a rule repeats a number" in format_landing({folder: "x.html"})


def test_each_page_of_results_starts_with_what_it_found(folder):
    tell = format_short(open_summary(folder))
    assert "80% really decide the part of the rule in question" in tell("faithfulness")
    assert "on 5.0 after LoRA; chance could explain this difference." in tell("compare_strategies")
    assert "In a new subject a rule depends on 8.0 words of its clause, in known subjects on 4.0." in tell("contexts")
    told = read_text(tell("generate", "4m", "full"))
    assert "Of the rules for 60 clauses of known subjects, 97% are exactly the reference." in told
    assert told.endswith("Of the rules for 60 clauses of a new subject, none are exactly the reference.")
    assert tell("ladder").strip() == tell("finetune", "4m", "full").strip() == ""
    # Verdicts by earlier rules, which have no statements, are not repeated.
    assert "verdicts" not in tell("findings")
    folder.joinpath("findings.json").write_text(json.dumps([FINDING | {"statements": []}]), encoding="utf-8")
    assert "The verdicts on the paper’s claims: supported: C1." in format_short(open_summary(folder))("findings")


def test_only_claims_that_the_study_could_decide_have_a_verdict(folder):
    page = format_landing({folder.with_name("missing"): "x.html", folder: "y.html"})
    assert "C1: supported" in page
    assert "C2" not in page
    folder.joinpath("findings.json").write_text(json.dumps([FINDING | {"verdict": "not judged"}]), encoding="utf-8")
    assert "This study is too small to judge the paper’s four claims." in format_landing({folder: "y.html"})


def test_a_study_that_has_not_finished_has_no_results(tmp_path):
    assert format_landing({tmp_path: "x.html"}).startswith("The study of this book has not finished yet")


def test_the_citation_is_that_of_the_citation_file():
    told = format_citation(REPOSITORY / "CITATION.cff")
    assert told.startswith("compliance_xai contributors, version ")
    assert "  author = {{compliance_xai contributors}},\n" in told
    assert "  title = {{compliance_xai: which words" in told
