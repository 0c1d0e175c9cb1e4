"""What a model folder, or a model on the Hugging Face hub, says about itself. No weight is loaded."""

import json
import re
from pathlib import Path
from typing import Any

from compliance_xai.errors import InputError
from compliance_xai.study.folders import find_path

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FOLDERS = {"checkpoints", "data", "mine", "model", "models", "my", "out", "output", "results", "tmp", "weights"}
_SHORT = ("config.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json")
_LFS = b"version https://git-lfs"


def is_hub_id(path: str, base: Path | None = None) -> bool:
    """Whether a path is a hub id, such as ``Qwen/Qwen2.5-0.5B``, and not a folder that is missing.

    A path into a folder that exists, or that has a usual name for folders (``models/...``), is not.
    """
    owner = path.partition("/")[0]
    folder = owner.lower() in _FOLDERS | {".", ".."} or find_path(owner, base).is_dir()
    return bool(_HUB_ID.fullmatch(path)) and not folder


def count_parameters(folder: Path, *, trust_remote_code: bool = False) -> int:
    """Parameters of a folder's model, counted in its class without memory: tied weights once, buffers never.

    Raises
    ------
    InputError
        If the folder holds no safetensors weights, or its ``config.json`` is not that of a causal language model.
    """
    require_weights(folder)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        where, expected = str(folder / "config.json"), "the config.json of a causal language model"
        remedy = "Fetch the file again, or write the rung's number of parameters into the ladder."
        raise InputError(where, expected=expected, found=str(error).splitlines()[0], remedy=remedy) from None
    return sum(parameter.numel() for parameter in model.parameters())


def require_weights(folder: Path) -> None:
    """Stop if a model's folder has no safetensors, or only what git-lfs puts in their place.

    Raises
    ------
    InputError
        Naming what is there instead.
    """
    weights = sorted(folder.glob("*.safetensors"))
    for file in weights:
        with file.open("rb") as stream:
            if stream.read(len(_LFS)) == _LFS:
                found = "a git-lfs pointer to them"
                remedy = "Run 'git lfs pull' in the folder, or fetch the model with 'hf download'."
                raise InputError(str(file), expected="a model's weights", found=found, remedy=remedy)
    if not weights:
        others = [ending for ending in (".bin", ".gguf", ".pt") if any(folder.glob(f"*{ending}"))]
        found = f"weights in {' and '.join(others)} files" if others else "none"
        remedy = "Save the model with save_pretrained, or fetch its version with safetensors."
        remedy = "Give the file itself as the rung's gguf." if ".gguf" in others else remedy
        raise InputError(str(folder), expected="weights in safetensors files", found=found, remedy=remedy)


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if there is no such file.

    Raises
    ------
    InputError
        If it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(str(path), expected="JSON", found=str(error), remedy="Fetch the file again.") from None


def read_traits(folder: Path) -> dict[str, Any]:
    """Template and float type of a model, from its tokenizer's and its own configuration."""
    config, tokenizer = read_json(folder / "config.json"), read_json(folder / "tokenizer_config.json")
    chat = bool(tokenizer.get("chat_template")) or any((folder / name).is_file() for name in _SHORT[2:])
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    known = dtype if dtype in ("float32", "bfloat16", "float16") else "float32"
    return {"template": "chat" if chat else "plain", "dtype": known}


def describe_model(model: str) -> dict[str, Any]:
    """A rung for a model folder or hub id, as a ladder's file would have it.

    Of a hub id only its small files are fetched, and its present commit is kept as the revision.

    Raises
    ------
    InputError
        If there is no such folder, it holds no weights, or the hub cannot be reached.
    """
    name = re.sub(r"[^A-Za-z0-9._]", "_", Path(model).name).strip("._") or "model"
    folder = find_path(model)
    if folder.is_dir():
        return {"name": name, "path": str(folder), "parameters": count_parameters(folder), **read_traits(folder)}
    if not is_hub_id(model):
        expected = "a model folder, or a hub id such as Qwen/Qwen2.5-0.5B"
        found = f"a file at {folder}" if folder.exists() else f"nothing at {folder}"
        remedy = "Correct the path, which starts from the working directory."
        raise InputError(f"model {model!r}", expected=expected, found=found, remedy=remedy)
    return {"name": name, "path": model, **_ask_hub(model)}


def _ask_hub(model: str) -> dict[str, Any]:
    from huggingface_hub import get_safetensors_metadata, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, NotASafetensorsRepoError

    try:
        folder = Path(snapshot_download(model, allow_patterns=list(_SHORT)))
        counts = get_safetensors_metadata(model, revision=folder.name).parameter_count
    except (HfHubHTTPError, LocalEntryNotFoundError, NotASafetensorsRepoError, OSError) as error:
        expected = "a model on the Hugging Face hub, with safetensors weights"
        found = (str(error) or type(error).__name__).splitlines()[0]
        remedy = "Check the hub id and the connection, or give a folder."
        raise InputError(f"model {model!r}", expected=expected, found=found, remedy=remedy) from None
    return {"revision": folder.name, "parameters": sum(counts.values()), **read_traits(folder)}
