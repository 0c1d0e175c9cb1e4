"""What the lessons of the workshop call: a small model, some clauses, a short training; for a class's laptops."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pandas as pd

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.synthetic.build import BASE_TEMPLATES, base_pairs
from compliance_xai.corpus.synthetic.vocabulary import words_of_category
from compliance_xai.figures.contract import show
from compliance_xai.figures.lesson_figures import draw_bars, draw_curves
from compliance_xai.files import digest
from compliance_xai.models.finetuning import finetune
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.prompts import DEFAULT_TEMPLATE
from compliance_xai.models.strategies import load_trained
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.review import RuleWriter
from compliance_xai.pipeline.stage_examples import take_in_turn
from compliance_xai.pipeline.stores import hash_once, keep_folder
from compliance_xai.records import Example
from compliance_xai.study.folders import find_data_folder, find_project_folder
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.strategy_settings import StrategySettings

FOLDER = find_project_folder() / "results" / "workshop"
FIGURES = FOLDER / "figures"

TUNED = find_data_folder() / "workshop" / "1m_full.safetensors"
"""Weights of the shipped 1M model after full fine-tuning (``scripts/tune_workshop_model.py``), as float16."""

UNANSWERED = "Not yet."

RATES = {"full": 2e-3, "lora": 6e-3, "qlora": 6e-3}
"""Learning rates of the smallest rung in the default study."""


def load_writer(scale: str) -> RuleWriter:
    """A rung of the shipped ladder as it is: it writes rules in the short form it was pre-trained on.

    ``exitDoor => must exitDoor.clearWidth >= 850 mm``: conditions, an arrow, ``must``, ``may`` or ``never``, and what.
    """
    rung = load_ladder("embedded").rung(scale)
    return RuleWriter(f"{scale}, as shipped", load_base(rung).eval(), load_tokenizer(rung), BASE_TEMPLATES["infix"])


def load_tuned() -> RuleWriter:
    """The 1M model, fully fine-tuned to write rules in the notation of this book; its weights are shipped."""
    from safetensors.torch import load_model

    rung = load_ladder("embedded").rung("1m")
    model = load_base(rung).eval()
    load_model(model, TUNED)
    return RuleWriter("1m, fine-tuned, as shipped", model, load_tokenizer(rung), DEFAULT_TEMPLATE)


def check(right: Callable[[], object], hint: str) -> None:
    """Say whether an answer is right; a hint if it is not, or if there is none yet."""
    try:
        passed = bool(right())
    except Exception:  # an answer that is not there yet has no name, and one begun can fail in any way
        passed = False
    print("Right." if passed else f"{UNANSWERED} Hint: {hint}")


def train_writer(scale: str, strategy: str, *, seed: int = 0, steps: int = 100, batch_size: int = 8) -> RuleWriter:
    """Fine-tune a rung shortly to write rules in the notation of this book; weights are kept and found again.

    Parameters
    ----------
    strategy
        ``full``, ``lora`` or ``qlora``; learning rates are those of the default study for the smallest rung.
    """
    rung = load_ladder("embedded").rung(scale)
    kind = {"kind": strategy, "learning_rate": RATES[strategy], "steps": steps, "batch_size": batch_size}
    settings = StrategySettings.model_validate(kind | {"evaluations": 1})
    key = digest([settings.used(), code_digest(ROOMS), hash_once(Path(rung.path) / "model.safetensors")])
    train, validation = read_clauses("train", 1600), read_clauses("validation", 40)
    place = FOLDER / "models" / f"{scale}-{strategy}-{seed}-{settings.steps}-{settings.batch_size}"
    kept = keep_folder(
        place, key, lambda part: finetune(rung, strategy, settings, train, validation, seed=seed, out=part)
    )
    model, tokenizer = load_trained(rung, settings, kept.folder)
    return RuleWriter(f"{scale}, {strategy}, seed {seed}", model, tokenizer, DEFAULT_TEMPLATE)


def read_clauses(split: str, count: int) -> list[Example]:
    """The first clauses of a split of the synthetic corpus, each context in turn, with gold alignments."""
    return take_in_turn(load_corpus("synthetic").split(split), count, f"lesson, split {split!r}")


def draw_pairs(count: int) -> list[tuple[str, str]]:
    """Clauses whose combinations no rung has seen, with their rules in the short form of pre-training."""
    return list(islice(base_pairs("workshop", "test", "infix"), count))


def noun_categories() -> dict[str, str]:
    """The synthetic corpus's nouns with their feature category, for ``segment`` and ``explain``."""
    return words_of_category()


def show_bars(frame: pd.DataFrame, label: str, value: str, *, name: str, **texts: str) -> None:
    """Show one bar for each row; texts as in ``figures.lessons.draw_bars``."""
    show(draw_bars(frame, label, value, name=name, folder=FIGURES, **texts))


def show_curves(
    frame: pd.DataFrame, x: str, y: str, by: str, *, units: tuple[str, str], name: str, **texts: str
) -> None:
    """Show one line for each value of ``by``; texts as in ``figures.lessons.draw_curves``."""
    show(draw_curves(frame, x, y, by, units=units, name=name, folder=FIGURES, **texts))
