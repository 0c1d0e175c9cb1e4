"""Memory and time of a cell before anything is fetched or run, from its model's sizes alone.

Bytes are counted tensor by tensor (see ``training_memory``). Time is floating-point operations over a speed: one that
``probe_speed`` measures on this machine with two layers of the same width, or one that the reader gives for another
device. `benchmarks/planner.py` compares both with whole runs.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError
from compliance_xai.rungs import Rung, Shape
from compliance_xai.study import StrategySettings

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.prompts import Encoded

MARGIN = 0.9
"""Share of a device's memory that may be planned; the rest goes to fragments, kernels and the libraries."""

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4 with double quantisation: 4 bits, and for every 64 weights one byte of scale, for every 256
scales a float32 (QLoRA, arXiv 2305.14314, section 3)."""

SHARE = 0.4
"""Share of the speed of plain matrix products that training sustains, without a measurement: an order of magnitude."""

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
class Texts:
    """Lengths of the training pairs in tokens: prompt and rule together, and the rule alone."""

    longest: int
    mean: float
    longest_rule: int
    mean_rule: float


@dataclass(frozen=True)
class Memory:
    """Bytes on each device while a pass runs; ``activations`` hold what backward needs and the logits."""

    weights: float
    gradients: float
    optimiser: float
    activations: float
    passes: int = 1

    @property
    def peak(self) -> float:
        """With one pass, gradients fill up while activations are freed; with more, they wait beside them."""
        fixed = self.weights + self.optimiser
        if self.passes == 1:
            return fixed + max(self.gradients, self.activations)
        return fixed + self.gradients + self.activations


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


def guess_speed(rung: Rung, device: Device) -> Device:
    """The device with ``SHARE`` of the speed that this machine's matrix products reach at the model's width."""
    shape = _shape(rung)
    speed = SHARE * _time_products(min(shape.hidden_size, 2048), min(shape.intermediate_size, 4096), device.bfloat16)
    return replace(device, flops=speed)


@functools.cache
def _time_products(width: int, inner: int, bfloat16: bool) -> float:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    a, b = torch.ones(1024, width, device=device, dtype=dtype), torch.ones(width, inner, device=device, dtype=dtype)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        float((a @ b)[0, 0])
        seconds.append(time.perf_counter() - start)
    return 2 * 1024 * width * inner / sorted(seconds)[1]


def this_device() -> Device:
    """The first CUDA device, or this machine's main memory."""
    import psutil
    import torch

    if torch.cuda.is_available():
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return Device(torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory, None, able, True)
    return Device("this machine", psutil.virtual_memory().total, here=True)


def choose_device(memory: str | None = None, tflops: float | None = None) -> Device:
    """The device to plan for: this machine's, or one of so much memory whose speed is what the reader gives.

    A GPU that is not here is taken to compute in bfloat16.
    """
    if memory is None:
        device = this_device()
        return replace(device, flops=tflops * 1e12) if tflops else device
    return Device("the given device", read_bytes(memory), tflops * 1e12 if tflops else None, bfloat16=True)


# --- weights ----------------------------------------------------------------------------------------------------


def linear_sizes(shape: Shape) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of the linear layers of one decoder layer, by the names of Llama, Mistral, Qwen2 and Gemma."""
    width, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = shape.heads * shape.width_of_head, shape.key_value_heads * shape.width_of_head
    return {
        "q_proj": (width, queries),
        "k_proj": (width, keys),
        "v_proj": (width, keys),
        "o_proj": (queries, width),
        "gate_proj": (width, inner),
        "up_proj": (width, inner),
        "down_proj": (inner, width),
    }


def linear_weights(shape: Shape) -> int:
    """Weights of the linear layers of all decoder layers, which 4-bit loading and adapters are about."""
    return shape.layers * sum(inputs * outputs for inputs, outputs in linear_sizes(shape).values())


def embedding_weights(shape: Shape) -> int:
    """Embeddings, and the head where it is not the same matrix."""
    return shape.vocabulary * shape.hidden_size * (1 if shape.tied else 2)


def adapter_weights(shape: Shape, settings: StrategySettings) -> int:
    """Weights of low-rank adapters: rank x (inputs + outputs) for each adapted linear layer."""
    targets = settings.target_modules
    chosen = [
        size
        for name, size in linear_sizes(shape).items()
        if targets == "all-linear" or name in targets or name == targets
    ]
    each = sum(settings.rank * (inputs + outputs) for inputs, outputs in chosen)
    each += sum(outputs for _, outputs in chosen) if settings.kind == "dora" else 0
    return each * (shape.layers // 2 if settings.kind == "full-top" else shape.layers)


def whole_weights(rung: Rung, settings: StrategySettings) -> int:
    """Weights of the model itself that a strategy trains."""
    shape = _shape(rung)
    norms = (2 * shape.layers + 1) * shape.hidden_size
    return {
        "full": rung.parameters,
        "lora-then-full": rung.parameters,
        "lora+": embedding_weights(shape) + norms,
        "full-top": (rung.parameters - embedding_weights(shape)) * (shape.layers - shape.layers // 2) // shape.layers,
    }.get(settings.kind, 0)


def _adapted(settings: StrategySettings) -> bool:
    return settings.kind not in ("none", "full", "lora-then-full")


def trained_weights(rung: Rung, settings: StrategySettings) -> int:
    """All that a strategy trains; of ``lora-then-full`` its second, larger phase."""
    return whole_weights(rung, settings) + (adapter_weights(_shape(rung), settings) if _adapted(settings) else 0)


def _shape(rung: Rung) -> Shape:
    if rung.shape is None:
        raise InputError(
            f"rung {rung.name!r}",
            expected="a shape in the ladder's file, or a config.json in the rung's folder",
            found="neither",
            remedy="Write the model's shape (hidden_size, layers, heads, ...) into the ladder; see data/ladders.",
        )
    return rung.shape


# --- memory -----------------------------------------------------------------------------------------------------


def weight_bytes(rung: Rung, settings: StrategySettings, *, bfloat16: bool) -> float:
    """Bytes of the loaded model with its adapters: float32 where weights are trained, the passes' precision else."""
    shape = _shape(rung)
    whole = whole_weights(rung, settings) > 0
    each = 4 if whole or not bfloat16 else 2
    linear = linear_weights(shape) * (NF4_BYTES if settings.kind == "qlora" else each)
    total = linear + (rung.parameters - linear_weights(shape)) * each
    return total + (4 * adapter_weights(shape, settings) if _adapted(settings) else 0)


