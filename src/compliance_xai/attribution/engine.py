"""Scores a fixed target under many versions of a clause: one teacher-forced pass for each, exact in float32.

Rows that begin alike share what they begin with (``tree``); ``paths`` holds the ways to compute them and chooses one.
Whatever the way, memory is bounded by ``batch_tokens`` and does not grow with rows x positions x vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.attribution.anatomy import evaluating, text_config
from compliance_xai.attribution.paths import choose_path, score_tree
from compliance_xai.attribution.tree import grow_tree
from compliance_xai.corpus.counterfactuals import DRAWS, Pool, write_perturbed
from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError
from compliance_xai.records import Feature, TargetToken

if TYPE_CHECKING:
    from compliance_xai.models.prompts import Prompt

BATCH_TOKENS = 2048
"""What a pass computes of a small model then stays in the processor's own cache (docs/LOG.md)."""


@dataclass
class Cost:
    """What scoring took; every call that is given one adds to it.

    Attributes
    ----------
    rows, unique
        Rows asked for, and those that differ.
    computed
        Positions that went through the model, padding included.
    naive
        Positions of all rows asked for, each in full.
    minimum
        Positions that rows do not share with one before: the least that any engine can compute.
    path, why
        How the last rows were computed (``paths.PATHS``), and why not faster.
    """

    rows: int = 0
    unique: int = 0
    computed: int = 0
    naive: int = 0
    minimum: int = 0
    path: str = ""
    why: str = field(default="", repr=False)

    def report(self) -> dict[str, Any]:
        """The same as a record for the provenance."""
        return {
            "path": self.path,
            "path_reason": self.why,
            "rows": self.rows,
            "unique_rows": self.unique,
            "positions_computed": self.computed,
            "positions_naive": self.naive,
            "positions_minimum": self.minimum,
        }


@dataclass(frozen=True)
class _Target:
    """The fixed target: its token ids and their character spans."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


def score_masks(
    model: Any,
    tokenizer: Any,
    clause: str,
    target: str,
    masks_MF: np.ndarray,
    *,
    features: Sequence[Feature] | None = None,
    prompt: Prompt | None = None,
    unit: str = "word",
    baseline: str = "delete",
    pool: Pool | None = None,
    draws: int = DRAWS,
    id: str = "",
    batch_tokens: int = BATCH_TOKENS,
    seed: int = 0,
    progress: bool = False,
    path: str = "auto",
    cost: Cost | None = None,
) -> np.ndarray:
    """Log-probability of every target token under keep-masks of the clause's features.

    Parameters
    ----------
    masks_MF
        Truth values, shape (masks, features): keep the feature, or perturb it.
    features
        The features that the masks speak of; those of ``segment(clause, unit)`` where None.
    baseline, pool, draws, seed
        See ``write_perturbed``. With several draws (``counterfactual``) the log-probabilities are their mean.
    path, cost
        See ``score_texts``.

    Returns
    -------
    float32, shape (masks, target tokens)
        Nats.
    """
    features = segment(clause, unit, tokenizer=tokenizer) if features is None else features
    masks = np.asarray(masks_MF, dtype=bool)
    if masks.ndim != 2 or masks.shape[1] != len(features):
        raise InputError(
            _where(id),
            expected=f"masks of shape (masks, {len(features)} features)",
            found=f"shape {masks.shape}",
            remedy="Build the masks from the features that segment gives for this clause.",
        )
    texts_MD = write_perturbed(
        clause, features, masks, baseline=baseline, tokenizer=tokenizer, pool=pool, draws=draws, seed=seed, id=id
    )
    texts = [text for texts_D in texts_MD for text in texts_D]
    scored = score_texts(
        model, tokenizer, texts, target,
        prompt=prompt, id=id, batch_tokens=batch_tokens, progress=progress, path=path, cost=cost,
    )  # fmt: skip
    if not len(masks):
        return scored
    per_draw_MDT = scored.reshape(len(masks), -1, scored.shape[1])
    return per_draw_MDT.mean(axis=1)


def score_texts(
    model: Any,
    tokenizer: Any,
    clauses: Sequence[str],
    target: str,
    *,
    prompt: Prompt | None = None,
    id: str = "",
    batch_tokens: int = BATCH_TOKENS,
    deduplicate: bool = True,
    progress: bool = False,
    path: str = "auto",
    cost: Cost | None = None,
) -> np.ndarray:
    """Log-probability of every token of one target after each of several clauses, teacher-forced.

    Parameters
    ----------
    clauses
        ``N`` clauses; each is rendered with ``prompt``.
    deduplicate
        Score identical token rows once.
    path
        ``auto``, or one of ``paths.PATHS``; ``uncached`` shares nothing between rows.
    cost
        Where given, what the call took is added to it.

    Returns
    -------
    float32, shape (N, T)
        Nats; log-softmax in float32 whatever the model's dtype. The last of the ``T`` tokens is the end-of-text token.
    """
    from compliance_xai.models.prompts import make_template, render_all

    _check_batch_tokens(batch_tokens)
    for clause in clauses:
        _check_text(clause, "clause", id)
    encoded = _encode_target(tokenizer, target, id)
    template = make_template(tokenizer, prompt)
    prompts = [tuple(ids) for ids in render_all(tokenizer, clauses, template)]
    unique = list(dict.fromkeys(prompts)) if deduplicate else prompts
    _check_lengths(model, unique, encoded, id)
    cost = Cost() if cost is None else cost
    cost.rows, cost.naive = (
        cost.rows + len(prompts),
        cost.naive + sum(map(len, prompts)) + len(prompts) * (len(encoded.ids) - 1),
    )
    scored = _score_rows(model, unique, encoded.ids, batch_tokens, path, cost, progress)
    if not deduplicate:
        return scored
    row_of = {row: index for index, row in enumerate(unique)}
    return scored[[row_of[row] for row in prompts]]


# --- text to ids ------------------------------------------------------------------------------------------------


def _where(id: str) -> str:
    return f"clause {id}" if id else "clause"


def _check_batch_tokens(batch_tokens: int) -> None:
    if batch_tokens < 1:
        raise InputError(
            "batch_tokens",
            expected="a positive number",
            found=str(batch_tokens),
            remedy=f"{BATCH_TOKENS} suits a laptop.",
        )


def _check_text(text: str, name: str, id: str) -> None:
    """Refuse half a character (a surrogate without its other half), which no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            _where(id),
            expected=f"a {name} of whole characters",
            found=f"half a character, {text[error.start]!r}, at place {error.start}",
            remedy="Read the text again with the encoding that it was written in.",
        ) from None


