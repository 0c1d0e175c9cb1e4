"""Opens the built book in headless Chromium from the file system: no server, no network.

``BOOK_HTML`` names the folder of the built book (default ``_build/html``), ``CHROMIUM`` the browser,
``SCREENSHOTS`` a folder for pictures, and ``REQUIRE_BROWSER=1`` turns a missing book or browser into a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _book() -> Path:
    return Path(os.environ.get("BOOK_HTML") or ROOT / "_build" / "html").resolve()


def _browser() -> str | None:
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def _missing() -> str:
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "the package playwright is not installed"
    if _browser() is None:
        return "no chromium on PATH (Debian: apt-get install chromium)"
    if not any(_book().glob("book/*.html")):
        return f"no built book at {_book()} (make book, or set BOOK_HTML)"
    return ""


def leads_on(path: Path) -> bool:
    """Whether a page does nothing but send its reader to another one."""
    return 'http-equiv="refresh"' in path.read_text(encoding="utf-8").lower()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for every page of the book, the search and index pages included, but for one that only leads on."""
    if "page_path" in metafunc.fixturenames:
        book = _book()
        paths = [path for path in book.rglob("*.html") if "_static" not in path.parts and not leads_on(path)]
        pages = sorted(str(path.relative_to(book)) for path in paths)
        metafunc.parametrize("page_path", pages or [pytest.param("", id="no-book")])


@pytest.fixture(scope="session")
def book() -> Path:
    reason = _missing()
    if reason and os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {reason}")
    if reason:
        pytest.skip(reason)
    return _book()


@pytest.fixture(scope="session")
def chromium(book: Path) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_browser(), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
