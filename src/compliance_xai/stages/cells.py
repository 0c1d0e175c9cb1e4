"""What the stages of one cell share: its base model, prompt and trained weights."""

from __future__ import annotations

from pathlib import Path

from compliance_xai.grid import stage_folder
from compliance_xai.models import Rung, load_ladder
from compliance_xai.stages.common import Work


def find_rung(work: Work) -> Rung:
    """The base model of a cell; its files are noted as inputs where they are local."""
    rung = load_ladder(work.study.ladder).rung(work.cell[0])
    folder = Path(rung.path)
    if folder.is_dir():
        work.read(*sorted(path for path in folder.iterdir() if path.is_file()))
    return rung


def choose_template(work: Work, rung: Rung) -> str:
    """The rung's own prompt where it has one, otherwise the study's."""
    return rung.template or work.study.prompt.template


def seed_folder(work: Work, seed: int) -> Path | None:
    """Where a trained seed's weights lie; None for the untouched base."""
    scale, strategy = work.cell
    if not work.study.strategies[strategy].trains:
        return None
    return stage_folder(work.study.name, "finetune", scale, strategy) / f"seed-{seed}"
