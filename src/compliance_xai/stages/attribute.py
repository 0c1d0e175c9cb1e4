"""The attribute stage: what each clause's reference rule rests on, for every seed and baseline of a cell."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from compliance_xai.alignment import gold_frame
from compliance_xai.attribution import attribute_many, self_check
from compliance_xai.focus import category_frame, focus_frame
from compliance_xai.models import load_trained
from compliance_xai.records import Example, attribution_row, read_attribution_rows, write_attributions
from compliance_xai.replacements import Pool, collect_pool
from compliance_xai.stages.cells import choose_template, find_rung, seed_folder
from compliance_xai.stages.common import StageResult, Work, run_stage
from compliance_xai.stages.examples import attributed_examples, load_examples, read_vocabulary, require_split
from compliance_xai.study import Study, load_study

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
    """
    study = study if isinstance(study, Study) else load_study(study)
    return run_stage(study, "attribute", scale, strategy, work=_work, seeds=study.seeds_of(strategy))


def _work(work: Work) -> None:
    import pandas as pd

    _, strategy = work.cell
    examples = attributed_examples(work.study)
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for seed in work.study.seeds_of(strategy):
        seed_rows, seed_checks = _attribute_seed(work, examples, seed)
        rows += seed_rows
        checks += seed_checks
    work.clear_once()
    write_attributions(rows, work.folder / "attributions.parquet")
    work.write_frame(focus_frame(rows), "focus")
    work.write_frame(category_frame(rows, examples=examples), "categories")
    work.write_frame(gold_frame(rows, examples), "gold")
    work.write_frame(pd.DataFrame(checks), "checks")
    shutil.rmtree(work.folder / CHECKPOINTS, ignore_errors=True)


def _attribute_seed(
    work: Work, examples: list[Example], seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and checks of one trained model. Draws of methods and baselines are the same for every model and seed."""
    settings, rung = work.study.settings_of(*work.cell), find_rung(work)
    folder = seed_folder(work, seed)
    if folder is not None:
        work.read(*sorted(folder.glob("*.safetensors")))
    model, tokenizer = load_trained(rung, settings, folder)
    chosen, template = work.study.attribution, choose_template(work, rung)
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for baseline in chosen.baselines:
        word_pool, pool = _pool(work.study, baseline, "word"), _pool(work.study, baseline, chosen.unit)
        passed = self_check(
            model,
            tokenizer,
            examples[0],
            prompt=template,
            baseline=baseline,
            pool=word_pool,
            batch_tokens=chosen.batch_tokens,
        )
        checks += [{"seed": seed, "baseline": baseline, **dataclasses.asdict(check)} for check in passed]
        for start in range(0, len(examples), CHUNK):

            def attribute_chunk(
                folder: Path, start: int = start, baseline: str = baseline, pool: Pool | None = pool
            ) -> None:
                attributions = attribute_many(
                    model,
                    tokenizer,
                    examples[start : start + CHUNK],
                    prompt=template,
                    method=chosen.method,
                    unit=chosen.unit,
                    baseline=baseline,
                    pool=pool,
                    batch_tokens=chosen.batch_tokens,
                    vocabulary=read_vocabulary(work.study),
                )
                chunk = [attribution_row(attribution, seed=seed, baseline=baseline) for attribution in attributions]
                write_attributions(chunk, folder / "rows.parquet")

            piece = work.make_piece(f"{CHECKPOINTS}/seed-{seed}-{baseline}-{start:05d}", attribute_chunk)
            rows += read_attribution_rows(piece.folder / "rows.parquet")
    return rows, checks


def _pool(study: Study, baseline: str, unit: str) -> Pool | None:
    """What counterfactuals are drawn from: the training clauses that the study uses."""
    if baseline != "counterfactual":
        return None
    examples = require_split(study, load_examples(study), "train")
    return collect_pool((example.clause for example in examples), unit, vocabulary=read_vocabulary(study))
