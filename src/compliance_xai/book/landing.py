"""What the landing page says: the study's main results, a sentence and a small picture each, and the verdicts."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from compliance_xai.book.markup import render
from compliance_xai.figures.tables import claims_html
from compliance_xai.pipeline.summary_stage import DESCRIPTION, Summary, open_summary
from compliance_xai.stats.claims import NOT_JUDGED
from compliance_xai.stats.error_detector import describe_gain
from compliance_xai.stats.frames import CONTROL
from compliance_xai.study.labels import format_interval, size_label, strategy_label, typeset

_WIDTH, _HEIGHT = 180, 22


@dataclass(frozen=True)
class Result:
    """One result: what was found, its value with its interval, and the value that would mean nothing."""

    sentence: str
    value: float
    low: float
    high: float
    nothing: float = 0.0


def format_landing(folders: dict[Path, str]) -> str:
    """Results and verdicts of the first summary that has them, as Markdown.

    Parameters
    ----------
    folders
        Summaries of studies, the best evidence first, each with the address of its page.
    """
    opened = [(open_summary(folder), page) for folder, page in folders.items() if (folder / DESCRIPTION).is_file()]
    shown = next(((one, page) for one, page in opened if one.holds("observations")), None)
    if shown is None:
        return "The study of this book has not finished yet, so there are no results to show.\n"
    summary, page = shown
    decided = [finding for finding in summary.findings if finding["verdict"] != NOT_JUDGED]
    results = [(one, draw_interval(one)) for one in find_results(summary)]
    return render("landing.md", summary=summary, page=page, results=results, claims=claims_html(decided, short=True))


def format_citation(file: Path) -> str:
    """Who made this, when, and how to cite it, from ``CITATION.cff``; Markdown."""
    cited = yaml.safe_load(file.read_text(encoding="utf-8"))
    names = [author.get("name") or f"{author['given-names']} {author['family-names']}" for author in cited["authors"]]
    return render("citation.md", cited=cited, names=names)


def find_results(summary: Summary) -> list[Result]:
    """What the study found, as far as it has the tables, the most telling first."""
    return [*_right_words(summary), *_observed(summary), *_unseen_context(summary), *_detector(summary)]


def draw_interval(result: Result) -> str:
    """A value with its interval on a line, as SVG; the thin upright line is where there would be nothing to see."""
    numbers = [result.value, result.nothing, *(end for end in (result.low, result.high) if pd.notna(end))]
    least, most = min(numbers), max(numbers)
    room = 0.08 * (most - least or 1.0)

    def place(value: float) -> str:
        return f"{_WIDTH * (value - least + room) / (most - least + 2 * room):.1f}"

    bar = ""
    if pd.notna(result.low) and pd.notna(result.high):
        bar = f'<path class="bar" d="M{place(result.low)} 11H{place(result.high)}"/>'
    told = html.escape(format_interval(result.value, result.low, result.high))
    return (
        f'<svg class="cx-mini" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{told}">'
        f'<path class="nothing" d="M{place(result.nothing)} 2V20"/>{bar}'
        f'<circle cx="{place(result.value)}" cy="11" r="4.5"/></svg>'
    )


def _right_words(summary: Summary) -> Iterator[Result]:
    if not summary.holds("correctness"):
        return
    rows = summary.read_main("correctness", baseline=summary.baseline)
    rows = rows[(rows["kind"] == "all") & (rows["strategy"] != CONTROL)].dropna(subset=["precision_at_k"])
    for row in rows[rows["scale"] == summary.scales[-1]].head(1).to_dict("records"):
        value, chance = row["precision_at_k"], row["precision_at_k_chance_high"]
        yield Result(
            f"{value:.0%} of the words that attribution puts first are the words that decide the part of the rule "
            f"({strategy_label(row['strategy'])} at {size_label(row['scale'])}); random words would be right in at "
            f"most {chance:.0%}.",
            value, row["precision_at_k_low"], row["precision_at_k_high"], chance,
        )  # fmt: skip


def _observed(summary: Summary) -> Iterator[Result]:
    """One answer to each further question: of all models together, or the one with the smallest p value."""
    rows = summary.read("observations")
    rows = rows.assign(single=~rows["comparison"].str.startswith("All"))
    rows = rows.sort_values(["single", "p"], kind="stable").drop_duplicates("question").sort_index()
    for row in rows.to_dict("records"):
        nothing = 1.0 if row["unit"].startswith("times") or row["unit"] == "share left" else 0.0
        sentence = str(row["sentence"])
        if sentence.startswith(str(row["comparison"])) and ":" in sentence:  # a number that needs its question
            sentence = f"{row['question']} {sentence}"
        yield Result(typeset(sentence), row["value"], row["low"], row["high"], nothing)


def _unseen_context(summary: Summary) -> Iterator[Result]:
    if not summary.holds("scores"):
        return
    rows = summary.read_main("scores", measure="exact", scale=summary.scales[-1])
    shares = rows[rows["strategy"] != CONTROL].groupby("strategy", sort=False)
    for strategy, own in shares:
        rows_of: dict[str, Any] = {row["split"]: row for row in own.to_dict("records")}
        if {"test", "document"} <= set(rows_of):
            known, new = rows_of["test"], rows_of["document"]
            yield Result(
                f"In contexts that it was trained on, {strategy_label(str(strategy))} at "
                f"{size_label(summary.scales[-1])} writes {known['mean']:.0%} of the rules exactly right; in one that "
                f"it has never seen, {new['mean']:.0%}.",
                new["mean"], new["low"], new["high"], known["mean"],
            )  # fmt: skip
            return


def _detector(summary: Summary) -> Iterator[Result]:
    if summary.holds("signals", "regressions"):
        signals = summary.read_main("signals").dropna(subset=["auroc"])
        if len(signals):
            best = signals.sort_values("auroc").iloc[-1]
            own = (summary.read_main(name, split=str(best["split"])) for name in ("signals", "regressions"))
            sentence = describe_gain(*own)[0]
            yield Result(
                f"Can attribution find wrong parts of a rule? {sentence}",
                float(best["auroc"]), float(best["low"]), float(best["high"]), 0.5,
            )  # fmt: skip
