"""The code that decides a stage's results, as one digest: part of the stage's key.

A stage names the rooms that decide its results (``pipeline.grid.STAGES``), and every module in them counts, so that a
change in what the stage calls is always seen. Comments, layout, docstrings and the messages of errors do not count:
rewording one of them re-runs nothing.
"""

import ast
import atexit
import contextlib
import hashlib
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from compliance_xai.errors import InputError
from compliance_xai.files import digest, write_json
from compliance_xai.pipeline.stores import read_json
from compliance_xai.study.folders import find_project_folder

PACKAGE = Path(__file__).resolve().parents[1]

ROOMS = ("rules", "corpus", "models", "attribution", "stats", "figures", "pipeline", "book")
"""Every room whose code can decide what a page or a lesson shows."""

UNDECIDING = frozenset({"corpus.download", "models.planning", "rules.legalruleml"})
"""Modules inside those rooms that no stage calls, so that they decide no result."""


def code_digest(rooms: Iterable[str], *, package: Path = PACKAGE) -> str:
    """SHA-256 of the code and data files of some rooms.

    Parameters
    ----------
    rooms
        Rooms or modules below the package: ``"corpus"``, ``"rules.notation"``, ``"stats.claims"``.
    package
        The folder of the package.
    """
    files = {path for room in rooms for path in list_files(room, package)}
    return digest({path.relative_to(package).as_posix(): _digest_file(path) for path in files})


def list_files(room: str, package: Path = PACKAGE) -> list[Path]:
    """The code and data files of a room, without those that are ``UNDECIDING``."""
    base = package.joinpath(*room.split("."))
    if base.with_suffix(".py").is_file():
        return [base.with_suffix(".py")]
    found = [path for path in sorted(base.rglob("*")) if path.is_file() and _decides(path.relative_to(package))]
    if not found:
        raise InputError(
            f"room {room!r}", expected=f"a module or folder in {package}", found="none", remedy="Check its name."
        )
    return found


def _decides(path: Path) -> bool:
    parts = path.with_suffix("").parts
    names = {".".join(parts[: count + 1]) for count in range(len(parts))}
    return path.suffix not in (".pyc", ".pyi") and not names & UNDECIDING


def _digest_file(path: Path) -> str:
    """SHA-256 of a file, for Python of what it does; read again only where its size or time of change differs."""
    status, known = path.stat(), _read_known()
    stamp = [status.st_size, status.st_mtime_ns]
    if known.get(str(path), [])[:2] != stamp:
        content = path.read_bytes()
        if path.suffix == ".py":
            content = ast.dump(_Reduced().visit(ast.parse(content))).encode()
        known[str(path)] = [*stamp, hashlib.sha256(content).hexdigest()]
    return known[str(path)][2]


@lru_cache(maxsize=1)
def _read_known() -> dict[str, list]:
    """File -> size, time of change (ns) and digest; kept for the next processes, since reading all takes a second."""
    # What a file does is told by this module, in this Python's words.
    tag = hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()[:16]
    place = find_project_folder() / ".cache" / f"code-{tag}.json"
    known = read_json(place) or {}
    before = dict(known)

    def keep() -> None:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs a second
            if known != before:
                write_json(known, place)

    atexit.register(keep)
    return known


class _Reduced(ast.NodeTransformer):
    """Removes what no result depends on: docstrings, and the texts of errors that are raised.

    A text is one of an error's if it is given to a name that the function uses in errors alone.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)  # errors have lost what they were given
        used = {name for each in ast.walk(node) if isinstance(each, ast.Nonlocal) for name in each.names}
        used |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
        for each in (each for each in ast.walk(node) if isinstance(each, ast.Assign)):
            names = {part.id for target in each.targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            if used.isdisjoint(names):
                _blank_texts(each.value)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        bare = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if bare else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise()

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in ("InputError", "_refuse"):
            return ast.Call(node.func, [], [])
        return self.generic_visit(node)


def _blank_texts(value: ast.expr) -> None:
    for part in ast.walk(value):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            part.value = ""
