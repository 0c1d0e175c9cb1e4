import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compliance_xai.attribution import focus
from compliance_xai.errors import InputError
from compliance_xai.records import CATEGORIES, Attribution, Example, Feature, TargetToken, attribution_row

MASSES = arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 1e3)).filter(lambda m: m.sum() > 1e-6)


def make_row(scores, categories, *, id="a", seed=0, baseline="delete", split="test"):
    scores = np.array(scores, dtype=np.float32)
    features = tuple(Feature(2 * i, 2 * i + 1, "x", category) for i, category in enumerate(categories))
    tokens = tuple(TargetToken(i, i + 1, "y") for i in range(scores.shape[1]))
    log_probs = np.full(scores.shape[1], -0.5, dtype=np.float32)
    attribution = Attribution(id, "x " * len(features), "y" * len(tokens), features, tokens, scores, log_probs)
    return attribution_row(attribution, seed=seed, baseline=baseline, split=split)


@settings(deadline=None)
@given(MASSES)
def test_ranges_and_scale_invariance(mass_F):
    n = len(mass_F)
    assert -1e-9 <= focus.normalised_entropy(mass_F) <= 1 + 1e-9
    assert -1e-9 <= focus.gini(mass_F) <= 1 - 1 / n + 1e-9
    assert 1 - 1e-9 <= focus.effective_number(mass_F) <= n + 1e-9
    assert 1 / n - 1e-9 <= focus.top_k_mass(mass_F, 1) <= 1 + 1e-9
    for measure in (focus.normalised_entropy, focus.gini, focus.effective_number):
        assert measure(mass_F * 8) == pytest.approx(measure(mass_F), abs=1e-9)
        assert measure(mass_F[::-1]) == pytest.approx(measure(mass_F), abs=1e-9)


@settings(deadline=None)
@given(MASSES)
def test_entropy_agrees_with_scipy(mass_F):
    from scipy.stats import entropy

    assert focus.normalised_entropy(mass_F) == pytest.approx(entropy(mass_F) / math.log(len(mass_F)), abs=1e-9)
    assert focus.effective_number(mass_F) == pytest.approx(math.exp(entropy(mass_F)), rel=1e-9)


@settings(deadline=None)
@given(MASSES)
def test_gini_is_half_the_mean_relative_difference(mass_F):
    mean_difference = np.abs(mass_F[:, None] - mass_F[None, :]).mean()
    assert focus.gini(mass_F) == pytest.approx(mean_difference / (2 * mass_F.mean()), abs=1e-9)


def test_reference_values():
    # R 4: ineq::Gini(c(1,2,3,4)) = 0.25; vegan::diversity(c(1,2,3,4)) / log(4) = 0.9232196
    mass_F = np.array([4.0, 1.0, 3.0, 2.0])
    assert focus.gini(mass_F) == pytest.approx(0.25)
    assert focus.normalised_entropy(mass_F) == pytest.approx(0.9232196, abs=1e-7)
    assert focus.top_k_mass(mass_F, 2) == pytest.approx(0.7)


@pytest.mark.parametrize("measure", [focus.normalised_entropy, focus.gini, focus.effective_number])
def test_no_mass_is_undefined(measure):
    assert math.isnan(measure(np.zeros(4)))
    assert math.isnan(measure(np.array([])))
    assert math.isnan(focus.top_k_mass(np.zeros(4), 1))


def test_one_feature_has_no_normalised_entropy():
    assert math.isnan(focus.normalised_entropy(np.array([2.0])))
    assert focus.effective_number(np.array([2.0])) == 1.0


def test_an_unknown_sign_is_refused():
    with pytest.raises(InputError, match="mass, sign: expected one of net, absolute, positive, found 'signed'"):
        focus.mass(np.ones((2, 2)), "signed")


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(1, 20), st.integers(0, 20))
def test_log_lift_bounds(share, n_category, more):
    n = n_category + more
    (lift,) = focus.log_lift(np.array([share]), np.array([n_category]), np.array([n]))
    assert math.log(0.5 / (n_category + 0.5)) - 1e-9 <= lift <= math.log((n + 0.5) / (n_category + 0.5)) + 1e-9


