"""Tiny random models, saved like any checkpoint, and pairs to train them on."""

from __future__ import annotations

import pytest
from tiny_checkpoints import ARCHITECTURES, make_model, make_tokenizer

from compliance_xai.records import Example
from compliance_xai.study.ladders import Rung


@pytest.fixture(scope="session")
def rungs(tmp_path_factory) -> dict[str, Rung]:
    made = {}
    for architecture in ARCHITECTURES:
        folder = tmp_path_factory.mktemp("rungs") / architecture
        tokenizer = make_tokenizer(bos=architecture == "llama")
        model = make_model(architecture, len(tokenizer))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made[architecture] = Rung(architecture, str(folder), sum(p.numel() for p in model.parameters()))
    return made


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    """Clauses of several lengths with one rule each; small enough to learn by heart."""
    return [
        Example(
            f"c{index}", f"A door shall be {'very ' * (index % 3)}wide: {index}.", f"wide({index})", "access", "train"
        )
        for index in range(8)
    ]
