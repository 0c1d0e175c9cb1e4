"""The search behind a study's settings: the same number of trials for every strategy and scale, judged on validation.

A comparison of strategies is as fair as the care that went into each. Every cell therefore gets the same budget, drawn
the same way around its own settings, and every trial is kept, not only the best.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.provenance import digest, write_json
from compliance_xai.stages.cells import choose_prompt, find_rung, fit_settings
from compliance_xai.stages.common import Work, find_job
from compliance_xai.stages.examples import load_examples, require_split
from compliance_xai.study import Cell, SearchSettings, StrategySettings, Study
from compliance_xai.train import finetune

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "search"
TUNED = ("learning_rate", "full_learning_rate", "rank", "steps")


def search_settings(study: Study, report: Callable[[Cell, int, float], None] = lambda *_: None) -> pd.DataFrame:
    """Try settings for every fine-tuned cell, with the study's first seed; finished trials are read, not repeated.

    Writes ``results/<study>/search``: ``trials.csv`` (the table below) and ``best.yaml``, the ``by_scale`` settings of
    the lowest validation loss, to be written into a study.

    Parameters
    ----------
    report
        Called after each trial with the cell, the trial's number and its loss.

    Returns
    -------
    pandas.DataFrame
        ``scale, strategy, trial, learning_rate, full_learning_rate, rank, steps`` (NaN where a strategy has none),
        ``validation_loss`` (nats per rule token, at the end; infinite where training broke off), ``seconds``, ``best``.
    """
    import pandas as pd

    folder = study.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for cell in study.cells():
        if study.strategies[cell.strategy].trains:
            for trial in range(study.search.trials):
                row = _run_trial(study, cell, trial, folder)
                report(cell, trial, row["validation_loss"])
                rows.append({"scale": cell.scale, "strategy": cell.strategy, "trial": trial, **row})
    frame = pd.DataFrame(rows)
    lowest = frame.groupby(["scale", "strategy"])["validation_loss"].transform("min")
    frame["best"] = frame["validation_loss"] == lowest
    frame.to_csv(folder / "trials.csv", index=False, lineterminator="\n")
    (folder / "best.yaml").write_text(format_best(frame), encoding="utf-8")
    return frame


def draw_trial(settings: StrategySettings, search: SearchSettings, trial: int) -> StrategySettings:
    """The settings of one trial; the first is the study's own, and every cell draws the same factors."""
    if trial == 0:
        return settings
    draw = random.Random(f"{search.seed}/{trial}")
    factor = search.rate_factor ** draw.uniform(-1, 1)
    changes: dict[str, Any] = {"learning_rate": float(f"{settings.learning_rate * factor:.3g}")}
    if settings.full_learning_rate is not None:
        changes["full_learning_rate"] = float(f"{settings.full_learning_rate * factor:.3g}")
    rank, steps = draw.choice(search.ranks or (None,)), draw.choice(search.steps or (None,))
    if rank and settings.has_adapters:
        changes["rank"] = rank
    if steps:
        changes["steps"] = steps
    return settings.model_copy(update=changes)


def _run_trial(study: Study, cell: Cell, trial: int, folder: Path) -> dict[str, Any]:
    """One training; its weights are not kept."""
    work = Work(study, find_job(study, "finetune", *cell))
    rung = find_rung(work)
    settings = draw_trial(study.settings_of(*cell), study.search, trial)
    key = digest({"settings": settings.deciding(), "job": work.job.settings, "code": work.job.code})
    done = folder / f"{cell.scale}-{cell.strategy}-{trial:03d}.json"
    if done.is_file() and (kept := json.loads(done.read_text(encoding="utf-8")))["key"] == key:
        return kept["row"]
    splits = load_examples(study)
    train, validation = (require_split(study, splits, name) for name in ("train", "validation"))
    out, started = folder / f".{done.stem}", time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    try:
        result = finetune(
            rung,
            cell.strategy,
            fit_settings(settings, rung),
            train,
            validation,
            seed=study.seeds[0],
            out=out,
            template=choose_prompt(work.study, rung),
        )
        loss = float(result.log.loc[result.log["split"] == "validation", "loss"].iloc[-1])
    except FloatingPointError:
        loss = float("inf")  # a rate that breaks the training off is a result of the search
    shutil.rmtree(out, ignore_errors=True)
    used = settings.used()
    row = {name: used.get(name) for name in TUNED}
    row |= {"validation_loss": loss, "seconds": round(time.monotonic() - started, 1)}
    write_json({"key": key, "row": row}, done)
    return row


def format_best(trials: pd.DataFrame) -> str:
    """The best settings of each cell as the part of a study file that holds them."""
    import yaml

    strategies: dict[str, dict[str, Any]] = {}
    for row in trials[trials["best"]].drop_duplicates(["scale", "strategy"]).to_dict("records"):
        chosen = {name: row[name] for name in TUNED if row[name] is not None and row[name] == row[name]}
        chosen |= {name: int(chosen[name]) for name in ("rank", "steps") if name in chosen}
        strategies.setdefault(row["strategy"], {"by_scale": {}})["by_scale"][row["scale"]] = chosen
    count = trials.groupby(["scale", "strategy"])["trial"].count().max()
    head = f"# Lowest validation loss of {count} trials for each strategy and scale; trials.csv holds all of them.\n"
    return head + yaml.safe_dump({"strategies": strategies}, sort_keys=False)
