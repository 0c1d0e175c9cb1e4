"""Reference of every setting, taken from the models that check them: a page of the book, and the command line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Template

from compliance_xai.errors import InputError
from compliance_xai.study.settings import Study
from compliance_xai.study.strategy_settings import USUAL
from compliance_xai.study.yaml_files import suggest


class Setting(NamedTuple):
    """One setting: its dotted key, meaning, allowed values with their unit, default and an example, as YAML."""

    group: str
    key: str
    meaning: str
    allowed: str
    default: str
    example: str

    @property
    def path(self) -> str:
        """The dotted key from the top of the file."""
        return f"{self.group}.{self.key}" if self.group else self.key


class Group(NamedTuple):
    """Settings that belong together: the dotted key of the group (empty for the file's own), and what it is about."""

    key: str
    meaning: str
    settings: tuple[Setting, ...]


def list_settings() -> list[Group]:
    """Every setting of a study and of the rungs of a ladder, by group, in the order of the file."""
    schema = Study.model_json_schema()
    return list(_walk(schema, schema["$defs"], ""))


def _walk(schema: Mapping[str, Any], defs: Mapping[str, Any], key: str) -> Iterator[Group]:
    settings, inner = [], []
    for name, entry in schema["properties"].items():
        group = _find_group(entry, defs)
        if group is None or name in ("strategies", "ladder", "by_scale", "rungs"):
            settings.append(_describe(entry, name, key, name in schema.get("required", ())))
        if group is not None:
            part, model = group
            inner.append((f"{key}.{name}{part}".strip("."), model))
    meaning = schema.get("description", "").split("\n\n")[0].replace("\n", " ")
    yield Group(key, meaning, tuple(settings))
    for path, model in inner:
        yield from _walk(model, defs, path)


def _find_group(entry: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The group of settings that an entry holds, and how its key continues: by name in a mapping, ``[]`` in a list."""
    if "$ref" in entry:
        model = defs[entry["$ref"].rpartition("/")[2]]
        return ("", model) if "properties" in model else None
    for option in entry.get("anyOf", ()):
        if (found := _find_group(option, defs)) is not None:
            return found
    named = [entry.get("additionalProperties"), *entry.get("patternProperties", {}).values()]
    for option, part in ((entry.get("items"), "[]"), *((option, ".NAME") for option in named)):
        if isinstance(option, dict) and (found := _find_group(option, defs)) is not None:
            return part, found[1]
    return None


def _describe(entry: Mapping[str, Any], name: str, group: str, required: bool) -> Setting:
    allowed = _say_allowed(entry)
    default = entry.get("default")
    if isinstance(default, dict):
        default = default.get("source", default)
    none = default in (None, "", [], {}) or (isinstance(default, int) and default < entry.get("minimum", 0))
    said = "required" if required else "–" if none else _as_yaml(default)
    example = next(iter(entry.get("examples") or entry.get("enum", ())), default)
    meaning = entry["description"].replace("``", "`").replace("\n", " ")
    return Setting(group, name, meaning, allowed, said, f"{name}: {_as_yaml(example)}")


_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "below"}


def _say_allowed(entry: Mapping[str, Any]) -> str:
    if "anyOf" in entry:
        options = [_say_allowed(option) for option in entry["anyOf"] if option.get("type") != "null"]
        empty = len(options) < len(entry["anyOf"]) and entry.get("default") is not None
        return ", or ".join([*options, *(["null"] if empty else [])])
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{value}`" for value in entry.get("enum", [entry.get("const")]))
    kind, unit = entry.get("type"), f" ({entry['unit']})" if "unit" in entry else ""
    if kind == "array":
        inner = entry.get("items", {})
        return "list" if "$ref" in inner or "anyOf" in inner else f"list of: {_say_allowed(inner)}"
    if kind in ("integer", "number"):
        noun = "whole number" if kind == "integer" else "number"
        return " ".join([noun, *(f"{word} {entry[name]:g}" for name, word in _BOUNDS.items() if name in entry)]) + unit
    words = {"boolean": "`true`, `false`", "string": entry.get("unit") or ("name" if "pattern" in entry else "text")}
    return words.get(str(kind), "mapping")


def _as_yaml(value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def find_settings(part: str) -> list[Setting]:
    """The settings whose dotted key begins with ``part``, or all of them.

    Raises
    ------
    InputError
        If there are none; suggests a key.
    """
    everything = [setting for group in list_settings() for setting in group.settings]
    chosen = [one for one in everything if not part or f".{part}" in f".{one.path}.".replace("[]", "")]
    if not chosen:
        known = {setting.path for setting in everything} | {setting.key for setting in everything}
        expected, found = "a setting or a group of settings", "an unknown name"
        remedy = suggest(part, known) or "'compliance-xai study settings' lists all of them."
        raise InputError(f"setting {part!r}", expected=expected, found=found, remedy=remedy)
    return chosen


def format_page() -> str:
    """The reference as a Markdown page."""

    def row(setting: Setting) -> str:
        cells = (f"`{setting.key}`", setting.meaning, setting.allowed, setting.default, f"`{setting.example}`")
        return " | ".join(cell.replace("|", "\\|") for cell in cells)

    template = Path(__file__).with_name("settings_page.md").read_text(encoding="utf-8")
    page = Template(template, trim_blocks=True, keep_trailing_newline=True)
    return page.render(groups=list_settings(), row=row, defaults=USUAL, unlimited=float("inf"))
