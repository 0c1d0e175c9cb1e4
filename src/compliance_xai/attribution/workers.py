"""Several threads that each compute a part of the rows with one core, where that beats one pass on all cores.

Cores that share the products of a small model wait for each other after each; with parts of the rows they need not. The
smallest models were measured to gain nothing (docs/LOG.md).
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from compliance_xai.attribution.anatomy import input_device, unwrap

if TYPE_CHECKING:
    from compliance_xai.attribution.tree import Branch

T = TypeVar("T")
R = TypeVar("R")

SIZES = (2**21, 2**25)
"""Fewest and most parameters of a model whose rows are shared out; products of larger ones keep all cores busy."""
FEWEST = 512
"""Fewest positions of a worker that are worth one."""


def count_workers(model: Any, branches: Sequence[Branch]) -> int:
    """Among how many workers the rows after the first are shared out; 1 where one pass on all cores is better."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1 or len(branches) < 3 or input_device(model).type != "cpu":
        return 1
    inner = unwrap(model)
    if not SIZES[0] <= inner.num_parameters() <= SIZES[1] or any(
        hasattr(module, "_hf_hook") for module in inner.modules()
    ):
        return 1  # hooks that fetch offloaded weights are not made for several threads
    own = sum(branch.own for branch in branches[1:])
    return max(1, min(threads, own // FEWEST, len(branches) - 1))


def run_workers(work: Callable[[T], Iterable[R]], parts: Sequence[T]) -> Iterator[R]:
    """What ``work`` yields for every part, as it comes, from a thread for each part.

    torch gets one thread inside each while they run, and all of its threads back afterwards. An error in one of them is
    raised here, after the others have ended.
    """
    import torch

    found: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def run(part: T) -> None:
        try:
            with torch.inference_mode():
                for result in work(part):
                    found.put((True, result))
        finally:
            found.put((False, None))

    with _one_thread_each(), ThreadPoolExecutor(len(parts)) as pool:
        futures = [pool.submit(run, part) for part in parts]
        running = len(parts)
        while running:
            more, result = found.get()
            if more:
                yield result
            else:
                running -= 1
        for future in futures:
            future.result()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that start now take this over
    try:
        yield
    finally:
        torch.set_num_threads(before)
