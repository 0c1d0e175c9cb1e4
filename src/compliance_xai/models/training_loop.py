"""The optimiser steps, with accelerate, on any number of processes.

A step's loss is the sum of cross-entropies over the rule tokens of its batch, divided by their number. Cutting the
batch into passes, or sharing it between processes, changes the order of a sum and nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from compliance_xai.errors import InputError
from compliance_xai.machine import computes_bfloat16, track
from compliance_xai.models.batches import cut_batch, make_tensors, plan_batches, rule_losses
from compliance_xai.models.checkpoints import Checkpoints, Progress
from compliance_xai.models.prompts import Encoded
from compliance_xai.models.strategies import part_trained
from compliance_xai.study.strategy_settings import StrategySettings

if TYPE_CHECKING:
    import torch

LOGGED = 40
"""Points of the training curve."""

_log = logging.getLogger(__name__)

LARGE = 50_000_000
"""Parameters from which a CPU computes in bfloat16 if it can, and rows are padded to multiples of ``MULTIPLE``."""

MULTIPLE = 32
"""On a CPU the library for matrix products keeps memory for each new shape, so a large model gets few lengths."""


def choose_precision(settings: StrategySettings, parameters: int = 0) -> str:
    """``bfloat16`` or ``float32``; ``auto`` is bfloat16 on a CUDA device that computes in it, and for a large model on
    a CPU that does. Trained weights and their optimiser are float32 in any case.

    Raises
    ------
    InputError
        If a CUDA device that lacks bfloat16 is asked for it.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    able = computes_bfloat16() if on_gpu or parameters >= LARGE else False
    if settings.precision == "bfloat16" and on_gpu and not able:
        where = "strategy, key 'precision'"
        found = f"bfloat16, which {torch.cuda.get_device_name()} does not compute in"
        remedy = "Write precision: float32, or auto."
        raise InputError(where, expected="float32 on this device", found=found, remedy=remedy)
    return ("bfloat16" if able else "float32") if settings.precision == "auto" else settings.precision


def rate_share(step: int, settings: StrategySettings) -> float:
    """Share of the peak learning rate at a step (0-based): linear warm-up, then half a cosine to zero."""
    warm = math.ceil(settings.warmup * settings.steps)
    if step < warm:
        return step / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, settings.steps - warm)))


def make_optimizer(model: Any, settings: StrategySettings) -> torch.optim.Optimizer:
    """AdamW over what is trained; vectors (biases, norms) do not decay; weights trained whole have their own rate."""
    import torch

    whole = settings.learning_rate if settings.full_learning_rate is None else settings.full_learning_rate
    groups: list[dict[str, Any]] = []
    for parameters, rate in zip(part_trained(model), (settings.learning_rate, whole), strict=True):
        matrices, vectors = ([p for p in parameters if (p.ndim >= 2) == two] for two in (True, False))
        groups.append({"params": matrices, "weight_decay": settings.weight_decay, "lr": rate})
        groups.append({"params": vectors, "weight_decay": 0.0, "lr": rate})
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.adam_beta2), fused=True)


