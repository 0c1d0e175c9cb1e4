"""The grid of a study: its jobs, what each depends on, the key that says what made it, and whether it is done.

A *job* is one stage of the whole study or of one cell (scale x strategy). Its *key* is a digest of the settings, code
and inputs that decide its results, the keys of the jobs before it included. Where the manifest in a job's folder
carries the job's key and its files are as they were left, its results are current.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compliance_xai.corpus.download import PUBLIC_FILES
from compliance_xai.errors import InputError
from compliance_xai.files import digest
from compliance_xai.pipeline.code_keys import code_digest
from compliance_xai.pipeline.manifests import MANIFEST, Manifest, peek_manifest, stamps_of
from compliance_xai.pipeline.stores import find_damage, hash_once, read_json
from compliance_xai.study.folders import find_data_folder, find_path, find_project_folder
from compliance_xai.study.labels import size_label
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study, check_scales

STATES = ("done", "stale", "damaged", "failed", "not run")
"""``stale``: there are results, but of other settings, code or inputs. ``damaged``: a file of results that would be
current is missing or was altered. ``failed``: the last attempt met an error."""


PATIENCE = 60.0
"""Seconds to wait for another process at work on the same job: that of a killed run ends within a few."""


@dataclass(frozen=True)
class Stage:
    """One kind of notebook; its function in ``pipeline``, its module, notebook and title all have its name.

    ``rooms``: the rooms and modules whose code decides its results, beside its own module (``pipeline.code_keys``).
    ``per_cell``: whether it runs once per scale x strategy, or once per study.
    """

    number: int
    name: str
    rooms: tuple[str, ...]
    per_cell: bool = False

    @property
    def module(self) -> str:
        """Its module in ``pipeline``."""
        return f"{self.name}_stage"

    @property
    def notebook(self) -> str:
        """Its text source under ``notebooks/``."""
        return f"{self.number:02d}_{self.name}.py"

    @property
    def title(self) -> str:
        """What readers see: ``Compare strategies``."""
        return "Fine-tune" if self.name == "finetune" else self.name.replace("_", " ").capitalize()


_NOUNS = ("records", "files", "pipeline.stage_examples")
_TRAIN = (*_NOUNS, "rules.notation", "corpus", "models", "pipeline.cells")
_ELEMENTS = tuple(f"rules.compare.{name}" for name in ("edits", "rule_elements", "error_kinds"))
_READ = (*_TRAIN, "attribution", *_ELEMENTS)
_COMPARE = (*_NOUNS, "pipeline.raw_frames", "corpus", "rules", "attribution", "stats")
MEASURING = (*_READ, "rules", "pipeline.attribute_stage", "pipeline.faithfulness_stage")
"""What decides the measurements that the faithfulness stage makes on one model, the statistics over them aside."""
_JUDGE = ("records", "files", "pipeline.raw_frames", "corpus.nearest", "attribution.focus", "stats")
_SUMMARY = (*_JUDGE, "attribution.distances", "attribution.precision")

STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(1, "corpus", (*_NOUNS, "rules.notation", "corpus")),
        Stage(2, "ladder", ("study.ladders",)),
        Stage(3, "finetune", _TRAIN, per_cell=True),
        Stage(4, "generate", (*_TRAIN, "rules"), per_cell=True),
        Stage(5, "attribute", _READ, per_cell=True),
        Stage(6, "compare_strategies", _COMPARE),
        Stage(7, "compare_sizes", _COMPARE),
        Stage(8, "faithfulness", (*MEASURING, "pipeline.raw_frames", "stats")),
        Stage(9, "contexts", _COMPARE),
        Stage(10, "findings", _JUDGE),
        Stage(11, "summary", _SUMMARY),
    )
}
"""Every stage, in the order of their notebooks."""


def stages_of(study: Study, strategy: str | None = None) -> tuple[str, ...]:
    """Every stage, or those of one cell of the study; an untouched base is not fine-tuned."""
    names = [name for name, stage in STAGES.items() if strategy is None or stage.per_cell]
    if strategy is not None and not study.strategies[strategy].trains:
        names.remove("finetune")
    return tuple(names)


@dataclass(frozen=True)
class Job:
    """One stage of one study or cell; scale and strategy are None if the stage runs once per study.

    ``key``: digest of everything that decides its results, of ``settings`` and ``code`` among other things; ``needs``:
    names of the jobs whose results decide its own; ``waits``: of jobs that its page reads something from, such as the
    clauses that it shows: they run first, but their keys are not part of its own.
    """

    study: str
    stage: str
    scale: str | None
    strategy: str | None
    key: str
    needs: tuple[str, ...]
    waits: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    code: str = field(default="", compare=False, repr=False)

    @property
    def name(self) -> str:
        """The page's file name without its ending: ``corpus``, ``1m-lora-finetune``."""
        return f"{self.scale}-{self.strategy}-{self.stage}" if self.scale else self.stage

    @property
    def label(self) -> str:
        """What readers see: ``Fine-tune 1M, lora``."""
        title = STAGES[self.stage].title
        return f"{title} {size_label(self.scale)}, {self.strategy}" if self.scale else title

    @property
    def folder(self) -> Path:
        """Where its results are."""
        return stage_folder(self.study, self.stage, self.scale, self.strategy)

    @property
    def notebook(self) -> Path:
        """The notebook's text source."""
        return find_project_folder() / "notebooks" / STAGES[self.stage].notebook

    @property
    def page(self) -> Path:
        """The executed notebook."""
        return pages_folder(self.study) / f"{self.name}.ipynb"

    def lock(self, what: str) -> Path:
        """The lock of whoever makes its results (``stage``) or executes its notebook (``page``)."""
        return find_project_folder() / "results" / self.study / "locks" / f"{self.name}.{what}.lock"

    @property
    def token(self) -> Path:
        """An empty file that says to Snakemake, and to nobody else, that the page of this key was executed."""
        name = f"{self.name}.{digest([self.key, source_hash(self)])[:16]}"
        return find_project_folder() / "results" / self.study / "tokens" / name

    @property
    def failed_page(self) -> Path:
        """Where an attempt that ended in an error is kept for a look."""
        return pages_folder(self.study) / "failed" / f"{self.name}.ipynb"


