"""The grid of a study: its jobs, what each depends on, the key that says what made it, and whether it is done.

A *job* is one stage of the whole study or of one cell (scale x strategy). Its *key* is a digest of the settings, code
and inputs that decide its results, the keys of the jobs before it included. Where the manifest in a job's folder
carries the job's key, its results are current; nothing looks at file times.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compliance_xai.corpus.download import PUBLIC_FILES
from compliance_xai.errors import InputError
from compliance_xai.files import digest, sha256_file
from compliance_xai.pipeline.code_keys import code_digest
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.study.folders import find_data_folder, find_path, find_project_folder
from compliance_xai.study.settings import Study, check_scales

STATES = ("done", "stale", "failed", "not run")
"""``stale``: there are results, but of other settings, code or inputs. ``failed``: the last attempt met an error."""


@dataclass(frozen=True)
class Stage:
    """One kind of notebook.

    Attributes
    ----------
    name, module, notebook, title
        The stage, its module in ``pipeline``, its text source under ``notebooks/`` and what people call it.
    rooms
        The rooms and modules whose code decides its results, beside its own module (``pipeline.code_keys``).
    per_cell
        Whether it runs once per scale x strategy, or once per study.
    """

    name: str
    module: str
    notebook: str
    title: str
    rooms: tuple[str, ...]
    per_cell: bool = False


_NOUNS = ("records", "files", "pipeline.stage_examples")
_TRAIN = (*_NOUNS, "rules.notation", "corpus", "models", "pipeline.cells")
_READ = (*_TRAIN, "attribution")
_COMPARE = (*_NOUNS, "pipeline.joining", "rules", "attribution", "stats")
_SUMMARY = ("records", "files", "attribution.distances", "attribution.focus", "attribution.precision")

STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("corpus", "corpus_stage", "01_corpus.py", "Corpus", (*_NOUNS, "rules.notation", "corpus")),
        Stage("ladder", "ladder_stage", "02_ladder.py", "Base ladder", ("study.ladders",)),
        Stage("finetune", "finetune_stage", "03_finetune.py", "Fine-tune", _TRAIN, per_cell=True),
        Stage("generate", "generate_stage", "04_generate.py", "Generate", (*_TRAIN, "rules"), per_cell=True),
        Stage("attribute", "attribute_stage", "05_attribute.py", "Attribute", _READ, per_cell=True),
        Stage("compare_strategies", "strategies_stage", "06_compare_strategies.py", "Compare strategies", _COMPARE),
        Stage("compare_scales", "scales_stage", "07_compare_scales.py", "Compare scales", _COMPARE),
        Stage(
            "faithfulness",
            "faithfulness_stage",
            "08_faithfulness.py",
            "Faithfulness and correctness",
            (*_READ, "pipeline.joining", "rules", "stats"),
        ),
        Stage("contexts", "contexts_stage", "09_contexts.py", "Contexts", (*_COMPARE, "corpus")),
        Stage("pick", "pick_stage", "10_pick.py", "Pick checkpoints", _COMPARE),
        Stage(
            "attribute_picked",
            "attribute_picked_stage",
            "11_attribute_picked.py",
            "Attribute checkpoints",
            (*_READ, "pipeline.attribute_stage"),
            per_cell=True,
        ),
        Stage("compare_protocols", "protocols_stage", "12_compare_protocols.py", "Compare protocols", _COMPARE),
        Stage(
            "findings",
            "findings_stage",
            "13_findings.py",
            "Findings",
            ("records", "files", "attribution.distances", "stats"),
        ),
        Stage("summary", "summary_stage", "14_summary.py", "Summary", _SUMMARY),
    )
}
"""Every stage; those about checkpoints and protocols only where a study compares by others than equal compute."""


def stages_of(study: Study, strategy: str | None = None) -> tuple[str, ...]:
    """The stages that a study has, or those of one cell of it; an untouched base is not fine-tuned."""
    names = [name for name, stage in STAGES.items() if strategy is None or stage.per_cell]
    unused = () if study.keeps_checkpoints else ("pick", "attribute_picked", "compare_protocols")
    if strategy is not None and not study.strategies[strategy].trains:
        unused = ("finetune", "attribute_picked")
    return tuple(name for name in names if name not in unused)


@dataclass(frozen=True)
class Job:
    """One stage of one study or cell.

    Attributes
    ----------
    study, stage, scale, strategy
        What it is; scale and strategy are None where the stage runs once per study.
    key
        Digest of everything that decides its results.
    needs
        Names of the jobs whose results decide its own.
    waits
        Names of jobs that its page reads something from, such as the clauses that it shows; they run first, but their
        keys are no part of its own.
    settings, code
        The settings and the digest of the code behind the key, for the manifest.
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
        """For people: ``Fine-tune 1m, lora``."""
        title = STAGES[self.stage].title
        return f"{title} {self.scale}, {self.strategy}" if self.scale else title

    @property
    def folder(self) -> Path:
        """Where its results lie."""
        return stage_folder(self.study, self.stage, self.scale, self.strategy)

    @property
    def notebook(self) -> Path:
        """The notebook's text source."""
        return find_project_folder() / "notebooks" / STAGES[self.stage].notebook

    @property
    def page(self) -> Path:
        """The executed notebook."""
        return pages_folder(self.study) / f"{self.name}.ipynb"

    @property
    def failed_page(self) -> Path:
        """Where an attempt that ended in an error is kept for a look."""
        return pages_folder(self.study) / "failed" / f"{self.name}.ipynb"


