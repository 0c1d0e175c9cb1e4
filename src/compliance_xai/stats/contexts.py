"""What happens in a regulatory context that no model was trained on?

Each measure is averaged over seeds inside a clause; the clause is the unit. The held-out context is compared with the
evaluated clauses of the other contexts, which are other clauses, so the comparison is not paired. What the untouched
base does on the same clauses tells how much of a difference is theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.records import Example

KEYS = ("scale", "parameters", "strategy", "baseline", "measure")
LEAST_CLAUSES = 8
"""Fewer on either side, and nothing is said."""

MEASURES = {
    "normalised_entropy": "normalised entropy",
    "top_3_mass": "mass on the three heaviest words",
    "log_lift_numerical": "log lift of numerical constraints",
    "log_lift_identifier": "log lift of identifiers and references",
    "precision_at_k": "precision at k against the gold alignment",
    "deletion": "deletion, normalised",
    "exact": "exact match",
    "equivalent": "says the same",
}
"""What is compared by context, with its label."""


def gather_values(tables: Mapping[str, pd.DataFrame], examples: Sequence[Example]) -> pd.DataFrame:
    """One long frame of all measures.

    Parameters
    ----------
    tables
        ``focus``, ``categories``, ``gold`` (of the attribute stage), ``areas`` (of the faithfulness stage) and
        ``scores`` (of the generate stage) of all cells.
    examples
        The clauses, for their split and context.

    Returns
    -------
    pandas.DataFrame
        ``KEYS``, ``seed, id, split, context, value``. Rules have no baseline; theirs is empty.
    """
    import pandas as pd

    focus, lift, gold = (
        tables[name].query("sign == @sign")
        for name, sign in (("focus", "absolute"), ("categories", "absolute"), ("gold", "positive"))
    )
    areas = tables["areas"]
    areas = areas[areas["operator"] != areas["attribution"]].rename(columns={"attribution": "baseline"})
    parts = [focus.assign(measure=name, value=focus[name]) for name in ("normalised_entropy", "top_3_mass")]
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
    unknown = sorted(set(frame["id"]) - set(about))
    if unknown:
        raise InputError(
            f"clause {unknown[0]}",
            expected="an example with this id",
            found="none",
            remedy="Pass the study's examples.",
        )
    frame["split"] = [about[id][0] for id in frame["id"]]
    frame["context"] = [about[id][1] for id in frame["id"]]
    # Several links of one clause are averaged first; the clause is the unit.
    keys = [*KEYS, "seed", "id", "split", "context"]
    return frame.groupby(keys, sort=False, observed=True)["value"].mean().reset_index()


def compare_held_out(values: pd.DataFrame, evaluated: str, *, bootstrap: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The held-out context against the evaluated clauses of the other contexts, cell by cell.

    Returns
    -------
    pandas.DataFrame
        ``KEYS``, ``n_known, n_held_out`` (clauses), ``known, held_out`` (means), ``difference`` (held out - known),
        ``low, high`` (95 % percentile bootstrap over the clauses of either side); ``adjusted, adjusted_low,
        adjusted_high``: the same of the difference to the untouched base on each clause; ``reason`` (why there is no
        interval, else empty).
    """
    import pandas as pd

    clauses = values.groupby([*KEYS, "id", "split"], sort=False, observed=True)["value"].mean().reset_index().dropna()
    base = clauses[clauses["strategy"] == "none"].set_index(["scale", "baseline", "measure", "id"])["value"]
    places = pd.MultiIndex.from_frame(clauses[["scale", "baseline", "measure", "id"]])
    over_base = clauses["value"].to_numpy() - base.reindex(places).to_numpy()
    clauses["over_base"] = np.where(clauses["strategy"] == "none", np.nan, over_base)
    records = []
    for keys, group in clauses.groupby(list(KEYS), sort=False, observed=True):
        known, held_out = group[group["split"] == evaluated], group[group["split"] == "document"]
        record: dict[str, Any] = dict(zip(KEYS, keys, strict=True))
        record |= {"n_known": len(known), "n_held_out": len(held_out)}
        record |= {"known": known["value"].mean(), "held_out": held_out["value"].mean()}
        least = min(len(known), len(held_out))
        record["reason"] = "" if least >= LEAST_CLAUSES else f"{least} clauses, at least {LEAST_CLAUSES} are needed"
        for column, prefix in (("value", ""), ("over_base", "adjusted")):
            sides = held_out[column].dropna().to_numpy(), known[column].dropna().to_numpy()
            enough = not record["reason"] and min(map(len, sides)) >= LEAST_CLAUSES
            centre, low, high = _difference(*sides, bootstrap, seed) if enough else (np.nan,) * 3
            record |= {
                prefix or "difference": centre,
                f"{prefix}_low".strip("_"): low,
                f"{prefix}_high".strip("_"): high,
            }
        records.append(record)
    columns = [*KEYS, "n_known", "n_held_out", "known", "held_out", "difference", "low", "high"]
    return pd.DataFrame.from_records(records, columns=[*columns, "adjusted", "adjusted_low", "adjusted_high", "reason"])


