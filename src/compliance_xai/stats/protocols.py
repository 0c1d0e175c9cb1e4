"""Which checkpoints of trainings are compared: after equal compute, at equal validation loss, or each at its best.

An under-trained strategy looks unfocused. Strategies are therefore compared after the same number of steps, where their
validation losses are closest, and each where its own loss is lowest; a finding that depends on one of the three says
so.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

COLUMNS = ("protocol", "scale", "strategy", "seed", "step", "loss", "target", "reached", "reason")


def pick_checkpoints(losses: pd.DataFrame, protocols: Iterable[str], *, tolerance: float) -> pd.DataFrame:
    """Pick one checkpoint of every training for each protocol.

    ``matched_compute`` takes the last one. ``best`` takes the one with the lowest validation loss. ``matched_loss``
    first finds, for each scale and seed, the lowest loss that every strategy comes down to (the best loss of the
    strategy whose best is worst), then takes of each the checkpoint whose loss is nearest to it on a log scale. A cell
    that was never near enough is marked as not reached, and no comparison uses it.

    Parameters
    ----------
    losses
        Validation losses at the checkpoints: ``scale, strategy, seed, step, loss`` (nats) and ``pairs`` (training pairs
        seen up to there).
    tolerance
        Largest difference of a matched loss from the target, as a share of it.

    Returns
    -------
    pandas.DataFrame
        ``protocol, scale, strategy, seed, step, loss, target`` (nats; NaN where the protocol has none), ``reached``
        (bool) and ``reason`` (why not, else empty).
    """
    rows = []
    for (scale, seed), block in losses.groupby(["scale", "seed"], sort=False):
        runs = {str(name): run.sort_values("step") for name, run in block.groupby("strategy", sort=False)}
        for protocol in protocols:
            for name, pick in _PICKERS[protocol](runs, tolerance).items():
                rows.append({"protocol": protocol, "scale": scale, "strategy": name, "seed": seed, **pick})
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _describe(row: pd.Series, target: float = float("nan"), reason: str = "") -> dict:
    reason = reason if np.isfinite(row["loss"]) else "its loss is not a number"
    return {
        "step": int(row["step"]), "loss": float(row["loss"]), "target": target, "reached": not reason, "reason": reason
    }  # fmt: skip


def _match_compute(runs: dict[str, pd.DataFrame], tolerance: float) -> dict[str, dict]:
    last = {name: run.iloc[-1] for name, run in runs.items()}
    least = min(int(row["pairs"]) for row in last.values())
    return {
        name: _describe(
            row,
            reason="" if row["pairs"] == least else f"saw {int(row['pairs'])} pairs, another strategy {least}",
        )
        for name, row in last.items()
    }


def _match_loss(runs: dict[str, pd.DataFrame], tolerance: float) -> dict[str, dict]:
    lowest = [float(run["loss"].min()) for run in runs.values()]
    target = max((loss for loss in lowest if np.isfinite(loss)), default=float("nan"))
    picks = {}
    for name, run in runs.items():
        away = np.abs(np.log(run["loss"].to_numpy() / target))
        row = run.iloc[_find_least(away)]
        share = abs(float(row["loss"]) / target - 1)
        reason = "" if share <= tolerance else f"nearest loss {row['loss']:.4f}, {share:.0%} from {target:.4f}"
        picks[name] = _describe(row, target, reason)
    return picks


def _take_best(runs: dict[str, pd.DataFrame], tolerance: float) -> dict[str, dict]:
    return {name: _describe(run.iloc[_find_least(run["loss"].to_numpy())]) for name, run in runs.items()}


def _find_least(values: np.ndarray) -> int:
    """The place of the smallest number; of the last value where none is one."""
    return int(np.nanargmin(values)) if np.isfinite(values).any() else len(values) - 1


_PICKERS = {"matched_compute": _match_compute, "matched_loss": _match_loss, "best": _take_best}
