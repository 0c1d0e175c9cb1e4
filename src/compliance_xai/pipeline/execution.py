"""Executes one job's notebook: text source -> executed page, checked to the last cell, or a clear failure.

The Snakefile runs ``python -m compliance_xai.pipeline.execution STUDY JOB``. A notebook runs under a temporary name and
takes its own name only after it ran to its end without an error or a warning. A failed one is kept beside, in
``book/runs/<study>/failed``.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import errno
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from compliance_xai.errors import InputError, require_choice
from compliance_xai.machine import measure_time
from compliance_xai.pipeline.grid import Job, make_jobs, source_hash
from compliance_xai.pipeline.manifests import Manifest, read_manifest
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.settings import load_study

if TYPE_CHECKING:
    from nbformat import NotebookNode

TAKES = re.compile(r"\*Takes\*[^.]*\.")
"""What a notebook's source says about its time; its executed page says what it took instead."""
SENTINEL = "This notebook ran to its end."
INTERRUPTED = "Interrupted. Finished work is kept; the same command continues."
START_TIMEOUT = 180  # seconds; kernels start slowly where many start at once on few cores
START_ATTEMPTS = 2
PROGRESS_VARIABLE = "COMPLIANCE_XAI_PROGRESS"
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
)
KERNEL_SETTINGS = {
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",  # progress bars write to stderr, which a page must not hold
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the user's
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # Keep freed memory: torch would hand back and ask again for the same megabytes in every step (5 % of training).
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
    # Deprecations speak to the authors of other packages, and the missing widget is for progress bars, which are off.
    "PYTHONWARNINGS": "ignore::DeprecationWarning,ignore::FutureWarning,ignore:IProgress not found",
}


QUIET = """\
import logging

logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
"""
"""Runs before a notebook's own imports: bitsandbytes announces optional CPU kernels as soon as something imports it,
and nothing here depends on them. Anything else on stderr stops a page."""


class NotebookFailed(RuntimeError):
    """A notebook that did not run to its end.

    Attributes
    ----------
    job_name, reason
        Which notebook, and what went wrong, in one line.
    kept
        Where the attempt is kept, or None where there is nothing to keep.
    bad_input
        Whether the reason is a bad input that the reader can mend (an ``InputError``), not a defect.
    """

    def __init__(self, job_name: str, reason: str, *, kept: Path | None, bad_input: bool) -> None:
        self.job_name, self.reason, self.kept, self.bad_input = job_name, reason, kept, bad_input
        super().__init__(f"{job_name}: {reason}" + (f"\nThe attempt is kept in {kept}" if kept else ""))


def execute_job(job: Job, parameters: Mapping[str, Any], *, threads: int = 1) -> Path:
    """Run a job's notebook and put the page in its place.

    Parameters
    ----------
    job
        What to run.
    parameters
        Values for the notebook's ``parameters`` cell; typed, nothing is guessed from text.
    threads
        Threads that the kernel's numerical libraries may use.

    Returns
    -------
    pathlib.Path
        The executed notebook, ``job.page``.

    Raises
    ------
    InputError
        If the notebook has no cell tagged ``parameters`` or does not know one of the parameters.
    NotebookFailed
        If it does not run to its end, writes a warning, or leaves its stage without results.
    """
    part = job.page.parent / ".part" / job.page.name
    with _hold_lock(part.with_suffix(".lock")):
        notebook = prepare_notebook(job, parameters)
        run_notebook(job, notebook, part, parameters, threads=threads)
        problems = validate_notebook(part)
        manifest = read_manifest(job.folder)
        if not problems and (manifest is None or manifest["key"] != job.key):
            problems = [f"its stage left no results of these settings in {job.folder}"]
        if problems:
            raise _keep_failure(job, part, problems[0], bad_input=False)
        finish_page(job, part, took=_say_times(manifest))
    return job.page


