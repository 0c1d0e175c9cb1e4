"""Leave-one-out as pure functions: which keep-masks to score, and what their log-probabilities say.

Other methods that ask for masks have modules of their own: ``sampling`` and ``surrogate``.
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
