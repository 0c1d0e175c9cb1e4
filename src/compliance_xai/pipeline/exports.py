"""Copies the result tables of a finished study to a folder, as text that can be kept and compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.attribution.precision import summarise_precision
from compliance_xai.errors import InputError
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.pipeline.search import FOLDER, TRIALS, TUNED

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.pipeline.running import Plan
    from compliance_xai.study.settings import Study

SEARCH = "search_trials.csv"
"""All trials of a study's search, among its kept tables."""

TABLES: dict[str, dict[str, str]] = {
    "compare_strategies": {
        name: name
        for name in (
            *("summary", "pairs", "friedman", "effects", "mixed", "controls", "strategy_equivalence"),
            *("reliability", "feature_reliability", "split_half", "noise", "distance_tests"),
        )
    },
    "compare_scales": {"scores": "quality"}
    | {name: name for name in ("trends", "lift", "equivalence", "breaks", "error_shares")},
    "faithfulness": {
        name: name
        for name in ("correctness", "area_summary", "curve_summary", "signals", "regressions", "calibration", "bins")
    },
    "contexts": {name: name for name in ("by_context", "held_out", "distance_by_context")},
    "compare_protocols": {f"protocol_{name}": name for name in ("picks", "summary", "pairs")},
}
"""The tables that are copied, by stage: the file's name, and the table's. They hold summaries and tests, and no text of
the corpus. A stage that the study does not have is left out."""


