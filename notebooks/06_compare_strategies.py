# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Compare strategies
#
# Do models that were fine-tuned in different ways read the same clauses differently, and is one of them more focused?
#
# *Reads* the attributions of all runs. *Writes* `results/<study>/compare_strategies`. *Takes* seconds with
# its defaults, a minute or two with three strategies, three baselines and two methods.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
overrides: dict = {}

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline

settings = pipeline.open_study(study, overrides)
result = pipeline.compare_strategies(settings)
folder, declared = result.folder / "figures", pipeline.declare(settings)
primary, full = declared.primary, declared.first("full")
view = {"baseline": primary["baseline"], "sign": primary["sign"]}


def main(frame, **chosen):
    """The rows of the main method (others are asked whether they agree, see Findings), and of what else is named."""
    chosen = {"method": primary["method"], **chosen}
    return frame[(frame[list(chosen)] == list(chosen.values())).all(axis=1)]


# %% [markdown] tags=["optional"]
# ## Which models count
#
# How a model reads says something only if it can write rules: its rules must score better than those copied from the
# most similar training clause, and enough of them must be readable.

# %% tags=["hide-input"]
numbers = ["parses", "lrml_f1", "floor", "above_floor", "low", "high"]
figures.show_html(
    figures.table_html(
        result["competence"][["scale", "strategy", "n_clauses", "n_seeds", *numbers, "reason"]],
        caption="The gate: LRML F1 of each cell against that of copied rules, with 95 % interval of the difference",
    )
)

# %% [markdown] tags=["optional"]
# ## The noise floor
#
# Two patterns of the same clause differ for many reasons: another batch, another float type, another training seed,
# another way of removing words. A difference between strategies counts only if it exceeds the difference between seeds
# (claim C1).

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_noise,
    result["noise"],
    settings.tests.C1.outcome,
    sign=primary["sign"],
    folder=folder,
    scales=settings.scales,
)
noise = result["noise"][result["noise"]["sign"] == primary["sign"]].assign(
    value=lambda frame: [
        figures.format_interval(mean, low, high, digits=3)
        for mean, low, high in zip(frame["mean"], frame["low"], frame["high"], strict=True)
    ]
)
noise = noise.pivot_table(index=["source", "scale", "n_pairs"], columns="measure", values="value", aggfunc="first")
figures.show_html(
    figures.table_html(
        noise.reset_index(),
        caption="Mean distance between two patterns, with 95 % bootstrap interval over clauses",
    )
)
floors = main(result["focus"], **view).groupby(["scale", "strategy"], sort=False)
figures.show_html(
    figures.table_html(
        floors.agg(
            noise_floor=("noise_floor", "max"), left_out=("n_below_floor", "sum"), words=("n_features", "sum")
        ).reset_index(),
        caption="Noise floor of a single score (the same number computed in another batch, nats), and how many words "
        "were left out because all their scores lie below it",
    )
)

# %% [markdown] tags=["optional"]
# ## What was trained, and at what cost
#
# Time and memory are those of this machine and of the whole process; runs that go on at the same time slow each other.

# %% tags=["hide-input"]
costs = result["costs"].assign(memory=result["costs"]["peak_memory_bytes"] / 2**20)
numbers = ["trained", "share", "validation_loss", "seconds", "memory"]
figures.show_html(
    figures.table_html(
        costs.groupby(["scale", "strategy", "what"], sort=False)[numbers].mean().reset_index(),
        caption="Means over training seeds",
    )
)

# %% tags=["hide-input"]
moved = result["movement"][result["movement"]["scale"] == settings.scales[-1]]
figures.show_drawn(
    figures.draw_movement,
    moved,
    folder=folder,
    where=settings.scales[-1],
)

# %% [markdown] tags=["optional"]
# ## Different patterns, or different seeds?
#
# Only runs with different seeds are compared: two trainings with one seed see their data in the same order. The share
# is the part of the squared distance between two runs that is due to their strategies (claim C1).

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_separation,
    main(result["patterns"]),
    folder=folder,
    first=full,
    otherwise="There is no ratio for all model sizes together; the table says why.",
    **view,
)
patterns = main(result["patterns"], **view)
numbers = ["within_a", "within_b", "between", "share", "share_low", "share_high", "p_runs", "p_runs_smallest"]
figures.show_html(
    figures.table_html(
        patterns[["scale", "strategy_a", "strategy_b", "n_clauses", "n_seeds", *numbers, "reason"]],
        caption="Distances between seeds of each strategy and between strategies (root mean squares), and the "
        "strategies' share of the squared distance with 95 % interval for other clauses and other trainings",
    )
)

