"""Faults that happen to files, for real: flipped bits, truncation, other weights, disks that take nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from compliance_xai import cli
from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file
from compliance_xai.pipeline import execution
from compliance_xai.pipeline.grid import find_state, find_unusable, make_jobs
from compliance_xai.pipeline.stages import run_stage
from compliance_xai.study.settings import load_study

TABLE, WEIGHTS = "summary.parquet", "seed-0/model.safetensors"


def write_weights(path, seed=0):
    save_file({"weight": np.random.default_rng(seed).normal(size=(64, 64)).astype("float32")}, path)


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def replace(path):
    if path.suffix == ".parquet":
        pd.DataFrame({"seed": [0], "loss": [9.0]}).to_parquet(path, index=False)
    else:
        write_weights(path, seed=1)


FAULTS = (flip_bit, truncate, replace, os.unlink)


def finetune(toy):
    """A training that is a table and weights."""

    def work(task):
        task.make_piece("seed-0", lambda part: write_weights(part / "model.safetensors"))
        return {"summary": pd.DataFrame({"seed": [0], "loss": [0.5]})}

    run_stage(toy.study, "finetune", "s", "full", work=work)
    return make_jobs(load_study(toy.study))["s-full-finetune"]


def generate(toy):
    def work(task):
        task.result("finetune", "s", "full").path(WEIGHTS)
        return {"generations": pd.DataFrame({"rule": ["r"]})}

    return run_stage(toy.study, "generate", "s", "full", work=work)


@pytest.mark.parametrize("name", [TABLE, WEIGHTS])
@pytest.mark.parametrize("damage", FAULTS, ids=lambda fault: fault.__name__)
def test_a_damaged_result_is_refused_and_made_again_as_it_was(toy, capsys, damage, name):
    job = finetune(toy)
    path = job.folder / name
    before = sha256_file(path)
    damage(path)
    said = f"{path} is missing" if damage is os.unlink else f"{path} was altered after it was made"
    assert find_unusable(job) == said
    with pytest.raises(InputError, match="expected finished results of 'Fine-tune s, full'") as refused:
        generate(toy)
    assert said in str(refused.value)
    finetune(toy)
    assert f"{said}; the stage is made again" in capsys.readouterr().out
    assert sha256_file(path) == before
    assert find_unusable(job) is None
    assert "generations" in generate(toy)


@pytest.mark.parametrize("damage", [flip_bit, truncate, replace])
def test_damaged_weights_without_a_manifest_are_not_taken_for_a_result(toy, capsys, damage):
    job = finetune(toy)
    path = job.folder / WEIGHTS
    before, status = sha256_file(path), path.stat()
    damage(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a failing disk does it
    (job.folder / "manifest.json").unlink()  # as after a kill
    finetune(toy)
    assert f"{path} was altered after it was made; it is made again" in capsys.readouterr().out
    assert sha256_file(path) == before


def test_a_flipped_bit_that_leaves_size_and_time_is_found_by_content(toy):
    job = finetune(toy)
    status = (job.folder / WEIGHTS).stat()
    flip_bit(job.folder / WEIGHTS)
    os.utime(job.folder / WEIGHTS, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert find_unusable(job) is None
    assert find_unusable(job, content=True) == f"{job.folder / WEIGHTS} was altered after it was made"


def test_a_number_that_was_changed_in_a_table_is_not_exported(toy, capsys, monkeypatch):
    jobs = make_jobs(load_study(toy.study))
    table = pd.DataFrame({"lrml_f1": [26.0]})
    for job in jobs.values():
        run_stage(toy.study, job.stage, job.scale, job.strategy, work=lambda task: {"quality": table})
    path = jobs["compare_sizes"].folder / "quality.parquet"
    table.replace(26.0, 777.125).to_parquet(path, index=False)
    monkeypatch.setattr("sys.argv", ["compliance-xai", "study", "export", "toy", "kept"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert f"found 'Compare sizes': {path} was altered after it was made" in capsys.readouterr().err
    assert not (toy.folder / "kept").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB at a folder; only those who may mount can have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user or container may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    with (folder / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)


def remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def move_results(toy, disk):
    """Results of the study on another disk."""
    (toy.folder / "results").mkdir()
    (toy.folder / "results" / "toy").symlink_to(disk)


def test_a_full_disk_is_one_message_and_the_same_command_continues(toy, small_disk, capsys):
    move_results(toy, small_disk)
    fill(small_disk)
    assert execution.main([str(toy.study), "corpus"]) == 2
    said = capsys.readouterr().err
    assert "expected room to write, found a full disk. Free some space" in said
    assert len(said.strip().splitlines()) == 1
    (small_disk / "fill").unlink()
    assert execution.main([str(toy.study), "corpus"]) == 0
    assert find_state(make_jobs(load_study(toy.study))["corpus"]) == "done"


def test_a_full_folder_for_temporary_files_stops_no_notebook(toy, small_disk, monkeypatch):
    fill(small_disk)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    assert execution.main([str(toy.study), "corpus"]) == 0
    assert find_state(make_jobs(load_study(toy.study))["corpus"]) == "done"


def test_results_that_cannot_be_written_are_one_message(toy, small_disk, capsys):
    move_results(toy, small_disk)
    remount(small_disk, "ro")
    assert execution.main([str(toy.study), "corpus"]) == 2
    assert "expected a folder that can be written to, found one that cannot" in capsys.readouterr().err


def test_a_file_in_place_of_the_pages_is_one_message(toy, capsys):
    (toy.folder / "book" / "runs").write_text("", encoding="utf-8")
    assert execution.main([str(toy.study), "corpus"]) == 2
    assert "expected a folder, found a file in its place" in capsys.readouterr().err
