"""What every stage shares: its folder, its manifest, and keeping finished pieces of interrupted work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from IPython.display import HTML, display

from compliance_xai.errors import InputError
from compliance_xai.files import digest, hash_files
from compliance_xai.machine import describe_machine, measure_time, package_versions, peak_memory_bytes
from compliance_xai.pipeline.grid import PATIENCE, Job, find_unusable, make_jobs, stage_folder
from compliance_xai.pipeline.manifests import (
    MANIFEST,
    Manifest,
    footer_html,
    peek_manifest,
    read_manifest,
    stamps_of,
    write_manifest,
)
from compliance_xai.pipeline.stores import MARK, Kept, find_damage, find_folder, hold_lock, keep_folder, stamp_files
from compliance_xai.records import write_table
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.settings import Study, load_study

CHECKPOINTS = "checkpoints"
"""Where a stage keeps what an interrupted attempt goes on from; removed when the stage is complete."""


@dataclass(frozen=True)
class StageResult:
    """What a stage leaves to its notebook: ``result["log"]`` is the table of that name.

    Attributes
    ----------
    folder
        Where its files are.
    manifest
        What made them.
    """

    folder: Path
    manifest: Manifest
    _used: dict[str, str] = field(default_factory=dict, repr=False)
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The tables there are."""
        return tuple(
            Path(name).stem for name in self.manifest["outputs"] if "/" not in name and name.endswith(".parquet")
        )

    def __getitem__(self, name: str) -> pd.DataFrame:
        """A table, read from its file once.

        Raises
        ------
        InputError
            If the stage has no such table, or its file is not as the stage left it.
        """
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
        stamp = stamps_of(self.manifest).get(name)
        if stamp is None:
            raise InputError(
                f"stage {self.manifest['stage']!r}",
                expected=f"one of its files: {', '.join(self.manifest['outputs'])}",
                found=repr(name),
                remedy="Choose one of these.",
            )
        if problems := find_damage({name: stamp}, self.folder, content=name.endswith(".parquet")):
            raise InputError(
                f"stage {self.manifest['stage']!r} of study {self.manifest['study']!r}",
                expected="its files as it left them",
                found=problems[0],
                remedy=f"'compliance-xai study run {self.manifest['study']}' makes the stage again.",
            )
        self._used[_relative(self.folder / name)] = stamp[2]
        return self.folder / name


def _relative(path: Path) -> str:
    project = find_project_folder()
    return path.relative_to(project).as_posix() if path.is_relative_to(project) else str(path)


@dataclass
class Work:
    """What a stage is given to work with.

    Attributes
    ----------
    study, job, jobs
        The whole study, which part of it this is, and all parts by name.
    inputs
        SHA-256 of the files that were read, for the manifest.
    pools
        What counterfactuals are drawn from (``counterfactuals.Pool``), by unit, once collected.
    kept_seconds
        Time that went into pieces which an earlier attempt finished.
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
        if self.job.scale is None or self.job.strategy is None:
            raise InputError(f"stage {self.job.stage!r}", expected="a cell", found="none", remedy="Name the cell.")
        return self.job.scale, self.job.strategy

    def read(self, *paths: Path) -> None:
        """Note files from outside the study's results as inputs."""
        self.inputs.update(hash_files(paths, find_project_folder()))

    def result(self, stage: str, scale: str | None = None, strategy: str | None = None) -> StageResult:
        """The results of another stage of the study; what is read of them is noted as input."""
        return read_stage(self.study, stage, scale, strategy, used=self.inputs)

    def write_frame(self, frame: pd.DataFrame, name: str) -> None:
        """Write one of the stage's tables; no index, so that equal frames give equal files."""
        self.clear_once()
        write_table(pa.Table.from_pandas(frame, preserve_index=False), self.folder / f"{name}.parquet")

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


