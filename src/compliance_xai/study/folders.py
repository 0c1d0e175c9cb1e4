"""Where the project's folders are: studies, results and the shipped data are beside the package, not inside it."""

import os
from pathlib import Path

from compliance_xai.errors import InputError

VARIABLE = "COMPLIANCE_XAI_DATA"
PROJECT_VARIABLE = "COMPLIANCE_XAI_PROJECT"
WORKING_VARIABLE = "COMPLIANCE_XAI_WORKING_FOLDER"
"""Set for the notebooks of a run, which work in the project's folder: where the command was started."""


def find_path(path: Path | str, base: Path | None = None) -> Path:
    """A path relative to ``base``, the folder of the file that names it, else to the working directory.

    The first of the two if neither exists.
    """
    given = Path(path).expanduser()
    working = Path(os.environ.get(WORKING_VARIABLE) or Path.cwd())
    places = [folder / given for folder in (base, working) if folder is not None]
    return next((place for place in places if place.exists()), places[0]).resolve()


def find_project_folder() -> Path:
    """The folder that holds ``studies``, ``notebooks``, ``results`` and ``book``.

    ``COMPLIANCE_XAI_PROJECT`` if it is set, else the checkout around this package.

    Raises
    ------
    InputError
        If the variable does not name such a folder, or the package was installed without a checkout around it.
    """
    return _find(PROJECT_VARIABLE, "", holding="studies")


def find_data_folder() -> Path:
    """The project's ``data`` folder.

    ``COMPLIANCE_XAI_DATA`` if it is set, else the folder beside ``src`` in the checkout around this package.

    Raises
    ------
    InputError
        If the variable does not name a folder, or the package was installed without a checkout around it.
    """
    return _find(VARIABLE, "data", holding="")


def _find(variable: str, part: str, *, holding: str) -> Path:
    named = os.environ.get(variable)
    folder = Path(named).expanduser().resolve() if named else Path(__file__).resolve().parents[3] / part
    if not (folder / holding).is_dir():
        where = f"environment variable {variable}" if named else "the project's folder"
        remedy = f"Install with 'pip install -e .' from a checkout, or set {variable} to a folder of one."
        expected = f"a checkout's folder {(part or holding)!r}"
        raise InputError(where, expected=expected, found=f"none at {folder}", remedy=remedy)
    return folder
