"""The book as one file, as an archive and as PDF, made from a small stand-in for a built book."""

import shutil
import zipfile

import lxml.html
import pytest
import yaml

from compliance_xai.book import releases as publish
from compliance_xai.book.releases import assemble, read_contents, write_archive, write_bundle, write_pdf
from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file
from compliance_xai.pipeline.running import make_plan

PAGE = """<!DOCTYPE html><html><head><title>x</title></head><body><nav>theme</nav><article class="bd-article">
<section id="top"><h1>{title}<a class="headerlink" href="#top">#</a></h1>{body}</section></article></body></html>"""
FIRST = (
    '<p><a href="runs/toy/second.html#top">on</a> <a href="#top">up</a> <a href="gone.html">gone</a> '
    '<a href="https://example.org/a">out</a></p><img src="../_static/logo.svg"><script>alert(1)</script>'
)
SECOND = (
    '<figure id="figure-bars"><img class="cx-still" src="data:image/webp;base64,AA=="><p class="cx-links">'
    '<a href="../../../_static/figures/bars.svg">SVG</a></p></figure>'
    '<div class="solution dropdown admonition" id="s"><p class="admonition-title">Solution</p>'
    "<p>&lt;script&gt;</p></div>"
    '<link rel="stylesheet" href="../_static/explorer.css"><noscript><p>no scripts</p></noscript>'
    '<div class="ce" x-data="explorer"><template><p>inside</p></template></div>'
)


