import errno
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import psutil
import pytest

from compliance_xai.errors import InputError
from compliance_xai.pipeline import execution
from compliance_xai.pipeline.environment import notebook_environment, run_environment
from compliance_xai.pipeline.execution import (
    execute_job,
    make_parameters,
    prepare_notebook,
    validate_notebook,
)
from compliance_xai.pipeline.failures import NotebookFailed, report_errors
from compliance_xai.pipeline.grid import find_state, make_jobs
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.study.settings import load_study

REPOSITORY = Path(__file__).resolve().parents[2]


def job_of(toy, name):
    return make_jobs(load_study(toy.study))[name]


def run(toy, name):
    job = job_of(toy, name)
    return execute_job(job, make_parameters(job, toy.study))


def test_a_page_carries_its_cell_in_the_title_fixed_ids_and_a_footer(toy):
    page = nbformat.read(run(toy, "s-full-finetune"), as_version=4)
    assert page.cells[0].source.splitlines()[0] == "# Fine-tune: s, full"
    assert [cell.id for cell in page.cells[:2]] == ["s-full-finetune-000", "s-full-finetune-001"]
    assert "papermill" not in page.metadata
    footer = page.cells[-1].outputs[0].data["text/html"]
    assert "<section class='provenance'" in footer
    assert "s, full" in footer
    defaults = [cell for cell in page.cells if "parameters" in cell.metadata.get("tags", [])]
    assert "remove-cell" in defaults[0].metadata["tags"]
    assert validate_notebook(job_of(toy, "s-full-finetune").page) == []


def test_the_same_notebook_gives_the_same_page_twice(toy):
    page = run(toy, "corpus")
    cells = nbformat.read(page, as_version=4).cells
    again = nbformat.read(run(toy, "corpus"), as_version=4).cells
    assert [(cell.id, cell.source) for cell in cells] == [(cell.id, cell.source) for cell in again]


def test_parameters_keep_their_types(toy):
    notebook = toy.notebook("01_corpus.py")
    with notebook.open("a", encoding="utf-8") as file:
        file.write('\n# %%\nassert isinstance(study, str), study\nprint("study is", repr(study))\n')
    job = job_of(toy, "corpus")
    toy.study.rename(toy.study.with_name("12e4567.yaml"))
    page = execute_job(job, {"study": "12e4567"})
    assert "study is '12e4567'" in page.read_text(encoding="utf-8")


def test_an_unknown_parameter_is_refused(toy):
    with pytest.raises(NotebookFailed, match=r"notebook corpus, parameter: expected one of study.*'sede'") as caught:
        execute_job(job_of(toy, "corpus"), {"sede": 1})
    assert caught.value.bad_input


def test_a_notebook_without_a_parameters_cell_is_refused(toy):
    toy.edit(toy.notebook("01_corpus.py"), ' tags=["parameters"]', "")
    with pytest.raises(InputError, match="expected one cell tagged 'parameters', found 0 of them"):
        prepare_notebook(job_of(toy, "corpus"))


def test_an_error_keeps_the_attempt_beside_and_leaves_no_page(toy):
    toy.edit(toy.notebook("01_corpus.py"), "result = run_stage", "raise KeyError('no such thing')\nresult = run_stage")
    with pytest.raises(NotebookFailed, match="corpus: KeyError: 'no such thing'") as caught:
        run(toy, "corpus")
    job = job_of(toy, "corpus")
    assert caught.value.kept == job.failed_page
    assert not caught.value.bad_input
    assert job.failed_page.is_file()
    assert not job.page.exists()
    assert find_state(job) == "failed"


def test_bad_input_keeps_its_own_words(toy):
    bad = 'from compliance_xai import InputError\nraise InputError("x", expected="a", found="b", remedy="C.")\n'
    toy.edit(toy.notebook("01_corpus.py"), "result = run_stage", bad + "result = run_stage")
    with pytest.raises(NotebookFailed, match=r"corpus: x: expected a, found b\. C\.") as caught:
        run(toy, "corpus")
    assert caught.value.bad_input


def test_a_process_that_dies_is_a_failure(toy):
    toy.edit(
        toy.notebook("01_corpus.py"),
        "result = run_stage",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\nresult = run_stage",
    )
    with pytest.raises(NotebookFailed, match=r"its process was ended \(SIGKILL\), as happens when memory runs out"):
        run(toy, "corpus")
    assert not job_of(toy, "corpus").page.exists()


