"""A rule under review: what a model writes for a clause, where it is probably wrong, and why.

For people who decide whether a generated rule may be used. Nothing here needs a reference rule. How often each flag is
right was measured beforehand, on the study's validation split, by the stage ``faithfulness``.
"""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.engine import score_texts
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.options import Options
from compliance_xai.attribution.review_items import PART, list_items, list_words
from compliance_xai.errors import InputError
from compliance_xai.files import digest, read_rows, write_atomic
from compliance_xai.machine import say
from compliance_xai.models.generation import generate_rules, read_confidence
from compliance_xai.models.prompts import encode_target
from compliance_xai.pipeline.cells import OpenModel, open_model
from compliance_xai.pipeline.stage_examples import load_examples, require_split
from compliance_xai.pipeline.stages import read_stage
from compliance_xai.records import Attribution, Example
from compliance_xai.rules.compare.rule_elements import list_elements
from compliance_xai.rules.notation.normal_form import COMPARATORS
from compliance_xai.stats.review_flags import FLAGS, Risk
from compliance_xai.study.settings import Study, load_study

FLOOR = math.log(2)
"""Nats: a word counts where the part of the rule is at most half as likely without it."""

UNMEASURED = {name: 0.5 if not flag.chosen else math.inf for name, flag in FLAGS.items()}
"""Thresholds where nothing was measured: only flags without a chosen threshold are raised, and improbable parts."""
UNMEASURED |= {"improbable": 0.0}  # log odds: another token was at least as likely


@dataclass(frozen=True)
class Evidence:
    """What was measured on validation: thresholds, precision and recall of each flag, and the model of risk.

    ``known`` are the words of the training clauses; ``measured`` is a frame of ``review_flags.measure_flags``, empty
    where the study has not run that far.
    """

    thresholds: dict[str, float] = field(default_factory=lambda: dict(UNMEASURED))
    measured: pd.DataFrame = field(default_factory=pd.DataFrame)
    risk: Risk = field(default_factory=Risk)
    known: frozenset[str] = frozenset()

    def precision(self, flag: str) -> tuple[float, float, float, float, float, float]:
        """Precision and recall on validation, each with its bounds; NaN where unknown."""
        names = [f"{measure}{end}" for measure in ("precision", "recall") for end in ("", "_low", "_high")]
        rows = self.measured[self.measured["flag"] == flag] if len(self.measured) else self.measured
        return tuple(float(rows[name].iloc[0]) if len(rows) else math.nan for name in names)  # pyright: ignore


