"""Joins the cells of a study into the frames that comparisons read."""

from __future__ import annotations

import pandas as pd

from compliance_xai.pipeline.stages import Work
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.strategy_settings import KINDS


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
