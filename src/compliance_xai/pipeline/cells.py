"""What the stages of one cell share: its base model, prompt and trained weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from compliance_xai.models.prompts import Prompt
from compliance_xai.pipeline.grid import stage_folder
from compliance_xai.pipeline.stages import Work
from compliance_xai.study.ladders import Rung, load_ladder
from compliance_xai.study.settings import Study
from compliance_xai.study.strategy_settings import StrategySettings


def find_rung(work: Work) -> Rung:
    """The base model of a cell, a chat model or not as the study sees it; local files are noted as inputs."""
    rung = rung_of(work.study, work.cell[0])
    folder = Path(rung.path)
    if folder.is_dir():
        work.read(*sorted(path for path in folder.iterdir() if path.is_file()))
    return rung


def rung_of(study: Study, scale: str) -> Rung:
    """A scale's base model, a chat model or not as the study sees it."""
    rung = load_ladder(study.ladder).rung(scale)
    return dataclasses.replace(rung, template="chat" if is_chat(study, rung) else "plain")


def choose_prompt(study: Study, rung: Rung) -> Prompt:
    """What surrounds a clause: the rung's own text or the study's, as a chat where rung or study say so.

    Training, generation and attribution take it from here, and ``prompts.make_template`` writes it out once for all.
    """
    settings = study.prompt
    text = rung.prompt or settings.template
    if not is_chat(study, rung):
        return text
    opening = [{"role": "system", "content": settings.system}] if settings.system else []
    return [*opening, {"role": "user", "content": text}]


def is_chat(study: Study, rung: Rung) -> bool:
    """Whether clauses are shown to a rung as a conversation."""
    return rung.template == "chat" if study.prompt.chat == "auto" else study.prompt.chat


def fit_settings(settings: StrategySettings, rung: Rung) -> StrategySettings:
    """A strategy's settings, with the rung's plan where the study says nothing; no result depends on it."""
    plan = {"micro_batch": rung.batch.micro_batch, "gradient_checkpointing": rung.batch.gradient_checkpointing}
    silent = {name: value for name, value in plan.items() if value and not getattr(settings, name)}
    return settings.model_copy(update=silent)


def seed_folder(work: Work, seed: int) -> Path | None:
    """Where a trained seed's weights lie; None for the untouched base."""
    scale, strategy = work.cell
    if not work.study.strategies[strategy].trains:
        return None
    return stage_folder(work.study.name, "finetune", scale, strategy) / f"seed-{seed}"
