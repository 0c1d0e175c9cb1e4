"""Scores a fixed target under many versions of a clause: one teacher-forced pass for each, batched, exact in float32.

Rows are sorted by length and padded on the right, so causal attention needs no mask and positions stay the defaults.
Hidden states are gathered at the target's positions before the language-model head, where the architecture allows it;
otherwise full logits are taken a few rows at a time. Either way memory does not grow with rows x positions x
vocabulary.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.errors import InputError
from compliance_xai.features import segment
from compliance_xai.records import Feature, TargetToken
from compliance_xai.replacements import DRAWS, Pool, write_perturbed

if TYPE_CHECKING:
    import torch

    from compliance_xai.prompts import Prompt

BATCH_TOKENS = 4096
_MAX_LOGITS = 2**25
"""Most float32 logits held at once (128 MiB); a single row on the generic path may need more."""

_head_is_plain: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
"""Per model object: whether head(last hidden state) gives its logits. Found once, by comparing the two."""


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
        model, tokenizer, texts, target, prompt=prompt, id=id, batch_tokens=batch_tokens, progress=progress
    )
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
) -> np.ndarray:
    """Log-probability of every token of one target after each of several clauses, teacher-forced.

    Parameters
    ----------
    clauses
        ``N`` clauses; each is rendered with ``prompt``.
    deduplicate
        Score identical token rows once.

    Returns
    -------
    float32, shape (N, T)
        Nats; log-softmax in float32 whatever the model's dtype. The last of the ``T`` tokens is the end-of-text token.
    """
    from compliance_xai.prompts import make_template, render

    if batch_tokens < 1:
        raise InputError(
            "batch_tokens", expected="a positive number", found=str(batch_tokens), remedy="4096 suits a laptop."
        )
    encoded = _encode_target(tokenizer, target, id)
    template = make_template(tokenizer, prompt)
    prompts = [tuple(render(tokenizer, clause, template)) for clause in clauses]
    unique = list(dict.fromkeys(prompts)) if deduplicate else prompts
    _check_lengths(model, unique, encoded, id)
    scored = _score_rows(model, unique, encoded.ids, batch_tokens, progress)
    if not deduplicate:
        return scored
    row_of = {row: index for index, row in enumerate(unique)}
    return scored[[row_of[row] for row in prompts]]


# --- text to ids ------------------------------------------------------------------------------------------------


def _where(id: str) -> str:
    return f"clause {id}" if id else "clause"


def _encode_target(tokenizer: Any, target: str, id: str) -> _Target:
    from compliance_xai.prompts import encode_target

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
    limit = getattr(_text_config(model), "max_position_embeddings", None)
    longest = max((len(row) for row in prompts), default=0) + len(encoded.ids) - 1  # the last token is no input
    if limit is not None and longest > limit:
        raise InputError(
            _where(id),
            expected=f"prompt and target of at most {limit} tokens, which is what the model reads",
            found=f"{longest} tokens, {longest - limit} too many",
            remedy="Split the clause, or choose a model with a longer context; nothing is cut off.",
        )


# --- model ------------------------------------------------------------------------------------------------------


def _unwrap(model: Any) -> Any:
    """The transformers model inside a PEFT one; its adapters are in place, so it computes the same."""
    if not hasattr(model, "get_base_model"):
        return model
    config = getattr(model, "active_peft_config", None)
    if getattr(config, "is_prompt_learning", False):
        raise InputError(
            "model",
            expected="weights or adapters inside the layers (full, LoRA, quantised LoRA)",
            found=f"{type(config).__name__}, which adds virtual tokens in front of the prompt",
            remedy="Use an adapter that leaves the input's positions as they are.",
        )
    return model.get_base_model()


def _text_config(model: Any) -> Any:
    config = _unwrap(model).config
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _parameter(model: Any) -> torch.Tensor:
    return next(parameter for parameter in model.parameters() if parameter.is_floating_point())


@contextlib.contextmanager
def _evaluating(model: Any, *, gradients: bool = False) -> Iterator[None]:
    """Evaluation mode, without gradients unless asked for; every module gets its own mode back."""
    import torch

    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.enable_grad() if gradients else torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


def _device(model: Any) -> torch.device:
    embeddings = _unwrap(model).get_input_embeddings() if hasattr(_unwrap(model), "get_input_embeddings") else None
    return embeddings.weight.device if embeddings is not None else next(model.parameters()).device


def _score_rows(
    model: Any, prompts: Sequence[tuple[int, ...]], target: tuple[int, ...], batch_tokens: int, progress: bool
) -> np.ndarray:
    scores_NT = np.empty((len(prompts), len(target)), dtype=np.float32)
    order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    with _evaluating(model), _bar(len(prompts), progress) as bar:
        for batch in _batches(order, prompts, len(target), batch_tokens):
            scores_NT[batch] = _score_batch(model, [prompts[index] for index in batch], target)
            bar.update(len(batch))
    if not np.isfinite(scores_NT).all():
        raise InputError(
            "model",
            expected="finite log-probabilities",
            found="NaN or infinity for some target tokens",
            remedy="Check that the weights are intact and that the dtype holds the model's range (try float32).",
        )
    return scores_NT


def _batches(
    order: Sequence[int], prompts: Sequence[tuple[int, ...]], target_length: int, batch_tokens: int
) -> Iterator[list[int]]:
    """Rows, longest first, so that a batch's first row sets its padded length."""
    batch: list[int] = []
    width = 0
    for index in order:
        if batch and (len(batch) + 1) * width > batch_tokens:
            yield batch
            batch = []
        if not batch:
            width = len(prompts[index]) + target_length - 1
        batch.append(index)
    if batch:
        yield batch


