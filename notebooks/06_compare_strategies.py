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

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline
from compliance_xai.study.settings import load_study

settings = load_study(study)
result = pipeline.compare_strategies(settings)
folder, method, baseline = (
    result.folder / "figures",
    settings.attribution.method,
    settings.attribution.baselines[0],
)
outcome = settings.tests.C2.outcome


def main(frame, **chosen):
    """The rows of the main method (others are asked whether they agree, see Findings), and of what else is named."""
    chosen = {"method": method, **chosen}
    return frame[(frame[list(chosen)] == list(chosen.values())).all(axis=1)]


# %% [markdown]
# ## The noise floor
#
# Two patterns of the same clause differ for many reasons: another batch, another float type, another training seed,
# another way of taking words away. Only what two strategies differ by *beyond* two seeds of one strategy says something
# about strategies (claim C1).

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_noise,
    result["noise"],
    settings.tests.C1.outcome,
    folder=folder,
    scales=settings.scales,
    otherwise="No two patterns to compare.",
)
noise = result["noise"][result["noise"]["sign"] == "absolute"].assign(
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
        headings={
            "n_pairs": "pairs",
            "jensen_shannon": "Jensen–Shannon",
            "rank_biased_overlap": "1 − rank-biased overlap",
            "spearman": "1 − Spearman",
        },
    )
)
absolute = result["focus"][result["focus"]["sign"] == "absolute"]
floors = main(absolute, baseline=baseline).groupby(["scale", "strategy"], sort=False)
figures.show_html(
    figures.table_html(
        floors.agg(
            noise_floor=("noise_floor", "max"), left_out=("n_below_floor", "sum"), words=("n_features", "sum")
        ).reset_index(),
        caption="Noise floor of a single score (the same number computed in another batch, nats), and how many words "
        "were left out because all their scores lie below it",
        formats={"noise_floor": ".1e"},
    )
)

# %% [markdown]
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
moved = result["movement"][result["movement"]["scale"] == settings.scales[-1]]
figures.show_drawn(
    figures.draw_movement,
    moved,
    folder=folder,
    where=settings.scales[-1],
    otherwise="Nothing was trained.",
)

