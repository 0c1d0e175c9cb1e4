"""The summary of a study: its result tables in one folder, as text, which pages read and ``study export`` copies.

The folder holds summaries and tests, and no text of the corpus. A copy of it under ``data/results`` is a *stored*
study: the summary notebook shows both alike.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from compliance_xai.attribution.precision import summarise_precision
from compliance_xai.errors import InputError
from compliance_xai.files import write_json
from compliance_xai.pipeline.grid import find_unusable, make_jobs
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.pipeline.raw_frames import DECLARED, RAW, join_tables
from compliance_xai.pipeline.stages import Work, open_study, read_stage, run_stage
from compliance_xai.stats.declared import declared_from_json
from compliance_xai.stats.study_tables import RawFrames
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.labels import label_of
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study

STORED = Path("data") / "results"
"""Where kept studies are, in the project's folder."""
DESCRIPTION = "study.json"
COLUMNS = "columns.csv"
"""Where an export explains its tables."""

TABLES = {
    "compare_strategies": (
        *("summary", "competence", "patterns", "contrasts", "controls", "sources", "remaining", "literals"),
        *("reliability", "feature_reliability", "split_half", "noise"),
    ),
    "compare_sizes": ("scores", "floors", "sizes", "lift", "error_shares"),
    "findings": ("statements", "observations"),
    "faithfulness": (
        *("correctness", "area_summary", "curve_summary", "signals"),
        *("review_flags", "review_risk", "review_risk_models", "review_reading", "review_missed"),
    ),
    "contexts": ("by_context", "held_out", "distance_by_context"),
}
"""By stage: the summary's names of its tables. A stage that the study does not have is left out."""

_TEXTS = ("scale", "strategy", "strategy_a", "strategy_b", "a", "b", "baseline", "context", "reason", "note", "name")
"""Columns of text: an empty cell is an empty text, not a missing number."""


@dataclass(frozen=True)
class Summary:
    """The results of one study, run here or stored: ``folder`` holds a CSV file for each table, and ``findings.json``.

    ``description`` (``study.json``) says what was run: ``study`` (its settings), ``models`` (by size: name, number of
    parameters, and SHA-256 of each file or hub id and revision), ``data`` (SHA-256), ``version``, ``versions``,
    ``machine``, ``finished``, ``seconds`` (by stage), ``peak_memory_bytes`` and ``note``.
    """

    folder: Path
    description: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.settings["name"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """The study's settings."""
        return self.description["study"]

    @property
    def scales(self) -> list[str]:
        """Model sizes, smallest first."""
        return [str(scale) for scale in self.settings["scales"]]

    @property
    def full(self) -> str:
        """The name of the strategy that trains every weight."""
        kinds = {name: settings["kind"] for name, settings in self.settings["strategies"].items()}
        return next((name for name, kind in kinds.items() if kind == "full"), "full")

    @property
    def baseline(self) -> str:
        """The first way of removing a word."""
        return str(self.settings["attribution"]["baselines"][0])

    @property
    def view(self) -> dict[str, str]:
        """Baseline and sign of the view that decides, which figures show."""
        path = self.folder / DECLARED
        if not path.is_file():
            return {"baseline": self.baseline, "sign": "absolute"}
        primary = declared_from_json(path.read_text(encoding="utf-8")).primary
        return {name: primary[name] for name in ("baseline", "sign")}

    @property
    def figures(self) -> Path:
        """Where figures of this study are written, below ``results``."""
        results = find_project_folder() / "results"
        return (self.folder if self.folder.is_relative_to(results) else results / "stored" / self.name) / "figures"

    @property
    def findings(self) -> list[dict[str, Any]]:
        """One mapping for each claim."""
        return json.loads((self.folder / "findings.json").read_text(encoding="utf-8"))

    def holds(self, *names: str) -> bool:
        """Whether all these tables are there, and the first has a row."""
        return all((self.folder / f"{name}.csv").is_file() for name in names) and len(self.read(names[0])) > 0

    def read(self, name: str) -> pd.DataFrame:
        """A table, by every method of attribution."""
        path = self.folder / f"{name}.csv"
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(_TEXTS, str))
        texts = frame.columns.intersection(list(_TEXTS))
        return frame.assign(**{column: frame[column].fillna("") for column in texts})

    def read_main(self, name: str, **chosen: str) -> pd.DataFrame:
        """The rows of a table by the study's first method of attribution, and of what else is named."""
        frame = self.read(name)
        if "method" in frame:
            chosen = {"method": self.settings["attribution"]["method"], **chosen}
        for column, value in chosen.items():
            frame = frame[frame[column] == value]
        return frame

    def read_evaluated(self, name: str) -> pd.DataFrame:
        """The rows of a table about the split that the claims are about."""
        return self.read_main(name, split=self.settings["corpus"]["evaluate_on"])


def summary(study: Study | Path | str, overrides: Mapping[str, Any] | None = None) -> Summary:
    """Collect the result tables of a study, or open those of a stored one.

    Parameters
    ----------
    study
        A study, the path or name of its file, or the folder of a stored study (``data/results/reference``).
    overrides
        Other settings of a study that is not stored, as in ``stages.open_study``.

    Raises
    ------
    InputError
        If a result of the study is missing.
    """
    if not isinstance(study, Study) and (stored := find_stored(study)):
        return open_summary(stored)
    opened = study if isinstance(study, Study) else open_study(study, overrides)
    return open_summary(run_stage(opened, "summary", work=_work).folder)


