"""A rule under review: what a model writes for a clause, where it is probably wrong, and why.

For people who decide whether a generated rule may be used. Nothing here needs a reference rule. How often each flag is
right was measured beforehand, on the study's validation split, by the stage ``faithfulness``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.engine import check_text, score_texts
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.options import Options
from compliance_xai.attribution.review_items import ITEM_SIGNALS, PART, WORD, list_items, list_words
from compliance_xai.corpus.counterfactuals import write_perturbed
from compliance_xai.errors import InputError
from compliance_xai.files import digest, read_rows, write_atomic
from compliance_xai.machine import say
from compliance_xai.models.generation import generate_rules, read_confidence
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.prompts import DEFAULT_TEMPLATE, check_template, encode_target, make_template
from compliance_xai.pipeline.cells import OpenModel, open_model
from compliance_xai.pipeline.stage_examples import read_split
from compliance_xai.pipeline.stages import read_stage
from compliance_xai.records import Attribution, Example
from compliance_xai.rules.compare.rule_elements import list_elements
from compliance_xai.rules.legalruleml.documents import Statement, write_legalruleml
from compliance_xai.rules.notation.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.notation.tree import COMPARATORS
from compliance_xai.stats.review_flags import FLAGS, Risk, mark_disputed
from compliance_xai.study.ladders import LadderSettings, load_ladder
from compliance_xai.study.model_sources import describe_model
from compliance_xai.study.settings import Study, load_study

BATCH = 64
"""Clauses whose rules are written together."""

REMOVED = 4
"""Words that are removed together, at most, to see whether the runner-up of a part would win."""

UNMEASURED = {name: 0.5 if not flag.chosen else math.inf for name, flag in FLAGS.items()}
"""Thresholds where nothing was measured: only flags without a chosen threshold are raised, and improbable parts."""
UNMEASURED |= {"improbable": 0.0}  # log odds: another token was at least as likely


CHECKS = ["chance", "where", "text", "reason", "precision", "recall", "start", "end"]
HEADINGS = {"chance": "chance of an error", "reason": "why", "precision": "right on validation"}
HEADINGS |= {"recall": "errors found on validation", "words": "words that count (nats)", "runner_up": "runner-up"}
HEADINGS |= {"wins_without": "would win without"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Evidence:
    """What was measured on validation: thresholds, precision and recall of each flag, and the model of risk.

    ``known`` are the words of the training clauses; ``measured`` is a frame of ``review_flags.measure_flags``, empty
    where the study has not run that far.
    """

    thresholds: Mapping[str, float] = field(default_factory=lambda: dict(UNMEASURED))
    measured: pd.DataFrame = field(default_factory=pd.DataFrame)
    risk: Risk = field(default_factory=Risk)
    known: frozenset[str] = frozenset()

    @functools.cached_property
    def rates(self) -> dict[str, tuple[float, ...]]:
        """Precision and recall of each flag on validation, each with its bounds."""
        names = [f"{measure}{end}" for measure in ("precision", "recall") for end in ("", "_low", "_high")]
        return {row["flag"]: tuple(float(row[name]) for name in names) for row in self.measured.to_dict("records")}

    def chance(self, risk: float, names: Iterable[str]) -> float:
        """Of an error: a part's risk or the precision of its flags, whichever is larger; NaN if neither is known."""
        known = [risk, *(self.rates[name][0] for name in names if name in self.rates)]
        return max((one for one in known if not math.isnan(one)), default=math.nan)

    def describe(self, flag: str) -> dict[str, Any]:
        """A flag for the model in the page: ``at`` (its threshold) and ``right`` (its precision, in words)."""
        return {"at": min(self.thresholds[flag], 1e9), "right": _say_share(*self.rates.get(flag, (math.nan,) * 3)[:3])}

    def flags(self, item: Mapping[Any, Any]) -> list[str]:
        """The flags that an item of ``review_items.list_items`` raises."""
        return [n for n, f in FLAGS.items() if f.item == item["item"] and item[f.signal] >= self.thresholds[n]]


