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
# *Reads* the attributions of all runs. *Writes* `results/<study>/compare_strategies`. *Takes* seconds to
# minutes.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"

# %% tags=["hide-input"]
from compliance_xai import figures, stages
from compliance_xai.study import load_study

settings = load_study(study)
result = stages.compare_strategies(settings)
folder, baseline = result.folder / "figures", settings.attribution.baselines[0]

# %% [markdown]
# ## What was trained, and at what cost
#
# Time and memory are those of this machine and of the whole process; runs that go on at the same time slow each other.

# %% tags=["hide-input"]
costs = result.costs.assign(memory=result.costs["peak_memory_bytes"] / 2**20)
numbers = ["trained", "share", "validation_loss", "seconds", "memory"]
figures.show_html(
    figures.table_html(
        costs.groupby(["scale", "strategy", "what"], sort=False)[numbers].mean().reset_index(),
        caption="Means over training seeds",
        headings={
            "what": "what is trained",
            "trained": "trained parameters",
            "share": "share of all",
            "validation_loss": "validation loss (nats per rule token)",
            "memory": "peak memory (MiB)",
        },
        formats={"trained": ",.0f", "share": ".1%", "validation_loss": ".4f", "seconds": ".1f", "memory": ".0f"},
    )
)

# %% tags=["hide-input"]
moved = result.movement[result.movement["scale"] == settings.scales[-1]]
figures.show_drawn(
    figures.draw_movement,
    moved,
    folder=folder,
    where=settings.scales[-1],
    otherwise="Nothing was trained.",
)

# %% [markdown]
# ## Different patterns, or different seeds?
#
# Two training seeds of one strategy already read differently. Only a distance between strategies beyond that floor says
# something about the strategies (claim C1).

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_distances,
    result.distances,
    folder=folder,
    baseline=baseline,
    scales=settings.scales,
    otherwise="No two runs to compare: the study has one strategy and one seed.",
)
tests = result.distance_tests
tests = tests[(tests["baseline"] == baseline) & (tests["sign"] == "absolute")]
numbers = ["within", "between", "ratio", "ratio_low", "ratio_high", "p_run", "p_run_smallest"]
columns = ["scale", "strategy_a", "strategy_b", "n_clauses", *numbers]
figures.show_html(
    figures.table_html(
        tests[columns],
        caption="Distances between strategies against distances between seeds, with 95 % interval of their ratio",
        headings={
            "n_clauses": "clauses",
            "ratio": "ratio",
            "ratio_low": "low",
            "ratio_high": "high",
            "p_run": "p, runs permuted",
            "p_run_smallest": "smallest possible p",
        },
        formats=dict.fromkeys(numbers, ".3f"),
    )
)
remarks = tests.loc[tests["reason"] != "", ["strategy_a", "strategy_b", "reason"]].drop_duplicates()
figures.show_html(figures.table_html(remarks, caption="Remarks on these comparisons"))

# %% [markdown]
# ## Focus
#
# Entropy near 1 means that every word counts the same; near 0, that one word carries everything (claim C2).

# %% tags=["hide-input"]
focus = result.focus[result.focus["split"] == settings.corpus.evaluate_on]
figures.show(figures.draw_focus_paired(focus, result.summary, "normalised_entropy", folder=folder, baseline=baseline))
figures.show_drawn(
    figures.draw_differences,
    result.pairs,
    "normalised_entropy",
    folder=folder,
    baseline=baseline,
    scales=settings.scales,
    otherwise="No pair of strategies to compare.",
)

# %% [markdown]
# ## All measures of focus
#
# Each row compares two strategies on the same clauses, averaged over the scales. Total mass stands beside the measures
# of focus because a model that is unsure of everything also looks spread out.

# %% tags=["hide-input"]
numbers = ["mean_a", "mean_b", "mean_difference", "low", "high", "p_holm", "rank_biserial"]
columns = ["measure", "scale", "strategy_a", "strategy_b", "n", *numbers]
pairs = result.pairs[(result.pairs["baseline"] == baseline) & (result.pairs["sign"] == "absolute")]
pooled = "all" if "all" in set(pairs["scale"]) else settings.scales[-1]
pairs = pairs[pairs["scale"] == pooled]
figures.show_html(
    figures.table_html(
        pairs[columns],
        caption="Paired comparisons: Wilcoxon signed-rank test with Holm correction, 95 % bootstrap interval",
        headings={
            "n": "clauses",
            "mean_difference": "difference",
            "p_holm": "p (Holm)",
            "rank_biserial": "rank-biserial",
        },
        formats=dict.fromkeys(numbers, ".3f"),
    )
)

# %% [markdown]
# ## How much of a measure is the clause, how much the seed?
#
# The intraclass correlation of a clause's value over training seeds: 1 if every seed agrees, 0 if the seed decides.

# %% tags=["hide-input"]
reliability = result.reliability
reliability = reliability[(reliability["baseline"] == baseline) & (reliability["sign"] == "absolute")]
columns = ["measure", "scale", "strategy", "n_clauses", "n_seeds", "icc", "low", "high"]
figures.show_html(
    figures.table_html(
        reliability.dropna(subset=["icc"])[columns],
        caption="Reliability over seeds, ICC(2,1) with 95 % interval",
        headings={"n_clauses": "clauses", "n_seeds": "seeds", "icc": "ICC"},
        formats=dict.fromkeys(("icc", "low", "high"), ".2f"),
    )
)
remarks = reliability.loc[reliability["reason"] != "", ["strategy", "reason"]].drop_duplicates()
figures.show_html(figures.table_html(remarks, caption="Remarks on reliability"))
