"""Is what ``study plan`` says true? Planned memory and time beside those of real training steps.

    python benchmarks/planner.py

writes ``benchmarks/results/planner.json`` and ``planner.md``. Memory: the most bytes of tensors during a step over the
longest pairs. Time: steps over the study's own batches, against a prediction from two layers of random weights (the
probe of ``study plan --probe``); probe and steps take turns, in processor time, and medians are compared, because the
machine has other work. Of ``lora-then-full`` it is the second phase, which needs the more memory. On a GPU a randomly
initialised model of a 7B shape is measured as well: one LoRA and one QLoRA step, and how many tokens attribution scores
per second.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from keep import keep_result

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.machine import describe_machine, package_versions
from compliance_xai.models.batches import encode_examples, plan_batches
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.planning import sizes, speed
from compliance_xai.models.planning.sizes import Texts
from compliance_xai.models.planning.speed import probe_speed
from compliance_xai.models.prompts import DEFAULT_TEMPLATE
from compliance_xai.pipeline.plans import measure_texts
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.strategy_settings import KINDS, StrategySettings

SCALES, TRAINED = ("0.3m", "1m", "4m"), tuple(kind for kind in KINDS if kind != "none")
BATCH, STEPS, ROUNDS = 8, 16, 3
LIMIT = 0.25
GPU_SHAPE = ("qwen2.5-coder", "7b")


def make_settings(kind: str, **keys: Any) -> StrategySettings:
    return StrategySettings(kind=kind, steps=1000, batch_size=BATCH, **keys)  # pyright: ignore[reportArgumentType]


def measure_cell(scale: str, kind: str) -> dict[str, Any]:
    """Planned and measured bytes and seconds of one cell of the embedded ladder."""
    rung, settings = load_ladder("embedded").rung(scale), make_settings(kind)
    examples = list(load_corpus("synthetic", split="train"))[:1600]
    texts = measure_texts(rung, examples, DEFAULT_TEMPLATE)
    rows = encode_examples(load_tokenizer(rung), examples, DEFAULT_TEMPLATE, None)
    longest = sorted(rows, key=lambda row: -len(row.ids))[:BATCH]
    memory = sizes.training_memory(rung, settings, texts, bfloat16=False)
    batches = plan_batches([len(row.ids) for row in rows], BATCH, STEPS, seed=0)
    tokens = [sum(len(rows[row].ids) for row in batch) for batch in batches]
    speeds, paces = [], []
    for _ in range(ROUNDS):
        speeds.append(probe_speed(rung, settings, texts, clock=time.process_time))
        loop = speed.make_loop(rung, settings, rows)
        loop.take_step(0, batches[0])
        start = time.process_time()
        for step, batch in enumerate(batches[1:], 1):
            loop.take_step(step, batch)
        # Per token, and put on the mean length: a few batches are longer or shorter than the corpus.
        paces.append((time.process_time() - start) / sum(tokens[1:]) * BATCH * texts.mean)
    operations = speed.training_flops(rung, settings, texts)
    return {
        "scale": scale,
        "strategy": kind,
        "planned_bytes": round(memory.peak),
        "measured_bytes": round(speed.measure_step_memory(rung, settings, longest)),
        "planned_step_s": operations / statistics.median(speeds),
        "measured_step_s": statistics.median(paces),
    }


def measure_gpu() -> list[dict[str, Any]]:
    """A LoRA and a QLoRA step, and scoring, of a model of the 7B shape with random weights."""
    from compliance_xai.attribution.engine import score_texts

    ladder, scale = GPU_SHAPE
    rung = load_ladder(ladder).rung(scale)
    assert rung.shape is not None
    texts = Texts(longest=160, mean=160.0, longest_rule=80, mean_rule=80.0)
    tokenizer = load_tokenizer(load_ladder("embedded").rung("0.3m"))  # any ids below the vocabulary's size will do
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        model = speed.write_random(rung.shape, Path(folder), "bfloat16")
        rows = [speed.make_row(160, 80)] * BATCH
        for kind in ("lora", "qlora"):
            settings = make_settings(kind)
            torch.cuda.empty_cache()
            seconds = speed.time_steps(model, settings, rows, steps=6)
            memory = sizes.training_memory(model, settings, texts, bfloat16=True)
            pace = probe_speed(rung, settings, texts)
            cells.append(
                {
                    "scale": f"{scale}, random weights",
                    "strategy": kind,
                    "planned_bytes": round(memory.peak),
                    "measured_bytes": round(speed.measure_step_memory(model, settings, rows)),
                    "planned_step_s": speed.training_flops(model, settings, texts) / pace,
                    "measured_step_s": statistics.median(seconds[1:]),
                }
            )
            loaded = load_base(model, quantised=kind == "qlora").eval()
            clauses = [f"A door shall be at least {index} mm wide." for index in range(800, 1056)]
            target = "if(exist(door)),then(obligation(greaterThanEqual(door.width,850 mm)))"
            score_texts(loaded, tokenizer, clauses[:8], target)
            torch.cuda.synchronize()
            start = time.perf_counter()
            score_texts(loaded, tokenizer, clauses, target, batch_tokens=16384)
            torch.cuda.synchronize()
            scored = len(clauses) * (len(tokenizer(clauses[0] + target)["input_ids"]) + 12)
            cells[-1]["attribution_tokens_per_s"] = round(scored / (time.perf_counter() - start))
            del loaded
    return cells


def main() -> None:
    torch.set_num_threads(1)
    cells = [measure_cell(scale, kind) for scale in SCALES for kind in TRAINED]
    for cell in cells:
        for name in ("bytes", "step_s"):
            cell[f"{name}_error"] = cell[f"planned_{name}"] / cell[f"measured_{name}"] - 1
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    result = {
        "limit": LIMIT,
        "within": all(abs(cell[f"{name}_error"]) <= LIMIT for cell in cells for name in ("bytes", "step_s")),
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
        f"One training step of {BATCH} pairs, one thread, by `python benchmarks/planner.py`. Planned values should be",
        f"within {result['limit']:.0%} of measured ones. Time is processor time of a batch of mean length.",
        "",
        "| scale | strategy | memory planned, MB | measured | error | step planned, ms | measured | error |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for cell in result["cells"] + (result["gpu"]["cells"] if result["gpu"] else []):
        error = [cell[f"planned_{name}"] / cell[f"measured_{name}"] - 1 for name in ("bytes", "step_s")]
        lines.append(
            f"| {cell['scale']} | {cell['strategy']} | {cell['planned_bytes'] / 1e6:.1f} | "
            f"{cell['measured_bytes'] / 1e6:.1f} | {error[0]:+.0%} | {1000 * cell['planned_step_s']:.0f} | "
            f"{1000 * cell['measured_step_s']:.0f} | {error[1]:+.0%} |"
        )
    gpu = result["gpu"]
    lines += ["", f"GPU: {gpu['device']}." if gpu else "No GPU was at hand: the 7B shape was not measured."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
