import os
from pathlib import Path

import nbformat
import pytest
import yaml
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from compliance_xai import cli
from compliance_xai.book import building as book
from compliance_xai.book import parts as pages
from compliance_xai.book.building import check_pages, format_cell, format_overview, format_toc, make_toc, write_overview
from compliance_xai.book.live_model import write_live_models
from compliance_xai.errors import InputError
from compliance_xai.pipeline.execution import execute_job, make_parameters
from compliance_xai.pipeline.grid import make_jobs
from compliance_xai.pipeline.running import Plan, make_plan
from compliance_xai.study.settings import Cell, load_study

REPOSITORY = Path(__file__).resolve().parents[2]


def files(toc):
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            yield chapter["file"]
            for section in chapter.get("sections", []):
                yield section["file"]
                yield from (inner["file"] for inner in section.get("sections", []))


def plan_with(plan, **states):
    return Plan(
        plan.study, plan.path, plan.jobs, {**plan.states, **{k.replace("_", "-"): v for k, v in states.items()}}
    )


def run(toy, *names):
    jobs = make_jobs(load_study(toy.study))
    for name in names:
        execute_job(jobs[name], make_parameters(jobs[name], toy.study))
    return make_plan(toy.study)


def test_the_committed_contents_are_those_of_the_default_study():
    committed = (REPOSITORY / "_toc.yml").read_text(encoding="utf-8")
    assert committed == format_toc(make_toc(load_study(REPOSITORY / "studies" / "embedded.yaml")))


def test_contents_are_in_the_order_of_scales_not_of_letters():
    study = load_study(
        REPOSITORY / "studies" / "embedded.yaml", ("scales=[70m, 160m]", "strategies={none: {}, full: {}}")
    )
    runs = [file.removeprefix("book/runs/embedded/") for file in files(make_toc(study)) if "/runs/embedded/" in file]
    assert runs == [
        "corpus",
        "ladder",
        "overview",
        "70m-none",
        "70m-none-generate",
        "70m-none-attribute",
        "70m-full",
        "70m-full-finetune",
        "70m-full-generate",
        "70m-full-attribute",
        "160m-none",
        "160m-none-generate",
        "160m-none-attribute",
        "160m-full",
        "160m-full-finetune",
        "160m-full-generate",
        "160m-full-attribute",
        "compare_strategies",
        "compare_sizes",
        "faithfulness",
        "contexts",
        "findings",
        "summary",
        "provenance",
    ]


def test_static_pages_in_the_contents_exist():
    toc = yaml.safe_load((REPOSITORY / "_toc.yml").read_text(encoding="utf-8"))
    static = [toc["root"], *(file for file in files(toc) if "/runs/" not in file)]
    assert [file for file in static if not (REPOSITORY / f"{file}.md").is_file()] == []


def test_contents_of_a_partial_study_leave_out_what_is_not_there(toy):
    study = load_study(toy.study)
    names = [Path(file).name for file in files(make_toc(study, ["corpus", "s-full-generate"])) if "/runs/" in file]
    runs = ["s-none", "s-full", "s-full-generate", "s-lora", "m-none", "m-full", "m-lora"]
    assert names == ["corpus", "overview", *runs, "provenance"]


def test_the_gate_refuses_what_was_not_run(toy):
    plan = run(toy, "corpus")
    assert plan.states["corpus"] == "done"
    with pytest.raises(
        InputError, match=r"notebook .*ladder\.ipynb: .*found it was not run\. Run 'compliance-xai study"
    ):
        check_pages(plan)
    assert check_pages(plan, partial=True) == ["corpus"]


def test_the_gate_refuses_a_notebook_that_did_not_run_to_its_end_even_in_part(toy):
    plan = run(toy, "corpus")
    page = plan.jobs["corpus"].page
    notebook = nbformat.read(page, as_version=4)
    notebook.cells[-1].execution_count = None
    nbformat.write(notebook, page)
    with pytest.raises(InputError, match=r"corpus\.ipynb: .*found code cell \d of \d was not executed"):
        check_pages(plan, partial=True)


