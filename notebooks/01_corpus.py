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
# # Corpus
#
# The clauses and rules of the study: how many there are, how long they are and which kinds of words they are made of.
#
# *Reads* the corpus that the study names. *Writes* `results/<study>/corpus`. *Takes* about ten seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
overrides: dict = {}

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline

settings = pipeline.open_study(study, overrides)
result = pipeline.corpus(settings)
folder = result.folder / "figures"
figures.show_html(figures.table_html(result["notes"], caption="What to know about the source"))

# %% [markdown]
# ## How many
#
# No clause is in two splits. On the synthetic corpus the splits also hold out combinations of object, property and
# requirement, not only sentences. The document split goes further: nothing from its context or document was trained on.

# %% tags=["hide-input"]
figures.show(figures.draw_corpus_counts(result["counts"], folder=folder))

# %% [markdown]
# ## How long

# %% tags=["hide-input"]
figures.show(figures.draw_corpus_lengths(result["lengths"], folder=folder))

# %% [markdown]
# ## Which words
#
# Every word gets one category from lists and patterns, without a model.

# %% tags=["hide-input"]
figures.show(figures.draw_corpus_categories(result["categories"], folder=folder))

# %% [markdown]
# ## What decides and what distracts
#
# In one part of the synthetic corpus the rule carries the clause's own identifier, so the identifier *decides*; in
# another it is in the clause and *distracts*. The same holds for extra numbers. The table is empty where nobody
# recorded this.

# %% tags=["hide-input"]
roles = result["roles"].assign(role=result["roles"]["role"].str.replace("_role", ""))
roles = roles.pivot_table(index=["split", "role"], columns="value", values="clauses", fill_value=0, sort=False)
figures.show_html(
    figures.table_html(roles.astype(int).reset_index(), caption="Clauses by the role of their identifier and number")
)

# %% [markdown]
# ## Examples
#
# The first clause of each context and split.

# %% tags=["hide-input"]
figures.show_html(
    figures.table_html(
        result["shown"][["split", "context", "clause", "rule"]], caption="A clause and its rule", code=("rule",)
    )
)
