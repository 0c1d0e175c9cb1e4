"""Figures of what is wrong with the generated rules: shares of rules by kind of error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.figures.charts import SHARES, draw_lines, draw_rows
from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import format_parameters, humanise, order_scales

if TYPE_CHECKING:
    import pandas as pd

ANY = "any"
_NO_RULE = "Text without any rule counts as a syntax error alone, so read the other kinds beside that one."
WILSON = "95 % Wilson score interval over clauses, seeds averaged inside a clause first"
_X_TITLE = "share of rules"


def draw_error_kinds(shares: pd.DataFrame, *, folder: Path | str, panel: str = "scale", kinds: int = 10) -> Figure:
    """Share of rules with each kind of error, a mark per strategy and a panel per scale or split.

    Parameters
    ----------
    shares
        ``stats.error_shares`` by cell and split: ``kind``, ``strategy``, ``scale``, ``split``, ``share``, ``low``,
        ``high``, ``n_clauses``, and ``parameters`` where the panels are scales.
    panel
        ``scale`` or ``split``.
    kinds
        At most this many kinds, the most frequent ones; further ones would be rows of marks at zero.
    """
    require_rows(shares, "error-kinds")
    rows = [ANY, *list_frequent(shares)[:kinds]]
    frame = shares[shares["kind"].isin(rows)]
    names = order_scales(frame) if panel == "scale" else list(dict.fromkeys(frame["split"]))
    titles = {name: _title(frame, name) if panel == "scale" else name for name in names}
    marks = frame.assign(
        row=frame["kind"], panel=[titles[name] for name in frame[panel]], value=frame["share"], n=frame["n_clauses"]
    )
    interactive, still, layout = draw_rows(
        marks, rows=rows, panels=list(titles.values()), x_title=_X_TITLE, x_range=SHARES,
        labels={row: _label(row) for row in rows},
    )  # fmt: skip
    return save_figure(
        "error-kinds",
        interactive,
        still,
        frame,
        title="What is wrong with the rules",
        caption="Share of rules that have an error of each kind at least once; a rule can have several. "
        f"{len(rows) - 1} kinds, the most frequent ones over all runs. " + _NO_RULE,
        alt="Shares by kind of error. " + _say(frame, panel) + ".",
        n=f"{_range(frame['n_clauses'])} clauses a mark",
        interval=WILSON,
        folder=folder,
        narrow=layout.narrow,
    )


def draw_errors_by_scale(shares: pd.DataFrame, *, folder: Path | str, panels: int = 6) -> Figure:
    """Share of rules with an error against model size: any error, then the most frequent kinds, a panel each."""
    require_rows(shares, "errors-by-scale")
    kinds = [ANY, *list_frequent(shares)][:panels]
    frame = shares[shares["kind"].isin(kinds)]
    marks = frame.assign(panel=frame["kind"], value=frame["share"], n=frame["n_clauses"])
    interactive, still, layout = draw_lines(
        marks, panels=kinds, y_title=_X_TITLE, titles={kind: _label(kind) for kind in kinds}, y_range=(-0.03, 1.05)
    )
    return save_figure(
        "errors-by-scale",
        interactive,
        still,
        frame,
        title="What is wrong with the rules, against model size",
        caption="Share of rules that have such an error at least once: any error, then the kinds that are most "
        "frequent over all runs. " + _NO_RULE,
        alt="Shares against model size. " + _say(frame, "scale") + ".",
        n=f"{_range(frame['n_clauses'])} clauses a point",
        interval=WILSON,
        folder=folder,
        narrow=layout.narrow,
    )


def list_frequent(shares: pd.DataFrame) -> list[str]:
    """The kinds that some rule has, the most frequent over all rows first; without ``any``."""
    means = shares[shares["kind"] != ANY].groupby("kind", sort=False)["share"].mean()
    return [str(kind) for kind in means[means > 0].sort_values(ascending=False, kind="stable").index]


def _label(kind: str) -> str:
    return "any error" if kind == ANY else humanise(kind)


def _title(frame: pd.DataFrame, scale: str) -> str:
    return f"{scale} ({format_parameters(frame.loc[frame['scale'] == scale, 'parameters'].iloc[0])})"


def _range(counts: Sequence[int] | pd.Series) -> str:
    values = sorted({int(count) for count in counts})
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _say(frame: pd.DataFrame, panel: str) -> str:
    ordered = frame.sort_values("share", ascending=False, kind="stable").head(10).to_dict("records")
    parts = [f"{_label(row['kind'])}, {row['strategy']} at {row[panel]} {row['share']:.2f}" for row in ordered]
    return "; ".join(parts) + ("" if len(frame) <= 10 else ". All values are in the data file")
