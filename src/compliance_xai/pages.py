"""Parts of the book's chapters that are computed when it is built, so that no number in them is typed.

``write_parts`` leaves them in ``book/runs``: the worked examples of "What is a correct rule?", a rule under review,
what benchmarks measured, the verdicts of all studies and what a study can find (``evidence``), and the tables of
studies that were run elsewhere and are stored under ``data/results``.
"""

from __future__ import annotations

import dataclasses
import html
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai import strategies_page
from compliance_xai.evidence import STORED, format_findings, format_power
from compliance_xai.models import without_progress_bars
from compliance_xai.provenance import code_digest, digest
from compliance_xai.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.runs import Plan

REFERENCE = (
    "if(and(is(stair.location,exit),not(has(building,sprinkler)))),"
    "then(obligation(and(greaterThanEqual(stair.width,1200 mm),asPer(stair,d1_t2))))"
)
VARIANTS = {
    "other order": (
        "if(and(not(has(building,sprinkler)),is(stair.location,exit))),"
        "then(obligation(and(asPer(stair,d1_t2),greaterThanEqual(stair.width,1200 mm))))"
    ),
    "1.2 m": REFERENCE.replace("1200 mm", "1.2 m"),
    "1100 mm": REFERENCE.replace("1200 mm", "1100 mm"),
    "1200 m": REFERENCE.replace("1200 mm", "1200 m"),
    "lessThan": REFERENCE.replace("greaterThanEqual", "lessThan"),
    "not lessThan": REFERENCE.replace("greaterThanEqual(stair.width,1200 mm)", "not(lessThan(stair.width,1200 mm))"),
    "permission": REFERENCE.replace("obligation", "permission"),
    "no exception": REFERENCE.replace(
        "and(is(stair.location,exit),not(has(building,sprinkler)))", "is(stair.location,exit)"
    ),
    "another table": REFERENCE.replace("d1_t2", "d1_t3"),
    "bracket lost": REFERENCE[:-1],
}
"""What a model might write instead of the reference."""

STAIR = "if(exist(stair)),then(obligation(lessThanEqual(riser.height,180 mm)))"
DOOR = "if(is(building.use,hospital)),then(obligation(greaterThanEqual(door.width,900 mm)))"
WINDOW = "if(exist(window)),then(permission(has(window,or(latch,stay))))"
TAP = "if(exist(tap)),then(obligation(lessThanEqual(water.temperature,60 degC)))"
COMPARED = (
    ("Units, De Morgan and contraposition change nothing.", STAIR,
     "if(greaterThan(riser.height,0.18 m)),then(obligation(not(exist(stair))))"),
    ("A larger limit asks more.", DOOR, DOOR.replace("greaterThanEqual(door.width,900", "greaterThan(door.width,850")),
    ("May is not must.", WINDOW, WINDOW.replace("permission", "obligation")),
    ("Whole numbers, alternatives and prohibition.",
     "if(is(building.use,or(school,shop))),then(obligation(greaterThanEqual(count(exit),2)))",
     "if(or(is(building.use,shop),is(building.use,school))),then(prohibition(lessThanEqual(count(exit),1)))"),
    ("A lost unit is a different rule.", TAP, TAP.replace("60 degC", "60")),
)  # fmt: skip
"""Pairs of rules, each with what it shows."""

CLAUSES = (
    "4.2.1 The clear width of an exit door shall be not less than 850 mm.",
    "Where the building is not sprinklered, pipes shall comply with Table 3 of NZS 3604.",
)
"""What the chapter on features cuts into words."""

SHOWN = {
    "exact": "exact",
    "equivalent": "says the same",
    "lrml_f1": "LRML F1",
    "chrf": "chrF",
    "semantic": "semantic",
    "tree_edit_distance": "tree edits",
    "numeric_fidelity": "numeric",
    "identifier_fidelity": "identifier",
}

MEASURED = Path("benchmarks") / "results"
PLANNED = ("qwen-coder", "80GB", 200.0)
"""The study whose plan the book shows, and a device: its memory, and the 10^12 operations a second that it sustains."""
AGREEMENT = Path("benchmarks") / "results" / "features.json"

