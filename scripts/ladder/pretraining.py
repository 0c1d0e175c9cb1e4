"""Pre-trains the embedded ladder: the project's own small models of the Qwen2 architecture (``make ladder``).

They are for teaching and for testing the method, and are not evidence about models of billions of parameters.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_texts import build_tokenizer, token_documents

from compliance_xai.corpus.synthetic.build import (
    BASE_NOTATIONS,
    BASE_TEMPLATES,
    CURVE_CLAUSES,
    ONE_THREAD,
    base_pairs,
)
from compliance_xai.errors import InputError, require_choice
from compliance_xai.models.checkpoints import read_header, restore_state, save_state
from compliance_xai.models.generation import generate_rules
from compliance_xai.records import Example
from compliance_xai.study.folders import find_data_folder

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


_LARGE: dict[str, Any] = {"tokens": 9_000_000, "bfloat16": True, "stored": "bfloat16"}
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("0.3m", 64, 4, 4, 192, learning_rate=6e-3, tokens=8_000_000),
        Recipe("1m", 128, 4, 4, 384, learning_rate=3e-3, tokens=10_000_000),
        Recipe("4m", 256, 4, 4, 768, learning_rate=2e-3, tokens=9_000_000, bfloat16=True),
        Recipe("12m", 384, 6, 6, 1152, learning_rate=1.4e-3, **_LARGE),
        Recipe("30m", 512, 8, 8, 1664, learning_rate=1e-3, **_LARGE),
    )
}

CHECKPOINT = "checkpoint.safetensors"
"""From which a training that was stopped continues, in the rung's folder: weights, AdamW's state, and the log."""

LARGE = ("12m", "30m")
"""Rungs that ``make ladder`` trains only if they are named; they need not be shipped."""


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


def pretrain(recipe: Recipe, tokenizer: Any, folder: Path, *, every: int = 500, save_every: int = 50) -> dict[str, Any]:
    """Pre-train one rung from scratch and save it to ``folder``; continues from its last checkpoint if there is one.

    On a CUDA device if there is one, else on the CPU. Prints how far it is and how long the rest will take.

    Parameters
    ----------
    every, save_every
        Steps between two points of the curve, and between two checkpoints; neither changes the weights.

    Returns
    -------
    dict
        The training record that is stored beside the weights as ``training.json``: recipe, curve (tokens, loss in
        nats per weighted token, exact rules in the base notation on held-out combinations), seconds, final score.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(recipe, tokenizer)
    torch.nn.Module.to(model, device)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if (p.ndim >= 2) == decays], "weight_decay": decay}
        for decays, decay in ((True, recipe.weight_decay), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
    state: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0, "curve": [], "running": []}
    checkpoint = folder / CHECKPOINT
    kept = read_header(checkpoint) if checkpoint.is_file() else None
    if kept and kept["recipe"] == asdict(recipe):
        restore_state(checkpoint, model, optimizer)
        state = kept["state"]
    batches = islice(token_batches(recipe, tokenizer), state["step"], None)
    started, first = time.monotonic() - state["seconds"], (time.monotonic(), state["tokens"])
    while state["tokens"] < recipe.tokens:
        ids_BT, weights_BT = (tensor.to(device) for tensor in next(batches))
        progress = state["tokens"] / recipe.tokens
        rate = recipe.learning_rate * min(progress / recipe.warmup, 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, recipe.learning_rate * 1e-3)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bfloat16):
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
        state["running"].append(loss.item())
        state["step"] += 1
        state["tokens"] += int((weights_BT > 0).sum())
        state["seconds"] = time.monotonic() - started
        if state["step"] % every == 0:
            exact = sum(base_exact(model, tokenizer, notation=name, count=CURVE_CLAUSES) for name in BASE_NOTATIONS) / 2
            point = {"tokens": state["tokens"], "loss": sum(state["running"]) / len(state["running"]), "exact": exact}
            point["seconds"] = round(state["seconds"], 1)
            state["curve"].append(point)
            state["running"] = []
            print(recipe.name, {key: round(value, 4) for key, value in point.items()}, flush=True)
        if state["step"] % save_every == 0 or state["step"] == 5:
            print(_format_progress(recipe, state, first), flush=True)
        if state["step"] % save_every == 0:
            save_state(checkpoint, model, optimizer, {"recipe": asdict(recipe), "state": state})
    torch.nn.Module.to(model, "cpu")
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
        "device": torch.cuda.get_device_name() if device.type == "cuda" else ONE_THREAD,
        "curve": state["curve"],
    }
    model.to(getattr(torch, recipe.stored)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    checkpoint.unlink(missing_ok=True)
    return record


def _format_progress(recipe: Recipe, state: dict[str, Any], first: tuple[float, int]) -> str:
    """Tokens so far, loss of the last steps, speed since ``first`` (time, tokens) and how long the rest will take."""
    pace = (state["tokens"] - first[1]) / max(time.monotonic() - first[0], 1e-9)
    left = (recipe.tokens - state["tokens"]) / pace / 60
    last = state["running"][-10:] or [state["curve"][-1]["loss"]]
    return (
        f"{recipe.name}: {state['tokens']:,} of {recipe.tokens:,} tokens, loss {sum(last) / len(last):.3f}, "
        f"{pace:,.0f} tokens/s, " + (f"{left / 60:.1f} hours left" if left > 90 else f"{max(left, 0):.0f} minutes left")
    )


def base_exact(model: Any, tokenizer: Any, *, notation: str, count: int, split: str = "test", seed: int = 7) -> float:
    """Share of exact rules in a base notation on clauses with held-out combinations, greedy decoding."""
    pairs = list(islice(base_pairs(f"evaluation/{seed}", split, notation), count))
    examples = [Example(str(index), clause, rule, "", split) for index, (clause, rule) in enumerate(pairs)]
    written = generate_rules(
        model, tokenizer, examples, seed=seed, template=BASE_TEMPLATES[notation], max_new_tokens=128, batch_size=64
    )
    model.train()
    return sum(rule.rule == example.rule for rule, example in zip(written, examples, strict=True)) / count


def write_card(folder: Path) -> None:
    """Write the model card of a trained rung from its training record, so that no figure in it is typed."""
    from statsmodels.stats.proportion import proportion_confint

    from compliance_xai.corpus.synthetic.vocabulary import HELD_OUT_CONTEXT

    record, config = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("training", "config"))
    recipe, count = record["recipe"], record["exact_held_out_n"]
    scores = []
    for notation, exact in record["exact_held_out"].items():
        low, high = proportion_confint(exact * count, count, method="wilson")
        scores.append(
            f"| exact rules in the {notation} notation, held-out combinations | {exact:.1%} of {count} "
            f"(95 % Wilson interval {low:.1%} to {high:.1%}) |"
        )
    stated = {
        "vocabulary": config["vocab_size"],
        "precision": "bfloat16 autocast" if recipe["bfloat16"] else "float32",
        "device": record.get("device", ONE_THREAD),
        "minutes": record["seconds"] / 60,
        "scores": "\n".join(scores),
        "held_out": HELD_OUT_CONTEXT,
    }
    card = Path(__file__).with_suffix(".md").read_text("utf-8")
    (folder / "README.md").write_text(card.format(**recipe | record | stated), encoding="utf-8")


