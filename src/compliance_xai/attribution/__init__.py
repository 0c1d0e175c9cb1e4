"""Attribution: which features of a clause a target text rests on."""

from compliance_xai.attribution.checks import Check, SelfCheckError, self_check
from compliance_xai.attribution.engine import attribute, attribute_many, score_masks, score_texts
from compliance_xai.attribution.methods import METHODS
from compliance_xai.features import perturb, segment

__all__ = [
    "METHODS",
    "Check",
    "SelfCheckError",
    "attribute",
    "attribute_many",
    "perturb",
    "score_masks",
    "score_texts",
    "segment",
    "self_check",
]
