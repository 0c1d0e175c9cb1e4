"""Executes notebooks: text source -> executed page, checked to the last cell, or one clear failure.

The Snakefile runs ``python -m compliance_xai.pipeline.execution STUDY JOB [LIMIT]``. A notebook runs under a temporary
name and takes its own name only after it ran to its end. What libraries write to standard error is no failure: it is
kept at the foot of the page. A failed attempt is kept beside the pages, in ``book/runs/<study>/failed``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import write_atomic
from compliance_xai.machine import LINE_VARIABLE, Stopwatch
from compliance_xai.pipeline.environment import notebook_environment
from compliance_xai.pipeline.failures import FAILED, NotebookFailed, explain_system, report_errors
from compliance_xai.pipeline.grid import PATIENCE, Job, make_jobs, source_hash
from compliance_xai.pipeline.manifests import NOTES, Manifest, notes_html, peek_manifest, write_manifest
from compliance_xai.pipeline.stores import hold_lock, keep_folder, stamp_file
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.labels import size_label
from compliance_xai.study.settings import load_study

TAKES = re.compile(r"\*Takes\*[^.]*\.")
"""What a notebook's source says about its time; its executed page says what it took instead."""
PROGRESS_VARIABLE = "COMPLIANCE_XAI_PROGRESS"
RUNNER_VARIABLE = "COMPLIANCE_XAI_RUNNER"
"""The process id of the run that a job belongs to; once that is gone, the job ends itself."""
FORK_VARIABLE = "COMPLIANCE_XAI_FORK"
"""The socket of ``notebook_process.serve``, if the run keeps such a process."""
NOTES_KEPT, NOTE_LENGTH = 20, 500


def execute_job(job: Job, parameters: Mapping[str, Any], *, threads: int = 1, limit: float | None = None) -> Path:
    """Run a job's notebook with the values for its ``parameters`` cell and put the page in its place, ``job.page``.

    Parameters
    ----------
    threads
        Threads that its numerical libraries may use.
    limit
        Seconds that the notebook may take; as long as it likes where None.

    Raises
    ------
    InputError
        If the notebook has no cell tagged ``parameters``, or another process is executing it.
    NotebookFailed
        If it does not run to its end, or leaves its stage without results.
    """
    part = job.page.parent / ".part" / job.page.name
    with hold_lock(job.lock("page"), f"{job.label} of study {job.study!r}", wait=PATIENCE):
        before = peek_manifest(job.folder)
        notebook = prepare_notebook(job)
        run_notebook(job.name, notebook, part, parameters, failed=job.failed_page, threads=threads, limit=limit)
        manifest = peek_manifest(job.folder)
        if manifest is None or manifest["key"] != job.key:
            reason = f"its stage left no results of these settings in {job.folder}"
            raise keep_failure(job.name, part, job.failed_page, reason)
        _finish_job(job, part, manifest, made=before is None or before["started"] != manifest["started"])
    return job.page


def _finish_job(job: Job, part: Path, manifest: Manifest, *, made: bool) -> None:
    """Put the page in its place, then note it in the manifest, with what libraries said when the results were made."""
    import nbformat

    notebook = nbformat.read(part, as_version=4)
    notes = take_notes(notebook)
    manifest["notes"] = notes if made else list(dict.fromkeys([*manifest["notes"], *notes]))
    for output in notebook.cells[-1].outputs:
        if "text/html" in output.get("data", {}):
            output["data"]["text/html"] = output["data"]["text/html"].replace(NOTES, notes_html(manifest["notes"]))
    took = f"*Took* {manifest['wall_seconds']:.0f} s and {manifest['peak_memory_bytes'] / 2**20:.0f} MiB of memory."
    notebook.cells[0].source = TAKES.sub(took, notebook.cells[0].source, count=1)
    write_page(notebook, job.name, job.page)
    manifest["page"] = {"key": job.key, "source": source_hash(job), "stamp": stamp_file(job.page)}
    write_manifest(manifest, job.folder)
    part.unlink()
    job.failed_page.unlink(missing_ok=True)


