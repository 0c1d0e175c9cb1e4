import subprocess
import sys

import pytest

from compliance_xai import cli


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compliance-xai", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_bad_input_is_one_message_without_a_traceback(toy, capsys, monkeypatch):
    toy.edit(toy.study, "scales:", "scale:")
    code, out, err = run(capsys, monkeypatch, "study", "plan", "toy")
    assert code == 2
    assert out == ""
    assert err.startswith(f"Error: {toy.study}, line 5, key 'scale': expected one of the keys name, title")
    assert "Did you mean 'scales'?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scales=[xl]", "rung of the ladder 'toy': expected one of s, m, found 'xl'"),
        ("ladder=tow", "ladder 'tow': expected a ladder.yaml, or one of the shipped ladders: toy"),
        ("corpus.source=table", "key 'corpus.path': expected a file for the source 'table', found no path"),
        ("corpus={source: table, path: x.csv}", "key 'corpus.path': expected a file that exists, found nothing at"),
        ("corpus={source: nzbc-lrml, path: x.csv}", "Run 'compliance-xai corpus fetch nzbc-lrml'"),
    ],
)
def test_what_a_study_names_must_exist(toy, capsys, monkeypatch, override, message):
    code, _, err = run(capsys, monkeypatch, "study", "plan", "toy", "--set", override)
    assert code == 2
    assert message in err


def test_plan_shows_the_grid_and_writes_nothing(toy, capsys, monkeypatch):
    code, out, err = run(capsys, monkeypatch, "study", "plan", "toy")
    assert (code, err) == (0, "")
    assert "A run would execute 24 of 24 notebooks." in out
    assert "no training" in out
    assert "Memory and time are not planned: " in out  # the toy has no clauses to measure
    assert not (toy.folder / "results").exists()


def test_status_says_by_its_exit_whether_everything_is_done(toy, capsys, monkeypatch):
    code, out, _ = run(capsys, monkeypatch, "study", "status", "toy")
    assert code == 1
    assert out.splitlines()[-1] == "24 not run"


def test_the_contents_can_be_written(toy, capsys, monkeypatch):
    code, _, _ = run(capsys, monkeypatch, "book", "toc", "toy", "contents.yml")
    assert code == 0
    assert "book/runs/toy/s-lora-attribute" in (toy.folder / "contents.yml").read_text(encoding="utf-8")


def test_a_book_of_a_study_that_was_not_run_is_refused(toy, capsys, monkeypatch):
    code, _, err = run(capsys, monkeypatch, "book", "build", "toy")
    assert code == 2
    assert "corpus.ipynb: expected a notebook that ran to its end" in err


def test_corpus_describe_counts_the_shipped_corpus(capsys, monkeypatch):
    code, out, err = run(capsys, monkeypatch, "corpus", "describe", "synthetic")
    assert (code, err) == (0, "")
    assert out.startswith("synthetic: ")
    assert "Features by category" in out
    code, _, err = run(capsys, monkeypatch, "corpus", "describe", "syntetic")
    assert code == 2
    assert "Error: corpus source: expected one of synthetic, nzbc-lrml, table, found 'syntetic'" in err


def test_corpus_describe_reads_a_table_as_told(tmp_path, capsys, monkeypatch):
    rows = "".join(f"Rampe {name};0,9{i} m breit;width(X, 9{i}).\n" for i, name in enumerate("abcdefghijkl"))
    (tmp_path / "a.csv").write_text("Text;Maß;Regel\n" + rows, encoding="cp1252")
    options = ["--path", str(tmp_path / "a.csv"), "--column", "clause=Maß", "--column", "rule=Regel"]
    options += ["--delimiter", ";", "--encoding", "cp1252", "--decimal", ",", "--rules", "text"]
    code, out, err = run(capsys, monkeypatch, "corpus", "describe", "table", *options)
    assert (code, err) == (0, "")
    assert "Decimal commas were read as points in 12 clauses." in out


def test_an_unknown_corpus_cannot_be_fetched(capsys, monkeypatch):
    code, _, err = run(capsys, monkeypatch, "corpus", "fetch", "nzbc")
    assert code == 2
    assert "corpus to fetch: expected one of nzbc-lrml, code-accord-train, code-accord-test, found 'nzbc'" in err


@pytest.mark.parametrize("arguments", [(), ("study",), ("study", "run"), ("corpus", "fetch"), ("book", "build")])
def test_help_is_there(arguments):
    command = [sys.executable, "-m", "compliance_xai.cli", *arguments, "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: " in result.stdout


def test_a_wrong_option_is_explained():
    command = [sys.executable, "-m", "compliance_xai.cli", "study", "run", "quick", "--core", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "No such option: --core" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_version_studies_and_settings_are_shown(toy, capsys, monkeypatch):
    code, out, _ = run(capsys, monkeypatch, "--version")
    assert (code, out.split()[0]) == (0, "compliance-xai")
    (toy.folder / "studies" / "broken.yaml").write_text("a: [", encoding="utf-8")
    code, out, _ = run(capsys, monkeypatch, "study", "list")
    assert code == 0
    assert out.splitlines()[0].startswith("broken: cannot be read: ")
    assert out.splitlines()[-1] == "toy: A toy study"
    code, out, _ = run(capsys, monkeypatch, "study", "settings", "attribution.draws")
    assert "attribution.draws: " in out
    assert "allowed: whole number from 1; default: 5" in out


def test_states_can_be_read_by_scripts(toy, capsys, monkeypatch):
    import json

    code, out, _ = run(capsys, monkeypatch, "study", "status", "toy", "--json")
    assert code == 1
    assert json.loads(out)["corpus"] == "not run"


def test_text_of_a_study_is_text_in_a_terminal(toy, capsys, monkeypatch):
    toy.edit(toy.study, "title: A toy study", 'title: "[red]a[/b] \\e[2J :smile:"')
    code, out, _ = run(capsys, monkeypatch, "study", "plan", "toy")
    assert code == 0
    assert "[red]a[/b] [2J :smile:" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cell", "finetune", "toy", "s", "ful"), "Did you mean 'full'?"),
        (("cell", "finetune", "toy", "s", "none"), "found the untouched base"),
        (("cell", "finetune", "toy", "x", "full"), "model size: expected one of s, m, found 'x'"),
        (("study", "plan", "toy", "--device-memory", "80"), "Write 80GB"),
        (("study", "run", "toy", "--model", "models/none"), "expected a model folder, or a hub id"),
    ],
)
def test_bad_input_is_refused_before_anything_is_shown(toy, capsys, monkeypatch, arguments, message):
    code, out, err = run(capsys, monkeypatch, *arguments)
    assert (code, out) == (2, "")
    assert message in err