def stage_folder(study: str, stage: str, scale: str | None = None, strategy: str | None = None) -> Path:
    """Where a stage's results lie, below ``results/<study>``."""
    base = find_project_folder() / "results" / study
    if not STAGES[stage].per_cell:
        return base / stage
    if scale is None or strategy is None:
        raise InputError(f"stage {stage!r}", expected="a scale and a strategy", found="none", remedy="Name the cell.")
    return base / "runs" / scale / strategy / stage


def pages_folder(study: str) -> Path:
    """Where a study's executed notebooks and generated pages lie."""
    return find_project_folder() / "book" / "runs" / study


def make_jobs(study: Study) -> dict[str, Job]:
    """Every job of a study by name, each after the jobs that it needs.

    Raises
    ------
    InputError
        If the corpus file or a rung does not exist.
    """
    rungs = _identify_rungs(study)
    data = _identify_corpus(study)
    jobs: dict[str, Job] = {}

    def add(
        stage: str, settings: Any, needs: tuple[str, ...] = (), scale: str | None = None, strategy: str | None = None
    ):
        key = digest(
            {
                "stage": stage,
                "settings": settings,
                "code": stage_code(stage),
                "needs": {name: jobs[name].key for name in needs},
            }
        )
        waits = ("corpus",) if scale else ()
        job = Job(study.name, stage, scale, strategy, key, needs, waits, settings, stage_code(stage))
        jobs[job.name] = job
        return job.name

    corpus = study.corpus.model_dump(mode="json", exclude={"path"})  # the file's hash stands for its place
    add("corpus", {"corpus": corpus, "data": data})
    add("ladder", {"ladder": str(study.ladder), "rungs": rungs})
    # Only what a cell reads decides its key: another number of test clauses trains nothing again, and another rung or
    # strategy leaves this one alone. The corpus and ladder pages are therefore no part of it.
    trained_on = {name: corpus[name] for name in ("source", "scheme", "train", "validation", "seed")}
    judged = []
    for scale, strategy in study.cells():
        model = {
            "rung": rungs[scale],
            "strategy": study.settings_of(scale, strategy).deciding(),
            "prompt": study.prompt.model_dump(),
        }
        base = {**model, "seeds": study.seeds_of(strategy), "data": data}
        trained: tuple[str, ...] = ()
        if study.strategies[strategy].trains:
            kept = {"kept": study.keeps_checkpoints}
            trained = (add("finetune", {**base, "corpus": trained_on, **kept}, (), scale, strategy),)
        generate = {"generate": study.generate.model_dump(), "metrics": study.metrics.model_dump()}
        judged.append(add("generate", {**base, "corpus": corpus, **generate}, trained, scale, strategy))
        attribute = study.attribution.model_dump(mode="json", exclude={"picked_baselines"})
        judged.append(add("attribute", {**base, "corpus": corpus, "attribution": attribute}, trained, scale, strategy))
    statistics = {"bootstrap": study.thresholds.bootstrap, "permutations": study.thresholds.permutations}
    tests = study.tests.model_dump()
    compared = tuple(
        add(stage, {**statistics, "tests": {claim: tests[claim] for claim in claims}}, tuple(judged))
        for stage, claims in (("compare_strategies", ("C1", "C2")), ("compare_scales", ("C3", "C4")))
    )
    resampled = {"bootstrap": study.thresholds.bootstrap}
    tested = {"faithfulness": study.faithfulness.model_dump(mode="json"), "corpus": corpus, "data": data}
    add("faithfulness", {**resampled, **tested}, tuple(judged))
    add("contexts", {**resampled, "corpus": corpus, "data": data}, (*judged, "faithfulness"))
    add("findings", {**study.thresholds.model_dump(), "tests": tests, "without": study.without}, compared)
    if study.keeps_checkpoints:
        _add_protocols(study, jobs, add)
    last = ("compare_strategies", "compare_scales", "faithfulness", "contexts", "compare_protocols", "findings")
    add("summary", {}, tuple(name for name in last if name in jobs))
    return jobs