def test_what_a_library_says_is_a_note_at_the_foot_of_the_page(toy):
    said = "import sys, warnings\nwarnings.warn('look out')\nprint('<b>hub</b>', Path.cwd() / 'x', file=sys.stderr)\n"
    toy.edit(toy.notebook("01_corpus.py"), "task.clear_once()", said.replace("\n", "\n    ") + "task.clear_once()")
    page = nbformat.read(run(toy, "corpus"), as_version=4)
    outputs = [output for cell in page.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    footer = page.cells[-1].outputs[0].data["text/html"]
    assert "<summary>Notes of libraries (1)</summary>" in footer
    assert "UserWarning: look out" in footer
    assert "&lt;b&gt;hub&lt;/b&gt; x" in footer  # no path of this machine
    job = job_of(toy, "corpus")
    assert find_state(job) == "done"
    [note] = read_manifest(job.folder)["notes"]
    # Another look at the same results says what their making said.
    toy.edit(toy.notebook("01_corpus.py"), "Some prose.", "Other prose.")
    again = nbformat.read(run(toy, "corpus"), as_version=4)
    assert "UserWarning: look out" in again.cells[-1].outputs[0].data["text/html"]
    assert read_manifest(job.folder)["notes"] == [note]


@pytest.mark.parametrize("stream", ["sys.stdout", "sys.stderr"])
def test_a_notebook_that_prints_without_end_is_stopped(toy, stream):
    endless = f"import sys\nfor _ in range(100):\n    print('x' * 1_000_000, file={stream})\nresult = run_stage"
    toy.edit(toy.notebook("01_corpus.py"), "result = run_stage", endless)
    with pytest.raises(NotebookFailed, match="corpus: RuntimeError: this notebook printed more than 10 MB of text"):
        run(toy, "corpus")
    toy.edit(toy.notebook("01_corpus.py"), "range(100)", "range(1)")
    run(toy, "corpus")
    assert find_state(job_of(toy, "corpus")) == "done"


def test_a_notebook_that_hangs_is_ended_at_the_limit(toy):
    toy.edit(toy.notebook("01_corpus.py"), "result = run_stage", "import time\ntime.sleep(900)\nresult = run_stage")
    job = job_of(toy, "corpus")
    with pytest.raises(NotebookFailed, match="corpus: it took longer than the limit of 30 s"):
        execute_job(job, make_parameters(job, toy.study), limit=30)
    toy.edit(toy.notebook("01_corpus.py"), "time.sleep(900)", "")
    run(toy, "corpus")
    assert find_state(job_of(toy, "corpus")) == "done"


def test_notebooks_need_no_home(toy, monkeypatch):
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "IPYTHONDIR", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nohome")
    use = "import matplotlib\nplace = matplotlib.get_cachedir(), Path('~').expanduser()\nprint(place)\n"
    toy.edit(toy.notebook("01_corpus.py"), "result = run_stage", use + "result = run_stage")
    assert f"{toy.folder}/.cache/matplotlib" in run(toy, "corpus").read_text(encoding="utf-8")
    assert find_state(job_of(toy, "corpus")) == "done"
    assert run_environment()["XDG_CACHE_HOME"] == f"{toy.folder}/.cache"
    assert "HF_HOME" not in run_environment()


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("OSError(28, 'No space left on device', 'x')", "found a full disk. Free some space and run the same command"),
        ("RuntimeError('SafetensorError: I/O error (os error 28)')", "found a full disk. Free some space"),
        (
            "OSError(30, 'Read-only file system', 'x')",
            "expected a folder that can be written to, found one that cannot",
        ),
        ("OSError(36, 'File name too long')", "expected a shorter name"),
    ],
)
def test_what_the_system_refuses_is_one_clear_message(toy, problem, message):
    toy.edit(toy.notebook("01_corpus.py"), "result = run_stage", f"raise {problem}\nresult = run_stage")
    with pytest.raises(NotebookFailed, match=re.escape(message)) as caught:
        run(toy, "corpus")
    assert caught.value.bad_input


def test_a_notebook_that_never_called_its_stage_is_a_failure(toy):
    toy.edit(
        toy.notebook("01_corpus.py"),
        "result = run_stage(study, 'corpus', work=work)\nprint(result.manifest[\"stage\"])",
        "",
    )
    with pytest.raises(NotebookFailed, match="a manifest, written when the stage is complete"):
        run(toy, "corpus")


def test_threads_are_capped_in_the_notebook(toy):
    with toy.notebook("01_corpus.py").open("a", encoding="utf-8") as file:
        file.write('\n# %%\nimport os\n\nprint("threads", os.environ["OMP_NUM_THREADS"])\n')
    toy.edit(toy.study, "ladder: toy", "ladder: toy\nthreads: 3")
    job = job_of(toy, "corpus")
    page = execute_job(job, make_parameters(job, toy.study), threads=3)
    assert "threads 3" in page.read_text(encoding="utf-8")


def finished_notebook():
    cell = nbformat.v4.new_code_cell("print(1)", execution_count=1)
    last = nbformat.v4.new_code_cell("print(2)", execution_count=2)
    return nbformat.v4.new_notebook(cells=[cell, last])


def spoil_count(notebook):
    notebook.cells[0].execution_count = None


