"""What the number format and merging change: one trained model, read again in other forms.

Attribution explains what was trained: adapters unmerged, on the base they were trained on. Whoever uses the model may
merge the adapters, undo the quantisation or compute in 16 bits. Each of these is measured on a few clauses.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.distances import jensen_shannon
from compliance_xai.attribution.focus import mass
from compliance_xai.records import Attribution

CHANGES = {
    "dequantised": "4-bit weights written out in full, adapters unmerged",
    "merged": "adapters merged into the weights",
    "merged_4bit": "adapters merged into the 4-bit weights, which are rounded again",
    "bfloat16": "16-bit weights and arithmetic; log-probabilities in 32 bits",
}
"""The other forms of a trained model."""


def make_forms(model: Any) -> Iterator[tuple[str, Any]]:
    """Other forms of a trained model (keys of ``CHANGES``), one copy at a time; the model itself stays as it is."""
    import torch
    from peft import PeftModel

    adapted = isinstance(model, PeftModel)
    quantised = any(hasattr(parameter, "quant_state") for parameter in model.parameters())
    if quantised:
        yield "dequantised", _write_out(copy.deepcopy(model))
        if adapted:
            yield "merged", _merge_written_out(_write_out(copy.deepcopy(model)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that rounding changes the model is what is measured here
                rounded = copy.deepcopy(model).merge_and_unload()
            yield "merged_4bit", rounded
        yield "bfloat16", _write_out(copy.deepcopy(model)).to(torch.bfloat16)
        return
    if adapted:
        yield "merged", copy.deepcopy(model).merge_and_unload()
    yield "bfloat16", copy.deepcopy(model).to(torch.bfloat16)


def _write_out(model: Any) -> Any:
    """Every 4-bit layer replaced by a plain one with the same weights."""
    from peft.utils.integrations import dequantize_module_weight
    from torch.nn import Linear, Parameter

    for name, module in list(model.named_modules()):
        if hasattr(getattr(module, "weight", None), "quant_state") and not hasattr(module, "base_layer"):
            weight = dequantize_module_weight(module).detach()
            plain = Linear(weight.shape[1], weight.shape[0], bias=module.bias is not None, device=weight.device)
            plain.weight = Parameter(weight, requires_grad=False)
            plain.bias = module.bias
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, plain)
    return model.eval()


def _merge_written_out(model: Any) -> Any:
    """Adapters added to written-out weights; their library would round the sum to 4 bits."""
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            layer: Any = module
            layer.get_base_layer().weight.data += layer.get_delta_weight(layer.active_adapters[0]).detach()
    return model.unload()


def precision_frame(model: Any, attribute: Callable[[Any], Iterable[Attribution]]) -> pd.DataFrame:
    """How each other form of a model differs from the model as it was trained.

    ``attribute``: attributes the same clauses with any model.

    One row per form and clause: ``change`` (of ``CHANGES``), ``id``, ``log_prob`` (nats: that of the rule, minus that
    of the model as trained), ``largest_token`` and ``largest_score`` (largest absolute differences, nats), ``distance``
    (Jensen-Shannon, of the words' shares of absolute mass), ``same_word`` (whether the same word comes first).
    """
    trained = list(attribute(model))
    rows = []
    for change, form in make_forms(model):
        pairs = zip(trained, attribute(form), strict=True)
        rows += [{"change": change, **compare_pair(one, other)} for one, other in pairs]
    return pd.DataFrame(rows, columns=["change", "id", *COLUMNS])


COLUMNS = ("log_prob", "largest_token", "largest_score", "distance", "same_word")


def compare_pair(trained: Attribution, other: Attribution) -> dict[str, Any]:
    """One clause under the model as trained and in another form."""
    moved_T = other.baseline_log_probs.astype(np.float64) - trained.baseline_log_probs
    mass_NF = np.stack([mass(one.scores) for one in (trained, other)])
    shares = mass_NF / mass_NF.sum(1, keepdims=True)
    return {
        "id": trained.id,
        "log_prob": float(moved_T.sum()),
        "largest_token": float(np.abs(moved_T).max()),
        "largest_score": float(np.abs(other.scores - trained.scores).max()),
        "distance": float(jensen_shannon(shares[:1], shares[1:])[0]),
        "same_word": bool(mass_NF[0].argmax() == mass_NF[1].argmax()),
    }


def summarise_precision(frames: Sequence[pd.DataFrame], by: Sequence[str]) -> pd.DataFrame:
    """Means over clauses, by the given columns and the change.

    Columns: ``by``, ``change``, ``n_clauses``, ``log_prob`` (mean), ``largest_token`` and ``largest_score`` (largest of
    all clauses), ``distance`` (mean), ``same_word`` (share).
    """
    if not frames:
        return pd.DataFrame(columns=pd.Index([*by, "change", "n_clauses", *COLUMNS]))
    grouped = pd.concat(frames, ignore_index=True).groupby([*by, "change"], sort=False)
    return grouped.agg(
        n_clauses=("id", "nunique"),
        log_prob=("log_prob", "mean"),
        largest_token=("largest_token", "max"),
        largest_score=("largest_score", "max"),
        distance=("distance", "mean"),
        same_word=("same_word", "mean"),
    ).reset_index()
