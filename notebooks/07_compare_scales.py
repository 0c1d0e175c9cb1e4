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
# # Compare scales
#
# What changes as the models grow: the quality of the rules, and the weight on numerical constraints and rule
# identifiers?
#
# *Reads* the scores and attributions of all runs. *Writes* `results/<study>/compare_scales`. *Takes* seconds with its
# defaults, a minute with three scales.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline
from compliance_xai.study.settings import load_study

settings = load_study(study)
result = pipeline.compare_scales(settings)
folder, method, baseline = (
    result.folder / "figures",
    settings.attribution.method,
    settings.attribution.baselines[0],
)
lift = result["lift"][result["lift"]["method"] == method]

# %% [markdown]
# ## Quality of the rules
#
# Exact match stands beside semantic similarity on purpose: a rule with one wrong digit is wrong, and nearly the same
# sentence (claim C4).

# %% tags=["hide-input"]
evaluated = result["quality"][result["quality"]["split"] == settings.corpus.evaluate_on]
figures.show_drawn(
    figures.draw_quality_by_scale, evaluated, folder=folder, otherwise="With one model size there is no trend to show."
)

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
        headings={
            "n_clauses": "clauses",
            "n_seeds": "seeds",
            "lrml_f1": "LRML F1",
            "bleu": "BLEU",
            "chrf": "chrF",
            "tree_edit_distance": "tree edit distance (0 = same)",
            "token_edit_distance": "token edit distance (0 = same)",
        },
    )
)

# %% [markdown]
# ## Which mistakes go away
#
# Any error, then the most frequent kinds. A kind that falls with size is one that these models outgrow.

# %% tags=["hide-input"]
shares = result["error_shares"][result["error_shares"]["split"] == settings.corpus.evaluate_on]
figures.show_drawn(
    figures.draw_errors_by_scale, shares, folder=folder, otherwise="With one model size there is no trend to show."
)

# %% [markdown]
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

# %% [markdown]
# ## Is there a plateau?
#
# Neighbouring models are called equivalent only if the interval of their difference lies inside the margin, over
# clauses and over runs. The margin is what two trainings of one cell differ by, and never more than the study declared.

# %% tags=["hide-input"]
outcome = settings.tests.C4.outcome
numbers = ["mean_a", "mean_b", "mean_difference", "low", "high", "margin", "p_tost", "p_tost_run"]
columns = ["strategy", "a", "b", "n", "n_runs", *numbers, "p_difference", "p_difference_run", "equivalent", "reason"]
figures.show_html(
    figures.table_html(
        result["equivalence"][columns],
        caption=f"Equivalence of neighbouring scales in {figures.name_of(outcome)}: two one-sided tests, 90 % interval",
        headings={
            "n": "clauses",
            "n_runs": "pairs of runs",
            "mean_difference": "difference",
            "p_tost": "p same, clauses",
            "p_tost_run": "p same, runs",
            "p_difference": "p differ, clauses",
            "p_difference_run": "p differ, runs",
        },
        formats=dict.fromkeys((*numbers, "p_difference", "p_difference_run"), ".3f"),
    )
)
breaks = result["breaks"][["strategy", "n_scales", "break_parameters", "break_low", "break_high", "slope_before"]]
breaks = breaks.assign(slope_after=result["breaks"]["slope_after"], reason=result["breaks"]["reason"])
figures.show_html(
    figures.table_html(
        breaks,
        caption="Two lines that meet: where the slope changes (parameters), with 95 % interval over clauses",
        headings={"n_scales": "scales", "break_parameters": "break", "break_low": "low", "break_high": "high"},
        formats=dict.fromkeys(("slope_before", "slope_after"), ".4f"),
    )
)

# %% [markdown]
# ## Numerical constraints and rule identifiers
#
# Lift is the share of attribution on these words over their share of the clause (claim C3).

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_lift_by_scale,
    lift,
    folder=folder,
    baseline=baseline,
    otherwise="No clause of this study has a numerical constraint or a rule identifier.",
)

# %% tags=["hide-input"]
trends = result["trends"][result["trends"]["method"] == method]
trends = trends[(trends["baseline"] == baseline) & (trends["sign"] == "absolute")]
trends = trends[trends["category"].isin(("numerical_constraint", "rule_identifier_all"))]
figures.show_html(
    figures.table_html(
        trends[["category", "strategy", "n_clauses", "n_scales", "slope", "low", "high", "page_p", "p_run"]],
        caption="Trend of log lift with size (nats per tenfold parameters), with 95 % bootstrap interval over clauses",
        headings={"n_clauses": "clauses", "n_scales": "scales", "page_p": "p (Page)", "p_run": "p (runs permuted)"},
        formats=dict.fromkeys(("slope", "low", "high", "page_p", "p_run"), ".3f"),
    )
)
remarks = trends.loc[trends["reason"] != "", ["category", "strategy", "reason"]].drop_duplicates()
figures.show_html(figures.table_html(remarks, caption="Remarks on these trends"))

# %% [markdown]
# ## Every category

# %% tags=["hide-input"]
figures.show_drawn(figures.draw_category_lift, lift, folder=folder, baseline=baseline, otherwise="No category to show.")
