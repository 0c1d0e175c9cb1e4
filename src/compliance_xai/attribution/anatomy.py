"""What the engine has to know of a model: its parts, where they lie, and its head's log-probabilities in float32."""

from __future__ import annotations

import contextlib
import copy
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError

if TYPE_CHECKING:
    import torch

TOLERANCES = {"float32": 1e-4, "float64": 1e-4, "float16": 0.1, "bfloat16": 0.5}
"""Nats per token. Reduced precision rounds differently for each shape of a batch; log-softmax stays in float32."""

_MAX_LOGITS = {"cpu": 2**19, "cuda": 2**27}
"""Most float32 logits held at once: 2 MiB, which a core's own cache holds, or 512 MiB on a GPU."""

_MAX_WEIGHTS = 2**26
"""Most weights of a head that are turned to float32 at once (256 MiB)."""

one_at_a_time = threading.RLock()
"""Held while a model is scored, or copied: its modes, its attention and torch's threads are changed for that time."""

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")

_found: weakref.WeakKeyDictionary[Any, tuple[list[Any], dict[str, Any]]] = weakref.WeakKeyDictionary()
"""Per model object: its parts, and what was measured of it while it had these."""


def unwrap(model: Any) -> Any:
    """The transformers model inside a PEFT one; its adapters are in place, so it computes the same.

    Raises
    ------
    InputError
        If the adapter puts virtual tokens in front of the prompt.
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

    One thread at a time: another waits until the first has left.

    Raises
    ------
    InputError
        If gradients are asked for through weights that can have none.
    """
    import torch

    if gradients and any(parameter.is_inference() for parameter in model.parameters()):
        raise InputError(
            "model",
            expected="weights that gradients can be taken through",
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
    """What was measured of a model, by name; empty again once a module of it is another or has other hooks."""
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


# --- head ---------------------------------------------------------------------------------------------------------


def has_plain_head(model: Any, ids_1L: torch.Tensor) -> bool:
    """Whether the model's logits are its head applied to the last hidden state: measured once on a real row.

    Models that project before the head, or finish its logits in an unknown way, do not have one.
    """
    known = measured(model)
    if "plain head" not in known:
        known["plain head"] = _compare_head(model, ids_1L)
    return known["plain head"]


def knows_head(model: Any) -> bool:
    """Whether ``has_plain_head`` said yes."""
    return measured(model).get("plain head", False)


def _compare_head(model: Any, ids_1L: torch.Tensor) -> bool:
    import torch

    inner = unwrap(model)
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    base = getattr(inner, "base_model", None)
    if head is None or base is None or base is inner:
        return False
    logits = model(input_ids=ids_1L, use_cache=False).logits
    try:
        rebuilt = _finish(text_config(model))(head(last_hidden(model, ids_1L)).float())
    except (AttributeError, TypeError, RuntimeError):  # no last_hidden_state, or of another width than the head
        return False
    if rebuilt.shape != logits.shape:
        return False
    # The same float32 row twice in one process was seen to differ by 2e-5 of its largest logit: alignment of memory
    # decides which kernel multiplies. What a head does beyond its product is larger by orders.
    allowed = 1e-4 if logits.dtype in (torch.float32, torch.float64) else 2e-2
    scale = logits.float().abs().max().clamp(min=1.0)
    return bool((rebuilt - logits.float()).abs().max() <= allowed * scale)


def _finish(config: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """What a model does to its head's logits: Cohere multiplies, Granite divides, Gemma 2 caps them."""
    factor = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    if cap is None:
        return lambda logits: logits if factor == 1.0 else logits * factor
    return lambda logits: (logits * factor / cap).tanh() * cap


def make_log_prob(model: Any) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A function of hidden states (P, H) and token ids (P,) to log-probabilities (P,) of these tokens.

    The projection's results, and all that follows, are float32 whatever the model's dtype (float64 stays). Logits exist
    for a few positions and, of a large head in reduced precision, for a part of the vocabulary at a time.
    """
    import torch

    head, finish = unwrap(model).get_output_embeddings(), _finish(text_config(model))
    # Accelerate fetches an offloaded head when it is called.
    if type(head) is torch.nn.Linear and not head.weight.is_meta and not has_hooks(head):
        return lambda hidden_PH, token_P: _linear_log_prob(head, finish, hidden_PH, token_P)
    weights = [weight.dtype for weight in head.parameters()]
    if weights and all(dtype in (torch.float16, torch.bfloat16) for dtype in weights):
        head = copy.deepcopy(head).float()  # an adapter on the head

    def log_prob(hidden_PH: torch.Tensor, token_P: torch.Tensor) -> torch.Tensor:
        # Weights that cannot be turned (4-bit ones) project in a dtype of their own.
        exact = torch.float32 if hidden_PH.dtype.itemsize < 4 and head.weight.is_floating_point() else hidden_PH.dtype
        step = _step(hidden_PH, vocabulary_size(model))
        parts = [
            take_log_prob(finish(at_least_float32(head(part_PH.to(exact)))), ids_P)
            for part_PH, ids_P in zip(hidden_PH.split(step), token_P.split(step), strict=True)
        ]
        return torch.cat(parts)

    return log_prob


def _linear_log_prob(
    head: torch.nn.Linear,
    finish: Callable[[torch.Tensor], torch.Tensor],
    hidden_PH: torch.Tensor,
    token_P: torch.Tensor,
) -> torch.Tensor:
    import torch

    exact = torch.promote_types(head.weight.dtype, torch.float32)
    hidden, total_P, found_P = hidden_PH.to(head.weight.device, exact), None, None
    token_P = token_P.to(head.weight.device)
    whole = head.weight.dtype == exact
    width = len(head.weight) if whole else max(1, _MAX_WEIGHTS // head.weight.shape[1])
    step = _step(hidden, min(width, len(head.weight)))
    for start in range(0, len(head.weight), width):
        weight_VH = head.weight[start : start + width].to(exact)
        bias_V = None if head.bias is None else head.bias[start : start + width].to(exact)
        sums, picks = [], []
        for part_PH, ids_P in zip(hidden.split(step), token_P.split(step), strict=True):
            logits_PV = finish(torch.nn.functional.linear(part_PH, weight_VH, bias_V))
            inside_P = (ids_P >= start) & (ids_P < start + len(weight_VH))
            place_P1 = (ids_P - start).clamp(0, len(weight_VH) - 1)[:, None]
            picks.append(torch.where(inside_P, logits_PV.gather(1, place_P1).squeeze(1), 0.0))
            sums.append(_logsumexp_(logits_PV))
        part_total_P, part_found_P = torch.cat(sums), torch.cat(picks)
        total_P = part_total_P if total_P is None else torch.logaddexp(total_P, part_total_P)
        found_P = part_found_P if found_P is None else found_P + part_found_P
    assert total_P is not None  # a vocabulary has words
    assert found_P is not None
    return found_P - total_P


def _logsumexp_(logits_PV: torch.Tensor) -> torch.Tensor:
    """Log of the sum of exponentials of every row, in the place of the logits."""
    top_P1 = logits_PV.amax(dim=1, keepdim=True)
    return logits_PV.sub_(top_P1).exp_().sum(dim=1).log_().add_(top_P1.squeeze(1))


def take_log_prob(logits_PV: torch.Tensor, token_P: torch.Tensor) -> torch.Tensor:
    """Log-probability of one token for every row of logits."""
    logits = at_least_float32(logits_PV)
    return logits.gather(-1, token_P[:, None].to(logits.device)).squeeze(-1) - logits.logsumexp(-1)


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Float32 in the place of reduced precision; float64 stays."""
    import torch

    return values.to(torch.promote_types(values.dtype, torch.float32))


def _step(hidden_PH: torch.Tensor, vocabulary: int) -> int:
    return max(1, _MAX_LOGITS.get(hidden_PH.device.type, _MAX_LOGITS["cpu"]) // vocabulary)


def vocabulary_size(model: Any) -> int:
    """How many logits a position has."""
    inner = unwrap(model)
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    size = getattr(head, "out_features", None) or getattr(text_config(model), "vocab_size", None)
    return int(size) if size else 2**17  # unknown architecture: as for a large vocabulary, so that memory stays bounded
