"""What a cluster's scheduler is asked for, from the planner."""

import pytest

from compliance_xai.errors import InputError
from compliance_xai.pipeline.grid import make_jobs
from compliance_xai.pipeline.resources import MINUTES, plan_needs, share_needs
from compliance_xai.pipeline.running import make_plan, run_plan
from compliance_xai.study.settings import load_study


def test_memory_time_and_gpus_follow_the_planner(tmp_path):
    study = load_study("quick")
    jobs = make_jobs(study)
    slow = plan_needs(study, jobs, gpus=1, tflops=0.001, small=60)
    fast = plan_needs(study, jobs, gpus=0, tflops=10, small=60)
    assert slow["1m-full-finetune"].minutes > 60 > fast["1m-full-finetune"].minutes >= MINUTES
    assert slow["1m-full-finetune"].memory > slow["corpus"].memory > 2000
    assert {name for name, needs in slow.items() if needs.gpus} == {
        "faithfulness",
        *(name for name in jobs if name.startswith("1m-")),
    }
    assert not any(needs.gpus for needs in fast.values())
    groups = {needs.group for name, needs in slow.items() if name.startswith("1m-full")}
    assert groups == {None}  # each is long enough to be a job of its own
    assert {needs.group for needs in fast.values()} == {"first", "cells", "comparisons", None}
    assert [name for name, needs in fast.items() if needs.group is None] == ["faithfulness"]
    path = tmp_path / "study" / "needs.json"
    assert share_needs(path, slow) == slow == share_needs(path, None)


def test_what_cannot_be_planned_is_left_to_the_profile(toy, capsys):
    study = load_study(toy.study)
    needs = plan_needs(study, make_jobs(study), gpus=0, tflops=1, small=60)
    assert needs["s-full-finetune"].minutes is None
    assert "Memory and time are not planned, every job gets the defaults:" in capsys.readouterr().err


def test_an_unknown_profile_is_refused(toy):
    with pytest.raises(InputError, match=r"--profile: expected one of local, slurm, found 'slrum'"):
        run_plan(make_plan(toy.study), cores=1, profile="slrum")
