"""What made a result: hashes of what was read and written, code, machine, time and memory, kept in a manifest.

A stage's manifest is written last, in one step: if it exists, the stage is complete. The page is added to it when that
has been executed.
"""

import functools
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
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
        place, remedy = str(path) + (f", key {where!r}" if where else ""), "The next run makes the stage again."
        expected, found = "a manifest as this version writes it", str(problem["msg"]).lower()
        raise InputError(place, expected=expected, found=found, remedy=remedy) from None


def peek_manifest(folder: Path | str) -> Manifest | None:
    """The manifest of a stage's folder, or None if there is none that can be read."""
    try:
        return read_manifest(folder)
    except InputError:
        return None


def stamps_of(manifest: Manifest) -> dict[str, list[Any]]:
    """The outputs' stamps, as ``stores.find_damage`` takes them."""
    return {name: [*manifest["stamps"].get(name, (-1, -1)), sha256] for name, sha256 in manifest["outputs"].items()}


NOTES = "<!-- notes -->"
"""Where the notes come in, once the page has been executed."""


def footer_html(manifest: Mapping[str, Any]) -> str:
    """The provenance block at the foot of a page, as HTML with every value escaped."""
    text = Path(__file__).with_name("footer.html").read_text(encoding="utf-8")
    say = functools.partial(json.dumps, ensure_ascii=False)
    return jinja2.Template(text, autoescape=True).render(**manifest, json=say, notes_place=NOTES)


def notes_html(notes: list[str]) -> str:
    """What libraries said while a page or its results were made, folded."""
    lines = "".join(f"<li><code>{html.escape(note)}</code></li>" for note in notes)
    return f"<details><summary>Notes of libraries ({len(notes)})</summary><ul>{lines}</ul></details>" if notes else ""
