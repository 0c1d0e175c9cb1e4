"""How often would the declared tests find an effect of a given size, or one that is not there? By simulation.

Whole studies are simulated at once, as arrays ``values_NSKRC``: studies, scales, strategies, runs (seeds), clauses.
A value is a clause's level plus a run's level plus noise. ``detect_...`` takes the decisions of ``findings`` for one
view of attribution, without the mixed model and the controls: those, and more views, can only make *supported* rarer.
``exclude_...`` takes the decision *contradicted*, for one view too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compliance_xai.attribution.distances import jensen_shannon
from compliance_xai.stats.paired_tests import rank_biserial_interval
from compliance_xai.stats.reliability import REPEATABILITY
from compliance_xai.stats.resampling import draw_assignments, resample_counts

_SLACK = 1e-9
"""Statistics closer than this are the same number computed in another order."""


@dataclass(frozen=True)
class Design:
    """The size of a study and how much its values vary, in the measure's unit.

    ``clause_sd`` is the spread of clauses, shared by all runs; ``run_sd`` that of whole trainings; ``residual_sd`` what
    is left of a clause in a run. ``stats.mixed_model_table`` estimates all three.
    """

    clauses: int = 48
    seeds: int = 2
    scales: int = 3
    strategies: int = 3
    clause_sd: float = 0.1
    run_sd: float = 0.013
    residual_sd: float = 0.07


DEFAULT = {
    "C1": Design(),
    "C2": Design(),
    "C3": Design(clauses=32, clause_sd=0.4, run_sd=0.03, residual_sd=0.23),
    "C4": Design(clauses=120, clause_sd=0.011, run_sd=0.0045, residual_sd=0.026),
}
"""The default study, with spreads rounded from its first run (2026-11-21): of normalised entropy, of log-lift on the
clauses that have both outcomes, and of semantic similarity. C1 has patterns instead: see ``simulate_patterns``."""

PLANTED = {"C1": 0.35, "C2": 0.04, "C3": 0.17, "C4": 0.05}
"""The effects that the default study claims to find, in ``UNITS``."""

UNITS = {
    "C1": "tilt of each strategy's patterns, in standard deviations of a clause's own",
    "C2": "difference in normalised entropy between full fine-tuning and both adapters",
    "C3": "slope of log-lift per factor of ten in parameters, both outcomes",
    "C4": "rise of the score at the first step, none at the second",
}

DECADES = (5.48, 6.0, 6.6)
"""log10(parameters) of the embedded ladder's rungs."""


def find_rate(claim: str, effect: float, design: Design | None = None, *, studies: int = 500, seed: int = 0) -> float:
    """Share of simulated studies in which the decisive tests of a claim find a planted effect (0: none planted).

    Parameters
    ----------
    claim, effect
        ``C1`` to ``C4``, and the effect in ``UNITS``.
    design
        ``DEFAULT`` of the claim where None.
    """
    d = design or DEFAULT[claim]
    if claim == "C1":
        return float(detect_distance(simulate_patterns(d, studies, tilt=effect, seed=seed)).mean())
    if claim == "C2":
        shifts = [-effect] + [0.0] * (d.strategies - 1)
        return float(detect_focus(simulate_values(d, studies, strategy=shifts, seed=seed)).mean())
    if claim == "C3":
        rising = [effect * decade for decade in DECADES]
        both = (simulate_values(d, studies, scale=rising, seed=(seed, outcome)) for outcome in (0, 1))
        return float(np.logical_and(*(detect_trend(values, DECADES) for values in both)).mean())
    rise = [0.0] + [effect] * (d.scales - 1)
    return float(detect_plateau(simulate_values(d, studies, scale=rise, seed=seed)).mean())


MARGIN = {"C1": 0.235, "C2": 0.011, "C3": 0.05, "C4": 0.02}
"""Effects just as large as each claim declares, in ``UNITS`` and for the spreads of ``DEFAULT``: a ratio of distances
of 1.1, a rank-biserial correlation of 0.3 (``sqrt(2) shift / SD = 0.385`` with the SD of a clause's difference), the
slope, and the last step of the score."""


