"""The exception for bad input, and the check that raises it most often."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: says where (file, row, key), what was expected, what was found and what to do.

    The command line prints the message without a traceback and exits with status 2; a notebook shows it like any
    other exception.

    Parameters
    ----------
    where
        The file, row, key or clause id at fault.
    expected, found
        What would have been right, and what was there instead.
    remedy
        What the reader can do about it, in one sentence.

    Examples
    --------
    >>> raise InputError("a.yaml, key 'seed'", expected="a list", found="'x'", remedy="Write seeds: [0, 1].")
    Traceback (most recent call last):
    ...
    compliance_xai.errors.InputError: a.yaml, key 'seed': expected a list, found 'x'. Write seeds: [0, 1].
    """

    def __init__(self, where: str, *, expected: str, found: str, remedy: str) -> None:
        self.where = where
        self.expected = expected
        self.found = found
        self.remedy = remedy
        super().__init__(f"{where}: expected {expected}, found {found}. {remedy}")

    def __reduce__(self):
        return _rebuild, (self.where, self.expected, self.found, self.remedy)


def _rebuild(where: str, expected: str, found: str, remedy: str) -> InputError:
    return InputError(where, expected=expected, found=found, remedy=remedy)


def require_choice(where: str, value: object, known: Iterable[object], *, remedy: str = "Choose one of these.") -> None:
    """Refuse a value that is not among the known ones, and suggest the closest.

    Parameters
    ----------
    where
        What the value is for, as in ``InputError``.
    remedy
        What to do if no known value is close.

    Examples
    --------
    >>> require_choice("split", "trian", ["train", "test"])
    Traceback (most recent call last):
    ...
    compliance_xai.errors.InputError: split: expected one of train, test, found 'trian'. Did you mean 'train'?
    """
    choices = list(known)
    if value in choices:
        return
    names = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(value), names, n=1)
    raise InputError(
        where,
        expected=f"one of {', '.join(names)}",
        found=repr(value),
        remedy=f"Did you mean {close[0]!r}?" if close else remedy,
    )
