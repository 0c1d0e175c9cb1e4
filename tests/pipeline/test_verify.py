"""What a study's files are checked for; other settings beside a study; parameters that do not exist."""

import json
import os
from types import SimpleNamespace

import pytest

from compliance_xai import cli
from compliance_xai.errors import InputError
from compliance_xai.files import write_json
from compliance_xai.pipeline import execution
from compliance_xai.pipeline.grid import find_states, make_jobs, source_hash, verify
from compliance_xai.pipeline.manifests import read_manifest, write_manifest
from compliance_xai.pipeline.stages import check_parameters, open_study, require_results, run_stage
from compliance_xai.pipeline.stores import stamp_file
from compliance_xai.study.settings import load_study


@pytest.fixture
def jobs(toy):
    """The jobs of a study whose corpus and ladder are done, the ladder from a file of the corpus."""
    jobs = make_jobs(load_study(toy.study))

    def work(task):
        task.new_file("made.txt").write_text(task.job.key, encoding="utf-8")
        if task.job.stage == "ladder":
            task.read(jobs["corpus"].folder / "made.txt")

    for name in ("corpus", "ladder"):
        job = jobs[name]
        run_stage(toy.study, name, work=work)
        write_json({"metadata": {}}, job.page)
        manifest = read_manifest(job.folder)
        page = {"key": job.key, "source": source_hash(job), "stamp": stamp_file(job.page)}
        write_manifest(manifest | {"page": page}, job.folder)
    return {name: jobs[name] for name in ("corpus", "ladder", "findings")}


def alter(path, *, time=True):
    """Change one character; where ``time`` is false, as a failing disk does it."""
    status, text = path.stat(), path.read_text(encoding="utf-8")
    path.write_text("x" + text[1:], encoding="utf-8")
    if not time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_whole_results_are_whole_and_the_rest_is_named(jobs):
    assert verify(jobs) == {"findings": ["not run yet"]}
    assert verify(jobs, content=True) == {"findings": ["not run yet"]}


def test_an_altered_a_missing_and_a_replaced_file_are_named(jobs):
    made = jobs["corpus"].folder / "made.txt"
    alter(made)
    assert verify(jobs)["corpus"] == [f"{made} was altered after it was made"]
    made.unlink()
    jobs["ladder"].page.unlink()
    found = verify(jobs)
    assert found["corpus"] == [f"{made} is missing"]
    assert found["ladder"] == [f"{jobs['ladder'].page} is missing"]


def test_a_file_that_looks_unchanged_is_found_by_its_content(jobs):
    made = jobs["corpus"].folder / "made.txt"
    alter(made, time=False)
    assert "corpus" not in verify(jobs)
    assert verify(jobs, content=True)["corpus"] == [f"{made} was altered after it was made"]


def test_results_computed_from_another_file_are_named(jobs):
    manifest = read_manifest(jobs["corpus"].folder)
    made = jobs["corpus"].folder / "made.txt"
    made.write_text("another", encoding="utf-8")
    size, modified, sha256 = stamp_file(made)
    stamps = {"made.txt": (size, modified)}
    write_manifest(manifest | {"outputs": {"made.txt": sha256}, "stamps": stamps}, jobs["corpus"].folder)
    assert verify(jobs)["ladder"] == [f"{made} was replaced after the results were computed from it"]


def test_stale_results_and_a_damaged_manifest_are_named(jobs, toy):
    toy.edit(toy.notebook("02_ladder.py"), "Some prose.", "Other prose.")
    (jobs["corpus"].folder / "manifest.json").write_text("{", encoding="utf-8")
    found = verify(jobs)
    assert found["ladder"] == ["its notebook was changed after it was executed"]
    assert found["corpus"] == [f"{jobs['corpus'].folder / 'manifest.json'} is damaged"]


