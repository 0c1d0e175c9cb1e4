"""The stage that reads the checkpoints that a protocol picked, where these are not the last ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.attribution.focus import focus_frame
from compliance_xai.models.finetuning import evaluated_weights, read_result
from compliance_xai.pipeline.attribute_stage import CHECKPOINTS, attribute_seed, noise_floor, open_reader
from compliance_xai.pipeline.cells import seed_folder
from compliance_xai.pipeline.stage_examples import attributed_examples
from compliance_xai.pipeline.stages import StageResult, Work, read_stage, run_stage
from compliance_xai.study.settings import Study, load_study

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.corpus.counterfactuals import Pool


def attribute_picked(study: Study | Path | str, scale: str, strategy: str) -> StageResult:
    """Attribute the checkpoints that the study's protocols picked of one cell.

    One training serves every protocol. What the stage ``attribute`` has read already, the last checkpoint, is taken
    from there; a checkpoint that two protocols picked is read once.

    Returns
    -------
    StageResult
        ``focus``: ``protocol``, ``step`` and the columns of ``focus.focus_frame``; protocols that did not reach the
        cell are left out.
    """
    study = study if isinstance(study, Study) else load_study(study)
    return run_stage(study, "attribute_picked", scale, strategy, work=_work, seeds=study.seeds_of(strategy))


def _work(work: Work) -> None:
    import pandas as pd

    scale, strategy = work.cell
    picks = read_stage(work.study, "pick").picks
    picks = picks[(picks["scale"] == scale) & (picks["strategy"] == strategy) & picks["reached"]]
    frames = []
    pools: dict[str, Pool] = {}
    for seed, step in picks[["seed", "step"]].drop_duplicates().itertuples(index=False):
        focus = _read_focus(work, int(seed), int(step), pools)
        members = picks[(picks["seed"] == seed) & (picks["step"] == step)]
        frames += [focus.assign(protocol=protocol, step=int(step)) for protocol in members["protocol"]]
    work.clear_once()
    empty = read_stage(work.study, "attribute", scale, strategy).focus.head(0).assign(protocol="", step=0)
    work.write_frame(pd.concat(frames, ignore_index=True) if frames else empty, "focus")
    shutil.rmtree(work.folder / CHECKPOINTS, ignore_errors=True)


def _read_focus(work: Work, seed: int, step: int, pools: dict[str, Pool]) -> pd.DataFrame:
    """Focus of one seed at one step."""
    weights = evaluated_weights(read_result(seed_folder(work, seed) or ""))
    chosen = work.study.attribution
    baselines = chosen.picked_baselines
    if step == max(weights):
        focus = read_stage(work.study, "attribute", *work.cell).focus
        focus = focus[focus["seed"] == seed]
        if baselines is None:
            return focus
        return focus[focus["baseline"].isin(baselines) & (focus["method"] == chosen.method)]
    reader = open_reader(work, weights[step], pools)
    examples = attributed_examples(work.study)
    rows, checks = attribute_seed(reader, examples, seed, mark=f"-step-{step}", baselines=baselines)
    return focus_frame(rows, floor=noise_floor(checks))
