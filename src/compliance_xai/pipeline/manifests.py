"""What made a result: hashes of what was read and written, code, machine, time and memory, kept in a manifest.

A stage's manifest is written last, in one step: if it exists, the stage is complete. The page is added to it when that
has been executed.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from compliance_xai.errors import InputError
from compliance_xai.files import write_json

MANIFEST = "manifest.json"


class PageMark(TypedDict):
    """The executed notebook: SHA-256 of its source, its key, and its stamp (``stores.stamp_file``)."""

    key: str
    source: str
    stamp: list[Any]


class Manifest(TypedDict):
    """What a stage leaves behind about itself. Times in seconds, memory in bytes, ``started`` in UTC (ISO 8601).

    ``inputs`` and ``outputs`` are SHA-256 by file, inputs relative to the project; ``stamps`` are size and time of
    change (ns) of the outputs. ``notes``: what libraries said while it was made. ``page``: None until it is executed.
    """

    stage: str
    study: str
    scale: str | None
    strategy: str | None
    seeds: list[int]
    parameters: dict[str, Any]
    key: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    stamps: dict[str, tuple[int, int]]
    code: str
    versions: dict[str, str]
    machine: dict[str, str]
    started: str
    wall_seconds: float
    peak_memory_bytes: int
    notes: list[str]
    page: PageMark | None


_MANIFEST = TypeAdapter(Manifest)


def write_manifest(manifest: Manifest, folder: Path | str) -> Path:
    """Write a stage's manifest; the last thing that a stage does."""
    return write_json(manifest, Path(folder) / MANIFEST)


def read_manifest(folder: Path | str) -> Manifest | None:
    """The manifest of a stage's folder, or None if the stage is not complete.

    Raises
    ------
    InputError
        If the file is damaged, or was written by an earlier version.
    """
    path = Path(folder) / MANIFEST
    try:
        return _MANIFEST.validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise InputError(
            str(path) + (f", key {where!r}" if where else ""),
            expected="a manifest as this version writes it",
            found=str(problem["msg"]).lower(),
            remedy="The next run makes the stage again.",
        ) from None


def peek_manifest(folder: Path | str) -> Manifest | None:
    """The manifest of a stage's folder, or None if there is none that can be read."""
    try:
        return read_manifest(folder)
    except InputError:
        return None


def stamps_of(manifest: Manifest) -> dict[str, list[Any]]:
    """The outputs' stamps, as ``stores.find_damage`` takes them."""
    return {name: [*manifest["stamps"].get(name, (-1, -1)), sha256] for name, sha256 in manifest["outputs"].items()}


def footer_html(manifest: Mapping[str, Any]) -> str:
    """The provenance block at the foot of a page, as HTML with every value escaped."""
    rows = [
        ("Stage", manifest["stage"]),
        ("Study", manifest["study"]),
        *([("Run", f"{manifest['scale']}, {manifest['strategy']}")] if manifest["scale"] else []),
        ("Seeds", ", ".join(str(seed) for seed in manifest["seeds"]) or "none"),
        ("Wall time", f"{manifest['wall_seconds']:.1f} s, started {manifest['started']}"),
        ("Peak memory", f"{manifest['peak_memory_bytes'] / 2**20:.0f} MiB"),
        ("Machine", ", ".join(f"{name} {value}" for name, value in manifest["machine"].items())),
        ("Versions", ", ".join(f"{name} {value}" for name, value in manifest["versions"].items())),
        ("Code", manifest["code"][:16]),
        ("Settings and inputs", manifest["key"][:16]),
    ]
    return (
        "<section class='provenance' aria-label='Provenance'><h2>Provenance</h2>"
        f"{_table(rows)}"
        f"{_fold('Parameters', _flatten(manifest['parameters']))}"
        f"{_fold('Inputs (SHA-256)', manifest['inputs'])}"
        f"{_fold('Outputs (SHA-256)', manifest['outputs'])}"
        f"{NOTES}"
        "</section>"
    )


NOTES = "<!-- notes -->"
"""Where the notes come in, once the page has been executed."""


def notes_html(notes: list[str]) -> str:
    """What libraries said while a page or its results were made, folded."""
    if not notes:
        return ""
    lines = "".join(f"<li><code>{_escape(note)}</code></li>" for note in notes)
    return f"<details><summary>Notes of libraries ({len(notes)})</summary><ul>{lines}</ul></details>"


def _fold(title: str, entries: Mapping[str, Any]) -> str:
    return f"<details><summary>{_escape(title)}</summary>{_table(entries.items(), '<code>{}</code>')}</details>"


def _table(entries: Iterable[tuple[str, Any]], frame: str = "{}") -> str:
    cells = ((_escape(name), frame.format(_escape(value))) for name, value in entries)
    rows = "".join(f"<tr><th scope='row'>{name}</th><td>{value}</td></tr>" for name, value in cells)
    return f"<table><tbody>{rows}</tbody></table>"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _escape(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return html.escape(text, quote=True)
