"""The findings stage: a verdict on every claim, from the tests and thresholds that the study declares."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from compliance_xai.pipeline.stages import StageResult, Work, run_stage
from compliance_xai.stats.claim_records import findings_frame, findings_to_json
from compliance_xai.stats.claims import FRAMES, judge
from compliance_xai.study.settings import Study


def findings(study: Study | Path | str) -> StageResult:
    """Decide the claims under study.

    Returns
    -------
    StageResult
        ``findings``: one row per claim, a column per field of ``findings.Finding``; also as ``findings.json``.
    """
    return run_stage(study, "findings", work=_work)


def _work(work: Work) -> None:
    study = work.study
    frames: dict[str, pd.DataFrame] = {}
    cells: list[set[tuple[str, str]]] = []
    for stage, tables in FRAMES.items():
        result = work.result(stage)
        frames |= {name: result[table] for name, table in tables.items()}
        summary = result["summary" if stage == "compare_strategies" else "quality"]
        cells.append(set(summary[["scale", "strategy"]].itertuples(index=False, name=None)))
    found = judge(
        study.tests,
        study.thresholds,
        frames,
        corpus=study.corpus.source,
        ladder=str(study.ladder),
        kinds={name: settings.kind for name, settings in study.strategies.items()},
        method=study.attribution.method,
        missing=[
            *(f"{name} ({reason})" for name, reason in study.without.items()),
            *(f"{scale}/{name}" for scale, name in study.cells() if not all((scale, name) in own for own in cells)),
        ],
    )
    work.write_frame(findings_frame(found), "findings")
    (work.folder / "findings.json").write_text(findings_to_json(found), encoding="utf-8")
