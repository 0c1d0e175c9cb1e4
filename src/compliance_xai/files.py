"""Files: tables -> rows that know their place; hashes; whole files and folders written in one step."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

from compliance_xai.errors import InputError

Value = TypeVar("Value")
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MOST_CHARACTERS = 131_072
"""Of a cell in a CSV file; a longer one is nearly always a quotation mark that is never closed."""


@dataclass(frozen=True)
class Row:
    """One row: ``place`` names it for a reader (``row 3 (line 4)``; the first row of data is row 1)."""

    place: str
    cells: dict[str, Any]


class Table(NamedTuple):
    """A table as it was read: column names in the file's order (with repetitions), rows, and how it was read."""

    columns: list[str]
    rows: list[Row]
    notes: list[str]


def read_rows(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None, remedy: str = "Check the path."
) -> Table:
    """Read a table unchanged; cells of a CSV file are text, others have the file's own types.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.parquet``.
    delimiter
        Between the cells of a CSV file; None: as a line ``sep=;`` says, or the one that divides the header most often.
    encoding
        Of a text file, such as ``cp1252``; None: UTF-16 if it begins with that byte-order mark, else UTF-8.
    remedy
        What to do if the file is missing.

    Raises
    ------
    InputError
        If the file is missing, is not of its ending's format, or has no rows.
    """
    if not path.is_file():
        raise InputError(str(path), expected="a table", found="no such file", remedy=remedy)
    ending, notes = path.suffix.lower(), []
    if ending not in ENDINGS:
        remedy = "Save the table in one of these formats, with the right ending."
        raise InputError(str(path), expected=f"a file ending in {', '.join(ENDINGS)}", found=ending, remedy=remedy)
    if ending == ".parquet":
        columns, rows = _read_parquet(path)
    else:
        content = path.read_bytes()
        if encoding is None and content.startswith((b"\xff\xfe", b"\xfe\xff")):
            encoding = "utf-16"
            notes.append("Read as UTF-16, by the file's byte-order mark.")
        text = decode(content, str(path), encoding)
        if ending in (".csv", ".tsv"):
            usual = "\t" if ending == ".tsv" else ","
            text, found = (text, delimiter) if delimiter else _find_delimiter(text, usual)
            if delimiter is None and found != usual:
                notes.append(f"Cells are separated by {DELIMITERS[found]}, judging by the first line.")
            columns, rows = _read_csv(text, str(path), found or usual)
        else:
            columns, rows = read_json_lines(text, str(path))
    if not rows:
        raise InputError(str(path), expected="at least one row", found="none", remedy="Give a table with clauses.")
    return Table(columns, rows, notes)


def decode(content: bytes, where: str, encoding: str | None = None) -> str:
    """The text of a file in UTF-8, or in another ``encoding``; a byte-order mark at its head is left out.

    Raises
    ------
    InputError
        Naming the offset and the line of the first byte that is not text in that encoding, or of a NUL character.
    """
    name = "UTF-8" if encoding is None else encoding
    try:
        text = content.decode(encoding or "utf-8-sig")
    except LookupError:
        remedy = "Usual names are utf-8, utf-16, cp1252 (Windows, western Europe) and cp1250 (central Europe)."
        raise InputError(where, expected="the name of an encoding", found=repr(encoding), remedy=remedy) from None
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte-order mark, an editor from the head of the file.
        offset = error.start + (3 if encoding is None and content.startswith(b"\xef\xbb\xbf") else 0)
        line = content.count(b"\n", 0, offset) + 1
        place, found = f"{where}, byte offset {offset} (line {line})", f"the byte 0x{content[offset]:02x}"
        remedy = "Save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8'), or give the encoding of a table, such as "
        remedy += "cp1252."
        raise InputError(place, expected=f"{name} text", found=found, remedy=remedy) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        remedy = "This is not a text file, or it is in another encoding (utf-16?): save it as UTF-8."
        raise InputError(f"{where}, line {line}", expected="text", found="a NUL character", remedy=remedy)
    return text


def _find_delimiter(text: str, usual: str) -> tuple[str, str]:
    """The text without a line ``sep=;``, and what divides its first line into most cells."""
    first = text.split("\n", 1)[0].strip("\r")
    if first.lower().startswith("sep=") and first[4:] in DELIMITERS:
        return "\n" + text.partition("\n")[2], first[4:]  # line numbers stay those of the file
    cells = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in (usual, *DELIMITERS)}
    return text, max(cells, key=lambda mark: cells[mark])


