"""Sphinx extension: formulas become MathML while the book is built, so no page needs MathJax or a network."""

from __future__ import annotations

from typing import Any


def _convert(formula: str, *, display: str) -> str:
    from latex2mathml.converter import convert

    return convert(formula, display=display)


def _visit_inline(self: Any, node: Any) -> None:
    from docutils import nodes

    self.body.append(_convert(node.astext(), display="inline"))
    raise nodes.SkipNode


def _visit_display(self: Any, node: Any) -> None:
    from docutils import nodes

    self.body.append(self.starttag(node, "div", CLASS="cx-formula"))
    self.body.append(_convert(node.astext(), display="block"))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register the ``mathml`` renderer (choose it with ``html_math_renderer``)."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_display, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
