"""Settings of the stages of a study, and what decides its verdicts: outcome and margin of a claim, and thresholds."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from compliance_xai.study import value_types as types
from compliance_xai.study.value_types import DIFFERENT, Settings, refuse

Baseline = Literal["delete", "mask", "counterfactual"]
Method = Literal["leave_one_out", "shapley", "owen", "surrogate_lasso", "surrogate_ridge", "integrated_gradients"]


class CorpusSettings(Settings):
    """Which clauses and rules, and how many of each split."""

    source: Literal["synthetic", "nzbc-lrml", "table"] = "synthetic"
    """Where the pairs of clause and rule come from."""
    path: Annotated[types.PathText | None, Field(examples=["clauses.csv"])] = None
    """The file of a ``table``. Default for ``nzbc-lrml``: where ``compliance-xai corpus fetch nzbc-lrml`` puts it."""
    scheme: Literal["random", "document"] = "random"
    """How the source is split: by pairs, or by whole documents."""
    train: Annotated[types.Pairs | None, Field(examples=[1600])] = None
    """Use the first n training pairs. Default: all of them."""
    validation: Annotated[types.Pairs | None, Field(examples=[100])] = None
    """Use the first n validation pairs. Default: all of them."""
    test: Annotated[types.Pairs | None, Field(examples=[120])] = None
    """Use the first n test pairs. Default: all of them."""
    document: Annotated[types.Pairs | None, Field(examples=[40])] = None
    """Use the first n pairs of the held-out documents or context. Default: all of them."""
    evaluate_on: Literal["test", "validation"] = "test"
    """The split that rules are generated for and that is attributed; ``validation`` keeps test rows for later."""
    seed: types.Whole = 0
    """Seed of the splits made for a table that has no column of splits."""
    columns: dict[Literal["id", "clause", "rule", "context", "split"], types.Text] = Field(
        default={}, examples=[{"clause": "text"}]
    )
    """Names of a ``table``'s columns, if they are not ``clause``, ``rule``, ``id``, ``context`` and ``split``."""
    split_values: dict[types.Text, types.Text] = Field(default={}, examples=[{"dev": "validation"}])
    """What a ``table``'s split column says -> train, validation, test or document. Default: those very words."""
    delimiter: Annotated[types.Text | None, Field(examples=[";"])] = None
    """Between the cells of a CSV ``table``. Default: judged by its first line, and noted."""
    encoding: Annotated[types.Text | None, Field(examples=["cp1252"])] = None
    """Of a CSV or JSON-lines ``table``. Default: UTF-8, or UTF-16 with a byte-order mark."""
    decimal: Literal[".", ","] = "."
    """How a ``table``'s clauses write decimals: with ``,`` their 0,90 and 1.200 are read as 0.90 and 1200."""
    rules: Literal["lrml", "any", "text"] = "lrml"
    """The language of a ``table``'s rules: all must parse as LRML short notation; some may not; or it is another one,
    scored as text."""
    duplicates: Literal["refuse", "keep"] = "refuse"
    """What to do with repeated clauses of a ``table``."""
    leaks: Literal["refuse", "report"] = "refuse"
    """What to do with related clauses on both sides of a ``table``'s split column."""

    @property
    def table_options(self) -> dict[str, Any]:
        """What ``corpus.table_source.TableOptions`` is made of."""
        others = self.model_dump(include={"delimiter", "encoding", "decimal", "rules", "duplicates", "leaks"})
        return self.columns | others | {"split_values": self.split_values or None}

    @property
    def notation(self) -> Literal["lrml", "text"]:
        """How rules are read and scored: ``rules.scores.Notation``."""
        return "text" if self.rules == "text" else "lrml"


class PromptSettings(Settings):
    """How a clause is shown to the model."""

    template: types.Text = "Clause: {clause}\nRule:\n"
    """Text around ``{clause}``; the rule follows it directly, or in the model's turn of a chat."""
    chat: StrictBool | Literal["auto"] = "auto"
    """Whether the text is a user's turn of a chat; ``auto`` follows each model's own ``template`` in the ladder."""
    system: Annotated[types.Text | None, Field(examples=["You translate clauses into rules."])] = None
    """The system's turn that comes first in a chat; some models take none."""

    @field_validator("template")
    @classmethod
    def _require_one_clause(cls, template: str) -> str:
        if template.count("{clause}") != 1:
            raise refuse("text with {clause} in it exactly once", repr(template))
        return template

    @model_validator(mode="after")
    def _refuse_unused_system(self) -> Self:
        if self.system and self.chat is False:
            raise refuse("no system turn, because chat is false", repr(self.system), key=("system",))
        return self


