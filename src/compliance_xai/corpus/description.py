"""What a corpus contains: counts, roles, lengths, categories, examples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.features import segment
from compliance_xai.records import CATEGORIES, SPLITS, Example

_ATOM = re.compile(r"[^\s(),]+")
_CELL = ["split", "context"]


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
    frame = Corpus(corpus.name, tuple(ordered), corpus.source_sha256).to_frame()
    cells = frame.groupby(_CELL, sort=False)
    counts = cells.agg(
        clauses=("id", "size"),
        distinct_rules=("rule", "nunique"),
        aligned=("links", lambda links: int((links > 0).sum())),
    )
    shown = ["split", "context", "id", "clause", "rule", "identifier_role", "number_role"]
    return Description(
        counts=counts.reset_index(),
        roles=_count_roles(frame),
        lengths=_measure_lengths(ordered),
        categories=_count_categories(ordered, vocabulary),
        examples=cells.head(per_context)[shown].reset_index(drop=True),
    )


def _count_roles(frame: pd.DataFrame) -> pd.DataFrame:
    roles = frame.melt("split", ["identifier_role", "number_role"], var_name="role").query("value != ''")
    counts = roles.groupby(["split", "role", "value"], as_index=False, sort=False).size()
    order = counts["split"].map(SPLITS.index)
    counts = counts.assign(order=order).sort_values(["order", "role", "value"], ignore_index=True)
    return counts.drop(columns="order").rename(columns={"size": "clauses"})


def _measure_lengths(examples: list[Example]) -> pd.DataFrame:
    rows = [
        (example.id, example.split, example.context, name, words, len(getattr(example, name)))
        for example in examples
        for name, words in (("clause", len(example.clause.split())), ("rule", len(_ATOM.findall(example.rule))))
    ]
    return pd.DataFrame(rows, columns=["id", *_CELL, "text", "words", "characters"])


def _count_categories(examples: list[Example], vocabulary: Mapping[str, str] | None) -> pd.DataFrame:
    counts: dict[tuple[str, str], Counter[str]] = {}
    for example in examples:
        found = (feature.category for feature in segment(example.clause, vocabulary=vocabulary))
        counts.setdefault((example.split, example.context), Counter()).update(found)
    rows = [(*cell, category, count[category]) for cell, count in counts.items() for category in CATEGORIES]
    frame = pd.DataFrame(rows, columns=[*_CELL, "category", "features"])
    return frame.assign(share=frame["features"] / frame.groupby(_CELL, sort=False)["features"].transform("sum"))
