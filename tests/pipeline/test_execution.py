import errno
import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from compliance_xai.errors import InputError
from compliance_xai.pipeline import execution
from compliance_xai.pipeline.execution import (
    SENTINEL,
    NotebookFailed,
    _socket_root,
    execute_job,
    make_parameters,
    prepare_notebook,
    report_errors,
    validate_notebook,
)
from compliance_xai.pipeline.grid import find_state, make_jobs
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
    assert page.metadata["compliance_xai"]["complete"] is True
    assert "papermill" not in page.metadata
    footer = page.cells[-2].outputs[0].data["text/html"]
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
    with pytest.raises(InputError, match=r"01_corpus\.py, parameter: expected one of .*, found 'sede'"):
        prepare_notebook(job_of(toy, "corpus"), {"sede": 1})


def test_a_notebook_without_a_parameters_cell_is_refused(toy):
    toy.edit(toy.notebook("01_corpus.py"), ' tags=["parameters"]', "")
    with pytest.raises(InputError, match="expected one cell tagged 'parameters', found 0 of them"):
        prepare_notebook(job_of(toy, "corpus"), {})


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


def test_a_full_disk_is_named(toy):
    full = f"raise OSError({errno.ENOSPC}, 'No space left on device')\n"
    toy.edit(toy.notebook("01_corpus.py"), "result = run_stage", full + "result = run_stage")
    with pytest.raises(NotebookFailed, match=r"found a full disk\. Free some space and run the same command again"):
        run(toy, "corpus")


def test_a_kernel_that_dies_is_a_failure(toy):
    toy.edit(toy.notebook("01_corpus.py"), "result = run_stage", "import os\nos._exit(9)\nresult = run_stage")
    with pytest.raises(NotebookFailed, match="its kernel died"):
        run(toy, "corpus")
    assert not job_of(toy, "corpus").page.exists()


def test_a_warning_in_a_page_is_a_failure(toy):
    with toy.notebook("01_corpus.py").open("a", encoding="utf-8") as file:
        file.write('\n# %%\nimport warnings\n\nwarnings.warn("look out")\n')
    with pytest.raises(NotebookFailed, match=r"wrote to stderr: .*look out"):
        run(toy, "corpus")


def test_a_notebook_that_never_called_its_stage_is_a_failure(toy):
    toy.edit(
        toy.notebook("01_corpus.py"),
        "result = run_stage(study, 'corpus', work=work)\nprint(result.manifest[\"stage\"])",
        "",
    )
    with pytest.raises(NotebookFailed, match="a manifest, written when the stage is complete"):
        run(toy, "corpus")


def test_threads_are_capped_in_the_kernel(toy):
    with toy.notebook("01_corpus.py").open("a", encoding="utf-8") as file:
        file.write('\n# %%\nimport os\n\nprint("threads", os.environ["OMP_NUM_THREADS"])\n')
    job = job_of(toy, "corpus")
    page = execute_job(job, make_parameters(job, toy.study), threads=3)
    assert "threads 3" in page.read_text(encoding="utf-8")


def finished_notebook():
    cell = nbformat.v4.new_code_cell("print(1)", execution_count=1)
    last = nbformat.v4.new_code_cell("print(2)", execution_count=2)
    last.outputs = [nbformat.v4.new_output("stream", name="stdout", text=SENTINEL + "\n")]
    return nbformat.v4.new_notebook(cells=[cell, last])


def spoil_count(notebook):
    notebook.cells[0].execution_count = None


def spoil_error(notebook):
    notebook.cells[0].outputs = [nbformat.v4.new_output("error", ename="KeyError", evalue="k", traceback=[])]


def spoil_sentinel(notebook):
    notebook.cells[1].outputs = []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (spoil_count, "code cell 1 of 2 was not executed"),
        (spoil_error, "code cell 1 ended in KeyError: k"),
        (spoil_sentinel, "the last cell did not print the sentinel"),
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
    assert validate_notebook(path)[0].startswith(f"{path} is no notebook")
    assert validate_notebook(tmp_path / "b.ipynb") == [f"{tmp_path / 'b.ipynb'} does not exist"]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputError("x", expected="a", found="b", remedy="C."), 2, "Error: x: expected a, found b. C.\n"),
        (NotebookFailed("corpus", "KeyError: 'k'", kept=None, bad_input=False), 1, "Error: corpus: KeyError: 'k'\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "full disk"),
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


def test_sockets_lie_where_their_paths_are_short(monkeypatch):
    assert _socket_root() is None
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/long" * 20)
    assert _socket_root() == "/tmp"


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
