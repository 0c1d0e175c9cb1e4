"""Differences between strategies, and what is left of them at equal confidence."""

import math

import numpy as np
import pandas as pd
import pytest
from made_frames import PARAMETERS, focused, make_frame, none_of

from compliance_xai.errors import InputError
from compliance_xai.stats.contrasts import DIRECT, ONE_SEED, compare_strategies, controls_table
from compliance_xai.stats.estimates import paired_difference

ALL = tuple(PARAMETERS)


def of_pair(table, scale="all"):
    return table[table["scale"] == scale].iloc[0]


def test_a_difference_by_hand():
    frame = make_frame(none_of, strategies=("full", "lora"), seeds=2, clauses=2, noise=0.0)
    values = {("full", 0, "c00"): 1.0, ("full", 0, "c01"): 3.0, ("full", 1, "c00"): 2.0, ("full", 1, "c01"): 4.0}
    frame["value"] = [values.get((r.strategy, r.seed, r.id), 0.0) for r in frame.itertuples()]
    row = of_pair(compare_strategies(frame, "value"))
    assert (row["n_clauses"], row["n_dropped"], row["n_scales"], row["n_runs"]) == (2, 0, 1, 2)
    assert (row["mean_a"], row["mean_b"], row["difference"]) == (2.5, 0.0, 2.5)
    assert row["p_runs"] == row["p_runs_smallest"] == 0.5  # two seeds: as they are, or both swapped, of four ways
    assert row["low"] < 2.5 < row["high"]


def test_sizes_are_strata_and_the_estimate_is_theirs():
    frame = make_frame(focused, scales=ALL, seeds=3, run=0.02)
    table = compare_strategies(frame, "value")
    strata = []
    for scale in ALL:
        wide = frame[frame["scale"] == scale].pivot(index="id", columns=["strategy", "seed"], values="value")
        strata.append((wide["full"] - wide["lora"]).to_numpy().T[None])
    found = paired_difference(strata)
    row = of_pair(table)
    assert row["difference"] == pytest.approx(found.value[0])
    assert row["error"] == pytest.approx(found.error[0])
    assert (row["n_scales"], row["n_runs"]) == (3, 9)
    assert set(table["scale"]) == {"all", *ALL}
    assert row["p"] < 0.001
    assert row["p_runs"] == row["p_runs_smallest"] == 2**-8


def test_runs_that_differ_are_not_made_significant_by_many_clauses():
    frame = make_frame(none_of, clauses=400, noise=0.001, run=0.05, seeds=2)
    assert of_pair(compare_strategies(frame, "value"))["p"] > 0.05


def test_undefined_clauses_are_dropped_and_counted():
    frame = make_frame(focused)
    frame.loc[(frame["id"] == "c00") & (frame["strategy"] == "lora"), "value"] = math.nan
    row = of_pair(compare_strategies(frame, "value"))
    assert (row["n_clauses"], row["n_dropped"]) == (23, 1)


def test_a_single_seed_has_an_interval_over_clauses_and_says_so():
    row = of_pair(compare_strategies(make_frame(focused, seeds=1), "value"))
    assert row["reason"] == ONE_SEED
    assert row["low"] < -0.1 < row["high"]
    assert math.isnan(row["p_runs"])


def test_the_untouched_base_is_compared_with_every_seed():
    frame = make_frame(focused, strategies=("none", "full"), seeds=3)
    row = of_pair(compare_strategies(frame, "value"))
    assert (row["n_runs"], row["reason"]) == (3, "")
    assert row["difference"] == pytest.approx(0.1, abs=0.02)
    assert math.isnan(row["p_runs"])


def test_only_seeds_that_both_have_are_paired():
    frame = make_frame(focused, seeds=4)
    fewer = frame[~((frame["strategy"] == "lora") & (frame["seed"] > 1))]
    assert of_pair(compare_strategies(fewer, "value"))["n_runs"] == 2
    other = frame.assign(seed=frame["seed"] + 10 * (frame["strategy"] == "lora"))
    assert of_pair(compare_strategies(other, "value"))["reason"] == "no seed that both strategies were trained with"


def test_cells_that_do_not_count_are_left_out_of_all_sizes_but_shown():
    frame = make_frame(focused, scales=ALL, seeds=3)
    table = compare_strategies(frame, "value", left_out=[("0.3m", "lora")])
    assert of_pair(table)["n_scales"] == 2
    assert of_pair(table, "0.3m")["reason"] == ""
    nothing = compare_strategies(frame, "value", left_out=[(scale, "full") for scale in ALL])
    assert of_pair(nothing)["reason"].startswith("no model size")


