"""Tree edit distance, normalised, as an ``evaluate`` module; range 0 to 1."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """Mean normalised edit distance of the rule trees in canonical order.

Range: 0 (the same trees up to order) to 1 (nothing in common); small is good."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    tree_edit_distance (float): 0 to 1.
"""


class TreeEditDistance(evaluate.Metric):
    """See ``compliance_xai.metrics.tree_edit_distance``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="Pawlik, M., Augsten, N. (2016). Tree edit distance. Information Systems 56, 157-173.",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"tree_edit_distance": scores.tree_edit_distance(predictions, references)}
