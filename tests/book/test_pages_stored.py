"""The pages of stored studies: made from whatever tables an export holds, and nothing else."""

import json
from pathlib import Path

import pandas as pd
import pytest

from compliance_xai.book import parts as pages
from compliance_xai.book.stored import format_absent, format_stored, read_stored

REPOSITORY = Path(__file__).resolve().parents[2]
SCALES = {"0.3m": 300_000, "1m": 1_000_000}
STRATEGIES = ("full", "lora", "lora+")
MANIFEST = {
    "study": {
        "name": "mine",
        "scales": list(SCALES),
        "strategies": {name: {"kind": name} for name in STRATEGIES},
        "seeds": [0, 1],
        "corpus": {"source": "synthetic", "evaluate_on": "test"},
        "ladder": "embedded",
        "attribution": {"method": "leave_one_out", "baselines": ["delete", "mask"], "picked_baselines": ["mask"]},
        "tests": {"C1": {"outcome": "jensen_shannon", "margin": 1.1}},
    },
    "machine": {"processor": "A <fast> one", "cores": "2", "memory": "24 GiB"},
    "version": "0.1.0",
    "finished": "2026-11-21",
    "seconds": {"finetune": 5400.0, "attribute": 1800.0},
    "note": "The machine was busy.",
}
FINDING = {"claim": "C1", "verdict": "inconclusive", "statement": "a <b>", "corpus": "c", "ladder": "l"}


@pytest.fixture
def folder(tmp_path):
    """The least that an export can hold."""
    stored = tmp_path / "mine"
    stored.mkdir()
    (stored / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    (stored / "findings.json").write_text(json.dumps([FINDING]), encoding="utf-8")
    quality = {"scale": "1m", "strategy": "full", "seed": [0, 1], "split": "test", "metric": "lrml_f1"}
    pd.DataFrame(quality | {"value": [40.0, 41.0]}).to_csv(stored / "quality.csv", index=False)
    return stored


def cells(**columns):
    rows = [
        {"scale": scale, "parameters": size, "strategy": name, "method": "leave_one_out", "sign": "absolute"} | columns
        for scale, size in SCALES.items()
        for name in STRATEGIES
    ]
    return pd.DataFrame(rows)


def with_interval(frame, name, values):
    return frame.assign(**{name: values, "low": [v - 0.1 for v in values], "high": [v + 0.1 for v in values]})


def titles(text):
    return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]


def test_a_stored_study_is_shown_with_its_machine_and_verdicts(folder, tmp_path):
    text = format_stored(folder, tmp_path / "stored" / "mine")
    assert "2 cores, 24 GiB. The machine was busy. The study" in text
    assert "A &lt;fast&gt; one" in text
    assert ">40.5<" in text
    assert "inconclusive" in text
    assert "a <b>" not in text
    assert ">2.0 hours<" in text
    assert ">C1: outcome jensen shannon, margin 1.1<" in text
    assert titles(text) == ["The four claims", "How good are the rules?", "The study"]
    assert "holds no numbers for these sections: *Does attribution point at the right words?*" in text


def test_figures_are_drawn_from_stored_tables_and_linked(folder, tmp_path):
    summary = cells(baseline="delete", measure="normalised_entropy", n_clauses=40)
    with_interval(summary, "mean", [0.5, 0.6, 0.7, 0.4, 0.5, 0.6]).to_csv(folder / "summary.csv", index=False)
    correctness = pd.concat(
        [cells(baseline="delete", kind=kind, n_clauses=40, n_links=90) for kind in ("all", "value")]
    )
    correctness = correctness.assign(sign="positive", precision_at_k=0.8)
    for end, value in (("_low", 0.7), ("_high", 0.9), ("_chance_low", 0.05), ("_chance_high", 0.2)):
        correctness[f"precision_at_k{end}"] = value
    correctness.to_csv(folder / "correctness.csv", index=False)
    text = format_stored(folder, tmp_path / "stored" / "mine")
    assert {"How focused is attribution?", "Does attribution point at the right words?"} < set(titles(text))
    assert 'href="../_static/stored/mine/focus-by-scale.csv"' in text
    drawn = pd.read_csv(tmp_path / "stored" / "mine" / "focus-by-scale.csv")
    assert drawn["mean"].tolist() == [0.5, 0.6, 0.7, 0.4, 0.5, 0.6]
    assert (tmp_path / "stored" / "mine" / "correctness-by-scale-precision-at-k.png").is_file()


def test_many_strategies_get_rows_in_the_place_of_lines(folder, tmp_path):
    one = cells(baseline="delete", kind="all", n_clauses=40, n_links=90, sign="positive", precision_at_k=0.8)
    one = pd.concat([one.assign(strategy=one["strategy"] + end) for end in ("", "-b")], ignore_index=True)
    for end, value in (("_low", 0.7), ("_high", 0.9), ("_chance_low", 0.05), ("_chance_high", 0.2)):
        one[f"precision_at_k{end}"] = value
    one.to_csv(folder / "correctness.csv", index=False)
    assert "figure-correctness-by-element-precision-at-k" in format_stored(folder, tmp_path / "stored" / "mine")


def protocol_tables(folder):
    rows = [
        {"protocol": protocol, "scale": scale, "method": "leave_one_out", "baseline": "mask", "sign": "absolute",
         "measure": "normalised_entropy", "strategy_a": a, "strategy_b": b, "n": 40, "mean_difference": value,
         "low": value - 0.1, "high": value + 0.2, "p_holm": 0.25}
        for protocol in ("matched_compute", "matched_loss", "best")
        for scale in (*SCALES, "all")
        for a, b, value in (("full", "lora", -0.25), ("lora+", "full", 0.5))
        if (protocol, b) != ("matched_loss", "full")
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "protocol_pairs.csv", index=False)
    picks = [
        {"protocol": protocol, "scale": scale, "strategy": name, "seed": seed, "step": 100, "loss": 0.5,
         "reached": (protocol, name) != ("matched_loss", "lora+")}
        for protocol in ("matched_compute", "matched_loss", "best")
        for scale in SCALES for name in STRATEGIES for seed in (0, 1)
    ]  # fmt: skip
    pd.DataFrame(picks).to_csv(folder / "protocol_picks.csv", index=False)


