"""Figures of how far apart two attribution patterns of one clause are: seeds, strategies, and everything else."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from compliance_xai.figures.contract import Drawing, drawn, require_rows
from compliance_xai.figures.focus_figures import INTERVAL
from compliance_xai.figures.forms import count_clauses, count_range, order_scales, rows_chart, select
from compliance_xai.figures.marks import Axis, Box, Chart, Panel
from compliance_xai.figures.theme import GREY, Style, style_strategies
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, beside
from compliance_xai.study.labels import format_number, label_of, strategy_label

SOURCES = {
    "batch": "same model, another batch",
    "dtype": "same model, another float type",
    "seeds": "two seeds of one strategy",
    "strategies": "two strategies",
    "baselines": "same model, another way to remove words",
    "methods": "same model, another method",
}
_MEASURES = ("jensen_shannon", "spearman", "rank_biased_overlap")


@drawn
def draw_noise(
    noise: pd.DataFrame, measure: str = "jensen_shannon", *, sign: str = "net", scales: Sequence[str] = ()
) -> Drawing:
    """How far apart two patterns are, by what differs between them (``stats.noise_table``); a panel per model size."""
    frame = select(noise, "noise", "mean", sign=sign, measure=measure)
    return Drawing(
        f"noise-{measure.replace('_', '-')}",
        rows_chart(
            frame, row="source", rows={name: text for name, text in SOURCES.items() if name in set(frame["source"])},
            value="mean", panels=order_scales(frame, scales), x_title=label_of(measure).axis, series="",
            styles={"": Style("mean distance")},
        ),
        frame,
        title="How far apart are two patterns, by what differs between them?",
        caption="Fine-tuned models only. A difference between strategies means something only if it exceeds the "
        "difference between two seeds of one strategy.",
        n=f"{count_range(frame['n_clauses'])} clauses per row, fewest where one model is computed in another way; "
        f"{sign} scores",
        interval="95 % bootstrap over clauses, pairs averaged within each clause first",
    )  # fmt: skip


@drawn
def draw_distances(
    distances: pd.DataFrame, *, baseline: str = "delete", sign: str = "net", scales: Sequence[str] = ()
) -> Drawing:
    """How far apart two runs' patterns are: two seeds of one strategy (the noise floor) against two strategies.

    ``distances`` is ``stats.distance_frame``: one row per clause and pair of runs; ``scales`` the order of the panels.
    """
    chosen = select(distances, "distances", "jensen_shannon", baseline=baseline, sign=sign)
    styles = style_strategies([*chosen["strategy_a"], *chosen["strategy_b"]])
    keys = ["scale", "pair", "strategy_a", "strategy_b", "id"]
    frame = chosen.groupby(keys, sort=False)["jensen_shannon"].mean().reset_index()
    order = list(styles)
    runs = sorted(
        set(zip(frame["pair"], frame["strategy_a"], frame["strategy_b"], strict=True)),
        key=lambda run: (run[0] != "within", order.index(run[1]), order.index(run[2])),
    )
    y_ticks, boxes = {}, {scale: [] for scale in order_scales(chosen, scales)}
    for place, (pair, a, b) in enumerate(runs):
        within = pair == "within"
        y_ticks[place] = f"{styles[a].label}: two seeds" if within else f"{styles[a].label} and {styles[b].label}"
        rows = frame[(frame["pair"] == pair) & (frame["strategy_a"] == a) & (frame["strategy_b"] == b)]
        for scale, group in rows.groupby("scale"):
            style = Style("", styles[a].colour if within else GREY)
            boxes[str(scale)].append(Box(place, group["jensen_shannon"].to_numpy(), style))
    reach = 1.05 * max(box.summary["whishi"] for row in boxes.values() for box in row)
    x = Axis(label_of("jensen_shannon").axis, (0, reach))
    y = Axis("", (len(runs) - 0.5, -0.5), y_ticks, names=True)
    panels = [Panel(title, x, y, boxes[scale]) for scale, title in order_scales(chosen, scales).items()]
    explained = (
        "Coloured boxes: two seeds of one strategy, the noise floor. Grey boxes: two strategies. Only what exceeds the "
        "coloured boxes is a difference between strategies."
        if "within" in set(frame["pair"])
        else "Each box: two strategies. With one training seed there is no noise floor to compare with."
    )
    return Drawing(
        "distances",
        Chart(panels, 24 + 36 * len(runs), share_x=True, share_y=True, legend=False),
        frame,
        title="Distance between the attribution patterns of two runs, clause by clause",
        caption=f"0 means the same pattern, 1 disjoint ones. {explained}",
        n=count_clauses(frame.groupby(keys[:-1])["id"].nunique(), baseline, sign, " per box")
        + "; pairs of seeds averaged within each clause",
        interval="the box spans the quartiles, the whiskers reach at most 1.5 box lengths further; not an interval of "
        "an estimate",
    )


@drawn
def draw_separation(
    tests: pd.DataFrame, *, first: str = "full", baseline: str = "delete", sign: str = "net"
) -> Drawing:
    """Distances from ``first`` to each other strategy over those between seeds, a panel for each distance.

    ``tests`` is ``stats.compare_patterns``; its rows of all sizes are drawn. The untouched base is so far off that only
    the caption gives its ratio.
    """
    ends = ("ratio_low", "ratio_high")
    where = {"baseline": baseline, "sign": sign, "scale": ALL_SCALES}
    chosen = beside(select(tests, "separation", "ratio", ends=ends, **where), first)
    base = chosen.loc[chosen["other"] == CONTROL, "ratio"]
    frame = require_rows(chosen[chosen["other"] != CONTROL], "separation")
    note = ""
    if len(base):
        far = " to ".join(dict.fromkeys(format_number(ratio, 1) for ratio in (base.min(), base.max())))
        note = f" Not drawn: the untouched base, {far} times as far."
    own = strategy_label(first)
    return Drawing(
        "separation",
        rows_chart(
            frame, row="other", rows={row: style.label for row, style in style_strategies(frame["other"]).items()},
            value="ratio", ends=ends, series="other", listed=False, mark=(1.0, "as two seeds of one strategy"),
            panels={name: label_of(name).text for name in _MEASURES if name in set(frame["measure"])}, panel="measure",
            x_title="distance between strategies / between seeds of one strategy",
        ),
        frame,
        title=f"Are patterns further from those of {own} than two seeds are from each other?",
        caption=f"Each mark: the distance (root mean square) between runs of {own} and runs of the strategy in the "
        "row with other seeds, divided by that between two seeds of one of the two. On the dotted line two strategies "
        f"differ no more than two seeds do. All sizes together.{note}",
        n=count_clauses(frame["n_clauses"], baseline, sign),
        interval=INTERVAL,
    )  # fmt: skip
