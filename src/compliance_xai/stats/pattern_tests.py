"""Do strategies read differently, and how much of that is the strategy? Tests on whole patterns (``cross_seed``)."""

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats import cross_seed
from compliance_xai.stats.contrasts import NO_SIZE, Choices, describe, size_choices
from compliance_xai.stats.cross_seed import Pair
from compliance_xai.stats.frames import CONTROL, cluster_array, groups

_SHARES = ("share", "share_low", "share_high", "error", "dof", "p_runs", "p_runs_smallest")
_RATIOS = ("ratio", "ratio_low", "ratio_high")
_SPREADS = ("spread", "spread_low", "spread_high", "spread_p_runs", "spread_p_runs_smallest")
COLUMNS = ("n_clauses", "n_dropped", "n_scales", "n_seeds", "within_a", "within_b", "between")
FEW_SEEDS = "fewer than three seeds that both strategies have: no interval for other trainings"
RUN = ("strategy", "seed")


class Patterns:
    """Squared distances between all patterns of each clause, size by size.

    A pattern is named by the values of ``apart``: strategy, seed and whatever else tells it apart. ``ids`` are the
    clauses, in order; ``distances[scale]`` has the shape (1, R, R, C), with R patterns in the order of ``runs[scale]``.
    """

    def __init__(self, masses: pd.DataFrame, outcome: str, apart: Sequence[str] = RUN) -> None:
        clauses, ids = pd.factorize(masses["id"], sort=True)
        self.ids = [str(name) for name in ids]
        width = int(masses["feature"].max()) + 1 if len(masses) else 0
        self.runs: dict[str, list[tuple[Any, ...]]] = {}
        self.distances: dict[str, np.ndarray] = {}
        for keys, group in groups(masses.assign(clause=clauses), ["scale"]):
            codes, runs = pd.MultiIndex.from_frame(group[list(apart)]).factorize()
            shares = np.full((1, len(runs), len(self.ids), width), np.nan)
            shares[0, codes, group["clause"], group["feature"]] = group["share"]
            self.runs[keys["scale"]] = list(runs)
            self.distances[keys["scale"]] = cross_seed.squared_distances(shares, outcome)

    def seeds(self, scale: str, *strategies: str) -> list[int]:
        """Seeds that all of these strategies have at a size."""
        own = [{run[1] for run in self.runs[scale] if run[0] == name} for name in strategies]
        return sorted(set.intersection(*own))

    def scales_of(self, *strategies: str) -> list[str]:
        """Sizes at which all of these strategies have a run."""
        return [scale for scale, runs in self.runs.items() if set(strategies) <= {run[0] for run in runs}]

    def block(self, scale: str, runs: Sequence[tuple[Any, ...]]) -> np.ndarray:
        """Distances between some patterns: (1, R, R, C)."""
        places = [self.runs[scale].index(run) for run in runs]
        return self.distances[scale][:, places][:, :, places]

    def pair(self, scale: str, a: str, b: str, seeds: Sequence[int], *view: str) -> np.ndarray:
        """Distances of the runs of two strategies with these seeds, as ``cross_seed.Pair`` has them."""
        return self.block(scale, [(name, seed, *view) for name in (a, b) for seed in seeds])


Blocks = list[np.ndarray]
"""For each size, distances between runs or means of them; the last axis is the clauses."""


