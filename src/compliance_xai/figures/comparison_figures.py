"""Figures of the comparisons: focus, category lift, distances between patterns, correctness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.figures.charts import draw_lines, draw_rows
from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import (
    GREY,
    Style,
    draw_print_boxes,
    format_parameters,
    humanise,
    lay_out_panels,
    new_print_figure,
    order_scales,
    plain,
    print_style,
    style_strategies,
)
from compliance_xai.records import CATEGORIES

if TYPE_CHECKING:
    import pandas as pd

BOOTSTRAP = "95 % bootstrap over clauses, seeds averaged inside a clause first"

MEASURES = {
    "normalised_entropy": "normalised entropy (1 = even)",
    "gini": "Gini coefficient (1 = concentrated)",
    "top_1_mass": "mass on the heaviest word",
    "top_3_mass": "mass on the 3 heaviest words",
    "effective_number": "effective number of words",
    "effective_fraction": "effective number of words / words",
    "total_mass": "total mass (nats)",
    "exact": "exact match (share of rules)",
    "parses": "rules that parse (share)",
    "lrml_f1": "LRML F1 (0 to 100)",
    "bleu": "BLEU (0 to 100)",
    "chrf": "chrF (0 to 100)",
    "semantic": "semantic similarity (cosine)",
    "tree_edit_distance": "tree edit distance (0 = same)",
    "token_edit_distance": "token edit distance (0 = same)",
    "numeric_fidelity": "numeric fidelity (F1)",
    "identifier_fidelity": "identifier fidelity (F1)",
    "equivalent": "says the same (share of rules)",
    "precision_at_k": "precision at k",
    "average_precision": "average precision",
    "auroc": "area under the ROC curve",
    "log_lift": "log lift (nats; 0 = as its share of the clause)",
}
"""Axis labels with units, for every measure that a figure can show."""


def draw_focus_paired(
    focus: pd.DataFrame,
    summary: pd.DataFrame,
    measure: str,
    *,
    folder: Path | str,
    baseline: str = "delete",
    sign: str = "absolute",
) -> Figure:
    """Each clause as one line through the strategies, and the means with intervals over them; a panel per scale.

    Parameters
    ----------
    focus
        ``focus.focus_frame`` of all cells with ``scale``, ``strategy``, ``parameters``.
    summary
        ``stats.summarise_measures`` of it: ``measure``, ``mean``, ``low``, ``high``, ``n_clauses`` per cell.
    """
    chosen = require_rows(_select(focus, baseline, sign), "focus")
    clauses = chosen.groupby(["scale", "strategy", "id"], sort=False)[measure].mean().reset_index()
    means = _select(summary, baseline, sign).query("measure == @measure")
    scales = order_scales(chosen)
    styles = style_strategies(chosen["strategy"])
    names = list(styles)
    layout = lay_out_panels(
        _titles(chosen, scales),
        x={"tickvals": list(range(len(names))), "ticktext": [_short(styles[name].label) for name in names],
           "range": [-0.5, len(names) - 0.5], "zeroline": False, "showgrid": False},
        y={"zeroline": False, "nticks": 6, "matches": "y"},
        height=320,
        y_title=MEASURES[measure],
    )  # fmt: skip
    table = {scale: _pivot(clauses, scale, names, measure) for scale in scales}
    interactive = _plotly_paired(table, means, scales, styles, layout)
    still = _print_paired(table, means, scales, styles, MEASURES[measure], _titles(chosen, scales))
    counts = [len(table[scale]) for scale in scales]
    return save_figure(
        f"focus-{measure.replace('_', '-')}",
        interactive,
        still,
        clauses,
        title=f"Focus of attribution by strategy: {_bare(measure)}",
        caption="Thin lines follow one clause through the strategies (seeds averaged); large marks are "
        "means over clauses.",
        alt=f"Paired lines of {humanise(measure)} per clause. Means: " + _say(means, "mean") + ".",
        n=f"{say_range(counts)} clauses at each scale, the same for every strategy; removal: {baseline}; {sign} scores",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


def _pivot(clauses: pd.DataFrame, scale: str, names: list[str], measure: str) -> pd.DataFrame:
    return (
        clauses[clauses["scale"] == scale].pivot(index="id", columns="strategy", values=measure).reindex(columns=names)
    )


def _plotly_paired(table: dict, means: pd.DataFrame, scales: list[str], styles: dict, layout: Any) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure(layout=layout.layout)
    for index, scale in enumerate(scales):
        x_axis, y_axis = layout.axes[index]
        values = table[scale].to_numpy(dtype=float)
        gaps = np.hstack([values, np.full((len(values), 1), np.nan)])
        places = np.tile(np.append(np.arange(len(styles), dtype=float), np.nan), len(values))
        figure.add_trace(
            go.Scatter(
                x=places, y=gaps.ravel(), xaxis=x_axis, yaxis=y_axis, mode="lines", name="one clause",
                line={"color": f"rgba(127,135,144,{_fade(len(values)):.2f})", "width": 1}, legendgroup="clause",
                hoverinfo="skip", showlegend=index == 0,
            )
        )  # fmt: skip
        for place, (name, style) in enumerate(styles.items()):
            row = means[(means["scale"] == scale) & (means["strategy"] == name)]
            figure.add_trace(
                go.Scatter(
                    x=[place] * len(row), y=row["mean"].to_numpy(), xaxis=x_axis, yaxis=y_axis, mode="markers",
                    name=style.label, legendgroup=name, showlegend=index == 0,
                    marker={"symbol": style.symbol, "size": 13, "color": style.colour,
                            "line": {"width": 2.5 if style.hollow else 0, "color": style.colour}},
                    error_y={"type": "data", "symmetric": False, "color": style.colour, "thickness": 2.5, "width": 5,
                             "array": (row["high"] - row["mean"]).to_numpy(),
                             "arrayminus": (row["mean"] - row["low"]).to_numpy()},
                    customdata=row[["low", "high", "n_clauses"]].to_numpy(),
                    hovertemplate=f"<b>{plain(style.label)}</b>, {plain(scale)}<br>mean %{{y:.3f}}"
                    " [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<br>n = %{customdata[2]} clauses<extra></extra>",
                )
            )  # fmt: skip
    return figure


def _print_paired(
    table: dict, means: pd.DataFrame, scales: list[str], styles: dict, y_title: str, titles: list[str]
) -> Any:
    import seaborn

    with print_style():
        figure, axes = new_print_figure(1, len(scales), width=1.4 + 2.3 * len(scales), height=3.6, sharey=True)
        for axis, scale, title in zip(axes[0], scales, titles, strict=True):
            long = table[scale].reset_index().melt(id_vars="id", var_name="strategy", value_name="value").dropna()
            long["place"] = [list(styles).index(name) for name in long["strategy"]]
            seaborn.lineplot(
                long, x="place", y="value", units="id", estimator=None, color=GREY, alpha=_fade(len(table[scale])),
                linewidth=0.7, ax=axis, legend=False,
            )  # fmt: skip
            for place, (name, style) in enumerate(styles.items()):
                row = means[(means["scale"] == scale) & (means["strategy"] == name)]
                errors = np.vstack([row["mean"] - row["low"], row["high"] - row["mean"]])
                axis.errorbar(
                    [place] * len(row), row["mean"], yerr=errors, fmt=style.marker, color=style.colour, markersize=8,
                    markerfacecolor="white" if style.hollow else style.colour, elinewidth=2, capsize=3, zorder=5,
                )  # fmt: skip
            axis.grid(axis="x", visible=False)
            axis.set_title(title)
            axis.set_xticks(range(len(styles)), [_short(style.label) for style in styles.values()])
            axis.set_xlim(-0.5, len(styles) - 0.5)
            axis.set_xlabel("")
            axis.set_ylabel(y_title)
    return figure


def draw_differences(
    pairs: pd.DataFrame,
    measure: str,
    *,
    folder: Path | str,
    baseline: str = "delete",
    sign: str = "absolute",
    scales: Sequence[str] = (),
) -> Figure:
    """Mean differences between strategies on the same clauses with their intervals (``stats.compare_strategies``).

    ``scales`` names the order of the panels: this frame carries no model sizes.
    """
    chosen = _select(pairs, baseline, sign).query("measure == @measure").dropna(subset=["mean_difference"])
    require_rows(chosen, "difference")
    styles = style_strategies([*chosen["strategy_a"], *chosen["strategy_b"]])
    names = [
        f"{_short(styles[a].label)} − {_short(styles[b].label)}"
        for a, b in zip(chosen["strategy_a"], chosen["strategy_b"], strict=True)
    ]
    frame = chosen.assign(row=names, panel=_panel(chosen), strategy="difference", value=chosen["mean_difference"])
    scales = order_scales(chosen, scales)
    rows = list(dict.fromkeys(names))
    interactive, still, layout = draw_rows(
        frame, rows=rows, panels=_titles(chosen, scales), labels={row: row for row in rows},
        x_title=f"mean difference in {_bare(measure)}", reference=0.0, reference_label="no difference",
        styles={"difference": Style("mean difference", "#8367b8", "circle", "o")},
    )  # fmt: skip
    return save_figure(
        f"difference-{measure.replace('_', '-')}",
        interactive,
        still,
        chosen,
        title=f"Differences between strategies on the same clauses: {_bare(measure)}",
        caption="Right of the dotted line the first strategy's value is larger. Intervals that "
        "cross the line leave the sign open.",
        alt="Differences with intervals: "
        + "; ".join(
            f"{r.row} at {r.scale}: {r.value:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in frame.itertuples(index=False)
        )
        + ".",
        n=f"{say_range(chosen['n'])} clauses a pair; removal: {baseline}; {sign} scores",
        interval="95 % bootstrap of the mean difference over clauses",
        folder=folder,
        narrow=layout.narrow,
    )


def draw_distances(
    distances: pd.DataFrame,
    *,
    folder: Path | str,
    baseline: str = "delete",
    sign: str = "absolute",
    scales: Sequence[str] = (),
) -> Figure:
    """How far apart two runs' patterns are: two seeds of one strategy (the noise floor) against two strategies.

    ``distances`` is ``stats.distance_frame``: one row per clause and pair of runs; ``scales`` the order of the panels.
    """
    import plotly.graph_objects as go

    chosen = require_rows(_select(distances, baseline, sign), "distances")
    styles = style_strategies([*chosen["strategy_a"], *chosen["strategy_b"]])
    keys = ["scale", "pair", "strategy_a", "strategy_b", "id"]
    frame = chosen.groupby(keys, sort=False)["jensen_shannon"].mean().reset_index()
    runs = [tuple(map(str, run)) for run in frame[["pair", "strategy_a", "strategy_b"]].to_numpy()]
    label = {name: _short(style.label) for name, style in styles.items()}
    names = {
        run: f"{label[run[1]]}: two seeds" if run[0] == "within" else f"{label[run[1]]} and {label[run[2]]}"
        for run in sorted(set(runs), key=lambda run: (run[0] != "within", runs.index(run)))
    }
    frame["row"] = [names[run] for run in runs]
    order = list(names.values())
    colours = {name: styles[run[1]].colour if run[0] == "within" else GREY for run, name in names.items()}
    scales = order_scales(chosen, scales)
    layout = lay_out_panels(
        _titles(chosen, scales),
        x={"zeroline": False, "nticks": 6, "rangemode": "tozero", "matches": "x"},
        y={"categoryorder": "array", "categoryarray": order[::-1], "range": [-0.5, len(order) - 0.5]},
        height=60 + 36 * len(order),
        x_title="Jensen–Shannon distance",
        legend=False,
    )
    interactive = go.Figure(layout=layout.layout)
    for index, scale in enumerate(scales):
        for row in order:
            some = frame[(frame["scale"] == scale) & (frame["row"] == row)]
            if some.empty:
                continue
            interactive.add_trace(
                go.Box(
                    x=some["jensen_shannon"].to_numpy(), y=[plain(row)] * len(some), orientation="h",
                    xaxis=layout.axes[index][0],
                    yaxis=layout.axes[index][1], name=plain(row), boxpoints="outliers",
                    line={"color": colours[row], "width": 1.6},
                    marker={"size": 3, "color": colours[row]}, showlegend=False, width=0.55,
                )
            )  # fmt: skip
    still = _print_distances(frame, scales, _titles(chosen, scales), order, colours)
    medians = frame.groupby(["scale", "row"], sort=False)["jensen_shannon"].median()
    return save_figure(
        "distances",
        interactive,
        still,
        frame.drop(columns="row"),
        title="Distance between the attribution patterns of two runs, clause by clause",
        caption="0 means the same pattern, 1 disjoint ones. " + _explain(frame),
        alt="Box plots. Medians: "
        + "; ".join(
            f"{r['row']} at {r['scale']} {r['jensen_shannon']:.3f}" for r in medians.reset_index().to_dict("records")
        )
        + ".",
        n=f"{say_range(frame.groupby(['scale', 'row'])['id'].nunique())} clauses a box; "
        f"pairs of seeds averaged inside a clause; "
        f"removal: {baseline}; {sign} scores",
        interval="the box spans the quartiles, the whiskers at most 1.5 box lengths; not an interval of an estimate",
        folder=folder,
        narrow=layout.narrow,
    )


def _explain(frame: pd.DataFrame) -> str:
    if "within" not in set(frame["pair"]):
        return "Each box: two strategies. With one training seed there is no noise floor to compare with."
    return (
        "Coloured boxes: two seeds of one strategy, the noise floor. Grey boxes: two strategies. Only what lies beyond "
        "the coloured boxes is a difference between strategies."
    )


def _print_distances(
    frame: pd.DataFrame, scales: list[str], titles: list[str], order: list[str], colours: dict[str, str]
) -> Any:
    with print_style():
        figure, axes = new_print_figure(
            1, len(scales), width=2.6 + 2.2 * len(scales), height=1.1 + 0.36 * len(order), sharex=True, sharey=True
        )
        for axis, scale, title in zip(axes[0], scales, titles, strict=True):
            here = frame[frame["scale"] == scale]
            groups = [here.loc[here["row"] == row, "jensen_shannon"].to_numpy() for row in order]
            draw_print_boxes(axis, groups, order, [colours[row] for row in order], fliers=True)
            axis.set_title(title)
            axis.set_xlabel("Jensen–Shannon distance")
            axis.set_ylabel("")
        axes[0, 0].set_xlim(left=0)
    return figure


def draw_category_lift(
    lift: pd.DataFrame, *, folder: Path | str, baseline: str = "delete", sign: str = "absolute"
) -> Figure:
    """Log lift of every category, a mark per strategy and a panel per scale.

    ``lift`` is ``stats.summarise_measures`` of ``log_lift`` by scale, strategy, baseline, sign and category.
    """
    chosen = require_rows(_select(lift, baseline, sign).dropna(subset=["mean"]), "category-lift")
    rows = [name for name in CATEGORIES if name in set(chosen["category"])]
    frame = chosen[chosen["category"].isin(rows)]
    scales = order_scales(frame)
    frame = frame.assign(row=frame["category"], panel=_panel(frame), value=frame["mean"], n=frame["n_clauses"])
    interactive, still, layout = draw_rows(
        frame, rows=rows, panels=_titles(frame, scales), x_title="log lift (nats)", reference=0.0,
        reference_label="as its share of the clause",
    )  # fmt: skip
    return save_figure(
        "category-lift",
        interactive,
        still,
        frame.drop(columns=["row", "panel", "value", "n"]),
        title="Which kinds of words carry more than their share",
        caption="Log of a category's share of the mass over its share of the clause's words: right "
        "of the dotted line it "
        "carries more than its share. Only clauses that have the category count.",
        alt="Log lift by category. " + _say(frame, "mean", extra="category") + ".",
        n=f"{say_range(frame['n_clauses'])} clauses, depending on the category; removal: {baseline}; {sign} scores",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


def draw_lift_by_scale(
    lift: pd.DataFrame,
    *,
    folder: Path | str,
    categories: tuple[str, ...] = ("numerical_constraint", "rule_identifier_all"),
    baseline: str = "delete",
    sign: str = "absolute",
) -> Figure:
    """Log lift of the categories of claim C3 against model size (same frame as ``draw_category_lift``)."""
    chosen = _select(lift, baseline, sign)
    chosen = chosen[chosen["category"].isin(categories)].dropna(subset=["mean"])
    require_rows(chosen, "lift-by-scale")
    frame = chosen.assign(panel=chosen["category"], value=chosen["mean"], n=chosen["n_clauses"])
    names = {
        "rule_identifier_all": "rule identifiers and cross-references",
        "numerical_constraint": "numerical constraints",
    }
    panels = [name for name in categories if name in set(frame["panel"])]
    interactive, still, layout = draw_lines(
        frame, panels=panels, y_title="log lift (nats)", reference=0.0,
        titles={name: names.get(name, humanise(name)) for name in panels},
    )  # fmt: skip
    return save_figure(
        "lift-by-scale",
        interactive,
        still,
        chosen,
        title="Lift of numerical constraints and rule identifiers against model size",
        caption="Above the dotted line these words carry more than their share of the clause.",
        alt="Log lift against model size. " + _say(frame, "mean", extra="category") + ".",
        n=f"{say_range(frame['n_clauses'])} clauses; removal: {baseline}; {sign} scores",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


def _select(frame: pd.DataFrame, baseline: str, sign: str) -> pd.DataFrame:
    return frame[(frame["baseline"] == baseline) & (frame["sign"] == sign)]


def _title(scale: str, frame: pd.DataFrame) -> str:
    if scale == "all":
        return "all scales"
    if "parameters" not in frame:
        return str(scale)
    return f"{scale} ({format_parameters(frame.loc[frame['scale'] == scale, 'parameters'].iloc[0])})"


def _titles(frame: pd.DataFrame, scales: list[str]) -> list[str]:
    return [_title(scale, frame) for scale in scales]


def _panel(frame: pd.DataFrame) -> list[str]:
    titles = {scale: _title(scale, frame) for scale in set(frame["scale"])}
    return [titles[scale] for scale in frame["scale"]]


def _short(label: str) -> str:
    return label.split(",")[0]


def _bare(measure: str) -> str:
    """A measure's label without its unit."""
    return MEASURES[measure].split(" (")[0]


def _fade(lines: int) -> float:
    return float(np.clip(14 / max(lines, 1), 0.1, 0.45))


def say_range(counts: Any) -> str:
    """Counts in words: ``6`` or ``6 to 48``."""
    values = sorted({int(count) for count in counts})
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _say(frame: pd.DataFrame, column: str, extra: str | None = None) -> str:
    """The values in words: all of them where they are few, else the largest and the smallest."""
    ordered = frame.sort_values(column, ascending=False, kind="stable").to_dict("records")
    parts = [
        (f"{humanise(row[extra])}, " if extra else "") + f"{row['strategy']} at {row['scale']} {row[column]:.2f}"
        for row in ordered
    ]
    if len(parts) <= 12:
        return "; ".join(parts)
    extremes = f"Largest: {'; '.join(parts[:4])}. Smallest: {'; '.join(parts[-4:])}."
    return f"{extremes} All {len(parts)} values are in the data file"
