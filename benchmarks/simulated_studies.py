"""How often would a study of a given design find an effect of a given size, or one that is not there? By simulation.

Whole studies are simulated as arrays with a leading studies axis and go through the estimates, tests and rules that
real studies go through (``estimates``, ``cross_seed``, ``statements``): several views, a second method, blocks of
seeds. Values vary as those of the reference study do: between clauses, between trainings (as a whole, the same for all
clauses), and between clauses within a training; an effect differs from clause to clause.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compliance_xai.stats.claims import CONTRADICTED, SUPPORTED, UNDECIDED
from compliance_xai.stats.cross_seed import Pair, excess, excess_test, squared_distances
from compliance_xai.stats.estimates import Estimate, paired_difference, swap_test
from compliance_xai.stats.size_steps import order_test
from compliance_xai.stats.statements import BEST, NO, YES, Views, decide, decide_plateau
from compliance_xai.study.stage_settings import ClaimTests, Thresholds

VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED)


@dataclass(frozen=True)
class Design:
    """The size of a study, and standard deviations in the measure's unit.

    ``run_sd`` is that of whole trainings, ``residual_sd`` of a clause within one; ``effect_sd`` is how much an effect
    differs between clauses; ``view_sd`` what a view adds to a clause of a training. ``views`` counts the sensitivity
    views beside the primary one.
    """

    clauses: int = 48
    seeds: int = 3
    sizes: tuple[float, ...] = (5.48, 6.0, 6.6)
    others: int = 2
    views: int = 3
    run_sd: float = 0.04
    residual_sd: float = 0.2
    effect_sd: float = 0.05
    view_sd: float = 0.1


DESIGNS = {
    "C1": Design(run_sd=0.25, residual_sd=0.6, effect_sd=0.0, view_sd=0.2),
    "C2": Design(),
    "C3": Design(run_sd=0.03, residual_sd=0.23, effect_sd=0.1, view_sd=0.1),
    "C4": Design(clauses=120, run_sd=0.02, residual_sd=0.0, effect_sd=0.0, view_sd=0.0),
}
"""Spreads rounded from the reference study: of patterns (log weight of a word), of the log number of words, of log
lift, and of the share of right rules (whose spread within a training is that of right and wrong). ``sizes`` are log10
of the parameters; ``others`` are the adapters that full fine-tuning is compared with."""

EFFECTS = {"C1": (0.0, 0.025, 0.05, 0.1, 0.15), "C2": (0.0, 0.025, 0.05, 0.1, 0.15),
           "C3": (0.0, 0.025, 0.05, 0.1, 0.2), "C4": (0.0, 0.025, 0.05, 0.1)}  # fmt: skip
"""Effects to simulate, from none to large, in ``UNITS``; the smallest effect of interest is 0.05 in each."""

UNITS = {
    "C1": "share of the squared distance that is due to the strategy",
    "C2": "share of words fewer with full fine-tuning",
    "C3": "share more weight for ten times the parameters, both outcomes",
    "C4": "rise of the share of right rules at the last step, after one of 30 points",
}


def verdict_rates(
    claim: str,
    effect: float,
    design: Design | None = None,
    *,
    studies: int = 200,
    seed: int = 0,
    tests: ClaimTests | None = None,
    thresholds: Thresholds | None = None,
) -> dict[str, float]:
    """Share of simulated studies with each verdict on a claim where the truth is ``effect`` (in ``UNITS``).

    Parameters
    ----------
    claim
        ``C1`` to ``C4``.
    design
        ``DESIGNS`` of the claim where None.
    tests, thresholds
        Of the study; the defaults where None.
    """
    simulate = {"C1": _patterns, "C2": _focus, "C3": _weight, "C4": _plateau}[claim]
    rng = np.random.default_rng((seed, int(1000 * effect), int(claim[1])))
    limits = thresholds or Thresholds(permutations=1000)
    counts = dict.fromkeys(VERDICTS, 0)
    for answers in simulate(_Simulation(design or DESIGNS[claim], effect, studies, rng, tests or ClaimTests(), limits)):
        counts[CONTRADICTED if NO in answers else SUPPORTED if set(answers) == {YES} else UNDECIDED] += 1
    return {verdict: count / studies for verdict, count in counts.items()}


Answers = Iterator[list[str]]
"""For each simulated study, the answer of every comparison of the claim."""


@dataclass(frozen=True)
class _Simulation:
    design: Design
    effect: float
    studies: int
    rng: np.random.Generator
    tests: ClaimTests
    limits: Thresholds

    def answer(self, estimates: Sequence[Estimate], p_N: np.ndarray, margin: float) -> list[str]:
        """What one comparison says in each study."""
        return [decide(view, p, self.limits)[0] for view, p in zip(_of_studies(estimates, margin), p_N, strict=True)]


def _of_studies(estimates: Sequence[Estimate], margin: float) -> Iterator[Views]:
    """The views of each study; the first estimate is the primary one, the last the second method's."""
    for index in range(len(estimates[0].value)):
        effects = [(float(e.value[index]), float(e.error[index]), float(e.dof[index])) for e in estimates]
        yield Views(effects[0], tuple(effects[1:-1]), effects[-1], margin)


