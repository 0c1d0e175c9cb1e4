"""The explorer's data: exact sums over pieces, one byte a score, and every text as data."""

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest

from compliance_xai.book import explorer
from compliance_xai.errors import InputError
from compliance_xai.pipeline.grid import stage_folder
from compliance_xai.records import (
    Attribution,
    Example,
    Feature,
    Generation,
    Link,
    TargetToken,
    attribution_row,
    write_attributions,
    write_records,
)
from compliance_xai.study.settings import load_study

RULE = "is(door.width,0.5 mm)"
TOKENS = [(0, 2), (2, 3), (3, 5), (5, 7), (7, 8), (8, 13), (13, 14), (14, 15), (15, 17), (17, 20), (20, 21), (21, 21)]
CLAUSE = "Doors: </script> 0.5 mm"


def make_attribution(scale=1.0, *, id="a", tokens=TOKENS, method="leave_one_out"):
    words = [(0, 5, "object"), (7, 16, "other"), (17, 20, "number"), (21, 23, "unit")]
    scores = np.random.default_rng(0).normal(size=(len(words), len(tokens))).astype(np.float32) * scale
    return Attribution(
        id=id,
        clause=CLAUSE,
        target=RULE,
        features=tuple(Feature(start, end, CLAUSE[start:end], kind) for start, end, kind in words),
        target_tokens=tuple(TargetToken(start, end, RULE[start:end]) for start, end in tokens),
        scores=scores,
        baseline_log_probs=np.zeros(len(tokens), dtype=np.float32),
        provenance={"method": method},
    )


def unpack(packed, shapes):
    peaks = np.frombuffer(base64.b64decode(packed["peaks"]), "<f4")
    steps = np.frombuffer(base64.b64decode(packed["steps"]), np.int8)
    found = []
    for words, columns in shapes:
        found.append(steps[: words * columns].reshape(words, columns) * peaks[:columns] / explorer.STEPS)
        steps, peaks = steps[words * columns :], peaks[columns:]
    assert len(steps) == len(peaks) == 0
    return found


def test_pieces_are_what_a_reader_points_at():
    pieces = explorer.cut_pieces(make_attribution())
    assert [RULE[start:end] for start, end in pieces] == ["is", "(", "door.width", ",", "0.5", " mm", ")", ""]


def test_a_token_over_several_lexemes_is_not_cut():
    joined = [*TOKENS[:5], (8, 14), *TOKENS[7:]]
    pieces = explorer.cut_pieces(make_attribution(tokens=joined))
    assert [RULE[start:end] for start, end in pieces][1:4] == ["(", "door.width,", "0.5"]


def test_scores_come_back_within_half_a_step():
    attributions = [make_attribution(), make_attribution(20.0)]
    pieces = [explorer.cut_pieces(attribution) for attribution in attributions]
    found = unpack(explorer.pack_scores(attributions, pieces), [(4, 9), (4, 9)])
    for attribution, columns in zip(attributions, found, strict=True):
        scores = attribution.scores.astype(float)
        groups = [slice(0, 1), slice(1, 2), slice(2, 6), slice(6, 7), slice(7, 9), slice(9, 10), slice(10, 11)]
        groups += [slice(11, 12)]
        exact = np.column_stack([scores.sum(axis=1), *(scores[:, group].sum(axis=1) for group in groups)])
        assert (np.abs(columns - exact) <= 0.501 * np.abs(exact).max(axis=0) / explorer.STEPS).all()


def test_a_column_without_any_score_stays_zero():
    attribution = make_attribution(0.0)
    (columns,) = unpack(explorer.pack_scores([attribution], [explorer.cut_pieces(attribution)]), [(4, 9)])
    assert (columns == 0).all()


def test_changes_are_what_the_reference_lacks():
    assert explorer.find_changes("if(a),then(b)", "if(a),then(b)") == []
    changed = "if(lessThan(a.b,5 mm),extra)"
    found = [changed[start:end] for start, end in explorer.find_changes(changed, "if(greaterThan(a.b,5 m))")]
    assert found == ["lessThan", "mm", ",extra"]


@pytest.fixture
def study(toy):
    """A study of which two cells of one scale have run."""
    study = load_study(toy.study)
    example = Example("a", CLAUSE, RULE, "](javascript:x)", "test", (Link("object", 3, 7, ((0, 5),)),))
    write_records(Example, [example], stage_folder("toy", "corpus") / "examples.parquet")
    for strategy in ("none", "full"):
        attribute, generate = (stage_folder("toy", stage, "s", strategy) for stage in ("attribute", "generate"))
        write_attributions(
            [
                *(attribution_row(make_attribution(), seed=0, baseline=baseline) for baseline in ("delete", "mask")),
                attribution_row(make_attribution(2.0, method="shapley"), seed=0, baseline="delete"),
            ],
            attribute / "attributions.parquet",
        )
        focus = {"id": "a", "seed": 0, "sign": "absolute", "baseline": ["delete", "mask", "delete"]}
        focus |= {"method": ["leave_one_out", "leave_one_out", "shapley"], "normalised_entropy": [0.25, 0.5, 0.75]}
        pd.DataFrame(focus).to_parquet(attribute / "focus.parquet")
        write_records(
            Generation, [Generation("a", 0, RULE.replace("is", "has"), 9, True)], generate / "generations.parquet"
        )
        one = pd.DataFrame({"id": ["a"], "seed": [0]})
        one.assign(exact=0.0).to_parquet(generate / "scores.parquet")
        one.assign(answer="different", counterexample="a = 1: satisfies a, not b").to_parquet(
            generate / "verdicts.parquet"
        )
        pd.concat([one, one]).assign(kind="wrong_predicate").to_parquet(generate / "errors.parquet")
        for folder in (attribute, generate):
            (folder / "manifest.json").write_text("{}", encoding="utf-8")
    return study


