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
# # Attribute
#
# For every chosen clause each word is removed in turn, and the log-probability of every token of the reference rule is
# compared with and without it. A positive score means that the word makes the token more likely.
#
# *Reads* the trained weights and the corpus. *Writes* `results/<study>/runs/<scale>/<strategy>/attribute`. *Takes*
# half a minute with its defaults on two cores.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
scale: str = "1m"
strategy: str = "full"
overrides: dict = {}

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline
from compliance_xai.attribution.precision import CHANGES, summarise_precision
from compliance_xai.records import attribution_from_row, read_attribution_rows

settings = pipeline.open_study(study, overrides)
result = pipeline.attribute(settings, scale, strategy)
rows = read_attribution_rows(result.folder / "attributions.parquet")
shown = [row for row in rows if (row["seed"], row["baseline"]) == (rows[0]["seed"], rows[0]["baseline"])][:3]

# %% [markdown]
# ## Three clauses
#
# The first three clauses of the study, with the first seed and the first way of removing a word; not picked. The shade
# is the sum over the rule's tokens; the heat map below it shows every token by itself.

# %% tags=["hide-input"]
for place, row in enumerate(shown, start=1):
    attribution = attribution_from_row(row)
    figures.show_html(figures.attribution_html(attribution), text=attribution.clause)
    figures.show(figures.draw_score_matrix(attribution, folder=result.folder / "figures", name=f"scores-{place}"))

# %% [markdown]
# ## Focus
#
# Means over the clauses of this run. [Method](../../method.md) defines the measures.

# %% tags=["hide-input"]
measures = ["normalised_entropy", "gini", "top_1_mass", "top_3_mass", "effective_number", "total_mass"]
focus = result["focus"].groupby(["split", "method", "baseline", "sign", "seed"])[measures].mean().reset_index()
figures.show_html(
    figures.table_html(
        focus,
        caption=f"Focus, means over {result['focus']['id'].nunique()} clauses",
    )
)

# %% [markdown]
# ## Agreement with the gold alignment
#
# How many of the words that decide an element of the rule come first when the clause's words are ranked by score. The
# table is empty where the corpus has no gold alignment.

# %% tags=["hide-input"]
gold = result["gold"][(result["gold"]["sign"] == "positive") & (result["gold"]["reason"] == "")]
columns = ["precision_at_k", "chance_precision", "average_precision", "chance_average_precision", "auroc"]
agreement = gold.groupby(["split", "method", "baseline", "kind"])[columns].mean().reset_index()
figures.show_html(
    figures.table_html(
        agreement,
        caption="Agreement by rule element, means over the elements of all clauses",
    )
)

# %% [markdown]
# ## Merged, dequantised, in 16 bits
#
# The scores above are those of the model as it was trained: adapters separate, on the base they were trained on, in
# 32-bit floats. Here the same clauses are scored in the other forms in which such a model may be used.

# %% tags=["hide-input"]
if "precision_effects" in result:
    effects = summarise_precision([result["precision_effects"]], by=("seed",)).drop(columns="seed")
    effects["change"] = [f"{name.replace('_', ' ')}: {CHANGES[name]}" for name in effects["change"]]
    figures.show_html(
        figures.table_html(
            effects,
            caption="Differences from the model as trained",
        )
    )
else:
    figures.show_html(
        '<p class="cx-nothing">Not asked for: attribution.precision_clauses is 0 in this study.</p>',
        text="Not asked for in this study.",
    )

# %% [markdown]
# ## Self-checks of the engine
#
# They run on this cell's own models before anything else; one that fails stops the study.

# %% tags=["hide-input"]
figures.show_html(
    figures.table_html(
        result["checks"],
        caption="Largest deviation found, and the tolerance (nats)",
    )
)
