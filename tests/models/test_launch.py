"""Several processes: what is started, what is checked, and that the result is that of one process."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from compliance_xai.errors import InputError
from compliance_xai.models.launch import ASKED, connect, launch, make_command, read_config
from compliance_xai.pipeline.finetune_stage import finetune
from compliance_xai.study.settings import Study
from compliance_xai.study.stage_settings import LaunchSettings

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs" / "accelerate"
CPU = CONFIGS / "ddp_cpu.yaml"


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPLIANCE_XAI_PROJECT", str(tmp_path))
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(REPOSITORY / "data"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    (tmp_path / "studies").mkdir()
    common = {
        "title": "t",
        "corpus": {"train": 48, "validation": 8, "test": 8, "document": 4},
        "scales": ("0.3m",),
        "strategies": {"full": {"steps": 3, "batch_size": 8, "micro_batch": 3, "evaluations": 1}},
    }
    one = finetune(Study(name="one", **common), "0.3m", "full")
    two = finetune(Study(name="two", launch=LaunchSettings(config=str(CPU)), **common), "0.3m", "full")
    np.testing.assert_allclose(two["log"]["loss"], one["log"]["loss"], rtol=1e-5)
    assert one["log"].drop(columns="loss").equals(two["log"].drop(columns="loss"))
    expected, found = (load_file(result.folder / "seed-0" / "model.safetensors") for result in (one, two))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=5e-5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("2 processes, MULTI_CPU", "expected 2 processes, MULTI_CPU, found 1 processes, NO"),
        ("1 processes, FSDP", "expected 1 processes, FSDP, found 1 processes, NO"),
    ],
)
def test_other_processes_than_those_asked_for_stop(monkeypatch, asked, message):
    monkeypatch.setenv(ASKED, asked)
    with pytest.raises(InputError, match=message):
        connect(8)


def test_a_process_that_fails_gives_its_message(monkeypatch, tmp_path):
    (tmp_path / "failing_worker.py").write_text("raise ValueError('Error: the reason')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"launch of 1 processes, MULTI_CPU.*the reason.*continues from its last"):
        launch(read_config(CPU, {"num_processes": 1}), "failing_worker", [])


def test_cpu_processes_are_started_by_torch_and_others_by_accelerate():
    values = read_config(CPU)
    command = make_command(values, Path("c.yaml"), "m", ["a"])
    assert command[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert command[3:] == ["--nnodes=1", "--standalone", "--nproc_per_node=2", "-m", "m", "a"]
    values = read_config(CPU, {"num_machines": 2, "num_processes": 8, "machine_rank": 1})
    command = make_command(values, Path("c.yaml"), "m", [])
    assert {"--nnodes=2", "--node_rank=1", "--nproc_per_node=4", "--rdzv_endpoint=127.0.0.1:29531"} <= set(command)
    command = make_command(read_config(CONFIGS / "fsdp2.yaml"), Path("c.yaml"), "m", ["a"])
    assert command[1:] == ["-m", "accelerate.commands.launch", "--config_file", "c.yaml", "-m", "m", "a"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configs_are_what_accelerate_reads(path):
    from accelerate.commands.config.config_args import ClusterConfig

    values = read_config(path)
    known = ClusterConfig.from_yaml_file(str(path))
    assert known.num_processes == values["num_processes"]
    assert str(known.distributed_type).endswith(values["distributed_type"])


def test_the_node_of_slurm_is_the_machine_unless_it_is_given(monkeypatch):
    monkeypatch.setenv("SLURM_NODEID", "3")
    assert read_config(CPU)["machine_rank"] == 0
    assert read_config(CPU, {"num_machines": 4, "num_processes": 4})["machine_rank"] == 3
    assert read_config(CPU, {"num_machines": 4, "num_processes": 4, "machine_rank": 1})["machine_rank"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_proceses": 4},
            "launch.change, key: expected one of .*, found 'num_proceses'. Did you mean 'num_processes'",
        ),
        ({"num_machines": 3}, "the same number on each, found 2 on 3 machines"),
        ({"num_processes": "two"}, "key 'num_processes': expected a whole number, found 'two'"),
        ({"num_machines": 0}, "key 'num_machines': expected a number greater than or equal to 1, found 0"),
        ({"machine_rank": -1}, "key 'machine_rank': expected a number greater than or equal to 0, found -1"),
        ({"distributed_type": "MULTI_XPU"}, "key 'distributed_type': expected one of 'NO', .*, found 'MULTI_XPU'"),
    ],
)
def test_a_change_that_makes_no_sense_is_explained(change, message):
    with pytest.raises(InputError, match=message):
        read_config(CPU, change)


def test_a_file_that_is_no_config_is_explained(tmp_path):
    with pytest.raises(InputError, match=r"expected an accelerate config file, found no such file"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"a": 1}), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"key 'distributed_type': expected this key, found nothing\. Add it; configs/accelerate"
    ):
        read_config(tmp_path / "other.yaml")


def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", property(lambda self: 3))
    assert ASKED not in os.environ
    with pytest.raises(InputError, match="a number of processes that divides the batch of 8 pairs, found 3"):
        connect(8)
