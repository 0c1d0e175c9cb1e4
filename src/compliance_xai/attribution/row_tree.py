"""Rows of token ids as a tree: rows that begin alike share the positions of their common beginning.

The least that any engine can compute is one position for each node of the tree. For leave-one-out, that is the
untouched row, and every other row from its first changed token to its end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Branch:
    """One row of the tree."""

    index: int
    """The row's place in the list that the tree was made from."""
    ids: tuple[int, ...]
    """All its token ids."""
    shared: int
    """How many of its first ids are those of the branch before; the rest are its own."""

    @property
    def own(self) -> int:
        """How many positions have to be computed for it."""
        return len(self.ids) - self.shared


def grow_tree(prompts: Sequence[tuple[int, ...]], target: Sequence[int]) -> list[Branch]:
    """The rows ``prompt + target`` in an order in which each shares as much as possible with the one before.

    The first row comes first, then rows that leave it late, and those that leave it early last, so that what a row
    shares with the rows so far is part of the branch before it. The last target token is no input. The position that
    predicts the first target token is always a branch's own, even where another row has the same one.

    >>> [(b.index, b.ids, b.shared) for b in grow_tree([(1, 2, 3), (9, 3), (1, 2, 4)], (7, 0))]
    [(0, (1, 2, 3, 7), 0), (2, (1, 2, 4, 7), 2), (1, (9, 3, 7), 0)]
    """
    rows = [(*prompt, *target[:-1]) for prompt in prompts]
    if not rows:
        return []
    order = sorted(range(len(rows)), key=lambda index: (-count_shared(rows[index], rows[0]), rows[index], index))
    # Rows equal to the first row, or to a beginning of it, must not come before it.
    order.remove(0)
    branches = [Branch(0, rows[0], 0)]
    for index in order:
        shared = min(count_shared(rows[index], branches[-1].ids), len(prompts[index]) - 1)
        branches.append(Branch(index, rows[index], shared))
    return branches


def count_shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def split_chunks(branches: Sequence[Branch], most: int, call: float) -> Iterator[tuple[int, list[Branch]]]:
    """Neighbouring branches that are computed together, from the shortest beginning that they all share.

    Few large chunks compute more positions than necessary, many small ones cost more calls of the model; dynamic
    programming finds the cheapest division.

    ``most``: positions of a chunk, padding included; a chunk of one branch may have more. ``call``: what one more call
    of the model costs, in positions.

    Yields
    ------
    start, chunk
        The position at which the chunk's rows start. Everything before it is the same as in the branch before the
        chunk.
    """
    best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # cost so far; first branch of the last chunk, and its start
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
