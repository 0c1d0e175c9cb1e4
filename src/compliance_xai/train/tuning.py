"""Fine-tunes one rung with one strategy and seed, and keeps weights and log."""

from __future__ import annotations

import json
import shutil
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
from compliance_xai.prompts import DEFAULT_TEMPLATE
from compliance_xai.records import Example
from compliance_xai.train.batches import encode_examples
from compliance_xai.train.checkpoints import Checkpoints, Progress
from compliance_xai.train.launch import connect
from compliance_xai.train.loop import Loop, choose_precision, make_optimizer, validation_losses

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
    micro_batch
        Pairs of one forward pass, at the end.
    notes
        What happened on the way, such as memory that did not suffice.
    """

    log: pd.DataFrame
    token_losses: pd.DataFrame
    trained: int
    parameters: int
    folder: Path
    micro_batch: int
    notes: tuple[str, ...] = ()


def finetune(
    rung: Rung,
    strategy: str,
    settings: StrategySettings,
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    seed: int,
    out: Path | str,
    template: Any = DEFAULT_TEMPLATE,
    checkpoints: Checkpoints | None = None,
    progress: bool = False,
) -> TrainResult:
    """Fine-tune a rung and save weights (full) or adapters (LoRA) as safetensors.

    The folder ``out`` appears only when training is complete; a finished one is read back, not trained again. In a
    launched run (see ``launch``) every process calls this, and the first one writes.

    Parameters
    ----------
    strategy
        Its name, for messages.
    seed
        Decides the order of the pairs, dropout and the adapters' initial weights.
    checkpoints
        Where a killed run left its state and this one leaves its own; removed at the end. None keeps no state.
    progress
        Show a bar over steps.

    Raises
    ------
    InputError
        If there are no pairs, one is longer than the model's context, or one alone does not fit into memory.
    FloatingPointError
        If the loss is not a number: names the step and the last good checkpoint.
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
    accelerator = connect(settings.batch_size)
    tokenizer, precision = load_tokenizer(rung), choose_precision(settings)
    model = prepare_model(rung, settings, accelerator, precision, seed=seed)
    counts = count_parameters(model)
    limit = getattr(model.config, "max_position_embeddings", None)
    rows, held_out = (encode_examples(tokenizer, examples, template, limit) for examples in (train, validation))
    model, optimizer = accelerator.prepare(model, make_optimizer(model, settings))
    reached = checkpoints.restore(model, optimizer) if checkpoints else None
    reached = reached or Progress(settings.micro_batch or settings.batch_size)
    loop = Loop(
        model, optimizer, accelerator, settings, rows, held_out, seed, precision, reached, checkpoints, progress
    )
    loop.run()
    _, token_losses = validation_losses(model, tokenizer, held_out, by_token=True, batch_size=4 * reached.micro_batch)
    result = TrainResult(_frame(reached), token_losses, *counts, out, reached.micro_batch, tuple(reached.notes))
    weights = accelerator.get_state_dict(model) if accelerator.num_processes > 1 else None
    if accelerator.is_main_process:
        _save(result, accelerator.unwrap_model(model), weights)
        if checkpoints:
            shutil.rmtree(checkpoints.folder, ignore_errors=True)
    accelerator.wait_for_everyone()
    return result


def prepare_model(rung: Rung, settings: StrategySettings, accelerator: Any, precision: str, *, seed: int) -> Any:
    """The rung with its strategy, in memory for training.

    Weights that are trained are float32 whatever the passes compute in: an update is often smaller than the spacing of
    bfloat16. Frozen ones take the precision of the passes.
    """
    single = accelerator.distributed_type.name in ("NO", "MULTI_CPU", "MULTI_GPU")
    model = load_base(
        rung,
        quantised=settings.kind == "qlora",
        dtype="float32" if settings.kind == "full" else precision,
        device_map=("auto" if accelerator.num_processes == 1 else {"": accelerator.device}) if single else None,
    )
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return apply_strategy(model, settings, seed=seed)


def _frame(progress: Progress) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(progress.rows, columns=["step", "split", "loss", "tokens"])


def _save(result: TrainResult, model: Any, weights: Any) -> None:
    """Write weights and tables under a temporary name; ``weights`` None stands for the model's own."""
    part = result.folder.with_name(f".{result.folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with without_progress_bars():
        model.save_pretrained(part, state_dict=weights)
    _write_result(result, part)
    shutil.rmtree(result.folder, ignore_errors=True)
    part.replace(result.folder)


def _write_result(result: TrainResult, folder: Path) -> None:
    import pyarrow as pa

    from compliance_xai.records import write_table

    write_table(pa.Table.from_pandas(result.log, preserve_index=False), folder / "log.parquet")
    write_table(pa.Table.from_pandas(result.token_losses, preserve_index=False), folder / "token_losses.parquet")
    values = {name: getattr(result, name) for name in ("trained", "parameters", "micro_batch", "notes")}
    (folder / DONE).write_text(json.dumps(values) + "\n", encoding="utf-8")


def read_result(folder: Path | str) -> TrainResult:
    """What a finished fine-tuning left in its folder."""
    import pandas as pd

    folder = Path(folder)
    values = json.loads((folder / DONE).read_text(encoding="utf-8"))
    return TrainResult(
        pd.read_parquet(folder / "log.parquet"),
        pd.read_parquet(folder / "token_losses.parquet"),
        folder=folder,
        **values | {"notes": tuple(values["notes"])},
    )
