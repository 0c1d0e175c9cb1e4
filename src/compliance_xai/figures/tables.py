"""Tables and verdicts as HTML; every cell is data and is escaped. Headings, names and formats come from the labels."""

import html
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from compliance_xai.stats.claims import NOT_JUDGED
from compliance_xai.study.labels import format_interval, heading_of, label_of, say_value, typeset

_NUMERIC = re.compile(r"[-+\d.,%\s\[\]()]*\d[-+\d.,%\s\[\]()]*")
_P_VALUE = re.compile(r"^p_|_p$|^p$")
_BREAKS = re.compile(r"([,(]+)")


def table_html(
    frame: pd.DataFrame,
    *,
    caption: str,
    formats: Mapping[str, str] | None = None,
    code: Iterable[str] = (),
    limit: int = 200,
) -> str:
    """A frame as an HTML table, numbers to the right, every cell escaped; nothing where it has no row.

    Remarks on rows (column ``reason``) become footnotes; of rows without a number nothing else is shown.

    Parameters
    ----------
    formats
        Format specifications of columns that have none among the labels (``study.labels``), or another one here. The
        ends of an interval are written like the value before them; other floats get three significant digits, and p
        values are given down to 0.001.
    code
        Columns set in a fixed-width face (rules).
    limit
        At most this many rows; the caption says so where there are more.
    """
    frame, notes, remarks = _take_remarks(frame)
    if frame.empty:
        return f'<p class="cx-nothing">{html.escape(caption)}: not computed.</p>{notes}' if notes else ""
    code, specifications, last = set(code), {}, ""
    for name in map(str, frame.columns):
        ends = last if name.endswith(("low", "high")) else ""
        specifications[name] = last = (formats or {}).get(name) or ends or label_of(name).format
    kinds = {
        str(name): "cx-code" if name in code else "cx-number" if frame[name].dtype.kind in "iuf" else ""
        for name in frame
    }
    head = "".join(
        f'<th scope="col"{_class(kind)}>{html.escape(heading_of(name))}</th>' for name, kind in kinds.items()
    )
    body = []
    for mark, values in zip(remarks, frame.head(limit).itertuples(index=False, name=None), strict=False):
        cells = []
        for (name, kind), value in zip(kinds.items(), values, strict=True):
            tiny = isinstance(value, float) and value < 0.001 and _P_VALUE.search(str(name))
            text = "< 0.001" if tiny else _say(value, specifications[name])
            shown = html.escape(text if kind else say_value(str(name), text))
            shown = _BREAKS.sub(r"\1<wbr>", shown) if name in code else shown
            shown = f"<span>{shown}<sup>{mark}</sup></span>" if mark and not cells else shown
            cells.append(f"<td{_class(kind or ('cx-long' if len(text) > 60 else ''))}>{shown}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    if len(frame) > limit:
        caption += f" (first {limit} of {len(frame)} rows)"
    return (
        f'<div class="cx-table"><p class="cx-caption">{html.escape(caption)}</p>'
        f'<div class="cx-scroll" tabindex="0" role="region" aria-label="{html.escape(caption)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{notes}</div>"
    )


def _take_remarks(frame: pd.DataFrame) -> tuple[pd.DataFrame, str, list[str]]:
    """The rows that have a number, the footnotes of all rows, and the mark of each row's footnote."""
    if "reason" not in frame:
        return frame, "", [""] * len(frame)
    numbers, reasons = frame.select_dtypes("float"), frame["reason"].fillna("").astype(str)
    blank = numbers.isna().all(axis=1) & (numbers.shape[1] > 1)
    marks = {text: str(place) for place, text in enumerate(filter(None, dict.fromkeys(reasons[~blank])), 1)}
    notes = [f"<sup>{mark}</sup> {html.escape(text)}" for text, mark in marks.items()]
    missing = reasons[blank & (reasons != "")].value_counts(sort=False)
    notes += [f"Not computed in {count} {'row' if count == 1 else 'rows'}: {html.escape(str(text))}"
              for text, count in missing.items()]  # fmt: skip
    shown = "".join(f'<p class="cx-note">{note}.</p>' for note in notes)
    return (
        frame[~blank].drop(columns="reason", errors="ignore"),
        shown,
        [marks.get(text, "") for text in reasons[~blank]],
    )


def claims_html(findings: Iterable[Mapping[str, Any]], *, short: bool = False) -> str:
    """The verdicts as cards, one per finding (the fields of ``claims.Finding``).

    A claim that the study could not have decided gets a sentence and no card. ``short`` leaves out for which models and
    texts a verdict holds, and what would change it.
    """
    cards, unjudged = [], []
    for finding in findings:
        claim, verdict, reason = (html.escape(str(finding[name])) for name in ("claim", "verdict", "reason"))
        if finding["verdict"] == NOT_JUDGED:
            unjudged.append(f"<p><b>{claim}</b> {verdict}. {reason}</p>")
            continue
        kind = verdict if verdict in ("supported", "contradicted") else "open"
        lines = [f'<p class="cx-verdict">{claim}: {verdict}</p>', f"<p>{html.escape(str(finding['statement']))}</p>"]
        lines.append(f'<p class="cx-effect">{reason}</p>')
        if not short:
            rest = [finding.get("scope"), f"What would change this: {finding.get('what_would_change')}"]
            lines += [f'<p class="cx-effect">{html.escape(str(text))}</p>' for text in rest if text]
        cards.append(f'<div class="cx-claim {kind}">{"".join(lines)}</div>')
    return (f'<div class="cx-claims">{"".join(cards)}</div>' if cards else "") + "".join(unjudged)


def statements_html(findings: Iterable[Mapping[str, Any]]) -> str:
    """What each verdict rests on: a sentence on every comparison, what belongs beside it, and a table of numbers."""
    rows, parts = [], []
    for finding in findings:
        statements = [one for one in finding.get("statements", ()) if finding["verdict"] != NOT_JUDGED or one["p"]]
        doubts = (f" It stays open: {one['doubt']}." if one["doubt"] else "" for one in statements)
        said = [one["sentence"] + doubt for one, doubt in zip(statements, doubts, strict=True)]
        lists = [("", said), ("Not part of the verdict:", finding.get("beside", ()))]
        blocks = [f"<p>{head}</p><ul>{''.join(f'<li>{html.escape(text)}</li>' for text in texts)}</ul>"
                  for head, texts in lists if texts]  # fmt: skip
        if blocks:
            statement = html.escape(str(finding["statement"]))
            parts.append(f"<p><b>{html.escape(finding['claim'])}</b> {statement}</p>{''.join(blocks)}")
        for one in statements:
            ends = (one[end] if _known(one[end]) else math.nan for end in ("low", "high"))
            rows.append(
                {name: one[name] for name in ("claim", "comparison")}
                | {"effect": format_interval(one["value"], *ends, digits=3) if _known(one["value"]) else ""}
                | {name: one[name] for name in ("unit", "p", "beyond_zero", "beyond_margin", "margin")}
                | {"views that agree": f"{one['agree']} of {one['views']}" if one["views"] else ""}
                | {"second": one["second"], "n_clauses": one["n_clauses"], "speaks for the claim": one["answer"]}
            )
    numbers = ["p", "beyond_zero", "beyond_margin", "margin"]
    frame = pd.DataFrame(rows).astype(dict.fromkeys(numbers, float)) if rows else pd.DataFrame()
    caption = "The comparisons that decide: effect with its interval, one-sided confidence that it is above zero and "
    caption += "above the smallest effect of interest, and what other views and the second method say"
    return "".join(parts) + table_html(frame, caption=caption)


def verdicts_html(findings: Iterable[Mapping[str, Any]], *, caption: str) -> str:
    """The verdicts of several studies on one claim as a table; a finding has its ``study`` beside its own fields."""
    rows = []
    for finding in findings:
        ends = (finding[end] if _known(finding[end]) else math.nan for end in ("low", "high"))
        effect = format_interval(finding["effect"], *ends, digits=3) if _known(finding["effect"]) else ""
        rows.append(
            {"study": finding["study"], "corpus, ladder": f"{finding['corpus']}, {finding['ladder']}"}
            | {"verdict": finding["verdict"], "value": effect, "clauses": finding["n"]}
            | {name: finding[name] for name in ("effect_name", "reason", "what_would_change")}
        )
    return table_html(pd.DataFrame(rows), caption=caption)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _say(value: Any, specification: str) -> str:
    if not _known(value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return typeset(format(value, specification or ".3g")).replace("inf", "∞")
    if isinstance(value, int):
        return typeset(format(value, specification or ","))
    text = str(value)
    # Intervals and percentages come as texts; other texts are data and stay as they are.
    return typeset(text) if ("[" in text or text.endswith("%")) and _NUMERIC.fullmatch(text) else text
