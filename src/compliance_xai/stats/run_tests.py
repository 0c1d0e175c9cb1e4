"""What other trainings would change: standard errors over runs of what the claims are decided on.

Intervals over clauses are conditional on the models that were trained. Here is how much an estimate would move with
other seeds, and ``widen`` makes an interval that holds for both. Every table has the keys of the one that it belongs
to, ``run_error`` (standard error over runs) and ``run_dof`` (its degrees of freedom); NaN and 0 with a single seed. The
module is none of the package's own names, so that the stage of attribution, which takes distances from there, does not
run again when it changes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.attribution.distances import DISTANCES
from compliance_xai.records import VIEW
from compliance_xai.stats.equivalence_tests import run_means
from compliance_xai.stats.frames import ALL_SCALES, as_names, groups, members, pivot, scale_order
from compliance_xai.stats.paired_tests import run_tables
from compliance_xai.stats.resampling import CONFIDENCE
from compliance_xai.stats.separation import distance_tensors, within_tensors

if TYPE_CHECKING:
    import pandas as pd

ERRORS = ("run_error", "run_dof")
_UNKNOWN = (math.nan, 0)


def jackknife_error(left_out: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard error of an estimate over runs, from its values with one run left out; one list for each group of runs.

    ``sqrt(sum_g (n_g - 1) / n_g sum_i (t_gi - mean_g)^2)`` over groups of exchangeable runs (the jackknife of several
    samples; Efron and Tibshirani 1993, section 11.5), with ``sum_g (n_g - 1)`` degrees of freedom. NaN and 0 where a
    group has a single run.

    Examples
    --------
    >>> error, dof = jackknife_error([[2.0, 1.0], [4.0, 4.0]])  # means of runs at 1 and 2, and at 4 and 4
    >>> round(error, 6), dof  # sqrt((1/2) (1/2)): the standard error of the mean of 1 and 2
    (0.5, 2)
    """
    if not left_out or min(len(group) for group in left_out) < 2:
        return _UNKNOWN
    parts = [(len(group) - 1) * float(np.var(group)) for group in left_out]
    return math.sqrt(sum(parts)), sum(len(group) - 1 for group in left_out)