def _add_protocols(study: Study, jobs: Mapping[str, Job], add: Callable[..., str]) -> None:
    """The jobs that compare checkpoints; the trainings themselves are the same for every protocol."""
    cells = [cell for cell in study.cells() if study.strategies[cell.strategy].trains]
    trained = tuple(f"{scale}-{strategy}-finetune" for scale, strategy in cells)
    pick = add("pick", {"protocols": study.protocols, "matched_loss": study.thresholds.matched_loss}, trained)
    picked = []
    for scale, strategy in cells:
        read = jobs[f"{scale}-{strategy}-attribute"]
        needs = (f"{scale}-{strategy}-finetune", read.name, pick)
        settings = {**read.settings, "picked_baselines": study.attribution.picked_baselines}
        picked.append(add("attribute_picked", settings, needs, scale, strategy))
    add("compare_protocols", {"bootstrap": study.thresholds.bootstrap}, (pick, *picked))


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
    path = find_corpus_path(study)
    if study.corpus.source == "synthetic":
        path = (path or find_data_folder() / "synthetic") / "SHA256SUMS"
    elif path is None:
        raise InputError(
            f"study {study.name!r}, key 'corpus.path'",
            expected=f"a file for the source {study.corpus.source!r}",
            found="no path",
            remedy="Add corpus.path to the study, or give --set corpus.path=FILE.",
        )
    if not path.is_file():
        fetch = study.corpus.source == "nzbc-lrml"
        raise InputError(
            f"study {study.name!r}, key 'corpus.path'",
            expected="a file that exists",
            found=f"nothing at {path}",
            remedy="Run 'compliance-xai corpus fetch nzbc-lrml', or give --set corpus.path=FILE."
            if fetch
            else "Check the path.",
        )
    return _hash(path)


def _identify_rungs(study: Study) -> dict[str, Any]:
    """Scale -> what its base model is: SHA-256 of each file of a local folder, or hub id and revision."""
    from compliance_xai.study.ladders import load_ladder

    ladder = load_ladder(study.ladder)
    if ladder.absent:  # a GGUF file at hand is dequantised once
        from compliance_xai.models.gguf_files import prepare_rungs

        prepare_rungs(ladder, study.scales)
        ladder = load_ladder(study.ladder)
    check_scales(study, [rung.name for rung in (*ladder.rungs, *ladder.absent)])
    identities = {}
    for scale in study.scales:
        rung = ladder.rung(scale)
        path = Path(rung.path)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix != ".md")
            identities[scale] = {file.name: _hash(file) for file in files}
        else:
            identities[scale] = {"hub": str(rung.path), "revision": rung.revision}
        identities[scale] |= {"template": rung.template, "prompt": rung.prompt}
    return identities


def _hash(path: Path) -> str:
    status = path.stat()
    return _hash_once(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _hash_once(path: Path, modified: int, size: int) -> str:
    return sha256_file(path)


def source_hash(job: Job) -> str:
    """SHA-256 of the notebook's text source."""
    if not job.notebook.is_file():
        raise InputError(
            str(job.notebook), expected="a notebook's text source", found="no such file", remedy="Restore it from git."
        )
    return _hash(job.notebook)


def read_page_mark(page: Path) -> dict[str, Any] | None:
    """What ``execution`` noted in an executed notebook (``key``, ``source``, ``complete``), or None without a page."""
    if not page.is_file():
        return None
    try:
        metadata = json.loads(page.read_text(encoding="utf-8")).get("metadata", {})
    except (UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return metadata.get("compliance_xai", {})


def find_state(job: Job) -> str:
    """One of ``STATES``.

    Results count as done when the manifest carries the job's key and every file it lists is there, and the page was
    made from them by the present notebook.
    """
    manifest = read_manifest(job.folder)
    page = read_page_mark(job.page)
    failure = read_page_mark(job.failed_page)
    current = {"key": job.key, "source": source_hash(job)}
    whole = manifest is not None and all((job.folder / name).is_file() for name in manifest["outputs"])
    if whole and manifest and manifest["key"] == job.key and page == {**current, "complete": True}:
        return "done"
    if failure is not None and all(failure.get(name) == value for name, value in current.items()):
        return "failed"
    return "stale" if manifest is not None or page is not None else "not run"


def find_states(jobs: Mapping[str, Job]) -> dict[str, str]:
    """The state of every job."""
    return {name: find_state(job) for name, job in jobs.items()}
