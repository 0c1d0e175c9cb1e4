"""Figures of the rules that models wrote: how good they are, and what is wrong with them."""

import pandas as pd

from compliance_xai.figures.contract import Drawing, drawn
from compliance_xai.figures.forms import count_range, rows_chart, select, size_chart, span_from_zero
from compliance_xai.stats.frames import CONTROL
from compliance_xai.study.labels import label_of, say_value

ANY = "any"
_NO_RULE = (
    "A text without any rule counts as a syntax error only, so read the other kinds together with that one. Beside "
    "trained strategies the untouched base, which was not trained to write such rules, is left out."
)


@drawn
def draw_quality_by_scale(quality: pd.DataFrame) -> Drawing:
    """Exact rules and semantic similarity against model size, a panel each.

    ``quality``: ``stats.summarise_measures`` of the scores: ``measure``, ``scale``, ``parameters``, ``strategy``,
    ``mean``, ``low``, ``high``, ``n_clauses``; of one split.
    """
    name = "quality-by-scale"
    frame = select(quality, name, "mean", measure=["exact", "semantic"])
    panels = {name: label_of(name).axis for name in ("exact", "semantic") if name in set(frame["measure"])}
    chart = size_chart(frame, name, panel="measure", panels=panels, span=(-0.03, 1.05))
    return Drawing(name, chart, frame, n=f"{count_range(frame['n_clauses'])} clauses per mark")


@drawn
def draw_error_kinds(shares: pd.DataFrame, *, panel: str = "scale") -> Drawing:
    """Share of rules with each kind of error, a mark per strategy and a panel per model size or split.

    Parameters
    ----------
    shares
        ``stats.error_shares`` by cell and split: ``kind``, ``strategy``, ``scale``, ``split``, ``share``, ``low``,
        ``high``, ``n_clauses``, and ``parameters`` where the panels are model sizes.
    panel
        ``scale`` or ``split``.
    """
    frame, rows = _most_frequent(shares, "error-kinds", 10)  # further ones would be rows of marks at zero
    most = "The most frequent kind" if len(rows) == 2 else f"The {len(rows) - 1} most frequent kinds"
    splits = {str(split): say_value("split", split) for split in frame["split"]} if panel == "split" else None
    return Drawing(
        "error-kinds",
        rows_chart(
            frame, row="kind", rows=rows, value="share", panel=panel, panels=splits, x_title="share of rules",
            span=span_from_zero([*frame["share"], *frame["high"]]),
        ),
        frame,
        n=f"{count_range(frame['n_clauses'])} clauses per mark",
        words={"most": most, "no_rule": _NO_RULE},
    )  # fmt: skip


@drawn
def draw_errors_by_scale(shares: pd.DataFrame) -> Drawing:
    """Share of rules with an error against model size: any error, then the most frequent kinds, a panel each."""
    name = "errors-by-scale"
    frame, kinds = _most_frequent(shares, name, 5)
    return Drawing(
        name,
        size_chart(frame, name, panel="kind", panels=kinds, value="share", y_title="share of rules", from_zero=True),
        frame,
        n=f"{count_range(frame['n_clauses'])} clauses per mark",
        words={"no_rule": _NO_RULE},
    )


def _most_frequent(shares: pd.DataFrame, name: str, most: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows of any error and of the most frequent kinds that some rule has, and the labels of these.

    The untouched base is left out beside trained strategies; a page of its own shows it.
    """
    trained = shares[shares["strategy"] != CONTROL]
    chosen = select(trained if len(trained) else shares, name, "share")
    means = chosen[chosen["kind"] != ANY].groupby("kind", sort=False)["share"].mean()
    kinds = means[means > 0].sort_values(ascending=False, kind="stable").index[:most]
    labels = {ANY: "any error"} | {str(kind): label_of(str(kind)).text for kind in kinds}
    return chosen[chosen["kind"].isin(list(labels))], labels
