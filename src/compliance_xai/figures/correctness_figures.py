"""Figures of whether attribution is right, whether the model depends on the words it marks, and finds errors by it."""

import numpy as np
import pandas as pd

from compliance_xai.attribution.elements import ATTRIBUTION
from compliance_xai.figures.contract import Drawing, drawn
from compliance_xai.figures.forms import FEW, count_clauses, count_range, line_of, order_scales, pad, rows_chart, select
from compliance_xai.figures.marks import Axis, Chart, Panel
from compliance_xai.figures.theme import GREY, VIOLET, Style, make_style, style_strategies
from compliance_xai.stats.frames import CONTROL
from compliance_xai.study.labels import label_of

ALL_KINDS = "all"
"""Stands for every kind of rule element together."""
SHARES = (-0.04, 1.04)
"""Range of an axis of shares: marks at 0 and 1 are drawn whole."""
_CONTROLS = {
    "deletion": "random_deletion",
    "insertion": 0.5,
    "lds": 0.0,
    "top_1_drop": "random_top_1_drop",
    "top_3_drop": "random_top_3_drop",
}
"""Measures of faithfulness, and what a random order reaches: a measure of its own, or a value known beforehand."""
_OTHER_ORDERS = {
    "random": (Style("random order", GREY), "dash"),
    "best": (Style("best and worst order found", GREY), "dot"),
    "worst": (Style("best and worst order found", GREY), "dot"),
}
SPLIT_TITLES = {"test": "known contexts", "validation": "known contexts", "document": "held-out context"}
_FAMILIES = {
    True: make_style("from attribution", VIOLET),
    False: make_style("without attribution", "#8b6a1f", "square"),
}


@drawn
def draw_correctness(correctness: pd.DataFrame, *, baseline: str = "delete") -> Drawing:
    """Precision at k against the gold alignment: a row for each element of the rule, a panel per model size.

    ``correctness`` is ``stats.summarise_gold`` of positive scores, by scale, parameters, strategy, baseline and kind.
    Elements in too few clauses are left out, and the caption names them.
    """
    name, measure, ends = "correctness", "precision_at_k", ("precision_at_k_low", "precision_at_k_high")
    frame = select(correctness, name, measure, ends=ends, baseline=baseline)
    counts = frame.groupby("kind")["n_clauses"].max()
    labels = {kind: "all kinds" if kind == ALL_KINDS else label_of(str(kind)).text for kind in counts.index}
    rare = [kind for kind in labels if counts[kind] < FEW <= counts.max()]
    frame = frame[~frame["kind"].isin(rare)]
    trained = frame[frame["strategy"] != CONTROL]
    means = trained[trained["parameters"] == trained["parameters"].max()].groupby("kind")[measure].mean()
    rows = sorted(set(labels) - set(rare), key=lambda kind: (kind != ALL_KINDS, -means.get(kind, -1.0), kind))
    left_out = f" Left out (fewer than {FEW} clauses): {', '.join(labels[kind] for kind in rare)}." if rare else ""
    chart = rows_chart(
        frame, row="kind", rows={kind: f"{labels[kind]} ({counts[kind]})" for kind in rows}, value=measure, ends=ends,
        chance=(f"{measure}_chance_high", "97.5 % of random rankings are below"), span=SHARES,
        x_title=label_of(measure).axis,
    )  # fmt: skip
    return Drawing(
        name,
        chart,
        frame,
        words={"left_out": left_out},
        n=count_clauses(frame["n_clauses"], baseline, "positive", ", depending on the element"),
    )