@dataclass(frozen=True)
class RuleWriter(OpenModel):
    """A model with its tokenizer and prompt: writes rules, says what they rest on and where they may be wrong.

    ``others`` are asked for their rules too, to see where they disagree.
    """

    evidence: Evidence = field(default_factory=Evidence)
    notation: str = "lrml"
    others: tuple[RuleWriter, ...] = ()

    def write(self, clauses: Sequence[str], *, max_new_tokens: int = 192) -> list[str]:
        """The rule that the model writes for each clause, greedily."""
        for clause in clauses:
            check_text(clause, "clause", "")
        examples = [Example(clause[:40], clause, "", "", "test") for clause in clauses]
        made = generate_rules(
            self.model, self.tokenizer, examples, seed=0, template=self.template, max_new_tokens=max_new_tokens,
            batch_size=BATCH,
        )  # fmt: skip
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

    @property
    def key(self) -> str:
        """Digest of the weights, of what was measured, and of the other models."""
        sums = [float(p.detach().double().sum()) for p in self.model.parameters() if p.is_floating_point()]
        risk = self.evidence.risk.coefficients().to_dict("records")
        return digest([sums, risk, dict(self.evidence.thresholds), [other.key for other in self.others]])


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
        What to check, the likeliest error first: ``chance`` (that there is an error: the part's risk or the precision
        of its flags on validation, whichever is larger; NaN where nothing was measured), ``where`` (``rule`` or
        ``clause``), ``text, reason``, ``precision, recall`` (of the flags, in words), ``start, end``.
    alternatives
        For numbers and comparators: ``part``, ``runner_up`` (the likeliest other number of the clause, or comparator),
        ``odds`` (its probability over that of what was written) and ``wins_without`` (the words without which it is the
        likelier one; none of up to ``REMOVED`` words where empty).
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


def load_writer(
    study: Study | Path | str, scale: str, strategy: str, seed: int | None = None, *, compare: bool = False
) -> RuleWriter:
    """The trained model of a finished cell, with what was measured of its flags.

    Parameters
    ----------
    seed
        Which training seed; the study's first where None.
    compare
        Load the study's other fine-tuned models of this size, too: those that its measurements compare.

    Raises
    ------
    InputError
        If the study has no such cell or seed, or it has not been trained with the study's present settings.
    """
    study = study if isinstance(study, Study) else load_study(study)

    def load(strategy: str, seed: int | None) -> RuleWriter:
        return RuleWriter(
            **vars(open_model(study, scale, strategy, seed, current=True)), notation=study.corpus.notation
        )

    writer = load(strategy, seed)
    own = strategy, study.seeds_of(strategy, scale)[0] if seed is None else seed
    names = [name for size, name in study.cells() if compare and size == scale and study.strategies[name].trains]
    cells = [(name, one) for name in names for one in study.seeds_of(name, scale)[: study.faithfulness.seeds]]
    others = tuple(load(*cell) for cell in cells if cell != own)
    known = frozenset(word for example in read_split(study, "train") for word in list_words(example.clause))
    evidence = dataclasses.replace(read_evidence(study, scale, strategy), known=known)
    return dataclasses.replace(writer, evidence=evidence, others=others)


def load_bare(model: str, prompt: str = "") -> RuleWriter:
    """A model's folder or hub id with its prompt, which has ``{clause}`` in it; nothing was measured for it."""
    rung = load_ladder(LadderSettings.model_validate({"rungs": [describe_model(model)]})).rungs[0]
    tokenizer, text = load_tokenizer(rung), check_template(prompt or DEFAULT_TEMPLATE)
    template = make_template(tokenizer, [{"role": "user", "content": text}] if rung.template == "chat" else text)
    return RuleWriter(rung.name, load_base(rung).eval(), tokenizer, template)


