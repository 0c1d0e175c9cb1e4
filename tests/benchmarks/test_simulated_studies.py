"""How often verdicts are right, by simulation with the rules in force."""

import dataclasses

import numpy as np
import pytest
import simulated_studies as power

from compliance_xai.stats.claims import CONTRADICTED, SUPPORTED
from compliance_xai.stats.estimates import paired_difference

STUDIES = 300


def rates(claim, effect, studies=STUDIES, **changes):
    return power.verdict_rates(claim, effect, dataclasses.replace(power.DESIGNS[claim], **changes), studies=studies)


@pytest.mark.parametrize("claim", ["C2", "C3"])
def test_an_effect_that_is_not_there_is_hardly_ever_supported(claim):
    assert rates(claim, 0.0)[SUPPORTED] <= 0.06


@pytest.mark.parametrize("claim", ["C2", "C3"])
def test_an_effect_of_the_smallest_size_of_interest_is_hardly_ever_contradicted(claim):
    assert rates(claim, 0.05)[CONTRADICTED] <= 0.08  # 5 % and 1.96 standard errors of 300 studies
    assert rates(claim, 0.15)[SUPPORTED] > 0.9


def test_patterns():
    none, some = rates("C1", 0.0, studies=60), rates("C1", 0.15, studies=60)
    assert none[SUPPORTED] <= 0.1  # 1.7 % in 600 studies
    assert some[SUPPORTED] > 0.85


def test_plateaus():
    assert rates("C4", 0.05)[SUPPORTED] <= 0.08  # a rise just as large as the margin is no plateau
    assert rates("C4", 0.0, seeds=5)[SUPPORTED] > 0.6
    assert rates("C4", 0.15)[CONTRADICTED] > 0.8


def test_rates_add_up_and_grow_with_the_effect():
    found = [rates("C2", effect) for effect in (0.0, 0.05, 0.1)]
    assert all(sum(rate.values()) == pytest.approx(1.0) for rate in found)
    assert found[0][SUPPORTED] < found[1][SUPPORTED] < found[2][SUPPORTED]


def test_simulated_differences_have_the_declared_spreads():
    design = power.Design(clauses=200, run_sd=0.05, residual_sd=0.2, effect_sd=0.1, view_sd=0.0)
    (values, *_) = power._differences(design, 0.3, 4, 400, np.random.default_rng(0))
    assert values.mean() == pytest.approx(0.3, abs=0.01)
    assert values.mean(axis=2).std(axis=1, ddof=1).mean() == pytest.approx(0.05 * np.sqrt(2), rel=0.12)
    assert paired_difference([values]).error.mean() == pytest.approx(np.std(values.mean(axis=(1, 2))), rel=0.15)
