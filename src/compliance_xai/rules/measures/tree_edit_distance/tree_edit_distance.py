"""Tree edit distance, normalised, as an ``evaluate`` module; range 0 to 1."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class TreeEditDistance(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.tree_edit_distance``."""

    description = """Mean normalised edit distance of the rule trees in canonical order.

    Range: 0 (the same trees up to order) to 1 (nothing in common); small is good."""
    returns = "tree_edit_distance (float): 0 to 1."
    citation = "Pawlik, M., Augsten, N. (2016). Tree edit distance. Information Systems 56, 157-173."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"tree_edit_distance": scores.tree_edit_distance(predictions, references)}