def _difference(one: np.ndarray, other: np.ndarray, bootstrap: int, seed: int) -> tuple[float, float, float]:
    """Difference of the means of two sets of clauses, each resampled by itself."""
    from compliance_xai.stats.resampling import interval, resample_counts

    first, second = (
        resample_counts(len(side), bootstrap, seed + place) @ side / len(side)
        for place, side in enumerate((one, other))
    )
    return float(one.mean() - other.mean()), *interval(first - second)


ALL_CONTEXTS = ""
"""In place of a context: all contexts of the split together."""


def separate_contexts(
    distances: pd.DataFrame, examples: Sequence[Example], *, bootstrap: int = 2000, permutations: int = 5000
) -> pd.DataFrame:
    """Do strategies read clauses of one context further apart than seeds of one strategy do?

    Parameters
    ----------
    distances
        ``stats.distance_frame`` of trained strategies, every split.
    examples
        The clauses, for their split and context.

    Returns
    -------
    pandas.DataFrame
        ``stats.compare_distances`` of the Jensen-Shannon distance by ``split`` and ``context``; ``ALL_CONTEXTS`` is
        the split as a whole. With fewer than ``LEAST_CLAUSES`` clauses there is neither interval nor test, and
        ``reason`` says so.
    """
    import pandas as pd

    from compliance_xai.records import VIEW
    from compliance_xai.stats.separation import compare_distances

    about = pd.DataFrame(
        [(example.id, example.split, example.context) for example in examples], columns=["id", "split", "context"]
    )
    placed = distances.merge(about, on="id", how="inner", validate="many_to_one")
    both = pd.concat([placed.assign(context=ALL_CONTEXTS), placed], ignore_index=True)
    table = compare_distances(
        both,
        ("jensen_shannon",),
        by=("split", "context", *VIEW),
        permutations=permutations,
        bootstrap=bootstrap,
    )
    few = table["n_clauses"] < LEAST_CLAUSES
    table.loc[few, ["ratio_low", "ratio_high", "p_run", "p_run_smallest", "p_clause"]] = np.nan
    unsaid = few & (table["reason"] == "")
    table.loc[unsaid, "reason"] = [
        f"{n:.0f} clauses, at least {LEAST_CLAUSES} are needed" for n in table.loc[unsaid, "n_clauses"]
    ]
    return table


def describe_separation(table: pd.DataFrame, first: str) -> list[str]:
    """A sentence for every strategy that ``first`` is compared with: in known contexts, and in the held-out one.

    ``table`` is ``separate_contexts``; its rows of all scales are read.
    """
    from compliance_xai.stats.frames import ALL_SCALES, beside

    sentences = []
    for name, rows in beside(table[table["scale"] == ALL_SCALES], first).groupby("other", sort=False):
        whole, single = rows[rows["context"] == ALL_CONTEXTS], rows[rows["context"] != ALL_CONTEXTS]
        parts = []
        for held_out, where in ((False, "the known contexts"), (True, "the held-out one")):
            some = whole[(whole["split"] == "document") == held_out]
            if len(some) and math.isfinite(some["ratio_low"].iloc[0]):
                row = some.iloc[0]
                measured = f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}] times"
                parts.append(f"{measured}{'' if parts else ' as far apart as two seeds of one strategy'} in {where}")
        if not parts:
            sentences.append(f"{first} and {name}: too few clauses or seeds to say how far apart they are.")
            continue
        known = single[(single["split"] != "document") & single["ratio_low"].notna()]
        above = int((known["ratio_low"] > 1).sum())
        counted = (
            f"; the interval over clauses lies above 1 in {above} of {len(known)} known contexts" if len(known) else ""
        )
        sentences.append(f"Runs of {first} and {name} lie {' and '.join(parts)}{counted}.")
    return sentences


def describe_held_out(table: pd.DataFrame, measure: str) -> str:
    """One sentence on a measure: in how many cells it differs, in which direction, and by how much."""
    label = MEASURES[measure]
    rows = table[(table["measure"] == measure) & (table["strategy"] != "none")]
    judged = rows[rows["reason"] == ""]
    if rows.empty:
        return f"{label[0].upper()}{label[1:]}: not measured."
    if judged.empty:
        return f"{label[0].upper()}{label[1:]}: nothing can be said ({rows['reason'].iloc[0]})."
    lower, higher = int((judged["high"] < 0).sum()), int((judged["low"] > 0).sum())
    n = len(judged)
    counts = {"higher": higher, "lower": lower, "not told apart": n - lower - higher}
    says = ", ".join(f"{what} in {count}" for what, count in counts.items() if count)
    return (
        f"{label[0].upper()}{label[1:]}: on average {judged['held_out'].mean():.2f} in the held-out context and "
        f"{judged['known'].mean():.2f} elsewhere; {says} of {n} fine-tuned cells, by the interval of the difference."
    )
