"""Operations of a training step or a scoring pass, and how many this machine does in a second."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.models.planning.sizes import (
    Texts,
    adapter_weights,
    embedding_weights,
    has_adapters,
    linear_weights,
    shape_of,
    whole_weights,
)
from compliance_xai.study.ladders import Rung, Shape
from compliance_xai.study.strategy_settings import StrategySettings

if TYPE_CHECKING:
    from compliance_xai.models.prompts import Encoded

SHARE = 0.4
"""Share of the speed of plain matrix products that training sustains, without a measurement: an order of magnitude."""


def training_flops(rung: Rung, settings: StrategySettings, texts: Texts) -> float:
    """Floating-point operations of one step over mean lengths.

    A multiplication and an addition per weight and token, forward and once more for the gradient of the inputs; a third
    time for the gradient of trained weights; a fourth where activations are computed again. Attention's products with
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
    if has_adapters(settings):
        total += 6 * adapter_weights(shape, settings) * tokens
    return total


def attention_flops(shape: Shape, length: float, tokens: float) -> float:
    """Attention's products of queries, keys and values, forward, in rows of ``length``."""
    return 4 * shape.layers * shape.heads * shape.width_of_head * length * tokens


def scoring_flops(rung: Rung, tokens: float, length: float) -> float:
    """Floating-point operations of forward passes over ``tokens`` in rows of ``length``."""
    return 2 * linear_weights(shape_of(rung)) * tokens + attention_flops(shape_of(rung), length, tokens)


@functools.cache
def _time_products(width: int, inner: int, bfloat16: bool) -> float:
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


def guess_speed(rung: Rung, *, bfloat16: bool) -> float:
    """``SHARE`` of the speed that this machine's matrix products reach at the model's width."""
    shape = shape_of(rung)
    return SHARE * _time_products(min(shape.hidden_size, 2048), min(shape.intermediate_size, 4096), bfloat16)


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

    shape = replace(shape_of(rung), layers=min(layers, shape_of(rung).layers))
    length, rule = round(texts.mean), max(1, round(texts.mean_rule))
    rows = [make_row(length, rule)] * settings.batch_size
    with tempfile.TemporaryDirectory() as folder:
        small = write_random(shape, Path(folder))
        seconds = time_steps(small, settings, rows, steps=steps, clock=clock)
    return training_flops(small, settings, texts) / statistics.median(seconds[1:])


def make_row(length: int, rule: int) -> Encoded:
    """A row of so many tokens without a meaning, of which the last ``rule`` are the rule's."""
    from compliance_xai.models.prompts import Encoded

    return Encoded(tuple(2 + index % 7 for index in range(length)), length - rule)


def write_random(shape: Shape, folder: Path, dtype: str = "float32") -> Rung:
    """A Qwen2 model of that shape with random weights, as a folder; no tokenizer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from compliance_xai.models.loading import without_progress_bars

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
    from compliance_xai.models.checkpoints import Progress
    from compliance_xai.models.finetuning import prepare_model
    from compliance_xai.models.launch import connect
    from compliance_xai.models.strategies import apply_strategy
    from compliance_xai.models.training_loop import Loop, choose_precision, make_optimizer

    phase = settings.phases[-1]
    accelerator, precision = connect(phase.batch_size), choose_precision(phase)
    model = apply_strategy(prepare_model(rung, phase, accelerator, precision), phase, seed=seed)
    model, optimizer = accelerator.prepare(model, make_optimizer(model, phase))
    progress = Progress(phase.micro_batch or phase.batch_size)
    return Loop(model.train(), optimizer, accelerator, phase, rows, rows[:1], seed, precision, progress)
