"""What studies say of strategies beyond one book: how each was tuned, what it cost, how focus compares under every
protocol, and what other forms of a trained model change. From stored tables (see ``exports``)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from compliance_xai.attribution.precision import CHANGES
from compliance_xai.book.evidence import STORED
from compliance_xai.book.markdown import raw_html
from compliance_xai.figures.tables import pairs_html, table_html
from compliance_xai.study.settings import KINDS

if TYPE_CHECKING:
    import pandas as pd

SEARCH = "search_trials.csv"
OUTCOME = "normalised_entropy"
"""The measure of focus that the chapter compares; the stored tables hold the others."""

COSTS = {
    "trained": "trained parameters",
    "share": "share of all",
    "validation_loss": "validation loss (nats per rule token)",
    "memory": "peak memory (MiB)",
}
COST_FORMATS = {"trained": ",.0f", "share": ".1%", "validation_loss": ".4f", "seconds": ".1f", "memory": ".0f"}


def costs_html(costs: pd.DataFrame, caption: str) -> str:
    """Mean costs of each cell over seeds; ``trained``, ``share``, ``seconds``, ``peak_memory_bytes`` and so on."""
    costs = costs.assign(memory=costs["peak_memory_bytes"] / 2**20)
    means = costs.groupby(["scale", "strategy"], sort=False)[list(COST_FORMATS)].mean().reset_index()
    return table_html(means, caption=caption, headings=COSTS, formats=COST_FORMATS)


def format_search(project: Path) -> str:
    """Every stored search: for each cell, what was tried and how far the best trial is from the study's own."""
    blocks = [_format_trials(path) for path in sorted((project / STORED).glob(f"*/{SEARCH}"))]
    return "\n\n".join(blocks) or _say_none("No search is stored", "study search", f"--to {STORED.as_posix()}/NAME")


def _format_trials(path: Path) -> str:
    import pandas as pd

    trials, rows, rates = pd.read_csv(path), [], []
    for (scale, strategy), block in trials.groupby(["scale", "strategy"], sort=False):
        own = block[block["trial"] == 0].iloc[0]
        best = block.sort_values("validation_loss", kind="stable").iloc[0]
        rates += list(block["learning_rate"] / own["learning_rate"])
        rows.append(
            {
                "scale": scale,
                "strategy": strategy,
                "trials": len(block),
                "own": float(own["validation_loss"]),
                "best": float(best["validation_loss"]),
                **{name: best[name] for name in ("learning_rate", "full_learning_rate", "rank", "steps")},
                "broke off": int((block["validation_loss"] == float("inf")).sum()),
                "seconds": float(block["seconds"].sum()),
            }
        )
    frame = pd.DataFrame(rows).dropna(axis="columns", how="all")
    table = table_html(
        frame,
        caption=f"Search of the study {path.parent.name}: validation loss (nats per rule token) with its own settings "
        "and in the best trial, whose settings follow",
        headings={"own": "own settings", "best": "best trial"},
        formats={"own": ".4f", "best": ".4f", "learning_rate": ".2g", "full_learning_rate": ".2g", "seconds": ".0f"}
        | dict.fromkeys(("rank", "steps"), ".0f"),
    )
    counts, same = frame["trials"].unique(), int((frame["own"] == frame["best"]).sum())
    tried = f"learning rates of {min(rates):.2g} to {max(rates):.2g} times a cell's own"
    tried += "".join(f", {name} {_list_tried(trials[key])}" for name, key in (("ranks", "rank"), ("steps", "steps")))
    budget = f"{counts[0]} trials" if len(counts) == 1 else "Unequal numbers of trials"
    return (
        f"{raw_html(table)}\n\n{budget} for every strategy at every scale, one training seed, "
        f"{frame['seconds'].sum() / 60:.0f} minutes of training; {tried}. The study's own settings were the "
        f"best in {same} of {len(frame)} cells; it ran with its own in all of them.\n"
    )


def _list_tried(values: pd.Series) -> str:
    """The different whole numbers of a column; none where no strategy has such a setting."""
    return ", ".join(f"{value:.0f}" for value in sorted(set(values.dropna()))) or "none"


def format_compared(project: Path, draw_into: Path) -> str:
    """Of every stored study with more than one protocol: costs, movement, focus by protocol, other forms."""
    folders = sorted(path.parent for path in (project / STORED).glob("*/protocol_pairs.csv"))
    if not folders:
        return _say_none("No study that compares under several protocols is stored", "study export", "FOLDER")
    parts: list[Callable[[Path, Path], str]] = [_format_costs, _format_movement, _format_protocols, _format_precision]
    return "\n\n".join(
        f"### The study {folder.name}\n\n" + "\n\n".join(part(folder, draw_into / folder.name) for part in parts)
        for folder in folders
    )


