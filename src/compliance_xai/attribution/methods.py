"""Methods as pure functions: which keep-masks to score, and what their log-probabilities say about each feature.

Shapley and Owen values come from orders of the features in antithetic pairs. Along an order, features are put back one
by one into the fully perturbed clause; a feature's gain is how much the log-probability rises when it is put back. Its
Shapley value is the mean gain over all orders (Castro et al. 2009). An order and its reverse form a pair (Mitchell et
al. 2022, section 4.1), so that noise partly cancels; pairs are independent and give the standard error. If the orders
keep every group together, the mean is the Owen value of the groups (Owen 1977), and with groups inside groups the value
of Winter (1989).

A surrogate explains the log-probabilities of random keep-masks by one weight per feature, after ContextCite
(Cohen-Wang et al. 2024, section 4): masks keep each feature with probability 1/2, and the linear datamodeling score
(LDS) on masks that were held out says how far to trust the weights. We depart from it in that every target token has a
fit of its own, on its log-probability in nats, and that the penalty is cross-validated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from compliance_xai.attribution.options import BUDGETS
from compliance_xai.errors import InputError

Score: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Keep-masks (M, F) -> log-probabilities (M, T)."""

_LEAST_MASKS, _FOLDS = 24, 5
_RIDGE_PENALTIES = np.logspace(-3, 3, 13)


@dataclass(frozen=True, eq=False)
class Solution:
    """Scores (F, T) of one method with what they cost.

    ``whole_T`` are the log-probabilities on the untouched clause; ``report`` joins the provenance.
    """

    scores_FT: np.ndarray
    whole_T: np.ndarray
    standard_errors_FT: np.ndarray | None = None
    report: dict[str, Any] = field(default_factory=dict)


def leave_one_out_masks(n_features: int) -> np.ndarray:
    """Keep-masks of leave-one-out: everything kept first, then one feature perturbed at a time; (F + 1, F).

    >>> leave_one_out_masks(2).astype(int).tolist()
    [[1, 1], [0, 1], [1, 0]]
    """
    return np.vstack([np.ones((1, n_features), dtype=bool), ~np.eye(n_features, dtype=bool)])


def leave_one_out(log_probs_MT: np.ndarray) -> np.ndarray:
    """Scores (F, T) from the log-probabilities (F + 1, T) of ``leave_one_out_masks``.

    ``score[f, t] = log p(t | clause) - log p(t | clause with feature f perturbed)``, in nats; positive where the
    feature makes the token more likely.

    >>> leave_one_out(np.array([[-1.0, -0.5], [-2.5, -0.5]])).tolist()
    [[1.5, 0.0]]
    """
    # Subtract in float64: two large log-probabilities may differ in their last float32 digits only.
    log_probs = np.asarray(log_probs_MT, dtype=np.float64)
    return (log_probs[0] - log_probs[1:]).astype(np.float32)


# --- Shapley and Owen values --------------------------------------------------------------------------------------


def draw_orders(n_features: int, pairs: int, *, levels: Sequence[Sequence[int]] = (), seed: int = 0) -> np.ndarray:
    """Random orders of the features, each followed by its reverse; int, shape (2 * pairs, features).

    ``pairs``: how many. A pair depends on ``seed`` and its number alone. ``levels``: group number of every feature,
    widest level first, each level inside the one before. Groups stay together.

    >>> draw_orders(4, 1, levels=[[0, 0, 1, 1]]).tolist()
    [[1, 0, 2, 3], [3, 2, 0, 1]]
    """
    orders = []
    for pair in range(pairs):
        rng = np.random.default_rng((seed, pair))
        keys = [rng.permutation(max(level) + 1)[np.asarray(level)] for level in levels]
        order = np.lexsort((rng.permutation(n_features), *reversed(keys)))
        orders += [order, order[::-1]]
    return np.array(orders).reshape(2 * pairs, n_features)


def chain_masks(orders_PF: np.ndarray) -> np.ndarray:
    """Keep-masks (orders * (features + 1), features): for each order nothing kept, then one more feature at a time.

    >>> chain_masks(np.array([[1, 0]])).astype(int).tolist()
    [[0, 0], [0, 1], [1, 1]]
    """
    n_orders, n_features = orders_PF.shape
    rank_PF = np.argsort(orders_PF, axis=1)
    steps_S = np.arange(n_features + 1)
    return (rank_PF[:, None, :] < steps_S[None, :, None]).reshape(n_orders * (n_features + 1), n_features)