def stage_folder(study: str, stage: str, scale: str | None = None, strategy: str | None = None) -> Path:
    """Where a stage's results are, below ``results/<study>``."""
    base = find_project_folder() / "results" / study
    if not STAGES[stage].per_cell:
        return base / stage
    if scale is None or strategy is None:
        expected = "a model size and a strategy"
        raise InputError(f"stage {stage!r}", expected=expected, found="none", remedy="Name the cell.")
    return base / "runs" / scale / strategy / stage


def pages_folder(study: str) -> Path:
    """Where a study's executed notebooks and generated pages are."""
    return find_project_folder() / "book" / "runs" / study


def make_jobs(study: Study) -> dict[str, Job]:
    """Every job of a study by name, each after the jobs that it needs."""
    rungs = _identify_rungs(study)
    data = _identify_corpus(study)
    jobs: dict[str, Job] = {}

    def add(stage: str, settings: Any, needs: tuple[str, ...] = (), cell: Any = (None, None)) -> str:
        code = stage_code(stage)
        needed = {name: jobs[name].key for name in needs}
        key = digest({"stage": stage, "settings": settings, "code": code, "needs": needed})
        scale, strategy = cell
        job = Job(study.name, stage, scale, strategy, key, needs, ("corpus",) if scale else (), settings, code)
        jobs[job.name] = job
        return job.name

    corpus = study.corpus.model_dump(mode="json", exclude={"path"})  # the file's hash stands for its place
    add("corpus", {"corpus": corpus, "data": data})
    add("ladder", {"ladder": str(study.ladder), "rungs": rungs})
    # Only what a cell reads decides its key: another number of test clauses trains nothing again, and another rung or
    # strategy leaves this one alone. The corpus and ladder pages are therefore not part of it.
    trained_on = {name: corpus[name] for name in ("source", "scheme", "train", "validation", "seed")}
    judged = []
    for cell in study.cells():
        scale, strategy = cell
        base = {
            "rung": {name: value for name, value in rungs[scale].items() if name != "family"},
            "strategy": study.settings_of(scale, strategy).deciding(),
            "prompt": study.prompt.model_dump(),
            "seeds": study.seeds_of(strategy, scale),
            "data": data,
        }
        trained: tuple[str, ...] = ()
        if study.strategies[strategy].trains:
            trained = (add("finetune", {**base, "corpus": trained_on}, (), cell),)
        generate = {"generate": study.generate.model_dump(), "metrics": study.metrics.model_dump()}
        judged.append(add("generate", {**base, "corpus": corpus, **generate}, trained, cell))
        attribute = study.attribution.model_dump(mode="json")
        judged.append(add("attribute", {**base, "corpus": corpus, "attribution": attribute}, trained, cell))
    tests, families = study.tests.model_dump(), {scale: rungs[scale]["family"] for scale in study.scales}
    kinds = [[name, settings.kind] for name, settings in study.strategies.items()]  # the first of a kind speaks for it
    statistics = study.thresholds.model_dump(include={"bootstrap", "permutations", "min_parse"}) | {"kinds": kinds}
    floors = {"corpus": corpus, "data": data, "metrics": study.metrics.model_dump()}
    add("compare_strategies", {**statistics, **floors, "tests": {"C1": tests["C1"]}}, tuple(judged))
    add(
        "compare_sizes",
        {**statistics, "tests": {"C4": tests["C4"]["outcome"]}, "families": families},
        (*judged, "compare_strategies"),
    )
    resampled = {"bootstrap": study.thresholds.bootstrap}
    tested = {"faithfulness": study.faithfulness.model_dump(mode="json"), "corpus": corpus, "data": data}
    add("faithfulness", {**resampled, **tested}, tuple(judged))
    add("contexts", {**resampled, "corpus": corpus, "data": data}, (*judged, "faithfulness"))
    declared = {"tests": tests, "without": study.without, "kinds": kinds, "families": families}
    compared = ("compare_strategies", "compare_sizes", "contexts")
    add("findings", {**study.thresholds.model_dump(), **declared}, compared)
    add("summary", {}, ("compare_strategies", "compare_sizes", "faithfulness", "contexts", "findings"))
    return jobs


