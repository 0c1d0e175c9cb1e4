"""The computed parts of chapters: made from scores and verdicts, never typed."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from compliance_xai.book import evidence, strategy_parts
from compliance_xai.book import parts as pages
from compliance_xai.book import worked_example as worked
from compliance_xai.records import Attribution, Feature, TargetToken

REPOSITORY = Path(__file__).resolve().parents[2]


def test_verdicts_are_the_solvers():
    text = worked.format_verdicts()
    assert text.startswith("```{raw} html\n")
    assert text.rstrip().endswith("\n```")
    counts = {answer: text.count(f"b ({answer})") for answer in ("equivalent", "stronger", "different", "unknown")}
    assert counts == {"equivalent": 2, "stronger": 1, "different": 2, "unknown": 0}
    assert "door.width = 875 mm" in text


def test_scores_show_that_similar_is_not_right():
    from compliance_xai.rules.scores import score_rules

    written = [worked.EXAMPLES["variants"][name] for name in ("1.2 m", "1200 m")]
    scores = score_rules(written, [worked.EXAMPLES["reference"]] * 2, encoder="minilm")
    assert scores["equivalent"].tolist() == [1.0, 0.0]
    assert scores["semantic"][1] > scores["semantic"][0] > 0.98  # the chapter says so
    assert f"{scores['semantic'][1]:.3f}" in worked.format_scores()


def test_an_unchanged_part_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(worked, "format_scores", lambda: "scores")
    monkeypatch.setattr(worked, "format_verdicts", lambda: "verdicts")
    monkeypatch.setattr(strategy_parts, "format_plan", lambda: "plan")
    study = SimpleNamespace(name="none", scales=(), strategies={}, cells=tuple)
    plan = SimpleNamespace(study=study, states={}, jobs={})
    monkeypatch.setattr(evidence, "format_speed", lambda project: "speed")
    monkeypatch.setattr(strategy_parts, "format_costs", lambda study: "costs")
    parts = {part.stem: part for part in pages.write_parts(tmp_path, plan)}
    assert {"speed", "verdicts"} < set(parts)
    assert {f"worked_{name}" for name in ("features", "plan", "review", "score", "scores", "verdicts")} < set(parts)
    assert "No model of this study has been trained yet" in parts["worked_review"].read_text(encoding="utf-8")
    monkeypatch.setattr(worked, "format_scores", lambda: pytest.fail("computed again"))
    before = {name: part.stat().st_mtime_ns for name, part in parts.items()}
    pages.write_parts(tmp_path, plan)
    assert {name: part.stat().st_mtime_ns for name, part in parts.items()} == before
    parts["worked_verdicts"].write_text("% another key\n\nold\n", encoding="utf-8")
    pages.write_parts(tmp_path, plan)
    assert "verdicts" in parts["worked_verdicts"].read_text(encoding="utf-8")


def test_the_largest_trained_scale_writes_the_rules_under_review():
    states = {
        "s-full-finetune": "done",
        "m-full-finetune": "stale",
        "s-lora-finetune": "done",
        "m-lora-finetune": "done",
    }
    study = SimpleNamespace(scales=("s", "m"))
    jobs = {}
    for name in states:
        scale, strategy, stage = name.split("-")
        jobs[name] = SimpleNamespace(scale=scale, strategy=strategy, stage=stage, key=f"key of {name}")
    plan = SimpleNamespace(study=study, states=states, jobs=jobs)
    assert worked.find_trained(plan) == [
        ("m", "lora", "key of m-lora-finetune"),
        ("s", "full", "key of s-full-finetune"),
        ("s", "lora", "key of s-lora-finetune"),
    ]


def test_the_measured_score_is_the_one_that_its_sentence_computes():
    features = (Feature(0, 5, "Doors", "object"), Feature(6, 9, "850", "number"))
    tokens = tuple(TargetToken(start, start + len(text), text) for text, start in (("w,", 0), ("8", 2), ("50", 3)))
    probabilities = np.log([[0.5, 0.8, 0.5], [0.5, 0.4, 0.5], [0.5, 0.1, 0.4]])  # whole clause, without each word
    found = Attribution(
        "x",
        "Doors 850",
        "w,850",
        features,
        tokens,
        (probabilities[0] - probabilities[1:]).astype("float32"),
        probabilities[0].astype("float32"),
    )
    text = worked._say_score(found, 2, 5, name="<mine>")
    assert "“850” is “850”: ln 0.4000 − ln (0.0400) = 2.30 nats" in text
    assert "&lt;mine&gt;" in text
    assert '<tr><td>Doors</td><td>0.2000</td><td class="cx-number">0.69</td>' in text
    assert worked._say_probability(1.01e-8) == "1.01 × 10⁻⁸"
    assert worked.format_score(SimpleNamespace(), None).startswith("No model of this study")


def test_the_chapter_on_features_says_what_was_measured():
    path = REPOSITORY / evidence.AGREEMENT
    train, test = json.loads(path.read_text(encoding="utf-8"))["splits"]
    assert (train["role"], test["role"]) == ("tuned on", "held out")
    seen, unseen = train["labels"][0], test["labels"][0]
    assert unseen["label"] == "value"
    assert unseen["f1"] + 0.1 < seen["f1"]  # "clearly less well"
    assert unseen["high"] - unseen["low"] > 2 * (seen["high"] - seen["low"])  # "the interval is wide"
    assert f"{unseen['f1']:.2f} ({unseen['low']:.2f}" in evidence.format_agreement(path)
    assert "<td>number</td><td>850</td>" in worked.format_features()


def test_chapters_include_parts_that_are_made():
    made = {
        "landing.md",
        "reviewed.md",
        "citation.md",
        "power.md",
        "verdicts.md",
        "speed.md",
        "agreement.md",
        "measured_planner.md",
        "measured_training.md",
    }
    made |= {f"worked_{name}.md" for name in ("features", "plan", "review", "score", "scores", "verdicts")}
    made |= {f"strategies_{name}.md" for name in ("kinds", "ladders", "pretraining", "costs")}
    for page in (REPOSITORY / "book").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        included = {
            line.split("runs/")[1].strip() for line in text.splitlines() if line.startswith("```{include} runs/")
        }
        assert included <= made, page.name


def test_the_speed_figure_shows_what_was_measured(tmp_path):
    assert "make bench" in evidence.format_speed(tmp_path)
    cases = [
        {"varied": varied, "size": size, "system": system, "seconds": size * slow, "minimum": 100 * size}
        for varied in ("clause", "target")
        for size in (10, 20)
        for system, slow in (("this engine", 0.01), ("captum, teacher-forced", 0.03), ("shap", 0.05))
    ]
    seconds = {"this engine": 2.0, "plain batched loop": 4.0}
    efficiency = {"this engine": 0.8125, "captum, teacher-forced": 0.25}
    loo = {"captum_over": {"this engine": 2.75}, "seconds": seconds, "efficiency": efficiency}
    model = {"leave_one_out": loo, "long_prefix": {"ratio": 5.25}, "shap": {"ratio": 3.5}}
    result = {"growth": {"model": "1 M", "cases": cases}, "models": {"1 M": model}, "threads": 1}
    result |= {"machine": {"processor": "A <fast> one"}, "versions": {"captum": "0.9.0", "shap": "0.51.0"}}
    path = tmp_path / evidence.SPEED
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(result), encoding="utf-8")
    text = evidence.format_speed(tmp_path)
    for shown in (
        ">2.75<",
        ">4.00<",
        ">2.00<",
        ">5.25<",
        ">3.50<",
        ">0.81<",
        "A &lt;fast&gt; one",
        "captum 0.9.0",
        "0.6 s",
    ):
        assert shown in text, shown
    assert 'href="../_static/speed/attribution-speed.csv"' in text
    drawn = pd.read_csv(tmp_path / "book" / "runs" / "_static" / "speed" / "attribution-speed.csv")
    ours = drawn[drawn["system"] == "this engine"]
    assert ours["scaled_minimum"].tolist() == pytest.approx(ours["seconds"].tolist())
