"""Worked examples of the chapters: rules scored and compared, clauses cut into words, rules under review."""

import html
import math
from pathlib import Path

import numpy as np
import pandas as pd

from compliance_xai.book.markup import raw_html, render
from compliance_xai.corpus.features import segment
from compliance_xai.figures.tables import table_html
from compliance_xai.files import read_package_data
from compliance_xai.models.loading import without_progress_bars
from compliance_xai.pipeline.running import Plan
from compliance_xai.records import CATEGORIES, Attribution
from compliance_xai.study.labels import label_of, typeset
from compliance_xai.study.settings import Study

EXAMPLES = read_package_data(Path(__file__).with_name("worked_examples.yaml"))

SHOWN = ["exact", "equivalent", "lrml_f1", "chrf", "semantic", "tree_edit_distance", "numeric_fidelity"]
SHOWN += ["identifier_fidelity"]

NO_MODEL = "No model of this study has been trained yet, so there is nothing measured to show.\n"


def format_features() -> str:
    """Two clauses, word by word, by category."""
    columns = {clause: segment(clause) for clause in EXAMPLES["segmented"]}
    rows = []
    for category in CATEGORIES:
        words = {
            clause: " · ".join(f.text for f in features if f.category == category)
            for clause, features in columns.items()
        }
        rows.append({"category": label_of(category).text} | words)
    return raw_html(table_html(pd.DataFrame(rows), caption="Two clauses, their words by category"))


def format_scores() -> str:
    """The reference and what might be written instead, with every score and the kinds of error."""
    from compliance_xai.rules.compare.error_kinds import error_kinds
    from compliance_xai.rules.scores import score_rules

    reference, variants = EXAMPLES["reference"], EXAMPLES["variants"]
    with without_progress_bars():
        scores = score_rules(list(variants.values()), [reference] * len(variants), encoder="minilm")[SHOWN]
    scores.insert(0, "written instead", list(variants))
    kinds = [
        ", ".join(dict.fromkeys(error.kind for error in error_kinds(rule, reference))) for rule in variants.values()
    ]
    scores.insert(1, "kinds of error", [text.replace("_", " ") or "none" for text in kinds])
    return render("worked_scores.md", reference=reference, scores=scores)


def format_verdicts() -> str:
    """Pairs of rules, how they relate, and a building on which they differ."""
    from compliance_xai.rules.compare.equivalence import equivalent

    return render("worked_verdicts.md", pairs=[pair | {"found": equivalent(pair["a"], pair["b"])}
                                               for pair in EXAMPLES["compared"]])  # fmt: skip


def find_trained(plan: Plan) -> list[tuple[str, str, str]]:
    """(scale, strategy, key) of the cells whose training is done, the largest scale first."""
    jobs = [job for name, job in plan.jobs.items() if job.stage == "finetune" and plan.states[name] == "done"]
    jobs.sort(key=lambda job: -plan.study.scales.index(str(job.scale)))
    return [(str(job.scale), str(job.strategy), job.key) for job in jobs]


def format_review(study: Study, cell: tuple[str, str, str] | None) -> str:
    """What a reviewer sees for a few clauses, with a trained model of the study."""
    from compliance_xai.pipeline.review import load_writer, review_clause, review_html

    if cell is None:
        return NO_MODEL
    with without_progress_bars():
        writer = load_writer(study, *cell[:2])
        reviews = [review_html(review_clause(writer, clause)) for clause in EXAMPLES["reviewed"]]
    name = html.escape(f"{study.name}, {writer.name}")
    return "\n\n".join(map(raw_html, [f"<p>The model: {name}.</p>", *reviews]))


def format_score(study: Study, cell: tuple[str, str, str] | None) -> str:
    """One part of a rule, its probability after the whole clause and after the clause without each of its words."""
    from compliance_xai.pipeline.review import load_writer

    if cell is None:
        return NO_MODEL
    scored = EXAMPLES["scored"]
    with without_progress_bars():
        writer = load_writer(study, *cell[:2])
        found = writer.explain(scored["clause"], scored["rule"])
    start = scored["rule"].index(scored["part"])
    return _say_score(found, start, start + len(scored["part"]), name=f"{study.name}, {writer.name}")


def _say_score(found: Attribution, start: int, end: int, *, name: str) -> str:
    """The table of ``format_score`` for the characters ``start`` to ``end`` of the rule, and the sum in words."""
    whole = float(found.baseline_log_probs[found.tokens_in(start, end)].sum())
    scores_F = found.sum_spans([(start, end)])[:, 0]
    words, part = [feature.text for feature in found.features], found.target[start:end]
    frame = pd.DataFrame(
        {
            "word removed": ["none", *words],
            f"probability of “{part}”": [_say_probability(value) for value in np.exp([whole, *(whole - scores_F)])],
            "score (nats)": [float("nan"), *scores_F],
        }
    )
    top = int(np.argmax(scores_F))
    without = _say_probability(math.exp(whole - scores_F[top]))
    return render("worked_score.md", name=name, part=part, word=words[top], score=f"{scores_F[top]:.2f}",
                  whole=_say_probability(math.exp(whole)), without=without, frame=frame)  # fmt: skip


def _say_probability(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 else typeset(f"{value:.2e}")