class GenerateSettings(Settings):
    """Greedy decoding of rules."""

    max_new_tokens: types.Tokens = 192
    """Where a rule that does not end is cut; it is marked as not finished."""
    batch_size: types.Clauses = 32
    """Clauses decoded together; results do not depend on it."""
    examples: types.MaybeClauses = 0
    """With how many training pairs in its prompt, the nearest ones, the untouched base writes rules as a floor too."""


class AttributionSettings(Settings):
    """What is perturbed, and for how many clauses."""

    method: Method = "leave_one_out"
    """Which features are perturbed together and how scores are computed from it. The sampling methods (all others)
    cost 5 to 50 times more."""
    unit: Literal["word", "phrase", "sentence", "category"] = "word"
    """What a feature is."""
    baselines: Annotated[tuple[Baseline, ...], Field(min_length=1), DIFFERENT] = ("delete", "mask")
    """What takes a feature's place: nothing, a neutral word, or (``counterfactual``) a word of the same category from
    the training clauses."""
    averaged: Annotated[tuple[Baseline, ...] | None, Field(examples=[["delete", "counterfactual"]])] = None
    """The baselines whose scores are averaged: that pattern decides the verdicts, the others are counted. Default: the
    first two."""
    clauses: Annotated[types.Clauses | None, Field(examples=[48])] = None
    """Attribute the first n clauses of the evaluated split, taken from each context in turn. Default: all of them."""
    document_clauses: types.MaybeClauses = 0
    """How many clauses of the held-out documents or context to attribute as well."""
    draws: types.Count = 5
    """Replacements that are drawn for each word and averaged, for the ``counterfactual`` baseline."""
    second_method: Annotated[Method | None, Field(examples=["surrogate_ridge"])] = None
    """Another method, applied with the first baseline: a verdict needs it not to find the opposite."""
    second_clauses: Annotated[types.Clauses | None, Field(examples=[12])] = None
    """How many of the attributed clauses the second method gets, the first ones of the evaluated split. Default: all of
    them."""
    fewer_clauses: dict[Baseline, types.Clauses] = Field(default={}, examples=[{"mask": 36}])
    """Baselines that get only the first n attributed clauses of the evaluated split; none of those averaged."""
    batch_tokens: types.Tokens = 2048
    """Tokens in one forward pass; results do not depend on it."""
    precision_clauses: types.MaybeClauses = 0
    """On how many attributed clauses to measure what merging, dequantising and bfloat16 change; first seed only."""

    @property
    def primary_removals(self) -> tuple[str, ...]:
        """The baselines that are averaged for the pattern that decides."""
        return self.averaged or self.baselines[:2]

    @model_validator(mode="after")
    def _check_baselines_and_methods(self) -> Self:
        for key, names in (("averaged", self.primary_removals), ("fewer_clauses", self.fewer_clauses)):
            if not set(names) <= set(self.baselines):
                raise refuse(f"some of the baselines, {', '.join(self.baselines)}", ", ".join(names), key=(key,))
        both = set(self.primary_removals) & set(self.fewer_clauses)
        if both:
            raise refuse("baselines that are not averaged", ", ".join(sorted(both)), key=("fewer_clauses",))
        if self.second_method == self.method:
            expected = "a second method that differs from the first"
            raise refuse(expected, repr(self.method), key=("second_method",))
        return self


class FaithfulnessSettings(Settings):
    """How much of the attribution is tested on the model itself and on rules that the model wrote."""

    clauses: types.Clauses = 6
    """Test the first n attributed clauses of the evaluated split."""
    document_clauses: types.MaybeClauses = 0
    """How many of the attributed clauses of the held-out documents or context to test as well."""
    seeds: types.Count | None = 1
    """Use the models of the first n training seeds; null for all of them."""
    operators: Annotated[tuple[Baseline, ...], Field(min_length=1), DIFFERENT] = ("mask",)
    """What takes a word's place while scores are tested; it should differ from what made them, or the test is
    circular."""
    points: Annotated[int, Field(strict=True, ge=2)] = 3
    """Points of a deletion curve, from the whole clause to none of it."""
    random_orders: types.Count = 2
    """Random orders of deletion for each clause, as a control."""
    masks: Annotated[int, Field(strict=True, ge=4)] = 12
    """Random masks for the linear datamodeling score."""
    beam: types.Count = 1
    """Width of the search for the best and the worst order; the source of the measure uses 5 on single words."""


