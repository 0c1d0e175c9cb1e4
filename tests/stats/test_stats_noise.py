"""Noise, reliability, the mixed model, controls, equivalence and breaks: by hand, and against other software."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_frames import PARAMETERS, focused, make_frame, make_masses, none_of, rising

from compliance_xai import stats
from compliance_xai.attribution.distances import all_distances, distance_frame, rank_biased_distance, spearman_distance
from compliance_xai.stats import resampling, trends

# --- distances --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(3, 12), st.integers(0, 2**31), st.integers(1, 3))
def test_spearman_distance_agrees_with_scipy(n, seed, digits):
    from scipy.stats import spearmanr

    p, q = np.random.default_rng(seed).dirichlet(np.ones(n), size=2).round(digits)  # few digits: ties
    if np.ptp(p) and np.ptp(q):
        expected = 1 - spearmanr(p, q).statistic
        assert spearman_distance(p[None], q[None])[0] == pytest.approx(expected, abs=1e-9)


def test_rank_biased_overlap_by_hand():
    order = {"abc": [3.0, 2.0, 1.0], "acb": [3.0, 1.0, 2.0], "cba": [1.0, 2.0, 3.0], "a(bc)": [3.0, 1.0, 1.0]}

    def overlap(a, b, p):
        return 1 - rank_biased_distance(np.array([order[a]]), np.array([order[b]]), persistence=p)[0]

    # Agreement at depths 1, 2, 3: 1, 1/2, 1. RBO = (1 - p) / p (p + p^2 / 2 + p^3) + p^3.
    assert overlap("abc", "acb", 0.9) == pytest.approx(0.1 / 0.9 * (0.9 + 0.81 / 2 + 0.729) + 0.729)
    assert overlap("abc", "cba", 0.5) == pytest.approx(0 * 0.5 + 0.5 * 0.25 + 0.125 + 0.125)
    # b and c enter together at depth 2: agreements 1, 2 * 2 / (2 + 3), 1.
    assert overlap("abc", "a(bc)", 0.9) == pytest.approx(0.1 / 0.9 * (0.9 + 0.81 * 0.8 + 0.729) + 0.729)
    for name in order:
        assert overlap(name, name, 0.9) == pytest.approx(1.0)


def test_distances_of_nothing_are_undefined():
    nothing, some = np.full((1, 3), np.nan), np.array([[0.5, 0.3, 0.2]])
    assert all(np.isnan(value).all() for value in all_distances(nothing, some).values())
    assert np.isnan(spearman_distance(np.full((1, 3), 1 / 3), some)).all()


# --- noise and reliability --------------------------------------------------------------------------------------


def test_repeatability_by_hand():
    # R: 1.96 * sqrt(2) * sqrt(mean(c(var(c(1, 3)), var(c(4, 5))))) = 3.099
    values = [1.0, 3.0, 4.0, 5.0]
    frame = pd.DataFrame({"scale": "1m", "strategy": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1], "value": values})
    assert stats.repeatability_limit(frame, "value") == pytest.approx(1.96 * math.sqrt(2) * math.sqrt((2 + 0.5) / 2))
    assert math.isnan(stats.repeatability_limit(frame[frame["seed"] == 0], "value"))


def test_features_that_seeds_agree_on_are_reliable():
    calm = stats.feature_reliability(make_masses(0.5, noise=0.05, clauses=10))
    wild = stats.feature_reliability(make_masses(0.5, noise=2.0, clauses=10))
    assert (calm["icc"] > 0.95).all()
    assert (wild["icc"] < 0.5).all()
    assert calm[["n_clauses", "n_features", "n_seeds"]].iloc[0].tolist() == [10, 80, 2]
    assert set(stats.feature_reliability(make_masses(0.5, seeds=1))["reason"]) == {"a single seed"}


def test_feature_reliability_is_the_icc_of_relative_mass():
    masses = make_masses(0.0, strategies=("full",), noise=0.6)
    values_NS = masses.pivot(index=["id", "feature"], columns="seed", values="share").to_numpy() * 8
    n, k = values_NS.shape
    rows, columns, whole = values_NS.mean(axis=1), values_NS.mean(axis=0), values_NS.mean()
    between_rows = k * ((rows - whole) ** 2).sum() / (n - 1)
    between_columns = n * ((columns - whole) ** 2).sum() / (k - 1)
    rest = ((values_NS - rows[:, None] - columns + whole) ** 2).sum() / ((n - 1) * (k - 1))
    # Shrout & Fleiss (1979), ICC(2,1)
    expected = (between_rows - rest) / (between_rows + (k - 1) * rest + k * (between_columns - rest) / n)
    assert stats.feature_reliability(masses).iloc[0]["icc"] == pytest.approx(expected)


def test_halves_are_stepped_up():
    assert stats.spearman_brown(0.6, 2) == pytest.approx(0.75)  # psych::spearman.brown: 2 * .6 / 1.6
    frame = make_frame(none_of, strategies=("full",), clauses=6).assign(half_correlation=0.6)
    frame.loc[frame["id"] == "c00", "half_correlation"] = math.nan
    row = stats.split_half_table(frame, bootstrap=100).iloc[0]
    assert row[["n_clauses", "n_dropped"]].tolist() == [5, 1]
    assert row[["correlation", "reliability", "low", "high"]].tolist() == pytest.approx([0.6, 0.75, 0.75, 0.75])


def test_every_source_of_noise_stands_beside_the_strategies():
    masses = make_masses(1.0, clauses=6)
    both = pd.concat([masses, make_masses(1.0, clauses=6, seed=1).assign(baseline="mask")])
    numeric = pd.DataFrame({"scale": "1m", "sign": "absolute", "id": "c0", "source": ["batch", "dtype"]})
    numeric = numeric.assign(jensen_shannon=[0.0, 0.01], spearman=0.0, rank_biased_overlap=math.nan)
    table = stats.noise_table(distance_frame(both), both, numeric, bootstrap=100)
    assert list(dict.fromkeys(table["source"])) == ["batch", "dtype", "seeds", "strategies", "baselines"]
    values = table[table["measure"] == "jensen_shannon"].set_index("source")
    assert values.loc["batch", "mean"] == 0.0
    assert values.loc["batch", "mean"] < values.loc["dtype", "mean"] < values.loc["seeds", "high"]
    assert values.loc["seeds", "high"] < values.loc["strategies", "low"]
    assert values.loc["seeds", ["n_clauses", "n_pairs"]].tolist() == [6, 2 * 2 * 6]
    assert set(table.loc[table["measure"] == "rank_biased_overlap", "n_dropped"].iloc[:2]) == {1}


# --- mixed model ------------------------------------------------------------------------------------------------


def with_covariates(frame, seed=0):
    rng = np.random.default_rng(seed)
    words = 8 + frame["id"].str[1:].astype(int) % 7
    return frame.assign(n_features=words, n_target_tokens=20, baseline_log_prob=rng.normal(-9, 2, len(frame)),
                        total_mass=np.exp(rng.normal(3, 0.3, len(frame))))  # fmt: skip


def test_the_mixed_model_agrees_with_least_squares_on_run_means():
    """In a complete design without covariates inside a run, strategies are tested between runs alone."""
    import statsmodels.formula.api as smf

    frame = make_frame(focused, scales=tuple(PARAMETERS), run=0.03, seed=3)
    frame = with_covariates(frame)
    level = dict(zip(frame["id"].unique(), np.linspace(-12, -6, frame["id"].nunique()), strict=True))
    frame["baseline_log_prob"] = frame["id"].map(level)  # the same in every run
    row = stats.mixed_model_table(frame, "value").iloc[0]
    runs = frame.groupby(["scale", "strategy", "parameters", "seed"])["value"].mean().reset_index()
    size = np.log10(runs["parameters"])
    fit = smf.ols("value ~ 0 + C(strategy) + C(strategy):size", runs.assign(size=size - size.mean())).fit()
    test = fit.t_test("C(strategy)[full] - C(strategy)[lora] = 0")
    assert (row["n_runs"], row["dof"], row["n_clauses"], row["reason"]) == (12, 8, 24, "")
    assert row["estimate"] == pytest.approx(test.effect[0], abs=1e-6)
    assert row["standard_error"] == pytest.approx(test.sd[0, 0], rel=1e-3)
    assert row["p"] == pytest.approx(float(test.pvalue), rel=1e-2)
    assert (row["low"], row["high"]) == pytest.approx(tuple(test.conf_int()[0]), abs=1e-4)
    assert row["run_sd"] == pytest.approx(0.03, abs=0.015)


def test_the_mixed_model_finds_how_a_difference_changes_with_size():
    frame = make_frame(lambda name, size: 0.1 * math.log10(size) * (name == "full"), scales=tuple(PARAMETERS))
    row = stats.mixed_model_table(with_covariates(frame), "value").iloc[0]
    assert row["by_size"] == pytest.approx(0.1, abs=0.02)
    assert row["by_size_p"] < 0.001


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f[f["seed"] == 0], "a single seed in some cell"),
        (lambda f: f.assign(value=0.5), "the same value everywhere"),
        (lambda f: f.assign(value=math.nan), "fewer than three clauses with a defined value in every run"),
        (lambda f: f[f["strategy"] == "full"], None),
        (lambda f: f[(f["strategy"] == "full") | (f["scale"] == "1m")], "not every strategy was run at every scale"),
        (lambda f: f.assign(n_features=9), "every clause is as long, or as probable, as every other"),
    ],
)
def test_the_mixed_model_says_why_not(change, reason):
    frame = change(with_covariates(make_frame(focused, scales=("1m", "4m"), clauses=8)))
    found = stats.mixed_model_table(frame, "value")["reason"].tolist()
    assert found == ([] if reason is None else [reason])


def test_a_fit_that_does_not_converge_is_said(monkeypatch):
    from statsmodels.regression.mixed_linear_model import MixedLM

    def fail(*arguments, **options):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(MixedLM, "fit", fail)
    row = stats.mixed_model_table(with_covariates(make_frame(focused, clauses=8)), "value").iloc[0]
    assert (bool(row["converged"]), math.isnan(row["estimate"])) == (False, True)
    assert row["reason"] == "the mixed model could not be fitted: Singular matrix"


# --- controls ---------------------------------------------------------------------------------------------------


def test_a_difference_that_confidence_explains_is_gone_at_equal_confidence():
    frame = with_covariates(make_frame(none_of, clauses=60))
    unsure = np.where(frame["strategy"] == "lora", 3.0 + np.random.default_rng(1).normal(0, 1, len(frame)), 0.0)
    frame["baseline_log_prob"] = -5.0 - unsure * frame["n_target_tokens"]
    frame["value"] += 0.05 * unsure
    table = stats.controls_table(frame, "value", bootstrap=200).set_index("control")
    assert table.loc["as measured", "high"] < -0.1
    held = table.loc["equal log-probability"]
    assert held["low"] < 0 < held["high"]
    assert held["n"] == 60
    assert table.loc[["short clauses", "middling clauses", "long clauses"], "n"].tolist() == [20, 20, 20]
    assert (table.loc["short clauses":, "high"] < 0).all()


def test_controls_say_why_not():
    frame = with_covariates(make_frame(focused, clauses=8))
    table = stats.controls_table(frame.assign(total_mass=2.0), "value", bootstrap=100).set_index("control")
    assert table.loc["equal total mass", "reason"] == "fewer than 10 clauses"
    frame = with_covariates(make_frame(focused, clauses=20)).assign(total_mass=2.0)
    table = stats.controls_table(frame, "value", bootstrap=100).set_index("control")
    assert table.loc["equal total mass", "reason"] == "the difference in mass is the same on every clause"
    empty = stats.controls_table(frame.assign(total_mass=0.0), "value", bootstrap=100)
    assert set(empty["reason"]) == {"fewer than two clauses", "fewer than 10 clauses", "fewer than 15 clauses"}


# --- equivalence ------------------------------------------------------------------------------------------------


def test_equivalence_reference():
    # Our own two one-sided t tests, written out with scipy, over clauses and over runs.
    from scipy.stats import ttest_1samp

    frame = make_frame(rising, scales=("1m", "4m"), strategies=("full", "lora"), noise=0.1, run=0.1)
    row = stats.equivalence_table(frame, "value", margin=0.2, by=()).iloc[0]
    margin = min(0.2, stats.repeatability_limit(frame, "value"))
    clauses = frame.groupby(["id", "scale"])["value"].mean().unstack()
    runs = frame.groupby(["strategy", "seed", "scale"])["value"].mean().unstack()
    for table, name in ((clauses, "p_tost"), (runs, "p_tost_run")):
        difference = table["4m"] - table["1m"]
        upper = ttest_1samp(difference, margin, alternative="less").pvalue
        lower = ttest_1samp(difference, -margin, alternative="greater").pvalue
        assert row[name] == pytest.approx(max(upper, lower))
    assert (row["a"], row["b"], row["n"], row["n_runs"], row["n_seeds"]) == ("1m", "4m", 24, 4, 2)
    assert row["margin"] == pytest.approx(margin)
    assert bool(row["equivalent"]) == (max(row["p_tost"], row["p_tost_run"]) < 0.05)


def test_equivalence_follows_the_order_of_sizes_and_marks_constants():
    frame = make_frame(none_of, scales=("4m", "0.3m", "1m"), noise=0.0)
    table = stats.equivalence_table(stats.with_trained(frame), "value", margin=0.01)
    trained = table[table["strategy"] == "trained"]
    assert trained[["a", "b"]].to_numpy().tolist() == [["0.3m", "1m"], ["1m", "4m"]]
    assert trained["equivalent"].all()
    assert set(trained["reason"]) == {"the same difference on every clause"}
    across = stats.equivalence_table(frame, "value", margin=0.01, along="strategy", by=())
    assert across[["a", "b"]].to_numpy().tolist() == [["full", "lora"]]


def test_runs_that_differ_are_not_made_equal_by_many_clauses():
    frame = make_frame(none_of, scales=("1m", "4m"), strategies=("a", "b", "c"), clauses=80, run=0.05, seed=4)
    row = stats.equivalence_table(stats.with_trained(frame), "value", margin=0.03).iloc[-1]
    assert row["p_tost_run"] > 0.05
    assert not row["equivalent"]


def test_without_seeds_there_is_no_margin():
    frame = make_frame(none_of, scales=("1m", "4m"), seeds=1)
    assert set(stats.equivalence_table(frame, "value")["reason"]) == {
        "a single seed in every cell: there is no noise floor to take a margin from"
    }


# --- breaks -----------------------------------------------------------------------------------------------------

FIVE = {"a": 10**5, "b": 10**6, "c": 10**7, "d": 10**8, "e": 10**9}


def test_two_lines_are_the_best_of_all_pairs_of_lines():
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    x = np.array([5.0, 5.6, 6.1, 7.0, 7.4, 8.2])
    for _ in range(5):
        y = np.interp(x, [5, 6.5, 8.2], [0, 1, 1.2]) + rng.normal(0, 0.1, len(x))

        def error(place, y=y):
            design = np.column_stack([np.ones_like(x), x, np.clip(x - place, 0, None)])
            return float(((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum())

        best = min(
            minimize(lambda place: error(place[0]), [start], bounds=[(x[1], x[-2])], method="Nelder-Mead").fun
            for start in x[1:-1]
        )
        place, _, _ = trends.fit_two_lines(x, y[None])
        assert error(place[0]) == pytest.approx(best, rel=1e-6, abs=1e-9)


# Height of a stagnant band against the logarithm of flow (Bacon and Watts 1971), as R's package segmented ships it.
STAGNANT_X = [-0.8, 0.01, -0.25, -0.25, -0.12, -0.12, -0.94, 0.11, 0.11, -0.63, -0.63, -1.39, -1.39, 0.7, 0.7, 0.34,
              1.19, 0.59, 0.85, 0.85, 0.99, 0.99, 0.25, -1.08, -1.08, 0.44, 0.34, 0.25]  # fmt: skip
STAGNANT_Y = [0.9, 0.51, 0.65, 0.67, 0.6, 0.59, 0.92, 0.43, 0.43, 0.81, 0.83, 1.12, 1.12, -0.13, -0.14, 0.25,
              -0.65, -0.01, -0.3, -0.33, -0.46, -0.43, 0.33, 0.99, 1.03, 0.13, 0.24, 0.3]  # fmt: skip


def test_two_lines_are_those_of_segmented_in_r():
    # R 4.2.2, segmented 1.6-2: s <- segmented(lm(y ~ x, data = stagnant), seg.Z = ~x); s$psi; slope(s); deviance(s)
    # 0.04110578605; -0.42208, -1.02060; 0.00914019723209
    order = np.argsort(STAGNANT_X)
    x, y = np.array(STAGNANT_X)[order], np.array(STAGNANT_Y)[order]
    (place,), (before,), (after,) = trends.fit_two_lines(x, y[None])
    design = np.column_stack([np.ones_like(x), x, np.clip(x - place, 0, None)])
    deviance = ((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum()
    assert deviance == pytest.approx(0.00914019723209, rel=1e-6)
    assert place == pytest.approx(0.04110578605, abs=1e-7)
    assert (before, after) == pytest.approx((-0.42208, -1.02060), rel=5e-5)  # R prints five digits


def test_a_break_is_found_with_its_interval():
    rows = [
        (scale, "full", size, f"c{clause}", run, level + min(math.log10(size), 7.0) * 0.1 + noise)
        for clause, level in enumerate(np.random.default_rng(0).normal(0, 0.1, 40))
        for (scale, size), run in itertools.product(FIVE.items(), (0, 1))
        for noise in np.random.default_rng((clause, size, run)).normal(0, 0.02, 1)
    ]
    frame = pd.DataFrame(rows, columns=["scale", "strategy", "parameters", "id", "seed", "value"])
    row = stats.find_break(frame, "value", bootstrap=300).iloc[0]
    assert row["break_low"] < 10**7 < row["break_high"]
    assert row["break_high"] / row["break_low"] < 4
    assert row["slope_before_low"] < 0.1 < row["slope_before_high"]
    assert row["slope_after_low"] < 0 < row["slope_after_high"]
    few = stats.find_break(frame[frame["scale"].isin(["a", "b", "c"])], "value").iloc[0]
    assert few["reason"] == "fewer than four scales: two lines would fit any curve"
    undefined = stats.find_break(frame.assign(value=math.nan), "value").iloc[0]
    assert undefined["reason"] == "fewer than two clauses with a defined value at every scale"


# --- Page -------------------------------------------------------------------------------------------------------


def test_page_reference():
    # Page (1963), as in scipy.stats.page_trend_test's documentation and R: crank::page.trend.test(x): L = 133
    rated = np.array([[3, 4, 3], [2, 2, 4], [3, 3, 5], [1, 3, 2], [2, 3, 2], [2, 4, 5],
                      [1, 2, 4], [3, 4, 4], [2, 4, 5], [1, 3, 4]], dtype=float)  # fmt: skip
    rows = [(s, "full", p, f"c{i}", 0, row[j]) for i, row in enumerate(rated) for j, (s, p) in
            enumerate(PARAMETERS.items())]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["scale", "strategy", "parameters", "id", "seed", "value"])
    row = stats.scale_trend(frame, "value", by=("strategy",), bootstrap=100).iloc[0]
    assert row["page_statistic"] == 133.5
    assert row["page_p"] == pytest.approx(0.0018191161948127822)


def test_resampling_is_cached_read_only():
    counts = resampling.resample_counts(5, 10, 0)
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1
