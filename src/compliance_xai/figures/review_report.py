"""Many reviewed clauses on one page that needs no network: what to check, and a place for the reviewer's decisions."""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
section{border-top:1px solid #999;padding:.5rem 0 1rem;break-inside:avoid}h2{font-size:1.05rem;margin:.5rem 0}
.rule{font-family:ui-monospace,monospace;overflow-wrap:anywhere}mark{background:#ffe0b0;border-bottom:2px solid #a34700}
.missed{background:#d8ecff;border-bottom:2px dotted #004b87}.error{color:#a00000}table{border-collapse:collapse}
td,th{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}fieldset{border:0;padding:.3rem 0}
input[type=text]{width:24rem;max-width:100%}label{margin-right:1rem}@media print{button{display:none}}
"""

_SCRIPT = Path(__file__).with_name("review_report.js")


def report_html(rows: Sequence[Mapping[str, Any]], model: str) -> str:
    """A page with one section for each clause, in the order given.

    All text is escaped, and the page's policy allows no script but its own, so that a hostile clause can do nothing.
    Decisions (accept, edit, reject, and a note) stay in the browser until they are exported as CSV.

    Parameters
    ----------
    rows
        ``pipeline.review.Row`` of each clause.
    """
    script = _SCRIPT.read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    unread = sum(bool(row["error"]) for row in rows)
    told = f"{len(rows)} clauses, the riskiest first" + (f"; {unread} could not be reviewed" if unread else "")
    body = "".join(_section(place, row) for place, row in enumerate(rows))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Rules under review</title><style>{_STYLE}</style></head><body><h1>Rules under review</h1>"
        f"<p>Written by {html.escape(model)}. {told}. Orange: a part of the rule that may be wrong. Blue: words of the "
        "clause that the rule may have missed. An unmarked part can be wrong, too.</p>"
        f'<p><button id="export" type="button">Export decisions (CSV)</button> <span id="count"></span></p>{body}'
        f"<script>{script}</script></body></html>"
    )


def _section(place: int, row: Mapping[str, Any]) -> str:
    checks = row["checks"]
    clause = _mark(row["clause"], [(c["start"], c["end"]) for c in checks if c["where"] == "clause"], "missed")
    flagged = [(part["start"], part["end"]) for part in row["parts"] if part["flags"]]
    head = f"<h2>{html.escape(row['id'])}</h2><p>{clause}</p>"
    if row["error"]:
        return f'<section>{head}<p class="error">{html.escape(row["error"])}</p>{_decision(place, row)}</section>'
    listed = "".join(_check(check) for check in checks)
    table = (
        "<table><thead><tr><th>Chance</th><th>Part</th><th>Why</th><th>Right on validation</th></tr></thead>"
        f"<tbody>{listed}</tbody></table>"
        if checks
        else "<p>No flag was raised.</p>"
    )
    return (
        f'<section>{head}<p class="rule">{_mark(row["rule"], flagged, "")}</p>'
        f"<p>Errors expected: {row['expected_errors']:.1f} of {len(row['parts'])} parts.</p>"
        f"{table}{_decision(place, row)}</section>"
    )


def _check(check: Mapping[str, Any]) -> str:
    chance = check["chance"]
    shown = "unknown" if chance is None or math.isnan(chance) else f"{chance:.0%}"
    cells = (shown, check["text"], check["reason"], check["precision"])
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in cells)}</tr>"


def _mark(text: str, spans: Sequence[tuple[int, int]], kind: str) -> str:
    pieces, cursor = [], 0
    for start, end in sorted(spans):
        if start >= cursor:
            inner = f'<mark class="{kind}">{html.escape(text[start:end])}</mark>'
            pieces += [html.escape(text[cursor:start]), inner]
            cursor = end
    return "".join(pieces) + html.escape(text[cursor:])


def _decision(place: int, row: Mapping[str, Any]) -> str:
    choices = "".join(
        f'<label><input type="radio" name="decision-{place}" value="{choice}"> {choice}</label>'
        for choice in ("accept", "edit", "reject")
    )
    return (
        f'<fieldset data-id="{html.escape(row["id"])}">{choices}<label>Note or corrected rule '
        f'<input type="text" name="note-{place}"></label></fieldset>'
    )
