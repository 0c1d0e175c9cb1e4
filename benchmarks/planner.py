"""Is what ``study plan`` says true? Planned memory and time beside those of real training steps.

    python benchmarks/planner.py

writes ``benchmarks/results/planner.json`` and ``planner.md``. Memory: the most bytes of tensors during a step over the
longest pairs. Time: steps over the study's own batches, against a prediction from two layers of random weights
(``planning.measure_speeds``); the two take turns, and medians are compared, because the machine has other work. Of
``lora-then-full`` it is the second phase, which needs the more memory. Real models are measured if their weights were
fetched. On a GPU a randomly initialised model of a 7B shape is measured as well: one LoRA and one QLoRA step, and how
many tokens attribution scores per second.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from keep import keep_result
from transformers import Qwen2Config, Qwen2ForCausalLM

from compliance_xai.attribution.explain import attribute
from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.features import segment
from compliance_xai.machine import describe_machine, package_versions
from compliance_xai.models.batches import encode_examples, plan_batches
from compliance_xai.models.checkpoints import Progress
from compliance_xai.models.finetuning import prepare_model
from compliance_xai.models.launch import connect
from compliance_xai.models.loading import load_base, load_tokenizer, without_progress_bars
from compliance_xai.models.planning import Needs, Tasks, Texts, choose_device, config_values, measure_speeds, plan_cell
from compliance_xai.models.prompts import DEFAULT_TEMPLATE, Encoded
from compliance_xai.models.strategies import apply_strategy
from compliance_xai.models.training_loop import Loop, choose_precision, make_optimizer
from compliance_xai.pipeline.plans import measure_texts
from compliance_xai.study.ladders import Rung, Shape, load_ladder
from compliance_xai.study.strategy_settings import KINDS, StrategySettings

SCALES, TRAINED = ("0.3m", "1m", "4m"), tuple(kind for kind in KINDS if kind != "none")
BATCH, STEPS, ROUNDS = 8, 16, 3
LIMIT = 0.25
REAL = (("135M", "full"), ("135M", "lora"), ("135M", "qlora"), ("0.5B", "lora"), ("0.5B", "full"))
"""Cells of the ladder ``pretrained``, measured if their weights were fetched."""
CLAUSES = 2
PLANNED = ("bytes", "step_s", "clause_s")
GPU_SHAPE = ("qwen2.5-coder", "7b")


def make_settings(kind: str, **keys: Any) -> StrategySettings:
    return StrategySettings(kind=kind, steps=1000, batch_size=BATCH, **keys)  # pyright: ignore[reportArgumentType]


def measure_pace(rung: Rung, settings: StrategySettings, texts: Texts) -> float:
    """Operations per second that this machine sustains in training, measured afresh."""
    measure_speeds.cache_clear()
    shape = Needs(rung, settings, texts).shape
    rows = settings.micro_batch or settings.batch_size
    speed = measure_speeds(shape, rows, round(texts.mean), 8, bfloat16=False).training
    assert speed is not None
    return speed


def make_row(length: int, rule: int) -> Encoded:
    """A row of so many tokens without a meaning, of which the last ``rule`` are the rule's."""
    return Encoded(tuple(2 + index % 7 for index in range(length)), length - rule)


def write_random(shape: Shape, folder: Path, dtype: str = "float32") -> Rung:
    """A Qwen2 model of that shape with random weights, as a folder; no tokenizer."""
    config = Qwen2Config(**config_values(shape), dtype=getattr(torch, dtype))
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
    phase = settings.phases[-1]
    accelerator, precision = connect(phase.batch_size), choose_precision(phase)
    model = apply_strategy(prepare_model(rung, phase, accelerator, precision), phase, seed=seed)
    model, optimizer = accelerator.prepare(model, make_optimizer(model, phase))
    progress = Progress(phase.micro_batch or phase.batch_size)
    return Loop(model.train(), optimizer, accelerator, phase, rows, rows[:1], seed, precision, progress)


