"""A study: corpus, ladder, strategies, seeds, attribution settings and decision thresholds, read from one YAML file.

The file is checked as a whole before anything runs. An unknown key, a key written twice, a wrong type or a value out of
range stops with a message that names the file, the line and the key. Notebooks, the command line and the Snakefile all
read a study through ``load_study``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator, model_validator

from compliance_xai.errors import InputError
from compliance_xai.study import yaml_files
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.ladders import LadderSettings
from compliance_xai.study.protocols import Protocol

Kind = Literal["none", "full", "lora", "qlora", "lora+", "dora", "lora-then-full", "full-top"]

KINDS: Mapping[Kind, str] = {
    "none": "nothing: the base model as it is, the control",
    "full": "every weight",
    "lora": "low-rank adapters beside the linear layers; every weight is frozen",
    "qlora": "low-rank adapters beside linear layers that are stored in 4 bits",
    "lora+": "low-rank adapters beside the linear layers, and every weight of embeddings, norms and head",
    "dora": "low-rank adapters for the direction of the linear layers' rows, and the rows' lengths",
    "lora-then-full": "low-rank adapters first; then, with these merged, every weight",
    "full-top": "every weight in the upper half of the layers; low-rank adapters in the lower half",
}
"""The kinds of fine-tuning, and what each trains."""

HYBRIDS = ("lora+", "lora-then-full", "full-top")
"""Kinds that train adapters and some whole weights."""

SECOND_PHASE = {"full_share"}
WHOLE_WEIGHTS = {"full_learning_rate"}
ADAPTERS = {"rank", "alpha", "dropout", "target_modules"}

WITHOUT_EFFECT = frozenset({"micro_batch", "gradient_checkpointing", "checkpoint_every"})
"""Settings of a strategy that change memory and time and not the result, so that a change re-runs nothing."""

Count = Annotated[int, Field(strict=True, ge=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Slug = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*$")]
"""A scale's name. It has no hyphen, so that ``<scale>-<strategy>-<stage>`` names one job only."""
StrategyName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
StudyName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Settings(BaseModel):
    """What all parts of a study share: frozen, and no key that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CorpusSettings(Settings):
    """Which clauses and rules, and how many of each split."""

    source: Literal["synthetic", "nzbc-lrml", "table"] = "synthetic"
    """Where the pairs come from."""
    path: Text | None = None
    """The file, for ``nzbc-lrml`` and ``table``; relative paths start at the project's folder."""
    scheme: Literal["random", "document"] = "random"
    """Which of the source's splits: by pair, or by whole document."""
    train: Count | None = None
    """Take the first n training pairs; all of them where absent."""
    validation: Count | None = None
    """Take the first n validation pairs; all of them where absent."""
    test: Count | None = None
    """Take the first n test pairs; all of them where absent."""
    document: Count | None = None
    """Take the first n pairs of the held-out documents or context; all of them where absent."""
    evaluate_on: Literal["test", "validation"] = "test"
    """The split that is generated for and attributed; ``validation`` for a table whose test rows are held back."""
    seed: Whole = 0
    """Seed of the splits made for a table that brings none."""


class ScaleSettings(Settings):
    """What one scale of a strategy does differently."""

    learning_rate: Positive | None = None
    """Peak learning rate at this scale."""
    steps: Count | None = None
    """Optimiser steps at this scale."""
    rank: Count | None = None
    """Rank of the adapters at this scale."""
    full_learning_rate: Positive | None = None
    """Peak learning rate at this scale of the weights that a hybrid trains whole."""


