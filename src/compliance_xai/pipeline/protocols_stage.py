"""The protocols stage: picks checkpoints at equal compute, at equal loss and each at its best, and compares focus."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from compliance_xai.attribution.focus import MEASURES, focus_frame
from compliance_xai.models.finetuning import evaluated_weights, read_result
from compliance_xai.pipeline.attribute_stage import attribute_seed, noise_floor, open_reader
from compliance_xai.pipeline.cells import weights_folder
from compliance_xai.pipeline.code_keys import code_digest
from compliance_xai.pipeline.joining import join_trained, keep_evaluated
from compliance_xai.pipeline.stage_examples import attributed_examples
from compliance_xai.pipeline.stages import StageResult, Work, run_stage
from compliance_xai.stats.contrasts import compare_strategies
from compliance_xai.stats.protocols import pick_checkpoints
from compliance_xai.stats.summary import summarise_measures
from compliance_xai.study.settings import Study

FOCUS = (*MEASURES, "total_mass")


def protocols(study: Study | Path | str) -> StageResult:
    """Compare the strategies' focus under each of the study's protocols; one training serves all of them.

    The attributions of last checkpoints come from the stage ``attribute``; a checkpoint that two protocols picked is
    attributed once, and again only where its training or the way of attributing changed.

    Returns
    -------
    StageResult
        ``picks`` (``protocols.pick_checkpoints``); ``losses``: every checkpoint with ``scale, strategy, seed, step,
        loss`` (validation, nats per rule token) and ``pairs`` (seen up to there); ``focus``: ``scale``, ``strategy``,
        ``protocol``, ``step`` and the columns of ``focus.focus_frame``, of the reached checkpoints; ``summary``
        (``summarise_measures``, every split) and ``pairs`` (``compare_strategies``, the evaluated split), each with
        ``protocol`` in front. A cell that a protocol did not reach is in neither; a comparison that lacks it has no
        row.
    """
    return run_stage(study, "protocols", work=_work)


def _work(work: Work) -> None:
    bootstrap = work.study.thresholds.bootstrap
    losses = _read_losses(work)
    picks = pick_checkpoints(losses, work.study.protocols, tolerance=work.study.thresholds.matched_loss)
    focus = _attribute_picked(work, picks[picks["reached"]])
    summaries, pairs = [], []
    for protocol in work.study.protocols:
        block = focus[focus["protocol"] == protocol].drop(columns=["protocol", "step"])
        summary = summarise_measures(
            block, FOCUS, by=("scale", "strategy", "split", "method", "baseline", "sign"), bootstrap=bootstrap
        )
        compared = compare_strategies(keep_evaluated(work, block), FOCUS)
        for frame, collected in ((summary, summaries), (compared, pairs)):
            frame.insert(0, "protocol", protocol)
            collected.append(frame)
    work.write_frame(losses, "losses")
    work.write_frame(picks, "picks")
    work.write_frame(focus, "focus")
    work.write_frame(pd.concat(summaries, ignore_index=True), "summary")
    work.write_frame(pd.concat(pairs, ignore_index=True), "pairs")


def _read_losses(work: Work) -> pd.DataFrame:
    log = join_trained(work, "log")
    losses = log[(log["split"] == "validation") & (log["step"] > 0)]
    cells = zip(losses["scale"], losses["strategy"], strict=True)
    batches = [work.study.settings_of(*cell).batch_size for cell in cells]
    losses = losses.assign(pairs=losses["step"] * batches)
    return losses[["scale", "strategy", "seed", "step", "loss", "pairs"]].reset_index(drop=True)


def _attribute_picked(work: Work, picks: pd.DataFrame) -> pd.DataFrame:
    """Focus at every reached checkpoint, a block for each protocol that picked it."""
    frames = []
    for cell in work.study.cells():
        own = picks[(picks["scale"] == cell.scale) & (picks["strategy"] == cell.strategy)]
        for seed, step in own[["seed", "step"]].drop_duplicates().itertuples(index=False):
            focus = _read_focus(work, *cell, int(seed), int(step))
            members = own[(own["seed"] == seed) & (own["step"] == step)]
            for protocol in members["protocol"]:
                block = focus.assign(protocol=protocol, step=int(step))
                block.insert(0, "scale", cell.scale)
                block.insert(1, "strategy", cell.strategy)
                frames.append(block)
    if not frames:  # no checkpoint was reached
        cell = next(cell for cell in work.study.cells() if work.study.strategies[cell.strategy].trains)
        empty = work.result("attribute", *cell)["focus"].head(0)
        frames = [empty.assign(scale="", strategy="", protocol="", step=0)]
    return pd.concat(frames, ignore_index=True)


def _read_focus(work: Work, scale: str, strategy: str, seed: int, step: int) -> pd.DataFrame:
    """Focus of one seed at one step."""
    weights = evaluated_weights(read_result(weights_folder(work.study, scale, strategy, seed) or ""))
    chosen = work.study.attribution
    baselines = chosen.picked_baselines
    if step == max(weights):
        focus = work.result("attribute", scale, strategy)["focus"]
        focus = focus[focus["seed"] == seed]
        if baselines is None:
            return focus
        return focus[focus["baseline"].isin(baselines) & (focus["method"] == chosen.method)]

    mark = f"{scale}-{strategy}-seed-{seed}-step-{step}"
    code = code_digest(["pipeline.protocols_stage"])  # the job that attributes the cell stands for the rest
    key = work.key_from([f"{scale}-{strategy}-attribute"], baselines=baselines, seed=seed, step=step, code=code)

    def read(folder: Path) -> None:
        reader = open_reader(work, scale, strategy, seed, weights=weights[step])
        examples = attributed_examples(work.study)
        rows, checks = attribute_seed(reader, examples, seed, mark=mark, baselines=baselines, key=key)
        focus_frame(rows, floor=noise_floor(checks)).to_parquet(folder / "focus.parquet", index=False)

    return pd.read_parquet(work.make_piece(f"read/{mark}", read, key=key).folder / "focus.parquet")
