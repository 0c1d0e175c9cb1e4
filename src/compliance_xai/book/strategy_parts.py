"""The tables of the chapter on models and strategies: what each trains, which ladders there are, what cells
need, what they cost."""

import json
from pathlib import Path

import pandas as pd

from compliance_xai.book.markup import placed_html, raw_html
from compliance_xai.corpus.synthetic.build import BASE_NOTATIONS, CURVE_CLAUSES, ONE_THREAD
from compliance_xai.figures.tables import table_html
from compliance_xai.figures.training_figures import draw_pretraining
from compliance_xai.files import digest
from compliance_xai.models.planning import choose_device, describe_cells
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.grid import pages_folder, stage_folder
from compliance_xai.pipeline.manifests import read_manifest
from compliance_xai.pipeline.plans import plan_study
from compliance_xai.stats.summary import wilson_interval
from compliance_xai.study.folders import find_data_folder
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study, load_study
from compliance_xai.study.strategy_settings import KINDS

COSTS = ["trained", "share", "validation_loss", "seconds", "memory"]

PLANNED = ("qwen-coder", "80GB", 200.0)
"""The study whose plan the book shows, and a device: its memory, and the 10^12 operations a second that it sustains."""


def format_kinds() -> str:
    """Every kind of strategy, and what it trains."""
    frame = pd.DataFrame(KINDS.items(), columns=["strategy", "what it trains"])
    return raw_html(table_html(frame, caption="Strategies", code=("strategy",)))


def format_ladders() -> str:
    """Every rung of every shipped ladder."""
    rows = []
    for file in sorted((find_data_folder() / "ladders").glob("*/ladder.yaml")):
        ladder = load_ladder(file)
        for rung in sorted((*ladder.rungs, *ladder.absent), key=lambda rung: rung.parameters):
            source = "shipped" if rung.is_local else f"hub: {rung.path}"
            rows.append(
                {"ladder": ladder.name, "scale": rung.name, "parameters": rung.parameters, "prompt": rung.template}
                | {"licence": rung.licence}
                | {"where from": f"trained by you: {rung.obtain}" if rung in ladder.absent else source}
            )
    return raw_html(table_html(pd.DataFrame(rows), caption="Models that a study can name"))


def format_pretraining(draw_into: Path) -> str:
    """How the rungs of the embedded ladder were pre-trained, from the logs that lie in their folders."""
    files = (find_data_folder() / "ladders" / "embedded").glob("*/training.json")
    logs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    rows, points = [], []
    for log in sorted(logs, key=lambda log: log["parameters"]):
        name, count = log["recipe"]["name"], log["exact_held_out_n"]
        row = {
            "scale": name, "parameters": log["parameters"], "layers": log["recipe"]["layers"],
            "width": log["recipe"]["width"], "tokens": log["tokens"], "minutes": log["seconds"] / 60,
        }  # fmt: skip
        for notation, exact in log["exact_held_out"].items():
            low, high = wilson_interval(exact, count)
            row[f"exact, {notation}"] = f"{exact:.1%} ({low:.1%} to {high:.1%})"
        rows.append(row)
        points += [{"rung": name, "parameters": log["parameters"]} | point for point in log["curve"]]
    devices = sorted({log.get("device", ONE_THREAD) for log in logs})
    counts = sorted({log["exact_held_out_n"] for log in logs})
    table = table_html(
        pd.DataFrame(rows),
        caption="Pre-training of the embedded ladder, from its logs. Exact rules in the two base notations on "
        f"{' or '.join(map(str, counts))} clauses of combinations held out, with 95 % Wilson interval. Trained on "
        f"{' or '.join(devices)}; minutes count whatever else the machine did",
        formats={"minutes": ".0f"},
    )
    figure = draw_pretraining(pd.DataFrame(points), clauses=CURVE_CLAUSES * len(BASE_NOTATIONS), folder=draw_into)
    return raw_html(f"{table}\n{placed_html(figure)}") + "\n"


def plan_key() -> str:
    """Digest of all that decides ``format_plan``."""
    ladder = load_ladder(load_study(PLANNED[0]).ladder)
    return digest([code_digest(ROOMS), repr(ladder), repr(PLANNED)])


def format_plan() -> str:
    """What the cells of a study of large models need; nothing is fetched for it."""
    name, memory, speed = PLANNED
    cells = plan_study(name, choose_device(memory, speed))
    frame = describe_cells(cells).drop(columns=["gradients", "kv", "generation", "faithfulness"])
    frame["to change"] = [cell.remedy or "nothing" for cell in cells]
    return raw_html(table_html(frame, caption=f"The study {name} on one device of {memory}; memory and disk in GB"))


def format_costs(study: Study) -> str:
    """What the fine-tuned cells of the book's study trained and took, and a link to where their weights moved."""
    folder = stage_folder(study.name, "compare_strategies")
    if read_manifest(folder) is None or not (folder / "costs.parquet").is_file():
        return "The study of this book has not compared its strategies yet.\n"
    costs = pd.read_parquet(folder / "costs.parquet")
    caption = f"Trained by the study {study.name}; means over training seeds ({costs['seed'].nunique()})"
    costs = costs.assign(memory=costs["peak_memory_bytes"] / 2**20)
    means = costs.groupby(["scale", "strategy"], sort=False)[COSTS].mean().reset_index()
    table = table_html(means, caption=caption)
    page = pages_folder(study.name) / "compare_strategies.ipynb"
    link = f"runs/{study.name}/{page.name}"
    moved = f"\nWhere the weights moved is drawn in [the comparison of strategies]({link}).\n" if page.is_file() else ""
    return f"{raw_html(table)}\n{moved}"
