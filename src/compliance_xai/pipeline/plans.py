"""What each cell of a study would need: parameters, memory and hours, without weights, network or a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compliance_xai.corpus.features import segment
from compliance_xai.models.planning import CellPlan, Device, Needs, Texts, plan_cell
from compliance_xai.pipeline.cells import fit_settings
from compliance_xai.pipeline.stage_examples import attributed_examples, load_examples, require_split
from compliance_xai.records import Example
from compliance_xai.study.ladders import Rung, load_ladder
from compliance_xai.study.settings import Study, load_study

CHARACTERS = 3.0
"""Characters of a clause or rule per token if the tokenizer is not at hand; English prose has about four, rule
notation about three, and planning for too much does no harm."""


def plan_study(study: Study | Path | str, device: Device) -> list[CellPlan]:
    """Plan every cell of a study on a device.

    Without ``device.flops`` this machine's speed is estimated from its matrix products, and another's time is unknown.
    """
    study = study if isinstance(study, Study) else load_study(study)
    ladder = load_ladder(study.ladder)
    rungs = {rung.name: rung for rung in (*ladder.rungs, *ladder.absent)}
    train = require_split(study, load_examples(study), "train")
    scored = _count_masks(study, attributed_examples(study))
    processes, sharded = _count_processes(study)
    lengths = {scale: measure_texts(rungs[scale], train, study.prompt.template) for scale in dict(study.cells())}
    plans = []
    for scale, strategy in study.cells():
        rung, texts = rungs[scale], lengths[scale]
        settings = fit_settings(study.settings_of(scale, strategy), rung)
        plans.append(
            plan_cell(
                strategy,
                Needs(rung, settings, texts, processes=processes, sharded=sharded),
                device,
                seeds=len(study.seeds_of(strategy, scale)),
                scored_tokens=scored * texts.mean,
                generate=(rung.batch.generate or study.generate.batch_size, study.generate.max_new_tokens),
                batch_tokens=rung.batch.attribution_tokens or study.attribution.batch_tokens,
            )
        )
    return plans


def measure_texts(rung: Rung, examples: Sequence[Example], template: str) -> Texts:
    """Lengths of pairs in tokens: counted if the tokenizer is at hand, else characters over ``CHARACTERS``."""
    if rung.is_local and rung.is_there:
        from compliance_xai.models.batches import encode_examples
        from compliance_xai.models.loading import load_tokenizer

        rows = encode_examples(load_tokenizer(rung), examples, rung.prompt or template, None)
        lengths = [(len(row.ids), len(row.ids) - row.target_start) for row in rows]
    else:
        around = len(template) - len("{clause}")
        lengths = [
            (
                round((around + len(example.clause) + len(example.rule)) / CHARACTERS) + 1,
                round(len(example.rule) / CHARACTERS) + 1,
            )
            for example in examples
        ]
    totals, rules = zip(*lengths, strict=True)
    return Texts(max(totals), sum(totals) / len(totals), max(rules), sum(rules) / len(rules))


def _count_masks(study: Study, examples: Sequence[Example]) -> int:
    """Texts that one model scores: the clause and its perturbations, for every baseline and the second method."""
    from compliance_xai.pipeline.attribute_stage import list_views

    total = 0
    for method, baseline, clauses in list_views(study, list(examples)):
        draws = study.attribution.draws if baseline == "counterfactual" else 1
        total += sum(1 + draws * _budget(method, len(segment(e.clause, study.attribution.unit))) for e in clauses)
    return total


def _budget(method: str, features: int) -> int:
    """Masks of one clause; a gradient takes two passes more than a score does."""
    from compliance_xai.attribution.integrated_gradients import STEPS
    from compliance_xai.attribution.options import BUDGETS

    return {"leave_one_out": features, "integrated_gradients": 3 * STEPS, **BUDGETS}[method]


def _count_processes(study: Study) -> tuple[int, bool]:
    if not study.launch.config:
        return 1, False
    from compliance_xai.models.launch import read_config

    values = read_config(study.launch.config, study.launch.change)
    return int(values["num_processes"]), values["distributed_type"] in ("FSDP", "DEEPSPEED")
