"""Public corpora that the project may not redistribute: downloaded on request from a pinned address, and checked.

Importing this module or calling ``load_corpus`` downloads nothing; only ``fetch_corpus`` opens a connection.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import read_package_data, sha256_file
from compliance_xai.study.folders import find_data_folder

TIMEOUT = 30.0
"""Seconds to wait for the server to answer, or to send more."""


@dataclass(frozen=True)
class PublicFile:
    """A file that others publish, at an address whose content cannot change (a commit)."""

    address: str
    filename: str
    sha256: str
    size: int
    terms: str
    citation: str

    @property
    def path(self) -> Path:
        """Where the file is kept unless the user names another folder; git ignores this one."""
        return find_data_folder() / "external" / self.filename


PUBLIC_FILES: dict[str, PublicFile] = {
    name: PublicFile(**fields) for name, fields in read_package_data(Path(__file__).with_suffix(".yaml")).items()
}


def fetch_corpus(name: str, folder: Path | str | None = None) -> Path:
    """Download a public corpus, or check the copy that is already there.

    Parameters
    ----------
    name
        One of ``PUBLIC_FILES``.
    folder
        Created if missing; default: ``data/external``, where ``load_corpus`` looks for it.

    Raises
    ------
    InputError
        If the name is unknown, the address cannot be reached, the file cannot be written, or its content is not what
        was published. A file that was there before is left as it is.
    """
    require_choice("corpus to fetch", name, PUBLIC_FILES, remedy="'synthetic' comes with the project.")
    file = PUBLIC_FILES[name]
    path = file.path if folder is None else Path(folder) / file.filename
    if not path.is_file():
        _download(file, path)
    elif (found := sha256_file(path)) != file.sha256:
        raise InputError(
            str(path),
            expected=f"the published file, SHA-256 {file.sha256}",
            found=f"another file, {found} ({path.stat().st_size} bytes)",
            remedy="Move this file away and fetch again.",
        )
    return path


def _download(file: PublicFile, path: Path) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")

    def receive(address: str, target: Any, _: object, **__: Any) -> None:
        """Save what the server sends, but no more than the published number of bytes."""
        arrived = 0
        with requests.get(address, timeout=TIMEOUT, stream=True) as response, open(target, "wb") as output:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 16):
                arrived += len(chunk)
                if arrived > file.size:
                    raise _other_content(file, f"more than {file.size} bytes")
                output.write(chunk)

    downloader: Any = receive
    try:
        pooch.retrieve(file.address, f"sha256:{file.sha256}", path.name, path.parent, downloader=downloader)
    except InputError:
        raise
    except requests.RequestException as error:
        raise InputError(
            file.address,
            expected="the published file",
            found=f"no answer that could be used ({error})",
            remedy="Check the network (and HTTPS_PROXY behind a proxy) and run the command again, or download the file "
            f"on another machine and save it as {path}.",
        ) from None
    except OSError as error:
        raise InputError(
            str(path),
            expected="a file that can be written",
            found=str(error),
            remedy="Free some space, or choose another folder.",
        ) from None
    except ValueError:  # pooch found another SHA-256
        raise _other_content(file, "other content") from None


def _other_content(file: PublicFile, found: str) -> InputError:
    return InputError(
        file.address,
        expected=f"the published file, {file.size} bytes with SHA-256 {file.sha256}",
        found=found,
        remedy="Run the command again; if this happens again, the address no longer serves the published file.",
    )
