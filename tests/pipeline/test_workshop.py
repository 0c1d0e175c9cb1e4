"""The workshop's lessons: complete, executable once, handed out without solutions. CI executes them (make workshop)."""

import ast
import importlib
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from compliance_xai.errors import InputError
from compliance_xai.pipeline import lessons, workshop
from compliance_xai.pipeline.code_keys import ROOMS
from compliance_xai.pipeline.execution import NotebookFailed
from compliance_xai.pipeline.workshop import find_lessons, make_handout, run_lessons, write_handouts, write_pages

REPOSITORY = Path(__file__).resolve().parents[2]
LESSONS = sorted((REPOSITORY / "workshop").glob("[0-9]*.py"))

LESSON = """\
# %% [markdown]
# # Lesson 1: toy
#
# *Reads* nothing.

# %% tags=["parameters"]
one: int = 1

# %% [markdown]
# ```{exercise} Two
# :label: ex-1-two
#
# How much is two?
# ```

# %% [markdown]
# ```{solution-start} ex-1-two
# :class: dropdown
# ```

# %% tags=["solution"]
two = one + 1
print("two is", two)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Quiz
#
# :::{dropdown} 1. Why?
# See [Limits](../../limits.md).
# :::
"""


def read(path):
    return jupytext.read(path, fmt="py:percent")


