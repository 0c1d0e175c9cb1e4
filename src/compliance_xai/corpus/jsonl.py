"""Examples as JSON lines: the format in which the synthetic corpus is shipped.

One object a line, always with these keys in this order::

    {"id": str, "clause": str, "rule": str, "context": str, "split": str,
     "alignment": [[kind, start, end, [[start, end], ...]], ...],
     "identifier_role": str, "number_role": str}

The bytes depend on the examples only (UTF-8, ``\\n`` line ends, nothing escaped that JSON lets stand), so that a
SHA-256 sum can vouch for a file on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compliance_xai.errors import InputError
from compliance_xai.files import decode, read_json_lines, write_atomic
from compliance_xai.records import SPLITS, Example, Link

KEYS = ("id", "clause", "rule", "context", "split", "alignment", "identifier_role", "number_role")


def write_jsonl(examples: Iterable[Example], path: Path | str) -> Path:
    """Write examples, one JSON object a line; the file appears only when it is whole.

    Parameters
    ----------
    examples
        In the order in which they shall stand.
    path
        The file to write; its folder is made where it is missing.
    """
    with write_atomic(path) as part, part.open("wb") as file:
        for example in examples:
            file.write((json.dumps(_row(example), ensure_ascii=False) + "\n").encode())
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
    return [_example(row.cells, f"{path}, {row.place}") for row in rows]


def _row(example: Example) -> dict[str, Any]:
    row = {key: getattr(example, key) for key in KEYS}
    row["alignment"] = [
        [link.kind, link.start, link.end, [[start, end] for start, end in link.spans]] for link in example.alignment
    ]
    return row


def _example(row: dict[str, Any], where: str) -> Example:
    if set(row) != set(KEYS):
        raise InputError(
            where,
            expected=f"an object with the keys {', '.join(KEYS)}",
            found=f"the keys {', '.join(row)}",
            remedy="Write the file with write_jsonl; for a table of your own use load_corpus('table', path=...).",
        )
    for key in KEYS:
        if key != "alignment" and not isinstance(row[key], str):
            raise _wrong(where, key, "a string", row[key])
    if row["split"] not in SPLITS:
        raise _wrong(where, "split", f"one of {', '.join(SPLITS)}", row["split"])
    alignment = _alignment(row["alignment"], len(row["clause"]), len(row["rule"]), where)
    return Example(**{**row, "alignment": alignment})


def _alignment(links: Any, clause_length: int, rule_length: int, where: str) -> tuple[Link, ...]:
    if not isinstance(links, list):
        raise _wrong(where, "alignment", "a list of [kind, start, end, [[start, end], ...]]", links)
    result = []
    for link in links:
        shaped = isinstance(link, list) and len(link) == 4 and isinstance(link[0], str) and isinstance(link[3], list)
        spans_fit = shaped and all(_is_span(span, clause_length) for span in link[3])
        if not spans_fit or not _is_span(link[1:3], rule_length):
            expected = (
                f"[kind, start, end, [[start, end], ...]] with spans inside the rule ({rule_length} characters) "
                f"and the clause ({clause_length} characters)"
            )
            raise _wrong(where, "alignment", expected, link)
        result.append(Link(link[0], link[1], link[2], tuple((start, end) for start, end in link[3])))
    return tuple(result)


def _is_span(span: Any, length: int) -> bool:
    return (
        isinstance(span, list)
        and len(span) == 2
        and all(type(number) is int for number in span)
        and 0 <= span[0] < span[1] <= length
    )


def _wrong(where: str, key: str, expected: str, found: Any) -> InputError:
    return InputError(
        f"{where}, key '{key}'",
        expected=expected,
        found=repr(found)[:80],
        remedy="Mend the line, or write the file again.",
    )
