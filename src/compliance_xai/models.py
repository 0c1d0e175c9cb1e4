"""Ladders of models, and loading one: a rung -> its tokenizer and its untouched model.

A ladder is a YAML file beside its rungs' folders (``data/ladders/<name>/ladder.yaml``). A rung is a local folder or a
hub id of any Hugging Face causal language model. Weights are read from safetensors only.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError
from compliance_xai.folders import find_data_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Rung:
    """One model of a ladder.

    ``path`` is a folder or a hub id; ``revision`` pins a hub id. ``template`` overrides the study's prompt where the
    model wants another.
    """

    name: str
    path: str
    parameters: int
    revision: str | None = None
    licence: str = ""
    template: str | None = None
    description: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the rung is a folder on this machine."""
        return Path(self.path).is_dir()


@dataclass(frozen=True)
class Ladder:
    """Rungs by increasing number of parameters."""

    name: str
    rungs: tuple[Rung, ...]

    def rung(self, name: str) -> Rung:
        """The rung of that name.

        Raises
        ------
        InputError
            If there is none.
        """
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise InputError(
            f"ladder {self.name!r}",
            expected="one of its rungs: " + ", ".join(rung.name for rung in self.rungs),
            found=repr(name),
            remedy="Choose one of these scales.",
        )


def load_ladder(ladder: str | Path) -> Ladder:
    """Read a ladder: a name under ``data/ladders``, a folder with ``ladder.yaml``, or such a file.

    Raises
    ------
    InputError
        If the file is missing, or a rung lacks a key, has an unknown one, or is neither a folder nor a hub id.
    """
    import yaml

    path = _find_ladder(ladder)
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, dict) or not isinstance(loaded.get("rungs"), list) or not loaded["rungs"]:
        raise InputError(
            str(path),
            expected="keys 'name' and 'rungs' (a list)",
            found=type(loaded).__name__,
            remedy="See data/ladders/embedded.",
        )
    rungs = [_read_rung(path, entry) for entry in loaded["rungs"]]
    return Ladder(str(loaded.get("name", path.parent.name)), tuple(sorted(rungs, key=lambda rung: rung.parameters)))


def _find_ladder(ladder: str | Path) -> Path:
    candidates = [Path(ladder), find_data_folder() / "ladders" / ladder]
    for candidate in candidates:
        file = candidate / "ladder.yaml" if candidate.is_dir() else candidate
        if file.is_file():
            return file
    known = sorted(file.parent.name for file in (find_data_folder() / "ladders").glob("*/ladder.yaml"))
    raise InputError(
        f"ladder {str(ladder)!r}",
        expected=f"a ladder.yaml, or one of the shipped ladders: {', '.join(known)}",
        found="no such file or name",
        remedy="Name a shipped ladder, or the folder that holds your ladder.yaml.",
    )


def _read_rung(file: Path, entry: Any) -> Rung:
    known = set(Rung.__dataclass_fields__)
    if not isinstance(entry, dict) or not {"name", "path", "parameters"} <= set(entry) <= known:
        found = sorted(entry) if isinstance(entry, dict) else repr(entry)
        raise InputError(
            str(file),
            expected=f"rungs with name, path and parameters, and no key but {', '.join(sorted(known))}",
            found=str(found),
            remedy="Correct the rung's keys.",
        )
    folder = (file.parent / entry["path"]).resolve()
    values: dict[str, Any] = dict(entry)
    if folder.is_dir():
        return Rung(**{**values, "path": str(folder)})
    if _HUB_ID.fullmatch(entry["path"]):
        return Rung(**values)
    raise InputError(
        f"{file}, rung {entry['name']!r}",
        expected="a folder beside the file, or a hub id such as Qwen/Qwen2.5-0.5B",
        found=repr(entry["path"]),
        remedy="Correct the rung's path.",
    )


def load_tokenizer(rung: Rung) -> PreTrainedTokenizerBase:
    """The rung's tokenizer; pads with its own token, or with end-of-text where it has none."""
    from transformers import AutoTokenizer

    tokenizer = _loaded(rung, AutoTokenizer, {})
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
        Name of a torch dtype; float32 on a CPU, the checkpoint's own on a GPU where None.
    device_map
        Which module lies where: ``auto`` spreads over GPUs, then CPU memory; a mapping of module names to devices; None
        leaves it to whoever shards the model. The rung's own one comes first.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    on_gpu = torch.cuda.is_available()
    options: dict[str, Any] = {
        "dtype": getattr(torch, dtype) if dtype else ("auto" if on_gpu else torch.float32),
        "use_safetensors": True,
        "device_map": device_map if on_gpu or device_map != "auto" else "cpu",
    }
    if quantised:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if on_gpu else torch.float32,
        )
    model = _loaded(rung, AutoModelForCausalLM, options)
    if quantised:
        _keep_one_kernel(model)
    return model


def _keep_one_kernel(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from repacking 4-bit weights for its bfloat16 inference kernel on some CPUs.

    With bitsandbytes 0.50 the first forward pass in evaluation mode repacks the weights in place. The packed kernel
    computes in bfloat16, differs between CPUs, and has no gradient: training after an evaluation then fails.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _loaded(rung: Rung, auto_class: Any, options: dict[str, Any]) -> Any:
    """``from_pretrained`` that stays offline for a local folder and explains a failure in one message."""
    try:
        with without_progress_bars():
            return auto_class.from_pretrained(
                rung.path, revision=rung.revision or "main", local_files_only=rung.is_local, **options
            )
    except (OSError, ValueError) as error:
        raise InputError(
            f"rung {rung.name!r} ({rung.path})",
            expected="a Hugging Face causal language model with a tokenizer and safetensors weights",
            found=str(error).splitlines()[0],
            remedy="Check the folder's files, or the hub id, the network and your access to a gated model.",
        ) from error


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep transformers' bars over weight files, done in a blink, out of pages and logs."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
