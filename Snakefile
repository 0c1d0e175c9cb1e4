# The grid of one study: a rule for every job, each of which executes one notebook.
#   snakemake --cores 2 --config study=studies/quick.yaml
# `compliance-xai study run` and `make book` call it with quieter output; clusters use Snakemake's own executors.
# A rule's parameters carry the digest of everything that decides its results. They say what is stale, not file times:
# only jobs that are to run wait for each other, so prose edited in one notebook re-executes that notebook only.
import json
import re
import shlex
import sys

from compliance_xai.pipeline.grid import find_states, make_jobs, source_hash
from compliance_xai.study.settings import load_study

STUDY = config.get("study", "studies/embedded.yaml")
study = load_study(STUDY)
jobs = make_jobs(study)
states = find_states(jobs)


def literal(text):
    """A parameter that Snakemake takes as it is; braces in plain text would be wildcards."""
    return lambda wildcards: text


def urgency(job):
    """Training first, then larger scales, and of the comparisons faithfulness: what takes longest must not run alone."""
    first = {"finetune": 10, "faithfulness": 5}
    return first.get(job.stage, 0) + (study.scales.index(job.scale) if job.scale else 0)


rule all:
    input:
        [str(job.page) for job in jobs.values()],


for number, job in enumerate(jobs.values()):

    rule:
        name:
            re.sub(r"\W", "_", f"run_{job.name}_{number}")  # "lora+" and "lora-" would be one name
        input:
            [str(jobs[name].page) for name in (*job.waits, *job.needs) if states[name] != "done"],
        output:
            str(job.page),
        params:
            command=literal(shlex.join([sys.executable, "-m", "compliance_xai.pipeline.execution", STUDY, job.name])),
            key=job.key,
            source=source_hash(job),
            settings=literal(json.dumps(job.settings, sort_keys=True)),
        threads: study.threads
        priority: urgency(job)
        shell:
            "{params.command}"
