"""Checks of a table's rows: one message names file, row and column, and counts the other rows with that fault."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from compliance_xai.corpus.splits import normalise
from compliance_xai.errors import InputError
from compliance_xai.files import Row, check_rows, count_more
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
    expected, remedy = "text", "Fill the cell, or remove the row from the file."
    if isinstance(value, str) and value.strip():
        try:
            value.encode("utf-8")
            return value
        except UnicodeEncodeError as error:
            expected, remedy = "Unicode text", "Write the character whole."
            found = f"half a surrogate pair at character {error.start}"
    elif value is None or isinstance(value, str):
        found = "nothing" if value is None else f"{value!r} (empty)"
    else:
        found, remedy = f"{value!r} ({type(value).__name__})", "Store the column as text, or name another column."
    raise InputError(f"{where}, column '{column}'", expected=expected, found=found, remedy=remedy)


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


def count_duplicates(clauses: Sequence[str], rules: Sequence[str], places: Sequence[str]) -> str:
    """Clauses that are repeated but for case and white space: how many, and the first few; empty for none."""
    seen: dict[str, int] = {}
    pairs = []
    for index, clause in enumerate(clauses):
        first = seen.setdefault(normalise(clause), index)
        if first != index:
            same = "same rule" if rules[first].split() == rules[index].split() else "another rule"
            pairs.append(f"{places[first]} and {places[index]} ({same})")
    more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
    return f"{len(pairs)} repeated: {'; '.join(pairs[:NAMED])}{more}" if pairs else ""


def find_unparsable(rules: Sequence[str]) -> list[tuple[int, str]]:
    """Positions of the rules that do not parse as LRML short notation, with the parser's message."""
    found = []
    for index, rule in enumerate(rules):
        try:
            parse_rule(rule)
        except InputError as error:
            found.append((index, str(error)))
    return found
