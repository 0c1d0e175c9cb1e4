"""Builds the book: contents in scale order, a page for every run, a gate before the build, and the build itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from compliance_xai.book.colophon import format_provenance
from compliance_xai.book.stored_studies import PAGES as STORED_PAGES
from compliance_xai.book.stored_studies import StoredStudy, write_stored_pages
from compliance_xai.errors import InputError
from compliance_xai.files import digest, sha256_file
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.execution import validate_notebook
from compliance_xai.pipeline.grid import STAGES, STATES, pages_folder, stages_of
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.pipeline.stores import is_kept, keep_file, read_kept, write_changed
from compliance_xai.pipeline.summary_stage import DESCRIPTION
from compliance_xai.pipeline.workshop import PAGES, SOURCES, find_lessons, write_pages
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.settings import Cell, Study

if TYPE_CHECKING:
    from compliance_xai.pipeline.running import Plan

BEFORE = (
    "The question",
    ("book/background", "book/method", "book/features", "book/rules", "book/strategies", "book/attribution"),
)
ELSEWHERE = ("The evidence", ("book/verdicts", "book/reference", "book/hybrids", "book/new_zealand", "book/power"))
CHAPTERS = {"book/reference": "reference", "book/hybrids": "hybrids", "book/new_zealand": "nzbc"}
"""Chapters about a stored study, whose summary is the section below them."""
WORKSHOP = ("Workshop", "book/workshop", "book/instructor")
AFTER = (
    "Using it",
    (
        *("book/limits", "book/practice", "book/reproduce", "book/scaling", "book/settings", "book/api"),
        *("book/glossary", "book/security", "book/references"),
    ),
)
PROVENANCE = "provenance"
OVERVIEW = "overview"
EXPLORER = "book/explorer"
FIRST_STAGES = ("corpus", "ladder")
LAST_STAGES = ("compare_strategies", "compare_scales", "faithfulness", "contexts", "findings", "summary")


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
    runs = [
        {
            "file": f"{base}/{cell.scale}-{cell.strategy}",
            "sections": [{"file": f"{base}/{name}"} for name in _notebooks(study, cell) if name in present],
        }
        for cell in study.cells()
    ]
    runs = [{key: value for key, value in run.items() if value} for run in runs]
    chapters: list[dict[str, Any]] = [{"file": f"{base}/{name}"} for name in FIRST_STAGES if name in present]
    chapters.append({"file": f"{base}/{OVERVIEW}", "sections": runs})
    chapters += [{"file": f"{base}/{name}"} for name in LAST_STAGES if name in present]
    chapters += [{"file": EXPLORER}, {"file": f"{base}/{PROVENANCE}"}]
    lessons = [f"{PAGES.as_posix()}/{lesson.name}" for lesson in find_lessons()]
    return {
        "format": "jb-book",
        "root": "book/index",
        "parts": [
            {"caption": BEFORE[0], "chapters": [{"file": file} for file in BEFORE[1]]},
            {"caption": f"Study: {study.title}", "chapters": chapters},
            {"caption": ELSEWHERE[0], "chapters": [_make_chapter(file) for file in ELSEWHERE[1]]},
            {"caption": WORKSHOP[0], "chapters": [{"file": file} for file in (WORKSHOP[1], *lessons, WORKSHOP[2])]},
            {"caption": AFTER[0], "chapters": [{"file": file} for file in AFTER[1]]},
        ],
    }


def _make_chapter(file: str) -> dict[str, Any]:
    name = CHAPTERS.get(file)
    if name is None or not StoredStudy(name).folder.joinpath(DESCRIPTION).is_file():
        return {"file": file}
    return {"file": file, "sections": [{"file": f"{STORED_PAGES.as_posix()}/{name}"}]}


def format_toc(toc: Mapping[str, Any]) -> str:
    """A table of contents as YAML."""
    head = "# Written by 'compliance-xai book toc'; the default study's pages in scale order.\n"
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
        If a notebook did not run to its end, or (unless ``partial``) failed, is missing or stale.
    """
    present = []
    for name, job in plan.jobs.items():
        state = plan.states[name]
        problems = validate_notebook(job.page) if job.page.is_file() else []
        if state == "failed" and not partial:
            problems = [f"its last attempt failed and is kept in {job.failed_page}"]
        elif not problems and state != "done" and not partial:
            problems = ["it was not run"] if state == "not run" else ["its settings, code or inputs changed since"]
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
    """The coverage page: what is done, stale, failed or not run for every scale and strategy."""
    study = plan.study
    lines = ["# Runs", "", f"Study: *{_plain(study.title)}*.", ""]
    lines += [
        "One run is one model scale with one fine-tuning strategy; its seeds are replicates inside it. A run is *done* "
        "when all of its notebooks ran to their end with the present settings, code and inputs, *stale* when something "
        "of these changed since, *failed* when the last attempt met an error, *left out* where the study says why, and "
        "otherwise *not run*. Each leads to the run's page.",
        "",
        _count_runs(plan),
        "",
        "| scale | " + " | ".join(study.strategies) + " |",
        "|---" * (len(study.strategies) + 1) + "|",
    ]
    for scale in study.scales:
        cells = [_link_cell(plan, Cell(scale, name)) for name in study.strategies]
        lines.append(f"| {scale} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {name} is left out: {_plain(reason)}." for name, reason in study.without.items())]
    lines += ["", "| stage | notebooks | state | recorded time |", "|---|---|---|---|"]
    for stage in (STAGES[name] for name in stages_of(study)):
        members = [job for job in plan.jobs.values() if job.stage == stage.name]
        counts = [plan.states[job.name] for job in members]
        state = ", ".join(_mark(f"{counts.count(state)} {state}", state) for state in STATES if state in counts)
        seconds = sum(manifest["wall_seconds"] for job in members if (manifest := read_manifest(job.folder)))
        lines.append(f"| {stage.title} | {len(members)} | {state} | {_duration(seconds)} |")
    return "\n".join(lines) + "\n"


