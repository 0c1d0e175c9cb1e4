"""What is made once for its key and known to be whole: a folder of results, or a file. And the lock around the making.

A key is a digest of all that decides the content. The key is kept with size, time and SHA-256 of every file
that was written, so that a damaged one is found, named and made again, never taken for a result.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from compliance_xai.errors import InputError
from compliance_xai.files import digest, sha256_file, write_atomic, write_json
from compliance_xai.machine import Stopwatch, peak_memory_bytes
from compliance_xai.study.folders import find_project_folder

MARK = "made.json"
"""In a kept folder: its key, what it took, and its files."""

SIGNS = {".md": "%", ".js": "//", ".txt": "#"}
"""What begins a comment in the kinds of file that are kept; the first line holds key and SHA-256 of the rest."""

Stamps = Mapping[str, Sequence[Any]]
"""File, relative to its folder -> size in bytes, time of change in ns, SHA-256."""

BIG = 1 << 26
"""Bytes from which a file's SHA-256 is kept on disk, for the processes to come."""


# --- files and their stamps --------------------------------------------------------------------------------------


def stamp_files(paths: Iterable[Path], folder: Path) -> dict[str, list[Any]]:
    """The stamp of each file, by its path relative to ``folder``."""
    return {path.relative_to(folder).as_posix(): stamp_file(path) for path in sorted(paths)}


def stamp_file(path: Path) -> list[Any]:
    """Size, time of change in ns, and SHA-256."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, sha256_file(path)]


def find_damage(stamps: Stamps, folder: Path, *, content: bool = False) -> list[str]:
    """A sentence for each file that is missing or altered.

    A file of the noted size and time counts as whole unless its ``content`` is asked for; one whose time alone differs
    (a copy) is read.
    """
    problems = []
    for name, (size, modified, sha256) in stamps.items():
        path = folder / name
        try:
            status = path.stat()
        except OSError:
            problems.append(f"{path} is missing")
            continue
        same = (status.st_size, status.st_mtime_ns) == (size, modified)
        if status.st_size != size or ((content or not same) and sha256_file(path) != sha256):
            problems.append(f"{path} was altered after it was made")
    return problems


def hash_once(path: Path) -> str:
    """SHA-256 of a file, read again only when its size or time of change differs; big ones once for all processes."""
    status = path.stat()
    return _hash_once(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_once(path: Path, size: int, modified: int) -> str:
    if size < BIG:
        return sha256_file(path)
    kept = find_project_folder() / ".cache" / "hashes" / f"{digest(str(path))[:32]}.txt"
    keep_file(kept, digest([str(path), size, modified]), lambda: sha256_file(path))
    return read_kept(kept).strip()


# --- a folder ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A kept folder, how long its making took and the largest memory of that process up to its end."""

    folder: Path
    seconds: float
    peak_memory_bytes: int


def keep_folder(folder: Path, key: str, make: Callable[[Path], object], *, say: Callable[[str], None] = print) -> Kept:
    """Make a folder once: a whole one of the same key is kept, anything else is made again.

    The folder takes its name only when ``make`` returned, so an interruption leaves nothing that looks finished.
    """
    if (kept := find_folder(folder, key, say=say)) is not None:
        return kept
    watch = Stopwatch()
    with write_atomic(folder) as part:
        part.mkdir()
        make(part)
        files = stamp_files((path for path in part.rglob("*") if path.is_file()), part)
        values = {"seconds": round(watch.seconds, 3), "peak_memory_bytes": peak_memory_bytes()}
        write_json({"key": key, **values, "files": files}, part / MARK)
    return Kept(folder, values["seconds"], values["peak_memory_bytes"])


def find_folder(folder: Path, key: str, *, say: Callable[[str], None] = print) -> Kept | None:
    """A whole folder of this key, or None; ``say`` is told of a damaged one."""
    mark = read_json(folder / MARK)
    if mark is None or (mark and mark.get("key") != key):
        return None
    try:
        problems = find_damage(mark["files"], folder, content=True)
        kept = Kept(folder, mark["seconds"], mark["peak_memory_bytes"])
    except (AttributeError, KeyError, TypeError, ValueError):
        problems = [f"{folder / MARK} is damaged"]
    if problems:
        say(f"{problems[0]}; it is made again")
        return None
    return kept


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if there is no file, empty if it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


# --- a file ------------------------------------------------------------------------------------------------------


def keep_file(path: Path, key: str, make: Callable[[], str]) -> bool:
    """Write what ``make`` returns under its key, unless that was done already; whether it was done now."""
    if is_kept(path, key):
        return False
    text = make().rstrip("\n") + "\n"
    with write_atomic(path) as part:
        part.write_text(f"{SIGNS[path.suffix]} {key} {digest(text)}\n\n{text}", encoding="utf-8")
    return True


def is_kept(path: Path, key: str) -> bool:
    """Whether a file was made under this key and is unaltered since."""
    head, text = _split(path)
    return head[1:] == [key, digest(text)]


def read_kept(path: Path) -> str:
    """The text of a kept file, its first line aside."""
    return _split(path)[1]


def _split(path: Path) -> tuple[list[str], str]:
    try:
        head, _, text = path.read_text(encoding="utf-8").partition("\n\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return [], ""
    return head.split(" "), text


def write_changed(path: Path, text: str) -> Path:
    """Write a text unless it is there already: an unchanged file keeps its time, so that nothing reads it again."""
    if not path.is_file() or path.read_bytes() != text.encode():
        with write_atomic(path) as part:
            part.write_bytes(text.encode())
    return path


# --- the lock ----------------------------------------------------------------------------------------------------


@contextmanager
def hold_lock(path: Path, what: str, *, wait: float = 0, say: Callable[[str], None] = print) -> Iterator[None]:
    """Let one process at a time do something; the system drops the lock with its process, however that ends.

    The file stays where it is: removing it would let two processes hold it.

    Parameters
    ----------
    what
        What is done under it, for messages.
    wait
        Seconds to wait for another process, which is named by its process id; infinity to wait as
        long as it takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if wait:
                say(f"{what}: waiting for process {find_holder(path)}, which is at work on it")
            lock.acquire(timeout=wait, poll_interval=0.2)
    except Timeout:
        pid = find_holder(path)
        found = f"process {pid or 'of another machine'}, which is"
        remedy = f"Wait until it ends, or end it with 'kill {pid}'; finished work is kept." if pid else "Wait."
        raise InputError(what, expected="no other process at work on it", found=found, remedy=remedy) from None
    try:
        path.write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def find_holder(path: Path) -> int | None:
    """The process that holds a lock now, or None."""
    if not path.is_file():
        return None
    try:
        with FileLock(path, timeout=0):
            return None
    except Timeout:
        text = path.read_text(encoding="utf-8").strip()
        return int(text) if text.isdigit() else None