REVIEWED = (
    "The clear width of an exit door shall be not less than 850 mm.",
    "The clear width of an exit door shall be not less than 850 kg.",
    "Parties after ten shall be quiet.",
)
"""Clauses for the page on practice: an ordinary one, one with a wrong unit, and one that asks for no rule."""
SPEED = Path("benchmarks") / "results" / "attribution.json"


def write_parts(project: Path, plan: Plan) -> list[Path]:
    """Write the computed parts into ``book/runs``; an unchanged one is left alone.

    Parameters
    ----------
    plan
        The book's study; the rule under review comes from one of its trained models.

    Returns
    -------
    list of pathlib.Path
        The parts, in the order of their names.
    """
    runs = project / "book" / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    code, parts = code_digest(["compliance_xai.pages"], leave_out=()), []
    cell = choose_reviewer(plan)
    makers: dict[str, tuple[str, Callable[[], str]]] = {
        "worked_scores": (code, format_scores),
        "worked_verdicts": (code, format_verdicts),
        "worked_features": (code, format_features),
        "worked_plan": (_plan_key(), format_plan),
        "power": (code_digest(["compliance_xai.evidence"], leave_out=()), lambda: _raw(format_power())),
        "worked_review": (digest([code, cell]), lambda: format_review(plan.study, cell)),
    }
    for name, (key, make) in makers.items():
        part = runs / f"{name}.md"
        if not (part.is_file() and part.read_text(encoding="utf-8").startswith(f"% {key}\n")):
            # Scoring loads the sentence encoder and power simulates studies, so an unchanged part is not made again.
            part.write_text(f"% {key}\n\n{make()}\n", encoding="utf-8")
        parts.append(part)
    for name, make_table in (("planner", format_planned), ("training", format_training)):
        stored = project / MEASURED / f"{name}.json"
        if stored.is_file():
            parts.append(_write(runs / f"measured_{name}.md", make_table(stored)))
    agreement = project / AGREEMENT
    if agreement.is_file():
        parts.append(_write(runs / "agreement.md", format_agreement(agreement)))
    parts.append(_write(runs / "speed.md", format_speed(project)))
    parts.append(_write(runs / "verdicts.md", _raw(format_findings(project)) + "\n"))
    for folder in sorted(path for path in (project / STORED).glob("*") if path.joinpath("manifest.json").is_file()):
        parts.append(_write(runs / f"stored_{folder.name}.md", format_stored(folder)))
    parts.append(_write(runs / "strategies_kinds.md", strategies_page.format_kinds()))
    parts.append(_write(runs / "strategies_ladders.md", strategies_page.format_ladders()))
    parts.append(_write(runs / "strategies_costs.md", strategies_page.format_costs(plan.study)))
    return sorted(parts)


def _write(part: Path, text: str) -> Path:
    if not part.is_file() or part.read_text(encoding="utf-8") != text:
        part.write_text(text, encoding="utf-8")
    return part


def format_features() -> str:
    """Two clauses, word by word, by category."""
    import pandas as pd

    from compliance_xai.features import segment
    from compliance_xai.figures.tables import table_html
    from compliance_xai.figures.theme import humanise
    from compliance_xai.records import CATEGORIES

    columns = [[segment(clause), clause] for clause in CLAUSES]
    rows = [
        {"category": humanise(category)}
        | {clause: " · ".join(f.text for f in features if f.category == category) for features, clause in columns}
        for category in CATEGORIES
    ]
    return _raw(table_html(pd.DataFrame(rows), caption="Two clauses, their words by category"))


