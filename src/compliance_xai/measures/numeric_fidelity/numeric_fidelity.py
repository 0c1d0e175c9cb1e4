"""Numeric fidelity, as an ``evaluate`` module; range 0 to 1."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """F1 of the quantities of a corpus, each with its comparator and unit; 1.2 m is 1200 mm.

Range: 0 (none found) to 1 (all found, none invented); NaN where there is no quantity."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    numeric_fidelity (float): 0 to 1, or NaN.
"""


class NumericFidelity(evaluate.Metric):
    """See ``compliance_xai.metrics.numeric_fidelity``."""

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
        return {"numeric_fidelity": scores.numeric_fidelity(predictions, references)}
