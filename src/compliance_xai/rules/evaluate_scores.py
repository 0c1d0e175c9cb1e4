"""The scores of generated rules as an ``evaluate`` module with one configuration per score.

``evaluate.load(path_of_this_file, "bleu")`` needs no network. ``evaluate`` takes the first metric class that it finds
here, so nothing else in this namespace may be one.
"""

from typing import Any

import datasets
import evaluate

from compliance_xai.errors import require_choice
from compliance_xai.rules import scores


class RuleScore(evaluate.Metric):
    """One score; its configuration is a name of ``compliance_xai.rules.scores.SCORES``.

    ``encoder``, ``spelling`` and ``notation`` are those of ``scores.Pairs``; other settings are for ``evaluate``.
    """

    def __init__(self, config_name: str | None = None, *, encoder: Any = "minilm", **settings: Any) -> None:
        require_choice("score", config_name, scores.SCORES)
        self.score = scores.SCORES[str(config_name)]
        chosen = {name: settings.pop(name) for name in ("spelling", "notation") if name in settings}
        self.choices: dict[str, Any] = {"encoder": encoder, **chosen}
        super().__init__(config_name=config_name, **settings)

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="{}\n\nRange: {} to {}.".format(self.score.description, *self.score.range),
            citation=self.score.source,
            inputs_description="\nArgs:\n    predictions (list of str): generated rules.\n"
            "    references (list of str): the reference rule of each.\n",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return self.score.total(scores.Pairs(predictions, references, **self.choices))