def read_evidence(study: Study, scale: str, strategy: str) -> Evidence:
    """What the stage ``faithfulness`` measured on the validation split for a cell; nothing where it has not run."""
    with contextlib.suppress(InputError, KeyError):  # not run, or by an earlier version that measured something else
        stage = read_stage(study, "faithfulness")
        tables = (stage["flags"], stage["risk"])
        flags, risk = (table[(table["scale"] == scale) & (table["strategy"] == strategy)] for table in tables)
        measured = flags[flags["split"] == "validation"]
        if len(measured):
            thresholds = dict(zip(measured["flag"], measured["threshold"], strict=True))
            return Evidence(UNMEASURED | thresholds, measured, Risk.from_coefficients(risk))
    return Evidence()


def read_reviewed(study: Study, scale: str, strategy: str) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """What the stage ``faithfulness`` found in the rules that it inspected, by seed and clause; if it has run.

    Each item has the columns of its table ``items``, ``chance`` (of an error, as in ``Review.checks``) and ``says``
    (why it is flagged).
    """
    evidence, found = read_evidence(study, scale, strategy), {}
    if not evidence.measured.empty:
        items = mark_disputed(read_stage(study, "faithfulness")["items"])
        items = items[(items["scale"] == scale) & (items["strategy"] == strategy)]
        risks = np.where(items["item"] == PART, evidence.risk.predict(items), np.nan)
        for item in items.assign(risk=risks).to_dict("records"):
            names = evidence.flags(item)
            told = {"chance": evidence.chance(item["risk"], names), "says": [FLAGS[name].says for name in names]}
            found.setdefault((item["seed"], item["id"]), []).append(item | told)
    return found