def format_agreement(path: Path) -> str:
    """How the categories agree with people's labels: a stored result of ``benchmarks/features.py``."""
    import pandas as pd

    from compliance_xai.figures.tables import table_html

    splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
    rows = [
        {"sentences": f"{split['split']}, {split['sentences']}, {split['role']}", "their label": row["label"]}
        | {name: row[name] for name in ("words", "precision", "recall")}
        | {"F1": f"{row['f1']:.2f} ({row['low']:.2f} to {row['high']:.2f})"}
        for split in splits
        for row in split["labels"]
    ]
    formats = {"precision": ".2f", "recall": ".2f"}
    caption = "Our categories against people's labels; F1 with its 95 % bootstrap interval over sentences"
    lines = [_raw(table_html(pd.DataFrame(rows), caption=caption, formats=formats)), ""]
    for split in splits:
        value, parted = split["labels"][0], split["disagreements"]
        missed = parted["missed without a digit"] + parted["missed with a digit"]
        extra = parted["extra, theirs a quality"] + parted["extra, theirs something else"]
        lines.append(
            f"- *{split['split']}*: of {value['words']} words that they call a value, we miss {missed}, "
            f"{parted['missed without a digit']} of them without a digit; of {extra} words that only we do, they call "
            f"{parted['extra, theirs a quality']} part of a quality."
        )
    return "\n".join(lines) + "\n"


def _plan_key() -> str:
    from compliance_xai.rungs import load_ladder
    from compliance_xai.study import load_study

    ladder = load_ladder(load_study(PLANNED[0]).ladder)
    return digest([code_digest(["compliance_xai.stages.planning"], leave_out=()), repr(ladder), repr(PLANNED)])


def format_plan() -> str:
    """What the cells of a study of large models need; nothing is fetched for it."""
    from compliance_xai.figures.tables import table_html
    from compliance_xai.planner import choose_device, describe_cells
    from compliance_xai.stages.planning import plan_study

    name, memory, speed = PLANNED
    cells = plan_study(name, choose_device(memory, speed))
    frame = describe_cells(cells).drop(columns=["gradients", "kv"])
    frame["to change"] = [cell.remedy or "nothing" for cell in cells]
    return _raw(table_html(frame, caption=f"The study {name} on one device of {memory}; memory in GB, time in hours"))


def format_planned(path: Path) -> str:
    """Planned memory and time beside measured ones: a stored result of ``benchmarks/planner.py``."""
    import pandas as pd

    from compliance_xai.figures.tables import table_html

    result = json.loads(path.read_text(encoding="utf-8"))
    cells = [*result["cells"], *(result["gpu"]["cells"] if result["gpu"] else [])]
    rows = [
        {"scale": cell["scale"], "strategy": cell["strategy"]}
        | {"memory, planned (MB)": cell["planned_bytes"] / 1e6, "measured (MB)": cell["measured_bytes"] / 1e6}
        | {"memory, error": f"{cell['planned_bytes'] / cell['measured_bytes'] - 1:+.0%}"}
        | {"step, planned (ms)": 1e3 * cell["planned_step_s"], "measured (ms)": 1e3 * cell["measured_step_s"]}
        | {"time, error": f"{cell['planned_step_s'] / cell['measured_step_s'] - 1:+.0%}"}
        for cell in cells
    ]
    formats = dict.fromkeys([name for name in rows[0] if name.endswith(("(MB)", "(ms)"))], ".0f")
    caption = "One training step: planned and measured"
    gpu = f"GPU: {result['gpu']['device']}." if result["gpu"] else "No GPU was at hand, so no large model was measured."
    return f"{_raw(table_html(pd.DataFrame(rows), caption=caption, formats=formats))}\n\n{_machine(result)} {gpu}\n"


def format_training(path: Path) -> str:
    """Speed beside a plain trainer's: a stored result of ``benchmarks/training.py``."""
    import pandas as pd

    from compliance_xai.figures.tables import table_html

    result = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        {name: cell[name] for name in ("scale", "strategy")}
        | {"plain trainer": f"{cell['plain_tokens_per_second']:,}", "here": f"{cell['tokens_per_second']:,}"}
        | {"times as fast": f"{cell['ratio']:.2f} ({cell['lowest_ratio']:.2f} to {cell['highest_ratio']:.2f})"}
        | {"largest difference of a loss": f"{cell['largest_relative_difference_of_a_loss']:.0e}"}
        for cell in result["cells"]
    ]
    caption = (
        f"Tokens per second of processor time, medians of {result['rounds']} rounds of {result['steps']} steps (with "
        "the lowest and highest ratio); relative difference of the losses of the same batches"
    )
    return f"{_raw(table_html(pd.DataFrame(rows), caption=caption))}\n\n{_machine(result)}\n"


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['memory']}; one thread."


