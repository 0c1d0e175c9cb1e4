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
# # Attribute checkpoints
#
# The checkpoints that a protocol picked of this cell, read like the last one. What was read already is not read again.
#
# *Reads* the kept weights and the picks. *Writes* `results/<study>/runs/<scale>/<strategy>/attribute_picked`. *Takes*
# half a minute, on two cores, for each checkpoint that is not the last.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
scale: str = "1m"
strategy: str = "full"

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline

result = pipeline.attribute_picked(study, scale, strategy)
measures = ["normalised_entropy", "gini", "top_3_mass", "total_mass"]
focus = result.focus[result.focus["sign"] == "absolute"]
focus = focus.groupby(["protocol", "seed", "step", "baseline"], sort=False)[measures].mean().reset_index()
figures.show_html(
    figures.table_html(
        focus,
        caption="Focus at the picked checkpoints, means over clauses",
        headings={"total_mass": "total mass (nats)"},
        formats=dict.fromkeys(measures, ".3f"),
    )
)
