"""Joins the cells of a study into the frames that comparisons read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_xai.pipeline.grid import stage_folder
from compliance_xai.pipeline.manifests import MANIFEST
from compliance_xai.pipeline.stages import Work, read_stage
from compliance_xai.rules.compare import error_kinds as taxonomy
from compliance_xai.stats.shares import error_shares
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.strategy_settings import KINDS

if TYPE_CHECKING:
    import pandas as pd


def join_cells(work: Work, stage: str, table: str) -> pd.DataFrame:
    """One table of every cell, with ``scale``, ``strategy`` and ``parameters`` (of the base model) in front."""
    import pandas as pd

    counts = {rung.name: rung.parameters for rung in load_ladder(work.study.ladder).rungs}
    frames = []
    for scale, strategy in work.study.cells():
        result = read_stage(work.study, stage, scale, strategy)
        frame = pd.read_parquet(result.folder / f"{table}.parquet")
        frame.insert(0, "scale", scale)
        frame.insert(1, "strategy", strategy)
        frame.insert(2, "parameters", counts[scale])
        frames.append(frame)
        work.read(stage_folder(work.study.name, stage, scale, strategy) / MANIFEST)
    return pd.concat(frames, ignore_index=True)


def join_trained(work: Work, table: str, *, stage: str = "finetune") -> pd.DataFrame:
    """One table of every cell that was fine-tuned, with ``scale`` and ``strategy`` in front; no row without any."""
    import pandas as pd

    frames = []
    for scale, strategy in work.study.cells():
        if work.study.strategies[strategy].trains:
            folder = read_stage(work.study, stage, scale, strategy).folder
            frame = pd.read_parquet(folder / f"{table}.parquet")
            frame.insert(0, "scale", scale)
            frame.insert(1, "strategy", strategy)
            frames.append(frame)
            work.read(folder / MANIFEST)
    keys = ["scale", "strategy", "seed"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=keys, dtype=object)


def join_costs(work: Work) -> pd.DataFrame:
    """What each fine-tuned cell trained and what that took, by seed.

    Returns
    -------
    pandas.DataFrame
        ``scale``, ``strategy``, ``seed``, ``what`` (in words), ``trained`` (parameters), ``share`` (of all),
        ``validation_loss``, ``seconds``, ``peak_memory_bytes`` (of the process); times differ from run to run.
    """
    costs = join_trained(work, "summary").merge(join_trained(work, "timing"), on=["scale", "strategy", "seed"])
    costs["what"] = [KINDS[work.study.strategies[name].kind] for name in costs["strategy"]]
    columns = ["trained", "parameters", "validation_loss", "seconds", "peak_memory_bytes"]
    costs = costs.reindex(columns=["scale", "strategy", "seed", "what", *columns])
    costs.insert(5, "share", costs["trained"] / costs.pop("parameters"))
    return costs


def keep_method(work: Work, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the study's first method, where attributions by a second one stand in the same table."""
    return frame[frame["method"] == work.study.attribution.method]


def join_masses(work: Work) -> pd.DataFrame:
    """``focus.mass_frame`` of every cell, with the cell's columns."""
    import pandas as pd

    from compliance_xai.attribution.focus import mass_frame
    from compliance_xai.records import read_attribution_rows

    counts = {rung.name: rung.parameters for rung in load_ladder(work.study.ladder).rungs}
    frames = []
    for scale, strategy in work.study.cells():
        folder = stage_folder(work.study.name, "attribute", scale, strategy)
        # The floor is the cell's own, as its focus frame was made.
        floors = pd.read_parquet(folder / "focus.parquet", columns=["noise_floor"])["noise_floor"]
        floor = float(floors.iloc[0]) if len(floors) else 0.0
        masses = mass_frame(read_attribution_rows(folder / "attributions.parquet"), floor=floor)
        frames.append(masses.assign(scale=scale, strategy=strategy, parameters=counts[scale]))
    return pd.concat(frames, ignore_index=True)


def keep_evaluated(work: Work, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the evaluated split: claims are judged on it, and held-out documents are another question."""
    return frame[frame["split"] == work.study.corpus.evaluate_on].reset_index(drop=True)


def join_error_shares(work: Work) -> pd.DataFrame:
    """Share of rules with each kind of error (``error_shares``), by cell and split."""
    return error_shares(
        join_cells(work, "generate", "scores"),
        join_cells(work, "generate", "errors"),
        kinds=list(taxonomy.KINDS),
        by=("scale", "parameters", "strategy", "split"),
    )
