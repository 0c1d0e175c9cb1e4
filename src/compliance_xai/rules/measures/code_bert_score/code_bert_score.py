"""Code similarity by greedily matched token embeddings, as an ``evaluate`` module; range 0 to 1."""

from typing import Any

from compliance_xai.rules import scores
from compliance_xai.rules.code_similarity import CodeEncoder
from compliance_xai.rules.measures import pairs


class CodeBertScore(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.code_bert_score``.

    Parameters
    ----------
    encoder
        A loaded code encoder, or what ``compliance_xai.rules.code_similarity.load_code_encoder`` takes.
    """

    description = """F1 and F3 of greedily matched token embeddings, in the manner of CodeBERTScore.

    Range: 0 to 1 for both; 1 for the same tokens. Values are comparable for one encoder only."""
    returns = "code_bert_f1, code_bert_f3 (float): 0 to 1."
    citation = "Zhou, S., et al. (2023). CodeBERTScore. EMNLP, 13921-13937."

    def __init__(self, encoder: CodeEncoder | str, **settings: Any) -> None:
        self.encoder = encoder
        super().__init__(**settings)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        values = scores.code_bert_score(predictions, references, self.encoder)
        return {f"code_bert_{name}": value for name, value in values.items()}