def export_tables(plan: Plan, target: Path, *, note: str = "") -> list[Path]:
    """Write the tables of a finished study as CSV, with its verdicts and where they come from.

    Parameters
    ----------
    plan
        The study; every notebook must be done.
    target
        A folder, made where it is missing. Files of an earlier export are replaced.
    note
        What a reader must know about the run, such as what else the machine was doing; goes into the manifest.

    Returns
    -------
    list of pathlib.Path
        What was written: the ``TABLES``, ``quality.csv`` (``scale, strategy, seed, split, metric, value``),
        ``training.csv`` (``scale, strategy, seed, trained, parameters, validation_loss, tokens, seconds,
        peak_memory_bytes``), ``movement.csv`` (``scale, strategy, seed, layer, matrix, relative_change``; the largest
        scale), ``findings.json`` and ``manifest.json`` (settings, data, versions, machine, times). Where the study has
        them: ``precision.csv`` (``precision.summarise_precision`` by scale and strategy) and ``search_trials.csv``
        (``export_search``).
        Numbers have six significant digits.

    Raises
    ------
    InputError
        If a notebook of the study is not done, or its search was made with other settings.
    """
    pending = [job.label for job in plan.pending]
    if pending:
        raise InputError(
            f"study {plan.study.name!r}",
            expected="a study whose notebooks are all done",
            found=f"{len(pending)} that are not, the first being '{pending[0]}'",
            remedy=f"Run 'compliance-xai study run {plan.study.name}' first.",
        )
    target.mkdir(parents=True, exist_ok=True)
    frames = {
        file: _read(plan, stage, table)
        for stage, tables in TABLES.items()
        if stage in plan.jobs
        for file, table in tables.items()
    }
    frames["quality"] = _join(plan, "generate", ("corpus_scores",))
    frames["training"] = _join(plan, "finetune", ("summary", "timing"))
    frames["movement"] = _take_movement(plan)
    if plan.study.attribution.precision_clauses:
        frames["precision"] = summarise_precision([_join_precision(plan)], by=("scale", "strategy"))
    written = [_write(frame, target / f"{name}.csv") for name, frame in frames.items()]
    if (plan.study.folder / FOLDER / TRIALS).is_file():
        written.append(export_search(plan.study, target))
    shutil.copyfile(plan.jobs["findings"].folder / "findings.json", target / "findings.json")
    manifest = target / "manifest.json"
    manifest.write_text(
        json.dumps(_describe(plan) | {"note": note}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return [*written, target / "findings.json", manifest]


def export_search(study: Study, target: Path) -> Path:
    """Write the trials of a study's search (``stages.search.search_settings``) as ``search_trials.csv``.

    Raises
    ------
    InputError
        If there are none, or the study's own settings are not those of the first trials.
    """
    import pandas as pd

    path = study.folder / FOLDER / TRIALS
    remedy = f"Run 'compliance-xai study search {study.name}' first."
    if not path.is_file():
        raise InputError(str(path), expected="the trials of a search", found="no such file", remedy=remedy)
    trials = pd.read_csv(path)
    first = trials[trials["trial"] == 0].set_index(["scale", "strategy"])[list(TUNED)].astype(float)
    cells = [cell for cell in study.cells() if study.strategies[cell.strategy].trains]
    own = pd.DataFrame(
        [{name: study.settings_of(*cell).used().get(name) for name in TUNED} for cell in cells],
        index=pd.MultiIndex.from_tuples(cells, names=["scale", "strategy"]),
        dtype=float,
    )
    if not first.sort_index().equals(own.sort_index()):
        raise InputError(
            str(path), expected="trials around the study's present settings", found="others", remedy=remedy
        )
    target.mkdir(parents=True, exist_ok=True)
    return _write(trials, target / SEARCH)


def _write(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return path


def _take_movement(plan: Plan) -> pd.DataFrame:
    """Where the weights of the largest scale moved, which is what pages draw; every scale would take a megabyte."""
    moved = _read(plan, "compare_strategies", "movement")
    columns = ["scale", "strategy", "seed", "layer", "matrix", "relative_change"]
    moved = moved.reindex(columns=columns)
    return moved.loc[moved["scale"] == plan.study.scales[-1]]


def _join_precision(plan: Plan) -> pd.DataFrame:
    """What other forms of each cell's model change, clause by clause."""
    import pandas as pd

    return pd.concat(
        [
            pd.read_parquet(job.folder / "precision_effects.parquet").assign(scale=job.scale, strategy=job.strategy)
            for job in plan.jobs.values()
            if job.stage == "attribute"
        ],
        ignore_index=True,
    )


def _read(plan: Plan, stage: str, name: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(plan.jobs[stage].folder / f"{name}.parquet")


def _join(plan: Plan, stage: str, names: tuple[str, ...]) -> pd.DataFrame:
    """The frames of every cell, one below the other; frames of one cell side by side, by seed."""
    import pandas as pd

    parts = []
    for job in plan.jobs.values():
        if job.stage == stage:
            first, *others = (pd.read_parquet(job.folder / f"{name}.parquet") for name in names)
            for other in others:
                first = first.merge(other, on="seed")
            parts.append(first.assign(scale=job.scale, strategy=job.strategy))
    joined = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"scale": [], "strategy": []})
    return joined[["scale", "strategy", *(name for name in joined if name not in ("scale", "strategy"))]]


def _describe(plan: Plan) -> dict[str, Any]:
    manifests = {name: manifest for name, job in plan.jobs.items() if (manifest := read_manifest(job.folder))}
    last = manifests["findings"]
    seconds: dict[str, float] = {}
    for manifest in manifests.values():
        seconds[manifest["stage"]] = round(seconds.get(manifest["stage"], 0.0) + manifest["wall_seconds"], 1)
    study = plan.study.model_dump(mode="json", exclude={"corpus": {"path"}})
    study["strategies"] = {name: settings.used() for name, settings in plan.study.strategies.items()}
    return {
        "study": study,
        "data": manifests["corpus"]["parameters"]["data"],
        "version": last["versions"]["compliance-xai"],
        "versions": last["versions"],
        "machine": last["machine"],
        "finished": last["started"][:10],
        "seconds": seconds,
        "peak_memory_bytes": max(manifest["peak_memory_bytes"] for manifest in manifests.values()),
    }
