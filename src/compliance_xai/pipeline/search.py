"""The search behind settings: the same number of trials for every strategy and model size, judged on validation.

A comparison of strategies is as fair as the care that went into each. Every cell therefore gets the same budget, drawn
the same way around its own settings, and every trial is kept, not only the best.
"""

import json
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from compliance_xai.errors import InputError
from compliance_xai.files import digest, write_json
from compliance_xai.machine import limit_threads
from compliance_xai.models.finetuning import read_result
from compliance_xai.pipeline.finetune_stage import train_seed, training_key
from compliance_xai.pipeline.stages import Work, open_work
from compliance_xai.pipeline.stores import keep_folder
from compliance_xai.study.settings import Cell, Study
from compliance_xai.study.stage_settings import SearchSettings
from compliance_xai.study.strategy_settings import StrategySettings

RATE_FACTOR = 4.0
"""Learning rates are drawn between a cell's own divided and multiplied by this, evenly on a log scale."""

FOLDER = "search"
TRIALS = "trials.csv"
ROW = "row.json"
TUNED = ("learning_rate", "full_learning_rate", "rank", "steps")


def search_settings(
    study: Study, report: Callable[[Cell, int, float], None] = lambda *_: None, *, cores: int = 1
) -> pd.DataFrame:
    """Try settings for every fine-tuned cell, with the study's first seed; finished trials are read, not repeated.

    The first trial of a cell has the study's own settings: if the study has trained that seed, it is read. Writes
    ``results/<study>/search``: ``trials.csv`` (the table below) and ``best.yaml``, the ``by_scale`` settings of the
    lowest validation loss, to be written into a study.

    Parameters
    ----------
    report
        Called after each trial with the cell, the trial's number and its loss.
    cores
        Trials at once, times the study's threads; the table does not depend on it, times aside.

    Returns
    -------
    pandas.DataFrame
        ``scale, strategy, trial, learning_rate, full_learning_rate, rank, steps`` (NaN if a strategy has none),
        ``validation_loss`` (nats per rule token, at the end; infinite where training broke off), ``seconds``, ``best``.

    Raises
    ------
    InputError
        If the study fine-tunes on several processes: a trial trains in one.
    """
    if study.launch.config:
        where, found = f"study {study.name!r}, key 'launch.config'", repr(study.launch.config)
        expected = "none for a search, each of whose trials trains in one process"
        remedy = "Give --set launch={} if the models fit one device; else search with a smaller model."
        raise InputError(where, expected=expected, found=found, remedy=remedy)
    folder = study.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    cells = [cell for cell in study.cells() if study.strategies[cell.strategy].trains]
    tasks = [(cell, trial) for cell in cells for trial in range(study.search.trials)]
    rows: dict[tuple[Cell, int], dict[str, Any]] = {}
    for task, row in _run_trials(study, tasks, folder, workers=max(1, cores // study.threads)):
        report(*task, row["validation_loss"])
        rows[task] = row
    frame = pd.DataFrame(
        [{"scale": cell.scale, "strategy": cell.strategy, "trial": trial} | rows[cell, trial] for cell, trial in tasks]
    )
    lowest = frame.groupby(["scale", "strategy"])["validation_loss"].transform("min")
    frame["best"] = frame["validation_loss"] == lowest
    frame.to_csv(folder / TRIALS, index=False, lineterminator="\n")
    (folder / "best.yaml").write_text(format_best(frame), encoding="utf-8")
    return frame


def _run_trials(
    study: Study, tasks: list[tuple[Cell, int]], folder: Path, *, workers: int
) -> Iterator[tuple[tuple[Cell, int], dict[str, Any]]]:
    """Every trial and its row, as they end; each worker is a process of its own, since seeds are set for a process."""
    if workers == 1:
        limit_threads(study.threads)
        for task in tasks:
            yield task, _run_trial(study, *task, folder)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (study.threads,))
    with pool:
        waiting = {pool.submit(_run_trial, study, *task, folder): task for task in tasks}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)  # an error or an interruption waits for what is running, no more