def activation_bytes(
    shape: Shape, settings: StrategySettings, rows: int, texts: Texts, *, bfloat16: bool, residual: int = 4
) -> float:
    """Bytes that backward needs of one pass over ``rows`` pairs of the longest length.

    Per token and layer (decoder of Llama's kind, flash attention): the residual stream before attention and before the
    feed-forward, each normalised once more in float32; inputs and outputs of the linear layers in the precision of the
    passes. With ``gradient_checkpointing`` one residual per layer, and all of this for a single layer. Logits exist at
    the rules' positions only, as such, chosen, in the softmax, and as a gradient.
    """
    tokens, compute = rows * texts.longest, 2 if bfloat16 else 4
    queries, keys = shape.heads * shape.width_of_head, shape.key_value_heads * shape.width_of_head
    normalised = 2 * shape.hidden_size * (4 if residual == 4 else 8)
    linear = 2 * shape.hidden_size + 3 * queries + 2 * keys + 4 * shape.intermediate_size
    if _adapted(settings):
        linear += settings.rank * len(linear_sizes(shape))
    layer = 2 * shape.hidden_size * residual + normalised + linear * compute
    layers = shape.layers * layer
    if settings.gradient_checkpointing:
        layers = layer + shape.layers * shape.hidden_size * residual
    logits = 4 * 4 * rows * texts.longest_rule * shape.vocabulary
    return tokens * (layers + 2 * shape.hidden_size * residual) + logits


