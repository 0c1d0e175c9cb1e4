"""What a strategy does to a model: made ready for training, saved, loaded again as it was trained, and what moved.

Full fine-tuning keeps a whole model. Every other strategy keeps adapters (``adapter_model.safetensors``) and, where it
trains some weights whole, these beside them (``whole_weights.safetensors``). Adapters are never merged for storage:
attribution explains what was trained.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError
from compliance_xai.models.loading import load_base, load_tokenizer, require_room_for_tokens, without_progress_bars
from compliance_xai.study.ladders import Rung

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compliance_xai.study.strategy_settings import StrategySettings

ADAPTERS = "adapter_model.safetensors"
WHOLE = "whole_weights.safetensors"
BASE = "base_model.json"
"""Beside adapters: which base they were trained on, so that another one of the same shape is refused."""
_TOLD_APART = (
    ("model_type", "another architecture"), ("quantised", "another quantisation"), ("fingerprint", "other weights")
)  # fmt: skip
_ROWS = 64
"""Embeddings that go into a base's fingerprint."""
_ADAPTER_MARK = "lora_"
"""Stands in the name of every parameter of an adapter, DoRA's lengths included."""


def apply_strategy(model: PreTrainedModel, settings: StrategySettings, *, seed: int) -> Any:
    """The model made ready for training; of ``lora-then-full``, for its first phase.

    The seed decides the adapters' initial weights. ``qlora`` expects a model loaded with ``quantised=True``. Embeddings
    that serve as the head too are trained once, as one matrix.

    Raises
    ------
    InputError
        If the kind trains nothing, or the model has too few layers for ``full-top``.
    """
    import torch

    if settings.kind == "full":
        return model.requires_grad_(True)
    if not settings.has_adapters:
        raise InputError(
            "strategy", expected="a kind that trains something", found=repr(settings.kind), remedy="'none' does not."
        )
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
        adapted: Any = get_peft_model(model, config)
    adapted._compliance_xai_base = base
    for parameter in whole:
        parameter.requires_grad_(True)
    return adapted


def _describe_base(model: PreTrainedModel) -> dict[str, Any] | None:
    """What tells a base from others of its shape: architecture, quantisation, and its first embeddings with all its
    vectors (norms, biases), which no quantisation touches; rounded to bfloat16, as some machines load them.

    None where weights are not in memory.
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
    """A plain model whose weights hold what the adapters added; a model without adapters as it is."""
    from peft import PeftModel

    return model.merge_and_unload() if isinstance(model, PeftModel) else model


def _choose_targets(model: PreTrainedModel, settings: StrategySettings) -> str | list[str]:
    if settings.kind != "full-top":
        targets = settings.target_modules
        _require_targets(model, () if isinstance(targets, str) else targets)
        return targets if isinstance(targets, str) else list(targets)
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    place, layers = _find_layers(model)
    return [
        f"{place}.{index}.{name}"
        for index, layer in enumerate(layers[: len(layers) // 2])
        for name, module in layer.named_modules()
        if isinstance(module, (Linear, Conv1D))
    ]


def _require_targets(model: PreTrainedModel, targets: Sequence[str]) -> None:
    """Stop at a name that no module has; peft would train the others without a word."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    modules = {f".{name}": module for name, module in model.named_modules()}
    known = sorted({name.rpartition(".")[2] for name, m in modules.items() if isinstance(m, (Linear, Conv1D))})
    for target in targets:
        if not any(name.endswith(f".{target}") for name in modules):
            raise InputError(
                "strategy, key 'target_modules'",
                expected="names of the model's linear layers: " + ", ".join(known),
                found=repr(target),
                remedy="Correct the name, or write all-linear.",
            )


def _find_layers(model: Any) -> tuple[str, list[Any]]:
    """Where the model keeps its layers, and the layers, lowest first."""
    from torch.nn import ModuleList

    count = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, ModuleList) and len(module) == count:
            return name, list(module)
    raise InputError(
        f"model {type(model).__name__}",
        expected=f"one list of its {count} layers",
        found="none",
        remedy="Choose another strategy for this model.",
    )


