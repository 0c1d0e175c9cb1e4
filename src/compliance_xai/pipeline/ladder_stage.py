"""The ladder stage: describes the base models of a study."""

import dataclasses
from pathlib import Path

import pandas as pd

from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.study.ladders import load_ladder, require_size


@stage
def ladder(work: Work) -> dict[str, pd.DataFrame]:
    """Describe the study's base models, smallest first.

    Returns
    -------
    StageResult
        ``rungs``: one row per scale with ``scale``, ``parameters`` (int), ``path``, ``revision``, ``licence``,
        ``template`` (plain or chat), ``dtype``, ``description`` (str), ``pinned`` (bool: whether another day gives the
        same weights) and, if the shape is known, the fields of ``rungs.Shape``.
    """
    models = load_ladder(work.study.ladder)
    rows = []
    for scale in work.study.scales:
        rung = models.rung(scale)
        folder = Path(rung.path)
        if rung.is_local:
            require_size(rung)
        rows.append(
            {
                "scale": scale,
                "parameters": rung.parameters,
                "path": folder.name if folder.is_dir() else str(rung.path),
                "revision": rung.revision or "",
                "licence": rung.licence or "",
                "template": rung.template,
                "dtype": rung.dtype,
                "pinned": rung.is_pinned,
                "description": rung.description,
                **(dataclasses.asdict(rung.shape) if rung.shape else {}),
            }
        )
    return {"rungs": pd.DataFrame(rows)}
