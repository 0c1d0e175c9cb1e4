"""What made a result: hashes of files and code, the machine, versions, time and memory, kept in a manifest.

A stage's manifest is written last and at once (temporary name, then rename): where it stands, the stage is complete.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import html
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

from compliance_xai.errors import InputError

MANIFEST = "manifest.json"

SHOWN_PACKAGES = (
    "compliance-xai",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "evaluate",
    "sentence-transformers",
    "numpy",
    "pandas",
    "pyarrow",
    "pingouin",
    "statsmodels",
    "plotly",
    "seaborn",
)
"""Packages whose versions can change a number or a figure."""

UNHASHED = frozenset(
    {
        "compliance_xai",
        "compliance_xai.errors",
        "compliance_xai.folders",
        "compliance_xai.study",
        "compliance_xai.provenance",
        "compliance_xai.stages",
        "compliance_xai.stages.common",
    }
)
"""Modules left out of a stage's code digest: they move settings and files around and compute no result, so a change to
them must not throw away hours of training."""


class Manifest(TypedDict):
    """What a stage leaves behind about itself. Times in seconds, memory in bytes, ``started`` in UTC (ISO 8601)."""

    stage: str
    study: str
    scale: str | None
    strategy: str | None
    seeds: list[int]
    parameters: dict[str, Any]
    key: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    code: str
    versions: dict[str, str]
    machine: dict[str, str]
    started: str
    wall_seconds: float
    peak_memory_bytes: int


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value; the order of a mapping's keys does not matter.

    Examples
    --------
    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def hash_files(paths: Iterable[Path], base: Path) -> dict[str, str]:
    """Path relative to ``base`` (absolute where it lies outside) -> SHA-256, sorted by path."""
    return {_relative(path, base): sha256_file(path) for path in sorted(paths)}


def _relative(path: Path, base: Path) -> str:
    path, base = path.resolve(), base.resolve()
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def code_digest(modules: Iterable[str], *, source: Path | None = None, leave_out: Iterable[str] = UNHASHED) -> str:
    """Digest of the code behind some modules: they and everything of their own package that they import, at any depth.

    Imports inside functions count. Comments, layout and docstrings do not, so that better prose re-runs nothing. Data
    files that lie inside a package (grammars, metric descriptions) count byte for byte.

    Parameters
    ----------
    modules
        Dotted names (``"compliance_xai.train"``).
    source
        The folder that holds the top package; by default where this package lies.
    leave_out
        Modules whose code does not count; what they import is not followed either.
    """
    source = source or Path(__file__).resolve().parents[1]
    parts = {}
    for name in sorted(import_closure(modules, source=source, leave_out=leave_out)):
        path = _module_file(name, source)
        assert path is not None  # import_closure returns modules that have a file
        parts[name] = _read_module(path, path.stat().st_mtime_ns)[0]
        if path.name == "__init__.py":
            parts |= {
                f"{name}:{_relative(file, path.parent)}": sha256_file(file) for file in _package_data(path.parent)
            }
    return digest(parts)


def import_closure(
    modules: Iterable[str], *, source: Path | None = None, leave_out: Iterable[str] = UNHASHED
) -> set[str]:
    """The modules and every module of the same packages that they import, directly or not, read from the source.

    Raises
    ------
    InputError
        If a named module has no file.
    """
    source = source or Path(__file__).resolve().parents[1]
    skipped, found, waiting = set(leave_out), set(), list(modules)
    for name in waiting:
        if _module_file(name, source) is None:
            raise InputError(f"module {name}", expected="a file below src", found="none", remedy="Check its name.")
    while waiting:
        name = waiting.pop()
        path = _module_file(name, source)
        if path is None or name in found or name in skipped:
            continue
        found.add(name)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        waiting.extend(_read_module(path, path.stat().st_mtime_ns)[1])
    return found


@lru_cache(maxsize=1024)
def _read_module(path: Path, changed: int) -> tuple[str, tuple[str, ...]]:
    """SHA-256 of a file's code and the names that it imports; read once as long as it was not ``changed`` (ns)."""
    text = path.read_text(encoding="utf-8")
    imported = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import x`: x may be a module or a name inside the package.
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return hashlib.sha256(_strip(text).encode()).hexdigest(), tuple(imported)


def _module_file(name: str, source: Path) -> Path | None:
    base = source.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _package_data(folder: Path) -> list[Path]:
    """Files of a package that Python's import does not see: data, and folders without ``__init__.py``."""
    files = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir() and not path.joinpath("__init__.py").is_file():
            files += [file for file in sorted(path.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
        elif path.is_file() and path.suffix != ".py":
            files.append(path)
    return files


def _strip(text: str) -> str:
    """The code without comments, layout and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # Attribute docstrings stand after their attribute, so every bare string goes, not only the first.
            node.body = [item for item in body if not _is_bare_string(item)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_bare_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def describe_machine() -> dict[str, str]:
    """Operating system, processor, cores, memory and accelerator; no host or user name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    return {
        "system": platform.system() + " " + platform.machine(),
        "processor": _processor(),
        "cores": str(cores),
        "memory": _memory(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError):
        return "unknown"


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
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass
class Stopwatch:
    """When a piece of work started (UTC) and how long it took so far or, once stopped, altogether (seconds)."""

    started: str
    _start: float
    _stop: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the start, or between start and stop."""
        return (time.perf_counter() if self._stop is None else self._stop) - self._start


@contextlib.contextmanager
def measure_time() -> Iterator[Stopwatch]:
    """Time what happens inside.

    Examples
    --------
    >>> with measure_time() as watch:
    ...     total = sum(range(10))
    >>> 0 <= watch.seconds < 60
    True
    """
    watch = Stopwatch(datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter())
    try:
        yield watch
    finally:
        watch._stop = time.perf_counter()


def write_json(value: Any, path: Path | str) -> Path:
    """Write JSON under a temporary name and rename it, so that a reader never sees half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(value, indent=1, sort_keys=False, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def write_manifest(manifest: Manifest, folder: Path | str) -> Path:
    """Write a stage's manifest; the last thing that a stage does."""
    return write_json(manifest, Path(folder) / MANIFEST)


def read_manifest(folder: Path | str) -> Manifest | None:
    """The manifest of a stage's folder, or None where the stage is not complete.

    Raises
    ------
    InputError
        If there is a file that is no manifest.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        missing = sorted(set(Manifest.__annotations__) - set(value))
    except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
        missing = [str(error)]
    if missing:
        raise InputError(
            str(path),
            expected="a manifest written by this project",
            found=f"none ({', '.join(missing)} missing)" if len(missing) > 1 else f"a broken one ({missing[0]})",
            remedy="Delete this file; the next run makes the stage again.",
        )
    return value


def verify_outputs(manifest: Mapping[str, Any], folder: Path | str) -> list[str]:
    """What is wrong with a stage's files: one sentence for each that is missing or differs from its manifest."""
    problems = []
    for name, expected in manifest["outputs"].items():
        path = Path(folder) / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif sha256_file(path) != expected:
            problems.append(f"{path} is not the file that its manifest describes")
    return problems


def footer_html(manifest: Mapping[str, Any]) -> str:
    """The provenance block at the foot of a page, as HTML with every value escaped."""
    rows = [
        ("Stage", manifest["stage"]),
        ("Study", manifest["study"]),
        *([("Run", f"{manifest['scale']}, {manifest['strategy']}")] if manifest["scale"] else []),
        ("Seeds", ", ".join(str(seed) for seed in manifest["seeds"]) or "none"),
        ("Wall time", f"{manifest['wall_seconds']:.1f} s, started {manifest['started']}"),
        ("Peak memory", f"{manifest['peak_memory_bytes'] / 2**20:.0f} MiB"),
        ("Machine", ", ".join(f"{name} {value}" for name, value in manifest["machine"].items())),
        ("Versions", ", ".join(f"{name} {value}" for name, value in manifest["versions"].items())),
        ("Code", manifest["code"][:16]),
        ("Settings and inputs", manifest["key"][:16]),
    ]
    body = "".join(f"<tr><th scope='row'>{_escape(name)}</th><td>{_escape(value)}</td></tr>" for name, value in rows)
    return (
        "<section class='provenance' aria-label='Provenance'><h2>Provenance</h2>"
        f"<table><tbody>{body}</tbody></table>"
        f"{_fold('Parameters', _flatten(manifest['parameters']))}"
        f"{_fold('Inputs (SHA-256)', manifest['inputs'])}"
        f"{_fold('Outputs (SHA-256)', manifest['outputs'])}"
        "</section>"
    )


def _fold(title: str, entries: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{_escape(name)}</th><td><code>{_escape(value)}</code></td></tr>"
        for name, value in entries.items()
    )
    return f"<details><summary>{_escape(title)}</summary><table><tbody>{rows}</tbody></table></details>"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _escape(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return html.escape(text, quote=True)
