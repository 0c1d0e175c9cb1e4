"""Which words does a language model read when it turns a building-code clause into a computer-processable rule?

The names below are the ones for notebooks; each is imported from its room when it is first used, so that
``import compliance_xai`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from compliance_xai.attribution import aggregate, attribute, score_masks, score_texts
    from compliance_xai.corpus import Corpus, load_corpus
    from compliance_xai.corpus.describe import describe as describe_corpus
    from compliance_xai.corpus.fetch import fetch as fetch_corpus
    from compliance_xai.corpus.tables import TableOptions
    from compliance_xai.errors import InputError
    from compliance_xai.features import perturb, segment
    from compliance_xai.metrics import score_rules
    from compliance_xai.records import Attribution, Example, Feature, Generation, Link
    from compliance_xai.replacements import collect_pool
    from compliance_xai.rules import format_rule, parse_rule, read_tolerant
    from compliance_xai.rungs import load_ladder
    from compliance_xai.stages import (
        attribute_cell,
        compare_contexts,
        compare_scales,
        compare_strategies,
        describe_ladder,
        finetune_cell,
        generate_cell,
        judge_attribution,
        judge_claims,
        prepare_corpus,
    )
    from compliance_xai.study import Study, load_study

_ROOMS = {
    "attribution": ("aggregate", "attribute", "score_masks", "score_texts"),
    "corpus": ("Corpus", "load_corpus"),
    "corpus.tables": ("TableOptions",),
    "errors": ("InputError",),
    "features": ("perturb", "segment"),
    "metrics": ("score_rules",),
    "records": ("Attribution", "Example", "Feature", "Generation", "Link"),
    "replacements": ("collect_pool",),
    "rules": ("format_rule", "parse_rule", "read_tolerant"),
    "rungs": ("load_ladder",),
    "stages": (
        "attribute_cell",
        "compare_contexts",
        "compare_scales",
        "compare_strategies",
        "describe_ladder",
        "finetune_cell",
        "generate_cell",
        "judge_attribution",
        "judge_claims",
        "prepare_corpus",
    ),
    "study": ("Study", "load_study"),
}
_HOMES = {name: (room, name) for room, names in _ROOMS.items() for name in names} | {
    # Inside the corpus room these are called by a bare verb.
    "describe_corpus": ("corpus.describe", "describe"),
    "fetch_corpus": ("corpus.fetch", "fetch"),
}

__all__ = [
    "Attribution",
    "Corpus",
    "Example",
    "Feature",
    "Generation",
    "InputError",
    "Link",
    "Study",
    "TableOptions",
    "aggregate",
    "attribute",
    "attribute_cell",
    "collect_pool",
    "compare_contexts",
    "compare_scales",
    "compare_strategies",
    "describe_corpus",
    "describe_ladder",
    "fetch_corpus",
    "finetune_cell",
    "format_rule",
    "generate_cell",
    "judge_attribution",
    "judge_claims",
    "load_corpus",
    "load_ladder",
    "load_study",
    "parse_rule",
    "perturb",
    "prepare_corpus",
    "read_tolerant",
    "score_masks",
    "score_rules",
    "score_texts",
    "segment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'compliance_xai' has no attribute '{name}'")
    room, attribute_name = _HOMES[name]
    value = getattr(importlib.import_module(f"compliance_xai.{room}"), attribute_name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