def _find_whole_weights(model: Any, kind: str) -> list[torch.nn.Parameter]:
    """The weights that a strategy trains whole, beside its adapters."""
    from torch.nn import Embedding

    if kind == "lora+":
        head = model.get_output_embeddings()
        chosen = [
            module
            for module in model.modules()
            if isinstance(module, Embedding) or module is head or "norm" in type(module).__name__.lower()
        ]
    elif kind == "full-top":
        _, layers = _find_layers(model)
        if len(layers) < 2:
            raise InputError(
                "strategy 'full-top'",
                expected="a model of at least two layers",
                found=f"{len(layers)}",
                remedy="Choose another strategy for this model.",
            )
        chosen = layers[len(layers) // 2 :]
    else:
        chosen = []
    return [parameter for module in chosen for parameter in module.parameters()]


def part_trained(model: Any) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """The parameters that are trained: those of adapters, and weights that are trained whole beside adapters.

    Without adapters the first list holds everything, so that there is one learning rate.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    adapters = [parameter for name, parameter in trained if _ADAPTER_MARK in name]
    whole = [parameter for name, parameter in trained if _ADAPTER_MARK not in name]
    return (adapters, whole) if adapters else (whole, [])


def save_trained(model: Any, folder: Path | str, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
    """Save what was trained as safetensors: a whole model, or adapters and the weights that were trained whole.

    ``tensors`` holds the model's state by name where the model itself lies on several processes.
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
    """A parameter's name in the base model, without what the adapters' library puts around it."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def load_trained(
    rung: Rung,
    settings: StrategySettings,
    folder: Path | str | None,
    *,
    dtype: str | None = None,
    device_map: Any = "auto",
) -> tuple[Any, PreTrainedTokenizerBase]:
    """What a strategy made of a rung, in evaluation mode, adapters unmerged; the untouched base for ``none``.

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
    tokenizer = load_tokenizer(rung)
    if settings.kind == "none":
        base = load_base(rung, dtype=dtype, device_map=device_map)
        require_room_for_tokens(rung, tokenizer, base)
        return base.eval(), tokenizer
    folder = Path(folder or "")
    if settings.has_adapters and (folder / ADAPTERS).is_file():
        base = load_base(rung, quantised=settings.kind == "qlora", dtype=dtype, device_map=device_map)
        require_room_for_tokens(rung, tokenizer, base)
        return _load_adapters(rung, base, folder).eval(), tokenizer
    whole = settings.kind in ("full", "lora-then-full")
    needed = folder / ("model.safetensors" if whole else ADAPTERS)
    if not whole or not (needed.is_file() or (folder / f"{needed.name}.index.json").is_file()):
        raise InputError(
            str(needed),
            expected="the weights that the fine-tune stage saves",
            found="no such file",
            remedy="Run that stage first.",
        )
    trained = dataclasses.replace(rung, path=str(folder), revision=None)
    return load_base(trained, dtype=dtype, device_map=device_map).eval(), tokenizer


def _load_adapters(rung: Rung, base: PreTrainedModel, folder: Path) -> Any:
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    if any(parameter.is_meta for parameter in base.parameters()):
        raise InputError(
            f"rung {rung.name!r}, key 'device_map'",
            expected="the whole model in memory, where adapters go on top of it",
            found="parts of it on disk",
            remedy="Spread it over more devices or main memory, or attribute a fully fine-tuned model.",
        )
    _require_base(rung, base, folder / BASE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a tensor that is missing stops below
            model = PeftModel.from_pretrained(base, str(folder), local_files_only=True)
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise _other_base(rung, folder / ADAPTERS, str(error).splitlines()[0]) from error
    with safe_open(folder / ADAPTERS, "pt") as file:
        _require_same(rung, folder / ADAPTERS, set(file.keys()), set(get_peft_model_state_dict(model)))
    if (folder / WHOLE).is_file():
        stored = load_file(folder / WHOLE)
        own = {_base_name(name): parameter for name, parameter in model.named_parameters()}
        _require_same(rung, folder / WHOLE, set(stored), set(stored) & set(own))
        for name, tensor in stored.items():
            if own[name].shape != tensor.shape:
                raise _other_base(rung, folder / WHOLE, f"{name} of shape {tuple(tensor.shape)}")
            own[name].data.copy_(tensor)
    return model


def _require_base(rung: Rung, base: PreTrainedModel, file: Path) -> None:
    """Stop where adapters say that they were trained on another base; those made elsewhere do not say it."""
    if not file.is_file():
        return
    stored, found = json.loads(file.read_text(encoding="utf-8")), _describe_base(base) or {}
    for name, text in _TOLD_APART:
        if name in found and found[name] != stored.get(name):
            raise _other_base(rung, file, f"adapters of a base with {text}")


def _require_same(rung: Rung, file: Path, found: set[str], expected: set[str]) -> None:
    for text, names in (("without", expected - found), ("with the extra tensor", found - expected)):
        if names:
            raise _other_base(rung, file, f"a file {text} {min(names)!r} ({len(names)} in all)")


def _other_base(rung: Rung, file: Path, found: str) -> InputError:
    return InputError(
        str(file),
        expected=f"weights that were trained on the rung {rung.name!r}",
        found=found,
        remedy="They belong to another base model or are damaged; run the fine-tune stage again.",
    )


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
    """Every weight of a trained model as it acts, adapters merged into a copy of one layer at a time.

    Yields
    ------
    name, weight, start
        The name in the base model, the weight, and what it was before the adapters where they have a part in it (4-bit
        weights dequantised), None elsewhere. A 4-bit weight without an adapter is left out: it cannot have moved.
    """
    from peft.tuners.lora import LoraLayer

    adapted = {f"{name}.base_layer.weight": m for name, m in model.named_modules() if isinstance(m, LoraLayer)}
    for name, parameter in model.named_parameters():
        if name in adapted:
            yield _base_name(name), *_merge_one(adapted[name])
        elif _ADAPTER_MARK not in name and not hasattr(parameter, "quant_state"):
            yield _base_name(name), parameter.detach(), None


def _merge_one(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(with, without) the adapter; a 4-bit weight is dequantised and not rounded again."""
    from peft.utils.integrations import dequantize_module_weight

    base = layer.get_base_layer()
    if hasattr(base.weight, "quant_state"):
        start = dequantize_module_weight(base).detach()
        return start + layer.get_delta_weight(layer.active_adapters[0]).detach(), start
    start = base.weight.detach().clone()
    merged = copy.deepcopy(layer)
    merged.merge()
    return merged.get_base_layer().weight.detach(), start


def movement_frame(base: PreTrainedModel, model: Any) -> pd.DataFrame:
    """How far each weight moved: Frobenius norm of its change over its norm before training.

    Returns
    -------
    pandas.DataFrame
        ``layer`` (1 is the lowest, 0 for weights outside the layers), ``matrix`` (name inside the layer, or of the
        weight), ``parameters``, ``norm`` (before) and ``relative_change``; no number where the norm before was 0.
    """
    import pandas as pd

    before = {name: parameter.detach() for name, parameter in base.named_parameters()}
    place, _ = _find_layers(base)
    rows = []
    for name, weight, start in effective_weights(model):
        start = before[name] if start is None else start
        norm = float(start.double().norm())
        change = float((weight.double() - start.to(weight.device).double()).norm())
        layer, matrix = _locate(name, place)
        rows.append(
            {
                "layer": layer,
                "matrix": matrix,
                "parameters": weight.numel(),
                "norm": norm,
                "relative_change": change / norm if norm else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def _locate(name: str, place: str) -> tuple[int, str]:
    """A weight's layer and short name: ``(2, "q_proj")``, ``(0, "embed_tokens")``; biases keep their ending."""
    *path, ending = name.split(".")
    depth = len(place.split("."))
    layer = int(path[depth]) + 1 if name.startswith(f"{place}.") else 0
    return layer, path[-1] if ending == "weight" else f"{path[-1]}.{ending}"
