"""Writes rules with a fine-tuned model: greedy decoding, nothing truncated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compliance_xai.errors import InputError
from compliance_xai.prompts import DEFAULT_TEMPLATE, Prompt, make_template, render
from compliance_xai.records import Example, Generation


def generate_rules(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    seed: int,
    template: Prompt = DEFAULT_TEMPLATE,
    max_new_tokens: int = 192,
    batch_size: int = 32,
    progress: bool = False,
) -> list[Generation]:
    """The rule that the model writes for each clause, in the order of the examples.

    Parameters
    ----------
    seed
        The training seed of the model; recorded, greedy decoding draws nothing.
    max_new_tokens
        Where a rule that does not end is cut; such a generation has ``stopped=False``.

    Raises
    ------
    InputError
        If a prompt with ``max_new_tokens`` more is longer than the model's context.
    """
    import torch
    from tqdm.auto import tqdm

    limit = getattr(model.config, "max_position_embeddings", None)
    written_out = make_template(tokenizer, template)
    prompts = [render(tokenizer, example.clause, written_out) for example in examples]
    for example, ids in zip(examples, prompts, strict=True):
        if limit and len(ids) + max_new_tokens > limit:
            raise InputError(
                f"clause {example.id!r}",
                expected=f"at most {limit - max_new_tokens} prompt tokens (context {limit}, {max_new_tokens} to write)",
                found=f"{len(ids)}",
                remedy="Lower generate.max_new_tokens, shorten the clause, or choose a model with a longer context.",
            )
    order = sorted(range(len(examples)), key=lambda index: len(prompts[index]))
    device = next(model.parameters()).device
    written: dict[int, Generation] = {}
    model.eval()
    with torch.inference_mode(), tqdm(total=len(order), desc="generate", disable=not progress) as bar:
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            longest = max(len(prompts[index]) for index in chunk)
            ids_BT = torch.full((len(chunk), longest), tokenizer.pad_token_id)
            seen_BT = torch.zeros((len(chunk), longest), dtype=torch.long)
            for row, index in enumerate(chunk):
                ids_BT[row, longest - len(prompts[index]) :] = torch.tensor(prompts[index])
                seen_BT[row, longest - len(prompts[index]) :] = 1
            output = model.generate(
                input_ids=ids_BT.to(device),
                attention_mask=seen_BT.to(device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
            for index, new_ids in zip(chunk, output[:, longest:].tolist(), strict=True):
                written[index] = _read_output(tokenizer, examples[index].id, seed, new_ids)
            bar.update(len(chunk))
    return [written[index] for index in range(len(examples))]


def _read_output(tokenizer: Any, identifier: str, seed: int, new_ids: list[int]) -> Generation:
    stopped = tokenizer.eos_token_id in new_ids
    kept = new_ids[: new_ids.index(tokenizer.eos_token_id)] if stopped else new_ids
    return Generation(identifier, seed, tokenizer.decode(kept, skip_special_tokens=True), len(kept), stopped)
