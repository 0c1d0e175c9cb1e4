"""Stored results, the verdicts beside them and the book's text must say the same."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import simulated_studies as power
from power import SEEDS, STUDIES, describe_designs, simulate_rates, simulate_shipped

from compliance_xai.book import evidence
from compliance_xai.figures import verdicts_html
from compliance_xai.figures.tables import typeset
from compliance_xai.pipeline.raw_frames import DECLARED, declare, recompute
from compliance_xai.stats.claims import SUPPORTED, findings_from_json
from compliance_xai.stats.declared import CLAIMS, why_undecidable
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import list_studies, load_study

REPOSITORY = Path(__file__).resolve().parents[2]
STORED = sorted(path.parent for path in (REPOSITORY / evidence.STORED).glob("*/findings.json"))
KEPT = [folder for folder in STORED if (folder / DECLARED).is_file()]
CHAPTERS = ("verdicts.md", "power.md")


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_stored_findings_are_those_of_every_claim(folder):
    findings = findings_from_json((folder / "findings.json").read_text(encoding="utf-8"))
    assert [finding.claim for finding in findings] == list(CLAIMS)


def test_a_verdict_by_earlier_rules_says_so(tmp_path):
    finding = json.loads((STORED[0] / "findings.json").read_text(encoding="utf-8"))[0]
    old = {name: value for name, value in finding.items() if name != "statements"}
    for name, record in (("old", old), ("new", finding | {"statements": []})):
        (tmp_path / evidence.STORED / name).mkdir(parents=True)
        (tmp_path / evidence.STORED / name / "findings.json").write_text(json.dumps([record]), encoding="utf-8")
    page = evidence.format_findings(tmp_path)
    assert "old (stored, by earlier rules)" in page
    assert "new (stored)" in page


@pytest.mark.skipif(not KEPT, reason="no study with raw frames is kept in this checkout")
@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_stored_findings_follow_from_the_stored_raw_frames(folder):
    assert recompute(folder)[1] == []


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_the_page_of_verdicts_shows_every_stored_finding(folder):
    page = evidence.format_findings(REPOSITORY)
    for finding in findings_from_json((folder / "findings.json").read_text(encoding="utf-8")):
        (table,) = (part for part in page.split('class="cx-table"') if f'cx-caption">{finding.claim}: ' in part)
        (row,) = (row for row in table.split("<tr>") if f"{folder.name} (stored" in row)
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
    finding |= {
        "study": "x",
        "corpus": "c",
        "ladder": "l",
        "effect_name": "",
        "n": 0,
        "reason": "a single seed",
        "what_would_change": "More <seeds>.",
    }
    page = verdicts_html([finding], caption="c")
    assert "More &lt;seeds&gt;." in page
    assert "<td></td>" in page


STORED_POWER = json.loads((REPOSITORY / evidence.POWER).read_text(encoding="utf-8"))


def test_what_is_simulated_is_what_the_stored_shares_are_of():
    assert STORED_POWER["designs"] == describe_designs()
    assert STORED_POWER["effects"] == {claim: list(effects) for claim, effects in power.EFFECTS.items()}
    assert (STORED_POWER["studies"], STORED_POWER["units"]) == (STUDIES, power.UNITS)
    assert {row["seeds"] for row in STORED_POWER["rates"]} == set(SEEDS)
    for row in STORED_POWER["shipped"]:
        assert row["reasons"] == list(why_undecidable(declare(load_study(row["study"])))[row["claim"]])


@pytest.mark.parametrize(("claim", "effect"), [("C2", 0.05), ("C4", 0.1)])
def test_stored_shares_are_those_of_a_new_simulation(claim, effect):
    rows = [row for row in STORED_POWER["rates"] if (row["claim"], row["effect"], row["seeds"]) == (claim, effect, 2)]
    assert rows == [simulate_rates(claim, effect, 2)]


def test_stored_shares_of_a_shipped_study_are_those_of_its_design():
    (row,) = (row for row in STORED_POWER["shipped"] if (row["study"], row["claim"]) == ("reference", "C4"))
    assert row == simulate_shipped("reference", "C4")


def test_power_grows_with_the_effect():
    rates = pd.DataFrame(STORED_POWER["rates"]).set_index("claim").loc["C2"]
    assert rates[rates["effect"] == 0][SUPPORTED].max() <= 0.1
    assert rates[(rates["effect"] == 0.15) & (rates["seeds"] == 5)][SUPPORTED].min() >= 0.8


def test_the_power_page_draws_what_its_tables_say(tmp_path):
    rates = [row | {"supported": 0.0} for row in STORED_POWER["rates"]]
    stored = tmp_path / "power.json"
    studies = dict.fromkeys(STUDIES, 10)
    stored.write_text(json.dumps(STORED_POWER | {"rates": rates, "studies": studies}), encoding="utf-8")
    text = evidence.format_power(stored, tmp_path / "power")
    assert text.count("<table>") == 1 + len(power.EFFECTS) + 1
    assert 'href="../_static/power/power.csv"' in text
    drawn = pd.read_csv(tmp_path / "power" / "power.csv")
    assert drawn[["claim", "effect", "seeds"]].to_dict("records") == [
        {name: row[name] for name in ("claim", "effect", "seeds")} for row in rates
    ]
    assert drawn["high"].tolist() == pytest.approx([0.2775] * len(rates), abs=1e-3)  # Wilson, 0 of 10: z² / (10 + z²)


@pytest.mark.parametrize("name", list_studies())
def test_what_a_shipped_study_can_decide_is_known_before_its_models_are_made(name):
    declared = declare(load_study(name))
    assert set(why_undecidable(declared)) == set(CLAIMS)
    assert all(load_ladder(load_study(name).ladder).listed(scale).parameters for scale in declared.families)
