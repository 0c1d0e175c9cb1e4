"""The files of figures, where the pages of the built book link to."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

ENDINGS = (".png", ".svg", ".csv")


def collect_assets(root: Path | str, studies: Sequence[str]) -> Path:
    """Fill ``book/runs/_static`` before the book is built; gives that folder.

    Unchanged files are left alone, files of figures that are gone are removed. Works for a study that has not run.

    Parameters
    ----------
    root
        The project's folder.
    studies
        The studies whose figures the book shows.
    """
    root = Path(root)
    static = root / "book" / "runs" / "_static"
    static.mkdir(parents=True, exist_ok=True)
    results = root / "results"
    kept = set()
    for path in sorted(path for study in studies for path in (results / study).rglob("figures/*")):
        if path.suffix in ENDINGS and not path.name.startswith("."):
            inner = [part for part in path.relative_to(results).parts if part != "figures"]
            target = static.joinpath("figures", *inner)
            _copy(path, target)
            kept.add(target)
    for stale in [path for path in (static / "figures").rglob("*") if path.is_file() and path not in kept]:
        stale.unlink()
    return static


def _copy(source: Path, target: Path) -> None:
    if (
        target.is_file()
        and target.stat().st_size == source.stat().st_size
        and target.read_bytes() == source.read_bytes()
    ):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
