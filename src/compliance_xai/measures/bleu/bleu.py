"""Corpus BLEU of sacrebleu, as an ``evaluate`` module; range 0 to 100."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """Corpus BLEU of sacrebleu with its default settings, one reference per prediction.

Range: 0 (no shared words) to 100 (the same texts)."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    bleu (float): 0 to 100.
"""

_CITATION = """Post, M. (2018). A call for clarity in reporting BLEU scores. WMT, 186-191."""


class Bleu(evaluate.Metric):
    """See ``compliance_xai.metrics.bleu``."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"bleu": scores.bleu(predictions, references)}
