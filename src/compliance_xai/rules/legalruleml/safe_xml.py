"""XML from anywhere, read without surprises: no entities, no network, no DOCTYPE, and limits on size and depth."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] (it has no stubs)

from compliance_xai.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What a document may have at most.

    Attributes
    ----------
    bytes
        The size of the file; the largest published document has 390 kB.
    depth
        Elements inside one another, the root included.
    elements
        Elements in all.
    unknown
        Constructs outside the notation; a document with more is some other XML.
    """

    bytes: int = 32 * 2**20
    depth: int = 256
    elements: int = 1_000_000
    unknown: int = 10_000


LIMITS = Limits()


def parse_xml(path: Path, limits: Limits = LIMITS) -> etree._Element:
    """Parse a file of XML.

    Comments are left out and processing instructions kept. Nothing but the file itself is opened.

    Parameters
    ----------
    path
        The file.
    limits
        What it may have at most.

    Returns
    -------
    lxml.etree._Element
        The root; every element knows its ``sourceline``.

    Raises
    ------
    InputError
        Where the file is missing, above a limit, no well-formed XML, or has a DOCTYPE.
    """
    events = etree.iterparse(
        io.BytesIO(_read_bytes(path, limits)),
        events=("start", "end"),
        remove_comments=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
    try:
        _check(events, path, limits)
    except etree.XMLSyntaxError as error:
        first = next(iter(events.error_log), None)
        line, message = (first.line, first.message.strip()) if first else (1, error.msg or "an empty file")
        if "excessive depth" in message.lower():
            raise _too_deep(path, line, limits) from None
        raise InputError(
            f"{path}, line {line}",
            expected="well-formed XML",
            found=message.rstrip("."),
            remedy="Mend the file there, or export it again.",
        ) from None
    return events.root


def _read_bytes(path: Path, limits: Limits) -> bytes:
    if not path.is_file():
        raise InputError(str(path), expected="a file that exists", found="none", remedy="Check the path.")
    with path.open("rb") as file:
        data = file.read(limits.bytes + 1)
    if len(data) > limits.bytes:
        raise InputError(
            str(path),
            expected=f"at most {limits.bytes} bytes",
            found=f"{path.stat().st_size}",
            remedy="Split the document, or pass wider limits.",
        )
    return data


def _check(events: etree.iterparse, path: Path, limits: Limits) -> None:
    """Take the events of a parse as they come, and stop at the first that is not allowed."""
    depth = count = 0
    for event, element in events:
        if event == "end":
            depth -= 1
            continue
        depth, count = depth + 1, count + 1
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
            raise InputError(
                f"{path}, line {element.sourceline}",
                expected=f"at most {limits.elements} elements",
                found="more",
                remedy="Split the document, or pass wider limits.",
            )


def _too_deep(path: Path, line: int, limits: Limits) -> InputError:
    return InputError(
        f"{path}, line {line}",
        expected=f"elements nested at most {limits.depth} deep",
        found="deeper ones",
        remedy="Flatten the formula there.",
    )