def keep_page(
    folder: Path, key: str, source: Path, parameters: Mapping[str, Any] | None = None, *, name: str, title: str = ""
) -> Path:
    """The executed notebook of something that is no job of a study, such as a lesson; made once for its key.

    It is kept as ``<name>.ipynb`` in its folder. The title replaces that of the source if it is given.
    """

    def make(part: Path) -> None:
        import nbformat

        notebook = read_source(source)
        if title:
            _set_title(notebook, lambda _: title)
        number_cells(notebook, name)
        running, failed = part / "running.ipynb", folder.parent / "failed" / f"{name}.ipynb"
        run_notebook(name, notebook, running, parameters or {}, failed=failed, threads=1)
        executed = nbformat.read(running, as_version=4)
        take_notes(executed)
        write_page(executed, name, part / f"{name}.ipynb")
        running.unlink()
        failed.unlink(missing_ok=True)

    return keep_folder(folder, key, make).folder / f"{name}.ipynb"


def prepare_notebook(job: Job) -> Any:
    """The notebook to run: the text source with its title, a provenance footer and fixed cell ids."""
    from nbformat.v4 import new_code_cell

    notebook = read_source(job.notebook)
    cell = ""
    if job.scale:
        # Pages of one stage would otherwise share a name in the sidebar.
        size = size_label(job.scale)
        _set_title(notebook, lambda title: f"{title.rstrip()}: {size}, {job.strategy}")
        cell = f", {job.scale!r}, {job.strategy!r}"
    call = f"show_provenance({job.study!r}, {job.stage!r}{cell})"
    footer = f"from compliance_xai.pipeline import show_provenance\n\n{call}"
    notebook.cells.append(new_code_cell(footer, metadata={"tags": ["remove-input"]}))
    number_cells(notebook, job.name)
    notebook.metadata["compliance_xai"] = {"key": job.key, "source": source_hash(job)}
    return notebook


def read_source(path: Path) -> Any:
    """A text notebook, with the kernel that all of them have, and its parameters hidden in the page."""
    import jupytext

    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        expected, remedy = "one cell tagged 'parameters'", 'Write the cell as # %% tags=["parameters"].'
        raise InputError(str(path), expected=expected, found=f"{len(cells)} of them", remedy=remedy)
    cells[0].metadata["tags"] = ["parameters", "remove-cell"]
    return notebook


def _set_title(notebook: Any, change: Callable[[str], str]) -> None:
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    first.source = re.sub(r"(?m)^# (.*)$", lambda found: f"# {change(found[1])}", first.source, count=1)


