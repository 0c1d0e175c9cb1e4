"""The workshop's lessons: executed with their solutions and kept, shown in the book, handed out without solutions.

Sources are text notebooks in ``workshop/``. A lesson is executed once for its text, the code that it calls and the
shipped data (``make workshop``); the book takes it from there, and shows it without results where nobody executed it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import digest, sha256_file
from compliance_xai.machine import describe_machine, measure_time
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.execution import (
    QUIET,
    SENTINEL,
    NotebookFailed,
    finish_page,
    number_cells,
    run_notebook,
    validate_notebook,
)
from compliance_xai.pipeline.grid import read_page_mark
from compliance_xai.study.folders import find_data_folder, find_project_folder

if TYPE_CHECKING:
    from nbformat import NotebookNode

SOURCES = "workshop"
PAGES = Path("book") / "runs" / "workshop"

_DIRECTIVE = re.compile(
    r"(?P<fence>`{3,}|:{3,})\{(?P<name>[\w-]+)\} ?(?P<title>[^\n]*)\n(?P<body>.*?)\n?(?P=fence)(?!:)", re.S
)
_OPTION = re.compile(r"^:\w+:.*\n+", re.M)


@dataclass(frozen=True)
class Lesson:
    """One lesson: its source, the executed notebook and its page in the book."""

    name: str

    @property
    def label(self) -> str:
        """For people."""
        return f"lesson {self.name.replace('_', ' ')}"

    @property
    def source(self) -> Path:
        """The text notebook."""
        return find_project_folder() / SOURCES / f"{self.name}.py"

    @property
    def page(self) -> Path:
        """The executed notebook."""
        return find_project_folder() / "results" / SOURCES / f"{self.name}.ipynb"

    @property
    def failed_page(self) -> Path:
        """Where an attempt that ended in an error is kept."""
        return self.page.parent / "failed" / self.page.name

    @property
    def key(self) -> str:
        """Digest of all that decides what the executed lesson says: text, code and shipped data."""
        notebook = _read(self)
        data = sorted([*find_data_folder().glob("ladders/embedded/*/*.safetensors"), *_sums()])
        return digest(
            {
                "cells": [(cell.cell_type, cell.source) for cell in notebook.cells],
                "code": code_digest(ROOMS),
                "data": [sha256_file(path) for path in data],
            }
        )

    @property
    def is_current(self) -> bool:
        """Whether it was executed as it is."""
        mark = read_page_mark(self.page)
        return bool(mark and mark.get("complete") and mark.get("key") == self.key)


def find_lessons() -> list[Lesson]:
    """Every lesson, in order."""
    return [Lesson(path.stem) for path in sorted(find_project_folder().joinpath(SOURCES).glob("[0-9]*.py"))]


def run_lessons(lessons: Iterable[Lesson], *, report: Callable[[str], None] = print) -> list[Lesson]:
    """Execute the lessons that are not current, solutions included; returns those that were executed.

    Raises
    ------
    NotebookFailed
        If a lesson does not run to its end, or writes a warning.
    """
    executed = []
    for lesson in lessons:
        if lesson.is_current:
            report(f"{lesson.label}: is current")
            continue
        with measure_time() as watch:
            _execute(lesson)
        report(f"{lesson.label}: {watch.seconds:.0f} s")
        executed.append(lesson)
    return executed


def _execute(lesson: Lesson) -> None:
    import nbformat
    from nbformat.v4 import new_code_cell

    notebook, key = _read(lesson), lesson.key
    hidden = {"tags": ["remove-cell"]}
    notebook.cells.insert(_parameters_cell(lesson, notebook) + 1, new_code_cell(QUIET, metadata=hidden))
    notebook.cells.append(new_code_cell(f"print({SENTINEL!r})", metadata=hidden))
    number_cells(notebook, lesson.name)
    part = lesson.page.parent / ".part" / lesson.page.name
    with measure_time() as watch:
        run_notebook(lesson, notebook, part, {}, threads=1)
    if problems := validate_notebook(part):
        raise NotebookFailed(lesson.name, problems[0], kept=part, bad_input=False)
    written = nbformat.read(part, as_version=4)
    machine = describe_machine()
    took = f"*Took* {watch.seconds:.0f} s on one core of {machine['processor']}."
    written.metadata["compliance_xai"] = {"key": key, "took": took}
    nbformat.write(written, part)
    finish_page(lesson, part)


def write_pages() -> list[Path]:
    """Put every lesson into the book: as executed where that is current, otherwise without results and with a note."""
    folder = find_project_folder() / PAGES
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for lesson in find_lessons():
        text = _format_page(lesson)
        page = folder / f"{lesson.name}.ipynb"
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
        pages.append(page)
    return pages


def _format_page(lesson: Lesson) -> str:
    import nbformat

    if lesson.is_current:
        notebook = nbformat.read(lesson.page, as_version=4)
        note = notebook.metadata["compliance_xai"]["took"]
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
    """A lesson without its solutions, in Markdown that Jupyter shows without extensions."""
    from nbformat.v4 import new_code_cell

    cells, inside = [], False
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "{solution-start}" in cell.source:
            inside = True
            cells.append(new_code_cell("# Your turn\n"))
        elif cell.cell_type == "markdown" and "{solution-end}" in cell.source:
            inside = False
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
    import jupytext

    if not lesson.source.is_file():
        require_choice("lesson", lesson.name, [other.name for other in find_lessons()])
    notebook = jupytext.read(lesson.source, fmt="py:percent")
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


def _parameters_cell(lesson: Lesson, notebook: NotebookNode) -> int:
    for index, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", []):
            return index
    raise InputError(
        str(lesson.source),
        expected="one cell tagged 'parameters'",
        found="none",
        remedy='Write the cell as # %% tags=["parameters"].',
    )


def _sums() -> list[Path]:
    path = find_data_folder() / "synthetic" / "SHA256SUMS"
    return [path] if path.is_file() else []
