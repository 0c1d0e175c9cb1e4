"""A study of a thousand cells: little is done for each cell, and texts are measured once for each model size."""

import time

import pytest

from compliance_xai.models.planning import Device
from compliance_xai.pipeline import plans
from compliance_xai.pipeline.grid import verify
from compliance_xai.pipeline.running import make_plan

STRATEGIES = 334
LIMIT = 20
"""Seconds of processor time; five or so without other work."""


@pytest.fixture
def many(tmp_path):
    """A study of 1,002 cells on the embedded ladder, none of which has run."""
    lines = "".join(f"  lora_{rank}: {{kind: lora, rank: {rank + 1}, steps: 10}}\n" for rank in range(STRATEGIES))
    head = "name: many_cells\ntitle: Many cells\nladder: embedded\nscales: [0.3m, 1m, 4m]\nstrategies:\n"
    path = tmp_path / "many.yaml"
    path.write_text(head + lines, encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_thousand_cells_are_planned_and_verified_in_seconds(many, monkeypatch):
    measured = []
    measure = plans.measure_texts
    monkeypatch.setattr(plans, "measure_texts", lambda rung, *rest: measured.append(rung.name) or measure(rung, *rest))
    start = time.process_time()
    plan = make_plan(many)
    assert set(plan.states.values()) == {"not run"}
    assert len(plan.jobs) == 3 * 3 * STRATEGIES + 8
    cells = plans.plan_study(plan.study, Device("a node", 1e12, 1e12))
    assert len(cells) == 3 * STRATEGIES
    assert measured == ["0.3m", "1m", "4m"]
    assert len(verify(plan.jobs)) == len(plan.jobs)
    assert time.process_time() - start < LIMIT
