"""A notebook page with figures, built as ``make book`` does: a warning is an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compliance_xai import figures
from compliance_xai.book.building import collect_assets

REPOSITORY = Path(__file__).resolve().parents[2]

TOC = """\
format: jb-book
root: book/index
chapters: [{file: book/runs/toy/page}]
"""


def _page(outputs: list[str]):
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    cells = [new_markdown_cell("# A page\n\nInvented data: this page is only built in a test.", id="title")]
    for index, markup in enumerate(outputs):
        output = new_output("display_data", {"text/html": markup, "text/plain": "HTML"})
        cell = new_code_cell("figure", id=f"cell-{index}", execution_count=index + 1, outputs=[output])
        cell.metadata["tags"] = ["hide-input"]
        cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.mark.slow
def test_figures_build_without_a_warning_or_a_foreign_address(tmp_path, hostile, quality):
    import nbformat

    for name in ("_config.yml", "CITATION.cff"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(
        REPOSITORY / "book", tmp_path / "book", ignore=shutil.ignore_patterns("runs", "__pycache__", "*.md")
    )
    (tmp_path / "book" / "index.md").write_text("# Start\n", encoding="utf-8")
    folder = tmp_path / "results" / "toy" / "compare_sizes" / "figures"
    pieces = [
        figures.attribution_html(hostile),
        figures.figure_html(figures.draw_score_matrix(hostile, folder=folder)),
        figures.figure_html(figures.draw_quality_by_scale(quality, folder=folder)),
    ]
    page = tmp_path / "book" / "runs" / "toy" / "page.ipynb"
    page.parent.mkdir(parents=True)
    nbformat.write(_page(pieces), page)
    (tmp_path / "_toc.yml").write_text(TOC)
    collect_assets(tmp_path, ["toy"])

    call = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", call, "build", str(tmp_path), "-W", "-n", "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"}, check=False)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    html = tmp_path / "_build" / "html"
    shown = (html / "book" / "runs" / "toy" / "page.html").read_text(encoding="utf-8")
    assert shown.count('<figure class="cx-figure"') == 2
    assert "&lt;script&gt;alert(&quot;clause&quot;)&lt;/script&gt;" in shown
    assert '<script>alert("clause")' not in shown
    for address in re.findall(r'href="\.\./\.\./\.\./(_static/figures/[^"]+)"', shown):
        assert (html / address).is_file(), address
    for path in html.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]+"', text), path.name
        assert "unpkg" not in text
        assert not re.findall(r"<script[^>]*mathjax", text, re.I), path.name
