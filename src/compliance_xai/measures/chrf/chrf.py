"""Corpus chrF2 of sacrebleu, as an ``evaluate`` module; range 0 to 100."""

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """Corpus chrF2 (character 6-grams) of sacrebleu, one reference per prediction.

Range: 0 (no shared characters) to 100 (the same texts)."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    chrf (float): 0 to 100.
"""

_CITATION = """Popović, M. (2015). chrF: character n-gram F-score for automatic MT evaluation. WMT, 392-395."""


class Chrf(evaluate.Metric):
    """See ``compliance_xai.metrics.chrf``."""

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
        return {"chrf": scores.chrf(predictions, references)}
