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
# # Base ladder
#
# The models that are fine-tuned, from the smallest to the largest. They need not share a tokenizer: for attribution a
# clause is cut into words by character position, never into tokens.
#
# *Reads* the ladder that the study names. *Writes* `results/<study>/ladder`. *Takes* seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"

# %% tags=["hide-input"]
from compliance_xai import figures, stages

result = stages.describe_ladder(study)
figures.show_html(
    figures.table_html(
        result.rungs[["scale", "parameters", "description", "licence", "revision"]], caption="Models, smallest first"
    )
)

# %% [markdown]
# What the shipped ladder is, and what it is no evidence for, is said under [Limits](../../limits.md).
