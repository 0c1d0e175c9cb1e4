"""How fast fine-tuning is, beside a plain ``Trainer`` that pads each batch to its longest pair.

    python benchmarks/training.py

writes ``benchmarks/results/training.json`` and ``training.md``. All ways are timed in one process, in turn, round after
round, and compared inside a round: ratios hold on a busy machine, seconds do not. Processor time of a step includes
tensors, forward and backward pass, clipping and optimiser; loading, validation and saving are left out of every way.

Two questions. Same batches, same losses: the plain trainer is given the batches of our loop, and the losses of every
step are compared. Throughput: the plain trainer draws its own batches at random, as it does by default.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from typing import Any

import torch
from keep import keep_result

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.machine import describe_machine, package_versions
from compliance_xai.models.batches import encode_examples, plan_batches
from compliance_xai.models.checkpoints import Progress
from compliance_xai.models.launch import connect
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.prompts import DEFAULT_TEMPLATE
from compliance_xai.models.strategies import apply_strategy
from compliance_xai.models.training_loop import Loop, choose_precision, make_optimizer
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.strategy_settings import StrategySettings

STEPS, ROUNDS, BATCH = 40, 5, 8
ASKED_RATIO = 1.3
CELLS = [(scale, kind) for scale in ("0.3m", "1m", "4m") for kind in ("full", "lora")]


class Cell:
    """One scale and strategy, and the ways to take its steps."""

    def __init__(self, scale: str, kind: str) -> None:
        self.rung = load_ladder("embedded").rung(scale)
        self.settings = StrategySettings(kind=kind, steps=STEPS, batch_size=BATCH, evaluations=1)  # pyright: ignore
        self.tokenizer = load_tokenizer(self.rung)
        examples = list(load_corpus("synthetic", split="train"))[:1600]
        self.rows = encode_examples(self.tokenizer, examples, DEFAULT_TEMPLATE, None)
        self.batches = plan_batches([len(row.ids) for row in self.rows], BATCH, STEPS, seed=0)

    def make_model(self) -> Any:
        return apply_strategy(load_base(self.rung), self.settings, seed=0)

    def run_loop(self) -> tuple[float, int, list[float]]:
        """Seconds, tokens and losses of our loop."""
        accelerator = connect(BATCH)
        model = self.make_model()
        model, optimizer = accelerator.prepare(model, make_optimizer(model, self.settings))
        progress = Progress(BATCH, rows=[(0, "validation", 0.0, 0)])
        loop = Loop(
            model, optimizer, accelerator, self.settings, self.rows, self.rows[:1], 0,
            choose_precision(self.settings), progress,
        )  # fmt: skip
        model.train()
        start = time.process_time()
        losses = [loop.take_step(step, batch) for step, batch in enumerate(self.batches)]
        seconds = time.process_time() - start
        return seconds, sum(len(self.rows[row].ids) for batch in self.batches for row in batch), losses

    def run_trainer(self, *, same_batches: bool) -> tuple[float, int, list[float]]:
        """The same of a plain trainer, which computes logits and loss at every position."""
        from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

        data = [
            {"input_ids": list(row.ids), "labels": [-100] * row.target_start + list(row.ids[row.target_start :])}
            for row in self.rows
        ]
        order = [row for batch in self.batches for row in batch]
        model, times, losses = self.make_model(), [], []

        class Watch(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                times.append(time.process_time())

            def on_train_end(self, *_: Any, **__: Any) -> None:
                times.append(time.process_time())

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs:
                    losses.append(float(logs["loss"]))

        class InOrder(Trainer):
            def _get_train_sampler(self, *_: Any) -> Any:
                return order if same_batches else super()._get_train_sampler(*_)

        seen = []
        pad = DataCollatorForSeq2Seq(self.tokenizer, label_pad_token_id=-100)

        def collate(rows: list[dict]) -> Any:
            seen.append(sum(len(row["input_ids"]) for row in rows))
            return pad(rows)

        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = TrainingArguments(
                output_dir=folder,
                max_steps=STEPS,
                per_device_train_batch_size=BATCH,
                learning_rate=self.settings.learning_rate,
                lr_scheduler_type="cosine",
                warmup_steps=2,
                weight_decay=self.settings.weight_decay,
                adam_beta2=self.settings.adam_beta2,
                # Losses are logged where they are compared only: a log entry costs the trainer time.
                logging_steps=1 if same_batches else STEPS,
                save_strategy="no",
                report_to=[],
                use_cpu=not torch.cuda.is_available(),
                disable_tqdm=True,
                dataloader_pin_memory=False,
            )
            trainer = InOrder(
                model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[Watch()]
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        return times[-1] - times[0], sum(seen[:STEPS]), losses


def measure(scale: str, kind: str) -> dict[str, Any]:
    """One row of the table."""
    cell = Cell(scale, kind)
    _, _, ours = cell.run_loop()
    _, _, plain = cell.run_trainer(same_batches=True)
    rounds = []
    for _ in range(ROUNDS):
        (loop_s, loop_tokens, _), (plain_s, plain_tokens, _) = cell.run_loop(), cell.run_trainer(same_batches=False)
        rounds.append((loop_tokens / loop_s, plain_tokens / plain_s))
    ratios = sorted(loop / plain for loop, plain in rounds)
    return {
        "scale": scale,
        "strategy": kind,
        "largest_relative_difference_of_a_loss": max(abs(a - b) / b for a, b in zip(ours, plain, strict=True)),
        "tokens_per_second": round(statistics.median(loop for loop, _ in rounds)),
        "plain_tokens_per_second": round(statistics.median(plain for _, plain in rounds)),
        "ratio": round(statistics.median(ratios), 3),
        "lowest_ratio": round(ratios[0], 3),
        "highest_ratio": round(ratios[-1], 3),
    }


def main() -> None:
    torch.set_num_threads(1)
    cells = [measure(*cell) for cell in CELLS]
    result = {
        "asked_ratio": ASKED_RATIO,
        "reached": all(cell["ratio"] >= ASKED_RATIO for cell in cells),
        "steps": STEPS,
        "batch": BATCH,
        "rounds": ROUNDS,
        "cells": cells,
        "machine": describe_machine(),
        "versions": package_versions(),
    }
    keep_result("training", result, write_markdown(result))


def write_markdown(result: dict[str, Any]) -> str:
    lines = [
        "# Speed of fine-tuning",
        "",
        "Tokens (padding not counted) per second of processor time, one thread, by `python benchmarks/training.py`:",
        f"{result['steps']} steps of {result['batch']} pairs, medians of {result['rounds']} rounds in which both ways",
        f"took turns. The ratio should be {result['asked_ratio']} or more. The last column: the plain trainer is given",
        "the same batches, and the losses of all steps are compared.",
        "",
        "| scale | strategy | plain `Trainer` | here | ratio (lowest to highest) | largest relative difference |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for cell in result["cells"]:
        lines.append(
            f"| {cell['scale']} | {cell['strategy']} | {cell['plain_tokens_per_second']:,} | "
            f"{cell['tokens_per_second']:,} | {cell['ratio']:.2f} ({cell['lowest_ratio']:.2f} to "
            f"{cell['highest_ratio']:.2f}) | {cell['largest_relative_difference_of_a_loss']:.1e} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
