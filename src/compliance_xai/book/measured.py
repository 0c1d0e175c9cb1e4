"""What benchmarks measured and left under ``benchmarks/results``, as tables and a figure."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd

from compliance_xai.book.markdown import raw_html
from compliance_xai.figures.contract import figure_html
from compliance_xai.figures.planning_figures import draw_growth
from compliance_xai.figures.tables import table_html

MEASURED = Path("benchmarks") / "results"
AGREEMENT = MEASURED / "features.json"
SPEED = MEASURED / "attribution.json"


def format_agreement(path: Path) -> str:
    """How the categories agree with people's labels: a stored result of ``benchmarks/features.py``."""
    splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
    rows = [
        {"sentences": f"{split['split']}, {split['sentences']}, {split['role']}", "their label": row["label"]}
        | {name: row[name] for name in ("words", "precision", "recall")}
        | {"F1": f"{row['f1']:.2f} ({row['low']:.2f} to {row['high']:.2f})"}
        for split in splits
        for row in split["labels"]
    ]
    caption = "Our categories against people's labels; F1 with its 95 % bootstrap interval over sentences"
    lines = [raw_html(table_html(pd.DataFrame(rows), caption=caption)), ""]
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


def format_planned(path: Path) -> str:
    """Planned memory and time beside measured ones: a stored result of ``benchmarks/planner.py``."""
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
    return f"{raw_html(table_html(pd.DataFrame(rows), caption=caption, formats=formats))}\n\n{_machine(result)} {gpu}\n"


def format_training(path: Path) -> str:
    """Speed beside a plain trainer's: a stored result of ``benchmarks/training.py``."""
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
    return f"{raw_html(table_html(pd.DataFrame(rows), caption=caption))}\n\n{_machine(result)}\n"


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['memory']}; one thread."


def format_speed(project: Path) -> str:
    """The measured speed of attribution, as a table and a figure, from what ``make bench`` left."""
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
            "at dense speed": 1 / model["leave_one_out"]["efficiency"]["captum, teacher-forced"],
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
        caption="How many times as long others take on the same clauses, and the efficiency of this engine. At dense "
        "speed: captum over an engine that computes no more than it must, as fast as a plain dense pass",
        formats=dict.fromkeys(list(rows[0])[1:], ".2f"),
    )
    return (
        raw_html(table + "\n" + figure_html(dataclasses.replace(figure, folder=Path("..") / "_static" / "speed")))
        + "\n"
    )
