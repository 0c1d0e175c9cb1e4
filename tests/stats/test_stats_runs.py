"""What other trainings would change: standard errors over runs, and intervals that hold for clauses and runs."""

import math

import numpy as np
import pytest
from made_frames import PARAMETERS, focused, make_frame, make_masses, rising

from compliance_xai import stats
from compliance_xai.attribution.distances import distance_frame
from compliance_xai.stats import power
from compliance_xai.stats.run_tests import (
    add_errors,
    jackknife_error,
    rank_biserial,
    rank_biserial_errors,
    ratio_errors,
    slope_errors,
    step_errors,
    widen,
)


def test_the_jackknife_of_means_is_their_standard_error():
    a, b = np.array([1.0, 4.0, 2.5]), np.array([0.0, 1.0])
    left_out = [[np.delete(a, run).mean() - b.mean() for run in range(3)]]
    left_out += [[a.mean() - np.delete(b, run).mean() for run in range(2)]]
    error, dof = jackknife_error(left_out)
    assert error == pytest.approx(math.sqrt(a.var(ddof=1) / 3 + b.var(ddof=1) / 2))
    assert dof == 3
    assert math.isnan(jackknife_error([[1.0, 2.0], [1.0]])[0])
    assert math.isnan(jackknife_error([])[0])


def test_half_widths_add_as_squares():
    low, high = widen(1.0, -2.0, 5.0, 4.0 / 2.228139, 10)  # qt(0.975, 10) in R: 2.228139
    assert (low, high) == (pytest.approx(1 - 5), pytest.approx(1 + math.hypot(4, 4)))
    assert all(math.isnan(bound) for bound in widen(1.0, 0.0, 2.0, math.nan, 0))


def test_an_interval_for_clauses_and_runs_covers_where_one_over_clauses_does_not():
    """A slope of zero, runs that differ, many clauses: 500 studies as arrays, which decide as frames do."""
    design = power.Design(clauses=60, run_sd=0.05, residual_sd=0.1)
    values = power.simulate_values(design, 500, seed=1)
    centred = np.asarray(power.DECADES) - np.mean(power.DECADES)
    low, high = power._slope_bounds(values, centred, 0)
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.99
    slopes = values.mean(axis=(2, 3)).transpose(0, 2, 1) @ centred / (centred @ centred)
    reach = 1.96 * slopes.std(axis=1, ddof=1) / np.sqrt(design.clauses)
    assert np.mean(np.abs(slopes.mean(axis=1)) <= reach) < 0.7


def test_the_error_of_a_slope_is_that_of_least_squares_on_run_means():
    frame = make_frame(focused, scales=tuple(PARAMETERS), strategies=("full",), clauses=12)
    row = slope_errors(frame, "value").iloc[0]
    runs = frame.groupby(["scale", "seed"])["value"].mean().reset_index()
    x = np.log10(runs["scale"].map(PARAMETERS))
    spread = runs.groupby("scale")["value"].var().mean()
    assert row["run_error"] == pytest.approx(math.sqrt(spread / ((x - x.mean()) ** 2).sum()))
    assert row["run_dof"] == len(runs) - len(PARAMETERS)


def test_the_error_of_a_ratio_leaves_out_one_run_at_a_time():
    masses = make_masses(0.5, clauses=6)
    distances = distance_frame(masses)
    row = ratio_errors(distances, "jensen_shannon").iloc[0]
    groups = []
    for (scale, strategy), own in masses.groupby(["scale", "strategy"]):
        ratios = []
        for seed in own["seed"].unique():
            gone = (masses["scale"] == scale) & (masses["strategy"] == strategy) & (masses["seed"] == seed)
            fewer = stats.compare_distances(
                distance_frame(masses[~gone]), ["jensen_shannon"], bootstrap=100, permutations=100
            )
            ratios.append(fewer.loc[fewer["scale"] == "all", "ratio"].iloc[0])
        groups.append(ratios)
    error, dof = jackknife_error(groups)
    assert (row["run_error"], row["run_dof"]) == (pytest.approx(error), dof)


def test_rank_biserial_is_pingouins():
    import pingouin

    rng = np.random.default_rng(1)
    a, b = rng.normal(0.2, 1, 30), rng.normal(0, 1, 30)
    a[:3] = b[:3]
    assert rank_biserial(a - b) == pytest.approx(float(pingouin.wilcoxon(a, b)["RBC"].iloc[0]))
    assert rank_biserial(np.zeros(4)) == 0


def test_the_error_of_a_step_is_over_pairs_of_runs():
    frame = make_frame(rising, scales=tuple(PARAMETERS), strategies=("full", "lora"), clauses=12, run=0.05)
    table = stats.equivalence_table(stats.with_trained(frame), "value", margin=0.5)
    table = add_errors(table, step_errors(stats.with_trained(frame), "value"))
    last = table[table["strategy"] == "trained"].iloc[-1]
    means = frame.groupby(["scale", "strategy", "seed"])["value"].mean()
    steps = means["4m"] - means["1m"]
    assert last["run_error"] == pytest.approx(steps.std() / 2)
    assert last["run_dof"] == 3 == last["n_runs"] - 1


def test_errors_stand_beside_their_own_rows():
    distances = distance_frame(make_masses(0.5, clauses=6, scales=("1m", "4m")))
    tests = stats.compare_distances(distances, bootstrap=100, permutations=100)
    joined = add_errors(tests, ratio_errors(distances))
    assert joined[tests.columns.tolist()].equals(tests)
    assert (joined["run_error"].notna() == (joined["scale"] == "all")).all()


def test_what_cannot_be_known_is_no_number():
    frame = make_frame(focused, scales=tuple(PARAMETERS), strategies=("full", "lora"), clauses=12)
    one, masses = frame[frame["seed"] == 0], make_masses(0.5, clauses=6)
    unknown = [
        slope_errors(one, "value"),
        slope_errors(frame[frame["scale"] == "1m"], "value"),
        slope_errors(frame.assign(value=math.nan), "value"),
        slope_errors(stats.with_trained(frame[(frame["scale"] != "4m") | (frame["strategy"] != "lora")]), "value")[-1:],
        step_errors(one, "value"),
        rank_biserial_errors(one, "value"),
        rank_biserial_errors(frame.assign(value=math.nan), "value"),
        ratio_errors(distance_frame(masses[masses["seed"] == 0])),
        ratio_errors(distance_frame(masses.assign(share=math.nan))),
    ]
    for table in unknown:
        assert len(table)
        assert table["run_error"].isna().all()
        assert (table["run_dof"] == 0).all()