def number_cells(notebook: Any, name: str) -> None:
    """Fixed cell ids, so that the same notebook gives the same file; nbformat allows 64 letters, digits, - and _."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in name)[:56]
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"{stem}-{index:03d}"


def run_notebook(
    name: str,
    notebook: Any,
    part: Path,
    parameters: Mapping[str, Any],
    *,
    failed: Path,
    threads: int,
    limit: float | None = None,
) -> None:
    """Execute a prepared notebook to its end and leave what came of it in ``part``."""
    import nbformat

    part.parent.mkdir(parents=True, exist_ok=True)
    prepared = part.with_name(f"{part.stem}.prepared.ipynb")
    nbformat.write(notebook, prepared)
    try:
        status, said = _run_process(name, prepared, part, parameters, threads=threads, limit=limit)
    finally:
        prepared.unlink(missing_ok=True)
    if status == 0:
        return
    if status == 2:  # it was not executed
        raise NotebookFailed(name, said.removeprefix("Error: "), kept=None, bad_input=True)
    cells = nbformat.read(part, as_version=4).cells if status == FAILED else []
    errors = [out for cell in cells for out in cell.get("outputs", []) if out.output_type == "error"]
    if status is None:
        reason, bad_input = f"it took longer than the limit of {limit:g} s", False
    elif errors:
        bad_input = errors[0].ename == InputError.__name__
        reason = errors[0].evalue if bad_input else f"{errors[0].ename}: {errors[0].evalue}"
        system = None if bad_input else explain_system(reason)
        reason, bad_input = system or reason, bad_input or system is not None
    else:
        ended = signal.Signals(-status).name if status < 0 else f"status {status}"
        reason = f"its process was ended ({ended}), as happens when memory runs out; {said[-200:]}".rstrip("; ")
        bad_input = False
    raise keep_failure(name, part, failed, reason, bad_input=bad_input)


def _run_process(
    name: str, prepared: Path, part: Path, parameters: Mapping[str, Any], *, threads: int, limit: float | None
) -> tuple[int | None, str]:
    """Exit status (None if it took too long) and what the process wrote to standard error beside the notebook.

    Meanwhile the notebook's line of progress is printed; once the run that started all this is gone, it is ended.
    """
    runner, shown = os.environ.get(RUNNER_VARIABLE), ""
    end = time.monotonic() + limit if limit else float("inf")
    with tempfile.TemporaryDirectory(prefix="compliance-xai-") as folder:
        line, log = Path(folder) / "line", Path(folder) / "log"
        words = [str(prepared), str(part), json.dumps(dict(parameters)), str(os.getpid())]
        process = _start_process(words, notebook_environment(threads) | {LINE_VARIABLE: str(line)}, log)
        try:
            while process.poll() is None and time.monotonic() < end:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                text = line.read_text(encoding="utf-8") if line.is_file() else ""
                if text != shown:
                    shown = text
                    print(f"       {name}: {text}", flush=True)
                if runner and not _lives(int(runner)):
                    raise KeyboardInterrupt
            status = process.poll()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        return status, log.read_text(encoding="utf-8", errors="replace").strip()


def _start_process(words: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen | _Forked:
    """The notebook's process: forked by the one that the run keeps, if it answers, else a new one."""
    if address := os.environ.get(FORK_VARIABLE):
        with contextlib.suppress(OSError, ValueError):
            return _Forked(address, words, environment, log)
    command = [sys.executable, "-m", "compliance_xai.pipeline.notebook_process", *words]
    with log.open("w", encoding="utf-8") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file)


