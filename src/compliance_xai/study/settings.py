"""A study: corpus, ladder, strategies, seeds, attribution and decision thresholds, read from one YAML file.

The file is checked as a whole before anything runs. An unknown key, a repeated key, a wrong type or a value out of
range stops with a message that names the file, the line and the key. Notebooks, the command line and the Snakefile all
read a study with ``load_study``.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from compliance_xai.errors import InputError, require_choice
from compliance_xai.study import stage_settings as stages
from compliance_xai.study import value_types as types
from compliance_xai.study import yaml_files
from compliance_xai.study.folders import find_path, find_project_folder
from compliance_xai.study.ladders import LadderSettings, is_shipped, load_ladder, path_rung
from compliance_xai.study.model_sources import describe_model
from compliance_xai.study.strategy_settings import KINDS, SizeSettings, StrategySettings, usual_settings
from compliance_xai.study.value_types import DIFFERENT, Settings, refuse

EXAMPLE = "studies/quick.yaml"
RESOLVED = "study.yaml"
"""Where a study with overridden settings is written, in its results folder."""


class Cell(NamedTuple):
    """One model size x strategy of the grid."""

    scale: str
    strategy: str


class Study(Settings):
    """A whole study. ``load_study`` makes one from a file.

    Examples
    --------
    >>> study = Study(name="tiny", title="A tiny one", scales=["1m"], strategies={"none": {}, "full": {"steps": 5}})
    >>> study.cells()
    (Cell(scale='1m', strategy='none'), Cell(scale='1m', strategy='full'))
    """

    name: Annotated[types.StudyName, Field(examples=["mine"])]
    """Short name; results go to ``results/<name>``."""
    title: Annotated[types.Text, Field(examples=["My study"])]
    """The study's title in the book."""
    corpus: stages.CorpusSettings = stages.CorpusSettings()
    """Clauses and rules."""
    ladder: Annotated[LadderSettings, Field(examples=["embedded"])] = LadderSettings(source="embedded")
    """The base models: the name of a shipped ladder, a path to a ladder of your own, or ``rungs`` listed here."""
    scales: Annotated[tuple[types.Slug, ...], Field(min_length=1, examples=[["1m", "4m"]]), DIFFERENT]
    """Model sizes: rungs of the ladder, smallest first."""
    strategies: Annotated[
        dict[types.StrategyName, StrategySettings], Field(min_length=1, examples=[{"none": {}, "lora": {}}])
    ]
    """Strategies by name."""
    seeds: Annotated[tuple[types.Whole, ...], Field(min_length=1), DIFFERENT] = (0,)
    """Training seeds: every cell is trained once with each."""
    fewer_seeds: dict[types.Slug, types.Count] = Field(default={}, examples=[{"30m": 3}])
    """Model sizes that are trained with only the first n seeds."""
    without: dict[types.Text, types.Text] = Field(default={}, examples=[{"4m/qlora": "not enough memory"}])
    """Cells that are not run, as ``size/strategy``, each with the reason. The others are compared, and pages name what
    is missing."""
    prompt: stages.PromptSettings = stages.PromptSettings()
    """How clauses are shown."""
    generate: stages.GenerateSettings = stages.GenerateSettings()
    """How rules are decoded."""
    attribution: stages.AttributionSettings = stages.AttributionSettings()
    """What is attributed."""
    faithfulness: stages.FaithfulnessSettings = stages.FaithfulnessSettings()
    """How attribution is tested."""
    metrics: stages.MetricSettings = stages.MetricSettings()
    """How rules are scored."""
    search: stages.SearchSettings = stages.SearchSettings()
    """What a search for better settings tries; not part of a run."""
    launch: stages.LaunchSettings = stages.LaunchSettings()
    """On how many processes a model is fine-tuned."""
    tests: stages.ClaimTests = stages.ClaimTests()
    """Outcome and margin of each claim."""
    thresholds: stages.Thresholds = stages.Thresholds()
    """What decides the verdicts."""
    threads: types.Count = 1
    """Threads of each running notebook; ``--cores`` on the command line limits how many notebooks run at once."""

    @field_validator("strategies", mode="before")
    @classmethod
    def _take_kind_from_name(cls, strategies: Any) -> Any:
        if not isinstance(strategies, dict):
            return strategies
        filled = {}
        for name, settings in strategies.items():
            settings = {} if settings is None else settings
            if isinstance(settings, dict) and "kind" not in settings:
                if name not in KINDS:
                    expected = f"a strategy kind ({', '.join(KINDS)}), because the name {name!r} is not one"
                    remedy = yaml_files.suggest(name, KINDS) or "Write kind: lora below it."
                    raise refuse(expected, "nothing", remedy, (name, "kind"))
                settings = {"kind": name, **settings}
            filled[name] = settings
        return filled

    @field_validator("ladder", mode="before")
    @classmethod
    def _take_source(cls, ladder: Any) -> Any:
        return {"source": ladder} if isinstance(ladder, str) else ladder

    @model_validator(mode="after")
    def _check_groups_together(self) -> Self:
        declared = [f"{scale}/{strategy}" for scale in self.scales for strategy in self.strategies]
        unknown = [name for name in self.without if name not in declared]
        if unknown:
            raise refuse(f"cells of the study, such as {declared[0]}", repr(unknown[0]), key=("without",))
        if len(self.without) == len(declared):
            raise refuse("at least one cell of the study that is not listed", "every cell", key=("without",))
        if self.corpus.notation == "text" and self.tests.C4.outcome != "exact":
            found = repr(self.tests.C4.outcome)
            raise refuse("'exact', because rules: text has no parser", found, key=("tests", "C4", "outcome"))
        return self

    def cells(self) -> tuple[Cell, ...]:
        """Every model size x strategy that is run, in the file's order."""
        grid = (Cell(scale, strategy) for scale in self.scales for strategy in self.strategies)
        return tuple(cell for cell in grid if f"{cell.scale}/{cell.strategy}" not in self.without)

    def settings_of(self, scale: str, strategy: str) -> StrategySettings:
        """How a cell is fine-tuned: its strategy's settings at its model size.

        Raises
        ------
        InputError
            If the study has no such strategy or model size.
        """
        require_choice(f"study {self.name!r}, strategy", strategy, self.strategies)
        require_choice(f"study {self.name!r}, model size", scale, self.scales)
        return self.strategies[strategy].at(scale)

    def seeds_of(self, strategy: str, scale: str = "") -> tuple[int, ...]:
        """The seeds of a strategy, at one model size if it is given; an untrained base has a single one."""
        return self.seeds[: self.fewer_seeds.get(scale)] if self.strategies[strategy].trains else (0,)

    @property
    def folder(self) -> Path:
        """Where the study's results are."""
        return find_project_folder() / "results" / self.name


