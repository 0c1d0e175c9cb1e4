"""The one exception that a person using the project can cause and mend."""


class InputError(ValueError):
    """A bad input: says where (file, row, key), what was expected, what was found and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2; a notebook shows it as
    any other exception.

    Parameters
    ----------
    where
        The file, row, key or clause id at fault.
    expected, found
        What would have been right, and what stands there.
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