def execute_page(page: Source, parameters: Mapping[str, Any], *, title: str) -> Path:
    """Run a notebook that belongs to no job, such as the summary of a stored study, and put the page in its place.

    Raises
    ------
    NotebookFailed
        If it does not run to its end.
    """
    import jupytext
    from nbformat.v4 import new_code_cell

    notebook = jupytext.read(page.notebook, fmt="py:percent")
    _check_parameters(notebook, parameters, page.notebook)
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    first.source = re.sub(r"(?m)^# .*$", lambda _: f"# {title}", first.source, count=1)
    start = next(index for index, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    notebook.cells.insert(start + 1, new_code_cell(QUIET, metadata={"tags": ["remove-cell"]}))
    notebook.cells.append(new_code_cell(f"print({SENTINEL!r})", metadata={"tags": ["remove-cell"]}))
    number_cells(notebook, page.name)
    notebook.metadata["compliance_xai"] = {"key": page.key, "complete": False}
    notebook.metadata.pop("jupytext", None)
    part = page.page.parent / ".part" / page.page.name
    run_notebook(page, notebook, part, parameters, threads=1)
    if problems := validate_notebook(part):
        raise _keep_failure(page, part, problems[0], bad_input=False)
    finish_page(page, part)
    return page.page


def _say_times(manifest: Manifest | None) -> str:
    if manifest is None:
        return ""
    return f"*Took* {manifest['wall_seconds']:.0f} s and {manifest['peak_memory_bytes'] / 2**20:.0f} MiB of memory."


def prepare_notebook(job: Job, parameters: Mapping[str, Any]) -> NotebookNode:
    """The notebook to run: the text source with its title, a provenance footer, a sentinel and fixed cell ids.

    Raises
    ------
    InputError
        If the source is missing, has no cell tagged ``parameters``, or does not know a given parameter.
    """
    import jupytext
    from nbformat.v4 import new_code_cell

    notebook = jupytext.read(job.notebook, fmt="py:percent")
    _check_parameters(notebook, parameters, job.notebook)
    if job.scale:
        _extend_title(notebook, f"{job.scale}, {job.strategy}")
    cell = f", {job.scale!r}, {job.strategy!r}" if job.scale else ""
    footer = (
        f"from compliance_xai.pipeline import show_provenance\n\nshow_provenance({job.study!r}, {job.stage!r}{cell})"
    )
    first = next(index for index, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    notebook.cells.insert(first + 1, new_code_cell(QUIET, metadata={"tags": ["remove-cell"]}))
    notebook.cells.append(new_code_cell(footer, metadata={"tags": ["remove-input"]}))
    notebook.cells.append(new_code_cell(f"print({SENTINEL!r})", metadata={"tags": ["remove-cell"]}))
    number_cells(notebook, job.name)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["compliance_xai"] = {"key": job.key, "source": source_hash(job), "complete": False}
    notebook.metadata.pop("jupytext", None)
    return notebook


def _check_parameters(notebook: NotebookNode, parameters: Mapping[str, Any], source: Path) -> None:
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise InputError(
            str(source),
            expected="one cell tagged 'parameters'",
            found=f"{len(cells)} of them",
            remedy='Write the cell as # %% tags=["parameters"].',
        )
    known = {
        target.id
        for statement in ast.parse(cells[0].source).body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name)
    }
    for name in sorted(parameters):
        require_choice(f"{source}, parameter", name, sorted(known), remedy="Add it to the cell tagged 'parameters'.")
    cells[0].metadata["tags"] = [*cells[0].metadata["tags"], "remove-cell"]


def _extend_title(notebook: NotebookNode, suffix: str) -> None:
    """Give every run's page a title of its own; pages of one stage would otherwise share a name in the sidebar."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = cell.source.splitlines()
            for index, line in enumerate(lines):
                if line.startswith("# "):
                    lines[index] = f"{line.rstrip()}: {suffix}"
                    cell.source = "\n".join(lines)
                    return


def number_cells(notebook: NotebookNode, name: str) -> None:
    """Fixed cell ids, so that the same notebook gives the same file; nbformat allows 64 letters, digits, - and _."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in name)[:56]
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"{stem}-{index:03d}"


class Page(Protocol):
    """What gets executed: its name, what people call it, and where the page and a failed attempt at it go."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def page(self) -> Path: ...  # noqa: D102
    @property
    def failed_page(self) -> Path: ...  # noqa: D102


class Source(Page, Protocol):
    """A page with a notebook of its own, and a key that says what decides it."""

    @property
    def notebook(self) -> Path: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102


def run_notebook(job: Page, notebook: NotebookNode, part: Path, parameters: Mapping[str, Any], *, threads: int) -> None:
    """Execute a prepared notebook and leave what came of it in ``part``.

    Raises
    ------
    NotebookFailed
        If a cell ends in an error or the kernel dies; the attempt is kept.
    """
    # nbclient and papermill are slow to import; status and plan need neither.
    import nbformat
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError

    part.parent.mkdir(parents=True, exist_ok=True)
    prepared = part.with_name(f"{part.stem}.prepared.ipynb")
    nbformat.write(notebook, prepared)
    try:
        with _set_environment(KERNEL_SETTINGS | dict.fromkeys(THREAD_VARIABLES, str(threads))):
            _execute(job, prepared, part, parameters)
    except PapermillExecutionError as error:
        bad_input = error.ename == InputError.__name__
        reason = error.evalue if bad_input else f"{error.ename}: {error.evalue}"
        if f"[Errno {errno.ENOSPC}]" in error.evalue:
            bad_input, reason = True, _explain_full_disk(error.evalue)
        raise _keep_failure(job, part, reason, bad_input=bad_input) from None
    except (DeadKernelError, CellTimeoutError) as error:
        reason = f"its kernel died, as it does where memory runs out or someone ends it ({type(error).__name__})"
        raise _keep_failure(job, part, reason, bad_input=False) from None
    finally:
        prepared.unlink(missing_ok=True)


def _execute(job: Page, prepared: Path, part: Path, parameters: Mapping[str, Any]) -> None:
    """Run the prepared notebook with papermill, in a kernel that is spoken to through files, not ports.

    A kernel's ports are chosen before it starts, so that another program may take one of them meanwhile; sockets in a
    folder of its own cannot be taken. A kernel that does not start is given a second chance.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill.execute import execute_notebook
    from traitlets.config import Config

    for attempt in range(1, START_ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(prefix="compliance-xai-", dir=_socket_root()) as sockets:
            try:
                execute_notebook(
                    prepared,
                    part,
                    parameters=dict(parameters),
                    kernel_name="python3",
                    progress_bar=False,
                    start_timeout=START_TIMEOUT,
                    cwd=find_project_folder(),
                    config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
                )
                return
            except DeadKernelError:
                raise
            except RuntimeError as error:  # an error of a cell has a class of its own; this one is the kernel's
                reason = f"its kernel did not start ({error})"
                if attempt == START_ATTEMPTS:
                    raise _keep_failure(job, part, reason, bad_input=False) from None
                print(f"{job.label}: {reason}; once more", flush=True)


def _socket_root() -> str | None:
    """A folder for sockets, whose paths may have 107 characters only; None is the usual one for temporary files."""
    return "/tmp" if len(tempfile.gettempdir()) > 60 and os.path.isdir("/tmp") else None


def _explain_full_disk(message: str) -> str:
    return (
        f"{message}: expected room to write, found a full disk. Free some space and run the same command again; "
        "finished work is kept."
    )


@contextlib.contextmanager
def _set_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the kernel, which inherits them, and put the old ones back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _hold_lock(path: Path) -> Iterator[None]:
    """Let one process at a time execute a notebook; a run that was killed may have left one that is still at work.

    The system drops the lock with its process, however that ends, so no lock outlives a crash.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that executes {path.stem}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def validate_notebook(path: Path) -> list[str]:
    """What shows that an executed notebook did not run cleanly to its end: sentences, none where it did.

    A killed kernel can leave a notebook that looks finished, so every code cell must carry an execution count, no
    output may be an error or a warning, and the last cell must have printed the sentinel.
    """
    import nbformat

    if not path.is_file():
        return [f"{path} does not exist"]
    try:
        notebook = nbformat.read(path, as_version=4)
    except (UnicodeDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        return [f"{path} is no notebook ({type(error).__name__})"]
    problems = []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(cells, start=1):
        if cell.execution_count is None:
            problems.append(f"code cell {number} of {len(cells)} was not executed")
        for output in cell.outputs:
            if output.output_type == "error":
                problems.append(f"code cell {number} ended in {output.ename}: {output.evalue}")
            elif output.output_type == "stream" and output.name == "stderr":
                problems.append(f"code cell {number} wrote to stderr: {' '.join(output.text.split())[:200]}")
    if not cells or not any(SENTINEL in output.get("text", "") for output in cells[-1].outputs):
        problems.append("the last cell did not print the sentinel")
    return problems


def _keep_failure(job: Page, part: Path, reason: str, *, bad_input: bool) -> NotebookFailed:
    """Move an attempt aside, with a mark that says what it was an attempt at."""
    if not part.is_file():
        return NotebookFailed(job.name, reason, kept=None, bad_input=bad_input)
    job.failed_page.parent.mkdir(parents=True, exist_ok=True)
    part.replace(job.failed_page)
    return NotebookFailed(job.name, reason, kept=job.failed_page, bad_input=bad_input)


def finish_page(page: Page, part: Path, *, took: str = "") -> None:
    """Put an executed notebook in its place, marked as complete; ``took`` replaces what its first cell expected."""
    import nbformat

    notebook = nbformat.read(part, as_version=4)
    notebook.metadata["compliance_xai"]["complete"] = True
    notebook.metadata.pop("papermill", None)  # absolute paths of this machine
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    if took:
        notebook.cells[0].source = TAKES.sub(took, notebook.cells[0].source, count=1)
    drop_empty_sections(notebook)
    number_cells(notebook, page.name)
    nbformat.write(notebook, part)
    page.page.parent.mkdir(parents=True, exist_ok=True)
    part.replace(page.page)
    page.failed_page.unlink(missing_ok=True)


def drop_empty_sections(notebook: NotebookNode) -> None:
    """Remove each section whose first cell is tagged ``optional`` if none of its code showed anything."""
    kept: list[NotebookNode] = []
    section: list[NotebookNode] = []
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


class Progress:
    """Lines that say which job starts and ends, and how many of the planned ones are through.

    The processes of one run share a folder, named by ``COMPLIANCE_XAI_PROGRESS``: a file for every job that ended, and
    ``total``. Without it only the job is named.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        named = os.environ.get(PROGRESS_VARIABLE)
        self.folder = Path(named) if named else None

    def start(self) -> None:
        """Say that the job starts."""
        self._print("start", self._count(), self.job.label)

    def end(self, outcome: str, seconds: float, message: str = "") -> None:
        """Say how the job ended and note it for the run's summary."""
        if self.folder:
            self.folder.joinpath(f"{self.job.name}.{outcome}").write_text(message, encoding="utf-8")
        self._print(outcome, self._count(), f"{self.job.label}, {seconds:.0f} s")

    def _count(self) -> str:
        if not self.folder:
            return ""
        ended = sum(1 for path in self.folder.iterdir() if path.suffix in (".done", ".failed"))
        total = self.folder.joinpath("total").read_text(encoding="utf-8")
        return f"[{ended:>{len(total)}}/{total}] "

    def _print(self, word: str, count: str, text: str) -> None:
        print(f"{count}{word:<6} {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job; exit status 0 done, 2 bad input, 1 anything else."""
    parser = argparse.ArgumentParser(prog="python -m compliance_xai.pipeline.execution", description=main.__doc__)
    parser.add_argument("study", help="study file")
    parser.add_argument("job", help="the job's name, such as 'corpus' or '1m-lora-finetune'")
    options = parser.parse_args(arguments)
    return report_errors(lambda: _execute_named(options.study, options.job))


def _execute_named(study_path: str, name: str) -> None:
    study = load_study(study_path)
    jobs = make_jobs(study)
    require_choice(f"study {study.name!r}, job", name, jobs, remedy="'compliance-xai study plan' lists the jobs.")
    job = jobs[name]
    progress = Progress(job)
    progress.start()
    with measure_time() as watch:
        try:
            execute_job(job, make_parameters(job, study_path), threads=study.threads)
        except (NotebookFailed, InputError, OSError) as error:
            progress.end("failed", watch.seconds, str(error))
            raise
        except Exception as error:
            progress.end("failed", watch.seconds, f"{name}: {type(error).__name__}: {error}")
            raise
    progress.end("done", watch.seconds, f"{watch.seconds:.3f}")


def report_errors(work: Callable[[], None]) -> int:
    """Do some work; turn what a user can mend into one message on stderr. Returns the exit status."""
    try:
        work()
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except NotebookFailed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2 if error.bad_input else 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"Error: {_explain_full_disk(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
