"""What made a result: hashes of what was read and written, code, machine, time and memory, kept in a manifest.

A stage's manifest is written last, in one rename: if it exists, the stage is complete.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file, write_json

MANIFEST = "manifest.json"


class Manifest(TypedDict):
    """What a stage leaves behind about itself. Times in seconds, memory in bytes, ``started`` in UTC (ISO 8601)."""

    stage: str
    study: str
    scale: str | None
    strategy: str | None
    seeds: list[int]
    parameters: dict[str, Any]
    key: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    code: str
    versions: dict[str, str]
    machine: dict[str, str]
    started: str
    wall_seconds: float
    peak_memory_bytes: int


def write_manifest(manifest: Manifest, folder: Path | str) -> Path:
    """Write a stage's manifest; the last thing that a stage does."""
    return write_json(manifest, Path(folder) / MANIFEST)


def read_manifest(folder: Path | str) -> Manifest | None:
    """The manifest of a stage's folder, or None where the stage is not complete.

    Raises
    ------
    InputError
        If there is a file that is no manifest.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        missing = sorted(set(Manifest.__annotations__) - set(value))
    except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
        missing = [str(error)]
    if missing:
        raise InputError(
            str(path),
            expected="a manifest written by this project",
            found=f"none ({', '.join(missing)} missing)" if len(missing) > 1 else f"a broken one ({missing[0]})",
            remedy="Delete this file; the next run makes the stage again.",
        )
    return value


def verify_outputs(manifest: Mapping[str, Any], folder: Path | str) -> list[str]:
    """What is wrong with a stage's files: one sentence for each that is missing or differs from its manifest."""
    problems = []
    for name, expected in manifest["outputs"].items():
        path = Path(folder) / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif sha256_file(path) != expected:
            problems.append(f"{path} is not the file that its manifest describes")
    return problems


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
    body = "".join(f"<tr><th scope='row'>{_escape(name)}</th><td>{_escape(value)}</td></tr>" for name, value in rows)
    return (
        "<section class='provenance' aria-label='Provenance'><h2>Provenance</h2>"
        f"<table><tbody>{body}</tbody></table>"
        f"{_fold('Parameters', _flatten(manifest['parameters']))}"
        f"{_fold('Inputs (SHA-256)', manifest['inputs'])}"
        f"{_fold('Outputs (SHA-256)', manifest['outputs'])}"
        "</section>"
    )


def _fold(title: str, entries: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{_escape(name)}</th><td><code>{_escape(value)}</code></td></tr>"
        for name, value in entries.items()
    )
    return f"<details><summary>{_escape(title)}</summary><table><tbody>{rows}</tbody></table></details>"


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
