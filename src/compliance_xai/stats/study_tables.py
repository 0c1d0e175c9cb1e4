"""From a study's raw frames to the tables that verdicts rest on.

The stages call these functions with frames that they have just made, ``study recompute`` with frames that were stored:
the same numbers either way, and no model is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from compliance_xai.attribution.focus import GROUPS, category_frame, pattern_frame, share_frame
from compliance_xai.errors import InputError
from compliance_xai.records import VIEW
from compliance_xai.stats.competence import competence_table, correct_for_chance, failing_cells
from compliance_xai.stats.contrasts import compare_strategies, controls_table
from compliance_xai.stats.declared import Declared
from compliance_xai.stats.further_findings import literal_table, source_tables
from compliance_xai.stats.pattern_tests import compare_patterns
from compliance_xai.stats.size_steps import compare_sizes
from compliance_xai.stats.statements import OVER_CHANCE

RUN = ("scale", "strategy", "seed")


@dataclass(frozen=True)
class RawFrames:
    """What every test of a study is computed from: numbers and ids, no text of the corpus."""

    words: pd.DataFrame
    """``focus.word_frame`` of all cells, with ``scale, strategy, parameters``."""
    clauses: pd.DataFrame
    """``scale, strategy, seed, id, split, n_target_tokens, baseline_log_prob``."""
    scores: pd.DataFrame
    """Scores of every generated rule: ``scale, strategy, parameters, seed, id, split, context`` and the measures."""
    floors: pd.DataFrame
    """The same measures of rules that need no training: ``floor, id, split``."""
    runs: pd.DataFrame
    """``scale, strategy, seed, trained, parameters, validation_loss``."""
    elements: pd.DataFrame
    """``elements.element_frame`` of all cells."""

    def keep(self, split: str) -> RawFrames:
        """The rows of one split."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return RawFrames(
            **{n: f[f["split"] == split].reset_index(drop=True) if "split" in f else f for n, f in kept.items()}
        )

    @classmethod
    def read(cls, folder: Path, prefix: str = "") -> RawFrames:
        """Read ``<folder>/<prefix><name>.parquet`` for every frame; an InputError if one is missing."""
        paths = {field.name: folder / f"{prefix}{field.name}.parquet" for field in fields(cls)}
        for path in paths.values():
            if not path.is_file():
                remedy = "Export the study again: 'compliance-xai study export NAME FOLDER'."
                raise InputError(str(path), expected="a raw frame of the study", found="no such file", remedy=remedy)
        return cls(**{name: pd.read_parquet(path) for name, path in paths.items()})


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its texts as categories: the many groups of a study are made several times as fast."""
    texts = [name for name in ("scale", "strategy", "method", "baseline", "id", "split", "category") if name in frame]
    return frame.astype(dict.fromkeys(texts, "category"))


def find_clusters(scores: pd.DataFrame, corpus: str) -> Mapping[str, str] | None:
    """Clause id -> document, for texts that come from documents; synthetic clauses were drawn one by one."""
    known = scores[["id", "context"]].drop_duplicates("id")
    if corpus == "synthetic" or known["context"].nunique() < 2:
        return None
    return dict(zip(known["id"], known["context"], strict=True))


def strategy_tables(raw: RawFrames, declared: Declared) -> dict[str, pd.DataFrame]:
    """The tables that compare strategies, of one split.

    ``competence, patterns, contrasts, controls`` and ``runs`` are for claims; ``sources, remaining, literals`` are for
    ``further_findings``.
    """
    clusters = find_clusters(raw.scores, declared.corpus)
    limits = declared.thresholds
    competence = competence_table(raw.scores, raw.floors, min_parse=limits.min_parse, clusters=clusters)
    options = {"clusters": clusters, "left_out": failing_cells(competence)}
    shares = share_frame(as_categories(raw.words))
    focus = pattern_frame(shares).merge(raw.clauses.drop(columns="split"), on=[*RUN, "id"], validate="many_to_one")
    outcome, permutations = declared.tests.C1.outcome, limits.permutations
    return {
        "competence": competence,
        "patterns": compare_patterns(shares, outcome=outcome, permutations=permutations, **options),
        "contrasts": compare_strategies(focus, "log_words", permutations=permutations, **options),
        "controls": controls_table(focus, "log_words", **options),
        "runs": raw.runs,
        "literals": literal_table(raw.elements),
    } | source_tables(shares, declared, options["left_out"])


def size_tables(raw: RawFrames, declared: Declared, failing: frozenset[tuple[str, str]]) -> dict[str, pd.DataFrame]:
    """The table that compares sizes, ``sizes``; one split. ``failing`` are the cells that do not pass the gate."""
    options = {
        "families": declared.families,
        "pooled": declared.deciding,
        "clusters": find_clusters(raw.scores, declared.corpus),
        "left_out": failing,
        "permutations": declared.thresholds.permutations,
    }
    lifts = category_frame(share_frame(as_categories(raw.words)))
    lifts = lifts[lifts["category"].isin(GROUPS)]
    scores = raw.scores.assign(**{OVER_CHANCE: correct_for_chance(raw.scores, raw.floors)})
    parts = [compare_sizes(lifts, "log_lift", by=(*VIEW, "category"), **options)]
    for measure in (declared.tests.C4.outcome, OVER_CHANCE):
        if scores[measure].notna().any():
            found = compare_sizes(scores, measure, **options)
            parts.append(found.assign(**dict.fromkeys((*VIEW, "category"), "")))
    return {"sizes": pd.concat(parts, ignore_index=True)}