def _encode_target(tokenizer: Any, target: str, id: str) -> _Target:
    from compliance_xai.models.prompts import encode_target

    _check_text(target, "target", id)
    if not target.strip():
        raise InputError(
            _where(id), expected="a target text", found=repr(target), remedy="Give the rule whose tokens are explained."
        )
    ids, offsets = encode_target(tokenizer, target)
    return _Target(tuple(ids), tuple((int(start), int(end)) for start, end in offsets))


def _target_tokens(tokenizer: Any, target: str, encoded: _Target) -> Iterator[TargetToken]:
    for token_id, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
        yield TargetToken(start, end, target[start:end] if start < end else tokenizer.decode([token_id]))


def _check_lengths(model: Any, prompts: Sequence[tuple[int, ...]], encoded: _Target, id: str) -> None:
    if not all(prompts):
        raise InputError(
            _where(id),
            expected="a prompt of at least one token, whatever is taken out of the clause",
            found="nothing before the target's first token",
            remedy="Put text around {clause} in the prompt.",
        )
    # Dynamic RoPE reads on beyond this, at frequencies that change with the longest row it has met since: scores would
    # depend on the other rows and on earlier calls.
    limit = getattr(text_config(model), "max_position_embeddings", None)
    longest = max((len(row) for row in prompts), default=0) + len(encoded.ids) - 1  # the last token is no input
    if limit is not None and longest > limit:
        raise InputError(
            _where(id),
            expected=f"prompt and target of at most {limit} tokens, which is what the model reads",
            found=f"{longest} tokens, {longest - limit} too many",
            remedy="Split the clause, or choose a model with a longer context; nothing is cut off.",
        )


# --- scoring ----------------------------------------------------------------------------------------------------


def _score_rows(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    target: tuple[int, ...],
    batch_tokens: int,
    path: str,
    cost: Cost,
    progress: bool,
) -> np.ndarray:
    scores_NT = np.empty((len(prompts), len(target)), dtype=np.float32)
    if not prompts:
        return scores_NT
    branches = grow_tree(prompts, target)
    cost.unique += len(set(prompts))
    cost.minimum += sum(branch.own for branch in branches)
    with evaluating(model), _bar(len(prompts), progress) as bar:
        cost.path, cost.why = choose_path(model, prompts, target, path)
        for batch, log_probs_RT, computed in score_tree(model, branches, target, cost.path, batch_tokens):
            scores_NT[[branch.index for branch in batch]] = log_probs_RT.cpu().numpy()
            cost.computed += computed
            bar.update(len(batch))
    if not np.isfinite(scores_NT).all():
        raise InputError(
            "model",
            expected="finite log-probabilities",
            found="NaN or infinity for some target tokens",
            remedy="Check that the weights are intact and that the dtype holds the model's range (try float32).",
        )
    return scores_NT


@contextlib.contextmanager
def _bar(total: int, progress: bool) -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(total=total, disable=not progress, unit="row", leave=False) as bar:
        yield bar
