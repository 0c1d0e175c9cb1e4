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

from compliance_xai.corpus.synthetic.build import BASE_NOTATIONS, base_pairs
from compliance_xai.corpus.synthetic.pretraining import BASE_TEMPLATES, build_tokenizer, token_documents
from compliance_xai.errors import InputError
from compliance_xai.folders import find_data_folder

if TYPE_CHECKING:
    import torch
    from transformers import Qwen2ForCausalLM


@dataclass(frozen=True)
class Recipe:
    """How one rung is built and pre-trained.

    ``tokens`` counts every token seen, padding aside; ``bfloat16`` is about training, ``stored`` about the file, which
    is loaded as float32 again.
    """

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
    stored: str = "float32"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("0.3m", width=64, layers=4, heads=4, feed_forward=192, learning_rate=6e-3, tokens=8_000_000),
        Recipe("1m", width=128, layers=4, heads=4, feed_forward=384, learning_rate=3e-3, tokens=10_000_000),
        Recipe(
            "4m", width=256, layers=4, heads=4, feed_forward=768, learning_rate=2e-3, tokens=9_000_000, bfloat16=True
        ),
        Recipe(
            "12m",
            width=384,
            layers=6,
            heads=6,
            feed_forward=1152,
            learning_rate=1.4e-3,
            tokens=9_000_000,
            bfloat16=True,
            stored="bfloat16",
        ),
        Recipe(
            "30m",
            width=512,
            layers=8,
            heads=8,
            feed_forward=1664,
            learning_rate=1e-3,
            tokens=9_000_000,
            bfloat16=True,
            stored="bfloat16",
        ),
    )
}

LARGE = ("12m", "30m")
"""Rungs that ``make ladder`` trains only where it is asked to; they need not be shipped."""


def build_model(recipe: Recipe, tokenizer: Any) -> Qwen2ForCausalLM:
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


def token_batches(recipe: Recipe, tokenizer: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
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


def pretrain(recipe: Recipe, tokenizer: Any, folder: Path, *, every: int = 500) -> dict[str, Any]:
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
        losses = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none"
        )
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
            exact = sum(base_exact(model, tokenizer, notation=name, count=32) for name in BASE_NOTATIONS) / 2
            point = {
                "tokens": state["tokens"],
                "loss": sum(running) / len(running),
                "exact": exact,
                "seconds": round(state["seconds"], 1),
            }
            state["curve"].append(point)
            running = []
            print(recipe.name, {key: round(value, 4) for key, value in point.items()}, flush=True)
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, checkpoint)
    torch.nn.Module.to(model, getattr(torch, recipe.stored)).to(torch.float32)  # the scores are those of the file
    record = {
        "recipe": asdict(recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": state["step"],
        "tokens": state["tokens"],
        "seconds": round(time.monotonic() - started, 1),
        "exact_held_out": {name: base_exact(model, tokenizer, notation=name, count=400) for name in BASE_NOTATIONS},
        "exact_held_out_n": 400,
        "torch": torch.__version__,
        "curve": state["curve"],
    }
    model.to(getattr(torch, recipe.stored)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    checkpoint.unlink(missing_ok=True)
    return record


def base_exact(model: Any, tokenizer: Any, *, notation: str, count: int, split: str = "test", seed: int = 7) -> float:
    """Share of exact rules in a base notation on clauses with held-out combinations, greedy decoding."""
    import torch

    pairs = list(islice(base_pairs(f"evaluation/{seed}", split, notation), count))
    right = 0
    model.eval()
    with torch.inference_mode():
        for start in range(0, count, 64):
            chunk = pairs[start : start + 64]
            prompts = [tokenizer(BASE_TEMPLATES[notation].format(clause=clause))["input_ids"] for clause, _ in chunk]
            longest = max(map(len, prompts))
            ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(ids)) + ids for ids in prompts])
            written = model.generate(
                input_ids=ids,
                attention_mask=(ids != tokenizer.pad_token_id).long(),
                max_new_tokens=128,
                do_sample=False,
            )
            texts = tokenizer.batch_decode(written[:, longest:], skip_special_tokens=True)
            right += sum(text == base for text, (_, base) in zip(texts, chunk, strict=True))
    model.train()
    return right / count


