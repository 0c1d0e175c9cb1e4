"""The book's parts about evidence as such: every verdict of every study that was run, and what a study can find."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.pipeline.summary_stage import STORED

if TYPE_CHECKING:
    import pandas as pd

EFFECTS = {"C1": (0.25, 0.35), "C2": (0.02, 0.03, 0.04), "C3": (0.1, 0.17), "C4": (0.01, 0.02, 0.05)}
CLAUSES, SEEDS = (24, 48, 96), (2, 3, 5)
FEWER = {"C1": ((24, 48), (2, 3))}
"""Clauses and seeds where more would take minutes: patterns are whole distributions, and their runs many pairs."""
DRAWN = 48
"""Clauses of the studies in the figure."""
STUDIES = 200
"""Simulated studies for each number of the power page: a standard error of at most 4 per cent."""


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
    from compliance_xai.figures.tables import verdicts_html

    findings = read_findings(project)
    tables = []
    for claim in dict.fromkeys(finding["claim"] for finding in findings):
        own = [finding for finding in findings if finding["claim"] == claim]
        own = [finding | {"study": f"{finding['study']} ({finding['where']})"} for finding in own]
        caption = f"{claim}: {own[0]['statement']}"
        tables.append(verdicts_html(own, caption=caption, studies=True))
    return "\n".join(tables) if tables else "<p>No study was run yet.</p>"


def power_frame(claim: str, *, studies: int = STUDIES) -> pd.DataFrame:
    """How often a claim's decisive tests find an effect, by its size and the study's.

    Returns
    -------
    pandas.DataFrame
        ``effect`` (``stats.power.UNITS``), ``clauses``, and a column for each number of seeds: share of simulated
        studies. Effect 0 is a study in which there is nothing to find.
    """
    import dataclasses

    import pandas as pd

    from compliance_xai.stats import power

    rows = []
    all_clauses, all_seeds = FEWER.get(claim, (CLAUSES, SEEDS))
    for effect in (0.0, *EFFECTS[claim]):
        for clauses in all_clauses:
            designs = [dataclasses.replace(power.DEFAULT[claim], clauses=clauses, seeds=seeds) for seeds in all_seeds]
            rates = {
                f"{design.seeds} seeds": power.find_rate(claim, effect, design, studies=studies) for design in designs
            }
            rows.append({"effect": effect, "clauses": clauses} | rates)
    return pd.DataFrame(rows)


def format_power(folder: Path, *, studies: int = STUDIES) -> str:
    """The power page's figure, whose files go to ``folder``, and its tables; HTML."""
    import dataclasses

    import pandas as pd

    from compliance_xai.figures.contract import figure_html
    from compliance_xai.figures.planning_figures import draw_power
    from compliance_xai.figures.tables import table_html
    from compliance_xai.stats import power

    spreads = pd.DataFrame(
        [
            {"claim": claim, "scales": d.scales, "strategies": d.strategies, "clause SD": d.clause_sd}
            | {"run SD": d.run_sd, "residual SD": d.residual_sd, "planted effect": power.PLANTED[claim]}
            for claim, d in power.DEFAULT.items()
            if claim != "C1"
        ]
    )
    parts = [table_html(spreads, caption="What is simulated, and the effect that the default study claims to find")]
    frames = {claim: power_frame(claim, studies=studies) for claim in EFFECTS}
    figure = draw_power(_drawn(frames, studies), clauses=DRAWN, studies=studies, folder=folder)
    parts.insert(0, figure_html(dataclasses.replace(figure, folder=Path("..") / "_static" / folder.name)))
    parts.append(_false_contradictions(studies))
    for claim, frame in frames.items():
        parts.append(
            table_html(
                frame,
                caption=f"{claim}: share of {studies} simulated studies that find the effect; effect: "
                + power.UNITS[claim],
                formats={"effect": "g"} | dict.fromkeys([f"{seeds} seeds" for seeds in SEEDS], ".0%"),
            )
        )
    return "\n".join(parts)


def _false_contradictions(studies: int) -> str:
    """How often a claim is contradicted although the effect is there, just as large as declared; HTML."""
    import dataclasses

    import pandas as pd

    from compliance_xai.figures.tables import table_html
    from compliance_xai.stats import power

    rows = []
    for claim, effect in power.MARGIN.items():
        design = power.DEFAULT[claim]
        if claim in FEWER:
            design = dataclasses.replace(design, clauses=FEWER[claim][0][0])
        rates = {
            f"{seeds} seeds": power.contradict_rate(
                claim, effect, dataclasses.replace(design, seeds=seeds), studies=studies
            )
            for seeds in SEEDS
        }
        rows.append({"claim": claim, "clauses": design.clauses, "effect": effect} | rates)
    return table_html(
        pd.DataFrame(rows),
        caption=f"Share of {studies} simulated studies that contradict a claim although the effect is just as large as "
        "it declares",
        formats={"effect": "g"} | dict.fromkeys([f"{seeds} seeds" for seeds in SEEDS], ".1%"),
    )


def _drawn(frames: Mapping[str, pd.DataFrame], studies: int) -> pd.DataFrame:
    """One number of clauses, a row per claim, effect and number of seeds, with intervals."""
    import numpy as np
    import pandas as pd
    from statsmodels.stats.proportion import proportion_confint

    from compliance_xai.stats import power

    rows = []
    for claim, frame in frames.items():
        chosen = frame[frame["clauses"] == DRAWN].melt(["effect", "clauses"], var_name="seeds")
        chosen["seeds"] = chosen["seeds"].str.removesuffix(" seeds").astype(int)
        found = (chosen["value"] * studies).round()
        low, high = proportion_confint(found, studies, method="wilson")
        # At 0 and 1 the interval ends there, but for rounding.
        chosen["low"], chosen["high"] = np.minimum(low, chosen["value"]), np.maximum(high, chosen["value"])
        rows.append(chosen.assign(claim=claim, unit=power.UNITS[claim]))
    return pd.concat(rows, ignore_index=True)
