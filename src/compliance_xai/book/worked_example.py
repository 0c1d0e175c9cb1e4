"""Worked examples of the chapters: rules scored and compared, clauses cut into words, rules under review."""

from __future__ import annotations

import html
import logging
import math

import numpy as np
import pandas as pd

from compliance_xai.book.markdown import raw_html
from compliance_xai.corpus.features import segment
from compliance_xai.figures.clause_figures import rule_html
from compliance_xai.figures.tables import table_html
from compliance_xai.models.loading import without_progress_bars
from compliance_xai.pipeline.running import Plan
from compliance_xai.records import CATEGORIES, Attribution
from compliance_xai.study.labels import label_of, typeset
from compliance_xai.study.settings import Study

REFERENCE = (
    "if(and(is(stair.location,exit),not(has(building,sprinkler)))),"
    "then(obligation(and(greaterThanEqual(stair.width,1200 mm),asPer(stair,d1_t2))))"
)
VARIANTS = {
    "other order": (
        "if(and(not(has(building,sprinkler)),is(stair.location,exit))),"
        "then(obligation(and(asPer(stair,d1_t2),greaterThanEqual(stair.width,1200 mm))))"
    ),
    "1.2 m": REFERENCE.replace("1200 mm", "1.2 m"),
    "1100 mm": REFERENCE.replace("1200 mm", "1100 mm"),
    "1200 m": REFERENCE.replace("1200 mm", "1200 m"),
    "lessThan": REFERENCE.replace("greaterThanEqual", "lessThan"),
    "not lessThan": REFERENCE.replace("greaterThanEqual(stair.width,1200 mm)", "not(lessThan(stair.width,1200 mm))"),
    "permission": REFERENCE.replace("obligation", "permission"),
    "no exception": REFERENCE.replace(
        "and(is(stair.location,exit),not(has(building,sprinkler)))", "is(stair.location,exit)"
    ),
    "another table": REFERENCE.replace("d1_t2", "d1_t3"),
    "bracket lost": REFERENCE[:-1],
}
"""What a model might write instead of the reference."""

STAIR = "if(exist(stair)),then(obligation(lessThanEqual(riser.height,180 mm)))"
DOOR = "if(is(building.use,hospital)),then(obligation(greaterThanEqual(door.width,900 mm)))"
WINDOW = "if(exist(window)),then(permission(has(window,or(latch,stay))))"
TAP = "if(exist(tap)),then(obligation(lessThanEqual(water.temperature,60 degC)))"
COMPARED = (
    ("Units, De Morgan and contraposition change nothing.", STAIR,
     "if(greaterThan(riser.height,0.18 m)),then(obligation(not(exist(stair))))"),
    ("A larger limit asks more.", DOOR, DOOR.replace("greaterThanEqual(door.width,900", "greaterThan(door.width,850")),
    ("May is not must.", WINDOW, WINDOW.replace("permission", "obligation")),
    ("Whole numbers, alternatives and prohibition.",
     "if(is(building.use,or(school,shop))),then(obligation(greaterThanEqual(count(exit),2)))",
     "if(or(is(building.use,shop),is(building.use,school))),then(prohibition(lessThanEqual(count(exit),1)))"),
    ("A lost unit is a different rule.", TAP, TAP.replace("60 degC", "60")),
)  # fmt: skip
"""Pairs of rules, each with what it shows."""

CLAUSES = (
    "4.2.1 The clear width of an exit door shall be not less than 850 mm.",
    "Where the building is not sprinklered, pipes shall comply with Table 3 of NZS 3604.",
)
"""What the chapter on features cuts into words."""

SHOWN = ["exact", "equivalent", "lrml_f1", "chrf", "semantic", "tree_edit_distance", "numeric_fidelity"]
SHOWN += ["identifier_fidelity"]

REVIEWED = (
    "The clear width of an exit door shall be not less than 850 mm.",
    "The clear width of an exit door shall be not less than 850 kg.",
    "Parties after ten shall be quiet.",
)
"""Clauses for the page on practice: an ordinary one, one with a wrong unit, and one that asks for no rule."""

SCORED = (
    "The clear width of an exit door shall be not less than 850 mm.",
    "if(exist(exitDoor)),then(obligation(greaterThanEqual(exitDoor.clearWidth,850 mm)))",
    "850",
)
"""The chapter on method: a clause, its rule, and the part of the rule whose probability is read."""


def format_features() -> str:
    """Two clauses, word by word, by category."""
    columns = [[segment(clause), clause] for clause in CLAUSES]
    rows = [
        {"category": label_of(category).text}
        | {clause: " · ".join(f.text for f in features if f.category == category) for features, clause in columns}
        for category in CATEGORIES
    ]
    return raw_html(table_html(pd.DataFrame(rows), caption="Two clauses, their words by category"))


