import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_frames import PARAMETERS, focused, make_frame, make_masses, none_of, rising

from compliance_xai import stats
from compliance_xai.attribution.distances import DISTANCES, distance_frame, jensen_shannon
from compliance_xai.errors import InputError
from compliance_xai.stats import resampling

# --- resampling -------------------------------------------------------------------------------------------------


def test_bootstrap_interval_agrees_with_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).normal(size=80)
    mean, low, high = stats.bootstrap_mean(values, n_resamples=20_000, seed=3)
    reference = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=5).confidence_interval
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.01)


@pytest.mark.parametrize(("values", "expected"), [([], (math.nan,) * 3), ([2.0], (2.0, math.nan, math.nan))])
def test_bootstrap_of_too_little_is_undefined(values, expected):
    np.testing.assert_equal(stats.bootstrap_mean(np.array(values)), expected)
    np.testing.assert_equal(stats.bootstrap_mean(np.array([*values, math.nan])), expected)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_assignments_are_all_different_and_counted(sizes):
    rows = resampling.assignments(sizes)
    assert len({tuple(row) for row in rows.tolist()}) == len(rows) == resampling.count_assignments(sizes)
    assert rows[0].tolist() == [group for group, size in enumerate(sizes) for _ in range(size)]


def test_strata_are_combined_exactly():
    # Two strata of three arrangements; the observed sum 5 + 2 is reached by (5, 2) only: 1 of 9.
    strata = [np.array([5.0, 1.0, 0.0]), np.array([2.0, 1.0, 0.0])]
    p, smallest = resampling.combine_strata(strata, permutations=9, seed=0)
    assert p == smallest == pytest.approx(1 / 9)
    drawn, _ = resampling.combine_strata(strata, permutations=8, seed=0)
    assert 1 / 9 <= drawn <= 1  # the observed arrangement always counts


# --- pairs ------------------------------------------------------------------------------------------------------


def test_pairs_agree_with_pingouin_and_scipy():
    import pingouin
    from scipy.stats import wilcoxon

    frame = make_frame(focused, noise=0.2)
    row = stats.compare_strategies(frame, "value", bootstrap=500).iloc[0]
    table = frame.groupby(["id", "strategy"])["value"].mean().unstack()
    assert (row["scale"], row["strategy_a"], row["strategy_b"], row["n"]) == ("1m", "full", "lora", 24)
    assert row["p"] == pytest.approx(wilcoxon(table["full"], table["lora"]).pvalue)
    assert row["rank_biserial"] == pytest.approx(pingouin.wilcoxon(table["full"], table["lora"])["RBC"].iloc[0])
    assert row["mean_difference"] == pytest.approx((table["full"] - table["lora"]).mean())
    assert row["low"] < row["mean_difference"] < row["high"]
    assert row["rank_biserial_low"] < row["rank_biserial"] < row["rank_biserial_high"] <= 1


def testrank_biserial_interval_equals_a_plain_bootstrap():
    from scipy.stats import rankdata

    from compliance_xai.stats.paired_tests import rank_biserial_interval

    difference = np.array([0.3, -0.1, 0.2, 0.0, 0.5, -0.4, 0.2, 0.1, -0.2, 0.6])
    counts = resampling.resample_counts(10, 200, 7)
    plain = []
    for row in counts:
        drawn = np.repeat(difference, row)
        drawn = drawn[drawn != 0]
        ranks = rankdata(np.abs(drawn))
        plain.append((ranks * np.sign(drawn)).sum() / ranks.sum())
    assert rank_biserial_interval(difference, 200, 7) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])))


def test_holm_is_taken_over_the_pairs_of_one_measure():
    frame = make_frame(focused, strategies=("none", "full", "lora"), scales=("1m", "4m"))
    pairs = stats.compare_strategies(frame, "value", bootstrap=100)
    assert pairs["scale"].tolist() == ["1m"] * 3 + ["4m"] * 3 + ["all"] * 3
    single, pooled = pairs[pairs["scale"] != "all"], pairs[pairs["scale"] == "all"]
    for part in (single, pooled):
        worst = part["p"].max()
        assert part.loc[part["p"].idxmin(), "p_holm"] == pytest.approx(min(1, part["p"].min() * len(part)))
        assert part.loc[part["p"].idxmax(), "p_holm"] >= worst


