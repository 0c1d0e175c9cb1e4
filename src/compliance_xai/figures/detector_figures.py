"""Figures of attribution as a detector of errors in written rules, without a reference to compare with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.forms import count_range, rows_chart, select
from compliance_xai.figures.marks import Axis, Chart, Panel, Points
from compliance_xai.figures.theme import GREY, VIOLET, Style, make_style
from compliance_xai.study.labels import format_number, label_of

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
SPLIT_TITLES = {"test": "known contexts", "validation": "known contexts", "document": "held-out context"}
_FROM_ATTRIBUTION = ("unsupported", "top_elsewhere", "spread", "weak", "attribution", "both")
_FAMILIES = {
    True: make_style("from attribution", VIOLET),
    False: make_style("without attribution", "#8b6a1f", "square"),
}
_MODELS = {
    "unlikely": make_style("unlikely token", "#8b6a1f", "square"),
    "baselines": make_style("baselines", "#D55E00", "triangle-up"),
    "attribution": make_style("attribution signals", VIOLET),
    "both": make_style("both", "#5a6b7b", "diamond"),
}


def draw_signals(signals: pd.DataFrame, *, folder: Path | str, name: str = "error-signals") -> Figure:
    """How well each signal finds wrong elements: a row for each, a panel per split (``stats.rank_signals``)."""
    frame = select(signals, name, "auroc")
    best = frame.groupby("signal")["auroc"].max().sort_values(ascending=False, kind="stable")
    titles = {str(split): SPLIT_TITLES.get(str(split), str(split)) for split in frame["split"]}
    families = frame.assign(family=frame["signal"].isin(_FROM_ATTRIBUTION))
    return save_figure(
        name,
        rows_chart(
            families, row="signal", value="auroc", panel="split", panels=titles, series="family", styles=_FAMILIES,
            rows={row: SIGNAL_LABELS.get(row, label_of(row).text) for row in map(str, best.index)},
            x_title="area under the ROC curve", mark=(0.5, "by chance"),
        ),
        frame,
        title="Which signals tell a wrong element of a written rule from a right one?",
        caption="1: every wrong element looks more suspect than every right one. From attribution: mass on other words "
        "than could spell the element, the heaviest word is such another, mass spread out, little mass. Without: an "
        "unlikely token, an unsure model, a long clause, or no such word in it. Elements of all fine-tuned models "
        "together; a clause is resampled with everything that was written for it.",
        n="; ".join(
            f"{row.n_wrong} wrong of {row.n_elements} elements in {row.n_clauses} clauses ({titles[str(row.split)]})"
            for row in frame.drop_duplicates("split").itertuples(index=False)
        ),
        interval="95 % bootstrap over clauses",
        folder=folder,
    )  # fmt: skip


def draw_reliability(bins: pd.DataFrame, *, folder: Path | str) -> Figure:
    """Predicted against observed shares of wrong elements (``stats.calibration_table``); a panel per split."""
    frame = require_rows(bins, "error-reliability")
    panels = []
    for split, here in frame.groupby("split", sort=False):
        reach = 1.08 * float(here[["predicted", "observed"]].to_numpy().max())
        span = (-0.04 * reach, reach)  # errors are rare where models were trained, so scales differ
        layers = [Points([0, reach], [0, reach], Style("calibrated", GREY), line="dot", symbols=False, width=1.5)]
        for model, style in _MODELS.items():
            some = here[here["model"] == model].sort_values("bin")
            x, y = (some[name].to_numpy(dtype=float) for name in ("predicted", "observed"))
            notes = [
                f"{style.label}\npredicted {format_number(p, 3)}, observed {format_number(o, 3)}\nn = {n} elements"
                for p, o, n in zip(x, y, some["n"], strict=True)
            ]
            layers.append(Points(x, y, style, line="solid", notes=notes))
        title = SPLIT_TITLES.get(str(split), str(split))
        panels.append(
            Panel(title, Axis("predicted share of wrong elements", span), Axis("observed share", span), layers)
        )
    return save_figure(
        "error-reliability",
        Chart(panels, 290),
        frame,
        title="Are the predicted probabilities right?",
        caption="Each point is a tenth of the elements, by rising predicted probability that the element is wrong. On "
        "the dotted line a prediction of 0.3 is right in three of ten cases; above it, errors are more frequent than "
        "predicted. Clauses of known contexts are predicted by a regression that has not seen them; the held-out "
        "context by one that has seen the known contexts only.",
        n=f"{count_range((frame['n'].min(), frame['n'].max()))} elements per point",
        interval="none",
        folder=folder,
    )  # fmt: skip
