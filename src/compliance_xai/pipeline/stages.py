"""What every stage shares: its folder, its manifest, and keeping finished pieces of interrupted work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError
from compliance_xai.files import hash_files, write_atomic, write_json
from compliance_xai.machine import describe_machine, measure_time, package_versions, peak_memory_bytes
from compliance_xai.pipeline.grid import Job, make_jobs, stage_folder
from compliance_xai.pipeline.manifests import (
    MANIFEST,
    Manifest,
    footer_html,
    read_manifest,
    verify_outputs,
    write_manifest,
)
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.settings import Study, load_study

if TYPE_CHECKING:
    import pandas as pd

PIECE = "piece.json"
"""Marks a finished piece of a stage (a trained seed, a part of the attributions); holds its key, time and memory."""


@dataclass(frozen=True)
class Piece:
    """A finished piece: its folder, how long it took and the largest memory of its process up to its end."""

    folder: Path
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class StageResult:
    """What a stage leaves to its notebook.

    Attributes
    ----------
    folder
        Where its files lie.
    manifest
        What made them.

    Each Parquet file is a ``pandas.DataFrame`` under its file's name without the ending: ``result.log``.
    """

    folder: Path
    manifest: Manifest

    @property
    def names(self) -> tuple[str, ...]:
        """The tables there are."""
        return tuple(
            Path(name).stem for name in self.manifest["outputs"] if "/" not in name and name.endswith(".parquet")
        )

    def __getattr__(self, name: str) -> pd.DataFrame:
        if name.startswith("_") or name not in self.names:
            raise AttributeError(
                f"stage {self.manifest['stage']!r} has the tables {', '.join(self.names)}, not {name!r}"
            )
        import pandas as pd

        return pd.read_parquet(self.folder / f"{name}.parquet")


@dataclass
class Work:
    """What a stage is given to work with.

    Attributes
    ----------
    study, job
        The whole study, and which part of it this is.
    inputs
        Files that were read; their hashes go into the manifest.
    kept_seconds
        Time that went into pieces which an earlier, interrupted attempt finished.
    """

    study: Study
    job: Job
    inputs: list[Path] = field(default_factory=list)
    kept_seconds: float = 0.0
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
        """Note files as inputs."""
        self.inputs.extend(paths)

    def write_frame(self, frame: pd.DataFrame, name: str) -> None:
        """Write one of the stage's tables; no index, so that equal frames give equal files."""
        import pyarrow as pa

        from compliance_xai.records import write_table

        self.clear_once()
        write_table(pa.Table.from_pandas(frame, preserve_index=False), self.folder / f"{name}.parquet")

    def clear_once(self) -> None:
        """Take away what another key made, the manifest first so that nothing looks complete from here on.

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
            elif (mark := _read_piece(path)) is not None and mark.get("key") != self.job.key:
                shutil.rmtree(path)

    def has_piece(self, name: str) -> bool:
        """Whether a piece of this key is finished."""
        mark = _read_piece(self.folder / name)
        return mark is not None and mark.get("key") == self.job.key

    def make_piece(self, name: str, make: Callable[[Path], None]) -> Piece:
        """Make a folder of results once; a finished one of the same key is kept as it is.

        The folder takes its name only when ``make`` returned, so an interruption leaves nothing that looks finished.
        """
        folder = self.folder / name
        mark = _read_piece(folder)
        if mark is not None and mark.get("key") == self.job.key:
            self.kept_seconds += mark["seconds"]
            return Piece(folder, mark["seconds"], mark["peak_memory_bytes"])
        with write_atomic(folder) as part:
            part.mkdir()
            with measure_time() as watch:
                make(part)
            mark = {"key": self.job.key, "seconds": round(watch.seconds, 3), "peak_memory_bytes": peak_memory_bytes()}
            write_json(mark, part / PIECE)
            self.clear_once()
        return Piece(folder, mark["seconds"], mark["peak_memory_bytes"])


def _read_piece(folder: Path) -> dict[str, Any] | None:
    import json

    path = folder / PIECE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


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
        If the study has no such job, or a result that it needs is not there.
    """
    study = study if isinstance(study, Study) else load_study(study)
    job = find_job(study, stage, scale, strategy)
    manifest = read_manifest(job.folder)
    if manifest is not None and manifest["key"] == job.key and not verify_outputs(manifest, job.folder):
        return StageResult(job.folder, manifest)
    task = Work(study, job)
    for needed in job.needs:
        _require(make_jobs(study)[needed])
    with measure_time() as watch:
        work(task)
    manifest = Manifest(
        stage=stage,
        study=study.name,
        scale=scale,
        strategy=strategy,
        seeds=list(seeds),
        parameters=dict(job.settings),
        key=job.key,
        inputs=hash_files(task.inputs, find_project_folder()),
        outputs=hash_files(_list_outputs(job.folder), job.folder),
        code=job.code,
        versions=package_versions(),
        machine=describe_machine(),
        started=watch.started,
        wall_seconds=round(watch.seconds + task.kept_seconds, 3),
        peak_memory_bytes=peak_memory_bytes(),
    )
    write_manifest(manifest, job.folder)
    return StageResult(job.folder, manifest)


def find_job(study: Study, stage: str, scale: str | None = None, strategy: str | None = None) -> Job:
    """The job of a stage and cell.

    Raises
    ------
    InputError
        If the study has none.
    """
    jobs = make_jobs(study)
    for job in jobs.values():
        if (job.stage, job.scale, job.strategy) == (stage, scale, strategy):
            return job
    raise InputError(
        f"study {study.name!r}",
        expected=f"a job of the stage {stage!r} among {', '.join(jobs)}",
        found=f"scale {scale!r}, strategy {strategy!r}",
        remedy="Choose a scale and a strategy of the study; the strategy 'none' is not fine-tuned.",
    )


def read_stage(
    study: Study | Path | str, stage: str, scale: str | None = None, strategy: str | None = None
) -> StageResult:
    """The results of a stage that is complete.

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
    return StageResult(folder, manifest)


def show_provenance(study: str, stage: str, scale: str | None = None, strategy: str | None = None) -> None:
    """Show a stage's provenance under its page; ``execution`` adds this call to every notebook."""
    from IPython.display import HTML, display

    manifest = read_manifest(stage_folder(study, stage, scale, strategy))
    if manifest is None:
        raise InputError(
            f"stage {stage!r} of study {study!r}",
            expected="a manifest, written when the stage is complete",
            found="none",
            remedy="The notebook has to call its stage before it ends.",
        )
    display(HTML(footer_html(manifest)))


def _require(job: Job) -> None:
    manifest = read_manifest(job.folder)
    if manifest is None or manifest["key"] != job.key:
        raise InputError(
            str(job.folder),
            expected=f"finished results of '{job.label}' with the study's present settings",
            found="none" if manifest is None else "results of other settings, code or data",
            remedy=f"Run 'compliance-xai study run {job.study}', which makes them first.",
        )


def _list_outputs(folder: Path) -> list[Path]:
    """A stage's files: tables, and weights inside pieces; marks, checkpoints and figures (drawn later) aside."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in (PIECE, MANIFEST)
        and not {"figures", "checkpoints"} & set(path.relative_to(folder).parts)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


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
