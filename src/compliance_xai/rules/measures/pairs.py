"""What the modules of ``compliance_xai.rules.measures`` share: pairs of texts in, scores by name out."""

from __future__ import annotations

import datasets
import evaluate

PREDICTIONS = "predictions (list of str): generated rules."
REFERENCES = "references (list of str): the reference rule of each."


class PairMeasure(evaluate.Metric):
    """A measure of predicted against reference texts; a subclass says what it is and how it is computed.

    ``evaluate`` takes the first metric class that a module's namespace holds, so modules import this module, not the
    class.
    """

    description: str
    """What is measured, and its range."""
    returns: str
    """The scores by name, with their range."""
    citation: str = ""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description,
            citation=self.citation,
            inputs_description=f"\nArgs:\n    {PREDICTIONS}\n    {REFERENCES}\nReturns:\n    {self.returns}\n",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )
