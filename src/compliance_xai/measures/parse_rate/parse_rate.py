"""Parse rate, as an ``evaluate`` module; range 0 to 1."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """Share of predictions that are rules in the LRML short form, read strictly.

Range: 0 (none) to 1 (all)."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each; not read, taken so that the module combines with others.
Returns:
    parse_rate (float): 0 to 1.
"""


class ParseRate(evaluate.Metric):
    """See ``compliance_xai.metrics.parse_rate``."""

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
        return {"parse_rate": scores.parse_rate(predictions)}
