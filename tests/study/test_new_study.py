"""A new study's file: from flags or answers, read back as what was asked for, never over another file."""

import pytest
from typer.testing import CliRunner

from compliance_xai.cli import app
from compliance_xai.errors import InputError
from compliance_xai.study.new_study import Answers, format_study, write_study
from compliance_xai.study.settings import load_study
from compliance_xai.study.strategy_settings import KINDS

runner = CliRunner()


def test_flags_give_the_study_that_they_name(toy):
    arguments = ["--name", "mine", "--ladder", "toy", "--scales", "m", "--strategies", "full,qlora", "--seeds", "3"]
    result = runner.invoke(app, ["new-study", *arguments, "--clauses", "7", "--yes"])
    assert result.exit_code == 0, result.output
    assert "2 runs. Look at it, then: compliance-xai study plan mine" in result.output
    study = load_study("mine")
    assert (study.scales, tuple(study.strategies), study.seeds) == (("m",), ("full", "qlora"), (3,))
    assert study.attribution.clauses == 7
    assert study.strategies["qlora"].rank == 32
    text = (toy.folder / "studies" / "mine.yaml").read_text(encoding="utf-8")
    assert text.startswith("# A study made by 'compliance-xai new-study'.")


def test_questions_are_asked_where_no_flag_answers(toy):
    answers = "\n".join(["asked", "", "toy", "", "lora", "0", "5"]) + "\n"
    result = runner.invoke(app, ["new-study"], input=answers)
    assert result.exit_code == 0, result.output
    assert "Strategies, with commas [none,full,lora]:" in result.output
    study = load_study("asked")
    assert (study.ladder.source, study.scales, study.seeds, study.corpus.test) == ("toy", ("s", "m"), (0,), 120)


def test_a_bad_answer_is_asked_for_again(toy):
    answers = (
        "\n".join(["again", "synthetc", "synthetic", "tow", "toy", "xl", "m", "lor", "lora", "x", "0", "5"]) + "\n"
    )
    result = runner.invoke(app, ["new-study"], input=answers)
    assert result.exit_code == 0, result.output
    for said in (
        "Did you mean 'synthetic'",
        "ladder 'tow'",
        "found 'xl'",
        "Did you mean 'lora'",
        "expected whole numbers",
    ):
        assert said in result.output
    study = load_study("again")
    assert (study.scales, tuple(study.strategies), study.seeds) == (("m",), ("lora",), (0,))


def test_the_path_of_a_corpus_makes_it_a_table_and_is_kept_relative_to_the_study(toy, monkeypatch):
    (toy.folder / "mine.csv").write_text("clause,rule\na,b\n", encoding="utf-8")
    arguments = ["--name", "own", "--corpus-path", "mine.csv", "--ladder", "toy", "--yes"]
    result = runner.invoke(app, ["new-study", *arguments])
    assert result.exit_code == 0, result.output
    text = (toy.folder / "studies" / "own.yaml").read_text(encoding="utf-8")
    assert '  source: table\n  path: "../mine.csv"\n' in text
    monkeypatch.chdir("/")
    assert load_study(toy.folder / "studies" / "own.yaml").corpus.path == str(toy.folder / "mine.csv")


def test_models_are_listed_with_what_their_folders_say(toy):
    import json

    import numpy as np
    from safetensors.numpy import save_file

    folder = toy.folder / "SmolLM"
    folder.mkdir()
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = {"model_type": "llama", "dtype": "bfloat16", "vocab_size": 100_000, **sizes}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text("x", encoding="utf-8")
    save_file({"embed": np.zeros((2, 2), np.float16)}, folder / "model.safetensors")
    result = runner.invoke(
        app, ["new-study", "--name", "own", "--model", "SmolLM", "--strategies", "full,lora", "--yes"]
    )
    assert result.exit_code == 0, result.output
    study = load_study("own")
    rung = study.ladder.rungs[0]
    assert (rung.name, rung.parameters, rung.template, rung.dtype) == ("SmolLM", 12_828_864, "chat", "bfloat16")
    assert study.settings_of("SmolLM", "lora").learning_rate == 2e-3
    assert "path: ../SmolLM" in (toy.folder / "studies" / "own.yaml").read_text(encoding="utf-8")