class StrategySettings(Settings):
    """How one strategy fine-tunes. A key that its kind would not read is refused; ``none`` has no keys."""

    kind: Kind
    """What is trained; ``KINDS`` says it in words."""
    learning_rate: Positive = 1e-3
    """Peak learning rate; warm-up, then cosine to zero."""
    steps: Count = 190
    """Optimiser steps."""
    batch_size: Count = 16
    """Pairs per step."""
    warmup: Share = 0.05
    """Share of the steps spent warming up."""
    weight_decay: NonNegative = 0.01
    """Decoupled weight decay (AdamW)."""
    adam_beta2: Share = 0.95
    """Decay of AdamW's mean of squared gradients; 0.999 remembers more steps than a short fine-tuning has."""
    rank: Count = 32
    """Rank r of the adapters."""
    alpha: Positive | None = None
    """LoRA's alpha, the adapters being scaled by alpha / r; 2 r where absent."""
    dropout: Share = 0.0
    """Dropout before the adapters."""
    target_modules: Text | tuple[Text, ...] = "all-linear"
    """Names of the modules that get adapters, or ``all-linear``."""
    full_learning_rate: Positive | None = None
    """Peak learning rate of the weights that a hybrid trains whole; ``learning_rate`` where absent."""
    full_share: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.25
    """Share of the steps that ``lora-then-full`` spends on every weight, after merging; it has a warm-up of its own."""
    evaluations: Count = 4
    """How often the validation loss is taken, the last time at the end."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What training computes in; ``auto`` is bfloat16 where a CUDA device has it, float32 elsewhere. Weights that are
    trained stay float32."""
    micro_batch: Count | None = None
    """Pairs of one forward pass, where a whole batch does not fit; gradients add up to the same step."""
    gradient_checkpointing: StrictBool = False
    """Keep one activation per layer and compute the others again: less memory, a third more time, the same step."""
    checkpoint_every: Count | None = None
    """Steps between two states that a killed training can go on from; at each evaluation where absent."""
    by_scale: dict[Slug, ScaleSettings] = {}
    """Settings that differ at some scales: ``{4m: {learning_rate: 1e-3}}``."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_keys_without_effect(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        scales = values.get("by_scale")
        changed = [change for change in scales.values() if isinstance(change, dict)] if isinstance(scales, dict) else []
        idle = sorted(set(values).union(*changed) & cls._idle_keys(values.get("kind")))
        if idle:
            raise ValueError(f"idle:{values['kind']}:{idle[0]}")
        return values

    @model_validator(mode="after")
    def _refuse_one_phase(self) -> StrategySettings:
        steps = [self.steps, *(change.steps for change in self.by_scale.values() if change.steps is not None)]
        if self.kind == "lora-then-full" and min(steps) < 2:
            raise ValueError("at least 2 steps for the two phases of lora-then-full")
        return self

    @classmethod
    def _idle_keys(cls, kind: Any) -> set[str]:
        """The keys that a kind of strategy does not read."""
        if kind == "none":
            return set(cls.model_fields) - {"kind"}
        idle = ADAPTERS if kind == "full" else {"target_modules"} if kind == "full-top" else set()
        idle = idle | (set() if kind in HYBRIDS else WHOLE_WEIGHTS)
        return idle | (set() if kind == "lora-then-full" else SECOND_PHASE)

    def used(self) -> dict[str, Any]:
        """The settings that this kind of strategy reads, JSON-serialisable."""
        idle = self._idle_keys(self.kind) | (set() if self.by_scale else {"by_scale"})
        return self.model_dump(mode="json", exclude=idle, exclude_none=True)

    def deciding(self) -> dict[str, Any]:
        """Those of ``used`` that decide the result."""
        return {name: value for name, value in self.used().items() if name not in WITHOUT_EFFECT}

    def at(self, scale: str) -> StrategySettings:
        """The settings that hold at one scale."""
        changed = self.by_scale.get(scale, ScaleSettings()).model_dump(exclude_none=True)
        return self.model_copy(update=changed | {"by_scale": {}})

    @property
    def trains(self) -> bool:
        """Whether there is anything to fine-tune."""
        return self.kind != "none"

    @property
    def has_adapters(self) -> bool:
        """Whether low-rank adapters are trained, for a while at least."""
        return self.kind not in ("none", "full")

    @property
    def lora_alpha(self) -> float:
        """``alpha``, or twice the rank that holds where it is absent."""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    @property
    def phases(self) -> tuple[StrategySettings, ...]:
        """The settings of each phase of the training, whose steps add up to ``steps``; one but for lora-then-full."""
        if self.kind != "lora-then-full":
            return (self,)
        last = min(max(1, round(self.full_share * self.steps)), self.steps - 1)
        measured = min(max(1, round(self.full_share * self.evaluations)), max(1, self.evaluations - 1))
        shared = {"batch_size", "warmup", "weight_decay", "adam_beta2", "precision", *WITHOUT_EFFECT}
        common = self.model_dump(include=shared, exclude_none=True)
        first = self.model_dump(include=ADAPTERS) | {
            "kind": "lora",
            "learning_rate": self.learning_rate,
            "steps": self.steps - last,
            "evaluations": max(1, self.evaluations - measured),
        }
        second = {
            "kind": "full",
            "learning_rate": self.full_learning_rate or self.learning_rate,
            "steps": last,
            "evaluations": measured,
        }
        return StrategySettings.model_validate(common | first), StrategySettings.model_validate(common | second)


class PromptSettings(Settings):
    """How a clause is shown to the model."""

    template: Text = "Clause: {clause}\nRule:\n"
    """Text around ``{clause}``; the rule follows it directly, or in the model's turn of a chat."""
    chat: StrictBool | Literal["auto"] = "auto"
    """Whether the text is a user's turn of a chat; ``auto`` asks the ladder, which says it of each rung."""
    system: Text | None = None
    """The system's turn before it, in a chat; some models take none."""

    @field_validator("template")
    @classmethod
    def _hold_one_clause(cls, template: str) -> str:
        if template.count("{clause}") != 1:
            raise ValueError("text with {clause} in it exactly once")
        return template

    @model_validator(mode="after")
    def _refuse_idle_system(self) -> PromptSettings:
        if self.system and self.chat is False:
            raise ValueError("no system turn where chat is false")
        return self