CARD = """---
license: mit
language: en
library_name: transformers
tags: [compliance_xai, teaching]
---

# compliance_xai embedded ladder, rung {name}

A Qwen2-architecture causal language model with {parameters:,} parameters, made for the compliance_xai compendium: small
enough to fine-tune and explain on a laptop, for teaching and for testing the method.

**What it is not:** evidence about language models of billions of parameters. It has read nothing but the synthetic
grammar of this project.

| | |
|---|---|
| width, layers, heads, feed-forward | {width}, {layers}, {heads}, {feed_forward} |
| tokenizer | byte-level BPE, {vocabulary:,} tokens, digits one by one; shared by every rung |
| pre-training tokens | {tokens:,} in {steps:,} steps of about {batch_tokens:,} |
| optimiser | AdamW, peak learning rate {learning_rate}, cosine, {precision} |
| time on one CPU thread | {minutes:.0f} minutes |
{scores}

Pre-training text: clauses with rules in two *base* notations, infix (`exitDoor => must exitDoor.clearWidth >= 850 mm`)
and list (`(when (any exitDoor)) (do (must (>= exitDoor.clearWidth 850 mm)))`); plain clauses, glossaries, meaningless
call trees over the keywords of the fine-tuning notation, and copied random token sequences, so that every token of the
vocabulary has been trained. No clause is ever shown with a rule in the fine-tuning notation. Combinations of object,
requirement and condition that the validation and test splits hold out
do not occur in the pairs, and neither do rules of the held-out context ({held_out}).

`training.json` holds the recipe and the learning curve. `make ladder` trains the rung again from scratch.
"""


def write_card(folder: Path) -> None:
    """Write the model card of a trained rung from its training record, so that no figure in it is typed."""
    from scipy.stats import binomtest

    from compliance_xai.corpus.synthetic.vocabulary import HELD_OUT_CONTEXT

    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    recipe, count = record["recipe"], record["exact_held_out_n"]
    scores = []
    for notation, exact in record["exact_held_out"].items():
        interval = binomtest(round(exact * count), count).proportion_ci(method="wilson")
        scores.append(
            f"| exact rules in the {notation} notation, held-out combinations | {exact:.1%} of {count} "
            f"(95 % Wilson interval {interval.low:.1%} to {interval.high:.1%}) |"
        )
    card = CARD.format(
        **{
            key: recipe[key]
            for key in ("name", "width", "layers", "heads", "feed_forward", "batch_tokens", "learning_rate")
        },
        parameters=record["parameters"],
        vocabulary=config["vocab_size"],
        tokens=record["tokens"],
        steps=record["steps"],
        precision="bfloat16 autocast" if recipe["bfloat16"] else "float32",
        minutes=record["seconds"] / 60,
        scores="\n".join(scores),
        held_out=HELD_OUT_CONTEXT,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def write_ladder(root: Path) -> Path:
    """Write ``ladder.yaml`` over the recipes, smallest first, with the command that makes a rung that is not there."""
    import yaml

    tokenizer = build_tokenizer()
    rungs = []
    for recipe in RECIPES.values():
        shape = {
            "hidden_size": recipe.width,
            "layers": recipe.layers,
            "heads": recipe.heads,
            "key_value_heads": recipe.heads,
            "intermediate_size": recipe.feed_forward,
            "vocabulary": len(tokenizer),
            "tied": True,
        }
        rungs.append(
            {
                "name": recipe.name,
                "path": recipe.name,
                "parameters": build_model(recipe, tokenizer).num_parameters(),
                "licence": "MIT",
                "obtain": f'make ladder RUNGS="{recipe.name}"',
                "shape": shape,
                "description": f"Qwen2 shape, {recipe.layers} layers of width {recipe.width}, our own pre-training",
            }
        )
    ladder = {"name": "embedded", "rungs": rungs}
    path = root / "ladder.yaml"
    path.write_text(yaml.safe_dump(ladder, sort_keys=False), encoding="utf-8")
    return path


def train_ladder(root: Path, names: list[str] | None = None) -> None:
    """Pre-train rungs from scratch into ``root/<name>``, with cards and ``ladder.yaml``.

    A finished rung is left alone, an interrupted one goes on from its last checkpoint. Every rung has the same
    tokenizer. One thread each: small matrices gain little from more, and the result does not depend on the machine's
    number of cores.

    Raises
    ------
    InputError
        If a name is not a recipe.
    """
    import torch

    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    for name in names or [name for name in RECIPES if name not in LARGE]:
        if name not in RECIPES:
            raise InputError(
                "ladder rung", expected="one of " + ", ".join(RECIPES), found=repr(name), remedy="Choose one of these."
            )
        folder = root / name
        if not (folder / "training.json").is_file():
            record = pretrain(RECIPES[name], tokenizer, folder)
            print(f"{name}: exact on held-out combinations {record['exact_held_out']}", flush=True)
        write_card(folder)
    write_ladder(root)


def main() -> None:
    """``python -m compliance_xai.ladder [--folder FOLDER] [rung ...]``: the small rungs by default."""
    import argparse

    parser = argparse.ArgumentParser(description="Pre-train the embedded ladder from scratch.")
    parser.add_argument("--folder", type=Path, help="where the rungs go (default: data/ladders/embedded)")
    parser.add_argument("rungs", nargs="*", help="rungs to train (default: all but the large ones)")
    options = parser.parse_args()
    train_ladder(options.folder or find_data_folder() / "ladders" / "embedded", options.rungs)


if __name__ == "__main__":
    main()
