"""A sparse linear surrogate: log-probabilities of random keep-masks, explained by one weight per feature.

After ContextCite (Cohen-Wang et al. 2024, section 4): masks keep each feature with probability 1/2, weights come from a
Lasso, and the linear datamodeling score (LDS) on masks that were held out says how far to trust them. We depart from it
in that every target token has a fit of its own, on its log-probability in nats, and that the penalty is
cross-validated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compliance_xai.attribution.methods import Solution
from compliance_xai.errors import InputError, require_choice

BUDGET = 96
"""Masks: 64 to fit, as in ContextCite, and 32 held out."""
_LEAST = 24
_FOLDS = 5
_RIDGE_PENALTIES = np.logspace(-3, 3, 13)
PENALTIES = ("lasso", "ridge")


def surrogate_masks(n_features: int, budget: int | None = None, *, seed: int = 0) -> np.ndarray:
    """Everything kept, then random keep-masks; mask ``i`` depends on ``seed`` and ``i`` alone.

    Returns
    -------
    bool, shape (budget + 1, features)
    """
    budget = BUDGET if budget is None else budget
    if budget < _LEAST:
        raise InputError(
            "budget",
            expected=f"at least {_LEAST} masks for a surrogate",
            found=str(budget),
            remedy=f"The default, {BUDGET}, suits most clauses.",
        )
    drawn_MF = [np.random.default_rng((seed, index)).random(n_features) < 0.5 for index in range(budget)]
    return np.vstack([np.ones((1, n_features), dtype=bool), *drawn_MF])


def fit_surrogate(masks_MF: np.ndarray, log_probs_MT: np.ndarray, *, penalty: str = "lasso") -> Solution:
    """Weights of the features from the log-probabilities of ``surrogate_masks``.

    ``log p(t | mask) ~ intercept[t] + sum of scores[f, t] over kept features f``. The last third of the masks is held
    out of the fit.

    Parameters
    ----------
    penalty
        ``lasso`` (penalty by five-fold cross-validation) or ``ridge`` (by leave-one-out, in closed form).

    Returns
    -------
    Solution
        ``report`` holds ``masks``, ``held_out`` and ``lds``: Spearman's rank correlation of predicted and actual
        log-probability of the whole target on the masks held out (None where either is constant).

    Examples
    --------
    >>> masks = surrogate_masks(2)
    >>> fit_surrogate(masks, masks @ np.array([[3.0], [-1.0]]), penalty="ridge").scores_FT.round(2).tolist()
    [[3.0], [-1.0]]
    """
    require_choice("surrogate, penalty", penalty, PENALTIES)
    held_out = (len(masks_MF) - 1) // 3
    fit = slice(0, len(masks_MF) - held_out)
    values_MT = np.asarray(log_probs_MT, dtype=np.float64)
    weights_TF = (
        _fit_lasso(masks_MF[fit], values_MT[fit]) if penalty == "lasso" else _fit_ridge(masks_MF[fit], values_MT[fit])
    )
    # A constant, such as the intercept, does not change a rank.
    predicted_M = masks_MF[fit.stop :] @ weights_TF.sum(axis=0)
    report = {
        "masks": len(masks_MF),
        "held_out": held_out,
        "lds": rank_correlation(predicted_M, values_MT[fit.stop :].sum(axis=1)),
    }
    return Solution(weights_TF.T.astype(np.float32), log_probs_MT[0], report=report)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation; None where one side is constant.

    Examples
    --------
    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
    1.0
    """
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    result: Any = spearmanr(first, second)
    return round(float(result.statistic), 12)


def _fit_lasso(masks_MF: np.ndarray, values_MT: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LassoCV

    weights_TF = np.zeros((values_MT.shape[1], masks_MF.shape[1]))
    for token, values_M in enumerate(values_MT.T):
        if np.ptp(values_M) > 0:
            model = LassoCV(cv=_FOLDS, max_iter=100_000).fit(masks_MF.astype(np.float64), values_M)
            weights_TF[token] = model.coef_
    return weights_TF


def _fit_ridge(masks_MF: np.ndarray, values_MT: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=_RIDGE_PENALTIES, alpha_per_target=values_MT.shape[1] > 1)
    coefficients: Any = model.fit(masks_MF.astype(np.float64), values_MT).coef_
    return coefficients.reshape(values_MT.shape[1], masks_MF.shape[1])
