"""Log-probabilities of a few tokens from hidden states: a model's head in float32, applied where it is asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compliance_xai.attribution.model_parts import has_hooks, last_hidden, measured, text_config, unwrap

if TYPE_CHECKING:
    import torch

MAX_LOGITS = {"cpu": 2**19, "cuda": 2**27}
"""Most float32 logits held at once: 2 MiB, which fits into the cache of a core, or 512 MiB on a GPU."""

MIN_POSITIONS = 128
"""Fewest positions that go through a large head together, a part of the vocabulary at a time: with fewer, a product
spends its time on reading the head's weights (docs/LOG.md)."""

MAX_WEIGHTS = 2**26
"""Most weights of a head that are converted to float32 at once (256 MiB)."""


def has_plain_head(model: Any, ids_1L: torch.Tensor) -> bool:
    """Whether the model's logits are its head applied to the last hidden state: measured once, on a real row.

    False for models that project before the head, or change its logits in a way that is not known here.
    """
    known = measured(model)
    if "plain head" not in known:
        known["plain head"] = _compare_head(model, ids_1L)
    return known["plain head"]


def knows_head(model: Any) -> bool:
    """Whether ``has_plain_head`` was true."""
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
    # The same float32 row computed twice in one process differed by 2e-5 of its largest logit: which kernel multiplies
    # depends on how memory happens to be aligned. What a head does beyond its product is larger by orders.
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

    The logits and all that follows are float32 whatever the model's dtype (float64 stays), and exist for a few
    positions and a part of the vocabulary at a time.
    """
    import torch

    head, finish = unwrap(model).get_output_embeddings(), _finish(text_config(model))
    # An offloaded head (Accelerate) is fetched when it is called.
    if type(head) is torch.nn.Linear and not head.weight.is_meta and not has_hooks(head):
        return lambda hidden_PH, token_P: _linear_log_prob(head, finish, hidden_PH, token_P)
    weights = [weight.dtype for weight in head.parameters()]
    if weights and all(dtype in (torch.float16, torch.bfloat16) for dtype in weights):
        head = copy.deepcopy(head).float()  # an adapter on the head

    def log_prob(hidden_PH: torch.Tensor, token_P: torch.Tensor) -> torch.Tensor:
        # Weights that cannot be converted (4-bit ones) project in a dtype of their own.
        exact = torch.float32 if hidden_PH.dtype.itemsize < 4 and head.weight.is_floating_point() else hidden_PH.dtype
        step = max(1, _max_logits(hidden_PH) // vocabulary_size(model))
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
    """Blocks of positions and words, each small enough to stay in the cache while its exponentials are summed."""
    import torch

    exact = torch.promote_types(head.weight.dtype, torch.float32)
    hidden_PH, token_P = hidden_PH.to(head.weight.device, exact), token_P.to(head.weight.device)
    vocabulary, width = head.weight.shape
    most = _max_logits(hidden_PH)
    positions = max(MIN_POSITIONS, most // vocabulary)
    words = max(1, min(most // positions, MAX_WEIGHTS // width))
    total_P = torch.full((len(hidden_PH),), -torch.inf, dtype=exact, device=head.weight.device)
    found_P = torch.zeros_like(total_P)
    for start in range(0, vocabulary, words):
        weight_VH = head.weight[start : start + words].to(exact)
        bias_V = None if head.bias is None else head.bias[start : start + words].to(exact)
        for first in range(0, len(hidden_PH), positions):
            block = slice(first, first + positions)
            logits_PV = finish(torch.nn.functional.linear(hidden_PH[block], weight_VH, bias_V))
            place_P = token_P[block] - start
            inside_P = (place_P >= 0) & (place_P < len(weight_VH))
            picked_P = logits_PV.gather(1, place_P.clamp(0, len(weight_VH) - 1)[:, None]).squeeze(1)
            found_P[block] += torch.where(inside_P, picked_P, 0.0)
            total_P[block] = torch.logaddexp(total_P[block], _logsumexp_(logits_PV))
    return found_P - total_P


def _logsumexp_(logits_PV: torch.Tensor) -> torch.Tensor:
    """Log of the sum of exponentials of every row; overwrites the logits."""
    top_P1 = logits_PV.amax(dim=1, keepdim=True)
    return logits_PV.sub_(top_P1).exp_().sum(dim=1).log_().add_(top_P1.squeeze(1))


def take_log_prob(logits_PV: torch.Tensor, token_P: torch.Tensor) -> torch.Tensor:
    """Log-probability of one token for every row of logits."""
    logits = at_least_float32(logits_PV)
    return logits.gather(-1, token_P[:, None].to(logits.device)).squeeze(-1) - logits.logsumexp(-1)


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Reduced precision as float32; float64 stays."""
    import torch

    return values.to(torch.promote_types(values.dtype, torch.float32))


def _max_logits(hidden_PH: torch.Tensor) -> int:
    return MAX_LOGITS.get(hidden_PH.device.type, MAX_LOGITS["cpu"])


def vocabulary_size(model: Any) -> int:
    """How many logits a position has."""
    inner = unwrap(model)
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    size = getattr(head, "out_features", None) or getattr(text_config(model), "vocab_size", None)
    return int(size) if size else 2**17  # unknown architecture: as for a large vocabulary, so that memory stays bounded
