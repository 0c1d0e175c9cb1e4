"""What the declared tests find: effects that were planted, and hardly ever one that was not.

Whole simulated studies run through the decisive tests as arrays, 500 for each claim. That the arrays decide as the
frames do is checked first; ``tests/test_findings.py`` runs few simulated studies through every frame and verdict.
"""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from made_frames import PARAMETERS

from compliance_xai import stats
from compliance_xai.attribution.distances import distance_frame
from compliance_xai.stats import power
from compliance_xai.stats.run_tests import (
    add_errors,
    rank_biserial_errors,
    ratio_errors,
    slope_errors,
    step_errors,
    widen,
)

SMALL = power.Design(clauses=14, scales=3, strategies=3, seeds=2)
DECADES = np.log10(list(PARAMETERS.values()))
LIFT = power.Design(clauses=40, clause_sd=0.4, run_sd=0.06, residual_sd=0.4)
SIMILARITY = power.Design(clauses=120, clause_sd=0.05, run_sd=0.004, residual_sd=0.03)


def as_frame(values_SKRC):
    names = ("full", "lora", "qlora")
    rows = [
        (scale, name, size, run, f"c{clause:02}", values_SKRC[s, k, run, clause])
        for (s, (scale, size)), (k, name) in itertools.product(enumerate(PARAMETERS.items()), enumerate(names))
        for run, clause in itertools.product(range(values_SKRC.shape[2]), range(values_SKRC.shape[3]))
    ]
    frame = pd.DataFrame(rows, columns=["scale", "strategy", "parameters", "seed", "id", "value"])
    return frame.assign(method="leave_one_out", baseline="delete", sign="absolute")


def reach(rows, name, *, confidence=0.95):
    """Bounds of a column for other clauses and other trainings, as ``findings`` takes them: arrays low, high."""
    low, high = (
        (f"{name}_low", f"{name}_high") if f"{name}_low" in rows else ("low", "high")
    )  # the main number of a table has short names
    columns = [name, low, high, "run_error", "run_dof"]
    bounds = [widen(*row, confidence=confidence) for row in rows[columns].itertuples(index=False)]
    return np.array(bounds).T


def test_arrays_decide_about_focus_as_frames_do():
    values = power.simulate_values(SMALL, 6, strategy=[-0.04, 0, 0], seed=1)
    decided = []
    for study in values:
        frame = as_frame(study)
        effects = stats.strategy_effects(frame, "value", bootstrap=100)
        pairs = stats.compare_strategies(frame, "value", bootstrap=100)
        pairs = pairs[pairs["scale"] == "all"]
        wanted = effects["strategy_a"].eq("full").to_numpy()
        p_run = [power.permute_runs(study[None][:, :, [0, k]].mean(axis=-1))[0] for k in (1, 2)]
        assert effects["p_run"][wanted].tolist() == pytest.approx(p_run)
        clear = (pairs["p_holm"] <= 0.05).to_numpy() & (pairs["rank_biserial"] <= -0.3).to_numpy()
        decided.append(bool((clear[wanted] & (effects["p_run"][wanted] <= 0.05).to_numpy()).all()))
    assert power.detect_focus(values).tolist() == decided
    assert len(set(decided)) == 2  # some found, some not: the comparison says something


def test_arrays_decide_about_distances_as_frames_do():
    shares = power.simulate_patterns(power.Design(clauses=10), 4, tilt=0.45, features=8, seed=2)
    decided = []
    for study in shares:
        frames = [as_frame(study[..., f]).assign(feature=f).rename(columns={"value": "share"}) for f in range(8)]
        distances = distance_frame(pd.concat(frames, ignore_index=True))
        tests = stats.compare_distances(distances, ["jensen_shannon"], bootstrap=400)
        tests = add_errors(tests, ratio_errors(distances, "jensen_shannon"))
        tests = tests[(tests["scale"] == "all") & (tests["strategy_a"] == "full")]
        low, _ = reach(tests, "ratio")
        decided.append(bool(((tests["p_run"] <= 0.05) & (low >= 1.1)).all()))
    assert power.detect_distance(shares).tolist() == decided
    assert len(set(decided)) == 2


def test_arrays_decide_about_trends_as_frames_do():
    values = power.simulate_values(LIFT, 5, scale=0.13 * DECADES, seed=3)
    decided = []
    for study in values:
        frame = stats.with_trained(as_frame(study))
        row = stats.scale_trend(frame, "value", bootstrap=400).iloc[-1:]
        row = add_errors(row, slope_errors(frame, "value"))
        low, _ = reach(row, "slope")
        decided.append(bool(low[0] > 0.05 and row["page_p"].iloc[0] <= 0.05 and row["p_run"].iloc[0] <= 0.05))
    assert power.detect_trend(values, DECADES).tolist() == decided
    assert len(set(decided)) == 2


