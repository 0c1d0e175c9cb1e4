"""The attribute stage: what each clause's reference rule rests on, for every seed and baseline of a cell."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.alignment import gold_frame
from compliance_xai.attribution.distances import DISTANCES, all_distances
from compliance_xai.attribution.elements import element_frame
from compliance_xai.attribution.explain import attribute_many
from compliance_xai.attribution.focus import (
    SIGNS,
    average_removals,
    category_frame,
    focus_frame,
    mass,
    share_frame,
    word_frame,
)
from compliance_xai.attribution.options import Options
from compliance_xai.attribution.precision import precision_frame
from compliance_xai.attribution.self_checks import self_check
from compliance_xai.corpus.counterfactuals import Pool, collect_pool
from compliance_xai.errors import InputError
from compliance_xai.machine import track
from compliance_xai.pipeline.cells import OpenModel, open_model, rung_of
from compliance_xai.pipeline.stage_examples import attributed_examples, read_split, read_vocabulary, take_in_turn
from compliance_xai.pipeline.stages import CHECKPOINTS, Work, stage
from compliance_xai.records import (
    Attribution,
    Example,
    attribution_from_row,
    attribution_row,
    read_attribution_rows,
    write_attributions,
)
from compliance_xai.study.settings import Study

CHUNK = 4
"""Clauses between two points at which an interrupted stage can go on; one by one, files would take longer than small
models do."""

NOISE_CLAUSES = 4
"""Clauses of each model that are computed in other ways too, at most: the first ones."""

EQUAL_COMPUTATIONS = ("batched_equals_single", "cached_equals_uncached", "null_feature")
"""Checks whose deviation is the noise floor of a single score: the same number computed twice."""


@stage
def attribute(work: Work) -> dict[str, pd.DataFrame]:
    """Attribute the reference rule of every chosen clause to its words, for every seed and baseline.

    The engine first checks itself on one clause with every model; a failed check stops the stage.

    Returns
    -------
    StageResult
        ``attributions`` (``records.ATTRIBUTION_SCHEMA``; ``records.read_attribution_rows`` reads it); of these and of
        their averages over the declared removals ``words`` (``focus.word_frame``), ``elements``
        (``elements.element_frame``), ``focus`` (``focus.focus_frame``), ``categories`` (``focus.category_frame``) and
        ``gold`` (``alignment.gold_frame``);
        ``checks``: ``seed``, ``baseline``, ``id``, ``name``, ``deviation`` and ``tolerance`` (nats), ``passed``, and
        ``noise``: the first ``NOISE_CLAUSES`` once more, one row at a time (``batch``) and in another float type
        (``dtype``): ``seed, method, baseline, id, source, sign, deviation`` (nats, the largest of a score),
        ``stats.DISTANCES`` of the two patterns, ``reason`` (why there is none, else empty).
        ``precision_effects`` (``precision.precision_frame``, first seed and baseline) if the study asks for it.
    """
    scale, strategy = work.cell
    examples = attributed_examples(work.study)
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    noise: list[dict[str, Any]] = []
    effects: list[pd.DataFrame] = []
    for seed in work.study.seeds_of(strategy, scale):
        reader = open_reader(work, scale, strategy, seed)
        seed_rows, seed_checks = attribute_seed(reader, examples, seed)
        rows += seed_rows
        checks += seed_checks
        # The rows of the main method and the first baseline come first.
        few = zip(examples[:NOISE_CLAUSES], seed_rows, strict=False)
        noise += [{"seed": seed, **found} for example, row in few for found in _measure_noise(reader, example, row)]
        if not effects and work.study.attribution.precision_clauses:
            effects.append(_measure_precision(reader, examples).assign(seed=seed))
    floor = noise_floor(checks)
    write_attributions(rows, work.new_file("attributions.parquet"))
    seen = [*rows, *average_removals(rows, work.study.attribution.primary_removals)]
    words = word_frame(seen, floor=floor)
    tables = {
        "words": words,
        "elements": element_frame(seen, work.study.corpus.notation),
        "focus": focus_frame(seen, floor=floor),
        "categories": category_frame(share_frame(words), examples=examples),
        "gold": gold_frame(seen, examples),
        "checks": pd.DataFrame(checks),
        "noise": pd.DataFrame(noise),
    }
    return tables | ({"precision_effects": effects[0]} if effects else {})


@dataclass(frozen=True)
class Reader:
    """One trained model of a cell, and how the study attributes with it; ``tokens`` go through it at once."""

    work: Work
    opened: OpenModel
    tokens: int

    def options(self, baseline: str, **change: Any) -> Options:
        """How the study attributes, with one of its baselines; other options for a while."""
        chosen = self.work.study.attribution
        method = change.pop("method", chosen.method)
        if method == "integrated_gradients":
            baseline = "delete"  # it has its own reference
        options = Options(
            prompt=self.opened.template,
            method=method,
            unit=chosen.unit,
            vocabulary=read_vocabulary(self.work.study),
            baseline=baseline,
            pool=self.pool(baseline, chosen.unit),
            draws=chosen.draws,
            batch_tokens=self.tokens,
        )
        return dataclasses.replace(options, **change)

    def attribute(
        self, examples: Sequence[Example], baseline: str, model: Any = None, **change: Any
    ) -> Iterator[Attribution]:
        """The attribution of each example's rule, by this model or another form of it; ``change`` as in ``options``."""
        model = self.opened.model if model is None else model
        return attribute_many(model, self.opened.tokenizer, examples, self.options(baseline, **change))

    def pool(self, baseline: str, unit: str) -> Pool | None:
        """What counterfactuals are drawn from: the training clauses that the study uses, collected once for a stage."""
        if baseline != "counterfactual":
            return None
        if unit not in self.work.pools:
            study = self.work.study
            clauses = (example.clause for example in read_split(study, "train"))
            self.work.pools[unit] = collect_pool(clauses, unit, vocabulary=read_vocabulary(study))
        return self.work.pools[unit]


