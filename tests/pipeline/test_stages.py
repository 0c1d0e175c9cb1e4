"""The stages joined, with tiny random models: every room is called for real, nothing is learned."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from compliance_xai import pipeline
from compliance_xai.book.building import format_overview
from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file
from compliance_xai.pipeline import faithfulness_stage
from compliance_xai.pipeline.grid import make_jobs
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.pipeline.running import Plan
from compliance_xai.pipeline.search import export_search
from compliance_xai.pipeline.stage_examples import (
    attributed_examples,
    evaluated_examples,
    load_examples,
    take_in_turn,
)
from compliance_xai.pipeline.summary_stage import export_summary, summary
from compliance_xai.records import Generation, attribution_from_row, read_attribution_rows
from compliance_xai.study.folders import find_data_folder
from compliance_xai.study.settings import load_study

STUDY = """\
name: {name}
title: Tiny random models
corpus: {{source: synthetic, train: 16, validation: 8, test: 7, document: 2}}
ladder: tiny
scales: [s]
strategies:
  none: {{}}
  full: {{learning_rate: 1e-3, steps: 2, batch_size: 4, evaluations: 1}}
  lora: {{learning_rate: 1e-3, steps: 2, batch_size: 4, evaluations: 1, rank: 2}}
seeds: [0, 1]
generate: {{max_new_tokens: 8, examples: 2}}
attribution: {{clauses: 3, document_clauses: 1, baselines: [delete], precision_clauses: 1,
  second_method: surrogate_ridge, second_clauses: 2}}
