"""Fine-tunes one rung with one strategy and seed: TRL's SFTTrainer underneath, loss on the rule only."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError
from compliance_xai.models import (
    Rung,
    apply_strategy,
    count_parameters,
    load_base,
    load_tokenizer,
    without_progress_bars,
)
from compliance_xai.prompts import DEFAULT_TEMPLATE, Encoded, encode
from compliance_xai.records import Example

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.study import StrategySettings

DONE = "training_complete.json"
"""Written last into a seed's folder."""


@dataclass(frozen=True)
class TrainResult:
    """What one fine-tuning gave.

    Attributes
    ----------
    log
        One row per logged point: ``step``, ``split`` (train or validation), ``loss`` (nats per rule token), ``tokens``
        (rule and prompt tokens seen so far).
    token_losses
        Validation loss by target token: ``token``, ``count``, ``loss`` (nats, mean), most frequent first.
    trained, parameters
        Trained and all parameters.
    folder
        Where the weights lie.
    """

    log: pd.DataFrame
    token_losses: pd.DataFrame
    trained: int
    parameters: int
    folder: Path


def encode_examples(tokenizer: Any, examples: Sequence[Example], template: str, limit: int | None) -> list[Encoded]:
    """Rows of token ids; nothing is truncated.

    Raises
    ------
    InputError
        If a clause and its rule are longer than the model's context.
    """
    rows = []
    for example in examples:
        row = encode(tokenizer, example.clause, example.rule, template)
        if limit and len(row.ids) > limit:
            raise InputError(
                f"clause {example.id!r}",
                expected=f"at most {limit} tokens, prompt and rule together (the model's context)",
                found=f"{len(row.ids)} tokens, {len(row.ids) - limit} too many",
                remedy="Shorten or remove the clause, or choose a model with a longer context.",
            )
        rows.append(row)
    return rows


def finetune(
    rung: Rung,
    strategy: str,
    settings: StrategySettings,
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    seed: int,
    out: Path | str,
    template: str = DEFAULT_TEMPLATE,
    progress: bool = False,
) -> TrainResult:
    """Fine-tune a rung and save weights (full) or adapters (LoRA) as safetensors.

    The folder ``out`` appears only when training is complete; a finished one is read back, not trained again.

    Parameters
    ----------
    strategy
        Its name, for messages.
    seed
        Decides the order of the pairs and the adapters' initial weights.
    progress
        Show a bar over steps.

    Raises
    ------
    InputError
        If there are no pairs, or one is longer than the model's context.
    FloatingPointError
        If the loss is not a number: names the step.
    """
    out = Path(out)
    if (out / DONE).is_file():
        return read_result(out)
    if not train or not validation:
        raise InputError(
            f"strategy {strategy!r}",
            expected="at least one training and one validation pair",
            found=f"{len(train)} and {len(validation)}",
            remedy="Ask for more pairs in the study's corpus settings.",
        )
    from transformers import set_seed

    set_seed(seed)
    tokenizer = load_tokenizer(rung)
    model = apply_strategy(load_base(rung, quantised=settings.kind == "qlora"), settings, seed=seed)
    limit = getattr(model.config, "max_position_embeddings", None)
    rows = encode_examples(tokenizer, train, template, limit)
    held_out = encode_examples(tokenizer, validation, template, limit)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    log = _train(model, tokenizer, settings, rows, held_out, seed=seed, folder=part, progress=progress)
    _, token_losses = validation_losses(model, tokenizer, held_out, by_token=True)
    with without_progress_bars():
        model.save_pretrained(part)
    result = TrainResult(log, token_losses, *count_parameters(model), out)
    _write_result(result, part)
    if out.exists():
        shutil.rmtree(out)
    part.replace(out)
    return result


def _write_result(result: TrainResult, folder: Path) -> None:
    import json

    import pyarrow as pa

    from compliance_xai.records import write_table

    write_table(pa.Table.from_pandas(result.log, preserve_index=False), folder / "log.parquet")
    write_table(pa.Table.from_pandas(result.token_losses, preserve_index=False), folder / "token_losses.parquet")
    counts = {"trained": result.trained, "parameters": result.parameters}
    (folder / DONE).write_text(json.dumps(counts) + "\n", encoding="utf-8")


def read_result(folder: Path | str) -> TrainResult:
    """What a finished fine-tuning left in its folder."""
    import json

    import pandas as pd

    folder = Path(folder)
    counts = json.loads((folder / DONE).read_text(encoding="utf-8"))
    return TrainResult(
        pd.read_parquet(folder / "log.parquet"),
        pd.read_parquet(folder / "token_losses.parquet"),
        counts["trained"],
        counts["parameters"],
        folder,
    )


