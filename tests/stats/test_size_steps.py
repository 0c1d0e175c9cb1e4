"""Changes with model size: steps, slopes where a line fits, the untouched base beside."""

import math

import numpy as np
import pytest
from made_frames import PARAMETERS, make_frame, none_of, rising

from compliance_xai.errors import InputError
from compliance_xai.stats.size_steps import SLOPE, STEP, TUNING, WHOLE, compare_sizes, order_test

ALL = tuple(PARAMETERS)
FAMILY = dict.fromkeys(PARAMETERS, "embedded")


def tabulate(frame, **options):
    return compare_sizes(frame, "value", families=options.pop("families", FAMILY), **options)


def row_of(table, strategy="trained", kind=SLOPE, a=None):
    chosen = table[(table["strategy"] == strategy) & (table["kind"] == kind)]
    return (chosen if a is None else chosen[chosen["a"] == a]).iloc[0]


def test_steps_and_slope_by_hand():
    frame = make_frame(rising, scales=ALL, seeds=2, noise=0.0)
    table = tabulate(frame)
    x = np.log10(list(PARAMETERS.values()))
    assert row_of(table, kind=STEP, a="0.3m")["change"] == pytest.approx(0.2 * (x[1] - x[0]))
    assert row_of(table, kind=STEP, a="1m")["change"] == pytest.approx(0.2 * (x[2] - x[1]))
    assert row_of(table, kind=WHOLE)["change"] == pytest.approx(0.2 * (x[2] - x[0]))
    slope = row_of(table)
    assert slope["change"] == pytest.approx(0.2)  # for each factor of ten in parameters
    assert (slope["n_clauses"], slope["n_runs"]) == (24, 4)


def test_a_line_is_not_rejected_where_there_is_one_and_rejected_where_there_is_a_bend():
    rates = [row_of(tabulate(make_frame(rising, scales=ALL, seeds=3, run=0.01, seed=s)))["line_p"] for s in range(12)]
    assert np.mean(np.array(rates) <= 0.05) <= 0.2

    def bent(strategy, parameters):
        return 0.3 if parameters > 500_000 else 0.0

    assert row_of(tabulate(make_frame(bent, scales=ALL, seeds=3, run=0.01)))["line_p"] < 0.001


def test_what_the_base_does_is_taken_off():
    def effect(strategy, parameters):
        return 0.2 * math.log10(parameters) + 0.1 * (strategy != "none") * math.log10(parameters)

    table = tabulate(make_frame(effect, scales=ALL, strategies=("none", "full", "lora"), seeds=3))
    assert row_of(table, "none")["change"] == pytest.approx(0.2, abs=0.02)
    assert row_of(table)["change"] == pytest.approx(0.3, abs=0.02)
    assert row_of(table, TUNING)["change"] == pytest.approx(0.1, abs=0.02)


def test_families_are_never_on_one_line():
    families = {"0.3m": "a", "1m": "a", "4m": "b"}
    table = tabulate(make_frame(rising, scales=ALL), families=families)
    assert table[table["family"] == "a"]["kind"].unique().tolist() == [STEP]
    assert table[table["family"] == "b"].empty


def test_models_of_equal_size_have_no_step_between_them_and_no_slope():
    frame = make_frame(rising, scales=ALL).replace({"parameters": {PARAMETERS["1m"]: PARAMETERS["0.3m"]}})
    table = tabulate(frame)
    assert table["kind"].unique().tolist() == [STEP]
    assert set(zip(table["a"], table["b"], strict=True)) == {("1m", "4m")}


def test_cells_that_do_not_count_are_left_out_of_the_pooled_rows():
    frame = make_frame(rising, scales=ALL, strategies=("full", "lora"), seeds=2)
    table = tabulate(frame, left_out=[("0.3m", "lora")])
    assert row_of(table, kind=STEP, a="0.3m")["n_runs"] == 2
    assert row_of(table, kind=STEP, a="1m")["n_runs"] == 4
    assert row_of(table, "lora", kind=STEP, a="0.3m")["n_runs"] == 2
    both = tabulate(frame, left_out=[("0.3m", "lora"), ("0.3m", "full")])
    assert row_of(both)["reason"].startswith("no strategy has models that count")


def test_other_numbers_of_seeds_at_other_sizes():
    frame = make_frame(rising, scales=ALL, strategies=("full",), seeds=4)
    fewer = frame[~((frame["scale"] == "4m") & (frame["seed"] > 1))]
    table = tabulate(fewer)
    assert row_of(table, kind=STEP, a="0.3m")["n_runs"] == 4
    assert row_of(table, kind=STEP, a="1m")["n_runs"] == 2


def test_an_exact_p_value_by_hand():
    # One run at three sizes, values 1, 2, 3, weights -1, 0, 1: |3 - 1| = 2 in two of six orders.
    values = [np.array([[1.0, 2.0, 3.0]])]
    assert order_test(values, np.array([-1.0, 0.0, 1.0]), 1000, 0) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_nothing_is_found_where_there_is_nothing():
    found = [row_of(tabulate(make_frame(none_of, scales=ALL, seeds=3, run=0.03, seed=s))) for s in range(20)]
    assert np.mean([row["p"] <= 0.05 for row in found]) <= 0.15
    assert np.mean([row["p_runs"] <= 0.05 for row in found]) <= 0.15


def test_bad_frames_are_named():
    frame = make_frame(rising, scales=ALL)
    with pytest.raises(InputError, match=r"compare_sizes: .* found no parameters"):
        tabulate(frame.drop(columns="parameters"))
    with pytest.raises(InputError, match="one number of parameters for each scale, found several for one scale"):
        tabulate(frame.assign(parameters=range(len(frame))))


def test_orders_that_exchange_sizes_of_equal_weight_count_once():
    whole = np.array([-1.0, 0.0, 0.0, 0.0, 1.0])
    p, smallest = order_test([np.array([[0.0, 1.0, 2.0, 3.0, 9.0]])], whole, 5000, seed=0)
    assert smallest == 2 / 20  # 120 orders, but only 20 different places for -1 and 1
    assert p == pytest.approx(2 / 20)
