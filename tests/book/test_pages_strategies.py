"""The tables of the chapter on models and strategies."""

import json
import re

import pandas as pd

from compliance_xai.book import compared
from compliance_xai.book import strategy_parts as strategies
from compliance_xai.study.folders import find_data_folder
from compliance_xai.study.settings import KINDS, load_study


def test_every_kind_and_every_rung_is_listed():
    kinds = strategies.format_kinds()
    assert all(f">{kind}<" in kinds for kind in KINDS)
    ladders = strategies.format_ladders()
    assert "hub: Qwen/Qwen2.5-Coder-32B-Instruct" in ladders
    assert "32,763,876,352" in ladders
    assert "trained by you: make ladder RUNGS=&quot;30m&quot;" in ladders
    assert "shipped" in ladders


def test_pre_training_is_shown_from_the_logs_of_the_rungs(tmp_path):
    text = strategies.format_pretraining(tmp_path / "pretraining")
    logs = [json.loads(file.read_text("utf-8")) for file in (find_data_folder() / "ladders").glob("*/*/training.json")]
    assert text.count("<tr>") == len(logs) + 1
    drawn = pd.read_csv(tmp_path / "pretraining" / "pretraining.csv")
    for log in logs:
        assert f">{log['parameters']:,}<" in text
        assert f"{log['exact_held_out']['list']:.1%} (" in text
        here = drawn[drawn["rung"] == log["recipe"]["name"]]
        assert here["exact"].tolist() == [point["exact"] for point in log["curve"]]
    assert drawn["parameters"].is_monotonic_increasing


def test_costs_say_where_there_are_none_and_average_over_seeds(toy, monkeypatch):
    study = load_study(toy.study)
    assert "not compared its strategies yet" in strategies.format_costs(study)
    folder = toy.folder / "results" / "toy" / "compare_strategies"
    folder.mkdir(parents=True)
    monkeypatch.setattr(strategies, "read_manifest", lambda folder: {})
    rows = [("s", "lora", seed, 0.25, 100.0 + seed) for seed in (0, 1)]
    frame = pd.DataFrame(rows, columns=["scale", "strategy", "seed", "share", "seconds"])
    frame.assign(trained=50, validation_loss=0.5, peak_memory_bytes=2**20).to_parquet(folder / "costs.parquet")
    text = strategies.format_costs(study)
    assert "means over training seeds (2)" in text
    assert ">25.0%<" in text
    assert ">100.5<" in text
    assert "runs/toy/compare_strategies.ipynb" not in text


def test_a_stored_search_shows_what_was_tried_and_how_far_the_best_trial_is(tmp_path):
    assert compared.format_search(tmp_path).startswith(
        "No search is stored yet: `compliance-xai study search reference"
    )
    folder = tmp_path / "data" / "results" / "mine"
    folder.mkdir(parents=True)
    rows = [
        ("s", "full", 0, 1e-3, None, None, 300, 0.5, 60.0, False),
        ("s", "full", 1, 4e-3, None, None, 300, 0.25, 90.0, True),
        ("s", "lora", 0, 2e-3, None, 8, 300, 0.375, 60.0, True),
        ("s", "lora", 1, 8e-3, None, 16, 300, float("inf"), 30.0, False),
    ]
    tuned = ["learning_rate", "full_learning_rate", "rank", "steps"]
    columns = ["scale", "strategy", "trial", *tuned, "validation_loss", "seconds", "best"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / compared.SEARCH, index=False)
    text = compared.format_search(tmp_path)
    assert "Search of the study mine" in text
    full, lora = (re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in text.split("<tr>")[2:])
    assert full == [
        "s",
        "full",
        "2",
        "0.5000",
        "0.2500",
        "0.004",
        "–",
        "300",
        "0",
        "150",
    ]
    assert lora == [
        "s",
        "lora",
        "2",
        "0.3750",
        "0.3750",
        "0.002",
        "8",
        "300",
        "1",
        "90",
    ]
    assert "2 trials for every strategy at every scale, one training seed, 4 minutes of training; learning" in text
    assert "best in 1 of 2 cells" in text
    assert "learning rates of 1 to 4 times a cell's own, ranks 8, 16, steps 300. The" in text


def test_who_sets_the_loss_to_match_is_said(tmp_path):
    protocols = {"protocol": "matched_loss", "scale": "s", "reached": True, "reason": ""}
    rows = [("full", 0, 0.41, 0.4), ("lora", 0, 0.4, 0.4), ("full", 1, 0.5, 0.5), ("lora", 1, 0.5, 0.5)]
    picks = pd.DataFrame(
        [protocols | dict(zip(("strategy", "seed", "loss", "target"), row, strict=True)) for row in rows]
    )
    assert compared.say_who_sets_the_loss(picks) == (
        " The loss to match was set, in 2 pairs of scale and seed, by lora in 2, full in 1."
    )
    assert compared.say_who_sets_the_loss(picks.iloc[:0]) == ""


def test_without_a_stored_study_the_chapter_says_what_makes_one(tmp_path):
    text = compared.format_compared(tmp_path, tmp_path / "drawn")
    assert text == (
        "No study that compares under several protocols is stored yet: `compliance-xai study export reference FOLDER` "
        "does it.\n"
    )
