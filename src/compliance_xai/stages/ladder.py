"""The ladder stage: describes the base models of a study."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.models import load_ladder
from compliance_xai.stages.common import StageResult, Work, run_stage
from compliance_xai.study import Study


def describe_ladder(study: Study | Path | str) -> StageResult:
    """Describe the study's base models, smallest first.

    Returns
    -------
    StageResult
        ``rungs``: one row per scale with ``scale``, ``parameters`` (int), ``path``, ``revision``, ``licence``,
        ``template`` and ``description`` (str).
    """
    return run_stage(study, "ladder", work=_work)


def _work(work: Work) -> None:
    import pandas as pd

    rungs = {rung.name: rung for rung in load_ladder(work.study.ladder).rungs}
    rows = []
    for scale in work.study.scales:
        rung = rungs[scale]
        folder = Path(rung.path)
        if folder.is_dir():
            work.read(*sorted(path for path in folder.iterdir() if path.is_file()))
        rows.append(
            {
                "scale": scale,
                "parameters": rung.parameters,
                "path": folder.name if folder.is_dir() else str(rung.path),
                "revision": rung.revision or "",
                "licence": rung.licence or "",
                "template": rung.template or "",
                "description": rung.description or "",
            }
        )
    work.write_frame(pd.DataFrame(rows), "rungs")
