import pytest
import yaml

from compliance_xai.errors import InputError
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.settings import Cell, check_scales, dump_study, load_study

SHIPPED = sorted(path.stem for path in find_project_folder().joinpath("studies").glob("*.yaml"))
BASE = """\
name: tiny
title: A tiny study
corpus:
  source: synthetic
scales: [1m]
strategies:
  none: {}
  full:
    learning_rate: 1e-3
    steps: 190
  lora:
    rank: 8
seeds: [0, 1]
"""


def load(tmp_path, text, *overrides):
    path = tmp_path / "tiny.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_study(path, overrides)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_studies_read_back_from_their_full_spelling(name, tmp_path):
    study = load_study(name)
    path = tmp_path / "again.yaml"
    path.write_text(dump_study(study), encoding="utf-8")
    assert load_study(path) == study


def test_a_file_becomes_typed_settings(tmp_path):
    study = load(tmp_path, BASE)
    assert study.cells() == (Cell("1m", "none"), Cell("1m", "full"), Cell("1m", "lora"))
    assert study.strategies["full"].learning_rate == 0.001
    assert study.strategies["lora"].lora_alpha == 16.0
    assert study.strategies["full"].used() == {
        "kind": "full",
        "learning_rate": 0.001,
        "steps": 190,
        "batch_size": 8,
        "warmup": 0.05,
        "weight_decay": 0.01,
        "adam_beta2": 0.95,
        "evaluations": 4,
        "precision": "auto",
        "gradient_checkpointing": False,
    }
    assert study.strategies["none"].used() == {"kind": "none"}
    assert (study.seeds_of("none"), study.seeds_of("lora")) == ((0,), (0, 1))
    with pytest.raises(ValueError, match="frozen"):
        study.threads = 2


def test_a_strategy_of_any_name_has_a_kind(tmp_path):
    text = BASE.replace("  lora:\n", "  lora_wide:\n    kind: lora\n")
    assert load(tmp_path, text).strategies["lora_wide"].kind == "lora"


def test_hybrids_are_named_by_their_kind_and_read_what_they_need(tmp_path):
    hybrids = "  lora+: {full_learning_rate: 1e-4}\n  lora-then-full: {full_share: 0.1, steps: 20}\n  full-top: {}\n"
    study = load(tmp_path, BASE.replace("  lora:\n", hybrids + "  dora:\n"))
    assert [settings.kind for settings in study.strategies.values()][2:] == [
        "lora+",
        "lora-then-full",
        "full-top",
        "dora",
    ]
    assert [phase.steps for phase in study.strategies["lora-then-full"].phases] == [18, 2]
    assert study.strategies["dora"].lora_alpha == 16.0


