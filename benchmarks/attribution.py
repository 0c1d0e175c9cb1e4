"""How fast attribution is: this engine, captum, shap and a plain loop on the same clauses, taking turns in one process.

    python benchmarks/attribution.py [--repeats 5] [--clauses 8] [--device cuda]

writes ``benchmarks/results/attribution.json`` and ``attribution.md`` (``attribution_cuda.*`` on a GPU). Clauses of 30
to 57 words with rules of 61 to 84 tokens come from the published New Zealand table where it lies beside the checkout,
otherwise from the synthetic corpus; an instruction of 42 tokens stands before them. Models are random Qwen2 shapes:
speed does not depend on what a model has learnt. Every system is called as its documentation says, and freed memory is
kept, as in the kernels of a study.

*Minimum*: positions that rows do not share with one before. *Efficiency*: minimum / time, over the best dense forward
throughput (logits included) of the same model in the same process. Ratios are medians over repeats; a repeat times
every system once on every clause, one after the other.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from keep import keep_result

from compliance_xai.attribution.engine import Cost, score_masks, score_texts
from compliance_xai.attribution.methods import leave_one_out_masks, surrogate_masks
from compliance_xai.attribution.options import Options
from compliance_xai.corpus.features import perturb, segment
from compliance_xai.machine import describe_machine, package_versions
from compliance_xai.models.prompts import render
from compliance_xai.pipeline.environment import SETTINGS
from compliance_xai.study.folders import find_data_folder

REPOSITORY = Path(__file__).resolve().parents[1]
PUBLISHED = REPOSITORY.parent / "shared" / "data" / "nzbc_lrml_v8_dev.csv"
PROMPT = (
    "Translate the clause of a building code into one rule of conditions and obligations that a machine can check. "
    "Keep every number, unit and reference of the clause in the rule as it stands there.\nClause: {clause}\nRule:\n"
)
LONG = "Here is how such rules are written, by example and with every word that may be used in them. "
SHAPES = {"1 M": (128, 4), "5 M": (256, 6)}
"""Width and layers; 1.05 and 5.25 million parameters."""
GPU_SHAPES = {"0.5 B": (896, 24, 4864, 14, 2, 151_936), "7 B": (3584, 28, 18944, 28, 4, 152_064)}
VOCABULARY = 2048
PACKAGES = ("torch", "transformers", "captum", "shap", "numpy")

Pairs = list[tuple[str, str]]


# --- what is measured on --------------------------------------------------------------------------------------------


def read_pairs() -> tuple[str, Pairs]:
    """Where the pairs come from, and all pairs of clause and rule."""
    if PUBLISHED.is_file():
        with PUBLISHED.open(encoding="utf-8", newline="") as file:
            return "published New Zealand table", [(row["text"], row["lrml"]) for row in csv.DictReader(file)]
    path = find_data_folder() / "synthetic" / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    # Neighbours joined: single synthetic clauses are shorter than the clauses of a code.
    joined = zip(rows[::2], rows[1::2], strict=False)
    return "synthetic corpus, two clauses joined", [
        (f"{a['clause']} {b['clause']}", f"{a['rule']} {b['rule']}") for a, b in joined
    ]


def make_tokenizer(pairs: Pairs) -> Any:
    """Byte-level BPE of 2,048 entries, made of the texts that it will cut."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<eos>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    raw.train_from_iterator([*(text for pair in pairs for text in pair), *[PROMPT, LONG] * 20], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", pad_token="<eos>")


def choose_pairs(pairs: Pairs, tokenizer: Any, count: int) -> Pairs:
    """The first pairs with 30 to 57 words and 61 to 84 target tokens."""
    fitting = [
        (clause, rule)
        for clause, rule in pairs
        if 30 <= len(segment(clause)) <= 57 and 61 <= len(tokenizer(rule)["input_ids"]) + 1 <= 84
    ]
    return fitting[:count]


