"""Writes a study's file from a few answers: commented, checked as a whole, never over another file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from compliance_xai.errors import InputError
from compliance_xai.files import write_atomic
from compliance_xai.study.folders import find_path, find_project_folder
from compliance_xai.study.ladders import LadderSettings, Rung, is_shipped, load_ladder
from compliance_xai.study.model_sources import describe_model
from compliance_xai.study.settings import Study, check_scales, load_study
from compliance_xai.study.strategy_settings import KINDS, usual_settings


@dataclass(frozen=True)
class Answers:
    """What a new study is made of; ``models`` are folders or hub ids that take the place of a ladder. Relative paths
    are taken from the working directory."""

    name: str
    corpus: str = "synthetic"
    path: str = ""
    ladder: str = "embedded"
    models: Sequence[str] = ()
    scales: Sequence[str] = ()
    strategies: Sequence[str] = ("none", "full", "lora")
    seeds: Sequence[int] = (0, 1)
    clauses: int = 48
    title: str = ""


def write_study(answers: Answers, out: Path | None = None) -> tuple[Path, Study]:
    """Write the study's file and read it back.

    Parameters
    ----------
    out
        The file; ``studies/<name>.yaml`` where None.

    Raises
    ------
    InputError
        If the file exists, an answer is not usable, or a study of that name has results already.
    """
    out = out or find_project_folder() / "studies" / f"{answers.name}.yaml"
    if out.exists():
        raise InputError(
            str(out), expected="no such file", found="one", remedy="Choose another name, or delete the file first."
        )
    _check(answers)
    with write_atomic(out) as part:
        part.write_text(format_study(answers, out.parent), encoding="utf-8")
        study = load_study(part)
        check_scales(study, [rung.name for rung in load_ladder(study.ladder).rungs], where=answers.name)
    return out, study


def _check(answers: Answers) -> None:
    """What the study's own check cannot see or would explain in terms of a file that is not there yet."""
    unknown = [name for name in answers.strategies if name not in KINDS]
    if unknown or not answers.strategies:
        raise InputError(
            "new study, strategies",
            expected=f"some of {', '.join(KINDS)}",
            found=unknown[0] if unknown else "none",
            remedy="Choose among these; strategies of your own go into the file by hand.",
        )
    if answers.corpus == "table" and not answers.path:
        raise InputError(
            "new study, corpus",
            expected="a file of clauses and rules for the corpus 'table'",
            found="none",
            remedy="Give --corpus-path clauses.csv.",
        )
    if answers.corpus == "table" and not find_path(answers.path).is_file():
        raise InputError("new study, corpus", expected="a file", found=answers.path, remedy="Check the path.")
    if find_project_folder().joinpath("results", answers.name, "runs").is_dir():
        raise InputError(
            f"study {answers.name!r}",
            expected="a name without results",
            found=f"results/{answers.name}",
            remedy="Choose another name, or move these results away.",
        )


def format_study(answers: Answers, folder: Path | None = None) -> str:
    """The study's file, every choice with a comment; paths in it are relative to ``folder``, where it will be.

    Examples
    --------
    >>> print(format_study(Answers("mine", scales=["1m"], strategies=["lora"])).splitlines()[4])
    name: mine
    """
    rungs = [describe_model(model) for model in answers.models]
    ladder = LadderSettings.model_validate({"rungs": rungs} if rungs else {"source": answers.ladder})
    sizes = {rung.name: rung for rung in load_ladder(ladder).rungs}
    scales = [name for name in (answers.scales or sizes) if name in sizes] or list(sizes)
    lines = [
        f"# A study made by 'compliance-xai new-study'. Look at it: compliance-xai study plan {answers.name}",
        f"# Run it and build its book: make book STUDY={answers.name}",
        "# Every setting, with its meaning and default: compliance-xai study settings, or the book's page 'Settings'.",
        "",
        f"name: {_quote(answers.name)}",
        f"title: {_quote(answers.title or f'Study {answers.name}')}",
        "",
        "# The clauses and rules. Take fewer for a first look: train, validation, test and document are counts.",
        "corpus:",
        f"  source: {answers.corpus}",
    ]
    lines += [f"  path: {_quote(_relative(answers.path, folder))}"] if answers.path else []
    lines += _counts(answers)
    source = answers.ladder if is_shipped(answers.ladder) else _relative(answers.ladder, folder)
    lines += [
        "",
        "# The base models, smallest first: a shipped ladder, a folder with a ladder.yaml, or rungs listed here.",
        *(_list_rungs(rungs, folder) if rungs else [f"ladder: {_quote(source)}"]),
        f"scales: [{', '.join(_quote(scale) for scale in (answers.scales or scales))}]",
        "",
        "# How each is fine-tuned. What is left out follows kind and model size, as the comments say. These are",
        f"# usual values; 'compliance-xai study search {answers.name}' looks for better ones on the validation split.",
        "strategies:",
        *(line for name in answers.strategies for line in _strategy(name, [sizes[scale] for scale in scales])),
        "",
        "# Training is repeated once for each seed; with one, nothing can be told apart from chance.",
        f"seeds: [{', '.join(str(seed) for seed in answers.seeds)}]",
        "",
        "# Which words count: each is deleted, and replaced by a neutral one, in this many clauses.",
        "attribution:",
        "  unit: word",
        "  baselines: [delete, mask]",
        f"  clauses: {answers.clauses}",
        "",
        "# Thresholds of the verdicts have defaults; declare others here, before anything runs.",
    ]
    return "\n".join(lines) + "\n"


def _relative(path: str, folder: Path | None) -> str:
    """A path from the working directory, as a file in ``folder`` names it."""
    found = find_path(path)
    return os.path.relpath(found, folder.resolve()) if folder and found.exists() else path


def _list_rungs(rungs: Sequence[dict[str, Any]], folder: Path | None) -> list[str]:
    lines = ["ladder:", "  rungs:"]
    for rung in rungs:
        local = Path(rung["path"]).is_dir()
        entry = rung | {"path": _relative(rung["path"], folder) if local else rung["path"]}
        text = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True)
        lines.append(f"  - {text.strip()}")
    return lines


def _counts(answers: Answers) -> list[str]:
    if answers.corpus != "synthetic":
        return []
    return [
        f"  {split}: {count}"
        for split, count in {"train": 1600, "validation": 100, "test": 120, "document": 40}.items()
    ]


def _strategy(name: str, rungs: Sequence[Rung]) -> list[str]:
    explained = {str(kind): text for kind, text in KINDS.items()}[name]
    lines = [f"  {name}: {{}}  # {explained}"]
    for rung in rungs if name != "none" else ():
        usual = usual_settings(name, rung.parameters)
        usual = {key: value for key, value in usual.items() if key != "rank" or name != "full"}
        lines.append(f"  #   at {rung.name}: " + ", ".join(f"{key} {value:g}" for key, value in usual.items()))
    return lines


def _quote(text: str) -> str:
    """Text as YAML reads it back, quoted where it would be a number, a date or a sign."""
    plain = text.replace("_", "").replace("-", "").replace("/", "").replace(".", "")
    return (
        text
        if plain.isalpha() and plain.lower() not in ("true", "false", "null")
        else json.dumps(text, ensure_ascii=False)
    )
