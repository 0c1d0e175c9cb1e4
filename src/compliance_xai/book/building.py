"""Builds the book: contents by model size, a page for every run, a gate before the build, and the build itself."""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from compliance_xai.book.colophon import format_provenance
from compliance_xai.book.markup import render
from compliance_xai.errors import InputError
from compliance_xai.files import digest, read_package_data, sha256_file
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.execution import keep_page, validate_notebook
from compliance_xai.pipeline.grid import STAGES, check_page, pages_folder, stages_of, verify
from compliance_xai.pipeline.manifests import peek_manifest, read_manifest
from compliance_xai.pipeline.running import Plan, count_states
from compliance_xai.pipeline.stores import is_kept, keep_file, read_kept, write_changed
from compliance_xai.pipeline.summary_stage import DESCRIPTION, STORED
from compliance_xai.pipeline.workshop import PAGES, SOURCES, find_lessons, write_pages
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.settings import Cell, Study

CONTENTS = read_package_data(Path(__file__).with_name("contents.yaml"))
PROVENANCE = "provenance"
OVERVIEW = "overview"
STORED_PAGES = Path("book") / "runs" / "stored"
EXPLORER = "book/explorer"
FIRST_STAGES = ("corpus", "ladder")
LAST_STAGES = ("compare_strategies", "compare_sizes", "faithfulness", "contexts", "findings", "summary")


@dataclass(frozen=True)
class Built:
    """The built book's first page, and whether it was built now or was there already."""

    index: Path
    rebuilt: bool


def make_toc(study: Study, present: Iterable[str] | None = None) -> dict[str, Any]:
    """A study's table of contents, in the order of its scales and strategies.

    Parameters
    ----------
    study
        The study.
    present
        Names of the executed notebooks to list; all of the study's where absent.
    """
    base = f"book/runs/{study.name}"
    whole = set(stages_of(study))
    names = whole.intersection((*FIRST_STAGES, *LAST_STAGES))
    names |= {name for cell in study.cells() for name in _notebooks(study, cell)}
    present = names if present is None else names & set(present)
    runs = []
    for cell in study.cells():
        sections = [f"{base}/{name}" for name in _notebooks(study, cell) if name in present]
        runs.append(_make_chapter(f"{base}/{cell.scale}-{cell.strategy}", [{"file": file} for file in sections]))
    first, last = ([{"file": f"{base}/{name}"} for name in stages if name in present]
                   for stages in (FIRST_STAGES, LAST_STAGES))  # fmt: skip
    own = [*first, {"file": f"{base}/{OVERVIEW}", "sections": runs}, *last]
    parts = []
    for caption, listed in CONTENTS.items():
        chapters: list[dict[str, Any]] = []
        for name in listed:
            if name == "study":
                caption = f"Study: {study.title}"
                chapters += [*own, {"file": EXPLORER}, {"file": f"{base}/{PROVENANCE}"}]
            elif name == "lessons":
                chapters += [{"file": f"{PAGES.as_posix()}/{lesson.name}"} for lesson in find_lessons()]
            elif isinstance(name, dict):
                ((chapter, stored),) = name.items()
                kept = (find_project_folder() / STORED / stored / DESCRIPTION).is_file()
                page = [{"file": f"{STORED_PAGES.as_posix()}/{stored}"}] if kept else []
                chapters.append(_make_chapter(f"book/{chapter}", page))
            else:
                chapters.append({"file": f"book/{name}"})
        parts.append({"caption": caption, "chapters": chapters})
    return {"format": "jb-book", "root": "book/index", "parts": parts}


def _make_chapter(file: str, sections: list[dict[str, Any]]) -> dict[str, Any]:
    return {"file": file, "sections": sections} if sections else {"file": file}


def format_toc(toc: Mapping[str, Any]) -> str:
    """A table of contents as YAML."""
    head = "# Written by 'compliance-xai book toc'; the default study's pages, smallest models first.\n"
    return head + yaml.safe_dump(dict(toc), sort_keys=False, allow_unicode=True)