@pytest.mark.parametrize("same_time", [False, True], ids=["edited", "by a failing disk"])
def test_a_number_that_was_changed_in_an_executed_page_stops_the_build(toy, capsys, monkeypatch, same_time):
    toy.edit(toy.notebook("01_corpus.py"), "print(result", "print(3.14159)\nprint(result")
    plan = run(toy, "corpus")
    page = plan.jobs["corpus"].page
    status = page.stat()
    toy.edit(page, "3.14159", "9.99999")
    os.utime(page, ns=(status.st_atime_ns, status.st_mtime_ns + (not same_time)))
    for partial in ([], ["--partial"]):
        monkeypatch.setattr("sys.argv", ["compliance-xai", "book", "build", "toy", *partial])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert f"found {page} was altered after it was made. Run 'compliance-xai study run toy'" in said
    if not same_time:  # the run sees it without reading every page again, and makes the page again
        assert make_plan(toy.study).states["corpus"] == "damaged"
    run(toy, "corpus")
    assert "3.14159" in page.read_text(encoding="utf-8")
    assert check_pages(make_plan(toy.study), partial=True) == ["corpus"]


def test_the_gate_names_the_result_that_was_changed(toy):
    made = run(toy, "corpus").jobs["corpus"].folder / "made.txt"
    made.write_text("other", encoding="utf-8")
    with pytest.raises(InputError, match=rf"found {made} was altered after it was made"):
        check_pages(make_plan(toy.study))


@pytest.mark.parametrize(("state", "found"), [("stale", "it was changed since"), ("failed", "its last attempt failed")])
def test_the_gate_refuses_stale_and_failed_pages(toy, state, found):
    plan = plan_with(run(toy, "corpus"), corpus=state)
    with pytest.raises(InputError, match=found):
        check_pages(plan)


def test_the_coverage_page_shows_the_worst_state_of_every_run(toy):
    plan = make_plan(toy.study)
    done = dict.fromkeys(plan.states, "done")
    states = {**done, "s-full-attribute": "failed", "m-lora-finetune": "stale", "m-none-generate": "not run"}
    lines = format_overview(Plan(plan.study, plan.path, plan.jobs, states)).splitlines()
    assert lines[:3] == ["# Runs", "", "Study: *A toy study*."]
    assert "| model size | none | full | lora |" in lines

    def mark(state: str, cell: str) -> str:
        return f"[[{state}]({cell}.md)]{{.cx-state .cx-{state.replace(' ', '-')}}}"

    small = [mark("done", "s-none"), mark("failed", "s-full"), mark("done", "s-lora")]
    medium = [mark("not run", "m-none"), mark("done", "m-full"), mark("stale", "m-lora")]
    assert f"| s | {' | '.join(small)} |" in lines
    assert f"| m | {' | '.join(medium)} |" in lines
    assert "Of 6 runs: 3 done, 1 stale, 1 failed, 1 not run." in lines
    assert "| Fine-tune | 4 | [3 done]{.cx-state .cx-done}, [1 stale]{.cx-state .cx-stale} | 0 s |" in lines


def test_a_book_in_part_shows_what_failed_and_leaves_its_page_out(toy):
    plan = plan_with(run(toy, "corpus"), corpus="failed", ladder="failed")
    plan.jobs["ladder"].page.unlink(missing_ok=True)
    assert check_pages(plan, partial=True) == ["corpus"]  # its page is of an older run that ended well
    plan = plan_with(plan, **{"s-full-finetune": "failed"})
    kept = plan.jobs["s-full-finetune"].failed_page
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("{}", encoding="utf-8")
    text = format_cell(plan, Cell("s", "full"))
    assert "| Fine-tune | [failed]{.cx-state .cx-failed} |" in text
    assert f"the failed attempt is kept in `{kept.relative_to(toy.folder).as_posix()}`" in text


def test_a_runs_page_links_to_the_notebooks_that_are_there(toy):
    plan = run(toy, "s-full-finetune")
    text = format_cell(plan, Cell("s", "full"))
    assert text.startswith("# s, full\n")
    assert "| [Fine-tune](s-full-finetune.ipynb) | [done]{.cx-state .cx-done} |" in text
    assert "| Generate | [not run]{.cx-state .cx-not-run} |  |  |" in text
    assert "| steps | `5` |" in text
    assert "Fine-tune" not in format_cell(plan, Cell("s", "none"))


