"""Sphinx extension: at the foot of every page its source to download and how to cite it; scripts of the live model.

If the repository's address is set in ``_config.yml`` (``repository: url:``), links to report a mistake and to run the
page's notebook on Binder come with it.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlparse

import yaml

LIVE = '<div class="lm"'
"""How the live model begins where a page has it."""
SCRIPTS = ("live/index", "live/shown", "rule_words", "live")


def describe_page(project: Path, pagename: str, title: str, sourcename: str, repository: str, branch: str) -> str:
    """The links of one page as HTML.

    Parameters
    ----------
    project
        Holds ``CITATION.cff`` and the folders of text notebooks.
    repository
        Address of the repository, or nothing.
    """
    up, kind = posixpath.relpath(".", posixpath.dirname(pagename)), Path(sourcename).suffix
    what = "as a notebook" if kind == ".ipynb" else "its source"
    links = [f'<a href="{up}/_sources/{html.escape(sourcename)}" download>Download {what}</a>']
    if repository:
        issue = f"{repository}/issues/new?title={quote(f'Mistake on page {title}')}&body={quote(pagename)}"
        links.append(f'<a href="{html.escape(issue)}">Report a mistake</a>')
        owner, place = urlparse(repository).path.strip("/"), _find_notebook(project, pagename)
        path = f"?urlpath=lab/tree/{quote(place)}" if place else ""
        links.append(f'<a href="https://mybinder.org/v2/gh/{owner}/{branch}{path}">Run on Binder</a>')
    cite = html.escape(_format_bibtex(project, pagename, title, repository))
    folded = f"<details><summary>Cite this page</summary><pre>{cite}</pre></details>"
    return f'<footer class="cx-tools"><p>{" · ".join(links)}</p>{folded}</footer>'


def _find_notebook(project: Path, pagename: str) -> str:
    """The text notebook that a page was executed from; nothing for a chapter."""
    name = posixpath.basename(pagename)
    if "/runs/workshop/" in pagename:
        pattern = f"workshop/{name}.py"
    elif "/runs/" in pagename:
        pattern = f"notebooks/??_{'summary' if '/stored/' in pagename else name.rsplit('-', 1)[-1]}.py"
    else:
        return ""
    return next((path.relative_to(project).as_posix() for path in sorted(project.glob(pattern))), "")


def _format_bibtex(project: Path, pagename: str, title: str, repository: str) -> str:
    cited = yaml.safe_load((project / "CITATION.cff").read_text(encoding="utf-8"))
    names = [one.get("name") or f"{one['given-names']} {one['family-names']}" for one in cited["authors"]]
    fields = {
        "title": f"{{{title}}}",
        "author": f"{{{'} and {'.join(names)}}}",
        "year": str(cited["date-released"].year),
        "note": f"In {{compliance_xai}}, version {cited['version']}",
    } | ({"url": repository} if repository else {})
    key = re.sub(r"\W+", "-", pagename.removeprefix("book/"))
    return (
        f"@misc{{compliance_xai-{key},\n"
        + ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items())
        + "\n}"
    )


def add_tools(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Add the links below a page's text."""
    if doctree is None or not context.get("sourcename") or app.builder.name != "html":
        return
    options = app.config.html_theme_options
    title = html.unescape(re.sub(r"<[^>]*>", "", context.get("title", "")))
    address, branch = options.get("repository_url", "").rstrip("/"), options.get("repository_branch") or "main"
    if LIVE in context["body"]:
        up = posixpath.relpath("_static", posixpath.dirname(pagename))
        context["body"] += "".join(f'<script src="{up}/{name}.js"></script>' for name in SCRIPTS)
    context["body"] += describe_page(Path(app.srcdir), pagename, title, context["sourcename"], address, branch)


def setup(app: Any) -> dict[str, Any]:
    """Add them when a page is written."""
    app.connect("html-page-context", add_tools, priority=700)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
