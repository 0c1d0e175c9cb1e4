"""A study's raw frames and its design: joined from its cells, kept beside its tables, judged again without a model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from compliance_xai.errors import InputError
from compliance_xai.pipeline.stages import Work
from compliance_xai.stats.claims import Finding, findings_from_json, judge
from compliance_xai.stats.competence import failing_cells
from compliance_xai.stats.declared import Declared, declared_from_json
from compliance_xai.stats.study_tables import RawFrames, size_tables, strategy_tables
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study

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


def read_raw(work: Work) -> RawFrames:
    """The raw frames that the comparison of strategies wrote."""
    result = work.result("compare_strategies")
    return RawFrames(**{field.name: result[f"{RAW}{field.name}"] for field in fields(RawFrames)})


@dataclass(frozen=True)
class Recomputed:
    """Findings computed from stored raw frames, and their differences from the stored findings, if any."""

    findings: list[Finding]
    differences: list[str]


def recompute(folder: Path) -> Recomputed:
    """Compute every test and verdict of a kept study again, from its raw frames and without a model.

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
    return Recomputed(found, [line for one in found for line in _compare(one, stored.get(one.claim))])


def _compare(new: Finding, stored: Finding | None) -> list[str]:
    if stored is None:
        return [f"{new.claim}: not among the stored findings"]
    names = ("verdict", "effect", "low", "high", "n", "reason", "statements", "beside")
    return [
        f"{new.claim}, {name}: stored {getattr(stored, name)!r}, computed {getattr(new, name)!r}"
        for name in names
        if getattr(stored, name) != getattr(new, name)
    ]
