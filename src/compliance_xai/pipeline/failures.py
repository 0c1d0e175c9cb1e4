"""What ends a command: bad input, a failed notebook, a full or read-only disk; each as one message and a status."""

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path

from compliance_xai.errors import InputError

FAILED = 3
"""Exit status of a notebook's process after an error in a cell, which the notebook holds."""

INTERRUPTED = "Interrupted. Finished work is kept; the same command continues."

_FULL = ("room to write", "a full disk", "Free some space and run the same command again; finished work is kept.")
_CLOSED = ("a folder that can be written to", "one that cannot", "Change its permissions, or choose another folder.")
_SYSTEM = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _CLOSED,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.ENOTDIR: ("a folder", "a file in its place", "Rename or remove that file."),
    errno.EEXIST: ("a folder", "a file in its place", "Rename or remove that file."),
    errno.ENAMETOOLONG: ("a shorter name", "one that the file system refuses", "Shorten the study's or a cell's name."),
}
_NUMBER = re.compile(r"\[Errno (\d+)\]|\(os error (\d+)\)")


class NotebookFailed(RuntimeError):
    """A notebook that did not run to its end.

    ``job_name``, ``reason``: which notebook, and what went wrong, in one line; ``kept``: where the attempt is, or None;
    ``bad_input``: whether the reason is one that the reader can remove (an ``InputError``, a full disk), not a defect.
    """

    def __init__(self, job_name: str, reason: str, *, kept: Path | None, bad_input: bool) -> None:
        self.job_name, self.reason, self.kept, self.bad_input = job_name, reason, kept, bad_input
        super().__init__(f"{job_name}: {reason}" + (f"\nThe attempt is kept in {kept}" if kept else ""))


def explain_system(message: str) -> str | None:
    """A message of the operating system with what to do about it; None if a reader cannot change it.

    Examples
    --------
    >>> explain_system("SafetensorError: No space left on device (os error 28)")
    'SafetensorError: No space left on device (os error 28): expected room to write, found a full disk. Free some \
space and run the same command again; finished work is kept.'
    >>> explain_system("KeyError: 28")
    """
    found = _NUMBER.search(message)
    known = _SYSTEM.get(int(found[1] or found[2])) if found else None
    if known is None:
        return None
    expected, there, remedy = known
    return f"{message}: expected {expected}, found {there}. {remedy}"


def report_errors(work: Callable[[], object]) -> int:
    """Do some work; turn what its user can change into one message on stderr. Returns the exit status."""
    try:
        work()
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except NotebookFailed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2 if error.bad_input else 1
    except OSError as error:
        if (known := explain_system(str(error))) is None:
            raise
        print(f"Error: {known}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130
    return 0
