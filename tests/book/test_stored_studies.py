"""Stored studies: the same summary as for a study that was run, over whatever tables are there."""

import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from compliance_xai.book.building import make_toc, write_stored_pages
from compliance_xai.book.evidence import format_reviews
from compliance_xai.pipeline.execution import drop_empty_sections
from compliance_xai.pipeline.summary_stage import summary
from compliance_xai.stats.review_flags import Risk
from compliance_xai.study.settings import load_study

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one stored study, which has verdicts and one table only."""
    for name in ("notebooks", "studies"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    stored = tmp_path / "data" / "results" / "mine"
    stored.mkdir(parents=True)
    kept = REPOSITORY / "data" / "results" / "reference"
    description = json.loads((kept / "study.json").read_text(encoding="utf-8"))
    description["study"]["name"] = "mine"
    description["machine"]["processor"] = "A <fast> one"
    (stored / "study.json").write_text(json.dumps(description), encoding="utf-8")
    (stored / "findings.json").write_bytes((kept / "findings.json").read_bytes())
    quality = {"scale": "1m", "strategy": "full", "seed": [0, 1], "split": "test", "metric": "lrml_f1"}
    pd.DataFrame(quality | {"value": [40.0, 41.0]}).to_csv(stored / "training.csv", index=False)
    quality["reason"] = ["", "NA"]
    pd.DataFrame(quality | {"value": [40.0, 41.0]}).to_csv(stored / "scores.csv", index=False)
    monkeypatch.setenv("COMPLIANCE_XAI_PROJECT", str(tmp_path))
    return tmp_path


def test_a_stored_study_is_found_by_its_folder(project):
    for place in ("data/results/mine", project / "data" / "results" / "mine"):
        results = summary(place)
        assert (results.name, results.full, results.baseline) == ("mine", "full", "delete")
        assert results.figures == project / "results" / "stored" / "mine" / "figures"
        assert results.read("scores")["reason"].tolist() == ["", "NA"]
        assert results.holds("scores")
        assert not results.holds("scores", "lift")


def test_main_rows_are_those_of_the_first_method(project):
    frame = pd.DataFrame({"method": ["leave_one_out", "surrogate_ridge"], "baseline": ["delete", "delete"]})
    frame.to_csv(project / "data" / "results" / "mine" / "summary.csv", index=False)
    results = summary("data/results/mine")
    assert results.read_main("summary", baseline="delete")["method"].tolist() == ["leave_one_out"]
    assert results.read_main("summary", baseline="mask").empty


def test_what_reviews_find_is_read_from_a_stored_study(project):
    folder = project / "data" / "results" / "mine"
    assert format_reviews(project, "quick") == "No study of this copy has measured its reviews.\n"
    cell = {"scale": "4m", "strategy": "full"}
    reading = {"split": "test", "order": ["random", "likelihood", "entropy", "risk"], "n_parts": 50, "n_wrong": 8}
    reading |= {"read": 0.2, "found": [0.2, 0.5, 0.375, 0.625]}
    risk = Risk("unlikely", -2.0, {"unlikely": (0.0, 1.0, 1.5)}).coefficients().assign(**cell)
    flags = {"flag": ["absent", "any"], "split": "test", "n_items": 50, "n_wrong": 8, "n_flagged": [2, 9]} | cell
    flags |= dict.fromkeys(("precision", "precision_low", "precision_high"), 0.5)
    flags |= {name: [0.25, 0.75] for name in ("recall", "recall_low", "recall_high")}
    for name, frame in (("reading", reading), ("risk", risk), ("flags", flags)):
        pd.DataFrame(frame).to_csv(folder / f"review_{name}.csv", index=False)
    text = format_reviews(project, "quick")
    assert "the riskiest 20% of 50 parts hold 62% of the 8 wrong ones; ordered by likelihood 50%" in text
    assert "Attribution improves the order of reading for none of them." in text
    assert "<td>the clause does not contain it</td>" in text
    assert text.count("<tr>") == 3


def section(text, outputs, *, optional=True):
    heading = nbformat.v4.new_markdown_cell(text, metadata={"tags": ["optional"] if optional else []})
    return [heading, nbformat.v4.new_code_cell("x", outputs=outputs)]


def test_sections_that_show_nothing_are_left_out():
    shown = [nbformat.v4.new_output("display_data", {"text/plain": "x"})]
    cells = [*section("one", []), *section("two", shown), *section("three", [], optional=False), *section("four", [])]
    notebook = nbformat.v4.new_notebook(cells=cells)
    drop_empty_sections(notebook)
    assert [cell.source for cell in notebook.cells] == ["two", "x", "three", "x"]


def test_a_chapter_lists_the_summary_of_its_stored_study(project):
    stored = project / "data" / "results"
    (stored / "mine").rename(stored / "reference")
    evidence = next(part for part in make_toc(load_study("quick"))["parts"] if part["caption"] == "The evidence")
    sections = {chapter["file"]: chapter.get("sections") for chapter in evidence["chapters"]}
    assert sections["book/reference"] == [{"file": "book/runs/stored/reference"}]
    assert sections["book/hybrids"] is None


@pytest.mark.slow
def test_the_page_shows_what_the_tables_hold_and_is_made_once(project):
    for name in ("scores", "training"):
        (project / "data" / "results" / "mine" / f"{name}.csv").unlink()
    (page,) = write_stored_pages()
    kept = project / "results" / "stored" / "mine" / "page" / "mine.ipynb"
    made = kept.stat().st_mtime_ns
    text = page.read_text(encoding="utf-8")
    assert "# Summary: mine" in text
    assert "A &lt;fast&gt; one" in text
    assert "How good are the rules?" not in text
    assert write_stored_pages() == [page]
    assert kept.stat().st_mtime_ns == made