@drawn
def draw_faithfulness(summary: pd.DataFrame, *, attribution: str = "delete", operator: str = "mask") -> Drawing:
    """The measures of faithfulness, a row for each and a panel per model size.

    ``summary`` is ``stats.summarise_measures`` of ``judge_scores`` by cell, attribution and operator.
    """
    summary = summary[summary["strategy"] != CONTROL]
    judged = select(summary, "faithfulness", "mean", attribution=attribution, operator=operator)
    frame = select(judged, "faithfulness", "mean", measure=list(_CONTROLS))
    controls = judged.set_index(["scale", "strategy", "measure"])["mean"].to_dict()
    wanted = [_CONTROLS[str(measure)] for measure in frame["measure"]]
    chance = [
        controls.get((scale, strategy, control), np.nan) if isinstance(control, str) else control
        for scale, strategy, control in zip(frame["scale"], frame["strategy"], wanted, strict=True)
    ]
    chart = rows_chart(
        frame.assign(chance=chance), row="measure", value="mean", chance=("chance", "random order"), span=(-0.25, 1.08),
        rows={name: label_of(name).text for name in _CONTROLS if name in set(frame["measure"])},
        x_title="1 = best possible",
    )  # fmt: skip
    made, judge = (label_of(name).text for name in (attribution, operator))
    how = f"with one way of removing words ({made}) and judged with another ({judge})"
    if attribution == operator:
        how = f"and judged by removing words in the same way ({made}): circular, for comparison only"
    return Drawing(
        f"faithfulness-{attribution}-by-{operator}",
        chart,
        frame,
        words={"how": how},
        n=f"{count_range(frame['n_clauses'])} clauses per mark",
    )


@drawn
def draw_removal_curves(curves: pd.DataFrame, *, attribution: str = "delete", operator: str = "mask") -> Drawing:
    """What is left of the rule's log-probability as words are removed, by score and in other orders.

    ``curves`` is ``stats.summarise_measures`` of ``kept`` by cell, attribution, operator, order and step; a panel per
    model size. Orders that belong to no way of attributing have no attribution, or an empty one.
    """
    curves = curves[curves["strategy"] != CONTROL]
    curves = curves.assign(attribution=curves["attribution"].fillna(""))
    where = {"operator": operator, "attribution": [attribution, ""], "order": ["score", *_OTHER_ORDERS]}
    frame = select(curves, "removal-curves", "mean", **where)
    frame = frame.assign(removed=100 * frame["step"] / max(1, int(frame["step"].max())))
    y_axis = Axis("share of log p left", pad(frame[["mean", "low", "high"]].to_numpy(dtype=float).ravel()))
    x = Axis("words removed", (-4, 104), {0.0: "0 %", 50.0: "50 %", 100.0: "100 %"})
    panels = []
    for scale, title in order_scales(frame).items():
        here = frame[frame["scale"] == scale]
        layers = []
        for order, (style, dash) in _OTHER_ORDERS.items():  # these belong to no strategy and are averaged over all
            some = here[here["order"] == order].groupby("removed")[["mean"]].mean().reset_index()
            layers.append(line_of(some, "removed", "mean", style, "", line=dash, symbols=False))
        for name, style in style_strategies(frame["strategy"]).items():
            some = here[(here["order"] == "score") & (here["strategy"] == name)]
            said = "{label}, {removed:.0f} % of the words removed\n{mean:.2f} [{low:.2f}, {high:.2f}] left"
            layers.append(line_of(some, "removed", "mean", style, said))
        panels.append(Panel(title, x, y_axis, layers))
    return Drawing(
        f"removal-curves-{attribution}-by-{operator}",
        Chart(panels, 270, share_x=True, share_y=True),
        frame,
        n=f"{count_range(frame['n_clauses'])} clauses per line",
    )


@drawn
def draw_signals(signals: pd.DataFrame) -> Drawing:
    """How well each signal finds wrong elements: a row for each, a panel per split (``stats.rank_signals``)."""
    name = "error-signals"
    frame = select(signals, name, "auroc")
    best = frame.groupby("signal")["auroc"].max().sort_values(ascending=False, kind="stable")
    titles = {str(split): SPLIT_TITLES.get(str(split), str(split)) for split in frame["split"]}
    families = frame.assign(family=frame["signal"].isin(ATTRIBUTION))
    return Drawing(
        name,
        rows_chart(
            families, row="signal", value="auroc", panel="split", panels=titles, series="family", styles=_FAMILIES,
            rows={row: label_of(row).text for row in map(str, best.index)},
            x_title="area under the ROC curve", mark=(0.5, "by chance"),
        ),
        frame,
        n="; ".join(
            f"{row.n_wrong} wrong of {row.n_elements} elements in {row.n_clauses} clauses ({titles[str(row.split)]})"
            for row in frame.drop_duplicates("split").itertuples(index=False)
        ),
    )  # fmt: skip
