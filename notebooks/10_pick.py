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
# # Pick checkpoints
#
# A strategy that learns more slowly looks different after the same number of steps. So checkpoints of each training are
# compared at three points: after *matched compute* (the same steps and pairs), at *matched loss* (where the validation
# losses are nearest to the lowest that every strategy comes down to), and each at its *best* (its own lowest loss). One
# training serves all of them.
#
# *Reads* the logs of all trainings. *Writes* `results/<study>/pick`. *Takes* seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline

result = pipeline.pick_protocols(study)
picks = result.picks.assign(reached=["yes" if reached else "no" for reached in result.picks["reached"]])
figures.show_html(
    figures.table_html(
        picks,
        caption="The checkpoint of every training for each protocol; cells that were not reached are left out below",
        headings={"loss": "validation loss (nats)", "target": "loss to match (nats)"},
        formats={"loss": ".4f", "target": ".4f"},
    )
)