def format_cell(plan: Plan, cell: Cell) -> str:
    """One run's page: its settings, and its notebooks with their state, time and memory."""
    study, settings = plan.study, plan.study.settings_of(cell.scale, cell.strategy).used()
    seeds = ", ".join(str(seed) for seed in study.seeds_of(cell.strategy, cell.scale))
    lines = [f"# {cell.scale}, {cell.strategy}", ""]
    lines += [f"Study *{_plain(study.title)}*. Seeds: {seeds}.", ""]
    lines += ["| notebook | state | time | peak memory |", "|---|---|---|---|"]
    failed = []
    for name in _notebooks(study, cell):
        job, state = plan.jobs[name], plan.states[name]
        manifest = read_manifest(job.folder)
        title = STAGES[job.stage].title
        link = f"[{title}]({name}.ipynb)" if job.page.is_file() else title
        time = _duration(manifest["wall_seconds"]) if manifest else ""
        memory = f"{manifest['peak_memory_bytes'] / 2**20:.0f} MiB" if manifest else ""
        lines.append(f"| {link} | {_mark(state, state)} | {time} | {memory} |")
        if state == "failed" and job.failed_page.is_file():
            failed.append(f"- {title}: the failed attempt is kept in `{_inside(job.failed_page)}`.")
    lines += ["", *failed] if failed else []
    lines += ["", "| setting | value |", "|---|---|"]
    lines += [f"| {name} | {_code(str(value))} |" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _link_cell(plan: Plan, cell: Cell) -> str:
    if cell not in plan.study.cells():
        return _mark("left out", "left-out")
    state = _cell_state(plan, cell)
    return _mark(f"[{state}]({cell.scale}-{cell.strategy}.md)", state)


def _count_runs(plan: Plan) -> str:
    """How many runs are in which state, in one sentence."""
    cells = plan.study.cells()
    states = [_cell_state(plan, cell) for cell in cells]
    counts = ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)
    return f"Of {len(cells)} runs: {counts}."


def _mark(text: str, state: str) -> str:
    """Text in the colour of a state, with a dot before it (``custom.css``)."""
    return f"[{text}]{{.cx-state .cx-{state.replace(' ', '-')}}}"


def _inside(path: Path) -> str:
    """A path as seen from the project's folder."""
    project = find_project_folder()
    return path.relative_to(project).as_posix() if path.is_relative_to(project) else path.name


def _cell_state(plan: Plan, cell: Cell) -> str:
    """The state of a cell's worst notebook."""
    states = {plan.states[name] for name in _notebooks(plan.study, cell)}
    return next(state for state in ("failed", "not run", "stale", "done") if state in states)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _plain(text: str) -> str:
    """Text that Markdown leaves alone, inside a table too; ``{{`` would start a template."""
    return re.sub(r"[\\`*_\[\]<>|$~{}]", r"\\\g<0>", text)


def _code(text: str) -> str:
    """A value in a code span of a table, where nothing else is special."""
    shown = text.replace("`", "'").replace("|", r"\|")
    return f"`{shown}`"


def build(plan: Plan, *, partial: bool = False) -> Built:
    """Build the book of a study with warnings as errors.

    Nothing is built where nothing changed since the last build: pages, texts, settings of the book and code.

    Raises
    ------
    InputError
        If the gate refuses a page, or the build ends with a warning or an error; names the log.
    """
    from compliance_xai.book.assets import collect_assets
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
