"""Two ways to compute the rows of a tree: ``cached`` computes what rows share once, ``uncached`` every row in full.

``cached`` needs a model whose cache of keys and values can be cut to the beginning of a row. Whether it gives a model's
own result is measured against ``uncached``, on a sample of the rows at hand and again whenever rows get longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from compliance_xai.attribution.head import has_plain_head, make_log_prob, take_log_prob, vocabulary_size
from compliance_xai.attribution.model_parts import input_device, last_hidden, measured, text_config, tolerance, unwrap
from compliance_xai.attribution.row_tree import Branch, grow_tree, split_chunks

if TYPE_CHECKING:
    import torch

_MAX_FULL_LOGITS = 2**25
"""Most float32 logits held at once where a model gives no hidden states (128 MiB); a single row may need more."""

_SLICEABLE = ("DynamicLayer", "DynamicSlidingWindowLayer")
"""Layers whose keys and values can all be kept; a window is then cut out by the model's own mask."""


def choose_path(model: Any, prompts: Sequence[tuple[int, ...]], target: Sequence[int]) -> tuple[str, str]:
    """The faster path that this model can take for these rows, ``cached`` or ``uncached``, and why not the faster."""
    if len(set(prompts)) < 2:
        return "uncached", "one row has nothing to share"
    reason = _why_not_cached(model, prompts, target)
    return ("uncached", f"not cached: {reason}") if reason else ("cached", "")


def score_tree(
    model: Any, branches: Sequence[Branch], target: Sequence[int], path: str, batch_tokens: int
) -> Iterator[tuple[list[Branch], torch.Tensor, int]]:
    """Log-probabilities of the target after every branch.

    A cached chunk starts from the keys and values of the beginning that its rows share, as the last row of the chunk
    before left them. Rows are padded on the right: the positions that are read never see it, and any valid id will do.

    Yields
    ------
    batch, log-probabilities, computed
        The branches of one forward pass, a tensor (branches, targets) in nats, and the positions computed for it,
        padding included.
    """
    import torch

    device, cached = input_device(model), path == "cached"
    plain = cached or has_plain_head(model, torch.tensor([branches[0].ids], device=device))
    log_prob, target_T = make_log_prob(model) if plain else take_log_prob, torch.tensor(target)
    if cached:
        # One more call of the model costs, in positions, a dozen for reading the weights once more, and as many as a
        # small model computes in the milliseconds that a call takes besides (docs/LOG.md). A GPU is busy with fewer,
        # larger calls.
        call = 12 + 8e7 / unwrap(model).num_parameters() if device.type == "cpu" else 2000.0
        chunks = split_chunks(branches, batch_tokens, call)
    else:
        most = batch_tokens if plain else min(batch_tokens, max(1, _MAX_FULL_LOGITS // vocabulary_size(model)))
        chunks = ((0, batch) for batch in _split_whole(branches, most))
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    for start, chunk in chunks:
        width = max(len(branch.ids) for branch in chunk) - start
        rows = [(*branch.ids[start:], *(0,) * (width - len(branch.ids) + start)) for branch in chunk]
        ids_RS, cache = torch.tensor(rows, device=device), _start_cache(kept, start, len(chunk)) if cached else None
        if plain:
            states_RSX = last_hidden(model, ids_RS, **({"past_key_values": cache, "use_cache": True} if cached else {}))
        else:
            states_RSX = model(input_ids=ids_RS, use_cache=False).logits
        last_R = torch.tensor([len(branch.ids) - start for branch in chunk], device=states_RSX.device)
        at_RT = last_R[:, None] - len(target) + torch.arange(len(target), device=last_R.device)
        states_RTX = states_RSX[torch.arange(len(chunk), device=last_R.device)[:, None], at_RT]
        token_P = target_T.repeat(len(chunk)).to(states_RTX.device)
        yield chunk, log_prob(states_RTX.flatten(0, 1), token_P).view(len(chunk), len(target)), len(chunk) * width
        if cache is not None:
            length = len(chunk[-1].ids)
            kept = [(layer.keys[-1:, :, :length], layer.values[-1:, :, :length]) for layer in cache.layers]


def _split_whole(branches: Sequence[Branch], most: int) -> Iterator[list[Branch]]:
    """Batches of whole rows, longest first, of at most ``most`` positions each; one row may have more."""
    waiting = sorted(branches, key=lambda branch: -len(branch.ids))
    while waiting:
        size = max(1, most // len(waiting[0].ids))
        yield waiting[:size]
        waiting = waiting[size:]


def _start_cache(kept: Sequence[tuple[torch.Tensor, torch.Tensor]], length: int, rows: int) -> Any:
    """A cache that holds the first ``length`` positions for every row."""
    from transformers import DynamicCache

    cache = DynamicCache()
    if length:
        for layer, states in enumerate(kept):
            keys, values = (state[:, :, :length].expand(rows, -1, -1, -1) for state in states)
            cache.update(keys, values, layer)
    return cache


# --- choosing -----------------------------------------------------------------------------------------------------


def _why_not_cached(model: Any, prompts: Sequence[tuple[int, ...]], target: Sequence[int]) -> str:
    """Why a model cannot take the cached path; empty if it can."""
    import torch

    if not has_plain_head(model, torch.tensor([prompts[0] + tuple(target)], device=input_device(model))):
        return "its logits are not its head applied to the last hidden state"
    reason = why_not_sliceable(model)
    if reason:
        return reason
    longest, known = max(map(len, prompts)), measured(model)
    measured_to, wrong = known.get("cached", (0, ""))
    if not wrong and measured_to < longest:
        wrong = _measure(model, prompts, target)
        known["cached"] = (longest, wrong)
    return wrong


def why_not_sliceable(model: Any) -> str:
    """Why a model's cache cannot be cut to the beginning of a row; empty if it can."""
    from transformers import DynamicCache

    try:
        layers = DynamicCache(config=text_config(model)).layers
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"transformers makes no cache for it ({type(error).__name__})"
    kinds = sorted({type(layer).__name__ for layer in layers} - {*_SLICEABLE})
    return f"its cache holds {', '.join(kinds)}, which cannot be sliced" if kinds else ""


def _measure(model: Any, prompts: Sequence[tuple[int, ...]], target: Sequence[int]) -> str:
    """What is wrong with the cached path on the longest, the shortest and the last row; empty if nothing is."""
    by_length = sorted(set(prompts), key=len)
    sample = list(dict.fromkeys([by_length[-1], by_length[0], prompts[-1]]))
    branches = grow_tree(sample, target)
    exact = _collect(model, branches, target, "uncached")
    try:
        found = _collect(model, branches, target, "cached")
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        return f"it fails there with {type(error).__name__} ({error})"
    off, allowed = (found - exact).abs(), tolerance(model)
    if bool(off.max() <= allowed) and bool(off.mean() <= allowed / 5):
        return ""
    return f"it differs by {float(off.max()):.3g} nats there"


def _collect(model: Any, branches: list[Branch], target: Sequence[int], path: str) -> torch.Tensor:
    """Log-probabilities of the branches, one by one, in the order of their index."""
    import torch

    parts = list(score_tree(model, branches, target, path, 1))
    at = torch.tensor([branch.index for batch, _, _ in parts for branch in batch])
    return torch.cat([log_probs.cpu() for _, log_probs, _ in parts])[at.argsort()]
