"""The stage that puts attribution to the test: correctness, faithfulness, and whether it finds errors.

One notebook for the whole study, because a kernel for every cell would take longer than its work. What is measured on
a model is a piece of its own: an interrupted stage goes on where it stopped, and another strategy's change, or one in
the statistics, measures no model again.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.elements import SIGNALS
from compliance_xai.attribution.engine import score_masks
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.options import Options
from compliance_xai.attribution.removal_curves import MEASURES, Effort, judge_scores
from compliance_xai.attribution.review_items import ITEM_SIGNALS, PART, list_items, list_words, mark_items
from compliance_xai.machine import track
from compliance_xai.models.generation import generate_rules, read_confidence
from compliance_xai.pipeline.attribute_stage import open_reader
from compliance_xai.pipeline.code_keys import code_digest
from compliance_xai.pipeline.grid import MEASURING
from compliance_xai.pipeline.raw_frames import join_cells, keep_method
from compliance_xai.pipeline.stage_examples import attributed_examples, read_split
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.records import (
    Attribution,
    Example,
    Generation,
    attribution_from_row,
    read_attribution_rows,
    read_records,
)
from compliance_xai.stats.review_flags import (
    Risk,
    choose_thresholds,
    find_flagged,
    fit_risk,
    mark_disputed,
    measure_flags,
    rank_signals,
    reading_table,
)
from compliance_xai.stats.summary import summarise_gold, summarise_measures
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study

ALL_KINDS = "all"
"""Stands for every kind of rule element together."""
CELL = ("scale", "parameters", "strategy")
REVIEWED = 60
"""Clauses of the validation split on which the flags of a review are measured, for each fine-tuned model."""
JUDGED = (*MEASURES, "random_deletion", "reversed_deletion", "random_top_1_drop", "random_top_3_drop")


@stage
def faithfulness(work: Work) -> dict[str, pd.DataFrame]:
    """Judge the attributions of every cell: against the gold alignment, the models, and the rules that they wrote.

    Returns
    -------
    StageResult
        ``correctness`` (``alignment.summarise_gold`` on the evaluated split and positive scores, by cell, baseline and
        kind, and for ``ALL_KINDS`` together);
        ``areas`` and ``curves`` (``faithfulness.judge_scores``, with ``CELL``, ``seed``, ``id``, ``split``,
        ``operator``); ``area_summary`` and ``curve_summary`` (``stats.summarise_measures`` of them on the evaluated
        split);

        Of the rules that fine-tuned models wrote, as reviews read them (``pipeline.review``): ``items``
        (``review_items.list_items`` with ``wrong``; the attributed clauses, and some of the validation split),
        ``left_out`` (rules that no part was taken from: ``scale, strategy, seed, id, reason``),
        ``signals`` (``review_flags.rank_signals`` of parts, by split), ``flags`` (``review_flags.measure_flags``,
        thresholds chosen on validation), ``risk`` (``Risk.coefficients`` of each cell), ``risk_models`` (its rivals
        on validation), ``reading`` (``review_flags.reading_table``), ``missed`` (wrong parts by split and kind, and
        how many of them have no flag).
    """
    bootstrap = work.study.thresholds.bootstrap
    examples = {example.id: example for example in attributed_examples(work.study)}
    evaluated = [id for id, example in examples.items() if example.split == work.study.corpus.evaluate_on]
    gold = keep_method(work, join_cells(work, "attribute", "gold"))
    gold = gold[gold["id"].isin(evaluated)]
    gold = gold[gold["sign"] == "positive"]  # what raises an element's probability is what it rests on
    gold = pd.concat([gold, gold.assign(kind=ALL_KINDS)], ignore_index=True)
    tables = {"correctness": summarise_gold(gold, (*CELL, "baseline", "sign", "kind"), bootstrap=bootstrap)}
    parts = [_measure_cell(work, *cell, examples) for cell in work.study.cells()]
    for name in _COLUMNS:
        tables[name] = pd.concat([part[name] for part in parts], ignore_index=True)
    areas, curves = (
        tables[name][tables[name]["split"] == work.study.corpus.evaluate_on] for name in ("areas", "curves")
    )
    by = (*CELL, "attribution", "operator")
    tables["area_summary"] = summarise_measures(areas, JUDGED, by=by, bootstrap=bootstrap)
    # Short clauses have fewer steps, if less than a word would go in each.
    whole = curves[curves.groupby([*CELL, "seed", "id", "operator"])["step"].transform("max") == curves["step"].max()]
    tables["curve_summary"] = summarise_measures(whole, "kept", by=(*by, "order", "step"), bootstrap=bootstrap)
    items = tables["items"]
    parts = items[(items["item"] == PART) & (items["split"] != "validation")]
    tables["signals"] = rank_signals(parts, SIGNALS, against="unlikely", bootstrap=bootstrap)
    return tables | _judge_review(items, bootstrap)


def _measure_cell(work: Work, scale: str, strategy: str, examples: dict[str, Example]) -> dict[str, pd.DataFrame]:
    """The tables of one cell, from a piece for every seed's model."""
    parameters = load_ladder(work.study.ladder).rung(scale).parameters
    settings = work.study.faithfulness
    needs = [f"{scale}-{strategy}-{stage}" for stage in ("generate", "attribute")]
    parts = []
    for seed in work.study.seeds_of(strategy, scale)[: settings.seeds]:

        def measure(folder: Path, seed: int = seed) -> None:
            for name, frame in _measure_model(work, scale, strategy, seed, examples).items():
                frame.to_parquet(folder / f"{name}.parquet", index=False)

        chosen = settings.model_dump(mode="json", exclude={"seeds"})
        key = work.key_from(needs, settings=chosen, seed=seed, code=code_digest(MEASURING))
        piece = work.make_piece(f"models/{scale}-{strategy}-seed-{seed}", measure, key=key)
        parts.append({name: pd.read_parquet(piece.folder / f"{name}.parquet") for name in _COLUMNS})
    keys = {"scale": scale, "parameters": parameters, "strategy": strategy}
    joined = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in _COLUMNS}
    return {name: frame.assign(**keys)[[*keys, *frame.columns]] for name, frame in joined.items()}