def test_unchanged_pages_keep_their_time(toy):
    plan = make_plan(toy.study)
    pages = write_overview(plan)
    assert [page.name for page in pages] == [
        "overview.md",
        "provenance.md",
        "s-none.md",
        "s-full.md",
        "s-lora.md",
        *(f"m-{name}.md" for name in ("none", "full", "lora")),
    ]
    before = [page.stat().st_mtime_ns for page in pages]
    assert [page.stat().st_mtime_ns for page in write_overview(plan)] == before


def test_titles_are_plain_text(toy):
    toy.edit(toy.study, "title: A toy study", 'title: "A *toy* <b>study</b>"')
    assert r"Study: *A \*toy\* \<b\>study\</b\>*." in format_overview(make_plan(toy.study)).splitlines()


def test_a_title_is_never_run_as_a_template(toy):
    toy.edit(toy.study, "title: A toy study", "title: 'Costs {{ 40+2 }} and {% raw %}, ~~a~~ `b` | c'")
    extensions = {"substitution", "strikethrough", "dollarmath", "attrs_inline"}
    parser = create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)
    shown = parser.render(format_overview(make_plan(toy.study)))
    assert "<p>Study: <em>Costs {{ 40+2 }} and {% raw %}, ~~a~~ `b` | c</em>.</p>" in shown
    config = yaml.safe_load((REPOSITORY / "_config.yml").read_text(encoding="utf-8"))
    assert "substitution" not in config["parse"]["myst_enable_extensions"]


@pytest.fixture
def sphinx(toy, monkeypatch):
    """A stand-in for jupyter-book that counts its calls and writes the first page."""
    calls = []

    def write_index(project, toc, log):
        index = project / "_build" / "html" / "book" / "index.html"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text("built", encoding="utf-8")
        calls.append(yaml.safe_load(toc.read_text(encoding="utf-8")))

    (toy.folder / "_config.yml").write_text("title: toy\n", encoding="utf-8")
    monkeypatch.setattr(pages, "write_parts", lambda project, plan: [])  # they have tests of their own, and take long
    monkeypatch.setattr(book, "_call_jupyter_book", write_index)
    return calls


def test_a_book_is_built_again_only_where_something_changed(toy, sphinx):
    plan = run(toy, "corpus")
    index, rebuilt = book.build(plan, partial=True)
    assert (index, rebuilt) == (toy.folder / "_build" / "html" / "book" / "index.html", True)
    assert "book/runs/toy/corpus" in files(sphinx[0])
    assert "book/runs/toy/ladder" not in files(sphinx[0])
    assert book.build(plan, partial=True)[1] is False
    (toy.folder / "book" / "method.md").write_text("# Method\n", encoding="utf-8")
    assert book.build(plan, partial=True)[1] is True
    assert book.build(run(toy, "ladder"), partial=True)[1] is True
    index.unlink()
    assert book.build(make_plan(toy.study), partial=True)[1] is True
    assert len(sphinx) == 4


def test_pages_of_another_study_do_not_stay_behind(toy, sphinx):
    book.build(run(toy, "corpus"), partial=True)
    left = toy.folder / "_build" / "html" / "book" / "runs" / "toy" / "corpus.html"
    left.parent.mkdir(parents=True)
    left.touch()
    toy.edit(toy.study, "name: toy", "name: other")
    book.build(make_plan(toy.study), partial=True)
    assert not left.exists()


def test_a_warning_stops_the_build_and_is_shown(toy, monkeypatch):
    class Ended:
        returncode = 1

    def fail(command, *, stdout, **options):
        stdout.write("reading\n/book/a.md:3: WARNING: undefined label: 'b'\n")
        return Ended

    (toy.folder / "_config.yml").write_text("title: toy\n", encoding="utf-8")
    monkeypatch.setattr(pages, "write_parts", lambda project, plan: [])
    monkeypatch.setattr(book.subprocess, "run", fail)
    with pytest.raises(InputError, match=r"without a warning, found /book/a\.md:3: WARNING: undefined label: 'b'"):
        book.build(run(toy, "corpus"), partial=True)
    assert not (toy.folder / "_build" / "stamp.json").exists()


def test_a_study_without_a_small_trained_model_has_no_live_model(toy):
    assert [path.read_text(encoding="utf-8") for path in write_live_models(make_plan(toy.study), toy.folder)] == [
        'window.liveIndex = {"study":"toy","models":[],"flags":{}};\n',
        "",
    ]