def resolve_study_path(study: Path | str) -> Path:
    """The file of a study, from its path or its name: in ``studies/``, or that of results of other settings.

    Raises
    ------
    InputError
        If there is none; suggests a study that exists.
    """
    project = find_project_folder()
    named = project / "studies" / f"{study}.yaml", project / "results" / study / RESOLVED
    for candidate in (Path(study), project / study, *named):
        if candidate.is_file():
            return candidate
    known = sorted(path.stem for path in (project / "studies").glob("*.yaml"))  # not read: one may be damaged
    expected = "a YAML file or the name of one in studies/"
    remedy = yaml_files.suggest(Path(study).stem, known) or f"The studies here are: {', '.join(known) or 'none'}."
    raise InputError(f"study {str(study)!r}", expected=expected, found="no such file", remedy=remedy)


def list_studies() -> dict[str, str]:
    """The studies in ``studies/`` by name, with their titles; what is wrong with one that cannot be read."""
    found = {}
    for path in sorted((find_project_folder() / "studies").glob("*.yaml")):
        try:
            found[path.stem] = str(yaml_files.read(path, example=EXAMPLE)[0].get("title", ""))
        except InputError as error:
            found[path.stem] = f"cannot be read: {error}"
    return found


def load_study(
    study: Path | str, overrides: Mapping[str, Any] | Iterable[str] = (), *, models: Sequence[str] = ()
) -> Study:
    """Read and check a study.

    Parameters
    ----------
    study
        A YAML file, or the name of one in ``studies/`` (``"quick"``).
    overrides
        Settings that replace the file's, by dotted key: a mapping (``{"seeds": [0, 1, 2]}``), or texts
        (``"corpus.path=my.csv"``) whose values are read as YAML.
    models
        Model folders or hub ids that replace the study's ladder. Learning rates, ranks, batch sizes and steps are then
        the usual ones for their sizes, and the study's name ends with their names.

    A relative path in the file starts from the file's folder, one in ``overrides`` or ``models`` from the working
    directory.

    Raises
    ------
    InputError
        If the file or an override is not usable; names file, line and key, what was expected and what was found.
    """
    path = resolve_study_path(study)
    values, lines = yaml_files.read(path, example=EXAMPLE)
    _resolve_paths(values, path.resolve().parent)
    if models:
        _take_models(values, models)
    pairs = overrides.items() if isinstance(overrides, Mapping) else (_split_override(text) for text in overrides)
    for key, value in pairs:
        _override(values, key, value)
    _resolve_paths(values, None)
    try:
        loaded = Study.model_validate(values)
    except ValidationError as error:
        raise yaml_files.explain(error, Study, path, lines, example=EXAMPLE) from None
    return _fill_by_size(loaded, values["strategies"])


