"""A visit to a page of the built book: what goes wrong while it is open, and what can be asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlparse

PATIENCE = 120_000  # ms; a busy machine with two cores needs it
WIDTHS = {"desktop": 1440, "phone": 390}
PLACE = Path(__file__).resolve().parent
AXE = PLACE / "vendor" / "axe.min.js"
SCREENSHOTS = PLACE.parents[1] / "_build" / "screenshots"

_MARKS = """node => ({
    marks: node.querySelectorAll('.main-svg .trace, .main-svg .heatmaplayer image, .main-svg .hm').length,
    width: node.querySelector('.main-svg')?.getBoundingClientRect().width ?? 0,
    text: node.querySelector('.cx-plot')?.getAttribute('aria-label') ?? '',
    caption: node.querySelector('figcaption')?.innerText ?? '',
})"""

_BECAME_MARKUP = """[...document.querySelectorAll('article *')].filter(node =>
    ['IFRAME', 'OBJECT', 'EMBED'].includes(node.tagName) || [...node.attributes].some(attribute =>
        /^\\s*javascript:/i.test(attribute.value)
        || (attribute.name.startsWith('on') && !node.closest('.js-plotly-plot')))
).map(node => node.outerHTML.slice(0, 120))"""

_NOT_DRAWN = "document.querySelectorAll('figure.cx-figure[data-interactive]:not(.cx-drawn)').length === 0"

_NOT_DRAWN_OPEN = _NOT_DRAWN.replace(":not(.cx-drawn)", ":not(.cx-drawn):not(details:not([open]) *)")

_UNFOLD = "document.querySelectorAll('details.cx-fold').forEach(fold => { fold.open = true; })"

_OPEN_SOLUTIONS = "document.querySelectorAll('.toggle-hidden button.toggle-button').forEach(button => button.click())"

_SERIOUS = """async options => {
    // Without preload it would ask for the style sheets again, which pages of the file system may not.
    const always = {preload: false, resultTypes: ['violations']};
    const {violations} = await axe.run({exclude: ['.main-svg']}, {...always, ...options});
    return violations.filter(found => ['serious', 'critical'].includes(found.impact)).map(found =>
        `${found.id} (${found.impact}) at ${found.nodes.length} places, first ${found.nodes[0].target.join(' ')}: `
        + found.nodes[0].failureSummary.replace(/\\s+/g, ' ').slice(0, 200));
}"""


class Visit:
    """A page of the book in a window of its own, and what went wrong with it."""

    def __init__(self, browser: Any, book: Path, path: str, *, fragment: str = "") -> None:
        self.book = book
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
        self.page.on("dialog", lambda dialog: (note(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.goto((book / path).as_uri() + (f"#{fragment}" if fragment else ""))

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()

    def scroll(self, *, unfold: bool = True) -> None:
        """Figures are drawn as they come near the window, so every part of the page is shown once, solutions too."""
        self.page.evaluate(_OPEN_SOLUTIONS)
        if unfold:
            self.page.evaluate(_UNFOLD)
        position = 0
        while position < self.page.evaluate("document.documentElement.scrollHeight"):
            self.page.evaluate(f"window.scrollTo(0, {position})")
            self.page.wait_for_timeout(30)
            position += 900
        self.page.wait_for_function(_NOT_DRAWN if unfold else _NOT_DRAWN_OPEN)
        self.page.evaluate("window.scrollTo(0, 0)")

    def show(self, width: str = "desktop", scheme: str = "light") -> None:
        """Give the window another width and the reader another taste, and let the page follow."""
        self.page.set_viewport_size({"width": WIDTHS[width], "height": 900})
        self.page.emulate_media(color_scheme=scheme)
        # Colours that fade from one theme to the other would be read half way.
        self.page.add_style_tag(content="*, *::before, *::after { transition: none !important; }")
        self.page.wait_for_timeout(150)

    def keep(self, name: str) -> None:
        """Keep a picture of the whole page under ``_build/screenshots``."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)

    def find_overflow(self) -> list[str]:
        """Whether the page is wider than its window."""
        wider = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return [f"{wider} px wider than its window"] if wider > 0 else []

    def find_barriers(self, *, contrast: bool = True, rest: bool = True) -> list[str]:
        """What axe-core calls a serious or critical issue: of contrast, which is its slowest rule, and of the rest.

        The marks of a drawing are hidden from screen readers, whose text is the figure's own, and are left out.
        """
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        options = {"rules": {"color-contrast": {"enabled": contrast}}} if rest else {"runOnly": ["color-contrast"]}
        return self.page.evaluate(_SERIOUS, options)

    def find_markup(self) -> list[str]:
        """Text of the page's article that became markup that acts."""
        return [f"text became markup: {found}" for found in self.page.evaluate(_BECAME_MARKUP)]

    def check_figures(self) -> list[str]:
        """Figures that are not drawn, or lack a text or their number of observations."""
        problems = []
        for figure in self.page.locator("figure.cx-figure[data-interactive]").all():
            name, seen = figure.get_attribute("id"), figure.evaluate(_MARKS)
            if not seen["marks"]:
                problems.append(f"{name}: nothing drawn")
            if seen["width"] < 200:
                problems.append(f"{name}: {seen['width']} px wide")
            if not seen["text"]:
                problems.append(f"{name}: no text for those who cannot see it")
            if "n = " not in seen["caption"]:
                problems.append(f"{name}: the caption does not say n")
        return problems

    def find_dead_links(self) -> list[str]:
        """Links into the book that lead nowhere."""
        dead = []
        for target in sorted(set(self.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"))):
            address, fragment = urldefrag(target)
            if not address.startswith("file:"):
                continue
            path = Path(unquote(urlparse(address).path))
            if not path.is_file():
                dead.append(f"dead link: {target}")
            elif fragment and path.suffix == ".html":
                text = path.read_text(encoding="utf-8")
                if f'id="{fragment}"' not in text and f'name="{fragment}"' not in text:
                    dead.append(f"dead link: {target}")
        return dead

    def find_departures(self) -> list[str]:
        """Requests that leave the book."""
        inside = ("data:", "blob:", "about:", self.book.as_uri())
        return [f"leaves the book: {url}" for url in self.requests if not url.startswith(inside)]

    def weigh(self) -> int:
        """Bytes of everything that the page has loaded, before a server compresses any of it."""
        paths = {Path(unquote(urlparse(address).path)) for address in self.requests if address.startswith("file:")}
        return sum(path.stat().st_size for path in paths if path.is_file())
