"""One clause under the lens: its words shaded by score, and the full table of scores, word by rule token."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compliance_xai.figures.contract import Figure, save_figure
from compliance_xai.figures.theme import NEGATIVE, POSITIVE, humanise, new_print_figure, plain, print_style
from compliance_xai.records import Attribution

if TYPE_CHECKING:
    import pandas as pd


def rule_html(rule: str) -> str:
    """A rule, escaped, that may be broken after a comma or a bracket, and elsewhere only where it must.

    Examples
    --------
    >>> rule_html("not(a,b)")
    'not(<wbr>a,<wbr>b)'
    """
    return re.sub(r"([,(]+)", r"\1<wbr>", html.escape(rule))


def attribution_html(
    attribution: Attribution,
    *,
    generated: str | None = None,
    heading: str = "",
    target_label: str = "Reference rule",
) -> str:
    """A clause with its words shaded by their summed score, above the rule that is explained; all text escaped.

    The strongest word of the clause has the full shade. Blue with a dotted underline: the word makes the rule *less*
    likely, so the sign does not hang on colour alone.

    Parameters
    ----------
    generated
        The rule the model wrote itself, shown below the reference rule.
    target_label
        What the explained rule is.
    """
    sums_F = attribution.scores.sum(axis=1)
    strongest = float(np.abs(sums_F).max()) or 1.0
    pieces, cursor = [], 0
    for feature, total in sorted(zip(attribution.features, sums_F, strict=True), key=lambda pair: pair[0].start):
        pieces.append(html.escape(attribution.clause[cursor : feature.start]))
        word = html.escape(attribution.clause[feature.start : feature.end])
        note = html.escape(f"{total:+.2f} nats, {humanise(feature.category)}")
        tone = "cx-plus" if total >= 0 else "cx-minus"
        share = abs(float(total)) / strongest
        pieces.append(f'<span class="cx-word {tone}" style="--cx-share:{share:.3f}" title="{note}">{word}</span>')
        cursor = feature.end
    pieces.append(html.escape(attribution.clause[cursor:]))
    label = heading or f"Clause {attribution.id}"
    written = ""
    if generated is not None:
        same = " (the same text)" if generated == attribution.target else ""
        written = f'<p class="cx-label">Rule the model wrote{same}</p><p class="cx-rule">{rule_html(generated)}</p>'
    return (
        f'<div class="cx-clause"><p class="cx-label">{html.escape(label)}</p><p class="cx-text">{"".join(pieces)}</p>'
        f'<p class="cx-label">{html.escape(target_label)}</p>'
        f'<p class="cx-rule">{rule_html(attribution.target)}</p>{written}'
        f'<p class="cx-scale"><span>With the word the rule is less likely (−{strongest:.2g} nats)</span>'
        f'<span class="cx-ramp"></span><span>more likely (+{strongest:.2g} nats)</span></p></div>'
    )


def draw_score_matrix(attribution: Attribution, *, folder: Path | str, name: str = "scores") -> Figure:
    """The features x target-tokens table of scores as a heat map; nats, signed, one row per word."""
    import plotly.graph_objects as go

    scores_FT = attribution.scores
    words = [feature.text for feature in attribution.features]
    # The token that ends the rule has no characters of it; its own text would be the tokenizer's special word.
    tokens = [token.text if token.end > token.start else "" for token in attribution.target_tokens]
    limit = float(np.abs(scores_FT).max()) or 1.0
    count_f, count_t = scores_FT.shape
    middle = "rgba(127,135,144,0.06)"
    interactive = go.Figure(
        go.Heatmap(
            z=np.round(scores_FT, 4), x=list(range(count_t)), y=list(range(count_f)), zmin=-limit, zmax=limit, xgap=1,
            ygap=1,
            colorscale=[[0, NEGATIVE], [0.5, middle], [1, POSITIVE]],
            colorbar={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "len": 0.45,
                      "thickness": 9, "outlinewidth": 0, "tickangle": 0, "ypad": 4, "tickvals": [-limit, 0, limit],
                      "ticktext": [f"−{limit:.2g}", "0", f"+{limit:.2g} nats"]},
            customdata=[[[plain(word), plain(_visible(token))] for token in tokens] for word in words],
            hovertemplate="<b>%{customdata[0]}</b> → %{customdata[1]}<br>%{z:+.2f} nats<extra></extra>",
        )
    )  # fmt: skip
    height = 116 + 21 * count_f
    interactive.update_layout(
        height=height,
        margin={"l": 20, "r": 10, "t": 12, "b": 70},
        font={"size": 12, "family": "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"},
        xaxis={"tickvals": list(range(count_t)), "ticktext": [plain(_clip(_visible(t))) for t in tokens],
               "tickangle": -90,
               "showgrid": False, "zeroline": False, "tickfont": {"size": 10},
               "title": {"text": "tokens of the rule", "standoff": 8}, "automargin": True},
        yaxis={"tickvals": list(range(count_f)), "ticktext": [plain(_clip(word)) for word in words],
               "autorange": "reversed",
               "showgrid": False, "zeroline": False, "automargin": True},
    )  # fmt: skip
    figure = save_figure(
        name,
        interactive,
        _print_matrix(scores_FT, words, tokens, limit),
        _table(attribution),
        title=f"Clause {attribution.id}: what each token of the rule rests on",
        caption="Rows are the clause's words, columns the tokens of the reference rule. Orange: "
        "without the word the token "
        "becomes less likely. Blue: more likely. ⏎ ends the rule; ␣ is a space.",
        alt=_say(scores_FT, words, tokens),
        n=f"{count_f} words × {count_t} tokens of one clause, one training seed",
        interval="none",
        folder=folder,
    )
    width = 150 + 10 * count_t
    figure.spec["min_width"] = min(width, 2400)
    figure.spec["narrow"] = {"min_width": max(520, min(width, 2400))}
    return figure


def _table(attribution: Attribution) -> pd.DataFrame:
    import pandas as pd

    count_f, count_t = attribution.scores.shape
    rows = np.repeat(np.arange(count_f), count_t)
    columns = np.tile(np.arange(count_t), count_f)
    return pd.DataFrame(
        {
            "feature": rows,
            "word": [attribution.features[row].text for row in rows],
            "category": [attribution.features[row].category for row in rows],
            "position": columns,
            "token": [attribution.target_tokens[column].text for column in columns],
            "score_nats": attribution.scores.ravel(),
        }
    )


def _print_matrix(scores_FT: np.ndarray, words: list[str], tokens: list[str], limit: float):
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("signed", [NEGATIVE, "#f7f7f7", POSITIVE])
    with print_style():
        still, axes = new_print_figure(
            1, 1, width=min(40.0, 2.4 + 0.19 * len(tokens)), height=min(60.0, 1.9 + 0.2 * len(words))
        )
        axis = axes[0, 0]
        image = axis.imshow(scores_FT, cmap=colours, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axis.grid(visible=False)
        # Dollar signs would start matplotlib's formula mode.
        axis.set_xticks(
            range(len(tokens)), [_clip(_visible(t)).replace("$", r"\$") for t in tokens], rotation=90, fontsize=7
        )
        axis.set_yticks(range(len(words)), [_clip(word).replace("$", r"\$") for word in words], fontsize=8)
        axis.set_xlabel("tokens of the rule")
        still.colorbar(image, ax=axis, label="nats", shrink=0.8, pad=0.01)
    return still


def _visible(token: str) -> str:
    return token.replace(" ", "␣").replace("\n", "⏎") if token else "⏎"


def _clip(text: str) -> str:
    """A tick label of bearable length; the whole text stands in the hover box and in the data."""
    return text if len(text) <= 18 else text[:17] + "…"


def _say(scores_FT: np.ndarray, words: list[str], tokens: list[str]) -> str:
    order = np.argsort(-np.abs(scores_FT).ravel(), kind="stable")[:5]
    parts = []
    for flat in order:
        row, column = np.unravel_index(flat, scores_FT.shape)
        parts.append(f"{words[row]} on {_visible(tokens[column])} {scores_FT[row, column]:+.1f}")
    return f"Heat map of {len(words)} words by {len(tokens)} rule tokens, in nats. Strongest: " + "; ".join(parts) + "."