def _notebooks(study: Study, cell: Cell) -> list[str]:
    """Names of a cell's notebooks; an untouched base has none of fine-tuning."""
    return [f"{cell.scale}-{cell.strategy}-{stage}" for stage in stages_of(study, cell.strategy)]


def check_pages(plan: Plan, *, partial: bool = False) -> list[str]:
    """The gate: the names of the pages that may go into the book.

    Parameters
    ----------
    plan
        The study and the states of its jobs.
    partial
        Whether pages may be missing, stale or older than an attempt that failed; the coverage page says which are.
        Broken ones stop the build all the same.

    Raises
    ------
    InputError
        If a notebook did not run to its end or was altered, or (unless ``partial``) failed, is missing or stale.
    """
    present = []
    for name, job in plan.jobs.items():
        state = plan.states[name]
        problems = []
        if job.page.is_file():
            problems = validate_notebook(job.page) or check_page(job, peek_manifest(job.folder), content=True)
        if state == "failed" and not partial:
            problems = [f"its last attempt failed and is kept in {job.failed_page}"]
        elif not problems and state != "done" and not partial:
            problems = (
                ["it was not run"] if state == "not run" else verify({name: job}).get(name, ["it was changed since"])
            )
        if problems:
            raise InputError(
                f"notebook {job.page}",
                expected="a notebook that ran to its end with the present settings",
                found=problems[0],
                remedy=f"Run 'compliance-xai study run {plan.study.name}', then build again.",
            )
        if job.page.is_file():
            present.append(name)
    return present


def write_overview(plan: Plan) -> list[Path]:
    """Write the coverage page and a page for every run; returns their paths."""
    folder = pages_folder(plan.study.name)
    pages = {OVERVIEW: format_overview(plan), PROVENANCE: format_provenance(plan)}
    pages |= {f"{cell.scale}-{cell.strategy}": format_cell(plan, cell) for cell in plan.study.cells()}
    written = []
    for name, text in pages.items():
        written.append(write_changed(folder / f"{name}.md", text))  # so Sphinx reads it again only if it changed
    return written


def format_overview(plan: Plan) -> str:
    """The coverage page: what is done, stale, failed or not run for every model size and strategy."""
    runs = {cell: _cell_state(plan, cell) for cell in plan.study.cells()}
    stages = []
    for stage in (STAGES[name] for name in stages_of(plan.study)):
        members = [job for job in plan.jobs.values() if job.stage == stage.name]
        states = count_states(plan.states[job.name] for job in members)
        seconds = sum(manifest["wall_seconds"] for job in members if (manifest := read_manifest(job.folder)))
        stages.append((stage.title, len(members), states, seconds))
    return render("overview.md", study=plan.study, runs=runs, counts=count_states(runs.values()), stages=stages)


def format_cell(plan: Plan, cell: Cell) -> str:
    """One run's page: its settings, and its notebooks with their state, time and memory."""
    jobs = [plan.jobs[name] for name in _notebooks(plan.study, cell)]
    notebooks = [(STAGES[job.stage].title, job, plan.states[job.name], read_manifest(job.folder)) for job in jobs]
    values = {"scale": cell.scale, "strategy": cell.strategy, "project": find_project_folder()}
    return render("run.md", study=plan.study, notebooks=notebooks, **values)


def _cell_state(plan: Plan, cell: Cell) -> str:
    """The state of a cell's worst notebook."""
    states = {plan.states[name] for name in _notebooks(plan.study, cell)}
    return next(state for state in ("failed", "not run", "stale", "damaged", "done") if state in states)


