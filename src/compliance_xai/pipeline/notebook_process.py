"""The process that a notebook runs in: papermill with IPython's shell in place of a Jupyter kernel.

A kernel takes seconds of processor time to start and talks through sockets; here the shell runs in the process that
papermill runs in, and dies with it. ``execution`` starts ``python -m compliance_xai.pipeline.notebook_process``, or
asks the one that a run keeps (``serve``) to fork: importing libraries again takes longer than many a page.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import platform
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, NoReturn

import psutil
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_output
from papermill import PapermillExecutionError, execute_notebook, inspect_notebook
from papermill.engines import Engine, papermill_engines
from traitlets.config import Config

from compliance_xai.errors import require_choice
from compliance_xai.pipeline.failures import FAILED, report_errors
from compliance_xai.study.folders import find_project_folder

PRINTED = 10_000_000
"""Characters that a notebook may print; a page is for reading."""

LANGUAGE = {
    "name": "python",
    "version": platform.python_version(),
    "mimetype": "text/x-python",
    "file_extension": ".py",
    "pygments_lexer": "ipython3",
}


class _Stream(io.TextIOBase):
    """Standard output or error of a notebook; neighbouring texts are one output."""

    def __init__(self, name: str, shell: Shell) -> None:
        self.name, self.shell = name, shell

    def write(self, text: str) -> int:
        shell = self.shell
        shell.printed += len(text)
        if shell.printed > PRINTED:
            shell.printed = 0  # room for the message
            raise RuntimeError(f"this notebook printed more than {PRINTED // 10**6} MB of text; print less")
        last = shell.outputs[-1] if shell.outputs else {}
        if last.get("name") == self.name:
            last["text"] += text
        elif text:
            shell.outputs.append(new_output("stream", name=self.name, text=text))
        return len(text)


class _Publisher(DisplayPublisher):
    shell: Any

    def publish(self, data: Any, metadata: Any = None, **_: Any) -> None:
        self.shell.outputs.append(new_output("display_data", data=data, metadata=metadata or {}))


class _Hook(DisplayHook):
    """Takes what the last line of a cell is."""

    shell: Any

    def write_output_prompt(self) -> None: ...

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        count = self.shell.execution_count
        self.shell.outputs.append(
            new_output("execute_result", data=format_dict, metadata=md_dict or {}, execution_count=count)
        )


class Shell(InteractiveShell):
    """IPython's shell, which notes the outputs of the present cell in ``outputs``."""

    display_pub_class: Any = _Publisher
    displayhook_class: Any = _Hook

    def __init__(self, **options: Any) -> None:
        self.outputs: list[Any] = []
        self.printed = 0
        super().__init__(**options)

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        self.outputs.append(new_output("error", ename=etype.__name__, evalue=str(evalue), traceback=stb))

    def run(self, cell: Any) -> bool:
        """Run a cell and keep what it shows; whether it came to its end."""
        self.outputs = cell.outputs = []
        cell.execution_count = self.execution_count
        return bool(self.run_cell(cell.source, store_history=True).success)


class _InProcess(Engine):
    """Papermill's engine: the cells of a notebook, one after the other, up to the first error."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
        shell: Any = Shell.instance(config=Config(HistoryManager={"enabled": False, "hist_file": ":memory:"}))
        nb_man.nb.metadata["language_info"] = LANGUAGE
        sys.stdout, sys.stderr = _Stream("stdout", shell), _Stream("stderr", shell)  # type: ignore[assignment]
        try:
            for index, cell in enumerate(nb_man.nb.cells):
                nb_man.cell_start(cell, index)
                whole = cell.cell_type != "code" or shell.run(cell)
                if not whole:
                    nb_man.cell_exception(cell, cell_index=index)
                nb_man.cell_complete(cell, cell_index=index)
                if not whole:
                    break
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


HEAVY = ("pandas", "scipy.stats", "torch", "transformers", "peft", "plotly.graph_objects", "matplotlib.pyplot")
"""Libraries that are imported before a process is forked, once a notebook of the run has needed them."""


def serve(address: str) -> None:
    """Fork a process for every notebook that is asked for at a Unix socket, until the run that started this has ended.

    A request is a line of JSON: ``arguments`` (of ``main``), ``environment``, ``log`` (a file for what is printed) and
    ``status`` (a file for the exit status). The answer is the id of the process, which sends it itself: who gets
    none can start another, whatever was killed in between.
    """
    run, loaded = os.getppid(), Path(address).with_name("loaded")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    listener.settimeout(1)
    while os.getppid() == run:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        with contextlib.suppress(OSError, ValueError):  # nobody asked for a second, or who asked is gone
            connection, _ = listener.accept()
            with connection, connection.makefile("rw", encoding="utf-8") as stream:
                request = json.loads(stream.readline() or "null")
                for name in loaded.read_text(encoding="utf-8").split() if loaded.is_file() else ():
                    importlib.import_module(name)
                if request and os.fork() == 0:
                    listener.close()
                    _run_forked(request, stream, loaded)


def _run_forked(request: dict[str, Any], answer: IO[str], loaded: Path) -> NoReturn:
    """A forked process: run the notebook, leave the exit status and what was imported, and end."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        print(os.getpid(), file=answer, flush=True)
        status = main(request["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            Path(request["status"]).write_text(str(status), encoding="utf-8")
            with loaded.open("a", encoding="utf-8") as file:
                file.write(" ".join(name for name in HEAVY if name in sys.modules) + "\n")
        os._exit(status)


def _end_with(parent: int) -> None:
    """End this process once the one that asked for it is gone."""
    while psutil.pid_exists(parent) and psutil.Process(parent).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.5)
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Run a notebook; exit status 0 if it ran to its end, ``FAILED`` after an error in a cell, 2 for bad input."""
    prepared, part, parameters, parent = arguments
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    # bitsandbytes announces optional kernels that nothing here depends on.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    papermill_engines.register("process", _InProcess)
    values, failed = json.loads(parameters), False

    def work() -> None:
        nonlocal failed
        known = sorted(inspect_notebook(prepared))
        for name in sorted(values):
            require_choice(f"notebook {Path(part).stem}, parameter", name, known)
        options = {"engine_name": "process", "kernel_name": "python3", "progress_bar": False}
        try:
            execute_notebook(prepared, part, parameters=values, cwd=find_project_folder(), **options)
        except PapermillExecutionError:
            failed = True

    return report_errors(work) or FAILED * failed


if __name__ == "__main__":
    sys.exit(serve(sys.argv[2]) if sys.argv[1] == "--serve" else main(sys.argv[1:]))
