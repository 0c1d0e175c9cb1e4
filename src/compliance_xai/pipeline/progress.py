"""How far a long piece of work is: a line every few seconds, wherever it runs.

In a notebook of the grid, the line goes to a file that the notebook's process prints from, since a page must not hold
it; elsewhere it goes to standard error.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

VARIABLE = "COMPLIANCE_XAI_PROGRESS_LINE"
"""Environment variable with the file that a notebook of the grid writes its line to."""

EVERY = 5.0  # seconds

Item = TypeVar("Item")


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a line every few seconds that says how many are done and about how long the rest takes.

    Parameters
    ----------
    what
        What is counted: ``clauses attributed``.
    total
        How many there are; taken from the items where they know.
    """
    total = len(items) if total is None and hasattr(items, "__len__") else total  # type: ignore[arg-type]
    started = said = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - said >= EVERY:
            said = now
            left = f", about {format_duration((now - started) / done * (total - done))} left" if total and done else ""
            say(f"{done}{f' of {total}' if total else ''} {what}{left}")
        yield item


def say(line: str) -> None:
    """Show a line to whoever waits."""
    if place := os.environ.get(VARIABLE):
        Path(place).write_text(line, encoding="utf-8")
    else:
        print(line, file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 5 min``.

    Examples
    --------
    >>> [format_duration(seconds) for seconds in (3.2, 754, 11100)]
    ['3 s', '13 min', '3 h 5 min']
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
