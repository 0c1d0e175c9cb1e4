"""What the landing page says: the study's main results, a sentence and a small picture each, and the verdicts."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from compliance_xai.attribution.elements import ATTRIBUTION
from compliance_xai.book.markup import render
from compliance_xai.figures.tables import claims_html
from compliance_xai.pipeline.summary_stage import DESCRIPTION, Summary, open_summary
from compliance_xai.stats.claims import NOT_JUDGED
from compliance_xai.stats.frames import ALL_SCALES, CONTROL

MOST = 7
"""Results that the page tells; the first ones count."""
_COMPARED = ("number", "unit", "deontic")


def format_landing(folders: dict[Path, str]) -> str:
    """Results and verdicts of the first summary that has them, as Markdown.

    Parameters
    ----------
    folders
        Summaries of studies, the best evidence first, each with the address of its pages: ``{}`` is for the stage.
    """
    opened = [(open_summary(folder), page) for folder, page in folders.items() if (folder / DESCRIPTION).is_file()]
    for summary, page in opened:
        if summary.holds("observations"):
            decided = [finding for finding in summary.findings if finding["verdict"] != NOT_JUDGED]
            claims, results = claims_html(decided, short=True), dict([*find_results(summary).items()][:MOST])
            return render("landing.md", summary=summary, page=page, results=results, claims=claims)
    return "The study of this book has not finished yet, so there are no results to show.\n"


def format_citation(file: Path) -> str:
    """Who made this, when, and how to cite it, from ``CITATION.cff``; Markdown."""
    cited = yaml.safe_load(file.read_text(encoding="utf-8"))
    names = [author.get("name") or f"{author['given-names']} {author['family-names']}" for author in cited["authors"]]
    return render("citation.md", cited=cited, names=names)


def find_results(summary: Summary) -> dict[str, dict[str, Any]]:
    """The numbers of what the study found, as far as it has the tables; ``landing.md`` has a sentence for each."""
    found = {name: make(summary) for name, make in _RESULTS.items()}
    return {name: numbers for name, numbers in found.items() if numbers}


def format_short(summary: Summary) -> Callable[..., str]:
    """A function that gives the sentences at the top of a stage's page (and of a cell's); empty if there are none."""
    verdicts: dict[str, list[str]] = {}
    for finding in (one for one in summary.findings if "statements" in one):  # not those by earlier rules
        verdicts.setdefault(finding["verdict"], []).append(finding["claim"])
    reading = summary.read("review_reading").to_dict("records") if summary.holds("review_reading") else []
    training = (
        summary.read_main("training") if summary.holds("training") else pd.DataFrame({"scale": [], "strategy": []})
    )
    training = training[training["scale"] == summary.scales[-1]].drop_duplicates("strategy").to_dict("records")
    values = {
        "summary": summary,
        "results": find_results(summary),
        "verdicts": verdicts,
        "first": partial(_first, summary),
        "reading": reading,
        "training": training,
    }
    return lambda stage, scale="", strategy="": render(
        "short.html", stage=stage, scale=scale, strategy=strategy, **values
    )


def _first(summary: Summary, table: str, **chosen: str) -> dict[str, Any]:
    """The first row of a table that has these values; nothing if there is none."""
    rows = summary.read_main(table) if summary.holds(table) else pd.DataFrame()
    if not set(chosen) <= set(rows):
        return {}
    for name, value in chosen.items():
        rows = rows[rows[name] == value]
    return {str(name): value for name, value in rows.iloc[0].items()} if len(rows) else {}


def _largest(summary: Summary, table: str, **chosen: str) -> dict[str, Any]:
    """The row of the fully trained model of the largest size, or of another strategy that has one."""
    others = [name for name in summary.settings["strategies"] if name not in (summary.full, CONTROL)]
    names, scale = [summary.full, *others], summary.scales[-1]
    rows = (_first(summary, table, scale=scale, strategy=name, **chosen) for name in names)
    return next((row for row in rows if row), {})


def _right_words(summary: Summary) -> dict[str, Any]:
    row = _largest(summary, "correctness", baseline=summary.baseline, kind="all")
    return row if pd.notna(row.get("precision_at_k")) else {}


def _numbers(summary: Summary) -> dict[str, Any]:
    """How many times as much as an average word the words of some categories count."""
    lift = {name: _largest(summary, "lift", measure="log_lift", category=name, **summary.view) for name in _COMPARED}
    means = {name: {end: math.exp(row[end]) for end in ("mean", "low", "high")} for name, row in lift.items() if row}
    return {"means": means} | lift["number"] if len(means) == len(_COMPARED) else {}


def _strategies(summary: Summary) -> dict[str, Any]:
    """On how many words full fine-tuning and an adapter rest, over all sizes."""
    chosen = {"scale": ALL_SCALES, "measure": "log_words", **summary.view}
    for other in (name for name in summary.settings["strategies"] if name not in (summary.full, CONTROL)):
        for pair in ((summary.full, other), (other, summary.full)):
            row = _first(summary, "contrasts", strategy_a=pair[0], strategy_b=pair[1], **chosen)
            if row and pd.notna(row["difference"]):
                words = {pair[0]: math.exp(row["mean_a"]), pair[1]: math.exp(row["mean_b"])}
                p = max(row["p"], row["p_runs"]) if pd.notna(row["p_runs"]) else row["p"]
                return row | {"full": words[summary.full], "other": words[other], "name": other, "p": p}
    return {}


def _observation(summary: Summary, start: str) -> dict[Any, Any]:
    """The further finding, of all that answer a question that starts so, which is the largest."""
    rows = summary.read("observations").to_dict("records") if summary.holds("observations") else []
    return max((row for row in rows if row["question"].startswith(start)), key=lambda row: row["value"], default={})


def _unseen_context(summary: Summary) -> dict[str, Any]:
    """Exact rules in contexts that were trained on, and in the one held out."""
    rows = [_largest(summary, "scores", measure="exact", split=split) for split in ("test", "document")]
    return {"known": rows[0], "new": rows[1]} if all(rows) else {}


def _spread(summary: Summary) -> dict[str, Any]:
    """The number of words that a rule rests on, in contexts that were trained on and in the one held out."""
    chosen = {"scale": ALL_SCALES, "measure": "log_words", "baseline": summary.view["baseline"]}
    row = _first(summary, "held_out", **chosen)
    counts = {name: math.exp(row[name]) for name in ("known", "held_out") if row}
    return row | counts if row and not row["reason"] else {}


def _copies(summary: Summary) -> dict[str, Any]:
    """How often the heaviest word spells the number or identifier that was copied."""
    row = _first(summary, "literals", scale=ALL_SCALES, baseline=summary.view["baseline"])
    return row if row and row["n_clauses"] > 1 else {}


def _detector(summary: Summary) -> dict[str, Any]:
    """How well attribution, and the model's own probability, tell wrong parts of a rule from right ones."""
    signals = summary.read_main("signals").dropna(subset=["auroc"]) if summary.holds("signals") else pd.DataFrame()
    for _, rows in signals.groupby("split", sort=False) if len(signals) else ():
        best, plain = rows[rows["signal"].isin(ATTRIBUTION)], rows[rows["signal"] == "unlikely"]
        if len(best) and len(plain):
            return {"best": best.nlargest(1, "auroc").iloc[0].to_dict(), "plain": plain.iloc[0].to_dict()}
    return {}


_RESULTS = {
    "right_words": _right_words, "numbers": _numbers, "strategies": _strategies,
    "sources": partial(_observation, start="What moves a pattern more"), "unseen_context": _unseen_context,
    "spread": _spread, "detector": _detector, "copies": _copies,
    "stability": partial(_observation, start="Are explanations of fully tuned models more stable"),
}  # fmt: skip
