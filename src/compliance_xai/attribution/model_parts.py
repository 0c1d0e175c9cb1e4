"""What scoring has to know of a model: its parts, its precision, the device it is on, and the modes it is run in."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError

if TYPE_CHECKING:
    import torch

TOLERANCES = {"float32": 1e-4, "float64": 1e-4, "float16": 0.1, "bfloat16": 0.5}
"""Nats per token. Reduced precision rounds differently for every shape of a batch; log-softmax is always in float32."""

one_at_a_time = threading.RLock()
"""Held while a model is scored or copied, since its modes are changed for that time."""

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")

_found: weakref.WeakKeyDictionary[Any, tuple[list[Any], dict[str, Any]]] = weakref.WeakKeyDictionary()
"""By model: its modules and hooks, and what was measured of it while it had these."""


def unwrap(model: Any) -> Any:
    """The transformers model inside a PEFT model. Its adapters are in place, so it computes the same.

    If the adapter puts virtual tokens in front of the prompt, there is an InputError.
    """
    if not hasattr(model, "get_base_model"):
        return model
    config = getattr(model, "active_peft_config", None)
    if getattr(config, "is_prompt_learning", False):
        raise InputError(
            "model",
            expected="weights or adapters inside the layers (full, LoRA, quantised LoRA)",
            found=f"{type(config).__name__}, which adds virtual tokens in front of the prompt",
            remedy="Use an adapter that leaves the input's positions as they are.",
        )
    return model.get_base_model()


def text_config(model: Any) -> Any:
    """The configuration of the model's language part."""
    config = unwrap(model).config
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def dtype_name(model: Any) -> str:
    """The dtype of the first floating-point weight, such as ``float32``."""
    weight = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
    return str(weight.dtype).removeprefix("torch.")


def tolerance(model: Any) -> float:
    """The widest tolerance among the dtypes that take part; 4-bit weights compute in a dtype of their own."""
    dtypes = {str(parameter.dtype) for parameter in model.parameters() if parameter.is_floating_point()}
    dtypes |= {str(module.compute_dtype) for module in model.modules() if getattr(module, "compute_dtype", None)}
    return max(TOLERANCES.get(name.removeprefix("torch."), TOLERANCES["bfloat16"]) for name in dtypes)


def input_device(model: Any) -> torch.device:
    """Where token ids have to be."""
    inner = unwrap(model)
    embeddings = inner.get_input_embeddings() if hasattr(inner, "get_input_embeddings") else None
    return embeddings.weight.device if embeddings is not None else next(model.parameters()).device


@contextlib.contextmanager
def evaluating(model: Any, *, gradients: bool = False) -> Iterator[None]:
    """Evaluation mode without autocast, and without gradients unless asked for; every module gets its own mode back.

    One thread at a time: another waits until the first has left. If gradients are asked for through weights that cannot
    have any, there is an InputError.
    """
    import torch

    if gradients and any(parameter.is_inference() for parameter in model.parameters()):
        raise InputError(
            "model",
            expected="weights that gradients can be computed through",
            found="weights made in torch's inference mode",
            remedy="Load the model outside torch.inference_mode(), or use a method that rewrites the clause.",
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(one_at_a_time)
        stack.enter_context(torch.inference_mode(not gradients))  # outside it gradients are on
        for device in filter(torch.is_autocast_enabled, _AUTOCAST):
            stack.enter_context(torch.autocast(device, enabled=False))
        training = [module for module in model.modules() if module.training]
        model.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


def measured(model: Any) -> dict[str, Any]:
    """What was measured of a model, by name; empty again once one of its modules or hooks has changed."""
    parts = [
        (weakref.ref(module), type(module), *module._forward_pre_hooks, *module._forward_hooks)
        for module in model.modules()
    ]
    if model not in _found or _found[model][0] != parts:
        _found[model] = (parts, {})
    return _found[model][1]


def has_hooks(module: Any) -> bool:
    """Whether something is called before or after a module's forward, so that it must be called as a whole."""
    return bool(module._forward_pre_hooks or module._forward_hooks)


def last_hidden(model: Any, ids_RL: torch.Tensor, **options: Any) -> torch.Tensor:
    """What the head is applied to, shape (rows, positions, hidden)."""
    return unwrap(model).base_model(input_ids=ids_RL, **({"use_cache": False} | options)).last_hidden_state
