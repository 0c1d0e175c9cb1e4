"""The machine and its software; how far a piece of work is, and what it took: time and memory."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

SHOWN_PACKAGES = (
    *("compliance-xai", "torch", "transformers", "tokenizers", "peft", "bitsandbytes", "accelerate", "evaluate"),
    *("sentence-transformers", "numpy", "pandas", "pyarrow", "pingouin", "statsmodels", "plotly", "seaborn"),
)
"""Packages whose versions can change a number or a figure."""


def describe_machine() -> dict[str, str]:
    """Operating system, processor, cores, memory and accelerator; no host or user name."""
    return {
        "system": platform.system() + " " + platform.machine(),
        "processor": _processor(),
        "cores": str(count_cores()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "python": platform.python_version(),
    }


def count_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def computes_bfloat16() -> bool:
    """Whether this machine is faster in bfloat16 than in float32: a CUDA device, or a processor with its own units.

    Processors without AVX-512 BF16 or AMX compute in bfloat16 too, but several times slower than in float32.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    with contextlib.suppress(OSError):
        found = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0].split())
        return bool(found & {"avx512_bf16", "amx_bf16"})
    return False


def package_versions(packages: Iterable[str] = SHOWN_PACKAGES) -> dict[str, str]:
    """Installed versions; a package that is not installed is left out."""
    from importlib import metadata

    versions = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Stopwatch:
    """Times a piece of work from here on; ``started`` is the time of day (UTC, ISO 8601)."""

    def __init__(self) -> None:
        self.started, self._start = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start


# --- progress and threads -----------------------------------------------------------------------------------------

LINE_VARIABLE = "COMPLIANCE_XAI_PROGRESS_LINE"
"""Environment variable with the file that a notebook of the grid writes its line of progress to."""

EVERY = 5.0  # seconds between two lines


def track(items: Iterable[Any], what: str) -> Any:
    """The items, with a line every few seconds that says how many are done and about how long the rest takes.

    Parameters
    ----------
    what
        What is counted: ``clauses attributed``.
    """
    from tqdm import tqdm

    counted: Any = items if hasattr(items, "__len__") else list(items)
    shape = "{n_fmt} of {total_fmt} {desc}, about {remaining} left"
    options: dict[str, Any] = {"delay": EVERY, "mininterval": EVERY, "miniters": 1, "leave": False}
    return tqdm(counted, desc=what, bar_format=shape, file=_Lines(), disable=len(counted) < 2, **options)


class _Lines:
    """Takes what a bar of tqdm writes, line by line."""

    def write(self, text: str) -> None:
        if line := text.strip():
            say(line)

    def flush(self) -> None: ...


def say(line: str) -> None:
    """Show a line to whoever waits: on standard error; from a notebook of the grid, beside its page."""
    if place := os.environ.get(LINE_VARIABLE):
        Path(place).write_text(line, encoding="utf-8")
    else:
        print(line, file=sys.stderr, flush=True)


def limit_threads(threads: int) -> None:
    """Let the numerical libraries of this process use this many threads, whether they are loaded already or not."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "POLARS_MAX_THREADS"),
)
"""Environment variables that numerical libraries read when they are loaded."""
