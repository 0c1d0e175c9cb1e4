"""Identifier fidelity, as an ``evaluate`` module; range 0 to 1."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class IdentifierFidelity(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.identifier_fidelity``."""

    description = """F1 of the tables, standards and clauses that a corpus cites.

    Range: 0 (none found) to 1 (all found, none invented); NaN where nothing is cited."""
    returns = "identifier_fidelity (float): 0 to 1, or NaN."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"identifier_fidelity": scores.identifier_fidelity(predictions, references)}
