"""What a release carries: the book as a folder, as one file and as PDF, the result tables, and the sums of all of them.

Everything is made from the built book (``make book``); nothing is computed again.
"""

import base64
import html
import mimetypes
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlparse

import yaml

from compliance_xai import __version__
from compliance_xai.book.markup import render
from compliance_xai.errors import InputError
from compliance_xai.files import count_more, sha256_file, write_atomic
from compliance_xai.pipeline.running import Plan
from compliance_xai.pipeline.summary_stage import export_summary
from compliance_xai.study.folders import find_project_folder

NAME = f"compliance_xai-{__version__}"
STYLES = ("pygments.css", "custom.css", "single.css")
SUMS = "SHA256SUMS"
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Time of every file in an archive, so that the same book gives the same archive."""

NO_EXPLORER = (
    "The explorer needs scripts and other files, so it is part of the book's site only. Every run's page shows three "
    "of its clauses."
)

_REFERENCES = ("aria-labelledby", "aria-describedby", "for")


def write_bundle(folder: Path) -> Path:
    """Write the whole book as one HTML file: no script, no other file, no network; figures are still pictures."""
    text = assemble(_find_book())
    with write_atomic(folder / f"{NAME}.html") as part:
        part.write_text(text, encoding="utf-8")
    return folder / f"{NAME}.html"


def write_pdf(folder: Path) -> Path:
    """Print the book with headless Chromium: chapters in order, page numbers, bookmarks, figures as vectors.

    Raises
    ------
    InputError
        If playwright or Chromium is missing.
    """
    target = folder / f"{NAME}.pdf"
    text = assemble(_find_book(), vectors=True)
    with tempfile.TemporaryDirectory(prefix="compliance-xai-") as scratch:
        page = Path(scratch) / "book.html"
        page.write_text(text, encoding="utf-8")
        _print(page, target)
    return target


def write_archive(folder: Path) -> Path:
    """Pack the built book with its interactive figures; unpacked, it opens from the file system."""
    book = _find_book()
    paths = [path for path in sorted(book.rglob("*")) if path.is_file() and "_sources" not in path.parts]
    paths = [path for path in paths if path.name not in (".buildinfo", "objects.inv")]
    return _pack({f"{NAME}/{path.relative_to(book).as_posix()}": path for path in paths}, folder / f"{NAME}-html.zip")


def _pack(paths: Mapping[str, Path], target: Path) -> Path:
    """An archive that is the same for the same files."""
    with write_atomic(target) as part, zipfile.ZipFile(part, "w") as archive:
        for name, path in paths.items():
            archive.writestr(zipfile.ZipInfo(name, EARLIEST), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return target


def write_release(plan: Plan, folder: Path) -> list[Path]:
    """Write everything that a release carries, the result tables included, and ``SHA256SUMS`` over it.

    Everything is made beside the folder, which is replaced only when all of it is there.

    Raises
    ------
    InputError
        If the folder holds anything but an earlier release, the study is not done, the book is not built, or Chromium
        is missing.
    """
    _check_own(folder)
    with write_atomic(folder.resolve()) as part, tempfile.TemporaryDirectory(prefix="compliance-xai-") as scratch:
        tables = {f"{plan.study.name}/{path.name}": path for path in sorted(export_summary(plan.study, Path(scratch)))}
        part.mkdir()
        written = [_pack(tables, part / f"{NAME}-tables-{plan.study.name}.zip")]
        written = sorted([*written, write_bundle(part), write_archive(part), write_pdf(part)])
        sums = "".join(f"{sha256_file(path)}  {path.name}\n" for path in written)
        part.joinpath(SUMS).write_text(sums, encoding="utf-8")
    return [folder / name for name in (*(path.name for path in written), SUMS)]


def _check_own(folder: Path) -> None:
    """A release replaces nothing, an empty folder, or a release: a folder whose every file ``SHA256SUMS`` names."""
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else [folder.name] * folder.exists()
    sums = folder / SUMS
    listed = {line.split("  ")[-1] for line in sums.read_text("utf-8").splitlines()} if sums.is_file() else set()
    if foreign := [name for name in found if name not in listed | ({SUMS} if listed else set())]:
        expected = "a new or empty folder, or an earlier release"
        written = f"{foreign[0]}{count_more(foreign)}, which no release wrote"
        remedy = "Name another folder; nothing was removed."
        raise InputError(f"the folder {folder}", expected=expected, found=written, remedy=remedy)


def _find_book() -> Path:
    book = find_project_folder() / "_build" / "html"
    if not book.joinpath("book", "index.html").is_file():
        raise InputError(str(book), expected="a built book", found="none", remedy="Run 'make book' first.")
    return book


# --- one file ---------------------------------------------------------------------------------------------------


def assemble(book: Path, *, vectors: bool = False) -> str:
    """The pages of a built book as one document, in the order of its contents.

    Parameters
    ----------
    book
        The folder of the built book.
    vectors
        Take figures from their SVG files, which stay where they are (for print); otherwise the pages' own small
        pictures go into the file.
    """
    import lxml.html

    pages = list(read_contents(find_project_folder() / "book" / "runs" / "_toc.yml"))
    known = {f"{file}.html": _slug(file) for _, file in pages}
    chapters = []
    for caption, file in pages:
        article = lxml.html.parse(str(book / f"{file}.html"), lxml.html.HTMLParser(encoding="utf-8")).find(".//article")
        title = " ".join(article.find(".//h1").text_content().replace("#", "").split())
        _clean(article)
        _inline_pictures(article, book / file, vectors)
        _rename(article, file, known)
        inner = "".join(str(lxml.html.tostring(child, encoding="unicode")) for child in article)
        chapters.append({"part": caption, "id": _slug(file), "title": title, "inner": inner})
    styles = "\n".join((book / "_static" / name).read_text(encoding="utf-8") for name in STYLES)
    return render("single.html", version=__version__, styles=styles, chapters=chapters)


def read_contents(toc: Path) -> Iterator[tuple[str, str]]:
    """(caption of the part, file) of every page in a table of contents, in order; the first page has no part."""
    if not toc.is_file():
        expected, remedy = "the contents of a built book", "Run 'make book' first."
        raise InputError(str(toc), expected=expected, found="none", remedy=remedy)

    def walk(caption: str, entries: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
        for entry in entries:
            yield caption, entry["file"]
            yield from walk(caption, entry.get("sections", ()))

    loaded = yaml.safe_load(toc.read_text(encoding="utf-8"))
    yield "", loaded["root"]
    for part in loaded["parts"]:
        yield from walk(part["caption"], part["chapters"])


def _slug(file: str) -> str:
    """A page's name inside the one file: an address may hold no slash there, and must not start with a digit."""
    return "page-" + re.sub(r"[^A-Za-z0-9]+", "-", file.removeprefix("book/"))


