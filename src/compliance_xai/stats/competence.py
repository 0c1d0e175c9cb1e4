"""Which cells write rules well enough that how they read says something: the gate before every verdict.

A model that does worse than copying the rule of the most similar training clause has not learnt the task, and a share
of unreadable rules says the same. Such cells are shown and named, and no verdict rests on them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.corpus.nearest import find_nearest
from compliance_xai.records import Example, need_columns
from compliance_xai.stats.estimates import paired_difference
from compliance_xai.stats.frames import CONTROL, cluster_array, groups
from compliance_xai.study.labels import size_label, strategy_label

NEAREST, CONSTANT, ANOTHER = "nearest rule", "constant rule", "another rule"


def floor_rules(train: Sequence[Example], wanted: Sequence[Example], *, seed: int = 0) -> dict[str, list[str]]:
    """For every floor, a rule for each wanted clause.

    ``nearest rule`` is that of the training clause that shares most words with it (``find_nearest``), ``constant rule``
    that of ``constant_rule``. ``another rule`` is the reference of another wanted clause, drawn at random: what a score
    gives by chance to a rule of the right kind. The other floors read training rules alone.

    >>> train = [Example("a", "wide stair", "exist(stair)", "", ""), Example("b", "a door", "exist(door)", "", "")]
    >>> floor_rules(train, [Example("c", "every stair", "", "", "test")])["nearest rule"]
    ['exist(stair)']
    """
    order = np.random.default_rng(seed).permutation(len(wanted))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return {
        NEAREST: [train[places[0]].rule for places in find_nearest(train, wanted, 1)],
        CONSTANT: [constant_rule(train)] * len(wanted),
        ANOTHER: [wanted[index].rule for index in other],
    }


def constant_rule(train: Sequence[Example]) -> str:
    """The training rule that is most like all others: largest mean cosine of tf-idf vectors of the rules' words.

    >>> constant_rule([Example(rule, "", rule, "", "train") for rule in ("is(a,b)", "is(a,c)", "no(x)")])
    'is(a,b)'
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors: Any = TfidfVectorizer(token_pattern=r"\w+").fit_transform([example.rule for example in train])
    mean = np.asarray(vectors.sum(axis=0)).ravel()
    return train[int((vectors @ mean).argmax())].rule


SCORE, SCORE_OF_TEXT = "lrml_f1", "chrf"
"""What a cell and the floor are compared by; 0 to 100. The second if the rules are in a language without a parser."""

_COLUMNS = ("n_clauses", "n_seeds", "parses", SCORE, "floor", "above_floor", "low", "high", "passes", "reason")


def competence_table(
    scores: pd.DataFrame, floors: pd.DataFrame, *, min_parse: float, clusters: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Does each fine-tuned cell pass the gate?

    Parameters
    ----------
    scores
        ``scale, strategy, seed, id, parses`` and ``lrml_f1`` of the evaluated clauses.
    floors
        ``floor, id, lrml_f1`` (``pipeline`` scores the rules of ``stats.competence`` as it scores generated ones).
    min_parse
        The share of rules that must be readable.

    Returns
    -------
    pandas.DataFrame
        ``scale, strategy, n_clauses, n_seeds, parses`` (share of rules), ``lrml_f1`` (mean of the rules), ``floor``
        (that of the nearest training rules, same clauses), ``above_floor`` with ``low, high`` (95 %, over clauses and
        trainings), ``passes``, ``reason`` (why not, else empty).
    """
    need_columns(scores, ["scale", "strategy", "seed", "id", "parses", SCORE], "competence_table, scores")
    need_columns(floors, ["floor", "id", SCORE], "competence_table, floors")
    readable = bool(scores[SCORE].notna().any()) or scores.empty
    score, name = (SCORE, "F1") if readable else (SCORE_OF_TEXT, "chrF")
    copied = floors[floors["floor"] == NEAREST].set_index("id")[score]
    records = []
    for keys, group in groups(scores[scores["strategy"] != CONTROL], ["scale", "strategy"]):
        table = group.pivot(index="id", columns="seed", values=score)
        floor = copied.reindex(table.index)
        above = (table.to_numpy() - floor.to_numpy()[:, None]).T[None]
        mean, parses = float(table.to_numpy().mean()), float(group["parses"].mean())
        record: dict[str, Any] = {"n_clauses": len(table), "n_seeds": table.shape[1], "parses": parses}
        record |= {SCORE: mean if readable else math.nan, "floor": float(floor.mean()), "above_floor": above.mean()}
        if len(table) > 1:
            found = paired_difference(
                [above], cluster_array(table.index, np.ones(len(table)), clusters), trainings=table.shape[1] > 1
            )
            record |= dict(zip(("low", "high"), (float(bound[0]) for bound in found.interval()), strict=True))
        doubts = []
        if not record["above_floor"] > 0:
            doubts.append(f"{name} {mean:.1f}, copying the nearest training rule gives {record['floor']:.1f}")
        if readable and not record["parses"] >= min_parse:
            doubts.append(f"{record['parses']:.0%} of its rules can be read, {min_parse:.0%} are asked for")
        records.append(keys | record | {"passes": not doubts, "reason": "; ".join(doubts)})
    return pd.DataFrame.from_records(records, columns=["scale", "strategy", *_COLUMNS])


def failing_cells(competence: pd.DataFrame) -> frozenset[tuple[str, str]]:
    """Scale and strategy of the cells that do not pass."""
    failing = competence.loc[~competence["passes"].astype(bool), ["scale", "strategy"]]
    return frozenset((str(scale), str(strategy)) for scale, strategy in failing.itertuples(index=False))


def name_cells(cells: Sequence[tuple[str, str]] | frozenset[tuple[str, str]]) -> str:
    """Cells as readers see them: ``LoRA at 0.3M, QLoRA at 0.3M``."""
    return ", ".join(f"{strategy_label(strategy)} at {size_label(scale)}" for scale, strategy in sorted(cells))


def correct_for_chance(scores: pd.DataFrame, floors: pd.DataFrame) -> pd.Series:
    """Semantic similarity with chance taken off: ``(s - c) / (1 - c)``, c the mean similarity of another clause's rule.

    0: no closer to the reference than some other rule; 1: the same text. A sentence encoder finds any two rules alike:
    another rule of the same corpus is given 0.5 to 0.6.
    """
    chance = float(floors.loc[floors["floor"] == ANOTHER, "semantic"].mean())
    return (scores["semantic"] - chance) / np.maximum(1 - chance, np.finfo(float).tiny)
