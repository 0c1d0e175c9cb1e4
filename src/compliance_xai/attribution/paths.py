"""The ways to score a tree of rows, and which of them a model gets: the fastest that is seen to give its result.

``lean``, ``packed`` and ``cached`` compute the beginning that rows share once; ``uncached`` computes every row in full
and is what the others are measured against, on a sample of the rows at hand and again whenever rows get longer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from compliance_xai.attribution.anatomy import (
    has_plain_head,
    input_device,
    last_hidden,
    make_log_prob,
    measured,
    take_log_prob,
    tolerance,
    vocabulary_size,
)
from compliance_xai.attribution.cached import run_cached, why_not_cached
from compliance_xai.attribution.lean import run_lean, why_not_lean
from compliance_xai.attribution.packed import Forward, run_packed, run_trunk, why_not_packed
from compliance_xai.attribution.tree import Branch, grow_tree, split_chains
from compliance_xai.attribution.workers import count_workers, run_workers
from compliance_xai.errors import InputError, require_choice

if TYPE_CHECKING:
    import torch

PATHS = ("lean", "packed", "cached", "uncached")

_MAX_FULL_LOGITS = 2**25
"""Most float32 logits held at once where a model gives no hidden states (128 MiB); a single row may need more."""

_FORWARDS: dict[str, Forward | None] = {"lean": run_lean, "packed": None}
"""Paths that can go on from any row, and how they compute a pass."""

_LONG_BEGINNING = 256
"""Positions that all rows share from which a pass of its own for them pays: all queries then read them together."""


def choose_path(model: Any, prompts: Sequence[tuple[int, ...]], target: Sequence[int], asked: str) -> tuple[str, str]:
    """The path for these rows, and why not a faster one.

    Raises
    ------
    InputError
        If ``asked`` is no path, or one that this model cannot take.
    """
    require_choice("path", asked, ("auto", *PATHS), remedy="'auto' suits every model.")
    if asked == "uncached":
        return asked, "asked for"
    if asked == "auto" and len(set(prompts)) < 2:
        return "uncached", "one row has nothing to share"
    reasons = []
    for path in PATHS[:-1] if asked == "auto" else (asked,):
        reason = _why_not(model, path, prompts, target)
        if not reason:
            return path, "; ".join(reasons)
        reasons.append(f"not {path}: {reason}")
    if asked != "auto":
        raise InputError("path", expected="a path that this model can take", found=reasons[0], remedy="Ask for 'auto'.")
    return "uncached", "; ".join(reasons)


def score_tree(
    model: Any, branches: Sequence[Branch], target: Sequence[int], path: str, batch_tokens: int
) -> Iterator[tuple[list[Branch], torch.Tensor, int]]:
    """Log-probabilities of the target after every branch.

    Yields
    ------
    batch, log-probabilities, computed
        The branches of one forward pass, a tensor (branches, targets) in nats, and the positions computed for it.
    """
    import torch

    if path == "uncached" and not has_plain_head(model, torch.tensor([branches[0].ids], device=input_device(model))):
        yield from _score_full_logits(model, branches, target, batch_tokens)
        return
    log_prob, target_T = make_log_prob(model), torch.tensor(target)

    def score(hidden_RTH: torch.Tensor) -> torch.Tensor:
        token_P = target_T.repeat(len(hidden_RTH)).to(hidden_RTH.device)
        return log_prob(hidden_RTH.flatten(0, 1), token_P).view(len(hidden_RTH), len(target))

    if path in _FORWARDS:
        workers = count_workers(model, branches) if path == "lean" else 1
        if workers > 1 or min((branch.shared for branch in branches[1:]), default=0) >= _LONG_BEGINNING:
            yield from _score_from_trunk(model, branches, len(target), batch_tokens, path, workers, score)
            return
    run = {
        "lean": functools.partial(run_packed, forward=_FORWARDS["lean"]),
        "packed": run_packed,
        "cached": run_cached,
        "uncached": _run_uncached,
    }[path]
    for batch, hidden_RTH, computed in run(model, branches, len(target), batch_tokens):
        yield batch, score(hidden_RTH), computed


def _score_from_trunk(
    model: Any,
    branches: Sequence[Branch],
    n_targets: int,
    batch_tokens: int,
    path: str,
    workers: int,
    score: Callable[[torch.Tensor], torch.Tensor],
) -> Iterator[tuple[list[Branch], torch.Tensor, int]]:
    """The first branch by itself; then the others, which all begin like it, shared out among workers."""
    forward = _FORWARDS[path]
    hidden_1TH, trunk = run_trunk(model, branches[0], n_targets, forward)
    yield [branches[0]], score(hidden_1TH), len(branches[0].ids)
    at_once = max(1, batch_tokens // workers)

    def score_chain(chain: list[Branch]) -> Iterator[tuple[list[Branch], torch.Tensor, int]]:
        for batch, hidden_RTH, computed in run_packed(model, chain, n_targets, at_once, forward, trunk):
            yield batch, score(hidden_RTH), computed

    chains = split_chains(branches, workers, n_targets)
    yield from run_workers(score_chain, chains) if workers > 1 else score_chain(chains[0])


# --- choosing -----------------------------------------------------------------------------------------------------


def _why_not(model: Any, path: str, prompts: Sequence[tuple[int, ...]], target: Sequence[int]) -> str:
    """What keeps a model from a path; empty if nothing does."""
    import torch

    wants: dict[str, list[Callable[[Any], str]]] = {
        "lean": [why_not_packed, why_not_lean], "packed": [why_not_packed], "cached": [why_not_cached]
    }  # fmt: skip
    if not has_plain_head(model, torch.tensor([prompts[0] + tuple(target)], device=input_device(model))):
        return "its logits are not its head applied to the last hidden state"
    reason = next((reason for ask in wants[path] if (reason := ask(model))), "")
    if reason:
        return reason
    longest = max(map(len, prompts))
    known = measured(model)
    measured_to, wrong = known.get(path, (0, ""))
    if not wrong and measured_to < longest:
        wrong = _measure(model, path, prompts, target)
        known[path] = (longest, wrong)
    return wrong


def _measure(model: Any, path: str, prompts: Sequence[tuple[int, ...]], target: Sequence[int]) -> str:
    """Compare a path with the uncached one on the longest, the shortest and the last row."""
    by_length = sorted(set(prompts), key=len)
    sample = list(dict.fromkeys([by_length[-1], by_length[0], prompts[-1]]))
    branches = grow_tree(sample, target)
    exact = _collect(model, branches, target, "uncached", 1)
    try:
        # The first two rows in one pass, the last in another that starts from what the first leaves.
        found = _collect(model, branches, target, path, sum(branch.own for branch in branches[:2]))
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        return f"it fails there with {type(error).__name__} ({error})"
    off, allowed = (found - exact).abs(), tolerance(model)
    if bool(off.max() <= allowed) and bool(off.mean() <= allowed / 5):
        return ""
    return f"it differs by {float(off.max()):.3g} nats there"


def _collect(model: Any, branches: list[Branch], target: Sequence[int], path: str, batch_tokens: int) -> torch.Tensor:
    import torch

    parts = list(score_tree(model, branches, target, path, batch_tokens))
    at = torch.tensor([branch.index for batch, _, _ in parts for branch in batch])
    return torch.cat([log_probs.cpu() for _, log_probs, _ in parts])[at.argsort()]


# --- without reuse ------------------------------------------------------------------------------------------------


def _run_uncached(
    model: Any, branches: Sequence[Branch], n_targets: int, batch_tokens: int
) -> Iterator[tuple[list[Branch], torch.Tensor, int]]:
    """Whole rows, padded on the right: causal attention needs no mask and positions stay the defaults."""
    import torch

    for batch, ids_RL, at_RT in _pad(model, branches, n_targets, batch_tokens):
        hidden_RLH = last_hidden(model, ids_RL)
        at_RT = at_RT.to(hidden_RLH.device)
        yield batch, hidden_RLH[torch.arange(len(batch), device=at_RT.device)[:, None], at_RT], ids_RL.numel()


def _pad(
    model: Any, branches: Sequence[Branch], n_targets: int, batch_tokens: int
) -> Iterator[tuple[list[Branch], torch.Tensor, torch.Tensor]]:
    """Batches of rows, longest first, with the positions that predict the target."""
    import torch

    device, waiting = input_device(model), sorted(branches, key=lambda branch: -len(branch.ids))
    while waiting:
        width = len(waiting[0].ids)
        batch, waiting = waiting[: max(1, batch_tokens // width)], waiting[max(1, batch_tokens // width) :]
        # Padding is never seen by the positions before it; any valid id will do.
        ids_RL = torch.tensor([branch.ids + (0,) * (width - len(branch.ids)) for branch in batch], device=device)
        first_R = torch.tensor([len(branch.ids) - n_targets for branch in batch], device=device)
        yield batch, ids_RL, first_R[:, None] + torch.arange(n_targets, device=device)


def _score_full_logits(
    model: Any, branches: Sequence[Branch], target: Sequence[int], batch_tokens: int
) -> Iterator[tuple[list[Branch], torch.Tensor, int]]:
    import torch

    most = min(batch_tokens, max(1, _MAX_FULL_LOGITS // vocabulary_size(model)))
    for batch, ids_RL, at_RT in _pad(model, branches, len(target), most):
        logits_RLV = model(input_ids=ids_RL, use_cache=False).logits
        target_T = torch.tensor(target, device=logits_RLV.device)
        rows = [
            take_log_prob(logits_LV[at_T], target_T)
            for logits_LV, at_T in zip(logits_RLV, at_RT.to(logits_RLV.device), strict=True)
        ]
        yield batch, torch.stack(rows), ids_RL.numel()
