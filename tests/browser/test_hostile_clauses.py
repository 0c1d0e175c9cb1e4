"""Clauses and rules that are markup, through a whole study and its book: on every page they show as the text they are.

The study runs from its first notebook to its last, which takes a minute or two: set ``HOSTILE_BOOK=1`` (as CI does).
"""

from __future__ import annotations

import csv
import html
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from visits import Visit

ROOT = Path(__file__).resolve().parents[2]
ATTACKS = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "[see](javascript:window.hacked=1)",
    "](javascript:window.hacked=1)",
    "{math}`x` $x_1$ {raw} html",
    "</td></table><iframe src=about:blank></iframe>",
    "**not bold** _nor_ `this` | that |",
    "&lt;b&gt; &amp; ${window.hacked=1} {{ window.hacked=1 }}",
)
THINGS = (
    *("door", "stair", "window", "ramp", "wall", "roof", "pipe", "drain"),
    *("lamp", "fan", "beam", "slab", "tap", "lift", "rail", "gate"),
)
STUDY = """\
name: hostile
title: "A <b>hostile</b> [study](javascript:window.hacked=1)"
corpus: {source: table, path: hostile.csv}
ladder: embedded
scales: [0.3m]
strategies: {none: {}, full: {steps: 2, batch_size: 4, evaluations: 1}}
seeds: [0]
generate: {max_new_tokens: 24}
attribution: {baselines: [delete], clauses: 8}
metrics: {encoder: null}
thresholds: {bootstrap: 100, permutations: 100}
threads: 1
"""


def clause_of(number: int) -> str:
    attack = ATTACKS[number % len(ATTACKS)]
    return (
        f"{number + 1}.{number} Each {THINGS[number]} {attack} shall be {100 + 7 * number} mm from a {THINGS[-number]}."
    )


def write_corpus(path: Path) -> None:
    """Rows that differ in their words, each with an attack in its clause, in its rule and in its context."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "clause", "rule", "context", "split"])
        for number, thing in enumerate(THINGS):
            attack = ATTACKS[number % len(ATTACKS)]
            rule = f"if(is({thing}.label,'{attack}')),then(obligation(greaterThanEqual({thing}.width,{number + 1} mm)))"
            split = "test" if number < 8 else "train" if number < 12 else "validation"
            writer.writerow([f"row-{number}", clause_of(number), rule, f"context {attack}", split])


def build_book(project: Path) -> Path:
    """Run the study in a project of its own; gives its built book."""
    for name in ("notebooks", "workshop", "studies", "book", "benchmarks", "profiles"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    for file in ROOT.iterdir():  # pages include some of them
        if file.is_file():
            shutil.copy(file, project)
    (project / "data").symlink_to(ROOT / "data")
    write_corpus(project / "hostile.csv")
    (project / "studies" / "hostile.yaml").write_text(STUDY, encoding="utf-8")
    places = {"COMPLIANCE_XAI_PROJECT": str(project), "COMPLIANCE_XAI_DATA": str(ROOT / "data")}
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    for command in (["study", "run", "hostile", "--cores", "2"], ["book", "build", "hostile"]):
        done = subprocess.run(
            [sys.executable, "-m", "compliance_xai.cli", *command],
            cwd=project, env={**os.environ, **places, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return project / "_build" / "html"


@pytest.mark.skipif(os.environ.get("HOSTILE_BOOK") != "1", reason="runs a study of its own: set HOSTILE_BOOK=1")
def test_markup_in_clauses_and_rules_is_text_on_every_page(chromium, tmp_path):
    book = build_book(tmp_path)
    for path in sorted((book / "book").rglob("*.html")):
        with Visit(chromium, book, str(path.relative_to(book))) as visit:
            visit.scroll()
            problems = visit.problems + visit.find_markup() + visit.find_departures()
            problems += ["a script of the corpus ran"] if visit.page.evaluate("'hacked' in window") else []
            assert problems == [], path.name
            seen = visit.page.locator("article").first.inner_text()
            if path.name == "0.3m-full-attribute.html":
                assert all(clause_of(number) in seen for number in range(3))
            if path.name == "0.3m-full-generate.html":
                assert ATTACKS[0] in seen
            assert html.escape(ATTACKS[0]) not in seen, path.name
    with Visit(chromium, book, "book/explorer.html") as visit:
        visit.page.wait_for_selector(".ce-heaviest")
        shown = set(visit.page.locator(".ce-row-text").all_inner_texts())
        assert shown == {clause_of(number) for number in range(8)}
        for row in visit.page.locator(".ce-list [role=option]").all():
            row.click()
            for piece in visit.page.locator(".ce-rule [role=radio]").all()[:8]:
                piece.hover()
        assert visit.problems + visit.find_markup() == []
        assert not visit.page.evaluate("'hacked' in window")