def test_documents_are_drawn_as_wholes():
    frame = make_frame(none_of, clauses=40, noise=0.01, seeds=3)
    document = {f"c{c:02}": f"d{c // 10}" for c in range(40)}
    shift = frame["id"].map({name: int(place[1:]) * 0.1 for name, place in document.items()})
    frame["value"] += shift * (frame["strategy"] == "full")
    alone, grouped = (of_pair(compare_strategies(frame, "value", clusters=c)) for c in (None, document))
    assert alone["difference"] == pytest.approx(grouped["difference"])
    assert grouped["error"] > 2 * alone["error"]


def test_the_order_of_rows_changes_nothing():
    frame = make_frame(focused, scales=ALL)
    by_cell = frame.groupby(["scale", "strategy"], sort=False, group_keys=False)
    shuffled = pd.concat([part.sample(frac=1, random_state=1) for _, part in by_cell])
    pd.testing.assert_frame_equal(compare_strategies(frame, "value"), compare_strategies(shuffled, "value"))


def test_bad_frames_are_named():
    with pytest.raises(InputError, match=r"compare_strategies: expected columns .*, found no gini"):
        compare_strategies(make_frame(focused), "gini")
    frame = make_frame(focused)
    with pytest.raises(InputError, match="one row for each clause, run and key of by, found several"):
        compare_strategies(pd.concat([frame, frame]), "value")


# --- controls ---------------------------------------------------------------------------------------------------


def with_confidence(frame, shift=0.0, seed=0):
    """A frame with what explains confidence: full fine-tuning is surer by ``shift``, and values follow confidence."""
    rng = np.random.default_rng(seed)
    sure = rng.normal(3, 0.3, len(frame)) + shift * (frame["strategy"] == "full")
    return frame.assign(
        n_features=8 + frame["id"].str[1:].astype(int) % 7,
        n_target_tokens=20,
        baseline_log_prob=rng.normal(-9, 2, len(frame)),
        total_mass=np.exp(sure),
        value=frame["value"] - 0.5 * sure,
    )


def test_a_difference_that_confidence_explains_is_gone_at_equal_confidence():
    frame = with_confidence(make_frame(none_of, scales=ALL, seeds=4, noise=0.05), shift=0.4)
    rows = controls_table(frame, "value").set_index("control")
    assert rows.loc["as measured", "estimate"] == pytest.approx(-0.2, abs=0.04)
    assert rows.loc["as measured", "p"] < 0.01
    for control in ("equal total mass", DIRECT):
        assert rows.loc[control, "estimate"] == pytest.approx(0.0, abs=0.03)
        assert rows.loc[control, "low"] < 0 < rows.loc[control, "high"]
    assert rows.loc["equal log-probability", "estimate"] == pytest.approx(-0.2, abs=0.04)
    assert 0 < rows.loc[DIRECT, "n_near"] < rows.loc["as measured", "n_near"] == 3 * 4 * 24


def test_the_adjusted_difference_is_that_of_least_squares():
    import statsmodels.api as sm

    frame = with_confidence(make_frame(focused, seeds=3))
    wide = {
        name: frame.assign(
            mass=np.log(frame["total_mass"]), log_prob=frame["baseline_log_prob"] / frame["n_target_tokens"]
        ).pivot(index="id", columns=["strategy", "seed"], values=name)
        for name in ("value", "mass", "log_prob")
    }
    y, *x = ((table["full"] - table["lora"]).to_numpy().ravel() for table in wide.values())
    fit = sm.OLS(y, sm.add_constant(np.column_stack(x))).fit()
    row = controls_table(frame, "value").set_index("control").loc[DIRECT]
    assert row["estimate"] == pytest.approx(fit.params[0])


def test_thirds_of_clauses_by_length():
    frame = with_confidence(make_frame(focused, seeds=3, clauses=30))
    frame["n_features"] = frame["id"].str[1:].astype(int)
    frame["value"] += np.where((frame["n_features"] >= 20) & (frame["strategy"] == "full"), 1.0, 0.0)
    rows = controls_table(frame, "value").set_index("control")
    assert rows.loc[["short clauses", "medium clauses", "long clauses"], "n_clauses"].tolist() == [10, 10, 10]
    assert rows.loc["long clauses", "estimate"] - rows.loc["short clauses", "estimate"] == pytest.approx(1.0, abs=0.15)


def test_controls_say_why_not():
    frame = with_confidence(make_frame(focused, seeds=2))
    constant = controls_table(frame.assign(total_mass=2.0), "value").set_index("control")
    assert constant.loc["equal total mass", "reason"] == "the difference in mass hardly varies"
    assert controls_table(with_confidence(make_frame(focused, seeds=1)), "value")["reason"].iloc[0] == ONE_SEED
    apart = frame.assign(seed=frame["seed"] + 10 * (frame["strategy"] == "lora"))
    assert set(controls_table(apart, "value")["reason"]) == {"no seed that both strategies were trained with"}