def test_stale_results_name_the_settings_that_changed(jobs, toy):
    toy.edit(toy.study, "corpus: {source: synthetic}", "corpus: {source: synthetic, train: 64}")
    now = make_jobs(load_study(toy.study))
    found = verify({name: now[name] for name in jobs})
    assert found["corpus"] == ["made with other settings (corpus.train: null, now 64)"]
    with pytest.raises(InputError, match=r"found it was made with other settings \(corpus\.train"):
        require_results(now["corpus"])


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["compliance-xai", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().out


def test_verify_is_a_command(jobs, toy, capsys, monkeypatch):
    alter(jobs["corpus"].folder / "made.txt")
    code, out = run(capsys, monkeypatch, "study", "verify", "toy")
    assert code == 1
    assert f"Corpus: {jobs['corpus'].folder / 'made.txt'} was altered after it was made" in out
    assert out.splitlines()[-1] == "1 of 24 notebooks and their results are whole and current."
    code, out = run(capsys, monkeypatch, "study", "verify", "toy", "--json", "--content")
    assert code == 1
    assert "ladder" not in json.loads(out)


@pytest.mark.parametrize("command", ["plan", "run", "status", "verify"])
def test_a_study_argument_that_no_file_system_takes_is_one_message(toy, capsys, monkeypatch, command):
    monkeypatch.setattr("sys.argv", ["compliance-xai", "study", command, "x" * 400])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("Error: [Errno 36] File name too long")
    assert "expected a shorter name, found one that the file system refuses" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("name: toy", "name: {}", "name"),
        ("  full:", "  {}: {{kind: lora}}\n  full:", "strategies"),
        ("scales: [s, m]", "scales: [s, {}]", "scales"),
    ],
)
def test_a_name_of_300_letters_is_refused_before_anything_runs(toy, capsys, monkeypatch, old, new, key):
    toy.edit(toy.study, old, new.format("x" * 300))
    monkeypatch.setattr("sys.argv", ["compliance-xai", "study", "run", str(toy.study)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert key in said
    assert "at most 60" in said
    assert not (toy.folder / "results").exists()


def test_names_of_60_letters_run(toy):
    """The longest names that are allowed give paths that the file system takes."""
    scale, strategy = "s" * 60, "x" * 60
    toy.edit(toy.folder / "data" / "ladders" / "toy" / "ladder.yaml", "name: s,", f"name: {scale},")
    toy.edit(toy.study, "scales: [s, m]", f"scales: [{scale}]")
    toy.edit(toy.study, "name: toy", f"name: {'n' * 60}")
    toy.edit(toy.study, "  full: {steps: 5}", f"  {strategy}: {{kind: full, steps: 5}}")
    assert execution.main([str(toy.study), f"{scale}-{strategy}-finetune"]) == 0


def test_other_settings_are_kept_beside_the_study(toy):
    assert open_study("toy") == open_study("toy", {}) == load_study("toy")
    other = open_study("toy", {"strategies.full.learning_rate": 2e-5})
    assert other.strategies["full"].learning_rate == 2e-5
    assert other.name.startswith("toy-")
    assert other.folder == toy.folder / "results" / other.name
    assert other == open_study("toy", {"strategies.full.learning_rate": 2e-5})
    assert other == open_study("toy", {"strategies.full.learning_rate": "2e-5"})  # as papermill hands it on
    assert other.name != open_study("toy", {"strategies.full.learning_rate": 3e-5}).name
    assert load_study(other.name) == load_study(other.folder / "study.yaml") == other
    assert set(find_states(make_jobs(load_study(other.name))).values()) == {"not run"}
    assert not (toy.folder / "results" / "toy").exists()


def test_a_misspelt_setting_is_refused(toy):
    with pytest.raises(InputError, match=r"learning_rat.*Did you mean 'learning_rate'"):
        open_study("toy", {"strategies.full.learning_rat": 2e-5})
    assert not (toy.folder / "results").exists()


def test_a_misspelt_parameter_of_a_notebook_is_refused():
    first = 'study: str = "studies/quick.yaml"\nscale: str = "1m"\noverrides: dict = {}'
    shell = SimpleNamespace(user_ns={"In": ["", first, '# Parameters\nscal = "4m"\n']})
    with pytest.raises(InputError, match=r"notebook, parameter: expected one of study, scale.*Did you mean 'scale'"):
        check_parameters(shell)
    shell.user_ns["In"][2] = '# Parameters\nscale = "4m"\n'
    check_parameters(shell)
    check_parameters(SimpleNamespace(user_ns={"In": ["", "x = 1", "y = 2"]}))
    check_parameters(None)
