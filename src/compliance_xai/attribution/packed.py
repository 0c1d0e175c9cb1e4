"""The own positions of many rows in one sequence without padding; each attends along its row's path in the tree.

The model's own modules do everything but attention, which transformers lets us replace: keys and values of all
positions lie in one table, and a row's path says which of them it sees. So adapters, 4-bit weights and models that are
split over devices work as they are. What a path passes on to the next pass is kept, layer by layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from compliance_xai.attribution.anatomy import at_least_float32, input_device, last_hidden, text_config
from compliance_xai.attribution.tree import Branch, split_passes

if TYPE_CHECKING:
    import torch

_NAME = "compliance_xai_tree"
States: TypeAlias = "dict[int, tuple[torch.Tensor, torch.Tensor]]"
"""Keys and values by layer, each of shape (positions, heads, width of a head)."""

Forward: TypeAlias = "Callable[[Any, Pass], torch.Tensor]"
"""Model and pass -> hidden states at the targets, shape (rows, targets, hidden)."""

_KNOWN_OPTIONS = {"dropout", "scaling", "sliding_window", "softcap", "is_causal", "position_ids", "use_cache"}
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}
_QUERIES = 128
"""Most queries of a row in one block."""
_HIDDEN = -1e6
"""Added to a key's score for each place that it lies out of a query's sight; float16 makes minus infinity of it."""
_PAIRS = 2**18
"""Most pairs of query and key in one block, over its rows."""
_COMMON = 96
"""Fewest places that all rows of a pass share for which these are read once, by all queries together."""


@dataclass(frozen=True)
class _Block:
    """Queries of neighbouring rows that go through attention together, padded to the longest.

    ``query_RS``, ``key_RL``: places in the tables of the pass; ``at_RS``: positions of the queries in their rows;
    ``flat_Q``: which of the padded queries are real.
    """

    query_RS: torch.Tensor
    key_RL: torch.Tensor
    at_RS: torch.Tensor
    flat_Q: torch.Tensor


@dataclass
class Pass:
    """One forward pass.

    Attributes
    ----------
    ids_P, positions_P
        The own positions of its rows, one row after the other.
    targets_RT
        Which of them predict the target.
    blocks, target_blocks
        Attention for all positions; for those alone that predict the target, in a table of their own.
    common
        How many places at the beginning of the table lie on the path of every row.
    """

    ids_P: torch.Tensor
    positions_P: torch.Tensor
    targets_RT: torch.Tensor
    blocks: list[_Block]
    target_blocks: list[_Block]
    common: int
    _kept: States
    _keep_L: torch.Tensor
    passed_on: States = field(default_factory=dict)
    _masks: dict[Any, torch.Tensor] = field(default_factory=dict)

    def attend(
        self,
        layer: int,
        query_QHD: torch.Tensor,
        key_PGD: torch.Tensor,
        value_PGD: torch.Tensor,
        *,
        blocks: list[_Block],
        window: int | None = None,
        cap: float | None = None,
        scaling: float | None = None,
    ) -> torch.Tensor:
        """What each query reads along its path, shape (queries, heads, width); keys and values for the next pass are
        put aside."""
        import torch

        if self._kept:
            key_PGD, value_PGD = (torch.cat(pair) for pair in zip(self._kept[layer], (key_PGD, value_PGD), strict=True))
        keep_L = self._keep_L.to(key_PGD.device)
        self.passed_on[layer] = (key_PGD[keep_L], value_PGD[keep_L])
        skip = self.common if window is None and cap is None and query_QHD.device.type == "cpu" else 0
        skip = skip if skip >= _COMMON else 0
        mixed_QHD = query_QHD.new_empty(*query_QHD.shape[:2], value_PGD.shape[2])
        size_QH = torch.empty(query_QHD.shape[:2], dtype=torch.float32, device=query_QHD.device) if skip else None
        for number, block in enumerate(blocks):
            query_Q, key_RL, flat_Q = (
                places.to(query_QHD.device) for places in (block.query_RS, block.key_RL[:, skip:], block.flat_Q)
            )
            query_RHSD = _gather(query_QHD, query_Q)
            key_RGLD, value_RGLD = (_gather(table, key_RL) for table in (key_PGD, value_PGD))
            mask = self._mask((blocks is self.blocks, number, window, skip), block, query_RHSD)
            place_Q = query_Q.flatten()[flat_Q]
            if size_QH is None:
                mixed_RHSD = _mix(query_RHSD, key_RGLD, value_RGLD, mask, cap, scaling)
            else:
                mixed_RHSD, size_RHS = _attend_part(query_RHSD, key_RGLD, value_RGLD, mask, scaling)
                size_QH[place_Q] = size_RHS.transpose(1, 2).flatten(0, 1)[flat_Q]
            mixed_QHD[place_Q] = mixed_RHSD.transpose(1, 2).flatten(0, 1)[flat_Q]
        if size_QH is not None:
            query_1HQD, key_1GLD, value_1GLD = (
                states.transpose(0, 1)[None] for states in (query_QHD, key_PGD[:skip], value_PGD[:skip])
            )
            head_1HQD, head_1HQ = _attend_part(query_1HQD, key_1GLD, value_1GLD, None, scaling)
            share_QH1 = (head_1HQ[0].T - size_QH).sigmoid_().to(mixed_QHD.dtype).unsqueeze(-1)
            mixed_QHD.lerp_(head_1HQD[0].transpose(0, 1), share_QH1)
        return mixed_QHD

    def _mask(self, name: tuple[bool, int, int | None, int], block: _Block, like: torch.Tensor) -> torch.Tensor:
        """Zero where a query looks, far below elsewhere, shape (rows, 1, queries, keys); layers of a kind share it.

        The keys before place ``name[3]`` of a row are left out; every query sees them.
        """
        import torch

        known = (*name, like.device, like.dtype)
        if known not in self._masks:
            # Distances grow by one a place, so a large multiple of how far a key lies outside hides it from softmax.
            # The exact float32 integers below 2^24 are turned to the model's dtype last.
            place_L = torch.arange(name[3], block.key_RL.shape[1], device=like.device, dtype=torch.float32)
            ahead_RSL = place_L - block.at_RS.to(like.device, torch.float32).unsqueeze(-1)
            outside_RSL = ahead_RSL.clamp(min=0)
            if name[2] is not None:
                outside_RSL += ahead_RSL.add_(name[2] - 1).neg_().clamp_(min=0)
            self._masks[known] = outside_RSL.mul_(_HIDDEN).to(like.dtype)[:, None]
        return self._masks[known]


def _gather(table_PHD: torch.Tensor, places_RS: torch.Tensor) -> torch.Tensor:
    """Rows of a table, shape (rows, heads, places, width); indexing by a matrix would not copy them whole."""
    return table_PHD.index_select(0, places_RS.flatten()).unflatten(0, places_RS.shape).transpose(1, 2)


def _mix(
    query_RHSD: torch.Tensor,
    key_RGLD: torch.Tensor,
    value_RGLD: torch.Tensor,
    mask: torch.Tensor,
    cap: float | None,
    scaling: float | None,
) -> torch.Tensor:
    import torch

    times = query_RHSD.shape[1] // key_RGLD.shape[1]
    if cap is None:
        return torch.nn.functional.scaled_dot_product_attention(
            query_RHSD, key_RGLD, value_RGLD, attn_mask=mask, scale=scaling, enable_gqa=times > 1
        )
    key_RHLD, value_RHLD = (states.repeat_interleave(times, dim=1) for states in (key_RGLD, value_RGLD))
    scale = query_RHSD.shape[-1] ** -0.5 if scaling is None else scaling
    scores = ((query_RHSD @ key_RHLD.transpose(2, 3)) * (scale / cap)).tanh() * cap + mask
    return scores.softmax(dim=-1, dtype=at_least_float32(mask).dtype).to(value_RHLD.dtype) @ value_RHLD


def _attend_part(
    query_RHSD: torch.Tensor,
    key_RGLD: torch.Tensor,
    value_RGLD: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What queries read from some of their keys, and the log of the sum of exponentials there, by which such parts are
    weighed against each other."""
    import torch

    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query_RHSD, key_RGLD, value_RGLD, 0.0, False, attn_mask=mask, scale=scaling
    )


