"""What one cell needs on a device, whether it fits, and what to change where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from compliance_xai.errors import InputError
from compliance_xai.planner.sizes import (
    Memory,
    Texts,
    inference_bytes,
    kv_bytes,
    shape_of,
    trained_weights,
    training_memory,
    weight_bytes,
)
from compliance_xai.planner.speed import scoring_flops, training_flops
from compliance_xai.rungs import Rung
from compliance_xai.study import StrategySettings

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.9
"""Share of a device's memory that may be planned; the rest goes to fragments, kernels and the libraries."""

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True)
class Device:
    """Memory in bytes; ``flops``: sustained floating-point operations per second, None where nobody knows.

    ``here``: this machine's, so that its speed can be measured.
    """

    name: str
    memory: float
    flops: float | None = None
    bfloat16: bool = False
    here: bool = False


@dataclass(frozen=True)
class CellPlan:
    """What a cell needs. Memory in bytes, time in hours for all seeds (None without a speed).

    Attributes
    ----------
    parameters, trained
        All weights, and those that training changes.
    memory, inference
        While training, and the larger of generation (with ``kv``, its keys and values) and attribution.
    fits
        Whether both stay below ``MARGIN`` of the device.
    remedy
        What to change where it does not fit, empty where it does.
    """

    scale: str
    strategy: str
    parameters: int
    trained: int
    memory: Memory
    inference: float
    kv: float
    fits: bool
    remedy: str
    training_hours: float | None
    attribution_hours: float | None


def read_bytes(text: str) -> float:
    """``80GB`` or ``16 GiB`` in bytes.

    Raises
    ------
    InputError
        If it is no such amount.

    Examples
    --------
    >>> read_bytes("80GB")
    80000000000.0
    """
    digits = text.strip().rstrip("BKMGTi")
    unit = text.strip()[len(digits) :]
    try:
        return float(digits) * UNITS[unit]
    except (ValueError, KeyError):
        raise InputError(
            f"--device-memory {text!r}", expected="a number and a unit", found=repr(text), remedy="Write 80GB or 16GiB."
        ) from None


def choose_device(memory: str | None = None, tflops: float | None = None) -> Device:
    """The device to plan for: this machine's, or one of so much memory whose speed is what the reader gives.

    A GPU that is not here is taken to compute in bfloat16.
    """
    if memory is None:
        device = this_device()
        return replace(device, flops=tflops * 1e12) if tflops else device
    return Device("the given device", read_bytes(memory), tflops * 1e12 if tflops else None, bfloat16=True)


def this_device() -> Device:
    """The first CUDA device, or this machine's main memory."""
    import psutil
    import torch

    if torch.cuda.is_available():
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return Device(torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory, None, able, True)
    return Device("this machine", psutil.virtual_memory().total, here=True)


def plan_cell(
    rung: Rung,
    strategy: str,
    settings: StrategySettings,
    texts: Texts,
    device: Device,
    *,
    seeds: int = 1,
    scored_tokens: float = 0.0,
    generate: tuple[int, int] = (32, 192),
    batch_tokens: int = 2048,
    processes: int = 1,
    sharded: bool = False,
) -> CellPlan:
    """Parameters, memory and time of one cell on a device.

    Parameters
    ----------
    scored_tokens
        Prompt and rule tokens of all perturbed clauses that one model scores.
    generate
        Clauses decoded together and the longest rule in tokens.
    batch_tokens
        Tokens of one scoring pass.
    processes, sharded
        Devices that train together, and whether they share weights, gradients and optimiser out.
    """
    shape = shape_of(rung)
    wide = (device.bfloat16 and settings.precision != "float32") or settings.precision == "bfloat16"
    if settings.trains:
        memory = training_memory(rung, settings, texts, bfloat16=wide, processes=processes, sharded=sharded)
    else:
        memory = Memory(weight_bytes(rung, settings, bfloat16=wide), 0, 0, 0)
    each = 2 if wide else 4
    kv = kv_bytes(shape, generate[0], texts.longest - texts.longest_rule + generate[1], each=each)
    loaded = weight_bytes(rung, StrategySettings(kind="qlora" if settings.kind == "qlora" else "none"), bfloat16=wide)
    inference = loaded + max(kv, inference_bytes(shape, batch_tokens, each=each))
    room = MARGIN * device.memory
    fits = memory.peak <= room and inference <= room
    operations = sum(phase.steps * training_flops(rung, phase, texts) for phase in settings.phases)
    hours = _hours(operations * seeds / processes, device)
    return CellPlan(
        rung.name,
        strategy,
        rung.parameters,
        trained_weights(rung, settings),
        memory,
        inference,
        kv,
        fits,
        "" if fits else advise(rung, settings, texts, room, bfloat16=wide, inference=inference),
        hours if settings.trains else 0.0,
        _hours(scoring_flops(rung, scored_tokens, texts.mean) * seeds, device),
    )


