"""Attribution methods as pure functions: which keep-masks to score, and what their log-probabilities say.

Shapley, Owen and the surrogate have files of their own (``sampling``, ``surrogate``); here are leave-one-out, the
controls and contrasts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from compliance_xai.errors import require_choice

MASK_METHODS = ("leave_one_out", "shapley", "owen", "surrogate_lasso", "surrogate_ridge")
GRADIENT_METHODS = ("gradient_x_input", "integrated_gradients")
CONTROLS = ("random", "position")
METHODS = (*MASK_METHODS, *GRADIENT_METHODS, *CONTROLS)

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
    """A control that knows the place alone: from 1 for the first feature down to 1 / F for the last.

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


def align_contrast(target_ids: Sequence[int], contrast_ids: Sequence[int]) -> np.ndarray:
    """Which token of a target each token of its contrast is set against.

    Tokens of the common beginning and of the common end stand against each other; what differs in between is set, all
    of it, against the first target token that differs. So ``log_probs - contrast_log_probs @ alignment.T`` is zero up
    to there, and its sum over tokens is log p(target) - log p(contrast).

    Returns
    -------
    float64, shape (target tokens, contrast tokens)
        Zeros, and one 1 in every column.

    Examples
    --------
    >>> align_contrast([5, 1, 2, 9], [5, 3, 9]).astype(int).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    """
    n, m = len(target_ids), len(contrast_ids)
    shared = min(n, m)
    ahead = next((i for i in range(shared) if target_ids[i] != contrast_ids[i]), shared)
    behind = next((i for i in range(shared - ahead) if target_ids[-1 - i] != contrast_ids[-1 - i]), shared - ahead)
    alignment_TC = np.zeros((n, m))
    for token in range(m):
        if token < ahead:
            row = token
        elif token >= m - behind:
            row = token - m + n
        else:
            row = min(ahead, n - 1)
        alignment_TC[row, token] = 1
    return alignment_TC


def check_method(method: str, methods: Sequence[str] = METHODS) -> None:
    """Refuse a method that is not there."""
    require_choice("attribute, method", method, methods)
