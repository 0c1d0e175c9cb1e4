"""What one cell needs before it runs: weights, memory and time from its sizes alone, and whether it fits a device."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from pydantic import ByteSize, TypeAdapter, ValidationError

from compliance_xai.errors import InputError
from compliance_xai.machine import computes_bfloat16
from compliance_xai.study.labels import format_parameters
from compliance_xai.study.ladders import Rung, Shape
from compliance_xai.study.strategy_settings import StrategySettings

MARGIN = 0.9
"""Share of a device's memory that may be planned; the rest goes to fragments, kernels and the libraries."""

LEAST_MEMORY = 1e6
"""Bytes below which a stated memory must be a slip, such as a number without its unit."""

LIBRARIES = 0.45e9
"""Bytes that Python and the libraries take in main memory."""

TRAINING_SHARE, SCORING_SHARE = 0.4, 0.2
"""Shares of the speed of plain matrix products that training and attribution sustain, without a measurement."""

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4 with double quantisation: 4 bits, and for every 64 weights one byte of scale, for every 256
scales a float32 (QLoRA, arXiv 2305.14314, section 3)."""


@dataclass(frozen=True)
class Texts:
    """Lengths of the training pairs in tokens: prompt and rule together, and the rule alone."""

    longest: int
    mean: float
    longest_rule: int
    mean_rule: float


@dataclass(frozen=True)
class Memory:
    """Bytes on each device while a pass runs; ``activations`` hold what backward needs and the logits.

    ``libraries``: Python and its libraries, which share main memory with the model.
    """

    weights: float
    gradients: float
    optimiser: float
    activations: float
    passes: int = 1
    libraries: float = 0.0

    @property
    def peak(self) -> float:
        """With one pass, gradients fill up while activations are freed; with more, they wait beside them."""
        fixed = self.weights + self.optimiser + self.libraries
        if self.passes == 1:
            return fixed + max(self.gradients, self.activations)
        return fixed + self.gradients + self.activations


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
    """Embeddings, and the head if it is another matrix."""
    return shape.vocabulary * shape.hidden_size * (1 if shape.tied else 2)


def adapted_sizes(shape: Shape, settings: StrategySettings) -> list[tuple[int, int]]:
    """(inputs, outputs) of the linear layers of one decoder layer that get adapters."""
    targets = settings.target_modules
    return [
        size
        for name, size in linear_sizes(shape).items()
        if targets == "all-linear" or name in targets or name == targets
    ]


def adapter_weights(shape: Shape, settings: StrategySettings) -> int:
    """Weights of low-rank adapters: rank x (inputs + outputs) for each adapted linear layer."""
    if settings.kind in ("none", "full", "lora-then-full"):
        return 0
    chosen = adapted_sizes(shape, settings)
    each = sum(settings.rank * (inputs + outputs) for inputs, outputs in chosen)
    each += sum(outputs for _, outputs in chosen) if settings.kind == "dora" else 0
    return each * (shape.layers // 2 if settings.kind == "full-top" else shape.layers)


def whole_weights(rung: Rung, settings: StrategySettings) -> int:
    """Weights of the model itself that a strategy trains."""
    shape = shape_of(rung)
    norms = (2 * shape.layers + 1) * shape.hidden_size
    return {
        "full": rung.parameters,
        "lora-then-full": rung.parameters,
        "lora+": embedding_weights(shape) + norms,
        "full-top": (rung.parameters - embedding_weights(shape)) * (shape.layers - shape.layers // 2) // shape.layers,
    }.get(settings.kind, 0)


def trained_weights(rung: Rung, settings: StrategySettings) -> int:
    """All that a strategy trains; of ``lora-then-full`` its second, larger phase."""
    return whole_weights(rung, settings) + adapter_weights(shape_of(rung), settings)


def shape_of(rung: Rung) -> Shape:
    """The rung's sizes, from the ladder's file or the ``config.json`` in its folder.

    Raises
    ------
    InputError
        If it is in neither.
    """
    if rung.shape is None:
        raise InputError(
            f"rung {rung.name!r}",
            expected="a shape in the ladder's file, or a config.json in the rung's folder",
            found="neither",
            remedy="Write the model's shape (hidden_size, layers, heads, ...) into the ladder; see data/ladders.",
        )
    return rung.shape


def weight_bytes(rung: Rung, settings: StrategySettings, *, bfloat16: bool) -> float:
    """Bytes of the loaded model with its adapters: float32 if weights are trained, else the passes' precision."""
    shape = shape_of(rung)
    whole = whole_weights(rung, settings) > 0
    each = 4 if whole or not bfloat16 else 2
    linear = linear_weights(shape) * (NF4_BYTES if settings.kind == "qlora" else each)
    total = linear + (rung.parameters - linear_weights(shape)) * each
    return total + 4 * adapter_weights(shape, settings)


