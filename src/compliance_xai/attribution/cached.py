"""Rows in chunks that start from the keys and values of their common beginning: any model whose cache can be sliced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from compliance_xai.attribution.anatomy import input_device, last_hidden, text_config
from compliance_xai.attribution.tree import Branch, split_chunks

if TYPE_CHECKING:
    import torch


def why_not_cached(model: Any) -> str:
    """Why a model's cache cannot be cut to the beginning of a row; empty if it can."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    try:
        layers = DynamicCache(config=text_config(model)).layers
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"transformers makes no cache for it ({type(error).__name__})"
    kinds = sorted({type(layer).__name__ for layer in layers if type(layer) is not DynamicLayer})
    return f"its cache holds {', '.join(kinds)}, which cannot be sliced" if kinds else ""


def run_cached(
    model: Any, branches: Sequence[Branch], n_targets: int, batch_tokens: int
) -> Iterator[tuple[list[Branch], torch.Tensor, int]]:
    """Hidden states at the last ``n_targets`` positions of every branch.

    Yields
    ------
    chunk, hidden, computed
        The branches of one forward pass; their hidden states, shape (branches, targets, hidden); positions computed,
        padding included.
    """
    import torch

    device = input_device(model)
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    for start, chunk in split_chunks(branches, batch_tokens):
        width = max(len(branch.ids) for branch in chunk) - start
        # Padding is never seen by the positions before it; any valid id will do.
        rows = [(*branch.ids[start:], *(0,) * (width - len(branch.ids) + start)) for branch in chunk]
        cache = _start_cache(kept, start, len(chunk))
        hidden_RSH = last_hidden(model, torch.tensor(rows, device=device), past_key_values=cache, use_cache=True)
        last_R = torch.tensor([len(branch.ids) - start for branch in chunk], device=hidden_RSH.device)
        at_RT = last_R[:, None] - n_targets + torch.arange(n_targets, device=hidden_RSH.device)
        yield chunk, hidden_RSH[torch.arange(len(chunk), device=at_RT.device)[:, None], at_RT], len(chunk) * width
        length = len(chunk[-1].ids)
        kept = [(layer.keys[-1:, :, :length], layer.values[-1:, :, :length]) for layer in cache.layers]


def _start_cache(kept: Sequence[tuple[torch.Tensor, torch.Tensor]], length: int, rows: int) -> Any:
    """A fresh cache that holds the first ``length`` positions for every row."""
    from transformers import DynamicCache

    cache = DynamicCache()
    if length:
        for layer, states in enumerate(kept):
            keys, values = (state[:, :, :length].expand(rows, -1, -1, -1) for state in states)
            cache.update(keys, values, layer)
    return cache