def test_protocols_stand_side_by_side_and_what_was_not_reached_is_said(folder, tmp_path):
    protocol_tables(folder)
    text = format_stored(folder, tmp_path / "stored" / "mine")
    assert "At equal compute, at equal loss, and each at its best" in titles(text)
    assert "-0.250 [-0.350,\u00a0-0.050], p\u00a0=\u00a00.25" in text
    # The other way round: full less lora+ is minus what the table holds, and its bounds change places.
    assert "-0.500 [-0.700,\u00a0-0.400], p\u00a0=\u00a00.25" in text
    missed = text.split('<th scope="col" class="cx-number">reached</th>')[1].split("</table>")[0]
    assert missed.count("<td>lora+</td>") == len(SCALES)
    drawn = pd.read_csv(tmp_path / "stored" / "mine" / "protocols-normalised-entropy.csv")
    assert len(drawn) == 15
    assert (drawn["value"] < 0).all()


def test_the_mixed_model_and_equivalence_are_shown_for_every_strategy(folder, tmp_path):
    view = {"method": "leave_one_out", "sign": "absolute"}
    nothing = float("nan")
    mixed = {
        "baseline": ["delete", "mask"] * 2, "measure": "normalised_entropy",
        "strategy_a": ["full", "full", "lora+", "lora+"], "strategy_b": ["lora", "lora", "full", "full"],
        "estimate": [-0.5, -0.25, 0.5, nothing], "low": [-0.75, -0.5, 0.25, nothing],
        "high": [-0.25, 0.0, 1.0, nothing], "p": [0.01, 0.05, 0.02, nothing],
        "reason": ["", "", "", "it did not converge"],
    }  # fmt: skip
    pd.DataFrame(mixed | view).to_csv(folder / "mixed.csv", index=False)
    same = {"baseline": "delete", "a": ["full", "lora"], "b": ["lora", "lora+"], "n": 40, "mean_difference": 0.5}
    same |= {"low": 0.25, "high": 0.75, "margin": 0.125, "p_tost": 0.9, "p_tost_run": 0.8, "equivalent": [False, True]}
    pd.DataFrame(same | view).to_csv(folder / "strategy_equivalence.csv", index=False)
    text = format_stored(folder, tmp_path / "stored" / "mine")
    assert "-0.500 [-0.750,\u00a0-0.250], p\u00a0=\u00a00.01" in text
    assert "-0.500 [-1.000,\u00a0-0.250], p\u00a0=\u00a00.02" in text
    assert "<td>it did not converge</td>" in text
    assert ">yes<" in text
    assert "0.500 [0.250,\u00a00.750]" in text


def test_distances_between_strategies_stand_beside_those_between_seeds(folder, tmp_path):
    tests = {
        "scale": "all", "method": "leave_one_out", "baseline": "delete", "sign": "absolute",
        "measure": ["jensen_shannon", "jensen_shannon", "spearman"], "strategy_a": ["full", "lora", "full"],
        "strategy_b": ["lora", "lora+", "lora"], "n_clauses": 40, "within": 0.125, "between": 0.25, "ratio": 2.0,
        "ratio_low": 1.5, "ratio_high": 2.5, "p_run": [0.004, 0.3, float("nan")], "p_run_smallest": 0.004,
        "reason": ["", "", "a single seed"],
    }  # fmt: skip
    pd.DataFrame(tests).to_csv(folder / "distance_tests.csv", index=False)
    text = format_stored(folder, tmp_path / "stored" / "mine")
    assert "0.250 / 0.125, p\u00a0=\u00a00.004" in text
    assert "<td>a single seed</td>" in text
    assert "this many seeds could reach p = 0.004" in text
    assert "a lower bound of at least 1.1" in text
    drawn = pd.read_csv(tmp_path / "stored" / "mine" / "separation.csv")
    assert len(drawn) == 2  # the pair without full is no part of the claim


def test_the_export_from_before_methods_were_compared_is_read_as_it_is(tmp_path):
    folder = REPOSITORY / pages.STORED / "nzbc"
    text = format_stored(folder, tmp_path / "stored" / "nzbc")
    shown = titles(text)
    assert {"How focused is attribution?", "Different patterns, or different seeds?"} < set(shown)
    assert "Does attribution point at the right words?" not in shown
    named = text.split("holds no numbers for these sections: ")[1]
    assert "*Does attribution point at the right words?*" in named
    assert not any(f"*{title}*" in named for title in shown)
    if "tests" not in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["study"]:
        assert set(read_stored(folder, "summary")["method"]) == {"leave_one_out"}
        assert "By today's rules the claims about attributions would be *inconclusive* by design." in text


def test_a_chapter_whose_study_is_not_stored_says_how_to_make_it():
    text = format_absent("reference")
    assert "compliance-xai study run reference" in text
    assert "compliance-xai study export reference data/results/reference" in text


@pytest.mark.parametrize("name", pages.CHAPTERS)
def test_every_stored_study_with_a_chapter_is_drawn_as_it_lies_here(name, tmp_path):
    folder = REPOSITORY / pages.STORED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    text = format_stored(folder, tmp_path / "stored" / name)
    assert f"`data/results/{name}`" in text
    assert text.count("<figure") >= 3
