"""What replaces a feature under each baseline; counterfactuals are drawn from a corpus."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from compliance_xai.corpus.features import perturb, segment
from compliance_xai.errors import InputError
from compliance_xai.records import Feature

DRAWS = 5
"""Counterfactuals per feature."""

Pool: TypeAlias = Mapping[str, Sequence[str]]
"""Category -> texts of that category in a corpus, each repeated as often as it occurs."""


def collect_pool(
    clauses: Iterable[str], unit: str = "word", *, vocabulary: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Texts of every category in a corpus to draw counterfactuals from; frequent texts are drawn more often.

    Examples
    --------
    >>> collect_pool(["Doors shall be 1.2 m wide.", "Ramps shall be 900 mm wide."])["number"]
    ['1.2', '900']
    """
    pool: dict[str, list[str]] = {}
    for clause in clauses:
        for feature in segment(clause, unit, vocabulary=vocabulary):
            pool.setdefault(feature.category, []).append(feature.text)
    return pool


def draw_replacements(
    clause: str, features: Sequence[Feature], pool: Pool, *, draws: int = DRAWS, seed: int = 0, id: str = ""
) -> list[list[str]]:
    """Counterfactual texts for every feature, another text of its category: a list of shape (draws, features).

    A draw depends only on ``seed``, the clause, the feature's position and the draw's number, so neither the batch nor
    the other features of a mask change it. If the pool has no other text of a category, there is an InputError.

    >>> draw_replacements("12 mm", segment("12 mm"), {"number": ["12", "30"], "unit": ["m", "mm"]}, draws=2)
    [['30', 'm'], ['30', 'm']]
    """
    if draws < 1:
        raise InputError("draws", expected="1 or more", found=str(draws), remedy=f"{DRAWS} is the default.")
    clause_key = zlib.crc32(clause.encode("utf-8", "surrogatepass"))
    drawn_FD = []
    for feature in features:
        others = [text for text in pool.get(feature.category, ()) if text.lower() != feature.text.lower()]
        if not others:
            raise InputError(
                f"clause {id}, feature {feature.text!r}" if id else f"feature {feature.text!r}",
                expected=f"another text of category {feature.category} in the pool",
                found="none",
                remedy="Collect the pool from more clauses, with the unit of the features, or choose another baseline.",
            )
        generators = (np.random.default_rng((seed, clause_key, feature.start, draw)) for draw in range(draws))
        picks = [int(generator.integers(len(others))) for generator in generators]
        drawn_FD.append([_match_case(others[pick], feature.text) for pick in picks])
    return [[drawn_D[draw] for drawn_D in drawn_FD] for draw in range(draws)]


def _match_case(text: str, model: str) -> str:
    """A capital where the replaced word began a sentence with one."""
    return text[0].upper() + text[1:] if model.istitle() and len(model) > 1 and text.islower() else text


def write_perturbed(
    clause: str,
    features: Sequence[Feature],
    masks_MF: np.ndarray,
    *,
    baseline: str = "delete",
    pool: Pool | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    id: str = "",
) -> list[list[str]]:
    """Write a clause under keep-masks: a list of shape (masks, draws), with one draw except for ``counterfactual``.

    ``baseline``: ``delete``, ``mask`` (a neutral word), or ``counterfactual``. ``pool``, ``draws``, ``seed``: for
    ``counterfactual``: the texts to draw from, how many for each feature, and the seed.
    """
    replacements_DF: list[list[str] | None] = [None]
    if baseline == "counterfactual":
        if pool is None:
            raise InputError(
                "baseline 'counterfactual'",
                expected="a pool of texts to draw from",
                found="none",
                remedy="Pass pool=collect_pool(clauses), made from clauses of the corpus.",
            )
        replacements_DF = [*draw_replacements(clause, features, pool, draws=draws, seed=seed, id=id)]
    return [
        [perturb(clause, features, mask, baseline=baseline, replacements=drawn_F) for drawn_F in replacements_DF]
        for mask in masks_MF
    ]