def _start_worker(threads: int) -> None:
    """An interruption is the first process's to handle: a trial that is under way ends, and is kept."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_threads(threads)


def draw_trial(settings: StrategySettings, search: SearchSettings, trial: int) -> StrategySettings:
    """The settings of one trial; the first is the study's own, and every cell draws the same factors.

    Every second trial divides the learning rate by what the one before multiplies it with: however few there are, both
    sides of the study's own rate are tried.
    """
    if trial == 0:
        return settings
    draw = random.Random(f"0/{trial}")
    power = draw.uniform(-1, 1)
    if trial % 2 == 0:
        power = -random.Random(f"0/{trial - 1}").uniform(-1, 1)
    rates = {name: getattr(settings, name) for name in ("learning_rate", "full_learning_rate")}
    changes: dict[str, Any] = {
        name: float(f"{rate * RATE_FACTOR**power:.3g}") for name, rate in rates.items() if rate is not None
    }
    rank, steps = draw.choice(search.ranks or (None,)), draw.choice(search.steps or (None,))
    if rank and settings.has_adapters:
        changes["rank"] = rank
    if steps:
        changes["steps"] = steps
    return settings.model_copy(update=changes)


def _run_trial(study: Study, cell: Cell, trial: int, folder: Path) -> dict[str, Any]:
    """One training; its weights are not kept."""
    work = open_work(study, "finetune", *cell)
    settings = draw_trial(study.settings_of(*cell), study.search, trial)
    key = digest({"settings": settings.deciding(), "training": training_key(work, study.seeds[0])})

    def run(part: Path) -> None:
        loss, seconds = (_read_trained(work) if trial == 0 else None) or _train(work, settings, part / "training")
        used = settings.used()
        row = {name: used.get(name) for name in TUNED}
        write_json(row | {"validation_loss": loss, "seconds": round(seconds, 1)}, part / ROW)

    kept = keep_folder(folder / f"{cell.scale}-{cell.strategy}-{trial:03d}", key, run)
    return json.loads((kept.folder / ROW).read_text(encoding="utf-8"))


def _read_trained(work: Work) -> tuple[float, float] | None:
    """Loss and seconds of the study's own training of its first seed; None if that is not finished."""
    name = f"seed-{work.study.seeds[0]}"
    if (piece := work.find_piece(name, training_key(work, work.study.seeds[0]))) is None:
        return None
    return read_result(piece.folder).last_loss, piece.seconds


def _train(work: Work, settings: StrategySettings, out: Path) -> tuple[float, float]:
    """Loss and seconds of a training, whose folder is removed."""
    started = time.monotonic()
    try:
        loss = train_seed(work, work.study.seeds[0], out, settings).last_loss
    except FloatingPointError:
        loss = float("inf")  # a rate that breaks the training off is a result of the search
    shutil.rmtree(out, ignore_errors=True)
    return loss, time.monotonic() - started


def format_best(trials: pd.DataFrame) -> str:
    """The best settings of each cell as the part of a study file that holds them."""

    strategies: dict[str, dict[str, Any]] = {}
    for row in trials[trials["best"]].drop_duplicates(["scale", "strategy"]).to_dict("records"):
        chosen = {name: row[name] for name in TUNED if row[name] is not None and row[name] == row[name]}
        chosen |= {name: int(chosen[name]) for name in ("rank", "steps") if name in chosen}
        strategies.setdefault(row["strategy"], {"by_scale": {}})["by_scale"][row["scale"]] = chosen
    count = trials.groupby(["scale", "strategy"])["trial"].count().max()
    said = f"Lowest validation loss of {count} trials for each strategy and model size; trials.csv holds all of them."
    return f"# {said}\n" + yaml.safe_dump({"strategies": strategies}, sort_keys=False)


def export_search(study: Study, target: Path) -> Path:
    """Write the trials of a study's search (``search_settings``) as ``search_trials.csv``.

    Raises
    ------
    InputError
        If there are none, or the study's own settings are not those of the first trials.
    """
    path = study.folder / FOLDER / TRIALS
    remedy = f"Run 'compliance-xai study search {study.name}' first."
    if not path.is_file():
        raise InputError(str(path), expected="the trials of a search", found="no such file", remedy=remedy)
    trials = pd.read_csv(path)
    first = trials[trials["trial"] == 0].set_index(["scale", "strategy"])[list(TUNED)].astype(float)
    cells = [cell for cell in study.cells() if study.strategies[cell.strategy].trains]
    own = pd.DataFrame(
        [{name: study.settings_of(*cell).used().get(name) for name in TUNED} for cell in cells],
        index=pd.MultiIndex.from_tuples(cells, names=["scale", "strategy"]),
        dtype=float,
    )
    if not first.sort_index().equals(own.sort_index()):
        expected = "trials around the study's present settings"
        raise InputError(str(path), expected=expected, found="others", remedy=remedy)
    target.mkdir(parents=True, exist_ok=True)
    kept = target / "search_trials.csv"
    trials.to_csv(kept, index=False, float_format="%.6g", lineterminator="\n")
    return kept