def measure_cell(ladder: str, scale: str, kind: str, *, steps: int = STEPS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Planned and measured bytes and seconds of a training step of one cell, and of attribution."""
    rung, settings = load_ladder(ladder).rung(scale), make_settings(kind)
    if ladder != "embedded":
        settings = settings.model_copy(update={"micro_batch": BATCH // 2})
    examples = list(load_corpus("synthetic", split="train"))[:1600]
    texts = measure_texts(rung, examples, DEFAULT_TEMPLATE)
    rows = encode_examples(load_tokenizer(rung), examples, DEFAULT_TEMPLATE, None)
    longest = sorted(rows, key=lambda row: -len(row.ids))[:BATCH]
    memory = Needs(rung, settings, texts).training_memory()
    batches = plan_batches([len(row.ids) for row in rows], BATCH, steps, seed=0)
    tokens = [sum(len(rows[row].ids) for row in batch) for batch in batches]
    speeds, paces = [], []
    for _ in range(rounds):
        speeds.append(measure_pace(rung, settings, texts))
        loop = make_loop(rung, settings, rows)
        loop.take_step(0, batches[0])
        start = time.perf_counter()
        for step, batch in enumerate(batches[1:], 1):
            loop.take_step(step, batch)
        # Per token, and put on the mean length: a few batches are longer or shorter than the corpus.
        paces.append((time.perf_counter() - start) / sum(tokens[1:]) * BATCH * texts.mean)
    operations = Needs(rung, settings, texts).training_flops()
    planned, measured = time_attribution(rung, texts, examples[:CLAUSES])
    return {
        "scale": scale,
        "strategy": kind,
        "planned_bytes": round(memory.peak),
        "measured_bytes": round(measure_step_memory(rung, settings, longest)),
        "planned_step_s": operations / statistics.median(speeds),
        "measured_step_s": statistics.median(paces),
        "planned_clause_s": planned / CLAUSES,
        "measured_clause_s": measured / CLAUSES,
    }


def time_attribution(rung: Rung, texts: Texts, examples: Sequence[Any]) -> tuple[float, float]:
    """Planned and measured seconds of leave-one-out on some clauses, with the untouched model."""
    model, tokenizer = load_base(rung).eval(), load_tokenizer(rung)
    attribute(model, tokenizer, examples[0].clause, examples[0].rule)
    start = time.perf_counter()
    for example in examples:
        attribute(model, tokenizer, example.clause, example.rule)
    measured = time.perf_counter() - start
    masks = sum(1 + len(segment(example.clause, "word")) for example in examples)
    measure_speeds.cache_clear()
    device = choose_device()
    plan = plan_cell("none", Needs(rung, StrategySettings(kind="none"), texts), device, tasks=Tasks(scored=masks))
    hours = plan.hours["attribution"]
    assert hours is not None
    return 3600 * hours, measured


def measure_gpu() -> list[dict[str, Any]]:
    """A LoRA and a QLoRA step, and scoring, of a model of the 7B shape with random weights."""
    from compliance_xai.attribution.engine import score_texts
    from compliance_xai.attribution.options import Options

    ladder, scale = GPU_SHAPE
    rung = load_ladder(ladder).rung(scale)
    assert rung.shape is not None
    texts = Texts(longest=160, mean=160.0, longest_rule=80, mean_rule=80.0)
    tokenizer = load_tokenizer(load_ladder("embedded").rung("0.3m"))  # any ids below the vocabulary's size will do
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        model = write_random(rung.shape, Path(folder), "bfloat16")
        rows = [make_row(160, 80)] * BATCH
        for kind in ("lora", "qlora"):
            settings = make_settings(kind)
            torch.cuda.empty_cache()
            seconds = time_steps(model, settings, rows, steps=6)
            memory = Needs(model, settings, texts, bfloat16=True).training_memory()
            pace = measure_pace(rung, settings, texts)
            cells.append(
                {
                    "scale": f"{scale}, random weights",
                    "strategy": kind,
                    "planned_bytes": round(memory.peak),
                    "measured_bytes": round(measure_step_memory(model, settings, rows)),
                    "planned_step_s": Needs(model, settings, texts).training_flops() / pace,
                    "measured_step_s": statistics.median(seconds[1:]),
                }
            )
            loaded = load_base(model, quantised=kind == "qlora").eval()
            clauses = [f"A door shall be at least {index} mm wide." for index in range(800, 1056)]
            target = "if(exist(door)),then(obligation(greaterThanEqual(door.width,850 mm)))"
            score_texts(loaded, tokenizer, clauses[:8], target)
            torch.cuda.synchronize()
            start = time.perf_counter()
            score_texts(loaded, tokenizer, clauses, target, Options(batch_tokens=16384))
            torch.cuda.synchronize()
            scored = len(clauses) * (len(tokenizer(clauses[0] + target)["input_ids"]) + 12)
            cells[-1]["attribution_tokens_per_s"] = round(scored / (time.perf_counter() - start))
            del loaded
    return cells


def main() -> None:
    torch.set_num_threads(1)
    cells = [measure_cell("embedded", scale, kind) for scale in SCALES for kind in TRAINED]
    there = [rung.name for rung in load_ladder("pretrained").rungs if rung.is_there]
    cells += [measure_cell("pretrained", *cell, steps=3, rounds=1) for cell in REAL if cell[0] in there]
    for cell in cells:
        for name in PLANNED:
            cell[f"{name}_error"] = cell[f"planned_{name}"] / cell[f"measured_{name}"] - 1
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    result = {
        "limit": LIMIT,
        "within": all(abs(cell[f"{name}_error"]) <= LIMIT for cell in cells for name in PLANNED),
        "cells": cells,
        "gpu": {"device": device, "cells": measure_gpu()} if device else None,
        "machine": describe_machine(),
        "versions": package_versions(),
    }
    keep_result("planner", result, write_markdown(result))


def write_markdown(result: dict[str, Any]) -> str:
    lines = [
        "# Planned and measured",
        "",
        f"One training step of {BATCH} pairs, one thread, by `python benchmarks/planner.py`, and attribution of a",
        f"clause by leaving out each word. Planned values should be within {result['limit']:.0%} of measured ones.",
        "Time is that of a batch of mean length.",
        "",
        "| scale | strategy | memory planned, MB | measured | error | step planned, ms | measured | error |"
        " clause planned, ms | measured | error |",
        "|---|---|" + "---:|" * 9,
    ]
    for cell in result["cells"] + (result["gpu"]["cells"] if result["gpu"] else []):
        columns = [cell["scale"], cell["strategy"]]
        for name, factor in zip(PLANNED, (1e-6, 1e3, 1e3), strict=True):
            both = [cell.get(f"{which}_{name}") for which in ("planned", "measured")]
            known = None not in both
            columns += [f"{value * factor:.0f}" for value in both] if known else ["", ""]
            columns.append(f"{both[0] / both[1] - 1:+.0%}" if known else "")
        lines.append(f"| {' | '.join(columns)} |")
    gpu = result["gpu"]
    lines += ["", f"GPU: {gpu['device']}." if gpu else "No GPU was at hand: the 7B shape was not measured."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
