"""Runs a study: finds what is not current, lets Snakemake execute it, and says how long each stage took."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import digest
from compliance_xai.pipeline.environment import notebook_environment, run_environment
from compliance_xai.pipeline.execution import FORK_VARIABLE, PROGRESS_VARIABLE, RUNNER_VARIABLE
from compliance_xai.pipeline.grid import PATIENCE, STAGES, STATES, Job, find_states, make_jobs, stages_of
from compliance_xai.pipeline.manifests import peek_manifest
from compliance_xai.pipeline.stores import find_holder, hold_lock, write_changed
from compliance_xai.study.folders import WORKING_VARIABLE, find_project_folder
from compliance_xai.study.settings import RESOLVED, Study, dump_study, load_study, resolve_study_path

LOCK = "run.lock"
LOG = "snakemake.log"
LOCAL = "local"
"""The profile that executes notebooks on this machine."""
ENDING = 4  # seconds that processes get to end by themselves


@dataclass(frozen=True)
class Plan:
    """A study, its jobs and their states, and the file that notebooks read it from.

    ``path`` is the study's own file, or a copy with every setting spelled out if settings were overridden.
    """

    study: Study
    path: Path
    jobs: Mapping[str, Job]
    states: Mapping[str, str]

    @property
    def pending(self) -> list[Job]:
        """The jobs that are not done."""
        return [job for name, job in self.jobs.items() if self.states[name] != "done"]

    @property
    def counts(self) -> str:
        """How many jobs are in each state: ``3 done, 2 not run``."""
        return ", ".join(f"{count} {state}" for state, count in count_states(self.states.values()).items())


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    ``done``: the notebooks that this run executed, with seconds; ``failed``: with a message; ``interrupted``: whether
    someone ended the run; ``log``: Snakemake's log file.
    """

    done: Mapping[str, float]
    failed: Mapping[str, str]
    interrupted: bool
    log: Path
    exit_status: int


def make_plan(study: Path | str, overrides: Iterable[str] = (), *, models: Sequence[str] = ()) -> Plan:
    """Read a study (see ``study.settings.load_study``) and find the state of every job; writes nothing."""
    overrides = tuple(overrides)
    loaded = load_study(study, overrides, models=models)
    # Relative to the project, where notebooks run: pages show this path, and a page names no folder of this machine.
    path = (loaded.folder / RESOLVED if overrides or models else resolve_study_path(study)).resolve()
    project = find_project_folder().resolve()
    path = path.relative_to(project) if path.is_relative_to(project) else path
    jobs = make_jobs(loaded)
    return Plan(loaded, path, jobs, find_states(jobs))


def run_plan(plan: Plan, *, cores: int, limit: float | None = None, profile: str = LOCAL) -> Outcome:
    """Execute what is not done, as many notebooks at once as ``cores`` and the study's threads allow.

    One failing job does not stop the others that do not need it. ``limit``: seconds that one notebook may take.
    ``profile``: a folder with Snakemake's settings, or the name of one in ``profiles/``; any but ``local`` hands the
    notebooks to a cluster, whose jobs a killed run leaves behind: they are cancelled first.
    """
    study, here, settings = plan.study, profile == LOCAL, _find_profile(profile)
    if here and study.threads > cores:
        where, expected = f"study {study.name!r}, key 'threads'", f"at most the {cores} cores of this run"
        remedy = "Give more --cores, or --set threads=1."
        raise InputError(where, expected=expected, found=str(study.threads), remedy=remedy)
    with hold_lock(study.folder / LOCK, f"study {study.name!r}", wait=1):
        _end_snakemake(plan)
        if not here:
            _cancel_left(study)
        _wait_for_orphans(plan)
        progress = study.folder / "progress"
        shutil.rmtree(progress, ignore_errors=True)
        progress.mkdir(parents=True)
        resolved = study.folder / RESOLVED
        if find_project_folder() / plan.path == resolved:
            write_changed(resolved, dump_study(study))
        progress.joinpath("total").write_text(str(len(plan.pending)), encoding="utf-8")
        options = ["--profile", str(settings)]
        options += ["--cores", str(cores)] if here else ["--slurm-jobname-prefix", _job_prefix(study)]
        status, interrupted = _call_snakemake(plan, options, limit, progress, here=here)
        _end_orphans(plan) if here else _cancel_left(study)
        # A job's name may hold dots ("0.3m-..."), so only the last one parts name and ending.
        done = {path.stem: float(path.read_text(encoding="utf-8") or 0) for path in sorted(progress.glob("*.done"))}
        failed = {path.stem: path.read_text(encoding="utf-8") for path in sorted(progress.glob("*.failed"))}
        failed = {name: message for name, message in failed.items() if name not in done}  # a second attempt may succeed
    return Outcome(done, failed, interrupted, study.folder / LOG, status)


def find_orphans(plan: Plan) -> dict[int, str]:
    """Process id -> what it is at work on, for the processes that hold a job of the study."""
    locks = [(job.lock(what), job.label) for job in plan.jobs.values() for what in ("page", "stage")]
    return {pid: label for lock, label in locks if (pid := find_holder(lock)) is not None}


def _wait_for_orphans(plan: Plan) -> None:
    """Wait for what a killed run left at work, which ends by itself within seconds; name it if it does not."""
    end = time.monotonic() + PATIENCE
    while orphans := find_orphans(plan):
        if time.monotonic() >= end:
            expected = "no process of another run at work on it"
            found = ", ".join(f"process {pid} ({label})" for pid, label in orphans.items())
            remedy = f"Wait until it ends, or end it with 'kill {' '.join(map(str, orphans))}'; finished work is kept."
            raise InputError(f"study {plan.study.name!r}", expected=expected, found=found, remedy=remedy)
        time.sleep(0.5)