def test_seeds_are_not_pseudo_replicates():
    frame = make_frame(focused, seeds=1)
    repeated = pd.concat([frame.assign(seed=replicate) for replicate in range(5)])
    once, often = (stats.compare_strategies(data, "value", bootstrap=100) for data in (frame, repeated))
    pd.testing.assert_frame_equal(once, often)


def test_undefined_values_are_counted_and_equal_ones_said():
    frame = make_frame(none_of, noise=0.0)
    row = stats.compare_strategies(frame, "value", bootstrap=100).iloc[0]
    assert (row["p"], row["rank_biserial"], row["reason"]) == (1.0, 0.0, "no difference on any clause")
    frame.loc[frame["id"] == "c03", "value"] = math.nan
    assert stats.compare_strategies(frame, "value", bootstrap=100).iloc[0]["n_dropped"] == 1
    frame["value"] = math.nan
    row = stats.compare_strategies(frame, "value", bootstrap=100).iloc[0]
    assert row["reason"] == "no clause has a defined value for both"
    assert math.isnan(row["p_holm"])


def test_friedman_reference():
    # R, ?friedman.test, RoundingTimes (Hollander & Wolfe 1973, p. 140 ff.): chi-squared 11.143, df 2, p 0.003805
    times = [
        [5.40, 5.50, 5.55], [5.85, 5.70, 5.75], [5.20, 5.60, 5.50], [5.55, 5.50, 5.40], [5.90, 5.85, 5.70],
        [5.45, 5.55, 5.60], [5.40, 5.40, 5.35], [5.45, 5.50, 5.35], [5.25, 5.15, 5.00], [5.85, 5.80, 5.70],
        [5.25, 5.20, 5.10], [5.65, 5.55, 5.45], [5.60, 5.35, 5.45], [5.05, 5.00, 4.95], [5.50, 5.50, 5.40],
        [5.45, 5.55, 5.50], [5.55, 5.55, 5.35], [5.45, 5.50, 5.55], [5.50, 5.45, 5.25], [5.65, 5.60, 5.40],
        [5.70, 5.65, 5.55], [6.30, 6.30, 6.25],
    ]  # fmt: skip
    frame = pd.DataFrame(times, columns=["a", "b", "c"]).rename_axis("id").reset_index()
    long = frame.melt(id_vars="id", var_name="strategy", value_name="value")
    long = long.assign(scale="1m", seed=0, method="leave_one_out", baseline="delete", sign="absolute")
    row = stats.friedman_table(long, "value").iloc[0]
    assert (row["n"], row["n_strategies"], row["dof"], row["reason"]) == (22, 3, 2, "")
    assert row["statistic"] == pytest.approx(11.143, abs=5e-4)
    assert row["p"] == pytest.approx(0.003805, abs=5e-7)


def test_friedman_says_why_not():
    assert stats.friedman_table(make_frame(focused), "value")["reason"].tolist() == ["fewer than three strategies"]
    frame = make_frame(none_of, strategies=("none", "full", "lora"), noise=0)
    assert stats.friedman_table(frame, "value")["reason"].tolist() == ["no difference on any clause"]


def test_runs_are_permuted_whole():
    row = stats.strategy_effects(make_frame(focused), "value", bootstrap=200).iloc[0]
    assert (row["n_runs_a"], row["n_runs_b"], row["n_scales"], row["n_clauses"]) == (2, 2, 1, 24)
    assert row["p_run"] == row["p_run_smallest"] == pytest.approx(2 / 6)
    three = stats.strategy_effects(make_frame(focused, scales=tuple(PARAMETERS)), "value", bootstrap=200).iloc[0]
    assert three["p_run"] == three["p_run_smallest"] == pytest.approx(2 / 216)
    assert three["low"] < -0.08
    assert three["high"] < 0


