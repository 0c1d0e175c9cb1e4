"""Shapley and Owen values by sampling orders of the features in antithetic pairs.

Along an order, features are put back one by one into the fully perturbed clause; a feature's gain is how much the
log-probability rises when it is put back. Its Shapley value is the mean gain over all orders (Castro et al. 2009). An
order and its reverse form a pair (Mitchell et al. 2022, section 4.1), so that noise partly cancels; pairs are
independent and give the standard error. If the orders keep every group together, the mean is the Owen value of the
groups (Owen 1977), and with groups inside groups the value of Winter (1989).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compliance_xai.attribution.methods import Score, Solution
from compliance_xai.errors import InputError

BUDGET = 2048


def draw_orders(n_features: int, pairs: int, *, levels: Sequence[Sequence[int]] = (), seed: int = 0) -> np.ndarray:
    """Random orders of the features, each followed by its reverse.

    Parameters
    ----------
    pairs
        How many. A pair depends on ``seed`` and its number alone.
    levels
        Group number of every feature, widest level first, each level inside the one before. Groups stay together.

    Returns
    -------
    int, shape (2 * pairs, features)
        Feature numbers in the order in which they come.

    Examples
    --------
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
    """Keep-masks along orders: for each order, nothing kept first, then one more feature at a time.

    Returns
    -------
    bool, shape (orders * (features + 1), features)

    Examples
    --------
    >>> chain_masks(np.array([[1, 0]])).astype(int).tolist()
    [[0, 0], [0, 1], [1, 1]]
    """
    n_orders, n_features = orders_PF.shape
    rank_PF = np.argsort(orders_PF, axis=1)
    steps_S = np.arange(n_features + 1)
    return (rank_PF[:, None, :] < steps_S[None, :, None]).reshape(n_orders * (n_features + 1), n_features)


def mean_gains(masks_MF: np.ndarray, log_probs_MT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shapley (or Owen) values and their standard errors from ``chain_masks`` of antithetic pairs.

    Scores of the features add up to log p(t | clause) - log p(t | everything perturbed), for every token t.

    Returns
    -------
    scores, standard errors
        float64, shape (F, T), nats. Standard error of the mean over pairs; NaN for a single pair.

    Examples
    --------
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
    score: Score,
    n_features: int,
    *,
    levels: Sequence[Sequence[int]] = (),
    budget: int | None = None,
    seed: int = 0,
) -> Solution:
    """Score as many pairs of orders as the budget allows.

    Parameters
    ----------
    levels
        See ``draw_orders``; none for Shapley values.
    budget
        Most masks to score, ``BUDGET`` where None.

    Raises
    ------
    InputError
        If the budget does not allow two pairs.
    """
    budget = BUDGET if budget is None else budget
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
