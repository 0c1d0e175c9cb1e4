"""Figures of focus from summaries and tests alone: over size, against the noise of seeds, and by protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.figures.charts import draw_lines, draw_rows
from compliance_xai.figures.comparison_figures import BOOTSTRAP, MEASURES, say_range
from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import humanise, order_scales, style_strategies
from compliance_xai.stats.frames import ALL_SCALES, CONTROL, beside

if TYPE_CHECKING:
    import pandas as pd

PROTOCOLS = {
    "matched_compute": "equal compute",
    "matched_loss": "equal validation loss",
    "best": "each at its best",
}
_SHORT = {"jensen_shannon": "Jensen–Shannon", "spearman": "Spearman", "rank_biased_overlap": "rank-biased"}
_AS_SEEDS = "as two seeds of one strategy"


def draw_focus_by_scale(
    summary: pd.DataFrame,
    *,
    folder: Path | str,
    measures: Sequence[str] = ("normalised_entropy", "gini", "top_3_mass", "effective_number"),
    baseline: str = "delete",
    sign: str = "absolute",
) -> Figure:
    """Measures of focus against model size, a panel for each and a line per strategy (``stats.summarise_measures``)."""
    chosen = summary[(summary["baseline"] == baseline) & (summary["sign"] == sign)]
    chosen = require_rows(chosen[chosen["measure"].isin(measures)].dropna(subset=["mean"]), "focus-by-scale")
    frame = chosen.assign(panel=chosen["measure"], value=chosen["mean"], n=chosen["n_clauses"])
    panels = [name for name in measures if name in set(frame["panel"])]
    interactive, still, layout = draw_lines(
        frame, panels=panels, y_title="", titles={name: MEASURES[name] for name in panels}
    )
    main = frame[frame["measure"] == panels[0]].sort_values(["parameters", "strategy"])
    return save_figure(
        "focus-by-scale",
        interactive,
        still,
        chosen,
        title="How focused is attribution, by strategy and size?",
        caption="Means over clauses. Low entropy, a high Gini coefficient, much mass on three words and few effective "
        "words all say that a model rests its rule on little of the clause.",
        alt=f"{MEASURES[panels[0]]} against model size: "
        + "; ".join(f"{r.strategy} at {r.scale} {r.value:.2f}" for r in main.itertuples(index=False))
        + ".",
        n=f"{say_range(frame['n'])} clauses a point; removal: {baseline}; {sign} scores",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


def draw_separation(
    tests: pd.DataFrame,
    *,
    folder: Path | str,
    first: str = "full",
    margin: float | None = None,
    baseline: str = "delete",
    sign: str = "absolute",
) -> Figure:
    """Distances from ``first`` to each other strategy over those between seeds, a panel for each distance.

    ``tests`` is ``stats.compare_distances``; its rows of all scales are drawn. ``margin`` is the ratio that the claim
    asks for. The untouched base lies so far off that it is told in the caption.
    """
    chosen = tests[(tests["baseline"] == baseline) & (tests["sign"] == sign) & (tests["scale"] == ALL_SCALES)]
    chosen = beside(chosen, first).dropna(subset=["ratio"])
    base = chosen.loc[chosen["other"] == CONTROL, "ratio"]
    chosen = require_rows(chosen[chosen["other"] != CONTROL], "separation")
    other = chosen["other"]
    styles = style_strategies(other)
    titles = {name: title for name, title in _SHORT.items() if name in set(chosen["measure"])}
    frame = chosen.assign(
        row=other, strategy=other, panel=chosen["measure"].map(titles), value=chosen["ratio"], low=chosen["ratio_low"],
        high=chosen["ratio_high"], n=chosen["n_clauses"],
    )  # fmt: skip
    interactive, still, layout = draw_rows(
        frame, rows=list(styles), panels=list(titles.values()), reference=1.0, reference_label=_AS_SEEDS,
        labels={name: style.label for name, style in styles.items()},
        x_title="distance between strategies / between seeds of one", dodge=False,
    )  # fmt: skip
    for trace in interactive.data:  # rows name the strategies already
        trace.showlegend = bool(trace.showlegend) and trace.name == _AS_SEEDS
    asked = "" if margin is None else f" The claim asks for a lower bound of at least {margin:g}."
    if len(base):
        far = " to ".join(dict.fromkeys(f"{ratio:.1f}" for ratio in (base.min(), base.max())))
        asked += f" Not drawn: the untouched base, {far} times as far."
    return save_figure(
        "separation",
        interactive,
        still,
        chosen,
        title=f"Are patterns further from those of {first} than two seeds are from each other?",
        caption=f"Each mark: the mean distance between runs of {first} and runs of the strategy in the row, over the "
        "mean distance between two seeds of one of the two. On the dotted line strategies lie as far apart as seeds "
        f"do, and there is nothing to explain. All scales together.{asked}",
        alt="Ratios with intervals: "
        + "; ".join(
            f"{row.strategy}, {row.panel}: {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
            for row in frame.itertuples(index=False)
        )
        + ".",
        n=f"{say_range(frame['n'])} clauses; removal: {baseline}; {sign} scores",
        interval="95 % bootstrap of the ratio over clauses",
        folder=folder,
        narrow=layout.narrow,
    )


def draw_protocols(
    pairs: pd.DataFrame,
    measure: str = "normalised_entropy",
    *,
    folder: Path | str,
    first: str = "full",
    baseline: str = "delete",
    sign: str = "absolute",
    scales: Sequence[str] = (),
) -> Figure:
    """Differences in focus between ``first`` and each other strategy under every protocol; a panel per scale.

    ``pairs`` is the table of that name of the stage ``protocols``.
    """
    chosen = pairs[(pairs["baseline"] == baseline) & (pairs["sign"] == sign) & (pairs["measure"] == measure)]
    chosen = chosen[(chosen["strategy_a"] == first) | (chosen["strategy_b"] == first)]
    chosen = require_rows(chosen.dropna(subset=["mean_difference"]), "protocols")
    turned = (chosen["strategy_b"] == first).to_numpy()
    other = chosen["strategy_a"].where(turned, chosen["strategy_b"])
    order = order_scales(chosen, scales)
    titles = {scale: "all scales" if scale == ALL_SCALES else str(scale) for scale in order}
    frame = chosen.assign(
        row=chosen["protocol"], panel=chosen["scale"].map(titles), strategy=other,
        value=chosen["mean_difference"].where(~turned, -chosen["mean_difference"]),
        low=chosen["low"].where(~turned, -chosen["high"]), high=chosen["high"].where(~turned, -chosen["low"]),
    )  # fmt: skip
    rows = [name for name in PROTOCOLS if name in set(frame["row"])]
    name = MEASURES[measure].split(" (")[0]
    interactive, still, layout = draw_rows(
        frame, rows=rows, panels=list(titles.values()), labels=PROTOCOLS, reference=0.0,
        reference_label="no difference", x_title=f"difference in {name}, {first} − the other",
    )  # fmt: skip
    return save_figure(
        f"protocols-{measure.replace('_', '-')}",
        interactive,
        still,
        frame.drop(columns=["row", "panel"]),
        title="Does the difference in focus hang on when training stops?",
        caption=f"{name.capitalize()} of {first} less that of each other strategy on the same clauses, after the same "
        "number of training pairs, where validation losses are nearest to the lowest that all reach, and each at its "
        f"lowest loss. Left of the dotted line {first} is more focused. Where a protocol did not reach a strategy "
        "there is no mark.",
        alt=f"Differences in {humanise(measure)} with intervals: "
        + "; ".join(
            f"{PROTOCOLS[str(r.row)]}, {r.strategy} at {r.scale}: {r.value:.3f} [{r.low:.3f}, {r.high:.3f}]"
            for r in frame.itertuples(index=False)
        )
        + ".",
        n=f"{say_range(frame['n'])} clauses; removal: {baseline}; {sign} scores",
        interval="95 % bootstrap of the mean difference over clauses",
        folder=folder,
        narrow=layout.narrow,
    )
