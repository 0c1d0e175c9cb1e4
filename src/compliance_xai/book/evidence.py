"""The book's parts about evidence as such: every verdict of every study that was run, and what a study can find."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from compliance_xai.figures.contract import figure_html
from compliance_xai.figures.planning_figures import draw_power
from compliance_xai.figures.tables import table_html, verdicts_html
from compliance_xai.pipeline.raw_frames import declare
from compliance_xai.pipeline.summary_stage import STORED
from compliance_xai.stats import power
from compliance_xai.stats.declared import why_undecidable
from compliance_xai.stats.summary import wilson_interval
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import load_study

SEEDS = (2, 3, 5)
STUDIES = {"C1": 100, "C2": 400, "C3": 200, "C4": 400}
"""Simulated studies for each number of the power page; patterns (C1) are whole distributions and take longest."""
SHIPPED = ("embedded", "reference", "hybrids", "nzbc")
"""Studies whose own design is simulated."""


def read_findings(project: Path) -> list[dict[str, Any]]:
    """Every finding there is, with ``study`` (its name) and ``where`` (``here`` or ``stored``).

    Studies run here come first; a study that is also stored under ``data/results`` is listed twice, since settings,
    machine or version may differ.
    """
    here = sorted((project / "results").glob("*/findings/findings.json"))
    stored = sorted((project / STORED).glob("*/findings.json"))
    named = [("here", path.parents[1].name, path) for path in here]
    named += [("stored", path.parent.name, path) for path in stored]
    return [
        finding | {"study": name, "where": where}
        for where, name, path in named
        for finding in json.loads(path.read_text(encoding="utf-8"))
    ]


def format_findings(project: Path) -> str:
    """One table of verdicts for each claim, over all corpora and ladders that were run; HTML."""
    findings = read_findings(project)
    tables = []
    for claim in dict.fromkeys(finding["claim"] for finding in findings):
        own = [finding for finding in findings if finding["claim"] == claim]
        own = [finding | {"study": f"{finding['study']} ({_say_origin(finding)})"} for finding in own]
        tables.append(verdicts_html(own, caption=f"{claim}: {own[0]['statement']}"))
    return "\n".join(tables) if tables else "<p>No study was run yet.</p>"


def _say_origin(finding: Mapping[str, Any]) -> str:
    """Where a finding comes from; one without statements was judged before claims were graded."""
    return finding["where"] + ("" if "statements" in finding else ", by earlier rules")


def power_frame(claim: str, design: power.Design | None = None, *, studies: int = 0) -> pd.DataFrame:
    """How often each verdict is given, by the size of the effect and the number of seeds.

    Returns
    -------
    pandas.DataFrame
        ``effect`` (``stats.power.UNITS``; 0: nothing to find), ``seeds``, and the share of simulated studies with each
        verdict (``power.VERDICTS``).
    """
    rows = []
    for seeds in SEEDS if design is None else (design.seeds,):
        chosen = dataclasses.replace(design or power.DESIGNS[claim], seeds=seeds)
        for effect in power.EFFECTS[claim]:
            found = power.verdict_rates(claim, effect, chosen, studies=studies or STUDIES[claim])
            rows.append({"effect": effect, "seeds": seeds} | found)
    return pd.DataFrame(rows).sort_values(["effect", "seeds"], kind="stable", ignore_index=True)


def format_power(folder: Path, *, studies: int = 0) -> str:
    """The power page's figure, whose files go to ``folder``, and its tables; HTML.

    ``studies`` is the number of simulated studies for each number; that of ``STUDIES`` where 0.
    """
    designs = [{"claim": claim} | dataclasses.asdict(design) for claim, design in power.DESIGNS.items()]
    frames = {claim: power_frame(claim, studies=studies) for claim in power.EFFECTS}
    clauses = power.DESIGNS["C2"].clauses
    figure = draw_power(
        _drawn(frames, studies), clauses=clauses, studies=studies or min(STUDIES.values()), folder=folder
    )
    parts = [figure_html(dataclasses.replace(figure, folder=Path("..") / "_static" / folder.name))]
    spreads = pd.DataFrame(designs).drop(columns=["sizes", "seeds"])
    parts.append(table_html(spreads, caption="What is simulated: clauses, views and standard deviations"))
    formats = {"effect": "g"} | dict.fromkeys(power.VERDICTS, ".0%")
    for claim, frame in frames.items():
        count = studies or STUDIES[claim]
        caption = f"{claim}: verdicts of {count} simulated studies; effect: {power.UNITS[claim]}"
        parts.append(table_html(frame, caption=caption, formats=formats))
    return "\n".join([*parts, _format_shipped(studies)])


def _format_shipped(studies: int) -> str:
    """What each shipped study could find with its own numbers of clauses, seeds and sizes; HTML."""
    rows = []
    for name in SHIPPED:
        study = load_study(name)
        declared, undecidable = declare(study), why_undecidable(declare(study))
        sizes = tuple(
            round(math.log10(load_ladder(study.ladder).listed(s).parameters), 2) for s in declared.largest_family
        )
        for claim, design in power.DESIGNS.items():
            row: dict[str, Any] = {
                "study": name,
                "claim": claim,
                "cannot decide because": "; ".join(undecidable[claim]),
            }
            if not undecidable[claim]:
                clauses = (study.corpus.test if claim == "C4" else study.attribution.clauses) or design.clauses
                own = dataclasses.replace(
                    design, clauses=min(clauses, 60) if claim == "C1" else clauses, seeds=len(study.seeds), sizes=sizes
                )
                for effect in power.EFFECTS[claim]:
                    rate = power.verdict_rates(claim, effect, own, studies=studies or STUDIES[claim] // 2)
                    row[f"{effect:g}"] = rate[power.SUPPORTED]
            rows.append(row)
    table = pd.DataFrame(rows)
    effects = [str(name) for name in table if name not in ("study", "claim", "cannot decide because")]
    table = table[["study", "claim", *sorted(effects, key=float), "cannot decide because"]]
    caption = "Share of simulated studies that support a claim, by the size of the effect, for the design of each study"
    return table_html(table, caption=caption, formats=dict.fromkeys(effects, ".0%"))


def _drawn(frames: Mapping[str, pd.DataFrame], studies: int) -> pd.DataFrame:
    """A row per claim, effect and number of seeds: the share that is supported, with its interval."""
    rows = []
    for claim, frame in frames.items():
        for row in frame.to_dict("records"):
            value = row[power.SUPPORTED]
            low, high = wilson_interval(value, studies or STUDIES[claim])
            point = {"claim": claim, "unit": power.UNITS[claim], "effect": row["effect"], "seeds": row["seeds"]}
            rows.append(point | {"value": value, "low": low, "high": high})
    return pd.DataFrame(rows)
