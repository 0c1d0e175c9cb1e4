"""A rule under review: what a model writes for a clause, and what each part of that rule rests on.

For people who have to decide whether a generated rule may be used. Nothing here needs a reference rule.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.engine import score_masks, score_texts
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.options import Options
from compliance_xai.errors import InputError
from compliance_xai.machine import say
from compliance_xai.models.generation import generate_rules
from compliance_xai.models.prompts import encode_target
from compliance_xai.pipeline.cells import OpenModel, open_model
from compliance_xai.records import Attribution, Example
from compliance_xai.rules.notation.parse import tokens
from compliance_xai.study.settings import Study, load_study

FLOOR = math.log(2)
"""Nats: a word counts if the part of the rule is at most half as likely without it."""

WORDS, CLAUSE, REPEATS, NOTHING = "words", "the clause as a whole", "an earlier part of the rule", "nothing"

_FRAME = frozenset({"if", "then", "and", "or", "exist", "is", "has", "define"})
_QUANTITY = re.compile(r"([-+]?\d[\d.,:/]*)\s+(\S.*)")
_NUMBER = re.compile(r"[-+]?\d[\d.,:/]*")


class RuleWriter(OpenModel):
    """A model with its tokenizer and prompt: writes rules and says what they rest on."""

    def write(self, clauses: Sequence[str], *, max_new_tokens: int = 192) -> list[str]:
        """The rule that the model writes for each clause, greedily."""
        examples = [Example(str(index), clause, "", "", "test") for index, clause in enumerate(clauses)]
        made = generate_rules(
            self.model, self.tokenizer, examples, seed=0, template=self.template, max_new_tokens=max_new_tokens
        )
        return [one.rule for one in made]

    def log_probs(self, clauses: Sequence[str], rule: str) -> np.ndarray:
        """Log-probabilities (nats) of the rule's tokens after each clause, shape (clauses, tokens); the end is last."""
        return score_texts(self.model, self.tokenizer, clauses, rule, Options(prompt=self.template))

    def tokens(self, rule: str) -> list[str]:
        """The texts of the rule's tokens; that of the end, which the model has to predict too, is empty."""
        _, spans = encode_target(self.tokenizer, rule)
        return [rule[start:end] for start, end in spans]

    def explain(self, clause: str, rule: str | None = None, *, id: str = "", **options: Any) -> Attribution:
        """What each token of a rule (its own where None) rests on; ``options`` are those of ``attribution.Options``."""
        rule = self.write([clause])[0] if rule is None else rule
        return attribute(self.model, self.tokenizer, clause, rule, Options(prompt=self.template, **options), id=id)


@dataclass(frozen=True)
class Review:
    """A generated rule and what it rests on.

    Attributes
    ----------
    clause, rule
        The clause and what the model wrote for it.
    attribution
        Word by token, nats.
    parts
        One row per part of the rule: ``part, kind, start, end`` (its characters), ``probability`` (of the part
        after the whole clause and the rule up to it), ``clause_nats`` (log-probability with the clause less that with
        every word deleted), ``words`` (those that count, the strongest first, with nats), ``rests_on`` (``words``,
        ``the clause as a whole``, ``an earlier part of the rule``, which it repeats, or ``nothing``).
    """

    clause: str
    rule: str
    attribution: Attribution
    parts: pd.DataFrame


def load_writer(study: Study | Path | str, scale: str, strategy: str, seed: int | None = None) -> RuleWriter:
    """The trained model of a finished cell.

    Parameters
    ----------
    seed
        Which training seed; the study's first where None.

    Raises
    ------
    InputError
        If the study has no such cell or seed, or it has not been trained with the study's present settings.
    """
    study = study if isinstance(study, Study) else load_study(study)
    return RuleWriter(**vars(open_model(study, scale, strategy, seed, current=True)))


