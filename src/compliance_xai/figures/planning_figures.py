"""Figures for planning a study: what it can find, and how long an attribution takes."""

import pandas as pd

from compliance_xai.figures.contract import Drawing, drawn, require_rows
from compliance_xai.figures.forms import line_of, log_ticks
from compliance_xai.figures.marks import Axis, Chart, Panel, reference
from compliance_xai.figures.theme import GREY, Style, make_style

ASKED = 0.8
"""The power that is usually asked for."""
# None is a strategy's colour, and all stand out on white and on black.
_SEEDS = {
    2: make_style("2 seeds", "#848e99"),
    3: make_style("3 seeds", "#3a9188", "square"),
    5: make_style("5 seeds", "#9d5bd2", "diamond"),
}
_VARIED = {"clause": ("longer clauses", "words of the clause"), "target": ("longer rules", "tokens of the rule")}
_SYSTEMS = {
    "this engine": make_style("this engine", GREY),
    "captum, teacher-forced": make_style("captum, teacher-forced", "#D55E00", "triangle-up"),
    "shap": make_style("shap, per evaluation", "#56B4E9", "star"),
}


@drawn
def draw_power(rates: pd.DataFrame, *, clauses: int, studies: int) -> Drawing:
    """Shares of simulated studies that find an effect, a panel per claim and a line per number of seeds.

    ``rates``: ``claim``, ``unit`` (of ``effect``), ``effect``, ``seeds``, ``value`` and its interval ``low``, ``high``.
    ``clauses``, ``studies``: how many clauses each study has, and how many studies each point stands for.
    """
    frame = require_rows(rates, "power")
    panels, absent = [], []
    for claim, here in frame.groupby("claim", sort=False):
        effects = sorted(set(here["effect"]))
        edge = 0.06 * effects[-1]
        layers = [reference(ASKED, (effects[0], effects[-1]), f"{ASKED:.0%} power", upright=False)]
        for seeds, style in _SEEDS.items():
            some = here[here["seeds"] == seeds]
            absent += [f"{claim}, {style.label}"] if some.empty and seeds in set(frame["seeds"]) else []
            said = "{label}, effect {effect:g}\n{value:.0%} [{low:.0%}, {high:.0%}]"
            layers.append(line_of(some, "effect", "value", style, said))
        x_axis = Axis(
            str(here["unit"].iloc[0]), (-edge, effects[-1] + edge), {effect: f"{effect:g}" for effect in effects}
        )
        y_axis = Axis("share of studies that find it", (-0.03, 1.06), percent=True)
        panels.append(Panel(str(claim), x_axis, y_axis, layers))
    return Drawing(
        "power",
        Chart(panels, 220, columns=2, share_y=True),
        frame,
        n=f"{studies} simulated studies per point",
        words={"clauses": clauses, "absent": f" Not simulated: {'; '.join(absent)}." if absent else ""},
    )


@drawn
def draw_growth(cases: pd.DataFrame, *, where: str) -> Drawing:
    """Seconds of a whole leave-one-out against the length of the clause and of the rule.

    ``cases``: ``varied`` (``clause`` or ``target``), ``size``, ``system``, ``seconds``, ``minimum`` (positions).
    ``where``: the model and machine that were measured.
    """
    frame = require_rows(cases, "attribution-speed").copy()
    ours = frame[frame["system"] == "this engine"]
    frame["scaled_minimum"] = frame["minimum"] * float((ours["seconds"] / ours["minimum"]).median())
    ends = frame["seconds"].min() / 1.5, frame["seconds"].max() * 1.5
    y = Axis("seconds (log scale)", ends, log_ticks(ends), log=True)
    least = Style("least positions, at this engine's speed", GREY)
    panels = []
    for varied, (title, unit) in _VARIED.items():
        here = frame[frame["varied"] == varied]
        own = here[here["system"] == "this engine"]
        layers = [line_of(own, "size", "scaled_minimum", least, "", line="dot", symbols=False)]
        for system, style in _SYSTEMS.items():
            said = f"{{label}}, {{size}} {unit}\n{{seconds:.3g}} s"
            layers.append(line_of(here[here["system"] == system], "size", "seconds", style, said))
        sizes = sorted(set(here["size"]))
        x = Axis(f"{unit} (log scale)", (sizes[0] / 1.1, sizes[-1] * 1.1), {at: str(at) for at in sizes}, log=True)
        panels.append(Panel(title, x, y, layers))
    return Drawing(
        "attribution-speed",
        Chart(panels, 290, share_y=True),
        frame,
        n="one clause per point, the median of repeats that take turns",
        words={"where": where},
    )
