"""Verdicts on whole studies whose truth is known, and the rules behind them."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from made_study import KINDS, declare, make_study, tabulate

from compliance_xai.stats.claims import (
    CONTRADICTED,
    NOT_JUDGED,
    SUPPORTED,
    UNDECIDED,
    Finding,
    findings_from_json,
    findings_to_json,
    judge,
    read_rules,
)
from compliance_xai.stats.competence import NEAREST, competence_table, correct_for_chance, failing_cells
from compliance_xai.stats.declared import CLAIMS, declared_from_json, declared_to_json, why_undecidable
from compliance_xai.stats.frames import records_frame
from compliance_xai.stats.further_findings import observe
from compliance_xai.stats.statements import NO, OPEN, YES, Views, decide, decide_plateau
from compliance_xai.stats.study_tables import RawFrames, find_clusters
from compliance_xai.study.stage_settings import Thresholds

PLANTED = {"apart": 0.6, "sharper": 0.2, "rise": 0.3, "clauses": 60, "baselines": ("delete", "mask", "average")}


ONE = {"1m": 1_000_000}


@pytest.fixture(scope="module")
def planted():
    declared, raw = declare(), make_study(**PLANTED)
    return declared, raw, tabulate(raw, declared)


def verdicts(declared, tables):
    return {one.claim: one for one in judge(declared, tables)}


def test_planted_effects_are_supported_with_their_size(planted):
    found = verdicts(planted[0], planted[2])
    assert {claim: one.verdict for claim, one in found.items()} == dict.fromkeys(CLAIMS, SUPPORTED)
    assert found["C1"].effect > 0.5
    assert "of the squared distance between two runs is due to the strategy (large)" in found["C1"].reason
    assert 0.05 < found["C2"].low < found["C2"].effect < found["C2"].high
    assert "fewer words than LoRA" in found["C2"].reason
    assert found["C3"].effect_name.startswith("more weight for ten times the parameters: numbers, units")
    assert found["C4"].reason.startswith("Same meaning, step by step: 0.3M to 1M +0.")
    first = found["C1"].statements[0]
    assert (first.answer, first.second, first.agree, first.views) == (YES, "same direction", 8, 8)
    assert (first.n_clauses, first.n_runs, first.left_out) == (60, 12, "")
    assert any("squared distance" not in text and "seeds" in text for text in found["C1"].beside)
    assert any("direct effect" in text for text in found["C2"].beside)
    assert any("untouched base changes by" in text for text in found["C3"].beside)
    assert any("chance taken off" in text for text in found["C4"].beside)
    for one in found.values():
        assert one.scope == "Corpus synthetic; embedded models of 0.3M, 1M, 4M."


def test_where_there_is_nothing_claims_are_contradicted_or_open_never_supported():
    declared = declare(seeds=5)
    found = verdicts(declared, tabulate(make_study(seeds=5, quality=(0.3, 0.5, 0.8), run=0.02), declared))
    assert found["C2"].verdict == CONTRADICTED
    assert found["C3"].verdict == CONTRADICTED
    assert found["C4"].verdict == CONTRADICTED  # the last step still rises
    assert found["C1"].verdict in (CONTRADICTED, UNDECIDED)
    assert "are not shown to rest on different numbers of words" in found["C2"].reason


def test_the_opposite_of_focus_is_contradicted():
    declared = declare()
    found = verdicts(declared, tabulate(make_study(sharper=-0.2), declared))["C2"]
    assert (found.verdict, found.effect < 0) == (CONTRADICTED, True)


def test_a_second_method_is_asked_for_the_direction_alone(planted):
    declared, _, tables = planted
    turned = tables["contrasts"].copy()
    other = turned["method"] == "owen"
    turned.loc[other, "difference"] *= -1
    found = verdicts(declared, tables | {"contrasts": turned})["C2"]
    assert found.verdict == UNDECIDED
    assert "the second method of attribution finds the opposite" in found.reason
    weak = tables["contrasts"].copy()
    weak.loc[other, "difference"] /= 100  # as a method whose numbers hardly spread: no veto
    assert verdicts(declared, tables | {"contrasts": weak})["C2"].verdict == SUPPORTED


def test_views_are_counted_not_tested(planted):
    declared, _, tables = planted
    turned = tables["contrasts"].copy()
    mask = (turned["method"] == "leave_one_out") & (turned["baseline"] == "mask")
    turned.loc[mask, "difference"] *= -1
    one = verdicts(declared, tables | {"contrasts": turned})["C2"]
    assert (one.statements[0].agree, one.statements[0].views) == (5, 8)
    assert (one.verdict, "only 5 of 8 other views agree" in one.reason) == (UNDECIDED, True)
    lenient = dataclasses.replace(declared, thresholds=declared.thresholds.model_copy(update={"min_agreement": 0.5}))
    assert verdicts(lenient, tables | {"contrasts": turned})["C2"].verdict == SUPPORTED


def test_the_same_interval_is_shown_and_decides(planted):
    declared, _, tables = planted
    wide = tables["contrasts"].assign(error=1.0, dof=5.0, p=0.9)
    found = verdicts(declared, tables | {"contrasts": wide})["C2"]
    assert found.verdict == UNDECIDED
    assert found.low < 0 < 0.05 < found.high
    assert "times as many runs and clauses" in found.what_would_change


def test_a_step_that_falls_leaves_a_rise_open(planted):
    declared, _, tables = planted
    sizes = tables["sizes"].copy()
    step = (sizes["kind"] == "step") & (sizes["a"] == "1m") & (sizes["measure"] == "log_lift")
    sizes.loc[step, ["change", "low", "high"]] = [-0.2, -0.3, -0.1]
    found = verdicts(declared, tables | {"sizes": sizes})["C3"]
    assert (found.verdict, "it falls from 1M to 4M" in found.reason) == (UNDECIDED, True)


def test_no_slope_is_read_from_a_bend(planted):
    declared, _, tables = planted
    bent = tables["sizes"].assign(line_p=tables["sizes"]["line_p"] * 0)
    one = verdicts(declared, tables | {"sizes": bent})["C3"]
    assert one.effect_name.startswith("more weight from the smallest to the largest model")
    assert "(no line fits)" in one.reason


def test_cells_below_the_copy_baseline_carry_no_verdict():
    declared, raw = declare(), make_study(apart=0.6, clauses=30)
    scores = raw.scores.copy()
    bad = (scores["scale"] == "0.3m") & (scores["strategy"] == "lora")
    scores.loc[bad, "lrml_f1"] = 1.0
    tables = tabulate(dataclasses.replace(raw, scores=scores), declared)
    assert failing_cells(tables["competence"]) == {("0.3m", "lora")}
    found = verdicts(declared, tables)
    assert found["C1"].statements[0].n_runs == 8  # two sizes of four seeds instead of three
    assert found["C1"].statements[1].n_runs == 12
    assert found["C1"].statements[0].left_out == "LoRA at 0.3M"
    assert "not counted, as they do not pass the gate: LoRA at 0.3M" in found["C1"].scope


def test_without_a_cell_that_counts_everything_stays_open():
    declared, raw = declare(), make_study(clauses=12)
    tables = tabulate(dataclasses.replace(raw, scores=raw.scores.assign(parses=0.5)), declared)
    found = verdicts(declared, tables)
    assert {one.verdict for one in found.values()} == {UNDECIDED}
    assert found["C1"].what_would_change.startswith("Models that pass the gate")
    assert "50% of its rules can be read, 80% are asked for" in tables["competence"]["reason"].iloc[0]


def test_what_a_study_cannot_decide_it_says_before_it_runs(planted):
    tables = planted[2]
    one_removal = declare(averaged=("delete",))
    assert why_undecidable(one_removal)["C1"] == [
        "one way of removing a word; the primary pattern is averaged over two"
    ]
    assert why_undecidable(declare(second=None))["C3"] == ["no second method of attribution to confirm the direction"]
    assert why_undecidable(declare())["C1"] == why_undecidable(declare())["C4"] == []
    two = declare(seeds=2)
    assert "cannot reach p = 0.05; 3 are needed at 3 model sizes" in why_undecidable(two)["C1"][0]
    assert why_undecidable(two)["C2"] == []
    small = declare(sizes=ONE)
    assert why_undecidable(small)["C4"] == ["1 model size of one family; three are needed"]
    assert "6 are needed at 1 model size" in why_undecidable(small)["C1"][0]
    mixed = dataclasses.replace(declare(), families={"0.3m": "a", "1m": "a", "4m": "b"})
    assert why_undecidable(mixed)["C3"] == ["2 model sizes of one family; three are needed"]
    lacking = declare(kinds={"none": "none", "full": "full", "lora": "lora"})
    assert why_undecidable(lacking)["C2"] == ["no strategy of kind qlora"]
    missing = declare(missing=("4m/qlora (no memory)",))
    assert verdicts(missing, tables)["C1"].scope.endswith("; not run: 4m/qlora (no memory).")
    fewer = dataclasses.replace(
        missing, seeds={cell: n for cell, n in missing.seeds.items() if cell != ("4m", "qlora")}
    )
    assert why_undecidable(fewer)["C4"] == ["fewer than two seeds in some cell; each needs two"]
    assert why_undecidable(fewer)["C1"] == []
    assert verdicts(two, tabulate(make_study(seeds=2, clauses=20), two))["C1"].verdict == NOT_JUDGED


def test_a_study_with_what_verdicts_need_can_decide_every_claim():
    assert all(not reasons for reasons in why_undecidable(declare(seeds=3)).values())


def test_findings_and_designs_come_back(planted):
    declared, _, tables = planted
    found = judge(declared, tables)
    assert findings_from_json(findings_to_json(found)) == found
    assert declared_from_json(declared_to_json(declared)) == declared
    assert records_frame(found, Finding, without=("statements", "beside"))["claim"].tolist() == list(CLAIMS)
    assert [len(one.statements) for one in found] == [2, 2, 2, 1]
    assert set(read_rules()) == {"all", *CLAIMS}


def test_what_a_single_seed_cannot_tell_is_null_in_the_file():
    kinds = {"full": "full", "lora": "lora"}
    declared, raw = declare(seeds=1, sizes=ONE, kinds=kinds, second=None), make_study(seeds=1, sizes=ONE, kinds=kinds)
    found = judge(declared, tabulate(raw, declared))
    assert '"p_smallest": null' in findings_to_json(found)
    assert [one.verdict for one in findings_from_json(findings_to_json(found))] == [NOT_JUDGED] * 4


def test_raw_frames_are_all_that_is_needed(tmp_path):
    small = declare(seeds=2, sizes=ONE)
    raw = make_study(seeds=2, sizes=ONE, clauses=12)
    for field in dataclasses.fields(RawFrames):
        getattr(raw, field.name).to_parquet(tmp_path / f"{field.name}.parquet")
    again = RawFrames.read(tmp_path)
    assert judge(small, tabulate(again, small)) == judge(small, tabulate(raw, small))
    assert raw.keep("document").words.empty


def test_the_first_strategy_of_a_kind_speaks_for_it():
    kinds = KINDS | {"lora-r4": "lora", "full-short": "full"}
    assert declare(kinds=kinds).pairs == [("full", "lora"), ("full", "qlora")]
    assert declare(kinds=kinds).deciding == ["full", "lora", "qlora"]


def test_equal_loss_is_an_annealed_training_of_other_length():
    kinds = {"full": "full", "lora": "lora", "qlora": "qlora", "full-short": "full"}
    declared, raw = declare(kinds=kinds, sizes=ONE), make_study(kinds=kinds, sizes=ONE, apart=0.5, clauses=20)
    loss = {"full": 0.4, "full-short": 0.505}
    runs = raw.runs.assign(validation_loss=raw.runs["strategy"].map(loss).fillna(0.5))
    tables = tabulate(dataclasses.replace(raw, runs=runs), declared)
    found = verdicts(declared, tables)
    told = [text for text in found["C1"].beside if text.startswith("At equal validation loss (full-short, at most 1%")]
    assert len(told) == 2
    assert any("full-short" in text and "fewer words" in text for text in found["C2"].beside)
    away = verdicts(declared, tables | {"runs": runs.assign(validation_loss=runs["strategy"].map(loss).fillna(0.7))})
    assert not any("full-short" in text for text in away["C1"].beside)


# --- the rules ----------------------------------------------------------------------------------------------------


def views(value, error=0.02, others=(), second=None, margin=0.05):
    return Views((value, error, 20.0), tuple((other, 0.02, 20.0) for other in others), second, margin)


@pytest.mark.parametrize(
    ("seen", "p", "answer"),
    [
        (views(0.1), 0.001, YES),
        (views(-0.1), 0.001, NO),  # the opposite exists
        (views(0.005), 0.6, NO),  # surely smaller than 0.05: its interval ends at 0.047
        (views(0.04), 0.06, OPEN),
        (views(0.01, error=0.002), 0.001, YES),  # small, but there: its size is another matter
        (views(0.1, others=[0.1, 0.2, -0.1, 0.1]), 0.001, YES),  # three of four
        (views(0.1, others=[0.1, -0.2, -0.1, 0.1]), 0.001, OPEN),
        (views(0.1, second=(-0.2, 0.01, 9.0)), 0.001, OPEN),
        (views(0.1, second=(-0.01, 0.01, 9.0)), 0.001, YES),  # unclear is no veto
        (views(math.nan), math.nan, OPEN),
    ],
)
def test_the_rule(seen, p, answer):
    assert decide(seen, p, Thresholds(alpha=0.05, min_agreement=0.75))[0] == answer


@pytest.mark.parametrize(
    ("steps", "level", "answer", "doubt"),
    [
        ([0.3, 0.0], 0.8, YES, ""),
        ([0.3, 0.2], 0.8, NO, ""),
        ([0.3, -0.2], 0.8, NO, ""),
        ([0.3, 0.04], 0.8, OPEN, "the interval of the last step reaches beyond the margin"),
        ([0.0, 0.0], 0.8, OPEN, "no earlier step surely rose by more than the margin"),
        ([0.3, 0.0], 0.97, OPEN, "the largest model is at the ceiling of the score (0.97 of 1)"),
    ],
)
def test_the_rule_of_plateaus(steps, level, answer, doubt):
    effects = [(step, 0.015, 30.0) for step in steps]
    assert decide_plateau(effects, level, 1.0, margin=0.05, alpha=0.05) == (answer, doubt)


# --- gate and chance --------------------------------------------------------------------------------------------------


def test_the_gate_by_hand():
    ids = [f"c{c}" for c in range(4)]
    scores = pd.concat(
        [
            pd.DataFrame({"scale": "1m", "strategy": name, "seed": seed, "id": ids, "parses": parses, "lrml_f1": f1})
            for name, parses, f1 in (("none", 0.0, 0.0), ("full", 1.0, 40.0), ("lora", 0.75, 20.0))
            for seed in (0, 1)
        ]
    )
    floors = pd.DataFrame({"floor": NEAREST, "id": ids, "lrml_f1": [10.0, 20.0, 30.0, 40.0]})
    table = competence_table(scores, floors, min_parse=0.8).set_index("strategy")
    assert list(table.index) == ["full", "lora"]  # the untouched base is no candidate
    assert table.loc["full", ["floor", "above_floor", "passes"]].tolist() == [25.0, 15.0, True]
    assert table.loc["lora", "reason"] == (
        "F1 20.0, copying the nearest training rule gives 25.0; 75% of its rules can be read, 80% are asked for"
    )


def test_similarity_with_chance_taken_off():
    scores = pd.DataFrame({"semantic": [0.55, 1.0, 0.775]})
    floors = pd.DataFrame({"floor": "another rule", "semantic": [0.5, 0.6]})
    assert correct_for_chance(scores, floors).tolist() == pytest.approx([0.0, 1.0, 0.5])


def test_clauses_of_documents_are_clustered_synthetic_ones_are_not():
    scores = pd.DataFrame({"id": ["a", "b", "a"], "context": ["E2AS1", "B1AS1", "E2AS1"]})
    assert find_clusters(scores, "nzbc-lrml") == {"a": "E2AS1", "b": "B1AS1"}
    assert find_clusters(scores, "synthetic") is None
    assert find_clusters(scores.assign(context=""), "table") is None


# --- further findings -------------------------------------------------------------------------------------------------


def test_further_findings_have_numbers_and_tests():
    declared, raw = declare(), make_study(apart=0.6, baselines=("delete", "mask", "average"), sizes=ONE)
    rng = np.random.default_rng(0)
    cells = raw.clauses[raw.clauses["strategy"] != "none"]
    hit = (rng.random(len(cells)) < 0.8).astype(float)
    view = {"method": "leave_one_out", "baseline": "average", "element": 0, "kind": "value"}
    elements = cells.assign(**view, hit=hit, chance=0.2)
    tables = tabulate(dataclasses.replace(raw, elements=elements), declared)
    held_out = pd.DataFrame(
        {
            "scale": ["all"], "strategy": "trained", "baseline": "average", "measure": "log_words", "reason": "",
            "difference": 0.2, "low": 0.1, "high": 0.3, "p": 0.001, "n_held_out": 10,
            "adjusted": 0.1, "adjusted_low": 0.0, "adjusted_high": 0.2, "adjusted_p": 0.06,
        }
    )  # fmt: skip
    found = observe(declared, tables | {"held_out": held_out})
    by_question = {}
    for one in found:
        by_question.setdefault(one.question.split()[0], []).append(one)
        assert one.low <= one.value <= one.high
    stable, moved, copied, spread = (by_question[name] for name in ("Are", "What", "Do", "Does"))
    assert len(stable) == len([name for name in KINDS if name not in ("none", "full")])
    assert "9 views and sizes" in stable[0].sentence
    assert {one.comparison for one in moved} == {"Another seed", "Removing by mask instead", "Owen"}
    whole = next(one for one in copied if one.comparison == "All fine-tuned models")
    assert whole.value == pytest.approx(0.6, abs=0.05)
    assert whole.n_clauses == 40
    assert (
        spread[0].sentence
        == "In a context that it was not trained on, a model rests on +22 % [+11, +35] words (p = 0.001)."
    )