def test_log_lift_of_the_average_is_zero_and_absent_is_undefined():
    average, absent, unknown = focus.log_lift(np.array([3 / 12, 0, math.nan]), np.array([3, 0, 2]), np.full(3, 12))
    assert average == pytest.approx(0.0)
    assert math.isnan(absent)
    assert math.isnan(unknown)


def test_focus_frame_by_hand():
    frame = focus.focus_frame([make_row([[2.0, -1.0], [0.0, 1.0]], ["number", "unit"], seed=3)])
    assert frame["sign"].tolist() == ["net", "absolute", "positive"]
    net, absolute, positive = frame.to_dict("records")
    assert (net["total_mass"], net["normalised_entropy"]) == (2.0, 1.0)
    assert (absolute["id"], absolute["seed"], absolute["baseline"]) == ("a", 3, "delete")
    assert (absolute["n_features"], absolute["n_target_tokens"]) == (2, 2)
    assert (absolute["total_mass"], positive["total_mass"]) == (4.0, 3.0)
    assert absolute["net_mass"] == positive["net_mass"] == 2.0
    assert absolute["baseline_log_prob"] == -1.0
    # shares 3/4 and 1/4
    assert absolute["normalised_entropy"] == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert absolute["top_1_mass"] == 0.75
    assert absolute["effective_fraction"] == pytest.approx(absolute["effective_number"] / 2)


def test_scores_below_the_floor_are_left_out_and_words_without_others_counted():
    scores = [[2.0, -0.1], [0.05, 1.0], [0.1, -0.15]]
    frame = focus.focus_frame([make_row(scores, ["number", "unit", "other"])], floor=0.2)
    assert frame["n_below_floor"].tolist() == [1, 1, 1]
    assert frame["noise_floor"].tolist() == [0.2, 0.2, 0.2]
    assert frame["total_mass"].tolist() == [3.0, 3.0, 3.0]
    assert frame["n_features"].tolist() == [3, 3, 3]  # the clause is no shorter
    assert frame["effective_number"].iloc[0] == pytest.approx(
        math.exp(-(2 / 3 * math.log(2 / 3) + math.log(1 / 3) / 3))
    )


def test_reference_values_of_scipy():
    # scipy 1.17: scipy.stats.entropy([4, 1, 3, 2]) / numpy.log(4); what scikit-bio calls pielou_e
    mass_F = np.array([4.0, 1.0, 3.0, 2.0])
    assert focus.normalised_entropy(mass_F) == pytest.approx(0.9232196723355077)
    assert focus.effective_number(mass_F) == pytest.approx(4**0.9232196723355077)  # Hill: n to the evenness


