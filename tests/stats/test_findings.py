import json
import math

import numpy as np
import pandas as pd
import pytest

from compliance_xai import stats
from compliance_xai.attribution.distances import distance_frame
from compliance_xai.stats import run_tests as runs
from compliance_xai.stats.claim_records import (
    CONTRADICTED,
    INCONCLUSIVE,
    STATEMENTS,
    SUPPORTED,
    findings_frame,
    findings_from_json,
    findings_to_json,
)
from compliance_xai.stats.claims import FRAMES, RULES, judge
from compliance_xai.study.claim_settings import ClaimTests, LiftTest, Thresholds

SCALES = {"0.3m": 300_000, "1m": 1_000_000, "4m": 4_000_000}
KINDS = {"full": "full", "lora": "lora", "qlora": "qlora"}


TESTS = ClaimTests()
LIMITS = Thresholds(bootstrap=200, permutations=300, min_baselines=2, min_methods=1)
"""Two baselines and one method, so that most tests are fast; what agreement asks for has tests of its own."""


def simulate(
    *, tilt=0.0, focus=0.0, slope=0.0, quality=(0.5, 0.8, 0.8), scales=SCALES, seeds=2, kinds=KINDS,
    baselines=("delete", "mask"), signs=("absolute",), clauses=12, seed=0,
):  # fmt: skip
    """Frames of a study whose truth is known: what differs between strategies and scales is what the arguments say."""
    rng = np.random.default_rng(seed)
    places = [
        (scale, name, parameters, run, f"c{clause:03}")
        for scale, parameters in scales.items()
        for name, kind in kinds.items()
        for run in range(1 if kind == "none" else seeds)
        for clause in range(clauses)
    ]
    cells = pd.DataFrame(places, columns=["scale", "strategy", "parameters", "seed", "id"])
    clause = cells["id"].str[1:].astype(int).to_numpy()
    level = rng.normal(0.6, 0.08, clauses)[clause]
    step = cells["scale"].map({name: quality[min(index, len(quality) - 1)] for index, name in enumerate(scales)})
    scores = cells.assign(semantic=step + level / 10 + rng.normal(0, 0.01, len(cells)))
    views = [{"method": "leave_one_out", "baseline": name, "sign": sign} for name in baselines for sign in signs]
    words = 10 + clause % 7
    sure = {"n_features": words, "n_target_tokens": 20, "baseline_log_prob": rng.normal(-9, 2, len(cells))}
    sure["total_mass"] = np.exp(rng.normal(3, 0.2, len(cells)))
    base, tilts = rng.normal(size=(clauses, 8)), {name: tilt * rng.normal(size=(clauses, 8)) for name in kinds}
    profile_NF = base[clause] + np.stack([tilts[name][c] for name, c in zip(cells["strategy"], clause, strict=True)])
    masses, focus_parts, categories = [], [], []
    for view in views:
        weight = np.exp(profile_NF + 0.15 * rng.normal(size=profile_NF.shape))
        share = weight / weight.sum(axis=1, keepdims=True)
        repeated = cells.loc[cells.index.repeat(8)]
        masses.append(repeated.assign(feature=np.tile(range(8), len(cells)), share=share.ravel(), **view))
        lower = focus * (cells["strategy"] == "full")
        entropy = level - lower + rng.normal(0, 0.02, len(cells))
        focus_parts.append(cells.assign(normalised_entropy=entropy, **sure, **view))
        for category in ("numerical_constraint", "rule_identifier_all"):
            lift = slope * np.log10(cells["parameters"]) + level + rng.normal(0, 0.05, len(cells))
            categories.append(cells.assign(category=category, log_lift=lift, **view))
    joined = [pd.concat(parts, ignore_index=True) for parts in (masses, focus_parts, categories)]
    return dict(zip(("masses", "focus", "categories", "scores"), (*joined, scores), strict=True))


def compare(frames, *, bootstrap=200, permutations=300):
    """What the comparison stages give ``judge``."""
    few = {"bootstrap": bootstrap, "permutations": permutations}
    focus, scores = frames["focus"], stats.with_trained(frames["scores"])
    distances = distance_frame(frames["masses"])
    lift, by = stats.with_trained(frames["categories"]), ("strategy", *stats.VIEW, "category")
    return {
        "distances": runs.add_errors(
            stats.compare_distances(distances, ["jensen_shannon"], **few),
            runs.ratio_errors(distances, "jensen_shannon"),
        ),
        "effects": runs.add_errors(
            stats.strategy_effects(focus, "normalised_entropy", **few),
            runs.rank_biserial_errors(focus, "normalised_entropy"),
        ),
        "pairs": stats.compare_strategies(focus, "normalised_entropy", bootstrap=bootstrap),
        "mixed": stats.mixed_model_table(focus[focus["id"] < "c030"], "normalised_entropy"),  # for speed
        "controls": stats.controls_table(focus, "normalised_entropy", bootstrap=bootstrap),
        "trends": runs.add_errors(
            stats.scale_trend(lift, "log_lift", by=by, **few), runs.slope_errors(lift, "log_lift", by=by)
        ),
        "equivalence": runs.add_errors(
            stats.equivalence_table(scores, "semantic", margin=0.02), runs.step_errors(scores, "semantic")
        ),
        "breaks": stats.find_break(scores, "semantic", bootstrap=bootstrap),
    }


