"""Tables and verdict cards as HTML; every cell is data and is escaped."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from compliance_xai.stats.claims import NOT_JUDGED
from compliance_xai.study.labels import format_interval, typeset

NAMES = {
    "jensen_shannon": "Jensen–Shannon",
    "rank_biased_overlap": "1 − rank-biased overlap",
    "spearman": "1 − Spearman",
    "dtype": "float type",
    "semantic": "semantic similarity",
    "rule_identifier_all": "rule identifiers and references",
    "bleu": "BLEU",
    "chrf": "chrF",
    "lrml_f1": "LRML F1",
    "lrml f1": "LRML F1",
    "lrml precision": "LRML precision",
    "lrml recall": "LRML recall",
}
"""Names of the code whose words alone would not say what they are."""

_NAMED = frozenset(
    {"measure", "method", "category", "kind", "name", "source", "metric", "outcome", "test", "companion"}
)
"""Columns that hold names of the code."""

_SIGN = re.compile(r"(?<![\w.,\-])-(?=[\d.])")
_NUMERIC = re.compile(r"[-+\d.,%\s\[\]()]*\d[-+\d.,%\s\[\]()]*")
_JOINED = re.compile(r"(?<=[a-z\d])_(?=[a-z\d])")
_SPOKEN = {name.replace("_", " "): said for name, said in NAMES.items() if "_" in name}
_NAME = re.compile(rf"[a-z\d]+(?:_[a-z\d]+)+|\b(?:{'|'.join(_SPOKEN)})\b|(?<=\bmean )[a-z]+")
"""A name of the code in a sentence: words joined by underscores, such with spaces for them, or what a mean is of."""
_P_VALUE = re.compile(r"^p_|_p$|^p$")


def name_of(text: str) -> str:
    """A name of the code as people write it.

    Examples
    --------
    >>> [name_of(text) for text in ("leave_one_out", "jensen_shannon", "full")]
    ['leave one out', 'Jensen–Shannon', 'full']
    """
    return NAMES.get(text) or _JOINED.sub(" ", text)


def say_names(sentence: str) -> str:
    """A sentence with names of the code written as people say them.

    Examples
    --------
    >>> say_names("ratio of the jensen shannon distance; slope of log_lift: rule_identifier_all")
    'ratio of the Jensen–Shannon distance; slope of log lift: rule identifiers and references'
    >>> say_names("difference in mean semantic between the two largest rungs")
    'difference in mean semantic similarity between the two largest rungs'
    """
    return _NAME.sub(lambda found: _SPOKEN.get(found[0]) or name_of(found[0]), sentence)


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
        Format specification by column, for example ``{"mean": ".3f"}``; other floats get three significant digits, and
        p values (columns ``p_...`` and ``..._p``) are given down to 0.001.
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
            tiny = isinstance(value, float) and value < 0.001 and _P_VALUE.search(name)
            text = "< 0.001" if tiny else _say(value, formats.get(name))
            text = name_of(text) if name in _NAMED and name not in code else text
            kind = "cx-code" if name in code else "cx-number" if numeric[name] else "cx-long" if len(text) > 60 else ""
            shown = re.sub(r"([,(]+)", r"\1<wbr>", html.escape(text)) if name in code else html.escape(text)
            cells.append(f"<td{_class(kind)}>{shown}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    if len(frame) > limit:
        caption += f" (first {limit} of {len(frame)} rows)"
    return (
        f'<div class="cx-table"><p class="cx-caption">{html.escape(caption)}</p>'
        f'<div class="cx-scroll" tabindex="0" role="region" aria-label="{html.escape(caption)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div></div>"
    )


def claims_html(findings: Iterable[Mapping[str, Any]], *, short: bool = False) -> str:
    """The verdicts as cards, one per finding (the fields of ``findings.Finding``).

    ``short`` leaves out what would change a verdict, and the reason but for the first words of an open one's.
    """
    cards, unjudged = [], []
    for finding in findings:
        verdict = str(finding["verdict"])
        if verdict == NOT_JUDGED:  # no card: the study could not have decided it, whatever it found
            unjudged.append(f"<p><b>{html.escape(str(finding['claim']))}</b> {html.escape(verdict)}. "
                            f"{html.escape(str(finding['reason']))}</p>")  # fmt: skip
            continue
        kind = verdict if verdict in ("supported", "contradicted") else "open"
        effect = ""
        if _known(finding.get("effect")):
            effect = f"{finding['effect_name']} {finding['effect']:.3f}"
            if _known(finding.get("low")) and _known(finding.get("high")):
                effect += f" [{finding['low']:.3f}, {finding['high']:.3f}]"
            effect = say_names(_SIGN.sub("−", effect))
            if _known(finding.get("n")):
                effect += f", n = {finding['n']}"
        statement = finding["statement"]
        lines = [
            f'<p class="cx-verdict">{html.escape(str(finding["claim"]))}: {html.escape(verdict)}</p>',
            f"<p>{html.escape(str(statement))}</p>",
            f'<p class="cx-effect">{html.escape(effect)}</p>' if effect else "",
        ]
        reason = _sentence(str(finding.get("reason") or ""))
        if short and kind == "open" and reason:
            lines.append(f'<p class="cx-effect">Why: {html.escape(_shorten(reason))}</p>')
        if not short:
            lines.append(f"<p>{html.escape(reason)}</p>")
            if finding.get("what_would_change"):
                lines.append(
                    f'<p class="cx-effect">What would change this: {html.escape(str(finding["what_would_change"]))}</p>'
                )
        cards.append(f'<div class="cx-claim {kind}">{"".join(lines)}</div>')
    return f'<div class="cx-claims">{"".join(cards)}</div>{"".join(unjudged)}'


def statements_html(statements: Iterable[Mapping[str, Any]]) -> str:
    """The comparisons behind verdicts as a table (the fields of ``statements.Statement``), and a sentence on each."""

    def confidence(one: Mapping[str, Any], key: str) -> str:
        return f"{one[key]:.1%}" if _known(one[key]) else ""

    rows, sentences = [], []
    for one in statements:
        ends = (one[end] if _known(one[end]) else math.nan for end in ("low", "high"))
        rows.append(
            {
                "claim": one["claim"],
                "comparison": one["comparison"],
                "effect": format_interval(one["value"], *ends, digits=3) if _known(one["value"]) else "",
                "unit": one["unit"],
                "p": one["p"] if _known(one["p"]) else math.nan,
                "above zero": confidence(one, "beyond_zero"),
                "smallest effect": one["margin"],
                "above it": confidence(one, "beyond_margin"),
                "views that agree": f"{one['agree']} of {one['views']}" if one["views"] else "",
                "second method": one["second"],
                "clauses": one["n_clauses"],
                "speaks for the claim": one["answer"],
            }
        )
        doubt = f" It stays open: {one['doubt']}." if one["doubt"] else ""
        sentences.append(f"<li><b>{one['claim']}</b> {html.escape(one['sentence'] + doubt)}</li>")
    caption = "Comparisons that decide: effect with its interval, one-sided confidence that it is above zero and above "
    caption += "the smallest effect of interest, and what other views and the second method say"
    return (
        table_html(pd.DataFrame(rows), caption=caption, formats={"p": ".2g", "smallest effect": "g"})
        + f"<ul>{''.join(sentences)}</ul>"
    )


def verdicts_html(findings: Iterable[Mapping[str, Any]], *, caption: str, studies: bool = False) -> str:
    """The verdicts as a table: the source's statement, verdict, effect with its interval, n, what would change it.

    ``studies`` says which study, corpus and ladder a row belongs to (its ``study`` beside the fields of a finding), in
    the place of the claim and its statement, which the caption holds; of reasons the first part is shown, and the page
    of each study has them whole.
    """
    rows = []
    for finding in findings:
        interval = ""
        if _known(finding["effect"]):
            low, high = (finding[end] if _known(finding[end]) else math.nan for end in ("low", "high"))
            interval = format_interval(finding["effect"], low, high, digits=3)
        reason = say_names(finding["reason"])
        where = {"claim": finding["claim"], "the source's statement": finding["statement"]}
        if studies:
            where = {"study": finding["study"], "corpus, ladder": f"{finding['corpus']}, {finding['ladder']}"}
            reason = _shorten(reason, 0) if reason else ""
        rows.append(
            where
            | {
                "verdict": finding["verdict"],
                "value": interval,
                "n": finding["n"],
                "effect": say_names(finding["effect_name"]),
            }
            | {"reason": reason, "what would change it": finding["what_would_change"]}
        )
    return table_html(pd.DataFrame(rows), caption=caption)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _shorten(sentence: str, length: int = 120) -> str:
    """The parts of a sentence up to a semicolon, as many as are not too long together, the first in any case."""
    first, *others = sentence.rstrip(".").split("; ")
    for other in others:
        if len(first) + len(other) > length:
            return f"{first}; …"
        first = f"{first}; {other}"
    return f"{first}."


def _sentence(text: str) -> str:
    text = say_names(text)
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _say(value: Any, specification: str | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if specification:
        return typeset(format(value, specification))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return typeset(f"{value:.3g}")
    if isinstance(value, int):
        return typeset(f"{value:,}")
    text = str(value)
    # Intervals and percentages come as texts; other texts are data and stay as they are.
    return typeset(text) if ("[" in text or text.endswith("%")) and _NUMERIC.fullmatch(text) else text
