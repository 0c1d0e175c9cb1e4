"""What every stage shares: its folder, its manifest, and keeping finished pieces of interrupted work."""

import ast
import functools
import itertools
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.core.getipython import get_ipython
from IPython.display import HTML, display

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import digest, sha256_file
from compliance_xai.machine import Stopwatch, describe_machine, limit_threads, package_versions, peak_memory_bytes, say
from compliance_xai.pipeline.grid import PATIENCE, STAGES, Job, find_unusable, make_jobs, stage_folder
from compliance_xai.pipeline.manifests import (
    MANIFEST,
    Manifest,
    footer_html,
    peek_manifest,
    read_manifest,
    stamps_of,
    write_manifest,
)
from compliance_xai.pipeline.stores import (
    MARK,
    Kept,
    find_damage,
    find_folder,
    hold_lock,
    keep_folder,
    stamp_files,
    write_changed,
)
from compliance_xai.records import write_frame
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.settings import RESOLVED, Study, dump_study, load_study

CHECKPOINTS = "checkpoints"
"""Where a stage keeps what an interrupted attempt goes on from; removed when the stage is complete."""


@dataclass(frozen=True)
class StageResult:
    """What a stage leaves to its notebook, in its ``folder``: ``result["log"]`` is the table of that name."""

    folder: Path
    manifest: Manifest
    _used: dict[str, str] = field(default_factory=dict, repr=False)
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    def __contains__(self, name: str) -> bool:
        """Whether there is a table of that name."""
        return f"{name}.parquet" in self.manifest["outputs"]

    def __getitem__(self, name: str) -> pd.DataFrame:
        """A table, read from its file once."""
        if name not in self._tables:
            self._tables[name] = pd.read_parquet(self.path(f"{name}.parquet"))
        return self._tables[name].copy()  # which pandas copies only if somebody changes it

    def path(self, name: str) -> Path:
        """One of the stage's files, checked against the manifest: tables by their content, weights by size and time.

        Raises
        ------
        InputError
            If there is none, or it is not as the stage left it.
        """
        stage, study, stamps = self.manifest["stage"], self.manifest["study"], stamps_of(self.manifest)
        require_choice(f"stage {stage!r}, file", name, stamps)
        stamp = stamps[name]
        if problems := find_damage({name: stamp}, self.folder, content=name.endswith(".parquet")):
            where = f"stage {stage!r} of study {study!r}"
            remedy = f"'compliance-xai study run {study}' makes the stage again."
            raise InputError(where, expected="its files as it left them", found=problems[0], remedy=remedy)
        self._used[_relative(self.folder / name)] = stamp[2]
        return self.folder / name


def _relative(path: Path) -> str:
    project = find_project_folder()
    return path.relative_to(project).as_posix() if path.is_relative_to(project) else str(path)


