"""What a run costs beyond its stages: processor seconds of the whole run, and of its stage functions in one process.

    python benchmarks/machinery.py [STUDY]

runs a study (``quick`` by default) twice in a project of its own, notebook by notebook as ``study run`` does it, and
then all its stage functions one after the other in a single process. The difference is what processes, imports,
pages and figures take. Processor time is counted, so other work on the machine changes little. ``--stages`` does only
the second, in the project that the environment names.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from keep import keep_result

from compliance_xai import pipeline
from compliance_xai.machine import describe_machine
from compliance_xai.pipeline.grid import make_jobs
from compliance_xai.study.folders import find_data_folder, find_project_folder
from compliance_xai.study.settings import load_study, resolve_study_path


def run_stages(study: str) -> None:
    """Every stage of a study in this process."""
    loaded = load_study(study)
    for job in make_jobs(loaded).values():
        getattr(pipeline, job.stage)(loaded, *((job.scale, job.strategy) if job.scale else ()))


def measure(command: list[str], project: Path) -> float:
    """Processor seconds of a command and all that it starts."""
    places = {"COMPLIANCE_XAI_PROJECT": str(project), "COMPLIANCE_XAI_DATA": str(find_data_folder())}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], cwd=project, env=os.environ | places, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_project(folder: Path, study: Path) -> Path:
    """A project with one study and the caches of this one, which a machine fills once."""
    for name in ("studies", "book"):
        (folder / name).mkdir(parents=True)
    here = find_project_folder()
    for name in ("notebooks", "profiles"):
        shutil.copytree(here / name, folder / name)
    shutil.copy(here / "Snakefile", folder)
    shutil.copy(study, folder / "studies")
    (here / ".cache").mkdir(exist_ok=True)
    (folder / ".cache").symlink_to(here / ".cache")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("study", nargs="?", default="quick")
    parser.add_argument("--stages", action="store_true")
    options = parser.parse_args()
    if options.stages:
        run_stages(options.study)
        return
    study = resolve_study_path(options.study)
    with tempfile.TemporaryDirectory() as folder:
        whole, alone = (make_project(Path(folder) / name, study) for name in ("whole", "alone"))
        run = measure(["-m", "compliance_xai.cli", "study", "run", study.stem], whole)
        stages = measure([__file__, "--stages", study.stem], alone)
        notebooks = len(list(whole.glob("book/runs/*/*.ipynb")))
    result = {
        "study": study.stem,
        "notebooks": notebooks,
        "run": round(run, 1),
        "stages": round(stages, 1),
        "machinery": round(run - stages, 1),
        "machine": describe_machine(),
    }
    text = (
        f"Processor seconds of the study `{study.stem}`, {notebooks} notebooks, {result['machine']['processor']}:\n\n"
        f"| whole run | its stage functions in one process | difference | for each notebook |\n|---|---|---|---|\n"
        f"| {run:.0f} | {stages:.0f} | {run - stages:.0f} | {(run - stages) / notebooks:.1f} |\n"
    )
    keep_result("machinery", result, text)


if __name__ == "__main__":
    main()