def test_a_run_level_shift_does_not_look_like_an_effect_of_strategy():
    """Every clause of a run moves together: clauses alone are sure of a difference, runs are not."""
    wrong_by_clause = wrong_by_run = 0
    for seed in range(40):
        frame = make_frame(none_of, scales=tuple(PARAMETERS), run=0.05, seed=seed)
        pairs = stats.compare_strategies(frame, "value", bootstrap=100)
        wrong_by_clause += pairs[pairs["scale"] == "all"]["p"].iloc[0] < 0.05
        wrong_by_run += stats.strategy_effects(frame, "value", bootstrap=100)["p_run"].iloc[0] < 0.05
    assert wrong_by_clause > 25
    assert wrong_by_run <= 5  # binomial(40, 0.05): 5 or fewer with probability 0.986


def test_effects_say_why_not():
    one = stats.strategy_effects(make_frame(focused, strategies=("none", "full")), "value", bootstrap=100).iloc[0]
    assert one["reason"] == "a strategy has a single seed at some scale"
    frame = make_frame(focused, scales=("1m", "4m"))
    apart = frame[(frame["scale"] == "1m") == (frame["strategy"] == "full")]
    assert stats.strategy_effects(apart, "value").iloc[0]["reason"] == "the two strategies share no scale"


def test_icc_reference():
    # Shrout & Fleiss (1979), table 2: ICC(2,1) = 0.29; R: psych::ICC gives 0.2898
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    long = pd.DataFrame(ratings).rename_axis("id").reset_index().melt(id_vars="id", var_name="seed", value_name="value")
    long = long.assign(
        scale="1m",
        strategy="full",
        method="leave_one_out",
        baseline="delete",
        sign="absolute",
        id=long["id"].astype(str),
    )
    row = stats.measure_reliability(long, "value").iloc[0]
    assert (row["n_clauses"], row["n_seeds"], row["reason"]) == (6, 4, "")
    assert row["icc"] == pytest.approx(0.2898, abs=5e-5)
    assert row["low"] == pytest.approx(0.0188, abs=5e-4)  # psych::ICC: 0.019 to 0.76
    assert row["high"] == pytest.approx(0.7611, abs=5e-4)
    single = stats.measure_reliability(long[long["seed"] == 0], "value").iloc[0]
    assert single["reason"] == "a single seed"


# --- distances --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**31))
def test_jensen_shannon_agrees_with_scipy(n, seed):
    from scipy.spatial.distance import jensenshannon

    p, q = np.random.default_rng(seed).dirichlet(np.full(n, 0.5), size=2)
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert jensen_shannon(p, p) == 0.0


def test_all_pairs_of_runs_are_measured():
    frame = distance_frame(make_masses(0.5, seeds=3))
    one = frame[frame["id"] == "c0"]
    assert len(one) == 15
    assert one["pair"].value_counts().to_dict() == {"between": 9, "within": 6}
    assert frame["jensen_shannon"].between(0, 1).all()


def test_strategies_that_differ_stand_out_and_equal_ones_do_not():
    far = stats.compare_distances(distance_frame(make_masses(0.5, scales=tuple(PARAMETERS))), bootstrap=500)
    assert far["measure"].tolist() == [name for name in DISTANCES for _ in range(4)]
    assert far.loc[far["scale"] == "all", "p_run"].tolist() == pytest.approx([1 / 27] * 3)
    far = far[far["measure"] == "jensen_shannon"]
    assert far["scale"].tolist() == ["all", "0.3m", "1m", "4m"]
    pooled = far.iloc[0]
    assert pooled["p_run"] == pooled["p_run_smallest"] == pytest.approx(1 / 27)
    assert far.iloc[1]["p_run_smallest"] == pytest.approx(1 / 3)
    assert pooled["p_clause"] < 0.001
    assert 2 < pooled["ratio_low"] < pooled["ratio"] < pooled["ratio_high"]
    near = stats.compare_distances(distance_frame(make_masses(0.0, scales=tuple(PARAMETERS))), bootstrap=500)
    assert near.iloc[0]["ratio"] == pytest.approx(1.0, abs=0.1)
    assert near.iloc[0]["p_run"] > 0.05


