"""The stage that compares focus under every protocol: at equal compute, at equal loss, each at its best."""

from __future__ import annotations

from pathlib import Path

from compliance_xai import stats
from compliance_xai.focus import MEASURES
from compliance_xai.stages.common import StageResult, Work, read_stage, run_stage
from compliance_xai.stages.joining import join_trained, keep_evaluated
from compliance_xai.study import Study

FOCUS = (*MEASURES, "total_mass")


def compare_protocols(study: Study | Path | str) -> StageResult:
    """Compare the strategies' focus under each of the study's protocols.

    Returns
    -------
    StageResult
        ``picks`` (of the stage ``pick``), ``summary`` (``stats.summarise_measures``) and ``pairs``
        (``stats.compare_strategies``, on the evaluated split), each with ``protocol`` in front. A cell that a protocol
        did not reach is in neither; a comparison that lacks it has no row.
    """
    return run_stage(study, "compare_protocols", work=_work)


def _work(work: Work) -> None:
    import pandas as pd

    bootstrap = work.study.thresholds.bootstrap
    focus = join_trained(work, "focus", stage="attribute_picked")
    summaries, pairs = [], []
    for protocol in work.study.protocols:
        block = focus[focus["protocol"] == protocol].drop(columns=["protocol", "step"])
        summary = stats.summarise_measures(
            block, FOCUS, by=("scale", "strategy", "split", "method", "baseline", "sign"), bootstrap=bootstrap
        )
        compared = stats.compare_strategies(keep_evaluated(work, block), FOCUS, bootstrap=bootstrap)
        for frame, collected in ((summary, summaries), (compared, pairs)):
            frame.insert(0, "protocol", protocol)
            collected.append(frame)
    work.write_frame(read_stage(work.study, "pick").picks, "picks")
    work.write_frame(pd.concat(summaries, ignore_index=True), "summary")
    work.write_frame(pd.concat(pairs, ignore_index=True), "pairs")
