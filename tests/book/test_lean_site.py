"""What the built book leaves out: files that no page loads, and outputs of notebooks to download."""

import importlib.util
import json
from pathlib import Path

import numpy as np
from PIL import Image

FILE = Path(__file__).resolve().parents[2] / "book" / "_ext" / "lean_site.py"


def load():
    spec = importlib.util.spec_from_file_location("lean_site", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_that_no_page_loads_are_removed(tmp_path):
    unused = (
        "scripts/fontawesome.js",
        "scripts/bootstrap.js.map",
        "vendor/fontawesome/webfonts/fa.ttf",
        "locales/de/a.po",
    )
    used = ("scripts/bootstrap.js", "vendor/fontawesome/webfonts/fa.woff2")
    for name in (*unused, *used):
        path = tmp_path / "_static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    removed = load().remove_unused(tmp_path)
    assert sorted(path.relative_to(tmp_path / "_static").as_posix() for path in removed) == sorted(unused)
    assert all((tmp_path / "_static" / name).is_file() for name in used)


def test_pictures_have_few_colours_close_to_their_own(tmp_path):
    shades = np.tile(np.arange(300, dtype=float)[:, None] * 0.8, (1, 300)).astype(np.uint8)
    own = np.stack([shades, shades.T, shades], axis=2)
    path = tmp_path / "_static" / "figures" / "a.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(own).save(path)
    before = path.stat().st_size
    load().shrink_pictures(tmp_path)
    assert path.stat().st_size < before
    with Image.open(path) as few:
        assert few.mode == "P"
        assert np.abs(np.asarray(few.convert("RGB"), dtype=float) - own).mean() < 20


def test_codes_of_icons_leave_the_style_sheet_and_nothing_else(tmp_path):
    sheet = tmp_path / "_static" / "styles" / "pydata-sphinx-theme.css"
    sheet.parent.mkdir(parents=True)
    kept = '.fa-solid{font-weight:900}.a:before{content:"x"}.fa-spin{animation:fa-spin 1s}'
    sheet.write_text(
        '.fa-0:before,.fa-zero:before{content:"0"}' + kept + '.fa-bars:before{content:"\\f0c9"}', encoding="utf-8"
    )
    load().strip_icons(tmp_path)
    assert sheet.read_text(encoding="utf-8") == kept


def test_parts_that_no_page_has_leave_the_style_sheet_and_nothing_else(tmp_path):
    sheet = tmp_path / "_static" / "styles" / "pydata-sphinx-theme.css"
    sheet.parent.mkdir(parents=True)
    kept = "/*! Bootstrap */.a{color:red}.popover,.a{margin:0}.modal{top:0}@media print{.b{top:0}"
    sheet.write_text(kept + ".carousel-item,.carousel-dark .c:hover{left:0}}.toast{left:0}", encoding="utf-8")
    (tmp_path / "page.html").write_text('<p class="modal">', encoding="utf-8")
    load().strip_parts(tmp_path)
    assert sheet.read_text(encoding="utf-8") == kept + "}"


def test_notebooks_to_download_have_no_outputs(tmp_path):
    path = tmp_path / "_sources" / "book" / "a.ipynb"
    path.parent.mkdir(parents=True)
    cells = [
        {"cell_type": "markdown", "source": "Text: 850 mm ≤ 1 m"},
        {"cell_type": "code", "source": "1 + 1", "outputs": [{"data": "x" * 1000}], "execution_count": 3},
    ]
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}), encoding="utf-8")
    load().strip_outputs(tmp_path)
    text, code = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert text == cells[0]
    assert code == {"cell_type": "code", "source": "1 + 1", "outputs": [], "execution_count": None}
