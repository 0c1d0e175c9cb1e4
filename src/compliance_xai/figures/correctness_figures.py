"""The figure of correctness by element: which parts of a rule rest on the words that decide them?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.figures.charts import SHARES, draw_rows
from compliance_xai.figures.comparison_figures import BOOTSTRAP, MEASURES, say_range
from compliance_xai.figures.contract import Figure, require_rows, save_figure
from compliance_xai.figures.faithfulness_figures import ALL_KINDS
from compliance_xai.figures.theme import format_parameters, humanise, order_scales

if TYPE_CHECKING:
    import pandas as pd


def draw_correctness_by_element(
    correctness: pd.DataFrame,
    measure: str = "precision_at_k",
    *,
    folder: Path | str,
    baseline: str = "delete",
    sign: str = "positive",
    least: int = 5,
) -> Figure:
    """Correctness against the gold alignment: a row for each element of the rule, a panel per scale.

    A mark for each strategy. It takes many of them, where lines (``draw_correctness_by_scale``) would cover each other.

    Parameters
    ----------
    correctness
        ``alignment.summarise_gold`` by scale, parameters, strategy, baseline, sign and kind.
    least
        Elements in fewer clauses get no row; the caption names them.
    """
    chosen = correctness[(correctness["baseline"] == baseline) & (correctness["sign"] == sign)]
    chosen = require_rows(chosen.dropna(subset=[measure]), "correctness-by-element")
    counts = chosen.groupby("kind")["n_clauses"].max()
    rare = [str(kind) for kind in counts.index[counts < least]]
    frame = chosen[~chosen["kind"].isin(rare)] if len(rare) < len(counts) else chosen
    rows = _order_elements(frame, measure)
    scales = order_scales(frame)
    sizes = frame.groupby("scale")["parameters"].max()
    titles = {scale: f"{scale} ({format_parameters(sizes[scale])})" for scale in scales}
    marks = frame.assign(
        row=frame["kind"], panel=frame["scale"].map(titles), value=frame[measure], low=frame[f"{measure}_low"],
        high=frame[f"{measure}_high"], n=frame["n_clauses"], chance=frame[f"{measure}_chance_high"],
    )  # fmt: skip
    interactive, still, layout = draw_rows(
        marks, rows=rows, panels=list(titles.values()), x_title=MEASURES[measure], x_range=SHARES,
        labels={row: f"{_label(row)} ({counts[row]})" for row in rows},
        reference_label="as far as random rankings come",
    )  # fmt: skip
    left_out = f" Too rare for a row (fewer than {least} clauses): {', '.join(rare)}." if set(rare) - set(rows) else ""
    return save_figure(
        f"correctness-by-element-{measure.replace('_', '-')}",
        interactive,
        still,
        frame,
        title="Which elements of a rule rest on the words that decide them?",
        caption="All elements together, then each kind, the best read first. The clause's words are ranked by how much "
        "they raise the probability of the element, and compared with the words that decide it in the gold alignment; "
        "1: the deciding words come first. Grey: 97.5 % of random rankings of the same clauses stay left of it. In "
        f"brackets: clauses.{left_out}",
        alt=f"{MEASURES[measure]} by element. " + _say(frame, rows, measure),
        n=f"{say_range(counts.loc[rows])} clauses, depending on the element; removal: {baseline}; {sign} scores",
        interval=BOOTSTRAP,
        folder=folder,
        narrow=layout.narrow,
    )


def _order_elements(frame: pd.DataFrame, measure: str) -> list[str]:
    """All kinds together, then each by its mean over the trained strategies of the largest scale."""
    largest = frame[frame["parameters"] == frame["parameters"].max()]
    trained = largest[largest["strategy"] != "none"]
    means = (trained if len(trained) else largest).groupby("kind")[measure].mean().sort_values(ascending=False)
    named = [*means.index, *(kind for kind in frame["kind"].unique() if kind not in means.index)]
    return [str(kind) for kind in sorted(named, key=lambda kind: kind != ALL_KINDS)]


def _label(kind: str) -> str:
    return "all kinds" if kind == ALL_KINDS else humanise(kind)


def _say(frame: pd.DataFrame, rows: list[str], measure: str) -> str:
    """For each element, the range over the trained strategies of every scale, and the untouched base beside it."""
    parts = []
    for kind in rows:
        own = frame[frame["kind"] == kind]
        trained, base = (own[(own["strategy"] == "none") == side][measure] for side in (False, True))
        text = _label(kind)
        text += f" {trained.min():.2f} to {trained.max():.2f}" if len(trained) else ""
        parts.append(text + (f" (base {base.min():.2f} to {base.max():.2f})" if len(base) else ""))
    return "Over all scales and fine-tuned strategies: " + "; ".join(parts) + "."
