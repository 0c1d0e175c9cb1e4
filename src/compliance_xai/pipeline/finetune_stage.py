"""The fine-tune stage: one rung with one strategy, every seed."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from compliance_xai.models import finetuning
from compliance_xai.models.checkpoints import Checkpoints
from compliance_xai.models.finetuning import TrainResult
from compliance_xai.models.launch import launch, read_config
from compliance_xai.models.loading import load_base
from compliance_xai.models.strategies import load_trained, movement_frame
from compliance_xai.pipeline.cells import choose_prompt, fit_settings, rung_of
from compliance_xai.pipeline.stage_examples import load_examples, read_split
from compliance_xai.pipeline.stages import CHECKPOINTS, Work, open_work, stage
from compliance_xai.records import write_frame
from compliance_xai.study.settings import Study, dump_study, load_study
from compliance_xai.study.strategy_settings import StrategySettings

MODULE = "compliance_xai.pipeline.finetune_stage"
"""What launched processes run."""


@stage
def finetune(work: Work) -> dict[str, pd.DataFrame]:
    """Fine-tune one rung with one strategy, once for every seed; finished seeds of an interrupted run are kept.

    Returns
    -------
    StageResult
        ``log``: ``seed``, ``step``, ``split`` (train or validation), ``loss`` (nats per rule token), ``tokens`` (seen
        so far). ``token_losses``: ``seed``, ``token``, ``count``, ``loss`` on the validation split. ``summary``:
        ``seed``, ``trained`` and ``parameters`` (counts), ``validation_loss`` (at the end), ``tokens``. ``movement``:
        ``seed`` and the columns of ``strategies.movement_frame``. ``timing``: ``seed``, ``seconds``,
        ``peak_memory_bytes`` (largest of the process so far), ``micro_batch`` (pairs at once), ``notes``; the only
        table that differs from run to run.
    """
    scale, strategy = work.cell
    settings, rung = work.study.settings_of(scale, strategy), rung_of(work.study, scale)
    tables: dict[str, list[pd.DataFrame]] = {"log": [], "token_losses": [], "movement": [], "summary": [], "timing": []}
    for seed in work.study.seeds_of(strategy, scale):

        def train(folder: Path, seed: int = seed) -> None:
            (_launch_seed if work.study.launch.config else _train_seed)(work, seed, folder)

        key = training_key(work, seed)
        piece = work.make_piece(f"seed-{seed}", train, key=key)

        def measure(folder: Path, trained: Path = piece.folder) -> None:
            # In 32 bits: an update is often smaller than the spacing of bfloat16. On the CPU, where two copies fit.
            place: Any = {"dtype": "float32", "device_map": "cpu"}
            moved = movement_frame(load_base(rung, **place), load_trained(rung, settings, trained, **place)[0])
            write_frame(moved, folder / "movement.parquet")

        # A piece of its own: a training that is done stays done if this fails, for lack of memory for example.
        movement = work.make_piece(f"movement-{seed}", measure, key=key)
        result = finetuning.read_result(piece.folder)
        summary = {
            "trained": result.trained,
            "parameters": result.parameters,
            "validation_loss": result.last_loss,
            "tokens": int(result.log["tokens"].max()),
        }
        timing = {
            "seconds": piece.seconds,
            "peak_memory_bytes": piece.peak_memory_bytes,
            "micro_batch": result.micro_batch,
            "notes": "; ".join(result.notes),
        }
        moved = pd.read_parquet(movement.folder / "movement.parquet")
        found = (result.log, result.token_losses, moved, pd.DataFrame([summary]), pd.DataFrame([timing]))
        for frames, frame in zip(tables.values(), found, strict=True):
            frames.append(frame.assign(seed=seed))
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    return {name: frame[["seed", *frame.columns.drop("seed")]] for name, frame in joined.items()}


def assist_cell(study: Study, scale: str, strategy: str) -> None:
    """Lend this machine's processes to a cell that machine 0 fine-tunes and keeps; writes nothing."""
    work = open_work(study, "finetune", scale, strategy)
    for seed in study.seeds_of(strategy, scale):
        if work.find_piece(f"seed-{seed}", training_key(work, seed)) is None:
            _launch_seed(work, seed, work.folder / f"seed-{seed}")


def training_key(work: Work, seed: int) -> str:
    """The key of one seed's training, which other seeds do not change."""
    settings = {name: value for name, value in work.job.settings.items() if name != "seeds"}
    return work.key_from((), settings=settings, code=work.job.code, seed=seed)


def train_seed(
    work: Work, seed: int, out: Path, settings: StrategySettings, checkpoints: Checkpoints | None = None
) -> TrainResult:
    """Train one seed of a cell on the study's pairs, with these settings."""
    study, rung = work.study, rung_of(work.study, work.cell[0])
    splits, fitted, prompt = load_examples(study), fit_settings(settings, rung), choose_prompt(study, rung)
    pairs = (read_split(study, name, splits) for name in ("train", "validation"))
    return finetuning.finetune(
        rung, work.cell[1], fitted, *pairs, seed=seed, out=out, template=prompt, checkpoints=checkpoints
    )


def _train_seed(work: Work, seed: int, folder: Path) -> None:
    """Train one seed in this process, or as one of the processes that ``_launch_seed`` started."""
    checkpoints = Checkpoints(work.folder / CHECKPOINTS / f"seed-{seed}", training_key(work, seed))
    train_seed(work, seed, folder, work.study.settings_of(*work.cell), checkpoints)


def _launch_seed(work: Work, seed: int, folder: Path) -> None:
    """Train one seed on the processes that the study's accelerate config asks for."""
    settings = work.study.launch
    values = read_config(settings.config or "", settings.change)
    with tempfile.TemporaryDirectory() as temporary:
        study = Path(temporary) / "study.yaml"
        study.write_text(dump_study(work.study), encoding="utf-8")
        launch(values, MODULE, [str(study), *work.cell, str(seed), str(folder)])


def main(arguments: list[str]) -> None:
    """What each launched process runs: study file, scale, strategy, seed and folder."""
    study_file, scale, strategy, seed, folder = arguments
    study = load_study(study_file)
    _train_seed(open_work(study, "finetune", scale, strategy), int(seed), Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
