"""Every page of the built book, as a reader meets it: on a phone and on a desk, in the light and in the dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from visits import PATIENCE, Visit

from compliance_xai.book.releases import assemble
from compliance_xai.study.folders import find_project_folder

KEPT = (
    *("book/index", "book/explorer", "book/method", "book/verdicts", "overview", "compare_strategies"),
    *("compare_sizes", "faithfulness", "contexts", "findings", "provenance", "4_trust", "-attribute", "-generate"),
)
"""Ends of the names of pages whose pictures are kept; of several runs' pages those of the first."""


def test_page(chromium, book, page_path):
    with Visit(chromium, book, page_path) as visit:
        problems = visit.problems
        visit.scroll(unfold=False)
        weight, limit = visit.weigh(), 1_000_000 if page_path == "book/index.html" else 2_000_000
        if weight > limit:
            problems.append(f"loads {weight} bytes, more than {limit}")
        visit.scroll()
        problems += visit.check_figures() + visit.find_dead_links() + visit.find_markup()
        for width, scheme in (("desktop", "light"), ("phone", "light"), ("phone", "dark"), ("desktop", "dark")):
            if (width, scheme) == ("phone", "dark") and not _is_kept(book, page_path):
                continue
            visit.show(width, scheme)
            found = visit.find_overflow()
            # Contrast depends on the colours, everything else on the width.
            if width == "desktop" or scheme == "light":
                found += visit.find_barriers(contrast=width == "desktop", rest=scheme == "light")
            problems += [f"{width}, {scheme}: {problem}" for problem in found]
            if _is_kept(book, page_path):
                visit.keep(f"{page_path.removesuffix('.html').replace('/', '-')}-{width}-{scheme}")
        problems += visit.find_departures()
    assert problems == []


def _is_kept(book: Path, page_path: str) -> bool:
    for end in KEPT:
        pages = sorted(book.glob(f"**/*{end}.html" if "/" not in end else f"{end}.html"))
        if pages and page_path == str(pages[0].relative_to(book)):
            return True
    return False


def _first_page_with(book: Path, text: str) -> str:
    for path in sorted(book.rglob("*.html")):
        if "_static" not in path.parts and text in path.read_text(encoding="utf-8"):
            return str(path.relative_to(book))
    pytest.skip(f"no page of this book has {text!r}")


def test_figures_follow_the_theme(chromium, book):
    with Visit(chromium, book, _first_page_with(book, '<figure class="cx-figure"')) as visit:
        visit.scroll()
        colour = "getComputedStyle(document.querySelector('.cx-plot .xtick text, .cx-plot .ytick text')).fill"
        light = visit.page.evaluate(colour)
        visit.page.emulate_media(color_scheme="dark")
        visit.page.wait_for_function(f"{colour} !== '{light}'")
        assert light
        assert visit.page.evaluate(colour) != light


def test_a_legend_entry_hides_its_marks_by_keyboard(chromium, book):
    with Visit(chromium, book, _first_page_with(book, "learning-curves")) as visit:
        visit.scroll()
        entry = visit.page.locator(".cx-legend button").last
        lines = "document.querySelectorAll('.cx-plot .scatterlayer .trace').length"
        before = visit.page.evaluate(lines)
        entry.focus()
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_function(f"{lines} < {before}")
        assert entry.get_attribute("aria-pressed") == "false"
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_function(f"{lines} === {before}")


def test_without_scripts_the_still_picture_stays(chromium, book):
    path = _first_page_with(book, '<figure class="cx-figure"')
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((book / path).as_uri(), timeout=PATIENCE)
    picture = page.locator(".cx-still").first
    assert picture.is_visible()
    assert picture.bounding_box()["height"] > 80
    context.close()


def test_the_whole_site_is_small_enough_to_send(book):
    sizes = {path: path.stat().st_size for path in book.rglob("*") if path.is_file()}
    heaviest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    assert sum(sizes.values()) < 25_000_000, [str(path.relative_to(book)) for path in heaviest]
    assert not [path for path in sizes if path.suffix == ".map"]


def test_the_landing_page_draws_nothing(chromium, book):
    with Visit(chromium, book, "book/index.html") as visit:
        visit.scroll()
        assert not [address for address in visit.requests if "plotly" in address]


@pytest.mark.parametrize("width", [1200, 390])
def test_the_book_as_one_file_needs_no_other_and_is_no_wider_than_its_window(chromium, book, tmp_path, width):
    if not (find_project_folder() / "book" / "runs" / "_toc.yml").is_file():
        pytest.skip("the contents of this book lie elsewhere")
    file = tmp_path / "book.html"
    file.write_text(assemble(book), encoding="utf-8")
    page = chromium.new_page(viewport={"width": width, "height": 900})
    requests, problems = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    try:
        page.goto(file.as_uri(), timeout=PATIENCE)
        assert [address for address in requests if not address.startswith("data:")] == [file.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert "part of the book's site only" in page.locator("#page-explorer").inner_text()
        assert problems == []
    finally:
        page.close()


def test_the_folder_leads_to_the_first_page(chromium, book):
    page = chromium.new_page()
    try:
        page.goto((book / "index.html").as_uri())
        page.wait_for_url("**/book/index.html", timeout=PATIENCE)
        assert page.locator("h1").first.inner_text().startswith("Which words")
    finally:
        page.close()