@dataclass
class Work:
    """What a stage is given to work with: the study, the stage's own job, and all jobs by name.

    ``inputs``: SHA-256 of the files that were read, for the manifest; ``pools``: what counterfactuals are drawn from
    (``counterfactuals.Pool``), by unit, once collected; ``kept_seconds``: time that went into pieces which an earlier
    attempt finished.
    """

    study: Study
    job: Job
    jobs: Mapping[str, Job]
    inputs: dict[str, str] = field(default_factory=dict)
    pools: dict[str, Any] = field(default_factory=dict)
    kept_seconds: float = 0.0
    _pieces: set[Path] = field(default_factory=set)
    _cleared: bool = False

    @property
    def folder(self) -> Path:
        """Where the stage's files go."""
        return self.job.folder

    @property
    def cell(self) -> tuple[str, str]:
        """Scale and strategy of a stage that works on one cell."""
        return str(self.job.scale), str(self.job.strategy)

    def read(self, path: Path) -> None:
        """Note a file from outside the study's results as an input."""
        self.inputs[_relative(path.resolve())] = sha256_file(path)

    def result(self, stage: str, scale: str | None = None, strategy: str | None = None) -> StageResult:
        """The results of another stage of the study; what is read of them is noted as input."""
        return read_stage(self.study, stage, scale, strategy, used=self.inputs)

    def new_file(self, name: str) -> Path:
        """Where one of the stage's files is to be written; files of other settings are removed first."""
        self.clear_once()
        return self.folder / name

    def clear_once(self) -> None:
        """Remove the tables of another key, the manifest first so that nothing looks complete from here on.

        It waits for the first result, so that bad input leaves the results of the last settings as they are.
        """
        if self._cleared:
            return
        self._cleared = True
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.joinpath(MANIFEST).unlink(missing_ok=True)
        for path in sorted(self.folder.iterdir()):
            if path.is_file():
                path.unlink()

    def key_from(self, needs: Iterable[str], **settings: Any) -> str:
        """The key of a piece that depends on some jobs and settings only."""
        return digest({"needs": {name: self.jobs[name].key for name in needs}, **settings})

    def find_piece(self, name: str, key: str) -> Kept | None:
        """A finished piece of a key."""
        return find_folder(self.folder / name, key)

    def make_piece(self, name: str, make: Callable[[Path], None], *, key: str | None = None) -> Kept:
        """Make a folder of results once (``stores.keep_folder``); under the job's key where ``key`` is None."""
        made = []

        def note(part: Path) -> None:
            made.append(part)
            make(part)
            self.clear_once()

        piece = keep_folder(self.folder / name, key or self.job.key, note)
        self._pieces.add(piece.folder)
        self.kept_seconds += 0 if made else piece.seconds
        return piece

    def finish(self) -> list[Path]:
        """Remove checkpoints and the pieces that nothing used any more; returns the stage's files."""
        shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)
        for mark in sorted(self.folder.rglob(MARK)):
            if mark.parent not in self._pieces:
                shutil.rmtree(mark.parent)
        return [path for path in self.folder.rglob("*") if path.is_file() and self._is_output(path)]

    def _is_output(self, path: Path) -> bool:
        """Whether a file is a result: not a mark, and not a figure, which its notebook draws later."""
        parts = path.relative_to(self.folder).parts
        hidden = any(part.startswith(".") for part in parts)
        return path.name not in (MARK, MANIFEST) and "figures" not in parts and not hidden


def open_study(study: Path | str, overrides: Mapping[str, Any] | None = None) -> Study:
    """The study of a notebook, with other settings if some are given; results of these have a place of their own.

    Parameters
    ----------
    study
        The path or name of its file.
    overrides
        Settings that take the place of the file's, by dotted key: ``{"strategies.full.learning_rate": 2e-5}``. The
        study's name then ends in a digest of them, so that its results are kept beside those of the study, and the
        settings are written to ``results/<name>/study.yaml``, which every command takes as a study.

    Raises
    ------
    InputError
        If a setting does not exist, or papermill was given a parameter that the notebook does not have.
    """
    check_parameters(get_ipython())
    # Papermill reads YAML 1.1, in which 2e-5 is a text.
    texts = {key: value for key, value in (overrides or {}).items() if isinstance(value, str)}
    numbers = {key: float(text) for key, text in texts.items() if re.fullmatch(r"[-+]?[\d.]+[eE][-+]?\d+", text)}
    chosen = {**(overrides or {}), **numbers}
    loaded = load_study(study, chosen)
    if chosen:
        named = loaded.model_copy(update={"name": f"{loaded.name}-{digest(chosen)[:8]}"})
        write_changed(named.folder / RESOLVED, dump_study(named))
        say(f"Results of these settings are kept in {named.folder}")
        return named
    return loaded


def check_parameters(shell: Any) -> None:
    """Refuse a misspelt parameter: papermill sets it in a new cell and goes on with the defaults."""
    cells = [text for text in (shell.user_ns.get("In", []) if shell else ()) if text.strip()]
    for before, text in itertools.pairwise(cells[:2]):
        if text.startswith("# Parameters\n"):
            known, given = ([_name_of(line) for line in ast.parse(cell).body] for cell in (before, text))
            for name in given:
                require_choice("notebook, parameter", name, known)


def _name_of(line: ast.stmt) -> str:
    target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def stage(work: Callable[[Work], Mapping[str, pd.DataFrame]]) -> Callable[..., StageResult]:
    """Make a stage of the function that does its work: it returns the stage's tables by name.

    The stage is called with a study, or the path or name of its file, and with scale and strategy if it works on
    one cell (see ``run_stage``). It has the function's name.
    """
    name = work.__name__

    def run_cell(study: Study | Path | str, scale: str, strategy: str) -> StageResult:
        return run_stage(study, name, scale, strategy, work=work)

    def run_study(study: Study | Path | str) -> StageResult:
        return run_stage(study, name, work=work)

    run: Callable[..., StageResult] = run_cell if STAGES[name].per_cell else run_study
    functools.update_wrapper(run, work, ("__module__", "__name__", "__qualname__", "__doc__"))
    del run.__wrapped__  # type: ignore[attr-defined]  # it would show the signature of the work
    return run


