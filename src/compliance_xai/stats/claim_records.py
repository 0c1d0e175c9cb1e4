"""A finding, and how findings are kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"

STATEMENTS = {
    "C1": "Attribution patterns of full fine-tuning differ statistically from those of LoRA and quantised LoRA.",
    "C2": "Full fine-tuning gives more focused attribution patterns.",
    "C3": "With scale, models prioritise numerical constraints and rule identifiers in the clause.",
    "C4": "Semantic similarity of generated and reference rules plateaus beyond some scale.",
}
"""After the abstract of Shi, Dang, Solihin and Yeoh (2026), arXiv:2604.15589; the only part of it known to us."""


@dataclass(frozen=True)
class Finding:
    """A verdict on one claim for one corpus and ladder.

    ``effect``, ``low`` and ``high`` belong to the comparison that decides (the weakest part of the claim); None where
    nothing could be computed. The interval holds for other clauses and other trainings; with a single seed it is that
    over clauses. ``n`` counts clauses.
    """

    claim: str
    statement: str
    corpus: str
    ladder: str
    verdict: str
    effect: float | None
    effect_name: str
    low: float | None
    high: float | None
    n: int
    reason: str
    what_would_change: str


def findings_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """One row per finding, a column per field of ``Finding``."""
    import pandas as pd

    names = [field.name for field in dataclasses.fields(Finding)]
    return pd.DataFrame([dataclasses.asdict(finding) for finding in findings], columns=names)


def findings_to_json(findings: Iterable[Finding]) -> str:
    """Findings as JSON text, in order; numbers that could not be computed are null."""
    return json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2, allow_nan=False) + "\n"


def findings_from_json(text: str) -> list[Finding]:
    """What ``findings_to_json`` wrote."""
    return [Finding(**record) for record in json.loads(text)]