def test_a_study_may_list_its_own_ladder(tmp_path):
    rungs = "ladder: {name: mine, rungs: [{name: 1m, path: Some/model, parameters: 7, template: chat}]}"
    study = load(tmp_path, BASE + rungs + "\n")
    assert str(study.ladder) == "mine"
    assert study.ladder.rungs[0].template == "chat"
    again = tmp_path / "again.yaml"
    again.write_text(dump_study(study), encoding="utf-8")
    assert load_study(again) == study
    assert str(load(tmp_path, BASE).ladder) == "embedded"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "learning_rate",
            "lerning_rate",
            r"line 9, key 'strategies\.full\.lerning_rate'.*Did you mean 'learning_rate'\?",
        ),
        ("corpus:", "korpus:", r"line 3, key 'korpus'.*unknown key 'korpus'\. Did you mean 'corpus'\?"),
        (
            "  lora:",
            "  lorra:",
            r"key 'strategies\.lorra\.kind'.*the name 'lorra' is not one.*Did you mean 'lora'",
        ),
        ("  lora:", "  lora:\n    kind: lorra", r"key 'strategies\.lora\.kind'.*found 'lorra'\. Did you mean 'lora'\?"),
        ("steps: 190", "steps: '190'", r"line 10, key 'strategies\.full\.steps': expected a whole number, found '190'"),
        ("steps: 190", "steps: 190.0", r"expected a whole number, found 190\.0"),
        ("steps: 190", "steps: true", r"expected a whole number, found True"),
        ("steps: 190", "steps: 0", r"expected a number greater than or equal to 1, found 0"),
        ("steps: 190", "rank: 4", r"expected no adapter settings, found 'rank' under a strategy of kind 'full'"),
        ("none: {}", "none: {steps: 3}", r"expected no settings, because the base model is not trained"),
        ("1e-3", ".nan", r"key 'strategies\.full\.learning_rate': expected a"),
        ("rank: 8", "full_share: 0.5", r"expected no second phase, found 'full_share' under a strategy of kind 'lora'"),
        ("rank: 8", "full_learning_rate: 1e-4", r"expected no second learning rate, found 'full_learning_rate'"),
        (
            "  lora:",
            "  lora/r:\n    kind: lora",
            r"expected a name of letters, digits, dots, underscores, plus signs, hyphens, found 'lora/r'",
        ),
        (
            "scales: [1m]",
            "scales: [1-m]",
            r"key 'scales\.0': expected a name of letters, digits, dots, underscores, found '1-m'",
        ),
        ("seeds: [0, 1]", "seeds: [0, 0]", r"expected unique entries, found 0 more than once"),
        ("seeds: [0, 1]", "seeds: 0", r"key 'seeds': expected a list, found 0"),
        ("seeds: [0, 1]", "seeds: []", r"key 'seeds': expected at least one entry"),
        ("synthetic", "sinthetic", r"key 'corpus\.source'.*Did you mean 'synthetic'\?"),
        ("title: A tiny study\n", "", r"key 'title': expected this key, found nothing"),
        ("name: tiny", "name: a/b", r"key 'name': expected a name of letters, digits"),
        ("seeds: [0, 1]", "prompt: {template: no place}", r"expected text with \{clause\} in it exactly once"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_a_remedy(tmp_path, old, new, message):
    assert old in BASE
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, BASE.replace(old, new))
    assert str(tmp_path / "tiny.yaml") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BASE + "name: again\n",
            r"line 14, key 'name': expected every key once, found a key that is already defined on line 1",
        ),
        (
            BASE.replace("    rank: 8", "    rank: 8\n    rank: 9"),
            r"key 'strategies\.lora\.rank': expected every key once",
        ),
        (b"name: caf\xe9\n", r"byte offset 9 .line 1.: expected UTF-8 text, found the byte 0xe9"),
        ("- a\n", r"expected a mapping of keys to values, found a list"),
        ("", r"found an empty file"),
        ("name: [\n", r"line 2: expected YAML"),
        ("1: x\n", r"line 1: expected a key that is text, found 1"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        load(tmp_path, text)


def test_yaml_words_and_numbers_mean_what_they_look_like(tmp_path):
    study = load(tmp_path, BASE.replace("A tiny study", "no").replace("rank: 8", "learning_rate: 5e-4"))
    assert study.title == "no"
    assert study.strategies["lora"].learning_rate == 0.0005


def test_overrides_are_typed_and_checked_like_the_file(tmp_path):
    study = load(tmp_path, BASE, "corpus.path=a b.csv", "seeds=[3]", "strategies.full.steps=7", "metrics.encoder=null")
    assert (study.corpus.path, study.seeds, study.strategies["full"].steps) == ("a b.csv", (3,), 7)
    assert study.metrics.encoder is None
    for override, message in [
        ("corpus.pth=x", "unknown key 'pth'. Did you mean 'path'?"),
        ("seeds", "--set 'seeds': expected key=value, found no '='"),
        ("seeds.x=1", "found 'seeds', a list"),
        ("seeds=[1", "expected YAML, found"),
    ]:
        with pytest.raises(InputError) as caught:
            load(tmp_path, BASE, override)
        assert message in str(caught.value)


def test_a_study_that_is_not_there_gets_a_suggestion():
    with pytest.raises(InputError, match="Did you mean 'quick'"):
        load_study("quik")
    with pytest.raises(InputError, match=r"The studies here are: embedded, hybrids, nzbc, .*quick, .*reference"):
        load_study("zzz")


def test_a_scale_that_the_ladder_lacks_is_named(tmp_path):
    study = load(tmp_path, BASE)
    check_scales(study, ["0.3m", "1m"])
    with pytest.raises(
        InputError,
        match=r"rung of the ladder 'embedded': expected one of 1\.0m, 7b, found '1m'\. Did you mean '1\.0m'\?",
    ):
        check_scales(study, ["1.0m", "7b"])


def test_settings_by_scale_hold_at_that_scale_only(tmp_path):
    study = load(tmp_path, BASE, "strategies.full.by_scale={4m: {learning_rate: 5e-4, steps: 7}}", "scales=[1m, 4m]")
    base, changed = study.settings_of("1m", "full"), study.settings_of("4m", "full")
    assert (changed.learning_rate, changed.steps) == (5e-4, 7)
    assert (base.learning_rate, base.steps) == (1e-3, 190)
    assert "by_scale" not in changed.used() | base.used()
    assert load(tmp_path, dump_study(study)) == study
    check_scales(study, ["1m", "4m"])
    with pytest.raises(InputError, match=r"key 'strategies.full.by_scale', rung of the ladder"):
        check_scales(study.model_copy(update={"scales": ("1m",)}), ["1m"])


@pytest.mark.parametrize(
    "change",
    [
        "strategies.both={kind: lora-then-full, steps: 1}",
        "strategies.both={kind: lora-then-full, steps: 9, by_scale: {1m: {steps: 1}}}",
        "search.steps=[1, 3]",
    ],
)
def test_two_phases_need_two_steps_wherever_they_are_written(tmp_path, change):
    with pytest.raises(InputError, match="2"):
        load(tmp_path, BASE, change)


def test_a_rank_by_scale_brings_its_alpha(tmp_path):
    study = load(tmp_path, BASE, "strategies.lora.by_scale={1m: {rank: 4}}")
    assert study.settings_of("1m", "lora").lora_alpha == 8.0
    assert load(tmp_path, dump_study(study)).settings_of("1m", "lora").lora_alpha == 8.0
    with pytest.raises(InputError, match="rank"):
        load(tmp_path, BASE, "strategies.full.by_scale={1m: {rank: 4}}")


def test_declared_tests_are_checked_and_part_of_the_key(tmp_path):
    study = load(tmp_path, BASE + "tests: {C1: {bands: [0.1, 0.2, 0.4]}, C4: {outcome: exact}}\n")
    assert (study.tests.C1.bands, study.tests.C1.outcome) == ((0.1, 0.2, 0.4), "jensen_shannon")
    assert (study.tests.C3.margin, study.tests.C4.outcome) == (0.05, "exact")
    with pytest.raises(InputError, match=r"key 'tests\.C2\.marign'.*Did you mean 'margin'\?"):
        load(tmp_path, BASE + "tests: {C2: {marign: 0.1}}\n")
    with pytest.raises(
        InputError, match=r"key 'attribution\.second_method': expected a second method that differs from the first"
    ):
        load(tmp_path, BASE + "attribution: {second_method: leave_one_out}\n")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_studies_spell_out_their_tests(name):
    text = (find_project_folder() / "studies" / f"{name}.yaml").read_text(encoding="utf-8")
    declared = yaml.safe_load(text)["tests"]
    assert declared == load_study(name).tests.model_dump(mode="json")


def test_shared_yaml_anchors_are_overridden_one_by_one():
    study = load_study("qwen-coder", ["strategies.lora.rank=4"])
    assert (study.strategies["lora"].rank, study.strategies["qlora"].rank) == (4, 32)


def test_overrides_may_be_a_mapping(tmp_path):
    study = load_study_text(tmp_path, BASE, {"strategies.full.learning_rate": 2e-5, "seeds": [7]})
    assert (study.strategies["full"].learning_rate, study.seeds) == (2e-5, (7,))
    with pytest.raises(InputError, match="Did you mean 'learning_rate'"):
        load_study_text(tmp_path, BASE, {"strategies.full.learning_rat": 2e-5})


def load_study_text(tmp_path, text, overrides=(), **options):
    path = tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path, overrides, **options)