def contradict_rate(claim: str, effect: float, design: Design | None = None, *, studies: int = 500, seed: int = 0):
    """Share of simulated studies in which a claim would be contradicted although the effect is there (see ``MARGIN``).

    Parameters
    ----------
    claim, effect, design
        As for ``find_rate``; for C4 the effect is the rise at the *last* step.
    """
    d = design or DEFAULT[claim]
    if claim == "C1":
        return float(exclude_distance(simulate_patterns(d, studies, tilt=effect, seed=seed)).mean())
    if claim == "C2":
        shifts = [-effect] + [0.0] * (d.strategies - 1)
        return float(exclude_focus(simulate_values(d, studies, strategy=shifts, seed=seed)).mean())
    if claim == "C3":
        rising = [effect * decade for decade in DECADES]
        both = (simulate_values(d, studies, scale=rising, seed=(seed, outcome)) for outcome in (0, 1))
        return float(np.logical_or(*(exclude_trend(values, DECADES) for values in both)).mean())
    rise = [0.0] + [PLANTED["C4"]] * (d.scales - 2) + [PLANTED["C4"] + effect]
    return float(exclude_plateau(simulate_values(d, studies, scale=rise, seed=seed)).mean())


def simulate_values(
    design: Design,
    studies: int,
    *,
    strategy: Sequence[float] = (),
    scale: Sequence[float] = (),
    seed: int | tuple[int, ...] = 0,
) -> np.ndarray:
    """Values of simulated studies, shape (studies, scales, strategies, seeds, clauses).

    ``strategy`` and ``scale`` are planted shifts, one for each strategy and scale; none by default.
    """
    rng = np.random.default_rng(seed)
    d = design
    values = rng.normal(0, d.residual_sd, (studies, d.scales, d.strategies, d.seeds, d.clauses))
    values += rng.normal(0, d.run_sd, (studies, d.scales, d.strategies, d.seeds, 1))
    values += rng.normal(0, d.clause_sd, (studies, 1, 1, 1, d.clauses))
    if len(strategy):
        values += np.reshape(strategy, (1, 1, -1, 1, 1))
    if len(scale):
        values += np.reshape(scale, (1, -1, 1, 1, 1))
    return values


def detect_focus(
    values_NSKRC: np.ndarray, *, alpha: float = 0.05, margin: float = 0.3, permutations: int = 2000, seed: int = 0
) -> np.ndarray:
    """Whether C2 would be supported: the first strategy is lower than every other one. Bool, shape (studies,).

    Asks, as ``findings`` does, for p <= alpha over whole runs, p <= alpha over clauses after Holm's correction over all
    pairs of strategies, and a rank-biserial correlation of at least the margin.
    """
    found = np.ones(len(values_NSKRC), dtype=bool)
    n_strategies = values_NSKRC.shape[2]
    clauses_NKC = values_NSKRC.mean(axis=(1, 3))
    tests = {
        pair: _signed_rank(clauses_NKC[:, pair[0]] - clauses_NKC[:, pair[1]])
        for pair in itertools.combinations(range(n_strategies), 2)
    }
    holm = _holm(np.stack([p for p, _ in tests.values()], axis=1))
    for index, ((a, b), (_, rank_biserial)) in enumerate(tests.items()):
        if a == 0:
            runs = values_NSKRC[:, :, [a, b]].mean(axis=-1)
            p_run = permute_runs(runs, permutations=permutations, seed=seed)
            found &= (-rank_biserial >= margin) & (holm[:, index] <= alpha) & (p_run <= alpha)
    return found


def exclude_focus(values_NSKRC: np.ndarray, *, margin: float = 0.3, bootstrap: int = 200, seed: int = 0) -> np.ndarray:
    """Whether C2 would be contradicted: than one other, the first strategy is surely not more focused by the margin."""
    n, scales, strategies, size, _ = values_NSKRC.shape
    runs = [np.moveaxis(values_NSKRC[:, :, strategy], 2, 1) for strategy in range(strategies)]  # studies, runs, ...
    found = np.zeros(n, dtype=bool)
    for other in range(1, strategies):
        # More focus is a lower value, so the other strategy comes first.
        sides = (runs[other], -runs[0])
        total = np.sum([side.mean(axis=(1, 2)) for side in sides], axis=0)
        variance = np.zeros(n)
        for side, scale in itertools.product(sides, range(scales)) if size > 1 else ():
            mean = side[:, :, scale].mean(axis=1)
            fewer = [(size * mean - side[:, run, scale]) / (size - 1) for run in range(size)]
            variance += (size - 1) * np.var([_rank_share(total + (less - mean) / scales) for less in fewer], axis=0)
        bounds = np.array([rank_biserial_interval(row, bootstrap, seed) for row in total]).T
        found |= _widen(_rank_share(total), bounds, np.sqrt(variance), 2 * scales * (size - 1))[1] < margin
    return found


