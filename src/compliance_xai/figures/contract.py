"""The one contract of all figures: how one is saved, read back and shown."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.errors import InputError
from compliance_xai.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class NothingToPlot(InputError):
    """A frame without a row that a figure could show, for example gold alignment where the corpus has none."""


def require_rows(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame itself, if it has a row.

    Raises
    ------
    NothingToPlot
        If it has none.
    """
    if frame.empty:
        raise NothingToPlot(
            f"figure {name!r}",
            expected="at least one row to plot",
            found="an empty frame",
            remedy="Check that the study measures what the figure shows.",
        )
    return frame


@dataclass(frozen=True)
class Figure:
    """A saved figure: what a page needs to show it.

    Attributes
    ----------
    name
        Lower-case words joined by hyphens; the stem of its files ``.png``, ``.svg``, ``.csv`` and ``.json``.
    title, caption, alt
        What is plotted, in one line; how to read it; the same for those who cannot see it, with the main values.
    n, interval
        How many observations of what; what the interval is ("none" where there is none).
    folder
        Where its files lie.
    spec
        plotly ``data`` and ``layout``, and ``narrow``: changes of the layout for a narrow page.
    preview
        A small still picture as a data address, shown until the script has drawn the figure, and in Jupyter.
    """

    name: str
    title: str
    caption: str
    alt: str
    n: str
    interval: str
    folder: Path
    spec: dict[str, Any]
    preview: str


def save_figure(
    name: str,
    interactive: Any,
    still: Any,
    data: pd.DataFrame,
    *,
    title: str,
    caption: str,
    alt: str,
    n: str,
    interval: str,
    folder: Path | str,
    narrow: dict[str, Any] | None = None,
) -> Figure:
    """Write a figure's files and give the record that ``show`` takes.

    Parameters
    ----------
    interactive
        A ``plotly.graph_objects.Figure`` whose layout has a height.
    still
        The matplotlib figure for print.
    data
        What is plotted, one row per mark or observation.
    narrow
        Changes of the plotly layout for a narrow page.

    Raises
    ------
    InputError
        If a text is missing, the name is no file name, or there is nothing to plot.
    """
    where = f"figure {name!r}"
    if not _NAME.fullmatch(name):
        raise InputError(
            where, expected="lower-case words joined by hyphens", found=repr(name), remedy="Rename the figure."
        )
    texts = {"title": title, "caption": caption, "alt": alt, "n": n, "interval": interval}
    for key, text in texts.items():
        if not text.strip():
            raise InputError(
                f"{where}, {key}",
                expected="a text",
                found="nothing",
                remedy=f"Say the figure's {key}; 'none' is a text.",
            )
    require_rows(data, name)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    spec = json.loads(interactive.to_json())
    spec = {"data": spec["data"], "layout": {k: v for k, v in spec["layout"].items() if k != "template"}}
    spec["narrow"] = narrow or {}
    _write(folder / f"{name}.png", _render(still, "png", dpi=200))
    _write(folder / f"{name}.svg", _render(still, "svg"))
    _write(folder / f"{name}.csv", data.to_csv(index=False, lineterminator="\n").encode())
    preview = "data:image/webp;base64," + base64.b64encode(_render(still, "webp", dpi=110)).decode()
    figure = Figure(name=name, folder=folder, spec=spec, preview=preview, **texts)
    stored = {"name": name, **texts, "preview": preview, "spec": spec}
    _write(folder / f"{name}.json", json.dumps(stored, sort_keys=True).encode())
    return figure


def read_figure(folder: Path | str, name: str) -> Figure:
    """Read back what ``save_figure`` wrote."""
    folder = Path(folder)
    path = folder / f"{name}.json"
    if not path.is_file():
        raise InputError(
            str(path), expected="a saved figure", found="no such file", remedy="Run the notebook that draws it first."
        )
    return Figure(folder=folder, **json.loads(path.read_text(encoding="utf-8")))


def figure_html(figure: Figure) -> str:
    """The figure as one piece of HTML: drawing, still picture, caption and links; every text in it is escaped.

    The drawing's data ride along as JSON; the book's ``figures.js`` draws them. No part of it names another host.
    """
    escape = html.escape
    spec = json.dumps(figure.spec, separators=(",", ":"), sort_keys=True)
    spec = spec.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    address = escape(_address(figure.folder) + figure.name)
    links = " ".join(
        f'<a href="{address}.{ending}" download>{label}</a>'
        for ending, label in (("png", "PNG"), ("svg", "SVG"), ("csv", "data (CSV)"))
    )
    interval = "" if figure.interval == "none" else f" Interval: {escape(figure.interval)}."
    return (
        f'<figure class="cx-figure" id="figure-{escape(figure.name)}" data-interactive>'
        f'<p class="cx-title">{escape(figure.title)}</p>'
        f'<div class="cx-plot" role="img" aria-label="{escape(figure.alt)}">'
        f'<img class="cx-still" alt="" src="{figure.preview}"></div>'
        f'<script type="application/json">{spec}</script>'
        f"<figcaption><p>{escape(figure.caption)}</p>"
        f'<p class="cx-meta">n = {escape(figure.n)}.{interval}</p>'
        f'<p class="cx-links" style="display:none">{links}</p></figcaption></figure>'
    )


def show(figure: Figure) -> None:
    """Show a figure on a notebook's page."""
    show_html(figure_html(figure), text=f"{figure.title}. {figure.alt}")


def show_drawn(draw: Callable[..., Figure], *arguments: Any, otherwise: str, **options: Any) -> None:
    """Draw a figure and show it; where there is nothing to plot, show the sentence ``otherwise`` in its place."""
    try:
        figure = draw(*arguments, **options)
    except NothingToPlot:
        show_html(f'<p class="cx-nothing">{html.escape(otherwise)}</p>', text=otherwise)
    else:
        show(figure)


def show_html(markup: str, *, text: str = "HTML") -> None:
    """Show ready HTML (of ``figure_html``, ``table_html``, ``attribution_html``, ...) on a notebook's page."""
    from IPython.display import display

    display({"text/html": markup, "text/plain": text}, raw=True)


def _address(folder: Path) -> str:
    """Where the book keeps a figure's files, seen from a page of the study (``book/runs/<study>/<page>.html``)."""
    parts = folder.resolve().parts
    if "results" not in parts:
        return folder.as_posix() + "/"
    start = len(parts) - 1 - parts[::-1].index("results")
    inner = [part for part in parts[start + 1 :] if part != "figures"]
    return "../../../_static/figures/" + "".join(f"{part}/" for part in inner)


def _render(still: Any, kind: str, *, dpi: int = 100) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"format": kind, "dpi": dpi, "facecolor": "white"}
    # Without these a picture carries its date and program version, and two runs would differ.
    if kind == "svg":
        options["metadata"] = {"Date": None, "Creator": None}
    elif kind == "png":
        options["metadata"] = {"Software": None}
    from compliance_xai.figures.theme import print_style

    with print_style():
        still.savefig(buffer, **options)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with write_atomic(path) as part:
        part.write_bytes(content)
