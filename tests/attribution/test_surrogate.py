import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_xai.attribution.methods import fit_surrogate, surrogate_masks


@pytest.mark.parametrize(("penalty", "tolerance"), [("lasso", 0.05), ("ridge", 0.02)])
def test_a_planted_linear_model_is_recovered(penalty, tolerance):
    weights = np.zeros((30, 2))
    weights[[2, 7, 11], 0] = 3.0, -2.0, 1.0
    weights[20, 1] = 4.0
    masks = surrogate_masks(30)
    noise = np.random.default_rng(1).normal(scale=0.01, size=(len(masks), 2))
    found = fit_surrogate(masks, masks @ weights - 5 + noise, penalty=penalty)
    np.testing.assert_allclose(found.scores_FT, weights, atol=tolerance)
    assert found.report["lds"] > 0.98
    assert found.report["masks"] == 97
    assert found.report["held_out"] == 32


def test_the_lasso_is_sparse():
    weights = np.zeros((30, 1))
    weights[4] = 3.0
    masks = surrogate_masks(30)
    values = masks @ weights + np.random.default_rng(0).normal(scale=0.3, size=(len(masks), 1))
    assert (fit_surrogate(masks, values, penalty="lasso").scores_FT != 0).sum() < 15
    assert (fit_surrogate(masks, values, penalty="ridge").scores_FT != 0).all()


def test_values_without_a_linear_part_have_no_rank_correlation_to_speak_of():
    masks = surrogate_masks(4, 900)
    values = (masks.sum(axis=1) % 2).astype(float)[:, None]  # parity: every feature matters, none by itself
    found = fit_surrogate(masks, values, penalty="ridge")
    assert abs(found.report["lds"]) < 0.2


def test_constant_values_have_zero_weights_and_no_score_of_fit():
    masks = surrogate_masks(5, 30)
    for penalty in ("lasso", "ridge"):
        found = fit_surrogate(masks, np.full((len(masks), 2), -3.0), penalty=penalty)
        assert np.abs(found.scores_FT).max() < 1e-12
    assert found.report["lds"] is None or penalty == "ridge"


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(24, 60))
def test_a_mask_depends_on_its_number_alone(n_features, budget):
    masks = surrogate_masks(n_features, budget, seed=2)
    assert masks[0].all()
    np.testing.assert_array_equal(masks, surrogate_masks(n_features, budget + 7, seed=2)[: len(masks)])