def _read_csv(text: str, where: str, delimiter: str) -> tuple[list[str], list[Row]]:
    csv.field_size_limit(MOST_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    rows: list[tuple[str, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            place = f"row {len(rows) + 1} (line {line})"
            line = reader.line_num + 1
            if not columns:
                columns = cells
            elif cells:  # an empty line is not a row
                rows.append((place, cells))
    except csv.Error as error:
        expected, found, remedy = "a CSV row", str(error), "Check the quotes around this row's cells."
        if "field limit" in found:
            expected, found = f"cells of at most {MOST_CHARACTERS:,} characters", "a longer one"
            remedy = "A quotation mark before it is probably never closed."
        row = f"{where}, row {len(rows) + 1} (line {line})"
        raise InputError(row, expected=expected, found=found, remedy=remedy) from None
    if wrong := [(place, len(cells)) for place, cells in rows if len(cells) != len(columns)]:
        expected, found = f"{len(columns)} cells, as in the header", f"{wrong[0][1]}{count_more([p for p, _ in wrong])}"
        remedy = f"Quote cells that contain {DELIMITERS.get(delimiter, 'the delimiter')}, a quote or a line break."
        raise InputError(f"{where}, {wrong[0][0]}", expected=expected, found=found, remedy=remedy)
    return columns, [Row(place, dict(zip(columns, cells, strict=True))) for place, cells in rows]


def count_more(places: Sequence[str]) -> str:
    """How many places after the first have the same fault, and the next few of them."""
    more = len(places) - 1
    named = ", ".join(places[1:6]) + (", ..." if more > 5 else "")
    return f" ({more} more like this: {named})" if more else ""


def check_rows(check: Callable[[Row], Value], rows: Iterable[Row]) -> list[Value]:
    """What a check gives for each row; of several faults of one kind, the first is explained and the rest are counted.

    Raises
    ------
    InputError
        The first that ``check`` raises; those that expect the same are of its kind.
    """
    values: list[Value] = []
    errors: list[tuple[str, InputError]] = []
    for row in rows:
        try:
            values.append(check(row))
        except InputError as error:
            errors.append((row.place, error))
    if errors:
        first = errors[0][1]
        found = first.found + count_more([place for place, error in errors if error.expected == first.expected])
        raise InputError(first.where, expected=first.expected, found=found, remedy=first.remedy)
    return values


def read_json_lines(text: str, where: str) -> tuple[list[str], list[Row]]:
    """Columns and rows of JSON lines, one object each; see ``read_rows``. ``where`` names the file in errors."""
    # Not str.splitlines: it would also split at U+2028, which may stand in a clause.
    lines = text.split("\n")
    if not lines[-1].strip():
        lines.pop()

    def parse(row: Row) -> Row:
        try:
            cells = json.loads(row.cells["line"])
            problem = "" if isinstance(cells, dict) else f"a JSON {type(cells).__name__}"
        except json.JSONDecodeError as error:
            problem = f"{error.msg} at character {error.pos}"
        except RecursionError:
            problem = "brackets nested too deep to read"
        if problem:
            remedy = "Write one JSON object a line."
            raise InputError(f"{where}, {row.place}", expected="one JSON object", found=problem, remedy=remedy)
        return Row(row.place, cells)

    numbered = enumerate(lines, start=1)
    rows = check_rows(parse, (Row(f"row {number} (line {number})", {"line": line}) for number, line in numbered))
    return list(dict.fromkeys(column for row in rows for column in row.cells)), rows


def _read_parquet(path: Path) -> tuple[list[str], list[Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        found = str(error).splitlines()[0]
        raise InputError(str(path), expected="a Parquet file", found=found, remedy="Write the file again.") from None
    return table.column_names, [Row(f"row {number}", cells) for number, cells in enumerate(table.to_pylist(), start=1)]


def read_package_data(path: Path) -> Any:
    """A YAML file that belongs to the package, read by libyaml if PyYAML has it (ten times as fast)."""
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value; the order of a mapping's keys does not matter.

    Examples
    --------
    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def write_json(value: Any, path: Path | str) -> Path:
    """Write JSON in one step (see ``write_atomic``)."""
    with write_atomic(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=False, ensure_ascii=False) + "\n", encoding="utf-8")
    return Path(path)


@contextmanager
def write_atomic(path: Path | str) -> Iterator[Path]:
    """Write a file or a folder so that a reader sees the old one or the new one, never half of it.

    The block writes to the temporary path that it is given (``.<name>.part``, in the same folder), as a file or, after
    ``mkdir``, as a folder. When the block ends, that takes the place of what was at ``path``; if it raises, ``path``
    stays as it was. What a killed process left half written is removed by the next call.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    _remove(part)
    try:
        yield part
        if part.is_dir():  # a folder cannot be renamed over another one
            _remove(path)
        part.replace(path)
    except BaseException:
        _remove(part)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
