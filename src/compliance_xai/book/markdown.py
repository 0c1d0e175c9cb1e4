"""HTML in a page of the book."""

from __future__ import annotations


def raw_html(text: str) -> str:
    """HTML that a page takes as it is."""
    return f"```{{raw}} html\n{text}\n```"