def review_clause(
    writer: RuleWriter,
    clause: str,
    *,
    rule: str | None = None,
    others: Sequence[str] | None = None,
    sure: tuple[np.ndarray, np.ndarray] | None = None,
    alternatives: bool = True,
) -> Review:
    """Let a model write a rule for a clause, and say where it is probably wrong.

    Each word is deleted in turn (leave-one-out) to see what each part of the rule rests on.

    Parameters
    ----------
    rule
        The rule to review; what the model writes where None.
    others, sure
        What ``writer.others`` write, and ``writer.confidence`` in the rule, if they are known already.
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
        remedy = "Train it longer, or take another model."
        raise InputError(f"model {writer.name}", expected="a rule", found="nothing", remedy=remedy)
    found, evidence = writer.explain(clause, rule), writer.evidence
    others = [other.write([clause])[0] for other in writer.others] if others is None else others
    log_probs_T, entropies_T = writer.confidence([(clause, rule)])[0] if sure is None else sure
    others = [other for other in others if other.strip()]
    items = list_items(found, log_probs_T, entropies_T, evidence.known, others=others, notation=writer.notation)
    parts = [item for item in items if item["item"] == PART]
    risks = evidence.risk.predict(pd.DataFrame(parts, columns=list(ITEM_SIGNALS)))
    for item, risk in zip(parts, risks, strict=True):
        item |= {"part": item["text"], "risk": float(risk)}
    checks = _list_checks(items, evidence)
    shown = ["part", "kind", "start", "end", "probability", "risk", "words", "flags"]
    rows = list(_find_alternatives(writer, found)) if alternatives else []
    columns = ["part", "runner_up", "odds", "wins_without"]
    return Review(clause, rule, found, pd.DataFrame(parts, columns=shown), checks, pd.DataFrame(rows, columns=columns))


def _list_checks(items: Sequence[dict[str, Any]], evidence: Evidence) -> pd.DataFrame:
    """``Review.checks``; each item gets its ``flags``, too."""
    rows, unknown = [], (math.nan,) * 6
    for item in items:
        names = evidence.flags(item)
        item["flags"] = ", ".join(names)
        rates = [evidence.rates.get(name, unknown) for name in names]
        row: dict[str, Any] = {"chance": evidence.chance(item.get("risk", math.nan), names)}
        row |= {"where": "clause" if item["item"] == WORD else "rule", "text": item["text"] or "(the whole)"}
        row |= {"reason": "; ".join(FLAGS[name].says for name in names)}
        row |= {"precision": "; ".join(_say_share(*one[:3]) for one in rates)}
        row |= {"recall": "; ".join(_say_share(*one[3:]) for one in rates)}
        rows += [row | {"start": item["start"], "end": item["end"]}] if names else []
    frame = pd.DataFrame(rows, columns=CHECKS)
    return frame.sort_values("chance", ascending=False, kind="stable", ignore_index=True)


def _say_share(value: float, low: float, high: float) -> str:
    return "not measured" if math.isnan(value) else f"{value:.0%} [{low:.0%}, {high:.0%}]"


def _find_alternatives(writer: RuleWriter, found: Attribution) -> Iterator[dict[str, Any]]:
    """The likeliest other number of the clause, or other comparator, in place of each one in the rule."""
    rule = found.target
    numbers = dict.fromkeys(f.text for f in found.features if f.text.replace(".", "").isdigit())
    asked: list[tuple[int, str, str]] = []
    elements = list_elements(rule, writer.notation)
    for place, element in enumerate(elements):
        choices = {"value": numbers, "comparator": COMPARATORS}.get(element.kind, ())
        asked += [(place, c, rule[: element.start] + c + rule[element.end :]) for c in choices if c != element.text]
    whole, *sums = (
        sum(one) for one, _ in writer.confidence([(found.clause, r) for r in (rule, *(a[2] for a in asked))])
    )
    for place in dict.fromkeys(place for place, _, _ in asked):
        total, choice, other = max((s, c, o) for s, (p, c, o) in zip(sums, asked, strict=True) if p == place)
        row = {"part": elements[place].text, "runner_up": choice, "odds": math.exp(min(total - whole, 50.0))}
        yield row | {"wins_without": _find_winning(writer, found, other)}


def _find_winning(writer: RuleWriter, found: Attribution, other: str) -> str:
    """The words that speak most for the rule and against the other, as many as have to go for the other to win."""
    against_F = found.scores.sum(axis=1) - writer.explain(found.clause, other).scores.sum(axis=1)
    order = [index for index in np.argsort(-against_F, kind="stable")[:REMOVED] if against_F[index] > 0]
    masks_MF = np.array([[f not in order[:count] for f in range(len(against_F))] for count in range(len(order) + 1)])
    texts = [texts[0] for texts in write_perturbed(found.clause, found.features, masks_MF)]
    lead_M = writer.log_probs(texts, found.target).sum(axis=1) - writer.log_probs(texts, other).sum(axis=1)
    count = next((place for place, lead in enumerate(lead_M) if lead < 0), 0)
    return ", ".join(found.features[index].text for index in order[:count])


def review_html(review: Review) -> str:
    """A review for a page: the clause with shaded words, the rule with its flagged parts marked, and what to check."""
    from compliance_xai.figures.clause_figures import attribution_html
    from compliance_xai.figures.review_report import mark
    from compliance_xai.figures.tables import table_html

    shaded = attribution_html(review.attribution, heading="Clause", target_label="Rule that the model wrote")
    marked = mark(review.rule, review.parts[review.parts["flags"] != ""].to_dict("records"), "cx-nowhere")
    tables = {
        "What to check, the likeliest error first": review.checks.drop(columns=["start", "end"]),
        "The parts of the rule": review.parts[["part", "kind", "risk", "probability", "words"]],
        "Runners-up of numbers and comparators": review.alternatives,
    }
    formats = dict.fromkeys((HEADINGS["chance"], "risk", "probability"), ".2f")
    first, *others = (
        table_html(frame.rename(columns=HEADINGS), caption=caption, formats=formats)
        for caption, frame in tables.items()
    )
    label = "The rule, its flagged parts marked"
    return (
        f'{shaded}<p class="cx-label">{label}</p><p class="cx-rule">{marked}</p>{first}'
        f'<details class="cx-fold"><summary>Every part, and runners-up</summary>{"".join(others)}</details>'
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
        found, remedy = ", ".join(columns), "Name the column of the clauses so."
        raise InputError(str(path), expected="a column clause", found=found, remedy=remedy)
    cells = enumerate((row.cells for row in rows), start=1)
    return [(_say_cell(row.get("id")) or str(number), _say_cell(row.get("clause"))) for number, row in cells]


def _say_cell(value: Any) -> str:
    """A cell as text; nothing for an empty one, and half a character as its number."""
    return "" if value is None or value != value else str(value).encode("utf-8", "backslashreplace").decode()


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
    """Review many clauses, and write ``clauses`` and ``checks`` (CSV and Parquet) and ``report.html``, riskiest first.

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
    kept, done, key = folder / "reviews.jsonl", {}, writer.key
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else ():
        with contextlib.suppress(json.JSONDecodeError):  # an empty line, or what a run wrote as it was killed
            row = json.loads(line)
            done |= {(row["id"], row["clause"]): row} if row["key"] == key else {}
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
    rows = [done[pair] for pair in dict.fromkeys(clauses)]
    rows.sort(key=lambda row: (not row["error"], -row["expected_errors"]))
    checks = [{"id": row["id"], **check} for row in rows for check in row["checks"]]
    columns = {"clauses": ["id", "clause", "rule", "expected_errors", "error"], "checks": ["id", *CHECKS]}
    for name, found in (("clauses", rows), ("checks", checks)):
        frame = pd.DataFrame(found, columns=columns[name])
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        # A spreadsheet would compute a text that begins like a formula.
        frame.replace(r"^(?=[=+\-@\t\r])", "'", regex=True).to_csv(folder / f"{name}.csv", index=False)
    with write_atomic(folder / "report.html") as part:
        part.write_text(report_html(rows, writer.name), encoding="utf-8")
    return rows


