"""The generate stage: the rules that a cell's models write, and their scores."""

from __future__ import annotations

import pandas as pd

from compliance_xai.models.generation import generate_rules
from compliance_xai.pipeline.cells import open_model, rung_of
from compliance_xai.pipeline.stage_examples import evaluated_examples
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.records import write_generations
from compliance_xai.rules.scores import corpus_scores, list_errors, list_verdicts, score_rules
from compliance_xai.rules.sentence_encoder import load_encoder


@stage
def generate(work: Work) -> dict[str, pd.DataFrame]:
    """Write a rule for every evaluated clause, with every seed's model, and score it against the reference.

    Returns
    -------
    StageResult
        ``generations`` (``records.GENERATION_SCHEMA``). ``scores``: one row per seed and clause with ``seed``, ``id``,
        ``split``, ``context``, ``identifier_role``, ``number_role`` and the columns of ``rules.scores.score_rules``.
        ``corpus_scores``: ``seed``, ``split``, ``metric``, ``value``. ``errors``: one row per error of a rule with
        ``seed``, ``id``, ``split``, ``kind`` (of ``error_kinds.KINDS``), ``where``, ``expected``, ``found``.
        ``verdicts``: one row per seed and clause with ``seed``, ``id``, ``split`` and the columns of
        ``rules.scores.list_verdicts``.
    """
    scale, strategy = work.cell
    rung = rung_of(work.study, scale)
    examples = evaluated_examples(work.study)
    encoder = load_encoder(work.study.metrics.encoder) if work.study.metrics.encoder else None
    notation = work.study.corpus.notation
    choices = {"encoder": encoder, "spelling": "intermediate", "notation": notation}
    generations, scores, totals, errors, verdicts = [], [], [], [], []
    for seed in work.study.seeds_of(strategy, scale):
        opened = open_model(work.study, scale, strategy, seed, used=work.inputs)
        written = generate_rules(
            opened.model,
            opened.tokenizer,
            examples,
            seed=seed,
            template=opened.template,
            max_new_tokens=work.study.generate.max_new_tokens,
            batch_size=min(work.study.generate.batch_size, rung.batch.generate or work.study.generate.batch_size),
        )
        generations += written
        rules = [generation.rule for generation in written]
        told = ("id", "split", "context", "identifier_role", "number_role")
        about = pd.DataFrame([{"seed": seed} | {name: getattr(e, name) for name in told} for e in examples])
        references = [example.rule for example in examples]
        scored = score_rules(rules, references, **choices)
        scores.append(pd.concat([about, scored.reset_index(drop=True)], axis=1))
        for collected, listed in ((errors, list_errors), (verdicts, list_verdicts)):
            frame = listed(rules, references, notation=notation)
            places = about[["seed", "id", "split"]].loc[frame["pair"]].reset_index(drop=True)
            collected.append(pd.concat([places, frame.drop(columns="pair")], axis=1))
        for split in dict.fromkeys(example.split for example in examples):
            pairs = [pair for e, *pair in zip(examples, rules, references, strict=True) if e.split == split]
            values = corpus_scores(*map(list, zip(*pairs, strict=True)), **choices)
            totals += [{"seed": seed, "split": split, "metric": name, "value": float(values[name])} for name in values]
    write_generations(generations, work.new_file("generations.parquet"))
    tables = {"scores": scores, "errors": errors, "verdicts": verdicts}
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    return joined | {"corpus_scores": pd.DataFrame(totals)}
