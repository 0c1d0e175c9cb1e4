"""The live model: a small fine-tuned model of the book's study, as a script that runs in the reader's browser.

The script holds float16 weights, tokenizer, prompt, and scores that PyTorch computed for a few clauses. The page's
engine (``book/_static/live_engine.js``) computes these again on load and refuses to work if they differ.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compliance_xai.book.worked_example import find_trained
from compliance_xai.corpus.features import segment
from compliance_xai.files import digest
from compliance_xai.models.loading import without_progress_bars
from compliance_xai.pipeline.cells import rung_of
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.review import RuleWriter, load_writer, read_evidence
from compliance_xai.pipeline.running import Plan
from compliance_xai.pipeline.stage_examples import load_examples
from compliance_xai.pipeline.stores import keep_file, read_kept, write_changed
from compliance_xai.study.settings import Study

LARGEST = 1_100_000
"""Parameters of the largest model that a page loads: 3 MB of script."""
KINDS = ("full", "lora")
"""Strategies whose weights a page can hold; adapters are merged."""
CHECKED = 2
"""Clauses that the page computes again on load."""
MAX_TOKENS = 192
SHOWN = "The clear width of an exit door shall be not less than 850 mm."
"""The clause whose attribution pages show before a reader asks for one; it was measured when the book was built."""
_ANY_CASE = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sStTmMdD]|'[rRvV][eE]|'[lL][lL])")
"""Qwen2's pattern has a group that ignores case, which JavaScript does not know everywhere; and the same without it."""


def write_live_models(plan: Plan, project: Path) -> list[Path]:
    """Write ``book/runs/_static/live``: ``index.js``, ``shown.js``, and a script for each small model of the study.

    Returns
    -------
    list of pathlib.Path
        The scripts. The index lists no model if the study has none that is small enough; what a larger one was
        measured to read is shown all the same.
    """
    folder = project / "book" / "runs" / "_static" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    shown = folder / "shown.js"
    trained, found, scripts = find_trained(plan), [], []
    for scale, strategy, key in _choose_small(plan.study, trained):
        script = folder / f"{scale}-{strategy}.js"
        make = partial(_pack_cell, plan.study, script.stem, scale, strategy)
        keep_file(script, digest([key, code_digest(ROOMS)]), make)
        if read_kept(script).strip():
            found.append({"name": script.stem, "scale": scale, "strategy": strategy})
            scripts.append(script)
    cells = [cell for cell in trained if any(cell[:2] == (one["scale"], one["strategy"]) for one in found)] or trained
    for scale, strategy, key in cells[:1]:
        show = partial(_show_measured, plan.study, f"{scale}-{strategy}", scale, strategy)
        keep_file(shown, digest([key, SHOWN, code_digest(ROOMS)]), show)
    if not trained:
        write_changed(shown, "")
    for stale in set(folder.glob("*.js")) - {*scripts, folder / "index.js", shown}:
        stale.unlink()
    named = {(one["scale"], one["strategy"]) for one in found} | {cell[:2] for cell in cells[:1]}
    flags = {f"{scale}-{name}": read_evidence(plan.study, scale, name).describe("improbable") for scale, name in named}
    listed = {"study": plan.study.name, "models": found, "flags": dict(sorted(flags.items()))}
    return [write_changed(folder / "index.js", f"window.liveIndex = {_to_json(listed)};\n"), shown, *scripts]


