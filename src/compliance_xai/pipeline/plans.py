"""What each cell of a study would need: parameters, memory and hours, without weights, network or a run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from compliance_xai.attribution.integrated_gradients import STEPS
from compliance_xai.attribution.options import BUDGETS
from compliance_xai.attribution.removal_curves import Effort, count_masks
from compliance_xai.corpus.features import segment
from compliance_xai.machine import limit_threads
from compliance_xai.models.batches import encode_examples
from compliance_xai.models.launch import read_config
from compliance_xai.models.loading import load_tokenizer
from compliance_xai.models.planning import CellPlan, Device, Needs, Tasks, Texts, plan_cell
from compliance_xai.pipeline.attribute_stage import list_views
from compliance_xai.pipeline.cells import fit_settings
from compliance_xai.pipeline.faithfulness_stage import REVIEWED, judged_examples
from compliance_xai.pipeline.stage_examples import attributed_examples, evaluated_examples, read_split
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
    train, attributed = read_split(study, "train"), attributed_examples(study)
    tasks = _count_tasks(study, attributed)
    processes, sharded = _count_processes(study)
    lengths = {scale: measure_texts(rungs[scale], train, study.prompt.template) for scale in dict(study.cells())}
    plans = []
    if device.here:
        limit_threads(study.threads)  # as its notebooks have, while speeds are measured
    for scale, strategy in study.cells():
        rung, texts = rungs[scale], lengths[scale]
        settings = fit_settings(study.settings_of(scale, strategy), rung)
        plans.append(
            plan_cell(
                strategy,
                Needs(rung, settings, texts, processes=processes, sharded=sharded),
                device,
                seeds=len(study.seeds_of(strategy, scale)),
                tasks=replace(
                    tasks,
                    validated=settings.evaluations * tasks.validated,
                    written=tasks.written * (1 if settings.trains or not study.generate.examples else 2),
                    together=rung.batch.generate or study.generate.batch_size,
                    batch_tokens=rung.batch.attribution_tokens or study.attribution.batch_tokens,
                ),
            )
        )
    return plans


def measure_texts(rung: Rung, examples: Sequence[Example], template: str) -> Texts:
    """Lengths of pairs in tokens: counted if the tokenizer is at hand, else characters over ``CHARACTERS``."""
    if rung.is_local and rung.is_there:
        rows = encode_examples(load_tokenizer(rung), examples, rung.prompt or template, None)
        totals, rules = [len(row.ids) for row in rows], [len(row.ids) - row.target_start for row in rows]
    else:
        around = len(template) - len("{clause}")
        totals = [round((around + len(one.clause) + len(one.rule)) / CHARACTERS) + 1 for one in examples]
        rules = [round(len(one.rule) / CHARACTERS) + 1 for one in examples]
    return Texts(max(totals), sum(totals) / len(totals), max(rules), sum(rules) / len(rules))


def _count_tasks(study: Study, attributed: Sequence[Example]) -> Tasks:
    """What one model reads and writes: for every baseline and the second method, and in the faithfulness stage."""

    def features(example: Example) -> int:
        return len(segment(example.clause, study.attribution.unit))

    scored = 0
    for method, baseline, clauses in list_views(study, list(attributed)):
        draws = study.attribution.draws if baseline == "counterfactual" else 1
        scored += sum(1 + draws * _budget(method, features(example)) for example in clauses)
    chosen, baselines = study.faithfulness, study.attribution.baselines
    effort = Effort(chosen.points, chosen.random_orders, chosen.masks, chosen.beam)
    judged = judged_examples(study, {example.id: example for example in attributed})
    masks = sum(count_masks(features(example), len(baselines), effort) for example in judged)
    validation = read_split(study, "validation")
    reviewed = validation[:REVIEWED]
    masks_of_reviews = sum(1 + features(example) for example in (*attributed, *reviewed))
    return Tasks(
        validated=len(validation),
        written=len(evaluated_examples(study)),
        scored=scored,
        judged=masks * len(chosen.operators) + masks_of_reviews,
        rewritten=len(reviewed),
        judged_seeds=chosen.seeds or len(study.seeds),
        longest=study.generate.max_new_tokens,
    )


def _budget(method: str, features: int) -> int:
    """Masks of one clause; a gradient takes two passes more than a score does."""
    return {"leave_one_out": features, "integrated_gradients": 3 * STEPS, **BUDGETS}[method]


def _count_processes(study: Study) -> tuple[int, bool]:
    if not study.launch.config:
        return 1, False
    values = read_config(study.launch.config, study.launch.change)
    return int(values["num_processes"]), values["distributed_type"] in ("FSDP", "DEEPSPEED")
