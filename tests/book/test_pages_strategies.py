"""The tables of the chapter on models and strategies."""

import json

import pandas as pd

from compliance_xai.book import strategy_parts as strategies
from compliance_xai.study.folders import find_data_folder
from compliance_xai.study.settings import load_study
from compliance_xai.study.strategy_settings import KINDS


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
