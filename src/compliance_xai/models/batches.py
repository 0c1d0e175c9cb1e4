"""Which pairs each optimiser step sees, how they are cut into forward passes, and the tensors of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.errors import InputError
from compliance_xai.models.prompts import Encoded, encode
from compliance_xai.records import Example

if TYPE_CHECKING:
    import torch

POOL = 50
"""Batches whose pairs are sorted by length together."""


def encode_examples(tokenizer: Any, examples: Sequence[Example], template: Any, limit: int | None) -> list[Encoded]:
    """Rows of token ids; nothing is truncated.

    Raises
    ------
    InputError
        If a clause and its rule are longer than the model's context.
    """
    rows = []
    for example in examples:
        row = encode(tokenizer, example.clause, example.rule, template)
        if limit and len(row.ids) > limit:
            expected = f"at most {limit} tokens, prompt and rule together (the model's context)"
            found = f"{len(row.ids)} tokens, {len(row.ids) - limit} too many"
            remedy = "Shorten or remove the clause, or choose a model with a longer context."
            raise InputError(f"clause {example.id!r}", expected=expected, found=found, remedy=remedy)
        rows.append(row)
    return rows


def plan_batches(lengths: Sequence[int], batch_size: int, steps: int, *, seed: int) -> list[list[int]]:
    """Indices of the rows of every step, known before the first one, so that training can continue at any step.

    Rows are shuffled, cut into pools of at most ``POOL`` batches, sorted by length inside a pool and cut into batches,
    whose order is shuffled: rows of one batch have about the same length, and little is padded. Every row comes once
    before any comes again. Every batch is full; if the number of rows is not a multiple, one batch holds the last rows
    of a round and the first of the next.
    """
    generator = np.random.default_rng(seed)
    pool = batch_size * min(POOL, max(1, len(lengths) // batch_size))
    waiting: list[int] = []
    batches: list[list[int]] = []
    while len(batches) < steps:
        while len(waiting) < pool:
            waiting += generator.permutation(len(lengths)).tolist()
        rows, waiting = sorted(waiting[:pool], key=lambda row: lengths[row]), waiting[pool:]
        cut = [rows[start : start + batch_size] for start in range(0, pool, batch_size)]
        batches += [cut[index] for index in generator.permutation(len(cut))]
    return batches[:steps]


def cut_batch(
    batch: Sequence[int], lengths: Sequence[int], micro_batch: int, *, process: int = 0, processes: int = 1
) -> list[list[int]]:
    """One process's share of a batch in passes of at most ``micro_batch`` rows, longest first.

    Rows are dealt by length, so that every process has as many passes and about as many tokens as the others.
    """
    share = sorted(batch, key=lambda row: (-lengths[row], row))[process::processes]
    return [share[start : start + micro_batch] for start in range(0, len(share), micro_batch)]


def make_tensors(rows: Sequence[Encoded], device: Any = None, multiple: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, padded on the right to a multiple, and which are the rule's; both of shape (rows, padded length).

    No position sees what is to its right, so padding needs no mask and may be any token.
    """
    import torch

    longest = -(-max(len(row.ids) for row in rows) // multiple) * multiple
    ids_BT = torch.zeros((len(rows), longest), dtype=torch.long)
    target_BT = torch.zeros((len(rows), longest), dtype=torch.bool)
    for index, row in enumerate(rows):
        ids_BT[index, : len(row.ids)] = torch.tensor(row.ids)
        target_BT[index, row.target_start : len(row.ids)] = True
    return ids_BT.to(device), target_BT.to(device)


def rule_losses(
    model: Any, ids_BT: torch.Tensor, target_BT: torch.Tensor, multiple: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy (nats, float32) at the rules' tokens, and those tokens, row after row.

    Only positions from the first rule token on are projected onto the vocabulary, and no others enter the softmax.
    """
    import torch

    chosen_BT = target_BT[:, 1:]
    first = int(chosen_BT.any(0).nonzero()[0]) // multiple * multiple
    logits = model(input_ids=ids_BT, logits_to_keep=ids_BT.shape[1] - first, use_cache=False).logits
    logits_NV = logits[:, :-1][chosen_BT[:, first:]].float()
    labels_N = ids_BT[:, 1:][chosen_BT]
    return torch.nn.functional.cross_entropy(logits_NV, labels_N, reduction="none"), labels_N
