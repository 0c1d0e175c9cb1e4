"""Parse rate, as an ``evaluate`` module; range 0 to 1."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class ParseRate(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.parse_rate``."""

    description = """Share of predictions that are rules in the LRML short form, read strictly.

    Range: 0 (none) to 1 (all)."""
    returns = "parse_rate (float): 0 to 1."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"parse_rate": scores.parse_rate(predictions)}
