"""Semantic similarity by sentence embeddings, as an ``evaluate`` module; range -1 to 1."""

from typing import Any

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs
from compliance_xai.rules.sentence_encoder import Encoder


class SemanticSimilarity(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.semantic_similarity``.

    Parameters
    ----------
    encoder
        A loaded encoder, or what ``compliance_xai.rules.sentence_encoder.load_encoder`` takes.
    """

    description = """Mean cosine of the sentence embeddings of prediction and reference.

    Range: -1 to 1; 1 for the same text, seldom below 0 for two rules."""
    returns = "semantic_similarity (float): -1 to 1."
    citation = "Reimers, N., Gurevych, I. (2019). Sentence-BERT. EMNLP, 3982-3992."

    def __init__(self, encoder: Encoder | str = "minilm", **settings: Any) -> None:
        self.encoder = encoder
        super().__init__(**settings)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"semantic_similarity": scores.semantic_similarity(predictions, references, encoder=self.encoder)}