def decide_compared(compared, *, kinds=KINDS, missing=(), limits=LIMITS, tests=TESTS):
    findings = judge(tests, limits, compared, corpus="synthetic", ladder="embedded", kinds=kinds, missing=missing)
    assert [finding.claim for finding in findings] == ["C1", "C2", "C3", "C4"]
    assert {(finding.corpus, finding.ladder) for finding in findings} == {("synthetic", "embedded")}
    return {finding.claim: finding for finding in findings}


def decide(frames, **options):
    return decide_compared(compare(frames), **options)


@pytest.fixture(scope="module")
def compared():
    return compare(simulate(tilt=1.0, focus=0.2, slope=0.4))


@pytest.fixture(scope="module")
def planted(compared):
    return decide_compared(compared)


@pytest.fixture(scope="module")
def null():
    return decide(simulate(quality=(0.5, 0.65, 0.8), clauses=250))


def test_planted_effects_are_supported(planted):
    assert {claim: finding.verdict for claim, finding in planted.items()} == dict.fromkeys(STATEMENTS, SUPPORTED)
    assert planted["C1"].effect > 2
    assert planted["C1"].reason == "holds for full and lora, full and qlora in every view"
    assert planted["C2"].effect > 0.9
    assert planted["C3"].effect == pytest.approx(0.4, abs=0.05)
    assert planted["C4"].reason.startswith("rises from 0.3m to 1m, then stays within 0.0")
    assert {finding.n for finding in planted.values()} == {12}
    for finding in planted.values():
        assert finding.low <= finding.effect <= finding.high


def test_their_absence_is_contradicted_not_called_insignificant(null):
    assert {claim: finding.verdict for claim, finding in null.items()} == {
        "C1": CONTRADICTED,
        "C2": CONTRADICTED,
        "C3": CONTRADICTED,
        "C4": CONTRADICTED,
    }
    assert null["C1"].effect == pytest.approx(1.0, abs=0.1)
    assert "interval excludes the declared effect" in null["C2"].reason
    assert null["C4"].reason.startswith("the last step still rises by more than 0.0")


def test_the_opposite_of_focus_is_contradicted():
    found = decide(simulate(focus=-0.2))["C2"]
    assert found.verdict == CONTRADICTED
    assert found.effect < -0.9


def test_runs_that_differ_contradict_nothing(compared):
    """What many clauses exclude for these trainings, other trainings may still do."""
    small = compare(simulate(quality=(0.5, 0.65, 0.8), clauses=250))
    unsure = {
        name: frame.assign(run_error=10.0, run_dof=4.0) if "run_error" in frame else frame
        for name, frame in small.items()
    }
    found = decide_compared(unsure)
    assert {finding.verdict for finding in found.values()} == {INCONCLUSIVE}
    assert found["C1"].low < -10 < 10 < found["C1"].high  # the interval that decides is the one that is shown
    assert (found["C2"].low, found["C2"].high) == (-1.0, 1.0)


def test_a_single_seed_decides_nothing():
    found = decide(simulate(tilt=1.0, focus=0.2, slope=0.4, seeds=1))
    assert {finding.verdict for finding in found.values()} == {INCONCLUSIVE}
    assert "a single seed of each strategy" in found["C1"].reason
    assert "a strategy has a single seed at some scale" in found["C2"].reason
    assert "a single seed in some cell; decided by its companion" in found["C2"].reason
    assert "a single seed in some cell" in found["C3"].reason
    assert found["C4"].reason == "a single seed in some cell"


def test_one_scale_decides_nothing_about_scales_and_cannot_reach_alpha():
    one = {"1m": 1_000_000}
    found = decide(simulate(tilt=1.0, focus=0.2, slope=0.4, scales=one))
    assert {finding.verdict for finding in found.values()} == {INCONCLUSIVE}
    assert "too few seeds: whole-run permutation cannot go below p = 0.333" in found["C1"].reason
    assert "a single scale" in found["C3"].reason
    assert (found["C4"].reason, found["C4"].effect) == ("fewer than three scales", None)


