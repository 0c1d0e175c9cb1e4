"""What a model folder, or a model on the Hugging Face hub, says about itself. No weight is read."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

from compliance_xai.errors import InputError
from compliance_xai.study.folders import find_path

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FOLDERS = {"checkpoints", "data", "mine", "model", "models", "my", "out", "output", "results", "tmp", "weights"}
_BUFFERS = re.compile(r"(\.attn\.(masked_)?bias|inv_freq)$")
_SHORT = ("config.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json")


def is_hub_id(path: str, base: Path | None = None) -> bool:
    """Whether a path is a hub id, such as ``Qwen/Qwen2.5-0.5B``, and not a folder that is missing.

    A path into a folder that exists, or that is called as folders usually are (``models/...``), is not.
    """
    owner = path.partition("/")[0]
    return (
        bool(_HUB_ID.fullmatch(path))
        and owner.lower() not in _FOLDERS | {".", ".."}
        and not find_path(owner, base).is_dir()
    )


def count_stored(folder: Path) -> int:
    """Weights in a folder's safetensors files, from their headers alone: tied embeddings once, buffers never.

    Raises
    ------
    InputError
        If a file is not in that format.
    """
    tied = read_json(folder / "config.json").get("tie_word_embeddings", False)
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        header = _read_header(file)
        names = set(header) - {"__metadata__"}
        both = tied and "lm_head.weight" in names and any(name.endswith("embed_tokens.weight") for name in names)
        for name in names:
            if not _BUFFERS.search(name) and not (both and name == "lm_head.weight"):
                size = 1
                for length in header[name]["shape"]:
                    size *= length
                total += size
    return total


def _read_header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        pointer = start.startswith(b"version ")
        if 1 < length < file.stat().st_size and not pointer:
            return json.loads(stream.read(length))
    raise InputError(
        str(file),
        expected="weights in the safetensors format",
        found="a pointer of git-lfs, which stands for the real file" if pointer else "a damaged or cut file",
        remedy="Fetch the file again ('git lfs pull' in a clone).",
    )


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
        parameters = count_stored(folder)
        if not parameters or not (folder / "config.json").is_file():
            raise InputError(
                f"model {model!r}",
                expected="a folder with config.json and safetensors weights",
                found=", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "an empty folder",
                remedy="Save the model there with save_pretrained.",
            )
        return {"name": name, "path": str(folder), "parameters": parameters, **read_traits(folder)}
    if not is_hub_id(model):
        raise InputError(
            f"model {model!r}",
            expected="a model folder, or a hub id such as Qwen/Qwen2.5-0.5B",
            found=f"a file at {folder}" if folder.exists() else f"nothing at {folder}",
            remedy="Correct the path; it is taken from the working directory.",
        )
    return {"name": name, "path": model, **_ask_hub(model)}


def _ask_hub(model: str) -> dict[str, Any]:
    from huggingface_hub import get_safetensors_metadata, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, NotASafetensorsRepoError

    try:
        folder = Path(snapshot_download(model, allow_patterns=list(_SHORT)))
        counts = get_safetensors_metadata(model, revision=folder.name).parameter_count
    except (HfHubHTTPError, LocalEntryNotFoundError, NotASafetensorsRepoError, OSError) as error:
        raise InputError(
            f"model {model!r}",
            expected="a model on the Hugging Face hub, with safetensors weights",
            found=(str(error) or type(error).__name__).splitlines()[0],
            remedy="Check the hub id and the connection, or give a folder.",
        ) from None
    return {"revision": folder.name, "parameters": sum(counts.values()), **read_traits(folder)}
