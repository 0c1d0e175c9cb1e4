"""Exact match after canonical ordering, as an ``evaluate`` module; range 0 to 1."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class ExactMatch(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.exact_match``."""

    description = """Share of predictions that are the reference up to the order of the arguments of 'and' and 'or'.

    Range: 0 (none) to 1 (all)."""
    returns = "exact_match (float): 0 to 1."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"exact_match": scores.exact_match(predictions, references)}