def spoil_error(notebook):
    notebook.cells[0].outputs = [nbformat.v4.new_output("error", ename="KeyError", evalue="k", traceback=[])]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (spoil_count, "code cell 1 of 2 was not executed"),
        (spoil_error, "code cell 1 ended in KeyError: k"),
    ],
)
def test_validation_sees_what_a_killed_kernel_leaves(tmp_path, spoil, problem):
    notebook = finished_notebook()
    path = tmp_path / "a.ipynb"
    nbformat.write(notebook, path)
    assert validate_notebook(path) == []
    spoil(notebook)
    nbformat.write(notebook, path)
    assert validate_notebook(path) == [problem]


def test_validation_of_half_a_file(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(finished_notebook())[:40], encoding="utf-8")
    assert validate_notebook(path)[0].startswith(f"{path} is not a notebook")
    assert validate_notebook(tmp_path / "b.ipynb") == [f"{tmp_path / 'b.ipynb'} does not exist"]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputError("x", expected="a", found="b", remedy="C."), 2, "Error: x: expected a, found b. C.\n"),
        (NotebookFailed("corpus", "KeyError: 'k'", kept=None, bad_input=False), 1, "Error: corpus: KeyError: 'k'\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "full disk"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "x"), 2, "found a file in its place"),
        (KeyboardInterrupt(), 130, "Interrupted. Finished work is kept; the same command continues.\n"),
    ],
)
def test_what_a_user_can_mend_is_one_message_and_a_status(capsys, error, status, message):
    def work():
        raise error

    assert report_errors(work) == status
    assert message in capsys.readouterr().err


def test_the_module_runs_one_job(toy, capsys):
    assert execution.main([str(toy.study), "corpus"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "start  Corpus"
    assert execution.main([str(toy.study), "korpus"]) == 2
    assert "study 'toy', job: expected one of corpus, ladder" in capsys.readouterr().err


def test_a_page_says_at_its_top_how_long_it_took(toy):
    toy.edit(toy.notebook("01_corpus.py"), "# Some prose.", "# *Reads* a\n# b. *Takes* seconds to\n# minutes. More.")
    job = make_jobs(load_study(toy.study))["corpus"]
    page = nbformat.read(execute_job(job, make_parameters(job, toy.study)), as_version=4)
    assert re.search(r"\*Reads\* a\nb\. \*Took\* \d+ s and \d+ MiB of memory\. More\.", page.cells[0].source)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_every_notebook_says_what_it_reads_writes_and_takes(path):
    cells = jupytext.read(path, fmt="py:percent").cells
    first = " ".join(cells[0].source.split())
    assert all(f"*{word}* " in first for word in ("Reads", "Writes", "Takes"))
    assert [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])] == [cells[1]]


@pytest.fixture
def forking(tmp_path, monkeypatch):
    """The process that a run keeps to fork those of its notebooks."""
    address = tmp_path / "fork"
    command = [sys.executable, "-m", "compliance_xai.pipeline.notebook_process", "--serve", str(address)]
    process = subprocess.Popen(command, env=notebook_environment(1))
    monkeypatch.setenv(execution.FORK_VARIABLE, str(address))
    while not address.exists():
        assert process.poll() is None
        time.sleep(0.05)
    yield process
    process.terminate()
    process.wait()


def test_a_forked_process_runs_a_notebook_like_a_new_one_and_has_what_others_imported(toy, forking, tmp_path):
    with toy.notebook("01_corpus.py").open("a", encoding="utf-8") as file:
        file.write("\n# %%\nimport os, sys\nprint('scipy.stats' in sys.modules, os.getppid())\nimport scipy.stats\n")
    printed = []
    for _ in range(2):
        cells = nbformat.read(run(toy, "corpus"), as_version=4).cells
        printed += [out.text.split() for cell in cells for out in cell.get("outputs", []) if "text" in out]
    parent = str(forking.pid)
    assert [line for line in printed if line[-1] == parent] == [["False", parent], ["True", parent]]
    assert "scipy.stats" in (tmp_path / "loaded").read_text(encoding="utf-8")
    forking.kill()
    forking.wait()
    run(toy, "corpus")  # a new process, since the one that forks is gone


def test_a_forked_process_fails_and_ends_like_a_new_one(toy, forking):
    job, text = job_of(toy, "corpus"), toy.notebook("01_corpus.py").read_text(encoding="utf-8")
    for cell, said in (
        ("raise ValueError('x')", "corpus: ValueError: x"),
        ("import time; time.sleep(600)", "corpus: it took longer than the limit of 8 s"),
        ("import os; os.kill(os.getpid(), 9)", r"its process was ended \(SIGKILL\)"),
    ):
        toy.notebook("01_corpus.py").write_text(f"{text}\n# %%\n{cell}\n", encoding="utf-8")
        with pytest.raises(NotebookFailed, match=said):
            execute_job(job, make_parameters(job, toy.study), limit=8)
    assert psutil.Process(forking.pid).children() == [] or all(
        child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process(forking.pid).children()
    )
