"""Sphinx extension: the order of a page of results. What it found comes first, then a section; the rest is folded.

The sentences are files that ``compliance_xai.book.parts`` writes. Figures have numbers. Their drawings and still
pictures become files of their own, read when a reader comes near.
"""

from __future__ import annotations

import base64
import itertools
import json
import posixpath
import re
from pathlib import Path
from typing import Any

SHORT = Path("book") / "runs" / "short"
"""Where a page ``book/<name>`` has its sentences, as ``<name>.html``."""
STUDIES = re.compile(r"book/runs/(?!workshop/)[^/]+/[^/]+$")
FEW = 3
"""Sections of a page that stay open, if it has no more."""
OPEN = '<details class="cx-fold"><summary>Figures and tables</summary>'

_SPEC = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)
_DIGITS = re.compile(r"(?<=[\[,:])-?\d+\.\d{7,}(?:e-?\d+)?(?=[,\]}])")
"""Numbers of a drawing with more digits than a screen can show."""
_STILL = re.compile(r'<img class="cx-still" alt="" src="data:image/webp;base64,([^"]*)">')
_TITLE = '<p class="cx-title">'
_TABLE = re.compile(
    r'<div class="cx-table"><p class="cx-caption">(.*?)</p>((?:(?!<div class="cx-table">).)*?</table></div>.*?</div>)',
    re.DOTALL,
)
ROWS = 8
"""Rows of a table on a page of results that stays open."""
_FIGURE = re.compile(r'<figure class="cx-figure" id="(figure-[\w-]+)" data-interactive>.*?</figure>', re.DOTALL)


def arrange(app: Any, doctree: Any) -> None:
    """Put the sentences below the title of a page, and fold the sections after the first one that shows something."""
    from docutils import nodes

    name, page = app.env.docname, next(iter(doctree.findall(nodes.section)), None)
    if page is None:
        return
    short = Path(app.srcdir) / SHORT / f"{name.removeprefix('book/')}.html"
    if STUDIES.match(name) and app.env.doc2path(name).endswith(".ipynb"):
        sections = [child for child in page.children if isinstance(child, nodes.section)]
        for section in sections[1:] if len(sections) > FEW else []:
            _fold(section, nodes)
    if short.is_file():
        app.env.note_dependency(str(short))
        page.insert(1, nodes.raw("", short.read_text(encoding="utf-8"), format="html"))


def _fold(section: Any, nodes: Any) -> None:
    """Fold a section but for its title and the paragraphs below it."""
    first = next((place for place, child in enumerate(section.children[1:], 1)
                  if not isinstance(child, nodes.paragraph)), None)  # fmt: skip
    if first is None:
        return
    section.insert(first, nodes.raw("", OPEN, format="html"))
    section.append(nodes.raw("", "</details>", format="html"))


def fold_tables(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Fold the long tables of a page of results, each behind its caption."""

    def fold(found: re.Match[str]) -> str:
        if found[0].count("<tr") <= ROWS + 1:
            return found[0]
        return (
            f'<details class="cx-fold"><summary>Table: {found[1]}</summary><div class="cx-table">{found[2]}</details>'
        )

    if STUDIES.match(pagename) or "fold_tables" in app.env.metadata.get(pagename, {}):
        context["body"] = _TABLE.sub(fold, context.get("body", ""))


def move_drawings(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Number a page's figures, and move their drawings and still pictures into files under ``_static/drawn``."""
    if "cx-figure" not in context.get("body", "") or app.builder.name != "html":
        return
    folder = posixpath.join("_static", "drawn", pagename.removeprefix("book/"))
    base = posixpath.relpath(folder, posixpath.dirname(pagename))
    target = Path(app.outdir, folder)
    target.mkdir(parents=True, exist_ok=True)

    numbers = itertools.count(1)

    def move(found: re.Match[str]) -> str:
        figure, name = found[0], found[1]
        link = f'<a class="cx-permalink" href="#{name}">Figure {next(numbers)}</a> '
        figure = figure.replace(_TITLE, _TITLE + link, 1)
        spec, still = _SPEC.search(figure), _STILL.search(figure)
        if spec:
            # A file of its own needs no escapes, which the page's markup did.
            drawing = json.dumps(json.loads(spec[1]), ensure_ascii=False, separators=(",", ":"))
            drawing = _DIGITS.sub(lambda number: f"{float(number[0]):.6g}", drawing)
            script = f"(window.drawings ??= {{}})[{name!r}] = {drawing};\n"
            (target / f"{name}.js").write_text(script, encoding="utf-8")
            figure = figure.replace(spec[0], "")
            figure = figure.replace(" data-interactive>", f' data-interactive data-drawing="{base}/{name}.js">', 1)
        if still:
            (target / f"{name}.webp").write_bytes(base64.b64decode(still[1]))
            picture = f'<img class="cx-still" alt="" loading="lazy" src="{base}/{name}.webp">'
            figure = figure.replace(still[0], picture)
        return figure

    context["body"] = _FIGURE.sub(move, context["body"])


def setup(app: Any) -> dict[str, Any]:
    """Arrange pages when they have been read, and move drawings when they are written."""
    app.connect("doctree-read", arrange)
    app.connect("html-page-context", fold_tables)
    app.connect("html-page-context", move_drawings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
