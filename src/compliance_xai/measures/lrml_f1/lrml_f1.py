"""The published LRML F1, as an ``evaluate`` module; range 0 to 100."""

from typing import Any

import datasets
import evaluate

from compliance_xai import scores

_DESCRIPTION = """Overlap of terms and leaves with the reference rule, as published by Fuchs et al. (2023).

Range: 0 (nothing shared) to 100 (all elements of both sides found), for each of the three values. Brackets
without a name can take a pair over 100, as in the original."""

_INPUTS = """
Args:
    predictions (list of str): generated rules.
    references (list of str): the reference rule of each.
Returns:
    lrml_precision, lrml_recall, lrml_f1 (float): 0 to 100.
"""

_CITATION = """Fuchs, S., et al. (2023). https://github.com/stefan-1992/phd-thesis-supplementary-material"""


class LrmlF1(evaluate.Metric):
    """See ``compliance_xai.metrics.lrml_f1``.

    Parameters
    ----------
    spelling
        ``as_written`` or ``intermediate``.
    """

    def __init__(self, spelling: scores.Spelling = "as_written", **settings: Any) -> None:
        self.spelling: scores.Spelling = spelling
        super().__init__(**settings)

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
        values = scores.lrml_f1(predictions, references, spelling=self.spelling)
        return {f"lrml_{name}": value for name, value in values.items()}
