# The grid of one study: a rule for every job, each of which executes one notebook.
#   snakemake --cores 2 --config study=studies/quick.yaml
# `compliance-xai study run` and `make book` call it with quieter output; clusters use Snakemake's own executors.
# A rule's parameters carry the digest of everything that decides its results. They alone say what is stale, so inputs
# are "ancient": file times do not matter, and prose edited in one notebook re-executes that notebook only.
import json
import re
import shlex
import sys

from compliance_xai.grid import make_jobs, source_hash
from compliance_xai.study import load_study

STUDY = config.get("study", "studies/embedded.yaml")
study = load_study(STUDY)
jobs = make_jobs(study)


rule all:
    input:
        [str(job.page) for job in jobs.values()],


for job in jobs.values():

    rule:
        name:
            re.sub(r"\W", "_", f"run_{job.name}")
        input:
            [ancient(str(jobs[name].page)) for name in job.needs],
        output:
            str(job.page),
        params:
            command=shlex.join([sys.executable, "-m", "compliance_xai.execution", STUDY, job.name]),
            key=job.key,
            source=source_hash(job),
            settings=json.dumps(job.settings, sort_keys=True),
        threads: study.threads
        shell:
            "{params.command}"
