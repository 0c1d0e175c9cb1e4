"""XML from anywhere, read without surprises: no entities, no network, no DOCTYPE, and limits on size and depth."""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] (it has no stubs)

from compliance_xai.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What a document may have at most."""

    bytes: int = 32 * 2**20
    """The size of the file; the largest published document has 390 kB."""
    depth: int = 256
    """Elements inside one another, the root included."""
    elements: int = 1_000_000
    """Elements in all."""
    unknown: int = 10_000
    """Constructs outside the notation; a document with more is some other XML."""


LIMITS = Limits()

WIDER = "on the command line --limit, such as --limit unknown=50000"


def read_limits(texts: Iterable[str]) -> Limits:
    """Limits from texts such as ``unknown=50000``; an InputError for any other form, or a name that is not a limit."""
    wider: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in Limits.__dataclass_fields__ or not number.isdecimal() or not int(number):
            raise InputError(
                f"limit {text!r}",
                expected=f"one of {', '.join(Limits.__dataclass_fields__)}, '=' and a whole number above 0",
                found=repr(text),
                remedy="Write for example unknown=50000.",
            )
        wider[name] = int(number)
    return replace(LIMITS, **wider)


@dataclass(frozen=True)
class Unknown:
    """A fault of a file that was worked around, or a construct that the notation has no place for."""

    name: str
    """The element with its prefix, ``@`` and the name for an attribute, ``text``, or ``document``."""
    line: int
    """Where it starts in the file."""
    reading: str
    """What was made of it."""


def parse_xml(
    path: Path, limits: Limits = LIMITS, *, namespaces: Mapping[str, str] | None = None
) -> tuple[etree._Element, list[Unknown]]:
    """The root of a file of XML, whose elements know their ``sourceline``, and the faults that were worked around.

    Comments are left out and processing instructions kept. Nothing but the file itself is opened. A prefix that is not
    declared gets its usual namespace (of ``namespaces``, by prefix). Of a file whose end is missing, everything before
    the break is read, and the elements that were open there are marked by the attribute ``BROKEN``.

    Raises
    ------
    InputError
        If the file is missing, above a limit, not well-formed XML in any other way, or has a DOCTYPE.
    """
    data, found = _read_bytes(path, limits), []
    while True:
        events = etree.iterparse(io.BytesIO(data), events=("start", "end"), huge_tree=False, **_SAFE)
        opened: list[etree._Element] = []
        try:
            _check(events, path, limits, opened)
            return events.root, found
        except etree.XMLSyntaxError as error:
            first = next(iter(events.error_log), None)
            line, message = (first.line, first.message.strip()) if first else (1, error.msg or "an empty file")
        undeclared = _UNDECLARED.match(message)
        prefix = undeclared[1] if undeclared else ""
        if prefix and not any(f"'{prefix}'" in each.reading for each in found):
            namespace = (namespaces or {}).get(prefix, f"urn:undeclared:{prefix}")
            root_tag = _ROOT.search(data)
            end = root_tag.end() if root_tag else 0
            data = data[:end] + f' xmlns:{prefix}="{namespace}"'.encode() + data[end:]
            found.append(Unknown("document", line, f"the prefix '{prefix}' is not declared; read as {namespace}"))
        elif opened and line > data.rstrip().count(b"\n") and not _BAD_INSIDE.search(message):
            root = etree.fromstring(data, etree.XMLParser(recover=True, **_SAFE))
            _mark_broken(root, len(opened))
            reading = "the end of the file is missing; everything before that line was read"
            found.append(Unknown("document", line, reading))
            return root, found
        elif "excessive depth" in message.lower():
            raise _too_deep(path, line, limits)
        else:
            raise InputError(
                f"{path}, line {line}",
                expected="well-formed XML",
                found=message.rstrip("."),
                remedy="Correct the file there, or export it again.",
            )


BROKEN = "{urn:compliance-xai}broken"
"""The attribute of the elements that a missing end left open."""

_SAFE: dict[str, bool] = {"remove_comments": True, "resolve_entities": False, "no_network": True, "load_dtd": False}
_UNDECLARED = re.compile(r"Namespace prefix (\S+) .*not defined")
_BAD_INSIDE = re.compile("mismatch|Entity|depth|DOCTYPE|encoding|amplification", re.IGNORECASE)
_ROOT = re.compile(rb"<[A-Za-z_][\w.:-]*")


def _mark_broken(root: etree._Element, depth: int) -> None:
    """Mark the last element of each level, as far as the break: they were open there."""
    element: etree._Element | None = root
    for _ in range(depth):
        if element is not None:
            element.set(BROKEN, "true")
            element = next(iter(element.iterchildren("*", reversed=True)), None)


def _read_bytes(path: Path, limits: Limits) -> bytes:
    if not path.is_file():
        raise InputError(str(path), expected="a file that exists", found="none", remedy="Check the path.")
    with path.open("rb") as file:
        data = file.read(limits.bytes + 1)
    if len(data) > limits.bytes:
        raise _beyond(str(path), f"at most {limits.bytes} bytes", str(path.stat().st_size))
    return data


def _check(events: etree.iterparse, path: Path, limits: Limits, opened: list[etree._Element]) -> None:
    """Take the events of a parse as they come, and stop at the first that is not allowed."""
    count = 0
    for event, element in events:
        if event == "end":
            opened.pop()
            continue
        opened.append(element)
        depth, count = len(opened), count + 1
        if count == 1 and element.getroottree().docinfo.doctype:
            raise InputError(
                str(path),
                expected="a document without DOCTYPE",
                found=element.getroottree().docinfo.doctype,
                remedy="Remove the DOCTYPE and write out its entities; they are not expanded, for safety.",
            )
        if depth > limits.depth:
            raise _too_deep(path, element.sourceline, limits)
        if count > limits.elements:
            raise _beyond(f"{path}, line {element.sourceline}", f"at most {limits.elements} elements", "more")


def _too_deep(path: Path, line: int, limits: Limits) -> InputError:
    return _beyond(f"{path}, line {line}", f"elements nested at most {limits.depth} deep", "deeper ones")


def _beyond(where: str, expected: str, found: str) -> InputError:
    remedy = f"Split the document, or pass wider limits ({WIDER})."
    return InputError(where, expected=expected, found=found, remedy=remedy)