# %% [markdown] tags=["optional"]
# ## What moves a pattern more than the strategy?
#
# The distance between two views of the same model (another way to remove words, another method), or between two of its
# seeds, over the distance between two strategies.

# %% tags=["hide-input"]
numbers = ["distance", "strategies", "ratio", "ratio_low", "ratio_high"]
sources = result["sources"].reindex(columns=["source", "other", "n_clauses", *numbers, "p", "reason"])
figures.show_html(
    figures.table_html(
        sources,
        caption="Distances (root mean squares) with the 95 % interval of their ratio; p of a ratio of 1",
    )
)

# %% [markdown] tags=["optional"]
# ## Focus
#
# How many words does a pattern rest on? The effective number is the number of words that would have the same entropy
# if all of them counted the same (claim C2). Differences are of its logarithm: 0.05 is 5 % more words.

# %% tags=["hide-input"]
focus = main(result["focus"], split=settings.corpus.evaluate_on)
figures.show(figures.draw_focus_paired(focus, main(result["summary"]), "effective_number", folder=folder, **view))
contrasts = main(result["contrasts"])
figures.show_drawn(
    figures.draw_differences,
    contrasts,
    "log_words",
    folder=folder,
    scales=settings.scales,
    **view,
)
numbers = ["difference", "low", "high", "p", "p_runs"]
figures.show_html(
    figures.table_html(
        contrasts[["baseline", "sign", "scale", "strategy_a", "strategy_b", "n_clauses", "n_runs", *numbers, "reason"]][
            contrasts["scale"] == "all"
        ],
        caption="Difference in the log of the effective number of words (first less second), all model sizes "
        "together, in every view: 95 % interval for other clauses and other trainings",
    )
)

# %% [markdown] tags=["optional"]
# ## At equal confidence, and for short and long clauses
#
# A model that is unsure of everything rests on many words. How much of the difference is left where total mass and
# log-probability are the same (the direct effect), and in each third of the clauses by length?

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_controls,
    main(result["controls"]),
    folder=folder,
    first=full,
    **view,
)

# %% [markdown] tags=["optional"]
# ## Do copies rest on the words that spell them?
#
# Numbers and identifiers that are the same in clause and rule need no annotator. How often is the heaviest word towards
# a copy the one that spells it?

# %% tags=["hide-input"]
literals = result["literals"]
chosen = (literals["method"] == primary["method"]) & (literals["baseline"] == primary["baseline"])
numbers = ["hit", "chance", "above_chance", "low", "high"]
figures.show_html(
    figures.table_html(
        literals.loc[chosen, ["scale", "strategy", "n_clauses", *numbers]],
        caption="Share of copies whose heaviest word spells them, by chance, and the difference with 95 % interval",
    )
)

# %% [markdown] tags=["optional"]
# ## How reproducible is it?
#
# The intraclass correlation says how much of a value is the clause, or the word, and how much the training seed: 1 if
# every seed agrees, 0 if the seed decides. Split-half reliability compares what every other token of the rule rests on
# with what the rest does.

# %% tags=["hide-input"]
reliability = main(result["reliability"], **view)
words = main(result["feature_reliability"], **view).assign(measure="mass of a word")
halves = main(result["split_half"], **view)
columns = ["measure", "scale", "strategy", "n_clauses", "n_seeds", "icc", "low", "high"]
for frame, caption in (
    (words, "Reliability of single words over seeds, ICC(2,1) with 95 % interval over words"),
    (reliability, "Reliability of clauses over seeds, ICC(2,1) with 95 % interval"),
):
    figures.show_html(
        figures.table_html(
            frame.reindex(columns=[*columns, "reason"]),
            caption=caption,
        )
    )
figures.show_html(
    figures.table_html(
        halves[["scale", "strategy", "n_clauses", "n_dropped", "correlation", "reliability", "low", "high"]],
        caption="Split-half reliability (Spearman–Brown) with 95 % bootstrap interval over clauses",
    )
)
