"""The published LRML F1, as an ``evaluate`` module; range 0 to 100."""

from typing import Any

from compliance_xai.rules import scores
from compliance_xai.rules.measures import pairs


class LrmlF1(pairs.PairMeasure):
    """See ``compliance_xai.rules.metrics.lrml_f1``.

    Parameters
    ----------
    spelling
        ``as_written`` or ``intermediate``.
    """

    description = """Overlap of terms and leaves with the reference rule, as published by Fuchs et al. (2023).

    Range: 0 (nothing shared) to 100 (all elements of both sides found), for each of the three values. Brackets
    without a name can take a pair over 100, as in the original."""
    returns = "lrml_precision, lrml_recall, lrml_f1 (float): 0 to 100."
    citation = "Fuchs, S., et al. (2023). https://github.com/stefan-1992/phd-thesis-supplementary-material"

    def __init__(self, spelling: scores.Spelling = "as_written", **settings: Any) -> None:
        self.spelling: scores.Spelling = spelling
        super().__init__(**settings)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        values = scores.lrml_f1(predictions, references, spelling=self.spelling)
        return {f"lrml_{name}": value for name, value in values.items()}
