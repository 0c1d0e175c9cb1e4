"""The scores of ``compliance_xai.rules.metrics`` as ``evaluate`` modules, one folder each, loaded without a network.

``evaluate.load(path)`` takes the folder that ``measure_path`` names; ``load_measure`` does both, and keeps the module's
inputs in memory rather than in a cache file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError

if TYPE_CHECKING:
    from evaluate import CombinedEvaluations, EvaluationModule

    from compliance_xai.rules.code_similarity import CodeEncoder
    from compliance_xai.rules.sentence_encoder import Encoder

MEASURES = (
    "exact_match",
    "parse_rate",
    "lrml_f1",
    "bleu",
    "chrf",
    "semantic_similarity",
    "tree_edit_distance",
    "token_edit_distance",
    "numeric_fidelity",
    "identifier_fidelity",
    "equivalence_rate",
    "code_bert_score",
)
"""Every module that ships with the package."""


def measure_path(name: str) -> Path:
    """The folder of a shipped module, for ``evaluate.load``.

    Raises
    ------
    InputError
        Where no module has that name.
    """
    if name not in MEASURES:
        raise InputError(
            "measure", expected=f"one of {', '.join(MEASURES)}", found=repr(name), remedy="Choose one of them."
        )
    return Path(__file__).parent / name


def load_measure(name: str, *, keep_in_memory: bool = True, **settings: Any) -> EvaluationModule:
    """Load a shipped module; ``compute(predictions=..., references=...)`` gives its scores by name.

    Parameters
    ----------
    name
        One of ``MEASURES``.
    keep_in_memory
        Whether inputs stay in memory until ``compute``, rather than in a file of the ``evaluate`` cache.
    settings
        For the module: ``encoder`` (``semantic_similarity``, ``code_bert_score``), ``spelling`` (``lrml_f1``); and any
        other argument of ``evaluate.load``.

    Returns
    -------
    evaluate.EvaluationModule
        A module; its ``description`` gives the range.

    Raises
    ------
    InputError
        Where no module has that name.
    """
    import evaluate

    return evaluate.load(str(measure_path(name)), keep_in_memory=keep_in_memory, **settings)


def combine_measures(
    names: Sequence[str] | None = None,
    *,
    encoder: Encoder | str = "minilm",
    code_encoder: CodeEncoder | str | None = None,
    spelling: str = "as_written",
) -> CombinedEvaluations:
    """Shipped modules joined by ``evaluate.combine``, each with the settings it takes.

    Parameters
    ----------
    names
        Some of ``MEASURES``; by default all, ``code_bert_score`` only where ``code_encoder`` is given.
    encoder
        For ``semantic_similarity``.
    code_encoder
        For ``code_bert_score``, which has no encoder of its own.
    spelling
        For ``lrml_f1``.

    Returns
    -------
    evaluate.CombinedEvaluations
        ``compute`` gives every score by name.
    """
    import evaluate

    if names is None:
        names = [name for name in MEASURES if name != "code_bert_score" or code_encoder is not None]
    settings: dict[str, dict[str, Any]] = {
        "semantic_similarity": {"encoder": encoder},
        "code_bert_score": {"encoder": code_encoder},
        "lrml_f1": {"spelling": spelling},
    }
    return evaluate.combine([load_measure(name, **settings.get(name, {})) for name in names])
