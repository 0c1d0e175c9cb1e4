"""Is the attribution faithful to the model? What happens to the target when words go in the order of their scores.

Words are taken away a few at a time, and log p(target) is read after each step. Taking them away in the order of their
scores should cost much at once (*deletion*); keeping only the first ones should keep much (*insertion*, the same masks
seen from the other end). Areas of two models cannot be compared as they are: each area is set between the smallest and
the largest that any order was found to reach on the same model and clause (NAOPC, Edin et al. 2024, arXiv 2408.08137).
Random and reversed orders are controls. Scores that were made by deletion should be judged with another operator.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compliance_xai.attribution.methods import Score, leave_one_out_masks, rank_correlation

TOPS = (1, 3)
"""How many of the first words are taken away for the top-k drop."""

MEASURES = ("deletion", "insertion", "lds", "top_1_drop", "top_3_drop")


@dataclass(frozen=True)
class Effort:
    """How much is measured for one clause.

    ``points``: steps of a curve; ``random_orders``: orders drawn as a control; ``masks``: held out for the LDS;
    ``beam``: width of the search for the best and the worst order.
    """

    points: int = 4
    random_orders: int = 2
    masks: int = 16
    beam: int = 1


def count_removed(n_features: int, points: int) -> np.ndarray:
    """How many features are gone at each point of a curve: from none to all, evenly spaced, every count once.

    >>> count_removed(10, 4).tolist(), count_removed(3, 8).tolist()
    ([0, 2, 5, 8, 10], [0, 1, 2, 3])
    """
    return np.unique(np.round(np.linspace(0, n_features, min(points, n_features) + 1)).astype(int))


def count_masks(n_features: int, attributions: int, effort: Effort) -> int:
    """About how many texts ``judge_scores`` scores for a clause; a few fewer where masks coincide.

    >>> count_masks(20, 2, Effort())
    129
    """
    removed_P = count_removed(n_features, effort.points)
    orders = 2 * attributions + effort.random_orders
    searched = 2 * effort.beam * int((n_features - removed_P[1:-1]).sum())
    first = n_features + 1  # the search's first step looks at every feature by itself, once for both ends
    return effort.masks + orders * (len(removed_P) - 1) + 2 * (attributions + effort.random_orders) + searched + first


def removal_masks(order_F: np.ndarray, removed_P: np.ndarray) -> np.ndarray:
    """Keep-masks along an order: bool, shape (points, features).

    >>> removal_masks(np.array([2, 0, 1]), np.array([0, 1, 3])).astype(int).tolist()
    [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    """
    rank_F = np.argsort(order_F)
    return rank_F[None, :] >= np.asarray(removed_P)[:, None]


def perturbation_area(log_probs_P: np.ndarray) -> float:
    """Area over the perturbation curve (AOPC): mean over the steps of log p(whole) - log p(after the step), nats.

    Any real number; large where the first words that go matter most. With one feature a step it is that of Edin et al.
    (2024), with log p in place of p; with larger steps it is the same mean over fewer of them.

    >>> perturbation_area(np.array([-1.0, -3.0, -5.0]))
    3.0
    """
    values = np.asarray(log_probs_P, dtype=np.float64)
    return float((values[0] - values[1:]).mean()) if len(values) > 1 else float("nan")


def normalise_area(area: float, lowest: float, highest: float) -> float:
    """NAOPC: ``(area - lowest) / (highest - lowest)``, 0 for the worst order, 1 for the best.

    After Edin et al. (2024). NaN where every order has the same area.

    >>> normalise_area(3.0, 1.0, 5.0)
    0.5
    """
    return float((area - lowest) / (highest - lowest)) if highest > lowest else float("nan")


def additive_lds(scores_F: np.ndarray, masks_MF: np.ndarray, log_probs_M: np.ndarray) -> float:
    """Linear datamodeling score: Spearman's correlation of predicted and actual log p(target) on held-out masks.

    The prediction under a mask is the sum of the scores of the kept features. From -1 to 1; NaN where either side is
    constant. Cohen-Wang et al. (2024).

    >>> masks = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=bool)
    >>> additive_lds(np.array([2.0, 1.0]), masks, np.array([-1.0, -2.0, -3.0, -9.0]))
    1.0
    """
    predicted_M = np.asarray(masks_MF, dtype=np.float64) @ np.asarray(scores_F, dtype=np.float64)
    found = rank_correlation(predicted_M, log_probs_M) if len(predicted_M) > 1 else None
    return float("nan") if found is None else found


def held_out_masks(n_features: int, count: int, *, seed: int = 0) -> np.ndarray:
    """Random keep-masks, each feature kept with probability 1/2; mask ``i`` depends on ``seed`` and ``i`` alone."""
    drawn = [np.random.default_rng((seed, 1, index)).random(n_features) < 0.5 for index in range(count)]
    return np.array(drawn, dtype=bool).reshape(count, n_features)


def random_order(n_features: int, index: int, *, seed: int = 0) -> np.ndarray:
    """A random order of the features; depends on ``seed`` and ``index`` alone."""
    return np.random.default_rng((seed, 2, index)).permutation(n_features)


class _Memory:
    """Scores each mask once, whoever asks for it."""

    def __init__(self, score: Score) -> None:
        self.score = score
        self.known: dict[bytes, float] = {}

    def learn(self, masks_MF: np.ndarray, values: Iterable[float]) -> None:
        self.known.update(zip((mask.tobytes() for mask in masks_MF), map(float, values), strict=True))

    def __call__(self, masks_MF: np.ndarray) -> np.ndarray:
        keys = [mask.tobytes() for mask in masks_MF]
        fresh = {key: mask for key, mask in zip(keys, masks_MF, strict=True) if key not in self.known}
        if fresh:
            masks = np.array(list(fresh.values()))
            self.learn(masks, self.score(masks))
        return np.array([self.known[key] for key in keys])


def search_orders(
    score: Score, n_features: int, removed_P: np.ndarray, *, beam: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Orders of nearly the largest and nearly the smallest area, best first, by beam search (Edin et al. 2024).

    Every remaining feature is taken away by itself, and those that cost most (or least) go. Where a step takes several
    features, they are the ones with the largest effects by themselves, and the states of the beam differ in the last of
    them; with one feature a step this is the search of the paper, whose width is 5.
    """
    # A state is a partial order, as the features that are gone, and the sum of log-probabilities on the way.
    beams: dict[int, list[tuple[tuple[int, ...], float]]] = {-1: [((), 0.0)], 1: [((), 0.0)]}
    for before, after in itertools.pairwise(removed_P):
        if after == n_features:
            break
        # One call for both searches; a memory answers below.
        score(np.vstack([_without_each(gone, n_features)[1] for states in beams.values() for gone, _ in states]))
        for sign, states in beams.items():
            beams[sign] = _extend(score, states, n_features, int(after - before), beam, sign)
    ends = (beams[sign][0][0] for sign in (-1, 1))
    best, worst = (np.array([*gone, *_without_each(gone, n_features)[0]], dtype=int) for gone in ends)
    return best, worst


