"""Words of building regulations, by the part they play in a requirement; ``lexicons.yaml`` lists and explains them."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.files import read_package_data

_TEXTS: dict[str, str] = read_package_data(Path(__file__).with_suffix(".yaml"))

WORDS = {name: frozenset(text.split()) for name, text in _TEXTS.items() if "," not in text}
"""Single words, by list."""
WORDS["units"] = WORDS["unit_symbols"] | WORDS["unit_names"]

PHRASES = {
    name: sorted({tuple(phrase.split()) for phrase in text.split(",")}, key=lambda phrase: (-len(phrase), phrase))
    for name, text in _TEXTS.items()
    if "," in text
}
"""Phrases as words, by list, longest first."""