def _prepare(
    patterns: Patterns,
    scales: Sequence[str],
    names: Sequence[str],
    take: Sequence[Callable[[str, list[int]], np.ndarray]],
    clusters: Mapping[str, str] | None,
    few: str,
) -> tuple[dict[str, Any], list[Blocks], np.ndarray | None]:
    """What a comparison of these strategies is made of, on the clauses with a pattern in all of it.

    ``take``: what to take at a size, from the seeds that all strategies have there. ``few``: the reason to give where
    there are fewer than two such seeds.

    Returns
    -------
    record, parts, clusters
        Counts and the ``reason`` why nothing can be compared, else empty; what was taken; what clauses belong to.
    """
    seeds = {scale: patterns.seeds(scale, *names) for scale in scales}
    least = min(map(len, seeds.values()), default=0)
    record: dict[str, Any] = {"n_scales": len(scales), "n_seeds": least, "reason": "" if least > 1 else few}
    if least < 2:
        return record, [], None
    parts = [[one(scale, own) for scale, own in seeds.items()] for one in take]
    every = itertools.chain(*parts)
    kept = np.all([np.isfinite(block).all(axis=tuple(range(block.ndim - 1))) for block in every], axis=0)
    record |= {"n_clauses": int(kept.sum()), "n_dropped": int((~kept).sum())}
    if kept.sum() < 2:
        return record | {"reason": "fewer than two clauses with mass in every run"}, [], None
    return record, [[block[..., kept] for block in part] for part in parts], cluster_array(patterns.ids, kept, clusters)