def train_ladder(root: Path, names: list[str] | None = None, *, tokens: int | None = None) -> None:
    """Pre-train rungs from scratch into ``root/<name>``, each with its card.

    A finished rung is left alone, an interrupted one continues from its last checkpoint. Every rung has the same
    tokenizer. One thread each: small matrices gain little from more, and the result does not depend on the machine's
    number of cores.

    Parameters
    ----------
    tokens
        How many to train on instead of the recipe's number, for a trial.

    Raises
    ------
    InputError
        If a name is not a recipe, or a finished rung was trained on another number of tokens.
    """
    import torch

    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    for name in names or [name for name in RECIPES if name not in LARGE]:
        require_choice("ladder rung", name, RECIPES)
        recipe, folder = RECIPES[name], root / name
        recipe = recipe if tokens is None else replace(recipe, tokens=tokens)
        if not all((folder / file).is_file() for file in ("model.safetensors", "training.json")):
            record = pretrain(recipe, tokenizer, folder)
            print(f"{name}: exact on held-out combinations {record['exact_held_out']}", flush=True)
        found = json.loads((folder / "training.json").read_text(encoding="utf-8"))["recipe"]["tokens"]
        if found != recipe.tokens:  # such as that of a short trial
            raise InputError(
                str(folder / "training.json"),
                expected=f"a rung trained on {recipe.tokens:,} tokens",
                found=f"{found:,}",
                remedy="Remove its folder, or name another with --folder.",
            )
        write_card(folder)


def main(arguments: list[str] | None = None) -> None:
    """Train rungs: ``python scripts/ladder/pretraining.py [--folder FOLDER] [--tokens N] [rung ...]``."""
    import argparse

    parser = argparse.ArgumentParser(description="Pre-train the embedded ladder from scratch.")
    parser.add_argument("--folder", type=Path, help="where the rungs go (default: data/ladders/embedded)")
    parser.add_argument("--tokens", type=int, help="how many tokens to train on, for a trial; needs a --folder")
    parser.add_argument("rungs", nargs="*", help="rungs to train (default: all but the large ones)")
    options = parser.parse_args(arguments)
    if options.tokens is not None and (options.folder is None or options.tokens < 1):
        parser.error("--tokens takes a number of at least 1, and a --folder, so that no shipped rung is replaced")
    place = options.folder or find_data_folder() / "ladders" / "embedded"
    train_ladder(place, options.rungs, tokens=options.tokens)


if __name__ == "__main__":
    main()