def review_clause(writer: RuleWriter, clause: str, *, floor: float = FLOOR, baseline: str = "delete") -> Review:
    """Let a model write a rule for a clause and say what each part of it rests on.

    Each word is deleted in turn (leave-one-out), then all of them at once. A part that no single word decides may still
    rest on the clause: two words can say the same, and either can go without harm. A part that is as likely without any
    clause copies what the rule says already, or is habit.

    Parameters
    ----------
    floor
        Nats that a part has to lose for a word, or for the clause, to count.

    Raises
    ------
    InputError
        If the clause has no word or is too long for the model, or the model writes nothing.
    """
    say(f"{writer.name} writes the rule")
    rule = writer.write([clause])[0]
    if not rule.strip():
        raise InputError(
            f"model {writer.name}", expected="a rule", found="nothing", remedy="Train it longer, or take another model."
        )
    say("each word of the clause is removed in turn")
    found = writer.explain(clause, rule, baseline=baseline)
    nothing_MF = np.zeros((1, len(found.features)), dtype=bool)
    options = Options(prompt=writer.template)
    empty_T = score_masks(writer.model, writer.tokenizer, clause, rule, nothing_MF, options, features=found.features)[0]
    parts = list(split_rule(rule))
    earlier = [{text for text, *_ in parts[:index]} for index in range(len(parts))]
    rows = [_judge(found, empty_T, *part, seen, floor) for part, seen in zip(parts, earlier, strict=True)]
    columns = ["part", "kind", "start", "end", "probability", "clause_nats", "words", "rests_on"]
    return Review(clause, rule, found, pd.DataFrame(rows, columns=columns))


def split_rule(rule: str) -> Iterator[tuple[str, str, int, int]]:
    """The parts of a rule that a reviewer checks: (text, kind, start, end); ``if``, ``and`` and brackets left out.

    Broken rules are split as far as they go. ``door.width`` gives two parts, ``850 mm`` too.

    Examples
    --------
    >>> [part[:2] for part in split_rule("if(exist(ramp)),then(obligation(lessThan(ramp.width,2 m)))")]
    [('ramp', 'name'), ('obligation', 'operator'), ('lessThan', 'operator'), ('ramp', 'name'), ('width', 'name'), \
('2', 'number'), ('m', 'unit')]
    """
    for token, start in tokens(rule):
        after = rule[start + len(token) :].lstrip()[:1]
        if token in "()," or (after == "(" and token in _FRAME):
            continue
        if after == "(":
            yield token, "operator", start, start + len(token)
        elif match := _QUANTITY.fullmatch(token):
            for group, kind in ((1, "number"), (2, "unit")):
                yield match[group], kind, start + match.start(group), start + match.end(group)
        elif _NUMBER.fullmatch(token):
            yield token, "number", start, start + len(token)
        else:
            for name in re.finditer(r"[^.]+(?:\.\d[^.]*)*", token):
                yield name[0], "name", start + name.start(), start + name.end()


def _judge(
    found: Attribution, empty_T: np.ndarray, text: str, kind: str, start: int, end: int, seen: set[str], floor: float
) -> tuple:
    """One row of ``Review.parts``; ``seen`` are the parts before it, which the model can copy."""
    inside_T = np.array([t.start < end and start < t.end and t.start < t.end for t in found.target_tokens])
    scores_F = found.scores[:, inside_T].sum(axis=1)
    whole, empty = float(found.baseline_log_probs[inside_T].sum()), float(empty_T[inside_T].sum())
    order = [index for index in np.argsort(-scores_F, kind="stable") if scores_F[index] >= floor]
    words = ", ".join(f"{found.features[index].text} {scores_F[index]:.1f}" for index in order[:4])
    rests_on = WORDS if order else CLAUSE if whole - empty >= floor else REPEATS if text in seen else NOTHING
    return text, kind, start, end, math.exp(whole), whole - empty, words, rests_on


def review_html(review: Review) -> str:
    """A review for a page: clause with shaded words, the rule with parts marked that rest on no word, and the table."""
    from compliance_xai.figures.clause_figures import attribution_html, rule_html
    from compliance_xai.figures.tables import table_html

    pieces, cursor = [], 0
    for row in review.parts.to_dict("records"):
        mark = {CLAUSE: "cx-vague", NOTHING: "cx-nowhere"}.get(row["rests_on"], "cx-rests")
        note, start, end = html.escape(row["words"] or row["rests_on"]), row["start"], row["end"]
        pieces.append(rule_html(review.rule[cursor:start]))
        pieces.append(f'<span class="{mark}" title="{note}">{html.escape(review.rule[start:end])}</span>')
        cursor = end
    pieces.append(rule_html(review.rule[cursor:]))
    marked = (
        '<div class="cx-clause"><p class="cx-label">The rule, its parts marked</p>'
        f'<p class="cx-rule">{"".join(pieces)}</p><p class="cx-scale"><span class="cx-vague">rests on the clause, '
        'on no single word</span><span class="cx-nowhere">rests on nothing</span></p></div>'
    )
    table = table_html(
        review.parts[["part", "probability", "clause_nats", "rests_on", "words"]].rename(
            columns={"words": "words that count (nats)"}
        ),
        caption="What each part rests on",
    )
    shaded = attribution_html(review.attribution, heading="Clause", target_label="Rule that the model wrote")
    return shaded + marked + table