def activation_bytes(
    shape: Shape, settings: StrategySettings, rows: int, texts: Texts, *, bfloat16: bool, residual: int = 4
) -> float:
    """Bytes that backward needs of one pass over ``rows`` pairs of the longest length.

    Per token and layer (decoder of Llama's kind, flash attention): the residual stream before attention and before the
    feed-forward, a float32 copy of each for the norm if it is bfloat16, and both normalised if the norms' weights
    are trained; inputs and outputs of the linear layers in the precision of the passes. With ``gradient_checkpointing``
    one residual per layer, and all of this for a single layer. DoRA keeps two outputs more of every adapted layer, the
    base's and the adapter's, for the gradient of its lengths. Logits exist at the rules' positions only, as such,
    chosen, in the softmax, and as a gradient.
    """
    tokens, compute = rows * texts.longest, 2 if bfloat16 else 4
    queries, keys = shape.heads * shape.width_of_head, shape.key_value_heads * shape.width_of_head
    norms_trained = settings.kind in ("full", "lora-then-full", "lora+", "full-top")
    normalised = 2 * shape.hidden_size * 4 * (norms_trained + (residual == 2))
    linear = 2 * shape.hidden_size + 3 * queries + 2 * keys + 4 * shape.intermediate_size
    if adapter_weights(shape, settings):
        linear += settings.rank * len(linear_sizes(shape))
    if settings.kind == "dora":
        linear += 2 * sum(outputs for _, outputs in adapted_sizes(shape, settings))
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
    activations = activation_bytes(shape_of(rung), settings, at_once, texts, bfloat16=bfloat16, residual=residual)
    copies = 2 * trained / share if bfloat16 else 0
    weights = weight_bytes(rung, settings, bfloat16=bfloat16) / share
    return Memory(weights, 4 * trained / share, 8 * trained / share, activations + copies, math.ceil(rows / at_once))


def kv_bytes(shape: Shape, rows: int, tokens: float, *, each: int) -> float:
    """Bytes of the keys and values of every layer for ``rows`` texts of ``tokens``."""
    return 2 * shape.layers * shape.key_value_heads * shape.width_of_head * rows * tokens * each


def inference_bytes(shape: Shape, tokens: int, *, each: int) -> float:
    """Bytes that a scoring pass holds at once: one layer's tensors for all its tokens, and the logits.

    About half of the tokens are the rule's; their logits are kept as such, in float32, and in the softmax.
    """
    return tokens * (each * (6 * shape.hidden_size + 3 * shape.intermediate_size) + 0.5 * shape.vocabulary * (8 + each))


def training_flops(rung: Rung, settings: StrategySettings, texts: Texts) -> float:
    """Floating-point operations of one step over mean lengths.

    A multiplication and an addition per weight and token, forward and once more for the gradient of the inputs; a third
    time for the gradient of trained weights; a fourth if activations are computed again. Attention's products with
    keys and values grow with the length. The head acts on the rules' tokens only.
    """
    shape = shape_of(rung)
    tokens, rules = settings.batch_size * texts.mean, settings.batch_size * texts.mean_rule
    head = 2 * shape.vocabulary * shape.hidden_size * rules
    layers = 2 * linear_weights(shape) * tokens + attention_flops(shape, texts.mean, tokens)
    again = 1 if settings.gradient_checkpointing else 0
    total = (2 + again) * layers + 2 * head
    whole = whole_weights(rung, settings)
    if settings.kind in ("full", "lora-then-full", "full-top"):
        total += layers * min(1.0, whole / (rung.parameters - embedding_weights(shape)))
    if settings.kind in ("full", "lora-then-full", "lora+"):
        total += head
    return total + 6 * adapter_weights(shape, settings) * tokens