def training_memory(
    rung: Rung, settings: StrategySettings, texts: Texts, *, bfloat16: bool, processes: int = 1, sharded: bool = False
) -> Memory:
    """Bytes on one device while training.

    Gradients take 4 bytes per trained weight, AdamW's two means 8. Passes in bfloat16 keep a 2-byte copy of trained
    weights. ``sharded`` divides weights, gradients and optimiser by the processes (FSDP, ZeRO-3).
    """
    trained, share = trained_weights(rung, settings), processes if sharded else 1
    rows = max(1, settings.batch_size // processes)
    at_once = min(settings.micro_batch or rows, rows)
    residual = 2 if bfloat16 and whole_weights(rung, settings) == 0 else 4
    activations = activation_bytes(_shape(rung), settings, at_once, texts, bfloat16=bfloat16, residual=residual)
    copies = 2 * trained / share if bfloat16 else 0
    weights = weight_bytes(rung, settings, bfloat16=bfloat16) / share
    return Memory(weights, 4 * trained / share, 8 * trained / share, activations + copies, math.ceil(rows / at_once))


def kv_bytes(shape: Shape, rows: int, tokens: float, *, each: int) -> float:
    """Keys and values of every layer for ``rows`` texts of ``tokens``."""
    return 2 * shape.layers * shape.key_value_heads * shape.width_of_head * rows * tokens * each


def inference_bytes(shape: Shape, tokens: int, *, each: int) -> float:
    """What a forward pass without gradients holds at once: one layer's tensors for all its tokens."""
    return tokens * each * (6 * shape.hidden_size + 3 * shape.intermediate_size)


# --- time -------------------------------------------------------------------------------------------------------


def training_flops(rung: Rung, settings: StrategySettings, texts: Texts) -> float:
    """Floating-point operations of one step over mean lengths.

    A multiplication and an addition per weight and token, forward and once more for the gradient of the inputs; a third
    time for the gradient of trained weights; a fourth where activations are computed again. Attention's products with
    keys and values grow with the length. The head acts on the rules' tokens only.
    """
    shape = _shape(rung)
    tokens, rules = settings.batch_size * texts.mean, settings.batch_size * texts.mean_rule
    head = 2 * shape.vocabulary * shape.hidden_size * rules
    layers = 2 * linear_weights(shape) * tokens + _attention_flops(shape, texts.mean, tokens)
    again = 1 if settings.gradient_checkpointing else 0
    total = (2 + again) * layers + 2 * head
    whole = whole_weights(rung, settings)
    if settings.kind in ("full", "lora-then-full", "full-top"):
        total += layers * min(1.0, whole / (rung.parameters - embedding_weights(shape)))
    if settings.kind in ("full", "lora-then-full", "lora+"):
        total += head
    if _adapted(settings):
        total += 6 * adapter_weights(shape, settings) * tokens
    return total


def _attention_flops(shape: Shape, length: float, tokens: float) -> float:
    return 4 * shape.layers * shape.heads * shape.width_of_head * length * tokens


def scoring_flops(rung: Rung, tokens: float, length: float) -> float:
    """Floating-point operations of forward passes over ``tokens`` in rows of ``length``."""
    return 2 * linear_weights(_shape(rung)) * tokens + _attention_flops(_shape(rung), length, tokens)


def probe_speed(
    rung: Rung,
    settings: StrategySettings,
    texts: Texts,
    *,
    layers: int = 2,
    steps: int = 4,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Operations per second that this machine sustains in training: measured on random weights of the same width.

    A model with ``layers`` layers is saved, loaded and trained by the code that trains the real one, on rows of mean
    length; the median step counts.
    """
    import statistics
    import tempfile

    shape = replace(_shape(rung), layers=min(layers, _shape(rung).layers))
    length, rule = round(texts.mean), max(1, round(texts.mean_rule))
    rows = [make_row(length, rule)] * settings.batch_size
    with tempfile.TemporaryDirectory() as folder:
        small = write_random(shape, Path(folder))
        seconds = time_steps(small, settings, rows, steps=steps, clock=clock)
    return training_flops(small, settings, texts) / statistics.median(seconds[1:])


def make_row(length: int, rule: int) -> Encoded:
    """A row of so many tokens without a meaning, of which the last ``rule`` are the rule's."""
    from compliance_xai.prompts import Encoded

    return Encoded(tuple(2 + index % 7 for index in range(length)), length - rule)


def write_random(shape: Shape, folder: Path, dtype: str = "float32") -> Rung:
    """A Qwen2 model of that shape with random weights, as a folder; no tokenizer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from compliance_xai.models import without_progress_bars

    config = Qwen2Config(
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        intermediate_size=shape.intermediate_size,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        dtype=getattr(torch, dtype),
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        model = Qwen2ForCausalLM(config).to(getattr(torch, dtype))
    with without_progress_bars():
        model.save_pretrained(folder)
    return Rung("random", str(folder), sum(p.numel() for p in model.parameters()), shape=shape)


def time_steps(
    rung: Rung,
    settings: StrategySettings,
    rows: Sequence[Encoded],
    *,
    steps: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Seconds of each of some training steps over the rows, the first of which warms up."""
    loop = make_loop(rung, settings, rows)
    seconds = []
    for step in range(steps):
        start = clock()
        loop.take_step(step % settings.steps, list(range(settings.batch_size)))
        seconds.append(clock() - start)
    return seconds


def measure_step_memory(rung: Rung, settings: StrategySettings, rows: Sequence[Encoded]) -> float:
    """Most bytes of tensors held during a step after the first, weights and optimiser included.

    On a GPU the allocator knows; on a CPU the profiler lists what is allocated and freed.
    """
    import torch

    loop = make_loop(rung, settings, rows)
    batch = list(range(loop.settings.batch_size))
    loop.take_step(0, batch)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        loop.take_step(1, batch)
        return float(torch.cuda.max_memory_allocated())
    states = [tensor for state in loop.optimizer.state.values() for tensor in state.values()]
    before = sum(tensor.nbytes for tensor in [*loop.model.parameters(), *loop.model.buffers(), *states])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        loop.take_step(1, batch)
    held = most = 0
    events: Any = profile.profiler
    for event in sorted(events.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return float(before + most)


def make_loop(rung: Rung, settings: StrategySettings, rows: Sequence[Encoded], *, seed: int = 0) -> Any:
    """The training loop of a cell, with its model in memory and no step taken."""
    from compliance_xai.strategies import apply_strategy
    from compliance_xai.train.checkpoints import Progress
    from compliance_xai.train.launch import connect
    from compliance_xai.train.loop import Loop, choose_precision, make_optimizer
    from compliance_xai.train.tuning import prepare_model

    phase = settings.phases[-1]
    accelerator, precision = connect(phase.batch_size), choose_precision(phase)
    model = apply_strategy(prepare_model(rung, phase, accelerator, precision), phase, seed=seed)
    model, optimizer = accelerator.prepare(model, make_optimizer(model, phase))
    progress = Progress(phase.micro_batch or phase.batch_size)
    return Loop(model.train(), optimizer, accelerator, phase, rows, rows[:1], seed, precision, progress)


# --- cells ------------------------------------------------------------------------------------------------------


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
    batch_tokens: int = 4096,
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
    shape = _shape(rung)
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
    hours = _hours(settings.steps * training_flops(rung, settings, texts) * seeds / processes, device)
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