def test_arrays_contradict_as_frames_do():
    """Bounds for other clauses and other trainings, claim by claim: the same numbers on both ways."""
    shares = power.simulate_patterns(power.Design(clauses=10), 2, tilt=0.2, features=8, seed=7)
    for index, study in enumerate(shares):
        frames = [as_frame(study[..., f]).assign(feature=f).rename(columns={"value": "share"}) for f in range(8)]
        distances = distance_frame(pd.concat(frames, ignore_index=True))
        tests = stats.compare_distances(distances, ["jensen_shannon"], bootstrap=400)
        tests = add_errors(tests, ratio_errors(distances, "jensen_shannon"))
        tests = tests[(tests["scale"] == "all") & (tests["strategy_a"] == "full")]
        for other, bounds in enumerate(zip(*reach(tests, "ratio"), strict=True), start=1):
            found = power._ratio_bounds(power._pair_distances(shares, other), 0)
            assert [part[index] for part in found] == pytest.approx(bounds)
    values = power.simulate_values(SMALL, 3, strategy=[-0.02, 0, 0], seed=8)
    lows = []
    for study in values:
        frame = as_frame(study)
        pairs = stats.compare_strategies(frame, "value", bootstrap=200)
        pairs = pairs[(pairs["scale"] == "all") & (pairs["strategy_a"] == "full")].reset_index(drop=True)
        effects = rank_biserial_errors(frame, "value")
        effects = effects[effects["strategy_a"] == "full"].reset_index(drop=True)
        assert effects["rank_biserial"].tolist() == pytest.approx(pairs["rank_biserial"].tolist())
        low, _ = reach(pairs.assign(**effects[["run_error", "run_dof"]]), "rank_biserial")
        lows.append(low)
    reached = {margin: power.exclude_focus(values, margin=margin).tolist() for margin in (-0.2, 0.1, 0.5, 0.9)}
    assert reached == {margin: [bool((-low < margin).any()) for low in lows] for margin in reached}
    values = power.simulate_values(SIMILARITY, 3, scale=[0.5, 0.55, 0.57], seed=9)
    for margin in (0.0, 0.01, 0.02):
        decided = []
        for study in values:
            frame = stats.with_trained(as_frame(study))
            table = stats.equivalence_table(frame, "value", margin=0.02)
            table = add_errors(table, step_errors(frame, "value"))
            low, _ = reach(table[table["strategy"] == "trained"].iloc[-1:], "mean_difference", confidence=0.9)
            decided.append(bool(low[0] > margin))
        assert power.exclude_plateau(values, margin=margin).tolist() == decided


def test_arrays_decide_about_plateaus_as_frames_do():
    values = power.simulate_values(SIMILARITY, 6, scale=[0.5, 0.55, 0.562], seed=5)
    decided = []
    for study in values:
        table = stats.equivalence_table(stats.with_trained(as_frame(study)), "value", margin=0.02)
        first, last = table[table["strategy"] == "trained"].to_dict("records")
        rose = first["low"] > 0 and max(first["p_difference"], first["p_difference_run"]) <= 0.05
        decided.append(bool(rose and not first["equivalent"] and last["equivalent"]))
    assert power.detect_plateau(values).tolist() == decided
    assert len(set(decided)) == 2


@pytest.mark.parametrize("claim", ["C1", "C2", "C3", "C4"])
def test_what_is_not_there_is_found_in_six_of_a_hundred_studies_at_most(claim):
    assert power.find_rate(claim, 0.0) <= 0.06


def test_a_score_that_rises_on_and_on_is_no_plateau():
    rising = power.simulate_values(power.DEFAULT["C4"], 500, scale=[0, 0.03, 0.06])
    assert power.detect_plateau(rising).mean() <= 0.06


@pytest.mark.parametrize("claim", ["C1", "C2", "C3", "C4"])
def test_what_the_design_claims_to_detect_is_found_in_four_of_five_studies(claim):
    assert power.find_rate(claim, power.PLANTED[claim]) >= 0.8


@pytest.mark.parametrize("claim", ["C1", "C2", "C3", "C4"])
@pytest.mark.parametrize("seeds", [2, 5])
def test_an_effect_as_large_as_declared_is_seldom_contradicted(claim, seeds):
    """Intervals over clauses alone, conditional on the trained runs, did so in up to 24 of 100 studies."""
    design = dataclasses.replace(power.DEFAULT[claim], seeds=seeds, clauses=24 if claim == "C1" else 48)
    studies = 200 if claim == "C1" else 500  # a pattern is 12 numbers and its distances are many
    assert power.contradict_rate(claim, power.MARGIN[claim], design, studies=studies) <= 0.06


def test_shifted_runs_alone_are_no_effect_however_many_clauses():
    """Trainings that differ by chance, many clauses: clauses alone would be sure, runs are not."""
    design = power.Design(clauses=200, run_sd=0.05, residual_sd=0.02)
    assert power.detect_focus(power.simulate_values(design, 300)).mean() <= 0.06


def test_holm_agrees_with_pingouin():
    import pingouin

    p = np.array([[0.01, 0.04, 0.03], [0.5, 0.2, 0.02]])
    for row, found in zip(p, power._holm(p), strict=True):
        assert found.tolist() == pytest.approx(pingouin.multicomp(row, method="holm")[1].tolist())
