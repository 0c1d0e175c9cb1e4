"""Stored results, the verdicts beside them and the book's text must say the same."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from compliance_xai.book import evidence
from compliance_xai.figures import verdicts_html
from compliance_xai.stats.claim_records import STATEMENTS, findings_from_json
from compliance_xai.stats.claims import FRAMES, judge
from compliance_xai.study.claim_settings import ClaimTests, Thresholds
from compliance_xai.study.labels import typeset

REPOSITORY = Path(__file__).resolve().parents[2]
STORED = sorted(path.parent for path in (REPOSITORY / evidence.STORED).glob("*/findings.json"))
CHAPTERS = ("verdicts.md", "power.md")


def read_frames(folder):
    frames = {}
    for tables in FRAMES.values():
        for name, table in tables.items():
            frame = pd.read_csv(folder / f"{table}.csv", dtype={"reason": str, "note": str})
            for column in frame.columns.intersection(["reason", "note"]):
                frame[column] = frame[column].fillna("")
            frames[name] = frame
    return frames


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_stored_verdicts_follow_from_the_stored_tables(folder):
    manifest = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    findings = findings_from_json((folder / "findings.json").read_text(encoding="utf-8"))
    assert [finding.claim for finding in findings] == list(STATEMENTS)
    if "tests" not in manifest["study"]:
        # Stored before tests were declared; its numbers must stand in its tables all the same.
        text = {f"{value:.5g}" for path in folder.glob("*.csv") for value in _numbers(path)}
        for finding in findings:
            assert {f"{abs(finding.effect):.5g}"} <= text
        return
    study = manifest["study"]
    again = judge(
        ClaimTests(**study["tests"]),
        Thresholds(**study["thresholds"]),
        read_frames(folder),
        corpus=study["corpus"]["source"],
        ladder=study["ladder"],
        kinds={name: settings["kind"] for name, settings in study["strategies"].items()},
        method=study["attribution"]["method"],
    )
    for stored, new in zip(findings, again, strict=True):
        assert (stored.verdict, stored.n, stored.effect_name) == (new.verdict, new.n, new.effect_name)
        assert (stored.effect is None) is (new.effect is None)
        assert stored.effect is None or stored.effect == pytest.approx(new.effect, rel=1e-4)


def _numbers(path):
    frame = pd.read_csv(path)
    return frame.select_dtypes("number").abs().to_numpy().ravel()


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_the_page_of_verdicts_shows_every_stored_finding(folder):
    page = evidence.format_findings(REPOSITORY)
    for finding in findings_from_json((folder / "findings.json").read_text(encoding="utf-8")):
        (table,) = (part for part in page.split('class="cx-table"') if f'cx-caption">{finding.claim}: ' in part)
        (row,) = (row for row in table.split("<tr>") if f"{folder.name} (stored)" in row)
        assert finding.verdict in row
        if finding.effect is not None:
            assert typeset(f"{finding.effect:.3f}") in row
        assert f">{finding.n}<" in row


def test_a_changed_result_changes_the_page(tmp_path):
    source = STORED[0] / "findings.json"
    folder = tmp_path / evidence.STORED / "some"
    folder.mkdir(parents=True)
    findings = json.loads(source.read_text(encoding="utf-8"))
    (folder / "findings.json").write_text(json.dumps(findings), encoding="utf-8")
    before = evidence.format_findings(tmp_path)
    findings[0] |= {"verdict": "supported", "effect": 1.2345}
    (folder / "findings.json").write_text(json.dumps(findings), encoding="utf-8")
    after = evidence.format_findings(tmp_path)
    assert before != after
    assert "1.234" in after or "1.235" in after
    assert evidence.format_findings(tmp_path / "nothing") == "<p>No study was run yet.</p>"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapters_about_evidence_type_no_number(chapter):
    text = (REPOSITORY / "book" / chapter).read_text(encoding="utf-8")
    assert "```{include} runs/" in text
    prose = re.sub(r"`[^`]*`|\bC[1-4]\b|effect 0", "", text)
    assert re.findall(r"\d+", prose) == []


def test_a_finding_without_an_effect_has_an_empty_cell():
    finding = {"claim": "C1", "statement": "s", "verdict": "inconclusive", "effect": None, "low": None, "high": None}
    finding |= {"effect_name": "", "n": 0, "reason": "a single seed", "what_would_change": "More <seeds>."}
    page = verdicts_html([finding], caption="c")
    assert "More &lt;seeds&gt;." in page
    assert "<td></td>" in page


def test_power_rows_are_shares_that_grow_with_the_effect():
    frame = evidence.power_frame("C4", studies=40)
    assert frame["effect"].drop_duplicates().tolist() == [0.0, *evidence.EFFECTS["C4"]]
    assert frame[frame["effect"] == 0]["2 seeds"].max() <= 0.1
    assert frame[frame["effect"] == frame["effect"].max()]["5 seeds"].min() >= 0.8


def test_the_power_page_draws_what_its_tables_say(tmp_path):
    text = evidence.format_power(tmp_path / "power", studies=20)
    assert text.count("<table>") == 2 + len(evidence.EFFECTS)
    assert 'href="../_static/power/power.csv"' in text
    drawn = pd.read_csv(tmp_path / "power" / "power.csv")
    counted = {(row.claim, row.effect, row.seeds): row for row in drawn.itertuples()}
    told = evidence.power_frame("C4", studies=20).set_index(["effect", "clauses"])
    for effect in (0.0, *evidence.EFFECTS["C4"]):
        assert counted["C4", effect, 5].value == told.loc[(effect, evidence.DRAWN), "5 seeds"]
    assert ((drawn["low"] <= drawn["value"]) & (drawn["value"] <= drawn["high"])).all()
    none = drawn[drawn["value"] == 0].iloc[0]
    assert none["high"] == pytest.approx(0.161, abs=1e-3)  # Wilson, 0 of 20: z² / (20 + z²)
