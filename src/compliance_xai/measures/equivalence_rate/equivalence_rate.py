"""Logical equivalence, as an ``evaluate`` module; range 0 to 1."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """Share of rules that say the same as their reference, whatever their wording, decided by a solver.

Range: 0 (none) to 1 (all); what cannot be decided and what is no rule does not count as the same."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    equivalence_rate (float): 0 to 1.
"""


class EquivalenceRate(evaluate.Metric):
    """See ``compliance_xai.metrics.equivalence_rate``."""

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
        return {"equivalence_rate": scores.equivalence_rate(predictions, references)}
