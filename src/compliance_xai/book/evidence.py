"""The book's parts from stored files: every verdict, what simulated studies find, and what benchmarks measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from compliance_xai.book.markup import placed_html, raw_html, render
from compliance_xai.figures.planning_figures import draw_growth, draw_power
from compliance_xai.figures.tables import table_html, verdicts_html
from compliance_xai.pipeline.summary_stage import DESCRIPTION, STORED, open_summary
from compliance_xai.stats.claims import CONTRADICTED, SUPPORTED, UNDECIDED
from compliance_xai.stats.review_flags import SAYS, describe_reading
from compliance_xai.stats.summary import wilson_interval
from compliance_xai.study.labels import format_interval, strategy_label

POWER = STORED / "power.json"
"""What ``make bench BENCH=power`` simulated."""
MEASURED = Path("benchmarks") / "results"
AGREEMENT = MEASURED / "features.json"
SPEED = MEASURED / "attribution.json"


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


# --- verdicts ---------------------------------------------------------------------------------------------------


def format_findings(project: Path) -> str:
    """One table of verdicts for each claim, over all corpora and ladders that were run; HTML.

    Studies run here come first; one that is also stored under ``data/results`` is listed twice, since settings, machine
    or version may differ.
    """
    here = sorted((project / "results").glob("*/findings/findings.json"))
    stored = sorted((project / STORED).glob("*/findings.json"))
    named = [("here", path.parents[1].name, path) for path in here]
    named += [("stored", path.parent.name, path) for path in stored]
    findings = [
        finding | {"study": f"{name} ({where}{'' if 'statements' in finding else ', by earlier rules'})"}
        for where, name, path in named
        for finding in _read(path)
    ]
    claims: dict[str, list[Any]] = {}
    for finding in findings:
        claims.setdefault(finding["claim"], []).append(finding)
    tables = [verdicts_html(own, caption=f"{claim}: {own[0]['statement']}") for claim, own in claims.items()]
    return "\n".join(tables) or "<p>No study was run yet.</p>"


# --- reviews ----------------------------------------------------------------------------------------------------


def format_reviews(project: Path, study: str) -> str:
    """What reviews find, for the book's study and each stored one that measured it: sentences, and its flags."""
    texts = []
    for folder in (project / "results" / study / "summary", *sorted((project / STORED).glob("*/"))):
        if not (folder / DESCRIPTION).is_file() or not (results := open_summary(folder)).holds("review_reading"):
            continue
        tables = {name: results.read(f"review_{name}") for name in ("reading", "risk", "flags")}
        flags = tables["flags"].replace({"flag": SAYS})
        largest = [scale for scale in results.scales if scale in set(flags["scale"])][-2:]
        strategy = next(name for name in (results.full, *flags["strategy"]) if name in set(flags["strategy"]))
        chosen = flags["scale"].isin(largest) & (flags["strategy"] == strategy) & (flags["split"] != "validation")
        chosen &= flags["n_wrong"] > 0
        shown = flags[chosen][["scale", "split", "flag", "n_items", "n_wrong", "n_flagged"]]
        for measure in ("precision", "recall"):
            rows = flags[chosen][[measure, f"{measure}_low", f"{measure}_high"]]
            shown[measure] = [format_interval(*row) for row in rows.itertuples(index=False, name=None)]
        caption = f"Flags out of sample: study {results.name}, {strategy_label(strategy)}"
        said = " ".join(describe_reading(tables["reading"], tables["risk"]))
        texts.append(f"**{results.name}.** {said}\n\n{raw_html(table_html(shown, caption=caption))}\n")
    return "\n".join(texts) or "No study of this copy has measured its reviews.\n"


# --- power ------------------------------------------------------------------------------------------------------


def format_power(path: Path, folder: Path) -> str:
    """The power page's figure, whose files go to ``folder``, and its tables, from a stored simulation; HTML."""
    stored = _read(path)
    designs, studies, rates = stored["designs"], stored["studies"], pd.DataFrame(stored["rates"])
    ends = [wilson_interval(row[SUPPORTED], studies[row["claim"]]) for row in stored["rates"]]
    drawn = rates[["claim", "effect", "seeds"]].assign(unit=rates["claim"].map(stored["units"]), value=rates[SUPPORTED])
    drawn[["low", "high"]] = ends
    figure = draw_power(drawn, clauses=designs["C2"]["clauses"], studies=min(studies.values()), folder=folder)
    spreads = pd.DataFrame.from_dict(designs, orient="index").drop(columns=["sizes", "seeds"])
    spreads = spreads.rename_axis("claim").reset_index()
    parts = [
        placed_html(figure),
        table_html(spreads, caption="What is simulated: clauses, views and standard deviations"),
    ]
    formats = {"effect": "g"} | dict.fromkeys((SUPPORTED, CONTRADICTED, UNDECIDED), ".0%")
    for claim, frame in rates.groupby("claim"):
        caption = f"{claim}: verdicts of {studies[claim]} simulated studies; effect: {stored['units'][claim]}"
        parts.append(table_html(frame.drop(columns="claim"), caption=caption, formats=formats))
    shipped = pd.DataFrame([{name: row[name] for name in ("study", "claim")} | row["supported"]
                            for row in stored["shipped"]])  # fmt: skip
    effects = sorted(set(shipped.columns) - {"study", "claim"}, key=float)
    shipped = shipped[["study", "claim", *effects]]
    shipped["cannot decide because"] = ["; ".join(row["reasons"]) for row in stored["shipped"]]
    caption = "Share of simulated studies that support a claim, by the size of the effect, for the design of each study"
    return "\n".join([*parts, table_html(shipped, caption=caption, formats=dict.fromkeys(effects, ".0%"))])


