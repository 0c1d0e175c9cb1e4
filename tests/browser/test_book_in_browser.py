"""Every page of the built book, as a reader meets it: on a phone and on a desk, in the light and in the dark."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

PATIENCE = 120_000  # ms; a busy machine with two cores needs it
WIDTHS = {"desktop": 1440, "phone": 390}
SCHEMES = ("light", "dark")

MARKS = """node => ({
    marks: node.querySelectorAll('.main-svg .trace, .main-svg .heatmaplayer image, .main-svg .hm').length,
    width: node.querySelector('.main-svg')?.getBoundingClientRect().width ?? 0,
    text: node.querySelector('.cx-plot')?.getAttribute('aria-label') ?? '',
    caption: node.querySelector('figcaption')?.innerText ?? '',
})"""

BECAME_MARKUP = """[...document.querySelectorAll('article *')].filter(node =>
    ['IFRAME', 'OBJECT', 'EMBED'].includes(node.tagName) || [...node.attributes].some(attribute =>
        /^\\s*javascript:/i.test(attribute.value)
        || (attribute.name.startsWith('on') && !node.closest('.js-plotly-plot')))
).map(node => node.outerHTML.slice(0, 120))"""

NOT_DRAWN = "document.querySelectorAll('figure.cx-figure[data-interactive]:not(.cx-drawn)').length === 0"


class Visit:
    """A page of the book in a window of its own, and what went wrong with it."""

    def __init__(self, browser, book: Path, path: str) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(viewport={"width": WIDTHS["desktop"], "height": 900}, color_scheme="light")
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        note = self.problems.append
        self.page.on("console", lambda message: note(f"console: {message.text}") if message.type == "error" else None)
        self.page.on("pageerror", lambda error: note(f"script error: {error}"))
        self.page.on("requestfailed", lambda request: note(f"failed request: {request.url}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto((book / path).as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.context.close()

    def scroll(self) -> None:
        """Figures are drawn as they come near the window, so every part of the page is shown once."""
        position = 0
        while position < self.page.evaluate("document.documentElement.scrollHeight"):
            self.page.evaluate(f"window.scrollTo(0, {position})")
            self.page.wait_for_timeout(50)
            position += 900
        self.page.wait_for_function(NOT_DRAWN)
        self.page.evaluate("window.scrollTo(0, 0)")

    def settle(self) -> None:
        """Let the figures take the window's new width or colours."""
        self.page.wait_for_timeout(250)

    def keep(self, name: str) -> None:
        """Keep a picture of the whole page where ``SCREENSHOTS`` names a folder."""
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_page(chromium, book, page_path):
    name = page_path.removesuffix(".html").replace("/", "-")
    with Visit(chromium, book, page_path) as visit:
        visit.scroll()
        problems = visit.problems
        for width in WIDTHS.values():
            visit.page.set_viewport_size({"width": width, "height": 900})
            visit.settle()
            wider = visit.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if wider > 0:
                problems.append(f"{wider} px wider than a window of {width} px")
            for scheme in SCHEMES if os.environ.get("SCREENSHOTS") else ():
                visit.page.emulate_media(color_scheme=scheme)
                visit.settle()
                visit.keep(f"{name}-{scheme}-{width}")
        problems += _check_figures(visit)
        problems += [f"dead link: {target}" for target in _find_dead_links(visit)]
        problems += [f"text became markup: {found}" for found in visit.page.evaluate(BECAME_MARKUP)]
        problems += [f"leaves the book: {url}" for url in visit.requests if _leaves(url, book)]
    assert problems == []


def _check_figures(visit: Visit) -> list[str]:
    problems = []
    for figure in visit.page.locator("figure.cx-figure[data-interactive]").all():
        name, seen = figure.get_attribute("id"), figure.evaluate(MARKS)
        if not seen["marks"]:
            problems.append(f"{name}: nothing drawn")
        if seen["width"] < 200:
            problems.append(f"{name}: {seen['width']} px wide")
        if not seen["text"]:
            problems.append(f"{name}: no text for those who cannot see it")
        if "n = " not in seen["caption"]:
            problems.append(f"{name}: the caption does not say n")
    return problems


def _find_dead_links(visit: Visit) -> list[str]:
    dead = []
    for target in sorted(set(visit.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"))):
        address, fragment = urldefrag(target)
        if not address.startswith("file:"):
            continue
        path = Path(unquote(urlparse(address).path))
        if not path.is_file():
            dead.append(target)
        elif fragment and path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            if f'id="{fragment}"' not in text and f'name="{fragment}"' not in text:
                dead.append(target)
    return dead


def _leaves(address: str, book: Path) -> bool:
    return not address.startswith(("data:", "blob:", "about:", book.as_uri()))


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


def test_the_landing_page_is_light(chromium, book):
    with Visit(chromium, book, "book/index.html") as visit:
        visit.settle()
        paths = {Path(unquote(urlparse(address).path)) for address in visit.requests if address.startswith("file:")}
    assert not [path.name for path in paths if "plotly" in path.name]
    size = sum(path.stat().st_size for path in paths)
    assert size < 4_000_000, f"{size} bytes before a server compresses them"


def test_no_page_is_heavy(book):
    drawing = (book / "_static" / "plotly.min.js").stat().st_size
    heavy = {
        str(path.relative_to(book)): path.stat().st_size
        for path in book.rglob("*.html")
        if path.stat().st_size + drawing > 8_000_000
    }
    assert heavy == {}


def test_the_folder_leads_to_the_first_page(chromium, book):
    page = chromium.new_page()
    try:
        page.goto((book / "index.html").as_uri())
        page.wait_for_url("**/book/index.html", timeout=PATIENCE)
        assert page.locator("h1").first.inner_text().startswith("Which words")
    finally:
        page.close()
