"""How long scoring takes: 718 pairs, as many as the published table has, by every score but the neural ones.

    python benchmarks/rules.py

writes ``benchmarks/results/rules.json`` and ``rules.md``. Pairs: rules of the synthetic corpus with one seeded mistake
each; rules against other rules (nothing in common, the slowest case); and, where it lies beside the checkout, the
published New Zealand table treated in the same two ways. Times are of one process; its own start is not counted.
"""

from __future__ import annotations

import csv
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from keep import keep_result

from compliance_xai.machine import describe_machine, package_versions
from compliance_xai.rules import scores
from compliance_xai.rules.compare.equivalence import equivalent
from compliance_xai.rules.compare.error_kinds import error_kinds
from compliance_xai.rules.notation.parse import parse_rule
from compliance_xai.rules.notation.tree import Leaf
from compliance_xai.study.folders import find_data_folder

REPOSITORY = Path(__file__).resolve().parents[1]
PUBLISHED = REPOSITORY.parent / "shared" / "data" / "nzbc_lrml_v8_dev.csv"
PAIRS = 718
LIMIT_S = 20.0
"""What the project asks of itself on two cores."""

Pairs = tuple[list[str], list[str]]


def read_rules() -> dict[str, list[str]]:
    """The rules of each source, the first ``PAIRS`` of them."""
    path = find_data_folder() / "synthetic" / "train.jsonl"
    with path.open(encoding="utf-8") as file:
        rules = {"synthetic": [json.loads(line)["rule"] for line in file][:PAIRS]}
    if PUBLISHED.is_file():
        with PUBLISHED.open(encoding="utf-8", newline="") as file:
            rules["published table"] = [row["lrml"] for row in csv.DictReader(file)][:PAIRS]
    return rules


def make_pairs(rules: Sequence[str]) -> dict[str, Pairs]:
    """Each rule with one leaf changed, and each rule with another one."""
    generator = random.Random(0)
    changed = []
    for rule in rules:
        leaf = generator.choice([each.text for each in parse_rule(rule).leaves() if each.kind != "quoted"] or ["x"])
        changed.append(rule.replace(leaf, "2 kN" if Leaf(leaf).kind == "quantity" else "changed", 1))
    others = list(rules)
    generator.shuffle(others)
    return {"one mistake": (changed, list(rules)), "another rule": (others, list(rules))}


def measure(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of wall clock and of processor time; nothing is remembered from a measurement before."""
    scores.decide_pair.cache_clear()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": round(time.perf_counter() - wall, 3), "cpu_s": round(time.process_time() - cpu, 3)}


WORK: dict[str, Callable[[list[str], list[str]], object]] = {
    **{
        name: lambda predictions, references, score=score: score.total(
            scores.Pairs(predictions, references, spelling="intermediate")
        )
        for name, score in scores.SCORES.items()
        if name != "semantic_similarity"
    },
    "error_kinds": lambda predictions, references: list(map(error_kinds, predictions, references)),
    "score_rules, all columns": lambda predictions, references: scores.score_rules(
        predictions, references, spelling="intermediate"
    ),
}


def time_equivalence(pairs: Pairs) -> dict[str, float]:
    """Milliseconds of wall clock per pair, and how often the answer is not known."""
    times, unknown = [], 0
    for prediction, reference in zip(*pairs, strict=True):
        start = time.perf_counter()
        unknown += equivalent(prediction, reference).answer == "unknown"
        times.append(1000 * (time.perf_counter() - start))
    low, high = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    return {"median_ms": round(low, 2), "p95_ms": round(high, 2), "unknown": unknown, "n": len(times)}


def main() -> None:
    for score in WORK.values():  # imports and the list of units are loaded before anything is timed
        score(["is(a.width,1 m)"], ["is(b.width,2 m)"])
    cases = [
        {"rules": source, "pairs": kind, "n": len(pairs[0]), "score": name} | measure(lambda: score(*pairs))  # noqa: B023
        for source, rules in read_rules().items()
        for kind, pairs in make_pairs(rules).items()
        for name, score in WORK.items()
    ]
    everything = [case for case in cases if case["score"] in ("score_rules, all columns", "error_kinds")]
    totals: dict[str, float] = {}
    for case in everything:
        key = f"{case['rules']}, {case['pairs']}"
        totals[key] = round(totals.get(key, 0.0) + case["wall_s"], 3)
    single = {
        f"{source}, {kind}": time_equivalence(pairs)
        for source, rules in read_rules().items()
        for kind, pairs in make_pairs(rules).items()
    }
    result = {
        "limit_s": LIMIT_S,
        "equivalence": single,
        "total_wall_s": totals,
        "within_limit": all(seconds < LIMIT_S for seconds in totals.values()),
        "cases": cases,
        "machine": describe_machine(),
        "versions": package_versions(),
    }
    keep_result("rules", result, write_markdown(result))


def write_markdown(result: dict) -> str:
    """The figures as a table, a row per score and a column per set of pairs."""
    columns = list(dict.fromkeys((case["rules"], case["pairs"], case["n"]) for case in result["cases"]))
    seconds = {(case["score"], case["rules"], case["pairs"]): case for case in result["cases"]}
    lines = [
        "# Speed of scoring rules",
        "",
        "Seconds of wall clock (of processor time) in one process, by `python benchmarks/rules.py`. All scores but the",
        f"neural ones and the kinds of error together should stay under {result['limit_s']:.0f} s.",
        "",
        "| score | " + " | ".join(f"{rules}, {pairs} (n = {n})" for rules, pairs, n in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for name in WORK:
        cells = (seconds[name, rules, pairs] for rules, pairs, _ in columns)
        lines.append(
            f"| {name} | " + " | ".join(f"{cell['wall_s']:.2f} ({cell['cpu_s']:.2f})" for cell in cells) + " |"
        )
    lines += [
        "| **all scores and error kinds** | "
        + " | ".join(f"**{t:.2f}**" for t in result["total_wall_s"].values())
        + " |"
    ]
    lines += [
        "",
        "One pair by `rules.equivalent`, in milliseconds of wall clock:",
        "",
        "| pairs | n | median | 95 % of pairs below | unknown |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, one in result["equivalence"].items():
        lines.append(f"| {name} | {one['n']} | {one['median_ms']:.1f} | {one['p95_ms']:.1f} | {one['unknown']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
