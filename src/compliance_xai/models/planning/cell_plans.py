"""What one cell needs on a device, whether it fits, and what to change where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from compliance_xai.errors import InputError
from compliance_xai.models.planning.sizes import (
    Memory,
    Texts,
    inference_bytes,
    kv_bytes,
    shape_of,
    trained_weights,
    training_memory,
    weight_bytes,
)
from compliance_xai.models.planning.speed import scoring_flops, training_flops
from compliance_xai.study.ladders import Rung
from compliance_xai.study.strategy_settings import StrategySettings

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.9
"""Share of a device's memory that may be planned; the rest goes to fragments, kernels and the libraries."""

COUNTS = (2, 4, 8, 16, 32, 64)
"""Numbers of devices that advice may name."""

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True)
class Device:
    """Memory in bytes; ``flops``: sustained floating-point operations per second, None where nobody knows.

    ``here``: this machine's, so that its speed can be measured. ``count``: so many in one machine, over which
    generation and attribution spread a model that is too big for one.
    """

    name: str
    memory: float
    flops: float | None = None
    bfloat16: bool = False
    here: bool = False
    count: int = 1


@dataclass(frozen=True)
class CellPlan:
    """What a cell needs. Memory in bytes, time in hours for all seeds (None without a speed).

    Attributes
    ----------
    parameters, trained
        All weights, and those that training changes.
    memory, inference
        While training, on one device, and the larger of generation (with ``kv``, its keys and values) and attribution,
        on all of a machine's devices together.
    fits
        Whether both stay below ``MARGIN`` of these.
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


def choose_device(memory: str | None = None, tflops: float | None = None, count: int | None = None) -> Device:
    """The device to plan for: this machine's, or one of so much memory whose speed is what the reader gives.

    A GPU that is not here is taken to compute in bfloat16.
    """
    if memory is None:
        device = this_device()
        return replace(
            device, flops=tflops * 1e12 if tflops else device.flops, count=device.count if count is None else count
        )
    flops = tflops * 1e12 if tflops else None
    return Device("the given device", read_bytes(memory), flops, bfloat16=True, count=count or 1)


def this_device() -> Device:
    """The first CUDA device, or this machine's main memory."""
    import psutil
    import torch

    if torch.cuda.is_available():
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        memory = torch.cuda.get_device_properties(0).total_memory
        return Device(torch.cuda.get_device_name(), memory, None, able, True, torch.cuda.device_count())
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
    remedies = []
    if memory.peak > room and settings.trains:
        shared = {"processes": processes, "sharded": sharded}
        remedies.append(_advise_training(rung, settings, texts, room, bfloat16=wide, **shared))
    if inference > room * device.count:
        remedies.append(_advise_inference(loaded, inference, room, device.count))
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
        not remedies,
        "; ".join(remedies),
        hours if settings.trains else 0.0,
        _hours(scoring_flops(rung, scored_tokens, texts.mean) * seeds, device),
    )


def _hours(operations: float, device: Device) -> float | None:
    return None if device.flops is None else operations / device.flops / 3600


def _advise_training(
    rung: Rung,
    settings: StrategySettings,
    texts: Texts,
    room: float,
    *,
    bfloat16: bool,
    processes: int,
    sharded: bool,
) -> str:
    """The smallest change with which training fits: fewer pairs at once, activations anew, 4 bits, more devices."""

    def fits(changed: StrategySettings, processes: int = processes, sharded: bool = sharded) -> bool:
        needed = training_memory(rung, changed, texts, bfloat16=bfloat16, processes=processes, sharded=sharded)
        return needed.peak <= room

    each = max(1, settings.batch_size // processes)
    rows = min(settings.micro_batch or each, each)
    sizes = [rows // 2**power for power in range(1, rows.bit_length())]
    for again in (False, True):
        for size in sizes if not again else [rows, *sizes]:
            if fits(settings.model_copy(update={"micro_batch": size, "gradient_checkpointing": again})):
                return f"micro_batch: {size}" + (", gradient_checkpointing: true" if again else "")
    small = {"micro_batch": 1, "gradient_checkpointing": True}
    said = "micro_batch: 1, gradient_checkpointing: true"
    ways = []
    if settings.kind != "qlora":
        quantised = StrategySettings(kind="qlora", rank=settings.rank, batch_size=settings.batch_size, **small)
        if fits(quantised, 1, False):
            ways.append(f"qlora on one device, {said}" if processes > 1 else f"qlora, {said}")
    least = settings.model_copy(update=small)
    more = [count for count in COUNTS if count > (processes if sharded else 1) and settings.batch_size % count == 0]
    enough = next((count for count in more if fits(least, count, True)), None)
    if enough:
        ways.append(f"fsdp2 on {enough} such devices, {said}")
    return " or ".join(ways) or "a smaller model, or a larger device"


def _advise_inference(loaded: float, needed: float, room: float, count: int) -> str:
    """What lets generation and attribution fit: less at once where the weights do, else more devices."""
    if loaded < room * count:
        return "for generation and attribution fewer clauses and tokens at once (the rung's batch)"
    enough = next((more for more in COUNTS if more > count and needed <= room * more), None)
    if enough is None:
        return "a smaller model, or a larger device"
    return f"for generation and attribution {enough} such devices in one machine (device_map: auto)"


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
