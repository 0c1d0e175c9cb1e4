"""How concentrated an attribution is, and on what: measures of a mass vector, and tidy frames of them.

A mass vector holds one non-negative number per feature, from the signed score matrix of an attribution in one of three
declared ways (``SIGNS``). ``net``, the primary one, adds a feature's scores over the target's tokens and takes the size
of the sum: noise of single tokens cancels. ``absolute`` sums ``|score|``, to which noise of every token adds;
``positive`` sums ``max(score, 0)``, that is only what makes the target likelier. All are reported. A vector without
mass has no distribution: its measures are NaN, never a number that looks like one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.errors import require_choice
from compliance_xai.records import (
    CATEGORIES,
    NUMERICAL_CONSTRAINT,
    RULE_IDENTIFIER,
    Attribution,
    Example,
    attribution_from_row,
)

KEYS = ("id", "split", "seed", "method", "baseline")
"""What tells stored attributions apart: the clause and its split, the training seed, and how words were scored."""
SIGNS = ("net", "absolute", "positive")
AVERAGE = "average"
"""The baseline of attributions that are averaged over ways of removing a word (``average_removals``)."""
MEASURES = ("normalised_entropy", "gini", "top_1_mass", "top_3_mass", "effective_number", "effective_fraction")
GROUPS = {"numerical_constraint": NUMERICAL_CONSTRAINT, "rule_identifier_all": RULE_IDENTIFIER}
"""The two named outcomes of the claim about scale: number + unit + comparator, and identifier + cross-reference."""

SMOOTHING = 0.5
"""Pseudo-features of average mass that every category is given before its log-lift is taken."""


def mass(scores_FT: np.ndarray, sign: str = "absolute", *, floor: float = 0.0) -> np.ndarray:
    """Mass of each feature: its scores summed over the target's tokens.

    Parameters
    ----------
    scores_FT
        Signed scores in nats, shape (features, target tokens).
    sign
        One of ``SIGNS``.
    floor
        Scores below this size (nats) count as zero; set it from the noise between equal computations.

    Returns
    -------
    float64, shape (features,)
        Nats, not negative.

    Examples
    --------
    >>> mass(np.array([[1.0, -2.0], [0.5, 0.0]]), "net").tolist()
    [1.0, 0.5]
    >>> mass(np.array([[1.0, -2.0], [0.5, 0.0]]), "absolute").tolist()
    [3.0, 0.5]
    >>> mass(np.array([[1.0, -2.0], [0.5, 0.0]]), "positive").tolist()
    [1.0, 0.5]
    """
    require_choice("mass, sign", sign, SIGNS)
    scores = np.asarray(scores_FT, dtype=np.float64)
    scores = np.where(np.abs(scores) < floor, 0.0, scores)
    if sign == "net":
        return np.abs(scores.sum(axis=1))
    return np.abs(scores).sum(axis=1) if sign == "absolute" else np.clip(scores, 0.0, None).sum(axis=1)


def normalised_entropy(mass_F: np.ndarray) -> float:
    """Shannon entropy of the mass distribution over its largest value, ``-sum(p ln p) / ln n``.

    0: all mass on one feature; 1: the same on every feature. NaN without mass or with fewer than two features.
    Shannon (1948), section 6; the division by ``ln n`` is Pielou's evenness (1966) and makes clauses of different
    length comparable.

    Examples
    --------
    >>> normalised_entropy(np.array([1.0, 1.0, 0.0, 0.0]))
    0.5
    """
    return abs(_entropy(mass_F)) / float(np.log(len(mass_F))) if len(mass_F) > 1 else float("nan")


def effective_number(mass_F: np.ndarray) -> float:
    """Number of equally used features with the same entropy, ``exp(-sum(p ln p))``: from 1 to n; NaN without mass.

    Hill (1973), diversity of order 1.

    Examples
    --------
    >>> round(effective_number(np.array([1.0, 1.0, 0.0, 0.0])), 12)
    2.0
    """
    return float(np.exp(_entropy(mass_F)))


def gini(mass_F: np.ndarray) -> float:
    """Gini index, ``sum_i (2 i - n - 1) x_i / (n sum x)`` over the ascending order ``x_1 <= ... <= x_n``.

    0: equal mass; ``1 - 1/n``: all mass on one feature (no small-sample correction). NaN without mass.
    Hurley and Rickard (2009), equation in table I, as a measure of sparsity.

    Examples
    --------
    >>> gini(np.array([0.0, 0.0, 0.0, 2.0]))
    0.75
    """
    ascending = np.sort(mass_F)
    n, total = len(ascending), ascending.sum()
    if n == 0 or not total > 0:
        return float("nan")
    return float(((2 * np.arange(1, n + 1) - n - 1) * ascending).sum() / (n * total))


def top_k_mass(mass_F: np.ndarray, k: int) -> float:
    """Share of the mass on the ``k`` heaviest features, from ``k/n`` to 1 (1 where ``k >= n``); NaN without mass.

    Examples
    --------
    >>> top_k_mass(np.array([1.0, 5.0, 2.0, 2.0]), 2)
    0.7
    """
    values = np.sort(mass_F)[::-1]
    return float(values[:k].sum() / values.sum()) if values.sum() > 0 else float("nan")


def half_correlation(scores_FT: np.ndarray, sign: str = "absolute", *, floor: float = 0.0) -> float:
    """Correlation over features of the mass towards every other target token with that towards the rest; -1 to 1.

    How far a clause's pattern depends on which tokens of the rule are looked at. Stepped up to the full length by
    ``stats.spearman_brown``. NaN with fewer than three features, or where one half gives all of them the same mass.

    >>> round(half_correlation(np.array([[2.0, 1.0], [0.0, 1.0], [4.0, 4.0]])), 6)
    0.866025
    """
    odd_F, even_F = (mass(np.asarray(scores_FT)[:, start::2], sign, floor=floor) for start in (0, 1))
    if len(odd_F) < 3 or np.ptp(odd_F) == 0 or np.ptp(even_F) == 0:
        return float("nan")
    return float(np.corrcoef(odd_F, even_F)[0, 1])


def log_lift(share_P: np.ndarray, n_category_P: np.ndarray, n_features_P: np.ndarray) -> np.ndarray:
    """How much more mass a category has than its share of the features, ``ln((n share + a) / (n_category + a))``.

    0: as much as its features would have if all weighed the same; positive: the model favours the category. The
    smoothing ``a`` gives the category ``a`` further features of average mass (Lidstone's additive smoothing, Manning,
    Raghavan and Schuetze 2008, section 11.3.2), so that a category without mass has a finite value:
    from ``ln(a / (n_category + a))`` to ``ln((n + a) / (n_category + a))``. NaN where the clause has none of the
    category. ``a`` is ``SMOOTHING``.

    Examples
    --------
    >>> log_lift(np.array([0.25, 1.0]), np.array([1, 1]), np.array([4, 4])).round(6).tolist()  # ln 1, ln(4.5 / 1.5)
    [0.0, 1.098612]
    """
    lift_P = np.log((n_features_P * share_P + SMOOTHING) / (n_category_P + SMOOTHING))
    return np.where(n_category_P > 0, lift_P, np.nan)


def focus_frame(rows: Iterable[dict[str, Any]], *, floor: float = 0.0) -> pd.DataFrame:
    """Focus measures of stored attributions.

    Parameters
    ----------
    rows
        Rows of an attribution file (``records.read_attribution_rows``).
    floor
        Scores smaller than this (nats) count as zero. A feature with no score of at least this size is left out of
        every measure but stays in ``n_features``: the clause is no shorter because a model ignores a word.

    Returns
    -------
    pandas.DataFrame
        One row per (id, seed, method, baseline, sign): ``id, split, seed, method, baseline, sign, n_features,
        n_target_tokens, noise_floor`` (nats), ``n_below_floor`` (features left out), ``total_mass, net_mass,
        baseline_log_prob`` (nats; net: the signed sum of all scores; log-prob: of the whole target),
        ``normalised_entropy, gini, top_1_mass, top_3_mass, effective_number, effective_fraction`` (over n),
        ``half_correlation`` (see there).
    """
    records = []
    for row in rows:
        attribution = attribution_from_row(row)
        scores = attribution.scores.astype(np.float64)
        for sign in SIGNS:
            mass_F = mass(scores, sign, floor=floor)
            effective = effective_number(mass_F)
            records.append(
                read_keys(row, attribution)
                | {
                    "sign": sign,
                    "n_features": scores.shape[0],
                    "n_target_tokens": scores.shape[1],
                    "noise_floor": floor,
                    "n_below_floor": int((np.abs(scores) < floor).all(axis=1).sum()),
                    "total_mass": float(mass_F.sum()),
                    "net_mass": float(scores.sum()),
                    "baseline_log_prob": float(attribution.baseline_log_probs.astype(np.float64).sum()),
                    "normalised_entropy": normalised_entropy(mass_F),
                    "gini": gini(mass_F),
                    "top_1_mass": top_k_mass(mass_F, 1),
                    "top_3_mass": top_k_mass(mass_F, 3),
                    "effective_number": effective,
                    "effective_fraction": effective / scores.shape[0],
                    "half_correlation": half_correlation(scores, sign, floor=floor),
                }
            )
    sizes = ("n_features", "n_target_tokens", "noise_floor", "n_below_floor", "total_mass", "net_mass")
    columns = [*KEYS, "sign", *sizes, "baseline_log_prob", *MEASURES, "half_correlation"]
    return pd.DataFrame.from_records(records, columns=columns)


def category_frame(shares: pd.DataFrame, *, examples: Sequence[Example] | None = None) -> pd.DataFrame:
    """Where the mass lies, by feature category and for the two named groups of categories.

    Parameters
    ----------
    shares
        ``share_frame``.
    examples
        Source of ``identifier_role`` and ``number_role`` (both empty where absent).

    Returns
    -------
    pandas.DataFrame
        One row per pattern and category, for all ``CATEGORIES`` and ``GROUPS``: what tells patterns apart (``id, split,
        seed, method, baseline, sign``, ...), ``category, n_features`` (of the category), ``n_clause_features, mass``
        (nats), ``share`` (of the clause's mass), ``feature_share, log_lift`` (natural log, see ``log_lift``; NaN where
        the clause has none), ``identifier_role, number_role``.
    """
    patterns, place_W = _patterns(shares)
    n_P = np.bincount(place_W, minlength=len(patterns))
    roles = {example.id: (example.identifier_role, example.number_role) for example in examples or ()}
    known = [roles.get(name, ("", "")) for name in patterns["id"]]
    parts = []
    for name, members in ({name: (name,) for name in CATEGORIES} | GROUPS).items():
        inside_W = shares["category"].isin(members).to_numpy()
        count_P, mass_P, share_P = (
            np.bincount(place_W[inside_W], weights=values[inside_W], minlength=len(patterns))
            for values in (np.ones(len(shares)), shares["mass"].to_numpy(), shares["share"].to_numpy())
        )
        columns = {"category": name, "n_features": count_P.astype(int), "n_clause_features": n_P, "mass": mass_P}
        columns |= {"share": share_P, "feature_share": count_P / np.maximum(n_P, 1)}
        columns["log_lift"] = log_lift(share_P, count_P, n_P)
        columns |= {"identifier_role": [role for role, _ in known], "number_role": [role for _, role in known]}
        parts.append(patterns.assign(**columns))
    result = pd.concat(parts).sort_index(kind="stable")  # all categories of a pattern together
    return result.reset_index(drop=True)


def pattern_frame(shares: pd.DataFrame) -> pd.DataFrame:
    """How many words each pattern rests on: what tells patterns apart, and three measures.

    One row per pattern: the columns of ``shares`` that are the same for all of its words, ``n_features, total_mass``
    (nats) and ``log_words``, the log of ``effective_number`` (NaN without mass): two patterns whose values differ by
    0.05 rest on numbers of words that differ by 5 %.
    """
    patterns, place_W = _patterns(shares)
    share_W, size = shares["share"].to_numpy(dtype=np.float64), len(patterns)
    terms_W = np.where(share_W > 0, share_W * np.log(np.where(share_W > 0, share_W, 1.0)), share_W)
    columns = {"n_features": np.bincount(place_W, minlength=size)}
    columns["total_mass"] = np.bincount(place_W, weights=shares["mass"].to_numpy(), minlength=size)
    columns["log_words"] = np.abs(np.bincount(place_W, weights=terms_W, minlength=size))
    return patterns.assign(**columns)


def _patterns(shares: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """What tells patterns apart, in order of appearance, and the pattern of each word."""
    keys = [name for name in shares.columns if name not in ("feature", "category", "mass", "share")]
    place_W = shares.groupby(keys, sort=False, observed=True).ngroup().to_numpy()
    return shares[keys].drop_duplicates().reset_index(drop=True), place_W


def average_removals(rows: Iterable[dict[str, Any]], removals: Sequence[str]) -> list[dict[str, Any]]:
    """Attributions averaged over ways of removing a word: what they agree on stays, what is one way's own shrinks.

    ``rows``: rows of an attribution file. ``removals``: baselines. Clauses that were not attributed with all of them
    have no average.

    Returns
    -------
    list of dict
        A row for each clause, seed and method, like the others, with the baseline ``AVERAGE``; none for one removal.
    """
    found: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows if len(removals) > 1 else ():
        keys = read_keys(row, attribution_from_row(row))
        found.setdefault((keys["id"], keys["seed"], keys["method"]), {})[row["baseline"]] = row
    averaged = []
    for own in found.values():
        if set(removals) <= set(own):
            scores = np.mean([np.asarray(own[name]["scores"], dtype=np.float64) for name in removals], axis=0)
            averaged.append(own[removals[0]] | {"baseline": AVERAGE, "scores": scores.astype(np.float32)})
    return averaged


def word_frame(rows: Iterable[dict[str, Any]], *, floor: float = 0.0) -> pd.DataFrame:
    """What each word of each clause carries: the raw data of every comparison, without the text.

    One row per (id, seed, method, baseline, feature): ``id, split, seed, method, baseline, feature`` (from 0),
    ``category``, and in nats (float32) ``net`` (signed sum over the target's tokens), ``absolute`` and ``positive``.
    """
    frames = []
    for row in rows:
        attribution = attribution_from_row(row)
        scores = attribution.scores.astype(np.float64)
        masses = {sign: mass(scores, sign, floor=floor) for sign in SIGNS}
        masses["net"] = np.where(np.abs(scores) < floor, 0.0, scores).sum(axis=1)
        columns = {"feature": np.arange(len(scores)), "category": [f.category for f in attribution.features]}
        values = {name: value.astype(np.float32) for name, value in masses.items()}
        frames.append(pd.DataFrame(read_keys(row, attribution) | columns | values))
    empty = pd.DataFrame(columns=pd.Index([*KEYS, "feature", "category", *SIGNS]))
    return pd.concat(frames, ignore_index=True)[empty.columns] if frames else empty


def share_frame(words: pd.DataFrame) -> pd.DataFrame:
    """The pattern of each clause, one row per word and sign, for distances between runs.

    ``words``: ``word_frame``, of one cell or of several with their columns.

    The columns of ``words`` with ``sign, mass`` (nats, not negative) and ``share`` (of the clause's mass; NaN without
    mass) for ``SIGNS``.
    """
    keys = [name for name in words.columns if name not in ("feature", "category", *SIGNS)]
    pattern = words.groupby(keys, sort=False, observed=True).ngroup().to_numpy()
    kept = words.drop(columns=list(SIGNS))
    parts = []
    for sign in SIGNS:
        mass_W = np.abs(words[sign].to_numpy(dtype=np.float64))
        total_P = np.bincount(pattern, weights=mass_W) if len(words) else np.zeros(0)
        share_W = np.divide(mass_W, total_P[pattern], out=np.full(len(words), np.nan), where=total_P[pattern] > 0)
        parts.append(kept.assign(sign=sign, mass=mass_W, share=share_W))
    return pd.concat(parts, ignore_index=True)


def read_keys(row: dict[str, Any], attribution: Attribution) -> dict[str, Any]:
    """``KEYS`` of a stored attribution; the method stands in its provenance."""
    return {name: attribution.provenance.get(name, "") if name == "method" else row[name] for name in KEYS}


def _entropy(mass_F: np.ndarray) -> float:
    """In nats; NaN without mass."""
    total = mass_F.sum()
    share_F = mass_F / total if total > 0 else np.array([np.nan])
    used_F = share_F[share_F != 0]  # NaN stays
    return float(-(used_F * np.log(used_F)).sum())
