"""What decides the verdicts, declared before a study runs: an outcome and a margin for each claim, and thresholds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from compliance_xai.study.value_types import Positive, Settings, Share, refuse


class DistanceTest(Settings):
    """C1: do patterns of two strategies differ by more than training seeds do? Runs of one seed swap strategies to test
    it; the strategy's share of the squared distance between runs is its size."""

    outcome: Literal["jensen_shannon", "spearman"] = "jensen_shannon"
    """The distance between two patterns."""
    bands: tuple[Share, Share, Share] = (0.05, 0.15, 0.3)
    """Shares up to which a difference is called negligible, small and moderate."""

    @field_validator("bands")
    @classmethod
    def _rise(cls, bands: tuple[float, float, float]) -> tuple[float, float, float]:
        if not 0 < bands[0] < bands[1] < bands[2]:
            raise refuse("three shares above 0 that rise", str(list(bands)))
        return bands


class FocusTest(Settings):
    """C2: is one strategy's pattern more focused? The log of the effective number of words."""

    margin: Share = 0.05
    """Smallest effect of interest: share of words fewer (0.05: 5 % fewer words)."""


class LiftTest(Settings):
    """C3: do larger models give more weight to numerical constraints and rule identifiers? Their share of the mass over
    their share of the words."""

    margin: Share = 0.05
    """Smallest effect of interest: share more weight for ten times the parameters."""


class PlateauTest(Settings):
    """C4: does correctness level off? Every step between neighbouring sizes, and two one-sided tests of the last."""

    outcome: Literal["equivalent", "exact", "lrml_f1"] = "equivalent"
    """The score of a rule: says the same as the reference (by a solver), is the same text, or LRML F1 (0 to 100)."""
    margin: Annotated[float, Field(strict=True, gt=0)] = 0.05
    """The largest change that counts as none, in the score's own unit (0.05: 5 points of a share; for F1 write 5)."""

    @model_validator(mode="after")
    def _fit_the_unit(self) -> PlateauTest:
        if self.margin >= 1 and self.outcome != "lrml_f1":
            raise refuse(f"a share below 1 for {self.outcome}", f"{self.margin:g}", key=("margin",))
        return self


class ClaimTests(Settings):
    """Outcome and smallest effect of interest for each claim, fixed before a study runs."""

    C1: DistanceTest = DistanceTest()
    """Patterns differ."""
    C2: FocusTest = FocusTest()
    """Full fine-tuning is more focused."""
    C3: LiftTest = LiftTest()
    """Larger models give more weight to numerical constraints and rule identifiers."""
    C4: PlateauTest = PlateauTest()
    """Correctness levels off."""


class Thresholds(Settings):
    """What decides a verdict besides each claim's own test; shown on the findings page."""

    alpha: Annotated[float, Field(strict=True, gt=0, lt=0.5)] = 0.05
    """Level of every test. A claim's comparisons must all hold, so they take no correction (an intersection-union test,
    Berger 1982)."""
    min_parse: Share = 0.8
    """The gate: share of a cell's rules that must be readable. Its rules must also score better than those copied from
    the nearest training clause."""
    min_agreement: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.75
    """Share of the other views (removals and signs) that must find an effect on the same side."""
    matched_loss: Positive = 0.03
    """Largest difference between two validation losses, as a share, that counts as equal. A strategy that trains every
    weight for fewer or more steps than the first of its kind is shown beside it if it ends that near to an adapter."""
    bootstrap: Annotated[int, Field(strict=True, ge=100)] = 2000
    """Resamples of clauses for intervals of single means."""
    permutations: Annotated[int, Field(strict=True, ge=100)] = 5000
    """Permutations of every permutation test."""
