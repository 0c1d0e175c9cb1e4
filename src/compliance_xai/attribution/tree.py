"""Rows of token ids as a tree: rows that begin alike share the positions of their common beginning.

The least that any engine can compute is one position for each node of the tree. For leave-one-out that is the untouched
row, and every other row from its first changed token to its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Branch:
    """One row in the tree.

    Attributes
    ----------
    index
        The row's place in the list that the tree was made from.
    ids
        All its token ids.
    shared
        How many of its first ids are those of the branch before; the rest is its own.
    """

    index: int
    ids: tuple[int, ...]
    shared: int

    @property
    def own(self) -> int:
        """How many positions have to be computed for it."""
        return len(self.ids) - self.shared


def grow_tree(prompts: Sequence[tuple[int, ...]], target: Sequence[int]) -> list[Branch]:
    """The rows ``prompt + target`` in an order in which each shares as much as possible with the one before.

    The first row comes first, then rows that leave it late, and those that leave it early last, so that what a row
    shares with the tree so far lies on the path of the branch before it. The last target token is no input. The
    position that predicts the first target token is a branch's own, even where another row goes through it.

    Examples
    --------
    >>> [(b.index, b.ids, b.shared) for b in grow_tree([(1, 2, 3), (9, 3), (1, 2, 4)], (7, 0))]
    [(0, (1, 2, 3, 7), 0), (2, (1, 2, 4, 7), 2), (1, (9, 3, 7), 0)]
    """
    rows = [(*prompt, *target[:-1]) for prompt in prompts]
    if not rows:
        return []
    order = sorted(range(len(rows)), key=lambda index: (-count_shared(rows[index], rows[0]), rows[index], index))
    # Equal rows, or one that the first row begins with, must not stand before it.
    order.remove(0)
    branches = [Branch(0, rows[0], 0)]
    for index in order:
        shared = min(count_shared(rows[index], branches[-1].ids), len(prompts[index]) - 1)
        branches.append(Branch(index, rows[index], shared))
    return branches


def count_shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def split_chains(branches: Sequence[Branch], count: int, n_targets: int) -> list[list[Branch]]:
    """The branches after the first in ``count`` chains of about equally many positions, each with nothing to wait for.

    A chain's first branch shares with the first of all branches only; what it shared with the one before is its own.

    Examples
    --------
    >>> chains = split_chains(grow_tree([(1, 2, 3), (1, 2, 4), (1, 5, 3), (1, 5, 4)], (7, 0)), 2, 2)
    >>> [[(branch.index, branch.shared) for branch in chain] for chain in chains]
    [[(1, 2)], [(2, 1), (3, 2)]]
    """
    trunk, rest = branches[0], branches[1:]
    total, done = sum(branch.own for branch in rest), 0
    chains: list[list[Branch]] = [[] for _ in range(count)]
    for branch in rest:
        chain = chains[min(count - 1, (2 * done + branch.own) * count // (2 * total))]
        done += branch.own
        if not chain:
            shared = min(count_shared(branch.ids, trunk.ids), len(branch.ids) - n_targets)
            branch = Branch(branch.index, branch.ids, min(branch.shared, shared))
        chain.append(branch)
    return [chain for chain in chains if chain]


def split_passes(branches: Sequence[Branch], most: int) -> Iterator[list[Branch]]:
    """Neighbouring branches with at most ``most`` positions of their own together; a branch always fits alone."""
    batch: list[Branch] = []
    used = 0
    for branch in branches:
        if batch and used + branch.own > most:
            yield batch
            batch, used = [], 0
        batch.append(branch)
        used += branch.own
    if batch:
        yield batch


def split_chunks(branches: Sequence[Branch], most: int, call: int = 48) -> Iterator[tuple[int, list[Branch]]]:
    """Neighbouring branches that start together at the shortest beginning which all of them share, cheapest first.

    Parameters
    ----------
    most
        Positions of a chunk, padding included; a branch always fits alone.
    call
        What one more forward pass costs, as a number of positions.

    Yields
    ------
    start, chunk
        Where the chunk's rows start: its first branches share as much with the branch before the chunk.
    """
    best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # cost so far, first branch of the last chunk, its start
    for end in range(1, len(branches) + 1):
        longest, start, found = 0, branches[end - 1].shared, (float("inf"), end - 1, 0)
        for first in range(end - 1, -1, -1):
            start = min(start, branches[first].shared)
            longest = max(longest, len(branches[first].ids))
            size = (end - first) * (longest - start)
            if size > most and first < end - 1:
                break
            found = min(found, (best[first][0] + size + call, first, start))
        best.append(found)
    chunks, end = [], len(branches)
    while end:
        _, first, start = best[end]
        chunks.append((start, list(branches[first:end])))
        end = first
    yield from reversed(chunks)
