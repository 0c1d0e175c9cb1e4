"""Sphinx extension: removes what no page of the built book needs: files, icons, styles, outputs, colours of charts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

UNUSED = (
    "_static/**/*.map",  # for people who debug the theme
    "_static/scripts/fontawesome.js*",  # icons come from the style sheet (layout.html)
    "_static/vendor/fontawesome/webfonts/*.ttf",  # every browser of the last ten years takes the woff2 beside it
    "_static/locales/**/*.[pm]o",  # sources of the theme's translations
    "_static/*webpack-macros.html",  # templates of the themes
)
PARTS = ("accordion", "carousel", "form-floating", "form-range", "list-group", "modal", "popover", "toast")
"""Parts of Bootstrap whose rules go if no page has a class of that name."""
RULE = re.compile(r"(?<=[{};/])([^{}@;/]+)\{[^{}]*\}")
ICON = re.compile(r"(?:\.fa-[\w-]+::?before,?)+\{content:[^}]*\}")


def remove_unused(folder: Path) -> list[Path]:
    """Remove the files that no page loads from a built book; gives their paths."""
    found = sorted({path for pattern in UNUSED for path in folder.glob(pattern)})
    for path in found:
        path.unlink()
    return found


def shrink_pictures(folder: Path) -> None:
    """Give pictures of figures a palette of 64 colours, which is all that a chart needs and a third of the size."""
    from PIL import Image

    for path in sorted(folder.glob("_static/**/*.png")):
        with Image.open(path) as picture:
            if picture.mode in ("RGB", "RGBA") and picture.width > 256:
                few = picture.convert("RGB").quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
                few.save(path, "png")
    for path in sorted(folder.glob("_static/drawn/**/*.webp")):  # shown until the drawing itself is there
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.save(path, "webp", quality=60, method=6)


def strip_icons(folder: Path) -> None:
    """Take the codes of two thousand icons out of the theme's style sheet; ``icons.css`` draws the dozen in use."""
    for path in folder.glob("_static/styles/pydata-sphinx-theme.css"):
        path.write_text(ICON.sub("", path.read_text(encoding="utf-8")), encoding="utf-8")


def strip_parts(folder: Path) -> None:
    """Take the rules of ``PARTS`` that no page has out of the theme's style sheet."""
    pages = [path.read_text(encoding="utf-8") for path in folder.rglob("*.html")]
    unused = tuple(f".{part}" for part in PARTS if not any(part in page for page in pages))

    def keep(rule: re.Match[str]) -> str:
        return "" if all(one.strip().startswith(unused) for one in rule[1].split(",")) else rule[0]

    for path in folder.glob("_static/styles/pydata-sphinx-theme.css"):
        path.write_text(RULE.sub(keep, path.read_text(encoding="utf-8")), encoding="utf-8")


def strip_outputs(folder: Path) -> None:
    """Take the outputs out of the notebooks that pages offer for download: the page itself shows them."""
    for path in folder.glob("_sources/**/*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _finish(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.name == "html":
        remove_unused(Path(app.outdir))
        shrink_pictures(Path(app.outdir))
        strip_icons(Path(app.outdir))
        strip_parts(Path(app.outdir))
        strip_outputs(Path(app.outdir))


def setup(app: Any) -> dict[str, Any]:
    """Do so when everything else is written."""
    app.connect("build-finished", _finish, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