def attention_flops(shape: Shape, length: float, tokens: float) -> float:
    """Attention's products of queries, keys and values, forward, in rows of ``length``."""
    return 4 * shape.layers * shape.heads * shape.width_of_head * length * tokens


def scoring_flops(rung: Rung, tokens: float, texts: Texts) -> float:
    """Floating-point operations of forward passes over ``tokens``, of which the rules' share goes through the head."""
    shape = shape_of(rung)
    head = 2 * shape.vocabulary * shape.hidden_size * tokens * texts.mean_rule / texts.mean
    return 2 * linear_weights(shape) * tokens + attention_flops(shape, texts.mean, tokens) + head


@functools.cache
def _time_products(width: int, inner: int, bfloat16: bool) -> float:
    """Operations per second of this machine's matrix products of that size."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    a, b = torch.ones(1024, width, device=device, dtype=dtype), torch.ones(width, inner, device=device, dtype=dtype)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        float((a @ b)[0, 0])
        seconds.append(time.perf_counter() - start)
    return 2 * 1024 * width * inner / min(seconds)  # other work on the machine only adds


@dataclass(frozen=True)
class Device:
    """Memory in bytes; ``flops``: floating-point operations per second that training sustains, None if unknown.

    ``here``: this machine's own, whose speed is measured on matrix products. ``libraries``: bytes of its memory that
    Python takes.
    """

    name: str
    memory: float
    flops: float | None = None
    bfloat16: bool = False
    here: bool = False
    libraries: float = 0.0


@dataclass(frozen=True)
class CellPlan:
    """What a cell needs. Memory in bytes, time in hours for all seeds (None without a speed).

    Attributes
    ----------
    trained
        How many weights training changes.
    memory, inference
        While training, and the larger of generation (with ``kv``, its keys and values) and attribution.
    remedy
        What to change if either exceeds ``MARGIN`` of the device; empty if both fit.
    """

    scale: str
    strategy: str
    parameters: int
    trained: int
    memory: Memory
    inference: float
    kv: float
    remedy: str
    training_hours: float | None
    attribution_hours: float | None

    @property
    def fits(self) -> bool:
        """Whether the device has memory for it."""
        return not self.remedy


def read_bytes(text: str) -> float:
    """``80GB`` or ``16 GiB`` in bytes.

    Raises
    ------
    InputError
        If it is not such an amount.

    Examples
    --------
    >>> read_bytes("80GB")
    80000000000.0
    """
    try:
        size = float(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0.0
    if size < LEAST_MEMORY:
        expected, remedy = "a number and a unit", "Write 80GB or 16GiB."
        raise InputError("--device-memory", expected=expected, found=repr(text), remedy=remedy)
    return size


def choose_device(memory: str | None = None, tflops: float | None = None) -> Device:
    """The device to plan for: this machine's, or one with the given memory; ``tflops`` is its speed if it is known.

    Another device than this machine's is taken for a GPU that computes in bfloat16.
    """
    device = this_device() if memory is None else Device("the given device", read_bytes(memory), bfloat16=True)
    return replace(device, flops=tflops * 1e12) if tflops else device


def this_device() -> Device:
    """The first CUDA device, or this machine's main memory."""
    import psutil
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        return Device(torch.cuda.get_device_name(), memory, bfloat16=computes_bfloat16(), here=True)
    memory = psutil.virtual_memory().total
    return Device("this machine", memory, bfloat16=computes_bfloat16(), here=True, libraries=LIBRARIES)


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
        Devices that train together, and whether they divide weights, gradients and optimiser between them.
    """
    shape = shape_of(rung)
    wide = (device.bfloat16 and settings.precision != "float32") or settings.precision == "bfloat16"
    memory = Memory(weight_bytes(rung, settings, bfloat16=wide), 0, 0, 0)
    if settings.trains:
        memory = training_memory(rung, settings, texts, bfloat16=wide, processes=processes, sharded=sharded)
    memory = replace(memory, libraries=device.libraries)
    each = 2 if wide else 4
    kv = kv_bytes(shape, generate[0], texts.longest - texts.longest_rule + generate[1], each=each)
    loaded = weight_bytes(rung, StrategySettings(kind="qlora" if settings.kind == "qlora" else "none"), bfloat16=wide)
    inference = device.libraries + loaded + max(kv, inference_bytes(shape, batch_tokens, each=each))
    room, remedies = MARGIN * device.memory, []
    if settings.trains and memory.peak > room:
        remedies.append(_advise_training(rung, settings, texts, room, processes=processes, sharded=sharded, wide=wide))
    if inference > room:
        smaller = loaded < room
        remedies.append("fewer clauses and tokens at once (the rung's batch)" if smaller else "a larger device")
    training = sum(phase.steps * training_flops(rung, phase, texts) for phase in settings.phases) * seeds / processes
    scoring = scoring_flops(rung, scored_tokens, texts) * seeds * TRAINING_SHARE / SCORING_SHARE
    flops = device.flops
    if flops is None and device.here:
        sizes = min(shape.hidden_size, 2048), min(shape.intermediate_size, 4096)
        flops = TRAINING_SHARE * _time_products(*sizes, wide)
    return CellPlan(
        rung.name,
        strategy,
        rung.parameters,
        trained_weights(rung, settings),
        memory,
        inference,
        kv,
        "; ".join(remedies),
        0.0 if not settings.trains else None if flops is None else training / flops / 3600,
        None if flops is None else scoring / flops / 3600,
    )


def _advise_training(
    rung: Rung, settings: StrategySettings, texts: Texts, room: float, *, processes: int, sharded: bool, wide: bool
) -> str:
    """The smallest change with which training fits: fewer pairs at once, activations computed again, 4 bits."""
    rows = min(settings.micro_batch or settings.batch_size, max(1, settings.batch_size // processes))
    sizes = [rows // 2**power for power in range(rows.bit_length())]
    for kind in dict.fromkeys((settings.kind, "qlora")):
        for again in (False, True):
            for size in sizes:
                update = {"kind": kind, "micro_batch": size, "gradient_checkpointing": again}
                changed = settings.model_copy(update=update)
                needed = training_memory(rung, changed, texts, bfloat16=wide, processes=processes, sharded=sharded)
                if needed.peak <= room:
                    way = f"{kind}, " if kind != settings.kind else ""
                    return f"{way}micro_batch: {size}" + (", gradient_checkpointing: true" if again else "")
    return "a smaller model, or a larger device"


def describe_cells(cells: Sequence[CellPlan]) -> pd.DataFrame:
    """A table for people, one row per cell.

    Returns
    -------
    pandas.DataFrame
        Formatted ``scale``, ``strategy``; ``parameters`` and ``trained``; gigabytes of ``weights``, ``gradients``,
        ``optimiser``, ``activations`` and the ``peak`` while training, ``kv`` and the ``inference`` peak; ``fits``;
        hours of training and of attribution.
    """
    rows = []
    for cell in cells:
        memory = cell.memory
        sizes = {name: getattr(memory, name) for name in ("weights", "gradients", "optimiser", "activations", "peak")}
        rows.append(
            {"scale": cell.scale, "strategy": cell.strategy}
            | {name: format_parameters(getattr(cell, name)) for name in ("parameters", "trained")}
            | {
                name: _format_gigabytes(value)
                for name, value in {**sizes, "kv": cell.kv, "inference": cell.inference}.items()
            }
            | {"fits": "yes" if cell.fits else "no"}
            | {
                "training, h": _format_hours(cell.training_hours),
                "attribution, h": _format_hours(cell.attribution_hours),
            }
        )
    return pd.DataFrame(rows)


def _format_gigabytes(count: float) -> str:
    return f"{count / 1e9:.3g}" if count >= 1e7 else "0" if count == 0 else "<0.01"


def _format_hours(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:.2g}"
