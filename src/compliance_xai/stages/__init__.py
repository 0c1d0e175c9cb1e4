"""What the notebooks call: one function per stage, each of which joins rooms and writes one folder of results.

Every function takes a study (or the path of its file) and, where it works on one cell, a scale and a strategy. It
returns a ``StageResult``; results that are already there under the same key are read, not made again.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compliance_xai.stages.attribute import attribute_cell
    from compliance_xai.stages.common import StageResult, read_stage, show_provenance
    from compliance_xai.stages.contexts import compare_contexts
    from compliance_xai.stages.corpus import prepare_corpus
    from compliance_xai.stages.faithfulness import judge_attribution
    from compliance_xai.stages.findings import judge_claims
    from compliance_xai.stages.finetune import finetune_cell
    from compliance_xai.stages.generate import generate_cell
    from compliance_xai.stages.ladder import describe_ladder
    from compliance_xai.stages.picked import attribute_picked
    from compliance_xai.stages.picking import pick_protocols
    from compliance_xai.stages.protocols import compare_protocols
    from compliance_xai.stages.scales import compare_scales
    from compliance_xai.stages.strategies import compare_strategies

__all__ = [
    "StageResult",
    "attribute_cell",
    "attribute_picked",
    "compare_contexts",
    "compare_protocols",
    "compare_scales",
    "compare_strategies",
    "describe_ladder",
    "finetune_cell",
    "generate_cell",
    "judge_attribution",
    "judge_claims",
    "pick_protocols",
    "prepare_corpus",
    "read_stage",
    "show_provenance",
]

_HOMES = {
    "StageResult": "common",
    "attribute_cell": "attribute",
    "attribute_picked": "picked",
    "compare_contexts": "contexts",
    "compare_protocols": "protocols",
    "compare_scales": "scales",
    "compare_strategies": "strategies",
    "describe_ladder": "ladder",
    "finetune_cell": "finetune",
    "generate_cell": "generate",
    "judge_attribution": "faithfulness",
    "judge_claims": "findings",
    "pick_protocols": "picking",
    "prepare_corpus": "corpus",
    "read_stage": "common",
    "show_provenance": "common",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
