"""GGUF file -> the same model as a folder of safetensors, which can be trained.

A GGUF file holds quantised weights. It is dequantised once, into float32: the values are those that the file's numbers
stand for, so quantisation loses nothing more and nothing is regained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file, write_atomic, write_json
from compliance_xai.models.loading import require_every_tensor, without_progress_bars
from compliance_xai.study.ladders import Ladder, Rung

if TYPE_CHECKING:
    import torch

PROVENANCE = "provenance.json"
"""In a dequantised model's folder: which file it came from, and how that was quantised."""

SAME_MATRIX = 0.3
"""Head and embeddings are one matrix in two quantisations if they differ by at most this share of their norm. Two
quantisations of one matrix at four or more bits differ by 0.02 to 0.15, two different matrices by more than 1."""

_DIGITS_FIRST = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
_AS_GPT2 = ("gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "default")
"""Ways of cutting text before byte-pair encoding, by ``tokenizer.ggml.pre``: every digit by itself and then as GPT-2
does, or as GPT-2 does. transformers knows further ones."""


def read_header(file: Path | str) -> Any:
    """A GGUF file as ``gguf.GGUFReader`` opens it: ``fields`` by name, and ``tensors``, whose weights stay on the disk.

    Raises
    ------
    InputError
        If it is another kind of file, or it is cut short.
    """
    from gguf import GGUFReader

    try:
        return GGUFReader(file)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        expected, found = "a GGUF file of version 2 or 3", f"another or a damaged file ({error})"
        remedy = "Fetch it again; if it begins with 'version https://git-lfs', run 'git lfs pull' in its folder."
        raise InputError(str(file), expected=expected, found=found, remedy=remedy) from None


def _read_field(reader: Any, name: str, default: str = "") -> str:
    return str(reader.fields[name].contents()) if name in reader.fields else default


def describe_quantisation(tensors: Iterable[Any]) -> dict[str, Any]:
    """Quantisation types with their numbers of weights, and the mean bits per weight, scales included."""
    weights: Counter[str] = Counter()
    stored = 0
    for tensor in tensors:
        weights[tensor.tensor_type.name] += int(tensor.n_elements)
        stored += int(tensor.n_bytes)
    return {"types": dict(weights.most_common()), "bits_per_weight": round(8 * stored / weights.total(), 2)}


def prepare_rungs(ladder: Ladder, names: Iterable[str]) -> None:
    """Dequantise the GGUF files of those rungs that are on this machine and not dequantised yet."""
    for rung in ladder.absent:
        if rung.name in names and rung.gguf and Path(rung.gguf).is_file():
            dequantise(rung)


def dequantise(rung: Rung) -> Path:
    """The rung's folder, made from its GGUF file unless it exists; a second process waits for the first.

    Raises
    ------
    InputError
        If the file is not the one whose checksum the rung states, or cannot be turned into a model.
    """
    from filelock import FileLock

    folder, file = Path(rung.path), Path(rung.gguf or "")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if (folder / "config.json").is_file():
            return folder
        if sha256_file(file) != rung.sha256:
            expected = f"the file whose SHA-256 is {rung.sha256}"
            remedy = "Fetch it again, or correct the rung's sha256."
            raise InputError(str(file), expected=expected, found="another", remedy=remedy)
        with write_atomic(folder) as part:
            part.mkdir()
            write_json(_convert(rung, file, part), part / PROVENANCE)
    return folder


def _convert(rung: Rung, file: Path, folder: Path) -> dict[str, Any]:
    """Write model and tokenizer into the folder; returns the provenance."""
    reader = read_header(file)
    with without_progress_bars():
        model = _load(rung, file)
        _make_tokenizer(rung, file, reader).save_pretrained(folder)
        notes = _save_model(model, reader, folder)
    return {
        "file": file.name,
        "sha256": rung.sha256,
        **describe_quantisation(reader.tensors),
        "stored": "float32 safetensors",
        "notes": notes,
        "metadata": {name: field.contents() for name, field in reader.fields.items() if name.startswith("general.")},
    }


def _load(rung: Rung, file: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    automatic: Any = AutoModelForCausalLM
    options = {"gguf_file": file.name, "dtype": torch.float32, "output_loading_info": True, "local_files_only": True}
    try:
        model, report = automatic.from_pretrained(file.parent, **options)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        expected = "a GGUF file of an architecture that transformers reads"
        found = (str(error) or type(error).__name__).splitlines()[0]
        remedy = "Convert the model to a folder of safetensors, and give that as the rung's path."
        raise InputError(f"rung {rung.name!r} ({file})", expected=expected, found=found, remedy=remedy) from error
    require_every_tensor(str(file), report, unused=("lm_head",))
    return model


def _save_model(model: Any, reader: Any, folder: Path) -> list[str]:
    """Write weights and config; head and embeddings are tied if they are one matrix. Returns notes of what was done."""
    from huggingface_hub import save_torch_state_dict

    notes = []
    state: dict[str, torch.Tensor] = dict(model.state_dict())
    names = {module: f"{name}.weight" for name, module in model.named_modules()}
    embeddings, head = names[model.get_input_embeddings()], names[model.lm_head]
    if not model.config.tie_word_embeddings and _are_one(state[embeddings], state[head]):
        bits = {tensor.name: describe_quantisation([tensor]) for tensor in reader.tensors}
        stored, other = bits["token_embd.weight"], bits["output.weight"]
        if other["bits_per_weight"] > stored["bits_per_weight"]:
            state[embeddings], stored, other = state[head], other, stored
        notes.append(
            "The file holds the embeddings twice, once as the head; the model has one matrix for both. The more "
            f"precise one is kept ({next(iter(stored['types']))} rather than {next(iter(other['types']))})."
        )
        model.config.tie_word_embeddings = True
    if model.config.tie_word_embeddings:
        state.pop(head, None)
    del model.config.quantization_config
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    save_torch_state_dict({name: tensor.contiguous() for name, tensor in state.items()}, folder, max_shard_size="4GB")
    for weights in folder.glob("*.safetensors"):
        weights.chmod(0o644)  # the library writes files that nobody else may read
    if "awq" in _read_field(reader, "general.name").lower():
        notes.append(
            "The file's metadata says AWQ: channels were rescaled before quantisation, which changes single weights "
            "but not what the model computes."
        )
    return notes


def _are_one(embeddings: torch.Tensor, head: torch.Tensor) -> bool:
    rows = slice(None, None, max(1, len(head) // 4096))
    same = embeddings.shape == head.shape
    return same and float((embeddings[rows] - head[rows]).norm()) <= SAME_MATRIX * float(head[rows].norm())


def _make_tokenizer(rung: Rung, file: Path, reader: Any) -> Any:
    """The file's tokenizer with its chat template, or the one that the rung names."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if rung.tokenizer:
        return AutoTokenizer.from_pretrained(rung.tokenizer)
    read: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    if _read_field(reader, "tokenizer.ggml.model") == "gpt2":
        _set_cutting(rung, read, _read_field(reader, "tokenizer.ggml.pre", "default"))
    # An architecture's own tokenizer class would rebuild its parts when it is loaded, whatever the file holds.
    special = {name: getattr(read, name) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=read.backend_tokenizer, **special)
    tokenizer.chat_template = read.chat_template
    return tokenizer


def _set_cutting(rung: Rung, tokenizer: Any, way: str) -> None:
    """Cut text as the model's own tokenizer did before byte-pair encoding; stop if that way is unknown."""
    from tokenizers import pre_tokenizers
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    if way in _DIGITS_FIRST:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif way not in (*_AS_GPT2, *GGUF_PRE_TOKENIZER_SPLITS):
        expected = "a tokenizer that cuts text in a known way before byte-pair encoding"
        remedy = "Name the model's own tokenizer, a folder or hub id, as this rung's 'tokenizer'."
        raise InputError(f"rung {rung.name!r} ({rung.gguf})", expected=expected, found=repr(way), remedy=remedy)