@dataclass
class Loop:
    """A training: a model and the steps that change it.

    ``model`` and ``optimizer`` are as ``accelerator.prepare`` returned them, ``rows`` and ``held_out`` for training and
    validation. Passes compute in ``precision``; weights and optimiser keep their own. ``progress`` is new or from
    the ``checkpoints``, from which an interrupted training continues.
    """

    model: Any
    optimizer: Any
    accelerator: Any
    settings: StrategySettings
    rows: Sequence[Encoded]
    held_out: Sequence[Encoded]
    seed: int
    precision: str
    progress: Progress
    checkpoints: Checkpoints | None = None

    def __post_init__(self) -> None:
        self._lengths = [len(row.ids) for row in self.rows]
        self._multiple = length_multiple(self.model)

    def run(self) -> Progress:
        """Take every step that is left.

        Raises
        ------
        FloatingPointError
            If a loss or gradient is not a finite number: names the step and the last good checkpoint.
        InputError
            If one pair alone does not fit into memory.
        """
        settings, progress = self.settings, self.progress
        batches = plan_batches(self._lengths, settings.batch_size, settings.steps, seed=self.seed)
        self.model.train()
        if not progress.rows:
            self._validate()
        steps = range(progress.step, settings.steps)
        for step in track(steps, "training steps") if self.accelerator.is_main_process else steps:
            progress.pending.append(self.take_step(step, batches[step]))
            progress.step = step + 1
            progress.tokens += sum(self._lengths[row] for row in batches[step])
            self._note_points()
        return progress

    def take_step(self, step: int, batch: Sequence[int]) -> float:
        """One update; returns the batch's loss."""
        import torch

        # Dropout depends on the step alone, not on where the run started.
        torch.manual_seed((self.seed * 1_000_003 + step) * 1_009 + self.accelerator.process_index)
        for group in self.optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * rate_share(step, self.settings)
        loss = self._gather_gradients(step, batch)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm) if norm is not None else 0.0
        self._require_finite("training loss", loss, step + 1)
        self._require_finite("gradient's norm", norm, step + 1)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def _require_finite(self, name: str, value: float, step: int) -> None:
        if math.isfinite(value):
            return
        if not step:
            raise FloatingPointError(
                f"the {name} is {value} before the first step: the weights that training starts from are damaged, or "
                f"{self.precision} does not hold their range"
            )
        kept = self.checkpoints.last() if self.checkpoints else None
        raise FloatingPointError(
            f"the {name} is {value} at step {step}: lower the learning rate ({self.settings.learning_rate}) of this "
            f"strategy in the study file; "
            + (f"the last good checkpoint is {kept}" if kept else "there is no checkpoint before it")
        )

    def _gather_gradients(self, step: int, batch: Sequence[int]) -> float:
        """Gradients of the whole batch; if memory is too small, again with passes of half the rows.

        If not even a single pair fits, its activations are computed again instead of stored.
        """
        from accelerate.utils.memory import clear_device_cache

        while True:
            try:
                return self._pass_all(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                tried, plain = self.progress.micro_batch, find_base(self.accelerator.unwrap_model(self.model))
                if (tried == 1 and plain.is_activation_checkpointing) or self.accelerator.num_processes > 1:
                    raise _no_memory(f"training step {step + 1}", tried, error) from error
            self.optimizer.zero_grad()
            clear_device_cache(garbage_collection=True)
            what = "activations are computed again instead of stored"
            if tried == 1:
                recompute_activations(plain)
            else:
                self.progress.micro_batch = math.ceil(tried / 2)
                what = f"{self.progress.micro_batch} pairs at once instead of {tried}, their gradients added up"
            note = f"out of memory at step {step + 1}: {what}; the loss is the same"
            self.progress.notes.append(note)
            _log.warning(note)

    def _pass_all(self, batch: Sequence[int]) -> float:
        accelerator = self.accelerator
        share = {"process": accelerator.process_index, "processes": accelerator.num_processes}
        passes = cut_batch(batch, self._lengths, self.progress.micro_batch, **share)
        # Every process averages over the rule tokens of all of them; gradients are averaged over processes after that.
        count = sum(self._lengths[row] - self.rows[row].target_start for row in batch)
        total = 0.0
        for index, rows in enumerate(passes):
            last = index == len(passes) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.model):
                with self._computing():
                    tensors = make_tensors([self.rows[row] for row in rows], accelerator.device, self._multiple)
                    losses, _ = rule_losses(self.model, *tensors, self._multiple)
                    loss = losses.sum() * (accelerator.num_processes / count)
                accelerator.backward(loss)
            total += loss.detach()
        return float(accelerator.reduce(total, "mean")) if accelerator.num_processes > 1 else float(total)

    def _computing(self) -> Any:
        import torch

        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def _validate(self) -> None:
        progress = self.progress
        with self._computing():
            loss, _ = validation_losses(self.model, None, self.held_out, batch_size=4 * progress.micro_batch)
        self._require_finite("validation loss", loss, progress.before + progress.step)
        progress.rows.append((progress.before + progress.step, "validation", loss, progress.tokens))

    def _note_points(self) -> None:
        """Log, validate and save when due."""
        settings, progress = self.settings, self.progress
        if progress.step % max(1, settings.steps // LOGGED) == 0:
            loss = math.fsum(progress.pending) / len(progress.pending)
            progress.rows.append((progress.before + progress.step, "train", loss, progress.tokens))
            progress.pending.clear()
        points = {round(settings.steps * (index + 1) / settings.evaluations) for index in range(settings.evaluations)}
        if progress.step in points:
            self._validate()
        due = progress.step % settings.checkpoint_every == 0 if settings.checkpoint_every else progress.step in points
        if self.checkpoints and due and progress.step < settings.steps:
            weights = [weight.detach() for part in part_trained(self.model) for weight in part]
            # Of this process alone; Python's max would ignore NaN.
            largest = [float(weight.abs().max()) for weight in weights if not hasattr(weight, "full_tensor")]
            self._require_finite("largest weight", float(np.max(largest, initial=0.0)), progress.before + progress.step)
            self.checkpoints.save(self.model, self.optimizer, progress, main=self.accelerator.is_main_process)


def find_base(model: Any) -> Any:
    """The transformers model inside one with adapters; another model as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def recompute_activations(model: Any) -> None:
    """Compute a model's activations again in the backward pass instead of storing them."""
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})


