"""Checks of a table's rows: one message names file, row and column, and counts the other rows with that fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from compliance_xai.corpus.splits import normalise
from compliance_xai.errors import InputError
from compliance_xai.files import Row, check_rows, count_more
from compliance_xai.records import Example
from compliance_xai.rules.notation.parse import parse_rule

NAMED = 5
"""How many offending rows a message names before it only counts them."""


def require_columns(columns: Sequence[str], wanted: Iterable[str], where: str) -> None:
    """Stop unless every wanted column is there, once."""
    remedy = (
        "Rename the columns, or name yours: corpus.columns in a study, --column clause=TEXT on the command line, "
        "TableOptions in Python (and the delimiter, if the header was not divided where it should be)."
    )
    for column in wanted:
        if column not in columns:
            found = ", ".join(f"'{name}'" for name in columns) or "no columns"
            raise InputError(where, expected=f"a column '{column}'", found=found, remedy=remedy)
    for column, count in Counter(columns).items():
        if count > 1:
            found = f"{count} columns '{column}'"
            raise InputError(where, expected="column names that occur once", found=found, remedy="Rename one of them.")


def check_text(value: Any, where: str, column: str) -> str:
    """The unchanged text of a cell; stop unless it is text, and more than white space."""
    place = f"{where}, column '{column}'"
    if value is None or (isinstance(value, str) and not value.strip()):
        found = "nothing" if value is None else f"{value!r} (empty)"
        raise InputError(place, expected="text", found=found, remedy="Fill the cell, or remove the row from the file.")
    if not isinstance(value, str):
        found = f"{value!r} ({type(value).__name__})"
        raise InputError(
            place, expected="text", found=found, remedy="Store the column as text, or name another column."
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair at character {error.start}"
        raise InputError(place, expected="Unicode text", found=found, remedy="Write the character whole.") from None
    return value


def check_label(value: Any, where: str, column: str) -> str:
    """An id, context or split as text; whole numbers are accepted, empty cells and other types are not."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return check_text(value, where, column)


def check_cells(check: Callable[[Any, str, str], str], rows: Sequence[Row], where: str, column: str) -> list[str]:
    """Check a column's cells; of several faults of one kind, the first is explained and the others are counted."""
    return check_rows(lambda row: check(row.cells.get(column), f"{where}, {row.place}", column), rows)


def check_ids(ids: Sequence[str], places: Sequence[str], where: str) -> None:
    """Stop if ids occur twice; results are kept by id."""
    seen: dict[str, int] = {}
    repeated = [index for index, name in enumerate(ids) if seen.setdefault(name, index) != index]
    if repeated:
        name = ids[repeated[0]]
        more = count_more([places[index] for index in repeated])
        raise InputError(
            where,
            expected="ids that occur once",
            found=f"'{name}' in {places[seen[name]]} and {places[repeated[0]]}{more}",
            remedy="Give each row an id of its own, or leave the id column out.",
        )


def find_duplicates(clauses: Sequence[str], rules: Sequence[str]) -> list[tuple[int, int, bool]]:
    """Repeated clauses, ignoring case and white space: (first row, row, whether the rule is the same)."""
    seen: dict[str, int] = {}
    found = []
    for index, clause in enumerate(clauses):
        first = seen.setdefault(normalise(clause), index)
        if first != index:
            found.append((first, index, rules[first].split() == rules[index].split()))
    return found


def describe_duplicates(found: Sequence[tuple[int, int, bool]], places: Sequence[str]) -> str:
    """Name the first few pairs that ``find_duplicates`` found, and count the rest."""
    pairs = [
        f"{places[first]} and {places[index]} ({'same rule' if same else 'another rule'})"
        for first, index, same in found[:NAMED]
    ]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{len(found)} repeated: {'; '.join(pairs)}{more}"


def find_unparsable(examples: Sequence[Example]) -> list[tuple[int, str]]:
    """Positions of the rules that do not parse as LRML short notation, with the parser's message."""
    found = []
    for index, example in enumerate(examples):
        try:
            parse_rule(example.rule)
        except InputError as error:
            found.append((index, str(error)))
    return found


def check_rules(examples: Sequence[Example], rows: Sequence[Row], where: str, column: str) -> None:
    """Stop at the first rule that does not parse, and say how many more there are."""
    found = find_unparsable(examples)
    if found:
        index, message = found[0]
        raise InputError(
            f"{where}, {rows[index].place}, column '{column}'",
            expected="a rule in LRML short notation",
            found=f"one that does not parse ({len(found)} of {len(examples)} rules do not): {message}",
            remedy="Correct the rules, read them unchecked (rules: any), or state that they are in another language "
            "(rules: text).",
        )
