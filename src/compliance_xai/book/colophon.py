"""The book's provenance page: versions, hashes, machine and times of everything, from the manifests of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from compliance_xai.book.markup import render
from compliance_xai.files import sha256_file
from compliance_xai.machine import describe_machine, package_versions
from compliance_xai.pipeline.grid import stages_of
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.pipeline.workshop import find_lessons
from compliance_xai.study.folders import find_data_folder, find_project_folder

if TYPE_CHECKING:
    from compliance_xai.pipeline.running import Plan

SHORT = 12
"""Characters of a hash that tables show; run pages and manifests hold the whole."""


def format_provenance(plan: Plan) -> str:
    """The page as Markdown; jobs without results are listed as such."""
    rows, machines = [], []
    for name, job in plan.jobs.items():
        row: dict[str, Any] = {"notebook": job.label, "state": plan.states[name]}
        if manifest := read_manifest(job.folder):
            machines.append({**manifest["machine"], **manifest["versions"]})
            row |= {
                "started (UTC)": manifest["started"].removesuffix("+00:00").replace("T", " "),
                "seconds": manifest["wall_seconds"],
                "memory (MiB)": manifest["peak_memory_bytes"] / 2**20,
                "key": manifest["key"][:SHORT],
                "code": manifest["code"][:SHORT],
            }
        rows.append(row)
    jobs = pd.DataFrame(rows)
    distinct = [machine for place, machine in enumerate(machines) if machine not in machines[:place]]
    counted = [(_frame(machine, "what", "which"), machines.count(machine)) for machine in distinct]
    return render(
        "provenance.md",
        machines=counted or [(_frame(describe_machine() | package_versions(), "what", "which"), 0)],
        shipped=_frame(_shipped(), "file", "SHA-256"),
        jobs=jobs,
        minutes=jobs["seconds"].sum() / 60 if machines else 0.0,
        stages=len(stages_of(plan.study)),
        lessons=[(lesson.label.capitalize(), lesson.find_page()) for lesson in find_lessons()],
    )


def _shipped() -> dict[str, str]:
    """SHA-256 of the files that decide results: studies, the corpus's sums, the ladder's weights."""
    project, data = find_project_folder(), find_data_folder()
    patterns = ("synthetic/SHA256SUMS", "ladders/*/ladder.yaml", "ladders/*/*/*.safetensors")
    found = {path.relative_to(project): path for path in sorted(project.glob("studies/*.yaml"))}
    found |= {Path("data", path.relative_to(data)): path for each in patterns for path in sorted(data.glob(each))}
    found |= {path.relative_to(project): path for path in project.glob("requirements.lock")}
    return {name.as_posix(): sha256_file(path) for name, path in found.items()}


def _frame(values: dict[str, str], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(values.items(), columns=list(columns))
