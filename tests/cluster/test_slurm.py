"""A small study on a real SLURM of one node: killed, resumed, run again, and compared with a run without SLURM.

``make test-slurm`` calls it; it installs SLURM if it is missing. Not among the ordinary tests.
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
from small_study import NOTEBOOKS, ROOT, find_differences, find_results, make_environment, make_project

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
    changed = shipped | {"latency-wait": 10, "slurm-init-seconds-before-status-checks": 1}
    (project / "profiles" / "test").mkdir()
    (project / "profiles" / "test" / "config.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")


def command_of(project: Path, slurm: dict[str, str], arguments: Sequence[str]) -> dict[str, Any]:
    """How a module of the package is started in a project: arguments, folder and environment, for ``subprocess``."""
    environment = make_environment(project) | slurm
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


def test_a_killed_study_is_resumed_submits_nothing_once_done_and_gives_the_tables_of_a_local_run(tmp_path, slurm):
    local, cluster = (make_project(tmp_path / name) for name in ("local", "cluster"))
    command = ("compliance_xai.cli", "study", "run", "small")
    run(local, {}, *command, "--cores", "2")
    (cluster / ".cache").symlink_to(local / ".cache")  # fonts and digests of the code, which a machine makes once
    make_profile(cluster)
    command = (*command, "--profile", "test")
    kill_early(cluster, slurm, *command)
    before = read_starts(cluster)
    left = list_jobs(slurm, "RUNNING,PENDING")
    said = run(cluster, slurm, *command)
    assert all(number in said.partition("which an earlier run left behind")[0] for number in left), said
    after = read_starts(cluster)
    assert len(after) == NOTEBOOKS
    assert {path: after[path] for path in before} == before, "a stage that was done was made again"
    assert list_jobs(slurm, "RUNNING,PENDING") == []
    submitted = list_jobs(slurm)
    assert "Everything is current; nothing to run." in run(cluster, slurm, *command)
    run(cluster, slurm, "snakemake", "--profile", "profiles/test", "--config", "study=studies/small.yaml")
    assert list_jobs(slurm) == submitted
    assert read_starts(cluster) == after
    one, other = (project / "results" / "small" for project in (local, cluster))
    assert len(find_results(one)) > 40
    assert find_differences(one, other) == []
