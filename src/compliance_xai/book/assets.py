"""What the built book needs beside its pages: the files of its figures and the landing page's verdicts."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compliance_xai.figures.tables import claims_html

ENDINGS = (".png", ".svg", ".csv")


def collect_assets(root: Path | str, studies: Sequence[str], *, reference: Path | None = None) -> Path:
    """Fill ``book/runs/_static`` and ``book/runs/glance.md`` before the book is built; gives the first.

    Unchanged files are left alone, files of figures that are gone are removed. Works for a study that has not run.

    Parameters
    ----------
    root
        The project's folder.
    studies
        The studies whose figures the book shows; the landing page gives the verdicts of the first.
    reference
        Where a larger study is stored: its verdicts, if it is there, stand before those of the first.
    """
    root = Path(root)
    static = root / "book" / "runs" / "_static"
    static.mkdir(parents=True, exist_ok=True)
    results = root / "results"
    kept = set()
    for path in sorted(path for study in studies for path in (results / study).rglob("figures/*")):
        if path.suffix in ENDINGS and not path.name.startswith("."):
            inner = [part for part in path.relative_to(results).parts if part != "figures"]
            target = static.joinpath("figures", *inner)
            _copy(path, target)
            kept.add(target)
    for stale in [path for path in (static / "figures").rglob("*") if path.is_file() and path not in kept]:
        stale.unlink()
    glance = _write_glance(results / studies[0], studies[0], reference)
    target = root / "book" / "runs" / "glance.md"
    if not target.is_file() or target.read_text(encoding="utf-8") != glance:
        target.write_text(glance, encoding="utf-8")
    return static


def _write_glance(results: Path, study: str, reference: Path | None) -> str:
    parts = ["## Findings at a glance"]
    if reference is not None and (findings := _read_findings(reference / "findings.json")):
        link = f"[The study {reference.name} and all of its evidence]({reference.name}.md)"
        parts += [_show_findings(findings, reference.name), link]
    path = results / "findings" / "findings.json"
    if findings := _read_findings(path):
        parts += [_show_findings(findings, study), f"[How each verdict came about](runs/{study}/findings.ipynb)"]
    else:
        parts.append(f"The study `{study}` has not been judged yet: run `make book STUDY={study}`.")
    return "\n\n".join(parts) + "\n"


def _read_findings(path: Path) -> list[dict[str, Any]]:
    """The findings in a file; none where it is missing."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return stored["findings"] if isinstance(stored, dict) else stored


def _show_findings(findings: list[dict[str, Any]], study: str) -> str:
    """The verdicts of a study as cards, and what they hold for."""
    where = sorted({(str(finding["corpus"]), str(finding["ladder"])) for finding in findings})
    names = "; ".join(
        f"corpus <em>{html.escape(corpus)}</em>, ladder <em>{html.escape(ladder)}</em>" for corpus, ladder in where
    )
    return (
        f"```{{raw}} html\n{claims_html(findings, short=True)}\n"
        f"<p>Study <em>{html.escape(study)}</em>: {names}. "
        f"These verdicts hold for what was run, not for models of other sizes.</p>\n```"
    )


def _copy(source: Path, target: Path) -> None:
    if (
        target.is_file()
        and target.stat().st_size == source.stat().st_size
        and target.read_bytes() == source.read_bytes()
    ):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
