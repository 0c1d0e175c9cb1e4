"""Where words begin and end: at white space, except inside grouped numbers; scripts without spaces are noticed."""

import re

from compliance_xai.errors import InputError

_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"[{_UNSPACED}]+|[\uac00-\ud7af]{{13,}}")
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese; and Korean in stretches that are longer than any of its words."""
QUOTED, MOSTLY = 12, 6
"""A longer stretch without a space is a sentence, not a quoted term; ``MOSTLY`` if most letters are of such scripts."""

_GROUPED = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:[\u00a0\u2009\u202f]\d{3})+"
    r"|\d{1,3}(?: \d{3})+(?= (?:mm|cm|m|km|m2|m²|m3|m³|kg|g|N|kN|Pa|kPa|MPa|W|kW|L|l|lx|lux)\b))(?![\w]|[.,]\d)"
)
_NAMES = re.compile(r"(?:[A-Z][\w.]*|\d)[\s:]*$")
"""Before ordinary spaces a name (``Table 3 200 mm``) or another number makes it unclear where a number begins."""
_WORD = re.compile(r"\w+(?:[.,]\w+)*")


def find_runs(clause: str) -> list[tuple[int, int]]:
    """Spans between white space; thousands set apart by spaces (``1 200 mm``) stay together.

    >>> [clause[a:b] for clause in ["at least 1 200 mm"] for a, b in find_runs(clause)]
    ['at', 'least', '1 200', 'mm']
    """
    grouped = [
        found.span()
        for found in _GROUPED.finditer(clause)
        if " " not in found[0] or not _NAMES.search(clause, max(0, found.start() - 20), found.start())
    ]
    runs: list[tuple[int, int]] = []
    for found in re.finditer(r"\S+", clause):
        start, end = found.span()
        if runs and any(a <= runs[-1][0] and start < b for a, b in grouped):
            start = runs.pop()[0]
        runs.append((start, end))
    return runs


def require_spaces(clause: str) -> None:
    """Refuse a text in a script that does not put spaces between words, since its features would be whole sentences.

    The InputError names where that text begins.
    """
    runs = list(_RUN.finditer(clause))
    mostly = 2 * sum(len(run[0]) for run in runs) > sum(map(str.isalpha, clause))
    for run in runs:
        if len(run[0]) > (MOSTLY if mostly else QUOTED):
            raise InputError(
                f"clause, character {run.start() + 1}",
                expected="words separated by spaces",
                found=f"{len(run[0])} characters without one: {run[0][:QUOTED]}...",
                remedy="Put spaces between the words, for example with a word segmenter for that language.",
            )


def word_set(clause: str) -> frozenset[str]:
    """The words of a clause in lower case; of scripts without spaces, all pairs of neighbouring characters."""
    text = clause.casefold()
    pairs = {run[0][i : i + 2] for run in _RUN.finditer(text) for i in range(max(1, len(run[0]) - 1))}
    return frozenset(_WORD.findall(_RUN.sub(" ", text))) | pairs
