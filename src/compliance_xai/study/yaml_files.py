"""YAML files that people write: read within a budget, with the line of every key; mistakes are explained in place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_args

import yaml
from pydantic import ValidationError

from compliance_xai.errors import InputError
from compliance_xai.files import decode

MOST_BYTES = 1_000_000
MOST_NODES = 50_000
MOST_DEPTH = 30
"""Budget of a file: its size, its keys and values with every alias written out, and how deep they are nested."""


class Lines(dict[tuple, int]):
    """The line of every key path of a file."""

    def find(self, keys: tuple) -> int | None:
        """The line of a key path, or of the nearest part of it that is in the file."""
        return next((self[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self), None)


def place(path: Path | str, line: int | None = None, key: str = "") -> str:
    """File, line and key as an error names them."""
    return f"{path}" + (f", line {line}" if line else "") + (f", key '{key}'" if key else "")


class _StrictLoader(yaml.SafeLoader):
    """Makes plain values only, by the rules of YAML 1.2: ``1e-3`` is a number, ``no`` a word, ``2026-11-21`` text."""

    yaml_implicit_resolvers: ClassVar[dict] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9]\d*)", "-+0123456789"),
    ("float", r"[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
     "-+.0123456789"),
):  # fmt: skip
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read(path: Path, *, example: str) -> tuple[dict[str, Any], Lines]:
    """The mapping in a file, and the line of every key path; ``example`` is a file of its kind.

    Raises
    ------
    InputError
        If it is not UTF-8 text, not YAML, not a mapping, larger than the budget, or has a key twice; names the line.
    """
    values, lines = parse(_read_text(path), str(path))
    if not isinstance(values, dict):
        raise InputError(
            str(path),
            expected="a mapping of keys to values",
            found="an empty file" if values is None else f"a {type_name(values)}",
            remedy=f"Start from {example}.",
        )
    return values, lines


def _read_text(path: Path) -> str:
    size = path.stat().st_size
    if size > MOST_BYTES:
        expected, found = "a YAML file of at most 1 MB", f"{size / 1e6:,.0f} MB"
        raise InputError(str(path), expected=expected, found=found, remedy="Check that this is the right file.")
    return decode(path.read_bytes(), str(path))


def parse(text: str, where: str) -> tuple[Any, Lines]:
    """The value of a YAML text, in which nothing is shared between aliases, and the line of every key path.

    Raises
    ------
    InputError
        If it is not YAML, has a key twice or goes beyond the budget.
    """
    lines = Lines()
    try:
        _check_budget(text, where)
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        return None if node is None else _build(loader, node, (), lines, where), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            place(where, mark.line + 1 if mark else None),
            expected="YAML",
            found=str(getattr(error, "problem", None) or error).splitlines()[0],
            remedy="Check the indentation, quotes and brackets there.",
        ) from None


def _check_budget(text: str, where: str) -> None:
    """Add up, without building anything, how deep and how large the values are once aliases are written out."""
    sizes: dict[str | None, int] = {}
    open_nodes: list[list[Any]] = []  # anchor and size so far of each list or mapping around the present event
    for event in yaml.parse(text, Loader=_StrictLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append([event.anchor, 1])
            size = 0
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
            sizes[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            size = sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            inside_itself = any(anchor == event.anchor for anchor, _ in open_nodes)
            size = MOST_NODES + 1 if inside_itself else sizes.get(event.anchor, 1)
        else:
            continue
        if open_nodes:
            open_nodes[-1][1] += size
        if len(open_nodes) > MOST_DEPTH or size > MOST_NODES or (open_nodes and open_nodes[-1][1] > MOST_NODES):
            raise InputError(
                place(where, event.start_mark.line + 1),
                expected=f"at most {MOST_NODES:,} keys and values, nested at most {MOST_DEPTH} deep",
                found="more, with aliases written out",
                remedy="Write a flatter file, without aliases of aliases.",
            )


def _build(loader: _StrictLoader, node: yaml.Node, keys: tuple, lines: Lines, where: str) -> Any:
    """The value of a node, a new one for every alias; refuses tags, and keys that are repeated or not text."""
    line = node.start_mark.line + 1
    lines.setdefault(keys, line)
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_object(node)
    if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        raise InputError(place(where, line), expected="plain YAML", found=node.tag, remedy="Remove the tag.")
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*keys, index), lines, where) for index, item in enumerate(node.value)]
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line, key = key_node.start_mark.line + 1, key_node.value
        if key_node.tag != "tag:yaml.org,2002:str":
            remedy = "Put the key in quotes."
            raise InputError(place(where, line), expected="a key that is text", found=str(key), remedy=remedy)
        if key in values:
            raise InputError(
                place(where, line, ".".join(map(str, (*keys, key)))),
                expected="every key once",
                found=f"a key that is already defined on line {lines[(*keys, key)]}",
                remedy="Remove one of the two.",
            )
        lines[(*keys, key)] = line
        values[key] = _build(loader, value_node, (*keys, key), lines, where)
    return values


class Problem(NamedTuple):
    """What is wrong at a key path of a file, in the reader's words."""

    keys: tuple
    expected: str
    found: str
    remedy: str