@contextlib.contextmanager
def _bar(total: int, progress: bool) -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(total=total, disable=not progress, unit="row", leave=False) as bar:
        yield bar


def _score_batch(model: Any, prompts: Sequence[tuple[int, ...]], target: tuple[int, ...]) -> np.ndarray:
    import torch

    device = _device(model)
    rows = [(*prompt, *target[:-1]) for prompt in prompts]
    width = max(map(len, rows))
    # Padding is never seen by the positions before it; any valid id will do.
    ids_RL = torch.tensor([row + (0,) * (width - len(row)) for row in rows], device=device)
    first_R = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
    positions_RT = first_R[:, None] + torch.arange(len(target), device=device)
    target_T = torch.tensor(target, device=device)
    if _plain_head(model, ids_RL[:1]):
        log_probs = _score_at_targets(model, ids_RL, positions_RT, target_T)
    else:
        log_probs = _score_full_logits(model, ids_RL, positions_RT, target_T)
    return log_probs.cpu().numpy()


def _score_at_targets(
    model: Any, ids_RL: torch.Tensor, positions_RT: torch.Tensor, target_T: torch.Tensor
) -> torch.Tensor:
    import torch

    inner = _unwrap(model)
    hidden_RLH = _last_hidden(inner, ids_RL)
    rows = torch.arange(len(ids_RL), device=ids_RL.device)[:, None]
    hidden_PH = hidden_RLH[rows, positions_RT].flatten(0, 1)
    target_P = target_T.repeat(len(ids_RL))
    head = inner.get_output_embeddings()
    step = max(1, _MAX_LOGITS // _vocabulary_size(inner))
    parts = [
        _log_prob(head(hidden_PH[start : start + step]), target_P[start : start + step])
        for start in range(0, len(hidden_PH), step)
    ]
    return torch.cat(parts).view(len(ids_RL), len(target_T))


def _score_full_logits(
    model: Any, ids_RL: torch.Tensor, positions_RT: torch.Tensor, target_T: torch.Tensor
) -> torch.Tensor:
    import torch

    step = max(1, _MAX_LOGITS // (_vocabulary_size(_unwrap(model)) * ids_RL.shape[1]))
    parts = []
    for start in range(0, len(ids_RL), step):
        logits_RLV = model(input_ids=ids_RL[start : start + step], use_cache=False).logits
        for logits_LV, positions_T in zip(logits_RLV, positions_RT[start : start + step], strict=True):
            parts.append(_log_prob(logits_LV[positions_T], target_T))
    return torch.stack(parts)


def _log_prob(logits_PV: torch.Tensor, target_P: torch.Tensor) -> torch.Tensor:
    logits = logits_PV.float()
    return logits.gather(-1, target_P[:, None]).squeeze(-1) - logits.logsumexp(-1)


def _vocabulary_size(inner: Any) -> int:
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    size = getattr(head, "out_features", None) or getattr(_text_config(inner), "vocab_size", None)
    return int(size) if size else 2**17  # unknown architecture: as for a large vocabulary, so that memory stays bounded


def _last_hidden(inner: Any, ids_RL: torch.Tensor) -> torch.Tensor:
    return inner.base_model(input_ids=ids_RL, use_cache=False).last_hidden_state


def _plain_head(model: Any, ids_1L: torch.Tensor) -> bool:
    """Whether the model's logits are its head applied to the last hidden state: measured once on a real row.

    Models that scale or cap their logits, or project before the head, take the path through full logits.
    """
    if model not in _head_is_plain:
        _head_is_plain[model] = _compare_head(model, ids_1L)
    return _head_is_plain[model]


def _compare_head(model: Any, ids_1L: torch.Tensor) -> bool:
    import torch

    inner, config = _unwrap(model), _text_config(model)
    caps = ("final_logit_softcapping", "logits_soft_cap", "logit_scale", "logits_scaling")
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in caps):
        return False  # a soft cap shows only where logits are large, so the row below could miss it
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    base = getattr(inner, "base_model", None)
    if head is None or base is None or base is inner:
        return False
    logits = model(input_ids=ids_1L, use_cache=False).logits
    try:
        rebuilt = head(_last_hidden(inner, ids_1L))
    except (AttributeError, TypeError, RuntimeError):  # no last_hidden_state, or of another width than the head
        return False
    if rebuilt.shape != logits.shape:
        return False
    tolerance = 1e-5 if logits.dtype in (torch.float32, torch.float64) else 2e-2
    scale = logits.float().abs().max().clamp(min=1.0)
    return bool((rebuilt.float() - logits.float()).abs().max() <= tolerance * scale)
