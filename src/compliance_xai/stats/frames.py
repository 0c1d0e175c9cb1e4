"""Shared ways of reading frames: seeds are averaged inside a clause, and the clause is the unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

ALL_SCALES = "all"

TRAINED = "trained"
"""Stands for every strategy but ``none``, averaged."""

CONTROL = "none"


def as_names(measures: str | Sequence[str]) -> list[str]:
    """One name or several, as a list."""
    return [measures] if isinstance(measures, str) else list(measures)


def groups(frame: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Groups in order of first appearance, with their keys by name; the whole frame where ``by`` is empty."""
    if not by:
        yield {}, frame
        return
    for keys, group in frame.groupby(list(by), sort=False, observed=True):
        yield dict(zip(by, keys, strict=True)), group


def beside(pairs: pd.DataFrame, first: str | None) -> pd.DataFrame:
    """The rows of ``pairs`` that one strategy is in, as either side, with ``other``: whom it is compared with there."""
    chosen = pairs[(pairs["strategy_a"] == first) | (pairs["strategy_b"] == first)]
    return chosen.assign(other=chosen["strategy_a"].where(chosen["strategy_b"] == first, chosen["strategy_b"]))


def clause_table(frame: pd.DataFrame, measure: str, columns: str) -> pd.DataFrame:
    """Clauses x ``columns``, averaged over seeds, then over pooled strategies; NaN where any value is undefined.

    Rows are sorted by clause id and columns keep their order of appearance, so that results do not depend on row order
    within a cell.
    """
    order = list(dict.fromkeys(frame[columns]))
    keys = ["id", columns] if columns == "member" else ["id", columns, "member"]
    by_member = frame.assign(member=members(frame)).groupby(keys, observed=True, sort=True)[measure].mean(skipna=False)
    means = by_member.groupby(level=["id", columns], observed=True).mean(skipna=False)
    return means.unstack(columns).reindex(columns=order)


def members(frame: pd.DataFrame) -> pd.Series:
    """The strategy behind each row, also of the pooled rows that ``with_trained`` adds."""
    return frame["member"].fillna(frame["strategy"]) if "member" in frame.columns else frame["strategy"]


def pivot(frame: pd.DataFrame, index: list[str], columns: list[str], values: str, where: str) -> pd.DataFrame:
    """One value for each index and column, sorted by index; a second value for the same place is an error."""
    repeated = frame.duplicated([*index, *columns])
    if repeated.any():
        place = ", ".join(f"{name} {frame.loc[repeated, name].iloc[0]}" for name in [*index, *columns])
        raise InputError(
            where,
            expected="one row for each clause, run and kept-apart key",
            found=f"two rows for {place}",
            remedy="Name every key that the frame holds (baseline, sign, category) in by, or filter the frame first.",
        )
    return frame.pivot(index=index if len(index) > 1 else index[0], columns=columns, values=values).sort_index()


def scale_order(frame: pd.DataFrame) -> list[tuple[str, int]]:
    """(scale, parameters), smallest first."""
    pairs = frame[["scale", "parameters"]].drop_duplicates()
    if pairs["scale"].duplicated().any():
        raise InputError(
            "parameters",
            expected="one number of parameters for each scale",
            found="several for one scale",
            remedy="Count the base model's parameters, not the trained ones.",
        )
    return [(str(s), int(p)) for s, p in sorted(pairs.itertuples(index=False), key=lambda pair: pair[1])]


def with_trained(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame and, below it, its trained strategies once more under the one name ``trained``."""
    import pandas as pd

    trained = frame[frame["strategy"] != CONTROL]
    return pd.concat([frame, trained.assign(member=trained["strategy"], strategy=TRAINED)], ignore_index=True)
