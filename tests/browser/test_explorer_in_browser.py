"""The attribution explorer, driven as a reader does: choosing, pointing, by keyboard, by address, on a phone."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from visits import Visit

PAGE = "book/explorer.html"


@pytest.fixture
def data(book: Path) -> dict:
    text = (book / "_static" / "explorer" / "index.js").read_text(encoding="utf-8")
    return json.loads(re.search(r"window\.explorerData = (.*);\n", text, re.S).group(1))


@pytest.fixture
def visit(chromium, book):
    with Visit(chromium, book, PAGE) as visit:
        visit.page.wait_for_selector(".ce-heaviest li")
        yield visit
        assert visit.problems == []
        assert visit.find_departures() == []


def chosen(visit: Visit) -> str:
    return visit.page.locator(".ce-list [aria-selected=true]").get_attribute("data-id")


def element(visit: Visit) -> str:
    return visit.page.locator(".ce-rule [aria-checked=true]").inner_text()


def shades(visit: Visit, side: str) -> list[str]:
    words = visit.page.locator(f"[data-side={side}] .ce-word")
    return [word.get_attribute("title") for word in words.all()]


def test_it_opens_with_two_strategies_side_by_side(visit, data):
    assert visit.page.locator(".ce-side .ce-heading").count() == 2
    assert visit.weigh() < 3_000_000
    assert visit.page.locator(".ce-list [role=option]").count() == len(data["clauses"])
    record = next(record for record in data["clauses"] if record["id"] == chosen(visit))
    rule = "".join(visit.page.locator(".ce-rule .ce-piece").all_inner_texts())
    assert rule.replace("⏎", "").replace(" ", "") == record["rule"].replace(" ", "")
    assert len(shades(visit, "left")) == len(record["words"])
    assert all(re.fullmatch(r"([+−][\d.]+|0) nats, [a-z ]+", note) for note in shades(visit, "left"))


def test_pointing_at_an_element_shows_its_words_and_leaving_it_the_whole_rule(visit):
    whole = shades(visit, "left")
    modality = visit.page.locator(".ce-piece", has_text=re.compile("obligation|permission|prohibition")).first
    modality.hover()
    pointed = shades(visit, "left")
    assert pointed != whole
    visit.page.locator(".ce-choose").hover()
    assert shades(visit, "left") == whole
    modality.click()
    visit.page.locator(".ce-choose").hover()
    assert shades(visit, "left") == pointed
    assert f"“{modality.inner_text().strip()}”" in visit.page.locator("[aria-live=polite]").inner_text()


def test_elements_add_up_to_the_whole_rule(visit):
    scores = """() => {
        const state = Alpine.$data(document.querySelector('.ce'));
        const read = (element) => { state.element = element; return [...state.scores('left')]; };
        const whole = read(0);
        const sums = whole.map(() => 0);
        for (const { column } of [...state.pieces]) read(column).forEach((nats, word) => { sums[word] += nats; });
        return whole.map((nats, word) => [nats, sums[word]]);
    }"""
    pairs = visit.page.evaluate(scores)
    largest = max(abs(whole) for whole, _ in pairs)
    assert all(abs(whole - parts) < 0.05 * largest for whole, parts in pairs)  # steps of 1/127 of each column


def test_shades_are_the_same_everywhere_and_an_element_that_no_word_decides_says_so(visit):
    read = """() => {
        const state = Alpine.$data(document.querySelector('.ce'));
        return [{ column: 0 }, ...state.pieces].map(({ column }) => {
            state.element = column;
            const shares = state.words('left').filter((part) => part.word).map((part) => part.share);
            return [[...state.scores('left')], shares, state.undecided('left')];
        });
    }"""
    elements = visit.page.evaluate(read)
    for nats, shares, undecided in elements:
        assert shares == pytest.approx([min(1, abs(score) / math.log(100)) for score in nats])
        assert undecided == (max(map(abs, nats)) < math.log(2))
    assert any(undecided for *_, undecided in elements)
    visit.page.evaluate("Alpine.$data(document.querySelector('.ce')).element = 0")
    assert not visit.page.locator("[data-side=left] .ce-undecided").is_visible()
    column = [undecided for *_, undecided in elements].index(True)
    visit.page.evaluate(f"Alpine.$data(document.querySelector('.ce')).element = {column}")
    visit.page.wait_for_function("document.querySelector('[data-side=left] .ce-undecided').offsetParent !== null")


def test_the_keyboard_reaches_everything(visit):
    first = chosen(visit)
    visit.page.locator(".ce-list [tabindex='0']").focus()
    visit.page.keyboard.press("ArrowDown")
    assert chosen(visit) != first
    visit.page.keyboard.press("Home")
    assert chosen(visit) == visit.page.locator(".ce-list [role=option]").first.get_attribute("data-id")
    visit.page.locator(".ce-rule [tabindex='0']").focus()
    assert element(visit) == "all of the rule"
    visit.page.keyboard.press("ArrowRight")
    assert element(visit) == visit.page.locator(".ce-piece").first.inner_text()
    assert visit.page.evaluate("document.activeElement.getAttribute('role')") == "radio"
    visit.page.keyboard.press("End")
    assert element(visit) == "⏎"
    assert visit.page.locator("[tabindex='0'][role=radio]").count() == 1


def test_the_list_sorts_and_filters(visit, data):
    page = visit.page
    ids = "[...document.querySelectorAll('.ce-list [role=option]')].map(row => row.dataset.id)"
    page.locator(".ce-filter select").first.select_option("corpus")
    assert page.evaluate(ids) == [record["id"] for record in data["clauses"]]
    page.locator(".ce-filter select").first.select_option("disagreement")
    notes = page.locator(".ce-row-note").all_inner_texts()
    found = [float(match.group(1)) for note in notes if (match := re.search(r"distance ([\d.]+)", note))]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) > 1
    page.locator(".ce-filter select").first.select_option("error")
    wrong = ["not exact" in note for note in page.locator(".ce-row-note").all_inner_texts()]
    assert wrong == sorted(wrong, reverse=True)
    page.locator(".ce input[type=search]").fill(data["clauses"][1]["clause"])
    assert page.evaluate(ids) == [data["clauses"][1]["id"]]
    page.locator(".ce input[type=search]").fill("no such words")
    assert page.locator(".ce-count").inner_text() == f"0 of {len(data['clauses'])} clauses"


def test_an_address_opens_what_it_names_and_keeps_up(chromium, book, data):
    record, strategy = data["clauses"][2], data["strategies"][-1]
    fragment = f"clause={record['id']}&left={strategy['name']}&element=1&scale={data['scales'][0]['name']}"
    with Visit(chromium, book, PAGE, fragment=fragment) as visit:
        visit.page.wait_for_selector(".ce-heaviest")
        assert chosen(visit) == record["id"]
        assert visit.page.locator("[data-side=left] .ce-heading > span").inner_text() == strategy["label"]
        assert element(visit) == visit.page.locator(".ce-piece").first.inner_text()
        visit.page.locator(".ce-piece").nth(2).click()
        visit.page.wait_for_function("location.hash.includes('element=3')")
        visit.page.evaluate(f"location.hash = 'clause={data['clauses'][0]['id']}'")
        visit.page.wait_for_selector(f".ce-list [data-id='{data['clauses'][0]['id']}'][aria-selected=true]")
        assert visit.problems == []


def test_an_address_that_names_nothing_opens_the_page_as_usual(chromium, book):
    with Visit(chromium, book, PAGE, fragment="clause=<b>&scale=x&seed=9&element=abc&sort=constructor") as visit:
        visit.page.wait_for_selector(".ce-heaviest li")
        assert visit.problems == []


def test_other_scales_are_loaded_when_they_are_chosen(visit, data):
    before = shades(visit, "left")
    for scale in data["scales"]:
        visit.page.locator(".ce-choose select").first.select_option(scale["name"])
        visit.page.wait_for_function(
            f"document.querySelector('.ce-heading small')?.textContent.startsWith('{scale['label']},')"
        )
        assert any(scale["file"] in address for address in visit.requests)
    assert len(data["scales"]) == 1 or visit.page.locator(".ce-side").count() == 2
    assert shades(visit, "left") == before  # the last scale is the one that the page opens with


def test_switching_is_fluid(visit):
    switch = """async () => {
        const state = Alpine.$data(document.querySelector('.ce'));
        const rows = [...document.querySelectorAll('.ce-list [role=option]')];
        const times = [];
        for (const row of rows.slice(0, 12)) {
            const start = performance.now();
            row.click();
            await state.$nextTick();
            document.querySelector('.ce-view').getBoundingClientRect();
            times.push(performance.now() - start);
        }
        return Math.min(...times);
    }"""
    assert visit.page.evaluate(switch) < 100  # ms; the quickest, which other work on the machine disturbs least


def test_the_page_follows_the_themes_switch(visit):
    colour = "getComputedStyle(document.querySelector('.ce-card')).backgroundColor"
    light = visit.page.evaluate(colour)
    visit.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert visit.page.evaluate(colour) != light


def test_a_wrong_rule_comes_with_what_a_reviewer_needs(visit):
    page = visit.page
    page.get_by_label("only where a rule is not exact").check()
    if not page.locator(".ce-list [role=option]").count():
        pytest.skip("every rule of this book is exact")
    page.locator(".ce-filter select").first.select_option("error")
    page.locator(".ce-list [role=option]").first.click()
    page.wait_for_function("location.hash.includes('wrongOnly=true')")
    shown = page.locator("[data-side=left]")
    assert re.search(r"\b(IF|THEN|MUST|MAY)\b", page.locator(".ce-view .ce-said").first.inner_text())
    assert shown.locator(".ce-checks li, .ce-note", has_text=re.compile("probability|Nothing is flagged")).count()
    case = "Alpine.$data(document.querySelector('.ce')).counterexample('left')"
    assert re.fullmatch(r"|(A|Any) building.* satisfies .* and not .*\.", page.evaluate(case))
    page.locator("details.ce-tree summary").click()
    assert "\n" in page.locator(".ce-tree pre").inner_text()


def test_scores_and_a_picture_can_be_saved(visit):
    for button, ending in (("Scores as CSV", ".csv"), ("Picture", ".png")):
        with visit.page.expect_download() as download:
            visit.page.get_by_role("button", name=button).click()
        assert download.value.suggested_filename.endswith(ending)
        assert Path(download.value.path()).stat().st_size > 1000