def find_stored(study: Path | str) -> Path | None:
    """The folder of a stored study, from its path relative to the working directory or the project."""
    folders = (Path(study), find_project_folder() / study)
    return next((folder for folder in folders if (folder / DESCRIPTION).is_file()), None)


def open_summary(folder: Path) -> Summary:
    """The summary in a folder."""
    return Summary(folder, json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")))


def _work(work: Work) -> None:
    frames = {}
    for stage in (stage for stage in TABLES if stage in work.jobs):
        for name in TABLES[stage]:
            frames[name] = work.result(stage)["quality" if name == "scores" else name.removeprefix("review_")]
    frames["quality"] = join_tables(work, "generate", "corpus_scores")
    frames["training"] = join_tables(work, "finetune", "summary", "timing")
    frames["movement"] = _read_movement(work)
    if work.study.attribution.precision_clauses:
        effects = join_tables(work, "attribute", "precision_effects")
        frames["precision"] = summarise_precision([effects], by=("scale", "strategy"))
    work.clear_once()
    for name, frame in frames.items():
        _write(frame, work.folder / f"{name}.csv")
    compared = work.result("compare_strategies")
    for field in dataclasses.fields(RawFrames):
        shutil.copyfile(compared.path(f"{RAW}{field.name}.parquet"), work.folder / f"{RAW}{field.name}.parquet")
    for name in ("findings.json", DECLARED):
        shutil.copyfile(work.result("findings").path(name), work.folder / name)
    write_json(_describe(work), work.folder / DESCRIPTION)


def _write(frame: pd.DataFrame, path: Path) -> Path:
    """Numbers have six significant digits."""
    frame.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return path


def _read_movement(work: Work) -> pd.DataFrame:
    """Where the weights of the largest model moved, which is what pages draw; all sizes would take a megabyte."""
    moved = work.result("compare_strategies")["movement"]
    moved = moved.reindex(columns=["scale", "strategy", "seed", "layer", "matrix", "relative_change"])
    return moved[moved["scale"] == work.study.scales[-1]]


def describe_columns(folder: Path) -> pd.DataFrame:
    """What the tables of a summary hold: ``table, column, meaning``; the meaning of a whole table has no column."""
    known = yaml.safe_load(Path(__file__).with_name("table_columns.yaml").read_text(encoding="utf-8"))
    rows = []
    for path in sorted(folder.glob("*.csv")):
        if path.name == COLUMNS:
            continue
        rows.append((path.stem, "", known["tables"].get(path.stem, "")))
        for column in filter(None, path.read_text(encoding="utf-8").partition("\n")[0].split(",")):
            of, _, bound = column.rpartition("_")
            if bound in ("low", "high") and of:
                meaning = f"{'lower' if bound == 'low' else 'upper'} bound of {of}, 95 %"
            else:
                named = known["columns"].get(f"{path.stem}.{column}") or known["columns"].get(column)
                meaning = named or label_of(column).axis
            rows.append((path.stem, column, meaning))
    return pd.DataFrame(rows, columns=["table", "column", "meaning"])


def _describe(work: Work) -> dict[str, Any]:
    study = work.study
    manifests = {name: manifest for name, job in work.jobs.items() if (manifest := read_manifest(job.folder))}
    last = manifests["findings"]
    seconds: dict[str, float] = {}
    for manifest in manifests.values():
        seconds[manifest["stage"]] = round(seconds.get(manifest["stage"], 0.0) + manifest["wall_seconds"], 1)
    models = {}
    for rung in map(load_ladder(study.ladder).rung, study.scales):
        used = next(one for one in manifests.values() if (one["stage"], one["scale"]) == ("generate", rung.name))
        models[rung.name] = {"name": Path(rung.path).name, "parameters": rung.parameters} | used["parameters"]["rung"]
    settings = study.model_dump(mode="json", exclude={"corpus": {"path"}})
    settings["strategies"] = {name: chosen.used() for name, chosen in study.strategies.items()}
    return {
        "study": settings,
        "models": models,
        "data": manifests["corpus"]["parameters"]["data"],
        "version": last["versions"]["compliance-xai"],
        "versions": last["versions"],
        "machine": last["machine"],
        "finished": last["started"][:10],
        "seconds": seconds,
        "peak_memory_bytes": max(manifest["peak_memory_bytes"] for manifest in manifests.values()),
        "note": "",
    }


def export_summary(study: Study, target: Path, *, note: str = "") -> list[Path]:
    """Copy a study's summary to a folder where it is kept.

    Parameters
    ----------
    study
        Its summary must be current.
    target
        The folder, made if it is missing; files of an earlier export are replaced.
    note
        What readers must know about the run, such as what else the machine was doing.

    Raises
    ------
    InputError
        If the study is not finished, or a file was altered since.
    """
    for job in make_jobs(study).values():
        if problem := find_unusable(job, content=job.stage == "summary"):
            expected, remedy = "finished and unaltered results", f"Run 'compliance-xai study run {study.name}' first."
            raise InputError(
                f"study {study.name!r}", expected=expected, found=f"'{job.label}': {problem}", remedy=remedy
            )
    result = read_stage(study, "summary")
    paths = [result.path(name) for name in result.manifest["outputs"]]
    target.mkdir(parents=True, exist_ok=True)
    written = [Path(shutil.copyfile(path, target / path.name)) for path in paths]
    written.append(_write(describe_columns(target), target / COLUMNS))
    write_json({**open_summary(target).description, "note": note}, target / DESCRIPTION)
    return written
