"""Anyone's table of clauses and rules: CSV, JSON lines or Parquet, checked row by row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance_xai.corpus.checks import (
    check_cells,
    check_ids,
    check_label,
    check_text,
    count_duplicates,
    find_unparsable,
    require_columns,
)
from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.splits import count_leaks, find_leaks, make_splits
from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import read_rows, sha256_file
from compliance_xai.records import SPLITS, Example


@dataclass(frozen=True)
class TableOptions:
    """How to read your own table.

    Attributes
    ----------
    clause, rule
        Names of the two columns that every table must have.
    id, context, split
        Names of optional columns; a name given here must exist. None takes the column ``id``, ``context`` or
        ``split`` if the table has it; without one, ids are ``row-00001`` and so on, the context is the file's name
        without its ending, and splits are made (``corpus.splits.make_splits``); the corpus's notes say so.
    split_values
        What the split column says -> ``train``, ``validation``, ``test`` or ``document``; None: those very words.
    delimiter, encoding
        Of a CSV file; see ``files.read_rows`` for what None does. The corpus's notes say what was guessed.
    decimal
        ``.``, or ``,`` if the clauses write ``0,90 m`` and ``1.200 mm``: such numbers are then read as ``0.90`` and
        ``1200``, which is how rules write them.
    rules
        ``lrml``: every rule must parse as LRML short notation; ``any``: not checked; ``text``: another language, of
        which nothing is known (see ``rules.scores.Notation``).
    duplicates
        A repeated clause: ``refuse`` the table, or ``keep`` both rows and note them.
    leaks
        Related clauses on both sides of a split column: ``refuse`` the table, or ``report`` them in the notes. Splits
        made here do not leak.
    """

    clause: str = "clause"
    rule: str = "rule"
    id: str | None = None
    context: str | None = None
    split: str | None = None
    split_values: Mapping[str, str] | None = None
    delimiter: str | None = None
    encoding: str | None = None
    decimal: str = "."
    rules: str = "lrml"
    duplicates: str = "refuse"
    leaks: str = "refuse"

    def __post_init__(self) -> None:
        known = {
            "decimal": (".", ","),
            "rules": ("lrml", "any", "text"),
            "duplicates": ("refuse", "keep"),
            "leaks": ("refuse", "report"),
        }
        for name, values in known.items():
            require_choice(f"table option '{name}'", getattr(self, name), values)
        for value in (self.split_values or {}).values():
            require_choice("table option 'split_values'", value, SPLITS)


def read_table(
    path: Path | str, *, scheme: str = "random", seed: int = 0, options: TableOptions | None = None
) -> Corpus:
    """Read a CSV (``.csv``, ``.tsv``), JSON-lines (``.jsonl``, ``.ndjson``) or Parquet file of clauses and rules.

    Clauses and rules are kept as they are, character by character. ``scheme`` and ``seed`` are for the splits made if
    the table has no split column; the scheme ``document`` also holds out whole contexts.

    Raises
    ------
    InputError
        Naming file, row and column: a missing column, an empty cell, bytes that are not UTF-8, an id or clause that
        occurs twice, a rule that does not parse, an unknown split, related clauses on both sides of a split.
    """
    path, options = Path(path), options or TableOptions()
    columns, rows, notes = read_rows(path, delimiter=options.delimiter, encoding=options.encoding)
    where, places = str(path), [row.place for row in rows]
    named: dict[str, str | None] = {"clause": options.clause, "rule": options.rule}
    named |= {
        name: getattr(options, name) or (name if name in columns else None) for name in ("id", "context", "split")
    }
    require_columns(columns, filter(None, named.values()), where)
    splits_are = SPLITS if options.split_values is None else options.split_values

    def check_split(value: Any, where: str, column: str) -> str:
        remedy = "Say what your values mean, for example split_values: {'1': train, '2': test}."
        label = check_label(value, where, column)
        require_choice(f"{where}, column '{column}'", label, splits_are, remedy=remedy)
        return label if options.split_values is None else options.split_values[label]

    checks = {"clause": check_text, "rule": check_text, "id": check_label, "context": check_label, "split": check_split}
    cells = {name: check_cells(checks[name], rows, where, column) if column else [] for name, column in named.items()}
    clauses, rules, ids, contexts, splits = cells.values()
    if unused := [column for column in columns if column not in named.values()]:
        notes.append(f"Columns not read: {', '.join(unused)}.")
    if not ids:
        ids = [f"row-{number:05d}" for number in range(1, len(rows) + 1)]
        notes.append("No id column: ids are row numbers.")
    check_ids(ids, places, where)
    if not contexts:
        notes.append("No context column: the context of every row is the file's name.")
    if options.decimal == ",":
        written, clauses = clauses, [read_decimal_commas(clause) for clause in clauses]
        count = sum(before != after for before, after in zip(written, clauses, strict=True))
        notes.append(f"Decimal commas were read as points in {count} clauses.")
    notes += handle_duplicates(clauses, rules, places, where, options)
    if splits and scheme != "random":
        raise InputError(
            f"{where}, column '{named['split']}'",
            expected=f"no split column, for scheme '{scheme}'",
            found="one that already decides",
            remedy="Use scheme 'random' with this column, or take the column out of the file.",
        )
    if scheme != "random" and not contexts:
        remedy = "Name it (columns: {context: ...}), or use scheme 'random'."
        raise InputError(where, expected="a context column, for scheme 'document'", found="none", remedy=remedy)
    if not splits:
        held_out = contexts if scheme == "document" else None
        splits = make_splits(clauses, rules, seed=seed, contexts=held_out, where=where)
        notes.append(f"No split column: splits made with seed {seed}, scheme '{scheme}', by groups of related clauses.")
    contexts = contexts or [path.stem] * len(rows)
    examples = tuple(Example(*values) for values in zip(ids, clauses, rules, contexts, splits, strict=True))
    if named["split"]:
        notes += handle_leaks(examples, where, options)
    if options.rules == "lrml" and (unparsable := find_unparsable(rules)):
        index, message = unparsable[0]
        raise InputError(
            f"{where}, {places[index]}, column '{options.rule}'",
            expected="a rule in LRML short notation",
            found=f"one that does not parse ({len(unparsable)} of {len(rules)} rules do not): {message}",
            remedy="Correct the rules, read them unchecked (rules: any), or state that they are in another language "
            "(rules: text).",
        )
    return Corpus(path.stem, examples, sha256_file(path), tuple(notes))


_COMMA = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d+,\d+)(?![.,]?\w)")


def read_decimal_commas(clause: str) -> str:
    """Numbers with a decimal comma, and points between thousands, as the rules write them.

    >>> read_decimal_commas("mindestens 0,90 m und 1.200,5 mm, siehe 4.2.1")
    'mindestens 0.90 m und 1200.5 mm, siehe 4.2.1'
    """
    return _COMMA.sub(lambda number: number[0].replace(".", "").replace(",", "."), clause)


def handle_duplicates(
    clauses: Sequence[str], rules: Sequence[str], places: Sequence[str], where: str, options: TableOptions
) -> list[str]:
    """A note about repeated clauses; an error if they are to be refused."""
    sentence = count_duplicates(clauses, rules, places)
    if sentence and options.duplicates == "refuse":
        raise InputError(
            f"{where}, column '{options.clause}'",
            expected="clauses that occur once",
            found=sentence,
            remedy="Remove the repeated rows, or keep them (duplicates: keep).",
        )
    return [f"Repeated clauses were kept: {sentence}."] if sentence else []


def handle_leaks(examples: Sequence[Example], where: str, options: TableOptions) -> list[str]:
    """Notes about related clauses in different splits; an error if they are to be refused."""
    sentences = count_leaks(examples, find_leaks(examples))
    if sentences and options.leaks == "refuse":
        raise InputError(
            where,
            expected="splits without related clauses on both sides",
            found="; ".join(sentences),
            remedy="Correct the split column, leave it out, or accept the leaks (leaks: report).",
        )
    return [f"Leak: {sentence}." for sentence in sentences]