_current: ContextVar[Pass] = ContextVar("_current")


def why_not_packed(model: Any) -> str:
    """Why attention cannot be replaced in a model; empty if it may be. Whether it was right is measured."""
    config = text_config(model)
    kinds = sorted(set(getattr(config, "layer_types", None) or ()) - _KNOWN_LAYERS)
    if kinds:
        return f"it has layers of the kind {', '.join(kinds)}"
    if getattr(config, "_attn_implementation", None) is None:
        return "its attention cannot be replaced"
    return ""


def run_trunk(model: Any, trunk: Branch, n_targets: int, forward: Forward | None = None) -> tuple[torch.Tensor, States]:
    """Hidden states of one branch at its targets, shape (1, targets, hidden), and the keys and values of all of it."""
    work = _plan([trunk], n_targets, {}, len(trunk.ids), input_device(model))
    return (forward or _forward)(model, work), work.passed_on


def run_packed(
    model: Any,
    branches: Sequence[Branch],
    n_targets: int,
    batch_tokens: int,
    forward: Forward | None = None,
    trunk: States | None = None,
) -> Iterator[tuple[list[Branch], torch.Tensor, int]]:
    """Hidden states at the last ``n_targets`` positions of every branch; see ``cached.run_cached``.

    ``forward`` computes one pass; with the model's own modules where None. What the first branch shares is taken from
    ``trunk``, which ``run_trunk`` gives.
    """
    start = branches[0].shared
    kept = {layer: (key[:start], value[:start]) for layer, (key, value) in (trunk or {}).items()}
    passes = list(split_passes(branches, batch_tokens))
    for number, batch in enumerate(passes):
        next_start = passes[number + 1][0].shared if number + 1 < len(passes) else 0
        work = _plan(batch, n_targets, kept, next_start, input_device(model))
        hidden_RTH = (forward or _forward)(model, work)
        kept = work.passed_on
        yield batch, hidden_RTH, len(work.ids_P)


