"""The findings stage: a verdict on every claim, from the tests and thresholds that the study declares."""

import pandas as pd

from compliance_xai.pipeline.raw_frames import DECLARED, declare
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.stats.claims import FRAMES, Finding, findings_to_json, judge
from compliance_xai.stats.declared import declared_to_json
from compliance_xai.stats.frames import records_frame
from compliance_xai.stats.further_findings import Observation, observe
from compliance_xai.stats.statements import Statement


@stage
def findings(work: Work) -> dict[str, pd.DataFrame]:
    """Judge the claims under study, and report what was found beside them.

    Returns
    -------
    StageResult
        ``findings``: one row per claim, a column per field of ``claims.Finding``; also as ``findings.json``, with the
        statements behind each verdict. ``statements``: one row per comparison (``statements.Statement``).
        ``observations``: one row per further finding (``further_findings.Observation``). ``declared.json``: the
        study's design (``declared.Declared``).
    """
    declared = declare(work.study)
    frames: dict[str, pd.DataFrame] = {}
    for name, tables in FRAMES.items():
        result = work.result(name)
        frames |= {frame: result[table] for frame, table in tables.items()}
    strategies, contexts = work.result("compare_strategies"), work.result("contexts")
    beside = {name: strategies[name] for name in ("patterns", "sources", "remaining", "literals")}
    found = judge(declared, frames)
    observed = observe(declared, beside | {"held_out": contexts["held_out"]})
    work.new_file("findings.json").write_text(findings_to_json(found), encoding="utf-8")
    work.new_file(DECLARED).write_text(declared_to_json(declared), encoding="utf-8")
    return {
        "findings": records_frame(found, Finding, without=("statements", "beside")),
        "statements": records_frame((statement for one in found for statement in one.statements), Statement),
        "observations": records_frame(observed, Observation),
    }