def test_a_strategy_that_the_study_lacks_is_named():
    kinds = {"none": "none", "full": "full"}
    found = decide(simulate(kinds=kinds, scales={"1m": 1_000_000}), kinds=kinds)
    for claim in ("C1", "C2"):
        assert found[claim].verdict == INCONCLUSIVE
        assert found[claim].reason.endswith("no strategy is of kind lora or qlora")


def with_views(compared, *, baselines=("delete", "mask", "counterfactual"), second=None, turn=1.0):
    """The same results for more baselines, and for a second method; ``turn`` -1 lets it find the opposite."""
    made = {}
    for name, frame in compared.items():
        if "baseline" not in frame:
            made[name] = frame
            continue
        one = frame[frame["baseline"] == "delete"]
        parts = [one.assign(baseline=baseline) for baseline in baselines]
        if second:
            columns = [c for c in ("rank_biserial", "slope") if c in one]
            other = one.assign(method=second, **{column: turn * one[column] for column in columns})
            parts.append(other.assign(ratio=1.0) if turn < 0 and "ratio" in one else other)
        made[name] = pd.concat(parts, ignore_index=True)
    return made


def test_three_baselines_and_two_methods_must_agree(compared):
    limits = Thresholds()
    for views, lacking in (
        (compared, "3 baselines of attribution must agree, and the study has delete, mask; 2 methods"),
        (with_views(compared), "2 methods of attribution must agree, and the study has leave_one_out"),
        (with_views(compared, baselines=["mask"], second="owen"), "3 baselines of attribution must agree"),
    ):
        found = decide_compared(views, limits=limits)
        for claim in ("C1", "C2", "C3"):
            assert found[claim].verdict == INCONCLUSIVE
            assert found[claim].reason.startswith("by design: ")
            assert lacking in found[claim].reason
            assert "Under these alone: supported" in found[claim].reason
            assert "second method" in found[claim].what_would_change
        assert found["C4"].verdict == SUPPORTED  # it rests on no attribution
    agreed = decide_compared(with_views(compared, second="owen"), limits=limits)
    assert {finding.verdict for finding in agreed.values()} == {SUPPORTED}


def test_a_second_method_that_finds_the_opposite_leaves_it_open(compared):
    found = decide_compared(with_views(compared, second="owen", turn=-1.0), limits=Thresholds())
    for claim in ("C1", "C2", "C3"):
        assert found[claim].verdict == INCONCLUSIVE
        assert "owen does not find it" in found[claim].reason


def test_a_mixed_model_without_a_fit_leaves_the_decision_to_its_companion(compared):
    broken = compared["mixed"].assign(converged=False, reason="the mixed model did not converge: singular")
    found = decide_compared(compared | {"mixed": broken})["C2"]
    assert found.verdict == SUPPORTED
    assert "did not converge: singular; decided by its companion, Wilcoxon's test, and 3 more" in found.reason
    weak = compared["mixed"].assign(p=0.4)
    found = decide_compared(compared | {"mixed": weak})["C2"]
    assert (found.verdict, "mixed model p = 0.4" in found.reason) == (INCONCLUSIVE, True)


def test_focus_that_vanishes_at_equal_confidence_is_not_supported(compared):
    vanished = compared["controls"].assign(estimate=0.01)
    found = decide_compared(compared | {"controls": vanished})["C2"]
    assert found.verdict == INCONCLUSIVE
    assert "it vanishes at equal mass and log-probability" in found.reason


def test_missing_cells_are_named():
    found = decide(simulate(), missing=["4m/qlora", "1m/lora"])
    for finding in found.values():
        assert finding.verdict == INCONCLUSIVE
        assert finding.reason == "cells without results: 4m/qlora, 1m/lora"
        assert finding.effect is None


def test_undefined_values_are_named():
    frames = simulate(tilt=1.0, focus=0.2, slope=0.4)
    for name, column in (
        ("masses", "share"),
        ("focus", "normalised_entropy"),
        ("categories", "log_lift"),
        ("scores", "semantic"),
    ):
        frames[name] = frames[name].assign(**{column: math.nan})
    found = decide(frames)
    assert {finding.verdict for finding in found.values()} == {INCONCLUSIVE}
    assert "no clause has mass in every run" in found["C1"].reason
    assert "no clause has a defined value for both" in found["C2"].reason
    assert "fewer than two clauses with a defined value at every scale" in found["C3"].reason
    assert found["C4"].reason == "fewer than two clauses with defined values"
    assert all(finding.effect is None for finding in found.values())


