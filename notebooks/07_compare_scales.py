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
# *Reads* the scores and attributions of all runs. *Writes* `results/<study>/compare_scales`. *Takes* seconds to
# minutes.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"

# %% tags=["hide-input"]
from compliance_xai import figures, stages
from compliance_xai.study import load_study

settings = load_study(study)
result = stages.compare_scales(settings)
folder, baseline = result.folder / "figures", settings.attribution.baselines[0]

# %% [markdown]
# ## Quality of the rules
#
# Exact match stands beside semantic similarity on purpose: a rule with one wrong digit is wrong, and nearly the same
# sentence (claim C4).

# %% tags=["hide-input"]
evaluated = result.quality[result.quality["split"] == settings.corpus.evaluate_on]
figures.show(figures.draw_quality_by_scale(evaluated, folder=folder))

# %% tags=["hide-input"]
quality = result.quality
digits = quality["measure"].isin(("lrml_f1", "bleu", "chrf")).map({True: 1, False: 2})
quality["interval"] = [
    f"{mean:.{places}f} [{low:.{places}f},\u00a0{high:.{places}f}]"
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
shares = result.error_shares[result.error_shares["split"] == settings.corpus.evaluate_on]
figures.show(figures.draw_errors_by_scale(shares, folder=folder))

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
        f"{share:.2f} [{low:.2f},\u00a0{high:.2f}]"
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
# Neighbouring models are called equivalent in semantic similarity only if the interval of their difference lies inside
# the margin that the study declared.

# %% tags=["hide-input"]
figures.show_html(
    figures.table_html(
        result.equivalence,
        caption="Equivalence of neighbouring scales (two one-sided tests, 90 % interval)",
        formats=dict.fromkeys(
            ("mean_a", "mean_b", "mean_difference", "low", "high", "margin", "p_tost", "p_difference"), ".3f"
        ),
    )
)

# %% [markdown]
# ## Numerical constraints and rule identifiers
#
# Lift is the share of attribution on these words over their share of the clause (claim C3).

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_lift_by_scale,
    result.lift,
    folder=folder,
    baseline=baseline,
    otherwise="No clause of this study has a numerical constraint or a rule identifier.",
)

# %% tags=["hide-input"]
trends = result.trends[(result.trends["baseline"] == baseline) & (result.trends["sign"] == "absolute")]
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
figures.show_drawn(
    figures.draw_category_lift, result.lift, folder=folder, baseline=baseline, otherwise="No category to show."
)
