"""The synthetic corpus as it is shipped: four files of JSON lines, vouched for by ``SHA256SUMS``.

One object a line, always with these keys in this order::

    {"id": str, "clause": str, "rule": str, "context": str, "split": str,
     "alignment": [[kind, start, end, [[start, end], ...]], ...],
     "identifier_role": str, "number_role": str}

The bytes depend on the examples only (UTF-8, ``\\n`` line ends, no escapes that JSON does not require), so that a
SHA-256 can vouch for a file on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from compliance_xai.corpus.checks import check_ids
from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.synthetic.build import build_corpus
from compliance_xai.errors import InputError
from compliance_xai.files import decode, read_json_lines, sha256_file, write_atomic
from compliance_xai.records import SPLITS, Example, Link
from compliance_xai.study.folders import find_data_folder

SUMS = "SHA256SUMS"


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: str
    clause: str
    rule: str
    context: str
    split: Literal["train", "validation", "test", "document"]
    alignment: list[tuple[str, int, int, list[tuple[int, int]]]]
    identifier_role: str
    number_role: str


def read_synthetic(folder: Path | str | None = None) -> Corpus:
    """Read ``train``, ``validation``, ``test`` and ``document.jsonl`` and check each file's SHA-256.

    Parameters
    ----------
    folder
        Default: ``synthetic`` in the project's data folder.

    Raises
    ------
    InputError
        If a file or its sum is missing, a sum differs, a line is not usable, an example belongs to another split than
        its file, or an id occurs twice.
    """
    folder = find_data_folder() / "synthetic" if folder is None else Path(folder)
    sums = read_sums(folder)
    examples: list[Example] = []
    places: list[str] = []
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        check_sum(path, sums)
        rows = read_jsonl(path)
        for number, example in enumerate(rows, start=1):
            places.append(f"{path.name}, line {number}")
            if example.split != split:
                raise InputError(
                    f"{path}, line {number}, key 'split'",
                    expected=repr(split),
                    found=repr(example.split),
                    remedy="Write each split to its own file.",
                )
        examples.extend(rows)
    check_ids([example.id for example in examples], places, str(folder))
    return Corpus("synthetic", tuple(examples), sha256_file(folder / SUMS))


def write_synthetic(folder: Path | str | None = None) -> Path:
    """Generate the synthetic corpus and write its four files and their sums; the shipped ones were made this way.

    Parameters
    ----------
    folder
        Default: ``synthetic`` in the project's data folder.
    """
    folder = find_data_folder() / "synthetic" if folder is None else Path(folder)
    examples = build_corpus()
    for split in SPLITS:
        write_jsonl((example for example in examples if example.split == split), folder / f"{split}.jsonl")
    write_sums(folder)
    return folder


def write_jsonl(examples: Iterable[Example], path: Path | str) -> Path:
    """Write examples in the order given, one JSON object a line; the file appears only when it is complete."""
    with write_atomic(path) as part, part.open("wb") as file:
        for example in examples:
            row = {key: getattr(example, key) for key in _Line.model_fields}
            row["alignment"] = [[link.kind, link.start, link.end, link.spans] for link in example.alignment]
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    return Path(path)


def read_jsonl(path: Path | str) -> list[Example]:
    """Read what ``write_jsonl`` wrote; the same records come back.

    Raises
    ------
    InputError
        If the file is missing or not UTF-8, or a line is not an object of this format (the line is named).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            str(path), expected="a JSON-lines file", found="no such file", remedy="Check the path, or make the file."
        )
    _, rows = read_json_lines(decode(path.read_bytes(), str(path)), str(path))
    return [_read_line(json.dumps(row.cells), f"{path}, {row.place}") for row in rows]


def _read_line(line: str, where: str) -> Example:
    try:
        cells = _Line.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(
            f"{where}, key '{'.'.join(map(str, problem['loc']))}'",
            expected=f"an object with the keys {', '.join(_Line.model_fields)}, in the format of write_jsonl",
            found=f"{problem['msg'].lower()} (the value is {problem['input']!r:.80})",
            remedy="Write the file again; clauses of your own are read by load_corpus('table', path=...).",
        ) from None
    links = tuple(Link(kind, start, end, tuple(spans)) for kind, start, end, spans in cells.alignment)
    for link in links:
        inside = [(link.start, link.end, len(cells.rule)), *((*span, len(cells.clause)) for span in link.spans)]
        if not all(0 <= start < end <= length for start, end, length in inside):
            raise InputError(
                f"{where}, key 'alignment'",
                expected=f"spans inside the rule ({len(cells.rule)} characters) and the clause ({len(cells.clause)})",
                found=str(link),
                remedy="Write the file again.",
            )
    return Example(**cells.model_dump(exclude={"alignment"}), alignment=links)


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
    path = Path(folder) / SUMS
    lines = [f"{sha256_file(path.with_name(f'{split}.jsonl'))}  {split}.jsonl\n" for split in SPLITS]
    with write_atomic(path) as part:
        part.write_bytes("".join(lines).encode())
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
    found = sha256_file(path)
    if found != sums[path.name]:
        raise InputError(
            str(path),
            expected=f"SHA-256 {sums[path.name]} ({SUMS})",
            found=found,
            remedy="The file was changed: get it again from the repository; read your own clauses as a 'table'.",
        )
