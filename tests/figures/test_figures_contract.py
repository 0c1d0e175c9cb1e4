from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from compliance_xai import figures
from compliance_xai.errors import InputError
from compliance_xai.figures.marks import Axis, Chart, Panel, Points
from compliance_xai.figures.theme import Style, style_strategies
from compliance_xai.study.labels import format_parameters


class _Elements(HTMLParser):
    """Element names, attributes and shown text of a page, as a browser's parser would see them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names, self.attributes, self.text = [], [], ""
        self._inside = None
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside != "script":
            self.text += data


def _save(folder, label="points", ticks=None, **changes):
    points = Points([1, 2], [3, 4], Style(label), notes=[f"{label}\n3", f"{label}\n4"])
    chart = Chart([Panel("", Axis("place"), Axis("value", ticks=ticks), [points])], 200)
    arguments = {
        "title": "Two points", "caption": "They rise.", "n": "2 points", "interval": "none"
    } | changes  # fmt: skip
    name = arguments.pop("name", "two-points")
    data = arguments.pop("data", pd.DataFrame({"x": [1, 2], "y": [3, 4]}))
    return figures.save_figure(figures.Drawing(name, chart, data, **arguments), folder)


def test_a_figure_is_five_files_and_reads_back(tmp_path):
    figure = _save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"two-points.png", "two-points.svg", "two-points.csv", "two-points.json"}
    assert (tmp_path / "two-points.csv").read_text() == "x,y\n1,3\n2,4\n"
    assert (tmp_path / "two-points.png").read_bytes().startswith(b"\x89PNG")
    stored = json.loads((tmp_path / "two-points.json").read_text())
    assert stored["spec"] == figure.spec
    assert figure.alt == "Marks: value against place. points: 4; points: 3."


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    _save(tmp_path / "a")
    _save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_an_empty_frame_is_no_figure(tmp_path):
    with pytest.raises(InputError, match="expected at least one row to plot, found an empty frame"):
        _save(tmp_path, data=pd.DataFrame({"x": []}))


def test_the_html_names_no_host_and_links_where_the_book_keeps_the_files(tmp_path):
    folder = tmp_path / "results" / "quick" / "compare_sizes" / "figures"
    markup = figures.figure_html(_save(folder))
    assert not re.search(r"https?:", markup)
    assert 'href="../../../_static/figures/quick/compare_sizes/two-points.csv"' in markup
    assert "n = 2 points." in markup
    assert 'role="img" aria-label="Marks: value against place. points: 4; points: 3."' in markup


def test_texts_and_data_of_a_figure_cannot_leave_their_place(tmp_path):
    bad = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    markup = figures.figure_html(_save(tmp_path, label=bad, title=bad, caption=bad, n=bad, interval=bad))
    page = _Elements(markup)
    assert page.names.count("script") == 1
    assert page.names.count("img") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert bad in page.text


def test_the_drawing_data_survive_escaping(tmp_path, hostile):
    figure = figures.draw_score_matrix(hostile, folder=tmp_path)
    markup = figures.figure_html(figure)
    spec = re.search(r'<script type="application/json">(.*?)</script>', markup, re.S).group(1)
    assert "<" not in spec
    assert json.loads(spec) == figure.spec


def test_a_hostile_clause_shows_as_text(hostile):
    markup = figures.attribution_html(hostile, heading="<i>x</i>")
    page = _Elements(markup)
    assert set(page.names) == {"div", "p", "span", "wbr"}
    assert hostile.clause in page.text
    assert page.text.count(hostile.target) == 1
    assert "<i>x</i>" in page.text


def test_plotly_labels_of_a_hostile_clause_are_escaped(tmp_path, hostile):
    figure = figures.draw_score_matrix(hostile, folder=tmp_path)
    labels = figure.spec["layout"]["yaxis"]["ticktext"]
    assert "&lt;b&gt;shall&lt;/b&gt;" in labels
    assert not any("<" in label for label in labels)


def test_shading_follows_the_score(attribution):
    markup = figures.attribution_html(attribution)
    sums = attribution.scores.sum(axis=1)
    strongest = int(np.abs(sums).argmax())
    word = attribution.features[strongest].text
    assert f'--cx-share:1.000" title="{sums[strongest]:+.2f} nats' in markup
    assert re.search(rf"--cx-share:1\.000[^>]*>{re.escape(word)}<", markup)
    assert markup.count("cx-minus") == int((sums < 0).sum())


def test_table_cells_are_escaped_and_a_cut_is_announced():
    frame = pd.DataFrame(
        {"rule": ["<script>x</script>", "[a](javascript:b)", "c"], "mean": [0.12345, float("nan"), 2.0]}
    )
    markup = figures.table_html(frame, caption="Rules", formats={"mean": ".2f"}, limit=2)
    assert "&lt;script&gt;x&lt;/script&gt;" in markup
    assert ">0.12<" in markup
    assert ">–<" in markup
    assert "Rules (first 2 of 3 rows)" in markup


def test_remarks_are_footnotes_and_rows_without_a_number_are_left_out():
    frame = pd.DataFrame({"scale": ["1m", "4m", "12m"], "mean": [0.5, np.nan, 0.7], "low": [0.4, np.nan, 0.6]})
    markup = figures.table_html(frame.assign(reason=["", "one <seed>", "few clauses"]), caption="Means")
    assert markup.count("<tr>") == 3
    assert "<td><span>12M<sup>1</sup></span></td>" in markup
    notes = re.findall(r'<p class="cx-note">(.*?)</p>', markup)
    assert notes == ["<sup>1</sup> few clauses.", "Not computed in 1 row: one &lt;seed&gt;."]
    nothing = figures.table_html(frame[1:2].assign(reason="one seed"), caption="Means")
    assert nothing.startswith('<p class="cx-nothing">Means: not computed.</p>')
    assert figures.table_html(frame[:0], caption="Means") == ""


def test_headings_names_and_formats_come_from_the_labels():
    frame = pd.DataFrame({"scale": ["all"], "strategy": ["lora"], "baseline": ["mask"], "share": [0.125]})
    frame = frame.assign(share_low=[0.1], share_high=[0.2], n_clauses=[1200])
    markup = figures.table_html(frame, caption="c")
    heads, cells = (re.findall(rf"<t{kind}[^>]*>([^<]*)</t{kind}>", markup) for kind in "hd")
    assert heads == ["model size", "strategy", "words removed", "share", "low", "high", "clauses"]
    assert cells == ["all sizes", "LoRA", "neutral word", "12.5%", "10.0%", "20.0%", "1,200"]


def test_a_small_p_value_is_not_written_as_none():
    frame = pd.DataFrame({"p_holm": [0.00004, 0.0312], "page_p": [0.2, 1e-12], "precision": [0.0001, 0.5]})
    markup = figures.table_html(frame, caption="Tests", formats=dict.fromkeys(frame.columns, ".3f"))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", markup)
    assert cells == ["&lt; 0.001", "0.200", "0.000", "0.031", "&lt; 0.001", "0.500"]


def test_a_verdict_is_a_card_and_a_claim_without_one_a_sentence():
    finding = {"claim": "C2", "statement": "s", "verdict": "contradicted", "reason": "21 % more words <b>.",
               "scope": "Corpus x; Qwen models of 1M.", "what_would_change": "More seeds."}  # fmt: skip
    blind = {"claim": "C1", "statement": "s", "verdict": "not judged", "reason": "No strategy of kind qlora."}
    markup = figures.claims_html([finding, blind])
    assert markup.count('class="cx-claim ') == markup.count('class="cx-claim contradicted"') == 1
    assert "21 % more words &lt;b&gt;." in markup
    assert "Corpus x; Qwen models of 1M." in markup
    assert "What would change this: More seeds." in markup
    assert markup.endswith("<p><b>C1</b> not judged. No strategy of kind qlora.</p>")
    assert "What would change this" not in figures.claims_html([finding], short=True)


def test_known_strategies_keep_their_looks_and_new_ones_get_their_own():
    styles = style_strategies(["zeta", "qlora", "none", "alpha", "full", "lora"])
    assert list(styles) == ["none", "full", "lora", "qlora", "alpha", "zeta"]
    assert [styles[name].colour for name in ("none", "full", "lora", "qlora")] == [
        "#999999",
        "#0072B2",
        "#E69F00",
        "#009E73",
    ]
    assert len({style.symbol for style in styles.values()}) == 6


def test_panels_stack_on_a_narrow_page_without_overlap(tmp_path):
    from compliance_xai.figures.screen_renderer import draw_screen

    axis = Axis(span=(0, 1))
    spec = draw_screen(Chart([Panel(name, axis, axis, []) for name in "abc"], 200, share_x=True, share_y=True))
    wide, narrow = spec["layout"], spec["narrow"]
    domains = [narrow[name]["domain"] for name in ("yaxis", "yaxis2", "yaxis3")]
    assert all(upper[0] > lower[1] for upper, lower in itertools.pairwise(domains))
    assert {tuple(narrow[name]["domain"]) for name in ("xaxis", "xaxis2", "xaxis3")} == {(0.0, 1.0)}
    domains = [wide[name]["domain"] for name in ("xaxis", "xaxis2", "xaxis3")]
    assert all(left[1] < right[0] for left, right in itertools.pairwise(domains))
    assert narrow["height"] > wide["height"]


def test_a_narrow_page_has_the_names_of_rows_above_the_rows(tmp_path):
    from compliance_xai.figures.screen_renderer import draw_screen

    names = Axis(ticks={0: "first", 1: "second"}, span=(1.5, -0.5), names=True)
    spec = draw_screen(Chart([Panel("", Axis("value"), names, [])], 100))
    assert spec["layout"]["yaxis"]["ticktext"] == ["first", "second"]
    assert spec["narrow"]["yaxis"]["showticklabels"] is False
    notes = [(note["text"], note["y"], note["x"]) for note in spec["narrow"]["annotations"]]
    assert notes == [("first", -0.5, 0), ("second", 0.5, 0)]


def test_any_text_of_a_figure_is_text(tmp_path, recwarn):
    """Formulas, control characters, halves of characters, and scripts that no font here has."""
    strange = {0: "$\\input{x}$ $", 1: "a\x1b[2Jb\x00", 2: "\ud800", 3: "\u6f22\u5b57 \ud55c\uad6d\uc5b4"}
    figure = _save(tmp_path, label="$$ 50 % \x07", title="1 $ and 2 $", ticks=strange)
    labels = figure.spec["layout"]["yaxis"]["ticktext"]
    assert labels == ["$\\input{x}$ $", "a [2Jb ", "?", "\u6f22\u5b57 \ud55c\uad6d\uc5b4"]
    assert figure.spec["data"][0]["name"] == "$$ 50 %  "
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_parameter_counts_read_as_people_say_them():
    assert format_parameters(70_000_000_000) == "70B"


def test_the_books_legend_draws_the_marker_of_every_strategy():
    from compliance_xai.figures import theme

    script = (Path(__file__).resolve().parents[2] / "book" / "_static" / "figures.js").read_text(encoding="utf-8")
    shapes = script[script.index("const SHAPES = {") : script.index("const symbolOf")]
    drawn = set(re.findall(r"([a-z-]+)\"?: '<", shapes))
    assert set(theme._SYMBOLS) <= drawn


def test_the_books_plotly_is_the_version_that_makes_the_figures():
    """``scripts/plotly_bundle.js`` says how to make the bundle again."""
    import hashlib
    from importlib.resources import files

    vendor = Path(__file__).resolve().parents[2] / "book" / "_static" / "vendor"
    with (files("plotly") / "package_data" / "plotly.min.js").open(encoding="utf-8") as file:
        version = re.search(r"plotly\.js v([\d.]+)", file.read(200)).group(1)
    bundle = (vendor / "plotly-figures.min.js").read_bytes()
    assert bundle.startswith(f"// plotly.js v{version},".encode())
    assert hashlib.sha256(bundle).hexdigest() in (vendor / "README.md").read_text(encoding="utf-8")


def test_no_button_of_a_figure_sends_its_data_away():
    """The book's own list of buttons, since plotly's has one that uploads the chart."""
    script = (Path(__file__).resolve().parents[2] / "book" / "_static" / "figures.js").read_text(encoding="utf-8")
    assert 'modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"]]' in script
    assert 'showSendToCloud: false, plotlyServerURL: ""' in script


def test_every_entry_of_the_legend_has_something_drawn(tmp_path):
    nothing = Points([], [], Style("nothing"), notes=[])
    chart = Chart([Panel("", Axis(), Axis(), [nothing, Points([1], [2], Style("one"))])], 100)
    drawing = figures.Drawing("legend", chart, pd.DataFrame({"x": [1]}), title="t", caption="c", n="1", interval="none")
    figure = figures.save_figure(drawing, tmp_path)
    assert [(trace["name"], trace["showlegend"]) for trace in figure.spec["data"]] == [("one", True)]


def test_every_figure_has_its_texts():
    file = Path(figures.__file__).with_name("figure_texts.yaml")
    names = {name.removeprefix("draw_") for name in figures.__all__ if name.startswith("draw_")}
    assert set(yaml.safe_load(file.read_text(encoding="utf-8"))) == names
