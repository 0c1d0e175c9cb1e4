"""The report of a batch: hostile text stays text, and decisions are kept and exported."""

from __future__ import annotations

import pandas as pd
import pytest

from compliance_xai.figures.review_report import report_html

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script>'


@pytest.mark.parametrize("width", [390, 1280])
def test_decisions_are_kept_and_exported_and_hostile_text_stays_text(chromium, tmp_path, width):
    row = {"id": HOSTILE, "clause": f"{HOSTILE} {'W' * 500}", "rule": "then(x)", "error": "", "expected_errors": 0.5}
    part = {"start": 0, "end": 4, "flags": "absent"}
    check = {"chance": 0.8, "where": "rule", "text": "x", "reason": HOSTILE, "precision": "80%", "start": 0, "end": 4}
    rows = [row | {"parts": [part], "checks": [check]}, row | {"id": "b", "parts": [], "checks": [], "error": "Empty."}]
    path = tmp_path / "report.html"
    path.write_text(report_html(rows, "a model"), encoding="utf-8")
    context = chromium.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.title() == "Rules under review"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    first, second = page.locator("section").all()
    first.get_by_text("Edit").click()
    first.locator("textarea").fill("then(y)")
    second.get_by_text("Reject").click()
    second.locator("input[type=text]").fill("=1+1")
    page.reload()
    assert page.locator("#count").inner_text() == "2 of 2 decided"
    with page.expect_download() as download:
        page.get_by_role("button").click()
    found = pd.read_csv(download.value.path(), keep_default_na=False)
    assert found["decision"].tolist() == ["edit", "reject"]
    assert found["corrected"].tolist() == ["then(y)", ""]
    assert found["note"].tolist() == ["", "'=1+1"]
    assert found["id"].tolist() == [HOSTILE, "b"]
    context.close()
