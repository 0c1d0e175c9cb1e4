"""YAML files that people write, read with the line of every key; mistakes are explained with their place."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args

import yaml
from pydantic import ValidationError

from compliance_xai.errors import InputError
from compliance_xai.files import decode

MOST_BYTES = 1_000_000
MOST_NODES = 50_000
MOST_DEPTH = 30
"""Limits of a file: its size, its keys and values with every alias written out, and how deep they are nested."""


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
        If it is not UTF-8 text, not YAML, not a mapping, beyond the limits, or has a key twice; names the line.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        expected, found = "a YAML file of at most 1 MB", f"{size / 1e6:,.0f} MB"
        raise InputError(str(path), expected=expected, found=found, remedy="Check that this is the right file.")
    values, lines = parse(decode(path.read_bytes(), str(path)), str(path))
    if not isinstance(values, dict):
        found = "an empty file" if values is None else f"a {type(values).__name__}"
        raise InputError(str(path), expected=_MAPPING, found=found, remedy=f"Start from {example}.")
    return values, lines


def parse(text: str, where: str) -> tuple[Any, Lines]:
    """The value of a YAML text, in which aliases share nothing, and the line of every key path.

    Raises
    ------
    InputError
        If it is not YAML, has a key twice or is beyond the limits.
    """
    lines = Lines()
    try:
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        return None if node is None else _build(loader, node, (), lines, where), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = place(where, mark.line + 1 if mark else None)
        remedy = "Check the indentation, quotes and brackets there."
        found = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise InputError(where, expected="YAML", found=found, remedy=remedy) from None
    except RecursionError:
        raise _too_large(where) from None


def _too_large(where: str) -> InputError:
    expected = f"at most {MOST_NODES:,} keys and values, nested at most {MOST_DEPTH} deep"
    remedy = "Write a flatter file, without aliases of aliases."
    return InputError(where, expected=expected, found="more, with aliases written out", remedy=remedy)


def _build(loader: _StrictLoader, node: yaml.Node, keys: tuple, lines: Lines, where: str) -> Any:
    """The value of a node, a new one for every alias; refuses tags, and keys that are repeated or not text."""
    line = node.start_mark.line + 1
    lines.setdefault(keys, line)
    if len(keys) > MOST_DEPTH or len(lines) > MOST_NODES:
        raise _too_large(place(where, line))
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
            twice = place(where, line, ".".join(map(str, (*keys, key))))
            found = f"a key that is already defined on line {lines[(*keys, key)]}"
            raise InputError(twice, expected="every key once", found=found, remedy="Remove one of the two.")
        lines[(*keys, key)] = line
        values[key] = _build(loader, value_node, (*keys, key), lines, where)
    return values


def explain(error: ValidationError, model: Any, path: Path, lines: Lines, *, example: str) -> InputError:
    """The first thing that is wrong, at its place in the file, and how many more there are.

    Parameters
    ----------
    model
        What the file was checked against: a pydantic model or dataclass.
    example
        A file that shows every key.
    """
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    kind, context = problem["type"], problem.get("ctx", {})
    keys = (*(part for part in problem["loc"] if _is_written(part)), *context.get("key", ()))
    said = re.sub(r"^\w+ should (be|have) (?=greater|less)", "a number ", problem["msg"])
    expected = _EXPECTED.get(kind) or re.sub(r"^\w+ should (be|have) ", "", said)
    found, remedy = context.get("found") or _shorten(problem["input"]), context.get("remedy") or "Correct this value."
    if kind == "refused":  # by a validator of the project's own (value_types.refuse)
        expected = context["expected"]
    elif kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known_keys(model, keys[:-1])
        expected, found = f"one of the keys {', '.join(known)}", f"the unknown key {keys[-1]!r}"
        remedy = suggest(str(keys[-1]), known) or "Remove it or correct its spelling."
    elif kind == "missing":
        found, remedy = "nothing", f"Add it; {example} shows how."
    elif kind == "literal_error":
        expected = f"one of {context['expected']}"
        remedy = suggest(str(problem["input"]), re.findall(r"'(.*?)'", context["expected"])) or "Choose one of these."
    elif kind == "string_pattern_mismatch" and context["pattern"].startswith("^[A-Za-z0-9]"):
        signs = [name for sign, name in (("+", "plus signs"), ("-]", "hyphens")) if sign in context["pattern"]]
        expected = f"a name of {', '.join(['letters, digits, dots, underscores', *signs])}"
    more = len(problems) - 1
    if more:
        remedy += f" ({more} more {'problem' if more == 1 else 'problems'} in this file.)"
    where = place(path, lines.find(keys), ".".join(map(str, keys)))
    return InputError(where, expected=expected, found=found, remedy=remedy)


_MAPPING = "a mapping of keys to values"
_EXPECTED: Mapping[str, str] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "missing": "this key",
    "too_short": "at least one entry",
}
"""What was expected, in the words of YAML; pydantic's own words stand for other kinds of error."""


def suggest(word: str, known: Iterable[str]) -> str:
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
        fields = model.__pydantic_fields__
        model = _find_model(fields[part].annotation) if part in fields else model
    return list(model.__pydantic_fields__)


def _find_model(annotation: Any) -> Any:
    """The model inside an annotation such as ``dict[str, Model]``."""
    if hasattr(annotation, "__pydantic_fields__"):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _find_model(inner))), None)


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