def test_a_file_that_is_there_is_left_alone(toy):
    before = toy.study.read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"toy\.yaml: expected no such file, found one\. Choose another name"):
        write_study(Answers("toy", ladder="toy"))
    assert toy.study.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (Answers("a", ladder="toy", scales=["xl"]), "rung of the ladder 'toy': expected one of s, m, found 'xl'"),
        (Answers("a", ladder="toy", strategies=["lor"]), "expected one of none, full, lora, qlora, .* found 'lor'"),
        (
            Answers("a", ladder="toy", corpus="table"),
            "corpus 'table': expected a file of clauses and rules, found none",
        ),
        (
            Answers("a", ladder="toy", corpus="table", path="no.csv"),
            "expected a file of clauses and rules, found no.csv",
        ),
        (Answers("a b", ladder="toy"), "key 'name': expected a name of letters"),
        (Answers("a", ladder="toy", seeds=[1, 1]), "key 'seeds': expected unique entries"),
    ],
)
def test_bad_answers_leave_no_file(toy, answers, message):
    with pytest.raises(InputError, match=message):
        write_study(answers)
    assert [path.name for path in (toy.folder / "studies").iterdir()] == ["toy.yaml"]


def test_a_name_with_results_is_refused(toy):
    (toy.folder / "results" / "mine" / "runs").mkdir(parents=True)
    with pytest.raises(InputError, match="expected a name without results, found results/mine"):
        write_study(Answers("mine", ladder="toy"))


def test_every_kind_of_strategy_makes_a_study(toy):
    _, study = write_study(Answers("all", ladder="toy", strategies=list(KINDS)))
    assert list(study.strategies) == list(KINDS)


@pytest.mark.parametrize("name", ["true", "1e3", "2026-11-21", "0x10", "mine"])
def test_names_that_look_like_other_things_stay_text(toy, name):
    _, study = write_study(Answers(name, ladder="toy", title='A "title": with # signs'))
    assert (study.name, study.title) == (name, 'A "title": with # signs')


def test_a_table_is_named(toy):
    (toy.folder / "mine.csv").write_text("clause,rule\na,b\n", encoding="utf-8")
    text = format_study(Answers("mine", corpus="table", path="mine.csv", ladder="toy"))
    assert '  source: table\n  path: "mine.csv"\n' in text
    assert "train: " not in text


def test_a_tables_other_column_names_are_given_or_asked_for_and_kept(toy):
    (toy.folder / "mine.csv").write_text("Nr;Klausel;Regel\n1;a;b\n", encoding="utf-8")
    arguments = ["new-study", "--ladder", "toy", "--corpus-path", "mine.csv"]
    result = runner.invoke(app, [*arguments, "--name", "own", "--yes"])
    assert result.exit_code != 0
    assert "--column clause: expected one of Nr, Klausel, Regel, found 'clause'" in str(result.exception)
    given = ["--name", "own", "--yes", "--column", "clause=Klausel", "--column", "rule=Regel", "--column", "id=Nr"]
    assert runner.invoke(app, [*arguments, *given]).exit_code == 0
    assert load_study("own").corpus.columns == {"clause": "Klausel", "rule": "Regel", "id": "Nr"}
    answers = "\n".join(["asked", "Klause", "Klausel", "Regel", "m", "lora", "0", "5"]) + "\n"
    result = runner.invoke(app, arguments, input=answers)
    assert result.exit_code == 0, result.output
    assert "Did you mean 'Klausel'?" in result.output
    assert load_study("asked").corpus.columns == {"clause": "Klausel", "rule": "Regel"}
