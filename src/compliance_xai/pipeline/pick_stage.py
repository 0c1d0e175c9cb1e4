"""The stage that picks checkpoints: which one of each training a protocol compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.pipeline.joining import join_trained
from compliance_xai.pipeline.stages import StageResult, Work, run_stage
from compliance_xai.stats.protocols import pick_checkpoints
from compliance_xai.study.settings import Study

if TYPE_CHECKING:
    import pandas as pd


def pick_protocols(study: Study | Path | str) -> StageResult:
    """Pick, for each of the study's protocols, one checkpoint of every training.

    Returns
    -------
    StageResult
        ``picks`` (``protocols.pick_checkpoints``) and ``losses``: every checkpoint with ``scale, strategy, seed, step,
        loss`` (validation, nats per rule token) and ``pairs`` (seen up to there).
    """
    return run_stage(study, "pick", work=_work)


def _work(work: Work) -> None:
    losses = _read_losses(work)
    picks = pick_checkpoints(losses, work.study.protocols, tolerance=work.study.thresholds.matched_loss)
    work.write_frame(losses, "losses")
    work.write_frame(picks, "picks")


def _read_losses(work: Work) -> pd.DataFrame:
    log = join_trained(work, "log")
    losses = log[(log["split"] == "validation") & (log["step"] > 0)]
    cells = zip(losses["scale"], losses["strategy"], strict=True)
    batches = [work.study.settings_of(*cell).batch_size for cell in cells]
    losses = losses.assign(pairs=losses["step"] * batches)
    return losses[["scale", "strategy", "seed", "step", "loss", "pairs"]].reset_index(drop=True)