def read_script(path, start):
    text = path.read_text(encoding="utf-8")
    assert text.isascii()
    return json.loads(re.search(re.escape(start) + r"(.*?)\)?;\n$", text, re.S).group(1))


def test_the_scripts_hold_what_ran(study, toy):
    folder = explorer.write_explorer(study, toy.folder)
    index = read_script(folder / "index.js", "window.explorerData = ")
    (scale,) = index["scales"]
    assert scale == {"name": "s", "file": "scale-0.js", "strategies": ["none", "full"], "label": "s", "size": "1e-06M"}
    assert [strategy["label"] for strategy in index["strategies"]] == ["untouched base", "full fine-tuning"]
    (record,) = index["clauses"]
    assert (record["clause"], record["context"], record["links"]) == (
        CLAUSE,
        "](javascript:x)",
        [["object", 3, 7, [[0, 5]]]],
    )
    scale = read_script(folder / "scale-0.js", 'explorerData.take("s",')
    assert set(scale["scores"]) == {f"{name}|0|{kind}" for name in ("none", "full") for kind in ("delete", "mask")}
    assert (scale["focus"]["full|0|delete"], scale["focus"]["full|0|mask"]) == ([0.25], [0.5])
    (columns,) = unpack(scale["scores"]["full|0|delete"], [(4, 9)])
    assert columns[:, 0] == pytest.approx(make_attribution().scores.sum(axis=1), abs=0.1)
    (written,) = scale["written"]["full|0"]
    assert (written["changes"], written["exact"], written["errors"]) == ([[0, 3]], False, ["wrong_predicate"])
    assert written["case"] == "a = 1: satisfies a, not b"
    assert written["items"] is None  # nothing was measured


def test_what_a_review_found_comes_with_the_written_rule(study, toy, monkeypatch):
    part = {
        "item": "part",
        "text": "is",
        "start": 0,
        "end": 2,
        "chance": 0.1239,
        "probability": 0.5,
        "words": "Doors 1.2",
    }
    word = part | {"item": "word", "chance": np.nan, "probability": np.nan, "words": ""}
    items = [part | {"says": ["improbable"]}, word | {"says": []}, word | {"text": "0.5", "says": ["unread"]}]
    monkeypatch.setattr(explorer, "read_reviewed", lambda *cell: {(0, "a"): items})
    scale = read_script(explorer.write_explorer(study, toy.folder) / "scale-0.js", 'explorerData.take("s",')
    assert scale["written"]["full|0"][0]["items"] == [
        ["part", "is", 0, 2, 0.124, 0.5, "Doors 1.2", ["improbable"]],
        ["word", "0.5", 0, 2, None, None, "", ["unread"]],
    ]


def test_distances_are_those_of_one_seed_and_the_base_goes_with_every_seed(study, toy):
    folder = stage_folder("toy", "compare_strategies")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    pairs = [("none", 0, "full", 1), ("full", 0, "lora", 1), ("full", 1, "lora", 1)]
    rows = pd.DataFrame(pairs, columns=["strategy_a", "seed_a", "strategy_b", "seed_b"])
    rows = rows.assign(scale="s", sign="absolute", pair="between", baseline="delete", id="a", jensen_shannon=0.1234)
    rows = pd.concat([rows.assign(method="leave_one_out"), rows.assign(method="shapley", jensen_shannon=0.9)])
    rows.to_parquet(folder / "distances.parquet")
    scale = read_script(explorer.write_explorer(study, toy.folder) / "scale-0.js", 'explorerData.take("s",')
    assert scale["distances"] == {"none|0|full|1|delete": [0.123], "full|1|lora|1|delete": [0.123]}


def test_unchanged_scripts_are_left_alone_and_new_results_make_new_ones(study, toy):
    index = explorer.write_explorer(study, toy.folder) / "index.js"
    before = index.stat().st_mtime_ns
    explorer.write_explorer(study, toy.folder)
    assert index.stat().st_mtime_ns == before
    (stage_folder("toy", "attribute", "s", "full") / "manifest.json").unlink()
    explorer.write_explorer(study, toy.folder)
    assert read_script(index, "window.explorerData = ")["scales"][0]["strategies"] == ["none"]


def test_a_study_that_has_not_run_has_no_clauses(toy):
    folder = explorer.write_explorer(load_study(toy.study), toy.folder)
    assert read_script(folder / "index.js", "window.explorerData = ")["clauses"] == []
    assert [path.name for path in folder.iterdir()] == ["index.js"]


def test_runs_must_explain_the_same_clauses(study, toy):
    other = attribution_row(make_attribution(id="b"), seed=0, baseline="delete")
    write_attributions([other], stage_folder("toy", "attribute", "s", "full") / "attributions.parquet")
    with pytest.raises(InputError, match=r"explorer, s, full, seed 0, delete: expected the 1 clauses, rules, words"):
        explorer.write_explorer(study, toy.folder)
