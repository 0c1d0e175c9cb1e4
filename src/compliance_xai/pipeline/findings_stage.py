"""The findings stage: a verdict on every claim, from the tests and thresholds that the study declares."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from compliance_xai.pipeline.raw_frames import DECLARED, declare
from compliance_xai.pipeline.stages import StageResult, Work, run_stage
from compliance_xai.stats.claims import FRAMES, findings_frame, findings_to_json, judge, statements_frame
from compliance_xai.stats.declared import declared_to_json
from compliance_xai.stats.further_findings import observations_frame, observe
from compliance_xai.study.settings import Study


def findings(study: Study | Path | str) -> StageResult:
    """Judge the claims under study, and report what was found beside them.

    Returns
    -------
    StageResult
        ``findings``: one row per claim, a column per field of ``claims.Finding``; also as ``findings.json``, with the
        statements behind each verdict. ``statements``: one row per comparison (``statements.Statement``).
        ``observations``: one row per further finding (``further_findings.Observation``). ``declared.json``: the
        study's design (``declared.Declared``).
    """
    return run_stage(study, "findings", work=_work)


def _work(work: Work) -> None:
    declared = declare(work.study)
    frames: dict[str, pd.DataFrame] = {}
    for stage, tables in FRAMES.items():
        result = work.result(stage)
        frames |= {name: result[table] for name, table in tables.items()}
    strategies, contexts = work.result("compare_strategies"), work.result("contexts")
    beside = {name: strategies[name] for name in ("patterns", "sources", "remaining", "literals")}
    found = judge(declared, frames)
    work.write_frame(findings_frame(found), "findings")
    work.write_frame(statements_frame(found), "statements")
    work.write_frame(observations_frame(observe(declared, beside | {"held_out": contexts["held_out"]})), "observations")
    (work.folder / "findings.json").write_text(findings_to_json(found), encoding="utf-8")
    (work.folder / DECLARED).write_text(declared_to_json(declared), encoding="utf-8")
