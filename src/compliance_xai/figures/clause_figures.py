"""One clause under the lens: its words shaded by score, and the full table of scores, word by part of the rule."""

import html
import re

import numpy as np

from compliance_xai.figures.contract import Drawing, drawn
from compliance_xai.figures.marks import Axis, Chart, Heat, Panel, Ramp
from compliance_xai.records import Attribution
from compliance_xai.study.labels import label_of, typeset


def rule_html(rule: str) -> str:
    """A rule, escaped, that may be broken after a comma or a bracket, and elsewhere only where it must.

    >>> rule_html("not(a,b)")
    'not(<wbr>a,<wbr>b)'
    """
    return re.sub(r"([,(]+)", r"\1<wbr>", html.escape(rule))


def attribution_html(attribution: Attribution, *, heading: str = "", target_label: str = "Reference rule") -> str:
    """A clause with its words shaded by their summed score, above the rule that is explained; all text is escaped.

    The strongest word of the clause has the full shade. Blue with a dotted underline: the word makes the rule *less*
    likely, so the sign does not depend on colour alone.

    ``target_label``: what the explained rule is.
    """
    sums_F = attribution.scores.sum(axis=1)
    strongest = float(np.abs(sums_F).max()) or 1.0
    pieces, cursor = [], 0
    for feature, total in sorted(zip(attribution.features, sums_F, strict=True), key=lambda pair: pair[0].start):
        pieces.append(html.escape(attribution.clause[cursor : feature.start]))
        word = html.escape(attribution.clause[feature.start : feature.end])
        note = html.escape(f"{typeset(f'{total:+.2f}')} nats, {label_of(feature.category).text}")
        tone = "cx-plus" if total >= 0 else "cx-minus"
        share = abs(float(total)) / strongest
        pieces.append(f'<span class="cx-word {tone}" style="--cx-share:{share:.3f}" title="{note}">{word}</span>')
        cursor = feature.end
    pieces.append(html.escape(attribution.clause[cursor:]))
    label = heading or f"Clause {attribution.id}"
    return (
        f'<div class="cx-clause"><p class="cx-label">{html.escape(label)}</p><p class="cx-text">{"".join(pieces)}</p>'
        f'<p class="cx-label">{html.escape(target_label)}</p>'
        f'<p class="cx-rule">{rule_html(attribution.target)}</p>'
        f'<p class="cx-scale"><span>With the word the rule is less likely (−{strongest:.2g} nats)</span>'
        f'<span class="cx-ramp"></span><span>more likely (+{strongest:.2g} nats)</span></p></div>'
    )


@drawn
def draw_score_matrix(attribution: Attribution, *, name: str = "scores") -> Drawing:
    """Scores as a heat map: a row for each word, a column for each part of the rule; nats, signed.

    Tokens that spell one name or number are one part, whose log-probability, and so whose score, is their sum.
    """
    words = [feature.text for feature in attribution.features]
    part_T, parts = _join_tokens(attribution)
    scores_FP = np.stack([attribution.scores[:, part_T == part].sum(axis=1) for part in range(len(parts))], axis=1)
    limit = float(np.abs(scores_FP).max()) or 1.0
    notes = [
        [f"{word} → {part}\n{typeset(f'{score:+.2f}')} nats" for part, score in zip(parts, row, strict=True)]
        for word, row in zip(words, scores_FP, strict=True)
    ]
    count_f, count_p = scores_FP.shape
    panel = Panel(
        "",
        Axis("parts of the rule", (-0.5, count_p - 0.5), dict(enumerate(map(_clip, parts))), grid=False, turned=True),
        Axis("", (count_f - 0.5, -0.5), dict(enumerate(map(_clip, words))), grid=False),
        [Heat(scores_FP / limit, True, notes)],
    )
    ends = {0.0: f"−{limit:.2g}", 0.5: "0", 1.0: f"+{limit:.2g} nats"}
    names = {"text": "word", "token": "position", "token_text": "token", "score": "score_nats"}
    table = attribution.to_frame().rename(columns=names)
    table = table.assign(part=part_T[table["position"]])  # numbers the columns of the figure
    return Drawing(
        name,
        Chart([panel], 21 * count_f, ramp=Ramp(True, ends), min_width=min(150 + 17 * count_p, 2400)),
        table[["feature", "word", "category", "position", "token", "part", "score_nats"]],
        n=f"{count_f} words × {count_p} parts of one clause, one training seed",
        words={"id": attribution.id},
    )


def _join_tokens(attribution: Attribution) -> tuple[np.ndarray, list[str]]:
    """The part that each token belongs to, and the parts' texts: tokens inside one name or number are joined."""
    rule, tokens = attribution.target, attribution.target_tokens
    part_T, parts = [], []
    for token in tokens:
        # The token that ends the rule has no characters of it; its own text would be the tokenizer's special word.
        text = token.text if token.end > token.start else ""
        inside = bool(text) and re.fullmatch(r"[\w-]{2}", rule[token.start - 1 : token.start + 1]) is not None
        if parts and inside:
            parts[-1] += text
        else:
            parts.append(text)
        part_T.append(len(parts) - 1)
    return np.array(part_T), [part.replace(" ", "␣").replace("\n", "⏎") or "⏎" for part in parts]


def _clip(text: str) -> str:
    """A tick label of bearable length; the hover box and the data have the whole text."""
    return text if len(text) <= 18 else text[:17] + "…"
