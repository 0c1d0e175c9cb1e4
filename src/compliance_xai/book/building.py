"""Builds the book: contents by model size, a page for every run, a gate before the build, and the build itself."""

import filecmp
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from compliance_xai.book.markup import render
from compliance_xai.errors import InputError
from compliance_xai.files import digest, read_package_data, sha256_file
from compliance_xai.machine import describe_machine, package_versions
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.execution import keep_page, validate_notebook
from compliance_xai.pipeline.grid import STAGES, check_page, pages_folder, stages_of, verify
from compliance_xai.pipeline.manifests import peek_manifest, read_manifest
from compliance_xai.pipeline.running import Plan, count_states
from compliance_xai.pipeline.stores import is_kept, keep_file, read_kept, write_changed
from compliance_xai.pipeline.summary_stage import DESCRIPTION, STORED
from compliance_xai.pipeline.workshop import PAGES, SOURCES, find_lessons, write_pages
from compliance_xai.study.folders import find_data_folder, find_project_folder
from compliance_xai.study.settings import Cell, Study

CONTENTS = read_package_data(Path(__file__).with_name("contents.yaml"))
PROVENANCE = "provenance"
OVERVIEW = "overview"
STORED_PAGES = Path("book") / "runs" / "stored"
EXPLORER = "book/explorer"
FIRST_STAGES = ("corpus", "ladder")
SHORT = 12
"""Characters of a hash that tables show; run pages and manifests hold the whole."""
LAST_STAGES = ("compare_strategies", "compare_sizes", "faithfulness", "contexts", "findings", "summary")


def make_toc(study: Study, present: Iterable[str] | None = None) -> dict[str, Any]:
    """A study's table of contents, in the order of its scales and strategies.

    Parameters
    ----------
    study
        The study.
    present
        Names of the executed notebooks to list; all of the study's where absent.
    """
    base, listed_pages = f"book/runs/{study.name}", None if present is None else set(present)

    def list_pages(names: Iterable[str]) -> list[dict[str, Any]]:
        return [{"file": f"{base}/{name}"} for name in names if listed_pages is None or name in listed_pages]

    runs = [
        _make_chapter(f"{base}/{cell.scale}-{cell.strategy}", list_pages(_notebooks(study, cell)))
        for cell in study.cells()
    ]
    overview = {"file": f"{base}/{OVERVIEW}", "sections": runs}
    own = [*list_pages(FIRST_STAGES), overview, *list_pages(LAST_STAGES)]
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
    for name, job in plan.jobs.items():
        state, problems = plan.states[name], []
        if job.page.is_file():
            problems = validate_notebook(job.page) or check_page(job, peek_manifest(job.folder), content=True)
        if state == "failed" and not partial:
            problems = [f"its last attempt failed and is kept in {job.failed_page}"]
        elif state == "not run" and not partial:
            problems = problems or ["it was not run"]
        elif state != "done" and not partial:
            problems = problems or verify({name: job}).get(name, ["it was changed since"])
        if problems:
            expected = "a notebook that ran to its end with the present settings"
            remedy = f"Run 'compliance-xai study run {plan.study.name}', then build again."
            raise InputError(f"notebook {job.page}", expected=expected, found=problems[0], remedy=remedy)
    return [name for name, job in plan.jobs.items() if job.page.is_file()]


def write_overview(plan: Plan) -> list[Path]:
    """Write the coverage page and a page for every run; returns their paths."""
    folder = pages_folder(plan.study.name)
    pages = {OVERVIEW: format_overview(plan), PROVENANCE: format_provenance(plan)}
    pages |= {f"{cell.scale}-{cell.strategy}": format_cell(plan, cell) for cell in plan.study.cells()}
    return [write_changed(folder / f"{name}.md", text) for name, text in pages.items()]


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
    distinct = distinct or [describe_machine() | package_versions()]
    return render(
        "provenance.md",
        machines=[(_frame(machine, "what", "which"), machines.count(machine)) for machine in distinct],
        shipped=_frame(_shipped(), "file", "SHA-256"),
        jobs=jobs,
        minutes=jobs["seconds"].sum() / 60 if machines else 0.0,
        stages=len(stages_of(plan.study)),
        lessons=[(lesson.label.capitalize(), lesson.find_page()) for lesson in find_lessons()],
    )


def _shipped() -> dict[str, str]:
    """SHA-256 of the files that decide results: studies, the corpus's sums, the ladder's weights."""
    project, data = find_project_folder(), find_data_folder()
    patterns = ("synthetic/SHA256SUMS", "ladders/*/ladder.yaml", "ladders/*/*/*.safetensors", "workshop/*.safetensors")
    found = {path.relative_to(project): path for path in sorted(project.glob("studies/*.yaml"))}
    found |= {Path("data", path.relative_to(data)): path for each in patterns for path in sorted(data.glob(each))}
    found |= {path.relative_to(project): path for path in project.glob("requirements.lock")}
    return {name.as_posix(): sha256_file(path) for name, path in found.items()}


def _frame(values: dict[str, str], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(values.items(), columns=list(columns))


def _cell_state(plan: Plan, cell: Cell) -> str:
    """The state of a cell's worst notebook."""
    states = {plan.states[name] for name in _notebooks(plan.study, cell)}
    return next(state for state in ("failed", "not run", "stale", "damaged", "done") if state in states)


def build(plan: Plan, *, partial: bool = False) -> tuple[Path, bool]:
    """Build the book of a study with warnings as errors; gives its first page, and whether it was built now.

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
        return index, False
    before = read_kept(stamp).strip()
    stamp.unlink(missing_ok=True)
    if before != plan.study.name:
        # Pages of another study would stay behind, reachable by search.
        for name in ("html", ".doctrees", ".jupyter_cache"):
            shutil.rmtree(output / name, ignore_errors=True)
    _call_jupyter_book(project, toc, output / "book.log")
    keep_file(stamp, key, lambda: plan.study.name)
    return index, True


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
        found, remedy = "; ".join(telling[:5]) or f"exit status {status}", f"The whole output is in {log}."
        raise InputError("the book", expected="a build without a warning", found=found, remedy=remedy)