def _clean(article: Any) -> None:
    """Take out what needs a script or another page, and let solutions fold without one."""
    for explorer in article.xpath(".//div[@class='ce']"):
        explorer.clear()
        explorer.text = NO_EXPLORER
    unwanted = ("script", "link", "noscript", "button", "a[contains(@class,'headerlink')]", "*[@class='cx-links']",
                "div[contains(@class,'tableofcontents')]", "div[contains(@class,'toctree')]",
                "footer[@class='cx-tools']")  # fmt: skip
    for bad in article.xpath(" | ".join(f".//{each}" for each in unwanted)):
        if bad.getparent() is not None:  # it went with what it was in
            bad.drop_tree()
    for box in article.xpath(".//div[contains(@class,'solution') and contains(@class,'dropdown')]"):
        box.tag, title = "details", box.find("p")
        box.set("class", "cx-solution")
        if title is not None:
            title.tag = "summary"


def _inline_pictures(article: Any, page: Path, vectors: bool) -> None:
    """Point pictures into the file itself, or (for print) to the SVG beside the page."""
    for picture in article.iter("img"):
        figure, source = next(picture.iterancestors("figure"), None), picture.get("src", "")
        name = "" if figure is None or not vectors else figure.get("id", "").removeprefix("figure-")
        if name and (found := _find_vector(page, name)):
            picture.set("src", found.as_uri())
            continue
        if source and not source.startswith("data:") and not urlparse(source).scheme:
            path = (page.parent / unquote(source)).resolve()
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            picture.set("src", f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")


def _find_vector(page: Path, name: str) -> Path | None:
    """The SVG that a page's figure links to."""
    text = page.with_name(f"{page.name}.html").read_text(encoding="utf-8")
    match = re.search(rf'href="([^"]*/{re.escape(name)}\.svg)"', text)
    path = (page.parent / html.unescape(match[1])).resolve() if match else None
    return path if path and path.is_file() else None


def _rename(article: Any, file: str, known: dict[str, str]) -> None:
    """Give every anchor its page's name, and turn links to other pages of the book into links inside the file."""
    here = _slug(file)
    for node in article.xpath(".//*[@id]"):
        node.set("id", f"{here}--{node.get('id')}")
    for name in _REFERENCES:
        for node in article.xpath(f".//*[@{name}]"):
            node.set(name, " ".join(f"{here}--{part}" for part in node.get(name).split()))
    for link in article.xpath(".//a[@href]"):
        address, fragment = urldefrag(link.get("href"))
        if urlparse(address).scheme:
            continue
        target = Path(os.path.normpath(Path(file).parent / unquote(address))).as_posix()
        if page := known.get(target, "") if address else here:
            link.set("href", f"#{page}--{fragment}" if fragment else f"#{page}")
        else:
            link.tag = "span"
            del link.attrib["href"]


# --- print ------------------------------------------------------------------------------------------------------


def find_chromium() -> str:
    """Chromium's path: ``CHROMIUM``, or what is on PATH.

    Raises
    ------
    InputError
        If there is none.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        expected = "Chromium, which prints the book"
        remedy = "Install it (Debian: apt install chromium), or set CHROMIUM."
        raise InputError("the PDF", expected=expected, found="none on PATH", remedy=remedy)
    return found


def _print(page: Path, target: Path) -> None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        remedy = "Install it: pip install playwright."
        raise InputError("the PDF", expected="the package playwright", found="none", remedy=remedy) from None
    footer = (
        '<div style="width:100%;font-size:7.5px;color:#56606b;text-align:center;font-family:sans-serif">'
        '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
    )
    with write_atomic(target) as part, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        sheet = browser.new_page()
        sheet.set_default_timeout(300_000)
        sheet.goto(page.as_uri(), wait_until="load")
        folded = ", ".join(f"details.{name}" for name in ("cx-solution", "cx-fold", "sd-dropdown"))
        sheet.evaluate(f"document.querySelectorAll('{folded}').forEach(d => d.open = true)")
        options: dict[str, Any] = dict.fromkeys(("prefer_css_page_size", "print_background", "outline", "tagged"), True)
        options |= {"display_header_footer": True, "header_template": "<span></span>", "footer_template": footer}
        sheet.pdf(path=part, **options)
        browser.close()