def choose_reviewer(plan: Plan) -> tuple[str, str, str] | None:
    """The trained cell that writes the rules under review, and its key: the largest scale's first that is done."""
    for scale in reversed(plan.study.scales):
        for strategy in plan.study.strategies:
            name = f"{scale}-{strategy}-finetune"
            if plan.states.get(name) == "done":
                return scale, strategy, plan.jobs[name].key
    return None


def format_review(study: Study, cell: tuple[str, str, str] | None) -> str:
    """What a reviewer sees for a few clauses, with a trained model of the study."""
    from compliance_xai.review import load_writer, review_clause, review_html

    if cell is None:
        return "No model of this study has been trained yet."
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with without_progress_bars():
        writer = load_writer(study, *cell[:2])
        reviews = [review_html(review_clause(writer, clause)) for clause in REVIEWED]
    name = html.escape(f"{study.name}, {writer.name}")
    return "\n\n".join([_raw(f"<p>The model: {name}.</p>"), *map(_raw, reviews)])


def format_scores() -> str:
    """The reference and what might be written instead, with every score and the kinds of error."""
    from compliance_xai.figures.tables import table_html
    from compliance_xai.metrics import error_kinds, score_rules

    written = list(VARIANTS.values())
    # bitsandbytes, which the encoder's library imports, announces optional CPU kernels.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with without_progress_bars():
        scores = score_rules(written, [REFERENCE] * len(written), encoder="minilm")[list(SHOWN)]
    scores.insert(0, "written instead", list(VARIANTS))
    kinds = [", ".join(dict.fromkeys(error.kind for error in error_kinds(rule, REFERENCE))) for rule in written]
    scores.insert(1, "kinds of error", [text.replace("_", " ") or "none" for text in kinds])
    formats = dict.fromkeys(SHOWN, ".2f") | dict.fromkeys(("exact", "equivalent"), ".0f")
    formats |= dict.fromkeys(("lrml_f1", "chrf"), ".1f") | {"semantic": ".3f"}
    table = table_html(scores, caption="One reference, ten other rules", headings=SHOWN, formats=formats)
    return _raw(f'<div class="cx-clause">{_labelled("Reference", REFERENCE)}</div>\n{table}')


def format_verdicts() -> str:
    """Pairs of rules, how they relate, and a building on which they differ."""
    from compliance_xai.rules import equivalent

    relation = {"equivalent": "says the same as", "stronger": "asks more than", "weaker": "asks less than"}
    blocks = []
    for shows, a, b in COMPARED:
        verdict = equivalent(a, b)
        says = f"a {relation.get(verdict.answer, 'differs from')} b ({verdict.answer})"
        if verdict.counterexample:
            says += f". A building on which they differ: {verdict.counterexample}"
        blocks.append(
            f'<div class="cx-clause"><p><strong>{html.escape(shows)}</strong></p>'
            f"{_labelled('a', a)}{_labelled('b', b)}<p>{html.escape(says)}.</p></div>"
        )
    return _raw("\n".join(blocks))