def _say_none(what: str, command: str, options: str) -> str:
    return f"{what} yet: `compliance-xai {command} reference {options}` does it.\n"


def _format_costs(folder: Path, draw_into: Path) -> str:
    import pandas as pd

    study = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["study"]
    costs = pd.read_csv(folder / "training.csv")
    costs["share"] = costs["trained"] / costs["parameters"]
    table = costs_html(costs, f"What it trained and took; means over training seeds ({costs['seed'].nunique()})")
    kinds = [f"{name}: {KINDS[settings['kind']]}" for name, settings in study["strategies"].items()]
    return f"{raw_html(table)}\n\n" + "\n".join(f"- {kind}" for kind in kinds)


def _format_movement(folder: Path, draw_into: Path) -> str:
    import pandas as pd

    from compliance_xai.figures.contract import figure_html
    from compliance_xai.figures.movement_figures import draw_movement

    moved = pd.read_csv(folder / "movement.csv")
    name = f"movement-{folder.name}"
    figure = draw_movement(moved, folder=draw_into, name=name, where=f"{folder.name}, {moved['scale'].iloc[0]}")
    place = Path("..") / "_static" / draw_into.parent.name / draw_into.name
    return raw_html(figure_html(dataclasses.replace(figure, folder=place)))


def _format_protocols(folder: Path, draw_into: Path) -> str:
    import pandas as pd

    picks = pd.read_csv(folder / "protocol_picks.csv", keep_default_na=False)
    missing = picks.loc[picks["reached"].astype(str) == "False", ["protocol", "scale", "strategy", "seed", "reason"]]
    pairs = pd.read_csv(folder / "protocol_pairs.csv")
    method = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["study"]["attribution"]["method"]
    pairs = pairs[(pairs["measure"] == OUTCOME) & (pairs["sign"] == "absolute") & (pairs["method"] == method)]
    pairs = pairs[pairs["baseline"] == pairs["baseline"].iloc[0]]
    scale = "all" if "all" in set(pairs["scale"]) else pairs["scale"].iloc[-1]
    keys = ["strategy_a", "strategy_b", "protocol"]
    pairs = pairs[pairs["scale"] == scale].sort_values(keys[:2], kind="stable")
    reached = table_html(missing, caption="Cells that a protocol did not reach; no row below uses them")
    caption = f"{OUTCOME.replace('_', ' ').capitalize()} under every protocol, scale {scale}, paired by clause"
    parts = [
        ("What no protocol could match", reached),
        ("Focus under every protocol, pair by pair", pairs_html(pairs, keys=keys, caption=caption)),
    ]
    said = f"Of {len(picks)} checkpoints that the protocols ask for, {len(picks) - len(missing)} were reached."
    said += say_who_sets_the_loss(picks)
    return "\n\n".join([said, *(f"::::{{dropdown}} {title}\n\n{raw_html(table)}\n\n::::" for title, table in parts)])


def say_who_sets_the_loss(picks: pd.DataFrame) -> str:
    """Whose best loss the others had to meet, how often: that of the strategy that gets least far down."""
    matched = picks[picks["protocol"] == "matched_loss"]
    if matched.empty:
        return ""
    blocks = len(matched[["scale", "seed"]].drop_duplicates())
    setters = matched.loc[matched["loss"] == matched["target"], "strategy"].value_counts()
    named = ", ".join(f"{name} in {count}" for name, count in setters.items())
    return f" The loss to match was set, in {blocks} pairs of scale and seed, by {named}."


def _format_precision(folder: Path, draw_into: Path) -> str:
    import pandas as pd

    path = folder / "precision.csv"
    if not path.is_file():
        return ""
    effects = pd.read_csv(path)
    effects["change"] = [f"{name.replace('_', ' ')}: {CHANGES[name]}" for name in effects["change"]]
    table = table_html(
        effects,
        caption="What other forms of a trained model change, from the model as trained; first training seed",
        headings={
            "n_clauses": "clauses",
            "log_prob": "log-probability of the rule (mean, nats)",
            "largest_token": "largest at one token (nats)",
            "largest_score": "largest at one score (nats)",
            "distance": "distance of patterns (mean)",
            "same_word": "same word first",
        },
        formats=dict.fromkeys(("log_prob", "largest_token", "largest_score"), ".2g")
        | {"distance": ".3f", "same_word": ".0%"},
    )
    return raw_html(table)
