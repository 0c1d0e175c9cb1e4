"""Figures of what a difference is worth: distances beside their noise, and differences with confidence held equal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.figures.charts import draw_rows
from compliance_xai.figures.comparison_figures import say_range
from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.theme import Style, order_scales, style_strategies

if TYPE_CHECKING:
    import pandas as pd

SOURCES = {
    "batch": "the same model, another batch",
    "dtype": "the same model, another float type",
    "seeds": "two seeds of one strategy",
    "strategies": "two strategies",
    "baselines": "the same model, words taken away in another way",
    "methods": "the same model, another method",
}
DISTANCES = {
    "jensen_shannon": "Jensen–Shannon distance (0 = same, 1 = disjoint)",
    "spearman": "1 − Spearman's rank correlation",
    "rank_biased_overlap": "1 − rank-biased overlap",
}
_ONE = {"distance": Style("mean distance", "#8367b8", "circle", "o")}


def draw_noise(
    noise: pd.DataFrame,
    measure: str = "jensen_shannon",
    *,
    folder: Path | str,
    sign: str = "absolute",
    scales: Sequence[str] = (),
) -> Figure:
    """How far two patterns lie apart, by what they differ in (``stats.noise_table``); a panel per scale."""
    chosen = noise[(noise["sign"] == sign) & (noise["measure"] == measure)].dropna(subset=["mean"])
    require_rows(chosen, "noise")
    rows = [name for name in SOURCES if name in set(chosen["source"])]
    scales = order_scales(chosen, scales)
    frame = chosen.assign(
        row=chosen["source"], panel=chosen["scale"], strategy="distance", value=chosen["mean"], n=chosen["n_clauses"]
    )
    interactive, still, layout = draw_rows(
        frame, rows=rows, panels=scales, labels={row: SOURCES[row] for row in rows}, x_title=DISTANCES[measure],
        styles=_ONE,
    )  # fmt: skip
    values = frame[["row", "scale", "value"]].itertuples(index=False, name=None)
    return save_figure(
        f"noise-{measure.replace('_', '-')}",
        interactive,
        still,
        chosen,
        title="How far two patterns lie apart, by what they differ in",
        caption="Only trained models. What two strategies differ by means something as far as it exceeds what two "
        "seeds of one strategy differ by.",
        alt="Means with intervals: "
        + "; ".join(f"{SOURCES[row]} at {scale} {value:.3f}" for row, scale, value in values)
        + ".",
        n=f"{say_range(chosen['n_clauses'])} clauses a row, fewest where one model is computed in another way; {sign} "
        "scores",
        interval="95 % bootstrap over clauses, pairs averaged inside a clause first; none for a single clause",
        folder=folder,
        narrow=layout.narrow,
    )


def draw_controls(
    controls: pd.DataFrame,
    *,
    folder: Path | str,
    first: str = "full",
    baseline: str = "delete",
    sign: str = "absolute",
    title: str = "difference in normalised entropy",
) -> Figure:
    """The difference between ``first`` and each trained strategy under every control (``stats.controls_table``)."""
    chosen = controls[(controls["baseline"] == baseline) & (controls["sign"] == sign)].dropna(subset=["estimate"])
    chosen = chosen[(chosen["strategy_a"] == first) | (chosen["strategy_b"] == first)]
    # The untouched base is far from any trained model in confidence: holding that equal would be extrapolation.
    chosen = chosen[~chosen[["strategy_a", "strategy_b"]].isin(["none"]).any(axis=1)]
    require_rows(chosen, "controls")
    turned = (chosen["strategy_b"] == first).to_numpy()
    other = chosen["strategy_a"].where(turned, chosen["strategy_b"])
    frame = chosen.assign(
        row=chosen["control"], panel="", strategy=other,
        value=chosen["estimate"].where(~turned, -chosen["estimate"]),
        low=chosen["low"].where(~turned, -chosen["high"]), high=chosen["high"].where(~turned, -chosen["low"]),
    )  # fmt: skip
    rows = list(dict.fromkeys(frame["row"]))
    interactive, still, layout = draw_rows(
        frame, rows=rows, panels=[""], labels={row: row for row in rows}, x_title=f"{title}, {first} − the other",
        reference=0.0, reference_label="no difference", styles=style_strategies(frame["strategy"]),
    )  # fmt: skip
    return save_figure(
        "controls",
        interactive,
        still,
        frame.drop(columns=["row", "panel"]),
        title=f"Does the difference remain? {title.capitalize()}, {first} against other strategies",
        caption="Left of the dotted line the first strategy is more focused. Equal mass or log-probability: what is "
        "left of the difference where both strategies are as sure as each other, by regression inside pairs. Clauses: "
        "thirds by number of words.",
        alt="Differences with intervals: "
        + "; ".join(f"{r.control}, {r.strategy}: {r.value:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in frame.itertuples())
        + ".",
        n=f"{int(chosen['n'].min())} to {int(chosen['n'].max())} clauses; removal: {baseline}; {sign} scores",
        interval="95 %: bootstrap over clauses; HC3 where something is held equal",
        folder=folder,
        narrow=layout.narrow,
    )