def _patterns(s: _Simulation) -> Answers:
    """C1. A clause's pattern is the softmax of log weights; strategies tilt it, runs shake it."""
    d, effect, studies, rng = s.design, s.effect, s.studies, s.rng
    words, loads = 12, 4
    spread = math.hypot(d.run_sd, d.residual_sd)
    tilt = spread * math.sqrt(effect / (1 - effect))
    margin, found = -math.log1p(-s.tests.C1.bands[0]), []
    shape = (studies, len(d.sizes), 1 + d.others, d.seeds, d.clauses, words)
    base = rng.normal(0, 1, (studies, 1, 1, 1, d.clauses, words))
    base = base + rng.normal(0, tilt, (studies, 1, 1 + d.others, 1, d.clauses, words))
    loading = rng.normal(0, 1 / math.sqrt(loads), (studies, 1, 1, 1, d.clauses, words, loads))
    base = base + (loading * rng.normal(0, d.run_sd, (*shape[:4], 1, 1, loads))).sum(axis=-1)
    base = base + rng.normal(0, d.residual_sd, shape)
    views = []
    for _ in range(d.views + 2):  # the primary view, the others, the second method
        weight = np.exp(base + rng.normal(0, d.view_sd, shape))
        views.append(weight / weight.sum(axis=-1, keepdims=True))
    for other in range(1, 1 + d.others):
        pairs = [
            [Pair(squared_distances(v[:, k, [0, other]].reshape(studies, 2 * d.seeds, d.clauses, words)))
             for k in range(len(d.sizes))]
            for v in views
        ]  # fmt: skip
        p, _ = excess_test(pairs[0], permutations=s.limits.permutations)
        found.append(s.answer([excess(own) for own in pairs], p, margin))
    return map(list, zip(*found, strict=True))