def _end_orphans(plan: Plan) -> None:
    """End the notebooks of a Snakemake that was killed; one that ended by itself leaves none."""
    for pid, label in find_orphans(plan).items():
        print(f"ending process {pid} ({label}), which Snakemake left at work", flush=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def _find_profile(profile: str) -> Path:
    """The folder of a profile's settings."""
    folder = find_project_folder() / "profiles"
    for path in (folder / profile, Path(os.environ.get(WORKING_VARIABLE, "."), profile).resolve()):
        if (path / "config.yaml").is_file():
            return path
    names = sorted(path.parent.name for path in folder.glob("*/config.yaml"))
    require_choice("--profile", profile, names, remedy="Give one of these, or a folder with a config.yaml.")
    raise AssertionError  # a name of that list was found above


def _job_prefix(study: Study) -> str:
    """What the names of a study's SLURM jobs begin with."""
    return f"compliance-{digest(str(study.folder.resolve()))[:16]}"


def _cancel_left(study: Study) -> None:
    """Cancel the SLURM jobs that a killed run left in the queue or at work."""
    listed = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i %j"], capture_output=True, text=True, check=True
    )
    jobs = [line.split() for line in listed.stdout.splitlines()]
    left = [number for number, name in jobs if name.startswith(_job_prefix(study))]
    if left:
        print(f"cancelling the SLURM jobs {' '.join(left)}, which an earlier run left behind", flush=True)
        subprocess.run(["scancel", *left], check=True)


def _end_snakemake(plan: Plan) -> None:
    """End the Snakemake of a run that was killed: whoever holds the study's lock is the only one to have one."""
    words = {"snakemake", f"study={plan.path}", str(find_project_folder())}
    left = [process for process in psutil.process_iter(["cmdline"]) if words <= set(process.info["cmdline"] or ())]
    for process in left:
        print(f"ending process {process.pid}, the Snakemake of an earlier run", flush=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=ENDING)


def _call_snakemake(
    plan: Plan, options: Sequence[str], limit: float | None, progress: Path, *, here: bool
) -> tuple[int, bool]:
    """Exit status, and whether the run was interrupted."""
    project = find_project_folder()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile"), *options]
    command += ["--directory", str(project), "--config", f"study={plan.path}"]
    command += [f"limit={limit}"] if limit else []
    environment = run_environment() | {PROGRESS_VARIABLE: str(progress)}
    if here:
        environment[RUNNER_VARIABLE] = str(os.getpid())
    with (
        _keep_forking(plan) if here else contextlib.nullcontext({}) as forks,
        (plan.study.folder / LOG).open("w", encoding="utf-8") as log,
    ):
        environment |= forks
        process = subprocess.Popen(command, env=environment, stderr=log, cwd=project)
        with _pass_on_signals():
            return _wait(process, plan, None if here else progress)


@contextlib.contextmanager
def _keep_forking(plan: Plan) -> Iterator[dict[str, str]]:
    """A process that forks those of the notebooks, and the variable that tells them of it."""
    with tempfile.TemporaryDirectory(prefix="compliance-xai-") as folder:
        address = os.path.join(folder, "fork")
        command = [sys.executable, "-m", "compliance_xai.pipeline.notebook_process", "--serve", address]
        server = subprocess.Popen(command, env=notebook_environment(plan.study.threads))
        try:
            yield {FORK_VARIABLE: address}
        finally:
            server.terminate()
            server.wait()


def _wait(process: subprocess.Popen, plan: Plan, progress: Path | None) -> tuple[int, bool]:
    """``progress``: where a cluster's jobs leave word, which is printed; jobs of this machine print it themselves."""
    said: set[Path] = set()
    try:
        while progress is not None and process.poll() is None:
            time.sleep(1)
            for path in sorted({*progress.glob("*.done"), *progress.glob("*.failed")} - said):
                said.add(path)
                count = f"[{len(said)}/{len(plan.pending)}]"
                print(f"{count} {path.suffix[1:]:<6} {plan.jobs[path.stem].label}", flush=True)
        return process.wait(), False
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt, psutil.NoSuchProcess):
            _end(process)
        return 130, True


def _end(process: subprocess.Popen) -> None:
    """End Snakemake and the notebooks that it executes.

    A terminal sends the interrupt to all of them, which then end by themselves; if only this process got it, it is
    passed on. Whatever is left after that is killed.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(ENDING)
        return
    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    for number, patience in ((signal.SIGINT, 5 * ENDING), (signal.SIGKILL, ENDING)):
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(number)
        _, family = psutil.wait_procs(family, timeout=patience)
    process.wait()


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


def sum_times(plan: Plan, done: Mapping[str, float]) -> pd.DataFrame:
    """How long each stage took; notebooks that run at the same time are counted one after the other.

    Returns
    -------
    pandas.DataFrame
        ``stage``, ``notebooks``, ``run now`` (how many of them), ``now, s`` (for these) and ``recorded, s`` (what all
        of them took when they ran).
    """
    rows = []
    for stage in (STAGES[name] for name in stages_of(plan.study)):
        members = [job for job in plan.jobs.values() if job.stage == stage.name]
        now = [done[job.name] for job in members if job.name in done]
        recorded = [manifest["wall_seconds"] for job in members if (manifest := peek_manifest(job.folder))]
        rows.append((stage.title, len(members), len(now), round(sum(now)), round(sum(recorded))))
    return pd.DataFrame(rows, columns=["stage", "notebooks", "run now", "now, s", "recorded, s"])


def count_states(states: Iterable[str]) -> dict[str, int]:
    """State -> how many jobs are in it, in the states' order, without those that nobody is in."""
    states = list(states)
    return {state: states.count(state) for state in STATES if state in states}