def length_multiple(model: Any) -> int:
    """The number that row lengths are padded to a multiple of: more than 1 for a large model on a CPU."""
    large = sum(parameter.numel() for parameter in model.parameters()) >= LARGE
    return MULTIPLE if large and next(model.parameters()).device.type == "cpu" else 1


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether fewer rows at once might succeed."""
    from accelerate.utils.memory import should_reduce_batch_size

    return should_reduce_batch_size(error) or "not enough memory" in str(error)


def _no_memory(where: str, tried: int, error: RuntimeError) -> InputError:
    expected = f"memory for {tried} pair{'s' if tried > 1 else ''} at once"
    remedy = (
        "Set gradient_checkpointing: true or a smaller micro_batch for the strategy, take qlora, or a smaller model; "
        "'compliance-xai study plan' shows what fits."
    )
    return InputError(where, expected=expected, found=str(error).splitlines()[0], remedy=remedy)


def validation_losses(
    model: Any, tokenizer: Any, rows: Sequence[Encoded], *, by_token: bool = False, batch_size: int = 64
) -> tuple[float, Any]:
    """Mean loss per target token over the rows (nats), and on request a frame of mean loss by token.

    Rows are padded on the right and taken by length; every target token has the same weight. If memory is too small, a
    single process continues with half as many rows at once.
    """
    import torch
    from accelerate.utils.memory import clear_device_cache

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    losses: list[float] = []
    tokens: list[int] = []
    waiting = sorted(rows, key=lambda row: len(row.ids))
    multiple = length_multiple(model)
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    with torch.inference_mode():
        while waiting:
            try:
                losses_N, labels_N = rule_losses(model, *make_tensors(waiting[:batch_size], device, multiple), multiple)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if batch_size == 1 or not alone:
                    raise _no_memory("validation", batch_size, error) from error
            else:
                losses += losses_N.tolist()
                tokens += labels_N.tolist()
                waiting = waiting[batch_size:]
                continue
            clear_device_cache(garbage_collection=True)
            batch_size = math.ceil(batch_size / 2)
            _log.warning("out of memory in validation: %d pairs at once from here on", batch_size)
    model.train(was_training)
    mean = math.fsum(losses) / len(losses)
    if not by_token:
        return mean, None
    frame = pd.DataFrame({"token": [tokenizer.decode([token]) for token in tokens], "loss": losses})
    table = frame.groupby("token")["loss"].agg(count="count", loss="mean").reset_index()
    return mean, table.sort_values(["count", "token"], ascending=[False, True], ignore_index=True)
