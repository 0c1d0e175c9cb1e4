"""What one cell needs before it runs: weights, memory and time from its sizes alone, and whether it fits a device."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

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

TEXT_SECONDS = 0.0023
"""What attribution spends on a text beside the model's own work: on tokens, rows and copies of keys. Measured on an AMD
EPYC with models of 0.3M to 4M parameters (docs/LOG.md); larger models drown it."""

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
    gradients: float = 0.0
    optimiser: float = 0.0
    activations: float = 0.0
    passes: int = 1
    libraries: float = 0.0

    @property
    def peak(self) -> float:
        """With one pass, gradients fill up while activations are freed; with more, they wait beside them."""
        both = self.gradients + self.activations
        passing = max(self.gradients, self.activations) if self.passes == 1 else both
        return self.weights + self.optimiser + self.libraries + passing


@dataclass(frozen=True)
class Needs:
    """What training one model with one strategy needs, by formulas for decoders of Llama's kind.

    Attributes
    ----------
    bfloat16
        Whether passes compute in it, rather than in float32.
    processes, sharded
        Devices that train together, and whether they divide weights, gradients and optimiser between them (FSDP,
        ZeRO-3).
    """

    rung: Rung
    settings: StrategySettings
    texts: Texts
    bfloat16: bool = False
    processes: int = 1
    sharded: bool = False

    @property
    def shape(self) -> Shape:
        """The rung's sizes, from the ladder's file or the ``config.json`` in its folder; an error if in neither."""
        if self.rung.shape is None:
            expected = "a shape in the ladder's file, or a config.json in the rung's folder"
            remedy = "Write the model's shape (hidden_size, layers, heads, ...) into the ladder; see data/ladders."
            raise InputError(f"rung {self.rung.name!r}", expected=expected, found="neither", remedy=remedy)
        return self.rung.shape

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one decoder layer, by the names of Llama, Qwen2 and Gemma."""
        shape = self.shape
        width, inner = shape.hidden_size, shape.intermediate_size
        queries, keys = (heads * shape.width_of_head for heads in (shape.heads, shape.key_value_heads))
        names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        sizes = ((width, queries), *[(width, keys)] * 2, (queries, width), *[(width, inner)] * 2, (inner, width))
        return dict(zip(names, sizes, strict=True))

    @property
    def linear_weights(self) -> int:
        """Weights of the linear layers of all decoder layers, which 4-bit loading and adapters are about."""
        return self.shape.layers * sum(inputs * outputs for inputs, outputs in self.linear.values())

    @property
    def embedding_weights(self) -> int:
        """Embeddings, and the head if it is another matrix."""
        return self.shape.vocabulary * self.shape.hidden_size * (1 if self.shape.tied else 2)

    @property
    def adapted(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one decoder layer that get adapters."""
        if self.settings.kind in ("none", "full", "lora-then-full"):
            return []
        targets = self.settings.target_modules
        return [size for name, size in self.linear.items() if targets == "all-linear" or name in targets]

    @property
    def adapter_weights(self) -> int:
        """Weights of low-rank adapters: rank x (inputs + outputs) for each adapted linear layer."""
        lengths = 1 if self.settings.kind == "dora" else 0
        each = sum(self.settings.rank * (inputs + outputs) + lengths * outputs for inputs, outputs in self.adapted)
        return each * (self.shape.layers // 2 if self.settings.kind == "full-top" else self.shape.layers)

    @property
    def whole_weights(self) -> int:
        """Weights of the model itself that the strategy trains; of ``lora-then-full`` in its second, larger phase."""
        kind, shape = self.settings.kind, self.shape
        if kind in ("full", "lora-then-full"):
            return self.rung.parameters
        if kind == "lora+":
            return self.embedding_weights + (2 * shape.layers + 1) * shape.hidden_size
        if kind == "full-top":
            upper = shape.layers - shape.layers // 2
            return (self.rung.parameters - self.embedding_weights) * upper // shape.layers
        return 0

    @property
    def trained(self) -> int:
        """All weights that the strategy trains."""
        return self.whole_weights + self.adapter_weights

    @property
    def weight_bytes(self) -> float:
        """Bytes of the loaded model with its adapters: float32 if weights are trained, else the passes' precision."""
        each = 4 if self.whole_weights or not self.bfloat16 else 2
        linear = self.linear_weights * (NF4_BYTES if self.settings.kind == "qlora" else each)
        return linear + (self.rung.parameters - self.linear_weights) * each + 4 * self.adapter_weights

    def activation_bytes(self, rows: int) -> float:
        """Bytes that backward needs of one pass over ``rows`` pairs of the longest length.

        Per token and layer (with flash attention): the residual stream before attention and before the feed-forward, a
        float32 copy of each for the norm if it is bfloat16, and both normalised if the norms' weights are trained;
        inputs and outputs of the linear layers in the precision of the passes. With ``gradient_checkpointing`` one
        residual per layer, and all of this for a single layer. DoRA keeps two outputs more of every adapted layer, the
        base's and the adapter's, for the gradient of its lengths. Logits exist at the rules' positions only, as such,
        chosen, in the softmax, and as a gradient.
        """
        shape, settings = self.shape, self.settings
        tokens, compute = rows * self.texts.longest, 2 if self.bfloat16 else 4
        residual = 2 if self.bfloat16 and not self.whole_weights else 4
        queries, keys = shape.heads * shape.width_of_head, shape.key_value_heads * shape.width_of_head
        normalised = 2 * shape.hidden_size * 4 * ((self.whole_weights > 0) + (residual == 2))
        linear = 2 * shape.hidden_size + 3 * queries + 2 * keys + 4 * shape.intermediate_size
        if self.adapted:
            linear += settings.rank * len(self.linear)
        if settings.kind == "dora":
            linear += 2 * sum(outputs for _, outputs in self.adapted)
        layer = 2 * shape.hidden_size * residual + normalised + linear * compute
        layers = shape.layers * layer
        if settings.gradient_checkpointing:
            layers = layer + shape.layers * shape.hidden_size * residual
        logits = 4 * 4 * rows * self.texts.longest_rule * shape.vocabulary
        return tokens * (layers + 2 * shape.hidden_size * residual) + logits

    def training_memory(self) -> Memory:
        """Bytes on one device while training; of the weights alone for ``none``.

        Gradients take 4 bytes per trained weight, AdamW's two means 8. Passes in bfloat16 keep a 2-byte copy of trained
        weights.
        """
        share = self.processes if self.sharded else 1
        if not self.settings.trains:
            return Memory(self.weight_bytes)
        trained = self.trained / share
        rows = max(1, self.settings.batch_size // self.processes)
        at_once = min(self.settings.micro_batch or rows, rows)
        activations = self.activation_bytes(at_once) + (2 * trained if self.bfloat16 else 0)
        return Memory(self.weight_bytes / share, 4 * trained, 8 * trained, activations, math.ceil(rows / at_once))

    def forward_flops(self, tokens: float, rules: float) -> tuple[float, float]:
        """Operations of a forward pass: layers over ``tokens``, in rows of mean length; the head over ``rules``."""
        shape = self.shape
        attention = 4 * shape.layers * shape.heads * shape.width_of_head * self.texts.mean * tokens
        return 2 * self.linear_weights * tokens + attention, 2 * shape.vocabulary * shape.hidden_size * rules

    def training_flops(self) -> float:
        """Floating-point operations of one step over mean lengths.

        A multiplication and an addition per weight and token, forward and once more for the gradient of the inputs; a
        third time for the gradient of trained weights; a fourth if activations are computed again. Attention's products
        with keys and values grow with the length. The head acts on the rules' tokens only.
        """
        kind, size = self.settings.kind, self.settings.batch_size
        tokens = size * self.texts.mean
        layers, head = self.forward_flops(tokens, size * self.texts.mean_rule)
        total = (3 if self.settings.gradient_checkpointing else 2) * layers + 2 * head
        if kind in ("full", "lora-then-full", "full-top"):
            total += layers * min(1.0, self.whole_weights / (self.rung.parameters - self.embedding_weights))
        if kind in ("full", "lora-then-full", "lora+"):
            total += head
        return total + 6 * self.adapter_weights * tokens

    def scoring_flops(self, tokens: float) -> float:
        """Operations of forward passes over ``tokens``, of which the rules' share goes through the head."""
        return sum(self.forward_flops(tokens, tokens * self.texts.mean_rule / self.texts.mean))


def config_values(shape: Shape) -> dict[str, Any]:
    """A shape as keyword arguments of a transformers configuration of Llama's kind."""
    return {
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.width_of_head,
        "intermediate_size": shape.intermediate_size,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": shape.tied,
    }


def kv_bytes(shape: Shape, rows: int, tokens: float, *, each: int) -> float:
    """Bytes of the keys and values of every layer for ``rows`` texts of ``tokens``."""
    return 2 * shape.layers * shape.key_value_heads * shape.width_of_head * rows * tokens * each


class Speeds(NamedTuple):
    """Floating-point operations per second that training, scoring and decoding sustain; None if unknown."""

    training: float | None = None
    scoring: float | None = None
    decoding: float | None = None


@functools.cache
def measure_speeds(shape: Shape, rows: int, length: int, together: int, bfloat16: bool) -> Speeds:
    """This machine's speeds, timed on a model of the shape with two layers, a small vocabulary and random weights.

    Parameters
    ----------
    rows, length
        Pairs in a training pass, and their tokens.
    together
        Clauses decoded together.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    small = replace(shape, layers=min(2, shape.layers), vocabulary=min(512, shape.vocabulary), tied=True)
    needs = Needs(
        Rung("timed", "", 1, shape=small), StrategySettings(kind="full", batch_size=rows), Texts(*[length] * 4)
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = LlamaConfig(**config_values(small), max_position_embeddings=2 * length + 8)
    with torch.random.fork_rng(), torch.device(device):
        model = LlamaForCausalLM(config).eval()
        ids_BL = torch.ones(rows, length, dtype=torch.long)
        prompts_BL = torch.ones(together, length, dtype=torch.long)

    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        training = _time(lambda: model(input_ids=ids_BL, labels=ids_BL).loss.backward(), device)
        with torch.inference_mode():
            scoring = _time(lambda: model(input_ids=ids_BL, use_cache=False), device)
            cache = model(input_ids=prompts_BL, use_cache=True).past_key_values
            decoding = _time(lambda: model(input_ids=prompts_BL[:, :1], past_key_values=cache), device, rounds=8)
    forward = sum(needs.forward_flops(rows * length, rows * length))
    decoded = sum(needs.forward_flops(together, together))
    return Speeds(3 * forward / training, forward / scoring, decoded / decoding)


def _time(work: Callable[[], object], device: str, rounds: int = 3) -> float:
    """Seconds of the fastest of some rounds, because other work on the machine only adds; one more warms up."""
    import torch

    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


@dataclass(frozen=True)
class Device:
    """Memory in bytes; ``flops``: floating-point operations per second that it sustains, None if unknown.

    ``here``: this machine's own, whose speeds are measured. ``libraries``: bytes of its memory that Python takes.
    """

    name: str
    memory: float
    flops: float | None = None
    bfloat16: bool = False
    here: bool = False
    libraries: float = 0.0


@dataclass(frozen=True)
class Tasks:
    """What each trained model of a cell has to read and write.

    ``validated``: pairs that training reads to measure the validation loss, all evaluations together; ``written``:
    clauses for which rules are generated; ``scored``: clauses, whole and perturbed, that attribution scores with a
    rule; ``judged``, ``judged_seeds``: those that the faithfulness stage scores, and how many seeds it looks at;
    ``rewritten``: clauses for which it generates rules; ``together``, ``longest``: clauses decoded together, and the
    longest rule in tokens; ``batch_tokens``: tokens of one scoring pass.
    """

    validated: float = 0.0
    written: float = 0.0
    scored: float = 0.0
    judged: float = 0.0
    rewritten: float = 0.0
    judged_seeds: int = 1
    together: int = 32
    longest: int = 192
    batch_tokens: int = 2048


@dataclass(frozen=True)
class CellPlan:
    """What a cell needs. Bytes of memory and disk; hours for all seeds, by stage (None without a speed).

    ``trained``: how many weights training changes; ``memory``, ``inference``: while training, and the larger of
    generation (with ``kv``, its keys and values) and attribution; ``disk``: the trained weights that are kept;
    ``hours``: of ``training``, ``generation``, ``attribution`` and ``faithfulness``; ``remedy``: what to change if
    memory exceeds ``MARGIN`` of the device, empty if all fits.
    """

    scale: str
    strategy: str
    parameters: int
    trained: int
    memory: Memory
    inference: float
    kv: float
    disk: float
    hours: Mapping[str, float | None]
    remedy: str

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
    """The device to plan for: this machine's first GPU or main memory, or one with the given memory.

    ``tflops`` is its speed if it is known. Another device than this machine's is taken for a GPU that computes in
    bfloat16.
    """
    import psutil
    import torch

    flops = tflops * 1e12 if tflops else None
    if memory is not None:
        return Device("the given device", read_bytes(memory), flops, bfloat16=True)
    fast = computes_bfloat16()
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        return Device(torch.cuda.get_device_name(), total, flops, fast, here=True)
    return Device("this machine", psutil.virtual_memory().total, flops, fast, here=True, libraries=LIBRARIES)


def plan_cell(strategy: str, needs: Needs, device: Device, *, seeds: int = 1, tasks: Tasks = Tasks()) -> CellPlan:
    """Parameters, memory, disk and time of one cell on a device.

    Parameters
    ----------
    needs
        The model and how it is trained; the device and the settings decide whether passes compute in bfloat16.
    """
    rung, settings, texts, shape = needs.rung, needs.settings, needs.texts, needs.shape
    wide = (device.bfloat16 and settings.precision != "float32") or settings.precision == "bfloat16"
    needs = replace(needs, bfloat16=wide)
    memory = replace(needs.training_memory(), libraries=device.libraries)
    each = 2 if wide else 4
    kv = kv_bytes(shape, tasks.together, texts.longest - texts.longest_rule + tasks.longest, each=each)
    untouched = StrategySettings(kind="qlora" if settings.kind == "qlora" else "none")
    loaded = replace(needs, settings=untouched).weight_bytes
    # A scoring pass holds one layer's tensors for all its tokens, and the logits of the rules, about half of them: as
    # such, in float32, and in the softmax.
    layer = each * (6 * shape.hidden_size + 3 * shape.intermediate_size)
    scored = tasks.batch_tokens * (layer + 0.5 * shape.vocabulary * (8 + each))
    inference = device.libraries + loaded + max(kv, scored)
    room, remedies = MARGIN * device.memory, []
    if settings.trains and memory.peak > room:
        remedies.append(_advise_training(needs, room))
    if inference > room:
        smaller = loaded < room
        remedies.append("fewer clauses and tokens at once (the rung's batch)" if smaller else "a larger device")
    speeds = Speeds(device.flops, device.flops)
    if device.flops is None and device.here:
        rows = min(settings.micro_batch or settings.batch_size, settings.batch_size)
        speeds = measure_speeds(shape, rows, round(texts.mean), min(tasks.together, max(1, round(tasks.written))), wide)
    saved = rung.parameters if needs.whole_weights else needs.adapter_weights
    hours, disk, remedy = _plan_hours(needs, speeds, seeds, tasks), 4.0 * saved * seeds, "; ".join(remedies)
    return CellPlan(rung.name, strategy, rung.parameters, needs.trained, memory, inference, kv, disk, hours, remedy)


def _plan_hours(needs: Needs, speeds: Speeds, seeds: int, tasks: Tasks) -> dict[str, float | None]:
    settings, texts = needs.settings, needs.texts
    steps = sum(phase.steps * replace(needs, settings=phase).training_flops() for phase in settings.phases)
    # Clauses decoded together wait for the longest rule; a base that was not tuned does not end its rules.
    length = min(texts.longest_rule, tasks.longest) if settings.trains else tasks.longest
    read, written = needs.scoring_flops(texts.mean), sum(needs.forward_flops(length, length))
    judged_seeds = min(seeds, tasks.judged_seeds)

    def hours(*work: tuple[float, float | None]) -> float | None:
        """Of operations at a speed; None where a speed is needed and unknown."""
        seconds = sum(count / (speed or math.nan) for count, speed in work if count)
        return None if math.isnan(seconds) else seconds / 3600

    def scoring(count: float) -> float:
        """Operations that take as long as attribution needs for that many texts."""
        return count * (read + TEXT_SECONDS * (speeds.scoring or 0.0))

    trained = settings.trains * seeds
    return {
        "training": hours(
            (trained * steps / needs.processes, speeds.training),
            (trained * tasks.validated * read / needs.processes, speeds.scoring),
        ),
        "generation": hours((seeds * tasks.written * written, speeds.decoding)),
        "attribution": hours((scoring(seeds * tasks.scored), speeds.scoring)),
        "faithfulness": hours(
            (scoring(judged_seeds * tasks.judged), speeds.scoring),
            (settings.trains * judged_seeds * tasks.rewritten * written, speeds.decoding),
        ),
    }


def _advise_training(needs: Needs, room: float) -> str:
    """The smallest change with which training fits: fewer pairs at once, activations computed again, 4 bits."""
    settings = needs.settings
    rows = min(settings.micro_batch or settings.batch_size, max(1, settings.batch_size // needs.processes))
    for kind in dict.fromkeys((settings.kind, "qlora")):
        for again in (False, True):
            for size in (rows // 2**power for power in range(rows.bit_length())):
                update = {"kind": kind, "micro_batch": size, "gradient_checkpointing": again}
                if replace(needs, settings=settings.model_copy(update=update)).training_memory().peak <= room:
                    way = f"{kind}, " if kind != settings.kind else ""
                    return f"{way}micro_batch: {size}" + (", gradient_checkpointing: true" if again else "")
    return "a smaller model, or a larger device"


def describe_cells(cells: Sequence[CellPlan]) -> pd.DataFrame:
    """A table for people, one row per cell.

    Returns
    -------
    pandas.DataFrame
        Formatted ``scale``, ``strategy``; ``parameters`` and ``trained``; gigabytes of ``weights``, ``gradients``,
        ``optimiser``, ``activations`` and the ``peak`` while training, ``kv`` and the ``inference`` peak, and of
        ``disk``; ``fits``; the time of each stage.
    """
    rows = []
    for cell in cells:
        parts = ("weights", "gradients", "optimiser", "activations", "peak")
        sizes = {name: getattr(cell.memory, name) for name in parts}
        sizes |= {"kv": cell.kv, "inference": cell.inference, "disk": cell.disk}
        rows.append(
            {"scale": cell.scale, "strategy": cell.strategy}
            | {name: format_parameters(getattr(cell, name)) for name in ("parameters", "trained")}
            | {name: _format_gigabytes(value) for name, value in sizes.items()}
            | {"fits": "yes" if cell.fits else "no"}
            | {name: format_hours(value) for name, value in cell.hours.items()}
        )
    return pd.DataFrame(rows)


def total_hours(cells: Sequence[CellPlan]) -> float | None:
    """Of all cells and stages, one after the other; None if one is unknown."""
    each = [value for cell in cells for value in cell.hours.values()]
    return None if None in each else sum(value or 0.0 for value in each)


def format_hours(hours: float | None) -> str:
    """Hours and minutes.

    Examples
    --------
    >>> [format_hours(hours) for hours in (None, 0.0, 0.001, 0.5, 30.26)]
    ['?', '0', '< 1 min', '30 min', '30 h 16 min']
    """
    if hours is None or not hours:
        return "?" if hours is None else "0"
    whole, minutes = divmod(round(60 * hours), 60)
    return f"{whole} h {minutes} min" if whole else f"{minutes} min" if minutes else "< 1 min"


def _format_gigabytes(count: float) -> str:
    return f"{count / 1e9:.3g}" if count >= 1e7 else "0" if count == 0 else "<0.01"
