"""Runs a study: finds what is not current, lets Snakemake execute it, and says how long each stage took."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from compliance_xai.errors import InputError
from compliance_xai.pipeline.environment import run_environment
from compliance_xai.pipeline.execution import PROGRESS_VARIABLE, RUNNER_VARIABLE
from compliance_xai.pipeline.grid import PATIENCE, STAGES, STATES, Job, find_states, make_jobs, stages_of
from compliance_xai.pipeline.manifests import peek_manifest
from compliance_xai.pipeline.stores import find_holder, hold_lock, write_changed
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.settings import Study, dump_study, load_study, resolve_study_path

LOCK = "run.lock"
LOG = "snakemake.log"
ENDING = 4  # seconds that processes get to end by themselves
RESOLVED = "study.yaml"
"""Where a study with overridden settings is written, in its results folder."""


@dataclass(frozen=True)
class Plan:
    """A study, the file that notebooks read it from, its jobs and their states.

    ``path`` is the study's own file, or a copy with every setting spelled out where settings were overridden.
    """

    study: Study
    path: Path
    jobs: Mapping[str, Job]
    states: Mapping[str, str]

    @property
    def pending(self) -> list[Job]:
        """The jobs that are not done."""
        return [job for name, job in self.jobs.items() if self.states[name] != "done"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    done, failed
        Job name -> seconds, for the jobs that this run executed; job name -> message.
    interrupted
        Whether someone ended the run.
    log
        Snakemake's log file.
    """

    done: Mapping[str, float]
    failed: Mapping[str, str]
    interrupted: bool
    log: Path
    exit_status: int


def make_plan(study: Path | str, overrides: Iterable[str] = (), *, models: Sequence[str] = ()) -> Plan:
    """Read a study (see ``study.settings.load_study``) and find the state of every job; writes nothing.

    Raises
    ------
    InputError
        If the study, its corpus or a rung is not usable.
    """
    overrides = tuple(overrides)
    loaded = load_study(study, overrides, models=models)
    # Relative to the project, where notebooks run: pages show this path, and a page names no folder of this machine.
    path = (loaded.folder / RESOLVED if overrides or models else resolve_study_path(study)).resolve()
    project = find_project_folder().resolve()
    path = path.relative_to(project) if path.is_relative_to(project) else path
    jobs = make_jobs(loaded)
    return Plan(loaded, path, jobs, find_states(jobs))


def run_plan(plan: Plan, *, cores: int, limit: float | None = None) -> Outcome:
    """Execute what is not done, as many notebooks at once as ``cores`` and the study's threads allow.

    One failing job does not stop the others that do not need it. ``limit``: seconds that one notebook may take.

    Raises
    ------
    InputError
        If another process is running the same study, or there are too few cores for one notebook.
    """
    study = plan.study
    if study.threads > cores:
        raise InputError(
            f"study {study.name!r}, key 'threads'",
            expected=f"at most the {cores} cores of this run",
            found=str(study.threads),
            remedy="Give more --cores, or --set threads=1.",
        )
    with hold_lock(study.folder / LOCK, f"study {study.name!r}", wait=1):
        _wait_for_orphans(plan)
        progress = study.folder / "progress"
        shutil.rmtree(progress, ignore_errors=True)
        progress.mkdir(parents=True)
        resolved = study.folder / RESOLVED
        if find_project_folder() / plan.path == resolved:
            write_changed(resolved, dump_study(study))
        progress.joinpath("total").write_text(str(len(plan.pending)), encoding="utf-8")
        status, interrupted = _call_snakemake(plan, cores, limit, progress)
        _end_orphans(plan)
        done = {path.stem: float(path.read_text(encoding="utf-8") or 0) for path in _ended(progress, ".done")}
        failed = {path.stem: path.read_text(encoding="utf-8") for path in _ended(progress, ".failed")}
    return Outcome(done, failed, interrupted, study.folder / LOG, status)


def _ended(progress: Path, ending: str) -> list[Path]:
    # The job's name may hold dots ("0.3m-..."), so only the last one parts name and ending.
    return sorted(progress.glob(f"*{ending}"))


