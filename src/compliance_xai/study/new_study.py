"""Writes a study's file from a few answers: commented, checked as a whole, never over another file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compliance_xai.errors import InputError
from compliance_xai.files import write_atomic
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study, check_scales, load_study
from compliance_xai.study.strategy_settings import HYBRIDS, KINDS

WHOLE_RATE, ADAPTER_RATE = "1e-3", "4e-3"
"""Learning rates of the default study; the file says that they want tuning for other models."""

STEPS = 400


@dataclass(frozen=True)
class Answers:
    """What a new study is made of; see ``study.Study`` for what each means."""

    name: str
    corpus: str = "synthetic"
    path: str = ""
    ladder: str = "embedded"
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
        part.write_text(format_study(answers), encoding="utf-8")
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
    if answers.corpus == "table" and not (find_project_folder() / Path(answers.path).expanduser()).is_file():
        raise InputError("new study, corpus", expected="a file", found=answers.path, remedy="Check the path.")
    if find_project_folder().joinpath("results", answers.name, "runs").is_dir():
        raise InputError(
            f"study {answers.name!r}",
            expected="a name without results",
            found=f"results/{answers.name}",
            remedy="Choose another name, or move these results away.",
        )


def format_study(answers: Answers) -> str:
    """The study's file, every choice with a comment.

    Examples
    --------
    >>> print(format_study(Answers("mine", scales=["1m"], strategies=["lora"])).splitlines()[4])
    name: mine
    """
    scales = answers.scales or [rung.name for rung in load_ladder(answers.ladder).rungs]
    lines = [
        f"# A study made by 'compliance-xai new-study'. Look at it: compliance-xai study plan {answers.name}",
        f"# Run it and build its book: make book STUDY={answers.name}",
        "# Every setting, with its default and meaning: the page 'API reference' of the book, 'Settings of a study'.",
        "",
        f"name: {_quote(answers.name)}",
        f"title: {_quote(answers.title or f'Study {answers.name}')}",
        "",
        "# The clauses and rules. Take fewer for a first look: train, validation, test and document are counts.",
        "corpus:",
        f"  source: {answers.corpus}",
    ]
    lines += [f"  path: {_quote(answers.path)}"] if answers.path else []
    lines += _counts(answers)
    lines += [
        "",
        "# The models, smallest first: rungs of a ladder, a folder with a ladder.yaml that names folders or hub ids.",
        f"ladder: {_quote(answers.ladder)}",
        f"scales: [{', '.join(_quote(scale) for scale in scales)}]",
        "",
        "# How each is fine-tuned. These rates suit the embedded ladder; tune them on the validation split for others.",
        "strategies:",
        *_strategies(answers.strategies),
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


def _counts(answers: Answers) -> list[str]:
    if answers.corpus != "synthetic":
        return []
    return [
        f"  {split}: {count}"
        for split, count in {"train": 1600, "validation": 100, "test": 120, "document": 40}.items()
    ]


def _strategies(names: Sequence[str]) -> list[str]:
    lines, explained = [], {str(kind): text for kind, text in KINDS.items()}
    for name in names:
        if name == "none":
            lines.append(f"  none: {{}}  # {explained[name]}")
            continue
        rate = WHOLE_RATE if name == "full" else ADAPTER_RATE
        lines += [f"  {name}:  # {explained[name]}", f"    learning_rate: {rate}"]
        lines += [f"    full_learning_rate: {WHOLE_RATE}"] if name in HYBRIDS else []
        lines += [f"    steps: {STEPS}", "    batch_size: 8"]
        lines += ["    rank: 32"] if name != "full" else []
    return lines


def _quote(text: str) -> str:
    """Text as YAML reads it back, quoted where it would be a number, a date or a sign."""
    plain = text.replace("_", "").replace("-", "").replace("/", "").replace(".", "")
    return (
        text
        if plain.isalpha() and plain.lower() not in ("true", "false", "null")
        else json.dumps(text, ensure_ascii=False)
    )
