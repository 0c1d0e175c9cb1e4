"""Code similarity by greedily matched token embeddings, as an ``evaluate`` module; range 0 to 1."""

from typing import Any

import datasets
import evaluate

from compliance_xai import scores
from compliance_xai.code_similarity import CodeEncoder

_DESCRIPTION = """F1 and F3 of greedily matched token embeddings, in the manner of CodeBERTScore.

Range: 0 to 1 for both; 1 for the same tokens. Values are comparable for one encoder only."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    code_bert_f1, code_bert_f3 (float): 0 to 1.
"""

_CITATION = """Zhou, S., et al. (2023). CodeBERTScore. EMNLP, 13921-13937."""


class CodeBertScore(evaluate.Metric):
    """See ``compliance_xai.metrics.code_bert_score``.

    Parameters
    ----------
    encoder
        A loaded code encoder, or what ``compliance_xai.code_similarity.load_code_encoder`` takes.
    """

    def __init__(self, encoder: CodeEncoder | str, **settings: Any) -> None:
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
        values = scores.code_bert_score(predictions, references, self.encoder)
        return {f"code_bert_{name}": value for name, value in values.items()}
