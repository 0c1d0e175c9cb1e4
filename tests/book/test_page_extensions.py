"""The book's Sphinx extensions, on a small book: what a page of results shows first, and the links at its foot."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
FIGURE = (
    '<figure class="cx-figure" id="figure-a-b" data-interactive><p class="cx-title">Words</p>'
    '<img class="cx-still" alt="" src="data:image/webp;base64,AAAA">'
    '<script type="application/json">{"data": [0.123456789, "0.123456789 m \\u003c"]}</script></figure>'
)
TABLE = '<div class="cx-table"><p class="cx-caption">All</p><div class="cx-scroll"><table>ROWS</table></div></div>'
REPOSITORY = "https://github.com/someone/rules"


def notebook(*cells):
    made = []
    for text in cells:
        data = {"output_type": "display_data", "metadata": {}, "data": {"text/html": text, "text/plain": "x"}}
        code = {"cell_type": "code", "source": "1", "metadata": {}, "execution_count": 1, "outputs": [data]}
        made.append(code if text.startswith("<") else {"cell_type": "markdown", "source": text, "metadata": {}})
    return {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


def build(folder, options):
    source = folder / "source"
    pages = {"index": "# Home\n\n```{toctree}\nruns/quick/contexts\n```\n"}
    sections = [part for name in ("One", "Two", "Three", "Four") for part in (f"## {name}\n\nWhy {name}?", FIGURE)]
    table = TABLE.replace("ROWS", "<tr><td>1</td></tr>" * 12)
    (source / "book" / "runs" / "quick").mkdir(parents=True)
    for name, text in pages.items():
        (source / "book" / f"{name}.md").write_text(text, encoding="utf-8")
    page = source / "book" / "runs" / "quick" / "contexts.ipynb"
    page.write_text(json.dumps(notebook("# Contexts", *sections, table)), encoding="utf-8")
    short = source / "book" / "runs" / "short" / "runs" / "quick" / "contexts.html"
    short.parent.mkdir(parents=True)
    short.write_text('<div class="cx-short">Found.</div>', encoding="utf-8")
    (source / "notebooks").mkdir()
    (source / "notebooks" / "09_contexts.py").touch()
    shutil.copy(ROOT / "CITATION.cff", source)
    settings = {"extensions": ["myst_nb", "page_anatomy", "page_tools"], "nb_execution_mode": "off",
                "html_theme": "sphinx_book_theme", "html_theme_options": options, "root_doc": "book/index"}  # fmt: skip
    out = folder / "html"
    app = Sphinx(source, None, out, folder / "doctrees", "html", settings, status=None, warning=None)
    app.build()
    return out


@pytest.fixture(scope="module", params=["", REPOSITORY], ids=["no address", "address"])
def built(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        return request.param, build(folder, {"repository_url": request.param} if request.param else {})
    finally:
        sys.path.remove(str(ROOT / "book" / "_ext"))


def test_a_page_says_first_what_it_found_and_folds_what_comes_after_its_first_section(built):
    text = (built[1] / "book" / "runs" / "quick" / "contexts.html").read_text(encoding="utf-8")
    places = [text.index(part) for part in ('<div class="cx-short">Found.', "Why One?", "Why Two?")]
    assert places == sorted(places)
    folds = [found.start() for found in re.finditer('<details class="cx-fold"><summary>Figures and tables', text)]
    assert len(folds) == 3
    assert folds[0] > places[-1]
    assert "<summary>Table: All</summary>" in text


def test_figures_have_numbers_and_are_read_when_they_are_needed(built):
    page = built[1] / "book" / "runs" / "quick" / "contexts.html"
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'<a class="cx-permalink" href="#figure-a-b">(Figure \d)</a> Words', text) == [
        f"Figure {number}" for number in (1, 2, 3, 4)
    ]
    assert "application/json" not in text
    (drawing,) = set(re.findall(r'data-drawing="([^"]+)"', text))
    (still,) = set(re.findall(r'class="cx-still" alt="" loading="lazy" src="([^"]+)"', text))
    assert (
        page.parent / drawing
    ).read_text() == '(window.drawings ??= {})[\'figure-a-b\'] = {"data":[0.123457,"0.123456789 m <"]};\n'
    assert (page.parent / still).read_bytes() == b"\0\0\0"


def test_every_page_can_be_downloaded_and_cited_and_links_need_the_address_of_the_repository(built):
    address, out = built
    page = out / "book" / "runs" / "quick" / "contexts.html"
    text = page.read_text(encoding="utf-8")
    source = re.search(r'<a href="([^"]+)" download>Download as a notebook</a>', text)[1]
    assert (page.parent / source).is_file()
    assert "@misc{compliance_xai-runs-quick-contexts," in text
    assert "  title = {{Contexts}}" in text
    assert ("Report a mistake" in text) == ("mybinder.org" in text) == bool(address)
    if address:
        assert "https://mybinder.org/v2/gh/someone/rules/main?urlpath=lab/tree/notebooks/09_contexts.py" in text
        assert f"{REPOSITORY}/issues/new?title=Mistake%20on%20page%20Contexts" in text
        assert f"  url = {{{REPOSITORY}}}" in text
    home = (out / "book" / "index.html").read_text(encoding="utf-8")
    assert "Download its source" in home
