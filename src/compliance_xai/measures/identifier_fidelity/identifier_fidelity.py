"""Identifier fidelity, as an ``evaluate`` module; range 0 to 1."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """F1 of the tables, standards and clauses that a corpus cites.

Range: 0 (none found) to 1 (all found, none invented); NaN where nothing is cited."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    identifier_fidelity (float): 0 to 1, or NaN.
"""


class IdentifierFidelity(evaluate.Metric):
    """See ``compliance_xai.metrics.identifier_fidelity``."""

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
        return {"identifier_fidelity": scores.identifier_fidelity(predictions, references)}
