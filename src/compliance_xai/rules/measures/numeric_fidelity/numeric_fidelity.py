"""Numeric fidelity, as an ``evaluate`` module; range 0 to 1."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class NumericFidelity(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.numeric_fidelity``."""

    description = """F1 of the quantities of a corpus, each with its comparator and unit; 1.2 m is 1200 mm.

    Range: 0 (none found) to 1 (all found, none invented); NaN where there is no quantity."""
    returns = "numeric_fidelity (float): 0 to 1, or NaN."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"numeric_fidelity": scores.numeric_fidelity(predictions, references)}
