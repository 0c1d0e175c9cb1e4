"""A study's frames and its design: joined from its cells, kept beside its tables, judged again without a model."""

from dataclasses import fields
from pathlib import Path

import pandas as pd

from compliance_xai.errors import InputError
from compliance_xai.pipeline.stages import Work
from compliance_xai.stats.claims import Finding, findings_from_json, judge
from compliance_xai.stats.competence import failing_cells
from compliance_xai.stats.declared import Declared, declared_from_json
from compliance_xai.stats.study_tables import RawFrames, size_tables, strategy_tables
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study
from compliance_xai.study.strategy_settings import KINDS

RAW, DECLARED = "raw_", "declared.json"
"""What the names of raw frames begin with, and the file with a study's design."""


def declare(study: Study) -> Declared:
    """A study's design, as far as verdicts need it."""
    rungs = load_ladder(study.ladder)
    chosen = study.attribution
    return Declared(
        corpus=study.corpus.source,
        ladder=str(study.ladder),
        kinds={name: settings.kind for name, settings in study.strategies.items()},
        families={scale: rungs.listed(scale).family or str(study.ladder) for scale in study.scales},
        seeds={(scale, name): len(study.seeds_of(name, scale)) for scale, name in study.cells()},
        tests=study.tests,
        thresholds=study.thresholds,
        method=chosen.method,
        second_method=chosen.second_method,
        split=study.corpus.evaluate_on,
        averaged=chosen.primary_removals,
        missing=tuple(f"{name} ({reason})" for name, reason in study.without.items()),
    )


def join_tables(work: Work, stage: str, *tables: str) -> pd.DataFrame:
    """The tables of every cell that has the stage, one below the other, with ``scale`` and ``strategy`` in front.

    Several tables of one cell are put side by side, by seed. Without such a cell there is no row.
    """
    frames = []
    for job in work.jobs.values():
        if job.stage == stage:
            result = work.result(stage, job.scale, job.strategy)
            frame, *others = (result[table] for table in tables)
            for other in others:
                frame = frame.merge(other, on="seed")
            frame.insert(0, "scale", job.scale)
            frame.insert(1, "strategy", job.strategy)
            frames.append(frame)
    keys = ["scale", "strategy", "seed"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=keys, dtype=object)


def join_cells(work: Work, stage: str, table: str) -> pd.DataFrame:
    """One table of every cell, with ``scale``, ``strategy`` and ``parameters`` (of the base model) in front."""
    counts = {rung.name: rung.parameters for rung in load_ladder(work.study.ladder).rungs}
    joined = join_tables(work, stage, table)
    joined.insert(2, "parameters", joined["scale"].map(counts))
    return joined


def join_costs(work: Work) -> pd.DataFrame:
    """What each fine-tuned cell trained and what that took, by seed.

    Returns
    -------
    pandas.DataFrame
        ``scale``, ``strategy``, ``seed``, ``what`` (in words), ``trained`` (parameters), ``share`` (of all),
        ``validation_loss``, ``seconds``, ``peak_memory_bytes`` (of the process); times differ from run to run.
    """
    costs = join_tables(work, "finetune", "summary", "timing")
    costs["what"] = [KINDS[work.study.strategies[name].kind] for name in costs["strategy"]]
    columns = ["trained", "parameters", "validation_loss", "seconds", "peak_memory_bytes"]
    costs = costs.reindex(columns=["scale", "strategy", "seed", "what", *columns])
    costs.insert(5, "share", costs["trained"] / costs.pop("parameters"))
    return costs


def keep_method(work: Work, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the study's first method, where attributions by a second one are in the same table."""
    return frame[frame["method"] == work.study.attribution.method]


def keep_evaluated(work: Work, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the evaluated split: claims are judged on it, and held-out documents are another question."""
    return frame[frame["split"] == work.study.corpus.evaluate_on].reset_index(drop=True)


def read_raw(work: Work) -> RawFrames:
    """The raw frames that the comparison of strategies wrote."""
    result = work.result("compare_strategies")
    return RawFrames(**{field.name: result[f"{RAW}{field.name}"] for field in fields(RawFrames)})


def recompute(folder: Path) -> tuple[list[Finding], list[str]]:
    """Compute every test and verdict of a kept study again, from its raw frames and without a model.

    Returns the findings, and a line for each difference from the stored ones.

    Parameters
    ----------
    folder
        A folder that ``study export`` wrote, such as ``data/results/reference``.

    Raises
    ------
    InputError
        If its raw frames or its design are missing.
    """
    paths = folder / DECLARED, folder / "findings.json"
    for path in paths:
        if not path.is_file():
            remedy = "Give a folder written by 'compliance-xai study export'."
            raise InputError(str(path), expected="a file of a kept study", found="no such file", remedy=remedy)
    declared = declared_from_json(paths[0].read_text(encoding="utf-8"))
    raw = RawFrames.read(folder, RAW).keep(declared.split)
    tables = strategy_tables(raw, declared)
    tables |= size_tables(raw, declared, failing_cells(tables["competence"]))
    found = judge(declared, tables)
    stored = {one.claim: one for one in findings_from_json(paths[1].read_text(encoding="utf-8"))}
    return found, [line for one in found for line in _compare(one, stored.get(one.claim))]


def _compare(new: Finding, stored: Finding | None) -> list[str]:
    if stored is None:
        return [f"{new.claim}: not among the stored findings"]
    names = ("verdict", "effect", "low", "high", "n", "reason", "statements", "beside")
    return [
        f"{new.claim}, {name}: stored {getattr(stored, name)!r}, computed {getattr(new, name)!r}"
        for name in names
        if getattr(stored, name) != getattr(new, name)
    ]