@functools.cache
def stage_code(stage: str) -> str:
    """Digest of the code that decides a stage's results."""
    return code_digest((*STAGES[stage].rooms, f"pipeline.{STAGES[stage].module}"))


def find_corpus_path(study: Study) -> Path | None:
    """The corpus file or folder that a study names; for nzbc-lrml without one, where it is fetched to."""
    if study.corpus.source == "nzbc-lrml" and study.corpus.path is None:
        return PUBLIC_FILES["nzbc-lrml"].path
    return None if study.corpus.path is None else find_path(study.corpus.path)


def _identify_corpus(study: Study) -> str:
    """SHA-256 of the corpus's file; for the synthetic corpus of its ``SHA256SUMS``, which vouches for the rest."""
    path, source, where = find_corpus_path(study), study.corpus.source, f"study {study.name!r}, key 'corpus.path'"
    if source == "synthetic":
        path = (path or find_data_folder() / "synthetic") / "SHA256SUMS"
    elif path is None:
        remedy = "Add corpus.path to the study, or give --set corpus.path=FILE."
        raise InputError(where, expected=f"a file for the source {source!r}", found="no path", remedy=remedy)
    if not path.is_file():
        fetch = "Run 'compliance-xai corpus fetch nzbc-lrml', or give --set corpus.path=FILE."
        remedy = fetch if source == "nzbc-lrml" else "Check it."
        raise InputError(where, expected="a file that exists", found=f"nothing at {path}", remedy=remedy)
    return hash_once(path)


def _identify_rungs(study: Study) -> dict[str, Any]:
    """Scale -> what its base model is: SHA-256 of each file of a local folder, or hub id and revision."""
    ladder = load_ladder(study.ladder)
    if ladder.absent:  # a GGUF file at hand is dequantised once
        from compliance_xai.models.gguf_files import prepare_rungs

        prepare_rungs(ladder, study.scales)
        ladder = load_ladder(study.ladder)
    check_scales(study, [rung.name for rung in (*ladder.rungs, *ladder.absent)])
    identities = {}
    for rung in map(ladder.rung, study.scales):
        files = {"hub": str(rung.path), "revision": rung.revision}
        if (path := Path(rung.path)).is_dir():
            named = sorted(file for file in path.iterdir() if file.is_file() and file.suffix != ".md")
            files = {file.name: hash_once(file) for file in named}
        identities[rung.name] = files | {"template": rung.template, "prompt": rung.prompt, "family": rung.family}
    return identities


def source_hash(job: Job) -> str:
    """SHA-256 of the notebook's text source."""
    if not job.notebook.is_file():
        expected, remedy = "a notebook's text source", "Restore it from git."
        raise InputError(str(job.notebook), expected=expected, found="no such file", remedy=remedy)
    return hash_once(job.notebook)


