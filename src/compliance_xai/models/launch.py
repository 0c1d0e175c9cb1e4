"""One training on several processes, started by an accelerate config file and compared with what it asks for.

``accelerate launch`` can run one process when two were asked for, or DistributedDataParallel when FSDP was, and ends
with success in both cases. ``connect`` therefore compares what is running with the config file.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from compliance_xai.errors import InputError, require_choice
from compliance_xai.study import yaml_files
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.value_types import Count, Whole

ASKED = "COMPLIANCE_XAI_LAUNCH"
"""Environment variable that tells started processes their number and how they work together: ``2 processes, FSDP``."""

EXAMPLE = "configs/accelerate/fsdp2.yaml"


class LaunchConfig(BaseModel, extra="allow"):
    """The keys of an accelerate config file that are checked here; processes are counted over all machines."""

    distributed_type: Literal["NO", "MULTI_CPU", "MULTI_GPU", "FSDP", "DEEPSPEED"]
    num_processes: Count
    num_machines: Count
    machine_rank: Whole


def connect(batch_size: int) -> Any:
    """The ``Accelerator`` of this process; a single process if nothing was launched.

    Raises
    ------
    InputError
        If the processes or the way they work together are not those asked for, or do not divide the batch.
    """
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    if accelerator.distributed_type.name == "DEEPSPEED":  # it wants to know, although no loader is prepared
        plugin: Any = accelerator.state.deepspeed_plugin
        plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = max(1, batch_size // accelerator.num_processes)
    found = f"{accelerator.num_processes} processes, {accelerator.distributed_type.name}"
    asked = os.environ.get(ASKED, found)
    if asked != found:
        remedy = "Check the config file against this machine: FSDP and DeepSpeed need one CUDA device each."
        raise InputError("launch", expected=asked, found=found, remedy=remedy)
    if batch_size % accelerator.num_processes:
        expected = f"a number of processes that divides the batch of {batch_size} pairs"
        remedy = "Change num_processes, or batch_size in the study."
        raise InputError("launch", expected=expected, found=str(accelerator.num_processes), remedy=remedy)
    return accelerator


def read_config(config: Path | str, change: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An accelerate config file, with some of its values changed.

    On SLURM the machine's number is that of its node, unless it is changed here.

    Raises
    ------
    InputError
        If there is no such file, a change names none of its keys, or a value is not usable.
    """
    path = find_project_folder() / Path(config).expanduser()
    if not path.is_file():
        remedy = "Choose one of configs/accelerate, or write one with 'accelerate config'."
        raise InputError(str(path), expected="an accelerate config file", found="no such file", remedy=remedy)
    values, lines = yaml_files.read(path, example=EXAMPLE)
    for key in change or {}:
        require_choice("launch.change, key", key, values, remedy=f"Choose a key of {path}.")
    values |= change or {}
    try:
        LaunchConfig.model_validate(values)
    except ValidationError as error:
        raise yaml_files.explain(error, LaunchConfig, path, lines, example=EXAMPLE) from None
    if values["num_machines"] > 1 and "SLURM_NODEID" in os.environ and "machine_rank" not in (change or {}):
        values["machine_rank"] = int(os.environ["SLURM_NODEID"])
    if values["num_processes"] % values["num_machines"]:
        expected = "num_processes for all machines together, the same number on each"
        found = f"{values['num_processes']} on {values['num_machines']} machines"
        raise InputError(str(path), expected=expected, found=found, remedy="Change num_processes.")
    return values


def make_command(values: Mapping[str, Any], config: Path, module: str, arguments: Sequence[str]) -> list[str]:
    """What starts this machine's share of the processes: accelerate's launcher, or torch's own for CPU processes.

    accelerate 1.15 starts CPU processes only through MPI, and a single one without it.
    """
    if values["distributed_type"] != "MULTI_CPU":
        start = ["accelerate.commands.launch", "--config_file", str(config)]
    else:
        machines, place = values["num_machines"], ["--standalone"]
        if machines > 1:
            address = f"{values['main_process_ip']}:{values['main_process_port']}"
            place = [f"--node_rank={values['machine_rank']}", "--rdzv_backend=static", f"--rdzv_endpoint={address}"]
            place += ["--rdzv_id=0"]
        local = values["num_processes"] // machines
        start = ["torch.distributed.run", f"--nnodes={machines}", *place, f"--nproc_per_node={local}"]
    return [sys.executable, "-m", *start, "-m", module, *arguments]


def launch(values: Mapping[str, Any], module: str, arguments: Sequence[str]) -> None:
    """Run a module on the processes of a config and wait for them.

    Parameters
    ----------
    values
        From ``read_config``.
    module, arguments
        What each process runs; it has to call ``connect``.

    Raises
    ------
    InputError
        If a process ends with an error, with its first message.
    """
    asked = f"{values['num_processes']} processes, {values['distributed_type']}"
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "accelerate.yaml", Path(folder) / "log.txt"
        config.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
        environment = os.environ | {ASKED: asked}
        if values["distributed_type"] == "MULTI_CPU":
            environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        with log.open("w", encoding="utf-8") as file:
            command = make_command(values, config, module, arguments)
            status = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
        if status.returncode:
            lines = log.read_text(encoding="utf-8").strip().splitlines()
            errors = [line for line in lines if "Error: " in line and "ChildFailed" not in line]
            found = (errors[:1] or lines[-1:] or ["no output"])[0].strip()
            remedy = "Correct this, and run the same command again; training continues from its last checkpoint."
            raise InputError(f"launch of {asked}", expected="every process to succeed", found=found, remedy=remedy)
