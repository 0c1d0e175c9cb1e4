"""The model in the page, as a reader meets it on the landing page: no server, no request, a self-check that passes."""

from __future__ import annotations

import re

import pytest
from visits import Visit

PAGE = "book/index.html"


@pytest.fixture
def visit(chromium, book):
    if '"models":[]' in (book / "_static" / "live" / "index.js").read_text(encoding="utf-8"):
        pytest.skip("this book's study has no model small enough to run in the page")
    with Visit(chromium, book, PAGE) as visit:
        visit.page.set_default_timeout(120_000)
        yield visit
        assert visit.problems == []
        assert visit.find_departures() == []


def test_a_study_of_large_models_still_shows_what_it_measured(chromium, book):
    with Visit(chromium, book, PAGE) as visit:
        if not visit.page.evaluate("window.liveShown"):
            pytest.skip("this book's study has not measured anything yet")
        # The page as it is when the index lists no model.
        visit.page.evaluate("document.querySelector('.lm').replaceChildren(); liveIndex.models = []")
        visit.page.add_script_tag(path=str(book / "_static" / "live.js"))
        assert visit.page.locator(".lm textarea").count() == 0
        visit.page.locator(".lm-part", has_text="850").first.click()
        assert visit.page.inner_text(".lm-why").startswith("“850” (probability ")
        assert "No model of this study is small enough" in visit.page.inner_text(".lm-note")
        assert visit.problems == []


def write(visit: Visit, clause: str) -> None:
    visit.page.fill(".lm textarea", clause)
    visit.page.click(".lm-go")
    visit.page.wait_for_function("!document.querySelector('.lm-go').disabled")


def test_the_page_opens_with_a_measured_attribution_that_can_be_touched(visit):
    assert visit.page.inner_text(".lm-status").startswith("Measured when this book was built.")
    shown = visit.page.evaluate("liveShown.found")
    number = visit.page.locator(".lm-part", has_text="850").first
    number.click()
    assert visit.page.inner_text(".lm-why").startswith("“850” (probability ")
    words = {one["text"]: visit.page.locator(".lm-word", has_text=one["text"]).first for one in shown["words"]}
    assert "plus" in words["850"].get_attribute("class")
    assert visit.weigh() < 1_500_000
    write(visit, shown["clause"])  # the page's own engine agrees with what PyTorch measured
    assert visit.page.inner_text(".lm-rule").endswith(shown["rule"])


def test_it_writes_a_rule_and_shows_what_a_part_depends_on(visit):
    before = visit.weigh()
    write(visit, "The clear width of an exit door shall be not less than 850 mm.")
    assert re.match(
        r"Self-check passed: scores differ from PyTorch by at most 0\.0\d+ nats", visit.page.inner_text(".lm-status")
    )
    assert "if(" in visit.page.inner_text(".lm-rule")
    visit.page.locator(".lm-part").last.click()
    assert "probability" in visit.page.inner_text(".lm-why")
    assert before < 1_500_000  # the model is loaded only when it is asked for


@pytest.mark.parametrize(
    ("clause", "said"),
    [("  ", "Type a clause first."), ("door " * 100, "This clause is too long for the model in the page")],
)
def test_a_clause_that_cannot_be_read_gets_a_message(visit, clause, said):
    write(visit, clause)
    assert visit.page.inner_text(".lm-status").startswith(said)


def test_markup_and_unknown_words_are_text(visit):
    write(visit, "<b onclick=alert(1)>Gips</b> doors shall be 20 mm.")
    assert visit.page.locator(".lm-result b").count() == 0
    assert "The model was never trained on" in visit.page.inner_text(".lm-result")


def test_two_models_answer_side_by_side(visit):
    if visit.page.locator(".lm-bar option").count() < 3:
        pytest.skip("this book has a single live model")
    visit.page.select_option(".lm-bar select", "both")
    write(visit, "The clear width of an exit door shall be not less than 900 mm.")
    rules = visit.page.locator(".lm-result.two .lm-rule")
    assert rules.count() == 2
    assert "900" in rules.first.inner_text()
    places = [rules.nth(place).bounding_box() for place in (0, 1)]
    assert places[0]["x"] + places[0]["width"] <= places[1]["x"]
    visit.page.select_option(".lm-bar select", index=0)
    write(visit, "The clear width of an exit door shall be not less than 900 mm.")
    assert visit.page.locator(".lm-rule").count() == 1


def test_a_word_is_replaced_by_choosing_it_and_typing(visit):
    visit.page.locator(".lm-word", has_text="850").first.click()
    visit.page.keyboard.type("990")
    visit.page.click(".lm-go")
    visit.page.wait_for_function("!document.querySelector('.lm-go').disabled")
    assert "990" in visit.page.inner_text(".lm-clause")
    assert "Before, the rule was: " in visit.page.inner_text(".lm-result")


def test_the_first_lesson_has_the_model(chromium, book):
    with Visit(chromium, book, "book/runs/workshop/1_leave_one_out.html") as visit:
        visit.page.wait_for_selector(".lm .lm-rule, .lm .lm-note")
        assert visit.problems == []
