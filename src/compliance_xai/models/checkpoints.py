"""Where a training can go on after a kill: weights that are trained, optimiser state, and where it stood.

Tensors are safetensors, the rest JSON; nothing is pickled. Random state need not be kept: the order of the pairs hangs
on the seed, and dropout on seed and step.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from compliance_xai.files import write_atomic

STATE = "progress.json"
TENSORS = "state.safetensors"

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a training stands.

    Attributes
    ----------
    micro_batch
        Pairs of one forward pass.
    step, before
        Steps done in this phase, and in the phases before it.
    tokens
        Prompt and rule tokens seen.
    pending
        Losses of the steps since the last logged point.
    rows
        The log: step, split, loss, tokens.
    notes
        What a reader of the result should know, such as memory that did not suffice.
    """

    micro_batch: int
    step: int = 0
    before: int = 0
    tokens: int = 0
    pending: list[float] = field(default_factory=list)
    rows: list[tuple[int, str, float, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def next_phase(self) -> Progress:
        """Where a phase starts that follows this one; itself where nothing was done."""
        return replace(self, step=0, before=self.before + self.step, pending=[])


@dataclass(frozen=True)
class Checkpoints:
    """The newest checkpoint of one training, in a folder of its own.

    ``key`` says what is trained, on what and how; a checkpoint of another key is never gone on from.
    """

    folder: Path
    key: str

    def of_phase(self, number: int) -> Checkpoints:
        """Those of one phase of the training, the first being 0."""
        return replace(self, folder=self.folder / f"phase-{number}") if number else self

    def last(self) -> Path | None:
        """The newest complete checkpoint of this key; a damaged one is none."""
        from safetensors import SafetensorError, safe_open

        for path in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                mine = json.loads((path / STATE).read_text(encoding="utf-8"))["key"] == self.key
                with safe_open(path / TENSORS, "pt"):  # which compares the file's length with its header
                    pass
            except (OSError, ValueError, SafetensorError) as error:
                _log.warning("the checkpoint %s is damaged (%s) and left alone", path, error)
                continue
            if mine:
                return path
        return None

    def save(self, model: Any, optimizer: Any, progress: Progress, *, main: bool = True) -> None:
        """Write a checkpoint, then remove those before it; one process writes, all must call it."""
        from safetensors.torch import save_file

        tensors = {name: _whole(tensor) for name, tensor in _state(model, optimizer)}
        if not main:
            return
        path = self.folder / f"step-{progress.step:08d}"
        with write_atomic(path) as part:
            part.mkdir()
            save_file(tensors, part / TENSORS)
            text = json.dumps({"key": self.key, "progress": asdict(progress)}, indent=1)
            (part / STATE).write_text(text + "\n", encoding="utf-8")
        for other in self.folder.glob("step-*"):
            if other != path:
                shutil.rmtree(other)

    def restore(self, model: Any, optimizer: Any) -> Progress | None:
        """Put the newest checkpoint into model and optimiser; None where there is none to go on from."""
        import torch
        from safetensors import safe_open

        path = self.last()
        if path is None:
            return None
        with torch.no_grad(), safe_open(path / TENSORS, "pt") as saved:  # one tensor at a time: there may be 6 GB
            for name, parameter in _trained(model):
                parameter.copy_(_placed(saved.get_tensor(f"model.{name}"), parameter))
                kinds = {kind: saved.get_tensor(f"{kind}.{name}") for kind in ("step", "exp_avg", "exp_avg_sq")}
                optimizer.state[parameter] = {
                    kind: value.to(parameter.device) if kind == "step" else _placed(value, parameter)
                    for kind, value in kinds.items()
                }
        values = json.loads((path / STATE).read_text(encoding="utf-8"))["progress"]
        return Progress(**values | {"rows": [tuple(row) for row in values["rows"]]})


def _trained(model: Any) -> Iterator[tuple[str, Any]]:
    """Trained parameters by name, which is the same in one process and in several."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name.removeprefix("module."), parameter


def _state(model: Any, optimizer: Any) -> Iterator[tuple[str, Any]]:
    for name, parameter in _trained(model):
        yield f"model.{name}", parameter
        for kind, tensor in optimizer.state[parameter].items():
            yield f"{kind}.{name}", tensor


def _whole(tensor: Any) -> Any:
    """A tensor's values on this process; a sharded one is put together, which every process takes part in."""
    whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole.detach().cpu().contiguous()


def _placed(value: Any, like: Any) -> Any:
    """A saved tensor where its parameter lies, sharded as the parameter is."""
    if not hasattr(like, "full_tensor"):
        return value.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
