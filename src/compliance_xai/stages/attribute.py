"""The attribute stage: what each clause's reference rule rests on, for every seed and baseline of a cell."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.alignment import gold_frame
from compliance_xai.attribution import attribute_many, self_check
from compliance_xai.focus import category_frame, focus_frame
from compliance_xai.precision import precision_frame
from compliance_xai.prompts import Template, make_template
from compliance_xai.records import Attribution, Example, attribution_row, read_attribution_rows, write_attributions
from compliance_xai.replacements import Pool, collect_pool
from compliance_xai.stages.cells import choose_prompt, find_rung, seed_folder
from compliance_xai.stages.common import StageResult, Work, run_stage
from compliance_xai.stages.examples import attributed_examples, load_examples, read_vocabulary, require_split
from compliance_xai.strategies import load_trained
from compliance_xai.study import Study, load_study

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 4
"""Clauses between two points at which an interrupted stage can go on; one by one, files would take longer than small
models do."""

CHECKPOINTS = "checkpoints"


def attribute_cell(study: Study | Path | str, scale: str, strategy: str) -> StageResult:
    """Attribute the reference rule of every chosen clause to its words, for every seed and baseline.

    The engine first checks itself on one clause with every model; a failed check stops the stage.

    Returns
    -------
    StageResult
        ``attributions`` (``records.ATTRIBUTION_SCHEMA``; ``records.read_attribution_rows`` reads it), ``focus``
        (``focus.focus_frame``), ``categories`` (``focus.category_frame``), ``gold`` (``alignment.gold_frame``) and
        ``checks``: ``seed``, ``baseline``, ``id``, ``name``, ``deviation`` and ``tolerance`` (nats), ``passed``.
        ``precision_effects`` (``precision.precision_frame``, first seed and baseline) where the study asks for it.
    """
    study = study if isinstance(study, Study) else load_study(study)
    return run_stage(study, "attribute", scale, strategy, work=_work, seeds=study.seeds_of(strategy))


def _work(work: Work) -> None:
    import pandas as pd

    _, strategy = work.cell
    examples = attributed_examples(work.study)
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    effects: list[pd.DataFrame] = []
    for seed in work.study.seeds_of(strategy):
        reader = open_reader(work, seed_folder(work, seed))
        seed_rows, seed_checks = attribute_seed(reader, examples, seed)
        rows += seed_rows
        checks += seed_checks
        if not effects and work.study.attribution.precision_clauses:
            effects.append(_measure_precision(reader, examples).assign(seed=seed))
    work.clear_once()
    write_attributions(rows, work.folder / "attributions.parquet")
    work.write_frame(focus_frame(rows), "focus")
    work.write_frame(category_frame(rows, examples=examples), "categories")
    work.write_frame(gold_frame(rows, examples), "gold")
    work.write_frame(pd.DataFrame(checks), "checks")
    for frame in effects:
        work.write_frame(frame, "precision_effects")
    shutil.rmtree(work.folder / CHECKPOINTS, ignore_errors=True)


@dataclass(frozen=True)
class Reader:
    """One trained model of a cell, and how the study has it read clauses; ``tokens`` go through it at once."""

    work: Work
    model: Any
    tokenizer: Any
    prompt: Template
    tokens: int

    def attribute(self, examples: Sequence[Example], baseline: str, model: Any = None) -> Iterator[Attribution]:
        """The attribution of each example's rule, by this model or another form of it."""
        chosen = self.work.study.attribution
        return attribute_many(
            self.model if model is None else model,
            self.tokenizer,
            examples,
            prompt=self.prompt,
            method=chosen.method,
            unit=chosen.unit,
            baseline=baseline,
            pool=_pool(self.work.study, baseline, chosen.unit),
            batch_tokens=self.tokens,
            vocabulary=read_vocabulary(self.work.study),
        )


def open_reader(work: Work, folder: Path | None) -> Reader:
    """Load the weights in a folder of the cell's fine-tuning, or the untouched base where there is none."""
    settings, rung = work.study.settings_of(*work.cell), find_rung(work)
    if folder is not None:
        work.read(*sorted(folder.glob("*.safetensors")))
    model, tokenizer = load_trained(rung, settings, folder)
    asked = work.study.attribution.batch_tokens
    tokens = min(asked, rung.batch.attribution_tokens or asked)
    return Reader(work, model, tokenizer, make_template(tokenizer, choose_prompt(work.study, rung)), tokens)


def attribute_seed(
    reader: Reader, examples: list[Example], seed: int, mark: str = ""
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and checks of one trained model. Draws of methods and baselines are the same for every model and seed.

    ``mark`` tells the pieces of another checkpoint of the same seed apart.
    """
    work = reader.work
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for baseline in work.study.attribution.baselines:
        passed = self_check(
            reader.model,
            reader.tokenizer,
            examples[0],
            prompt=reader.prompt,
            baseline=baseline,
            pool=_pool(work.study, baseline, "word"),
            batch_tokens=reader.tokens,
        )
        checks += [{"seed": seed, "baseline": baseline, **dataclasses.asdict(check)} for check in passed]
        for start in range(0, len(examples), CHUNK):

            def attribute_chunk(folder: Path, start: int = start, baseline: str = baseline) -> None:
                chosen = examples[start : start + CHUNK]
                chunk = [
                    attribution_row(attribution, seed=seed, baseline=baseline, split=example.split)
                    for example, attribution in zip(chosen, reader.attribute(chosen, baseline), strict=True)
                ]
                write_attributions(chunk, folder / "rows.parquet")

            piece = work.make_piece(f"{CHECKPOINTS}/seed-{seed}{mark}-{baseline}-{start:05d}", attribute_chunk)
            rows += read_attribution_rows(piece.folder / "rows.parquet")
    return rows, checks


def _measure_precision(reader: Reader, examples: list[Example]) -> pd.DataFrame:
    chosen = reader.work.study.attribution
    few = examples[: chosen.precision_clauses]
    return precision_frame(reader.model, lambda form: reader.attribute(few, chosen.baselines[0], form))


def _pool(study: Study, baseline: str, unit: str) -> Pool | None:
    """What counterfactuals are drawn from: the training clauses that the study uses."""
    if baseline != "counterfactual":
        return None
    examples = require_split(study, load_examples(study), "train")
    return collect_pool((example.clause for example in examples), unit, vocabulary=read_vocabulary(study))
