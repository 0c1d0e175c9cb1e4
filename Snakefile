# The grid of one study: a rule for every job that is not done, each of which executes one notebook.
#   snakemake --cores 2 --config study=studies/quick.yaml
# `compliance-xai study run` and `make book` call it with quieter output; clusters use Snakemake's own executors.
# Manifests say what is done, not file times: a job that is done has no rule, and what it would have made is nobody's
# input. The output of a job is a token, named by the digest of everything that decides the job's page.
import re
import shlex
import sys

from compliance_xai.pipeline.grid import find_states, make_jobs
from compliance_xai.study.settings import load_study

STUDY = config.get("study", "studies/embedded.yaml")
study = load_study(STUDY)
jobs = make_jobs(study)
pending = [name for name, state in find_states(jobs).items() if state != "done"]
if workflow.is_main_process:
    for name in pending:  # damaged results of the same key
        jobs[name].token.unlink(missing_ok=True)


def command(job):
    """What runs a job, as a parameter that Snakemake takes as it is; braces in plain text would be wildcards."""
    limit = ["--limit", str(config["limit"])] if "limit" in config else []
    words = [sys.executable, "-m", "compliance_xai.pipeline.execution", STUDY, job.name, *limit]
    return lambda wildcards: shlex.join(words)


def urgency(job):
    """Training first, then larger scales; of the comparisons faithfulness: what takes longest must not run alone."""
    first = {"finetune": 10, "faithfulness": 5}
    return first.get(job.stage, 0) + (study.scales.index(job.scale) if job.scale else 0)


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
            priority: urgency(job)
            shell:
                "{params.command}"