def _forward(model: Any, work: Pass) -> torch.Tensor:
    with _replace_attention(model):
        token = _current.set(work)
        try:
            hidden_PH = last_hidden(model, work.ids_P[None], position_ids=work.positions_P[None])[0]
        finally:
            _current.reset(token)
    return hidden_PH[work.targets_RT.to(hidden_PH.device)]


@contextlib.contextmanager
def _replace_attention(model: Any) -> Iterator[None]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attend_along_paths)
    config = text_config(model)
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _plan(batch: Sequence[Branch], n_targets: int, kept: States, next_start: int, device: torch.device) -> Pass:
    import torch

    base = batch[0].shared
    ids: list[int] = []
    paths: list[np.ndarray] = []
    for branch in batch:
        own_L = np.arange(base + len(ids), base + len(ids) + branch.own)
        before_L = paths[-1][: branch.shared] if paths else np.arange(base)
        paths.append(np.concatenate([before_L, own_L]))
        ids += branch.ids[branch.shared :]
    positions = np.concatenate([np.arange(branch.shared, len(branch.ids)) for branch in batch])
    own = [
        _Queries(path_L, branch.shared, path_L[branch.shared] - base)
        for path_L, branch in zip(paths, batch, strict=True)
    ]
    ends = [_Queries(path_L, len(path_L) - n_targets, row * n_targets) for row, path_L in enumerate(paths)]
    return Pass(
        torch.tensor(ids, device=device),
        torch.from_numpy(positions).to(device),
        torch.from_numpy(np.stack([path_L[-n_targets:] for path_L in paths]) - base),
        list(_make_blocks(own)),
        list(_make_blocks(ends)),
        min(branch.shared for branch in batch),
        kept,
        torch.from_numpy(paths[-1][:next_start]),
    )


@dataclass(frozen=True)
class _Queries:
    """The queries of one row: its path, its first position with a query, and that query's place in their table."""

    path_L: np.ndarray
    start: int
    place: int

    @property
    def count(self) -> int:
        return len(self.path_L) - self.start


def _make_blocks(rows: Sequence[_Queries]) -> Iterator[_Block]:
    """Neighbouring rows in blocks; long rows go through several, each with the keys that its last query can see."""
    i = 0
    while i < len(rows):
        j, widest, longest = i, 0, 0
        while j < len(rows):
            wider, longer = max(widest, rows[j].count), max(longest, len(rows[j].path_L))
            if j > i and (j - i + 1) * min(wider, _QUERIES) * longer > _PAIRS:
                break
            j, widest, longest = j + 1, wider, longer
        for start in range(0, widest, _QUERIES):
            yield _make_block([row for row in rows[i:j] if row.count > start], start, start + _QUERIES)
        i = j


def _make_block(rows: Sequence[_Queries], start: int, stop: int) -> _Block:
    """The block of the queries ``start`` to ``stop`` of every row."""
    import torch

    counts_R = np.array([min(row.count, stop) - start for row in rows])
    seen = [row.path_L[: row.start + stop] for row in rows]
    key_RL = np.zeros((len(rows), max(map(len, seen))), np.int64)
    for place, keys_L in enumerate(seen):
        key_RL[place, : len(keys_L)] = keys_L
    offset_S = np.arange(start, start + counts_R.max())
    real_RS = offset_S - start < counts_R[:, None]
    query_RS = np.where(real_RS, np.array([row.place for row in rows])[:, None] + offset_S, rows[0].place)
    at_RS = np.array([row.start for row in rows])[:, None] + offset_S
    return _Block(*(torch.from_numpy(array) for array in (query_RS, key_RL, at_RS, np.flatnonzero(real_RS))))


def _attend_along_paths(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it, for tensors of shape (1, heads, positions, width of a head)."""
    unknown = {name for name, given in options.items() if given is not None} - _KNOWN_OPTIONS
    if attention_mask is not None or unknown:
        raise TypeError(f"attention with {', '.join(sorted(unknown)) or 'a mask of its own'}")
    work = _current.get()
    mixed_PHD = work.attend(
        module.layer_idx,
        *(states[0].transpose(0, 1) for states in (query, key, value)),
        blocks=work.blocks,
        window=options.get("sliding_window"),
        cap=options.get("softcap"),
        scaling=options.get("scaling"),
    )
    return mixed_PHD[None], None
