"""Checkpoints from which a training continues after a kill: trained weights and optimiser state, in one file each.

A file is in the safetensors format, with what else is kept as JSON in its header; nothing is pickled. Random state is
not needed: the order of the pairs depends on the seed, and dropout on seed and step.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from compliance_xai.files import write_atomic

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a training is.

    ``micro_batch``: pairs of one forward pass; ``step`` and ``before``: steps done in this phase, and in those before
    it; ``tokens``: of prompts and rules, seen so far; ``pending``: losses since the last point of the log, whose
    ``rows`` hold step, split, loss and tokens; ``notes``: what a reader should know, such as a lack of memory.
    """

    micro_batch: int
    step: int = 0
    before: int = 0
    tokens: int = 0
    pending: list[float] = field(default_factory=list)
    rows: list[tuple[int, str, float, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def next_phase(self) -> Progress:
        """The start of the next phase; equal to itself if nothing was done."""
        return replace(self, step=0, before=self.before + self.step, pending=[])


@dataclass(frozen=True)
class Checkpoints:
    """The newest checkpoint of one training, in a folder of its own.

    ``key`` identifies what is trained, on what and how; a checkpoint with another key is not used.
    """

    folder: Path
    key: str

    def of_phase(self, number: int) -> Checkpoints:
        """Those of one phase of the training, the first being 0."""
        return replace(self, folder=self.folder / f"phase-{number}") if number else self

    def last(self) -> Path | None:
        """The newest complete checkpoint with this key; damaged ones are passed over."""
        for path in sorted(self.folder.glob("step-*"), reverse=True):
            if (read_header(path) or {}).get("key") == self.key:
                return path
        return None

    def save(self, model: Any, optimizer: Any, progress: Progress, *, main: bool = True) -> None:
        """Write a checkpoint, then remove earlier ones; one process writes, all must call it."""
        path = self.folder / f"step-{progress.step:08d}.safetensors"
        save_state(path, model, optimizer, {"key": self.key, "progress": asdict(progress)}, main=main)
        for other in self.folder.glob("step-*") if main else ():
            if other != path:
                other.unlink()

    def restore(self, model: Any, optimizer: Any) -> Progress | None:
        """Put the newest checkpoint into model and optimiser; None if there is none."""
        if (path := self.last()) is None:
            return None
        restore_state(path, model, optimizer)
        values = (read_header(path) or {})["progress"]
        return Progress(**values | {"rows": [tuple(row) for row in values["rows"]]})


def read_header(path: Path) -> dict[str, Any] | None:
    """What ``save_state`` kept beside the tensors; None, and a warning, if the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:  # compares the file's length with its header
            return json.loads(file.metadata()["state"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        _log.warning("the checkpoint %s is damaged (%s) and not used", path, error)
        return None


def save_state(path: Path, model: Any, optimizer: Any, state: dict[str, Any], *, main: bool = True) -> None:
    """Write trained weights, AdamW's state and ``state`` (JSON values) in one step; all processes must call it."""
    from safetensors.torch import save_file

    tensors = {}
    for name, parameter in _trained(model):
        tensors[f"model.{name}"] = _gather(parameter)
        tensors |= {f"{kind}.{name}": _gather(tensor) for kind, tensor in optimizer.state[parameter].items()}
    if main:
        with write_atomic(path) as part:
            save_file(tensors, part, {"state": json.dumps(state)})


def restore_state(path: Path, model: Any, optimizer: Any) -> None:
    """Put what ``save_state`` wrote into model and optimiser, one tensor at a time: there may be 6 GB of them."""
    import torch
    from safetensors import safe_open

    with torch.no_grad(), safe_open(path, "pt") as saved:
        for name, parameter in _trained(model):
            parameter.copy_(_place(saved.get_tensor(f"model.{name}"), parameter))
            state = {kind: _place(saved.get_tensor(f"{kind}.{name}"), parameter) for kind in ("exp_avg", "exp_avg_sq")}
            state["step"] = saved.get_tensor(f"step.{name}").to(parameter.device)
            optimizer.state[parameter] = state


def _trained(model: Any) -> Iterator[tuple[str, Any]]:
    """Trained parameters by name, which is the same in one process and in several."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name.removeprefix("module."), parameter


def _gather(tensor: Any) -> Any:
    """A tensor's values on this process; every process takes part in gathering one that is sharded."""
    whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole.detach().cpu().contiguous()


def _place(value: Any, like: Any) -> Any:
    """A saved tensor on a parameter's device, sharded as the parameter is."""
    if not hasattr(like, "full_tensor"):
        return value.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
