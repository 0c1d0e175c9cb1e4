"""One training on several processes: starts them by an accelerate config file, and checks that they are what was asked.

``accelerate launch`` can run one process where two were asked for, and DistributedDataParallel where FSDP was, and
ends with success in both cases. ``connect`` therefore compares what there is with what the config file asks for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compliance_xai.errors import InputError, require_choice
from compliance_xai.study.folders import find_project_folder

ASKED = "COMPLIANCE_XAI_LAUNCH"
"""Environment variable by which started processes learn what was asked for."""

KINDS = ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP", "DEEPSPEED")
"""Ways of working together that this package trains in, by accelerate's names."""

KEYS = frozenset({"distributed_type", "num_processes", "num_machines", "machine_rank"})


@dataclass(frozen=True)
class Asked:
    """Number of processes on all machines together, and accelerate's name of how they work together."""

    processes: int
    distributed: str


def connect(batch_size: int) -> Any:
    """The ``Accelerator`` of this process; one process on its own where nothing was launched.

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
    text = os.environ.get(ASKED)
    if text:
        asked = Asked(**json.loads(text))
        found = Asked(accelerator.num_processes, accelerator.distributed_type.name)
        if found != asked:
            raise InputError(
                "launch",
                expected=f"{asked.processes} processes, {asked.distributed}",
                found=f"{found.processes}, {found.distributed}",
                remedy="Check the config file against this machine: FSDP and DeepSpeed need CUDA devices, one for each "
                "process.",
            )
    if batch_size % accelerator.num_processes:
        raise InputError(
            "launch",
            expected=f"a number of processes that divides the batch of {batch_size} pairs",
            found=str(accelerator.num_processes),
            remedy="Change num_processes, or batch_size in the study.",
        )
    return accelerator


def read_config(config: Path | str, change: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An accelerate config file, with some of its values changed.

    On SLURM the machine's number is that of its node, unless it is changed here.

    Raises
    ------
    InputError
        If it is no such file, a change names no key of it, or a value makes no sense.
    """
    import yaml

    path = find_project_folder() / Path(config).expanduser()
    values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    if not isinstance(values, dict) or not set(values) >= KEYS:
        raise InputError(
            str(path),
            expected=f"an accelerate config file with {', '.join(sorted(KEYS))}",
            found="another file" if path.is_file() else "no such file",
            remedy="Choose one of configs/accelerate, or write one with 'accelerate config'.",
        )
    for key in change or {}:
        require_choice("launch.change, key", key, values, remedy=f"Choose a key of {path}.")
    values |= change or {}
    _require_values(values, path)
    if values["num_machines"] > 1 and "SLURM_NODEID" in os.environ and "machine_rank" not in (change or {}):
        values["machine_rank"] = int(os.environ["SLURM_NODEID"])
    if values["num_processes"] % values["num_machines"]:
        raise InputError(
            str(path),
            expected="num_processes for all machines together, the same number on each",
            found=f"{values['num_processes']} on {values['num_machines']} machines",
            remedy="Change num_processes.",
        )
    return values


def _require_values(values: Mapping[str, Any], path: Path) -> None:
    least = {"num_processes": 1, "num_machines": 1, "machine_rank": 0}
    for key, lowest in least.items():
        if type(values[key]) is not int or values[key] < lowest:
            raise InputError(
                f"{path}, key {key!r}",
                expected=f"a whole number of at least {lowest}",
                found=repr(values[key]),
                remedy="Correct it there, or in the study's launch.change.",
            )
    require_choice(f"{path}, key 'distributed_type'", values["distributed_type"], KINDS)


def make_command(values: Mapping[str, Any], config: Path, module: str, arguments: Sequence[str]) -> list[str]:
    """What starts this machine's share of the processes: accelerate's launcher, or torch's own for CPU processes.

    accelerate 1.15 starts CPU processes only through MPI, and a single one without it.
    """
    if values["distributed_type"] != "MULTI_CPU":
        return [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--config_file",
            str(config),
            "-m",
            module,
            *arguments,
        ]
    machines, place = values["num_machines"], ["--standalone"]
    if machines > 1:
        address = f"{values['main_process_ip']}:{values['main_process_port']}"
        place = [f"--node_rank={values['machine_rank']}", "--rdzv_backend=static", f"--rdzv_endpoint={address}"]
        place += ["--rdzv_id=0"]
    local = values["num_processes"] // machines
    start = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={machines}", *place, f"--nproc_per_node={local}"]
    return [*start, "-m", module, *arguments]


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
        If a process ends with an error; its last message is in it.
    """
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "accelerate.yaml", Path(folder) / "log.txt"
        config.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
        asked = Asked(int(values["num_processes"]), str(values["distributed_type"]))
        environment = os.environ | {ASKED: json.dumps(asdict(asked))}
        if values["distributed_type"] == "MULTI_CPU":
            environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        with log.open("w", encoding="utf-8") as file:
            command = make_command(values, config, module, arguments)
            status = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
        if status.returncode:
            lines = log.read_text(encoding="utf-8").strip().splitlines()
            said = [line for line in lines if "Error: " in line and "ChildFailed" not in line]
            raise InputError(
                f"launch of {asked.processes} processes, {asked.distributed}",
                expected="every process to end well",
                found=(said[:1] or lines[-1:] or ["no output"])[0].strip(),
                remedy="Mend that, and run the same command again; training goes on from its last checkpoint.",
            )