# %% [markdown]
# ## Different patterns, or different seeds?

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_distances,
    main(result["distances"]),
    folder=folder,
    baseline=baseline,
    scales=settings.scales,
    otherwise="No two runs to compare: the study has one strategy and one seed.",
)
tests = main(result["distance_tests"], baseline=baseline, sign="absolute")
numbers = ["within", "between", "ratio", "ratio_low", "ratio_high", "p_run", "p_run_smallest"]
columns = ["measure", "scale", "strategy_a", "strategy_b", "n_clauses", *numbers]
pooled = tests[(tests["scale"] == "all") | (tests["measure"] == settings.tests.C1.outcome)]
figures.show_html(
    figures.table_html(
        pooled[columns],
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
focus = main(result["focus"], split=settings.corpus.evaluate_on)
figures.show(
    figures.draw_focus_paired(focus, main(result["summary"]), "normalised_entropy", folder=folder, baseline=baseline)
)
figures.show_drawn(
    figures.draw_differences,
    main(result["pairs"]),
    "normalised_entropy",
    folder=folder,
    baseline=baseline,
    scales=settings.scales,
    otherwise="No pair of strategies to compare.",
)

# %% [markdown]
# ## The declared test: one mixed model
#
# Strategy, size, clause length and log-probability as fixed effects, clauses and training runs as random intercepts. A
# difference holds at the middle size; *by size* says how it changes for each factor of ten in parameters.

# %% tags=["hide-input"]
mixed = main(result["mixed"])
numbers = ["estimate", "low", "high", "p", "by_size", "by_size_p", "clause_sd", "run_sd", "residual_sd"]
figures.show_html(
    figures.table_html(
        mixed[["baseline", "sign", "strategy_a", "strategy_b", "n_clauses", "n_runs", *numbers]],
        caption=f"Mixed model of {outcome.replace('_', ' ')}: differences (first less second), 95 % t interval",
        headings={"n_clauses": "clauses", "n_runs": "runs", "by_size_p": "p (by size)"}
        | {name: name.replace("_sd", " SD") for name in ("clause_sd", "run_sd", "residual_sd")},
        formats=dict.fromkeys(numbers, ".3f"),
    )
)
remarks = mixed.loc[mixed["reason"] + mixed["note"] != "", ["baseline", "sign", "reason", "note"]].drop_duplicates()
figures.show_html(figures.table_html(remarks, caption="Remarks on these models"))

# %% [markdown]
# ## At equal confidence, and for short and long clauses
#
# A model that is unsure of everything looks spread out. What is left of the difference where total mass and
# log-probability are the same, and in each third of the clauses by length?

# %% tags=["hide-input"]
full = next((name for name, chosen in settings.strategies.items() if chosen.kind == "full"), None)
figures.show_drawn(
    figures.draw_controls,
    main(result["controls"]),
    folder=folder,
    first=full,
    baseline=baseline,
    title=f"difference in {outcome.replace('_', ' ')}",
    otherwise="No strategy to compare with full fine-tuning.",
)

# %% [markdown]
# ## The same, or merely not different?
#
# Two strategies are called equivalent only where the interval of their difference lies inside what two trainings of one
# cell differ by, over clauses and over runs.

# %% tags=["hide-input"]
same = main(result["strategy_equivalence"])
numbers = ["mean_difference", "low", "high", "margin", "p_tost", "p_tost_run"]
figures.show_html(
    figures.table_html(
        same[["baseline", "sign", "a", "b", "n", "n_runs", *numbers, "equivalent"]],
        caption=f"Equivalence in {outcome.replace('_', ' ')}: two one-sided tests, 90 % interval",
        headings={
            "n": "clauses",
            "n_runs": "pairs of runs",
            "mean_difference": "difference",
            "p_tost": "p, clauses",
            "p_tost_run": "p, runs",
        },
        formats=dict.fromkeys(numbers, ".3f"),
    )
)

# %% [markdown]
# ## All measures of focus
#
# Each row compares two strategies on the same clauses, averaged over the scales. Total mass stands beside the measures
# of focus because a model that is unsure of everything also looks spread out.

# %% tags=["hide-input"]
pairs = main(result["pairs"], baseline=baseline, sign="absolute")
pooled = "all" if "all" in set(pairs["scale"]) else settings.scales[-1]
pairs = pairs[pairs["scale"] == pooled]
keys = ["measure", "scale", "strategy_a", "strategy_b"]
figures.show_html(figures.pairs_html(pairs, keys=keys, caption="Paired comparisons"))
friedman = main(result["friedman"], baseline=baseline, sign="absolute", measure=outcome)
figures.show_html(
    figures.table_html(
        friedman[["scale", "n", "n_strategies", "statistic", "dof", "p", "kendall_w", "reason"]],
        caption=f"Does any strategy differ in {outcome.replace('_', ' ')}? Friedman's test over clauses",
        headings={"n": "clauses", "n_strategies": "strategies", "dof": "df", "kendall_w": "Kendall's W"},
        formats={"statistic": ".1f", "p": ".3f", "kendall_w": ".2f"},
    )
)

# %% [markdown]
# ## How far would it come out again?
#
# The intraclass correlation says how much of a value is the clause, or the word, and how much the training seed: 1 if
# every seed agrees, 0 if the seed decides. Split-half reliability compares what every other token of the rule rests on
# with what the rest does.

# %% tags=["hide-input"]
reliability = main(result["reliability"], baseline=baseline, sign="absolute")
words = main(result["feature_reliability"], baseline=baseline, sign="absolute").assign(measure="mass of a word")
halves = main(result["split_half"], baseline=baseline, sign="absolute")
columns = ["measure", "scale", "strategy", "n_clauses", "n_seeds", "icc", "low", "high"]
for frame, caption in (
    (words, "Reliability of single words over seeds, ICC(2,1) with 95 % interval over words"),
    (reliability, "Reliability of clauses over seeds, ICC(2,1) with 95 % interval"),
):
    figures.show_html(
        figures.table_html(
            frame.dropna(subset=["icc"])[columns],
            caption=caption,
            headings={"n_clauses": "clauses", "n_seeds": "seeds", "icc": "ICC"},
            formats=dict.fromkeys(("icc", "low", "high"), ".2f"),
        )
    )
figures.show_html(
    figures.table_html(
        halves[["scale", "strategy", "n_clauses", "n_dropped", "correlation", "reliability", "low", "high"]],
        caption="Split-half reliability (Spearman–Brown) with 95 % bootstrap interval over clauses",
        headings={"n_clauses": "clauses", "n_dropped": "undefined", "correlation": "correlation of the halves"},
        formats=dict.fromkeys(("correlation", "reliability", "low", "high"), ".2f"),
    )
)
remarks = reliability.loc[reliability["reason"] != "", ["strategy", "reason"]].drop_duplicates()
figures.show_html(figures.table_html(remarks, caption="Remarks on reliability"))