metrics: {{encoder: null}}
faithfulness: {{clauses: 2, document_clauses: 1, points: 2, random_orders: 1, masks: 6, operators: [mask, delete]}}
thresholds: {{bootstrap: 100, permutations: 100}}
"""


def build_tiny_ladder(folder, shipped):
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, set_seed

    source = next(path.parent for path in sorted(shipped.glob("*/tokenizer.json")))
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    set_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder / "s")
    tokenizer.save_pretrained(folder / "s")
    rung = f"{{name: s, path: s, parameters: {model.num_parameters()}}}"
    (folder / "ladder.yaml").write_text(f"name: tiny\nrungs: [{rung}]\n", encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    shipped = find_data_folder()
    (folder / "studies").mkdir()
    (folder / "data").mkdir()
    shutil.copytree(shipped / "synthetic", folder / "data" / "synthetic")
    build_tiny_ladder(folder / "data" / "ladders" / "tiny", shipped / "ladders" / "embedded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPLIANCE_XAI_PROJECT", str(folder))
        patch.setenv("COMPLIANCE_XAI_DATA", str(folder / "data"))
        yield folder


def make_study(project, name, **changes):
    path = project / "studies" / f"{name}.yaml"
    path.write_text(STUDY.format(name=name), encoding="utf-8")
    return load_study(path, [f"{key}={value}" for key, value in changes.items()])


def run_all(study):
    pipeline.corpus(study)
    pipeline.ladder(study)
    for cell in study.cells():
        if study.strategies[cell.strategy].trains:
            pipeline.finetune(study, *cell)
        pipeline.generate(study, *cell)
        pipeline.attribute(study, *cell)
    pipeline.compare_strategies(study)
    pipeline.compare_sizes(study)
    pipeline.faithfulness(study)
    pipeline.contexts(study)
    return pipeline.findings(study)


@pytest.fixture(scope="module")
def first(project):
    study = make_study(project, "first")
    return study, run_all(study)


@pytest.mark.slow
def test_four_architectures_pass_the_whole_pipeline(project):
    from tiny_checkpoints import ARCHITECTURES, make_model

    from compliance_xai.models.loading import load_tokenizer
    from compliance_xai.study.ladders import load_ladder

    tokenizer = load_tokenizer(load_ladder("tiny").rung("s"))
    folder = project / "data" / "ladders" / "four"
    rungs = []
    for architecture in ARCHITECTURES:
        model = make_model(architecture, len(tokenizer))
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.save_pretrained(folder / architecture)
        tokenizer.save_pretrained(folder / architecture)
        rungs.append({"name": architecture, "path": architecture, "parameters": model.num_parameters()})
    (folder / "ladder.yaml").write_text(json.dumps({"name": "four", "rungs": rungs}), encoding="utf-8")
    scales = [rung["name"] for rung in sorted(rungs, key=lambda rung: rung["parameters"])]
    settings = "steps: 2, batch_size: 4, evaluations: 2, learning_rate: 0.01"
    study = make_study(
        project, "four", ladder="four", scales=f"[{', '.join(scales)}]", seeds="[0]",
        strategies=f"{{full: {{{settings}}}, qlora: {{{settings}, rank: 2}}}}",
        **{"attribution.clauses": "1", "faithfulness.clauses": "1", "faithfulness.operators": "[delete]"},
        **{"attribution.second_clauses": "1", "generate.max_new_tokens": "4"},
    )  # fmt: skip
    findings = run_all(study)["findings"]
    assert list(findings["claim"]) == ["C1", "C2", "C3", "C4"]
    for scale, strategy in study.cells():
        log = pipeline.read_stage(study, "finetune", scale, strategy)["log"]
        losses = log.loc[log["split"] == "validation", "loss"]
        assert losses.iloc[-1] < losses.iloc[0], (scale, strategy)
        assert len(pipeline.read_stage(study, "generate", scale, strategy)["scores"]) == 7 + 2
        read = pipeline.read_stage(study, "attribute", scale, strategy)
        assert read["checks"]["passed"].all()
        assert (read["focus"]["total_mass"] > 0).all()
        assert "bfloat16" in set(read["precision_effects"]["change"])
    compared = pipeline.read_stage(study, "compare_strategies")
    for frame in (compared["summary"], compared["costs"], compared["movement"]):
        cells = frame[["scale", "strategy"]].drop_duplicates()
        assert sorted(cells.itertuples(index=False, name=None)) == sorted(study.cells())
    contrasts = compared["contrasts"]
    assert set(contrasts["scale"]) == {*scales, "all"}
    assert set(contrasts["n_clauses"].dropna()) == {1}  # the held-out clause is another question


def test_every_claim_gets_a_verdict_with_a_reason(first):
    study, result = first
    assert list(result["findings"]["claim"]) == ["C1", "C2", "C3", "C4"]
    assert set(result["findings"]["verdict"]) == {"not judged"}  # one size, two seeds, one way of removing a word
    by_claim = result["findings"].set_index("claim")
    assert "1 model size of one family; three are needed" in by_claim.loc["C4", "reason"]
    assert "no strategy of kind qlora" in by_claim.loc["C1", "reason"]
    assert (study.folder / "findings" / "findings.json").is_file()


def test_a_cell_that_is_left_out_is_named_and_decides_nothing(project):
    study = make_study(project, "left", seeds="[0]", without="{s/lora: its loss was no number}")
    assert [cell.strategy for cell in study.cells()] == ["none", "full"]
    findings = run_all(study)["findings"]
    assert set(findings["verdict"]) == {"not judged"}
    assert findings["scope"].str.endswith("; not run: s/lora (its loss was no number).").all()
    assert not (study.folder / "runs" / "s" / "lora").exists()
    jobs = make_jobs(study)
    overview = format_overview(Plan(study, Path("left.yaml"), jobs, dict.fromkeys(jobs, "done")))
    done = ("[[done](s-none.md)]{.cx-state .cx-done}", "[[done](s-full.md)]{.cx-state .cx-done}")
    assert f"| s | {done[0]} | {done[1]} | [left out]{{.cx-state .cx-left-out}} |" in overview
    assert "- s/lora is left out: its loss was no number." in overview


@pytest.mark.parametrize("without", ["{s/qlora: none}", "{s/none: a, s/full: b, s/lora: c}"])
def test_only_cells_of_the_study_can_be_left_out_and_not_all(project, without):
    with pytest.raises(InputError, match="without"):
        make_study(project, "left", without=without)


def test_a_summary_holds_no_text_of_the_corpus_and_is_exported_unaltered(first, tmp_path):
    study, _ = first
    shutil.rmtree(study.folder / "summary", ignore_errors=True)
    with pytest.raises(InputError, match="expected finished and unaltered results, found 'Summary': it was not run"):
        export_summary(study, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    results = summary(study)
    written = export_summary(study, tmp_path / "kept", note="The machine was busy.")
    explained = pd.read_csv(tmp_path / "kept" / "columns.csv", keep_default_na=False)
    assert set(explained["table"]) == {path.stem for path in written if path.suffix == ".csv"} - {"columns"}
    plain = explained["meaning"] == explained["column"].str.replace("_", " ")
    assert explained[plain].values.tolist() == [], "tables or columns that nothing explains"
    names = {path.name for path in written}
    assert {"quality.csv", "training.csv", "summary.csv", "findings.json", "study.json"} <= names
    everything = "".join(path.read_text(encoding="utf-8") for path in written if path.suffix != ".parquet")
    for path in written:
        if path.suffix == ".parquet":
            everything += pd.read_parquet(path).select_dtypes(exclude="number").to_csv()
    for example in load_corpus("synthetic", split="test"):
        assert example.clause not in everything
        assert example.rule not in everything
    kept = summary(tmp_path / "kept")
    assert kept.description == {**results.description, "note": "The machine was busy."}
    model = kept.description["models"]["s"]
    weights = find_data_folder() / "ladders" / "tiny" / "s" / "model.safetensors"
    assert (model["name"], model["model.safetensors"]) == ("s", sha256_file(weights))
    assert list(kept.read("precision")["strategy"]) == ["none", "full", "lora", "lora"]
    moved = kept.read("movement")
    assert list(moved) == ["scale", "strategy", "seed", "layer", "matrix", "relative_change"]
    assert set(moved["strategy"]) == {"full", "lora"}
    training = kept.read("training")
    assert training.groupby("strategy")["seed"].apply(list).to_dict() == {"full": [0, 1], "lora": [0, 1]}
    assert pipeline.recompute(tmp_path / "kept")[1] == []
    (study.folder / "summary" / "quality.csv").write_text("scale\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"quality\.csv was altered after it was made"):
        export_summary(study, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_tables_hold_every_seed_and_clause(first):
    study, _ = first
    log = pipeline.read_stage(study, "finetune", "s", "full")["log"]
    assert sorted(log["seed"].unique()) == [0, 1]
    assert {"train", "validation"} == set(log["split"])
    scores = pipeline.read_stage(study, "generate", "s", "lora")["scores"]
    assert len(scores) == 2 * (7 + 2)
    errors = pipeline.read_stage(study, "generate", "s", "lora")["errors"]
    assert list(errors.columns) == ["seed", "id", "split", "kind", "where", "expected", "found"]
    wrong = scores.loc[scores["parses"] == 0, ["seed", "id"]]
    assert len(wrong.merge(errors[errors["kind"] == "syntax"], on=["seed", "id"])) == len(wrong) > 0
    shares = pipeline.read_stage(study, "compare_sizes")["error_shares"]
    assert set(shares.loc[shares["kind"] == "any", "n_clauses"]) == {7, 2}
    focus = pipeline.read_stage(study, "attribute", "s", "none")["focus"]
    assert len(focus) == 1 * (3 + 1 + 2) * 3  # one seed of the untouched base, a second method for two, three signs
    assert focus.groupby("split")["id"].nunique().to_dict() == {"document": 1, "test": 3}
    methods = focus.groupby("method")
    assert methods["id"].nunique().to_dict() == {"leave_one_out": 4, "surrogate_ridge": 2}
    assert set(methods.get_group("surrogate_ridge")["split"]) == {"test"}
    noise = pipeline.read_stage(study, "attribute", "s", "full")["noise"]
    assert noise.groupby(["seed", "source", "sign"])["id"].nunique().tolist() == [4] * (2 * 2 * 3)
    batch, dtype = (noise[noise["source"] == source] for source in ("batch", "dtype"))
    assert batch["deviation"].max() < 1e-4 < dtype["deviation"].min()
    assert batch["jensen_shannon"].max() < dtype["jensen_shannon"].min() < 1
    assert (focus["noise_floor"] < 1e-4).all()
    assert pipeline.read_stage(study, "attribute", "s", "none")["checks"]["passed"].all()
    floors = pipeline.read_stage(study, "compare_sizes")["floors"]
    assert {"nearest rule", "constant rule", "another rule", "2 examples in the prompt of s"} == set(floors["floor"])
    compared = pipeline.read_stage(study, "compare_strategies")
    assert set(compared["focus"]["strategy"]) == {"none", "full", "lora"}
    assert set(compared["contrasts"]["n_clauses"].dropna()) == {2, 3}  # clauses of held-out documents are kept apart
    assert set(compared["noise"]["source"]) == {"batch", "dtype", "seeds", "strategies", "methods"}


def test_fine_tuned_cells_say_what_they_trained_and_what_other_forms_would_change(first):
    study, _ = first
    compared = pipeline.read_stage(study, "compare_strategies")
    costs = compared["costs"].set_index(["strategy", "seed"])
    assert costs.index.tolist() == [("full", 0), ("full", 1), ("lora", 0), ("lora", 1)]
    assert costs.loc[("full", 0), "share"] == 1 > costs.loc[("lora", 0), "share"] > 0
    assert costs.loc[("lora", 0), "what"].startswith("low-rank adapters")
    moved = compared["movement"].set_index(["strategy", "matrix"])["relative_change"]
    assert (moved["lora"].loc["embed_tokens"] == 0).all()
    assert (moved["full"].loc["embed_tokens"] > 0).all()
    effects = {
        name: pipeline.read_stage(study, "attribute", "s", name)["precision_effects"] for name in ("none", "lora")
    }
    assert list(effects["none"]["change"]) == ["bfloat16"]
    assert list(effects["lora"]["change"]) == ["merged", "bfloat16"]
    assert effects["lora"]["largest_score"].iloc[0] < 1e-3


def test_a_study_without_an_inspected_rule_has_the_tables_of_reviews_all_the_same():
    columns = [*faithfulness_stage.CELL, *faithfulness_stage._COLUMNS["items"]]
    tables = faithfulness_stage._judge_review(pd.DataFrame(columns=columns), 10)
    assert {len(frame) for frame in tables.values()} == {0}
    assert {"name", "signal", "weight"} <= set(tables["risk"])


def test_attribution_is_judged_with_every_operator_and_on_written_rules(first):
    study, _ = first
    result = pipeline.read_stage(study, "faithfulness")
    areas = result["areas"]
    # Two test clauses and one held-out one, two operators, one attribution; the first seed of three cells.
    assert len(areas) == 3 * 2 * 3
    assert set(zip(areas["attribution"], areas["operator"], strict=True)) == {("delete", "mask"), ("delete", "delete")}
    judged = areas[areas["reason"] == ""]
    assert judged["deletion"].between(0, 1).all()
    assert (judged["lowest"] <= judged["area"]).all()
    assert set(result["correctness"]["kind"]) >= {"all", "deontic"}
    # Random models never end a rule, so nothing is left to inspect; the table says so for every clause of both cells.
    assert set(result["left_out"]["reason"]) <= {
        "the rule was cut at the token limit",
        "no element was recognised in the rule",
    }
    parts = parts_of(result["items"])
    inspected = set(zip(parts["strategy"], parts["id"], strict=True))
    left_out = set(zip(result["left_out"]["strategy"], result["left_out"]["id"], strict=True))
    assert len(inspected | left_out) == 2 * 4
    assert not result["signals"]["reason"].eq("").any()


def parts_of(items):
    """Parts of the rules for attributed clauses; those of the validation split only choose thresholds."""
    return items[(items["item"] == "part") & (items["split"] != "validation")]


def write_table(path):
    """A table as the New Zealand one is: clauses with their rules and splits, and no gold alignment."""
    rows = ["id,split,clause,rule"]
    for place, split in enumerate(["train"] * 8 + ["validation"] * 3 + ["test"] * 4):
        clause = f"Doors of room {place} shall be at least {800 + place} mm wide, as in NZS 4223."
        rule = (
            f"if(exist(door)),then(obligation(and(greaterThanEqual(door.width,{800 + place} mm),asPer(door,nzs_4223))))"
        )
        rows.append(f'r{place},{split},"{clause}","{rule}"')
    path.write_text("\n".join(rows), encoding="utf-8")
    return {"corpus": f"{{source: table, path: {path}}}", "generate.examples": "0"} | dict.fromkeys(
        ("attribution.document_clauses", "faithfulness.document_clauses"), "0"
    )


@pytest.mark.parametrize("source", ["synthetic", "table"])
def test_wrong_elements_of_written_rules_are_found(project, monkeypatch, source):
    from compliance_xai.pipeline import generate_stage

    changes = write_table(project / "rules.csv") if source == "table" else {}
    changes |= {"strategies": "{full: {steps: 2, batch_size: 4, evaluations: 1}}", "faithfulness.seeds": "null"}
    study = make_study(project, f"written-{source}", seeds="[0]", **changes)
    pipeline.corpus(study)
    pipeline.finetune(study, "s", "full")
    pipeline.attribute(study, "s", "full")
    examples = attributed_examples(study)
    rules = [example.rule for example in examples]
    rules[0] = rules[0].replace("obligation", "permission")
    assert rules[0] != examples[0].rule
    # What a trained model might have written: one wrong word, and one rule that never ended.
    written = [Generation(e.id, 0, rule, 9, e is not examples[1]) for e, rule in zip(examples, rules, strict=True)]
    monkeypatch.setattr(generate_stage, "evaluated_examples", lambda study: examples)
    monkeypatch.setattr(generate_stage, "generate_rules", lambda *given, **keys: written)
    pipeline.generate(study, "s", "full")
    result = pipeline.faithfulness(study)
    parts = parts_of(result["items"])
    wrong = parts[parts["wrong"].astype(bool)]
    assert list(zip(wrong["id"], wrong["kind"], strict=True)) == [(examples[0].id, "deontic")]
    assert parts["unlikely"].notna().all()
    assert set(parts["id"]) == {example.id for example in examples if example is not examples[1]}
    assert result["left_out"][["id", "reason"]].to_numpy().tolist() == [
        [examples[1].id, "the rule was cut at the token limit"]
    ]
    items = result["items"]
    whole = items[items["item"] == "rule"].set_index("id")["wrong"]
    assert whole[whole].index.tolist() == [examples[0].id]  # the rule with the wrong word
    assert {"absent", "improbable", "unread", "broken", "any"} <= set(result["flags"]["flag"])
    assert set(result["risk"]["signal"]) == {"intercept"}  # too few errors to fit anything
    assert result["reading"]["order"].unique().tolist() == ["random", "likelihood", "entropy", "risk"]
    reasons = {
        f"{n} clauses with a wrong element, at least 5 are needed" for n in (1, 0)[: 1 + (source == "synthetic")]
    }
    assert set(result["signals"]["reason"]) == reasons
    flags = result["flags"].set_index(["split", "flag"])
    assert flags.loc[("test", "any"), "n_wrong"] == 1


def test_contexts_name_what_too_few_clauses_cannot_tell(first):
    study, _ = first
    result = pipeline.read_stage(study, "contexts")
    held_out = result["held_out"]
    assert set(held_out["reason"]) >= {"1 clauses, at least 8 are needed"}
    assert held_out["difference"].isna().all()
    assert {"log_words", "precision_at_k", "deletion", "exact"} <= set(result["by_context"]["measured"])
    assert {"test", "document"} == set(result["by_context"]["split"])
    apart = result["distance_by_context"]
    assert {"test", "document"} == set(apart["split"])
    assert apart["ratio_low"].isna().all()
    assert (apart["reason"] != "").all()


def test_a_manifest_tells_what_made_a_stage(first):
    study, _ = first
    manifest = pipeline.read_stage(study, "attribute", "s", "full").manifest
    assert manifest["seeds"] == [0, 1]
    assert manifest["parameters"]["strategy"]["kind"] == "full"
    assert any(name.endswith("model.safetensors") for name in manifest["inputs"])
    assert "attributions.parquet" in manifest["outputs"]
    assert not any("checkpoints" in name or "made.json" in name for name in manifest["outputs"])
    assert manifest["wall_seconds"] > 0
    assert manifest["versions"]["torch"].startswith("2.")


def test_the_same_study_gives_identical_tables_twice(first, project):
    study, _ = first
    second = make_study(project, "second")
    run_all(second)
    different = []
    for path in sorted(study.folder.rglob("*.parquet")):
        relative = path.relative_to(study.folder)
        varies = path.name in ("timing.parquet", "costs.parquet") or relative.parts[0] == "summary"
        if not varies and path.read_bytes() != (second.folder / relative).read_bytes():
            different.append(str(relative))
    assert different == []


def test_finished_results_are_read_not_made_again(first):
    study, _ = first
    paths = sorted(study.folder.rglob("*.parquet"))
    before = [path.stat().st_mtime_ns for path in paths]
    run_all(study)
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_an_interrupted_cell_keeps_its_finished_seeds(project, monkeypatch):
    from compliance_xai.pipeline import finetune_stage as stage

    study = make_study(project, "interrupted")
    real = stage.finetuning.finetune

    def interrupt_second(*arguments, seed, **settings):
        if seed == 1:
            raise KeyboardInterrupt
        return real(*arguments, seed=seed, **settings)

    monkeypatch.setattr(stage.finetuning, "finetune", interrupt_second)
    with pytest.raises(KeyboardInterrupt):
        pipeline.finetune(study, "s", "full")
    folder = study.folder / "runs" / "s" / "full" / "finetune"
    assert read_manifest(folder) is None
    weights = folder / "seed-0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert not (folder / "seed-1").exists()
    monkeypatch.setattr(stage.finetuning, "finetune", real)
    result = pipeline.finetune(study, "s", "full")
    assert weights.stat().st_mtime_ns == before
    assert list(result["summary"]["seed"]) == [0, 1]
    assert result.manifest["wall_seconds"] >= result["timing"]["seconds"].sum() - 0.01


def test_a_training_that_is_done_stays_done_if_what_follows_fails(project, monkeypatch):
    from compliance_xai.pipeline import finetune_stage as stage

    study = make_study(project, "unmeasured")
    real = stage.movement_frame

    def fail(*models):
        raise MemoryError

    monkeypatch.setattr(stage, "movement_frame", fail)
    with pytest.raises(MemoryError):
        pipeline.finetune(study, "s", "full")
    monkeypatch.setattr(stage, "movement_frame", real)
    weights = study.folder / "runs" / "s" / "full" / "finetune" / "seed-0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    result = pipeline.finetune(study, "s", "full")
    assert weights.stat().st_mtime_ns == before
    assert set(result["movement"]["seed"]) == {0, 1}


KILLED_AT_THE_SIXTH = """
import os, signal
from compliance_xai import pipeline
from compliance_xai.attribution import explain

