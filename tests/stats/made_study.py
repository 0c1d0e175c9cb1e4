"""A whole study whose truth is known, as raw frames: what a model would have given, without a model."""

import itertools

import numpy as np
import pandas as pd

from compliance_xai.stats.competence import ANOTHER, NEAREST, failing_cells
from compliance_xai.stats.declared import Declared
from compliance_xai.stats.study_tables import RawFrames, size_tables, strategy_tables
from compliance_xai.study.stage_settings import ClaimTests, Thresholds

SIZES = {"0.3m": 300_000, "1m": 1_000_000, "4m": 4_000_000}
KINDS = {"none": "none", "full": "full", "lora": "lora", "qlora": "qlora"}
WORDS = 14
CATEGORIES = ("number", "unit", "rule_identifier", *("other",) * (WORDS - 3))


def declare(*, sizes=SIZES, kinds=KINDS, seeds=4, second="owen", averaged=("delete", "mask"), **more):
    limits = {"permutations": 500} | more.pop("limits", {})
    counts = {(scale, name): 1 if kind == "none" else seeds for scale in sizes for name, kind in kinds.items()}
    return Declared(
        corpus=more.pop("corpus", "synthetic"), ladder="embedded", kinds=dict(kinds),
        families=dict.fromkeys(sizes, "embedded"), seeds=counts, tests=more.pop("tests", ClaimTests()),
        thresholds=Thresholds(**limits), second_method=second, averaged=averaged, **more,
    )  # fmt: skip


def make_study(
    *, apart=0.0, sharper=0.0, rise=0.0, quality=(0.3, 0.8, 0.8), sizes=SIZES, kinds=KINDS, seeds=4, clauses=40,
    second="owen", second_turn=1.0, floor=5.0, parses=1.0, run=0.05, seed=0, baselines=("average",),
):  # fmt: skip
    """Raw frames of a study.

    ``apart``: how far each trained strategy tilts its patterns (standard deviations of a clause's own). ``sharper``: by
    how much full fine-tuning sharpens them (an exponent; 0: not). ``rise``: change of the log weight of numbers, units
    and identifiers for ten times the parameters. ``quality``: share of right rules at each size. ``second_turn``: -1
    lets the second method find the opposite of what sharpens.
    """
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 1, (clauses, WORDS))
    tilts = {name: apart * rng.normal(size=(clauses, WORDS)) * (kind != "none") for name, kind in kinds.items()}
    marked = np.isin(CATEGORIES, ("number", "unit", "rule_identifier"))
    hard = rng.permutation((np.arange(clauses) + 0.5) / clauses)
    views = [("leave_one_out", name) for name in baselines] + [(second, "delete")] * bool(second)
    words, facts, scores = [], [], []
    for (place, (scale, parameters)), (name, kind) in itertools.product(enumerate(sizes.items()), kinds.items()):
        for replicate in range(1 if kind == "none" else seeds):
            shaken = rng.normal(0, run) + rng.normal(0, 0.3, (clauses, WORDS))
            for method, baseline in views:
                turn = second_turn if method == second else 1.0
                log = own + tilts[name] + shaken + rise * np.log10(parameters) * marked
                log = log * (1 + turn * sharper * (kind == "full")) + rng.normal(0, 0.05, log.shape)
                net = np.exp(log) / np.exp(log).sum(axis=1, keepdims=True) * 10
                net *= np.exp(rng.normal(0, 0.2, (clauses, 1)))
                words.append(
                    pd.DataFrame(
                        {
                            "scale": scale, "strategy": name, "parameters": parameters, "seed": replicate,
                            "method": method, "baseline": baseline,
                            "id": np.repeat([f"c{c:03}" for c in range(clauses)], WORDS), "split": "test",
                            "feature": np.tile(range(WORDS), clauses), "category": CATEGORIES * clauses,
                            "net": net.ravel(), "absolute": net.ravel() * 1.1, "positive": net.ravel(),
                        }
                    )
                )  # fmt: skip
            cell = {"scale": scale, "strategy": name, "seed": replicate}
            ids = {"id": [f"c{c:03}" for c in range(clauses)], "split": "test"}
            sure = {"n_target_tokens": 20, "baseline_log_prob": rng.normal(-9, 2, clauses)}
            facts.append(pd.DataFrame(cell | ids | sure))
            level = 0.02 if kind == "none" else quality[min(place, len(quality) - 1)]
            right = hard < level + rng.normal(0, 0.01)
            told = {
                "equivalent": right.astype(float),
                "exact": right.astype(float),
                "parses": parses,
                "context": "fire",
            }
            told |= {"lrml_f1": 10.0 + 80 * right, "semantic": 0.6 + 0.35 * right + rng.normal(0, 0.01, clauses)}
            scores.append(pd.DataFrame(cell | ids | told | {"parameters": parameters}))
    ids = {"id": [f"c{c:03}" for c in range(clauses)], "split": "test"}
    floors = [
        pd.DataFrame({"floor": name} | ids | {"lrml_f1": value, "semantic": 0.55, "parses": 1.0})
        for name, value in ((NEAREST, floor), (ANOTHER, 3.0))
    ]
    trained = pd.concat(facts)[["scale", "strategy", "seed"]].drop_duplicates().query("strategy != 'none'")
    runs = trained.assign(trained=1, parameters=10, validation_loss=0.5)
    joined = [pd.concat(parts, ignore_index=True) for parts in (words, facts, scores, floors)]
    return RawFrames(*joined, runs=runs, elements=pd.DataFrame())


def tabulate(raw, declared):
    """What the comparison stages give ``judge``."""
    tables = strategy_tables(raw, declared)
    return tables | size_tables(raw, declared, failing_cells(tables["competence"]))
