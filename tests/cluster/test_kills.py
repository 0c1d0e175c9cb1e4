"""Random kills of everything that a run consists of, each followed by a restart at once: the results are the same.

``make kills`` calls it (``KILLS=50`` by default, an hour or so); it is not among the ordinary tests. Every round begins
without results and ends with a finished study; kills come until there were enough of them. The study is a small one of
real models, or with ``KILL_STUDY=toy`` a grid whose notebooks write a text each, which takes a third of the time.
"""

from __future__ import annotations

import collections
import os
import random
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from small_study import find_differences, find_results, make_environment, make_project

KILLS, SEED = int(os.environ.get("KILLS", "50")), int(os.environ.get("KILL_SEED", "0"))
KINDS = {
    "notebook": "compliance_xai.pipeline.notebook_process",
    "execution": "compliance_xai.pipeline.execution",
    "snakemake": "snakemake",
    "command": "compliance_xai.cli",
}
"""What is killed -> the module that its process runs."""
COMMAND = [sys.executable, "-m", KINDS["command"], "study"]


def find_processes(project):
    """Kind -> the processes of the project's run, with their command lines."""
    found = collections.defaultdict(list)
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            own = words[1:2] == ["-m"] and process.environ().get("COMPLIANCE_XAI_PROJECT") == str(project)
        except psutil.Error:
            continue
        for kind, module in KINDS.items():
            if own and words[2] == module:
                found[kind].append((process, words))
    return found


def check_one_at_a_time(project):
    """No two processes execute one notebook."""
    started = collections.Counter(words[3] for _, words in find_processes(project)["notebook"])
    assert [name for name, count in started.items() if count > 1] == []


def kill_one(project, run, choose, longest):
    """Kill a process of a random kind after a random time; its kind, or None if the run ended before."""
    wanted, end = choose.choice(list(KINDS)), time.monotonic() + choose.uniform(0, longest)
    while time.monotonic() < end or not (found := find_processes(project)[wanted]):
        if run.poll() is not None:
            return None
        time.sleep(0.1)
    choose.choice(found)[0].kill()
    return wanted


@pytest.fixture
def project(tmp_path, request):
    """A project with the study to run, which is its only one."""
    if os.environ.get("KILL_STUDY") != "toy":
        return make_project(tmp_path / "project")
    toy = request.getfixturevalue("toy")
    toy.edit(toy.study, "scales: [s, m]", "scales: [s]")
    toy.edit(toy.study, "  lora: {steps: 5}\n", "")
    return toy.folder


def test_kills_at_any_moment_leave_the_results_as_they_would_be(project, tmp_path):
    (study,) = (path.stem for path in (project / "studies").iterdir())
    command = [*COMMAND, "run", study, "--cores", "2"]
    results, whole, log = project / "results" / study, tmp_path / "undisturbed", tmp_path / "log"
    options = {"cwd": project, "env": make_environment(project)}
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    took = time.monotonic() - start
    results.rename(whole)
    choose, counts, rounds, files = random.Random(SEED), collections.Counter(), 0, len(find_results(whole))
    print(f"{study}: undisturbed {took:.0f} s, {files} files", flush=True)
    assert files >= len(list(whole.rglob("manifest.json"))) >= 13
    while counts.total() < KILLS:
        shutil.rmtree(project / "book" / "runs")
        shutil.rmtree(results, ignore_errors=True)
        done = False
        while not done:
            with log.open("w", encoding="utf-8") as file:
                run = subprocess.Popen(command, stdout=file, stderr=file, **options)
            kind = kill_one(project, run, choose, took / 12) if counts.total() < KILLS else None
            if kind:
                counts[kind] += 1
                print(f"{time.strftime('%H:%M:%S')} kill {counts.total()} of {KILLS}: {kind}", flush=True)
            while run.poll() is None:
                check_one_at_a_time(project)
                time.sleep(0.5)
            done = run.returncode == 0
            assert done or kind, log.read_text(encoding="utf-8")
        rounds += 1
        assert find_differences(results, whole) == []
        subprocess.run([*COMMAND, "verify", study, "--content"], check=True, **options)
        assert not find_processes(project)
        print(f"{time.strftime('%H:%M:%S')} round {rounds}: {files} files equal", flush=True)
    print(f"{KILLS} kills ({dict(counts)}) in {rounds} rounds: all files equal", flush=True)