def _hours(operations: float, device: Device) -> float | None:
    return None if device.flops is None else operations / device.flops / 3600


def advise(
    rung: Rung, settings: StrategySettings, texts: Texts, room: float, *, bfloat16: bool, inference: float
) -> str:
    """The smallest change with which training fits: fewer pairs at once, activations anew, 4 bits, more devices."""
    if settings.trains:
        rows = settings.micro_batch or settings.batch_size
        sizes = [rows // 2**power for power in range(1, rows.bit_length())]
        for again in (False, True):
            for size in sizes if not again else [rows, *sizes]:
                changed = settings.model_copy(update={"micro_batch": size, "gradient_checkpointing": again})
                if training_memory(rung, changed, texts, bfloat16=bfloat16).peak <= room >= inference:
                    return f"micro_batch: {size}" + (", gradient_checkpointing: true" if again else "")
    small = {"micro_batch": 1, "gradient_checkpointing": True}
    least = settings.model_copy(update=small)
    ways = []
    if settings.kind not in ("qlora", "none"):
        quantised = StrategySettings(kind="qlora", rank=settings.rank, batch_size=settings.batch_size, **small)
        if training_memory(rung, quantised, texts, bfloat16=bfloat16).peak <= room:
            ways.append("qlora, micro_batch: 1, gradient_checkpointing: true")
    for processes in (2, 4, 8, 16, 32, 64):
        if settings.trains and settings.batch_size % processes:
            break
        if not settings.trains:
            fitting = inference / processes <= room
        else:
            memory = training_memory(rung, least, texts, bfloat16=bfloat16, processes=processes, sharded=True)
            fitting = memory.peak <= room and inference / processes <= room
        if fitting:
            how = "device_map: auto" if not settings.trains else "fsdp2, micro_batch: 1, gradient_checkpointing: true"
            ways.append(f"{how} on {processes} such devices")
            break
    return " or ".join(ways) or "a smaller model"


def describe_cells(cells: Sequence[CellPlan]) -> pd.DataFrame:
    """A table for people, one row per cell.

    Returns
    -------
    pandas.DataFrame
        Texts: ``scale``, ``strategy``; ``parameters`` and ``trained``; gigabytes of ``weights``, ``gradients``,
        ``optimiser``, ``activations`` and the ``peak`` while training, ``kv`` and the ``inference`` peak; ``fits``;
        hours of training and of attribution.
    """
    import pandas as pd

    rows = []
    for cell in cells:
        memory = cell.memory
        sizes = {name: getattr(memory, name) for name in ("weights", "gradients", "optimiser", "activations", "peak")}
        rows.append(
            {"scale": cell.scale, "strategy": cell.strategy}
            | {name: _short(getattr(cell, name)) for name in ("parameters", "trained")}
            | {name: _gigabytes(value) for name, value in {**sizes, "kv": cell.kv, "inference": cell.inference}.items()}
            | {"fits": "yes" if cell.fits else "no"}
            | {"training, h": _show_hours(cell.training_hours), "attribution, h": _show_hours(cell.attribution_hours)}
        )
    return pd.DataFrame(rows)


def _short(count: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return f"{count:.0f}"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.3g}" if count >= 1e7 else "0" if count == 0 else "<0.01"


def _show_hours(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:.2g}"