def build_model(shape: Sequence[int], dtype: str, device: str) -> Any:
    """A random Qwen2: width and layers alone mean a small one with heads of 32 and an inner width of three times."""
    from transformers import AutoModelForCausalLM, Qwen2Config

    width, layers = shape[:2]
    inner, heads, groups, vocabulary = shape[2:] or (3 * width, width // 32, width // 64, VOCABULARY)
    torch.manual_seed(0)
    config = Qwen2Config(
        hidden_size=width, num_hidden_layers=layers, intermediate_size=inner, num_attention_heads=heads,
        num_key_value_heads=groups, vocab_size=vocabulary, max_position_embeddings=8192, initializer_range=0.04,
        tie_word_embeddings=width < 2048, dtype=getattr(torch, dtype),
    )  # fmt: skip
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


# --- systems --------------------------------------------------------------------------------------------------------


def run_ours(model: Any, tokenizer: Any, clause: str, rule: str, prompt: str = PROMPT, share: bool = True) -> Any:
    """Log-probabilities (masks, tokens) of leave-one-out."""
    features = segment(clause)
    masks = leave_one_out_masks(len(features))
    return score_masks(model, tokenizer, clause, rule, masks, Options(prompt=prompt), features=features, share=share)


def run_captum(
    model: Any, tokenizer: Any, clause: str, rule: str, prompt: str = PROMPT, *, in_tokens: bool = False
) -> Any:
    """captum's feature ablation, words deleted as here; teacher-forced, or token by token without its cache."""
    from captum.attr import FeatureAblation, LLMAttribution, TextTemplateInput

    features = segment(clause)

    def write(*words: str) -> str:
        return prompt.replace("{clause}", perturb(clause, features, [word != "" for word in words]))

    inputs = TextTemplateInput(write, values=[feature.text for feature in features], baselines=[""] * len(features))
    target = torch.tensor([*tokenizer(rule)["input_ids"], tokenizer.eos_token_id])
    captum = LLMAttribution(FeatureAblation(model), tokenizer)
    options = {"use_cached_outputs": False} if in_tokens else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return captum.attribute(inputs, target=target, forward_in_tokens=in_tokens, **options)


def run_loop(model: Any, tokenizer: Any, clause: str, rule: str, prompt: str = PROMPT, batch: int = 16) -> Any:
    """What one would write by hand: 16 rows at a time, padded, a mask, full logits."""
    features = segment(clause)
    tail = [*tokenizer(rule)["input_ids"], tokenizer.eos_token_id]
    texts = [perturb(clause, features, mask) for mask in leave_one_out_masks(len(features))]
    rows = [[*render(tokenizer, text, prompt), *tail] for text in texts]
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            width = max(map(len, part))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in part], device=model.device)
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in part], device=model.device)
            log_probs = model(input_ids=ids, attention_mask=mask).logits.float().log_softmax(-1)
            for row, values in zip(part, log_probs, strict=True):
                at = torch.arange(len(row) - len(tail), len(row), device=model.device)
                found.append(values[at - 1, torch.tensor(tail, device=model.device)])
    return torch.stack(found)