def widen(
    estimate: float, low: float, high: float, error: float, dof: float, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """An interval over clauses, made to hold for other trainings as well.

    The half width over clauses and that over runs (``t`` times ``error``) add as squares (Zou and Donner 2008). What a
    clause does in one run only is part of both, so the interval is rather too wide. NaN where ``error`` is unknown: a
    single training says nothing about others.

    Examples
    --------
    >>> widen(0.0, -3.0, 3.0, 0.0, 5)
    (-3.0, 3.0)
    """
    from scipy.stats import t

    if not (dof > 0 and math.isfinite(error)):
        return math.nan, math.nan
    reach = float(t.ppf((1 + confidence) / 2, dof)) * error
    return estimate - math.hypot(estimate - low, reach), estimate + math.hypot(high - estimate, reach)


def add_errors(table: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """A table of tests with the columns of ``errors`` beside it, joined by the keys that both have."""
    keys = [name for name in errors.columns if name in table.columns]
    return table.merge(errors, how="left", on=keys, validate="many_to_one")


def ratio_errors(
    distances: pd.DataFrame, measures: str | Sequence[str] = DISTANCES, *, by: Sequence[str] = VIEW
) -> pd.DataFrame:
    """Of the ratio of distances between strategies to those within, all scales together, by jackknife.

    Belongs to ``stats.compare_distances``; keys: ``scale`` (``all``), ``by``..., ``measure, strategy_a, strategy_b``.
    """
    import pandas as pd

    records = []
    for keys, group in groups(distances, by):
        names = list(dict.fromkeys([*group["strategy_a"], *group["strategy_b"]]))
        for measure, (a, b) in itertools.product(as_names(measures), itertools.combinations(names, 2)):
            place = {"scale": ALL_SCALES} | keys | {"measure": measure, "strategy_a": a, "strategy_b": b}
            records.append(place | dict(zip(ERRORS, _ratio_error(group, measure, a, b), strict=True)))
    columns = ["scale", *by, "measure", "strategy_a", "strategy_b", *ERRORS]
    return pd.DataFrame.from_records(records, columns=columns)


def _ratio_error(group: pd.DataFrame, measure: str, a: str, b: str) -> tuple[float, int]:
    tensors = distance_tensors(group, measure, a, b).values()
    if not tensors or min(min(tensor.sizes) for tensor in tensors) < 2:
        return _UNKNOWN
    kept = set.intersection(
        *({id for id, v in zip(t.ids, t.values, strict=True) if not np.isnan(v).any()} for t in tensors)
    )
    if not kept:
        return _UNKNOWN
    # The ratio is linear in distances above and below, so means over clauses are all that is needed.
    means = [t.values[[t.ids.index(id) for id in sorted(kept)]].mean(axis=0) for t in tensors]
    parts = [_between_within(v, t.sizes) for v, t in zip(means, tensors, strict=True)]
    between, within = (sum(part[side] for part in parts) for side in (0, 1))
    left_out = []
    for v, tensor, (own_between, own_within) in zip(means, tensors, parts, strict=True):
        for side, start in ((0, 0), (1, tensor.sizes[0])):
            fewer = (tensor.sizes[0] - (side == 0), tensor.sizes[1] - (side == 1))
            estimates = []
            for run in range(start, start + tensor.sizes[side]):
                rest = np.delete(np.arange(len(v)), run)
                new_between, new_within = _between_within(v[np.ix_(rest, rest)], fewer)
                below = within - own_within + new_within
                estimates.append((between - own_between + new_between) / below if below > 0 else math.nan)
            left_out.append(estimates)
    return jackknife_error(left_out)


def _between_within(mean_RR: np.ndarray, sizes: tuple[int, int]) -> tuple[float, float]:
    return float(mean_RR[: sizes[0], sizes[0] :].mean()), float(within_tensors(mean_RR[None], sizes)[0])


def rank_biserial(difference_C: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation: favourable minus unfavourable share of the rank sum (Kerby 2014).

    -1 to 1, positive where differences are; pairs without a difference are left out, as by ``pingouin.wilcoxon``; 0
    where none has one.

    Examples
    --------
    >>> round(rank_biserial(np.array([1.0, 2.0, -3.0])), 12)
    0.0
    """
    from scipy.stats import rankdata

    used = difference_C[difference_C != 0]
    ranks = rankdata(np.abs(used))
    return float((ranks * np.sign(used)).sum() / ranks.sum()) if len(used) else 0.0


def rank_biserial_errors(
    frame: pd.DataFrame, measures: str | Sequence[str], *, by: Sequence[str] = VIEW
) -> pd.DataFrame:
    """Of the rank-biserial correlation over clauses, all scales together, by jackknife.

    Belongs to ``stats.strategy_effects``; keys: ``by``..., ``measure, strategy_a, strategy_b``; also
    ``rank_biserial`` itself, of the clauses that are defined in every run.
    """
    import pandas as pd

    records = []
    for name in as_names(measures):
        for keys, group in groups(frame, by):
            for a, b in itertools.combinations(dict.fromkeys(group["strategy"]), 2):
                found = _rank_biserial_error(list(run_tables(group, name, a, b).values()), a)
                place = keys | {"measure": name, "strategy_a": a, "strategy_b": b}
                records.append(place | dict(zip(("rank_biserial", *ERRORS), found, strict=True)))
    columns = [*by, "measure", "strategy_a", "strategy_b", "rank_biserial", *ERRORS]
    return pd.DataFrame.from_records(records, columns=columns)


def _rank_biserial_error(tables: Sequence[pd.DataFrame], a: str) -> tuple[float, float, int]:
    kept = sorted(set.intersection(*(set(table.dropna().index) for table in tables))) if tables else []
    if not kept:
        return (math.nan, *_UNKNOWN)
    sides = []
    for table in tables:
        first = table.columns.get_level_values(0) == a
        values = table.loc[kept].to_numpy()
        sides += [values[:, first], -values[:, ~first]]
    total = np.sum([side.mean(axis=1) for side in sides], axis=0)
    left_out = []
    for values_CR in sides:
        n, mean = values_CR.shape[1], values_CR.mean(axis=1)
        fewer = [(n * mean - values_CR[:, run]) / (n - 1) for run in range(n)] if n > 1 else [mean]
        left_out.append([rank_biserial(total - mean + other) for other in fewer])
    return (rank_biserial(total), *jackknife_error(left_out))


def slope_errors(frame: pd.DataFrame, measure: str, *, by: Sequence[str] = ("strategy", *VIEW)) -> pd.DataFrame:
    """Of the slope over log10(parameters), from the spread of seeds inside cells, pooled.

    Belongs to ``stats.scale_trend``; keys: ``by``..., ``measure``.
    """
    import pandas as pd

    order = dict(scale_order(frame))
    records = []
    for keys, group in groups(frame.assign(member=members(frame)), by):
        found = _slope_error(group, measure, order)
        records.append(keys | {"measure": measure} | dict(zip(ERRORS, found, strict=True)))
    return pd.DataFrame.from_records(records, columns=[*by, "measure", *ERRORS])


def _slope_error(group: pd.DataFrame, measure: str, order: dict[str, int]) -> tuple[float, int]:
    runs = pivot(group, ["id"], ["member", "scale", "seed"], measure, "slope_errors").dropna().mean()
    cells = runs.groupby(level=["member", "scale"], observed=True)
    sizes = cells.size()
    scales = [scale for scale in order if scale in set(sizes.index.get_level_values("scale"))]
    names = sizes.index.get_level_values("member").nunique()
    if len(scales) < 2 or sizes.min() < 2 or len(sizes) < names * len(scales) or runs.isna().any():
        return _UNKNOWN
    decades = np.log10([order[scale] for scale in scales])
    centred = dict(zip(scales, decades - decades.mean(), strict=True))
    dof = int((sizes - 1).sum())
    variance = float((runs - cells.transform("mean")).pow(2).sum()) / dof
    weights = np.array([centred[scale] for scale in sizes.index.get_level_values("scale")])
    weights = weights / sum(value**2 for value in centred.values()) / names
    return math.sqrt(variance * float((weights**2 / sizes.to_numpy()).sum())), dof


def step_errors(frame: pd.DataFrame, measure: str, *, by: Sequence[str] = ("strategy",)) -> pd.DataFrame:
    """Of the difference between neighbouring rungs, over pairs of runs; unknown with fewer than three.

    Belongs to ``stats.equivalence_table`` along scales; keys: ``by``..., ``measure, a, b``.
    """
    import pandas as pd

    records = []
    for keys, group in groups(frame, by):
        runs = run_means(group, measure, "scale")
        for a, b in itertools.pairwise(scale for scale, _ in scale_order(group)):
            steps = (runs[b] - runs[a]).dropna().to_numpy()
            known = len(steps) > 2
            error = (float(steps.std(ddof=1)) / math.sqrt(len(steps)), len(steps) - 1) if known else _UNKNOWN
            record: dict[str, Any] = keys | {"measure": measure, "a": a, "b": b}
            records.append(record | dict(zip(ERRORS, error, strict=True)))
    return pd.DataFrame.from_records(records, columns=[*by, "measure", "a", "b", *ERRORS])
