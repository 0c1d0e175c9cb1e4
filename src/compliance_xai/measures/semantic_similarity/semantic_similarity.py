"""Semantic similarity by sentence embeddings, as an ``evaluate`` module; range -1 to 1."""

from typing import Any

import datasets
import evaluate

from compliance_xai import scores
from compliance_xai.semantic import Encoder

_DESCRIPTION = """Mean cosine of the sentence embeddings of prediction and reference.

Range: -1 to 1; 1 for the same text, seldom below 0 for two rules."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    semantic_similarity (float): -1 to 1.
"""

_CITATION = """Reimers, N., Gurevych, I. (2019). Sentence-BERT. EMNLP, 3982-3992."""


class SemanticSimilarity(evaluate.Metric):
    """See ``compliance_xai.metrics.semantic_similarity``.

    Parameters
    ----------
    encoder
        A loaded encoder, or what ``compliance_xai.semantic.load_encoder`` takes.
    """

    def __init__(self, encoder: Encoder | str = "minilm", **settings: Any) -> None:
        self.encoder = encoder
        super().__init__(**settings)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"semantic_similarity": scores.semantic_similarity(predictions, references, encoder=self.encoder)}