def test_halves_of_a_rule_are_compared_token_by_token():
    scores = np.array([[2.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [4.0, 4.0, 1.0, 0.0]])
    expected = np.corrcoef([2.0, 0.0, 5.0], [2.0, 1.0, 4.0])[0, 1]
    assert focus.half_correlation(scores) == pytest.approx(expected)
    assert math.isnan(focus.half_correlation(scores[:2]))
    assert math.isnan(focus.half_correlation(scores[:, :1]))
    assert math.isnan(focus.half_correlation(np.zeros((4, 4))))


def test_category_frame_by_hand():
    row = make_row([[3.0], [1.0], [0.0], [0.0]], ["number", "unit", "other", "rule_identifier"])
    example = Example("a", "", "", "fire", "test", identifier_role="distracts", number_role="decides")
    shares = focus.share_frame(focus.word_frame([row]))
    frame = focus.category_frame(shares, examples=[example])
    assert frame["category"].tolist() == [*CATEGORIES, "numerical_constraint", "rule_identifier_all"] * 3
    absolute = frame[frame["sign"] == "absolute"].set_index("category")
    assert absolute.loc["number", "share"] == 0.75
    assert absolute.loc["number", "log_lift"] == pytest.approx(math.log(3.5 / 1.5))
    assert absolute.loc["numerical_constraint", "share"] == 1.0
    assert absolute.loc["numerical_constraint", "feature_share"] == 0.5
    assert absolute.loc["numerical_constraint", "log_lift"] == pytest.approx(math.log(4.5 / 2.5))
    assert absolute.loc["rule_identifier_all", "log_lift"] == pytest.approx(math.log(0.5 / 1.5))
    assert math.isnan(absolute.loc["deontic", "log_lift"])
    assert set(frame["identifier_role"]) == {"distracts"}
    assert set(focus.category_frame(shares)["number_role"]) == {""}


def test_shares_of_words_sum_to_one_under_every_sign():
    words = focus.word_frame([make_row([[2.0, -1.0], [0.0, 1.0]], ["number", "unit"])])
    assert words["net"].tolist() == [1.0, 1.0]
    assert (words["absolute"].tolist(), words["positive"].tolist()) == ([3.0, 1.0], [2.0, 1.0])
    shares = focus.share_frame(words)
    assert shares.groupby("sign", sort=False)["share"].sum().to_dict() == dict.fromkeys(focus.SIGNS, 1.0)
    assert shares.loc[shares["sign"] == "absolute", "share"].tolist() == [0.75, 0.25]


def test_measures_of_patterns_are_those_of_mass_vectors():
    rows = [make_row(np.random.default_rng(seed).normal(size=(5, 3)), ["number"] * 5, seed=seed) for seed in (0, 1)]
    frame = focus.pattern_frame(focus.share_frame(focus.word_frame(rows)))
    expected = focus.focus_frame(rows).set_index(["sign", "seed"])
    for row in frame.to_dict("records"):
        other = expected.loc[(row["sign"], row["seed"])]
        assert math.exp(row["log_words"]) == pytest.approx(other["effective_number"], rel=1e-6)
        assert row["total_mass"] == pytest.approx(other["total_mass"], rel=1e-6)
        assert row["n_features"] == 5


def test_words_that_speak_against_the_rule_have_a_net_and_a_size():
    words = focus.word_frame([make_row([[-3.0, 0.0], [1.0, 0.0]], ["number", "unit"])])
    assert words["net"].tolist() == [-3.0, 1.0]
    assert focus.share_frame(words).query("sign == 'net'")["share"].tolist() == [0.75, 0.25]


def test_what_two_removals_disagree_on_cancels_in_their_average():
    rows = [
        make_row([[4.0], [1.0]], ["number", "unit"], baseline="delete"),
        make_row([[2.0], [-1.0]], ["number", "unit"], baseline="mask"),
        make_row([[9.0], [9.0]], ["number", "unit"], id="b", baseline="delete"),
    ]
    (average,) = focus.average_removals(rows, ["delete", "mask"])
    assert (average["id"], average["baseline"]) == ("a", focus.AVERAGE)
    assert focus.word_frame([average])["net"].tolist() == [3.0, 0.0]
    assert focus.average_removals(rows, ["delete"]) == []


def test_constant_attributions_are_undefined_not_dropped():
    rows = [make_row([[0.0], [0.0]], ["number", "unit"])]
    shares = focus.share_frame(focus.word_frame(rows))
    assert focus.focus_frame(rows)["normalised_entropy"].isna().all()
    assert len(focus.category_frame(shares)) == 39
    assert shares["share"].isna().all()
    assert focus.pattern_frame(shares)["log_words"].isna().all()


def test_nothing_gives_empty_frames_with_columns():
    assert tuple(focus.focus_frame([]).columns[:6]) == (*focus.KEYS, "sign")
    assert "net" in focus.word_frame([]).columns
