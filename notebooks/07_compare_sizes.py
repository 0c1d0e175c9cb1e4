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
# # Compare sizes
#
# What changes as the models grow: the quality of the rules, and the weight on numerical constraints and rule
# identifiers?
#
# *Reads* the scores and attributions of all runs. *Writes* `results/<study>/compare_sizes`. *Takes* seconds with its
# defaults, a minute with three model sizes.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
overrides: dict = {}

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline

settings = pipeline.open_study(study, overrides)
result = pipeline.compare_sizes(settings)
folder, primary = result.folder / "figures", pipeline.declare(settings).primary
view = {"baseline": primary["baseline"], "sign": primary["sign"]}
lift = result["lift"][result["lift"]["method"] == primary["method"]]
sizes = result["sizes"]

# %% [markdown] tags=["optional"]
# ## Quality of the rules
#
# Exact match is shown next to semantic similarity on purpose: a rule with one wrong digit is wrong, and nearly the same
# sentence (claim C4).

# %% tags=["hide-input"]
evaluated = result["quality"][result["quality"]["split"] == settings.corpus.evaluate_on]
figures.show_drawn(figures.draw_quality_by_scale, evaluated, folder=folder)

# %% tags=["hide-input"]
quality = result["quality"]
digits = quality["measure"].isin(("lrml_f1", "bleu", "chrf")).map({True: 1, False: 2})
quality["interval"] = [
    figures.format_interval(mean, low, high, digits=places)
    for mean, low, high, places in zip(quality["mean"], quality["low"], quality["high"], digits, strict=True)
]
cell = ["split", "scale", "strategy", "n_clauses", "n_seeds"]
# Fidelity is over the clauses that have a quantity or cite something; the row says how many clauses there are.
quality["n_clauses"] = quality.groupby(["split", "scale", "strategy"])["n_clauses"].transform("max")
scores = quality.pivot_table(
    index=cell, columns="measure", values="interval", aggfunc="first", sort=False
).reset_index()
figures.show_html(
    figures.table_html(
        scores,
        caption="All scores: mean over clauses, with 95 % bootstrap interval; LRML F1, BLEU and chrF from 0 to 100",
    )
)

# %% [markdown] tags=["optional"]
# ## Which mistakes go away
#
# Any error, then the most frequent kinds. A kind that falls with size is one that these models outgrow.

# %% tags=["hide-input"]
shares = result["error_shares"][result["error_shares"]["split"] == settings.corpus.evaluate_on]
figures.show_drawn(figures.draw_errors_by_scale, shares, folder=folder)

# %% [markdown] tags=["optional"]
# ## Do strategies make different mistakes?
#
# The rules that each strategy's models wrote, by what is wrong with them. A model that reads other words need not make
# other mistakes.

# %% tags=["hide-input"]
figures.show(figures.draw_error_kinds(shares, folder=folder))

# %% tags=["hide-input"]
mistakes = shares[shares.groupby("kind")["n_rules"].transform("sum") > 0]
mistakes = mistakes.assign(
    interval=[
        figures.format_interval(share, low, high)
        for share, low, high in zip(mistakes["share"], mistakes["low"], mistakes["high"], strict=True)
    ],
    kind=mistakes["kind"].str.replace("_", " "),
)
mistakes = mistakes.pivot_table(
    index=["kind", "scale"], columns="strategy", values="interval", aggfunc="first", sort=False
).reset_index()
figures.show_html(
    figures.table_html(
        mistakes, caption="Share of rules with each kind of error, with 95 % Wilson interval over clauses"
    )
)

# %% [markdown] tags=["optional"]
# ## Does correctness level off?
#
# Step by step between neighbouring model sizes of one family. A step is level only if its 90 % interval lies within the
# margin that the study declared (claim C4); similarity has chance taken off, since any other rule of the corpus is
# already similar.

# %% tags=["hide-input"]
numbers = ["mean_a", "mean_b", "change", "low", "high", "p", "p_runs"]
columns = ["measure", "family", "strategy", "a", "b", "n_clauses", "n_runs", *numbers, "reason"]
steps = sizes[(sizes["category"] == "") & (sizes["kind"] == "step")]
figures.show_html(
    figures.table_html(
        steps[columns],
        caption="Change from one model size to the next, with 95 % interval for other clauses and other trainings",
    )
)
floors = result["floors"][result["floors"]["split"] == settings.corpus.evaluate_on]
names = ["lrml_f1", "exact", "equivalent", "parses", "numeric_fidelity", "identifier_fidelity", "semantic"]
figures.show_html(
    figures.table_html(
        floors[["floor", *(name for name in names if name in floors)]].rename(columns={"floor": "rule"}),
        caption="What rules score that need no training: that of the most similar training clause, one rule for "
        "every clause, and another clause's reference",
    )
)

# %% [markdown] tags=["optional"]
# ## Numerical constraints and rule identifiers
#
# Lift is the share of attribution on these words over their share of the clause (claim C3). *Trained* is the mean of
# the fine-tuned models; what the untouched base does over the same sizes is not the work of fine-tuning.

# %% tags=["hide-input"]
figures.show_drawn(figures.draw_lift_by_scale, lift, folder=folder, **view)

# %% tags=["hide-input"]
changes = sizes[(sizes["category"] != "") & (sizes["method"] == primary["method"])]
changes = changes[(changes["baseline"] == primary["baseline"]) & (changes["sign"] == primary["sign"])]
numbers = ["change", "low", "high", "p", "p_runs", "line_p"]
figures.show_html(
    figures.table_html(
        changes[["category", "family", "strategy", "kind", "a", "b", "n_clauses", "n_runs", *numbers, "reason"]],
        caption="Change of log lift (0.05 is 5 % more weight): steps, the whole range, and the slope for ten times "
        "the parameters, which means something only if a line fits (p, line)",
    )
)

# %% [markdown] tags=["optional"]
# ## Every category

# %% tags=["hide-input"]
figures.show_drawn(figures.draw_category_lift, lift, folder=folder, **view)