def permute_runs(runs_NSGR: np.ndarray, *, permutations: int = 2000, seed: int = 0) -> np.ndarray:
    """Two-sided p-value of the difference of two groups of runs, whole runs changing group scale by scale.

    ``runs_NSGR`` holds run means: studies, scales, two groups, runs. The same test as ``stats.strategy_effects``, for
    many studies at once.
    """
    n, scales, _, size = runs_NSGR.shape
    labels_AR = draw_assignments([size, size], permutations=permutations, seed=seed)
    weights = np.where(labels_AR == 0, 1.0, -1.0) / size
    return _combine(np.einsum("nsr,ar->nsa", runs_NSGR.reshape(n, scales, -1), weights), permutations, seed, True)


def _combine(statistics_NSA: np.ndarray, permutations: int, seed: int, two_sided: bool) -> np.ndarray:
    """P-values of the sum over scales, the observed arrangement first: all combinations, or drawn ones."""
    _, scales, ways = statistics_NSA.shape
    if ways**scales <= permutations:
        choice = np.array(list(itertools.product(range(ways), repeat=scales)))
    else:
        drawn = np.random.default_rng(seed).integers(ways, size=(permutations, scales))
        choice = np.vstack([np.zeros((1, scales), dtype=int), drawn])
    sums = np.sum([statistics_NSA[:, index, choice[:, index]] for index in range(scales)], axis=0)
    observed = sums[:, :1]
    if two_sided:
        sums, observed = np.abs(sums), np.abs(observed)
    return (sums >= observed - _SLACK).mean(axis=1)


def _signed_rank(difference_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilcoxon's p-value and the rank-biserial correlation of each study."""
    from scipy.stats import wilcoxon

    _, p_N = wilcoxon(difference_NC, axis=1)
    return np.asarray(p_N), _rank_share(difference_NC)


def _rank_share(difference_NC: np.ndarray) -> np.ndarray:
    """Rank-biserial correlation of each study; no difference is zero."""
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(difference_NC), axis=1)
    return (ranks * np.sign(difference_NC)).sum(axis=1) / ranks.sum(axis=1)


