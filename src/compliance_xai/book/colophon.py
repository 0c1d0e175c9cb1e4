"""The book's provenance page: versions, hashes, machine and times of everything, from the manifests of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from compliance_xai.book.markdown import raw_html
from compliance_xai.figures.tables import table_html
from compliance_xai.files import sha256_file
from compliance_xai.machine import describe_machine, package_versions
from compliance_xai.pipeline.grid import stages_of
from compliance_xai.pipeline.manifests import Manifest, read_manifest
from compliance_xai.pipeline.workshop import find_lessons
from compliance_xai.study.folders import find_data_folder, find_project_folder

if TYPE_CHECKING:
    from compliance_xai.pipeline.running import Plan

SHORT = 12
"""Characters of a hash that tables show; run pages and manifests hold the whole."""


def format_provenance(plan: Plan) -> str:
    """The page as Markdown; jobs without results are listed as such."""
    manifests = {name: read_manifest(job.folder) for name, job in plan.jobs.items()}
    made = [manifest for manifest in manifests.values() if manifest]
    lines = [
        "# Provenance",
        "",
        "What made the numbers in this book, read from the manifests that every stage writes last.",
    ]
    lines += ["", "## Machine and versions", "", *_describe_machines(made)]
    lines += [
        "## Shipped data and models",
        "",
        raw_html(_table(_shipped(), "Files and their SHA-256", ("file", "SHA-256"))),
    ]
    lines += ["", "## Every notebook", ""]
    lines += [f"All of them together took {sum(manifest['wall_seconds'] for manifest in made) / 60:.1f} minutes.", ""]
    lines += [raw_html(_jobs(plan, manifests)), "", "## Lessons", "", *_lessons()]
    return "\n".join(lines) + "\n"


def _describe_machines(manifests: Iterable[Manifest]) -> list[str]:
    """One table for each machine and set of versions that took part; usually one."""
    found: dict[str, tuple[dict[str, str], int]] = {}
    for manifest in manifests:
        values = {**manifest["machine"], **manifest["versions"]}
        count = found.get(str(values), (values, 0))[1]
        found[str(values)] = (values, count + 1)
    if not found:
        found["now"] = ({**describe_machine(), **package_versions()}, 0)
    lines = []
    for values, count in found.values():
        caption = (
            f"{count} notebooks ran on this machine with these versions" if count else "This machine; nothing was run"
        )
        lines += [raw_html(_table(values, caption, ("what", "which"))), ""]
    return lines


def _shipped() -> dict[str, str]:
    """The files that decide results: studies, the corpus's sums, the ladder's weights."""
    project, data = find_project_folder(), find_data_folder()
    files = [*sorted(project.glob("studies/*.yaml")), *sorted(data.glob("synthetic/SHA256SUMS"))]
    files += [*sorted(data.glob("ladders/*/ladder.yaml")), *sorted(data.glob("ladders/*/*/*.safetensors"))]
    files += [path for path in (project / "requirements.lock",) if path.is_file()]
    return {_name(path): sha256_file(path) for path in files}


def _name(path: Any) -> str:
    project, data = find_project_folder(), find_data_folder()
    inside = path.relative_to(project) if path.is_relative_to(project) else "data" / path.relative_to(data)
    return inside.as_posix()


def _jobs(plan: Plan, manifests: Mapping[str, Manifest | None]) -> str:
    rows = []
    for name, job in plan.jobs.items():
        manifest = manifests[name]
        row: dict[str, Any] = {"notebook": job.label, "state": plan.states[name]}
        if manifest:
            row |= {
                "started (UTC)": manifest["started"].removesuffix("+00:00").replace("T", " "),
                "seconds": manifest["wall_seconds"],
                "memory (MiB)": manifest["peak_memory_bytes"] / 2**20,
                "key": manifest["key"][:SHORT],
                "code": manifest["code"][:SHORT],
            }
        rows.append(row)
    formats = {"seconds": ".1f", "memory (MiB)": ".0f"}
    counts = f"{len(plan.jobs)} notebooks in {len(stages_of(plan.study))} stages"
    return table_html(pd.DataFrame(rows), caption=counts, formats=formats)


def _lessons() -> list[str]:
    lines = []
    for lesson in find_lessons():
        kept = lesson.find_page()
        took = f"{kept.seconds:.0f} s" if kept else "*not executed* (`make workshop`)"
        lines.append(f"- {lesson.label.capitalize()}: {took}")
    return lines


def _table(values: Mapping[str, str], caption: str, headings: tuple[str, str]) -> str:
    return table_html(pd.DataFrame(values.items(), columns=list(headings)), caption=caption, code=("SHA-256",))
