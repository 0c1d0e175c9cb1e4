"""Example -> token ids: one rendering for training, generation and attribution.

Prompt and target are tokenised apart and their ids joined, so no token ever spans the boundary between them, and the
target's tokens are the same whatever the clause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEFAULT_TEMPLATE = "Clause: {clause}\nRule:\n"


@dataclass(frozen=True)
class Encoded:
    """Prompt and target as one row of token ids; ``target_start`` is the index of the target's first token."""

    ids: tuple[int, ...]
    target_start: int


def check_template(template: str) -> str:
    """The template itself, if it holds ``{clause}`` once.

    Raises
    ------
    InputError
        Otherwise.
    """
    if template.count("{clause}") != 1:
        raise InputError(
            "prompt template",
            expected="text with {clause} in it exactly once",
            found=repr(template),
            remedy=f"Write it as in the default: {DEFAULT_TEMPLATE!r}.",
        )
    return template


def render(tokenizer: PreTrainedTokenizerBase, clause: str, template: str = DEFAULT_TEMPLATE) -> list[int]:
    """Token ids of the prompt; the clause is put in as it is, braces included.

    The beginning-of-text token comes first where the tokenizer adds one by itself, and never twice.
    """
    text = check_template(template).replace("{clause}", clause)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    opening = _opening(tokenizer)
    return ids if ids[: len(opening)] == opening else [*opening, *ids]


def _opening(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer puts before any text: its beginning-of-text token, or nothing."""
    added = tokenizer("")["input_ids"]
    return added[:1] if added and added[0] == tokenizer.bos_token_id else []


def encode_target(tokenizer: PreTrainedTokenizerBase, rule: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids of a target and their character spans; the end-of-text token comes last, with an empty span.

    Raises
    ------
    InputError
        If the tokenizer knows no end-of-text token or gives no character offsets.
    """
    if tokenizer.eos_token_id is None:
        raise InputError(
            "tokenizer", expected="an end-of-text token", found="none", remedy="Set tokenizer.eos_token before use."
        )
    if not tokenizer.is_fast:
        raise InputError(
            f"tokenizer {type(tokenizer).__name__}",
            expected="a fast tokenizer, which gives character offsets",
            found="a slow one",
            remedy="Convert it (AutoTokenizer with use_fast=True) or use the model's tokenizer.json.",
        )
    encoded: Any = tokenizer(rule, add_special_tokens=False, return_offsets_mapping=True)
    eos: Any = tokenizer.eos_token_id
    ids: list[int] = [*encoded["input_ids"], eos]
    return ids, [*((start, end) for start, end in encoded["offset_mapping"]), (len(rule), len(rule))]


def encode(tokenizer: PreTrainedTokenizerBase, clause: str, rule: str, template: str = DEFAULT_TEMPLATE) -> Encoded:
    """Prompt and target as one row, for training."""
    prompt = render(tokenizer, clause, template)
    target, _ = encode_target(tokenizer, rule)
    return Encoded((*prompt, *target), len(prompt))
