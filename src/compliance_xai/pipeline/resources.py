"""What each notebook asks a cluster's scheduler for: memory, time and GPUs, planned from the sizes of its model."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compliance_xai.errors import InputError
from compliance_xai.pipeline.grid import Job
from compliance_xai.study.settings import Study

if TYPE_CHECKING:
    from compliance_xai.models.planning import CellPlan

SPARE_TIME, SPARE_MEMORY = 3.0, 1.25
"""Factors on what is planned: a scheduler ends what exceeds its share."""

MINUTES = 15
"""For what every notebook does: import libraries, read tables, draw."""

HOURS_OF = {"finetune": "training", "generate": "generation", "attribute": "attribution"}
"""Stage of a cell -> the name of its time in a plan."""


class Needs(NamedTuple):
    """Megabytes of main memory, minutes (None if unknown) and GPUs of one notebook.

    ``group``: the name of the small notebooks that may share one of the scheduler's jobs with it, or None.
    """

    memory: int
    minutes: int | None
    gpus: int
    group: str | None


def share_needs(path: Path, needs: Mapping[str, Needs] | None) -> dict[str, Needs]:
    """Leave the needs for the processes that the scheduler will start; they (``needs`` is None) read them back."""
    if needs is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(needs), encoding="utf-8")
        return dict(needs)
    return {name: Needs(*values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}


def plan_needs(
    study: Study, jobs: Mapping[str, Job], *, gpus: int, tflops: float | None, small: int
) -> dict[str, Needs]:
    """The needs of every job, on machines with ``gpus`` that sustain ``tflops`` (10^12 operations per second).

    Where the time of generation is unknown, it is taken to be that of attribution. The notebooks of a cell are grouped
    if they take fewer than ``small`` minutes together.
    """
    # Only the process that plans imports these, not every job of the cluster.
    from compliance_xai.models.planning import LIBRARIES, Device
    from compliance_xai.pipeline.plans import plan_study

    flops = None if tflops is None else tflops * 1e12
    device = Device("a node", float("inf"), flops, bfloat16=gpus > 0, libraries=LIBRARIES)
    cells: list[CellPlan] = []
    try:
        cells = plan_study(study, device)
    except InputError as error:
        print(f"Memory and time are not planned, every job gets the defaults: {error}", file=sys.stderr)
    needs = {}
    for name, job in jobs.items():
        if job.scale is None and job.stage != "faithfulness":
            group = "first" if job.stage in ("corpus", "ladder") else "comparisons"
            needs[name] = Needs(_megabytes(LIBRARIES), MINUTES, 0, group)
            continue
        used = [cell for cell in cells if job.scale is None or (job.scale, job.strategy) == (cell.scale, cell.strategy)]
        sizes = [cell.memory.peak if job.stage == "finetune" else cell.inference for cell in used]
        together = _minutes(*(_hours(cell, stage) for cell in used for stage in HOURS_OF))
        group = "cells" if job.scale and together is not None and together < small else None
        minutes = _minutes(*(_hours(cell, job.stage) for cell in used))
        needs[name] = Needs(_megabytes(max(sizes, default=LIBRARIES)), minutes, gpus, group)
    return needs


def _hours(cell: CellPlan, stage: str) -> float | None:
    """Of one stage; a device of known speed decodes at an unknown one."""
    hours = cell.hours[HOURS_OF.get(stage, stage)]
    return cell.hours["attribution"] if hours is None else hours


def _megabytes(size: float) -> int:
    """With room for what a notebook holds beside the model: tables, figures, the page."""
    return round((SPARE_MEMORY * size + 2e9) / 1e6)


def _minutes(*hours: float | None) -> int | None:
    known = [value for value in hours if value is not None]
    return MINUTES + round(60 * SPARE_TIME * sum(known)) if known and len(known) == len(hours) else None