def run_stage(
    study: Study | Path | str,
    stage: str,
    scale: str | None = None,
    strategy: str | None = None,
    *,
    work: Callable[[Work], Mapping[str, pd.DataFrame] | None],
) -> StageResult:
    """Do a stage's work, write the tables that it returns, and its manifest last; current results are read instead.

    Raises
    ------
    InputError
        If the study has no such job, a result that it needs is not there or damaged, or another process is making it.
    """
    task = open_work(study, stage, scale, strategy)
    job = task.job
    with hold_lock(job.lock("stage"), f"{job.label} of study {job.study!r}", wait=PATIENCE):
        manifest = peek_manifest(job.folder)
        if manifest is not None and manifest["key"] == job.key:
            problems = find_damage(stamps_of(manifest), job.folder)
            if not problems:
                return StageResult(job.folder, manifest)
            print(f"{problems[0]}; the stage is made again")
        for needed in job.needs:
            require_results(task.jobs[needed])
        limit_threads(task.study.threads)
        watch = Stopwatch()
        for name, frame in (work(task) or {}).items():
            write_frame(frame, task.new_file(f"{name}.parquet"))
        seconds = watch.seconds + task.kept_seconds
        stamps = stamp_files(task.finish(), job.folder)
        manifest = Manifest(
            stage=stage,
            study=job.study,
            scale=scale,
            strategy=strategy,
            seeds=list(task.study.seeds_of(strategy, scale or "") if strategy else task.study.seeds),
            parameters=dict(job.settings),
            key=job.key,
            inputs=dict(sorted(task.inputs.items())),
            outputs={name: sha256 for name, (_, _, sha256) in stamps.items()},
            stamps={name: (size, modified) for name, (size, modified, _) in stamps.items()},
            code=job.code,
            versions=package_versions(),
            machine=describe_machine(),
            started=watch.started,
            wall_seconds=round(seconds, 3),
            peak_memory_bytes=peak_memory_bytes(),
            notes=[],
            page=None,
        )
        write_manifest(manifest, job.folder)
    return StageResult(job.folder, manifest)


def open_work(study: Study | Path | str, stage: str, scale: str | None = None, strategy: str | None = None) -> Work:
    """A stage's work, not begun."""
    study = study if isinstance(study, Study) else load_study(study)
    jobs = make_jobs(study)
    for job in jobs.values():
        if (job.stage, job.scale, job.strategy) == (stage, scale, strategy):
            return Work(study, job, jobs)
    expected = f"a job of the stage {stage!r} among {', '.join(jobs)}"
    found = f"model size {scale!r}, strategy {strategy!r}"
    remedy = "Choose a model size and a strategy of the study; the strategy 'none' is not fine-tuned."
    raise InputError(f"study {study.name!r}", expected=expected, found=found, remedy=remedy)


def read_stage(
    study: Study | Path | str,
    stage: str,
    scale: str | None = None,
    strategy: str | None = None,
    *,
    used: dict[str, str] | None = None,
) -> StageResult:
    """The results of a stage that is complete; ``used`` takes the SHA-256 of every file of it that is read."""
    study = study if isinstance(study, Study) else load_study(study)
    folder = stage_folder(study.name, stage, scale, strategy)
    manifest = read_manifest(folder)
    if manifest is None:
        expected = f"the finished results of the stage {stage!r}"
        remedy = f"Run 'compliance-xai study run {study.name}' first."
        raise InputError(str(folder), expected=expected, found="none", remedy=remedy)
    return StageResult(folder, manifest, {} if used is None else used)


def show_provenance(study: str, stage: str, scale: str | None = None, strategy: str | None = None) -> None:
    """Show a stage's provenance under its page; ``execution`` adds this call to every notebook."""
    manifest = read_manifest(stage_folder(study, stage, scale, strategy))
    if manifest is None:
        expected = "a manifest, written when the stage is complete"
        remedy = "The notebook has to call its stage before it ends."
        raise InputError(f"stage {stage!r} of study {study!r}", expected=expected, found="none", remedy=remedy)
    display(HTML(footer_html(manifest)))


def require_results(job: Job) -> None:
    """Refuse to go on if the results of a job are missing, of other settings, or damaged."""
    if problem := find_unusable(job):
        expected = f"finished results of '{job.label}' with the study's present settings"
        remedy = f"Run 'compliance-xai study run {job.study}', which makes them first."
        raise InputError(str(job.folder), expected=expected, found=problem, remedy=remedy)
