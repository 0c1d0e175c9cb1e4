import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from compliance_xai.attribution import removal_curves as faithfulness
from compliance_xai.attribution.removal_curves import Effort, count_masks, judge_scores


def additive(worth_F, start=-10.0):
    """A model whose log-probability is a sum over the kept words."""
    return lambda masks_MF: start + masks_MF @ np.asarray(worth_F, dtype=float)


def area_of(score, order, removed):
    return faithfulness.perturbation_area(score(faithfulness.removal_masks(np.array(order), removed)))


def test_an_additive_model_by_hand():
    # Worth 4, 2, 0 nats: whole -4, empty -10. Best order 4, 2, 0 leaves -8, -10, -10: area (4 + 6 + 6) / 3.
    # Worst order 0, 2, 4 leaves -4, -6, -10: area (0 + 2 + 6) / 3.
    measures, curves = judge_scores(additive([4, 2, 0]), {"right": np.array([4.0, 2.0, 0.0])}, effort=Effort(points=3))
    (row,) = measures
    assert (row["whole"], row["empty"], row["n_features"]) == (-4, -10, 3)
    assert row["highest"] == pytest.approx(16 / 3)
    assert row["lowest"] == pytest.approx(8 / 3)
    assert (row["deletion"], row["insertion"], row["reversed_deletion"], row["lds"]) == (1, 1, 0, 1)
    assert (row["top_1_nats"], row["top_1_drop"], row["top_3_drop"]) == pytest.approx((4, 4 / 6, 1))
    assert row["reason"] == ""
    along = [point["kept"] for point in curves if point["order"] == "score"]
    assert along == pytest.approx([1, 2 / 6, 0, 0])


def test_wrong_scores_lose_to_right_ones_and_random_lies_between():
    worth = np.array([5.0, 3.0, 1.0, 0.5, 0.0, 0.0])
    effort = Effort(points=6, random_orders=40)
    measures, _ = judge_scores(additive(worth), {"right": worth, "wrong": -worth}, effort=effort)
    right, wrong = measures
    assert (right["deletion"], wrong["deletion"]) == (1, 0)
    assert (right["lds"], wrong["lds"]) == (1, -1)
    # The mean over random orders of an additive model is the middle of best and worst.
    assert right["random_deletion"] == pytest.approx(0.5, abs=0.12)
    assert right["random_deletion"] == wrong["random_deletion"]


def test_insertion_is_the_normalised_area_under_the_insertion_curve():
    rng = np.random.default_rng(3)
    table = {tuple(mask): rng.normal() for mask in itertools.product((False, True), repeat=4)}
    table[(True,) * 4], table[(False,) * 4] = 5.0, -5.0

    def score(masks_MF):
        return np.array([table[tuple(map(bool, mask))] for mask in masks_MF])

    scores = np.array([0.3, 2.0, -1.0, 0.9])
    (row,), _ = judge_scores(score, {"a": scores}, effort=Effort(points=4, beam=5))
    removed = np.arange(5)
    # Words come back best first: the mean gain over the empty clause, set between its own limits.
    inserted = {
        order: np.mean([score(faithfulness.removal_masks(np.array(order[::-1]), removed))[4 - k] for k in range(4)])
        for order in itertools.permutations(range(4))
    }
    ours = inserted[1, 3, 0, 2]  # by falling score, signs kept
    low, high = min(inserted.values()), max(inserted.values())
    areas = [area_of(score, order, removed) for order in inserted]
    assert (row["lowest"], row["highest"]) == pytest.approx((min(areas), max(areas)))
    assert row["insertion"] == pytest.approx((ours - low) / (high - low))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_a_wide_beam_finds_the_limits_over_all_orders(n, seed):
    # Edin et al. (2024) compute the exact limits from all orders; a beam as wide as there are sets must find them.
    rng = np.random.default_rng(seed)
    table = dict(zip(itertools.product((False, True), repeat=n), rng.normal(size=2**n), strict=True))

    def score(masks_MF):
        return np.array([table[tuple(map(bool, mask))] for mask in masks_MF])

    removed = faithfulness.count_removed(n, n)
    best, worst = faithfulness.search_orders(score, n, removed, beam=2**n)
    areas = [area_of(score, order, removed) for order in itertools.permutations(range(n))]
    assert area_of(score, best, removed) == pytest.approx(max(areas))
    assert area_of(score, worst, removed) == pytest.approx(min(areas))


