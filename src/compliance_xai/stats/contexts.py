"""What happens in a regulatory context that no model was trained on?

The held-out context has other clauses than the evaluated ones, so the comparison is not paired. How the untouched base
differs on the same clauses shows how much of a difference is the clauses' own. It is one context: intervals hold for
other clauses of it and other trainings, not for other contexts.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.records import VIEW, Example
from compliance_xai.stats.contrasts import estimate
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, TRAINED, RunTable, beside, groups
from compliance_xai.stats.pattern_tests import compare_patterns
from compliance_xai.study.labels import strategy_label

KEYS = ("scale", "parameters", "strategy", "baseline", "measure")
LEAST_CLAUSES = 8
"""Fewest clauses on either side; with fewer no interval is reported."""

MEASURES = {
    "log_words": "log of the number of words that a pattern rests on",
    "top_3_mass": "mass on the three heaviest words",
    "log_lift_numerical": "log lift of numerical constraints",
    "log_lift_identifier": "log lift of identifiers and references",
    "precision_at_k": "precision at k against the gold alignment",
    "deletion": "deletion, normalised",
    "exact": "exact match",
    "equivalent": "same meaning",
}
"""What is compared by context, with its label."""

_COLUMNS = ("n_known", "n_held_out", "known", "held_out", "difference", "low", "high", "p")
_ADJUSTED = ("adjusted", "adjusted_low", "adjusted_high", "adjusted_p")


def gather_values(tables: Mapping[str, pd.DataFrame], examples: Sequence[Example]) -> pd.DataFrame:
    """One long frame of all measures.

    ``tables``: ``focus``, ``categories``, ``gold`` (of the attribute stage), ``areas`` (of the faithfulness stage) and
    ``scores`` (of the generate stage) of all cells. ``examples``: the clauses, for their split and context.

    Columns: ``KEYS``, ``seed, id, split, context, value``. Rules have no baseline; theirs is empty.
    """
    focus, lift, gold = (tables[name][tables[name]["sign"] == "net"] for name in ("focus", "categories", "gold"))
    areas = tables["areas"]
    areas = areas[areas["operator"] != areas["attribution"]].rename(columns={"attribution": "baseline"})
    parts = [focus.assign(measure="log_words", value=np.log(focus["effective_number"]))]
    parts.append(focus.assign(measure="top_3_mass", value=focus["top_3_mass"]))
    for category, name in (
        ("numerical_constraint", "log_lift_numerical"),
        ("rule_identifier_all", "log_lift_identifier"),
    ):
        some = lift[lift["category"] == category]
        parts.append(some.assign(measure=name, value=some["log_lift"]))
    parts.append(gold.assign(measure="precision_at_k", value=gold["precision_at_k"]))
    parts.append(areas.assign(measure="deletion", value=areas["deletion"]))
    scores = tables["scores"].assign(baseline="")
    parts += [scores.assign(measure=name, value=scores[name].astype(float)) for name in ("exact", "equivalent")]
    frame = pd.concat([part[[*KEYS, "seed", "id", "value"]] for part in parts], ignore_index=True)
    about = {example.id: (example.split, example.context) for example in examples}
    frame["split"] = [about[id][0] for id in frame["id"]]
    frame["context"] = [about[id][1] for id in frame["id"]]
    # Several links of one clause are averaged first; the clause is the unit.
    keys = [*KEYS, "seed", "id", "split", "context"]
    return frame.groupby(keys, sort=False, observed=True)["value"].mean().reset_index()


def compare_held_out(values: pd.DataFrame, evaluated: str) -> pd.DataFrame:
    """The held-out context against the evaluated clauses of the other contexts, by cell and over all trained cells.

    Columns: ``KEYS`` (scale ``all`` and strategy ``trained``: the mean of all trained cells), ``n_known, n_held_out``
    (clauses), ``known, held_out`` (means), ``difference`` (held out - known) with ``low, high`` (95 %, for other
    clauses and other trainings) and ``p`` (two-sided t test); ``adjusted`` and its ``_low, _high, _p``: the same of the
    difference to the untouched base on each clause; ``reason`` (why there is no interval, else empty).
    """
    records = []
    for keys, group in groups(values, ["baseline", "measure"]):
        table = RunTable(group, "value", "compare_held_out")
        split = group.drop_duplicates("id").set_index("id")["split"].reindex(table.ids).to_numpy()
        held_C, known_C = split == "document", split == evaluated
        sizes = group.drop_duplicates("scale").set_index("scale")["parameters"].to_dict()
        cells = group[["scale", "strategy"]].drop_duplicates().itertuples(index=False, name=None)
        chosen = {cell: [cell] for cell in cells}
        trained = [cell for cell in chosen if cell[1] != CONTROL]
        if trained:
            chosen[ALL_SCALES, TRAINED] = trained
        for (scale, strategy), own in chosen.items():
            place = {"scale": scale, "parameters": sizes.get(scale, math.nan), "strategy": strategy}
            records.append(place | keys | _compare_cells(table, own, held_C, known_C))
    return pd.DataFrame.from_records(records, columns=[*KEYS, *_COLUMNS, *_ADJUSTED, "reason"])


def _compare_cells(
    table: RunTable, cells: Sequence[tuple[str, str]], held_C: np.ndarray, known_C: np.ndarray
) -> dict[str, Any]:
    runs = [[(name, scale, seed) for seed in table.seeds(name, scale)] for scale, name in cells]
    strata = [table.take(own) for own in runs]
    defined_C = ~np.any([np.isnan(part).any(axis=0) for part in strata], axis=0)
    held_C, known_C = held_C & defined_C, known_C & defined_C
    least = int(min(held_C.sum(), known_C.sum()))
    result: dict[str, Any] = {"n_known": int(known_C.sum()), "n_held_out": int(held_C.sum())}
    result["reason"] = "" if least >= LEAST_CLAUSES else f"{least} clauses, at least {LEAST_CLAUSES} are needed"
    for name, chosen in (("known", known_C), ("held_out", held_C)):
        result[name] = float(np.mean([part[:, chosen].mean() for part in strata])) if chosen.any() else math.nan
    if result["reason"]:
        return result
    found = _group_difference(strata, held_C, known_C)
    result |= {name: found[name] for name in ("low", "high", "p")} | {"difference": found["value"]}
    base = [[(CONTROL, scale, seed) for seed in table.seeds(CONTROL, scale)[:1]] for scale, _ in cells]
    if all(base) and not any(name == CONTROL for _, name in cells):
        over = [part - table.take(own) for part, own in zip(strata, base, strict=True)]
        defined_C = ~np.any([np.isnan(part).any(axis=0) for part in over], axis=0)
        if min((held_C & defined_C).sum(), (known_C & defined_C).sum()) >= LEAST_CLAUSES:
            found = _group_difference(over, held_C & defined_C, known_C & defined_C)
            numbers = (found[name] for name in ("value", "low", "high", "p"))
            result |= dict(zip(_ADJUSTED, numbers, strict=True))
    return result


def _group_difference(strata_BC: Sequence[np.ndarray], held_C: np.ndarray, known_C: np.ndarray) -> dict[str, float]:
    """Mean over held-out clauses less that over known ones, with its error over clauses of either kind and runs.

    Each clause's value is replaced by what it adds to the difference, so that the mean over all clauses is the
    difference and deviations from it are the clauses' influences.
    """
    n = int(held_C.sum() + known_C.sum())
    parts = []
    for values_BC in strata_BC:
        sides = [values_BC[:, chosen] for chosen in (held_C, known_C)]
        means = [side.mean(axis=1, keepdims=True) for side in sides]
        added = [
            sign * n / side.shape[1] * (side - mean) for side, mean, sign in zip(sides, means, (1, -1), strict=True)
        ]
        parts.append((means[0] - means[1] + np.concatenate(added, axis=1))[None])
    return estimate(parts, None, "value")


ALL_CONTEXTS = ""
"""In place of a context: all contexts of the split together."""


def separate_contexts(shares: pd.DataFrame, examples: Sequence[Example], *, permutations: int = 5000) -> pd.DataFrame:
    """How far apart strategies are, and seeds of one strategy, on the clauses of one context.

    ``shares``: ``focus.share_frame`` of trained strategies, every split. ``examples``: the clauses, for their context.

    Columns: ``stats.compare_patterns`` by ``split`` and ``context``; ``ALL_CONTEXTS`` is the split as a whole. With
    fewer than ``LEAST_CLAUSES`` clauses there is neither interval nor test, and ``reason`` says so.
    """
    context = {example.id: example.context for example in examples}
    placed = shares.assign(context=shares["id"].map(context))
    both = pd.concat([placed.assign(context=ALL_CONTEXTS), placed], ignore_index=True)
    table = compare_patterns(both, by=("split", "context", *VIEW), permutations=permutations)
    few = table["n_clauses"] < LEAST_CLAUSES
    bounds = [name for name in table.columns if str(name).endswith(("_low", "_high", "p_runs", "p_runs_smallest"))]
    table.loc[few, bounds] = np.nan
    unsaid = few & (table["reason"] == "")
    table.loc[unsaid, "reason"] = [
        f"{n:.0f} clauses, at least {LEAST_CLAUSES} are needed" for n in table.loc[unsaid, "n_clauses"]
    ]
    return table


def describe_separation(table: pd.DataFrame, first: str) -> list[str]:
    """A sentence for every strategy that ``first`` is compared with: in known contexts, and in the held-out one.

    ``table`` is ``separate_contexts``; its rows of all sizes are used.
    """
    sentences = []
    for name, rows in beside(table[table["scale"] == ALL_SCALES], first).groupby("other", sort=False):
        whole, single = rows[rows["context"] == ALL_CONTEXTS], rows[rows["context"] != ALL_CONTEXTS]
        parts = []
        for held_out, where in ((False, "the known contexts"), (True, "the held-out one")):
            some = whole[((whole["split"] == "document") == held_out) & whole["ratio_low"].notna()]
            if len(some):
                row = some.iloc[0]
                measured = f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}] times"
                parts.append(f"{measured}{'' if parts else ' as far apart as two seeds of one strategy'} in {where}")
        pair = f"{strategy_label(first)} and {strategy_label(str(name))}"
        if not parts:
            sentences.append(f"{pair[:1].upper()}{pair[1:]}: too few clauses or seeds for a distance.")
            continue
        known = single[(single["split"] != "document") & single["ratio_low"].notna()]
        above = f"; the interval is above 1 in {int((known['ratio_low'] > 1).sum())} of {len(known)} known contexts"
        sentences.append(f"Runs of {pair} are {' and '.join(parts)}{above if len(known) else ''}.")
    return sentences


def describe_held_out(table: pd.DataFrame, measure: str) -> str:
    """One sentence on a measure: in how many cells it differs, in which direction, and by how much."""
    label = f"{MEASURES[measure][:1].upper()}{MEASURES[measure][1:]}"
    rows = table[(table["measure"] == measure) & ~table["strategy"].isin([CONTROL, TRAINED])]
    judged = rows[rows["reason"] == ""]
    if rows.empty:
        return f"{label}: not measured."
    if judged.empty:
        return f"{label}: no interval ({rows['reason'].iloc[0]})."
    lower, higher, n = int((judged["high"] < 0).sum()), int((judged["low"] > 0).sum()), len(judged)
    counts = {"higher": higher, "lower": lower, "not shown to differ": n - lower - higher}
    told = ", ".join(f"{what} in {count}" for what, count in counts.items() if count)
    return (
        f"{label}: on average {judged['held_out'].mean():.2f} in the held-out context and "
        f"{judged['known'].mean():.2f} elsewhere; {told} of {n} fine-tuned cells, by the interval of the difference."
    )
