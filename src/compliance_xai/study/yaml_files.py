"""YAML files that people write: read with the line of every key, and explained where something is wrong."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import ValidationError

from compliance_xai.errors import InputError


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            place(path, data[: error.start].count(b"\n") + 1),
            expected="UTF-8 text",
            found=f"the byte 0x{data[error.start]:02x}",
            remedy="Save the file as UTF-8.",
        ) from None


def place(path: Path, line: int | None = None, key: str = "") -> str:
    """File, line and key as an error names them."""
    return f"{path}" + (f", line {line}" if line else "") + (f", key '{key}'" if key else "")


class _StrictLoader(yaml.SafeLoader):
    """YAML with 1.2's numbers (``1e-3`` is one) and 1.2's booleans (``no`` is a word)."""


_StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@functools.cache
def loader() -> type[_StrictLoader]:
    """The loader of these files; a ``SafeLoader``: it makes plain values only."""
    import re

    number = re.compile(
        r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    )
    _StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    _StrictLoader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
    )
    return _StrictLoader


def read(path: Path, *, example: str) -> tuple[dict[str, Any], dict[tuple, int]]:
    """The mapping in a file, and the line of every key path; ``example`` is a file of its kind.

    Raises
    ------
    InputError
        If it is no UTF-8 text, no YAML, no mapping, or has a key twice; names the line.
    """
    text = _read_text(path)
    lines: dict[tuple, int] = {}
    try:
        document = loader()(text)
        node = document.get_single_node()
        _check_node(node, (), lines, path)
        values = document.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            place(path, mark.line + 1 if mark else None),
            expected="YAML",
            found=str(getattr(error, "problem", None) or error).splitlines()[0],
            remedy="Check the indentation, quotes and brackets there.",
        ) from None
    if not isinstance(values, dict):
        raise InputError(
            str(path),
            expected="a mapping of keys to values",
            found="an empty file" if values is None else f"a {type_name(values)}",
            remedy=f"Start from {example}.",
        )
    return values, lines


def _check_node(node: yaml.Node | None, path_of_keys: tuple, lines: dict[tuple, int], path: Path) -> None:
    """Note lines, and refuse keys that are written twice or are no text."""
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
                raise InputError(
                    place(path, line),
                    expected="a key that is text",
                    found=str(key),
                    remedy="Put the key in quotes.",
                )
            if (*path_of_keys, key) in lines:
                raise InputError(
                    place(path, line, ".".join((*path_of_keys, key))),
                    expected="every key once",
                    found=f"it already stands in line {lines[(*path_of_keys, key)]}",
                    remedy="Remove one of the two.",
                )
            lines[(*path_of_keys, key)] = line
            _check_node(value_node, (*path_of_keys, key), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path_of_keys, index)] = item.start_mark.line + 1
            _check_node(item, (*path_of_keys, index), lines, path)


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
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


class Words(NamedTuple):
    """What is wrong at a place of the file, in the reader's words."""

    location: tuple
    expected: str
    found: str
    remedy: str


def explain(
    error: ValidationError,
    model: Any,
    path: Path,
    lines: Mapping[tuple, int],
    *,
    example: str,
    say: Callable[[Mapping[str, Any], tuple], Words | None] = lambda problem, location: None,
) -> InputError:
    """The first thing wrong, in the words of the file, and how many more there are.

    Parameters
    ----------
    model
        What the file was checked against: a pydantic model or dataclass.
    example
        A file that shows every key.
    say
        Words for problems that only this kind of file has; None for all others.
    """
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    location = tuple(part for part in problem["loc"] if _is_written(part))
    words = say(problem, location) or _say(problem, location, model, example)
    more = len(problems) - 1
    extra = f" ({more} more {'problem' if more == 1 else 'problems'} in this file.)" if more else ""
    place_of = words.location
    line = next((lines[place_of[:n]] for n in range(len(place_of), 0, -1) if place_of[:n] in lines), None)
    return InputError(
        place(path, line, ".".join(str(part) for part in place_of)),
        expected=words.expected,
        found=words.found,
        remedy=words.remedy + extra,
    )


def _say(problem: Mapping[str, Any], location: tuple, model: Any, example: str) -> Words:
    kind, context = problem["type"], problem.get("ctx", {})
    expected, remedy = _EXPECTED.get(kind, str(problem["msg"])), "Mend this value."
    found = "nothing" if kind == "missing" else _show(problem["input"])
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known_keys(model, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        expected, found = f"one of the keys {', '.join(known)}", f"the unknown key {location[-1]!r}"
        remedy = f"Did you mean {close[0]!r}?" if close else "Remove it or correct its spelling."
    elif kind == "missing":
        remedy = f"Add it; {example} shows how."
    elif kind == "literal_error":
        expected = f"one of {context['expected']}"
        options = [option.strip(" '") for option in context["expected"].replace(" or ", ",").split(",")]
        close = difflib.get_close_matches(str(problem["input"]), options, n=1)
        remedy = f"Did you mean {close[0]!r}?" if close else "Choose one of these."
    elif kind == "value_error":
        expected = str(context["error"])
    elif kind.startswith(("greater_than", "less_than")):
        expected = f"a number {_BOUNDS[kind]} {next(iter(context.values()))}"
    elif kind == "string_pattern_mismatch":
        signs = "letters, digits, dots and underscores" + (", + and -" if "+" in context["pattern"][-6:] else "")
        expected = f"a name of {signs}" if context["pattern"].startswith("^[A-Za-z0-9]") else expected
    return Words(location, expected, found, remedy)


_BOUNDS = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}


def _is_written(part: Any) -> bool:
    """Whether a part of pydantic's location stands in the file; union members and ``[key]`` marks do not."""
    text = str(part)
    return not (text.startswith(("constrained-", "tuple[", "function-", "nullable")) or text == "[key]")


def _known_keys(model: Any, location: tuple) -> list[str]:
    """The keys allowed at a place of the file."""
    for part in location:
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