def open_reader(work: Work, scale: str, strategy: str, seed: int) -> Reader:
    """Load the trained model of a seed, or the untouched base."""
    asked, rung = work.study.attribution.batch_tokens, rung_of(work.study, scale)
    tokens = min(asked, rung.batch.attribution_tokens or asked)
    return Reader(work, open_model(work.study, scale, strategy, seed, used=work.inputs), tokens)


def list_views(study: Study, examples: list[Example]) -> list[tuple[str, str, list[Example]]]:
    """Method, baseline and clauses: the main method with every baseline, the second one with the first baseline."""
    chosen = study.attribution
    evaluated = [example for example in examples if example.split == study.corpus.evaluate_on]

    def take(count: int | None, key: str) -> list[Example]:
        return evaluated if count is None else take_in_turn(evaluated, min(count, len(evaluated)), f"attribution.{key}")

    views = [
        (
            chosen.method,
            baseline,
            take(chosen.fewer_clauses[baseline], "fewer_clauses") if baseline in chosen.fewer_clauses else examples,
        )
        for baseline in chosen.baselines
    ]
    if chosen.second_method is not None:
        views.append((chosen.second_method, chosen.baselines[0], take(chosen.second_clauses, "second_clauses")))
    return views


def attribute_seed(
    reader: Reader, examples: list[Example], seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and checks of one trained model. Draws of methods and baselines are the same for every model and seed."""
    work = reader.work
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for method, baseline, clauses in list_views(work.study, examples):
        if method == work.study.attribution.method:
            options = Options(
                prompt=reader.opened.template,
                baseline=baseline,
                pool=reader.pool(baseline, "word"),
                batch_tokens=reader.tokens,
            )
            passed = self_check(reader.opened.model, reader.opened.tokenizer, examples[0], options)
            checks += [{"seed": seed, "baseline": baseline, **dataclasses.asdict(check)} for check in passed]
        for start in track(range(0, len(clauses), CHUNK), f"groups of {CHUNK} clauses attributed ({baseline})"):
            chosen = clauses[start : start + CHUNK]

            def attribute_chunk(
                folder: Path, chosen: list[Example] = chosen, method: str = method, baseline: str = baseline
            ) -> None:
                found = reader.attribute(chosen, baseline, method=method)
                chunk = [
                    attribution_row(attribution, seed=seed, baseline=baseline, split=example.split)
                    for example, attribution in zip(chosen, found, strict=True)
                ]
                write_attributions(chunk, folder / "rows.parquet")

            name = f"{CHECKPOINTS}/seed-{seed}-{method}-{baseline}-{start:05d}"
            rows += read_attribution_rows(work.make_piece(name, attribute_chunk).folder / "rows.parquet")
    return rows, checks


def noise_floor(checks: Sequence[Mapping[str, Any]]) -> float:
    """The largest deviation between two computations of the same number, nats."""
    return max(check["deviation"] for check in checks if check["name"] in EQUAL_COMPUTATIONS)


def _measure_noise(reader: Reader, example: Example, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The same clause computed in two other ways that should not matter, against what was stored."""
    stored, baseline = attribution_from_row(row), str(row["baseline"])
    reduced = stored.provenance["dtype"] in ("bfloat16", "float16")
    ways: dict[str, dict[str, Any]] = {
        "batch": {"batch_tokens": 1},
        "dtype": {"dtype": "float32" if reduced else "bfloat16"},
    }
    keys = {"method": stored.provenance["method"], "baseline": baseline, "id": stored.id}
    found: list[dict[str, Any]] = []
    for source, change in ways.items():
        try:
            (again,) = reader.attribute([example], baseline, **change)
        except InputError as error:  # quantised weights have no other float type
            nothing: dict[str, Any] = dict.fromkeys(("deviation", *DISTANCES), float("nan"))
            differences = [{"sign": sign, **nothing, "reason": f"expected {error.expected}"} for sign in SIGNS]
        else:
            differences = _differences(stored, again)
        found += [{**keys, "source": source, **values} for values in differences]
    return found


def _differences(stored: Attribution, again: Attribution) -> list[dict[str, Any]]:
    deviation = float(np.abs(stored.scores.astype(np.float64) - again.scores).max())
    found = []
    for sign in SIGNS:
        with np.errstate(invalid="ignore"):  # a clause without mass has no pattern: NaN
            p, q = (masses / masses.sum() for masses in (mass(stored.scores, sign), mass(again.scores, sign)))
        apart = {name: float(value[0]) for name, value in all_distances(p[None], q[None]).items()}
        found.append({"sign": sign, "deviation": deviation, **apart, "reason": ""})
    return found


def _measure_precision(reader: Reader, examples: list[Example]) -> pd.DataFrame:
    chosen = reader.work.study.attribution
    few = examples[: chosen.precision_clauses]
    return precision_frame(reader.opened.model, lambda form: reader.attribute(few, chosen.baselines[0], form))
