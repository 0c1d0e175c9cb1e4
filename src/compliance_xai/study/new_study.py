"""Writes a study's file from a few answers: commented, checked as a whole, never over another file."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import write_atomic
from compliance_xai.study.folders import find_path, find_project_folder
from compliance_xai.study.ladders import LadderSettings, Rung, is_shipped, load_ladder
from compliance_xai.study.model_sources import describe_model
from compliance_xai.study.settings import Study, check_scales, load_study
from compliance_xai.study.strategy_settings import KINDS, usual_settings


@dataclass(frozen=True)
class Answers:
    """What a new study is made of; ``models`` are folders or hub ids that replace the ladder, ``columns`` those of a
    table that have other names. Relative paths start from the working directory."""

    name: str
    corpus: str = "synthetic"
    path: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
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
        The file; ``studies/<name>.yaml`` by default.

    Raises
    ------
    InputError
        If the file exists, an answer is not usable, or a study of that name has results already.
    """
    out = out or find_project_folder() / "studies" / f"{answers.name}.yaml"
    if out.exists():
        remedy = "Choose another name, or delete the file first."
        raise InputError(str(out), expected="no such file", found="one", remedy=remedy)
    for name in answers.strategies:
        require_choice("new study, strategies", name, KINDS)
    if answers.corpus == "table" and not find_path(answers.path or "?").is_file():
        expected, remedy = "a file of clauses and rules", "Give it with --corpus-path, such as clauses.csv."
        raise InputError("new study, corpus 'table'", expected=expected, found=answers.path or "none", remedy=remedy)
    if find_project_folder().joinpath("results", answers.name, "runs").is_dir():
        found, remedy = f"results/{answers.name}", "Choose another name, or move these results away."
        raise InputError(f"study {answers.name!r}", expected="a name without results", found=found, remedy=remedy)
    with write_atomic(out) as part:
        part.write_text(format_study(answers, out.parent), encoding="utf-8")
        study = load_study(part)
        check_scales(study, [rung.name for rung in load_ladder(study.ladder).rungs], where=answers.name)
    return out, study


_COUNTS = "\n  train: 1600\n  validation: 100\n  test: 120\n  document: 40"


def format_study(answers: Answers, folder: Path | None = None) -> str:
    """The study's file, every choice with a comment; paths in it are relative to ``folder``, where it will be.

    Examples
    --------
    >>> print(format_study(Answers("mine", scales=["1m"], strategies=["lora"])).splitlines()[4])
    name: "mine"
    """
    rungs = [describe_model(model) for model in answers.models]
    ladder = LadderSettings.model_validate({"rungs": rungs} if rungs else {"source": answers.ladder})
    sizes = {rung.name: rung for rung in load_ladder(ladder).rungs}
    scales = list(answers.scales or sizes)
    trained = [sizes[scale] for scale in scales if scale in sizes]
    listed = "".join(f"\n  - {_flow(rung | {'path': _relative(rung['path'], folder)})}" for rung in rungs)
    source = answers.ladder if is_shipped(answers.ladder) else _relative(answers.ladder, folder)
    path = f"\n  path: {json.dumps(_relative(answers.path, folder), ensure_ascii=False)}" if answers.path else ""
    if answers.columns:
        path += f"\n  columns: {_flow(dict(answers.columns))}"
    template = Path(__file__).with_name("new_study.yaml").read_text(encoding="utf-8")
    return template.format(
        name=answers.name,
        quoted_name=json.dumps(answers.name, ensure_ascii=False),
        title=json.dumps(answers.title or f"Study {answers.name}", ensure_ascii=False),
        corpus=answers.corpus + path + (_COUNTS if answers.corpus == "synthetic" else ""),
        ladder=f"\n  rungs:{listed}" if rungs else json.dumps(source, ensure_ascii=False),
        scales=_flow(scales),
        strategies="\n".join(line for name in answers.strategies for line in _explain_strategy(name, trained)),
        seeds=_flow(list(answers.seeds)),
        clauses=answers.clauses,
    )


def _relative(path: str, folder: Path | None) -> str:
    """A path from the working directory as a file in ``folder`` names it; a hub id as it is."""
    found = find_path(path)
    return os.path.relpath(found, folder.resolve()) if folder and found.exists() else path


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True).strip()


def _explain_strategy(name: str, rungs: Sequence[Rung]) -> list[str]:
    explained = {str(kind): text for kind, text in KINDS.items()}[name]
    lines = [f"  {name}: {{}}  # {explained}"]
    for rung in rungs if name != "none" else ():
        usual = usual_settings(name, rung.parameters)
        shown = [f"{key} {value:g}" for key, value in usual.items() if key != "rank" or name != "full"]
        lines.append(f"  #   at {rung.name}: {', '.join(shown)}")
    return lines
