"""How a strategy fine-tunes: the kinds there are, their settings, and the usual ones for models of each size."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, StrictBool, model_validator

from compliance_xai.study import value_types as types
from compliance_xai.study.value_types import Settings, refuse

Kind = Literal["none", "full", "lora", "qlora", "lora+", "dora", "lora-then-full", "full-top"]

KINDS: Mapping[Kind, str] = {
    "none": "nothing: the base model as it is, the control",
    "full": "every weight",
    "lora": "low-rank adapters beside the linear layers; every weight is frozen",
    "qlora": "low-rank adapters beside linear layers that are stored in 4 bits",
    "lora+": "low-rank adapters beside the linear layers, and every weight of embeddings, norms and head",
    "dora": "low-rank adapters for the direction of the linear layers' rows, and the rows' lengths",
    "lora-then-full": "low-rank adapters first; then, with these merged, every weight",
    "full-top": "every weight in the upper half of the layers; low-rank adapters in the lower half",
}
"""The kinds of fine-tuning, and what each trains."""

HYBRIDS = ("lora+", "lora-then-full", "full-top")
"""Kinds that train adapters and some whole weights."""

ADAPTERS = {"rank", "alpha", "dropout", "target_modules"}
NO_EFFECT_ON_RESULTS = frozenset({"micro_batch", "gradient_checkpointing", "checkpoint_every"})
"""Settings of a strategy that change memory and time but not the result; changing them re-runs nothing."""


class Usual(NamedTuple):
    """Usual settings for models of at most ``parameters``; a search on the validation split may find better ones."""

    parameters: float
    full_rate: float
    adapter_rate: float
    rank: int
    batch_size: int
    steps: int


USUAL = (
    Usual(10e6, 1e-3, 4e-3, 32, 8, 400),
    Usual(50e6, 7e-4, 2e-3, 32, 8, 400),
    Usual(200e6, 2e-4, 1e-3, 16, 8, 300),
    Usual(1e9, 5e-5, 5e-4, 16, 8, 300),
    Usual(4e9, 2e-5, 2e-4, 16, 16, 300),
    Usual(float("inf"), 1e-5, 2e-4, 16, 16, 300),
)
"""Defaults by size. Those of the first row were tuned on the embedded ladder; the others are common choices."""


def usual_settings(kind: str, parameters: float = 0) -> dict[str, Any]:
    """Learning rates, rank, batch size and steps that are usual for a kind of fine-tuning and a number of parameters.

    Examples
    --------
    >>> usual_settings("lora", 135e6)
    {'steps': 300, 'batch_size': 8, 'rank': 16, 'learning_rate': 0.001}
    """
    usual = next(usual for usual in USUAL if parameters <= usual.parameters)
    shared = {"steps": usual.steps, "batch_size": usual.batch_size, "rank": usual.rank}
    if kind in ("none", "full"):
        return shared | {"learning_rate": usual.full_rate}
    whole = {"full_learning_rate": usual.full_rate} if kind in HYBRIDS else {}
    return shared | {"learning_rate": usual.adapter_rate} | whole


_BY_SIZE: Any = Field(default=None)  # a validator fills it in


class SizeSettings(Settings):
    """What a strategy does differently at one model size."""

    learning_rate: Annotated[types.Positive | None, Field(examples=[5e-4])] = None
    """Peak learning rate at this size."""
    steps: Annotated[types.Steps | None, Field(examples=[300])] = None
    """Optimiser steps at this size."""
    batch_size: Annotated[types.Pairs | None, Field(examples=[8])] = None
    """Pairs in each step at this size."""
    rank: Annotated[types.Count | None, Field(examples=[16])] = None
    """Rank of the adapters at this size."""
    full_learning_rate: Annotated[types.Positive | None, Field(examples=[1e-4])] = None
    """Peak learning rate at this size for the weights that a hybrid trains whole."""


class StrategySettings(Settings):
    """How one strategy fine-tunes. A key that its kind does not use is refused; ``none`` takes no keys."""

    kind: Kind
    """What is trained. May be left out if the strategy's name is one of the kinds."""
    learning_rate: Annotated[types.Positive, Field(examples=[1e-3])] = _BY_SIZE
    """Peak learning rate: a linear warm-up to it, then a cosine down to zero. Default: by kind and model size."""
    steps: Annotated[types.Steps, Field(examples=[400])] = _BY_SIZE
    """Optimiser steps. Default: by model size."""
    batch_size: Annotated[types.Pairs, Field(examples=[8])] = _BY_SIZE
    """Pairs in each step. Default: by model size."""
    warmup: types.Share = 0.05
    """Share of the steps spent warming up."""
    weight_decay: types.NonNegative = 0.01
    """Decoupled weight decay of AdamW."""
    adam_beta2: types.Share = 0.95
    """Decay of AdamW's mean of squared gradients; 0.999 averages over more steps than a short training has."""
    rank: Annotated[types.Count, Field(examples=[32])] = _BY_SIZE
    """Rank r of the adapters. Default: by model size."""
    alpha: Annotated[types.Positive | None, Field(examples=[64])] = None
    """LoRA's alpha: adapters are scaled by alpha / r. Default: 2 r."""
    dropout: types.Share = 0.0
    """Dropout before the adapters."""
    target_modules: types.Text | tuple[types.Text, ...] = "all-linear"
    """Names of the modules that get adapters, or ``all-linear``."""
    full_learning_rate: Annotated[types.Positive | None, Field(examples=[1e-3])] = None
    """Peak learning rate of the weights that a hybrid trains whole. Default: by model size."""
    full_share: types.InnerShare = 0.25
    """Share of the steps in which ``lora-then-full`` trains every weight, after merging, with a warm-up of its own."""
    evaluations: types.Count = 4
    """How often the validation loss is measured; the last time is at the end."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What training computes in. ``auto`` is bfloat16 on CUDA devices that have it and float32 elsewhere; the weights
    that are trained stay float32."""
    micro_batch: Annotated[types.Pairs | None, Field(examples=[4])] = None
    """Pairs in one forward pass, for devices that cannot hold a whole batch; gradients add up to the same step."""
    gradient_checkpointing: StrictBool = False
    """Recompute activations instead of storing them: less memory, a third more time, the same result."""
    checkpoint_every: Annotated[types.Steps | None, Field(examples=[50])] = None
    """Steps between two checkpoints from which a killed training continues. Default: one at each evaluation."""
    by_scale: dict[types.Slug, SizeSettings] = Field(default={}, examples=[{"4m": {"learning_rate": 7e-4}}])
    """Settings that differ at some model sizes."""

    @model_validator(mode="before")
    @classmethod
    def _check_keys_and_fill(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kind, sizes = values.get("kind"), values.get("by_scale")
        inner = [change for change in sizes.values() if isinstance(change, dict)] if isinstance(sizes, dict) else []
        unused = sorted(set(values).union(*inner) & cls._unused_keys(kind))
        if unused:
            key, expected = unused[0], "no settings, because the base model is not trained"
            if kind != "none":
                expected = f"no {_PURPOSES.get(key, key)}"
            found = f"{key!r} under a strategy of kind {kind!r}"
            raise refuse(expected, found, "Remove the key; it would have no effect.", (key,))
        return usual_settings(str(kind)) | values

    @model_validator(mode="after")
    def _require_two_phases(self) -> Self:
        steps = [self.steps, *(change.steps for change in self.by_scale.values() if change.steps is not None)]
        if self.kind == "lora-then-full" and min(steps) < 2:
            raise refuse("at least 2 steps, for the two phases of lora-then-full", str(min(steps)))
        return self

    @classmethod
    def _unused_keys(cls, kind: Any) -> set[str]:
        """The keys that a kind of strategy does not use."""
        if kind == "none":
            return set(cls.model_fields) - {"kind"}
        unused = ADAPTERS if kind == "full" else {"target_modules"} if kind == "full-top" else set()
        unused = unused | (set() if kind in HYBRIDS else {"full_learning_rate"})
        return unused | (set() if kind == "lora-then-full" else {"full_share"})

    def used(self) -> dict[str, Any]:
        """The settings that this kind of strategy uses, JSON-serialisable."""
        unused = self._unused_keys(self.kind) | (set() if self.by_scale else {"by_scale"})
        return self.model_dump(mode="json", exclude=unused, exclude_none=True)

    def deciding(self) -> dict[str, Any]:
        """Those of ``used`` that decide the result."""
        return {name: value for name, value in self.used().items() if name not in NO_EFFECT_ON_RESULTS}

    def at(self, scale: str) -> Self:
        """The settings at one model size."""
        changed = self.by_scale.get(scale, SizeSettings()).model_dump(exclude_none=True)
        return self.model_copy(update=changed | {"by_scale": {}})

    @property
    def trains(self) -> bool:
        """Whether anything is fine-tuned."""
        return self.kind != "none"

    @property
    def has_adapters(self) -> bool:
        """Whether low-rank adapters are trained, in some phase at least."""
        return self.kind not in ("none", "full")

    @property
    def lora_alpha(self) -> float:
        """``alpha``, or twice the rank."""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    @property
    def phases(self) -> "tuple[StrategySettings, ...]":
        """The settings of each phase of the training, whose steps add up to ``steps``; two for lora-then-full only."""
        if self.kind != "lora-then-full":
            return (self,)
        last = min(max(1, round(self.full_share * self.steps)), self.steps - 1)
        measured = min(max(1, round(self.full_share * self.evaluations)), max(1, self.evaluations - 1))
        shared = {"batch_size", "warmup", "weight_decay", "adam_beta2", "precision", *NO_EFFECT_ON_RESULTS}
        common = self.model_dump(include=shared, exclude_none=True)
        first = self.model_dump(include=ADAPTERS) | {
            "kind": "lora",
            "learning_rate": self.learning_rate,
            "steps": self.steps - last,
            "evaluations": max(1, self.evaluations - measured),
        }
        second = {
            "kind": "full",
            "learning_rate": self.full_learning_rate or self.learning_rate,
            "steps": last,
            "evaluations": measured,
        }
        return StrategySettings.model_validate(common | first), StrategySettings.model_validate(common | second)


_PURPOSES = dict.fromkeys(ADAPTERS, "adapter settings") | {
    "full_learning_rate": "second learning rate",
    "full_share": "second phase",
}
