"""A source of clauses and rules -> examples with leak-checked splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.errors import InputError, require_choice
from compliance_xai.records import SPLITS, Example

if TYPE_CHECKING:
    from compliance_xai.corpus.table_source import TableOptions

SOURCES = ("synthetic", "nzbc-lrml", "table")
SCHEMES = ("random", "document")


@dataclass(frozen=True)
class Corpus:
    """Examples from one source, and what a reader of results should know about them."""

    name: str
    """The source (``synthetic``, ``nzbc-lrml``), or the file's name without its ending."""
    examples: tuple[Example, ...]
    """In the source's order."""
    source_sha256: str
    """Of the file they were read from; for the synthetic corpus, of its ``SHA256SUMS``, which vouches for the rest."""
    notes: tuple[str, ...] = ()
    """Sentences: how the file was read, rows left out and why, duplicates, rules that do not parse, leaks."""

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def split(self, name: str) -> list[Example]:
        """The examples of one split, in the source's order; an InputError if this corpus has none."""
        present = [split for split in SPLITS if any(example.split == split for example in self.examples)]
        require_choice(f"corpus '{self.name}', split", name, present, remedy="Ask for a split that this corpus has.")
        return [example for example in self.examples if example.split == name]


def load_corpus(
    source: str,
    *,
    path: Path | str | None = None,
    split: str | None = None,
    scheme: str = "random",
    seed: int = 0,
    options: TableOptions | None = None,
) -> Corpus:
    """Read a corpus and check it.

    Parameters
    ----------
    source
        ``synthetic``: the shipped clauses, generated from a grammar, with gold alignments. ``nzbc-lrml``: the published
        New Zealand table. ``table``: any CSV, JSON-lines or Parquet file with a clause and a rule column.
    path
        ``synthetic``: another folder with its files (default: the shipped one). ``nzbc-lrml``: the table (default:
        where ``compliance-xai corpus fetch nzbc-lrml`` saves it). ``table``: the file; there is no default.
    split
        Keep this split only.
    scheme
        ``nzbc-lrml``: which of the two official split columns to use. ``table`` without a split column: ``random``
        splits by groups of related clauses, ``document`` also holds out whole contexts. The synthetic corpus has both
        held-out splits at once and accepts ``random`` only.
    seed
        For the splits of a ``table`` without a split column; the other sources come with splits.
    options
        Column names and strictness of a ``table``.

    Raises
    ------
    InputError
        If the source, the path or a row cannot be used; the message names file, row and column.
    """
    require_choice("corpus source", source, SOURCES)
    require_choice("corpus scheme", scheme, SCHEMES)
    if options is not None and source != "table":
        raise InputError(
            f"corpus source '{source}'",
            expected="no table options",
            found="options",
            remedy="Use source 'table' to name columns.",
        )
    if source == "synthetic":
        from compliance_xai.corpus.shipped import read_synthetic

        remedy = "This corpus holds out combinations (split 'test') and a context (split 'document') at once."
        require_choice("corpus 'synthetic', scheme", scheme, ["random"], remedy=remedy)
        corpus = read_synthetic(path)
    elif source == "nzbc-lrml":
        from compliance_xai.corpus.new_zealand import read_nzbc

        corpus = read_nzbc(path, scheme)
    else:
        from compliance_xai.corpus.table_source import read_table

        if path is None:
            expected, remedy = "a CSV, JSONL or Parquet file", "Give path=..."
            raise InputError("corpus 'table', path", expected=expected, found="none", remedy=remedy)
        corpus = read_table(path, scheme=scheme, seed=seed, options=options)
    return corpus if split is None else dataclasses.replace(corpus, examples=tuple(corpus.split(split)))