class _Forked:
    """A process that ``notebook_process.serve`` has forked, with as much of ``subprocess.Popen`` as is used here."""

    def __init__(self, address: str, words: list[str], environment: dict[str, str], log: Path) -> None:
        self.status = log.with_name("status")
        request = {"arguments": words, "environment": environment, "log": str(log), "status": str(self.status)}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            with connection.makefile("rw", encoding="utf-8") as stream:
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                pid = int(stream.readline())
        try:
            self.place: int | None = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended
            self.place = None

    def wait(self, seconds: float | None = None) -> int:
        """The exit status, negative for a signal."""
        if self.place is not None:
            if not select.select([self.place], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired("notebook", seconds or 0)
            os.close(self.place)
            self.place = None
        return int(self.status.read_text(encoding="utf-8")) if self.status.is_file() else -signal.SIGKILL

    def poll(self) -> int | None:
        """The exit status, or None as long as it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def kill(self) -> None:
        """End it at once."""
        if self.place is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.place, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def validate_notebook(path: Path) -> list[str]:
    """What shows that an executed notebook did not run to its end: cells that were not executed or ended in errors."""
    import nbformat

    if not path.is_file():
        return [f"{path} does not exist"]
    try:
        notebook = nbformat.read(path, as_version=4)
    except (UnicodeDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        return [f"{path} is not a notebook ({type(error).__name__})"]
    problems = []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(cells, start=1):
        if cell.execution_count is None:
            problems.append(f"code cell {number} of {len(cells)} was not executed")
        errors = (output for output in cell.outputs if output.output_type == "error")
        problems += [f"code cell {number} ended in {output.ename}: {output.evalue}" for output in errors]
    return problems


def take_notes(notebook: Any) -> list[str]:
    """Take what was written to standard error out of a notebook: one note for each, without paths of this machine."""
    notes: dict[str, None] = {}
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        notes |= {_shorten(output.text): None for output in cell.outputs if output.get("name") == "stderr"}
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notes.pop("", None)
    return list(notes)[:NOTES_KEPT]


def _shorten(text: str) -> str:
    # Anchored at the start of a word and on a bounded text: a line of a million letters would take hours otherwise.
    text = re.sub(r"(?<!\S)\S*/ipykernel_\d+/\d+\.py", "the notebook", text[: 20 * NOTE_LENGTH])
    for place in (str(find_project_folder()), sys.prefix, os.path.expanduser("~")):
        text = text.replace(f"{place}/", "")
    text = " ".join(text.split())
    return text if len(text) <= NOTE_LENGTH else f"{text[:NOTE_LENGTH]}..."


def keep_failure(name: str, part: Path, failed: Path, reason: str, *, bad_input: bool = False) -> NotebookFailed:
    """Move an attempt aside, with a mark that says what it was an attempt at."""
    if not part.is_file():
        return NotebookFailed(name, reason, kept=None, bad_input=bad_input)
    failed.parent.mkdir(parents=True, exist_ok=True)
    part.replace(failed)
    return NotebookFailed(name, reason, kept=failed, bad_input=bad_input)


def write_page(notebook: Any, name: str, path: Path) -> None:
    """Write an executed notebook to its place, without what papermill noted about this machine."""
    import nbformat

    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    drop_empty_sections(notebook)
    number_cells(notebook, name)
    with write_atomic(path) as part:
        nbformat.write(notebook, part)


def drop_empty_sections(notebook: Any) -> None:
    """Remove each section whose first cell is tagged ``optional`` if none of its code showed anything."""
    kept: list[Any] = []
    section: list[Any] = []
    for cell in [*notebook.cells, None]:
        if cell is None or cell.cell_type == "markdown":
            optional = bool(section) and "optional" in section[0].metadata.get("tags", [])
            shown = any(one.get("outputs") for one in section)
            kept += section if shown or not optional else []
            section = []
        if cell is not None:
            section.append(cell)
    notebook.cells = kept


def make_parameters(job: Job, study: Path | str) -> dict[str, Any]:
    """The values for a job's ``parameters`` cell."""
    cell = {"scale": job.scale, "strategy": job.strategy} if job.scale else {}
    return {"study": str(study), **cell}


def report(job: Job, outcome: str, seconds: float = 0.0, message: str = "") -> None:
    """Say that a job starts, or how it ended (``done``, ``failed``), and how many of the planned ones have ended.

    The processes of one run share a folder, named by ``COMPLIANCE_XAI_PROGRESS``: a file for every job that ended, and
    ``total``. Without it only the job is named.
    """
    count, took = "", "" if outcome == "start" else f", {seconds:.0f} s"
    if place := os.environ.get(PROGRESS_VARIABLE):
        folder = Path(place)
        if outcome != "start":
            folder.joinpath(f"{job.name}.{outcome}").write_text(message, encoding="utf-8")
        ended = sum(path.suffix in (".done", ".failed") for path in folder.iterdir())
        total = folder.joinpath("total").read_text(encoding="utf-8")
        count = f"[{ended:>{len(total)}}/{total}] "
    print(f"{count}{outcome:<6} {job.label}{took}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run one job: study file, the job's name, seconds that it may take (or not). Exit status 2 for bad input."""
    study, job, *limit = arguments
    return report_errors(lambda: _execute_named(study, job, float(limit[0]) if limit else None))


def _execute_named(study_path: str, name: str, limit: float | None) -> None:
    study = load_study(study_path)
    jobs = make_jobs(study)
    require_choice(f"study {study.name!r}, job", name, jobs, remedy="'compliance-xai study plan' lists the jobs.")
    job = jobs[name]
    report(job, "start")
    watch = Stopwatch()
    try:
        execute_job(job, make_parameters(job, study_path), threads=study.threads, limit=limit)
    except Exception as error:
        known = isinstance(error, (NotebookFailed, InputError))
        reason = str(error) if known else explain_system(str(error)) or f"{type(error).__name__}: {error}"
        report(job, "failed", watch.seconds, reason)
        raise
    report(job, "done", watch.seconds, f"{watch.seconds:.3f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