def find_state(job: Job) -> str:
    """One of ``STATES``."""
    manifest = peek_manifest(job.folder)
    page = manifest and manifest["page"]
    if manifest and manifest["key"] == job.key and page and _is_of(job, page):
        return "damaged" if find_problems(job, manifest) else "done"
    failed = read_json(job.failed_page)
    if failed and _is_of(job, failed.get("metadata", {}).get("compliance_xai", {})):
        return "failed"
    if manifest is None and job.folder.joinpath(MANIFEST).is_file():
        return "damaged"
    return "stale" if manifest is not None or job.page.is_file() else "not run"


def _is_of(job: Job, mark: Mapping[str, Any]) -> bool:
    """Whether what ``execution`` noted of an executed notebook is of the present notebook and key."""
    return (mark.get("key"), mark.get("source")) == (job.key, source_hash(job))


def find_problems(job: Job, manifest: Manifest, *, content: bool = False) -> list[str]:
    """A sentence for each file of a job, its page included, that is missing or altered (``stores.find_damage``)."""
    return find_damage(stamps_of(manifest), job.folder, content=content) + check_page(job, manifest, content=content)


def check_page(job: Job, manifest: Manifest | None, *, content: bool) -> list[str]:
    """A sentence if the executed notebook that a manifest names is missing or altered."""
    page = manifest and manifest["page"]
    return find_damage({job.page.name: page["stamp"]}, job.page.parent, content=content) if page else []


def verify(jobs: Mapping[str, Job], *, content: bool = False) -> dict[str, list[str]]:
    """Job -> what speaks against its results and page, for every job that is not done and whole.

    Parameters
    ----------
    content
        Hash every file again, instead of those whose size or time of change differs from what was noted.
    """
    manifests = {name: peek_manifest(job.folder) for name, job in jobs.items()}
    project = find_project_folder()
    made = {
        (jobs[name].folder / file).relative_to(project).as_posix(): sha256
        for name, manifest in manifests.items()
        for file, sha256 in (manifest["outputs"].items() if manifest else ())
    }
    found = {}
    for name, job in jobs.items():
        state, manifest = find_state(job), manifests[name]
        problems = find_problems(job, manifest, content=content) if manifest else []
        for file, sha256 in manifest["inputs"].items() if manifest and state == "done" else ():
            if made.get(file, sha256) != sha256:
                problems.append(f"{project / file} was replaced after the results were computed from it")
        if state not in ("done", "damaged"):
            problems.insert(0, explain_stale(job, manifest) if state == "stale" and manifest else _EXPLAINED[state])
        if problems or state == "damaged":
            found[name] = problems or [f"{job.folder / MANIFEST} is damaged"]
    return found


_EXPLAINED = {
    "stale": "made with other settings, code or data",
    "failed": "the last attempt ended in an error",
    "not run": "not run yet",
}


def explain_stale(job: Job, manifest: Manifest) -> str:
    """What is no longer as it was when a job's results were made: settings, else code, else the stages before it."""
    before, now = (_flatten(settings) for settings in (manifest["parameters"], job.settings))
    names = [name for name in before | now if before.get(name) != now.get(name)]
    if names:
        shown = [f"{name}: {before.get(name, 'nothing')}, now {now.get(name, 'nothing')}" for name in names[:3]]
        return f"made with other settings ({'; '.join(shown)}{'; ...' if len(names) > 3 else ''})"
    if manifest["key"] == job.key:
        return "its notebook was changed after it was executed"
    return "made with other code" if manifest["code"] != job.code else "made from other results of the stages before it"


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted name -> value as JSON."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        inner = isinstance(value, Mapping)
        flat |= _flatten(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": json.dumps(value, default=list)}
    return flat


def find_unusable(job: Job, *, content: bool = False) -> str | None:
    """Why a job's results cannot be used, its page aside: they are missing, of other settings, or damaged."""
    manifest = peek_manifest(job.folder)
    if manifest is None:
        return f"{job.folder / MANIFEST} is damaged" if (job.folder / MANIFEST).is_file() else "it was not run"
    if manifest["key"] != job.key:
        return f"it was {explain_stale(job, manifest)}"
    return next(iter(find_damage(stamps_of(manifest), job.folder, content=content)), None)


def find_states(jobs: Mapping[str, Job]) -> dict[str, str]:
    """The state of every job."""
    return {name: find_state(job) for name, job in jobs.items()}
