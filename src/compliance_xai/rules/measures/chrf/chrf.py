"""Corpus chrF2 of sacrebleu, as an ``evaluate`` module; range 0 to 100."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class Chrf(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.chrf``."""

    description = """Corpus chrF2 (character 6-grams) of sacrebleu, one reference per prediction.

    Range: 0 (no shared characters) to 100 (the same texts)."""
    returns = "chrf (float): 0 to 100."
    citation = "Popović, M. (2015). chrF: character n-gram F-score for automatic MT evaluation. WMT, 392-395."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"chrf": scores.chrf(predictions, references)}