def mean_gains(masks_MF: np.ndarray, log_probs_MT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (F, T) and standard errors of their means over pairs, in nats, from ``chain_masks`` of antithetic pairs.

    Scores of the features add up to log p(t | clause) - log p(t | everything perturbed), for every token t. The errors
    of a single pair are NaN.

    >>> masks = chain_masks(np.array([[0, 1], [1, 0]]))
    >>> gains, _ = mean_gains(masks, np.array([[0.0], [1.0], [4.0], [0.0], [2.0], [4.0]]))
    >>> gains.tolist()
    [[1.5], [2.5]]
    """
    n_features, n_tokens = masks_MF.shape[1], log_probs_MT.shape[1]
    values_PST = np.asarray(log_probs_MT, dtype=np.float64).reshape(-1, n_features + 1, n_tokens)
    masks_PSF = masks_MF.reshape(-1, n_features + 1, n_features)
    order_PF = (masks_PSF[:, 1:] & ~masks_PSF[:, :-1]).argmax(axis=2)
    gains_PFT = np.empty((len(values_PST), n_features, n_tokens))
    np.put_along_axis(gains_PFT, order_PF[:, :, None], np.diff(values_PST, axis=1), axis=1)
    per_pair_AFT = (gains_PFT[0::2] + gains_PFT[1::2]) / 2
    if len(per_pair_AFT) == 1:
        return per_pair_AFT[0], np.full_like(per_pair_AFT[0], np.nan)
    return per_pair_AFT.mean(axis=0), per_pair_AFT.std(axis=0, ddof=1) / np.sqrt(len(per_pair_AFT))


def efficiency_gap(scores_FT: np.ndarray, whole_T: np.ndarray, empty_T: np.ndarray) -> float:
    """By how many nats, at most, the scores of a token fail to add up to the effect of all features together."""
    total_T = np.asarray(scores_FT, dtype=np.float64).sum(axis=0)
    return float(np.abs(total_T - (np.float64(whole_T) - np.float64(empty_T))).max(initial=0.0))


def sample_values(
    score: Score, n_features: int, *, levels: Sequence[Sequence[int]] = (), budget: int, seed: int = 0
) -> Solution:
    """Shapley values, or Owen values of ``levels``, from as many pairs of orders as a budget of masks allows.

    If it does not allow two pairs, there is an InputError.
    """
    per_pair = 2 * (n_features + 1)
    if budget < 2 * per_pair:
        raise InputError(
            "budget",
            expected=f"at least {2 * per_pair} masks, which is two pairs of orders of {n_features} features",
            found=str(budget),
            remedy="Raise the budget, or choose a larger unit.",
        )
    pairs = budget // per_pair
    masks_MF = chain_masks(draw_orders(n_features, pairs, levels=levels, seed=seed))
    log_probs_MT = score(masks_MF)
    scores_FT, errors_FT = mean_gains(masks_MF, log_probs_MT)
    whole_T, empty_T = log_probs_MT[n_features], log_probs_MT[0]
    report = {
        "masks": len(masks_MF),
        "pairs": pairs,
        "max_standard_error": float(errors_FT.max()),
        "efficiency_gap": efficiency_gap(scores_FT, whole_T, empty_T),
    }
    return Solution(scores_FT.astype(np.float32), whole_T, errors_FT.astype(np.float32), report)


# --- surrogates ---------------------------------------------------------------------------------------------------


def surrogate_masks(n_features: int, budget: int = BUDGETS["surrogate_ridge"], *, seed: int = 0) -> np.ndarray:
    """Everything kept, then random keep-masks (budget + 1, F); mask ``i`` depends on ``seed`` and ``i`` alone."""
    if budget < _LEAST_MASKS:
        raise InputError(
            "budget",
            expected=f"at least {_LEAST_MASKS} masks for a surrogate",
            found=str(budget),
            remedy="The default suits most clauses.",
        )
    drawn_MF = [np.random.default_rng((seed, index)).random(n_features) < 0.5 for index in range(budget)]
    return np.vstack([np.ones((1, n_features), dtype=bool), *drawn_MF])


def fit_surrogate(masks_MF: np.ndarray, log_probs_MT: np.ndarray, *, penalty: str = "lasso") -> Solution:
    """Weights of the features from the log-probabilities of ``surrogate_masks``; ``penalty`` is ``lasso`` or ``ridge``.

    ``log p(t | mask) ~ intercept[t] + sum of scores[f, t] over kept features f``. The last third of the masks is held
    out of the fit; ``report`` holds their number and ``lds``, the rank correlation of predicted and actual
    log-probability of the whole target on them (None where either is constant).

    >>> masks = surrogate_masks(2)
    >>> fit_surrogate(masks, masks @ np.array([[3.0], [-1.0]]), penalty="ridge").scores_FT.round(2).tolist()
    [[3.0], [-1.0]]
    """
    held_out = (len(masks_MF) - 1) // 3
    fitted = len(masks_MF) - held_out
    values_MT = np.asarray(log_probs_MT, dtype=np.float64)
    weights_TF = {"lasso": _fit_lasso, "ridge": _fit_ridge}[penalty](
        masks_MF[:fitted].astype(float), values_MT[:fitted]
    )
    # A constant, such as the intercept, does not change a rank.
    predicted_M = masks_MF[fitted:] @ weights_TF.sum(axis=0)
    lds = rank_correlation(predicted_M, values_MT[fitted:].sum(axis=1))
    report = {"masks": len(masks_MF), "held_out": held_out, "lds": lds}
    return Solution(weights_TF.T.astype(np.float32), log_probs_MT[0], report=report)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation; None where one side is constant.

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
            weights_TF[token] = LassoCV(cv=_FOLDS, max_iter=100_000).fit(masks_MF, values_M).coef_
    return weights_TF


def _fit_ridge(masks_MF: np.ndarray, values_MT: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=_RIDGE_PENALTIES, alpha_per_target=values_MT.shape[1] > 1)
    coefficients: Any = model.fit(masks_MF, values_MT).coef_
    return coefficients.reshape(values_MT.shape[1], masks_MF.shape[1])