def _holm(p_NT: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of each row (Holm 1979)."""
    order = np.argsort(p_NT, axis=1)
    stepped = np.take_along_axis(p_NT, order, axis=1) * np.arange(p_NT.shape[1], 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(stepped, axis=1), 1.0)
    result = np.empty_like(p_NT)
    np.put_along_axis(result, order, adjusted, axis=1)
    return result


def simulate_patterns(
    design: Design, studies: int, *, tilt: float = 0.0, noise: float = 0.5, features: int = 12, seed: int = 0
) -> np.ndarray:
    """Shares of mass, shape (studies, scales, strategies, seeds, clauses, features).

    A clause has a pattern (standard normal, then softmax), every strategy tilts it (``tilt``), every run shakes it.
    """
    rng = np.random.default_rng(seed)
    d = design
    runs = (studies, d.scales, d.strategies, d.seeds, d.clauses, features)
    weight = rng.normal(0, 1, (studies, 1, 1, 1, d.clauses, features)) + rng.normal(0, noise, runs)
    weight += rng.normal(0, tilt, (studies, 1, d.strategies, 1, d.clauses, features)) if tilt else 0.0
    weight = np.exp(weight)
    return weight / weight.sum(axis=-1, keepdims=True)


def detect_distance(
    shares_NSKRCF: np.ndarray, *, alpha: float = 0.05, margin: float = 1.1, permutations: int = 2000, seed: int = 0
) -> np.ndarray:
    """Whether C1 would be supported: the first strategy's patterns are apart from those of every other one."""
    found = np.ones(len(shares_NSKRCF), dtype=bool)
    labels_AR = draw_assignments([shares_NSKRCF.shape[3]] * 2, permutations=permutations, seed=seed)
    for other in range(1, shares_NSKRCF.shape[2]):
        apart = _pair_distances(shares_NSKRCF, other)
        statistics = np.stack([_between_less_within(apart, row) for row in labels_AR], axis=-1)
        p_run = _combine(statistics, permutations, seed, two_sided=False)
        found &= (p_run <= alpha) & (_ratio_bounds(apart, seed)[0] >= margin)
    return found


def exclude_distance(shares_NSKRCF: np.ndarray, *, margin: float = 1.1, seed: int = 0) -> np.ndarray:
    """Whether C1 would be contradicted: the ratio of distances is below the margin for sure, for one other strategy."""
    others = range(1, shares_NSKRCF.shape[2])
    return np.any([_ratio_bounds(_pair_distances(shares_NSKRCF, other), seed)[1] < margin for other in others], axis=0)


def _pair_distances(shares_NSKRCF: np.ndarray, other: int) -> dict[tuple[int, int], np.ndarray]:
    """Distances between runs of the first strategy (numbered first) and of another: studies, scales, clauses each."""
    n, scales, _, size, clauses, _ = shares_NSKRCF.shape
    runs = shares_NSKRCF[:, :, [0, other]].reshape(n, scales, 2 * size, clauses, -1)
    return {(i, j): jensen_shannon(runs[:, :, i], runs[:, :, j]) for i, j in itertools.combinations(range(2 * size), 2)}


def _ratio_bounds(apart: dict[tuple[int, int], np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the ratio of distances for other clauses and other trainings, as ``findings`` takes them."""
    size = (1 + max(j for _, j in apart)) // 2
    labels_R = np.repeat([0, 1], size)
    between, within = _split(apart, labels_R)
    counts = resample_counts(between.shape[-1], 400, seed)
    drawn = (between.mean(axis=1) @ counts.T) / (within.mean(axis=1) @ counts.T)
    means = {pair: value.mean(axis=-1) for pair, value in apart.items()}
    between, within = _split(means, labels_R)  # studies, scales
    scales = between.shape[1]
    variance = np.zeros(len(between))
    for side in (0, 1):
        ratios = []  # runs, studies, scales: the ratio with one run of one scale left out
        for run in range(side * size, (side + 1) * size):
            fewer = _split({pair: value for pair, value in means.items() if run not in pair}, labels_R)
            sums = [
                own.sum(axis=1, keepdims=True) - own + less for own, less in zip((between, within), fewer, strict=True)
            ]
            ratios.append(sums[0] / sums[1])
        variance += (size - 1) * np.var(ratios, axis=0).sum(axis=1)
    estimate = between.sum(axis=1) / within.sum(axis=1)
    bounds = np.quantile(drawn, [0.025, 0.975], axis=1)
    return _widen(estimate, bounds, np.sqrt(variance), 2 * scales * (size - 1))


def _split(apart: dict[tuple[int, int], np.ndarray], labels_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance between the two groups, and within them: averaged over the groups that have a pair."""
    between = [value for (i, j), value in apart.items() if labels_R[i] != labels_R[j]]
    groups = [[v for (i, j), v in apart.items() if labels_R[i] == labels_R[j] == group] for group in (0, 1)]
    return np.mean(between, axis=0), np.mean([np.mean(group, axis=0) for group in groups if group], axis=0)


def _between_less_within(apart: dict[tuple[int, int], np.ndarray], labels_R: np.ndarray) -> np.ndarray:
    between, within = _split(apart, labels_R)
    return (between - within).mean(axis=-1)


def detect_trend(
    values_NSKRC: np.ndarray,
    decades: Sequence[float],
    *,
    alpha: float = 0.05,
    margin: float = 0.05,
    permutations: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Whether one outcome of C3 would be supported: it rises with log10(parameters), ``decades``, by the margin."""
    centred = np.asarray(decades) - np.mean(decades)
    low, _ = _slope_bounds(values_NSKRC, centred, seed)
    return (
        (low > margin)
        & (_page(values_NSKRC.mean(axis=(2, 3)).transpose(0, 2, 1)) <= alpha)
        & (_permute_scales(values_NSKRC, centred, permutations, seed) <= alpha)
    )


def exclude_trend(values_NSKRC: np.ndarray, decades: Sequence[float], *, margin: float = 0.05, seed: int = 0):
    """Whether one outcome of C3 would contradict it: its slope is below the margin for sure. Bool, shape (studies,)."""
    return _slope_bounds(values_NSKRC, np.asarray(decades) - np.mean(decades), seed)[1] < margin


def _slope_bounds(values_NSKRC: np.ndarray, centred: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the slope for other clauses and other trainings, as ``findings`` takes them."""
    _, scales, strategies, size, clauses = values_NSKRC.shape
    slopes_NC = values_NSKRC.mean(axis=(2, 3)).transpose(0, 2, 1) @ centred / (centred @ centred)
    drawn = slopes_NC @ resample_counts(clauses, 400, seed).T / clauses
    variance = values_NSKRC.mean(axis=-1).var(axis=-1, ddof=1).mean(axis=(1, 2)) if size > 1 else np.nan
    error = np.sqrt(variance / (centred @ centred) / size / strategies)
    bounds = np.quantile(drawn, [0.025, 0.975], axis=1)
    return _widen(slopes_NC.mean(axis=1), bounds, error, scales * strategies * (size - 1))


def _widen(
    estimate_N: np.ndarray, bounds_2N: np.ndarray, error_N: np.ndarray, dof: int
) -> tuple[np.ndarray, np.ndarray]:
    """``runs.widen`` of many 95 % intervals over clauses."""
    from scipy.stats import t

    low, high = bounds_2N
    reach = t.ppf(0.975, dof) * error_N if dof else np.full(len(estimate_N), np.nan)
    return estimate_N - np.hypot(estimate_N - low, reach), estimate_N + np.hypot(high - estimate_N, reach)


def _page(clauses_NCS: np.ndarray) -> np.ndarray:
    """Page's test by its normal approximation (Page 1963), as scipy has it for many clauses."""
    from scipy.stats import norm, rankdata

    _, n, k = clauses_NCS.shape
    statistic = rankdata(clauses_NCS, axis=-1).sum(axis=1) @ np.arange(1, k + 1)
    mean, variance = n * k * (k + 1) ** 2 / 4, n * k**2 * (k + 1) * (k**2 - 1) / 144
    return norm.sf((statistic - mean) / np.sqrt(variance))


def _permute_scales(values_NSKRC: np.ndarray, centred: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """One-sided p-value of the slope, whole runs changing scale inside their strategy."""
    runs = values_NSKRC.mean(axis=-1)  # studies, scales, strategies, seeds
    n, scales, strategies, size = runs.shape
    labels_AR = draw_assignments([size] * scales, permutations=permutations, seed=seed)
    by_strategy = runs.transpose(0, 2, 1, 3).reshape(n, strategies, scales * size)
    statistics = np.einsum("nkr,ar->nka", by_strategy, centred[labels_AR])
    return _combine(statistics, permutations, seed, two_sided=False)


def detect_plateau(values_NSKRC: np.ndarray, *, alpha: float = 0.05, margin: float = 0.02) -> np.ndarray:
    """Whether C4 would be supported: the last two rungs are equivalent after an earlier rise."""
    margins = _margins(values_NSKRC, margin)

    def steps(values_NSX: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """TOST p, two-sided p, and lower 90 % bound of each step: studies x steps."""
        from scipy.stats import t

        mean, error, n = _steps(values_NSX)
        above = t.sf((mean + margins[:, None]) / error, n - 1)
        below = t.cdf((mean - margins[:, None]) / error, n - 1)
        return np.maximum(above, below), 2 * t.sf(np.abs(mean) / error, n - 1), mean - t.ppf(0.95, n - 1) * error

    over_clauses = steps(values_NSKRC.mean(axis=(2, 3)))
    over_runs = steps(_runs_of_steps(values_NSKRC))
    same = np.maximum(over_clauses[0], over_runs[0]) <= alpha
    rose = (over_clauses[2] > 0) & (np.maximum(over_clauses[1], over_runs[1]) <= alpha) & ~same
    return same[:, -1] & rose[:, :-1].any(axis=1)


def exclude_plateau(values_NSKRC: np.ndarray, *, margin: float = 0.02) -> np.ndarray:
    """Whether C4 would be contradicted: the last step surely rises by more than the margin. Bool, shape (studies,)."""
    from scipy.stats import t

    reaches = [
        t.ppf(0.95, n - 1) * error[:, -1]
        for _, error, n in (_steps(values_NSKRC.mean(axis=(2, 3))), _steps(_runs_of_steps(values_NSKRC)))
    ]
    mean = _steps(values_NSKRC.mean(axis=(2, 3)))[0][:, -1]
    return mean - np.hypot(*reaches) > margin


def _margins(values_NSKRC: np.ndarray, margin: float) -> np.ndarray:
    """What two trainings of one cell differ by in each study, and at most the declared margin."""
    runs_NSKR = values_NSKRC.mean(axis=-1)
    size = runs_NSKR.shape[-1]
    pooled = runs_NSKR.var(axis=-1, ddof=1).mean(axis=(1, 2)) if size > 1 else np.full(len(runs_NSKR), np.nan)
    return np.minimum(margin, REPEATABILITY * np.sqrt(pooled))


def _runs_of_steps(values_NSKRC: np.ndarray) -> np.ndarray:
    """Run means, shape (studies, scales, strategies x seeds)."""
    runs_NSKR = values_NSKRC.mean(axis=-1)
    return runs_NSKR.reshape(*runs_NSKR.shape[:2], -1)


def _steps(values_NSX: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean and standard error of each step, studies x steps, and the number of units."""
    difference = np.diff(values_NSX, axis=1)
    n = difference.shape[-1]
    return difference.mean(axis=-1), difference.std(axis=-1, ddof=1) / np.sqrt(n), n