def _resolve_paths(values: dict[str, Any], base: Path | None) -> None:
    """Make the paths of a study's values absolute if something is there; see ``folders.find_path``."""

    def resolve(group: Any, key: str) -> None:
        given = group.get(key) if isinstance(group, dict) else None
        if isinstance(given, str) and given and find_path(given, base).exists():
            group[key] = str(find_path(given, base))

    for group, key in (("corpus", "path"), ("launch", "config")):
        resolve(values.get(group), key)
    ladder = values.get("ladder")
    named = values if isinstance(ladder, str) else ladder
    key = "ladder" if isinstance(ladder, str) else "source"
    if not is_shipped(str(named.get(key)) if isinstance(named, dict) else ""):
        resolve(named, key)
    rungs = ladder.get("rungs") if isinstance(ladder, dict) else None
    if isinstance(ladder, dict) and isinstance(rungs, list):
        ladder["rungs"] = [path_rung(rung) if isinstance(rung, str) else rung for rung in rungs]
        for rung in ladder["rungs"]:
            resolve(rung, "path")


def _take_models(values: dict[str, Any], models: Sequence[str]) -> None:
    rungs = sorted((describe_model(model) for model in models), key=lambda rung: rung["parameters"])
    names = [rung["name"] for rung in rungs]
    values["name"] = f"{values.get('name')}-{'-'.join(names)}"[:60]
    values["title"] = f"{values.get('title')}: {', '.join(names)}"
    values |= {"ladder": {"name": ", ".join(names), "rungs": rungs}, "scales": names, "without": {}}
    strategies = values.get("strategies")
    for settings in strategies.values() if isinstance(strategies, dict) else ():
        for key in ("by_scale", *SizeSettings.model_fields) if isinstance(settings, dict) else ():
            settings.pop(key, None)


def _fill_by_size(study: Study, written: Mapping[str, Any]) -> Study:
    """The study with the usual settings for each model's size if its file gives none."""
    asked = {name: set(SizeSettings.model_fields) - set(written[name] or ()) for name in study.strategies}
    if not any(keys for name, keys in asked.items() if study.strategies[name].trains):
        return study
    ladder = load_ladder(study.ladder)
    sizes = {rung.name: rung.parameters for rung in (*ladder.rungs, *ladder.absent)}
    filled = {}
    for name, settings in study.strategies.items():
        by_scale = dict(settings.by_scale)
        for scale in study.scales if settings.trains else ():
            own = by_scale.get(scale, SizeSettings())
            usual = usual_settings(settings.kind, sizes.get(scale, 0))
            change = {
                key: value for key, value in usual.items()
                if key in asked[name] and key in settings.used()
                and getattr(own, key) is None and value != getattr(settings, key)
            }  # fmt: skip
            by_scale |= {scale: own.model_copy(update=change)} if change else {}
        filled[name] = settings.model_copy(update={"by_scale": by_scale})
    return study.model_copy(update={"strategies": filled})


def dump_study(study: Study) -> str:
    """The study as YAML with every setting spelled out; ``load_study`` reads it back as the same study."""
    values = study.model_dump(mode="json")
    values["ladder"] = study.ladder.source or study.model_dump(mode="json", exclude_defaults=True)["ladder"]
    values["strategies"] = {name: settings.used() for name, settings in study.strategies.items()}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def check_scales(study: Study, known: Iterable[str], where: Path | str = "") -> None:
    """Stop if the study asks for a model size that its ladder lacks.

    Raises
    ------
    InputError
        Naming the size and the nearest rung.
    """
    known = list(known)
    asked = [(scale, "scales") for scale in study.scales]
    for name, settings in study.strategies.items():
        asked += [(scale, f"strategies.{name}.by_scale") for scale in settings.by_scale]
    for scale, key in asked:
        place = f"study {str(where or study.name)!r}, key {key!r}, rung of the ladder {str(study.ladder)!r}"
        require_choice(place, scale, known, remedy="Choose one of these, or another ladder.")


def _split_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    where = f"--set {override!r}"
    if not equals or not key.strip():
        raise InputError(where, expected="key=value", found="no '='", remedy="Write --set corpus.path=my.csv.")
    return key.strip(), yaml_files.parse(text, where)[0]


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    *outer, last = key.split(".")
    for part in outer:
        inner = values.get(part)
        if inner is None:
            inner = values[part] = {}
        if not isinstance(inner, dict):
            expected, found = f"a group of settings before '.{last}'", f"{part!r}, a {type(inner).__name__}"
            remedy = "Check the dotted key against the study file."
            raise InputError(f"setting {key!r}", expected=expected, found=found, remedy=remedy)
        values = inner
    values[last] = value