def format_scores() -> str:
    """The reference and what might be written instead, with every score and the kinds of error."""
    from compliance_xai.rules.compare.error_kinds import error_kinds
    from compliance_xai.rules.scores import score_rules

    written = list(VARIANTS.values())
    # bitsandbytes, which the encoder's library imports, announces optional CPU kernels.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with without_progress_bars():
        scores = score_rules(written, [REFERENCE] * len(written), encoder="minilm")[SHOWN]
    scores.insert(0, "written instead", list(VARIANTS))
    kinds = [", ".join(dict.fromkeys(error.kind for error in error_kinds(rule, REFERENCE))) for rule in written]
    scores.insert(1, "kinds of error", [text.replace("_", " ") or "none" for text in kinds])
    table = table_html(scores, caption="One reference, ten other rules")
    return raw_html(f'<div class="cx-clause">{_labelled("Reference", REFERENCE)}</div>\n{table}')


def format_verdicts() -> str:
    """Pairs of rules, how they relate, and a building on which they differ."""
    from compliance_xai.rules.compare.equivalence import equivalent

    relation = {"equivalent": "says the same as", "stronger": "asks more than", "weaker": "asks less than"}
    blocks = []
    for shows, a, b in COMPARED:
        verdict = equivalent(a, b)
        says = f"a {relation.get(verdict.answer, 'differs from')} b ({verdict.answer})"
        if verdict.counterexample:
            says += f". A building on which they differ: {verdict.counterexample}"
        blocks.append(
            f'<div class="cx-clause"><p><strong>{html.escape(shows)}</strong></p>'
            f"{_labelled('a', a)}{_labelled('b', b)}<p>{html.escape(says)}.</p></div>"
        )
    return raw_html("\n".join(blocks))


def choose_reviewer(plan: Plan) -> tuple[str, str, str] | None:
    """The trained cell that writes the rules under review, and its key: the largest scale's first that is done."""
    for scale in reversed(plan.study.scales):
        for strategy in plan.study.strategies:
            name = f"{scale}-{strategy}-finetune"
            if plan.states.get(name) == "done":
                return scale, strategy, plan.jobs[name].key
    return None


def format_review(study: Study, cell: tuple[str, str, str] | None) -> str:
    """What a reviewer sees for a few clauses, with a trained model of the study."""
    from compliance_xai.pipeline.review import load_writer, review_clause, review_html

    if cell is None:
        return "No model of this study has been trained yet."
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with without_progress_bars():
        writer = load_writer(study, *cell[:2])
        reviews = [review_html(review_clause(writer, clause)) for clause in REVIEWED]
    name = html.escape(f"{study.name}, {writer.name}")
    return "\n\n".join([raw_html(f"<p>The model: {name}.</p>"), *map(raw_html, reviews)])


def format_score(study: Study, cell: tuple[str, str, str] | None) -> str:
    """One part of a rule, its probability after the whole clause and after the clause without each of its words."""
    from compliance_xai.pipeline.review import load_writer

    if cell is None:
        return "No model of this study has been trained yet, so there is nothing measured to show.\n"
    clause, rule, part = SCORED
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with without_progress_bars():
        writer = load_writer(study, *cell[:2])
        found = writer.explain(clause, rule)
    start = rule.index(part)
    return _say_score(found, start, start + len(part), name=f"{study.name}, {writer.name}")


def _say_score(found: Attribution, start: int, end: int, *, name: str) -> str:
    """The table of ``format_score`` for the characters ``start`` to ``end`` of the rule, and the sum in words."""
    part = found.target[start:end]
    inside_T = np.array([token.start < end and start < token.end for token in found.target_tokens])
    whole, scores_F = float(found.baseline_log_probs[inside_T].sum()), found.sum_spans([(start, end)])[:, 0]
    words = [feature.text for feature in found.features]
    frame = pd.DataFrame(
        {
            "word removed": ["none", *words],
            f"probability of “{part}”": [_say_probability(value) for value in np.exp([whole, *(whole - scores_F)])],
            "score (nats)": [float("nan"), *scores_F],
        }
    )
    table = table_html(
        frame,
        caption=f"The probability of “{part}” in the rule, after the whole clause and after the clause without a word",
        formats={"score (nats)": ".2f"},
    )
    top = int(np.argmax(scores_F))
    says = (
        f"<p>The model: {html.escape(name)}. The word that counts most for “{html.escape(part)}” is "
        f"“{html.escape(words[top])}”: ln {_say_probability(math.exp(whole))} − "
        f"ln ({_say_probability(math.exp(whole - scores_F[top]))}) = {scores_F[top]:.2f} nats.</p>"
    )
    return raw_html(f"{says}\n{table}")


def _say_probability(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 else typeset(f"{value:.2e}")


def _labelled(label: str, rule: str) -> str:
    return f'<p class="cx-label">{html.escape(label)}</p><p class="cx-rule">{rule_html(rule)}</p>'
