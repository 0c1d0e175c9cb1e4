"""Attribution methods as pure functions: which keep-masks to score, and what their log-probabilities say."""

from __future__ import annotations

import numpy as np

from compliance_xai.errors import InputError

METHODS = ("leave_one_out",)


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


def check_method(method: str) -> None:
    """Refuse a method that is not there."""
    if method not in METHODS:
        raise InputError(
            "attribute, method",
            expected=f"one of {', '.join(METHODS)}",
            found=repr(method),
            remedy="Choose one of these.",
        )
