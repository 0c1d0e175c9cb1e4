"""Token edit distance, normalised, as an ``evaluate`` module; range 0 to 1."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """Mean normalised Levenshtein distance of the tokens of prediction and reference.

Range: 0 (the same tokens) to 1 (none in common); small is good."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    token_edit_distance (float): 0 to 1.
"""


class TokenEditDistance(evaluate.Metric):
    """See ``compliance_xai.metrics.token_edit_distance``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="Yujian, L., Bo, L. (2007). A normalized Levenshtein distance metric. IEEE TPAMI 29(6).",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"token_edit_distance": scores.token_edit_distance(predictions, references)}