def _review_batch(writer: RuleWriter, pairs: Sequence[tuple[str, str]]) -> Iterator[Row]:
    """A row for every clause; one that cannot be reviewed says why."""
    written = dict(zip(pairs, _write_each(writer, [clause for _, clause in pairs]), strict=True))
    good = {pair: rule for pair, rule in written.items() if isinstance(rule, str) and rule.strip()}
    others = [_write_each(other, [clause for _, clause in good]) for other in writer.others if good]
    sure = dict(zip(good, writer.confidence([(clause, rule) for (_, clause), rule in good.items()]), strict=True))
    theirs = {pair: [str(rules[place]) for rules in others] for place, pair in enumerate(good)}
    for pair, rule in written.items():
        try:
            if not isinstance(rule, str):
                raise rule
            known: dict[str, Any] = {"sure": sure.get(pair), "others": theirs.get(pair)}
            yield _make_row(pair, review_clause(writer, pair[1], rule=rule, alternatives=False, **known))
        except InputError as error:
            yield _make_row(pair, error=str(error))


def _write_each(writer: RuleWriter, clauses: Sequence[str]) -> list[str | InputError]:
    """The rule of each clause, or why there is none: a clause that cannot be read leaves the others alone."""
    try:
        return list(writer.write(clauses))
    except InputError as error:
        half = len(clauses) // 2
        return [*_write_each(writer, clauses[:half]), *_write_each(writer, clauses[half:])] if half else [error]


def _make_row(pair: tuple[str, str], review: Review | None = None, error: str = "") -> Row:
    row: Row = {"id": pair[0], "clause": pair[1], "rule": "", "error": error, "expected_errors": 0.0}
    row |= {"parts": [], "checks": []}
    if review is not None:
        checks = review.checks.astype(object).where(review.checks.notna(), None)
        row |= {"rule": review.rule, "expected_errors": review.expected_errors}
        row |= {"parts": review.parts.to_dict("records"), "checks": checks.to_dict("records")}
    return row


def write_rules(rules: Sequence[tuple[str, str, str]], path: Path) -> int:
    """Write rules (id, clause, rule) as LegalRuleML, each statement with its clause as paraphrase.

    Returns how many texts are no rule of the notation; their statements hold the clause alone.
    """
    statements = []
    for name, clause, rule in rules:
        try:
            parsed = parse_rule(rule)
        except RuleSyntaxError:
            parsed = None
        statements.append(Statement(name, parsed, paraphrase=_NOT_XML.sub("", clause)))
    write_legalruleml(statements, path)
    return sum(statement.rule is None for statement in statements)
