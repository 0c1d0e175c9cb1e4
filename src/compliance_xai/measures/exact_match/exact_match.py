"""Exact match after canonical ordering, as an ``evaluate`` module; range 0 to 1."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """Share of predictions that are the reference up to the order of the arguments of 'and' and 'or'.

Range: 0 (none) to 1 (all)."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    exact_match (float): 0 to 1.
"""


class ExactMatch(evaluate.Metric):
    """See ``compliance_xai.metrics.exact_match``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"exact_match": scores.exact_match(predictions, references)}
