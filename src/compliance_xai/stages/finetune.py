"""The fine-tune stage: one rung with one strategy, every seed."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.models import load_base
from compliance_xai.records import write_table
from compliance_xai.stages.cells import choose_prompt, find_rung, fit_settings
from compliance_xai.stages.common import StageResult, Work, run_stage
from compliance_xai.stages.examples import load_examples, require_split
from compliance_xai.strategies import load_trained, movement_frame
from compliance_xai.study import Study, load_study
from compliance_xai.train import Checkpoints, finetune, read_result

CHECKPOINTS = "checkpoints"


def finetune_cell(study: Study | Path | str, scale: str, strategy: str) -> StageResult:
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
    study = study if isinstance(study, Study) else load_study(study)
    return run_stage(study, "finetune", scale, strategy, work=_work, seeds=study.seeds_of(strategy))


def _work(work: Work) -> None:
    import pandas as pd
    import pyarrow as pa

    _, strategy = work.cell
    rung = find_rung(work)
    settings = fit_settings(work.study.settings_of(*work.cell), rung)
    splits = load_examples(work.study)
    train, validation = (require_split(work.study, splits, name) for name in ("train", "validation"))
    tables: dict[str, list[pd.DataFrame]] = {"log": [], "token_losses": [], "movement": [], "summary": [], "timing": []}
    for seed in work.study.seeds_of(strategy):

        def train_seed(folder: Path, seed: int = seed) -> None:
            finetune(
                rung,
                strategy,
                settings,
                train,
                validation,
                seed=seed,
                out=folder,
                template=choose_prompt(work, rung),
                checkpoints=Checkpoints(work.folder / CHECKPOINTS / f"seed-{seed}", f"{work.job.key} seed {seed}"),
            )

            trained, _ = load_trained(rung, settings, folder)
            moved = movement_frame(load_base(rung), trained)
            write_table(pa.Table.from_pandas(moved, preserve_index=False), folder / "movement.parquet")

        piece = work.make_piece(f"seed-{seed}", train_seed)
        result = read_result(piece.folder)
        validation_log = result.log[result.log["split"] == "validation"]
        summary = {
            "trained": result.trained,
            "parameters": result.parameters,
            "validation_loss": float(validation_log["loss"].iloc[-1]),
            "tokens": int(result.log["tokens"].max()),
        }
        timing = {
            "seconds": piece.seconds,
            "peak_memory_bytes": piece.peak_memory_bytes,
            "micro_batch": result.micro_batch,
            "notes": "; ".join(result.notes),
        }
        tables["movement"].append(pd.read_parquet(piece.folder / "movement.parquet").assign(seed=seed))
        tables["log"].append(result.log.assign(seed=seed))
        tables["token_losses"].append(result.token_losses.assign(seed=seed))
        tables["summary"].append(pd.DataFrame([{"seed": seed, **summary}]))
        tables["timing"].append(pd.DataFrame([{"seed": seed, **timing}]))
    for name, frames in tables.items():
        frame = pd.concat(frames, ignore_index=True)
        work.write_frame(frame[["seed", *(column for column in frame if column != "seed")]], name)