def _differences(d: Design, shift: float, blocks: int, studies: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Paired differences (studies, blocks, clauses) of each view: one stratum's worth."""
    shared = shift + rng.normal(0, d.effect_sd, (studies, 1, d.clauses))
    shared = shared + rng.normal(0, math.sqrt(2) * d.run_sd, (studies, blocks, 1))
    shared = shared + rng.normal(0, math.sqrt(2) * d.residual_sd, (studies, blocks, d.clauses))
    noise = (studies, blocks, d.clauses)
    return [shared + rng.normal(0, math.sqrt(2) * d.view_sd, noise) for _ in range(d.views + 2)]


def _focus(s: _Simulation) -> Answers:
    """C2. Positive: full fine-tuning rests on fewer words."""
    d, effect, studies, rng = s.design, s.effect, s.studies, s.rng
    found = []
    for _ in range(d.others):
        sizes = [_differences(d, -math.log1p(-effect), d.seeds, studies, rng) for _ in d.sizes]
        views = [list(own) for own in zip(*sizes, strict=True)]
        runs, _ = swap_test([own.mean(axis=-1) for own in views[0]], permutations=s.limits.permutations)
        estimates = [paired_difference(own) for own in views]
        p = np.maximum(runs, _two_sided(estimates[0]))
        found.append(s.answer(estimates, p, -math.log1p(-s.tests.C2.margin)))
    return map(list, zip(*found, strict=True))


def _two_sided(found: Estimate) -> np.ndarray:
    above = found.confidence_above(0.0)
    return 2 * np.minimum(above, 1 - above)


def _weight(s: _Simulation) -> Answers:
    """C3. Three strategies; the weight rises in a straight line over log10(parameters)."""
    d, effect, studies, rng = s.design, s.effect, s.studies, s.rng
    x = np.array(d.sizes)
    centred = x - x.mean()
    slope, whole = centred / (centred @ centred), np.eye(len(x))[-1] - np.eye(len(x))[0]
    found = []
    for _ in range(2):
        shape = (studies, d.seeds, len(x), d.clauses)
        rising = math.log1p(effect) + rng.normal(0, d.effect_sd, (studies, 1, 1, d.clauses))
        strata = []
        for _ in range(1 + d.others):
            values = (
                rising * x[:, None] + rng.normal(0, d.run_sd, (*shape[:3], 1)) + rng.normal(0, d.residual_sd, shape)
            )
            strata.append([values + rng.normal(0, d.view_sd, shape) for _ in range(d.views + 2)])
        views = [list(own) for own in zip(*strata, strict=True)]
        found.append(list(_answer_weights(s, views, x, slope, whole)))
    return map(list, zip(*found, strict=True))


def _answer_weights(
    s: _Simulation, views: list[list[np.ndarray]], x: np.ndarray, slope: np.ndarray, whole: np.ndarray
) -> Iterator[str]:
    limits = s.limits

    def change(own: list[np.ndarray], weights: np.ndarray) -> Estimate:
        return paired_difference([np.einsum("nskc,k->nsc", values, weights) for values in own])

    steps = [np.eye(len(x))[k + 1] - np.eye(len(x))[k] for k in range(len(x) - 1)]
    rates = [step / gap for step, gap in zip(steps, np.diff(x), strict=True)]
    bends = [_two_sided(change(views[0], b - a)) for a, b in itertools.pairwise(rates)]
    line_N = len(bends) * np.min(bends, axis=0) > limits.alpha
    falls = [change(views[0], step).interval()[1] for step in steps]
    per = {kind: [change(own, weights) for own in views] for kind, weights in ((True, slope), (False, whole))}
    by_kind = {kind: list(_of_studies(own, math.log1p(s.tests.C3.margin))) for kind, own in per.items()}
    for n, line in enumerate(line_N):
        view, weights = by_kind[bool(line)][n], slope if line else whole
        means = [values[n].mean(axis=-1) for values in views[0]]
        runs, _ = order_test(means, weights, limits.permutations, seed=0)
        p = max(runs, float(_two_sided(per[bool(line)][0])[n]))
        falling = ["a step"] if any(high[n] < 0 for high in falls) else []
        yield decide(view, p, limits, falling)[0]


def _plateau(s: _Simulation) -> Answers:
    """C4. Rules are right or wrong; clauses differ in how hard they are."""
    d, effect, studies, rng = s.design, s.effect, s.studies, s.rng
    levels = np.array([0.4] + [0.7] * (len(d.sizes) - 2) + [0.7 + effect])
    hard = rng.beta(2, 2, (studies, 1, 1, d.clauses)) - 0.5
    strata = []
    for _ in range(1 + d.others):
        level = levels[:, None] + rng.normal(0, d.run_sd, (studies, d.seeds, len(levels), 1))
        strata.append((rng.random((studies, d.seeds, len(levels), d.clauses)) < level + 0.5 * hard).astype(float))
    steps = [paired_difference([own[:, :, k + 1] - own[:, :, k] for own in strata]) for k in range(len(levels) - 1)]
    last = np.mean([own[:, :, -1].mean(axis=(1, 2)) for own in strata], axis=0)
    for n in range(studies):
        effects = [(float(e.value[n]), float(e.error[n]), float(e.dof[n])) for e in steps]
        yield [
            decide_plateau(effects, float(last[n]), BEST["equivalent"], margin=s.tests.C4.margin, alpha=s.limits.alpha)[
                0
            ]
        ]