def find_orphans(plan: Plan) -> dict[int, str]:
    """Process id -> what it is at work on, for the processes that hold a job of the study."""
    found = {}
    for job in plan.jobs.values():
        for what in ("page", "stage"):
            if (pid := find_holder(job.lock(what))) is not None:
                found[pid] = job.label
    return found


def _wait_for_orphans(plan: Plan) -> None:
    """Wait for what a killed run left at work, which ends by itself within seconds; name it where it does not."""
    end = time.monotonic() + PATIENCE
    while orphans := find_orphans(plan):
        if time.monotonic() >= end:
            pids = " ".join(map(str, orphans))
            raise InputError(
                f"study {plan.study.name!r}",
                expected="no process of another run at work on it",
                found=", ".join(f"process {pid} ({label})" for pid, label in orphans.items()),
                remedy=f"Wait until it ends, or end it with 'kill {pids}'; finished work is kept.",
            )
        time.sleep(0.5)


def _end_orphans(plan: Plan) -> None:
    """End the notebooks of a Snakemake that was killed; one that ended by itself leaves none."""
    for pid, label in find_orphans(plan).items():
        print(f"ending process {pid} ({label}), which Snakemake left at work", flush=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def _call_snakemake(plan: Plan, cores: int, limit: float | None, progress: Path) -> tuple[int, bool]:
    """Exit status, and whether the run was interrupted."""
    project = find_project_folder()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile")]
    command += ["--directory", str(project), "--cores", str(cores), "--keep-going", "--rerun-incomplete"]
    # Snakemake's lock survives kill -9; the study's own lock does not, and is held already.
    command += ["--nolock", "--rerun-triggers", "mtime", "--config", f"study={plan.path}"]
    command += [f"limit={limit}"] if limit else []
    environment = run_environment() | {PROGRESS_VARIABLE: str(progress), RUNNER_VARIABLE: str(os.getpid())}
    with (plan.study.folder / LOG).open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
        with _pass_on_signals():
            return _wait(process)


def _wait(process: subprocess.Popen) -> tuple[int, bool]:
    try:
        return process.wait(), False
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            _end(process)
        return 130, True


def _end(process: subprocess.Popen) -> None:
    """End Snakemake and the notebooks that it executes.

    A terminal sends the interrupt to all of them, which then end by themselves; where only this process got it, it is
    passed on. Whatever is left after that is killed.
    """
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        family = _find_family(process)
        group = os.getpgrp()
        for member in family:
            # Kernels lead groups of their own: the notebook's process ends them in order.
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getpgid(member.pid) == group:
                    member.send_signal(signal.SIGINT)
        _, left = psutil.wait_procs(family, timeout=5 * ENDING)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def _find_family(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextlib.contextmanager
def _pass_on_signals() -> Iterator[None]:
    """Take the request to end (SIGTERM) like an interrupt."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class StageTime:
    """One line of the table of times.

    ``jobs`` notebooks in all, ``ran`` of them now for ``seconds``; ``recorded`` is what all of them took when they ran.
    """

    title: str
    jobs: int
    ran: int
    seconds: float
    recorded: float


def sum_times(plan: Plan, done: Mapping[str, float]) -> list[StageTime]:
    """How long each stage took; notebooks that run at the same time are counted one after the other."""
    table = []
    for stage in (STAGES[name] for name in stages_of(plan.study)):
        members = [job for job in plan.jobs.values() if job.stage == stage.name]
        manifests = [peek_manifest(job.folder) for job in members]
        table.append(
            StageTime(
                stage.title,
                len(members),
                sum(job.name in done for job in members),
                sum(done.get(job.name, 0.0) for job in members),
                sum(manifest["wall_seconds"] for manifest in manifests if manifest),
            )
        )
    return table


def count_states(states: Iterable[str]) -> dict[str, int]:
    """State -> how many jobs are in it, in the states' order, without those that nobody is in."""
    states = list(states)
    return {state: states.count(state) for state in STATES if state in states}