class GenerateSettings(Settings):
    """Greedy decoding."""

    max_new_tokens: Count = 192
    """Where a rule that does not end is cut (and marked as not stopped)."""
    batch_size: Count = 32
    """Clauses decoded together; results do not depend on it."""


class AttributionSettings(Settings):
    """What is perturbed, and for how many clauses."""

    method: Literal["leave_one_out", "shapley", "owen", "surrogate_lasso", "surrogate_ridge"] = "leave_one_out"
    """Which features are perturbed together, and what is made of it; the sampling methods cost 5 to 50 times more."""
    unit: Literal["word", "phrase", "sentence", "category"] = "word"
    """What a feature is."""
    baselines: Annotated[tuple[Literal["delete", "mask", "counterfactual"], ...], Field(min_length=1)] = (
        "delete",
        "mask",
    )
    """What takes a feature's place; conclusions must agree. ``counterfactual`` draws from training clauses."""
    clauses: Count | None = None
    """Attribute the first n clauses of the evaluated split, taken in turn over contexts; all where absent."""
    document_clauses: Whole = 0
    """As many again from the held-out documents or context."""
    draws: Count = 5
    """Replacements that are drawn for each word and averaged, with the ``counterfactual`` baseline."""
    second_method: Literal["leave_one_out", "shapley", "owen", "surrogate_lasso", "surrogate_ridge"] | None = None
    """Another method, for some clauses and with the first baseline: a verdict asks for two that agree."""
    second_clauses: Count = 12
    """How many clauses of the evaluated split it is given, the first of those attributed."""
    picked_baselines: tuple[Literal["delete", "mask", "counterfactual"], ...] | None = None
    """Where protocols compare other checkpoints than the last: the baselines that these are read with, by the first
    method alone. Every baseline and both methods where absent."""
    batch_tokens: Count = 2048
    """Tokens per forward pass; results do not depend on it."""
    precision_clauses: Whole = 0
    """Measure on the first n attributed clauses what merging, dequantising and bfloat16 change; first seed only."""

    @field_validator("baselines")
    @classmethod
    def _differ(cls, baselines: tuple[str, ...]) -> tuple[str, ...]:
        return _all_different(baselines)

    @model_validator(mode="after")
    def _pick_among_baselines(self) -> AttributionSettings:
        picked = self.picked_baselines
        if picked is not None and (not picked or not set(picked) <= set(self.baselines)):
            raise ValueError(f"picked_baselines that are among the baselines, {', '.join(self.baselines)}")
        return self

    @model_validator(mode="after")
    def _need_two_methods(self) -> AttributionSettings:
        if self.second_method == self.method:
            raise ValueError(f"a second method that differs from the first, {self.method!r}")
        return self


