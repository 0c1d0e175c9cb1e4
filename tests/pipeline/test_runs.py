import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from compliance_xai.errors import InputError
from compliance_xai.pipeline.grid import find_states, make_jobs
from compliance_xai.pipeline.running import count_states, make_plan, run_plan, sum_times
from compliance_xai.pipeline.stores import hold_lock
from compliance_xai.study.settings import load_study

SMALL = ("scales=[s]", "strategies={none: {}, full: {steps: 5}}")


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "compliance_xai.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_arguments(toy, *more):
    overrides = [part for override in (*SMALL, *more) for part in ("--set", override)]
    return ["study", "run", str(toy.study), "--cores", "2", *overrides]


def run_small(toy, *more):
    return command(*run_arguments(toy, *more))


def states(toy, *more):
    plan = make_plan(toy.study, (*SMALL, *more))
    return dict(plan.states)


def test_a_run_executes_everything_once_and_a_second_one_nothing(toy):
    first = run_small(toy)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert "[13/13] done" in first.stdout
    assert "How long each stage took" in first.stdout
    assert set(states(toy).values()) == {"done"}
    pages = sorted((toy.folder / "book" / "runs" / "toy").glob("*.ipynb"))
    assert len(pages) == 13
    before = {page: page.stat().st_mtime_ns for page in pages}
    start = time.monotonic()
    second = run_small(toy)
    assert time.monotonic() - start < 20
    assert "Everything is current; nothing to run." in second.stdout
    assert {page: page.stat().st_mtime_ns for page in pages} == before

    changed = run_small(toy, "strategies.full.steps=6")
    assert changed.returncode == 0, changed.stderr
    kept = {page.stem for page in pages if page.stat().st_mtime_ns == before[page]}
    assert kept == {"corpus", "ladder", "s-none-generate", "s-none-attribute"}

    # Prose of one notebook: its own pages run again, nothing that depends on their results.
    toy.edit(toy.notebook("03_finetune.py"), "Some prose.", "Other prose.")
    prose = run_small(toy, "strategies.full.steps=6")
    assert prose.returncode == 0, prose.stderr
    assert "13 notebooks (12 done, 1 stale)" in prose.stdout
    assert "[1/1] done   Fine-tune s, full" in prose.stdout
    assert "1 notebooks in" in prose.stdout


def test_a_failing_cell_stops_only_what_needs_it(toy):
    toy.edit(
        toy.notebook("05_attribute.py"),
        "result = run_stage",
        'if strategy == "full":\n    raise ValueError("out of luck")\nresult = run_stage',
    )
    result = run_small(toy)
    assert result.returncode == 1
    assert "Error: s-full-attribute: ValueError: out of luck" in result.stderr
    assert "Traceback" not in result.stderr
    found = states(toy)
    assert found["s-full-attribute"] == "failed"
    assert found["s-none-attribute"] == found["s-full-generate"] == "done"
    assert found["compare_sizes"] == found["findings"] == "not run"
    toy.edit(toy.notebook("05_attribute.py"), 'if strategy == "full":', "if False:")
    again = run_small(toy)
    assert again.returncode == 0, again.stderr
    assert set(states(toy).values()) == {"done"}


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGKILL, True), (signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)],
)
def test_a_run_that_was_ended_goes_on(toy, number, to_all):
    toy.edit(
        toy.notebook("05_attribute.py"),
        "result = run_stage",
        "import time\n\ntime.sleep(900 if strategy == 'none' and Path('slow').exists() else 0)\nresult = run_stage",
    )
    (toy.folder / "slow").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "compliance_xai.cli", *run_arguments(toy)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # A shell's background job ignores interrupts, and so would everything that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 400
    while (reached := states(toy)["s-full-generate"]) != "done" and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.5)
    if reached != "done":
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail((toy.folder / "results" / "toy" / "snakemake.log").read_text(encoding="utf-8"))
    family = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if to_all else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "Interrupted. Finished work is kept; the same command continues." in errors.decode()
    (toy.folder / "slow").unlink()
    finished = toy.folder / "results" / "toy" / "runs" / "s" / "full" / "generate" / "manifest.json"
    before = finished.stat().st_mtime_ns
    again = run_small(toy)
    assert again.returncode == 0, again.stdout + again.stderr
    assert finished.stat().st_mtime_ns == before
    assert set(states(toy).values()) == {"done"}


def test_two_runs_of_one_study_do_not_meet(toy):
    lock = hold_lock(toy.folder / "results" / "toy" / "run.lock", "another run")
    message = f"study 'toy': expected no other process.*, found process {os.getpid()}"
    with lock, pytest.raises(InputError, match=message):
        run_plan(make_plan(toy.study, SMALL), cores=1)


def test_more_threads_than_cores_are_refused(toy):
    plan = make_plan(toy.study, (*SMALL, "threads=3"))
    with pytest.raises(InputError, match=r"key 'threads': expected at most the 2 cores of this run, found 3"):
        run_plan(plan, cores=2)


def test_a_plan_without_overrides_reads_the_studys_own_file(toy):
    assert make_plan("toy").path == Path("studies/toy.yaml")
    assert make_plan("toy", SMALL).path == Path("results/toy/study.yaml")
    assert not (toy.folder / "results").exists()


def test_states_are_counted_in_their_order():
    assert count_states(["not run", "done", "stale", "done"]) == {"done": 2, "stale": 1, "not run": 1}


def test_times_list_every_stage(toy):
    plan = make_plan(toy.study)
    lines = sum_times(plan, {"s-full-finetune": 2.0, "m-lora-finetune": 3.0}).set_index("stage").T
    assert lines["Fine-tune"].tolist() == [4, 2, 5, 0]
    assert lines["Findings"].tolist() == [1, 0, 0, 0]
    assert find_states(make_jobs(load_study(toy.study)))["corpus"] == "not run"