def test_ratio_by_hand():
    rows = []
    for clause, (within_a, within_b, between) in enumerate([(0.1, 0.3, 0.4), (0.2, 0.2, 0.6)]):
        for a, sa, b, sb in [
            ("full", 0, "full", 1),
            ("lora", 0, "lora", 1),
            *(("full", i, "lora", j) for i in (0, 1) for j in (0, 1)),
        ]:
            value = between if a != b else within_a if a == "full" else within_b
            rows.append(("1m", "leave_one_out", "delete", "absolute", f"c{clause}", a, sa, b, sb, "", value))
    names = [
        "scale",
        "method",
        "baseline",
        "sign",
        "id",
        "strategy_a",
        "seed_a",
        "strategy_b",
        "seed_b",
        "pair",
        "jensen_shannon",
    ]
    row = stats.compare_distances(pd.DataFrame(rows, columns=names), ["jensen_shannon"], bootstrap=100).iloc[0]
    assert (row["within"], row["between"]) == pytest.approx((0.2, 0.5))
    assert (row["difference"], row["ratio"]) == pytest.approx((0.3, 2.5))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m[m["seed"] == 0], "a single seed of each strategy: no distance within a strategy to compare with"),
        (
            lambda m: m[(m["seed"] == 0) | (m["strategy"] == "full")],
            "a single seed of one strategy: the noise floor comes from the other alone",
        ),
        (lambda m: m.assign(share=math.nan), "no clause has mass in every run"),
        (
            lambda m: m.assign(share=m.groupby(["strategy", "id", "feature"])["share"].transform("first")),
            "seeds of one strategy give identical attributions: no noise floor to compare with",
        ),
    ],
)  # fmt: skip
def test_distances_say_why_not(change, reason):
    table = stats.compare_distances(distance_frame(change(make_masses(0.5))), bootstrap=100)
    assert table.iloc[0]["reason"] == reason


# --- trends -----------------------------------------------------------------------------------------------------


def test_slope_by_hand_and_page_reference():
    frame = make_frame(rising, scales=("4m", "0.3m", "1m"), noise=0.0)
    row = stats.scale_trend(stats.with_trained(frame), "value", bootstrap=200).set_index("strategy").loc["trained"]
    assert row["slope"] == pytest.approx(0.2)
    assert (row["low"], row["high"]) == pytest.approx((0.2, 0.2))
    assert row["scales"] == "0.3m 1m 4m"
    assert row["page_statistic"] == 24 * (1 * 1 + 2 * 2 + 3 * 3)  # every clause in perfect order
    assert row["last"] - row["first"] == pytest.approx(0.2 * math.log10(4 / 0.3))
    assert row["p_run"] <= 1 / 90**2 + 1e-3
    alone = stats.scale_trend(frame, "value", bootstrap=200).set_index("strategy").loc["full"]
    assert alone["p_run"] == alone["p_run_smallest"] == pytest.approx(1 / 90)


def test_no_trend_is_not_found():
    row = stats.scale_trend(make_frame(none_of, scales=tuple(PARAMETERS), seed=2), "value", bootstrap=500).iloc[0]
    assert row["low"] < 0 < row["high"]
    assert row["page_p"] > 0.05


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f[f["scale"] == "1m"], "a single scale"),
        (lambda f: f[f["scale"] != "1m"], "two scales: a difference, not a trend"),
        (lambda f: f.assign(value=math.nan), "fewer than two clauses with a defined value at every scale"),
    ],
)
def test_trends_say_why_not(change, reason):
    frame = change(make_frame(rising, scales=tuple(PARAMETERS), strategies=("full",)))
    assert stats.scale_trend(frame, "value", bootstrap=100)["reason"].tolist() == [reason]


