"""Logical equivalence, as an ``evaluate`` module; range 0 to 1."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class EquivalenceRate(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.equivalence_rate``."""

    description = """Share of rules that say the same as their reference, whatever their wording, decided by a solver.

    Range: 0 (none) to 1 (all); what cannot be decided and what is no rule does not count as the same."""
    returns = "equivalence_rate (float): 0 to 1."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"equivalence_rate": scores.equivalence_rate(predictions, references)}
