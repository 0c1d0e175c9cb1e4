"""What a corpus contains: counts, roles, lengths, categories, examples."""

import re
from collections.abc import Mapping

import pandas as pd

from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.features import segment
from compliance_xai.records import CATEGORIES, SPLITS, Example

_ATOM = re.compile(r"[^\s(),]+")
_CELL = ["split", "context"]
_ROLES = ["identifier_role", "number_role"]


def describe_corpus(corpus: Corpus, *, vocabulary: Mapping[str, str] | None = None) -> dict[str, pd.DataFrame]:
    """Describe a corpus; the same corpus gives the same frames, row by row.

    Parameters
    ----------
    corpus
        Any corpus.
    vocabulary
        As in ``features.segment``.

    Returns
    -------
    dict
        Frames by name; splits and categories in the project's order, contexts in alphabetical order.

        ``counts``: one row per split and context: ``split``, ``context``, ``clauses``, ``distinct_rules``, ``aligned``
        (int: clauses with a gold alignment).
        ``roles``: one row per split, role and value: ``split``, ``role`` (``identifier_role`` or ``number_role``),
        ``value``, ``clauses`` (int). Empty if the roles are unknown.
        ``lengths``: one row per example and text: ``id``, ``split``, ``context``, ``text`` (``clause`` or ``rule``),
        ``words`` and ``characters`` (int). A clause's words are separated by white space, a rule's also by brackets
        and commas.
        ``categories``: one row per split, context and feature category: ``split``, ``context``, ``category``,
        ``features`` (int), ``share`` (of the split and context's features, 0 to 1; NaN without features).
        ``shown``: the first example of each split and context: ``split``, ``context``, ``id``, ``clause``, ``rule``,
        ``identifier_role``, ``number_role``.
    """
    ordered = sorted(corpus, key=lambda example: (SPLITS.index(example.split), example.context))
    frame = pd.DataFrame([vars(example) for example in ordered], columns=list(Example.__dataclass_fields__))
    cells = frame.groupby(_CELL, sort=False)
    counts = cells.agg(
        clauses=("id", "size"),
        distinct_rules=("rule", "nunique"),
        aligned=("alignment", lambda links: int((links.map(len) > 0).sum())),
    )
    return {
        "counts": counts.reset_index(),
        "roles": _count_roles(frame),
        "lengths": _measure_lengths(ordered),
        "categories": _count_categories(ordered, vocabulary),
        "shown": cells.head(1)[[*_CELL, "id", "clause", "rule", *_ROLES]].reset_index(drop=True),
    }


def _count_roles(frame: pd.DataFrame) -> pd.DataFrame:
    roles = frame.melt("split", _ROLES, var_name="role").query("value != ''")
    counts = roles.groupby(["split", "role", "value"], as_index=False, sort=False).size()
    counts = counts.sort_values(["role", "value"]).sort_values(
        "split", key=lambda splits: splits.map(SPLITS.index), kind="stable", ignore_index=True
    )
    return counts.rename(columns={"size": "clauses"})


def _measure_lengths(examples: list[Example]) -> pd.DataFrame:
    rows = [
        (example.id, example.split, example.context, name, words, len(getattr(example, name)))
        for example in examples
        for name, words in (("clause", len(example.clause.split())), ("rule", len(_ATOM.findall(example.rule))))
    ]
    return pd.DataFrame(rows, columns=["id", *_CELL, "text", "words", "characters"])


def _count_categories(examples: list[Example], vocabulary: Mapping[str, str] | None) -> pd.DataFrame:
    rows = [
        (example.split, example.context, *map([f.category for f in found].count, CATEGORIES))
        for example in examples
        for found in [segment(example.clause, vocabulary=vocabulary)]
    ]
    counts = pd.DataFrame(rows, columns=[*_CELL, *CATEGORIES]).groupby(_CELL, sort=False).sum()
    frame = pd.DataFrame({"features": counts.rename_axis(columns="category").stack()}).reset_index()
    return frame.assign(share=frame["features"] / frame.groupby(_CELL, sort=False)["features"].transform("sum"))