class FaithfulnessSettings(Settings):
    """How much of the attribution is put to the test on the model itself, and on rules that the model wrote."""

    clauses: Count = 6
    """Judge the first n attributed clauses of the evaluated split."""
    document_clauses: Whole = 0
    """As many again of the attributed clauses from the held-out documents or context."""
    seeds: Count | None = 1
    """Use the models of the first n training seeds; of all where null."""
    operators: Annotated[tuple[Literal["delete", "mask", "counterfactual"], ...], Field(min_length=1)] = ("mask",)
    """What takes a word's place while scores are judged; another one than made them, or the judgement is circular."""
    points: Annotated[int, Field(strict=True, ge=2)] = 3
    """Steps of a deletion curve, from the whole clause to none of it."""
    random_orders: Count = 2
    """Orders drawn at random as a control, for each clause."""
    masks: Annotated[int, Field(strict=True, ge=4)] = 12
    """Random masks, held out, for the linear datamodeling score."""
    beam: Count = 1
    """Width of the search for the best and the worst order; the source of the measure uses 5, with single words."""

    @field_validator("operators")
    @classmethod
    def _differ(cls, operators: tuple[str, ...]) -> tuple[str, ...]:
        return _all_different(operators)


class MetricSettings(Settings):
    """How generated rules are scored."""

    encoder: Text | None = "minilm"
    """Sentence encoder of the semantic similarity: ``minilm`` (from the package index, works offline), a hub id, a
    local folder, or null to leave that score out."""
    code_encoder: Text | None = None
    """Encoder of the code similarity: a hub id or a local folder of any encoder, or null to leave that score out."""


class SearchSettings(Settings):
    """What ``study search`` tries: for every fine-tuned scale x strategy the same number of trials, drawn alike."""

    trials: Count = 8
    """Trainings of each cell; the first has the study's own settings."""
    rate_factor: Annotated[float, Field(strict=True, gt=1, allow_inf_nan=False)] = 4.0
    """Learning rates are drawn between the cell's own divided and multiplied by this, evenly on a log scale; every
    second trial takes the other side of the one before."""
    ranks: tuple[Count, ...] = ()
    """Ranks to draw from, for adapters; the cell's own where empty."""
    steps: tuple[Annotated[int, Field(strict=True, ge=2)], ...] = ()
    """Numbers of steps to draw from, at least 2 for strategies of two phases; the cell's own where empty."""
    seed: Whole = 0
    """Seed of the draws."""


class LaunchSettings(Settings):
    """On how many processes a model is fine-tuned; results do not depend on it."""

    config: Text | None = None
    """An accelerate config file, such as configs/accelerate/fsdp2.yaml; one process where absent."""
    change: dict[Text, int | str] = {}
    """Values of that file to change: ``{num_processes: 4}``."""


class DistanceTest(Settings):
    """C1: do patterns differ by more than seeds do?"""

    outcome: Literal["jensen_shannon", "spearman", "rank_biased_overlap"] = "jensen_shannon"
    """The distance between two patterns."""
    test: Literal["run_permutation"] = "run_permutation"
    """Whole runs change strategy, scale by scale."""
    margin: Annotated[float, Field(strict=True, ge=1)] = 1.1
    """Distance between strategies over the distance between seeds of one strategy, at least."""


class FocusTest(Settings):
    """C2: is one strategy's pattern more focused?"""

    outcome: Literal["normalised_entropy", "effective_number", "effective_fraction"] = "normalised_entropy"
    """The measure of focus; smaller is more focused."""
    test: Literal["mixed_model"] = "mixed_model"
    """Linear mixed model, clauses and runs as random intercepts."""
    companion: Literal["wilcoxon_holm"] = "wilcoxon_holm"
    """What must agree with it, and decides by itself where the model does not converge."""
    margin: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.3
    """Smallest matched-pairs rank-biserial correlation that counts as a difference."""


