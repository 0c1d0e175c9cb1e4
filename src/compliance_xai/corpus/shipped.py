"""The synthetic corpus as it is shipped: four files of JSON lines, vouched for by ``SHA256SUMS``.

One object a line, always with these keys in this order::

    {"id": str, "clause": str, "rule": str, "context": str, "split": str,
     "alignment": [[kind, start, end, [[start, end], ...]], ...],
     "identifier_role": str, "number_role": str}

The bytes depend on the examples only (UTF-8, ``\\n`` line ends, no escapes that JSON does not require), so that a
SHA-256 can vouch for a file on every machine.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from compliance_xai.corpus.checks import check_ids
from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.synthetic.build import build_corpus
from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import read_rows, sha256_file, write_atomic
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
    """Read ``train``, ``validation``, ``test`` and ``document.jsonl`` from a folder (default: the project's).

    Raises
    ------
    InputError
        If a file or its sum is missing, a sum differs, a line is not usable, an example belongs to another split than
        its file, or an id occurs twice.
    """
    folder = find_data_folder() / "synthetic" if folder is None else Path(folder)
    _check_sums(folder)
    examples: list[Example] = []
    places: list[str] = []
    for split in SPLITS:
        rows = read_jsonl(folder / f"{split}.jsonl")
        places += [f"{split}.jsonl, line {number}" for number in range(1, len(rows) + 1)]
        for place, example in zip(places[len(examples) :], rows, strict=True):
            require_choice(f"{folder / place}, key 'split'", example.split, [split], remedy="Write it to its own file.")
        examples.extend(rows)
    check_ids([example.id for example in examples], places, str(folder))
    return Corpus("synthetic", tuple(examples), sha256_file(folder / SUMS))


def write_synthetic(folder: Path | str | None = None) -> Path:
    """Generate the synthetic corpus, and write its four files and their sums (default: where it is shipped)."""
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

    If the file is missing, empty or not UTF-8, or a line is not an object of this format, an InputError names it.
    """
    rows = read_rows(Path(path)).rows
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


def write_sums(folder: Path | str) -> Path:
    """Write ``SHA256SUMS`` for the four files of a corpus folder; ``sha256sum --check SHA256SUMS`` reads it too."""
    path = Path(folder) / SUMS
    lines = [f"{sha256_file(path.with_name(f'{split}.jsonl'))}  {split}.jsonl\n" for split in SPLITS]
    with write_atomic(path) as part:
        part.write_bytes("".join(lines).encode())
    return path


def _check_sums(folder: Path) -> None:
    """Stop unless every file is there with the SHA-256 that ``SHA256SUMS`` (as ``sha256sum`` writes it) has for it."""
    path = folder / SUMS
    remedy = "Get the data again from the project's repository; read clauses of your own as a 'table'."
    if not path.is_file():
        expected = "the file with the corpus's SHA-256 sums"
        raise InputError(str(path), expected=expected, found="no such file", remedy=remedy)
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    sums = {name.lstrip("*"): digest for digest, name in lines}
    for file in (folder / f"{split}.jsonl" for split in SPLITS):
        expected = f"SHA-256 {sums[file.name]} ({SUMS})" if file.name in sums else f"a file listed in {SUMS}"
        found = sha256_file(file) if file.is_file() else "no such file"
        if found != sums.get(file.name):
            raise InputError(str(file), expected=expected, found=found, remedy=remedy)