def _without_each(gone: Sequence[int], n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """The features that are left, and masks without what is gone and without one of them more."""
    left = np.setdiff1d(np.arange(n_features), gone)
    return left, np.isin(np.arange(n_features), left) & ~np.eye(n_features, dtype=bool)[left]


def _extend(
    score: Score, states: Iterable[tuple[tuple[int, ...], float]], n: int, step: int, beam: int, sign: int
) -> list[tuple[tuple[int, ...], float]]:
    """The next states: of each, the features with the lowest (sign -1) or highest log p without them go."""
    children: dict[frozenset[int], tuple[tuple[int, ...], float]] = {}
    for gone, total in states:
        left, masks = _without_each(gone, n)
        ranked = left[np.argsort(-sign * score(masks), kind="stable")].tolist()
        offspring = [(*gone, *ranked[: step - 1], end) for end in ranked[step - 1 : step - 1 + beam]]
        values = score(np.array([~np.isin(np.arange(n), child) for child in offspring]))
        for child, value in zip(offspring, values, strict=True):
            known = children.get(frozenset(child))
            if known is None or sign * (total + value) > sign * known[1]:
                children[frozenset(child)] = child, total + value
    return sorted(children.values(), key=lambda state: -sign * state[1])[:beam]


def judge_scores(
    score: Score,
    scores: Mapping[str, np.ndarray],
    *,
    effort: Effort = Effort(),
    singles: tuple[float, np.ndarray] | None = None,
    seed: int = 0,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Judge several attributions of one clause with one operator.

    Parameters
    ----------
    score
        Log p(whole target) under keep-masks, with the judging operator.
    scores
        Name of an attribution -> signed score of each feature, summed over the target's tokens, nats.
    singles
        Log p(whole target) with every feature, and without each by itself, where leave-one-out with the judging
        operator has read them already.

    Returns
    -------
    measures
        One row for each attribution: ``attribution, n_features, whole, empty`` (nats), ``lowest, highest`` (areas,
        nats: over the searched orders and every other order that was looked at), ``area`` (of the score's order);
        ``deletion`` (its NAOPC), ``insertion`` (1 - NAOPC of the reversed order, which is the normalised area under the
        insertion curve), ``random_deletion``, ``reversed_deletion`` (controls), ``lds``; ``top_1_drop, top_3_drop,
        random_top_1_drop, random_top_3_drop`` (share of ``whole - empty`` that is lost with the first k words),
        ``top_1_nats, top_3_nats``; ``reason`` (why measures are NaN, else empty).
    curves
        One row for each order and point: ``attribution, order`` (``score``, ``reversed``, ``random``, ``best``,
        ``worst``), ``draw, step`` (from 0), ``removed`` (share of the features), ``log_prob`` (nats), ``kept`` (share
        of ``whole - empty`` that is left; NaN where the clause does not help).
    """
    n = len(next(iter(scores.values())))
    removed_P = count_removed(n, effort.points)
    if n < 2:
        return [{"attribution": name, "n_features": n, "reason": "fewer than two words"} for name in scores], []
    ask = _Memory(score)
    if singles is not None:
        ask.learn(leave_one_out_masks(n), [singles[0], *singles[1]])
    orders = {("", "random", draw): random_order(n, draw, seed=seed) for draw in range(effort.random_orders)}
    for name, scores_F in scores.items():
        falling_F = np.argsort(-np.asarray(scores_F, dtype=np.float64), kind="stable")  # equal scores in text order
        orders[name, "score", 0], orders[name, "reversed", 0] = falling_F, falling_F[::-1]
    held_out_MF = held_out_masks(n, effort.masks, seed=seed)
    counts = np.array([k for k in TOPS if k <= n])
    tops = [removal_masks(order, counts) for (_, kind, _), order in orders.items() if kind != "reversed"]
    ask(np.vstack([held_out_MF, *tops, *(removal_masks(order, removed_P) for order in orders.values())]))
    searched = search_orders(ask, n, removed_P, beam=effort.beam)
    orders |= {("", name, 0): order for name, order in zip(("best", "worst"), searched, strict=True)}
    values = {key: ask(removal_masks(order, removed_P)) for key, order in orders.items()}
    areas = {key: perturbation_area(values_P) for key, values_P in values.items()}
    common = {"n_features": n, "whole": ask(np.ones((1, n), bool))[0], "empty": ask(np.zeros((1, n), bool))[0]}
    common |= {"lowest": min(areas.values()), "highest": max(areas.values())}
    measures = [
        _measure(name, np.asarray(scores_F, dtype=np.float64), ask, orders, areas, common, held_out_MF)
        for name, scores_F in scores.items()
    ]
    span = common["whole"] - common["empty"]
    curves = [
        {
            **{"attribution": name, "order": order, "draw": draw, "step": step, "removed": float(removed / n)},
            **{"log_prob": float(value), "kept": float((value - common["empty"]) / span) if span > 0 else float("nan")},
        }
        for (name, order, draw), values_P in values.items()
        for step, (removed, value) in enumerate(zip(removed_P, values_P, strict=True))
    ]
    return measures, curves


def _measure(
    name: str,
    scores_F: np.ndarray,
    ask: Score,
    orders: Mapping[tuple[str, str, int], np.ndarray],
    areas: Mapping[tuple[str, str, int], float],
    common: dict[str, Any],
    held_out_MF: np.ndarray,
) -> dict[str, Any]:
    lowest, highest, span = common["lowest"], common["highest"], common["whole"] - common["empty"]
    record = {"attribution": name, **common, "area": areas[name, "score", 0]}
    problems = {
        "all scores are equal": np.ptp(scores_F) == 0,
        "every order has the same area": not highest > lowest,
        "the target is no likelier with the clause than without": not span > 0,
    }
    reasons = [reason for reason, holds in problems.items() if holds]
    if reasons:
        return record | {"reason": "; ".join(reasons)}
    at_random = [area for (_, kind, _), area in areas.items() if kind == "random"]
    reversed_share = normalise_area(areas[name, "reversed", 0], lowest, highest)
    record |= {
        "deletion": normalise_area(record["area"], lowest, highest),
        "insertion": 1 - reversed_share,
        "reversed_deletion": reversed_share,
        "random_deletion": normalise_area(float(np.mean(at_random)), lowest, highest) if at_random else np.nan,
        "lds": additive_lds(scores_F, held_out_MF, ask(held_out_MF)),
    }

    def lose(order_F: np.ndarray, k: int) -> float:
        """Nats that the first k words of an order are worth."""
        return common["whole"] - ask(removal_masks(order_F, np.array([k])))[0]

    drawn = [order_F for (_, kind, _), order_F in orders.items() if kind == "random"]
    for k in (k for k in TOPS if k <= len(scores_F)):
        lost = lose(orders[name, "score", 0], k)
        record |= {f"top_{k}_nats": lost, f"top_{k}_drop": lost / span}
        if drawn:
            record[f"random_top_{k}_drop"] = float(np.mean([lose(order_F, k) for order_F in drawn])) / span
    return record | {"reason": ""}