class MetricSettings(Settings):
    """How generated rules are scored."""

    encoder: types.Text | None = "minilm"
    """Sentence encoder of the semantic similarity: ``minilm`` (installed, works offline), a hub id, a folder, or null
    to leave that score out."""


class SearchSettings(Settings):
    """What ``study search`` tries: the same number of trials for every strategy and model size, drawn alike."""

    trials: types.Count = 8
    """Trainings of each cell; the first uses the study's own settings."""
    ranks: Annotated[tuple[types.Count, ...], Field(examples=[[8, 32]])] = ()
    """Ranks of adapters to draw from. Default: the cell's own."""
    steps: Annotated[tuple[Annotated[types.Steps, Field(ge=2)], ...], Field(examples=[[150, 300]])] = ()
    """Numbers of steps to draw from, at least 2. Default: the cell's own."""


class LaunchSettings(Settings):
    """On how many processes a model is fine-tuned; results do not depend on it."""

    config: Annotated[types.PathText | None, Field(examples=["configs/accelerate/fsdp2.yaml"])] = None
    """An accelerate config file. Default: one process."""
    change: dict[types.Text, int | str] = Field(default={}, examples=[{"num_processes": 4}])
    """Values of that file to change."""


class DistanceTest(Settings):
    """C1: do patterns of two strategies differ by more than training seeds do? Runs of one seed swap strategies to test
    it; the strategy's share of the squared distance between runs is its size."""

    outcome: Literal["jensen_shannon", "spearman"] = "jensen_shannon"
    """The distance between two patterns."""
    bands: tuple[types.Share, types.Share, types.Share] = (0.05, 0.15, 0.3)
    """Shares up to which a difference is called negligible, small and moderate."""

    @field_validator("bands")
    @classmethod
    def _rise(cls, bands: tuple[float, float, float]) -> tuple[float, float, float]:
        if not 0 < bands[0] < bands[1] < bands[2]:
            raise refuse("three shares above 0 that rise", str(list(bands)))
        return bands


class FocusTest(Settings):
    """C2: is one strategy's pattern more focused? The log of the effective number of words."""

    margin: types.Share = 0.05
    """Smallest effect of interest: share of words fewer (0.05: 5 % fewer words)."""


class LiftTest(Settings):
    """C3: do larger models give more weight to numerical constraints and rule identifiers? Their share of the mass over
    their share of the words."""

    margin: types.Share = 0.05
    """Smallest effect of interest: share more weight for ten times the parameters."""


class PlateauTest(Settings):
    """C4: does correctness level off? Every step between neighbouring sizes, and two one-sided tests of the last."""

    outcome: Literal["equivalent", "exact", "lrml_f1"] = "equivalent"
    """The score of a rule: says the same as the reference (by a solver), is the same text, or LRML F1 (0 to 100)."""
    margin: Annotated[float, Field(strict=True, gt=0)] = 0.05
    """The largest change that counts as none, in the score's own unit (0.05: 5 points of a share; for F1 write 5)."""

    @model_validator(mode="after")
    def _fit_the_unit(self) -> Self:
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
    min_parse: types.Share = 0.8
    """The gate: share of a cell's rules that must be readable. Its rules must also score better than those copied from
    the nearest training clause."""
    min_agreement: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.75
    """Share of the other views (removals and signs) that must find an effect on the same side."""
    matched_loss: types.Positive = 0.03
    """Largest difference between two validation losses, as a share, that counts as equal. A strategy that trains every
    weight for fewer or more steps than the first of its kind is shown beside it if it ends that near to an adapter."""
    bootstrap: Annotated[int, Field(strict=True, ge=100)] = 2000
    """Resamples of clauses for intervals of single means."""
    permutations: Annotated[int, Field(strict=True, ge=100)] = 5000
    """Permutations of every permutation test."""
