"""Figures of whether attribution is right and faithful, and of whether it finds errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.figures.charts import SHARES, draw_lines, draw_rows
from compliance_xai.figures.comparison_figures import BOOTSTRAP, MEASURES, say_range
from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import (
    GREY,
    Style,
    axis_name,
    format_parameters,
    humanise,
    lay_out_panels,
    new_print_figure,
    order_scales,
    plain,
    print_legend,
    print_style,
    style_strategies,
)
from compliance_xai.stats.frames import ALL_SCALES, beside

if TYPE_CHECKING:
    import pandas as pd

ALL_KINDS = "all"
"""Stands for every kind of rule element together."""

SIGNAL_LABELS = {
    "unsupported": "on other words",
    "top_elsewhere": "top word is another",
    "spread": "spread out",
    "weak": "on little",
    "unlikely": "unlikely token",
    "unsure": "unsure token",
    "clause_words": "long clause",
    "unspelled": "no such word",
    "attribution": "attribution signals",
    "baselines": "baselines",
    "both": "both",
}
FAMILIES = {
    "attribution": Style("from attribution", "#8367b8", "circle", "o"),
    "baseline": Style("without attribution", "#8b6a1f", "square", "s"),
}
_FROM_ATTRIBUTION = ("unsupported", "top_elsewhere", "spread", "weak", "attribution", "both")
SPLIT_TITLES = {"test": "known contexts", "validation": "known contexts", "document": "held out"}
_FAITHFUL = {
    "deletion": ("deletion (NAOPC)", "random_deletion"),
    "insertion": ("insertion (normalised)", None),
    "lds": ("LDS (rank correlation)", None),
    "top_1_drop": ("top-1 drop (share)", "random_top_1_drop"),
    "top_3_drop": ("top-3 drop (share)", "random_top_3_drop"),
}
"""Measure -> label, and the measure that is its control."""


_LABELS = {ALL_KINDS: "all kinds"}


def draw_correctness_by_scale(
    correctness: pd.DataFrame,
    measure: str = "precision_at_k",
    *,
    folder: Path | str,
    baseline: str = "delete",
    sign: str = "positive",
    least: int = 5,
) -> Figure:
    """Correctness against the gold alignment: a panel for each element of the rule, a line for each strategy.

    Parameters
    ----------
    correctness
        ``alignment.summarise_gold`` by scale, parameters, strategy, baseline, sign and kind.
    least
        Elements in fewer clauses get no panel; the caption names them.
    """
    chosen = correctness[(correctness["baseline"] == baseline) & (correctness["sign"] == sign)]
    chosen = require_rows(chosen.dropna(subset=[measure]), "correctness-by-scale")
    counts = chosen.groupby("kind")[["n_clauses", "n_links"]].max()
    counts = counts.sort_values("n_links", ascending=False, kind="stable")
    rare = [str(kind) for kind in counts.index[counts["n_clauses"] < least]]
    kinds = [str(kind) for kind in counts.index if kind not in rare] or rare
    frame = chosen[chosen["kind"].isin(kinds)]
    marks = frame.assign(
        panel=frame["kind"], value=frame[measure], low=frame[f"{measure}_low"], high=frame[f"{measure}_high"],
        n=frame["n_clauses"],
    )  # fmt: skip
    bands = frame.groupby(["kind", "parameters"], sort=False)[
        [f"{measure}_chance_low", f"{measure}_chance_high"]
    ].mean()
    bands = bands.reset_index().set_axis(["panel", "parameters", "low", "high"], axis=1)
    interactive, still, layout = draw_lines(
        marks, panels=kinds, y_title=MEASURES[measure], y_range=SHARES, columns=4, narrow_columns=2, height=150,
        titles={kind: f"{_LABELS.get(kind, humanise(kind))} ({counts.loc[kind, 'n_clauses']})" for kind in kinds},
        bands=bands,
        band_label="random ranking, 95 %",
    )  # fmt: skip
    left_out = (
        f" Too rare for a panel (fewer than {least} clauses): {', '.join(rare)}." if rare and kinds != rare else ""
    )
    return save_figure(
        f"correctness-by-scale-{measure.replace('_', '-')}",
        interactive,
        still,
        frame,
        title="Does attribution point at the words that decide?",
        caption="One panel for all elements together, then one for each kind, the most frequent first. The clause's "
        "words are ranked by how much they raise the probability of the element, and compared with the words that "
        "decide it in the gold alignment; 1: the deciding words come first. Grey: where 95 % of random rankings of "
        f"the same clauses would lie. In brackets: clauses.{left_out}",
        alt=f"{MEASURES[measure]} against model size. " + _say_by_kind(frame, measure),
        n=f"{say_range(counts.loc[kinds, 'n_clauses'])} clauses, depending on the element; removal: {baseline}; {sign} "
        "scores",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


def _say_by_kind(frame: pd.DataFrame, measure: str) -> str:
    """Range over trained strategies at the largest scale, kind by kind, and the untouched base beside it."""
    largest = frame[frame["parameters"] == frame["parameters"].max()]
    parts = []
    for kind, group in largest.groupby("kind", sort=False):
        trained, base = (group[(group["strategy"] == "none") == side][measure] for side in (False, True))
        text = _LABELS.get(str(kind), humanise(str(kind)))
        text += f" {trained.min():.2f} to {trained.max():.2f}" if len(trained) else ""
        parts.append(text + (f" (base {base.iloc[0]:.2f})" if len(base) else ""))
    scale = largest["scale"].iloc[0]
    return f"At {scale}, fine-tuned strategies: " + "; ".join(parts) + "."


def draw_faithfulness(
    summary: pd.DataFrame, *, folder: Path | str, attribution: str = "delete", operator: str = "mask"
) -> Figure:
    """The measures of faithfulness, a row for each and a panel per scale.

    ``summary`` is ``stats.summarise_measures`` of ``faithfulness.judge_scores`` by cell, attribution and operator.
    """
    chosen = summary[(summary["attribution"] == attribution) & (summary["operator"] == operator)]
    chosen = chosen[chosen["strategy"] != "none"].dropna(subset=["mean"])
    frame = require_rows(chosen[chosen["measure"].isin(_FAITHFUL)], "faithfulness")
    controls = chosen.set_index(["scale", "strategy", "measure"])["mean"]
    rows = [name for name in _FAITHFUL if name in set(frame["measure"])]
    scales = order_scales(frame)
    titles = {scale: _title(frame, scale) for scale in scales}
    chance = [
        _control(controls, str(row.scale), str(row.strategy), str(row.measure)) for row in frame.itertuples(index=False)
    ]
    marks = frame.assign(
        row=frame["measure"], panel=[titles[scale] for scale in frame["scale"]], value=frame["mean"],
        n=frame["n_clauses"], chance=chance,
    )  # fmt: skip
    interactive, still, layout = draw_rows(
        marks, rows=rows, panels=list(titles.values()), labels={name: _FAITHFUL[name][0] for name in rows},
        x_title="1 = best possible", reference_label="random order", x_range=(-0.25, 1.08),
    )  # fmt: skip
    return save_figure(
        f"faithfulness-{attribution}-by-{operator}",
        interactive,
        still,
        frame,
        title="Does the model lose its rule when the words with high scores go?",
        caption=f"Scores made by removal ({attribution}), judged by another operator ({operator}): words that are gone "
        "are replaced, not deleted."
        if attribution != operator
        else f"Scores made and judged with the same operator ({operator}): circular, shown for comparison only.",
        alt="Means by scale and strategy: " + _say_rows(frame),
        n=f"{say_range(frame['n_clauses'])} clauses a mark",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


def _control(controls: pd.Series, scale: str, strategy: str, measure: str) -> float:
    """What a random order reaches: its own mean, one half by symmetry for insertion, none for a correlation."""
    control = _FAITHFUL[measure][1]
    if control is None:
        return 0.5 if measure == "insertion" else 0.0
    return float(controls.get((scale, strategy, control), np.nan))


def draw_removal_curves(
    curves: pd.DataFrame, *, folder: Path | str, attribution: str = "delete", operator: str = "mask"
) -> Figure:
    """What is left of the rule's log-probability as words go, by score and in other orders; a panel per scale.

    ``curves`` is ``stats.summarise_measures`` of ``kept`` by cell, attribution, operator, order and step.
    """
    import plotly.graph_objects as go

    chosen = curves[(curves["operator"] == operator) & curves["attribution"].isin((attribution, ""))]
    frame = require_rows(chosen.dropna(subset=["mean"]).query("strategy != 'none'"), "removal-curves")
    styles = style_strategies(frame["strategy"])
    scales = order_scales(frame)
    titles = [_title(frame, scale) for scale in scales]
    share = 100 / max(1, int(frame["step"].max()))
    lines = [*(("score", name) for name in styles), *((order, "") for order in _OTHER_ORDERS)]
    layout = lay_out_panels(
        titles,
        x={"zeroline": False, "range": [-4, 104], "tickvals": [0, 50, 100], "ticktext": ["0 %", "50 %", "100 %"]},
        y={"zeroline": False, "nticks": 6, "range": [-0.15, 1.08], "matches": "y"},
        height=290, x_title="words gone", y_title="share of log p that is left",
    )  # fmt: skip
    interactive = go.Figure(layout=layout.layout)
    with print_style():
        still, axes = new_print_figure(1, len(scales), width=1.2 + 2.5 * len(scales), height=3.4, sharey=True)
        for index, (scale, title) in enumerate(zip(scales, titles, strict=True)):
            axis = axes[0, index]
            for order, strategy in lines:
                some = _curve(frame, scale, order, strategy)
                style, dash = (styles[strategy], "solid") if strategy else _OTHER_ORDERS[order]
                label = f"{style.label}, by score" if strategy else style.label
                interactive.add_trace(
                    go.Scatter(
                        x=some["step"].to_numpy() * share, y=some["mean"].to_numpy(), xaxis=layout.axes[index][0],
                        yaxis=layout.axes[index][1], mode="lines+markers" if strategy else "lines", name=plain(label),
                        legendgroup=label, showlegend=index == 0 and order != "worst",
                        marker={"symbol": style.symbol, "size": 9, "color": style.colour},
                        line={"color": style.colour, "width": 2, "dash": dash},
                        error_y={"type": "data", "symmetric": False, "color": style.colour, "thickness": 1.4,
                                 "width": 0, "array": (some["high"] - some["mean"]).to_numpy(),
                                 "arrayminus": (some["mean"] - some["low"]).to_numpy(), "visible": bool(strategy)},
                        hovertemplate=f"<b>{plain(label)}</b><br>%{{x:.0f}} % of the words gone: %{{y:.2f}} left"
                        "<extra></extra>",
                    )
                )  # fmt: skip
                errors = np.vstack([some["mean"] - some["low"], some["high"] - some["mean"]])
                axis.errorbar(
                    some["step"] * share, some["mean"], yerr=errors if strategy else None, color=style.colour,
                    linestyle={"solid": "-", "dash": "--", "dot": ":"}[dash], linewidth=1.4, elinewidth=1.2,
                    marker=style.marker if strategy else "", markersize=5, label=label if order != "worst" else "_same",
                )  # fmt: skip
            axis.set_title(title)
            axis.set_xlabel("words gone (%)")
        axes[0, 0].set_ylabel("share of log p that is left")
        print_legend(still, axes[0, 0], columns=3)
    first = frame[(frame["order"] == "score") & (frame["step"] == 1)]
    return save_figure(
        f"removal-curves-{attribution}-by-{operator}",
        interactive,
        still,
        frame,
        title="What is left of the rule as words go",
        caption="1: the log-probability of the reference rule with the whole clause; 0: with none of it. Faithful "
        "scores make a curve that falls at once. Grey lines are means over the strategies: random orders, and "
        "the best and the worst order that the search found.",
        alt="Share left after the first step, by score: " + _say_rows(first.assign(measure="left")),
        n=f"{say_range(frame['n_clauses'])} clauses a line",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


_OTHER_ORDERS = {
    "random": (Style("random order", GREY, "circle", "o"), "dash"),
    "best": (Style("best and worst order found", GREY, "circle", "o"), "dot"),
    "worst": (Style("best and worst order found", GREY, "circle", "o"), "dot"),
}


def _curve(frame: pd.DataFrame, scale: str, order: str, strategy: str) -> pd.DataFrame:
    """One line; orders that no strategy owns are averaged over them."""
    some = frame[(frame["scale"] == scale) & (frame["order"] == order)]
    if strategy:
        return some[some["strategy"] == strategy].sort_values("step")
    return some.groupby("step")[["mean", "low", "high"]].mean().reset_index()


def draw_signals(signals: pd.DataFrame, *, folder: Path | str, name: str = "error-signals") -> Figure:
    """How well each signal finds wrong elements: a row for each, a panel per split (``detector.rank_signals``)."""
    frame = require_rows(signals.dropna(subset=["auroc"]), name)
    best = frame.groupby("signal")["auroc"].max().sort_values(ascending=False, kind="stable")
    rows = [str(signal) for signal in best.index]
    splits = list(dict.fromkeys(frame["split"]))
    titles = {str(split): SPLIT_TITLES.get(str(split), str(split)) for split in splits}
    marks = frame.assign(
        row=frame["signal"], panel=[titles[split] for split in frame["split"]], value=frame["auroc"],
        n=frame["n_clauses"],
        strategy=["attribution" if signal in _FROM_ATTRIBUTION else "baseline" for signal in frame["signal"]],
    )  # fmt: skip
    interactive, still, layout = draw_rows(
        marks, rows=rows, panels=list(titles.values()),
        labels={row: SIGNAL_LABELS.get(row, humanise(row)) for row in rows},
        x_title="area under ROC", reference=0.5, reference_label="by chance", x_range=(0.25, 1.02),
        styles={key: style for key, style in FAMILIES.items() if key in set(marks["strategy"])}, dodge=False,
    )  # fmt: skip
    counts = frame.drop_duplicates("split")
    return save_figure(
        name,
        interactive,
        still,
        frame,
        title="Which signals tell a wrong element of a written rule from a right one?",
        caption="1: every wrong element looks more suspect than every right one. From attribution: mass on other words "
        "than could spell the element, the heaviest word is such another, mass spread out, little mass. Without: an "
        "unlikely token, an unsure model, a long clause, or no such word in it. Elements of all fine-tuned models "
        "together; a clause is drawn with everything that was written for it.",
        alt="Areas: " + "; ".join(
            f"{SIGNAL_LABELS.get(str(r.signal), str(r.signal))}, {titles[str(r.split)]} {r.auroc:.2f}"
            for r in frame.sort_values("auroc", ascending=False).itertuples(index=False)
        ) + ".",
        n="; ".join(
            f"{r.n_wrong} wrong of {r.n_elements} elements in {r.n_clauses} clauses ({titles[str(r.split)]})"
            for r in counts.itertuples(index=False)
        ),
        interval="95 % bootstrap over clauses",
        folder=folder,
        narrow=layout.narrow,
    )  # fmt: skip


def draw_reliability(bins: pd.DataFrame, *, folder: Path | str) -> Figure:
    """Predicted against observed shares of wrong elements (``detector.calibration_table``); a panel per split."""
    import plotly.graph_objects as go

    frame = require_rows(bins, "error-reliability")
    splits = list(dict.fromkeys(frame["split"]))
    titles = [SPLIT_TITLES.get(str(split), str(split)) for split in splits]
    models = {
        "unlikely": Style("unlikely token", "#8b6a1f", "square", "s"),
        "baselines": Style("baselines", "#D55E00", "triangle-up", "^"),
        "attribution": Style("attribution signals", "#8367b8", "circle", "o"),
        "both": Style("both", "#5a6b7b", "diamond", "D"),
    }
    axis_settings = {"zeroline": False, "nticks": 5}
    layout = lay_out_panels(
        titles, x=axis_settings, y=axis_settings, height=300, x_title="predicted share of wrong elements",
        y_title="observed share", gap=0.1,
    )  # fmt: skip
    reaches = [
        1.08 * frame.loc[frame["split"] == split, ["predicted", "observed"]].to_numpy().max() for split in splits
    ]
    for part in (layout.layout, layout.narrow):
        for index, reach in enumerate(reaches):  # errors are rare where models were trained, so scales differ
            part[axis_name("x", index)]["range"] = [-0.04 * reach, reach]
            part[axis_name("y", index)] |= {"range": [-0.04 * reach, reach], "showticklabels": True}
    interactive = go.Figure(layout=layout.layout)
    with print_style():
        still, axes = new_print_figure(1, len(splits), width=1.2 + 3.2 * len(splits), height=3.6)
        for index, split in enumerate(splits):
            x_axis, y_axis = layout.axes[index]
            interactive.add_trace(
                go.Scatter(x=[0, 1], y=[0, 1], xaxis=x_axis, yaxis=y_axis, mode="lines", hoverinfo="skip",
                           line={"color": GREY, "dash": "dot", "width": 1.5}, name="calibrated", showlegend=index == 0)
            )  # fmt: skip
            axes[0, index].plot([0, 1], [0, 1], ":", color=GREY, label="calibrated")
            for model, style in models.items():
                some = frame[(frame["split"] == split) & (frame["model"] == model)].sort_values("bin")
                interactive.add_trace(
                    go.Scatter(x=some["predicted"].to_numpy(), y=some["observed"].to_numpy(), xaxis=x_axis,
                               yaxis=y_axis, mode="lines+markers", name=style.label, legendgroup=model,
                               showlegend=index == 0, line={"color": style.colour, "width": 2},
                               marker={"symbol": style.symbol, "size": 8, "color": style.colour},
                               customdata=some["n"].to_numpy(),
                               hovertemplate=f"<b>{style.label}</b><br>predicted %{{x:.3f}}, observed %{{y:.3f}}"
                               "<br>n = %{customdata} elements<extra></extra>")
                )  # fmt: skip
                axes[0, index].plot(some["predicted"], some["observed"], color=style.colour, marker=style.marker,
                                    markersize=5, linewidth=1.4, label=style.label)  # fmt: skip
            axes[0, index].set_xlim(-0.04 * reaches[index], reaches[index])
            axes[0, index].set_ylim(-0.04 * reaches[index], reaches[index])
            axes[0, index].set_title(titles[index])
            axes[0, index].set_xlabel("predicted share of wrong elements")
        axes[0, 0].set_ylabel("observed share")
        print_legend(still, axes[0, 0])
    last = frame.sort_values("bin").groupby(["split", "model"], sort=False).tail(1)
    return save_figure(
        "error-reliability",
        interactive,
        still,
        frame,
        title="Can the probabilities be taken at their word?",
        caption="Each point is a tenth of the elements, by rising predicted probability that the element is wrong. On "
        "the dotted line a prediction of 0.3 is right in three of ten cases; above it, errors are more frequent than "
        "predicted. Clauses of known contexts are predicted by a regression that has not seen them; the held-out "
        "context by one that has seen the known contexts only.",
        alt="In the most suspect tenth, predicted and observed: " + "; ".join(
            f"{SIGNAL_LABELS.get(str(r.model), str(r.model))}, {SPLIT_TITLES.get(str(r.split), str(r.split))} "
            f"{r.predicted:.2f} and {r.observed:.2f}" for r in last.itertuples(index=False)
        ) + ".",
        n=f"{say_range((frame['n'].min(), frame['n'].max()))} elements a point",
        interval="none",
        folder=folder,
        narrow=layout.narrow,
    )  # fmt: skip


def draw_by_context(
    by_context: pd.DataFrame, measure: str, *, folder: Path | str, label: str, baseline: str = "delete"
) -> Figure:
    """One measure by regulatory context, the held-out one last; a mark per strategy and a panel per scale.

    ``by_context`` is ``stats.summarise_measures`` of ``contexts.gather_values``.
    """
    chosen = by_context[(by_context["measured"] == measure) & by_context["baseline"].isin((baseline, ""))]
    frame = require_rows(chosen.dropna(subset=["mean"]), f"context-{measure}")
    order = frame.sort_values(["split", "context"], key=lambda column: column.replace("document", "~"))
    rows = list(dict.fromkeys(order["context"]))
    held_out = set(frame.loc[frame["split"] == "document", "context"])
    counts = frame.groupby("context")["n_clauses"].max()
    labels = {
        row: f"{_shorten(humanise(row)) or 'no context'}{' (held out)' if row in held_out else ''}, n = {counts[row]}"
        for row in rows
    }
    scales = order_scales(frame)
    titles = {scale: _title(frame, scale) for scale in scales}
    marks = frame.assign(
        row=frame["context"],
        panel=[titles[scale] for scale in frame["scale"]],
        value=frame["mean"],
        n=frame["n_clauses"],
    )
    interactive, still, layout = draw_rows(marks, rows=rows, panels=list(titles.values()), labels=labels, x_title=label)
    return save_figure(
        f"context-{measure.replace('_', '-')}",
        interactive,
        still,
        frame,
        title=f"By regulatory context: {label}",
        caption="Contexts that the models were trained on, and last the one that they were not."
        if held_out
        else "Contexts that the models were trained on.",
        alt=f"{label} by context. " + _say_rows(frame.assign(measure=frame["context"])),
        n=f"{say_range(counts)} clauses a mark",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


def draw_distance_by_context(table: pd.DataFrame, *, folder: Path | str, first: str = "full") -> Figure:
    """Distances from ``first`` to each other strategy over those between seeds, a row for each regulatory context.

    ``table`` is ``contexts.separate_contexts``; its rows of all scales are drawn.
    """
    chosen = beside(table[table["scale"] == ALL_SCALES], first)
    frame = require_rows(chosen.dropna(subset=["ratio"]), "context-distance").rename(columns={"other": "strategy"})
    frame = frame.assign(held_out=frame["split"] == "document", whole=frame["context"] == "")
    frame = frame.sort_values(["held_out", "whole", "context"], ascending=[True, False, True], kind="stable")
    # A split of one context is drawn once.
    single = frame.groupby("split")["context"].transform("nunique") == 2
    frame = frame[~(frame["whole"] & single)]
    frame["row"] = frame["split"] + "/" + frame["context"]
    labels = {}
    for row in frame.drop_duplicates("row").itertuples(index=False):
        name = f"all {'held-out' if row.held_out else 'known'} contexts" if row.whole else humanise(str(row.context))
        held_out = " (held out)" if row.held_out and not row.whole else ""
        labels[str(row.row)] = f"{_shorten(name)}{held_out}, n = {row.n_clauses}"
    marks = frame.assign(
        panel="", value=frame["ratio"], low=frame["ratio_low"], high=frame["ratio_high"], n=frame["n_clauses"]
    )
    interactive, still, layout = draw_rows(
        marks, rows=list(labels), panels=[""], labels=labels, reference=1.0, reference_label="as far as two seeds",
        x_title="times as far as two seeds",
    )  # fmt: skip
    spoken = [f"{labels[r.row]}, {r.strategy} {r.value:.2f}" for r in marks.itertuples(index=False)]
    return save_figure(
        "context-distance",
        interactive,
        still,
        frame.drop(columns=["row", "held_out", "whole"]),
        title=f"By regulatory context: are patterns further from those of {first} than two seeds are from each other?",
        caption="On the dotted line strategies lie as far apart as seeds do. All scales together; no interval where a "
        "context has few clauses.",
        alt="Ratios: " + "; ".join(spoken) + ".",
        n=f"{say_range(marks['n'])} clauses a mark",
        interval="95 % bootstrap of the ratio over clauses",
        folder=folder,
        narrow=layout.narrow,
    )


def _shorten(name: str, most: int = 32) -> str:
    """A name that leaves room for its marks."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _title(frame: pd.DataFrame, scale: str) -> str:
    return f"{scale} ({format_parameters(frame.loc[frame['scale'] == scale, 'parameters'].iloc[0])})"


def _say_rows(frame: pd.DataFrame) -> str:
    """The ten largest means in words."""
    ordered: list[dict[Any, Any]] = frame.sort_values("mean", ascending=False, kind="stable").to_dict("records")
    parts = [f"{humanise(str(r['measure']))}, {r['strategy']} at {r['scale']} {r['mean']:.2f}" for r in ordered[:10]]
    return "; ".join(parts) + (". All values are in the data file." if len(ordered) > 10 else ".")