class LiftTest(Settings):
    """C3: does the weight on numerical constraints and rule identifiers rise with size?"""

    outcome: Literal["log_lift"] = "log_lift"
    """Natural log of the share of mass over the share of features, smoothed."""
    test: Literal["slope_and_page"] = "slope_and_page"
    """Slope over log10(parameters) with its interval, and Page's test for the order of the rungs."""
    margin: Annotated[float, Field(strict=True, ge=0)] = 0.05
    """Smallest slope per factor of ten in parameters that counts as a trend."""


class PlateauTest(Settings):
    """C4: does the similarity of generated and reference rules level off?"""

    outcome: Literal["semantic", "exact", "equivalent", "lrml_f1", "chrf"] = "semantic"
    """The score of a rule."""
    test: Literal["tost_and_break"] = "tost_and_break"
    """Two one-sided tests between neighbouring rungs, and two lines that meet where there are four rungs."""
    margin: Annotated[float, Field(strict=True, gt=0)] = 0.02
    """The largest difference that could count as none; the margin is the noise floor of seeds where that is smaller."""


class ClaimTests(Settings):
    """Outcome, test and margin for each claim, declared before the run and part of every verdict's key."""

    C1: DistanceTest = DistanceTest()
    """Patterns differ."""
    C2: FocusTest = FocusTest()
    """Full fine-tuning is more focused."""
    C3: LiftTest = LiftTest()
    """Scale shifts weight to numerical constraints and rule identifiers."""
    C4: PlateauTest = PlateauTest()
    """Similarity levels off."""


class Thresholds(Settings):
    """What decides a verdict besides each claim's own margin; declared before the run, shown on the findings page."""

    alpha: Annotated[float, Field(strict=True, gt=0, lt=0.5)] = 0.05
    """Level of every test: of each claim by itself, all of whose parts must hold (an intersection-union test, Berger
    1982), and of Holm's correction where pairs of strategies are compared."""
    matched_loss: Positive = 0.1
    """Validation losses that differ from the target by at most this share of it count as matched."""
    min_baselines: Count = 3
    """So many ways of taking a word away must agree before a claim about attributions is decided."""
    min_methods: Count = 2
    """So many methods of attribution must agree."""
    bootstrap: Annotated[int, Field(strict=True, ge=100)] = 2000
    """Resamples of clauses for every interval."""
    permutations: Annotated[int, Field(strict=True, ge=100)] = 5000
    """Permutations of every permutation test."""


class Cell(NamedTuple):
    """One scale x strategy of the grid."""

    scale: str
    strategy: str


