"""The workshop's lessons: executed with their solutions and kept, shown in the book, handed out without solutions.

Sources are text notebooks in ``workshop/``. A lesson is executed once for its text, the code that it calls and the
shipped data (``make workshop``); the book takes it from there, and shows it without results if nobody executed it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import digest
from compliance_xai.machine import Stopwatch, describe_machine
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.execution import keep_page, number_cells, read_source
from compliance_xai.pipeline.grid import stage_folder
from compliance_xai.pipeline.lessons import UNANSWERED
from compliance_xai.pipeline.manifests import MANIFEST
from compliance_xai.pipeline.stores import Kept, find_folder, hash_once, write_changed
from compliance_xai.study.folders import find_data_folder, find_project_folder

if TYPE_CHECKING:
    from nbformat import NotebookNode

SOURCES = "workshop"
PAGES = Path("book") / "runs" / "workshop"

NEEDED = {"pretrained-quick": ("135M", "full")}
"""Studies whose models a lesson can use, and the cell that it uses."""

_DIRECTIVE = re.compile(
    r"(?P<fence>`{3,}|:{3,})\{(?P<name>[\w-]+)\} ?(?P<title>[^\n]*)\n(?P<body>.*?)\n?(?P=fence)(?!:)", re.S
)
_OPTION = re.compile(r"^:\w+:.*\n+", re.M)


@dataclass(frozen=True)
class Lesson:
    """One lesson: its source, and the folder with the executed notebook."""

    name: str

    @property
    def label(self) -> str:
        """What readers see."""
        return f"lesson {self.name.replace('_', ' ')}"

    @property
    def source(self) -> Path:
        """The text notebook."""
        return find_project_folder() / SOURCES / f"{self.name}.py"

    @property
    def folder(self) -> Path:
        """Where the executed notebook is kept."""
        return find_project_folder() / "results" / SOURCES / "lessons" / self.name

    @property
    def key(self) -> str:
        """Digest of all that decides what the executed lesson shows: text, code and shipped data."""
        shipped = find_data_folder()
        patterns = ("ladders/embedded/*/*.safetensors", "workshop/*.safetensors", "synthetic/SHA256SUMS")
        data = [path for pattern in patterns for path in sorted(shipped.glob(pattern))]
        cells = [(cell.cell_type, cell.source) for cell in _read(self).cells]
        return digest({"cells": cells, "code": code_digest(ROOMS), "data": [hash_once(path) for path in data]})

    def find_missing(self) -> str:
        """What has to be done before this lesson can be executed; nothing for most lessons."""
        study = next((study for study in NEEDED if f'"{study}"' in _read(self).cells[1].source), None)
        if study is None or (stage_folder(study, "finetune", *NEEDED[study]) / MANIFEST).is_file():
            return ""
        return f"since it needs the models of a finished study: compliance-xai study run {study}"

    def find_page(self) -> Kept | None:
        """The folder with the executed notebook, if it was executed as it is now."""
        return find_folder(self.folder, self.key)


def find_lessons() -> list[Lesson]:
    """Every lesson, in order."""
    return [Lesson(path.stem) for path in sorted(find_project_folder().joinpath(SOURCES).glob("[0-9]*.py"))]


def run_lessons(lessons: Iterable[Lesson], *, report: Callable[[str], None] = print) -> list[Lesson]:
    """Execute the lessons that are not current, solutions included; returns those that were executed."""
    executed = []
    for lesson in lessons:
        if lesson.find_page() is not None:
            report(f"{lesson.label}: is current")
            continue
        if missing := lesson.find_missing():
            report(f"{lesson.label}: not executed, {missing}")
            continue
        watch = Stopwatch()
        kept = keep_page(lesson.folder, lesson.key, lesson.source, name=lesson.name)
        _check_answers(lesson, kept)
        report(f"{lesson.label}: {watch.seconds:.0f} s")
        executed.append(lesson)
    return executed


def _check_answers(lesson: Lesson, page: Path) -> None:
    """A solution passes the checks of its exercise, or the executed lesson is not kept."""
    if UNANSWERED in page.read_text(encoding="utf-8"):
        shutil.rmtree(lesson.folder)
        raise InputError(
            lesson.name,
            expected="the solution to pass its check",
            found=UNANSWERED,
            remedy="Correct the solution or its check.",
        )


def write_pages() -> list[Path]:
    """Put every lesson into the book: as executed if that is current, otherwise without results and with a note."""
    folder = find_project_folder() / PAGES
    return [write_changed(folder / f"{lesson.name}.ipynb", _format_page(lesson)) for lesson in find_lessons()]


def _format_page(lesson: Lesson) -> str:
    import nbformat

    if kept := lesson.find_page():
        notebook = nbformat.read(kept.folder / f"{lesson.name}.ipynb", as_version=4)
        note = f"*Took* {kept.seconds:.0f} s on one core of {describe_machine()['processor']}."
    else:
        notebook = _read(lesson)
        note = "This lesson was not executed for this copy of the book: `make workshop` does that."
    title = notebook.cells[0]
    title.source = title.source.replace("\n\n", f"\n\n{note} ", 1)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = ["parameters"]
    number_cells(notebook, lesson.name)
    return nbformat.writes(notebook) + "\n"


def write_handouts(folder: Path) -> list[Path]:
    """Write the lessons as notebooks to work in: exercises with an empty cell each, no solutions, quizzes to unfold.

    A handout that is there already is left alone: somebody may have worked in it. Returns those that were written.
    """
    import nbformat

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for lesson in find_lessons():
        path = folder / f"{lesson.name}.ipynb"
        if not path.exists():
            nbformat.write(make_handout(_read(lesson), lesson.name), path)
            written.append(path)
    return written


def make_handout(notebook: NotebookNode, name: str) -> NotebookNode:
    """A lesson with stubs and links instead of its solutions, in Markdown that Jupyter shows without extensions."""
    from nbformat.v4 import new_code_cell, new_markdown_cell

    cells, inside, label = [], False, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "{solution-start}" in cell.source:
            inside, label = True, cell.source.split()[1]
            cells.append(new_code_cell("# Your turn\n"))
        elif "stub" in cell.metadata.get("tags", []):
            cells[-1].source += cell.source
        elif cell.cell_type == "markdown" and "{solution-end}" in cell.source:
            inside = False
            page = f"../../_build/html/book/runs/workshop/{name}.html"
            cells.append(new_markdown_cell(f"[Solution]({page}#{label}), in the book"))
        elif not inside:
            if cell.cell_type == "markdown":
                cell.source = _plain_markdown(cell.source)
            cells.append(cell)
    notebook.cells = cells
    number_cells(notebook, name)
    return notebook


def _plain_markdown(text: str) -> str:
    """MyST's directives as headings, quotes and HTML's own folds."""
    text = _DIRECTIVE.sub(_replace_directive, text)
    return re.sub(r"\]\((?:\.\./)+(\w+)\.md\)", r"](../../_build/html/book/\1.html)", text)


def _replace_directive(match: re.Match[str]) -> str:
    name, title, body = match["name"], match["title"], _OPTION.sub("", match["body"]).strip()
    if name == "exercise":
        return f"### Exercise: {title}\n\n{body}"
    if name == "dropdown":
        return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"
    return f"**{title}**\n\n{body}"


def _read(lesson: Lesson) -> NotebookNode:
    if not lesson.source.is_file():
        require_choice("lesson", lesson.name, [other.name for other in find_lessons()])
    return read_source(lesson.source)
