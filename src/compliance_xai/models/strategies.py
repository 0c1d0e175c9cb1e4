"""What a strategy does to a model: prepares it for training, saves it, loads it as it was trained, and what it changed.

Full fine-tuning keeps a whole model. Other strategies keep adapters (``adapter_model.safetensors``) and any weights
that they train whole (``whole_weights.safetensors``). Adapters are never merged for storage: attribution explains what
was trained.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from compliance_xai.errors import InputError, require_choice
from compliance_xai.models.loading import load_base, load_tokenizer, require_room_for_tokens, without_progress_bars
from compliance_xai.study.ladders import Rung
from compliance_xai.study.model_sources import read_json
from compliance_xai.study.strategy_settings import StrategySettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTERS = "adapter_model.safetensors"
WHOLE = "whole_weights.safetensors"
BASE = "base_model.json"
"""Beside adapters: which base they were trained on, so that another one of the same shape is refused."""
_ROWS = 64
"""Embeddings that go into a base's fingerprint."""
_ADAPTER_MARK = "lora_"
"""Part of the name of every parameter of an adapter, including DoRA's magnitudes."""


def apply_strategy(model: PreTrainedModel, settings: StrategySettings, *, seed: int) -> Any:
    """The model prepared for training, for one phase of it.

    The seed decides the adapters' initial weights. ``qlora`` expects a model loaded with ``quantised=True``. Embeddings
    that are also the head are trained once, as one matrix.

    Raises
    ------
    InputError
        If the kind trains nothing, or the model has too few layers for ``full-top``.
    """
    import torch

    if settings.kind == "full":
        return model.requires_grad_(True)
    if not settings.has_adapters:
        found, remedy = repr(settings.kind), "Choose another strategy."
        raise InputError("strategy", expected="a kind that trains something", found=found, remedy=remedy)
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    whole = _find_whole_weights(model, settings.kind)
    base = _describe_base(model)
    torch.manual_seed(seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.lora_alpha,  # pyright: ignore[reportArgumentType] (peft takes floats too)
        lora_dropout=settings.dropout,
        target_modules=_choose_targets(model, settings),
        use_dora=settings.kind == "dora",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 stores weights so
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # peft asks transformers by a name that transformers has renamed.
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated", category=FutureWarning)
        # Experts that are stored as one matrix get adapters all the same; peft warns about the names it translated.
        warnings.filterwarnings("ignore", message="The following .*_pattern keys", category=RuntimeWarning)
        adapted: Any = get_peft_model(model, config)
    adapted._compliance_xai_base = base
    for parameter in whole:
        parameter.requires_grad_(True)
    return adapted


def _describe_base(model: PreTrainedModel) -> dict[str, Any] | None:
    """What distinguishes a base from others of its shape: architecture, quantisation, and a sum over its first
    embeddings and all its vectors (norms, biases), which are not quantised; rounded to bfloat16, as some machines load
    them. None if weights are not in memory.
    """
    import torch

    found = hashlib.sha256()
    vectors = [parameter for _, parameter in sorted(model.named_parameters()) if parameter.ndim == 1]
    embeddings: Any = model.get_input_embeddings().weight
    for tensor in (embeddings[:_ROWS], *vectors):
        if tensor.is_meta:
            return None
        found.update(tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
    quantised = bool(getattr(model, "is_loaded_in_4bit", False))
    return {"model_type": model.config.model_type, "quantised": quantised, "fingerprint": found.hexdigest()}


def merge_adapters(model: Any) -> PreTrainedModel:
    """A plain model with the adapters merged into its weights; a model without adapters as it is."""
    from peft import PeftModel

    return model.merge_and_unload() if isinstance(model, PeftModel) else model


def _choose_targets(model: PreTrainedModel, settings: StrategySettings) -> str | list[str]:
    """The modules that get adapters; peft would pass over a name that no module has without a word."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    linear = [name for name, module in model.named_modules() if isinstance(module, (Linear, Conv1D))]
    if settings.kind == "full-top":
        place, layers = _find_layers(model)
        lower = tuple(f"{place}.{index}." for index in range(len(layers) // 2))
        return [name for name in linear if name.startswith(lower)]
    targets = settings.target_modules
    if isinstance(targets, str):
        return targets
    known = sorted({name.rpartition(".")[2] for name in linear})
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name, _ in model.named_modules()):
            require_choice("strategy, key 'target_modules'", target, known, remedy="Or write all-linear.")
    return list(targets)


def _find_layers(model: Any) -> tuple[str, list[Any]]:
    """The name of the model's list of layers, and the layers, lowest first."""
    from torch.nn import ModuleList

    count = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, ModuleList) and len(module) == count:
            return name, list(module)
    where, remedy = f"model {type(model).__name__}", "Choose another strategy for this model."
    raise InputError(where, expected=f"one list of its {count} layers", found="none", remedy=remedy)


def _find_whole_weights(model: Any, kind: str) -> list[torch.nn.Parameter]:
    """The weights that a strategy trains whole, in addition to its adapters."""
    from torch.nn import Embedding

    chosen = []
    if kind == "lora+":
        head = model.get_output_embeddings()
        chosen = [
            m for m in model.modules() if isinstance(m, Embedding) or m is head or "norm" in type(m).__name__.lower()
        ]
    elif kind == "full-top":
        _, layers = _find_layers(model)
        if len(layers) < 2:
            found, remedy = f"{len(layers)}", "Choose another strategy for this model."
            raise InputError("strategy 'full-top'", expected="at least two layers", found=found, remedy=remedy)
        chosen = layers[len(layers) // 2 :]
    return [parameter for module in chosen for parameter in module.parameters()]


def part_trained(model: Any) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """The parameters that are trained: those of adapters, and weights that are trained whole.

    Without adapters the first list holds everything, so that there is one learning rate.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    adapters = [parameter for name, parameter in trained if _ADAPTER_MARK in name]
    whole = [parameter for name, parameter in trained if _ADAPTER_MARK not in name]
    return (adapters, whole) if adapters else (whole, [])


def save_trained(model: Any, folder: Path | str, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
    """Save what was trained as safetensors: a whole model, or adapters and the weights that were trained whole.

    ``tensors`` holds the model's state by name if the model is sharded over several processes.
    """
    from peft import PeftModel
    from safetensors.torch import save_file

    folder = Path(folder)
    with without_progress_bars():
        if not isinstance(model, PeftModel):
            model.save_pretrained(folder, state_dict=tensors)
            return
        model.save_pretrained(str(folder), state_dict=tensors, save_embedding_layers=False)
    whole = {
        _base_name(name): (tensors[name] if tensors else parameter.detach()).cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and _ADAPTER_MARK not in name
    }
    if whole:
        save_file(whole, folder / WHOLE)
    base = getattr(model, "_compliance_xai_base", None)
    if base:
        (folder / BASE).write_text(json.dumps(base, indent=1) + "\n", encoding="utf-8")


def _base_name(name: str) -> str:
    """A parameter's name in the base model, without the additions of the adapters' library."""
    return re.sub(r"\.(base_layer\.)+", ".", name.removeprefix("base_model.model."))


def load_trained(
    rung: Rung,
    settings: StrategySettings,
    folder: Path | str | None,
    *,
    dtype: str | None = None,
    device_map: Any = "auto",
) -> tuple[Any, PreTrainedTokenizerBase]:
    """The trained model of a rung, in evaluation mode, adapters unmerged; the untouched base for ``none``.

    Parameters
    ----------
    folder
        Where ``finetune`` saved it; None for ``none``.
    dtype, device_map
        As for ``models.load_base``.

    Raises
    ------
    InputError
        If the folder holds no such weights, or those of another base model.
    """
    tokenizer, folder = load_tokenizer(rung), Path(folder or "")
    adapted = settings.has_adapters and (folder / ADAPTERS).is_file()
    whole = settings.kind in ("full", "lora-then-full") and not adapted
    needed = folder / ("model.safetensors" if whole else ADAPTERS)
    if settings.trains and not (needed.is_file() or needed.with_name(f"{needed.name}.index.json").is_file()):
        expected, remedy = "the weights that the fine-tune stage saves", "Run that stage first."
        raise InputError(str(needed), expected=expected, found="no such file", remedy=remedy)
    if settings.trains and whole:
        rung = dataclasses.replace(rung, path=str(folder), revision=None)
    base = load_base(rung, quantised=settings.kind == "qlora", dtype=dtype, device_map=device_map)
    require_room_for_tokens(rung, tokenizer, base)
    return (_load_adapters(rung, base, folder) if adapted else base).eval(), tokenizer


def _load_adapters(rung: Rung, base: PreTrainedModel, folder: Path) -> Any:
    """A base with its adapters and the weights trained whole; stops if they were trained on another base."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    if any(parameter.is_meta for parameter in base.parameters()):
        where = f"rung {rung.name!r}, key 'device_map'"
        expected = "the whole model in memory, because adapters are added to it"
        remedy = "Spread it over more devices or main memory, or attribute a fully fine-tuned model."
        raise InputError(where, expected=expected, found="parts of it on disk", remedy=remedy)

    def refuse(file: str, found: str) -> InputError:
        expected = f"weights that were trained on the rung {rung.name!r}"
        remedy = "They belong to another base model or are damaged; run the fine-tune stage again."
        return InputError(str(folder / file), expected=expected, found=found, remedy=remedy)

    def require_same(file: str, found: set[str], expected: set[str]) -> None:
        for text, names in (("without", expected - found), ("with the extra tensor", found - expected)):
            if names:
                raise refuse(file, f"a file {text} {min(names)!r} ({len(names)} in all)")

    stored = read_json(folder / BASE)  # adapters made elsewhere do not have it
    for name, value in ((_describe_base(base) or {}) if stored else {}).items():
        if value != stored.get(name):
            what = {"model_type": "architecture", "quantised": "quantisation"}.get(name, name)
            raise refuse(BASE, f"adapters of a base with another {what}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a tensor that is missing stops below
            model = PeftModel.from_pretrained(base, str(folder), local_files_only=True)
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise refuse(ADAPTERS, str(error).splitlines()[0]) from error
    with safe_open(folder / ADAPTERS, "pt") as file:
        require_same(ADAPTERS, set(file.keys()), set(get_peft_model_state_dict(model)))
    if (folder / WHOLE).is_file():
        whole = load_file(folder / WHOLE)
        own = {_base_name(name): parameter for name, parameter in model.named_parameters()}
        require_same(WHOLE, set(whole), set(whole) & set(own))
        for name, tensor in whole.items():
            if own[name].shape != tensor.shape:
                raise refuse(WHOLE, f"{name} of shape {tuple(tensor.shape)}")
            own[name].data.copy_(tensor)
    return model


def count_parameters(model: Any) -> tuple[int, int]:
    """(trained, all) parameters; a 4-bit matrix counts its true number of weights."""
    trained = total = 0
    for parameter in model.parameters():
        shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
        size = parameter.numel() if shape is None else shape.numel()
        total += size
        trained += size if parameter.requires_grad else 0
    return trained, total


def effective_weights(model: Any) -> Iterator[tuple[str, torch.Tensor, torch.Tensor | None]]:
    """Every effective weight of a trained model, adapters merged into a copy of one layer at a time.

    Yields
    ------
    name, weight, start
        The name in the base model, the weight, and what it was before its adapter (4-bit weights dequantised), or None
        if it has no adapter. A 4-bit weight without an adapter is left out: it cannot have changed.
    """
    from peft.tuners.lora import LoraLayer

    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    adapted = {f"{_base_name(f'{name}.')}{getattr(layer, 'parameter_name', 'weight')}": layer for name, layer in layers}
    for name, parameter in model.named_parameters():
        base_name = _base_name(name)
        if base_name in adapted and _ADAPTER_MARK not in name:
            yield base_name, *_merge_one(adapted[base_name])
        elif _ADAPTER_MARK not in name and not hasattr(parameter, "quant_state"):
            yield base_name, parameter.detach(), None


def _merge_one(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(with, without) the adapter; a 4-bit weight is dequantised and not rounded again."""
    from peft.tuners.lora.layer import ParamWrapper
    from peft.utils.integrations import dequantize_module_weight

    experts = isinstance(layer, ParamWrapper)  # one parameter for all experts of a layer
    if experts or hasattr(layer.get_base_layer().weight, "quant_state"):
        start = (layer.get_param() if experts else dequantize_module_weight(layer.get_base_layer())).detach()
        return start + layer.get_delta_weight(layer.active_adapters[0]).detach(), start
    start = layer.get_base_layer().weight.detach().clone()
    merged = copy.deepcopy(layer)
    merged.merge()
    return merged.get_base_layer().weight.detach(), start


def movement_frame(base: PreTrainedModel, model: Any) -> pd.DataFrame:
    """How much each weight changed: the Frobenius norm of its change over its norm before training.

    Returns
    -------
    pandas.DataFrame
        ``layer`` (1 is the lowest, 0 for weights outside the layers), ``matrix`` (name inside the layer, or of the
        weight; biases keep their ending), ``parameters``, ``norm`` (before) and ``relative_change`` (NaN if the norm
        before was 0).
    """
    before = {name: parameter.detach() for name, parameter in base.named_parameters()}
    place, _ = _find_layers(base)
    rows = []
    for name, weight, start in effective_weights(model):
        start = before[name] if start is None else start
        norm = float(start.double().norm())
        change = float((weight.double() - start.to(weight.device).double()).norm())
        *path, ending = name.split(".")
        layer = int(path[place.count(".") + 1]) + 1 if name.startswith(f"{place}.") else 0
        matrix = path[-1] if ending == "weight" else f"{path[-1]}.{ending}"
        rows.append((layer, matrix, weight.numel(), norm, change / norm if norm else float("nan")))
    return pd.DataFrame(rows, columns=["layer", "matrix", "parameters", "norm", "relative_change"])
