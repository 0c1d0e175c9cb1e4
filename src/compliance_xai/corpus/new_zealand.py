"""The published table of New Zealand acceptable solutions and their rules, with its official splits."""

from collections.abc import Sequence
from pathlib import Path

from compliance_xai.corpus.checks import NAMED, check_ids, check_text, find_unparsable, require_columns
from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.download import PUBLIC_FILES
from compliance_xai.corpus.table_source import TableOptions, handle_duplicates, handle_leaks
from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import Row, check_rows, read_rows, sha256_file
from compliance_xai.records import Example

_COLUMNS = ("file", "number", "text", "lrml", "random_split", "doc_split")
_OPTIONS = TableOptions(clause="text", rule="lrml", rules="any", duplicates="keep", leaks="report")
_SPLITS = {
    # From the publisher's own code (Chapter7/egice_experiment_thesis.py, get_splits): 1 train, 2 validation, 3 test.
    "random": ("random_split", {"1": "train", "2": "validation", "3": "test"}),
    # 3 marks the three whole documents held out; rows marked 0 are in no split of this scheme.
    "document": ("doc_split", {"0": "", "1": "train", "2": "validation", "3": "document"}),
}


def read_nzbc(path: Path | str | None = None, scheme: str = "random") -> Corpus:
    """Read the published table of New Zealand acceptable solutions and their rules (LRML short notation, v8).

    Ids are ``<document>-<number>`` (``E2AS1-9.1.4.0.2``), contexts are documents (``E2AS1``). The official splits are
    used unchanged: those of the column ``random_split`` (scheme ``random``), or of ``doc_split`` (``document``, with
    whole documents held out). The corpus's notes list leaks across them, rules that do not parse, and rows outside the
    scheme's splits. ``path`` is by default where ``compliance-xai corpus fetch nzbc-lrml`` puts the file.
    If the file is missing or not in the published format, there is an InputError.
    """
    path = PUBLIC_FILES["nzbc-lrml"].path if path is None else Path(path)
    where = str(path)
    columns, rows, _ = read_rows(path, remedy="Run 'compliance-xai corpus fetch nzbc-lrml', or give the table's path.")
    require_columns(columns, _COLUMNS, where)
    everything = check_rows(lambda row: _example(row, f"{path}, {row.place}", scheme), rows)
    check_ids([example.id for example in everything], [row.place for row in rows], where)
    examples = tuple(example for example in everything if example.split)
    notes = []
    if outside := [example.id for example in everything if not example.split]:
        notes.append(
            f"Rows in no split of the scheme '{scheme}' (doc_split 0), left out as in the publisher's own experiments: "
            f"{len(outside)} ({_name(outside)})."
        )
    held_out = [*_SPLITS[scheme][1].values()][-1]
    if not any(example.split == held_out for example in examples):
        notes.append(f"The file has no row of the official split '{held_out}'.")
    ids, rules = [example.id for example in examples], [example.rule for example in examples]
    notes += handle_duplicates([example.clause for example in examples], rules, ids, where, _OPTIONS)
    notes += handle_leaks(examples, where, _OPTIONS)
    if unparsable := [ids[index] for index, _ in find_unparsable(rules)]:
        notes.append(
            f"{len(unparsable)} of {len(rules)} rules do not parse as LRML short notation: {_name(unparsable)}."
        )
    return Corpus("nzbc-lrml", examples, sha256_file(path), tuple(notes))


def _example(row: Row, place: str, scheme: str) -> Example:
    remedy = "Use the published file, or read your own with source 'table'."
    cells = {column: check_text(row.cells.get(column), place, column) for column in _COLUMNS}
    column, splits = _SPLITS[scheme]
    require_choice(f"{place}, column '{column}'", cells[column], splits, remedy=remedy)
    # 'NZ_NZBC-E2AS1#3.8' -> 'E2AS1': country, code, document, amendment.
    document = cells["file"].partition("-")[2].partition("#")[0]
    if not document:
        expected = "a name such as 'NZ_NZBC-E2AS1#3.8'"
        raise InputError(f"{place}, column 'file'", expected=expected, found=repr(cells["file"]), remedy=remedy)
    return Example(f"{document}-{cells['number']}", cells["text"], cells["lrml"], document, splits[cells[column]])


def _name(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (" ..." if len(ids) > NAMED else "")
