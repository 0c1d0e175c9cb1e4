"""Writes rules with a fine-tuned model, by greedy decoding, and measures how sure it is of a rule."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from compliance_xai.errors import InputError
from compliance_xai.machine import track
from compliance_xai.models.batches import make_tensors
from compliance_xai.models.prompts import DEFAULT_TEMPLATE, Prompt, encode, make_template, render
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
) -> list[Generation]:
    """The rule that the model writes for each clause, in the order of the examples.

    Parameters
    ----------
    seed
        The training seed of the model; only recorded, because greedy decoding draws nothing.
    max_new_tokens
        Length at which a rule that does not end is cut; such a generation has ``stopped=False``.

    Raises
    ------
    InputError
        If a prompt and ``max_new_tokens`` together are longer than the model's context.
    """
    import torch

    greedy = make_greedy(model, tokenizer, max_new_tokens)
    limit = getattr(model.config, "max_position_embeddings", None)
    written_out = make_template(tokenizer, template)
    prompts = [render(tokenizer, example.clause, written_out) for example in examples]
    for example, ids in zip(examples, prompts, strict=True):
        if limit and len(ids) + max_new_tokens > limit:
            room = f"at most {limit - max_new_tokens} prompt tokens (context {limit}, {max_new_tokens} to write)"
            remedy = "Lower generate.max_new_tokens, shorten the clause, or choose a model with a longer context."
            raise InputError(f"clause {example.id!r}", expected=room, found=f"{len(ids)}", remedy=remedy)
    order = sorted(range(len(examples)), key=lambda index: len(prompts[index]))
    device = next(model.parameters()).device
    written: dict[int, Generation] = {}
    model.eval()
    with torch.inference_mode(), _decoding(model, greedy):
        for start in track(range(0, len(order), batch_size), f"batches of {batch_size} rules written"):
            chunk = order[start : start + batch_size]
            longest = max(len(prompts[index]) for index in chunk)
            ids_BT = torch.full((len(chunk), longest), greedy.pad_token_id, device=device)
            seen_BT = torch.zeros_like(ids_BT)
            for row, index in enumerate(chunk):
                ids_BT[row, longest - len(prompts[index]) :] = torch.tensor(prompts[index])
                seen_BT[row, longest - len(prompts[index]) :] = 1
            output = model.generate(input_ids=ids_BT, attention_mask=seen_BT, generation_config=greedy)
            for index, new_ids in zip(chunk, output[:, longest:].tolist(), strict=True):
                stopped = tokenizer.eos_token_id in new_ids
                kept = new_ids[: new_ids.index(tokenizer.eos_token_id)] if stopped else new_ids
                rule = tokenizer.decode(kept, skip_special_tokens=True)
                written[index] = Generation(examples[index].id, seed, rule, len(kept), stopped)
    return [written[index] for index in range(len(examples))]


def make_greedy(model: Any, tokenizer: Any, max_new_tokens: int) -> Any:
    """A generation config that takes the most probable token and nothing else, whatever the model's folder says.

    Padding is masked; the end of text replaces a padding token without an embedding.
    """
    from transformers import GenerationConfig

    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    if pad is None or pad >= model.get_input_embeddings().num_embeddings:
        pad = end
    return GenerationConfig(do_sample=False, max_new_tokens=max_new_tokens, pad_token_id=pad, eos_token_id=end)


@contextlib.contextmanager
def _decoding(model: Any, config: Any) -> Iterator[None]:
    """Replace the model's own config, from which transformers would fill in what the given one leaves open."""
    own, model.generation_config = model.generation_config, config
    try:
        yield
    finally:
        model.generation_config = own


def read_confidence(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[tuple[str, str]],
    *,
    template: Prompt = DEFAULT_TEMPLATE,
    batch_size: int = 16,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """How sure a model is of each token of a rule, and how spread its next-token distribution is there.

    Parameters
    ----------
    pairs
        Clauses and rules.

    Returns
    -------
    list of (log-probabilities, entropies)
        For each pair; float64, shape (tokens of the rule and the end of the text,), nats.
    """
    import torch

    chosen = make_template(tokenizer, template)
    rows = [encode(tokenizer, clause, rule, chosen) for clause, rule in pairs]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    device = next(model.parameters()).device
    read: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            ids_BL, target_BL = make_tensors([rows[index] for index in chunk], device)
            logits_BLV = model(input_ids=ids_BL, use_cache=False).logits
            for place, index in enumerate(chunk):
                inside_L = target_BL[place, 1:]
                log_probs_TV = logits_BLV[place, :-1][inside_L].float().log_softmax(dim=-1)
                chosen_T = log_probs_TV.gather(-1, ids_BL[place, 1:][inside_L][:, None]).squeeze(-1)
                entropies_T = -(log_probs_TV.exp() * log_probs_TV).sum(dim=-1)
                read[index] = chosen_T.double().cpu().numpy(), entropies_T.double().cpu().numpy()
    return [read[index] for index in range(len(rows))]
