"""The generate stage: the rules that a cell's models write, and their scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from compliance_xai.corpus.nearest import put_examples_first
from compliance_xai.models.generation import generate_rules
from compliance_xai.pipeline.cells import OpenModel, open_model, rung_of
from compliance_xai.pipeline.stage_examples import evaluated_examples, read_split
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.records import Example, Generation, write_records
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
        ``rules.scores.list_verdicts``. ``few_shot``, for the untouched base if the study asks for it: ``floor``,
        ``id``, ``split`` and the scores of rules that it writes with training pairs in its prompt.
    """
    scale, strategy = work.cell
    examples = evaluated_examples(work.study)
    encoder = load_encoder(work.study.metrics.encoder) if work.study.metrics.encoder else None
    notation = work.study.corpus.notation
    choices = {"encoder": encoder, "spelling": "intermediate", "notation": notation}
    generations, scores, totals, errors, verdicts = [], [], [], [], []
    for seed in work.study.seeds_of(strategy, scale):
        opened = open_model(work.study, scale, strategy, seed, used=work.inputs)
        written = _write(work, opened, examples, seed)
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
    write_records(Generation, generations, work.new_file("generations.parquet"))
    tables = {"scores": scores, "errors": errors, "verdicts": verdicts}
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    joined["corpus_scores"] = pd.DataFrame(totals)
    if work.study.generate.examples and not work.study.strategies[strategy].trains:
        joined["few_shot"] = _write_from_examples(work, opened, examples, choices)
    return joined


def _write(work: Work, opened: OpenModel, examples: Sequence[Example], seed: int) -> list[Generation]:
    chosen = work.study.generate
    return generate_rules(
        opened.model,
        opened.tokenizer,
        examples,
        seed=seed,
        template=opened.template,
        max_new_tokens=chosen.max_new_tokens,
        batch_size=min(chosen.batch_size, rung_of(work.study, work.cell[0]).batch.generate or chosen.batch_size),
    )


def _write_from_examples(
    work: Work, opened: OpenModel, examples: Sequence[Example], choices: Mapping[str, Any]
) -> pd.DataFrame:
    """Scores of what the untouched base writes with training pairs in its prompt, up to the first empty line."""
    train = read_split(work.study, "train")
    count = work.study.generate.examples
    text = rung_of(work.study, work.cell[0]).prompt or work.study.prompt.template
    shown = put_examples_first(train, examples, count, text)
    rules = [written.rule.partition("\n\n")[0].strip() for written in _write(work, opened, shown, 0)]
    scored = score_rules(rules, [example.rule for example in examples], **choices)
    about = {"floor": f"{count} examples", "id": [e.id for e in examples], "split": [e.split for e in examples]}
    return pd.concat([pd.DataFrame(about), scored.reset_index(drop=True)], axis=1)
