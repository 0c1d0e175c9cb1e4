"""Tables and verdict cards as HTML; every cell is data and is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

CLAIMS = {
    "C1": "Attribution patterns of full fine-tuning differ from those of LoRA and QLoRA.",
    "C2": "Full fine-tuning reads in a more focused way.",
    "C3": "Larger models put more weight on numerical constraints and rule identifiers.",
    "C4": "Semantic similarity of generated and reference rules levels off with scale.",
}


def table_html(
    frame: pd.DataFrame,
    *,
    caption: str,
    formats: Mapping[str, str] | None = None,
    headings: Mapping[str, str] | None = None,
    code: Iterable[str] = (),
    limit: int = 200,
) -> str:
    """A frame as an HTML table, numbers to the right, every cell escaped; a sentence where it has no row.

    Parameters
    ----------
    formats
        Format specification by column, for example ``{"mean": ".3f"}``; other floats get three significant digits.
    headings
        Column headings; by default the column's name with spaces.
    code
        Columns set in a fixed-width face (rules).
    limit
        At most this many rows; the caption says so where there are more.
    """
    if frame.empty:
        return f'<p class="cx-nothing">{html.escape(caption)}: nothing to list.</p>'
    formats, headings, code = formats or {}, headings or {}, set(code)
    columns = list(frame.columns)
    numeric = {name: frame[name].dtype.kind in "iuf" for name in columns}
    head = "".join(
        f'<th scope="col"{_class("cx-number" if numeric[name] else "")}>'
        f"{html.escape(headings.get(name, name.replace('_', ' ')))}</th>"
        for name in columns
    )
    body = []
    for values in frame.head(limit).itertuples(index=False, name=None):
        cells = []
        for name, value in zip(columns, values, strict=True):
            text = _say(value, formats.get(name))
            kind = "cx-code" if name in code else "cx-number" if numeric[name] else "cx-long" if len(text) > 60 else ""
            cells.append(f"<td{_class(kind)}>{html.escape(text)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    if len(frame) > limit:
        caption += f" (first {limit} of {len(frame)} rows)"
    return (
        f'<div class="cx-table"><p class="cx-caption">{html.escape(caption)}</p>'
        f'<div class="cx-scroll" tabindex="0" role="region" aria-label="{html.escape(caption)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div></div>"
    )


def pairs_html(pairs: pd.DataFrame, *, keys: Sequence[str], caption: str) -> str:
    """Paired comparisons (``stats.compare_strategies``): what tells the rows apart, then their numbers."""
    numbers = ("mean_a", "mean_b", "mean_difference", "low", "high", "p_holm", "rank_biserial")
    return table_html(
        pairs[[*keys, "n", *numbers]],
        caption=f"{caption}: Wilcoxon signed-rank test with Holm correction, 95 % bootstrap interval",
        headings={
            "n": "clauses",
            "mean_difference": "difference",
            "p_holm": "p (Holm)",
            "rank_biserial": "rank-biserial",
        },
        formats=dict.fromkeys(numbers, ".3f"),
    )


def claims_html(findings: Iterable[Mapping[str, Any]], *, short: bool = False) -> str:
    """The verdicts as cards, one per finding (the fields of ``findings.Finding``).

    ``short`` leaves out the reason and what would change the verdict.
    """
    cards = []
    for finding in findings:
        verdict = str(finding["verdict"])
        kind = verdict if verdict in ("supported", "contradicted") else "open"
        effect = ""
        if _known(finding.get("effect")):
            effect = f"{finding['effect_name']} {finding['effect']:.3f}"
            if _known(finding.get("low")) and _known(finding.get("high")):
                effect += f" [{finding['low']:.3f}, {finding['high']:.3f}]"
            if _known(finding.get("n")):
                effect += f", n = {finding['n']}"
        statement = finding.get("statement") or CLAIMS.get(str(finding["claim"]), "")
        lines = [
            f'<p class="cx-verdict">{html.escape(str(finding["claim"]))}: {html.escape(verdict)}</p>',
            f"<p>{html.escape(str(statement))}</p>",
            f'<p class="cx-effect">{html.escape(effect)}</p>' if effect else "",
        ]
        if not short:
            lines.append(f"<p>{html.escape(_sentence(str(finding.get('reason') or '')))}</p>")
            if finding.get("what_would_change"):
                lines.append(
                    f'<p class="cx-effect">What would change this: {html.escape(str(finding["what_would_change"]))}</p>'
                )
        cards.append(f'<div class="cx-claim {kind}">{"".join(lines)}</div>')
    return f'<div class="cx-claims">{"".join(cards)}</div>'


def verdicts_html(findings: Iterable[Mapping[str, Any]], *, caption: str, studies: bool = False) -> str:
    """The verdicts as a table: the source's statement, verdict, effect with its interval, n, what would change it.

    ``studies`` adds which study, corpus and ladder a row belongs to (its ``study`` beside the fields of a finding).
    """
    import pandas as pd

    rows = []
    for finding in findings:
        interval = ""
        if _known(finding["effect"]):
            interval = f"{finding['effect']:.3f}"
            if _known(finding["low"]) and _known(finding["high"]):
                interval += f" [{finding['low']:.3f},\u00a0{finding['high']:.3f}]"
        where = {"study": finding["study"], "corpus": finding["corpus"], "ladder": finding["ladder"]} if studies else {}
        rows.append(
            {"claim": finding["claim"], "the source's statement": finding["statement"], **where}
            | {"verdict": finding["verdict"], "effect": finding["effect_name"], "value": interval, "n": finding["n"]}
            | {"reason": finding["reason"], "what would change it": finding["what_would_change"]}
        )
    return table_html(pd.DataFrame(rows), caption=caption)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _say(value: Any, specification: str | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if specification:
        return format(value, specification)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