_COLUMNS = {
    "areas": (
        *("seed", "id", "split", "operator", "attribution", "n_features", "whole", "empty", "lowest", "highest"),
        *("area", *JUDGED, "top_1_nats", "top_3_nats", "reason"),
    ),
    "curves": (
        *("seed", "id", "split", "operator", "attribution", "order", "draw", "step"),
        *("removed", "log_prob", "kept"),
    ),
    "left_out": ("seed", "id", "split", "reason"),
    "items": (
        *("seed", "id", "split", "item", "kind", "text", "start", "end", "probability", "words"),
        *(*ITEM_SIGNALS, "wrong"),
    ),
}


def _measure_model(
    work: Work, scale: str, strategy: str, seed: int, examples: dict[str, Example]
) -> dict[str, pd.DataFrame]:
    study = work.study
    model = _Measured(work, scale, strategy, seed)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _COLUMNS}
    for example in track(judged_examples(study, examples), f"clauses judged for {scale}, {strategy}"):
        keys = {"seed": seed, "id": example.id, "split": example.split}
        for operator in study.faithfulness.operators:
            measures, curves = model.judge(example, operator)
            rows["areas"] += [keys | {"operator": operator} | row for row in measures]
            rows["curves"] += [keys | {"operator": operator} | row for row in curves]
    if study.strategies[strategy].trains:  # a base that was not tuned writes another notation
        for example, items, reason in model.inspect(examples.values(), model.rules):
            keys = {"seed": seed, "id": example.id, "split": example.split}
            rows["items"] += [keys | row for row in items]
            rows["left_out"] += [keys | {"reason": reason}] if reason else []
        rows["items"] += [
            {"seed": seed, "id": example.id, "split": "validation"} | row
            for example, items, _ in model.inspect(*model.validate())
            for row in items
        ]
    return {name: pd.DataFrame.from_records(rows[name], columns=list(columns)) for name, columns in _COLUMNS.items()}


def judged_examples(study: Study, examples: dict[str, Example]) -> list[Example]:
    """Clauses whose attributions are judged, of the evaluated split and of the held-out context."""
    settings = study.faithfulness
    main = [example for example in examples.values() if example.split == study.corpus.evaluate_on]
    held_out = [example for example in examples.values() if example.split == "document"]
    return [*main[: settings.clauses], *held_out[: settings.document_clauses]]