def _train(
    model: Any,
    tokenizer: Any,
    settings: StrategySettings,
    rows: Sequence[Encoded],
    held_out: Sequence[Encoded],
    *,
    seed: int,
    folder: Path,
    progress: bool,
) -> pd.DataFrame:
    """Run the trainer; returns the log."""
    import pandas as pd
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl.trainer.sft_config import SFTConfig

    dataset = Dataset.from_list(
        [
            {"input_ids": list(row.ids), "labels": [-100] * row.target_start + list(row.ids[row.target_start :])}
            for row in rows
        ]
    )
    watch = _make_watch(tokenizer, held_out, settings)
    import torch

    config = SFTConfig(
        output_dir=str(folder / "trainer"),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(settings.warmup * settings.steps),
        weight_decay=settings.weight_decay,
        adam_beta2=settings.adam_beta2,
        max_grad_norm=1.0,
        max_length=None,
        packing=False,
        activation_checkpointing=False,
        train_sampling_strategy="group_by_length",
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_nan_inf_filter=False,  # the default would log an average in place of a loss that is no number
        logging_steps=max(1, settings.steps // 40),
        save_strategy="no",
        include_num_input_tokens_seen="non_padding",
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        seed=seed,
        data_seed=seed,
        dataloader_pin_memory=False,
        disable_tqdm=not progress,
    )
    with warnings.catch_warnings():
        # torch's grouped sampler and bitsandbytes' optional kernels speak up; neither changes a result.
        warnings.simplefilter("ignore")
        trainer = _make_trainer(
            model=model, args=config, train_dataset=dataset, processing_class=tokenizer, callbacks=[watch]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    shutil.rmtree(folder / "trainer", ignore_errors=True)
    return pd.DataFrame(watch.rows, columns=["step", "split", "loss", "tokens"])


def _make_trainer(**arguments: Any) -> Any:
    """TRL's trainer with the same loss, computed at the rules' tokens only.

    Without a GPU, TRL projects every position of the prompt onto the vocabulary too and keeps metrics that nobody
    reads here; a step of the smallest rung takes 1.4 times as long (docs/LOG.md).
    """
    import torch
    from trl.trainer.sft_trainer import SFTTrainer

    class RuleTrainer(SFTTrainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            labels_BT = inputs["labels"][:, 1:]
            chosen_BT = labels_BT != -100
            first = int(chosen_BT.any(0).nonzero()[0])
            outputs = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                logits_to_keep=labels_BT.shape[1] + 1 - first,
                use_cache=False,
            )
            logits_NV = outputs.logits[:, :-1][chosen_BT[:, first:]].float()
            total = torch.nn.functional.cross_entropy(logits_NV, labels_BT[chosen_BT], reduction="sum")
            loss = total / (len(logits_NV) if num_items_in_batch is None else num_items_in_batch)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes
            return (loss, outputs) if return_outputs else loss

    return RuleTrainer(**arguments)


def _make_watch(tokenizer: Any, held_out: Sequence[Encoded], settings: StrategySettings) -> Any:
    """A trainer callback that takes the validation loss on schedule and stops at a loss that is not a number."""
    from transformers import TrainerCallback

    points = {round(settings.steps * (index + 1) / settings.evaluations) for index in range(settings.evaluations)}

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.rows: list[tuple[int, str, float, int]] = []

        def _measure(self, model: Any, step: int, tokens: int) -> None:
            loss, _ = validation_losses(model, tokenizer, held_out)
            self.rows.append((step, "validation", loss, tokens))

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            self._measure(model, 0, 0)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if state.global_step in points:
                self._measure(model, state.global_step, int(state.num_input_tokens_seen))

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if not logs or "loss" not in logs:
                return
            if not math.isfinite(logs["loss"]):
                raise FloatingPointError(
                    f"the training loss is {logs['loss']} at step {state.global_step}: lower the learning rate "
                    f"({settings.learning_rate}) of this strategy in the study file"
                )
            self.rows.append((state.global_step, "train", float(logs["loss"]), int(state.num_input_tokens_seen)))

    return Watch()


def validation_losses(
    model: Any, tokenizer: Any, rows: Sequence[Encoded], *, by_token: bool = False, batch_size: int = 64
) -> tuple[float, Any]:
    """Mean loss per target token over the rows (nats), and on request a frame of mean loss by token.

    Rows are padded on the right and taken by length; every target token weighs the same.
    """
    import torch

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    losses: list[float] = []
    tokens: list[int] = []
    with torch.inference_mode():
        ordered = sorted(rows, key=lambda row: len(row.ids))
        for start in range(0, len(ordered), batch_size):
            chunk = ordered[start : start + batch_size]
            longest = max(len(row.ids) for row in chunk)
            ids_BT = torch.full((len(chunk), longest), tokenizer.pad_token_id)
            target_BT = torch.zeros((len(chunk), longest), dtype=torch.bool)
            for index, row in enumerate(chunk):
                ids_BT[index, : len(row.ids)] = torch.tensor(row.ids)
                target_BT[index, row.target_start : len(row.ids)] = True
            logits = model(input_ids=ids_BT.to(device)).logits[:, :-1].float().cpu()
            chosen = target_BT[:, 1:]
            labels = ids_BT[:, 1:][chosen]
            losses += torch.nn.functional.cross_entropy(logits[chosen], labels, reduction="none").tolist()
            tokens += labels.tolist()
    model.train(was_training)
    mean = math.fsum(losses) / len(losses)
    if not by_token:
        return mean, None
    import pandas as pd

    frame = pd.DataFrame({"token": [tokenizer.decode([token]) for token in tokens], "loss": losses})
    table = frame.groupby("token")["loss"].agg(count="count", loss="mean").reset_index()
    return mean, table.sort_values(["count", "token"], ascending=[False, True], ignore_index=True)