def format_speed(project: Path) -> str:
    """The measured speed of attribution, as a table and a figure, from what ``make bench`` left."""
    import pandas as pd

    from compliance_xai.figures.contract import figure_html
    from compliance_xai.figures.speed import draw_growth
    from compliance_xai.figures.tables import table_html

    path = project / SPEED
    if not path.is_file():
        return "Nothing was measured yet: `make bench` does it.\n"
    measured = json.loads(path.read_text(encoding="utf-8"))
    machine, versions = measured["machine"], measured["versions"]
    where = (
        f"{measured['growth']['model']} parameters in float32, {machine['processor']}, {measured['threads']} "
        f"thread(s), captum {versions['captum']}, shap {versions['shap']}."
    )
    folder = project / "book" / "runs" / "_static" / "speed"
    figure = draw_growth(pd.DataFrame(measured["growth"]["cases"]), folder=folder, where=where)
    rows = [
        {
            "model": name,
            "captum, teacher-forced": model["leave_one_out"]["captum_over"]["this engine"],
            "plain batched loop": model["leave_one_out"]["seconds"]["plain batched loop"]
            / model["leave_one_out"]["seconds"]["this engine"],
            "captum, long prefix": model["long_prefix"]["ratio"],
            "shap, evaluations": model["shap"]["ratio"],
            "efficiency": model["leave_one_out"]["efficiency"]["this engine"],
        }
        for name, model in measured["models"].items()
    ]
    table = table_html(
        pd.DataFrame(rows),
        caption="How many times as long others take on the same clauses, and the efficiency of this engine",
        formats=dict.fromkeys(list(rows[0])[1:], ".2f"),
    )
    return _raw(table + "\n" + figure_html(dataclasses.replace(figure, folder=Path("..") / "_static" / "speed"))) + "\n"


def _labelled(label: str, rule: str) -> str:
    return f'<p class="cx-label">{html.escape(label)}</p><p class="cx-rule">{html.escape(rule)}</p>'


def format_stored(folder: Path) -> str:
    """The tables of a stored study (see ``exports.export_tables``), as Markdown."""
    import pandas as pd

    from compliance_xai.figures.tables import claims_html, table_html

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    quality = pd.read_csv(folder / "quality.csv")
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    lines = [_describe(manifest), "", "## How good are the rules?", ""]
    lines += [_raw(table_html(_spread(quality), caption="Means over training seeds, by split", formats=_FORMATS)), ""]
    lines += ["## What do the models read?", ""]
    summary = pd.read_csv(folder / "summary.csv")
    lines += [
        _raw(table_html(_focus(summary), caption="Focus, means over clauses and seeds", formats=_FOCUS_FORMATS)),
        "",
    ]
    findings = findings["findings"] if isinstance(findings, dict) else findings
    lines += ["## The four claims on this corpus", "", _raw(claims_html(findings)), ""]
    return "\n".join(lines)


_METRICS = {
    "exact_match": "exact (share)",
    "equivalence_rate": "says the same (share)",
    "parse_rate": "parses (share)",
    "lrml_f1": "LRML F1",
    "chrf": "chrF",
    "numeric_fidelity": "numeric fidelity",
    "identifier_fidelity": "identifier fidelity",
    "semantic_similarity": "semantic similarity",
}
_FORMATS = dict.fromkeys(_METRICS.values(), ".2f") | {"LRML F1": ".1f", "chrF": ".1f"}
_FOCUS = ("normalised_entropy", "gini", "top_3_mass", "effective_number")
_FOCUS_FORMATS = dict.fromkeys(_FOCUS, ".3f") | {"effective_number": ".1f"}


def _spread(quality: pd.DataFrame) -> pd.DataFrame:
    """One row per scale, strategy and split, one column per score."""
    order = ["scale", "strategy", "split"]
    means = quality.groupby([*order, "metric"], sort=False)["value"].mean().unstack()
    return means[[name for name in _METRICS if name in means]].rename(columns=_METRICS).reset_index()


def _focus(summary: pd.DataFrame) -> pd.DataFrame:
    chosen = summary[(summary["sign"] == "absolute") & summary["measure"].isin(_FOCUS)]
    means = chosen.groupby(["scale", "strategy", "baseline", "measure"], sort=False)["mean"].mean().unstack()
    return means[[name for name in _FOCUS if name in means]].reset_index()


def _describe(manifest: dict[str, Any]) -> str:
    machine = manifest["machine"]
    note = f" {manifest['note']}" if manifest["note"] else ""
    return (
        f"Run on {manifest['finished']} with compliance_xai {manifest['version']} on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory']}.{note} "
        f"The study's settings and these tables lie in `{STORED.as_posix()}/{manifest['study']['name']}`."
    )


def _raw(text: str) -> str:
    return f"```{{raw}} html\n{text}\n```"
