"""Fine-tunes one rung with one strategy and seed, and saves weights and log."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from compliance_xai.errors import InputError
from compliance_xai.files import write_atomic
from compliance_xai.models.batches import encode_examples
from compliance_xai.models.checkpoints import Checkpoints, Progress
from compliance_xai.models.launch import connect
from compliance_xai.models.loading import ignored_settings, load_base, load_tokenizer, require_room_for_tokens
from compliance_xai.models.prompts import DEFAULT_TEMPLATE, Prompt, make_template, share_lost
from compliance_xai.models.strategies import apply_strategy, count_parameters, merge_adapters, save_trained
from compliance_xai.models.training_loop import (
    Loop,
    choose_precision,
    make_optimizer,
    recompute_activations,
    validation_losses,
)
from compliance_xai.records import Example, write_frame
from compliance_xai.study.ladders import Rung
from compliance_xai.study.strategy_settings import HYBRIDS, StrategySettings

_log = logging.getLogger(__name__)

DONE = "training_complete.json"
"""Written last into a seed's folder."""

PHASE_SEED = 7919
"""Added to the seed of a second phase, so that its pairs come in another order than those of the first."""


@dataclass(frozen=True)
class TrainResult:
    """The result of one fine-tuning, as its folder holds it beside the weights.

    ``log``: one row per logged point: ``step``, ``split`` (train or validation), ``loss`` (nats per rule token),
    ``tokens`` (rule and prompt tokens seen so far). ``token_losses``: validation loss by target token: ``token``,
    ``count``, ``loss`` (nats, mean), most frequent first. ``trained``, ``parameters``: trained and all parameters.
    ``micro_batch``: pairs of one forward pass, at the end. ``notes``: what a reader should know, such as a lack of
    memory.
    """

    log: pd.DataFrame
    token_losses: pd.DataFrame
    trained: int
    parameters: int
    folder: Path
    micro_batch: int
    notes: tuple[str, ...] = ()

    @property
    def last_loss(self) -> float:
        """Validation loss at the end, nats per rule token."""
        return float(self.log.loc[self.log["split"] == "validation", "loss"].iloc[-1])


def finetune(
    rung: Rung,
    strategy: str,
    settings: StrategySettings,
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    seed: int,
    out: Path | str,
    template: Prompt = DEFAULT_TEMPLATE,
    checkpoints: Checkpoints | None = None,
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
        Where an interrupted run kept its state and this one keeps its own; removed at the end. By default none is kept.

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
        expected, found = "at least one training and one validation pair", f"{len(train)} and {len(validation)}"
        remedy = "Ask for more pairs in the study's corpus settings."
        raise InputError(f"strategy {strategy!r}", expected=expected, found=found, remedy=remedy)
    accelerator = connect(settings.batch_size)
    tokenizer, precision = load_tokenizer(rung), choose_precision(settings, rung.parameters)
    model = prepare_model(rung, settings, accelerator, precision)
    require_room_for_tokens(rung, tokenizer, model)
    limit = getattr(model.config, "max_position_embeddings", None)
    chosen = make_template(tokenizer, template)
    rows, held_out = (encode_examples(tokenizer, examples, chosen, limit) for examples in (train, validation))
    asked = settings.micro_batch or settings.batch_size
    reached, counts = Progress(asked, notes=_note_before(rung, tokenizer, [example.rule for example in train])), (0, 0)
    for number, phase in enumerate(settings.phases):
        # DeepSpeed does not share its optimiser's state, so an interrupted training starts again there.
        resumable = accelerator.distributed_type.name != "DEEPSPEED"
        states = checkpoints.of_phase(number) if checkpoints and resumable else None
        if checkpoints and checkpoints.of_phase(number + 1).last():
            continue  # a later phase has all its weights in its own checkpoint
        model = apply_strategy(merge_adapters(model), phase, seed=seed)
        counts = count_parameters(model)
        model, optimizer = accelerator.prepare(model, make_optimizer(model, phase))
        reached = (states.restore(model, optimizer) if states else None) or reached.next_phase()
        reached.micro_batch = min(reached.micro_batch, asked)
        order = seed + number * PHASE_SEED
        loop = Loop(model, optimizer, accelerator, phase, rows, held_out, order, precision, reached, states)
        loop.run()
        model = accelerator.unwrap_model(model) if number + 1 < len(settings.phases) else model
    _, token_losses = validation_losses(model, tokenizer, held_out, by_token=True, batch_size=4 * reached.micro_batch)
    log = pd.DataFrame(reached.rows, columns=["step", "split", "loss", "tokens"])
    facts = {"trained": counts[0], "parameters": counts[1], "micro_batch": reached.micro_batch, "notes": reached.notes}
    weights = accelerator.get_state_dict(model) if accelerator.num_processes > 1 else None
    if accelerator.is_main_process:
        with write_atomic(out) as part:
            part.mkdir()
            save_trained(accelerator.unwrap_model(model), part, weights)
            for name, frame in (("log", log), ("token_losses", token_losses)):
                write_frame(frame, part / f"{name}.parquet")
            (part / DONE).write_text(json.dumps(facts) + "\n", encoding="utf-8")
        if checkpoints:
            shutil.rmtree(checkpoints.folder, ignore_errors=True)
    accelerator.wait_for_everyone()
    return read_result(out)


def _note_before(rung: Rung, tokenizer: Any, rules: Sequence[str]) -> list[str]:
    """What a reader should know before training: rules that cannot be written, and settings that are ignored."""
    notes = []
    if lost := share_lost(tokenizer, rules):
        _log.warning("rung %r: %.1f %% of the rules cannot be written exactly", rung.name, 100 * lost)
        unmatched = "so none of those can be matched exactly"
        notes.append(f"the tokenizer cannot write {lost:.1%} of the training rules exactly, {unmatched}")
    if ignored := ", ".join(f"{name} {value}" for name, value in ignored_settings(rung).items()):
        notes.append(f"decoding is greedy; the settings in the model's generation_config.json are ignored ({ignored})")
    return notes


def prepare_model(rung: Rung, settings: StrategySettings, accelerator: Any, precision: str) -> Any:
    """The rung in memory, for a strategy to train.

    Trained weights are float32 whatever the passes compute in: an update is often smaller than the spacing of
    bfloat16. Frozen ones take the precision of the passes on a GPU, and are float32 on a CPU.
    """
    single = accelerator.distributed_type.name in ("NO", "MULTI_CPU", "MULTI_GPU")
    if accelerator.num_processes > 1:
        rung = replace(rung, device_map=None)  # every process has a device of its own
    model = load_base(
        rung,
        quantised=settings.kind == "qlora",
        dtype="float32" if settings.kind in ("full", *HYBRIDS) or accelerator.device.type == "cpu" else precision,
        device_map=("auto" if accelerator.num_processes == 1 else {"": accelerator.device}) if single else None,
    )
    if settings.gradient_checkpointing:
        recompute_activations(model)
    return model


def read_result(folder: Path | str) -> TrainResult:
    """The result that a finished fine-tuning saved in its folder."""
    folder = Path(folder)
    facts = json.loads((folder / DONE).read_text(encoding="utf-8"))
    log, token_losses = (pd.read_parquet(folder / f"{name}.parquet") for name in ("log", "token_losses"))
    return TrainResult(log, token_losses, folder=folder, **facts | {"notes": tuple(facts["notes"])})
