"""Tests on whole patterns, from frames."""

import math

import numpy as np
import pandas as pd
import pytest
from made_frames import PARAMETERS, make_masses

from compliance_xai.stats.cross_seed import Pair, excess, share_of, squared_distances
from compliance_xai.stats.pattern_tests import FEW_SEEDS, compare_patterns, compare_remaining, compare_sources

ALL = tuple(PARAMETERS)


def one(table, scale="all", a="full", b="lora"):
    return table[(table["scale"] == scale) & (table["strategy_a"] == a) & (table["strategy_b"] == b)].iloc[0]


def test_the_share_is_that_of_the_arrays():
    masses = make_masses(0.3, seeds=4, scales=ALL)
    row = one(compare_patterns(masses, permutations=200))
    pairs = []
    for scale in ALL:
        wide = masses[masses["scale"] == scale].sort_values(["strategy", "seed", "id", "feature"])
        pairs.append(Pair(squared_distances(wide["share"].to_numpy().reshape(1, 8, 15, 8))))
    found = excess(pairs)
    assert row["share"] == pytest.approx(share_of(found.value[0]))
    low, high = (share_of(float(bound[0])) for bound in found.interval())
    assert (row["share_low"], row["share_high"]) == pytest.approx((low, high))
    assert row["ratio"] == pytest.approx(row["between"] / math.sqrt((row["within_a"] ** 2 + row["within_b"] ** 2) / 2))
    assert (row["n_clauses"], row["n_scales"], row["n_seeds"], row["reason"]) == (15, 3, 4, "")
    assert row["p_runs_smallest"] == pytest.approx(max(2**-9, 1 / 201))


def test_strategies_that_differ_stand_out_and_equal_ones_do_not():
    apart = one(compare_patterns(make_masses(0.5, seeds=4, scales=ALL), permutations=300))
    assert apart["p_runs"] <= 0.01
    assert apart["share_low"] > 0.5
    same = one(compare_patterns(make_masses(0.0, seeds=4, scales=ALL), permutations=300))
    assert same["p_runs"] > 0.05
    assert same["share_low"] < 0 < same["share_high"]


def test_features_of_any_number_and_clauses_without_mass():
    masses = make_masses(0.3, seeds=3)
    shorter = masses[~((masses["id"] == "c1") & (masses["feature"] > 4))].copy()
    shorter.loc[(shorter["id"] == "c2") & (shorter["seed"] == 0), "share"] = math.nan
    row = one(compare_patterns(shorter, permutations=100))
    assert (row["n_clauses"], row["n_dropped"]) == (14, 1)


@pytest.mark.parametrize(
    ("seeds", "reason"),
    [(1, "fewer than two seeds that both strategies have: no distance between seeds"), (2, FEW_SEEDS), (3, "")],
)
def test_few_seeds_say_what_they_cannot_tell(seeds, reason):
    row = one(compare_patterns(make_masses(0.3, seeds=seeds), permutations=100))
    assert row["reason"] == reason
    assert math.isnan(row["share_low"]) is bool(reason)
    assert math.isnan(row["share"]) is (seeds == 1)


def test_the_base_is_compared_with_the_distance_between_seeds():
    trained = make_masses(0.0, seeds=3, strategies=("full",), noise=0.1)
    base = make_masses(0.0, seeds=1, strategies=("full",), noise=0.1, seed=7).assign(strategy="none")
    row = one(compare_patterns(pd.concat([base, trained]), permutations=100), a="none", b="full")
    assert row["ratio_low"] > 3
    assert math.isnan(row["share"])
    assert row["within_b"] < row["between"]


def test_seeds_without_any_difference_are_named():
    masses = make_masses(0.3, seeds=3)
    masses["share"] = masses.groupby(["strategy", "id", "feature"])["share"].transform("first")
    assert "identical patterns" in one(compare_patterns(masses, permutations=100))["reason"]


def test_cells_that_do_not_count():
    masses = make_masses(0.3, seeds=3, scales=ALL)
    table = compare_patterns(masses, permutations=100, left_out=[("4m", "lora")])
    assert (one(table)["n_scales"], one(table, "4m")["reason"]) == (2, "")


def test_another_removal_against_another_strategy():
    masses = make_masses(0.2, seeds=4, noise=0.2)
    moved = masses.copy()
    shift = np.exp(np.random.default_rng(5).normal(0, 1.0, 15 * 8))
    place = moved["id"].str[1:].astype(int) * 8 + moved["feature"]
    moved["share"] *= shift[place]
    moved["share"] /= moved.groupby(["strategy", "seed", "id"])["share"].transform("sum")
    both = pd.concat([masses, moved.assign(baseline="mask"), masses.assign(method="owen")])
    table = compare_sources(both, "full", "lora", main=("leave_one_out", "delete")).set_index("source")
    assert table.loc["seeds", "ratio_high"] < 1
    assert table.loc["removal", "ratio_low"] > 1.5
    assert (table.loc["removal", "other"], table.loc["method", "other"]) == ("mask", "owen")
    assert table.loc["method", "distance"] == 0.0


def test_what_is_left_when_an_adapter_trains_more():
    masses = make_masses(0.6, seeds=4, strategies=("full", "lora", "lora+"), noise=0.3, clauses=30)
    wide = masses.set_index(["strategy", "seed", "id", "feature"])["share"]
    half = np.sqrt(wide.loc["full"] * wide.loc["lora"])  # half way between the two
    half /= half.groupby(level=["seed", "id"]).transform("sum")
    lora_plus = half.reset_index().assign(strategy="lora+")
    view = {name: masses[name].iloc[0] for name in ("scale", "method", "baseline", "sign")}
    used = pd.concat([masses[masses["strategy"] != "lora+"], lora_plus.assign(**view)])
    row = compare_remaining(used, "full", "lora", "lora+").iloc[0]
    assert row["remaining"] == pytest.approx(0.25, abs=0.06)
    assert row["p"] < 0.001
    assert (row["n_seeds"], row["n_clauses"], row["reason"]) == (4, 30, "")
