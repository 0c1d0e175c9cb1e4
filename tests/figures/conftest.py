"""Small invented frames in the shape of the real ones. They live in tests only and are never shown in the book."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from compliance_xai.records import CATEGORIES, Attribution, Feature, TargetToken

SCALES = {"300k": 312_000, "1m": 1_050_000, "4m": 4_200_000}
STRATEGIES = ("none", "full", "lora", "qlora")


def _summaries(keys: dict[str, list], base: dict[str, float], seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for scale, strategy, *values in itertools.product(SCALES, STRATEGIES, *keys.values()):
        mean = (
            sum(base.get(str(value), 0.0) for value in values) + 0.05 * STRATEGIES.index(strategy) + rng.normal(0, 0.03)
        )
        low, high = mean - rng.uniform(0.02, 0.06), mean + rng.uniform(0.02, 0.06)
        rows.append(
            {
                "scale": scale,
                "parameters": SCALES[scale],
                "strategy": strategy,
                "baseline": "delete",
                "sign": "net",
            }
            | dict(zip(keys, values, strict=True))
            | {"n_clauses": 40, "n_seeds": 2, "mean": mean, "low": low, "high": high}
        )
    return pd.DataFrame(rows)


@pytest.fixture
def focus() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    clause = rng.normal(0.62, 0.08, 40)
    rows = [
        {"scale": scale, "parameters": size, "strategy": strategy, "seed": seed,
         "id": f"c{index:02d}", "baseline": "delete",
         "sign": "net", "normalised_entropy": clause[index] + 0.04 * place + rng.normal(0, 0.03)}
        for scale, size in SCALES.items()
        for place, strategy in enumerate(STRATEGIES)
        for seed in ((0,) if strategy == "none" else (0, 1))
        for index in range(40)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def focus_summary() -> pd.DataFrame:
    return _summaries({"measure": ["normalised_entropy"]}, {"normalised_entropy": 0.6}, 2)


@pytest.fixture
def lift() -> pd.DataFrame:
    names = [*CATEGORIES, "numerical_constraint", "rule_identifier_all"]
    return _summaries({"category": names}, {"number": 0.8, "numerical_constraint": 0.5, "other": -0.9}, 3).assign(
        measure="log_lift"
    )


@pytest.fixture
def quality() -> pd.DataFrame:
    return _summaries({"measure": ["exact", "semantic"]}, {"exact": 0.5, "semantic": 0.75}, 4)


@pytest.fixture
def pairs() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = []
    for scale in [*SCALES, "all"]:
        for a, b in itertools.combinations(("full", "lora", "qlora"), 2):
            mean = rng.normal(0, 0.05)
            rows.append(
                {"scale": scale, "parameters": SCALES.get(scale, 0), "baseline": "delete", "sign": "net",
                 "measure": "normalised_entropy", "strategy_a": a, "strategy_b": b, "n_clauses": 40, "difference": mean,
                 "low": mean - 0.03, "high": mean + 0.03}
            )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def log() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    rows = []
    for seed in (0, 1):
        for step in range(0, 200, 5):
            loss = 3 * np.exp(-step / 40) + 0.05
            rows.append(
                {
                    "seed": seed,
                    "step": step,
                    "split": "train",
                    "loss": loss * rng.uniform(0.8, 1.2),
                    "tokens": step * 900,
                }
            )
            if step % 50 == 0:
                rows.append(
                    {"seed": seed, "step": step, "split": "validation", "loss": loss * 1.1, "tokens": step * 900}
                )
    return pd.DataFrame(rows)


@pytest.fixture
def corpus_frames() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(9)
    contexts = ["access", "drainage", "envelope", "fire", "plumbing", "structure", "ventilation"]
    cells = [(split, context) for context in contexts[:-1] for split in ("train", "validation", "test")]
    cells.append(("document", contexts[-1]))
    counts = pd.DataFrame(
        [
            {"split": split, "context": context, "clauses": int(rng.integers(20, 200)), "distinct_rules": 9}
            for split, context in cells
        ]
    )
    lengths = pd.DataFrame(
        [
            {
                "id": f"{context}-{index}",
                "split": "train",
                "context": context,
                "text": text,
                "words": int(rng.integers(low, high)),
            }
            for context in contexts
            for index in range(25)
            for text, low, high in (("clause", 9, 40), ("rule", 6, 24))
        ]
    )
    categories = pd.DataFrame(
        [
            {"split": split, "context": context, "category": category, "features": int(rng.integers(5, 300))}
            for split, context in cells
            for category in CATEGORIES
        ]
    )
    return {"counts": counts, "lengths": lengths, "categories": categories}


@pytest.fixture
def attribution() -> Attribution:
    return make_attribution("4.2.1 The clear width of an exit door shall be not less than 850 mm.")


@pytest.fixture
def hostile() -> Attribution:
    """A clause that a careless page would run instead of show."""
    return make_attribution(
        'The <script>alert("clause")</script> door <b>shall</b> [see](javascript:alert(1)) be $5 wide & free.'
    )


def make_attribution(clause: str) -> Attribution:
    rule = "if(is(door.type,exit)),then(obligation(greaterThanEqual(door.clear_width,850 mm)))"
    if "<script>" in clause:
        rule = 'if(has(door,<img src=x onerror="alert(2)">)),then(obligation(is(door,[x](javascript:alert(3)))))'
    features, cursor = [], 0
    for word in clause.split(" "):
        start = clause.index(word, cursor)
        cursor = start + len(word)
        features.append(Feature(start, cursor, word, "number" if word.isdigit() else "other"))
    tokens = [
        TargetToken(start, min(start + 4, len(rule)), rule[start : start + 4]) for start in range(0, len(rule), 4)
    ]
    tokens.append(TargetToken(len(rule), len(rule), ""))
    rng = np.random.default_rng(10)
    scores = rng.normal(0, 0.4, (len(features), len(tokens))) * (rng.random((len(features), len(tokens))) < 0.35)
    scores[min(4, len(features) - 1), 3] = 4.2
    return Attribution(
        "demo-1",
        clause,
        rule,
        tuple(features),
        tuple(tokens),
        scores.astype(np.float32),
        np.full(len(tokens), -0.1, np.float32),
    )
