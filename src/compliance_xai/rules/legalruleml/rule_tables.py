"""Statements as files: LegalRuleML XML, or a CSV or JSON Lines table with the rules in the short form."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from compliance_xai.errors import InputError
from compliance_xai.files import Row, check_rows, read_rows, write_atomic
from compliance_xai.rules.legalruleml.documents import (
    LegalDocument,
    Source,
    Statement,
    read_legalruleml,
    write_legalruleml,
)
from compliance_xai.rules.legalruleml.safe_xml import LIMITS, Limits
from compliance_xai.rules.notation.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.notation.tree import Rule, format_rule

COLUMNS: tuple[str, ...] = ("key", "document", "number", "iri", "kind", "paraphrase", "rule")
"""The columns of a table, in the order they are written; ``number`` is the clause of the source."""
REQUIRED = ("key", "rule")
XML_SUFFIXES = (".lrml", ".xml")
SUFFIXES = (*XML_SUFFIXES, ".csv", ".jsonl")


def read_statements(path: str | Path, *, limits: Limits = LIMITS) -> LegalDocument:
    """Read statements from LegalRuleML (``.lrml``, ``.xml``) or a table (``.csv``, ``.jsonl``), by the file's ending.

    A table has the columns ``key`` and ``rule`` and any other of ``COLUMNS``; an empty rule is none. ``limits`` are
    those of an XML document. If the file is missing or of another kind, or a row cannot be read, there is an
    InputError.
    """
    path = Path(path)
    if _suffix(path) in XML_SUFFIXES:
        return read_legalruleml(path, limits=limits)
    columns, rows, _ = read_rows(path)
    _check_columns(columns, str(path))
    return LegalDocument(tuple(check_rows(lambda row: _from_row(row, columns, f"{path}, {row.place}"), rows)))


def write_statements(statements: Iterable[Statement], path: str | Path) -> None:
    """Write statements (but for ``unknown`` and ``line``) as LegalRuleML or as a table, by the file's ending.

    If the ending is another one, or the file cannot hold a statement, there is an InputError.
    """
    path = Path(path)
    if _suffix(path) in XML_SUFFIXES:
        write_legalruleml(statements, path)
        return
    rows = []
    for one in statements:
        rule = "" if one.rule is None else format_rule(one.rule)
        values = (one.key, one.source.document, one.source.clause, one.source.iri, one.kind, one.paraphrase, rule)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    text = io.StringIO(newline="")
    if _suffix(path) == ".csv":
        table = csv.DictWriter(text, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    else:
        text.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        content = text.getvalue().encode("utf-8")
    except UnicodeEncodeError as error:
        expected, remedy = "text that UTF-8 can hold", "Remove the character."
        raise InputError(str(path), expected=expected, found=str(error), remedy=remedy) from None
    with write_atomic(path) as part:
        part.write_bytes(content)


def _suffix(path: Path) -> str:
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            str(path),
            expected=f"a file that ends in {', '.join(SUFFIXES)}",
            found=repr(path.suffix),
            remedy="Rename the file by what it holds.",
        )
    return path.suffix.lower()


def _check_columns(columns: Sequence[str], where: str) -> None:
    if not set(REQUIRED) <= set(columns) or not set(columns) <= set(COLUMNS) or len(set(columns)) < len(columns):
        raise InputError(
            where,
            expected=f"the columns {' and '.join(REQUIRED)}, and others only of {', '.join(COLUMNS)}",
            found=", ".join(columns) or "none",
            remedy="Rename or remove columns; what XML has no place for is not dropped in silence.",
        )


def _from_row(row: Row, columns: Sequence[str], where: str) -> Statement:
    cells = {column: row.cells.get(column, None if column in REQUIRED else "") for column in columns}
    for column, value in cells.items():
        if not isinstance(value, str):
            remedy = "Give every row a text there; the one for no rule is empty."
            raise InputError(f"{where}, column '{column}'", expected="text", found=repr(value), remedy=remedy)
    rule: Rule | None = None
    if cells["rule"].strip():
        try:
            rule = parse_rule(cells["rule"])
        except RuleSyntaxError as error:
            place = f"{where}, rule, character {error.position + 1}"
            raise InputError(place, expected=error.expected, found=error.found, remedy=error.remedy) from None
    source = Source(cells.get("document", ""), cells.get("number", ""), cells.get("iri", ""))
    return Statement(cells["key"], rule, source, cells.get("kind") or "prescriptive", cells.get("paraphrase", ""))
