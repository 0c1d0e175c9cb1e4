"""Attribution: which features of a clause a target text rests on."""

from compliance_xai.attribution.checks import Check, SelfCheckError, self_check
from compliance_xai.attribution.engine import Cost, score_masks, score_texts
from compliance_xai.attribution.explain import ablate_categories, aggregate, attribute, attribute_many
from compliance_xai.attribution.methods import METHODS
from compliance_xai.features import perturb, segment
from compliance_xai.records import Attribution
from compliance_xai.replacements import collect_pool

__all__ = [
    "METHODS",
    "Attribution",
    "Check",
    "Cost",
    "SelfCheckError",
    "ablate_categories",
    "aggregate",
    "attribute",
    "attribute_many",
    "collect_pool",
    "perturb",
    "score_masks",
    "score_texts",
    "segment",
    "self_check",
]
