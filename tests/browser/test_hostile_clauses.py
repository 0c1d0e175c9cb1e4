"""Clauses and rules that are markup, in a whole study and its book: on every page they show as the text they are."""

from __future__ import annotations

import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "<script>window.hacked=1</script>"
ATTACKS = (
    SCRIPT,
    "<img src=x onerror=window.hacked=1>",
    "[see](javascript:window.hacked=1)",
    "](javascript:window.hacked=1)",
    "{math}`x` $x_1$ {raw} html",
    "</td></table><iframe src=about:blank></iframe>",
    "**not bold** _nor_ `this` | that |",
    "&lt;b&gt; &amp; ${window.hacked=1} {{ window.hacked=1 }}",
)
STUDY = """\
name: hostile
title: "A <b>hostile</b> [study](javascript:window.hacked=1)"
corpus: {source: table, path: hostile.csv}
ladder: embedded
scales: [0.3m]
strategies: {none: {}, full: {steps: 2, batch_size: 4, evaluations: 1}}
seeds: [0]
generate: {max_new_tokens: 24}
attribution: {baselines: [delete], clauses: 8}
metrics: {encoder: null}
thresholds: {bootstrap: 100, permutations: 100}
threads: 1
"""


def write_table(path: Path) -> None:
    """Rows that differ in their words, each with an attack in its clause, in its rule and in its context."""
    things = [
        "door",
        "stair",
        "window",
        "ramp",
        "wall",
        "roof",
        "pipe",
        "drain",
        "lamp",
        "fan",
        "beam",
        "slab",
        "tap",
        "lift",
        "rail",
        "gate",
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "clause", "rule", "context", "split"])
        for number, thing in enumerate(things):
            attack = ATTACKS[number % len(ATTACKS)]
            clause = f"{number + 1}.{number} Each {thing} {attack} shall be at least {100 + 7 * number} mm from its {things[-number]}."
            quoted = attack.replace("'", "")
            rule = f"if(is({thing}.label,'{quoted}')),then(obligation(greaterThanEqual({thing}.width,{100 + 7 * number} mm)))"
            split = "test" if number < 8 else "train" if number < 12 else "validation"
            writer.writerow([f"row-{number}", clause, rule, f"context {attack}", split])
