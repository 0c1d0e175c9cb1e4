"""What a study declared before it ran, as far as verdicts need it, and which claims it could decide at all."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from compliance_xai.attribution.focus import AVERAGE
from compliance_xai.study.stage_settings import ClaimTests, Thresholds

CLAIMS = {
    "C1": "Attribution patterns of full fine-tuning differ statistically from those of LoRA and quantised LoRA.",
    "C2": "Full fine-tuning gives more focused attribution patterns.",
    "C3": "With scale, models prioritise numerical constraints and rule identifiers in the clause.",
    "C4": "Semantic similarity of generated and reference rules plateaus beyond some scale.",
}
"""After the abstract of Shi, Dang, Solihin and Yeoh (2026), arXiv:2604.15589; the only part of it known to us."""


@dataclass(frozen=True)
class Declared:
    """A study's design."""

    corpus: str
    ladder: str
    """What was run; stored with each finding."""
    kinds: Mapping[str, str]
    """Strategy -> kind of fine-tuning, in the study's order. The first strategy of a kind speaks for it in the claims;
    others (another rank, another number of steps) are compared beside it."""
    families: Mapping[str, str]
    """Scale -> family of models, smallest scale first."""
    seeds: Mapping[tuple[str, str], int]
    """Scale and strategy -> number of training seeds."""
    tests: ClaimTests
    thresholds: Thresholds
    method: str = "leave_one_out"
    second_method: str | None = None
    """How words are scored."""
    split: str = "test"
    """The split that verdicts are about."""
    averaged: tuple[str, ...] = ("delete", "counterfactual")
    """The ways of removing a word that make up the primary pattern."""
    missing: tuple[str, ...] = ()
    """Cells that are not run, each with the reason."""

    @property
    def primary(self) -> dict[str, str]:
        """The view that decides: net scores of the main method, averaged over ways of removing a word."""
        baseline = AVERAGE if len(self.averaged) > 1 else next(iter(self.averaged))
        return {"method": self.method, "baseline": baseline, "sign": "net"}

    def first(self, kind: str) -> str | None:
        """The strategy that speaks for a kind of fine-tuning."""
        return next((name for name, own in self.kinds.items() if own == kind), None)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Full fine-tuning with LoRA and with QLoRA, as far as the study has them."""
        full = self.first("full")
        others = [self.first(kind) for kind in ("lora", "qlora")]
        return [(full, other) for other in others if full and other]

    @property
    def deciding(self) -> list[str]:
        """The strategies whose mean stands for fine-tuned models in claims about size."""
        return [name for kind in ("full", "lora", "qlora") if (name := self.first(kind))]

    @property
    def largest_family(self) -> list[str]:
        """The scales of the family that has most of them, smallest first."""
        families = list(self.families.values())
        most = max(dict.fromkeys(families), key=families.count)
        return [scale for scale, family in self.families.items() if family == most]

    def blocks(self, *strategies: str) -> list[int]:
        """For each scale that all of these strategies have, the number of seeds that they share."""
        counts = [[self.seeds.get((scale, name), 0) for name in strategies] for scale in self.families]
        return [min(own) for own in counts if min(own) > 0]


def declared_to_json(declared: Declared) -> str:
    """A design as JSON text, to be kept beside a study's raw frames."""
    values = {field.name: getattr(declared, field.name) for field in dataclasses.fields(declared)}
    values |= {"tests": declared.tests.model_dump(mode="json"), "thresholds": declared.thresholds.model_dump()}
    values["seeds"] = [[*cell, count] for cell, count in declared.seeds.items()]
    return json.dumps(values, indent=1) + "\n"


def declared_from_json(text: str) -> Declared:
    """What ``declared_to_json`` wrote."""
    values = json.loads(text)
    values |= {"tests": ClaimTests(**values["tests"]), "thresholds": Thresholds(**values["thresholds"])}
    values["seeds"] = {(scale, strategy): count for scale, strategy, count in values["seeds"]}
    return Declared(**values | {name: tuple(values[name]) for name in ("averaged", "missing")})


def why_undecidable(declared: Declared) -> dict[str, list[str]]:
    """For each claim, why no result of this study could decide it, each reason with what to add; empty where it can.

    Known before anything runs: ``study plan`` shows it, and a claim that cannot be decided gets no verdict.
    """
    found = {claim: [] for claim in CLAIMS}
    alpha = declared.thresholds.alpha
    lacking = [kind for kind in ("full", "lora", "qlora") if declared.first(kind) is None]
    views = []
    if len(declared.averaged) < 2:
        views.append("one way of removing a word; the primary pattern is averaged over two")
    if declared.second_method is None:
        views.append("no second method of attribution to confirm the direction")
    for claim in ("C1", "C2"):
        if lacking:
            found[claim].append(f"no strategy of kind {' or '.join(lacking)}")
        for full, other in declared.pairs:
            blocks = declared.blocks(full, other)
            free = sum(blocks) - (len(blocks) if claim == "C1" else 1)
            if not blocks or min(blocks) < 2 or 2.0**-free > alpha:
                sizes, bits = max(1, len(blocks)), math.ceil(math.log2(1 / alpha))
                least = max(2, math.ceil((bits + (sizes if claim == "C1" else 1)) / sizes))
                found[claim].append(
                    f"too few seeds of {full} and {other}: permutation of runs cannot reach p = {alpha:g}; "
                    f"{least} are needed at {len(blocks) or 1} model size{'s' if len(blocks) != 1 else ''}"
                )
        found[claim] += views
    scales = declared.largest_family
    for claim in ("C3", "C4"):
        if len(scales) < 3:
            found[claim].append(f"{len(scales)} model size{'s' * (len(scales) != 1)} of one family; three are needed")
        if not declared.deciding:
            found[claim].append("no strategy of kind full, lora or qlora")
        elif min(declared.seeds.get((s, n), 0) for s in scales for n in declared.deciding) < 2:
            found[claim].append("fewer than two seeds in some cell; each needs two")
    found["C3"] += views
    return found