@pytest.fixture
def book(toy):
    html = toy.folder / "_build" / "html"
    (html / "book" / "runs" / "toy").mkdir(parents=True)
    (html / "_static" / "figures").mkdir(parents=True)
    (html / "_sources").mkdir()
    (html / "_sources" / "index.md").write_text("source", encoding="utf-8")
    (html / "book" / "index.html").write_text(PAGE.format(title="First & last", body=FIRST), encoding="utf-8")
    (html / "book" / "runs" / "toy" / "second.html").write_text(
        PAGE.format(title="Second", body=SECOND), encoding="utf-8"
    )
    for name in publish.STYLES:
        (html / "_static" / name).write_text(f"/* {name} */", encoding="utf-8")
    (html / "_static" / "logo.svg").write_text("<svg/>", encoding="utf-8")
    (html / "_static" / "figures" / "bars.svg").write_text("<svg/>", encoding="utf-8")
    toc = {"root": "book/index", "parts": [{"caption": "A & B", "chapters": [{"file": "book/runs/toy/second"}]}]}
    (toy.folder / "book" / "runs").mkdir()
    (toy.folder / "book" / "runs" / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    return html


def test_the_contents_are_read_in_order(tmp_path):
    nested = {"file": "b", "sections": [{"file": "c", "sections": [{"file": "d"}]}, {"file": "e"}]}
    toc = {"root": "a", "parts": [{"caption": "One", "chapters": [nested, {"file": "f"}]}]}
    path = tmp_path / "toc.yml"
    path.write_text(yaml.safe_dump(toc), encoding="utf-8")
    assert list(read_contents(path)) == [("", "a"), *(("One", name) for name in "bcdef")]


def test_one_file_holds_every_page_and_needs_no_other(book):
    page = lxml.html.fromstring(assemble(book))
    assert [heading.text_content() for heading in page.iter("h1")][1:] == ["First & last", "Second"]
    assert [link.text_content() for link in page.xpath("//nav//a")] == ["First & last", "Second"]
    assert page.xpath("//script | //link | //nav[not(@aria-label)]") == []
    sources = page.xpath("//img/@src")
    assert sources == ["data:image/svg+xml;base64,PHN2Zy8+", "data:image/webp;base64,AA=="]
    assert publish.NO_EXPLORER in page.text_content()
    assert page.xpath("//template | //noscript | //@*[starts-with(name(), 'x-')]") == []


def test_links_stay_inside_the_one_file(book):
    page = lxml.html.fromstring(assemble(book))
    anchors = set(page.xpath("//@id"))
    inside = [link[1:] for link in page.xpath("//a/@href") if link.startswith("#")]
    assert set(inside) <= anchors
    assert "page-runs-toy-second--top" in inside
    assert len(anchors) == len(page.xpath("//@id"))
    assert page.xpath("//a[contains(@href, 'example.org')]/text()") == ["out"]
    assert page.xpath("//span[text()='gone']")


def test_solutions_fold_without_a_script_and_text_stays_text(book):
    page = lxml.html.fromstring(assemble(book))
    (fold,) = page.xpath("//details[@class='cx-solution']")
    assert fold.find("summary").text_content() == "Solution"
    assert "<script>" in fold.text_content()


def test_figures_are_vectors_in_print(book):
    page = lxml.html.fromstring(assemble(book, vectors=True))
    assert page.xpath("//figure/img/@src") == [(book / "_static" / "figures" / "bars.svg").as_uri()]


def test_the_same_book_gives_the_same_files(book, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for write in (write_archive, write_bundle):
        assert write(one).read_bytes() == write(other).read_bytes()
    names = zipfile.ZipFile(one / f"{publish.NAME}-html.zip").namelist()
    assert f"{publish.NAME}/book/index.html" in names
    assert not [name for name in names if "_sources" in name]


@pytest.fixture
def release(book, toy, monkeypatch):
    """Writes releases whose tables and PDF are stand-ins; gives the function."""

    def export(study, folder):
        folder.joinpath("costs.csv").write_text("a\n", encoding="utf-8")
        return [folder / "costs.csv"]

    def print_pdf(folder):
        folder.joinpath("book.pdf").write_bytes(b"%PDF-")
        return folder / "book.pdf"

    monkeypatch.setattr(publish, "export_summary", export)
    monkeypatch.setattr(publish, "write_pdf", print_pdf)
    return lambda folder: publish.write_release(make_plan(toy.study), folder)


def test_a_release_lists_the_sums_of_all_its_files_and_replaces_an_earlier_one(release, tmp_path):
    folder = tmp_path / "dist"
    written = release(folder)
    assert sorted(path.name for path in written) == sorted(path.name for path in folder.iterdir())
    sums = dict(
        line.split("  ")[::-1] for line in folder.joinpath("SHA256SUMS").read_text(encoding="utf-8").splitlines()
    )
    assert sums == {path.name: sha256_file(path) for path in written if path.name != "SHA256SUMS"}
    written[0].write_bytes(b"altered")
    assert release(folder) == written
    assert sha256_file(written[0]) == sums[written[0].name]


@pytest.mark.parametrize("earlier", [False, True])
def test_a_release_refuses_a_folder_with_other_files_and_leaves_them(release, tmp_path, earlier):
    folder = tmp_path / "thesis"
    if earlier:
        release(folder)
    folder.mkdir(exist_ok=True)
    (folder / "chapter.tex").write_text("years of work", encoding="utf-8")
    before = sorted(folder.iterdir())
    with pytest.raises(InputError, match=r"found chapter\.tex, which no release wrote\. Name another folder"):
        release(folder)
    assert sorted(folder.iterdir()) == before


def test_a_release_that_fails_leaves_the_earlier_one(release, tmp_path, monkeypatch):
    folder = tmp_path / "dist"
    before = {path: path.read_bytes() for path in release(folder)}

    def fail(folder):
        raise InputError("the PDF", expected="Chromium", found="none", remedy="Install it.")

    monkeypatch.setattr(publish, "write_pdf", fail)
    with pytest.raises(InputError, match="expected Chromium"):
        release(folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.glob(".*.part")] == []


def test_a_book_that_was_not_built_is_asked_for(toy, tmp_path):
    with pytest.raises(InputError, match=r"expected a built book, found none\. Run 'make book' first"):
        write_bundle(tmp_path)


def test_without_chromium_the_pdf_says_what_to_install(monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(publish.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="expected Chromium, which prints the book, found none on PATH"):
        publish.find_chromium()


@pytest.mark.skipif(not (shutil.which("chromium") or shutil.which("google-chrome")), reason="no chromium on PATH")
def test_the_pdf_has_bookmarks(book, tmp_path):
    written = write_pdf(tmp_path).read_bytes()
    assert written.startswith(b"%PDF-")
    assert b"/Outlines" in written
    assert b"/StructTreeRoot" in written
