"""The stage that compares focus under every protocol: at equal compute, at equal loss, each at its best."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.attribution.focus import MEASURES
from compliance_xai.pipeline.joining import join_trained, keep_evaluated
from compliance_xai.pipeline.stages import StageResult, Work, read_stage, run_stage
from compliance_xai.stats.paired_tests import compare_strategies
from compliance_xai.stats.summary import summarise_measures
from compliance_xai.study.settings import Study

FOCUS = (*MEASURES, "total_mass")


def compare_protocols(study: Study | Path | str) -> StageResult:
    """Compare the strategies' focus under each of the study's protocols.

    Returns
    -------
    StageResult
        ``picks`` (of the stage ``pick``), ``summary`` (``summarise_measures``, every split) and ``pairs``
        (``compare_strategies``, the evaluated split), each with ``protocol`` in front. A cell that a protocol did
        not reach is in neither; a comparison that lacks it has no row.
    """
    return run_stage(study, "compare_protocols", work=_work)


def _work(work: Work) -> None:
    import pandas as pd

    bootstrap = work.study.thresholds.bootstrap
    focus = join_trained(work, "focus", stage="attribute_picked")
    summaries, pairs = [], []
    for protocol in work.study.protocols:
        block = focus[focus["protocol"] == protocol].drop(columns=["protocol", "step"])
        summary = summarise_measures(
            block, FOCUS, by=("scale", "strategy", "split", "method", "baseline", "sign"), bootstrap=bootstrap
        )
        compared = compare_strategies(keep_evaluated(work, block), FOCUS, bootstrap=bootstrap)
        for frame, collected in ((summary, summaries), (compared, pairs)):
            frame.insert(0, "protocol", protocol)
            collected.append(frame)
    work.write_frame(read_stage(work.study, "pick").picks, "picks")
    work.write_frame(pd.concat(summaries, ignore_index=True), "summary")
    work.write_frame(pd.concat(pairs, ignore_index=True), "pairs")
