"""Where the project's folders lie: studies, results and the shipped data live beside the package, not inside it."""

from __future__ import annotations

import os
from pathlib import Path

from compliance_xai.errors import InputError

VARIABLE = "COMPLIANCE_XAI_DATA"
PROJECT_VARIABLE = "COMPLIANCE_XAI_PROJECT"
WORKING_VARIABLE = "COMPLIANCE_XAI_WORKING_FOLDER"
"""Set for the notebooks of a run, which work in the project's folder: where the command was started."""


def find_path(path: Path | str, base: Path | None = None) -> Path:
    """A path relative to ``base``, the folder of the file that names it, else to the working directory.

    The first of the two if neither is there.
    """
    given = Path(path).expanduser()
    working = Path(os.environ.get(WORKING_VARIABLE) or Path.cwd())
    places = [folder / given for folder in (base, working) if folder is not None]
    return next((place for place in places if place.exists()), places[0]).resolve()


def find_project_folder() -> Path:
    """The folder that holds ``studies``, ``notebooks``, ``results`` and ``book``.

    ``COMPLIANCE_XAI_PROJECT`` decides where it is set; otherwise the checkout around this package.

    Raises
    ------
    InputError
        If the variable names no folder, or the package was installed without a checkout around it.
    """
    named = os.environ.get(PROJECT_VARIABLE)
    folder = Path(named).expanduser().resolve() if named else Path(__file__).resolve().parents[3]
    if not folder.joinpath("studies").is_dir():
        raise InputError(
            f"environment variable {PROJECT_VARIABLE}" if named else "the project's folder",
            expected="a checkout of the project, with a folder 'studies'",
            found=f"none in {folder}",
            remedy=f"Install with 'pip install -e .' from a checkout, or set {PROJECT_VARIABLE} to one.",
        )
    return folder


def find_data_folder() -> Path:
    """The project's ``data`` folder.

    ``COMPLIANCE_XAI_DATA`` decides where it is set; otherwise the folder beside ``src`` in a checkout that was
    installed in editable mode (``pip install -e .``), which is what ``make`` does.

    Raises
    ------
    InputError
        If the variable names no folder, or the package was installed without a checkout around it.
    """
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise InputError(
                f"environment variable {VARIABLE}",
                expected="a folder that exists",
                found=repr(named),
                remedy="Point it at the data folder of a checkout of the project, or unset it.",
            )
        return folder
    folder = Path(__file__).resolve().parents[3] / "data"
    if not folder.is_dir() or folder.parent.joinpath("src").resolve() != Path(__file__).resolve().parents[2]:
        raise InputError(
            "the project's data folder",
            expected=f"the folder 'data' beside 'src' of a checkout, or {VARIABLE} set",
            found=f"nothing at {folder}",
            remedy=f"Install with 'pip install -e .' from a checkout, or set {VARIABLE} to its data folder.",
        )
    return folder