def explain(error: ValidationError, model: Any, path: Path, lines: Lines, *, example: str) -> InputError:
    """The first thing that is wrong, in the words of the file, and how many more there are.

    Parameters
    ----------
    model
        What the file was checked against: a pydantic model or dataclass.
    example
        A file that shows every key.
    """
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    keys, expected, found, remedy = _describe(problems[0], model, example)
    more = len(problems) - 1
    if more:
        remedy += f" ({more} more {'problem' if more == 1 else 'problems'} in this file.)"
    where = place(path, lines.find(keys), ".".join(str(key) for key in keys))
    return InputError(where, expected=expected, found=found, remedy=remedy)


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "missing": "this key",
    "dataclass_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "string_too_short": "text that is not empty",
    "too_short": "at least one entry",
}
_BOUNDS = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}


def _describe(problem: Mapping[str, Any], model: Any, example: str) -> Problem:
    keys = tuple(part for part in problem["loc"] if _is_written(part))
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "refused":  # by a validator of the project's own (value_types.refuse)
        found, remedy = context["found"] or _show(problem["input"]), context["remedy"] or "Correct this value."
        return Problem((*keys, *context["key"]), context["expected"], found, remedy)
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known_keys(model, keys[:-1])
        remedy = suggest(str(keys[-1]), known) or "Remove it or correct its spelling."
        return Problem(keys, f"one of the keys {', '.join(known)}", f"the unknown key {keys[-1]!r}", remedy)
    found = "nothing" if kind == "missing" else _show(problem["input"])
    expected, remedy = _EXPECTED.get(kind, str(problem["msg"])), "Correct this value."
    if kind == "missing":
        remedy = f"Add it; {example} shows how."
    elif kind == "literal_error":
        expected = f"one of {context['expected']}"
        options = [option.strip(" '") for option in context["expected"].replace(" or ", ",").split(",")]
        remedy = suggest(str(problem["input"]), options) or "Choose one of these."
    elif kind.startswith(("greater_than", "less_than")):
        expected = f"a number {_BOUNDS[kind]} {next(iter(context.values()))}"
    elif kind == "string_too_long":
        expected = f"at most {context['max_length']} characters"
    elif kind == "string_pattern_mismatch" and context["pattern"].startswith("^[A-Za-z0-9]"):
        tail = context["pattern"][-6:]
        signs = [*(["plus signs"] if "+" in tail else []), *(["hyphens"] if "-" in tail else [])]
        expected = f"a name of {', '.join(['letters, digits, dots, underscores', *signs])}"
    return Problem(keys, expected, found, remedy)


def suggest(word: str, known: Any) -> str:
    """``Did you mean 'lora'?`` for a word near one of those known, else an empty text."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def _is_written(part: Any) -> bool:
    """Whether a part of pydantic's location is in the file; members of unions and ``[key]`` are not."""
    text = str(part)
    return not (text.startswith(("constrained-", "tuple[", "function-", "nullable")) or text == "[key]")


def _known_keys(model: Any, keys: tuple) -> list[str]:
    """The keys allowed at a place of the file."""
    for part in keys:
        fields = getattr(model, "__pydantic_fields__", {})
        model = _find_model(fields[part].annotation) if part in fields else model
    return list(model.__pydantic_fields__)


def _find_model(annotation: Any) -> Any:
    """The model inside an annotation such as ``dict[str, Model]``."""
    if hasattr(annotation, "__pydantic_fields__"):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _find_model(inner))), None)


def type_name(value: Any) -> str:
    """What a YAML value is, in words."""
    names = {"dict": "mapping", "list": "list", "str": "text", "bool": "true or false", "NoneType": "empty value"}
    return names.get(type(value).__name__, "number")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
