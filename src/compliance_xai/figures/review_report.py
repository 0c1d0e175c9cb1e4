"""Many reviewed clauses on one page that needs no network: what to check, and a place for the reviewer's decisions."""

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def report_html(rows: Sequence[Mapping[str, Any]], model: str) -> str:
    """A page with one section for each clause, in the order given.

    All text is escaped, and the page's policy allows no script but its own, so that a hostile clause can do nothing.
    Decisions (accept, edit, reject, and a note) stay in the browser until they are exported as CSV.

    ``rows``: ``pipeline.review.Row`` of each clause.
    """
    from jinja2 import Environment, FileSystemLoader

    script = (_FOLDER / "review_report.js").read_text(encoding="utf-8")
    environment = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True)
    return environment.get_template("review_report.html").render(
        rows=rows, model=model, unread=sum(bool(row["error"]) for row in rows), script=script, mark=mark,
        allowed=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(), say_chance=_say_chance,
    )  # fmt: skip


def _say_chance(chance: float | None) -> str:
    return "unknown" if chance is None or math.isnan(chance) else f"{chance:.0%}"


def mark(text: str, spans: Iterable[Mapping[Any, Any]], kind: str) -> Any:
    """The text with what lies between ``start`` and ``end`` of each span marked; the rest is escaped."""
    from markupsafe import Markup, escape

    pieces, cursor = Markup(), 0
    for start, end in sorted((span["start"], span["end"]) for span in spans):
        if start >= cursor:
            pieces += escape(text[cursor:start]) + Markup('<mark class="{}">{}</mark>').format(kind, text[start:end])
            cursor = end
    return pieces + escape(text[cursor:])
