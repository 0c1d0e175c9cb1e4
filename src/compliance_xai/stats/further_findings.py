"""Findings beside the claims, each with a test of its own: stability over trainings, what moves a pattern, copies.

They were found in the tables of earlier studies. A study that runs them again with other seeds tests them; the one they
were found in does not.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.focus import AVERAGE
from compliance_xai.stats.contrasts import estimate
from compliance_xai.stats.declared import Declared
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, TRAINED, RunTable, groups
from compliance_xai.stats.pattern_tests import compare_remaining, compare_sources
from compliance_xai.stats.statements import compare_spread, percent
from compliance_xai.study.labels import size_label, strategy_label


@dataclass(frozen=True)
class Observation:
    """One finding: what was asked, what was found, and how sure that is (95 % interval, two-sided p)."""

    question: str
    comparison: str
    value: float
    low: float
    high: float
    unit: str
    p: float
    n_clauses: int
    sentence: str


def source_tables(
    shares: pd.DataFrame, declared: Declared, left_out: frozenset[tuple[str, str]]
) -> dict[str, pd.DataFrame]:
    """What moves a pattern (``sources``), and what is left of a distance once adapters train more (``remaining``).

    Single removals are compared with one another: their average lies between them by construction.

    ``shares``: ``focus.share_frame`` of the evaluated split. ``left_out``: cells that do not pass the gate.
    """
    sources, remaining = pd.DataFrame(), []
    if declared.pairs:
        full, other = declared.pairs[0]
        kept = ~pd.MultiIndex.from_frame(shares[["scale", "strategy"]]).isin(list(left_out))
        net = shares[kept & (shares["sign"] == declared.primary["sign"])]
        single = net[net["baseline"] != AVERAGE]
        main, outcome = (declared.method, declared.averaged[0]), declared.tests.C1.outcome
        sources = compare_sources(single, full, other, main=main, outcome=outcome)
        primary = net[(net["method"] == declared.method) & (net["baseline"] == declared.primary["baseline"])]
        enlarged = [name for name, kind in declared.kinds.items() if kind == "lora+"]
        remaining = [compare_remaining(primary, full, other, name, outcome=outcome) for name in enlarged]
    return {"sources": sources, "remaining": pd.concat(remaining, ignore_index=True) if remaining else pd.DataFrame()}


def literal_table(elements: pd.DataFrame) -> pd.DataFrame:
    """How often the heaviest word spells the number or identifier that was copied, by cell and over all trained cells.

    ``elements``: ``elements.element_frame`` of all cells, evaluated split.

    Columns: ``method, baseline, scale, strategy`` (``all`` and ``trained``: the mean of all trained cells),
    ``n_clauses`` (that copy something), ``hit, chance`` (means over clauses), ``above_chance`` (their difference) with
    ``error, dof, low, high`` (95 %, for other clauses and other trainings) and ``p``.
    """
    records = []
    copies = elements.dropna(subset=["hit"]) if len(elements) else pd.DataFrame(columns=["method", "baseline"])
    for keys, group in groups(copies, ["method", "baseline"]):
        clauses = group.groupby(["scale", "strategy", "seed", "id"], sort=False)[["hit", "chance"]].mean().reset_index()
        hits, chances = (RunTable(clauses, name, "literal_table") for name in ("hit", "chance"))
        cells = {cell: [cell] for cell in dict.fromkeys((scale, name) for name, scale, _ in hits.place)}
        trained = [cell for cell in cells if cell[1] != CONTROL]
        for (scale, strategy), own in (cells | ({(ALL_SCALES, TRAINED): trained} if trained else {})).items():
            runs = [[(name, size, seed) for seed in hits.seeds(name, size)] for size, name in own]
            found = [(hits.take(part), chances.take(part)) for part in runs]
            kept = ~np.any([np.isnan(hit).any(axis=0) for hit, _ in found], axis=0)
            record: dict[str, Any] = {"scale": scale, "strategy": strategy, "n_clauses": int(kept.sum())}
            if kept.sum() > 1:
                record |= {"hit": float(np.mean([hit[:, kept].mean() for hit, _ in found]))}
                record |= {"chance": float(np.mean([chance[:, kept].mean() for _, chance in found]))}
                above = [(hit - chance)[None][..., kept] for hit, chance in found]
                record |= estimate(above, None, "above_chance")
            records.append(keys | record)
    columns = ["method", "baseline", "scale", "strategy", "n_clauses", "hit", "chance", "above_chance"]
    return pd.DataFrame.from_records(records, columns=[*columns, "error", "dof", "low", "high", "p"])


def observe(declared: Declared, tables: Mapping[str, pd.DataFrame]) -> list[Observation]:
    """All further findings that a study's tables allow.

    ``tables``: ``patterns`` (``compare_patterns``), ``sources`` and ``remaining`` (``source_tables``), ``literals``
    (``literal_table``) and ``held_out`` (``contexts.compare_held_out``), as far as the study has them.
    """
    found = [*_stability(declared, tables["patterns"]), *_sources(tables["sources"]), *_frozen(tables["remaining"])]
    return [*found, *_copies(declared, tables["literals"]), *_unseen(declared, tables.get("held_out", pd.DataFrame()))]


def _stability(declared: Declared, patterns: pd.DataFrame) -> Iterable[Observation]:
    full, question = declared.first("full"), "Are explanations of fully tuned models more stable over trainings?"
    chosen = patterns[(patterns["measure"] == declared.tests.C1.outcome) & patterns["spread"].notna()]
    chosen = chosen[(chosen["strategy_a"] == full) | (chosen["strategy_b"] == full)]
    for row in chosen.to_dict("records"):
        at = {name: row[name] for name in declared.primary}
        if row["scale"] != ALL_SCALES or at != declared.primary:
            continue
        other = row["strategy_b"] if row["strategy_a"] == full else row["strategy_a"]
        turned = row["strategy_a"] != full
        bounds, told = compare_spread({str(key): value for key, value in row.items()}, str(full), other)
        pair = chosen[(chosen["strategy_a"] == row["strategy_a"]) & (chosen["strategy_b"] == row["strategy_b"])]
        cells = pair[(pair["scale"] != ALL_SCALES) & (pair["method"] == declared.method)]
        larger = int(((cells["spread"] < 1) if turned else (cells["spread"] > 1)).sum())
        sentence = f"{told}; further apart in {larger} of {len(cells)} views and sizes."
        numbers = (*bounds, "times as far apart", row["spread_p_runs"], int(row["n_clauses"]), sentence)
        yield Observation(question, f"{strategy_label(other)} and {strategy_label(str(full))}", *numbers)


def _sources(sources: pd.DataFrame) -> Iterable[Observation]:
    question = "What moves a pattern more than the choice of strategy?"
    for row in sources.dropna(subset=["ratio"]).to_dict("records") if len(sources) else ():
        what = {"seeds": "Another seed", "removal": f"Removing by {row['other']} instead", "method": row["other"]}
        name = what[row["source"]].replace("_", " ")
        name = f"{name[:1].upper()}{name[1:]}"
        sentence = (
            f"{name} moves a pattern {row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}] times as far "
            f"as another strategy does (p = {row['p']:.2g})."
        )
        bounds = (row["ratio"], row["ratio_low"], row["ratio_high"])
        yield Observation(question, name, *bounds, "times as far", row["p"], int(row["n_clauses"]), sentence)


def _frozen(remaining: pd.DataFrame) -> Iterable[Observation]:
    question = "How much of the distance comes from embeddings that adapters leave as they are?"
    for row in remaining.dropna(subset=["remaining"]).to_dict("records") if len(remaining) else ():
        told = percent(row["remaining"], row["low"], row["high"])
        sentence = (
            f"Once {strategy_label(row['enlarged'])} trains embeddings, norms and head beside its adapters, {told} of "
            f"the squared distance to {strategy_label(row['full'])} is left (p = {row['p']:.2g} of all being left)."
        )
        bounds = (row["remaining"], row["low"], row["high"])
        name = strategy_label(row["enlarged"])
        yield Observation(question, name, *bounds, "share left", row["p"], int(row["n_clauses"]), sentence)


def _copies(declared: Declared, literals: pd.DataFrame) -> Iterable[Observation]:
    question = "Do copied numbers and identifiers rest on the words that spell them?"
    chosen = declared.primary
    for row in literals.to_dict("records") if len(literals) else ():
        if row["method"] != chosen["method"] or row["baseline"] != chosen["baseline"] or not row["n_clauses"] > 1:
            continue
        where = f"{strategy_label(row['strategy'])} at {size_label(row['scale'])}"
        where = "All fine-tuned models" if row["scale"] == ALL_SCALES else f"{where[:1].upper()}{where[1:]}"
        above = percent(row["above_chance"], row["low"], row["high"], sign="+")
        sentence = f"{where}: {row['hit']:.0%} of copies, {row['chance']:.0%} by chance; difference {above}."
        bounds = (row["above_chance"], row["low"], row["high"])
        yield Observation(question, where, *bounds, "above chance", row["p"], int(row["n_clauses"]), sentence)


def _unseen(declared: Declared, held_out: pd.DataFrame) -> Iterable[Observation]:
    question = "Does reading spread out in a context that no model was trained on?"
    rows = held_out[held_out["measure"] == "log_words"] if len(held_out) else held_out
    for row in rows.to_dict("records"):
        if row["scale"] != ALL_SCALES or row["baseline"] != declared.primary["baseline"] or row["reason"]:
            continue
        for name in ("", "adjusted_"):
            key = "adjusted" if name else "difference"
            if math.isfinite(row[key]):
                value, low, high = (math.expm1(row[part]) for part in (key, f"{name}low", f"{name}high"))
                more = percent(value, low, high, sign="+")
                over = ", beyond what the untouched base does" if name else ""
                sentence = (
                    f"In a context that it was not trained on, a model rests on {more} words{over} "
                    f"(p = {row[f'{name}p']:.2g})."
                )
                unit = "more words, over the base" if name else "more words"
                n = int(row["n_held_out"])
                yield Observation(question, "held-out context", value, low, high, unit, row[f"{name}p"], n, sentence)
