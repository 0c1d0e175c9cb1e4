"""Token edit distance, normalised, as an ``evaluate`` module; range 0 to 1."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class TokenEditDistance(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.token_edit_distance``."""

    description = """Mean normalised Levenshtein distance of the tokens of prediction and reference.

    Range: 0 (the same tokens) to 1 (none in common); small is good."""
    returns = "token_edit_distance (float): 0 to 1."
    citation = "Yujian, L., Bo, L. (2007). A normalized Levenshtein distance metric. IEEE TPAMI 29(6)."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"token_edit_distance": scores.token_edit_distance(predictions, references)}