@dataclass(frozen=True)
class RuleWriter(OpenModel):
    """A model with its tokenizer and prompt: writes rules, says what they rest on and where they may be wrong."""

    evidence: Evidence = field(default_factory=Evidence)
    notation: str = "lrml"

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

    def confidence(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Log-probabilities and entropies of each rule's tokens after its clause; nats."""
        return read_confidence(self.model, self.tokenizer, pairs, template=self.template)


@dataclass(frozen=True)
class Review:
    """A generated rule, how likely each part of it is wrong, and what to check.

    Attributes
    ----------
    clause, rule
        The clause and what the model wrote for it.
    attribution
        Word by token, nats.
    parts
        One row per part of the rule, in its order: ``part, kind, start, end`` (its characters), ``probability`` (of the
        part after the clause and the rule up to it), ``risk`` (that it is wrong, 0 to 1), ``words`` (that count, the
        strongest first, with nats), ``flags`` (names, of ``review_flags.FLAGS``).
    checks
        What to check, the likeliest error first: ``chance`` (that there is an error: the part's risk, or the flag's
        precision on validation; NaN where nothing was measured), ``where`` (``rule`` or ``clause``), ``text, reason``,
        ``precision, recall`` (of the flags, in words), ``start, end``.
    alternatives
        For numbers and comparators: ``part``, ``runner_up`` (the likeliest other number of the clause, or comparator),
        ``odds`` (its probability over that of what was written) and ``words`` (that decide against it).
    """

    clause: str
    rule: str
    attribution: Attribution
    parts: pd.DataFrame
    checks: pd.DataFrame
    alternatives: pd.DataFrame

    @property
    def expected_errors(self) -> float:
        """How many parts of the rule are wrong, by the model of risk."""
        return float(self.parts["risk"].sum())


def load_writer(study: Study | Path | str, scale: str, strategy: str, seed: int | None = None) -> RuleWriter:
    """The trained model of a finished cell, with what was measured of its flags.

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
    opened = open_model(study, scale, strategy, seed, current=True)
    return RuleWriter(**vars(opened), evidence=read_evidence(study, scale, strategy), notation=study.corpus.notation)


def read_evidence(study: Study, scale: str, strategy: str) -> Evidence:
    """What the stage ``faithfulness`` measured on the validation split for a cell; nothing where it has not run."""
    clauses = [example.clause for example in require_split(study, load_examples(study), "train")]
    known = frozenset(word for clause in clauses for word in list_words(clause))
    try:
        stage = read_stage(study, "faithfulness")
    except InputError:
        return Evidence(known=known)
    if "flags" not in stage or "risk" not in stage:
        return Evidence(known=known)
    tables = {name: stage[name] for name in ("flags", "risk")}
    own = {name: t[(t["scale"] == scale) & (t["strategy"] == strategy)] for name, t in tables.items()}
    measured = own["flags"][own["flags"]["split"] == "validation"]
    if measured.empty:
        return Evidence(known=known)
    values: dict[str, Any] = json.loads(own["risk"]["risk"].iloc[0])
    listed: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    risk = Risk(**values | listed)
    return Evidence(dict(zip(measured["flag"], measured["threshold"], strict=True)), measured, risk, known)


def review_clause(writer: RuleWriter, clause: str, *, rule: str | None = None, alternatives: bool = True) -> Review:
    """Let a model write a rule for a clause, and say where it is probably wrong.

    Each word is deleted in turn (leave-one-out) to see what each part of the rule rests on.

    Parameters
    ----------
    rule
        The rule to review; what the model writes where None.
    alternatives
        Also find the runner-up of each number and comparator.

    Raises
    ------
    InputError
        If the clause has no word or is too long for the model, or the model writes nothing.
    """
    if rule is None:
        say(f"{writer.name} writes the rule")
        rule = writer.write([clause])[0]
    if not rule.strip():
        raise InputError(
            f"model {writer.name}", expected="a rule", found="nothing", remedy="Train it longer, or take another model."
        )
    found = writer.explain(clause, rule)
    log_probs_T, entropies_T = writer.confidence([(clause, rule)])[0]
    return judge_rule(writer, found, log_probs_T, entropies_T, alternatives=alternatives)


def judge_rule(
    writer: RuleWriter, found: Attribution, log_probs_T: np.ndarray, entropies_T: np.ndarray, *, alternatives: bool
) -> Review:
    """A review from an attribution and the model's confidence."""
    evidence = writer.evidence
    items = pd.DataFrame(list_items(found, log_probs_T, entropies_T, evidence.known, notation=writer.notation))
    items["flags"] = [_raise_flags(item, evidence.thresholds) for item in items.to_dict("records")]
    parts = items[items["item"] == PART].reset_index(drop=True)
    parts["risk"] = evidence.risk.predict(parts) if len(parts) else np.zeros(0)
    spans = list(zip(parts["start"], parts["end"], strict=True))
    inside = [found.tokens_in(*span) for span in spans]
    parts["probability"] = [math.exp(float(log_probs_T[own_T].sum())) for own_T in inside]
    parts["words"] = [_name_words(found, found.scores[:, own_T].sum(axis=1)) for own_T in inside]
    shown = parts.rename(columns={"text": "part"})[
        ["part", "kind", "start", "end", "probability", "risk", "words", "flags"]
    ]
    others = items[items["item"] != PART].assign(risk=math.nan)
    checks = _list_checks(pd.concat([parts, others], ignore_index=True), evidence)
    rows = _find_alternatives(writer, found) if alternatives else []
    return Review(
        found.clause,
        found.target,
        found,
        shown,
        checks,
        pd.DataFrame(rows, columns=["part", "runner_up", "odds", "words"]),
    )


def _raise_flags(item: Mapping[Any, Any], thresholds: dict[str, float]) -> str:
    raised = [n for n, f in FLAGS.items() if f.item == item["item"] and item[f.signal] >= thresholds[n]]
    return ", ".join(raised)


def _name_words(found: Attribution, scores_F: np.ndarray) -> str:
    """The words that count, the strongest first."""
    order = [index for index in np.argsort(-scores_F, kind="stable") if scores_F[index] >= FLOOR]
    return ", ".join(f"{found.features[index].text} {scores_F[index]:.1f}" for index in order[:4])


def _list_checks(items: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    rows = []
    for item in items[items["flags"] != ""].to_dict("records"):
        names = item["flags"].split(", ")
        measured = [evidence.precision(name) for name in names]
        best = max((one[0] for one in measured if not math.isnan(one[0])), default=math.nan)
        rows.append(
            {
                "chance": best if math.isnan(item["risk"]) else item["risk"],
                "where": "clause" if item["item"] == "word" else "rule",
                "text": item["text"] or "(the whole)",
                "reason": "; ".join(FLAGS[name].says for name in names),
                "precision": "; ".join(_say_share(*one[:3]) for one in measured),
                "recall": "; ".join(_say_share(*one[3:]) for one in measured),
                "start": item["start"],
                "end": item["end"],
            }
        )
    columns = ["chance", "where", "text", "reason", "precision", "recall", "start", "end"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values("chance", ascending=False, kind="stable", ignore_index=True)


def _say_share(value: float, low: float, high: float) -> str:
    return "not measured" if math.isnan(value) else f"{value:.0%} [{low:.0%}, {high:.0%}]"


def _find_alternatives(writer: RuleWriter, found: Attribution) -> list[dict[str, Any]]:
    """The likeliest other number of the clause, or other comparator, in place of each one in the rule."""
    rule = found.target
    numbers = dict.fromkeys(f.text for f in found.features if f.text.replace(".", "").isdigit())
    asked: list[tuple[int, str, str]] = []
    elements = list_elements(rule, writer.notation)
    for place, element in enumerate(elements):
        choices = {"value": numbers, "comparator": COMPARATORS}.get(element.kind, ())
        asked += [(place, c, rule[: element.start] + c + rule[element.end :]) for c in choices if c != element.text]
    if not asked:
        return []
    read = writer.confidence([(found.clause, rule), *((found.clause, other) for _, _, other in asked)])
    whole, *sums = (float(log_probs_T.sum()) for log_probs_T, _ in read)
    rows = []
    for place in dict.fromkeys(place for place, _, _ in asked):
        total, choice, other = max((s, c, o) for s, (p, c, o) in zip(sums, asked, strict=True) if p == place)
        against_F = found.scores.sum(axis=1) - writer.explain(found.clause, other).scores.sum(axis=1)
        row = {"part": elements[place].text, "runner_up": choice, "odds": math.exp(min(total - whole, 50.0))}
        rows.append(row | {"words": _name_words(found, against_F)})
    return rows


def review_html(review: Review) -> str:
    """A review for a page: the clause with shaded words, the rule with its flagged parts marked, and what to check."""
    from compliance_xai.figures.clause_figures import attribution_html
    from compliance_xai.figures.tables import table_html

    shaded = attribution_html(review.attribution, heading="Clause", target_label="Rule that the model wrote")
    names = {"chance": "chance of an error", "precision": "right on validation", "recall": "errors found on validation"}
    checks = review.checks[["chance", "where", "text", "reason", "precision", "recall"]].rename(
        columns=names | {"reason": "why"}
    )
    parts = review.parts[["part", "kind", "risk", "probability", "words"]]
    tables = [
        table_html(checks, caption="What to check, the likeliest error first", formats={"chance of an error": ".2f"}),
        table_html(
            parts.rename(columns={"words": "words that count (nats)"}),
            caption="The parts of the rule",
            formats={"risk": ".2f", "probability": ".2f"},
        ),
        table_html(review.alternatives, caption="The runner-up of each number and comparator, and its odds"),
    ]
    return shaded + marked_rule(review.rule, review.parts) + "".join(tables)


def marked_rule(rule: str, parts: pd.DataFrame) -> str:
    """The rule, escaped, with a mark on each flagged part."""
    from compliance_xai.figures.clause_figures import rule_html

    pieces, cursor = [], 0
    for row in parts[parts["flags"] != ""].to_dict("records"):
        note = html.escape("; ".join(FLAGS[name].says for name in row["flags"].split(", ")))
        pieces.append(rule_html(rule[cursor : row["start"]]))
        pieces.append(f'<span class="cx-nowhere" title="{note}">{html.escape(rule[row["start"] : row["end"]])}</span>')
        cursor = row["end"]
    return (
        '<div class="cx-clause"><p class="cx-label">The rule, its flagged parts marked</p>'
        f'<p class="cx-rule">{"".join(pieces)}{rule_html(rule[cursor:])}</p></div>'
    )


def read_clauses(path: Path) -> list[tuple[str, str]]:
    """Id and clause of every row of a table; rows without an ``id`` are numbered.

    Raises
    ------
    InputError
        If the file cannot be read, or has no column ``clause``.
    """
    columns, rows, _ = read_rows(path)
    if "clause" not in columns:
        found = ", ".join(columns)
        raise InputError(
            str(path), expected="a column clause", found=found, remedy="Name the column of the clauses so."
        )
    cells = [row.cells for row in rows]
    return [(str(row.get("id") or place), str(row.get("clause") or "")) for place, row in enumerate(cells, start=1)]


BATCH = 32
"""Clauses that are written and reviewed together."""

Row = dict[str, Any]
"""One reviewed clause: ``id, clause, rule, error`` (why there is no review, else empty), ``expected_errors``, ``parts,
checks`` (rows)."""


def review_many(
    writer: RuleWriter,
    clauses: Sequence[tuple[str, str]],
    folder: Path,
    *,
    report: Callable[[int], None] = lambda done: None,
) -> list[Row]:
    """Review many clauses, and write ``clauses.csv``, ``checks.csv`` and ``report.html``, the riskiest clause first.

    Finished clauses are kept in ``reviews.jsonl``, so an interrupted run goes on where it stopped.

    Parameters
    ----------
    clauses
        Id and clause.
    report
        Told the number of clauses that are done, again and again.
    """
    from compliance_xai.figures.review_report import report_html

    folder.mkdir(parents=True, exist_ok=True)
    kept, done = folder / "reviews.jsonl", {}
    weights = [
        float(parameter.detach().double().sum())
        for parameter in writer.model.parameters()
        if parameter.is_floating_point()
    ]
    key = digest(
        {
            "model": weights,
            "evidence": dataclasses.asdict(writer.evidence.risk),
            "thresholds": writer.evidence.thresholds,
        }
    )
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # an empty line, or what a run wrote as it was killed
            continue
        if row["key"] == key:
            done[row["id"], row["clause"]] = row
    waiting = [pair for pair in dict.fromkeys(clauses) if pair not in done]
    report(len(done))
    with kept.open("a", encoding="utf-8") as file:
        file.write("\n" if file.tell() else "")  # a line that a killed run left half written ends here
        for start in range(0, len(waiting), BATCH):
            for row in _review_batch(writer, waiting[start : start + BATCH]):
                file.write(json.dumps(row | {"key": key}) + "\n")
                done[row["id"], row["clause"]] = row
            file.flush()
            report(len(done))
    rows = sorted(
        (done[pair] for pair in dict.fromkeys(clauses)), key=lambda row: (not row["error"], -row["expected_errors"])
    )
    facts = ["id", "clause", "rule", "expected_errors", "error"]
    pd.DataFrame([{name: row[name] for name in facts} for row in rows], columns=facts).to_csv(
        folder / "clauses.csv", index=False
    )
    checks = [{"id": row["id"], **check} for row in rows for check in row["checks"]]
    names = ["id", "chance", "where", "text", "reason", "precision", "recall", "start", "end"]
    pd.DataFrame(checks, columns=names).to_csv(folder / "checks.csv", index=False)
    with write_atomic(folder / "report.html") as part:
        part.write_text(report_html(rows, writer.name), encoding="utf-8")
    return rows


def _review_batch(writer: RuleWriter, pairs: Sequence[tuple[str, str]]) -> Iterable[Row]:
    """A row for every clause; one that cannot be reviewed says why."""
    rows: dict[tuple[str, str], Row] = {}
    try:
        written = writer.write([clause for _, clause in pairs])
    except InputError:  # one of them is too long for the model: each by itself
        written = [None] * len(pairs)
    for pair, rule in zip(pairs, written, strict=True):
        try:
            rows[pair] = _make_row(pair, review_clause(writer, pair[1], rule=rule, alternatives=False))
        except InputError as error:
            rows[pair] = _make_row(pair, error=str(error))
    return [rows[pair] for pair in pairs]


def _make_row(pair: tuple[str, str], review: Review | None = None, error: str = "") -> Row:
    row: Row = {
        "id": pair[0],
        "clause": pair[1],
        "rule": "",
        "error": error,
        "expected_errors": 0.0,
        "parts": [],
        "checks": [],
    }
    if review is not None:
        checks = review.checks.astype(object).where(review.checks.notna(), None)
        row |= {"rule": review.rule, "expected_errors": review.expected_errors}
        row |= {"parts": review.parts.to_dict("records"), "checks": checks.to_dict("records")}
    return row
