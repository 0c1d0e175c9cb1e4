"""Loads a rung: its tokenizer and its untouched model.

Weights are read from safetensors only. A checkpoint that lacks a tensor, or has one too many, is refused, and so are
adapters instead of a model. A model's own Python code is run only if its rung allows it.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError
from compliance_xai.models.prompts import end_turns_with_their_own_token, render, set_template_variables
from compliance_xai.study.ladders import Rung
from compliance_xai.study.model_sources import read_json, require_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


GREEDY = ("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "_from_model_config", "use_cache")
"""Keys of a generation config without effect on greedy decoding; the ids are set by this package."""


def load_tokenizer(rung: Rung) -> PreTrainedTokenizerBase:
    """The rung's tokenizer; pads with its own token, or with end-of-text if it has none.

    A chat rung's texts end with the token that ends the model's turns.
    """
    from transformers import AutoTokenizer

    tokenizer = _loaded(rung, AutoTokenizer, {})
    if not tokenizer("a 1")["input_ids"]:
        remedy = "Put the tokenizer's own files (tokenizer.json, tokenizer_config.json) beside the weights."
        raise _refuse(rung, "a tokenizer with a vocabulary", "one without", remedy)
    set_template_variables(tokenizer, rung.template_variables)
    if rung.template == "chat":
        end_turns_with_their_own_token(tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(
    rung: Rung, *, quantised: bool = False, dtype: str | None = None, device_map: Any = "auto"
) -> PreTrainedModel:
    """The rung's untouched model.

    Parameters
    ----------
    quantised
        Load the linear layers as NF4 with double quantisation (bitsandbytes), computing in float32.
    dtype
        Name of a torch dtype; by default float32 on a CPU, the rung's own on a GPU.
    device_map
        The device of each module: ``auto`` spreads over GPUs, then CPU memory; a mapping of module names to devices;
        None leaves it to whoever shards the model. The rung's own one comes first.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig

    if Path(rung.path, "adapter_config.json").is_file():
        raise _no_base(rung)
    if Path(rung.path).is_dir():
        require_weights(Path(rung.path))
    on_gpu = torch.cuda.is_available()
    stored = _require_unquantised(rung, quantised)
    options: dict[str, Any] = {
        "dtype": getattr(torch, dtype or (on_gpu and rung.dtype) or "float32"),
        "use_safetensors": True,
        "device_map": rung.device_map or (device_map if on_gpu or device_map != "auto" else "cpu"),
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # the report names them, and they are refused below
    }
    if quantised and not stored:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if on_gpu else torch.float32,
        )
    model, report = _loaded(rung, AutoModelForCausalLM, options)
    if getattr(model, "_hf_peft_config_loaded", False):
        raise _no_base(rung)
    require_every_tensor(f"rung {rung.name!r} ({rung.path})", report)
    if model.get_input_embeddings().weight.is_meta:
        where = f"rung {rung.name!r}, key 'device_map'"
        remedy = "Put the embeddings on a device or 'cpu'; layers and the head may stay on disk."
        raise InputError(where, expected="the embeddings in memory", found="embeddings on disk", remedy=remedy)
    if quantised:
        _keep_one_kernel(model)
    model.generation_config = GenerationConfig()  # so that none of the folder's settings is saved with trained weights
    return model


def ignored_settings(rung: Rung) -> dict[str, Any]:
    """What the generation config of a rung's folder would change in decoding, such as a repetition penalty.

    Decoding is greedy and ignores it; provenance says so.
    """
    neutral = (None, 0, 1, "", [])  # 1 for every factor
    values = read_json(Path(rung.path, "generation_config.json"))
    return {
        key: value for key, value in values.items() if key not in GREEDY and (value is True or value not in neutral)
    }


_QLORA = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
_QLORA |= {"bnb_4bit_use_double_quant": True}


def _require_unquantised(rung: Rung, quantised: bool) -> bool:
    """Whether the rung's folder holds NF4 weights already, as qlora has them; any other quantisation is refused."""
    found = read_json(Path(rung.path, "config.json")).get("quantization_config")
    if not found:
        return False
    as_qlora = found.items() >= _QLORA.items()
    if quantised and as_qlora:
        return True
    name = found.get("quant_method", "unknown") + (" in 4 bits" if found.get("load_in_4bit") else "")
    usable = ", or use the folder for the strategy qlora alone." if as_qlora else "; the strategy qlora quantises them."
    expected = "weights in NF4 with double quantisation, or none quantised" if quantised else "unquantised weights"
    remedy = f"Take the model's original weights{usable}"
    raise _refuse(rung, expected, f"weights that are quantised already ({name})", remedy)


def _refuse(rung: Rung, expected: str, found: str, remedy: str) -> InputError:
    return InputError(f"rung {rung.name!r} ({rung.path})", expected=expected, found=found, remedy=remedy)