# --- benchmarks -------------------------------------------------------------------------------------------------


def format_agreement(path: Path) -> str:
    """How the categories agree with people's labels: a stored result of ``benchmarks/features.py``."""
    splits = _read(path)["splits"]
    rows = [
        {"sentences": f"{split['split']}, {split['sentences']}, {split['role']}", "their label": row["label"]}
        | {name: row[name] for name in ("words", "precision", "recall")}
        | {"F1": f"{row['f1']:.2f} ({row['low']:.2f} to {row['high']:.2f})"}
        for split in splits
        for row in split["labels"]
    ]
    return render("agreement.md", frame=pd.DataFrame(rows), splits=splits)


def format_planned(path: Path) -> str:
    """Planned memory and time beside measured ones: a stored result of ``benchmarks/planner.py``."""
    result = _read(path)
    rows = [
        {"scale": cell["scale"], "strategy": cell["strategy"]}
        | {"memory, planned (MB)": cell["planned_bytes"] / 1e6, "measured (MB)": cell["measured_bytes"] / 1e6}
        | {"memory, error": f"{cell['planned_bytes'] / cell['measured_bytes'] - 1:+.0%}"}
        | {"step, planned (ms)": 1e3 * cell["planned_step_s"], "measured (ms)": 1e3 * cell["measured_step_s"]}
        | {"time, error": f"{cell['planned_step_s'] / cell['measured_step_s'] - 1:+.0%}"}
        for cell in [*result["cells"], *(result["gpu"]["cells"] if result["gpu"] else [])]
    ]
    formats = dict.fromkeys([name for name in rows[0] if name.endswith(("(MB)", "(ms)"))], ".0f")
    gpu = f"GPU: {result['gpu']['device']}." if result["gpu"] else "No GPU was at hand, so no large model was measured."
    return _format_measured(rows, "One training step: planned and measured", result, formats, gpu)


def format_training(path: Path) -> str:
    """Speed beside a plain trainer's: a stored result of ``benchmarks/training.py``."""
    result = _read(path)
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
    return _format_measured(rows, caption, result)


def _format_measured(
    rows: list[dict[str, Any]],
    caption: str,
    result: Mapping[str, Any],
    formats: Mapping[str, str] | None = None,
    more: str = "",
) -> str:
    machine = result["machine"]
    where = f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['memory']}; one thread. {more}"
    return f"{raw_html(table_html(pd.DataFrame(rows), caption=caption, formats=formats))}\n\n{where}\n"


def format_speed(project: Path) -> str:
    """The measured speed of attribution, as a table and a figure, from what ``make bench`` left."""
    if not (project / SPEED).is_file():
        return "Nothing was measured yet: `make bench` does it.\n"
    measured = _read(project / SPEED)
    machine, versions = measured["machine"], measured["versions"]
    where = (
        f"{measured['growth']['model']} parameters in float32, {machine['processor']}, {measured['threads']} "
        f"thread(s), captum {versions['captum']}, shap {versions['shap']}."
    )
    folder = project / "book" / "runs" / "_static" / "speed"
    figure = draw_growth(pd.DataFrame(measured["growth"]["cases"]), folder=folder, where=where)
    rows = []
    for name, model in measured["models"].items():
        alone = model["leave_one_out"]
        seconds, efficiency = alone["seconds"], alone["efficiency"]
        rows.append(
            {"model": name, "captum, teacher-forced": alone["captum_over"]["this engine"]}
            | {"at dense speed": 1 / efficiency["captum, teacher-forced"]}
            | {"plain batched loop": seconds["plain batched loop"] / seconds["this engine"]}
            | {"captum, long prefix": model["long_prefix"]["ratio"], "shap, evaluations": model["shap"]["ratio"]}
            | {"efficiency": efficiency["this engine"]}
        )
    caption = (
        "How many times as long others take on the same clauses, and the efficiency of this engine. At dense speed: "
        "captum over an engine that computes no more than it must, as fast as a plain dense pass"
    )
    table = table_html(pd.DataFrame(rows), caption=caption, formats=dict.fromkeys(list(rows[0])[1:], ".2f"))
    return raw_html(f"{table}\n{placed_html(figure)}") + "\n"