def run_shap(
    model: Any, tokenizer: Any, clause: str, rule: str, prompt: str = PROMPT, evaluations: int = 64
) -> list[str]:
    """shap's partition explainer over its teacher forcing; the masked clauses that it scored."""
    import shap

    model.config.is_decoder = True  # shap asks for it
    forcing = shap.models.TeacherForcing(model, tokenizer, batch_size=10, device=str(model.device))
    scored: list[str] = []

    def score(texts: np.ndarray, targets: np.ndarray) -> np.ndarray:
        scored.extend(map(str, texts))
        return forcing(np.array([prompt.replace("{clause}", text) for text in texts]), targets)

    target = np.array([[*tokenizer(rule)["input_ids"], tokenizer.eos_token_id]])
    masker = shap.maskers.OutputComposite(shap.maskers.Text(r"\W", mask_token="..."), lambda _: target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = shap.PartitionExplainer(score, masker)
        explainer(np.array([clause]), max_evals=evaluations, silent=True)
    return scored


def time_dense(model: Any) -> float:
    """Positions a second of the best of a few dense batches, logits included."""
    best = 0.0
    on_gpu = model.device.type == "cuda"
    with torch.inference_mode():
        for rows, length in ((16, 512), (32, 256), (64, 128)) if on_gpu else ((4, 128), (8, 128), (16, 128), (32, 128)):
            ids = torch.randint(0, VOCABULARY, (rows, length), device=model.device)
            seconds = min(clock(lambda: model(input_ids=ids, use_cache=False)) for _ in range(2))  # noqa: B023
            best = max(best, rows * length / seconds)
    return best


def clock(work: Callable[[], object]) -> float:
    """Seconds of wall clock."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


# --- measurements ---------------------------------------------------------------------------------------------------


def count_positions(model: Any, tokenizer: Any, pairs: Pairs, prompt: str = PROMPT) -> Cost:
    """Positions of leave-one-out over all pairs; every system has met every clause once afterwards."""
    cost = Cost()
    for clause, rule in pairs:
        masks = leave_one_out_masks(len(segment(clause)))
        score_masks(model, tokenizer, clause, rule, masks, Options(prompt=prompt), cost=cost)
    return cost


def compare(model: Any, tokenizer: Any, pairs: Pairs, systems: dict[str, Callable], repeats: int) -> dict[str, Any]:
    """Median seconds and ratios of every system over all pairs, taking turns; efficiency of each."""
    cost = count_positions(model, tokenizer, pairs)
    for run in systems.values():
        run(model, tokenizer, *pairs[0])
    times: list[dict[str, float]] = []
    for _ in range(repeats):
        total = dict.fromkeys(systems, 0.0) | {"dense": 0.0}
        speeds = []
        for place, (clause, rule) in enumerate(pairs):
            if place % 4 == 0:
                speeds.append(time_dense(model))
            for name, run in systems.items():
                total[name] += clock(lambda: run(model, tokenizer, clause, rule))  # noqa: B023
        times.append(total | {"dense": max(speeds)})
    middle = {name: statistics.median(each[name] for each in times) for name in times[0]}
    return {
        "seconds": {name: round(middle[name], 4) for name in systems},
        "captum_over": {
            name: round(statistics.median(each["captum, teacher-forced"] / each[name] for each in times), 3)
            for name in systems
        } if "captum, teacher-forced" in systems else {},
        "efficiency": {
            name: round(statistics.median(cost.positions_minimum / each[name] / each["dense"] for each in times), 3)
            for name in systems
        },
        "dense_positions_per_second": round(middle["dense"]),
        "positions": vars(cost),
        "repeats": repeats,
    }  # fmt: skip


def compare_evaluations(model: Any, tokenizer: Any, pairs: Pairs, repeats: int) -> dict[str, float]:
    """Masked texts a second: shap's partition explainer, this engine on leave-one-out, and on the texts shap scored.

    shap's coalitions are shorter than leave-one-out's texts, and what shares a beginning differs.
    """
    speeds: list[dict[str, float]] = []
    run_shap(model, tokenizer, *pairs[0])
    for _ in range(repeats):
        seconds = {"shap": 0.0, "ours": 0.0, "same": 0.0}
        rows = dict.fromkeys(seconds, 0)
        for clause, rule in pairs:
            start = time.perf_counter()
            texts = run_shap(model, tokenizer, clause, rule)
            seconds["shap"] += time.perf_counter() - start
            seconds["same"] += clock(
                lambda: score_texts(model, tokenizer, texts, rule, Options(prompt=PROMPT), deduplicate=False)  # noqa: B023
            )
            seconds["ours"] += clock(lambda: run_ours(model, tokenizer, clause, rule))  # noqa: B023
            rows["shap"] += len(texts)
            rows["same"] += len(texts)
            rows["ours"] += len(segment(clause)) + 1
        speeds.append({name: rows[name] / seconds[name] for name in rows})
    return {
        "ratio": round(statistics.median(speed["ours"] / speed["shap"] for speed in speeds), 3),
        "ratio_same_texts": round(statistics.median(speed["same"] / speed["shap"] for speed in speeds), 3),
        "ours_per_second": round(statistics.median(speed["ours"] for speed in speeds), 1),
        "ours_per_second_same_texts": round(statistics.median(speed["same"] for speed in speeds), 1),
        "shap_per_second": round(statistics.median(speed["shap"] for speed in speeds), 1),
    }


def compare_token_by_token(model: Any, tokenizer: Any, pairs: Pairs) -> dict[str, float]:
    """captum's default way with its cache off (wrong with this transformers), on 8 words and 16 target tokens, once."""
    clause, rule = pairs[0]
    clause = clause[: segment(clause)[7].end]
    rule = rule[: tokenizer(rule, return_offsets_mapping=True)["offset_mapping"][14][1]]
    run_ours(model, tokenizer, clause, rule)
    theirs = clock(lambda: run_captum(model, tokenizer, clause, rule, in_tokens=True))
    ours = statistics.median(clock(lambda: run_ours(model, tokenizer, clause, rule)) for _ in range(3))
    return {"ratio": round(theirs / ours, 1), "captum_s": round(theirs, 3), "ours_s": round(ours, 4)}


def compare_long_prefix(model: Any, tokenizer: Any, pairs: Pairs, repeats: int) -> dict[str, float]:
    """The same with an instruction of 512 tokens before the clause."""
    text = LONG * 60
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    prompt = text[: offsets[511][1]] + "\nClause: {clause}\nRule:\n"
    run_ours(model, tokenizer, *pairs[0], prompt)
    ratios = []
    for _ in range(repeats):
        seconds = [0.0, 0.0]
        for clause, rule in pairs:
            seconds[0] += clock(lambda: run_captum(model, tokenizer, clause, rule, prompt))  # noqa: B023
            seconds[1] += clock(lambda: run_ours(model, tokenizer, clause, rule, prompt))  # noqa: B023
        ratios.append(seconds[0] / seconds[1])
    tokens = len(tokenizer(prompt.split("{clause}")[0])["input_ids"])
    return {"ratio": round(statistics.median(ratios), 3), "prefix_tokens": tokens, "clauses": len(pairs)}


def compare_bfloat16(model: Any, tokenizer: Any, pairs: Pairs, repeats: int) -> dict[str, float]:
    """The same engine and model in bfloat16: time against float32, and by how much its numbers miss."""
    half = copy.deepcopy(model).to(torch.bfloat16)
    ratios, missed, lost = [], [], []
    for clause, rule in pairs:
        exact, found = (run_ours(each, tokenizer, clause, rule).astype(np.float64) for each in (model, half))
        missed.append(np.abs((exact[:1] - exact[1:]) - (found[:1] - found[1:])))
        lost.append(np.abs(exact - found).max())
    for _ in range(repeats):
        seconds = [0.0, 0.0]
        for clause, rule in pairs:
            for place, each in enumerate((model, half)):
                seconds[place] += clock(lambda: run_ours(each, tokenizer, clause, rule))  # noqa: B023
        ratios.append(seconds[0] / seconds[1])
    return {
        "ratio": round(statistics.median(ratios), 3),
        "score_error_mean": round(float(np.mean([errors.mean() for errors in missed])), 5),
        "score_error_max": round(float(max(errors.max() for errors in missed)), 5),
        "log_prob_error_max": round(float(max(lost)), 5),
    }


def count_random_masks(model: Any, tokenizer: Any, pairs: Pairs) -> dict[str, Any]:
    """Positions of the surrogate's random masks."""
    cost = Cost()
    for clause, rule in pairs:
        masks = surrogate_masks(len(segment(clause)), None)
        score_masks(model, tokenizer, clause, rule, masks, Options(prompt=PROMPT), cost=cost)
    return vars(cost)


def measure_growth(model: Any, tokenizer: Any, pairs: Pairs, repeats: int) -> list[dict[str, Any]]:
    """Seconds of leave-one-out for growing clauses and growing targets; shap's time is for as many evaluations."""
    clause = " ".join(clause for clause, _ in pairs)
    rule = " ".join(rule for _, rule in pairs)
    words = segment(clause)
    offsets = tokenizer(rule, return_offsets_mapping=True)["offset_mapping"]
    cases = [("clause", n, clause[: words[n - 1].end], rule[: offsets[38][1]]) for n in (10, 20, 40, 80)]
    cases += [("target", n, clause[: words[29].end], rule[: offsets[n - 2][1]]) for n in (10, 20, 40, 80)]
    rows = []
    for varied, size, text, target in cases:
        cost = count_positions(model, tokenizer, [(text, target)])
        evaluations = len(segment(text)) + 1
        seconds: dict[str, list[float]] = {"this engine": [], "captum, teacher-forced": [], "shap": []}
        for _ in range(repeats):
            seconds["this engine"].append(clock(lambda: run_ours(model, tokenizer, text, target)))  # noqa: B023
            captum = clock(lambda: run_captum(model, tokenizer, text, target))  # noqa: B023
            seconds["captum, teacher-forced"].append(captum)
            start = time.perf_counter()
            scored = len(run_shap(model, tokenizer, text, target, evaluations=24))
            seconds["shap"].append((time.perf_counter() - start) / scored * evaluations)
        about = {"varied": varied, "size": size, "words": evaluations - 1, "minimum": cost.positions_minimum}
        about["target_tokens"] = len(tokenizer(target)["input_ids"]) + 1
        rows += [
            about | {"system": system, "seconds": round(statistics.median(values), 5)}
            for system, values in seconds.items()
        ]
    return rows


MEMORY_CHECK = """
import resource, sys
sys.path.insert(0, {here!r})
import numpy as np
import attribution as bench
source, pairs = bench.read_pairs()
tokenizer = bench.make_tokenizer(pairs)
model = bench.build_model(bench.SHAPES["5 M"], "float32", "cpu")
text = " ".join(clause for clause, _ in pairs)
clause = text[: tokenizer(text, return_offsets_mapping=True)["offset_mapping"][3999][1]]
words = len(bench.segment(clause))
masks = bench.leave_one_out_masks(words)[np.linspace(0, words, 9).astype(int)]
bench.score_masks(model, tokenizer, clause, pairs[0][1], masks, prompt=bench.PROMPT)
print(len(tokenizer(clause)["input_ids"]), words, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def measure_memory() -> dict[str, float]:
    """Peak memory of a process of its own that scores nine rows of leave-one-out of a clause of 4,000 tokens."""
    code = MEMORY_CHECK.format(here=str(Path(__file__).parent))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tokens, words, peak = run.stdout.split()[-3:]
    return {"clause_tokens": int(tokens), "words": int(words), "rows": 9, "peak_GiB": round(float(peak), 2)}


# --- the whole ------------------------------------------------------------------------------------------------------


def measure_cpu(repeats: int, clauses: int) -> dict[str, Any]:
    source, everything = read_pairs()
    tokenizer = make_tokenizer(everything)
    pairs = choose_pairs(everything, tokenizer, clauses)
    systems: dict[str, Callable] = {
        "this engine": run_ours,
        "captum, teacher-forced": run_captum,
        "plain batched loop": run_loop,
        "this engine, uncached": lambda *given: run_ours(*given, share=False),
    }
    result: dict[str, Any] = {"clauses": source, "models": {}}
    result["lengths"] = {
        "words": [len(segment(clause)) for clause, _ in pairs],
        "target_tokens": [len(tokenizer(rule)["input_ids"]) + 1 for _, rule in pairs],
        "prefix_tokens": len(tokenizer(PROMPT.split("{clause}")[0])["input_ids"]),
    }
    for name, shape in SHAPES.items():
        model = build_model(shape, "float32", "cpu")
        few = pairs[:3]
        entry = {
            "parameters": model.num_parameters(),
            "leave_one_out": compare(model, tokenizer, pairs, systems, repeats),
            "shap": compare_evaluations(model, tokenizer, few, repeats),
            "captum_token_by_token": compare_token_by_token(model, tokenizer, pairs),
            "long_prefix": compare_long_prefix(model, tokenizer, few[:2], -(-repeats // 2)),
            "bfloat16": compare_bfloat16(model, tokenizer, few, repeats),
            "random_masks": count_random_masks(model, tokenizer, few),
        }
        result["models"][name] = entry
        print(name, json.dumps(entry), flush=True)
        if name == "1 M":
            result["growth"] = {
                "model": name,
                "cases": measure_growth(model, tokenizer, everything[:20], -(-repeats // 2)),
            }
    result["memory"] = measure_memory()
    return result


def measure_gpu(repeats: int, clauses: int) -> dict[str, Any]:
    """The same on a GPU: 0.5 B and 7 B shapes in bfloat16, and which part of the card's matrix rate is used."""
    source, everything = read_pairs()
    tokenizer = make_tokenizer(everything)
    pairs = choose_pairs(everything, tokenizer, clauses)
    systems = {"this engine": run_ours, "plain batched loop": run_loop, "captum, teacher-forced": run_captum}
    rate = time_matrices()
    result: dict[str, Any] = {"clauses": source, "matrix_rate_tflops": round(rate / 1e12, 1), "models": {}}
    result["card"] = torch.cuda.get_device_name()
    for name, shape in GPU_SHAPES.items():
        model = build_model(shape, "bfloat16", "cuda")
        entry = compare(model, tokenizer, pairs, systems, repeats)
        body = model.num_parameters() - model.get_input_embeddings().weight.numel()
        head = sum(len(segment(c)) + 1 for c, _ in pairs) * shape[0] * shape[5] * 2 * 70  # at targets only
        work = 2 * body * entry["positions"]["positions_minimum"] + head
        entry["fraction_of_matrix_rate"] = round(work / entry["seconds"]["this engine"] / rate, 3)
        result["models"][name] = entry | {"parameters": model.num_parameters()}
        print(name, json.dumps(entry), flush=True)
        del model
        torch.cuda.empty_cache()
    return result


def time_matrices(size: int = 8192) -> float:
    """Floating-point operations a second of large bfloat16 products."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return max(2 * size**3 / clock(lambda: a @ b) for _ in range(10))


def write_markdown(result: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = ["# Speed of attribution", "", " ".join(__doc__.partition("on a GPU). ")[2].split()), ""]
    lines += [f"Clauses: {result['clauses']}. Versions: {result['versions']}. Machine: {result['machine']}.", ""]
    for name, model in result["models"].items():
        main = model.get("leave_one_out", model)
        lines += [
            f"## {name} ({model['parameters'] / 1e6:.2f} M parameters)",
            "",
            "| system | seconds, all clauses | captum, teacher-forced / system | efficiency |",
            "|---|---:|---:|---:|",
        ]
        for system, seconds in main["seconds"].items():
            ratio = main["captum_over"].get(system, float("nan"))
            lines.append(f"| {system} | {seconds:.3f} | {ratio:.2f} | {main['efficiency'][system]:.2f} |")
        positions = main["positions"]
        lines += [
            "",
            f"Positions: computed {positions['positions_computed']:,}, naive {positions['positions_naive']:,}, minimum "
            f"{positions['positions_minimum']:,}; path `{positions['path']}`; dense "
            f"{main['dense_positions_per_second']:,} positions a second; {main['repeats']} repeats.",
            "",
        ]
        if "shap" in model:
            lines += _write_others(model)
        else:
            lines += [f"Part of the card's matrix rate: {model['fraction_of_matrix_rate']:.2f}.", ""]
    if "memory" in result:
        memory = result["memory"]
        lines += [
            f"Memory: a clause of {memory['clause_tokens']:,} tokens and {memory['words']:,} words, {memory['rows']} "
            f"rows, 5 M parameters: peak {memory['peak_GiB']} GiB of the whole process.",
            "",
        ]
    return "\n".join(lines)


def _write_others(model: dict[str, Any]) -> list[str]:
    shap, slow, prefix = model["shap"], model["captum_token_by_token"], model["long_prefix"]
    half, masks = model["bfloat16"], model["random_masks"]
    most = 1 / model["leave_one_out"]["efficiency"]["captum, teacher-forced"]
    return [
        "| measured | value |",
        "|---|---|",
        f"| captum teacher-forced over an engine that computes the minimum at the dense speed | {most:.2f} |",
        f"| masked texts a second, leave-one-out over shap's PartitionExplainer with TeacherForcing | "
        f"{shap['ratio']:.2f} ({shap['ours_per_second']:.0f} / {shap['shap_per_second']:.0f}) |",
        f"| the same on the texts that shap scores | {shap['ratio_same_texts']:.2f} "
        f"({shap['ours_per_second_same_texts']:.0f} / {shap['shap_per_second']:.0f}) |",
        f"| captum token by token, cache off, over this engine (8 words, 16 tokens) | {slow['ratio']:.0f} |",
        f"| captum teacher-forced over this engine, prefix of {prefix['prefix_tokens']} tokens | "
        f"{prefix['ratio']:.2f} |",
        f"| float32 over bfloat16, this engine | {half['ratio']:.2f} |",
        f"| error of scores in bfloat16, nats | mean {half['score_error_mean']:.4f}, "
        f"max {half['score_error_max']:.3f} |",
        f"| random masks: positions computed / naive / minimum | {masks['positions_computed']:,} / "
        f"{masks['positions_naive']:,} / {masks['positions_minimum']:,} |",
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clauses", type=int, default=8)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    settings = {name: value for name, value in SETTINGS.items() if name.startswith("MALLOC_")}
    if not settings.items() <= os.environ.items():  # malloc reads them when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | settings)
    result = (measure_gpu if given.device == "cuda" else measure_cpu)(given.repeats, given.clauses)
    result |= {
        "threads": torch.get_num_threads(), "machine": describe_machine(), "versions": package_versions(PACKAGES)
    }  # fmt: skip
    name = "attribution" if given.device == "cpu" else "attribution_cuda"
    keep_result(name, result, write_markdown(result))


if __name__ == "__main__":
    main()
