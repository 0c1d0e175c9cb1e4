"""What the declared tests find: effects that were planted, and hardly ever one that was not.

Whole simulated studies run through the decisive tests as arrays, 500 for each claim. That the arrays decide as the
frames do is checked first; ``tests/test_findings.py`` runs few simulated studies through every frame and verdict.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
from made_frames import PARAMETERS

from compliance_xai import stats
from compliance_xai.stats import power

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
        distances = stats.distance_frame(pd.concat(frames, ignore_index=True))
        tests = stats.compare_distances(distances, ["jensen_shannon"], bootstrap=400)
        tests = tests[(tests["scale"] == "all") & (tests["strategy_a"] == "full")]
        decided.append(bool(((tests["p_run"] <= 0.05) & (tests["ratio_low"] >= 1.1)).all()))
    assert power.detect_distance(shares).tolist() == decided
    assert len(set(decided)) == 2


def test_arrays_decide_about_trends_as_frames_do():
    values = power.simulate_values(LIFT, 5, scale=0.13 * DECADES, seed=3)
    decided = []
    for study in values:
        row = stats.scale_trend(stats.with_trained(as_frame(study)), "value", bootstrap=400).iloc[-1]
        decided.append(row["low"] > 0.05 and row["page_p"] <= 0.05 and row["p_run"] <= 0.05)
    assert power.detect_trend(values, DECADES).tolist() == decided
    assert len(set(decided)) == 2


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


def test_shifted_runs_alone_are_no_effect_however_many_clauses():
    """Trainings that differ by chance, many clauses: clauses alone would be sure, runs are not."""
    design = power.Design(clauses=200, run_sd=0.05, residual_sd=0.02)
    assert power.detect_focus(power.simulate_values(design, 300)).mean() <= 0.06


def test_holm_agrees_with_pingouin():
    import pingouin

    p = np.array([[0.01, 0.04, 0.03], [0.5, 0.2, 0.02]])
    for row, found in zip(p, power._holm(p), strict=True):
        assert found.tolist() == pytest.approx(pingouin.multicomp(row, method="holm")[1].tolist())
