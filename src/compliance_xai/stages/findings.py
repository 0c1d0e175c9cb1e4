"""The findings stage: a verdict on every claim, from the study's declared thresholds."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.findings import findings_frame, findings_to_json, judge
from compliance_xai.provenance import MANIFEST
from compliance_xai.stages.common import StageResult, Work, read_stage, run_stage
from compliance_xai.study import Study


def judge_claims(study: Study | Path | str) -> StageResult:
    """Decide the claims under study.

    Returns
    -------
    StageResult
        ``findings``: one row per claim, a column per field of ``findings.Finding``; also as ``findings.json``.
    """
    return run_stage(study, "findings", work=_work)


def _work(work: Work) -> None:
    study = work.study
    strategies, scales = read_stage(study, "compare_strategies"), read_stage(study, "compare_scales")
    work.read(strategies.folder / MANIFEST, scales.folder / MANIFEST)
    findings = judge(
        study.thresholds,
        corpus=study.corpus.source,
        ladder=str(study.ladder),
        kinds={name: settings.kind for name, settings in study.strategies.items()},
        distances=strategies.distance_tests,
        effects=strategies.effects,
        pairs=strategies.pairs,
        trends=scales.trends,
        equivalence=scales.equivalence,
    )
    work.write_frame(findings_frame(findings), "findings")
    (work.folder / "findings.json").write_text(findings_to_json(findings), encoding="utf-8")
