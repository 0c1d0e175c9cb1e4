"""Markdown and HTML of the book: the templates beside this module, and figures whose files ``_static`` holds."""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import jinja2

from compliance_xai.figures.clause_figures import rule_html
from compliance_xai.figures.contract import Figure, figure_html
from compliance_xai.figures.tables import table_html
from compliance_xai.study.labels import size_label, strategy_label


def render(template: str, **values: Any) -> str:
    """A template of ``book/templates`` with these values; nothing is escaped but by the filters that it names."""
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    found = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, **options)
    found.filters |= {"plain": escape_markdown, "code": format_code, "took": format_duration, "rule": rule_html}
    found.filters |= {"strategy": strategy_label, "size": size_label, "percent": "{:.0%}".format}
    found.globals |= {"raw": raw_html, "table": table_html, "figure": placed_html}
    return found


def raw_html(text: str) -> str:
    """HTML that a page takes as it is."""
    return f"```{{raw}} html\n{text}\n```"


def placed_html(figure: Figure) -> str:
    """A figure whose files are in a folder of ``book/runs/_static``, for a page of the book."""
    return figure_html(dataclasses.replace(figure, folder=Path("..") / "_static" / figure.folder.name))


def escape_markdown(text: str) -> str:
    """Text that Markdown leaves alone, inside a table too; ``{{`` would start a template."""
    return re.sub(r"[\\`*_\[\]<>|$~{}]", r"\\\g<0>", text)


def format_code(value: object) -> str:
    """A value in a code span of a table, where nothing else is special."""
    shown = str(value).replace("`", "'").replace("|", r"\|")
    return f"`{shown}`"


def format_duration(seconds: float) -> str:
    """Seconds, or minutes from two on."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
