"""Pre-trains the embedded ladder: small Qwen2-architecture models of our own making (``make ladder``).

They are for teaching and for testing the method. They are no evidence about models of billions of parameters.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.corpus.synthetic.build import base_pairs
from compliance_xai.corpus.synthetic.pretraining import BASE_TEMPLATE, build_tokenizer, token_documents

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM


@dataclass(frozen=True)
class Recipe:
    """How one rung is built and pre-trained. ``tokens`` counts every token seen, padding aside."""

    name: str
    width: int
    layers: int
    heads: int
    feed_forward: int
    learning_rate: float
    tokens: int
    batch_tokens: int = 4096
    given_weight: float = 0.15
    warmup: float = 0.03
    weight_decay: float = 0.05
    bfloat16: bool = False
    seed: int = 0


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("0.3m", width=64, layers=4, heads=4, feed_forward=192, learning_rate=8e-3, tokens=16_000_000),
        Recipe("1m", width=128, layers=4, heads=4, feed_forward=384, learning_rate=4e-3, tokens=14_000_000),
        Recipe("4m", width=256, layers=4, heads=4, feed_forward=768, learning_rate=3e-3, tokens=9_000_000, bfloat16=True),
    )
}


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """An untrained rung; weights decided by the recipe's seed."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(recipe.seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            intermediate_size=recipe.feed_forward,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            initializer_range=0.04,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def token_batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, loss weights) batches of about ``batch_tokens`` tokens, each of documents of like length.

    Shapes (documents, longest document); padding has weight 0.
    """
    import random

    import torch

    documents = token_documents(recipe.seed, tokenizer)
    rng = random.Random(f"batches/{recipe.seed}")
    while True:
        pool = sorted(islice(documents, 1536), key=lambda document: len(document[0]))
        batches: list[list[tuple[list[int], int]]] = [[]]
        for document in pool:
            if (len(batches[-1]) + 1) * len(document[0]) > recipe.batch_tokens:
                batches.append([])
            batches[-1].append(document)
        rng.shuffle(batches)
        for batch in batches:
            longest = max(len(ids) for ids, _ in batch)
            ids_BT = torch.full((len(batch), longest), tokenizer.pad_token_id)
            weights_BT = torch.zeros((len(batch), longest))
            for row, (ids, given) in enumerate(batch):
                ids_BT[row, : len(ids)] = torch.tensor(ids)
                weights_BT[row, : len(ids)] = 1.0
                weights_BT[row, :given] = recipe.given_weight
            yield ids_BT, weights_BT


def pretrain(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, folder: Path, *, every: int = 250) -> dict[str, Any]:
    """Pre-train one rung from scratch and save it to ``folder``; goes on from its last checkpoint if there is one.

    Returns
    -------
    dict
        The training record that is stored beside the weights as ``training.json``: recipe, curve (tokens, loss in
        nats per weighted token, exact rules in the base notation on held-out combinations), seconds, final score.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    model = build_model(recipe, tokenizer)
    decay = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    state: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0, "curve": []}
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    batches = islice(token_batches(recipe, tokenizer), state["step"], None)
    started, running = time.monotonic() - state["seconds"], []
    while state["tokens"] < recipe.tokens:
        ids_BT, weights_BT = next(batches)
        progress = state["tokens"] / recipe.tokens
        rate = recipe.learning_rate * min(progress / recipe.warmup, 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, recipe.learning_rate * 1e-3)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            logits = model(input_ids=ids_BT).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none")
        weights = weights_BT[:, 1:].flatten()
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running.append(loss.item())
        state["step"] += 1
        state["tokens"] += int((weights_BT > 0).sum())
        if state["step"] % every == 0:
            state["seconds"] = time.monotonic() - started
            exact = base_exact(model, tokenizer, count=64)
            point = {"tokens": state["tokens"], "loss": sum(running) / len(running), "exact": exact, "seconds": round(state["seconds"], 1)}
            state["curve"].append(point)
            running = []
            print(recipe.name, {key: round(value, 4) for key, value in point.items()}, flush=True)
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, checkpoint)
    record = {
        "recipe": asdict(recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": state["step"],
        "tokens": state["tokens"],
        "seconds": round(time.monotonic() - started, 1),
        "exact_held_out": base_exact(model, tokenizer, count=400),
        "exact_held_out_n": 400,
        "torch": torch.__version__,
        "curve": state["curve"],
    }
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    checkpoint.unlink(missing_ok=True)
    return record


def base_exact(model: Any, tokenizer: PreTrainedTokenizerFast, *, count: int, split: str = "test", seed: int = 7) -> float:
    """Share of exact rules in the base notation on clauses with held-out combinations, greedy decoding."""
    import torch

    pairs = list(islice(base_pairs(f"evaluation/{seed}", split), count))
    right = 0
    model.eval()
    with torch.inference_mode():
        for start in range(0, count, 64):
            chunk = pairs[start : start + 64]
            prompts = [tokenizer(BASE_TEMPLATE.format(clause=clause))["input_ids"] for clause, _ in chunk]
            longest = max(map(len, prompts))
            ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(ids)) + ids for ids in prompts])
            written = model.generate(
                input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long(), max_new_tokens=96, do_sample=False
            )
            texts = tokenizer.batch_decode(written[:, longest:], skip_special_tokens=True)
            right += sum(text == base for text, (_, base) in zip(texts, chunk, strict=True))
    model.train()
    return right / count


def main(names: list[str], root: Path) -> None:
    """Pre-train the named rungs into ``root/<name>``; every rung has the same tokenizer.

    One thread each: small matrices gain nothing from more, and the result does not depend on the machine's cores.
    """
    import torch

    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    for name in names:
        record = pretrain(RECIPES[name], tokenizer, root / name)
        print(name, record["parameters"], "parameters,", record["exact_held_out"], "exact on held-out combinations", flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[2:] or list(RECIPES), Path(sys.argv[1]))