def test_what_a_strategy_leaves_open_follows_its_kind_and_the_models_size(tmp_path):
    rungs = ", ".join(
        f"{{name: {n}, path: x/{n}, parameters: {p}, template: chat}}" for n, p in (("a", 9), ("b", 7 * 10**9))
    )
    text = BASE.replace("scales: [1m]", f"scales: [a, b]\nladder: {{rungs: [{rungs}]}}")
    study = load_study_text(tmp_path, text.replace("rank: 8", "steps: 9"))
    found = {(scale, strategy): study.settings_of(scale, strategy) for scale in "ab" for strategy in ("full", "lora")}
    assert {cell: settings.learning_rate for cell, settings in found.items()} == {
        ("a", "full"): 1e-3, ("b", "full"): 1e-3, ("a", "lora"): 4e-3, ("b", "lora"): 2e-4
    }  # fmt: skip
    assert (found["a", "lora"].rank, found["b", "lora"].rank) == (32, 16)
    assert {settings.steps for (_, name), settings in found.items() if name == "lora"} == {9}
    assert load_study_text(tmp_path, dump_study(study)) == study


def test_a_cell_that_the_study_lacks_is_named(tmp_path):
    study = load(tmp_path, BASE)
    with pytest.raises(
        InputError, match=r"strategy: expected one of none, full, lora, found 'ful'. Did you mean 'full'"
    ):
        study.settings_of("1m", "ful")
    with pytest.raises(InputError, match="model size: expected one of 1m, found '4m'"):
        study.settings_of("4m", "full")


def test_paths_are_relative_to_the_file_that_names_them_else_to_the_working_directory(tmp_path, monkeypatch):
    for name in ("files", "work", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "files" / "beside.csv").touch()
    (tmp_path / "work" / "here.csv").touch()
    monkeypatch.chdir(tmp_path / "work")
    for path, place in (("beside.csv", "files"), ("here.csv", "work")):
        study = load(tmp_path / "files", BASE.replace("source: synthetic", f"source: table\n  path: {path}"))
        assert study.corpus.path == str(tmp_path / place / path)
    assert load(tmp_path / "files", BASE, "corpus.path=here.csv").corpus.path == str(tmp_path / "work" / "here.csv")
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("COMPLIANCE_XAI_WORKING_FOLDER", str(tmp_path / "work"))
    assert load(tmp_path / "files", BASE, "corpus.path=here.csv").corpus.path == str(tmp_path / "work" / "here.csv")


def test_rules_without_a_parser_are_judged_by_their_text(tmp_path):
    text = BASE.replace("source: synthetic", "source: table\n  path: mine.csv\n  rules: text\n  decimal: ','")
    with pytest.raises(InputError, match=r"tests\.C4\.outcome.*expected 'exact', because rules: text has no parser"):
        load(tmp_path, text)
    study = load(tmp_path, text + "tests: {C4: {outcome: exact}}\n")
    assert (study.corpus.notation, study.corpus.decimal) == ("text", ",")
    assert load(tmp_path, BASE).corpus.notation == "lrml"
