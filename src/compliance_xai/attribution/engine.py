"""Scores a fixed target under many versions of a clause: one teacher-forced pass for each, exact in float32.

Rows that begin alike share what they begin with (``row_tree``, ``passes``). Memory is bounded by ``batch_tokens`` and
does not grow with rows x positions x vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_xai.attribution.model_parts import evaluating, text_config
from compliance_xai.attribution.options import DEFAULT_OPTIONS, Options
from compliance_xai.attribution.passes import choose_path, score_tree
from compliance_xai.attribution.row_tree import grow_tree
from compliance_xai.corpus.counterfactuals import write_perturbed
from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError
from compliance_xai.models.prompts import encode_target, make_template, render_all
from compliance_xai.records import Feature, TargetToken


@dataclass
class Cost:
    """What scoring took, as the provenance has it. Every call that is given one adds to it."""

    path: str = ""
    path_reason: str = ""
    """How the last rows were computed (see ``passes``), and why not faster."""
    rows: int = 0
    unique_rows: int = 0
    """Rows asked for, and different ones among them."""
    positions_computed: int = 0
    """Positions that went through the model, padding included."""
    positions_naive: int = 0
    """Positions of all rows asked for, each in full."""
    positions_minimum: int = 0
    """Positions that rows do not share with an earlier one: the least that any engine can compute."""


@dataclass(frozen=True)
class Target:
    """The fixed target: its token ids and their character spans; the last one is the end-of-text token."""

    text: str
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def tokens(self, tokenizer: Any) -> Iterator[TargetToken]:
        """Spans with their texts."""
        for token_id, (start, end) in zip(self.ids, self.spans, strict=True):
            yield TargetToken(start, end, self.text[start:end] if start < end else tokenizer.decode([token_id]))


def score_masks(
    model: Any,
    tokenizer: Any,
    clause: str,
    target: str,
    masks_MF: np.ndarray,
    options: Options = DEFAULT_OPTIONS,
    *,
    features: Sequence[Feature] | None = None,
    id: str = "",
    share: bool = True,
    cost: Cost | None = None,
) -> np.ndarray:
    """Log-probability of every target token under keep-masks of the clause's features.

    Parameters
    ----------
    masks_MF
        Truth values, shape (masks, features): keep the feature, or perturb it.
    options
        ``prompt, unit, baseline, pool, draws, seed, batch_tokens`` are used.
    features
        The features that the masks are about; those of ``segment`` where None.
    id
        Names the clause in errors.
    share, cost
        See ``score_texts``.

    Returns
    -------
    float32, shape (masks, target tokens)
        Nats. With several draws (``counterfactual``), the mean over them.
    """
    if features is None:
        features = segment(clause, options.unit, vocabulary=options.vocabulary)
    masks = np.asarray(masks_MF, dtype=bool)
    if masks.ndim != 2 or masks.shape[1] != len(features):
        raise InputError(
            name_clause(id),
            expected=f"masks of shape (masks, {len(features)} features)",
            found=f"shape {masks.shape}",
            remedy="Build the masks from the features that segment gives for this clause.",
        )
    texts_MD = write_perturbed(
        clause, features, masks,
        baseline=options.baseline, pool=options.pool, draws=options.draws, seed=options.seed, id=id,
    )  # fmt: skip
    texts = [text for texts_D in texts_MD for text in texts_D]
    scored = score_texts(model, tokenizer, texts, target, options, id=id, share=share, cost=cost)
    return scored.reshape(len(masks), -1, scored.shape[1]).mean(axis=1) if len(masks) else scored


def score_texts(
    model: Any,
    tokenizer: Any,
    clauses: Sequence[str],
    target: str,
    options: Options = DEFAULT_OPTIONS,
    *,
    id: str = "",
    deduplicate: bool = True,
    share: bool = True,
    cost: Cost | None = None,
) -> np.ndarray:
    """Log-probability of every token of one target after each of several clauses, teacher-forced.

    Parameters
    ----------
    clauses
        ``N`` clauses.
    options
        ``prompt`` and ``batch_tokens`` are used.
    deduplicate
        Score identical token rows once.
    share
        Compute what rows begin with once where the model allows it; otherwise every row in full.
    cost
        What the call took is added to it.

    Returns
    -------
    float32, shape (N, T)
        Nats; log-softmax in float32 whatever the model's dtype. The last of the ``T`` tokens is the end-of-text token.
    """
    for clause in clauses:
        check_text(clause, "clause", id)
    encoded = read_target(tokenizer, target, id)
    prompts = [tuple(ids) for ids in render_all(tokenizer, clauses, make_template(tokenizer, options.prompt))]
    unique = list(dict.fromkeys(prompts)) if deduplicate else prompts
    check_lengths(model, unique, encoded, id)
    cost = Cost() if cost is None else cost
    cost.rows += len(prompts)
    cost.positions_naive += sum(map(len, prompts)) + len(prompts) * (len(encoded.ids) - 1)
    scored = _score_rows(model, unique, encoded.ids, options, share, cost)
    if not deduplicate:
        return scored
    row_of = {row: index for index, row in enumerate(unique)}
    return scored[[row_of[row] for row in prompts]]


# --- texts and ids ----------------------------------------------------------------------------------------------


def name_clause(id: str) -> str:
    """How errors name a clause."""
    return f"clause {id}" if id else "clause"


def check_text(text: str, name: str, id: str) -> None:
    """Refuse half a character (a surrogate without its other half), which no tokenizer can read."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            name_clause(id),
            expected=f"a {name} of whole characters",
            found=f"half a character, {text[error.start]!r}, at position {error.start}",
            remedy="Read the text again with the encoding that it was written in.",
        ) from None


