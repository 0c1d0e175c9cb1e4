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
# # Ladder
#
# The models that are fine-tuned, from the smallest to the largest. They need not share a tokenizer: for attribution a
# clause is cut into words by character position, never into tokens.
#
# *Reads* the ladder that the study names. *Writes* `results/<study>/ladder`. *Takes* seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
overrides: dict = {}

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline

settings = pipeline.open_study(study, overrides)
result = pipeline.ladder(settings)
columns = ["scale", "parameters", "layers", "hidden_size", "heads", "vocabulary", "template", "dtype", "licence"]
rungs = result["rungs"].reindex(columns=[*columns, "path", "revision", "description", "pinned"])
figures.show_html(
    figures.table_html(
        rungs[[*columns, "description"]],
        caption="Models, smallest first",
    )
)

# %% tags=["hide-input"]
figures.show_html(
    figures.table_html(
        rungs.loc[~rungs["pinned"], ["scale", "path", "revision"]],
        caption="Models that are not pinned to a commit: another day may bring other weights",
    )
)

# %% [markdown]
# [Limits](../../limits.md) says what the shipped ladder is, and what it cannot show.