def test_a_greedy_search_takes_steps_of_several_words():
    worth = np.arange(10.0)
    best, worst = faithfulness.search_orders(additive(worth), 10, faithfulness.count_removed(10, 3))
    assert sorted(best[:3]) == [7, 8, 9]
    assert sorted(worst[:3]) == [0, 1, 2]
    assert sorted(best.tolist()) == sorted(worst.tolist()) == list(range(10))


def test_no_mask_is_scored_twice():
    asked = []

    def score(masks_MF):
        asked.extend(mask.tobytes() for mask in masks_MF)
        return masks_MF @ np.arange(8.0)

    judge_scores(score, {"a": np.arange(8.0), "b": -np.arange(8.0)}, effort=Effort(points=4, random_orders=3, masks=20))
    assert len(asked) == len(set(asked))


def test_lds_is_spearman_on_the_held_out_masks():
    rng = np.random.default_rng(0)
    masks = faithfulness.held_out_masks(6, 30, seed=4)
    scores, actual = rng.normal(size=6), rng.normal(size=30)
    assert faithfulness.additive_lds(scores, masks, actual) == pytest.approx(
        spearmanr(masks @ scores, actual).statistic
    )
    assert (masks == faithfulness.held_out_masks(6, 40, seed=4)[:30]).all()  # more masks leave the first ones alone
    assert 0.3 < masks.mean() < 0.7
    assert math.isnan(faithfulness.additive_lds(np.zeros(6), masks, actual))
    assert math.isnan(faithfulness.additive_lds(scores, masks, np.ones(30)))


def test_a_random_order_depends_on_its_number_and_seed():
    first, again = (faithfulness.random_order(9, 1, seed=2) for _ in range(2))
    assert (first == again).all()
    assert (first != faithfulness.random_order(9, 2, seed=2)).any()


@pytest.mark.parametrize(
    ("score", "scores", "reason"),
    [
        (additive([1, 2, 3]), np.zeros(3), "all scores are equal"),
        (
            lambda masks: np.full(len(masks), -3.0),
            np.arange(3.0),
            "every order has the same area; the target is no likelier with the clause than without",
        ),
        (additive([-1, -2, 0]), np.arange(3.0), "the target is no likelier with the clause than without"),
        (additive([1]), np.ones(1), "fewer than two words"),
    ],
)
def test_what_cannot_be_judged_says_why(score, scores, reason):
    measures, _ = judge_scores(score, {"a": scores})
    assert measures[0]["reason"] == reason
    assert "deletion" not in measures[0]


def test_equal_limits_have_no_normalised_area():
    assert math.isnan(faithfulness.normalise_area(1.0, 2.0, 2.0))
    assert math.isnan(faithfulness.perturbation_area(np.array([-1.0])))


@pytest.mark.parametrize(
    ("n", "effort"), [(8, Effort()), (25, Effort()), (25, Effort(points=8, beam=3)), (12, Effort(random_orders=0))]
)
def test_the_number_of_texts_is_known_before(n, effort):
    asked = []

    def score(masks_MF):
        asked.append(len(masks_MF))
        return masks_MF @ np.random.default_rng(0).normal(size=n)

    judge_scores(score, {"a": np.arange(n), "b": np.cos(np.arange(n))}, effort=effort)
    assert sum(asked) == pytest.approx(count_masks(n, 2, effort), rel=0.2)
