"""Token embeddings for the code similarity of rules, by any encoder of the Hugging Face kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from compliance_xai.errors import InputError
from compliance_xai.models.loading import require_every_tensor

BETA = 3
"""F3 weighs recall with the square of this."""


@dataclass(frozen=True, eq=False)
class CodeEncoder:
    """A loaded encoder.

    Attributes
    ----------
    name
        What it was loaded by.
    window
        Tokens that it reads at once, special tokens included.
    prefix, suffix
        Special tokens around every window.
    """

    name: str
    window: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    model: Any
    tokenizer: Any

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> list[np.ndarray]:
        """Embed every token of every text.

        A text longer than the window is read in consecutive windows, so nothing is cut off.

        Parameters
        ----------
        texts
            N texts.
        batch_size
            Windows per forward pass; the result does not depend on it beyond float32 rounding.

        Returns
        -------
        list of numpy.ndarray
            N arrays, float32, shape (tokens, dimension), rows of length 1: the last layer, without special tokens.
        """
        room = self.window - len(self.prefix) - len(self.suffix)
        tokens = {text: tuple(self._tokens(text)) for text in texts}
        windows = sorted(
            {ids[start : start + room] for ids in tokens.values() for start in range(0, len(ids), room)},
            key=lambda ids: (len(ids), ids),  # windows of about one length share a batch
        )
        rows: dict[tuple[int, ...], np.ndarray] = {}
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            rows.update(zip(batch, self._forward(batch), strict=True))
        empty = np.zeros((0, self.model.config.hidden_size), dtype=np.float32)
        return [
            np.concatenate([empty, *(rows[ids[start : start + room]] for start in range(0, len(ids), room))])
            for ids in (tokens[text] for text in texts)
        ]

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]

    def _forward(self, batch: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        import torch

        full = [[*self.prefix, *ids, *self.suffix] for ids in batch]
        longest = max(map(len, full))
        padding = self.tokenizer.pad_token_id or 0
        device = self.model.device
        ids_BT = torch.tensor([ids + [padding] * (longest - len(ids)) for ids in full], device=device)
        mask_BT = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in full], device=device)
        with torch.no_grad():
            hidden_BTD = self.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        unit_BTD = torch.nn.functional.normalize(hidden_BTD.float(), dim=-1).cpu().numpy()
        first = len(self.prefix)
        return [unit_BTD[row, first : first + len(ids)] for row, ids in enumerate(batch)]


def match_tokens(prediction_PD: np.ndarray, reference_RD: np.ndarray) -> tuple[float, float]:
    """F1 and F3 of two texts' unit token embeddings, each 0 to 1; where one has no token 0, where neither has 1."""
    if not len(prediction_PD) or not len(reference_RD):
        same = float(len(prediction_PD) == len(reference_RD))
        return same, same
    cosines_PR = np.clip(prediction_PD.astype(np.float64) @ reference_RD.astype(np.float64).T, -1.0, 1.0)
    precision, recall = float(cosines_PR.max(axis=1).mean()), float(cosines_PR.max(axis=0).mean())
    return f_beta(precision, recall, 1), f_beta(precision, recall, BETA)


def f_beta(precision: float, recall: float, beta: float) -> float:
    """Weighted harmonic mean; 0 where precision or recall is 0 or less.

    Examples
    --------
    >>> f_beta(0.5, 1.0, 1), f_beta(0.5, 1.0, 3)
    (0.6666666666666666, 0.9090909090909091)
    """
    if precision <= 0 or recall <= 0:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def load_code_encoder(name: str, *, device: str = "cpu") -> CodeEncoder:
    """Load an encoder and its tokenizer; a second call with the same arguments gives the same object.

    Parameters
    ----------
    name
        The folder of a model (no network), or a Hugging Face hub id, which may download unless the environment says
        offline: ``microsoft/codebert-base``.
    device
        A torch device.

    Raises
    ------
    InputError
        Where the model cannot be loaded, or does not state its longest input.
    """
    return _load(name, device)


@lru_cache(maxsize=2)
def _load(name: str, device: str) -> CodeEncoder:
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    local = Path(name).is_dir()
    options: dict[str, Any] = {
        "local_files_only": local,
        "use_safetensors": True,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # so that the report names them
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
        model, report = AutoModel.from_pretrained(name, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"code encoder {name!r}",
            expected="the folder of an encoder with its tokenizer and safetensors weights, or a hub id",
            found=f"{type(error).__name__}: {error}",
            remedy="Check the name, or leave metrics.code_encoder out.",
        ) from error
    # An encoder's file may hold a head for its own training task, which is left alone.
    require_every_tensor(f"code encoder {name!r}", {**report, "unexpected_keys": ()}, unused=("pooler.",))
    return CodeEncoder(name, _window(name, model, tokenizer), *_frame(tokenizer), model.to(device).eval(), tokenizer)


def _window(name: str, model: Any, tokenizer: Any) -> int:
    """The longest input: RoBERTa's positions start behind the padding token's, so two are never used."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if not positions:
        raise InputError(
            f"code encoder {name!r}",
            expected="a model that states its longest input (max_position_embeddings)",
            found="none",
            remedy="Use an encoder such as CodeBERT.",
        )
    return min(int(tokenizer.model_max_length), int(positions) - 2)


def _frame(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens before and after a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a")["input_ids"]
    start = next(place for place in range(len(framed)) if framed[place : place + len(plain)] == plain)
    return tuple(framed[:start]), tuple(framed[start + len(plain) :])