def _choose_small(study: Study, trained: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The trained cells of the largest size that a page can load."""
    known = [cell for cell in trained if study.strategies[cell[1]].kind in KINDS]
    sizes = [scale for scale, *_ in known if rung_of(study, scale).parameters <= LARGEST]
    return [cell for cell in known if cell[0] in sizes[:1]]


def _show_measured(study: Study, name: str, scale: str, strategy: str) -> str:
    """The script with what PyTorch measures for one clause, as the page's engine would give it."""
    with without_progress_bars():
        writer = load_writer(study, scale, strategy)
        rule = writer.write([SHOWN], max_new_tokens=MAX_TOKENS)[0]
        measured = writer.explain(SHOWN, rule)
    found = {
        "clause": SHOWN,
        "rule": rule,
        "complete": len(measured.target_tokens) < MAX_TOKENS,
        "words": [{"text": one.text, "start": one.start, "end": one.end} for one in measured.features],
        "tokens": [{"start": token.start, "end": token.end} for token in measured.target_tokens],
        "logProbs": np.round(measured.baseline_log_probs.astype(float), 4).tolist(),
        "scores": np.round(measured.scores.astype(float), 4).tolist(),
    }
    return f"window.liveShown = {_to_json({'name': name, 'found': found})};\n"


def _pack_cell(study: Study, name: str, scale: str, strategy: str) -> str:
    """The script of one model; empty if its architecture, tokenizer or prompt is not one the engine knows."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with without_progress_bars():
        writer = load_writer(study, scale, strategy)
        examples = load_examples(study)
        words = {word.text.lower() for example in examples["train"] for word in segment(example.clause)}
        clauses = [example.clause for example in examples[study.corpus.evaluate_on][:CHECKED]]
        packed = pack_model(writer, clauses, sorted(words))
    if packed is None:
        return ""
    return (
        f"window.liveModels = window.liveModels || {{}};\nwindow.liveModels[{json.dumps(name)}] = {_to_json(packed)};"
    )


def pack_model(writer: RuleWriter, clauses: Sequence[str], words: Sequence[str]) -> dict[str, Any] | None:
    """A model as the engine reads it.

    Parameters
    ----------
    writer
        A trained model of Qwen2's architecture with tied embeddings and a byte-level BPE tokenizer.
    clauses
        Clauses whose rules and word scores (nats, summed over the rule) the page computes again.
    words
        Words that the model was trained on, in lower case.
    """
    model = writer.model.merge_and_unload() if hasattr(writer.model, "merge_and_unload") else writer.model
    config, template = model.config, writer.template
    spec = json.loads(writer.tokenizer.backend_tokenizer.to_str())
    text = template if isinstance(template, str) else getattr(template, "text", None)
    if config.model_type != "qwen2" or not config.tie_word_embeddings or spec["model"]["type"] != "BPE" or text is None:
        return None
    before, _, after = text.partition("{clause}")
    blob, index = _pack_weights(model)
    pattern = spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].replace(*_ANY_CASE)
    return {
        "name": writer.name,
        "config": {
            "hidden": config.hidden_size,
            "heads": config.num_attention_heads,
            "kvHeads": config.num_key_value_heads,
            "headDim": config.hidden_size // config.num_attention_heads,
            "layers": config.num_hidden_layers,
            "intermediate": config.intermediate_size,
            "vocabulary": config.vocab_size,
            "eps": config.rms_norm_eps,
            "theta": config.rope_parameters["rope_theta"],
            "positions": config.max_position_embeddings,
        },
        "prompt": {"before": before, "after": after},
        "end": writer.tokenizer.eos_token_id,
        "maxTokens": MAX_TOKENS,
        "vocab": spec["model"]["vocab"],
        "merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in spec["model"]["merges"]],
        "pattern": pattern,
        "words": list(words),
        "checks": [_describe(writer, clause) for clause in clauses],
        "index": index,
        "blob": base64.b64encode(blob).decode("ascii"),
    }


def _pack_weights(model: Any) -> tuple[bytes, dict[str, Any]]:
    """float16, one tensor after the other, and where each starts (bytes); the head is the embeddings."""
    blob, index = bytearray(), {}
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            index[name] = {"shape": list(tensor.shape), "at": len(blob)}
            blob += tensor.float().numpy().astype("<f2").tobytes()
    return bytes(blob), index


def _describe(writer: RuleWriter, clause: str) -> dict[str, Any]:
    rule = writer.write([clause], max_new_tokens=MAX_TOKENS)[0]
    scores_F = writer.explain(clause, rule).scores.sum(axis=1)
    return {"clause": clause, "rule": rule, "scores": np.round(scores_F.astype(float), 4).tolist()}


def _to_json(content: Any) -> str:
    """JSON that a script can hold: characters outside ASCII and ``</script>`` are written as escapes."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
