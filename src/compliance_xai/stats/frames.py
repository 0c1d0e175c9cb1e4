"""Shared ways of reading frames: seeds are averaged inside a clause, and the clause is the unit."""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.errors import InputError

ALL_SCALES = "all"

TRAINED = "trained"
"""Stands for every strategy but ``none``, averaged."""

CONTROL = "none"


def records_frame(records: Iterable[Any], kind: type, *, without: Collection[str] = ()) -> pd.DataFrame:
    """One row for each record of a dataclass, a column for each of its fields but some."""
    names = [field.name for field in dataclasses.fields(kind) if field.name not in without]
    return pd.DataFrame([[getattr(record, name) for name in names] for record in records], columns=names)


def groups(frame: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Groups in order of first appearance, with their keys by name; the whole frame where ``by`` is empty."""
    if not by:
        yield {}, frame
        return
    for keys, group in frame.groupby(list(by), sort=False, observed=True):
        yield dict(zip(by, keys, strict=True)), group


def beside(pairs: pd.DataFrame, first: str | None) -> pd.DataFrame:
    """The rows of ``pairs`` that one strategy is in, on either side, with ``other``: the strategy on the other side."""
    chosen = pairs[(pairs["strategy_a"] == first) | (pairs["strategy_b"] == first)]
    return chosen.assign(other=chosen["strategy_a"].where(chosen["strategy_b"] == first, chosen["strategy_b"]))


class RunTable:
    """The values of one measure: runs x clauses, with NaN where a run has none.

    ``ids`` are the clauses, sorted; a run is (strategy, scale, seed).
    """

    def __init__(self, frame: pd.DataFrame, measure: str, where: str) -> None:
        keys = ["strategy", "scale", "seed"]
        runs, names = pd.MultiIndex.from_frame(frame[keys]).factorize()
        clauses, ids = pd.factorize(frame["id"], sort=True)
        self.ids = [str(name) for name in ids]
        self.place = {(str(strategy), str(scale), int(seed)): row for row, (strategy, scale, seed) in enumerate(names)}
        flat = runs * len(self.ids) + clauses
        if len(np.unique(flat)) < len(flat):
            raise InputError(
                where,
                expected="one row for each clause, run and key of by",
                found="several",
                remedy="Name every key that the frame holds (method, baseline, sign, category) in by.",
            )
        self.values_RC = np.full((len(names), len(self.ids)), np.nan)
        self.values_RC.ravel()[flat] = frame[measure].to_numpy(dtype=float)

    def seeds(self, strategy: str, scale: str) -> list[int]:
        """Seeds of one cell."""
        return sorted(seed for name, size, seed in self.place if (name, size) == (strategy, scale))

    def take(self, runs: Sequence[tuple[str, str, int]]) -> np.ndarray:
        """Values of some runs, in this order: (runs, clauses)."""
        return self.values_RC[[self.place[run] for run in runs]]


def cluster_array(ids: Iterable[str], kept_C: np.ndarray, clusters: Mapping[str, str] | None) -> np.ndarray | None:
    """What each kept clause belongs to, in order; None where clauses were drawn one by one."""
    kept = itertools.compress(ids, kept_C)
    return None if clusters is None else np.array([clusters[str(name)] for name in kept])


def scale_order(frame: pd.DataFrame) -> list[tuple[str, int]]:
    """(scale, parameters), smallest first."""
    pairs = frame[["scale", "parameters"]].drop_duplicates()
    if pairs["scale"].duplicated().any():
        raise InputError(
            "parameters",
            expected="one number of parameters for each scale",
            found="several for one scale",
            remedy="Count the base model's parameters, not the trained ones.",
        )
    return [(str(s), int(p)) for s, p in sorted(pairs.itertuples(index=False), key=lambda pair: pair[1])]
