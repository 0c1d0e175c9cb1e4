"""The provenance page: from manifests, for a study that ran in part."""

from compliance_xai.book.building import format_provenance
from compliance_xai.files import sha256_file
from compliance_xai.pipeline.execution import execute_job, make_parameters
from compliance_xai.pipeline.grid import make_jobs
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.pipeline.running import make_plan
from compliance_xai.study.settings import load_study


def test_every_notebook_machine_and_shipped_file_is_there(toy):
    jobs = make_jobs(load_study(toy.study))
    execute_job(jobs["corpus"], make_parameters(jobs["corpus"], toy.study))
    manifest = read_manifest(jobs["corpus"].folder)
    assert manifest is not None
    text = format_provenance(make_plan(toy.study))
    assert text.startswith("# Provenance\n")
    assert "1 notebooks ran on this machine" in text
    assert manifest["versions"]["torch"] in text
    assert manifest["key"][:12] in text
    assert sha256_file(toy.study) in text
    assert text.count("not run") == len(jobs) - 1


def test_a_study_that_was_not_run_says_so(toy):
    assert "This machine; nothing was run" in format_provenance(make_plan(toy.study))
