"""Integrated gradients: a second opinion that follows the model's slope in embedding space instead of rewriting.

The reference is the zero embedding in every position that holds characters of a feature; other positions keep theirs.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.attribution.engine import check_lengths, read_target
from compliance_xai.attribution.head import take_log_prob
from compliance_xai.attribution.methods import Solution
from compliance_xai.attribution.model_parts import evaluating, input_device, unwrap
from compliance_xai.attribution.options import DEFAULT_OPTIONS, Options
from compliance_xai.errors import InputError
from compliance_xai.models.prompts import make_template, render_spans
from compliance_xai.records import Feature

if TYPE_CHECKING:
    import torch

STEPS = 64
"""Points on the path to begin with."""
MOST_STEPS = 1024
MAX_GAP = 0.1
"""Largest error of the sum of the scores that is good enough, in nats for any token."""


def share_tokens(features: Sequence[Feature], spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Which part of each prompt token belongs to which feature, by characters: float64, (features, prompt tokens).

    A column sums to 1, or to 0 where the token holds no character of a feature.

    >>> share_tokens([Feature(0, 2, "ab", "other"), Feature(3, 4, "c", "other")], [(-3, 0), (0, 4)]).round(2).tolist()
    [[0.0, 0.67], [0.0, 0.33]]
    """
    shared_FL = np.array(
        [[max(0, min(f.end, end) - max(f.start, start)) for start, end in spans] for f in features], dtype=np.float64
    )
    total_L = shared_FL.sum(axis=0)
    return shared_FL / np.where(total_L > 0, total_L, 1.0)


def integrate_gradients(
    model: Any,
    tokenizer: Any,
    clause: str,
    target: str,
    features: Sequence[Feature],
    options: Options = DEFAULT_OPTIONS,
    *,
    steps: int = STEPS,
    max_gap: float = MAX_GAP,
    id: str = "",
) -> Solution:
    """Integrated gradients (Sundararajan et al. 2017, equation 1) of every target token.

    A token of the prompt scores ``sum over dimensions of (embedding - reference) * mean gradient of log p(t)`` over the
    straight path from the reference; a feature gets its share of its tokens (``share_tokens``). Scores add up to
    log p(t | clause) - log p(t | reference). The number of quadrature points is doubled until they do to within
    ``max_gap`` nats for every token.

    Returns
    -------
    Solution
        Scores in nats; ``report`` holds ``reference``, ``points`` and ``efficiency_gap`` (nats, the largest of a
        token).

    Raises
    ------
    InputError
        If 1024 points do not suffice, or the weights were made in torch's inference mode.
    """
    ids, spans = render_spans(tokenizer, clause, make_template(tokenizer, options.prompt))
    encoded = read_target(tokenizer, target, id)
    check_lengths(model, [tuple(ids)], encoded, id)
    share_FL = share_tokens(features, spans)
    touched_L = np.append(share_FL.sum(axis=0) > 0, np.zeros(len(encoded.ids) - 1, dtype=bool))
    row = (*ids, *encoded.ids[:-1])
    chunk, gap = max(1, options.batch_tokens // len(row)), np.inf
    with evaluating(model, gradients=True):
        path = _Path(model, row, encoded.ids, touched_L)
        whole_T, empty_T = path.log_probs(1.0), path.log_probs(0.0)
        while steps <= MOST_STEPS:
            # Gauss-Legendre quadrature of g(a) da over 0 to 1, after substituting a = u ** 4: normalised layers ignore
            # the length of an embedding, so almost all the change happens close to the reference.
            nodes, weights = np.polynomial.legendre.leggauss(steps)
            u = (nodes + 1) / 2
            points, weights = u**4, weights / 2 * 4 * u**3
            starts = range(0, steps, chunk)
            tokens_LT = sum(path.gains(points[at : at + chunk], weights[at : at + chunk]) for at in starts)
            gap = float(np.abs(np.sum(tokens_LT, axis=0) - (whole_T - empty_T)).max())
            if gap <= max_gap:
                scores_FT = (share_FL @ np.asarray(tokens_LT)[: len(ids)]).astype(np.float32)
                report = {"reference": "zero embedding", "points": steps, "efficiency_gap": gap}
                return Solution(scores_FT, whole_T.astype(np.float32), report=report)
            steps *= 2
    raise InputError(
        "integrated gradients",
        expected=f"scores that add up to within {max_gap:g} nats",
        found=f"an error of {gap:.3g} nats with {steps // 2} points",
        remedy="The model changes too sharply along the path; use a method that rewrites the clause.",
    )


class _Path:
    """The straight path, in embedding space, from the reference (0) to the clause (1) for one row of token ids."""

    def __init__(self, model: Any, row: Sequence[int], target: Sequence[int], touched_L: np.ndarray) -> None:
        import torch

        self.model = unwrap(model)
        device = input_device(model)
        with torch.no_grad():
            self.embeddings_LH = self.model.get_input_embeddings()(torch.tensor(row, device=device))
        self.touched_L1 = torch.tensor(touched_L, device=device)[:, None]
        self.target_T = torch.tensor(target, device=device)
        # The logits of the whole row would take most of the memory where the vocabulary is large.
        last_only = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        self.options = {"use_cache": False} | ({"logits_to_keep": len(target)} if last_only else {})

    def at(self, points_K: np.ndarray) -> torch.Tensor:
        """Embeddings at points of the path, shape (K, L, H)."""
        import torch

        points = self.embeddings_LH.new_tensor(points_K)
        return (self.embeddings_LH * torch.where(self.touched_L1, points[:, None, None], 1.0)).detach()

    def scores(self, embeddings_KLH: torch.Tensor) -> torch.Tensor:
        """Log-probabilities, shape (K, T)."""
        import torch

        logits_KTV = self.model(inputs_embeds=embeddings_KLH, **self.options).logits[:, -len(self.target_T) :]
        return torch.stack([take_log_prob(logits_TV, self.target_T) for logits_TV in logits_KTV])

    def log_probs(self, point: float) -> np.ndarray:
        import torch

        with torch.no_grad():
            return self.scores(self.at(np.array([point])))[0].double().cpu().numpy()

    def gains(self, points_K: np.ndarray, weights_K: np.ndarray) -> np.ndarray:
        """Embedding times gradient, summed over dimensions and, weighted, over points; float64, shape (L, T)."""
        import torch

        embeddings_KLH = self.at(points_K).requires_grad_()
        totals_T = (self.scores(embeddings_KLH) * self.embeddings_LH.new_tensor(weights_K)[:, None]).sum(dim=0)
        difference_LH = torch.where(self.touched_L1, self.embeddings_LH, 0.0)
        columns = []
        for total in totals_T:
            (gradient_KLH,) = torch.autograd.grad(total, embeddings_KLH, retain_graph=True)
            columns.append((gradient_KLH.double().sum(dim=0) * difference_LH.double()).sum(dim=-1).cpu().numpy())
        return np.stack(columns, axis=1)
