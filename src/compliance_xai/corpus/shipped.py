"""The synthetic corpus as it is shipped: four files, vouched for by ``SHA256SUMS``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.jsonl import read_jsonl, write_jsonl
from compliance_xai.errors import InputError
from compliance_xai.records import SPLITS, Example
from compliance_xai.study.folders import find_data_folder

SUMS = "SHA256SUMS"


def read_synthetic(folder: Path | str | None = None) -> Corpus:
    """Read ``train``, ``validation``, ``test`` and ``document.jsonl`` and check each file's SHA-256.

    Parameters
    ----------
    folder
        Default: ``synthetic`` in the project's data folder.

    Raises
    ------
    InputError
        If a file or its sum is missing, a sum differs, a line is not usable, an example is in another split than its
        file's, or an id occurs twice.
    """
    folder = find_data_folder() / "synthetic" if folder is None else Path(folder)
    sums = read_sums(folder)
    examples: list[Example] = []
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        check_sum(path, sums)
        rows = read_jsonl(path)
        for number, example in enumerate(rows, start=1):
            if example.split != split:
                raise InputError(
                    f"{path}, line {number}, key 'split'",
                    expected=repr(split),
                    found=repr(example.split),
                    remedy="Write each split to its own file.",
                )
        examples.extend(rows)
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise InputError(
                str(folder),
                expected="ids that occur once",
                found=f"'{example.id}' twice",
                remedy="Make the corpus again.",
            )
        seen.add(example.id)
    return Corpus("synthetic", tuple(examples), hashlib.sha256((folder / SUMS).read_bytes()).hexdigest())


def write_synthetic(folder: Path | str | None = None) -> Path:
    """Make the synthetic corpus from its grammar and write its four files and their sums; how the shipped ones came.

    Parameters
    ----------
    folder
        Default: ``synthetic`` in the project's data folder.
    """
    from compliance_xai.corpus.synthetic.build import build_corpus

    folder = find_data_folder() / "synthetic" if folder is None else Path(folder)
    examples = build_corpus()
    for split in SPLITS:
        write_jsonl((example for example in examples if example.split == split), folder / f"{split}.jsonl")
    write_sums(folder)
    return folder


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 (hexadecimal), as ``sha256sum`` writes them."""
    path = folder / SUMS
    if not path.is_file():
        raise InputError(
            str(path),
            expected="the file with the corpus's SHA-256 sums",
            found="no such file",
            remedy="Check the folder, or get the data again from the project's repository.",
        )
    pairs = [line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {name.lstrip("*"): digest for digest, name in pairs}


def write_sums(folder: Path | str) -> Path:
    """Write ``SHA256SUMS`` for the four files of a corpus folder; ``sha256sum --check SHA256SUMS`` reads it too."""
    folder = Path(folder)
    lines = [f"{hash_file(folder / f'{split}.jsonl')}  {split}.jsonl\n" for split in SPLITS]
    path = folder / SUMS
    path.write_bytes("".join(lines).encode())
    return path


def check_sum(path: Path, sums: dict[str, str]) -> None:
    """Stop unless the file is there and its SHA-256 is the one in ``sums``."""
    if path.name not in sums or not path.is_file():
        raise InputError(
            str(path),
            expected=f"a file listed in {SUMS}",
            found="no such file" if path.name in sums else f"no line for it in {SUMS}",
            remedy="Get the data again from the project's repository.",
        )
    found = hash_file(path)
    if found != sums[path.name]:
        raise InputError(
            str(path),
            expected=f"SHA-256 {sums[path.name]} ({SUMS})",
            found=found,
            remedy="The file was changed: get it again from the repository; own clauses go through source 'table'.",
        )


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
