"""The one contract of all figures: how one is saved, read back and shown."""

import base64
import functools
import html
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from compliance_xai.errors import InputError
from compliance_xai.figures.marks import Chart, describe
from compliance_xai.figures.theme import clean
from compliance_xai.files import write_atomic

BOOTSTRAP = "95 % bootstrap over clauses, seeds averaged within each clause first"


class NothingToPlot(InputError):
    """A frame without a row that a figure could show, for example gold alignment where the corpus has none."""


def require_rows(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame itself; ``NothingToPlot`` where it has no row."""
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
    """A saved figure: what a page needs to show it."""

    name: str
    """Lower-case words joined by hyphens; the stem of its files ``.png``, ``.svg``, ``.csv`` and ``.json``."""
    title: str
    caption: str
    alt: str
    """What is plotted, in one line; how to read it; the same for those who cannot see it, with the main values."""
    n: str
    interval: str
    """How many observations of what; what the interval is ("none" where there is none)."""
    folder: Path
    """Where its files are."""
    spec: dict[str, Any]
    """plotly's ``data`` and ``layout``, and what replaces parts of the layout on a narrow page (``draw_screen``)."""
    preview: str
    """A small still picture as a data address, shown until the script has drawn the figure, and in Jupyter."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure described, before it is drawn and saved.

    ``data`` is what is plotted, one row per mark or observation; ``interval`` is "none" where there are no intervals.
    ``words`` are for the braces of the texts in ``figure_texts.yaml``.
    """

    name: str
    chart: Chart
    data: pd.DataFrame
    n: str
    title: str = ""
    caption: str = ""
    interval: str = BOOTSTRAP
    words: Mapping[str, Any] = field(default_factory=dict)


@functools.cache
def _read_texts() -> dict[str, dict[str, str]]:
    return yaml.safe_load(Path(__file__).with_name("figure_texts.yaml").read_text(encoding="utf-8"))


def drawn(make: Callable[..., Drawing]) -> Callable[..., Figure]:
    """Let a function that describes a figure take its texts, and save it in the ``folder`` that its call names."""

    @functools.wraps(make)
    def draw(*arguments: Any, folder: Path | str, **options: Any) -> Figure:
        drawing, texts = make(*arguments, **options), _read_texts().get(make.__name__.removeprefix("draw_"), {})
        told = {name: text.format(**drawing.words) for name, text in texts.items()}
        return save_figure(replace(drawing, **told), folder)

    return draw


def save_figure(drawing: Drawing, folder: Path | str) -> Figure:
    """Draw for screen and print, write the figure's files and give the record that ``show`` takes.

    If there is nothing to plot, it raises NothingToPlot.
    """
    from compliance_xai.figures.print_renderer import draw_print
    from compliance_xai.figures.screen_renderer import draw_screen

    chart, folder, name = drawing.chart, Path(folder), drawing.name
    require_rows(drawing.data, name)
    folder.mkdir(parents=True, exist_ok=True)
    spec, still = draw_screen(chart), draw_print(chart)
    preview = "data:image/webp;base64," + base64.b64encode(_render(still, "webp", dpi=110)).decode()
    texts = {key: clean(getattr(drawing, key)).strip() for key in ("title", "caption", "n", "interval")}
    texts |= {"caption": f"{texts['caption']} {chart.note}".strip(), "alt": clean(describe(chart))}
    stored = {"name": name, **texts, "preview": preview, "spec": spec}
    files = {"png": _render(still, "png", dpi=200), "svg": _render(still, "svg")}
    files["csv"] = drawing.data.to_csv(index=False, lineterminator="\n").encode()
    files["json"] = json.dumps(stored, sort_keys=True).encode()
    for ending, content in files.items():
        with write_atomic(folder / f"{name}.{ending}") as part:
            part.write_bytes(content)
    return Figure(folder=folder, **stored)


def figure_html(figure: Figure) -> str:
    """The figure as one piece of HTML: drawing, still picture, caption and links; every text in it is escaped.

    The drawing's data are embedded as JSON; the book's ``figures.js`` draws them. No part of it names another host.
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


def show_drawn(draw: Callable[..., Figure], *arguments: Any, otherwise: str = "", **options: Any) -> None:
    """Draw a figure and show it, or the sentence ``otherwise`` (if there is one) where there is nothing to plot."""
    try:
        figure = draw(*arguments, **options)
    except NothingToPlot:
        show_html(otherwise and f'<p class="cx-nothing">{html.escape(otherwise)}</p>', text=otherwise)
    else:
        show(figure)


def show_html(markup: str, *, text: str = "HTML") -> None:
    """Show ready HTML (of ``figure_html``, ``table_html``, ``attribution_html``, ...) on a notebook's page."""
    from IPython.display import display

    if markup:
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
    from compliance_xai.figures.print_renderer import print_style

    buffer = io.BytesIO()
    options: dict[str, Any] = {"format": kind, "dpi": dpi, "facecolor": "white"}
    # Without these a picture carries its date and program version, and two runs would differ.
    if kind == "svg":
        options["metadata"] = {"Date": None, "Creator": None}
    elif kind == "png":
        options["metadata"] = {"Software": None}
    with print_style():
        still.savefig(buffer, **options)
    return buffer.getvalue()
