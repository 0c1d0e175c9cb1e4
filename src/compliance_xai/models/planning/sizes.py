"""Weights and bytes of a model in training and use, from its sizes alone; counted tensor by tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compliance_xai.errors import InputError
from compliance_xai.study.ladders import Rung, Shape
from compliance_xai.study.strategy_settings import StrategySettings

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


def has_adapters(settings: StrategySettings) -> bool:
    """Whether adapters are trained in the phase that is planned for."""
    return settings.kind not in ("none", "full", "lora-then-full")


def trained_weights(rung: Rung, settings: StrategySettings) -> int:
    """All that a strategy trains; of ``lora-then-full`` its second, larger phase."""
    return whole_weights(rung, settings) + (adapter_weights(shape_of(rung), settings) if has_adapters(settings) else 0)


def shape_of(rung: Rung) -> Shape:
    """The rung's sizes, from the ladder's file or the ``config.json`` in its folder.

    Raises
    ------
    InputError
        If neither says them.
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
    """Bytes of the loaded model with its adapters: float32 where weights are trained, the passes' precision else."""
    shape = shape_of(rung)
    whole = whole_weights(rung, settings) > 0
    each = 4 if whole or not bfloat16 else 2
    linear = linear_weights(shape) * (NF4_BYTES if settings.kind == "qlora" else each)
    total = linear + (rung.parameters - linear_weights(shape)) * each
    return total + (4 * adapter_weights(shape, settings) if has_adapters(settings) else 0)


def activation_bytes(
    shape: Shape, settings: StrategySettings, rows: int, texts: Texts, *, bfloat16: bool, residual: int = 4
) -> float:
    """Bytes that backward needs of one pass over ``rows`` pairs of the longest length.

    Per token and layer (decoder of Llama's kind, flash attention): the residual stream before attention and before the
    feed-forward, a float32 copy of each for the norm where it is bfloat16, and both normalised where the norms' weights
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
    if has_adapters(settings):
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
    """Keys and values of every layer for ``rows`` texts of ``tokens``."""
    return 2 * shape.layers * shape.key_value_heads * shape.width_of_head * rows * tokens * each


def inference_bytes(shape: Shape, tokens: int, *, each: int) -> float:
    """What a forward pass without gradients holds at once: one layer's tensors for all its tokens."""
    return tokens * each * (6 * shape.hidden_size + 3 * shape.intermediate_size)