class Study(Settings):
    """Everything a study is. ``load_study`` makes one from a file.

    Examples
    --------
    >>> study = Study(name="tiny", title="A tiny one", scales=["1m"], strategies={"none": {}, "full": {"steps": 5}})
    >>> study.cells()
    (Cell(scale='1m', strategy='none'), Cell(scale='1m', strategy='full'))
    """

    name: StudyName
    """Short name; results lie under ``results/<name>``."""
    title: Text
    """What the book calls it."""
    corpus: CorpusSettings = CorpusSettings()
    """Clauses and rules."""
    ladder: LadderSettings = LadderSettings(source="embedded")
    """A folder name under ``data/ladders``, a path to a ladder of your own, or ``rungs`` listed here."""
    scales: Annotated[tuple[Slug, ...], Field(min_length=1)]
    """Rungs of the ladder, smallest first."""
    strategies: Annotated[dict[StrategyName, StrategySettings], Field(min_length=1)]
    """Strategies by name; ``kind`` may be left out where the name is one of the kinds."""
    seeds: Annotated[tuple[Whole, ...], Field(min_length=1)] = (0,)
    """Replicates inside every cell."""
    without: dict[Text, Text] = {}
    """Cells that could not be run, as ``scale/strategy``, each with the reason: ``{4m/qlora: "no memory for it"}``. The
    others are compared, pages name what is missing, and every verdict is inconclusive."""
    prompt: PromptSettings = PromptSettings()
    """How clauses are shown."""
    generate: GenerateSettings = GenerateSettings()
    """How rules are decoded."""
    attribution: AttributionSettings = AttributionSettings()
    """What is attributed."""
    faithfulness: FaithfulnessSettings = FaithfulnessSettings()
    """How attribution is put to the test."""
    metrics: MetricSettings = MetricSettings()
    """How rules are scored."""
    protocols: Annotated[tuple[Protocol, ...], Field(min_length=1)] = ("matched_compute",)
    """At what point of their trainings strategies are compared: after equal compute, at equal validation loss
    (``matched_loss``), each at its ``best``. Others than the first keep the weights of every evaluation."""
    search: SearchSettings = SearchSettings()
    """What a search for better settings tries; no part of a run."""
    launch: LaunchSettings = LaunchSettings()
    """On how many processes a model is fine-tuned."""
    tests: ClaimTests = ClaimTests()
    """The test of each claim."""
    thresholds: Thresholds = Thresholds()
    """What decides the verdicts."""
    threads: Count = 1
    """Threads of each running notebook; the command line's ``--cores`` says how many notebooks run at once."""

    @field_validator("strategies", mode="before")
    @classmethod
    def _take_kind_from_name(cls, strategies: Any) -> Any:
        if not isinstance(strategies, dict):
            return strategies
        filled = {}
        for name, settings in strategies.items():
            settings = {} if settings is None else settings
            if isinstance(settings, dict) and "kind" not in settings and name in KINDS:
                settings = {"kind": name, **settings}
            filled[name] = settings
        return filled

    @field_validator("ladder", mode="before")
    @classmethod
    def _take_name(cls, ladder: Any) -> Any:
        return {"source": ladder} if isinstance(ladder, str) else ladder

    @field_validator("scales", "seeds", "protocols")
    @classmethod
    def _differ(cls, values: tuple) -> tuple:
        return _all_different(values)

    @model_validator(mode="after")
    def _leave_out_what_is_there(self) -> Study:
        declared = [f"{scale}/{strategy}" for scale in self.scales for strategy in self.strategies]
        unknown = [name for name in self.without if name not in declared]
        if unknown:
            raise ValueError(f"'without' names cells of the study, such as {declared[0]}; {unknown[0]!r} is none")
        if len(self.without) == len(declared):
            raise ValueError("'without' leaves at least one cell")
        return self

    def cells(self) -> tuple[Cell, ...]:
        """Every scale x strategy that is run, in the file's order."""
        grid = (Cell(scale, strategy) for scale in self.scales for strategy in self.strategies)
        return tuple(cell for cell in grid if f"{cell.scale}/{cell.strategy}" not in self.without)

    def settings_of(self, scale: str, strategy: str) -> StrategySettings:
        """How a cell is fine-tuned: its strategy's settings, and what they are at its scale."""
        return self.strategies[strategy].at(scale)

    def seeds_of(self, strategy: str) -> tuple[int, ...]:
        """The seeds of a strategy; an untrained base gives the same answer for every seed, so it has one."""
        return self.seeds if self.strategies[strategy].trains else (0,)

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether a protocol compares other checkpoints than the last."""
        return set(self.protocols) != {"matched_compute"}

    @property
    def folder(self) -> Path:
        """Where the study's results lie."""
        return find_project_folder() / "results" / self.name


def _all_different(values: tuple) -> tuple:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"every entry once; {value!r} stands there twice")
    return values