def read_target(tokenizer: Any, target: str, id: str) -> Target:
    """The token ids of a target, end of text included."""
    check_text(target, "target", id)
    if not target.strip():
        raise InputError(
            name_clause(id),
            expected="a target text",
            found=repr(target),
            remedy="Give the rule whose tokens are explained.",
        )
    ids, spans = encode_target(tokenizer, target)
    return Target(target, tuple(ids), tuple((int(start), int(end)) for start, end in spans))


def check_lengths(model: Any, prompts: Sequence[tuple[int, ...]], target: Target, id: str) -> None:
    """Refuse a prompt without a token, and rows longer than the model was made for."""
    if not all(prompts):
        raise InputError(
            name_clause(id),
            expected="a prompt of at least one token, whatever is removed from the clause",
            found="nothing before the target's first token",
            remedy="Put text around {clause} in the prompt.",
        )
    # Dynamic RoPE reads on beyond this length, at frequencies that change with the longest row it has met so far:
    # scores would depend on the other rows and on earlier calls.
    limit = getattr(text_config(model), "max_position_embeddings", None)
    longest = max((len(row) for row in prompts), default=0) + len(target.ids) - 1  # the last token is not an input
    if limit is not None and longest > limit:
        raise InputError(
            name_clause(id),
            expected=f"prompt and target of at most {limit} tokens, the longest text the model can read",
            found=f"{longest} tokens, {longest - limit} too many",
            remedy="Split the clause, or choose a model with a longer context; nothing is cut off.",
        )


# --- scoring ----------------------------------------------------------------------------------------------------


def _score_rows(
    model: Any, prompts: Sequence[tuple[int, ...]], target: tuple[int, ...], options: Options, share: bool, cost: Cost
) -> np.ndarray:
    scores_NT = np.empty((len(prompts), len(target)), dtype=np.float32)
    if not prompts:
        return scores_NT
    branches = grow_tree(prompts, target)
    cost.unique_rows += len(set(prompts))
    cost.positions_minimum += sum(branch.own for branch in branches)
    with evaluating(model):
        cost.path, cost.path_reason = choose_path(model, prompts, target) if share else ("uncached", "asked for")
        for batch, log_probs_RT, computed in score_tree(model, branches, target, cost.path, options.batch_tokens):
            scores_NT[[branch.index for branch in batch]] = log_probs_RT.cpu().numpy()
            cost.positions_computed += computed
    if not np.isfinite(scores_NT).all():
        raise InputError(
            "model",
            expected="finite log-probabilities",
            found="NaN or infinity for some target tokens",
            remedy="Check that the weights are intact and that the dtype holds the model's range (try float32).",
        )
    return scores_NT
