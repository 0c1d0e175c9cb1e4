"""Public corpora that are not ours to ship: fetched for the user from their pinned address, resumed, checked.

Nothing is fetched by importing or by ``load_corpus``; only a call of ``fetch`` opens a connection.
"""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compliance_xai.corpus.shipped import hash_file
from compliance_xai.errors import InputError

Report = Callable[[int, int | None], None]
"""Called with the bytes there so far and the size of the whole file (None where the server does not say)."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class PublicFile:
    """A file that others publish, at an address that cannot change under us (a commit)."""

    address: str
    filename: str
    sha256: str
    size: int
    terms: str
    citation: str


PUBLIC_FILES = {
    "nzbc-lrml": PublicFile(
        address=(
            "https://raw.githubusercontent.com/stefan-1992/phd-thesis-supplementary-material/"
            "f145e942505d0339e2464aa9d8df3801a0864c50/Chapter7/data/lrml_ds_v8.csv"
        ),
        filename="nzbc_lrml_v8.csv",
        sha256="4ab5ff34427565db6152d26abf20acc3d62b0e61c6743e4fe8f215ceeabb42a4",
        size=446_095,
        terms='Published without a licence file, "as is" for research: use it, cite it, do not redistribute it.',
        citation=(
            "S. Fuchs, Transformer-based Semantic Parsing of Building Regulations: Supporting Regulators in Drafting "
            "Machine-Interpretable Rules, PhD thesis, supplementary material, "
            "https://github.com/stefan-1992/phd-thesis-supplementary-material."
        ),
    ),
} | {
    f"code-accord-{split}": PublicFile(
        address=(
            "https://raw.githubusercontent.com/Accord-Project/CODE-ACCORD/"
            f"45f08307dd24d5ee4dc31ff40ac4eab055e8d08b/annotated_data/entities/{split}.csv"
        ),
        filename=f"code_accord_entities_{split}.csv",
        sha256=sha256,
        size=size,
        terms="Sentences of English and Finnish regulations with labels, open access: cite the article.",
        citation=(
            "H. Hettiarachchi et al., CODE-ACCORD: A corpus of building regulatory data for rule generation towards "
            "automatic compliance checking, Scientific Data 12, 170 (2025)."
        ),
    )
    for split, sha256, size in (
        ("train", "c13ad02ab72f0f3a3ddca588c02bcd5d7db1622ae81351d967431623963e4fcd", 389_041),
        ("test", "e84246648e27fb24fbf3409130d8a9cb79793f0c14ec4390129605436ceeeac3", 90_767),
    )
}


def fetch_corpus(name: str, folder: Path | str, *, report: Report | None = None) -> Path:
    """Download a public corpus into ``folder``, or find it there.

    Parameters
    ----------
    name
        One of ``PUBLIC_FILES``.
    folder
        Where the file goes; made where it is missing. The project ignores ``data/external`` in git.
    report
        Told about the progress.

    Returns
    -------
    pathlib.Path
        The file, its SHA-256 checked.

    Raises
    ------
    InputError
        If the name is unknown, the address cannot be reached, or the bytes are not the published ones.
    """
    if name not in PUBLIC_FILES:
        remedy = "Check the spelling; 'synthetic' is shipped with the project."
        raise InputError(
            "corpus to fetch", expected=f"one of {', '.join(PUBLIC_FILES)}", found=repr(name), remedy=remedy
        )
    file = PUBLIC_FILES[name]
    return download(file.address, Path(folder) / file.filename, sha256=file.sha256, report=report)


def download(
    address: str, path: Path | str, *, sha256: str, timeout: float = 30.0, report: Report | None = None
) -> Path:
    """Download one file; go on where an earlier attempt stopped; check its SHA-256 before it gets its name.

    Parameters
    ----------
    address
        http(s) address.
    path
        Where the file goes. Until it is whole and checked it is called ``.<name>.part``.
    sha256
        Of the whole file, hexadecimal.
    timeout
        Seconds to wait for the server to answer or to send more.
    report
        Told about the progress.

    Raises
    ------
    InputError
        If the address cannot be reached (what has arrived is kept for the next call), or the SHA-256 differs (what
        has arrived is removed; a file that was there before is left as it is).
    """
    path = Path(path)
    if path.is_file():
        _check(path, sha256, "Move the file away and fetch again.")
        return path
    part = path.with_name(f".{path.name}.part")
    if not (part.is_file() and hash_file(part) == sha256):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _receive(address, part, timeout, report)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            raise _unreachable(address, part, error) from None
        except OSError as error:
            remedy = "Free some space, or choose another folder; what has arrived is kept."
            raise InputError(
                str(part), expected="a file that can be written", found=str(error), remedy=remedy
            ) from None
    try:
        _check(part, sha256, "Fetch again; if it happens again, the address no longer serves the published file.")
    except InputError:
        part.unlink()
        raise
    part.replace(path)
    return path


def _receive(address: str, part: Path, timeout: float, report: Report | None) -> None:
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        # 416: the part is as long as the file or longer, and (see download) not the file. Start over.
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not there:
            raise
        error.close()
        part.unlink()
        return _receive(address, part, timeout, report)
    with response:
        resumes = _resumes(response, there)
        there = there if resumes else 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        with part.open("ab" if resumes else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                there += len(chunk)
                if report:
                    report(there, total)
    if total is not None and there < total:
        raise http.client.IncompleteRead(b"", total - there)


def _resumes(response: http.client.HTTPResponse, there: int) -> bool:
    """Whether the answer continues at byte ``there``; a server that ignores ranges sends the whole file again."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return False
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not start or int(start[1]) != there:
        raise http.client.HTTPException(f"asked for bytes from {there}, sent {response.headers.get('Content-Range')!r}")
    return True


def _check(path: Path, sha256: str, remedy: str) -> None:
    found = hash_file(path)
    if found != sha256:
        raise InputError(
            str(path), expected=f"SHA-256 {sha256}", found=f"{found} ({path.stat().st_size} bytes)", remedy=remedy
        )


def _unreachable(address: str, part: Path, error: Exception) -> InputError:
    if isinstance(error, urllib.error.HTTPError):
        found = f"HTTP status {error.code} ({error.reason})"
        remedy = "Open the address in a browser to see whether the file was moved."
        error.close()
    elif isinstance(error, (http.client.HTTPException, ConnectionError, TimeoutError)):
        found = f"a connection that broke ({error})"
        remedy = "Run the same command again."
    else:
        found = f"no connection ({getattr(error, 'reason', error)})"
        remedy = "Check the network (and HTTPS_PROXY behind a proxy), or get the file on another machine."
    kept = part.stat().st_size if part.is_file() else 0
    if kept:
        remedy += f" {kept} bytes are kept in {part}; the next attempt goes on from there."
    return InputError(address, expected="the published file", found=found, remedy=remedy)
