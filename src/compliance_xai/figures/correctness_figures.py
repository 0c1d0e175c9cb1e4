"""Figures of whether attribution is right, and whether the model depends on the words that it marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from compliance_xai.figures.contract import Figure, save_figure
from compliance_xai.figures.forms import (
    FEW,
    MANY,
    count_clauses,
    count_range,
    order_scales,
    pad,
    rows_chart,
    select,
    size_chart,
)
from compliance_xai.figures.marks import Axis, Chart, Panel, Points
from compliance_xai.figures.theme import GREY, Style, style_strategies
from compliance_xai.stats.frames import CONTROL
from compliance_xai.study.labels import format_interval, label_of

ALL_KINDS = "all"
"""Stands for every kind of rule element together."""
SHARES = (-0.04, 1.04)
"""Range of an axis of shares: marks at 0 and 1 are drawn whole."""
_RANKED = (
    "The clause's words are ranked by how much they raise the probability of the element, and compared with the words "
    "that decide it in the gold alignment; 1: the deciding words come first. In brackets: clauses."
)
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


def draw_correctness_by_scale(
    correctness: pd.DataFrame,
    measure: str = "precision_at_k",
    *,
    folder: Path | str,
    baseline: str = "delete",
    sign: str = "positive",
    least: int = FEW,
) -> Figure:
    """Correctness against the gold alignment: a panel for each element of the rule, a line for each strategy.

    With one model size, or more strategies than lines can show, ``draw_correctness_by_element`` takes its place.

    Parameters
    ----------
    correctness
        ``stats.summarise_gold`` by scale, parameters, strategy, baseline, sign and kind.
    least
        Elements in fewer clauses are left out; the caption names them.
    """
    if correctness["scale"].nunique() == 1 or correctness["strategy"].nunique() > MANY:
        where = {"baseline": baseline, "sign": sign, "least": least}
        return draw_correctness_by_element(correctness, measure, folder=folder, **where)
    name, ends = f"correctness-by-scale-{measure.replace('_', '-')}", (f"{measure}_low", f"{measure}_high")
    frame = select(correctness, name, measure, ends=ends, baseline=baseline, sign=sign)
    frame, kinds, rare = _frequent(frame, least)
    chart = size_chart(
        frame, name, panel="kind", panels=kinds, value=measure, ends=ends, y_title=label_of(measure).text, span=SHARES,
        columns=4, bands=(f"{measure}_chance_low", f"{measure}_chance_high", "random ranking, 95 %"),
    )  # fmt: skip
    return save_figure(
        name,
        chart,
        frame,
        title="Does attribution point at the words that decide?",
        caption=f"A panel for all elements together, then one for each kind, the most frequent first. {_RANKED} Grey: "
        f"where 95 % of random rankings of the same clauses would be.{rare}",
        n=count_clauses(frame["n_clauses"], baseline, sign, ", depending on the element"),
        folder=folder,
    )


def draw_correctness_by_element(
    correctness: pd.DataFrame,
    measure: str = "precision_at_k",
    *,
    folder: Path | str,
    baseline: str = "delete",
    sign: str = "positive",
    least: int = FEW,
) -> Figure:
    """Correctness against the gold alignment: a row for each element of the rule, a panel per model size.

    Parameters as of ``draw_correctness_by_scale``.
    """
    name, ends = f"correctness-by-element-{measure.replace('_', '-')}", (f"{measure}_low", f"{measure}_high")
    frame = select(correctness, name, measure, ends=ends, baseline=baseline, sign=sign)
    frame, kinds, rare = _frequent(frame, least)
    trained = frame[frame["strategy"] != CONTROL]
    largest = trained[trained["parameters"] == trained["parameters"].max()]
    means = largest.groupby("kind")[measure].mean()
    rows = sorted(kinds, key=lambda kind: (kind != ALL_KINDS, -means.get(kind, -1.0)))
    chart = rows_chart(
        frame, row="kind", rows={kind: kinds[kind] for kind in rows}, value=measure, ends=ends, span=SHARES,
        chance=(f"{measure}_chance_high", "97.5 % of random rankings are below"), x_title=label_of(measure).axis,
    )  # fmt: skip
    return save_figure(
        name,
        chart,
        frame,
        title="Which elements of a rule rest on the words that decide them?",
        caption=f"All elements together, then each kind, the best first. {_RANKED} Grey: 97.5 % of random rankings of "
        f"the same clauses stay left of it.{rare}",
        n=count_clauses(frame["n_clauses"], baseline, sign, ", depending on the element"),
        folder=folder,
    )


def _frequent(frame: pd.DataFrame, least: int) -> tuple[pd.DataFrame, dict[str, str], str]:
    """The rows of elements in at least so many clauses, their labels, and a sentence on the others."""
    counts = frame.groupby("kind")[["n_clauses", "n_links"]].max()
    counts = counts.sort_values("n_links", ascending=False, kind="stable")["n_clauses"]
    names = {str(kind): "all kinds" if kind == ALL_KINDS else label_of(str(kind)).text for kind in counts.index}
    rare = [kind for kind in names if counts[kind] < least <= counts.max()]
    kinds = {kind: f"{label} ({counts[kind]})" for kind, label in names.items() if kind not in rare}
    left_out = f" Left out (fewer than {least} clauses): {', '.join(names[kind] for kind in rare)}." if rare else ""
    return frame[frame["kind"].isin(list(kinds))], kinds, left_out


def draw_faithfulness(
    summary: pd.DataFrame, *, folder: Path | str, attribution: str = "delete", operator: str = "mask"
) -> Figure:
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
    return save_figure(
        f"faithfulness-{attribution}-by-{operator}",
        chart,
        frame,
        title="Does the model lose its rule when the words with high scores are removed?",
        caption=f"Scores made and judged by removing words in the same way ({made}): circular, for comparison only."
        if attribution == operator
        else f"Scores made with one way of removing words ({made}) and judged with another ({judge}).",
        n=f"{count_range(frame['n_clauses'])} clauses per mark",
        folder=folder,
    )


def draw_removal_curves(
    curves: pd.DataFrame, *, folder: Path | str, attribution: str = "delete", operator: str = "mask"
) -> Figure:
    """What is left of the rule's log-probability as words are removed, by score and in other orders.

    ``curves`` is ``stats.summarise_measures`` of ``kept`` by cell, attribution, operator, order and step; a panel per
    model size. Orders that belong to no way of attributing have no attribution, or an empty one.
    """
    curves = curves[curves["strategy"] != CONTROL]
    curves = curves.assign(attribution=curves["attribution"].fillna(""))
    where = {"operator": operator, "attribution": [attribution, ""], "order": ["score", *_OTHER_ORDERS]}
    frame = select(curves, "removal-curves", "mean", **where)
    share = 100 / max(1, int(frame["step"].max()))
    y_axis = Axis("share of log p left", pad(frame[["mean", "low", "high"]].to_numpy(dtype=float).ravel()))
    x = Axis("words removed", (-4, 104), {0.0: "0 %", 50.0: "50 %", 100.0: "100 %"})
    panels = []
    for scale, title in order_scales(frame).items():
        here = frame[frame["scale"] == scale]
        layers = []
        for order, (style, dash) in _OTHER_ORDERS.items():  # these belong to no strategy and are averaged over all
            some = here[here["order"] == order].groupby("step")["mean"].mean()
            layers.append(Points(share * some.index.to_numpy(), some.to_numpy(), style, line=dash, symbols=False))
        for name, style in style_strategies(frame["strategy"]).items():
            some = here[(here["order"] == "score") & (here["strategy"] == name)].sort_values("step")
            step, *numbers = (some[column].to_numpy(dtype=float) for column in ("step", "mean", "low", "high"))
            notes = [
                f"{style.label}, {share * at:.0f} % of the words removed\n{format_interval(*values)} left"
                for at, *values in zip(step, *numbers, strict=True)
            ]
            layers.append(Points(share * step, numbers[0], style, *numbers[1:], line="solid", notes=notes))
        panels.append(Panel(title, x, y_axis, layers))
    return save_figure(
        f"removal-curves-{attribution}-by-{operator}",
        Chart(panels, 270, share_x=True, share_y=True),
        frame,
        title="What is left of the rule as words are removed",
        caption="Words with high scores are removed first. 1: the log-probability of the reference rule with the whole "
        "clause; 0: with none of it. Faithful scores make a curve that falls at once. Grey lines are means over the "
        "strategies: random orders, and the best and the worst order that the search found.",
        n=f"{count_range(frame['n_clauses'])} clauses per line",
        folder=folder,
    )
