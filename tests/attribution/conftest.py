"""Tiny random models and a tokenizer, made in the process; weights large enough for a wrong position to show."""

from dataclasses import dataclass
from typing import Any

import pytest
from tiny_models import CLAUSE, FAMILIES, RULE, build_model


@dataclass(frozen=True)
class Tiny:
    model: Any
    tokenizer: Any


@pytest.fixture(scope="session")
def tokenizer():
    """Byte-level BPE trained on a few lines, so that any text has ids and words have several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([CLAUSE, RULE] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", pad_token="<eos>")


@pytest.fixture(scope="session", params=FAMILIES)
def tiny(request, tokenizer):
    return Tiny(build_model(request.param, len(tokenizer)), tokenizer)


@pytest.fixture(scope="session")
def qwen2(tokenizer):
    return Tiny(build_model("qwen2", len(tokenizer)), tokenizer)
