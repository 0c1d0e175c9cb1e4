"""What a corpus contains, as tidy frames for the corpus page: counts, lengths, categories, examples."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.features import segment
from compliance_xai.records import CATEGORIES, SPLITS, Example

_ATOM = re.compile(r"[^\s(),]+")


@dataclass(frozen=True)
class Description:
    """The frames of one corpus; splits and categories in the project's order, contexts in alphabetical order.

    Attributes
    ----------
    counts
        One row per split and context: ``split``, ``context``, ``clauses``, ``distinct_rules``, ``aligned`` (int:
        clauses with a gold alignment).
    roles
        One row per split, role and value: ``split``, ``role`` (``identifier_role`` or ``number_role``), ``value``,
        ``clauses`` (int). Empty if the roles are unknown.
    lengths
        One row per example and text: ``id``, ``split``, ``context``, ``text`` (``clause`` or ``rule``), ``words`` and
        ``characters`` (int). A clause's words are separated by white space, a rule's also by brackets and commas.
    categories
        One row per split, context and feature category: ``split``, ``context``, ``category``, ``features`` (int),
        ``share`` (of the split and context's features, 0 to 1; NaN without features).
    examples
        The first ``per_context`` examples of each split and context: ``split``, ``context``, ``id``, ``clause``,
        ``rule``, ``identifier_role``, ``number_role``.
    """

    counts: pd.DataFrame
    roles: pd.DataFrame
    lengths: pd.DataFrame
    categories: pd.DataFrame
    examples: pd.DataFrame


def describe_corpus(
    corpus: Corpus, *, per_context: int = 1, vocabulary: Mapping[str, str] | None = None
) -> Description:
    """Describe a corpus; the same corpus gives the same frames, row by row.

    Parameters
    ----------
    corpus
        Any corpus.
    per_context
        How many examples of each split and context to show.
    vocabulary
        As in ``features.segment``.
    """
    ordered = sorted(corpus, key=lambda example: (SPLITS.index(example.split), example.context))
    return Description(
        counts=_count(ordered),
        roles=_count_roles(ordered),
        lengths=_measure_lengths(ordered),
        categories=_count_categories(ordered, vocabulary),
        examples=_show(ordered, per_context),
    )


def _count(examples: list[Example]) -> pd.DataFrame:
    rows = [
        {"split": split, "context": context, "clauses": len(members)}
        | {"distinct_rules": len({example.rule for example in members})}
        | {"aligned": sum(bool(example.alignment) for example in members)}
        for (split, context), members in _cells(examples).items()
    ]
    return pd.DataFrame(rows, columns=["split", "context", "clauses", "distinct_rules", "aligned"])


def _count_roles(examples: list[Example]) -> pd.DataFrame:
    counts: dict[tuple[str, str, str], int] = {}
    for role in ("identifier_role", "number_role"):
        for example in examples:
            if value := getattr(example, role):
                counts[example.split, role, value] = counts.get((example.split, role, value), 0) + 1
    columns = ["split", "role", "value"]
    order = sorted(counts, key=lambda key: (SPLITS.index(key[0]), *key[1:]))
    return pd.DataFrame(
        [dict(zip(columns, key, strict=True)) | {"clauses": counts[key]} for key in order],
        columns=[*columns, "clauses"],
    )


def _measure_lengths(examples: list[Example]) -> pd.DataFrame:
    rows = [
        {"id": example.id, "split": example.split, "context": example.context, "text": name}
        | {"words": words, "characters": len(getattr(example, name))}
        for example in examples
        for name, words in (("clause", len(example.clause.split())), ("rule", len(_ATOM.findall(example.rule))))
    ]
    return pd.DataFrame(rows, columns=["id", "split", "context", "text", "words", "characters"])


def _count_categories(examples: list[Example], vocabulary: Mapping[str, str] | None) -> pd.DataFrame:
    rows = []
    for (split, context), members in _cells(examples).items():
        counts: dict[str, int] = dict.fromkeys(CATEGORIES, 0)
        for example in members:
            for feature in segment(example.clause, unit="word", vocabulary=vocabulary):
                counts[feature.category] += 1
        total = sum(counts.values())
        rows += [
            {"split": split, "context": context, "category": category, "features": count}
            | {"share": count / total if total else math.nan}
            for category, count in counts.items()
        ]
    return pd.DataFrame(rows, columns=["split", "context", "category", "features", "share"])


def _show(examples: list[Example], per_context: int) -> pd.DataFrame:
    columns = ["split", "context", "id", "clause", "rule", "identifier_role", "number_role"]
    shown = [example for members in _cells(examples).values() for example in members[:per_context]]
    return pd.DataFrame(
        [{column: getattr(example, column) for column in columns} for example in shown], columns=columns
    )


def _cells(examples: list[Example]) -> dict[tuple[str, str], list[Example]]:
    cells: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        cells.setdefault((example.split, example.context), []).append(example)
    return cells
