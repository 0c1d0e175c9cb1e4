"""What decides the verdicts, declared before a study runs: an outcome and a margin for each claim, and thresholds."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from compliance_xai.study.value_types import Count, Positive, Settings

Protocol = Literal["matched_compute", "matched_loss", "best"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)


class DistanceTest(Settings):
    """C1: do patterns differ by more than training seeds do? Tested by permuting whole runs within a model size."""

    outcome: Literal["jensen_shannon", "spearman", "rank_biased_overlap"] = "jensen_shannon"
    """The distance between two patterns."""
    margin: Annotated[float, Field(strict=True, ge=1)] = 1.1
    """Smallest ratio of the distance between strategies to the distance between seeds of one strategy that counts."""


class FocusTest(Settings):
    """C2: is one strategy's pattern more focused? A mixed model and Wilcoxon's test (with Holm's correction) must
    agree."""

    outcome: Literal["normalised_entropy", "effective_number", "effective_fraction"] = "normalised_entropy"
    """The measure of focus; smaller is more focused."""
    margin: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.3
    """Smallest matched-pairs rank-biserial correlation that counts as a difference."""


class LiftTest(Settings):
    """C3: does the weight on numerical constraints and rule identifiers rise with model size? The slope of log lift
    over log10(parameters), and Page's test for the order of the sizes."""

    outcome: ClassVar[str] = "log_lift"
    margin: Annotated[float, Field(strict=True, ge=0, json_schema_extra={"unit": "nats"})] = 0.05
    """Smallest slope per factor of ten in parameters that counts as a trend."""


class PlateauTest(Settings):
    """C4: does the similarity of generated and reference rules level off? Two one-sided tests between neighbouring
    sizes, and two lines that meet if there are four sizes or more."""

    outcome: Literal["semantic", "exact", "equivalent", "lrml_f1", "chrf"] = "semantic"
    """The score of a rule."""
    margin: Annotated[float, Field(strict=True, gt=0)] = 0.02
    """The largest difference that counts as none; the noise between seeds takes its place if that is smaller."""


class ClaimTests(Settings):
    """Outcome and margin for each claim."""

    C1: DistanceTest = DistanceTest()
    """Patterns differ."""
    C2: FocusTest = FocusTest()
    """Full fine-tuning is more focused."""
    C3: LiftTest = LiftTest()
    """Larger models give more weight to numerical constraints and rule identifiers."""
    C4: PlateauTest = PlateauTest()
    """Similarity levels off."""


class Thresholds(Settings):
    """What decides a verdict besides each claim's margin; shown on the findings page."""

    alpha: Annotated[float, Field(strict=True, gt=0, lt=0.5)] = 0.05
    """Level of every test: of each claim by itself, all of whose parts must hold (an intersection-union test, Berger
    1982), and of Holm's correction if several pairs of strategies are compared."""
    matched_loss: Positive = 0.1
    """Largest difference from the target loss, as a share of it, that counts as matched."""
    min_baselines: Count = 3
    """How many baselines must agree before a claim about attributions is decided."""
    min_methods: Count = 2
    """How many methods of attribution must agree."""
    bootstrap: Annotated[int, Field(strict=True, ge=100)] = 2000
    """Resamples of clauses for every interval."""
    permutations: Annotated[int, Field(strict=True, ge=100)] = 5000
    """Permutations of every permutation test."""
