"""Frames whose truth is known."""

import itertools
import math

import numpy as np
import pandas as pd

PARAMETERS = {"0.3m": 300_000, "1m": 1_000_000, "4m": 4_000_000}


def make_frame(
    effect, *, scales=("1m",), strategies=("full", "lora"), seeds=2, clauses=24, noise=0.02, run=0.0, seed=0
):
    """Values per clause and run: clause level + effect(strategy, parameters) + run level + noise."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0.6, 0.1, clauses)
    rows = []
    for scale, strategy in itertools.product(scales, strategies):
        for replicate in range(1 if strategy == "none" else seeds):
            shift = effect(strategy, PARAMETERS[scale]) + rng.normal(0, run)
            for clause in range(clauses):
                value = level[clause] + shift + rng.normal(0, noise)
                rows.append((scale, strategy, PARAMETERS[scale], f"c{clause:02}", replicate, value))
    frame = pd.DataFrame(rows, columns=["scale", "strategy", "parameters", "id", "seed", "value"])
    return frame.assign(method="leave_one_out", baseline="delete", sign="absolute")


def none_of(strategy, parameters):
    return 0.0


def focused(strategy, parameters):
    return -0.1 if strategy == "full" else 0.0


def rising(strategy, parameters):
    return 0.2 * math.log10(parameters)


def make_masses(spread, *, seeds=2, scales=("1m",), strategies=("full", "lora"), clauses=15, noise=0.1, seed=0):
    """Dirichlet-like shares: one profile for each clause, tilted by strategy, shaken by run."""
    rng = np.random.default_rng(seed)
    frames = []
    for scale in scales:
        base = rng.normal(size=(clauses, 8))
        tilt = {name: rng.normal(size=(clauses, 8)) * spread for name in strategies}
        for name, replicate in itertools.product(strategies, range(seeds)):
            weight = np.exp(base + tilt[name] + noise * rng.normal(size=base.shape))
            for clause, row in enumerate(weight / weight.sum(axis=1, keepdims=True)):
                frames.append(
                    pd.DataFrame(
                        {
                            "scale": scale,
                            "strategy": name,
                            "id": f"c{clause}",
                            "seed": replicate,
                            "method": "leave_one_out",
                            "baseline": "delete",
                            "sign": "absolute",
                            "feature": range(8),
                            "share": row,
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)