def test_equal_seeds_give_no_noise_floor():
    frames = simulate(tilt=1.0)
    keys = ["scale", "strategy", "id", "baseline", "sign", "feature"]
    frames["masses"]["share"] = frames["masses"].groupby(keys)["share"].transform("first")
    found = decide(frames)["C1"]
    assert found.verdict == INCONCLUSIVE
    assert "no noise floor to compare with" in found.reason


def test_a_ladder_that_is_flat_throughout_has_no_plateau_to_show():
    found = decide(simulate(quality=(0.8, 0.8, 0.8)))["C4"]
    assert found.verdict == INCONCLUSIVE
    assert found.reason.startswith("no step before the last rose for sure by more than 0.0")


def test_the_ceiling_of_a_score_is_no_plateau():
    found = decide(simulate(quality=(0.5, 0.935, 0.935)))["C4"]
    assert found.verdict == INCONCLUSIVE
    assert found.reason.startswith("the largest rung is at the ceiling of the score: 0.99")


def test_four_rungs_must_show_a_break():
    scales = SCALES | {"15m": 15_000_000}
    bent = decide(simulate(scales=scales, quality=(0.5, 0.75, 0.8, 0.8)))["C4"]
    assert bent.verdict == SUPPORTED
    assert "; the slope breaks at " in bent.reason
    compared = compare(simulate(scales=scales, quality=(0.5, 0.75, 0.8, 0.8)))
    straight = compared | {"breaks": compared["breaks"].assign(slope_after_high=9.0)}
    assert "no break in the slope stands out" in decide_compared(straight)["C4"].reason


def test_disagreeing_baselines_are_inconclusive():
    frames = simulate(focus=0.2)
    other = simulate(focus=-0.2)
    mask = frames["focus"]["baseline"] == "mask"
    frames["focus"] = pd.concat([frames["focus"][~mask], other["focus"][other["focus"]["baseline"] == "mask"]])
    found = decide(frames)["C2"]
    assert found.verdict == INCONCLUSIVE
    assert "(mask, absolute): over clauses the effect is below 0.3" in found.reason


def test_thresholds_decide():
    frames = simulate(slope=0.4)
    compared = compare(frames)
    strict = decide_compared(compared, tests=ClaimTests(C3=LiftTest(margin=1.0)))["C3"]
    assert strict.verdict == CONTRADICTED
    assert decide_compared(compared)["C3"].verdict == SUPPORTED


def test_findings_are_kept_without_loss(planted):
    text = findings_to_json(planted.values())
    assert findings_from_json(text) == list(planted.values())
    assert {entry["verdict"] for entry in json.loads(text)} == {SUPPORTED}
    frame = findings_frame(planted.values())
    assert frame["claim"].tolist() == ["C1", "C2", "C3", "C4"]
    assert frame["statement"].tolist() == list(STATEMENTS.values())
    assert set(RULES) == set(STATEMENTS)
    assert {name for names in FRAMES.values() for name in names} == set(compare(simulate(clauses=4)))


def shuffle_labels(frames, seed):
    """Whole runs of each scale change strategy; the same way in every frame, so that no label tells anything."""
    rng = np.random.default_rng(seed)
    runs = sorted({(row.scale, row.strategy, row.seed) for row in frames["scores"].itertuples()})
    to = {}
    for scale in SCALES:
        own = [run for run in runs if run[0] == scale]
        to |= dict(zip(own, (own[index] for index in rng.permutation(len(own))), strict=True))
    shuffled = {}
    for name, frame in frames.items():
        keys = [to[key] for key in frame[["scale", "strategy", "seed"]].itertuples(index=False, name=None)]
        moved = frame.assign(strategy=[key[1] for key in keys], seed=[key[2] for key in keys])
        order = pd.Categorical(moved["strategy"], categories=list(KINDS))
        shuffled[name] = moved.assign(order=order).sort_values(["scale", "order"], kind="stable").drop(columns="order")
    return shuffled


def test_shuffled_labels_of_planted_studies_are_not_called_different():
    """The negative control through every frame and verdict; ``tests/stats/test_power.py`` has 500 studies a claim.

    At a rate of 6 in 100, one or none of the 10 shuffles would be wrong with a probability of 0.88.
    """
    frames = simulate(tilt=1.0, focus=0.2, baselines=("delete",))
    limits = Thresholds(bootstrap=200, permutations=300, min_baselines=1, min_methods=1)
    assert {decide(frames, limits=limits)[claim].verdict for claim in ("C1", "C2")} == {SUPPORTED}
    wrong = [decide(shuffle_labels(frames, seed), limits=limits) for seed in range(10)]
    for claim in ("C1", "C2"):
        assert sum(found[claim].verdict == SUPPORTED for found in wrong) <= 1