class _Measured:
    """One trained model with what was attributed and written with it."""

    def __init__(self, work: Work, scale: str, strategy: str, seed: int) -> None:
        self.study, self.reader = work.study, open_reader(work, scale, strategy, seed)
        self.model, self.tokenizer, self.prompt = (
            getattr(self.reader.opened, name) for name in ("model", "tokenizer", "template")
        )
        attributed = work.result("attribute", scale, strategy).path("attributions.parquet")
        rows = [row for row in read_attribution_rows(attributed) if row["seed"] == seed]
        found = ((row["baseline"], attribution_from_row(row)) for row in rows)
        self.attributions = {
            (attribution.id, baseline): attribution
            for baseline, attribution in found
            if attribution.provenance["method"] == work.study.attribution.method
        }
        train = read_split(work.study, "train")
        self.known = frozenset(word for example in train for word in list_words(example.clause))
        written = work.result("generate", scale, strategy).path("generations.parquet")
        self.rules = {rule.id: rule for rule in read_records(Generation, written) if rule.seed == seed}

    def judge(self, example: Example, operator: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """``faithfulness.judge_scores`` of an example's attributions with one operator."""
        settings, chosen = self.study.faithfulness, self.study.attribution
        found = {baseline: self.attributions[example.id, baseline] for baseline in chosen.baselines}
        features = next(iter(found.values())).features
        pool = self.reader.pool(operator, chosen.unit)
        options = Options(prompt=self.prompt, baseline=operator, pool=pool, batch_tokens=chosen.batch_tokens)

        def score(masks_MF: np.ndarray) -> np.ndarray:
            log_probs_MT = score_masks(
                self.model, self.tokenizer, example.clause, example.rule, masks_MF, options,
                features=features, id=example.id,
            )  # fmt: skip
            return log_probs_MT.astype(np.float64).sum(axis=1)

        scores = {name: found[name].scores.sum(axis=1, dtype=np.float64) for name in found}
        effort = Effort(settings.points, settings.random_orders, settings.masks, settings.beam)
        singles = None
        if operator in found and chosen.method == "leave_one_out":
            whole = float(found[operator].baseline_log_probs.sum(dtype=np.float64))
            singles = whole, whole - scores[operator]
        return judge_scores(score, scores, effort=effort, singles=singles)

    def validate(self) -> tuple[list[Example], dict[str, Generation]]:
        """Examples of the validation split, and the rules that the model writes for them."""
        examples = read_split(self.study, "validation")[:REVIEWED]
        limit = self.study.generate.max_new_tokens
        made = generate_rules(self.model, self.tokenizer, examples, seed=0, template=self.prompt, max_new_tokens=limit)
        return examples, {rule.id: rule for rule in made}

    def inspect(
        self, examples: Iterable[Example], rules: Mapping[str, Generation]
    ) -> Iterator[tuple[Example, list[dict[str, Any]], str]]:
        """The items of a review of each example's rule, with signals; and why it has no part, else empty."""
        readable = []
        for example in examples:
            written = rules[example.id]
            if written.stopped and written.rule.strip():
                readable.append(example)
            else:
                reason = "no rule was written" if written.stopped else "the rule was cut at the token limit"
                yield example, [], reason
        pairs = [(example.clause, rules[example.id].rule) for example in readable]
        sure = read_confidence(self.model, self.tokenizer, pairs, template=self.prompt)
        for example, (log_probs_T, entropies_T) in track(list(zip(readable, sure, strict=True)), "rules inspected"):
            rule = rules[example.id].rule
            notation = self.study.corpus.notation
            items = list_items(self._explain(example, rule), log_probs_T, entropies_T, self.known, notation=notation)
            marked = mark_items(items, rule, example.rule, notation=notation)
            items = [item | {"wrong": wrong} for item, wrong in zip(items, marked, strict=True)]
            recognised = any(item["item"] == PART for item in items)
            yield example, items, "" if recognised else "no element was recognised in the rule"

    def _explain(self, example: Example, rule: str) -> Attribution:
        """A written rule by leave-one-out and deletion, as reviews do; the stored one if the reference is the same."""
        known = rule == example.rule and self.study.attribution.method == "leave_one_out"
        if known and (example.id, "delete") in self.attributions:
            return self.attributions[example.id, "delete"]
        options = self.reader.options("delete", method="leave_one_out")
        return attribute(self.model, self.tokenizer, example.clause, rule, options, id=example.id)


def _judge_review(items: pd.DataFrame, bootstrap: int) -> dict[str, pd.DataFrame]:
    """Thresholds, flags and the model of risk of each cell, all chosen on validation; and what its order finds."""
    found: dict[str, list[pd.DataFrame]] = {"flags": [], "risk": [], "risk_models": [], "reading": [], "missed": []}
    parts = []
    for cell, group in mark_disputed(items).groupby(list(CELL), sort=False):
        keys: dict[str, Any] = dict(zip(CELL, cell, strict=True))
        validation = group[group["split"] == "validation"]
        thresholds = choose_thresholds(validation)
        risk, table = fit_risk(validation[validation["item"] == PART], bootstrap=bootstrap)
        flags = measure_flags(group, thresholds, bootstrap=bootstrap)
        for name, frame in zip(found, (flags, risk.coefficients(), table), strict=False):
            found[name].append(frame.assign(**keys))
        own = group[(group["item"] == PART) & (group["split"] != "validation")]
        parts.append(own.assign(risk=risk.predict(own), missed=own["wrong"] & (find_flagged(own, thresholds) == 0)))
    if parts:
        together = pd.concat(parts)
        found["reading"] = [reading_table(together, bootstrap=bootstrap)]
        wrong = together[together["wrong"].astype(bool)].groupby(["split", "kind"], sort=False)["missed"]
        found["missed"] = [wrong.agg(n_wrong="size", n_missed="sum").reset_index()]
    nothing = pd.DataFrame(columns=[*CELL, "split", *Risk().coefficients()])
    return {name: pd.concat(frames or [nothing], ignore_index=True) for name, frames in found.items()}
