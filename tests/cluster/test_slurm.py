"""A grid on a real SLURM of one node: killed, resumed, and run again, when it has nothing to do.

``make test-slurm`` calls it; it installs SLURM if it is missing. Not among the ordinary tests, nor part of CI.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = float(os.environ.get("CLUSTER_PATIENCE", "1500"))
"""Seconds for one run; a busy machine needs more."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Environment variables with which SLURM's commands reach a node that is started for these tests."""
    folder, script = tmp_path_factory.mktemp("slurm"), str(ROOT / "scripts" / "slurm_node.sh")
    subprocess.run([script, "start", str(folder)], check=True, timeout=600)
    yield {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([script, "stop", str(folder)], check=True, timeout=60)


def make_profile(project: Path) -> None:
    """A copy of the shipped profile that looks after its jobs more often."""
    shipped = yaml.safe_load((project / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
    changed = shipped | {"jobs": 2, "latency-wait": 10, "slurm-init-seconds-before-status-checks": 1}
    (project / "profiles" / "test").mkdir()
    (project / "profiles" / "test" / "config.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")


def command_of(project: Path, slurm: dict[str, str], arguments: Sequence[str]) -> dict[str, Any]:
    """How a module of the package is started in a project: arguments, folder and environment, for ``subprocess``."""
    places = {"COMPLIANCE_XAI_PROJECT": str(project), "COMPLIANCE_XAI_DATA": str(project / "data")}
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | places | slurm | {"PYTHONPATH": paths}
    return {"args": [sys.executable, "-m", *arguments], "cwd": project, "env": environment}


def run(project: Path, slurm: dict[str, str], *arguments: str) -> str:
    """A run that must succeed; what it printed."""
    command = command_of(project, slurm, arguments)
    done = subprocess.run(**command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def list_jobs(slurm: dict[str, str], states: str = "all") -> list[str]:
    """The SLURM jobs of these states, finished ones included, which this node remembers for an hour."""
    command = ["squeue", "--noheader", "--format=%i", f"--states={states}"]
    return subprocess.run(command, env=os.environ | slurm, capture_output=True, text=True, check=True).stdout.split()


def read_starts(project: Path) -> dict[Path, str]:
    """When the making of each finished stage began; its manifest is written once more when its page is there."""
    paths = project.glob("results/*/**/manifest.json")
    return {path: json.loads(path.read_text(encoding="utf-8"))["started"] for path in paths}


def kill_early(project: Path, slurm: dict[str, str], *arguments: str) -> None:
    """Start a run in a session of its own and kill command and Snakemake once a stage is done and a job at work."""
    with (project / "killed.log").open("w", encoding="utf-8") as log:
        command = command_of(project, slurm, arguments)
        process = subprocess.Popen(**command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + PATIENCE
        while not (read_starts(project) and list_jobs(slurm, "RUNNING")):
            alive = process.poll() is None and time.monotonic() < end
            assert alive, (project / "killed.log").read_text("utf-8")
            time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def check_cluster(project: Path, study: str, slurm: dict[str, str]) -> None:
    """Kill a run, resume it, and run it again, by this project's command and by Snakemake's."""
    command = ("compliance_xai.cli", "study", "run", study, "--profile", "test")
    kill_early(project, slurm, *command)
    before = read_starts(project)
    left = list_jobs(slurm, "RUNNING,PENDING")
    said = run(project, slurm, *command)
    assert all(number in said.partition("which an earlier run left behind")[0] for number in left), said
    after = read_starts(project)
    assert {path: after[path] for path in before} == before, "a stage that was done was made again"
    assert list_jobs(slurm, "RUNNING,PENDING") == []
    submitted = list_jobs(slurm)
    assert "Everything is current; nothing to run." in run(project, slurm, *command)
    direct = ("snakemake", "--profile", "profiles/test", "--config", f"study={project}/studies/{study}.yaml")
    run(project, slurm, *direct)
    assert list_jobs(slurm) == submitted
    assert read_starts(project) == after


def test_a_killed_grid_is_resumed_and_a_finished_one_submits_nothing(toy, slurm):
    make_profile(toy.folder)
    toy.edit(toy.study, "scales: [s, m]", "scales: [s]")
    toy.edit(toy.study, "  lora: {steps: 5}\n", "")
    check_cluster(toy.folder, "toy", slurm)
    made = list(toy.folder.glob("results/toy/**/made.txt"))
    assert len(made) == 13
