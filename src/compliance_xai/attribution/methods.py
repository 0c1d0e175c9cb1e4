"""Attribution methods as pure functions: which keep-masks to score, and what their log-probabilities say.

Shapley and Owen values and the surrogate have modules of their own (``sampling``, ``surrogate``); here are
leave-one-out and the controls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

Score: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Keep-masks (M, F) -> log-probabilities (M, T)."""


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
    """Keep-masks of leave-one-out: everything kept first, then one feature perturbed at a time.

    Returns
    -------
    bool, shape (n_features + 1, n_features)

    Examples
    --------
    >>> leave_one_out_masks(2).astype(int).tolist()
    [[1, 1], [0, 1], [1, 0]]
    """
    return np.vstack([np.ones((1, n_features), dtype=bool), ~np.eye(n_features, dtype=bool)])


def leave_one_out(log_probs_MT: np.ndarray) -> np.ndarray:
    """Scores from the log-probabilities of ``leave_one_out_masks``.

    ``score[f, t] = log p(t | clause) - log p(t | clause with feature f perturbed)``, in nats; positive where the
    feature makes the token more likely.

    Parameters
    ----------
    log_probs_MT
        Shape (F + 1, T); the untouched clause in the first row.

    Returns
    -------
    float32, shape (F, T)

    Examples
    --------
    >>> leave_one_out(np.array([[-1.0, -0.5], [-2.5, -0.5]])).tolist()
    [[1.5, 0.0]]
    """
    # Subtract in float64: two large log-probabilities may differ in their last float32 digits only.
    log_probs = np.asarray(log_probs_MT, dtype=np.float64)
    return (log_probs[0] - log_probs[1:]).astype(np.float32)


def random_scores(n_features: int, n_tokens: int, seed: int = 0) -> np.ndarray:
    """A control that knows nothing: standard normal numbers, the same for all tokens of a feature.

    Returns
    -------
    float32, shape (F, T)
        No unit.
    """
    drawn_F = np.array([np.random.default_rng((seed, feature)).standard_normal() for feature in range(n_features)])
    return np.repeat(drawn_F[:, None], n_tokens, axis=1).astype(np.float32)


def position_scores(n_features: int, n_tokens: int) -> np.ndarray:
    """A control that knows only the position: from 1 for the first feature down to 1 / F for the last.

    Returns
    -------
    float32, shape (F, T)
        No unit.

    Examples
    --------
    >>> position_scores(2, 1).tolist()
    [[1.0], [0.5]]
    """
    falling_F = np.arange(n_features, 0, -1) / n_features
    return np.repeat(falling_F[:, None], n_tokens, axis=1).astype(np.float32)
