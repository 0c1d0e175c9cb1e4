"""The smallest study of real models, in a project of its own, and what tells whether two runs gave the same results."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
MEASURED = {"seconds", "peak_memory_bytes"}
"""Columns that hold what a run took, which no two runs share."""
STUDY = """\
name: small
title: A small study
corpus: {source: synthetic, train: 64, validation: 8, test: 8, document: 4}
ladder: embedded
scales: [0.3m]
strategies:
  full: {learning_rate: 1e-3, steps: 4, batch_size: 4, evaluations: 1}
  lora: {learning_rate: 4e-3, rank: 8, steps: 4, batch_size: 4, evaluations: 1}
seeds: [0]
generate: {max_new_tokens: 16, examples: 2}
attribution: {baselines: [delete], clauses: 3, document_clauses: 2}
metrics: {encoder: null}
faithfulness: {clauses: 2, document_clauses: 1, points: 2, random_orders: 1, masks: 6, operators: [mask]}
thresholds: {bootstrap: 100, permutations: 100}
"""
NOTEBOOKS = 14


def make_project(folder: Path) -> Path:
    """A project with the small study."""
    for name in ("studies", "book"):
        folder.joinpath(name).mkdir(parents=True)
    for name in ("notebooks", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "studies" / "small.yaml").write_text(STUDY, encoding="utf-8")
    (folder / "data").symlink_to(ROOT / "data")
    return folder


def make_environment(project: Path) -> dict[str, str]:
    """The environment variables of a command in a project."""
    places = {"COMPLIANCE_XAI_PROJECT": str(project), "COMPLIANCE_XAI_DATA": str(project / "data")}
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return os.environ | places | {"PYTHONPATH": paths}


def find_results(folder: Path) -> dict[str, Path]:
    """Every table, file of weights and text of a toy in a folder of results, by its path in there."""
    paths = [path for path in folder.rglob("*") if path.suffix in (".parquet", ".safetensors", ".txt")]
    return {path.relative_to(folder).as_posix(): path for path in sorted(paths)}


def find_differences(one: Path, other: Path) -> list[str]:
    """The results that only one of two folders has, or that differ in more than what the run took."""
    first, second = find_results(one), find_results(other)
    both = sorted(first.keys() & second.keys())
    return sorted(first.keys() ^ second.keys()) + [name for name in both if not _are_equal(first[name], second[name])]


def _are_equal(one: Path, other: Path) -> bool:
    if one.read_bytes() == other.read_bytes():
        return True
    if one.suffix != ".parquet":
        return False
    first, second = (pd.read_parquet(path).drop(columns=MEASURED, errors="ignore") for path in (one, other))
    return first.equals(second)
