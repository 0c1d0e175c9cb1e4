"""Corpus BLEU of sacrebleu, as an ``evaluate`` module; range 0 to 100."""

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class Bleu(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.bleu``."""

    description = """Corpus BLEU of sacrebleu with its default settings, one reference per prediction.

    Range: 0 (no shared words) to 100 (the same texts)."""
    returns = "bleu (float): 0 to 100."
    citation = "Post, M. (2018). A call for clarity in reporting BLEU scores. WMT, 186-191."

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"bleu": scores.bleu(predictions, references)}
