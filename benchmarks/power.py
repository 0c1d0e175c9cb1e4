"""How often would studies find what is there? Simulates them for the page "How many clauses and seeds?".

    make bench BENCH=power

writes ``data/results/power.json``, which the page reads: what was simulated (``designs``, ``effects``, ``studies`` per
number), the shares of verdicts by effect and number of seeds (``rates``), and for the designs of the shipped studies
the share that supports each claim (``shipped``). It takes a few minutes.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import simulated_studies as power

from compliance_xai.book.evidence import POWER
from compliance_xai.files import write_json
from compliance_xai.pipeline.raw_frames import declare
from compliance_xai.stats.declared import why_undecidable
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import load_study

SEEDS = (2, 3, 5)
STUDIES = {"C1": 100, "C2": 400, "C3": 200, "C4": 400}
"""Simulated studies for each number; patterns (C1) are whole distributions and take longest."""
SHIPPED = ("embedded", "reference", "hybrids", "nzbc")
"""Studies whose own design is simulated, with half as many."""


def simulate_rates(claim: str, effect: float, seeds: int) -> dict[str, Any]:
    """The share of simulated studies with each verdict on a claim."""
    design = dataclasses.replace(power.DESIGNS[claim], seeds=seeds)
    rates = power.verdict_rates(claim, effect, design, studies=STUDIES[claim])
    return {"claim": claim, "effect": effect, "seeds": seeds} | rates


def design_of(name: str, claim: str) -> power.Design:
    """The design of a shipped study: its own numbers of clauses and seeds, and the sizes of its largest family."""
    study, ladder = load_study(name), load_ladder(load_study(name).ladder)
    sizes = [math.log10(ladder.listed(scale).parameters) for scale in declare(study).largest_family]
    clauses = (study.corpus.test if claim == "C4" else study.attribution.clauses) or power.DESIGNS[claim].clauses
    return dataclasses.replace(
        power.DESIGNS[claim],
        clauses=min(clauses, 60) if claim == "C1" else clauses,
        seeds=len(study.seeds),
        sizes=tuple(round(size, 2) for size in sizes),
    )


def simulate_shipped(name: str, claim: str) -> dict[str, Any]:
    """By effect, the share of simulated studies of a shipped design that support a claim; or why it cannot decide."""
    reasons = why_undecidable(declare(load_study(name)))[claim]
    row: dict[str, Any] = {"study": name, "claim": claim, "reasons": list(reasons), "supported": {}}
    for effect in () if reasons else power.EFFECTS[claim]:
        rates = power.verdict_rates(claim, effect, design_of(name, claim), studies=STUDIES[claim] // 2)
        row["supported"][f"{effect:g}"] = rates[power.SUPPORTED]
    return row


def describe_designs() -> dict[str, dict[str, Any]]:
    """What is simulated for each claim, as JSON keeps it."""
    return {
        claim: dataclasses.asdict(design) | {"sizes": list(design.sizes)} for claim, design in power.DESIGNS.items()
    }


def main() -> None:
    result = {
        "designs": describe_designs(),
        "units": power.UNITS,
        "effects": {claim: list(effects) for claim, effects in power.EFFECTS.items()},
        "studies": STUDIES,
        "rates": [simulate_rates(claim, effect, seeds) for claim in STUDIES for effect in power.EFFECTS[claim]
                  for seeds in SEEDS],
        "shipped": [simulate_shipped(name, claim) for name in SHIPPED for claim in STUDIES],
    }  # fmt: skip
    print(write_json(result, find_project_folder() / POWER))


if __name__ == "__main__":
    main()
