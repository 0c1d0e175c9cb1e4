"""What the stages of one cell share: its base model, its prompt, and its trained model in memory."""

import dataclasses
from typing import Any

from compliance_xai.errors import require_choice
from compliance_xai.machine import limit_threads
from compliance_xai.models.prompts import DEFAULT_TEMPLATE, Prompt, make_template
from compliance_xai.models.strategies import load_trained
from compliance_xai.pipeline.stages import open_work, read_stage, require_results
from compliance_xai.study.ladders import Rung, load_ladder
from compliance_xai.study.settings import Study
from compliance_xai.study.strategy_settings import StrategySettings


@dataclasses.dataclass(frozen=True)
class OpenModel:
    """A model in memory, with its tokenizer and what surrounds a clause; ``name`` is what readers see."""

    name: str
    model: Any
    tokenizer: Any
    template: Prompt = DEFAULT_TEMPLATE


def open_model(
    study: Study,
    scale: str,
    strategy: str,
    seed: int | None = None,
    *,
    used: dict[str, str] | None = None,
    current: bool = False,
) -> OpenModel:
    """The model of one seed of a cell, as the study uses it; the untouched base if its strategy trains nothing.

    Parameters
    ----------
    seed
        The study's first where None.
    used
        Takes the SHA-256 of every file of weights that was read.
    current
        Refuse weights that were not trained with the study's present settings.
    """
    where = f"study {study.name!r}, "
    require_choice(f"{where}scale", scale, study.scales)
    require_choice(f"{where}strategy", strategy, list(study.strategies))
    seeds = study.seeds_of(strategy, scale)
    seed = seeds[0] if seed is None else seed
    require_choice(f"{where}seed", seed, seeds)
    rung = rung_of(study, scale)
    weights = None
    if study.strategies[strategy].trains:
        if current:
            require_results(open_work(study, "finetune", scale, strategy).job)
        trained = read_stage(study, "finetune", scale, strategy, used=used)
        weights = trained.folder / f"seed-{seed}"
        for name in trained.manifest["outputs"]:
            if name.endswith(".safetensors") and (trained.folder / name).parent == weights:
                trained.path(name)
    model, tokenizer = load_trained(rung, study.settings_of(scale, strategy), weights)
    limit_threads(study.threads)
    template = make_template(tokenizer, choose_prompt(study, rung))
    return OpenModel(f"{scale}, {strategy}, seed {seed}", model, tokenizer, template)


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
    """A strategy's settings, with the rung's batch plan if the study gives none; no result depends on it."""
    plan = {"micro_batch": rung.batch.micro_batch, "gradient_checkpointing": rung.batch.gradient_checkpointing}
    silent = {name: value for name, value in plan.items() if value and not getattr(settings, name)}
    return settings.model_copy(update=silent)