def compare_patterns(
    masses: pd.DataFrame,
    *,
    outcome: str = "jensen_shannon",
    by: Sequence[str] = VIEW,
    clusters: Mapping[str, str] | None = None,
    left_out: Collection[tuple[str, str]] = (),
    permutations: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """How far apart the patterns of every two strategies are, against the distance between two seeds of one.

    Only runs with different seeds are compared. The two runs of one seed share the order of their data, and would make
    strategies look more alike than they are.

    Parameters
    ----------
    masses
        ``by``..., ``scale, strategy, seed, id, feature, share``; ``focus.share_frame`` of all cells.
    outcome
        One of ``cross_seed.OUTCOMES``.
    clusters, left_out
        As for ``stats.compare_strategies``.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``scale`` (each, and ``all``), ``measure`` (the outcome), ``strategy_a, strategy_b, n_clauses,
        n_dropped, n_scales, n_seeds`` (fewest at a size), ``within_a, within_b, between`` (root mean square distances),
        ``share`` (of the squared distance between strategies, due to the strategy; negative by chance where there is
        nothing) with ``share_low, share_high``, ``error, dof`` (of its log, see ``cross_seed.excess``), ``p_runs``
        (one-sided, the runs of each seed swap strategies) and ``p_runs_smallest``; ``ratio`` (between over within) with
        its bounds; ``spread`` (within b over within a) with its bounds and two-sided ``spread_p_runs``; ``reason``.
        All intervals are 95 %, for other clauses and other trainings. Against the untouched base, which has a single
        run, there are distances and a ratio.
    """
    need_columns(masses, [*by, "scale", "strategy", "seed", "id", "feature", "share"], "compare_patterns")
    records, choices = [], Choices(clusters, left_out, permutations, seed)
    for keys, group in groups(masses, by):
        patterns = Patterns(group, outcome)
        for a, b in itertools.combinations(group["strategy"].unique(), 2):
            for label, scales in size_choices(patterns.scales_of(a, b), a, b, left_out).items():
                compare = _compare_base if CONTROL in (a, b) else _compare
                place = {"scale": label, "measure": outcome, "strategy_a": a, "strategy_b": b}
                records.append(keys | place | compare(patterns, a, b, scales, choices))
    columns = [*by, "scale", "measure", "strategy_a", "strategy_b", *COLUMNS, *_SHARES, *_RATIOS, *_SPREADS, "reason"]
    return pd.DataFrame.from_records(records, columns=columns)


def _compare(patterns: Patterns, a: str, b: str, scales: Sequence[str], choices: Choices) -> dict[str, Any]:
    few = "fewer than two seeds that both strategies have: no distance between seeds" if scales else NO_SIZE

    def take(scale: str, seeds: list[int]) -> np.ndarray:
        return patterns.pair(scale, a, b, seeds)

    result, parts, chosen = _prepare(patterns, scales, (a, b), [take], choices.clusters, few)
    if result["reason"]:
        return result
    pairs = [Pair(block) for block in parts[0]]
    within = [float(np.mean([pair.within(side).mean() for pair in pairs])) for side in (0, 1)]
    between = float(np.mean([pair.between().mean() for pair in pairs]))
    result |= dict(zip(("within_a", "within_b", "between"), np.sqrt([*within, between]).tolist(), strict=True))
    if not min(within) > 0:
        return result | {"reason": "seeds of one strategy give identical patterns: nothing to compare with"}
    result |= _shares(describe(cross_seed.excess(pairs, chosen)))
    options = {"permutations": choices.permutations, "seed": choices.seed}
    for name, found in (
        ("", cross_seed.excess_test(pairs, **options)),
        ("spread_", cross_seed.spread_test(pairs, **options)),
    ):
        result |= {f"{name}p_runs": float(found[0][0]), f"{name}p_runs_smallest": found[1]}
    spread = describe(cross_seed.spread_ratio(pairs, chosen), "spread")
    result |= {f"spread{end}": math.exp(spread[end.strip("_") or "spread"]) for end in ("", "_low", "_high")}
    return result | {"reason": "" if math.isfinite(result["error"]) else FEW_SEEDS}


def _shares(found: Mapping[str, float]) -> dict[str, float]:
    """Share and ratio of distances with their bounds, from the log of the ratio of squared distances."""
    result = {"error": found["error"], "dof": found["dof"]}
    for key, name in (("value", ""), ("low", "_low"), ("high", "_high")):
        result |= {f"share{name}": float(cross_seed.share_of(found[key])), f"ratio{name}": math.exp(found[key] / 2)}
    return result


def _compare_base(patterns: Patterns, a: str, b: str, scales: Sequence[str], choices: Choices) -> dict[str, Any]:
    """The untouched base has one run: its distance to each seed of the other, over that between these seeds."""
    other = b if a == CONTROL else a
    few = "a single seed: no distance between seeds" if scales else NO_SIZE

    def take(scale: str, seeds: list[int]) -> np.ndarray:
        base = (CONTROL, patterns.seeds(scale, CONTROL)[0])
        return patterns.block(scale, [base, *((other, run) for run in seeds)])

    result, parts, chosen = _prepare(patterns, scales, (other,), [take], choices.clusters, few)
    if result["reason"]:
        return result
    apart = [cross_seed.pair_up(block[:, 0, 1:]) for block in parts[0]]
    upper = [np.triu_indices(block.shape[1] - 1, k=1) for block in parts[0]]
    within = [block[:, 1:, 1:][:, i, j] for block, (i, j) in zip(parts[0], upper, strict=True)]
    found = _shares(describe(cross_seed.log_ratio(apart, within, chosen)))
    own = "within_b" if a == CONTROL else "within_a"
    mean_apart, mean_within = (math.sqrt(np.mean([part.mean() for part in side])) for side in (apart, within))
    result |= {"between": mean_apart, own: mean_within}
    return result | {name: found[name] for name in _RATIOS}


def compare_sources(
    masses: pd.DataFrame, a: str, b: str, *, main: tuple[str, str], outcome: str = "jensen_shannon"
) -> pd.DataFrame:
    """What moves a pattern more than the choice between two strategies: another removal, another method, another seed?

    Parameters
    ----------
    masses
        As for ``compare_patterns``, with several methods or baselines.
    a, b
        Two strategies.
    main
        Method and baseline of the patterns that others are compared with.

    Returns
    -------
    pandas.DataFrame
        ``sign, source`` (``seeds``, ``removal`` or ``method``), ``other`` (which baseline or method), ``n_clauses,
        n_scales, distance`` (root mean square, of the same model), ``strategies`` (between a and b, other seeds),
        ``ratio`` of the two with ``ratio_low, ratio_high`` (95 %), ``p`` (two-sided t test of a ratio of 1),
        ``reason``.
    """
    columns = ("n_clauses", "n_scales", "distance", "strategies", *_RATIOS, "p", "reason")
    records = []
    for keys, group in groups(masses[masses["strategy"].isin([a, b])], ["sign"]):
        views = [tuple(view) for view in group[["method", "baseline"]].drop_duplicates().itertuples(index=False)]
        for view in [main, *(view for view in views if view != main)] if main in views else ():
            source = "seeds" if view == main else "removal" if view[0] == main[0] else "method"
            chosen = [
                (group["method"] == method) & (group["baseline"] == baseline) for method, baseline in (main, view)
            ]
            used = group[chosen[0] | chosen[1]]
            patterns = Patterns(used, outcome, (*RUN, "method", "baseline"))
            other = "" if source == "seeds" else view[source == "removal"]
            records.append(keys | {"source": source, "other": other} | _compare_source(patterns, a, b, main, view))
    return pd.DataFrame.from_records(records, columns=["sign", "source", "other", *columns])


def _compare_source(patterns: Patterns, a: str, b: str, main: tuple[str, str], view: tuple[str, str]) -> dict[str, Any]:
    def move(scale: str, seeds: list[int]) -> np.ndarray:
        if view == main:
            return Pair(patterns.pair(scale, a, b, seeds, *main)).within()
        moved = [patterns.block(scale, [(n, run, *main), (n, run, *view)])[:, 0, 1] for n in (a, b) for run in seeds]
        return cross_seed.pair_up(np.stack(moved, axis=1).reshape(1, 2, len(seeds), -1).mean(axis=1))

    def separate(scale: str, seeds: list[int]) -> np.ndarray:
        return Pair(patterns.pair(scale, a, b, seeds, *main)).between()

    few = "fewer than two seeds that both strategies have"
    result, parts, chosen = _prepare(patterns, patterns.scales_of(a, b), (a, b), [move, separate], None, few)
    if result["reason"]:
        return result
    above, below = parts
    found = describe(cross_seed.log_ratio(above, below, chosen))
    ratios = {name: value for name, value in _shares(found).items() if name in _RATIOS}
    distances = (math.sqrt(np.mean([part.mean() for part in side])) for side in (above, below))
    result |= dict(zip(("distance", "strategies"), distances, strict=True))
    return result | ratios | {"p": found["p"], "reason": "" if math.isfinite(found["error"]) else FEW_SEEDS}


def compare_remaining(
    masses: pd.DataFrame, full: str, adapter: str, enlarged: str, *, outcome: str = "jensen_shannon"
) -> pd.DataFrame:
    """What is left of the squared distance between ``full`` and ``adapter`` once ``enlarged`` trains more of the model.

    Columns: ``VIEW``..., ``full, adapter, enlarged, n_clauses, n_scales, n_seeds, remaining`` (1: all of it), ``error,
    dof, low, high`` (95 %), ``p`` (two-sided t test of a share of 1), ``reason``.
    """
    records = []
    names = (full, adapter, enlarged)
    columns = ("n_clauses", "n_scales", "n_seeds", "remaining", "error", "dof", "low", "high", "p", "reason")
    for keys, group in groups(masses[masses["strategy"].isin(names)], VIEW):
        record = _compare_remaining(Patterns(group, outcome), *names)
        records.append(keys | dict(zip(("full", "adapter", "enlarged"), names, strict=True)) | record)
    return pd.DataFrame.from_records(records, columns=[*VIEW, "full", "adapter", "enlarged", *columns])


def _compare_remaining(patterns: Patterns, full: str, adapter: str, enlarged: str) -> dict[str, Any]:
    names = (full, adapter, enlarged)
    take = [lambda scale, seeds, other=other: patterns.pair(scale, full, other, seeds) for other in (enlarged, adapter)]
    few = "fewer than two seeds that all three strategies have"
    result, parts, chosen = _prepare(patterns, patterns.scales_of(*names), names, take, None, few)
    if result["reason"]:
        return result
    fewer, whole = ([Pair(block) for block in part] for part in parts)
    found = cross_seed.remaining_share(fewer, whole, chosen)
    above = float(found.confidence_above(1.0)[0])
    known = math.isfinite(float(found.error[0]))
    result |= describe(found, "remaining") | {"p": 2 * min(above, 1 - above)}
    return result | {"reason": "" if known else FEW_SEEDS}