def run_stage(
    study: Study | Path | str,
    stage: str,
    scale: str | None = None,
    strategy: str | None = None,
    *,
    work: Callable[[Work], None],
    seeds: Iterable[int] = (),
) -> StageResult:
    """Do a stage's work and write its manifest last; results that are current are read instead.

    Parameters
    ----------
    study
        A study, or the path or name of its file.
    stage, scale, strategy
        Which job of it.
    work
        Writes the stage's files into ``Work.folder``.
    seeds
        The seeds that the work uses, for the manifest.

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
        with measure_time() as watch:
            work(task)
        stamps = stamp_files(task.finish(), job.folder)
        manifest = Manifest(
            stage=stage,
            study=job.study,
            scale=scale,
            strategy=strategy,
            seeds=list(seeds),
            parameters=dict(job.settings),
            key=job.key,
            inputs=dict(sorted(task.inputs.items())),
            outputs={name: sha256 for name, (_, _, sha256) in stamps.items()},
            stamps={name: (size, modified) for name, (size, modified, _) in stamps.items()},
            code=job.code,
            versions=package_versions(),
            machine=describe_machine(),
            started=watch.started,
            wall_seconds=round(watch.seconds + task.kept_seconds, 3),
            peak_memory_bytes=peak_memory_bytes(),
            notes=[],
            page=None,
        )
        write_manifest(manifest, job.folder)
    return StageResult(job.folder, manifest)


def open_work(study: Study | Path | str, stage: str, scale: str | None = None, strategy: str | None = None) -> Work:
    """A stage's work, not begun.

    Raises
    ------
    InputError
        If the study has no such stage or cell.
    """
    study = study if isinstance(study, Study) else load_study(study)
    jobs = make_jobs(study)
    for job in jobs.values():
        if (job.stage, job.scale, job.strategy) == (stage, scale, strategy):
            return Work(study, job, jobs)
    raise InputError(
        f"study {study.name!r}",
        expected=f"a job of the stage {stage!r} among {', '.join(jobs)}",
        found=f"scale {scale!r}, strategy {strategy!r}",
        remedy="Choose a scale and a strategy of the study; the strategy 'none' is not fine-tuned.",
    )


def read_stage(
    study: Study | Path | str,
    stage: str,
    scale: str | None = None,
    strategy: str | None = None,
    *,
    used: dict[str, str] | None = None,
) -> StageResult:
    """The results of a stage that is complete; ``used`` takes the SHA-256 of every file of it that is read.

    Raises
    ------
    InputError
        If it is not.
    """
    study = study if isinstance(study, Study) else load_study(study)
    folder = stage_folder(study.name, stage, scale, strategy)
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(
            str(folder),
            expected=f"the finished results of the stage {stage!r}",
            found="none",
            remedy=f"Run 'compliance-xai study run {study.name}' first.",
        )
    return StageResult(folder, manifest, {} if used is None else used)


def show_provenance(study: str, stage: str, scale: str | None = None, strategy: str | None = None) -> None:
    """Show a stage's provenance under its page; ``execution`` adds this call to every notebook."""
    manifest = read_manifest(stage_folder(study, stage, scale, strategy))
    if manifest is None:
        raise InputError(
            f"stage {stage!r} of study {study!r}",
            expected="a manifest, written when the stage is complete",
            found="none",
            remedy="The notebook has to call its stage before it ends.",
        )
    display(HTML(footer_html(manifest)))


def require_results(job: Job) -> None:
    """Stop where the results of a job are not there, of other settings, or damaged.

    Raises
    ------
    InputError
        With the command that makes them.
    """
    if problem := find_unusable(job):
        raise InputError(
            str(job.folder),
            expected=f"finished results of '{job.label}' with the study's present settings",
            found=problem,
            remedy=f"Run 'compliance-xai study run {job.study}', which makes them first.",
        )


def take_in_turn(examples: Iterable[Any], count: int | None, where: str) -> list[Any]:
    """The first ``count`` examples, taken from each context in turn, so that few of them still show every context.

    Raises
    ------
    InputError
        If there are fewer.
    """
    examples = list(examples)
    if count is None:
        return examples
    if count > len(examples):
        raise InputError(
            where,
            expected=f"at most the {len(examples)} examples there are",
            found=str(count),
            remedy="Ask for fewer, or leave the key out to take all of them.",
        )
    by_context: dict[str, list[Any]] = {}
    for example in examples:
        by_context.setdefault(example.context, []).append(example)
    ranked = sorted(
        (
            (rank, index, example)
            for index, group in enumerate(by_context.values())
            for rank, example in enumerate(group)
        ),
        key=lambda entry: entry[:2],
    )
    return [example for _, _, example in ranked[:count]]