real, count = explain.attribute, 0

def kill(*given, **options):
    global count
    count += 1
    if count == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **options)

explain.attribute = kill
pipeline.attribute({study!r}, "s", "none")
"""


def test_a_killed_attribute_stage_goes_on_where_it_was(project, monkeypatch):
    from compliance_xai.attribution import explain

    study = make_study(project, "killed", **{"attribution.clauses": "5", "attribution.document_clauses": "1"})
    path = project / "studies" / "killed.yaml"
    path.write_text(STUDY.format(name="killed").replace("clauses: 3", "clauses: 5"), encoding="utf-8")
    pipeline.corpus(study)
    source = str(Path(pipeline.__file__).parents[2])
    died = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_SIXTH.format(study=str(path))],
        env=os.environ | {"PYTHONPATH": source}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr
    folder = study.folder / "runs" / "s" / "none" / "attribute"
    assert read_manifest(folder) is None
    assert [piece.name for piece in sorted((folder / "checkpoints").glob("seed*"))] == [
        "seed-0-leave_one_out-delete-00000"
    ]
    asked = []
    real = explain.attribute

    def note(*given, **options):
        # The first clauses are scored again by a second method, and for noise: row by row, in another float type.
        chosen = given[4]
        again = chosen.method != "leave_one_out" or chosen.batch_tokens == 1 or chosen.dtype is not None
        if not again:
            asked.append(options["id"])
        return real(*given, **options)

    monkeypatch.setattr(explain, "attribute", note)
    rows = read_attribution_rows(pipeline.attribute(study, "s", "none").folder / "attributions.parquet")
    assert asked[:2] == [row["id"] for row in rows[4:6]]
    assert not {row["id"] for row in rows[1:4]} & set(asked)  # the first one serves the checks
    assert not (folder / "checkpoints").exists()
    monkeypatch.setattr(explain, "attribute", real)
    whole = make_study(project, "whole", **{"attribution.clauses": "5", "attribution.document_clauses": "1"})
    pipeline.corpus(whole)
    again = read_attribution_rows(pipeline.attribute(whole, "s", "none").folder / "attributions.parquet")
    assert again == rows


def test_bad_input_leaves_the_last_results_as_they_are(first, project):
    study, _ = first
    before = pipeline.read_stage(study, "corpus").manifest
    path = project / "studies" / "first.yaml"
    bad = load_study(path, ["corpus.test=100000"])
    with pytest.raises(
        InputError, match=r"study 'first', key 'corpus\.test': expected at most the \d+ examples there are"
    ):
        pipeline.corpus(bad)
    assert pipeline.read_stage(study, "corpus").manifest == before


def test_other_methods_units_and_baselines_run_in_a_study(project):
    changes = {"attribution.baselines": "[counterfactual]", "attribution.method": "owen"}
    changes |= {"attribution.unit": "phrase", "attribution.clauses": "2", "attribution.second_method": "null"}
    study = make_study(project, "other", **changes)
    pipeline.corpus(study)
    result = pipeline.attribute(study, "s", "none")
    rows = read_attribution_rows(result.folder / "attributions.parquet")
    assert len(rows) == 3
    for row in rows:
        attribution = attribution_from_row(row)
        assert (row["baseline"], attribution.provenance["method"]) == ("counterfactual", "owen")
        assert attribution.provenance["unit"] == "phrase"
        assert attribution.provenance["efficiency_gap"] < 1e-3
        assert attribution.standard_errors.shape == attribution.scores.shape
    assert set(result["checks"]["name"]) == {
        "batched_equals_single",
        "cached_equals_uncached",
        "null_feature",
        "planted_feature",
        "efficiency",
    }


def test_a_search_gives_every_cell_the_same_trials_and_keeps_them_all(project, monkeypatch):
    import yaml

    from compliance_xai.pipeline import search

    study = make_study(project, "searched", **{"search.trials": "3", "search.ranks": "[2, 4]"})
    trials = search.search_settings(study)
    assert trials.groupby("strategy")["trial"].apply(list).to_dict() == {"full": [0, 1, 2], "lora": [0, 1, 2]}
    rates = trials.pivot_table(index="trial", columns="strategy", values="learning_rate")
    assert rates["full"].tolist() == rates["lora"].tolist()
    assert rates["full"].iloc[0] == 1e-3
    assert rates["full"].between(2.5e-4, 4e-3).all()
    assert rates["full"].iloc[1] * rates["full"].iloc[2] == pytest.approx(1e-6, rel=0.01)  # both sides of the own rate
    assert trials[trials["strategy"] == "full"]["rank"].isna().all()
    assert set(trials[trials["strategy"] == "lora"]["rank"]) <= {2, 4}
    assert trials.groupby("strategy")["best"].sum().eq(1).all()
    stored = pd.read_csv(study.folder / "search" / "trials.csv")
    assert stored["validation_loss"].tolist() == pytest.approx(trials["validation_loss"].tolist())
    best = yaml.safe_load((study.folder / "search" / "best.yaml").read_text(encoding="utf-8"))
    chosen = best["strategies"]["lora"]["by_scale"]["s"]
    assert chosen["learning_rate"] == trials[trials["best"] & (trials["strategy"] == "lora")]["learning_rate"].item()
    path = project / "studies" / "searched.yaml"
    tuned = load_study(path, [f"strategies.lora.by_scale={best['strategies']['lora']['by_scale']}"])
    assert tuned.settings_of("s", "lora").learning_rate == chosen["learning_rate"]
    monkeypatch.setattr(search, "train_seed", None)
    assert search.search_settings(study).equals(trials)  # finished trials are read


def test_a_search_reads_the_studys_own_training_and_gives_the_same_on_several_cores(project, tmp_path, monkeypatch):
    from compliance_xai.pipeline import search

    monkeypatch.setenv("PYTHONPATH", str(Path(pipeline.__file__).parents[2]))
    study = make_study(project, "tuned", seeds="[1, 2]", **{"search.trials": "2"})
    result = pipeline.finetune(study, "s", "full")
    own = result["summary"].set_index("seed").loc[1, "validation_loss"]
    trained = []
    real = search.train_seed
    monkeypatch.setattr(
        search, "train_seed", lambda *given: trained.append((given[0].cell[1], given[1])) or real(*given)
    )
    alone = search.search_settings(study)
    assert trained == [("full", 1), ("lora", 1), ("lora", 1)]  # the first trial of full was there
    assert alone.set_index(["strategy", "trial"]).loc[("full", 0), "validation_loss"] == own
    shutil.rmtree(study.folder / "search")
    reported = []
    together = search.search_settings(study, lambda cell, trial, loss: reported.append((cell.strategy, trial)), cores=2)
    pd.testing.assert_frame_equal(together.drop(columns="seconds"), alone.drop(columns="seconds"))
    assert sorted(reported) == [("full", 0), ("full", 1), ("lora", 0), ("lora", 1)]

    kept = export_search(study, tmp_path / "kept")
    assert kept.name == "search_trials.csv"
    assert pd.read_csv(kept)["validation_loss"].tolist() == pytest.approx(alone["validation_loss"].tolist(), rel=1e-5)
    changed = make_study(project, "tuned", **{"strategies.lora.learning_rate": "0.5"})
    with pytest.raises(InputError, match="expected trials around the study's present settings, found others"):
        export_search(changed, tmp_path / "kept")
    with pytest.raises(InputError, match=r"expected the trials of a search, found no such file\. Run 'compliance-xai"):
        export_search(make_study(project, "untuned"), tmp_path)


def test_a_search_trains_in_one_process_and_says_so(project):
    from compliance_xai.pipeline import search

    study = make_study(project, "wide", **{"launch.config": "configs/accelerate/ddp_cpu.yaml"})
    with pytest.raises(InputError, match=r"'launch\.config': expected none for a search"):
        search.search_settings(study)


def test_a_training_that_breaks_off_is_a_result_of_the_search(project, monkeypatch):
    from compliance_xai.pipeline import search

    def break_off(*arguments, **settings):
        raise FloatingPointError

    monkeypatch.setattr(search, "train_seed", break_off)
    trials = search.search_settings(make_study(project, "hopeless", **{"search.trials": "1"}))
    assert (trials["validation_loss"] == float("inf")).all()


def test_a_stage_whose_needs_are_missing_says_what_to_run(project):
    study = make_study(project, "needy")
    with pytest.raises(
        InputError, match=r"'Fine-tune s, full' with the study's present settings, found it was not run\. Run"
    ):
        pipeline.generate(study, "s", "full")
    with pytest.raises(InputError, match=r"the strategy 'none' is not fine-tuned"):
        pipeline.finetune(study, "s", "none")
    with pytest.raises(InputError, match=r"finished results of the stage 'corpus', found none"):
        pipeline.read_stage(study, "corpus")


def test_a_result_names_its_tables_where_one_is_not_there(first):
    study, _ = first
    with pytest.raises(InputError, match=r"stage 'ladder', file: expected one of rungs\.parquet, found 'logs\."):
        _ = pipeline.read_stage(study, "ladder")["logs"]


def test_few_examples_still_show_every_context(first):
    study, _ = first
    chosen = attributed_examples(study)
    assert len({example.context for example in chosen if example.split == "test"}) == 3
    assert [example.split for example in chosen] == ["test"] * 3 + ["document"]
    assert len(evaluated_examples(study)) == 9
    assert {split: len(members) for split, members in load_examples(study).items()} == {
        "train": 16,
        "validation": 8,
        "test": 7,
        "document": 2,
    }
    assert take_in_turn([], None, "nowhere") == []


PROLOG = "compliant(X) :- {0}(X), width(X, W), W >= {1}."


def test_a_study_of_rules_in_another_language_runs_without_a_parser(project):
    things, kinds = ("door", "ramp", "stair", "lobby", "landing", "window", "gutter"), ("steel", "oak wood", "brick")
    names = [f"{thing} of {kind}" for thing in things for kind in kinds]
    rows = [
        {"clause": f"Every {name} shall be {900 + index} mm wide.", "rule": PROLOG.format(name.split()[0], 900 + index)}
        for index, name in enumerate(names)
    ]
    pd.DataFrame(rows).to_csv(project / "prolog.csv", index=False)
    study = make_study(
        project, "prolog", seeds="[0]",
        corpus=f"{{source: table, path: {project}/prolog.csv, rules: text, train: 12, validation: 2, test: 2}}",
        tests="{C4: {outcome: exact}}",
        attribution="{clauses: 2, baselines: [delete], precision_clauses: 1, second_method: surrogate_ridge}",
        faithfulness="{clauses: 2, points: 2, random_orders: 1, masks: 6, operators: [mask, delete]}",
    )  # fmt: skip
    run_all(study)
    written = pipeline.read_stage(study, "generate", "s", "lora")
    assert written["scores"]["lrml_f1"].isna().all()
    assert written["scores"][["exact", "chrf", "bleu"]].notna().all(axis=None)
    assert set(written["corpus_scores"]["metric"]) == {"exact_match", "bleu", "chrf", "token_edit_distance"}
    assert set(pipeline.read_stage(study, "attribute", "s", "lora")["elements"]["kind"]) == {"token", "value"}
