"""Self-checks of the attribution engine on the model at hand. A study runs them on a sample and stops if one fails."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_xai.attribution import methods, model_parts
from compliance_xai.attribution.engine import score_masks, score_texts
from compliance_xai.attribution.options import DEFAULT_OPTIONS, Options
from compliance_xai.corpus.counterfactuals import write_perturbed
from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError
from compliance_xai.records import Example, Feature

_PLANTED = 3.0


@dataclass(frozen=True)
class Check:
    """One check: the largest deviation it found, and the largest that is allowed, in nats."""

    id: str
    name: str
    deviation: float
    tolerance: float
    passed: bool


class SelfCheckError(RuntimeError):
    """A self-check failed: attributions of this model cannot be trusted. ``checks`` holds all that were measured."""

    def __init__(self, checks: list[Check]) -> None:
        self.checks = checks
        failed = "; ".join(
            f"{check.name} on clause {check.id or '(no id)'}: deviation {check.deviation:.3g} nats, at most "
            f"{check.tolerance:.3g} allowed"
            for check in checks
            if not check.passed
        )
        super().__init__(
            f"attribution self-check failed: {failed}. Nothing was written; try dtype float32, or report the model."
        )


def self_check(model: Any, tokenizer: Any, example: Example, options: Options = DEFAULT_OPTIONS) -> list[Check]:
    """Check the engine on one example of a study.

    - ``batched_equals_single``: all rows of leave-one-out as the study scores them, against one row at a time that
      shares nothing;
    - ``cached_equals_uncached``: the same rows against whole rows in batches, with nothing reused;
    - ``null_feature``: the untouched clause, scored again among perturbed rows, must not change;
    - ``planted_feature``: with 3 nats taken off wherever the middle feature is missing (or the next one that the
      baseline does not replace by itself), the scores of that feature, and of no other, rise by 3 nats. This checks
      features, masks and method on top of the model's own scores;
    - ``efficiency``: along an order of the features and its reverse, the gains of the features add up to what they do
      together; the two ends of each order are scored anew, so this also compares batches.

    Words are checked whatever the unit, and with the ``counterfactual`` baseline only the first draw.

    Returns
    -------
    list of Check
        All passed.

    Raises
    ------
    SelfCheckError
        If one fails.
    """
    features, options = segment(example.clause), dataclasses.replace(options, draws=1)
    masks_MF = methods.leave_one_out_masks(len(features))
    texts_MD = write_perturbed(
        example.clause, features, masks_MF, baseline=options.baseline, pool=options.pool, draws=1, id=example.id
    )
    clauses = [texts_D[0] for texts_D in texts_MD]
    changed = [place for place, text in enumerate(clauses[1:]) if text != example.clause]
    if not changed:
        raise InputError(
            f"clause {example.id}",
            expected="a word that the baseline changes",
            found=repr(example.clause),
            remedy="Choose another clause.",
        )
    word = features[min(changed, key=lambda place: abs(place - len(features) // 2))].text

    def score(texts: list[str], chosen: Options, share: bool) -> np.ndarray:
        return score_texts(model, tokenizer, texts, example.rule, chosen, id=example.id, deduplicate=False, share=share)

    def score_all(masks: np.ndarray) -> np.ndarray:
        return score_masks(
            model, tokenizer, example.clause, example.rule, masks, options, features=features, id=example.id
        )

    batched_MT = score_all(masks_MF)
    single_MT = score(clauses, dataclasses.replace(options, batch_tokens=1), False)
    whole_MT = score(clauses, options, False)
    again_MT = score([*clauses[1:], example.clause], options, True)
    chains_MF = methods.chain_masks(methods.draw_orders(len(features), 1))
    gains_FT, _ = methods.mean_gains(chains_MF, score_all(chains_MF))
    ends = (score_all(np.full((1, len(features)), kept))[0] for kept in (True, False))
    deviations = {
        "batched_equals_single": np.abs(batched_MT - single_MT).max(),
        "cached_equals_uncached": np.abs(batched_MT - whole_MT).max(),
        "null_feature": np.abs(again_MT[-1] - batched_MT[0]).max(),
        "planted_feature": _planted_deviation(single_MT, word, features, clauses),
        "efficiency": methods.efficiency_gap(gains_FT, *ends),
    }
    allowed = model_parts.tolerance(model)
    checks = [
        Check(example.id, name, float(deviation), allowed, bool(deviation <= allowed))
        for name, deviation in deviations.items()
    ]
    if not all(check.passed for check in checks):
        raise SelfCheckError(checks)
    return checks


def _planted_deviation(
    log_probs_MT: np.ndarray, word: str, features: Sequence[Feature], clauses: Sequence[str]
) -> float:
    """How far the scores miss a planted dependence: 3 nats off wherever the perturbed text lacks the word."""
    count_M = np.array([sum(feature.text == word for feature in segment(text)) for text in clauses])
    lacks_M = count_M < count_M[0]
    gain_FT = methods.leave_one_out(log_probs_MT - _PLANTED * lacks_M[:, None]) - methods.leave_one_out(log_probs_MT)
    expected_F = np.array([_PLANTED * (feature.text == word) for feature in features])
    return float(np.abs(gain_FT - expected_F[:, None]).max())