def names_set(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_goals_exercises_with_solutions_and_a_quiz(path):
    text = path.read_text(encoding="utf-8")
    first = read(path).cells[0].source
    assert re.match(r"# Lesson \d: ", first)
    assert all(word in first for word in ("*Reads*", "*Writes*", "After this lesson you can"))
    asked = re.findall(r"\{exercise\} .+\n# :label: (\S+)", text)
    answered = re.findall(r"\{solution-start\} (\S+)", text)
    assert len(asked) >= 3
    assert asked == answered
    assert text.count("{solution-end}") == len(asked)
    assert len(re.findall(r":::\{dropdown\} \d\. ", text)) >= 4


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_goes_on_without_its_solutions(path):
    """Somebody who works in a handout calls things differently, so no other cell may use a solution's names."""
    solved, given, used = set(), set(), set()
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        if "check" in cell.metadata.get(
            "tags", []
        ):  # its answer is asked for in a lambda, where a missing name is caught
            tree.body = [node for node in tree.body if "check(" not in ast.unparse(node)]
        if "solution" in cell.metadata.get("tags", []):
            solved |= names_set(tree) | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        else:
            given |= names_set(tree)
            used |= {
                node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
            }
    assert (solved - given) & used == set()


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_what_a_lesson_imports_is_there(path):
    for cell in read(path).cells:
        for node in ast.walk(ast.parse(cell.source)) if cell.cell_type == "code" else ():
            if isinstance(node, ast.ImportFrom) and node.module.startswith("compliance_xai."):
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_lessons_have_a_page_and_notes():
    assert [path.stem[0] for path in LESSONS] == ["1", "2", "3", "4", "6"]  # the fifth needs no Python
    overview = (REPOSITORY / "book" / "workshop.md").read_text(encoding="utf-8")
    notes = (REPOSITORY / "book" / "instructor.md").read_text(encoding="utf-8")
    for path in LESSONS:
        assert f"runs/workshop/{path.stem}.ipynb" in overview
        for title in re.findall(r"\{exercise\} (.+)", path.read_text(encoding="utf-8")):
            assert title in notes


@pytest.fixture
def lesson(toy):
    (toy.folder / "workshop").mkdir()
    (toy.folder / "workshop" / "1_toy.py").write_text(LESSON, encoding="utf-8")
    return find_lessons()[0]


def test_a_lesson_is_executed_once_and_shown(toy, lesson):
    (page,) = write_pages()
    assert "This lesson was not executed for this copy of the book" in page.read_text(encoding="utf-8")
    said = []
    assert run_lessons([lesson], report=said.append) == [lesson]
    assert run_lessons([lesson], report=said.append) == []
    assert said[1] == "lesson 1 toy: is current"
    (page,) = write_pages()
    shown = nbformat.read(page, as_version=4)
    assert re.search(r"\*Took\* \d+ s on one core of ", shown.cells[0].source)
    assert any("two is 2" in output.get("text", "") for cell in shown.cells for output in cell.get("outputs", []))
    toy.edit(lesson.source, "one: int = 1", "one: int = 2")
    assert lesson.find_page() is None
    write_pages()
    assert "was not executed" in page.read_text(encoding="utf-8")


def test_a_solution_that_rots_stops_the_run(toy, lesson):
    toy.edit(lesson.source, "two = one + 1", "two = one + missing")
    with pytest.raises(NotebookFailed, match="1_toy: NameError: name 'missing' is not defined") as caught:
        run_lessons([lesson], report=lambda line: None)
    assert caught.value.kept is not None
    assert caught.value.kept.is_file()
    assert lesson.find_page() is None


def test_a_handout_asks_and_does_not_tell(lesson, tmp_path):
    (path,) = write_handouts(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "### Exercise: Two" in text
    assert "<summary>1. Why?</summary>" in text
    assert "# Your turn" in text
    assert "two = one" not in text
    assert "{solution" not in text
    path.write_text("worked in", encoding="utf-8")
    assert write_handouts(tmp_path) == []
    assert path.read_text(encoding="utf-8") == "worked in"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_handouts_of_the_real_lessons_hold_no_directive(path):
    handout = make_handout(read(path), path.stem)
    text = "\n".join(cell.source for cell in handout.cells)
    assert not re.search(r"^[`:]{3,}(\{|$)", text, re.MULTILINE)
    assert text.count("Solution](../../_build/html/book/runs/workshop/") == text.count("# Your turn")
    assert text.count("# Your turn") == path.read_text(encoding="utf-8").count("{solution-start}")
    assert not [cell for cell in handout.cells if "solution" in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_exercise_has_a_stub_and_a_lesson_but_the_last_checks_an_answer(path):
    text = path.read_text(encoding="utf-8")
    assert text.count('tags=["stub", "remove-cell"]') == text.count("{solution-start}")
    assert path.stem == "6_real_clauses" or 'tags=["check"]' in text


def test_a_check_says_right_or_gives_a_hint(capsys):
    lessons.check(lambda: 1 + 1 == 2, hint="count")
    lessons.check(lambda: 1 + 1 == 3, hint="count")
    lessons.check(lambda: not_there == 3, hint="count")  # noqa: F821
    assert capsys.readouterr().out == "Right.\nNot yet. Hint: count\nNot yet. Hint: count\n"


def test_a_check_that_a_solution_fails_stops_the_run(toy, lesson):
    cell = "\n# %%\nfrom compliance_xai.pipeline.lessons import check\ncheck(lambda: two == 3, hint='x')\n"
    lesson.source.write_text(LESSON + cell, encoding="utf-8")
    with pytest.raises(InputError, match=r"1_toy.*the solution to pass"):
        run_lessons([lesson], report=lambda line: None)
    assert lesson.find_page() is None


def test_the_shipped_tuned_model_writes_rules_of_the_book():
    pair = lessons.read_clauses("test", 12)
    written = lessons.load_tuned().write([example.clause for example in pair])
    assert sum(rule == example.rule for rule, example in zip(written, pair, strict=True)) >= 9


def test_a_lesson_without_its_models_says_what_to_run(toy, lesson):
    toy.edit(lesson.source, "one: int = 1", 'one: int = 1\nstudy: str = "pretrained-quick"')
    said = []
    assert run_lessons([lesson], report=said.append) == []
    assert len(said) == 1
    assert said[0].startswith("lesson 1 toy: not executed, since it needs the models of a finished study: ")
    assert said[0].endswith("compliance-xai study run pretrained-quick")


def test_a_lessons_key_follows_its_text_and_the_code_of_every_room(toy, lesson, monkeypatch):
    before = lesson.key
    toy.edit(lesson.source, "one: int = 1", "one: int = 1\nfrom compliance_xai import figures")
    assert lesson.key != before
    asked = []
    monkeypatch.setattr(workshop, "code_digest", lambda rooms: asked.extend(rooms) or "x")
    assert lesson.key
    assert set(asked) == set(ROOMS)


def test_a_lesson_without_python_has_exercises_with_observations_and_a_note_for_instructors():
    text = (REPOSITORY / "book" / "5_reviewing.md").read_text(encoding="utf-8")
    exercises = re.findall(r"\*\*Exercise \d\.\*\*", text)
    assert len(exercises) == text.count(":::{dropdown} What to expect") == 5
    assert len(re.findall(r":::\{dropdown\} \d\. ", text)) == 4
    minutes = sum(int(part) for part in re.findall(r"^## .*\((\d+) minutes\)", text, re.M))
    assert minutes == 45
    assert "```{code-cell}" not in text
    assert "5_reviewing.md" in (REPOSITORY / "book" / "workshop.md").read_text(encoding="utf-8")
    assert "## Lesson 5" in (REPOSITORY / "book" / "instructor.md").read_text(encoding="utf-8")
