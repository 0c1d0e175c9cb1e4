# The grid of one study: a rule for every job that is not done, each of which executes one notebook.
#   snakemake --cores 2 --config study=studies/quick.yaml
# `compliance-xai study run` and `make book` call it with quieter output and a profile of profiles/: local, or slurm.
# Manifests say what is done, not file times: a job that is done has no rule, and what it would have made is nobody's
# input. The output of a job is a token, named by the digest of everything that decides the job's page.
import re
import shlex
import sys

from compliance_xai.pipeline.grid import find_states, make_jobs
from compliance_xai.pipeline.resources import plan_needs, share_needs
from compliance_xai.study.settings import load_study

STUDY = config.get("study", "studies/embedded.yaml")
study = load_study(STUDY)
jobs = make_jobs(study)
pending = [name for name, state in find_states(jobs).items() if state != "done"]
if workflow.is_main_process:
    for name in pending:  # damaged results of the same key
        jobs[name].token.unlink(missing_ok=True)
needs = {}
if "gpus" in config and pending:  # from a cluster's profile; its jobs read this file again
    device = {"gpus": config["gpus"], "tflops": config.get("tflops"), "small": config.get("small", 0)}
    planned = plan_needs(study, jobs, **device) if workflow.is_main_process else None
    needs = share_needs(study.folder / "needs.json", planned)


def command(job):
    """What runs a job, as a parameter that Snakemake takes as it is; braces in plain text would be wildcards."""
    limit = [str(config["limit"])] if "limit" in config else []
    words = [sys.executable, "-m", "compliance_xai.pipeline.execution", STUDY, job.name, *limit]
    return lambda wildcards: shlex.join(words)


def urgency(job):
    """Training first, then larger scales; of the comparisons faithfulness: what takes longest must not run alone."""
    first = {"finetune": 10, "faithfulness": 5}
    return first.get(job.stage, 0) + (study.scales.index(job.scale) if job.scale else 0)


def resources_of(name):
    """What a job asks a scheduler for, twice as much in its second attempt; what is not planned is left to the profile."""
    if name not in needs:
        return {}
    asked = {"mem_mb": needs[name].memory, "runtime": needs[name].minutes, "gpu": needs[name].gpus}
    growing = {key: lambda wildcards, attempt, value=value: value * attempt for key, value in asked.items() if value}
    return growing | ({"gpu": asked["gpu"]} if asked["gpu"] else {})


def group_of(name):
    return needs[name].group if name in needs else None


rule all:
    input:
        [str(jobs[name].token) for name in pending],


for number, job in enumerate(jobs.values()):
    if job.name in pending:

        rule:
            name:
                re.sub(r"\W", "_", f"run_{job.name}_{number}")  # "lora+" and "lora-" would be one name
            input:
                [str(jobs[name].token) for name in (*job.waits, *job.needs) if name in pending],
            output:
                touch(str(job.token)),
            params:
                command=command(job),
            threads: study.threads
            group: group_of(job.name)
            resources:
                **resources_of(job.name),
            priority: urgency(job)
            shell:
                "{params.command}"