def resolve_study_path(study: Path | str) -> Path:
    """The file behind a path or behind the bare name of a study in ``studies/``.

    Raises
    ------
    InputError
        If there is none; the remedy lists the studies there are.
    """
    project = find_project_folder()
    candidates = [Path(study), project / study, project / "studies" / f"{study}.yaml"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    shipped = sorted(path.stem for path in (project / "studies").glob("*.yaml"))
    close = difflib.get_close_matches(Path(study).stem, shipped, n=1)
    raise InputError(
        f"study {str(study)!r}",
        expected="a YAML file or the name of one in studies/",
        found="no such file",
        remedy=f"Did you mean {close[0]!r}?" if close else f"The studies here are: {', '.join(shipped) or 'none'}.",
    )


def load_study(study: Path | str, overrides: Iterable[str] = ()) -> Study:
    """Read and check a study.

    Parameters
    ----------
    study
        A YAML file, or the name of one in ``studies/`` (``"quick"``).
    overrides
        ``key=value`` texts with dotted keys, applied over the file (``"corpus.path=my.csv"``, ``"seeds=[0, 1, 2]"``);
        values are read as YAML.

    Raises
    ------
    InputError
        If the file or an override is not usable; names file, line, key, what was expected and what stands there.
    """
    path = resolve_study_path(study)
    values, lines = yaml_files.read(path, example="studies/quick.yaml")
    for override in overrides:
        _apply_override(values, override)
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise yaml_files.explain(error, Study, path, lines, example="studies/quick.yaml", say=_say_study) from None


def dump_study(study: Study) -> str:
    """The study as YAML with every setting spelled out; ``load_study`` reads it back as the same study."""
    values = study.model_dump(mode="json")
    values["ladder"] = study.ladder.source or study.model_dump(mode="json", exclude_defaults=True)["ladder"]
    values["strategies"] = {name: settings.used() for name, settings in study.strategies.items()}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def check_scales(study: Study, known: Iterable[str], where: Path | str = "") -> None:
    """Stop where the study asks for a rung that its ladder lacks.

    Raises
    ------
    InputError
        Naming the scale and the nearest rung.
    """
    known = list(known)
    asked = [(scale, "scales") for scale in study.scales]
    for name, settings in study.strategies.items():
        asked += [(scale, f"strategies.{name}.by_scale") for scale in settings.by_scale]
    for scale, key in asked:
        if scale not in known:
            close = difflib.get_close_matches(scale, known, n=1)
            raise InputError(
                f"study {str(where or study.name)!r}, key {key!r}",
                expected=f"rungs of the ladder {str(study.ladder)!r}: {', '.join(known)}",
                found=repr(scale),
                remedy=f"Did you mean {close[0]!r}?" if close else "Choose one of these, or another ladder.",
            )


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(
            f"--set {override!r}", expected="key=value", found="no '='", remedy="Write --set corpus.path=my.csv."
        )
    parts = key.strip().split(".")
    target = values
    for part in parts[:-1]:
        inner = target.get(part)
        if inner is None:
            inner = target[part] = {}
        if not isinstance(inner, dict):
            raise InputError(
                f"--set {override!r}",
                expected=f"a key with keys below it before '.{parts[-1]}'",
                found=f"{part!r} is a {yaml_files.type_name(inner)}",
                remedy="Check the dotted key against the study file.",
            )
        target = inner
    try:
        target[parts[-1]] = yaml.load(text, Loader=yaml_files.loader())  # a SafeLoader: makes plain values only
    except yaml.YAMLError as error:
        raise InputError(
            f"--set {override!r}",
            expected="a YAML value after '='",
            found=str(error).splitlines()[0],
            remedy="Put it in quotes.",
        ) from None


_IDLE = dict.fromkeys(ADAPTERS, "adapter settings") | {
    "full_learning_rate": "second learning rate",
    "full_share": "second phase",
}


def _say_study(problem: Mapping[str, Any], location: tuple) -> yaml_files.Words | None:
    """Words of the study's own for what is wrong: an idle key, a strategy without a kind."""
    message = str(problem.get("ctx", {}).get("error", ""))
    if problem["type"] == "value_error" and message.startswith("idle:"):
        _, kind, key = message.split(":")
        return yaml_files.Words(
            location=(*location, key),
            expected="no settings, the base stays untouched" if kind == "none" else f"no {_IDLE.get(key, key)}",
            found=f"{key!r} under a strategy of kind {kind!r}",
            remedy="Remove the key: it would have no effect.",
        )
    if problem["type"] == "missing" and location[-1] == "kind":
        close = difflib.get_close_matches(str(location[-2]), KINDS, n=1)
        return yaml_files.Words(
            location=location,
            expected=f"a strategy kind ({', '.join(KINDS)}), because the name {location[-2]!r} is not one",
            found="nothing",
            remedy=f"Write kind: {close[0] if close else 'lora'} below it"
            + (f", or rename it {close[0]!r}." if close else "."),
        )
    return None