def test_a_strategy_that_misses_a_scale_is_named():
    frame = make_frame(rising, scales=tuple(PARAMETERS))
    frame = frame[(frame["strategy"] == "full") | (frame["scale"] != "4m")]
    trend = stats.scale_trend(stats.with_trained(frame), "value", bootstrap=100).set_index("strategy")
    assert trend.loc["trained", "reason"] == "not every scale was run with lora"
    assert trend.loc["full", "reason"] == ""


# --- all --------------------------------------------------------------------------------------------------------


def test_summary_counts_clauses_and_seeds():
    frame = make_frame(focused)
    frame.loc[frame["id"] == "c00", "value"] = math.nan
    summary = stats.summarise_measures(frame, "value", by=("scale", "strategy"), bootstrap=200)
    assert summary["n_clauses"].tolist() == [23, 23]
    assert summary["n_dropped"].tolist() == [1, 1]
    assert summary["n_seeds"].tolist() == [2, 2]
    assert (summary["low"] < summary["mean"]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: stats.compare_strategies(f, "gini"), "compare_strategies: expected columns .*, found no gini"),
        (lambda f: stats.scale_trend(f.drop(columns="parameters"), "value"), "scale_trend: .* found no parameters"),
        (
            lambda f: distance_frame(pd.concat([make_masses(0.1)] * 2)),
            "distances, scale 1m, .*id c0: expected the same features in every run, .*found 64 rows for 8",
        ),
        (lambda f: stats.strategy_effects(pd.concat([f, f]), "value"), "two rows for id c00, strategy full, seed 0"),
        (
            lambda f: stats.scale_trend(f.assign(parameters=range(len(f))), "value"),
            "parameters: expected one number of parameters for each scale, found several for one scale",
        ),
    ],
)
def test_bad_frames_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call(make_frame(focused))


def test_same_seed_same_tables_whatever_the_row_order():
    frame = make_frame(focused, scales=tuple(PARAMETERS))
    by_seed = frame.groupby(["scale", "strategy"], sort=False, group_keys=False)
    shuffled = pd.concat([part.sample(frac=1, random_state=1) for _, part in by_seed])
    for make in (
        lambda f: stats.compare_strategies(f, "value", bootstrap=200),
        lambda f: stats.strategy_effects(f, "value", bootstrap=200, permutations=100),
        lambda f: stats.scale_trend(f, "value", bootstrap=200, permutations=50),
    ):
        pd.testing.assert_frame_equal(make(frame), make(shuffled), rtol=1e-12)


def test_nothing_global_changes():
    code = """
import numpy, pandas
before = pandas.describe_option(_print_desc=False), numpy.get_printoptions()
import pingouin
rounding = dict(pingouin.options)
from compliance_xai import stats
import made_frames
frame = made_frames.make_frame(made_frames.focused)
stats.measure_reliability(frame, "value")
stats.compare_strategies(frame, "value")
assert (pandas.describe_option(_print_desc=False), numpy.get_printoptions()) == before
assert dict(pingouin.options) == rounding
"""
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parents[1] / "src")])
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_the_default_study_takes_seconds():
    """3 rungs x 4 strategies x 2 seeds x 2 baselines x 2 signs x 60 clauses; the budget is a minute for everything."""
    masses = make_masses(0.3, scales=tuple(PARAMETERS), strategies=("full", "lora", "qlora"), clauses=20)
    start = time.perf_counter()
    distances = distance_frame(masses)
    stats.compare_distances(distances)
    frame = make_frame(focused, scales=tuple(PARAMETERS), strategies=("none", "full", "lora", "qlora"), clauses=60)
    stats.compare_strategies(frame, "value")
    stats.strategy_effects(frame, "value")
    stats.friedman_table(frame, "value")
    stats.scale_trend(stats.with_trained(frame), "value")
    assert time.perf_counter() - start < 10
