"""How a clause is attributed: the one record of choices that every function of this room takes."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compliance_xai.corpus.counterfactuals import DRAWS, Pool
from compliance_xai.errors import InputError, require_choice

if TYPE_CHECKING:
    from compliance_xai.models.prompts import Prompt

BUDGETS = {"shapley": 2048, "owen": 2048, "surrogate_lasso": 96, "surrogate_ridge": 96}
"""Masks of the methods that sample. Of a surrogate's, 64 are fitted, as in ContextCite, and 32 held out."""

METHODS = ("leave_one_out", *BUDGETS, "integrated_gradients")
DTYPES = ("float32", "float64", "bfloat16", "float16")

BATCH_TOKENS = 2048
"""Of a small model, what one pass computes then stays in the processor's own cache (docs/LOG.md)."""


@dataclass(frozen=True)
class Options:
    """How a clause is attributed.

    Attributes
    ----------
    prompt
        How the model sees the clause: a string with ``{clause}``, or chat messages of which one holds ``{clause}``
        (written with the tokenizer's chat template); the default template where None.
    method
        ``leave_one_out``; ``shapley`` or ``owen`` (words grouped by phrase and sentence), which are sampled;
        ``surrogate_lasso`` or ``surrogate_ridge``; or ``integrated_gradients``.
    unit, vocabulary
        What a feature is; see ``corpus.features.segment``.
    baseline
        What takes a feature's place: ``delete``, ``mask`` (a neutral word) or ``counterfactual`` (another text of its
        category); see ``corpus.features.perturb``. Integrated gradients have a reference of their own, the zero
        embedding; leave the baseline at ``delete`` for them.
    pool, draws
        For ``counterfactual``: where texts are drawn from (``corpus.counterfactuals.collect_pool``), and how many for
        each feature. The log-probability under a mask is the mean over the draws.
    budget
        Most masks of a method that samples; ``BUDGETS`` where None.
    dtype
        Compute in ``float32``, ``float64``, ``bfloat16`` or ``float16``, on a copy of the model; where None, the model
        as it is. The log-softmax is in float32 in any case.
    seed
        For methods and baselines that draw at random.
    batch_tokens
        Most tokens in a forward pass (one row always fits). Results do not depend on it (1e-5 in float32).

    Raises
    ------
    InputError
        If an option is unknown, or would have no effect with the others.
    """

    prompt: Prompt | None = None
    method: str = "leave_one_out"
    unit: str = "word"
    vocabulary: Mapping[str, str] | None = None
    baseline: str = "delete"
    pool: Pool | None = None
    draws: int = DRAWS
    budget: int | None = None
    dtype: str | None = None
    seed: int = 0
    batch_tokens: int = BATCH_TOKENS

    def __post_init__(self) -> None:
        require_choice("attribution, method", self.method, METHODS)
        if self.dtype is not None:
            require_choice("attribution, dtype", self.dtype, DTYPES)
        for name in ("draws", "budget", "seed", "batch_tokens"):
            if (value := getattr(self, name)) is not None:
                # Numbers of other libraries are stored as Python's own, which any file format can hold.
                object.__setattr__(self, name, operator.index(value))
        if self.method == "integrated_gradients" and self.baseline != "delete":
            self._refuse("baseline", repr(self.baseline))
        if self.budget is not None and self.method not in BUDGETS:
            self._refuse("budget", str(self.budget))
        if self.pool is not None and self.baseline != "counterfactual":
            self._refuse("pool", "a pool")

    def _refuse(self, name: str, found: str) -> None:
        raise InputError(
            f"attribution, {name}",
            expected=f"no {name} with method {self.method!r} and baseline {self.baseline!r}",
            found=found,
            remedy="Leave it out; it would have no effect.",
        )


DEFAULT_OPTIONS = Options()