def _no_base(rung: Rung) -> InputError:
    remedy = "Name the model itself, or merge the adapters into it and save that."
    return _refuse(rung, "a whole model, which strategies start from", "adapters for another model", remedy)


def require_room_for_tokens(rung: Rung, tokenizer: Any, model: Any) -> None:
    """Stop if a tokenizer gives ids that its model has no embedding for, in text or in the prompt around it.

    Special tokens that were added and never occur do not count, and neither does padding, which is masked.

    Raises
    ------
    InputError
        If the vocabulary, the end of text or a token of the chat template is beyond the model's embeddings.
    """
    rows = model.get_input_embeddings().num_embeddings
    marks = {tokenizer.eos_token_id}
    if rung.template == "chat":
        marks.update(render(tokenizer, "a", [{"role": "user", "content": "{clause}"}]))
    beyond = min((mark for mark in marks if mark is not None and mark >= rows), default=None)
    if tokenizer.vocab_size > rows:
        expected, found = f"a tokenizer of at most {rows:,} tokens, one for each embedding", f"{tokenizer.vocab_size:,}"
        remedy = "They do not belong together; fetch or copy the model's own tokenizer."
    elif beyond is not None:
        expected = f"tokens that the model has embeddings for ({rows:,})"
        found = f"{tokenizer.convert_ids_to_tokens(beyond)!r} with the id {beyond}"
        remedy = "It was added to the tokenizer alone: resize the model's embeddings, or write template: plain."
    else:
        return
    raise _refuse(rung, expected, found, remedy)


def _keep_one_kernel(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from repacking 4-bit weights for its bfloat16 inference kernel on some CPUs.

    With bitsandbytes 0.50 the first forward pass in evaluation mode repacks the weights in place. The packed kernel
    computes in bfloat16, differs between CPUs, and has no gradient: training after an evaluation then fails.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def require_every_tensor(where: str, report: Mapping[str, Any], *, unused: tuple[str, ...] = ()) -> None:
    """Stop if a checkpoint's tensors are not those of its model; transformers would draw missing ones at random.

    Parameters
    ----------
    report
        What ``from_pretrained`` gives with ``output_loading_info``.
    unused
        Beginnings of the names of tensors that may be missing, because nothing reads them.
    """
    problems = {
        "no tensor": [name for name in report["missing_keys"] if not name.startswith(unused)],
        "the extra tensor": report["unexpected_keys"],
        "another shape of": [str(entry[0]) for entry in report["mismatched_keys"]],
    }
    for problem, names in problems.items():
        if names:
            expected = "weights with a tensor for every part of the model, and no other"
            found = f"{problem} {min(names)!r} ({len(names)} in all)"
            remedy = "The checkpoint is damaged or belongs to another config.json; fetch or train it again."
            raise InputError(where, expected=expected, found=found, remedy=remedy)


def _loaded(rung: Rung, auto_class: Any, options: dict[str, Any]) -> Any:
    """``from_pretrained`` that stays offline for a local folder and explains a failure in one message."""
    from safetensors import SafetensorError

    if rung.trust_remote_code:
        print(f"rung {rung.name!r}: running the Python code that comes with {rung.path}", file=sys.stderr)
    try:
        with without_progress_bars():
            return auto_class.from_pretrained(
                rung.path,
                revision=rung.revision or "main",
                local_files_only=rung.is_local,
                trust_remote_code=rung.trust_remote_code,
                **options,
            )
    except (OSError, ValueError, SafetensorError, AssertionError) as error:  # the last: a device that torch lacks
        expected = "a Hugging Face causal language model with a tokenizer and safetensors weights"
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise _refuse(rung, expected, found, _advise(rung, error)) from error


_ASK = "Ask for access on the model's page, then log in with 'hf auth login'."
_ADVICE = {
    "gatedrepo|a gated repo": _ASK,
    "revisionnotfound|valid git identifier": "There is no such revision; correct it in the ladder.",
    # The hub answers 401 to anyone who has not logged in.
    "repositorynotfound|404": "No such model on the hub, or a private one; correct the path in the ladder, or log in "
    "('hf auth login').",
    "401|403": _ASK,
    "connect|offline|timeout": "The hub was not reached and no copy is kept here; connect, or give a folder instead of "
    "the hub id.",
    "": "This is not a causal language model with a tokenizer; correct the path in the ladder.",
}


def _advise(rung: Rung, error: BaseException | None) -> str:
    """What to do about a model that does not load; the whole chain of causes is searched."""
    said = ""
    while error is not None:
        said += f" {type(error).__name__} {error}".lower()
        error = error.__cause__ or error.__context__
    if "trust_remote_code" in said:
        return "The model brings its own Python code; read it, then write trust_remote_code: true for this rung."
    if rung.is_local:
        return "Check the folder's files."
    return next(advice for words, advice in _ADVICE.items() if re.search(words, said))


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep transformers' progress bars over weight files out of pages and logs."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
