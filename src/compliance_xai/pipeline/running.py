"""Runs a study: finds what is not current, lets Snakemake execute it, and says how long each stage took."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from compliance_xai.errors import InputError
from compliance_xai.pipeline.execution import PROGRESS_VARIABLE
from compliance_xai.pipeline.grid import STAGES, STATES, Job, find_states, make_jobs, stages_of
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.study.folders import PROJECT_VARIABLE, WORKING_VARIABLE, find_project_folder
from compliance_xai.study.settings import Study, dump_study, load_study, resolve_study_path

LOCK = "run.lock"
LOG = "snakemake.log"
PATIENCE = 4  # seconds that processes get to end by themselves
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
        Snakemake's own words.
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


def run_plan(plan: Plan, *, cores: int) -> Outcome:
    """Execute what is not done, as many notebooks at once as ``cores`` and the study's threads allow.

    One failing job does not stop the others that do not need it.

    Raises
    ------
    InputError
        If another process is running the same study, or there are too few cores for one notebook.
    """
    if plan.study.threads > cores:
        raise InputError(
            f"study {plan.study.name!r}, key 'threads'",
            expected=f"at most the {cores} cores of this run",
            found=str(plan.study.threads),
            remedy="Give more --cores, or --set threads=1.",
        )
    plan.study.folder.mkdir(parents=True, exist_ok=True)
    with _hold_study(plan.study) as lock, tempfile.TemporaryDirectory(prefix="compliance-xai-") as progress:
        resolved = plan.study.folder / RESOLVED
        if find_project_folder() / plan.path == resolved:
            resolved.write_text(dump_study(plan.study), encoding="utf-8")
        _clear_parts(plan)
        Path(progress, "total").write_text(str(len(plan.pending)), encoding="utf-8")
        status, interrupted = _call_snakemake(plan, cores, lock, Path(progress))
        done = {path.stem: float(path.read_text(encoding="utf-8") or 0) for path in _ended(progress, ".done")}
        failed = {path.stem: path.read_text(encoding="utf-8") for path in _ended(progress, ".failed")}
    return Outcome(done, failed, interrupted, plan.study.folder / LOG, status)


def _ended(progress: str, ending: str) -> list[Path]:
    # The job's name may hold dots ("0.3m-..."), so only the last one parts name and ending.
    return sorted(Path(progress).glob(f"*{ending}"))


def _clear_parts(plan: Plan) -> None:
    """Remove notebooks that a killed run left half executed; the study's lock says that nobody works on them."""
    for job in plan.pending[:1]:
        shutil.rmtree(job.page.parent / ".part", ignore_errors=True)


@contextlib.contextmanager
def _hold_study(study: Study) -> Iterator[int]:
    """Let one process at a time run a study. The system drops the lock with its holders, however they end."""
    import fcntl

    with (study.folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"study {study.name!r}",
                expected="no other run of the same study",
                found="one that is going on",
                remedy="Wait until it ends, or end it; an interrupted run continues where it stopped.",
            ) from None
        yield file.fileno()


def _call_snakemake(plan: Plan, cores: int, lock: int, progress: Path) -> tuple[int, bool]:
    """Exit status, and whether the run was interrupted."""
    project = find_project_folder()
    pages = [str(job.page) for job in plan.pending]
    command = [sys.executable, "-m", "snakemake", *pages]
    command += ["--snakefile", str(project / "Snakefile"), "--directory", str(project), "--cores", str(cores)]
    command += ["--config", f"study={plan.path}", "--keep-going", "--rerun-incomplete"]
    # The manifests know better than Snakemake's records, which a person may have deleted: force what they call stale.
    command += ["--rerun-triggers", "params", "--forcerun", *pages]
    # Snakemake's lock survives kill -9; the study's own lock does not, and is held already.
    command += ["--nolock"]
    source = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        PROGRESS_VARIABLE: str(progress),
        PROJECT_VARIABLE: str(project),
        WORKING_VARIABLE: os.environ.get(WORKING_VARIABLE) or os.getcwd(),
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
    }
    with (plan.study.folder / LOG).open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, pass_fds=[lock])
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
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        family = _find_family(process)
        group = os.getpgrp()
        for member in family:
            # Kernels lead groups of their own: the notebook's process ends them in order.
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getpgid(member.pid) == group:
                    member.send_signal(signal.SIGINT)
        _, left = psutil.wait_procs(family, timeout=5 * PATIENCE)
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
        manifests = [read_manifest(job.folder) for job in members]
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