def build(plan: Plan, *, partial: bool = False) -> Built:
    """Build the book of a study with warnings as errors.

    Nothing is built where nothing changed since the last build: pages, texts, settings of the book and code.

    Raises
    ------
    InputError
        If the gate refuses a page, or the build ends with a warning or an error; names the log.
    """
    from compliance_xai.book.explorer import write_explorer
    from compliance_xai.book.live_model import write_live_models
    from compliance_xai.book.parts import write_parts

    project = find_project_folder()
    present = check_pages(plan, partial=partial)
    written = write_overview(plan)
    toc = project / "book" / "runs" / "_toc.yml"
    toc.write_text(format_toc(make_toc(plan.study, present)), encoding="utf-8")
    stored = write_stored_pages()
    collect_assets(project, [plan.study.name, SOURCES, STORED_PAGES.name])
    write_parts(project, plan)
    write_explorer(plan.study, project)
    write_live_models(plan, project)
    lessons = write_pages()
    output = project / "_build"
    index, stamp = output / "html" / "book" / "index.html", output / "stamp.txt"
    pages = [plan.jobs[name].page for name in present]
    key = _describe_sources(project, [toc, *written, *pages, *lessons, *stored])
    if index.is_file() and is_kept(stamp, key):
        return Built(index, rebuilt=False)
    before = read_kept(stamp).strip()
    stamp.unlink(missing_ok=True)
    if before != plan.study.name:
        # Pages of another study would stay behind, reachable by search.
        for name in ("html", ".doctrees", ".jupyter_cache"):
            shutil.rmtree(output / name, ignore_errors=True)
    _call_jupyter_book(project, toc, output / "book.log")
    keep_file(stamp, key, lambda: plan.study.name)
    return Built(index, rebuilt=True)


def collect_assets(project: Path, studies: Iterable[str]) -> Path:
    """Fill ``book/runs/_static`` with the files of the studies' figures, where pages link to; gives that folder.

    Unchanged files are left alone, files of figures that are gone are removed. Works for a study that has not run.
    """
    static, results, kept = project / "book" / "runs" / "_static", project / "results", set()
    static.mkdir(parents=True, exist_ok=True)
    for path in sorted(path for study in studies for path in (results / study).rglob("figures/*")):
        if path.suffix in (".png", ".svg", ".csv") and not path.name.startswith("."):
            target = static.joinpath("figures", *(p for p in path.relative_to(results).parts if p != "figures"))
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_file() or not filecmp.cmp(path, target, shallow=False):
                shutil.copyfile(path, target)
            kept.add(target)
    for stale in [path for path in (static / "figures").rglob("*") if path.is_file() and path not in kept]:
        stale.unlink()
    return static


def write_stored_pages() -> list[Path]:
    """The summary of every stored study as a page: the summary notebook, executed once for its tables and the code."""
    project, written = find_project_folder(), []
    notebook = project / "notebooks" / STAGES["summary"].notebook
    for folder in sorted(path.parent for path in project.joinpath(STORED).glob(f"*/{DESCRIPTION}")):
        files = {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()}
        key = digest([sha256_file(notebook), code_digest(ROOMS), files])
        values = {"study": (STORED / folder.name).as_posix()}
        place, title = project / "results" / "stored" / folder.name / "page", f"Summary: {folder.name}"
        page = keep_page(place, key, notebook, values, name=folder.name, title=title)
        written.append(write_changed(project / STORED_PAGES / page.name, page.read_text(encoding="utf-8")))
    return written


def _describe_sources(project: Path, generated: Iterable[Path]) -> str:
    """Digest of everything that the built book is made from."""
    static = [path for path in project.joinpath("book").rglob("*") if path.is_file()]
    runs = project / "book" / "runs"
    kept = [path for path in static if not path.is_relative_to(runs) or path.is_relative_to(runs / "_static")]
    kept += [path for path in runs.glob("*.md") if path.is_file()]
    files = sorted({project / "_config.yml", *kept, *generated})
    hashes = {str(path.relative_to(project)): sha256_file(path) for path in files if "__pycache__" not in path.parts}
    return digest({"files": hashes, "code": code_digest(ROOMS)})


def _call_jupyter_book(project: Path, toc: Path, log: Path) -> None:
    # jupyter-book 1 has no `python -m`; its script may not be on PATH where the environment is not activated.
    start = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "build", str(project), "--toc", str(toc)]
    command += ["-W", "-n", "--keep-going", "-q"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        status = subprocess.run(command, cwd=project, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    if status:
        lines = log.read_text(encoding="utf-8").splitlines()
        telling = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-5:]
        raise InputError(
            "the book",
            expected="a build without a warning",
            found="; ".join(telling[:5]) or f"exit status {status}",
            remedy=f"The whole output is in {log}.",
        )
