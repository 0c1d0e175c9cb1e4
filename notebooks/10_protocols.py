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
# # Protocols
#
# A strategy that learns more slowly looks different after the same number of steps. So checkpoints of each training are
# compared at three points: after *matched compute* (the same steps and pairs), at *matched loss* (where the validation
# losses are nearest to the lowest that every strategy reaches), and each at its *best* (its own lowest loss). One
# training serves all of them. A difference in focus that holds at equal compute only may mean that one of the two had
# not learned enough.
#
# *Reads* the logs and kept weights of all trainings, and the attributions. *Writes* `results/<study>/protocols`.
# *Takes* half a minute, on two cores, for each checkpoint that is not the last.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline
from compliance_xai.study.settings import load_study

settings = load_study(study)
result = pipeline.protocols(settings)
picks = result["picks"]
shown = picks.assign(reached=["yes" if reached else "no" for reached in picks["reached"]])
figures.show_html(
    figures.table_html(
        shown,
        caption="The checkpoint of every training for each protocol",
        headings={"loss": "validation loss (nats)", "target": "loss to match (nats)"},
        formats={"loss": ".4f", "target": ".4f"},
    )
)

# %% [markdown]
# ## Focus at these checkpoints

# %% tags=["hide-input"]
measures = ["normalised_entropy", "gini", "top_3_mass", "total_mass"]
focus = result["focus"]
focus = focus[focus["sign"] == "absolute"]
focus = focus.groupby(["protocol", "scale", "strategy", "seed", "step", "baseline"], sort=False)[measures].mean()
figures.show_html(
    figures.table_html(
        focus.reset_index(),
        caption="Focus at the picked checkpoints, means over clauses",
        headings={"total_mass": "total mass (nats)"},
        formats=dict.fromkeys(measures, ".3f"),
    )
)

# %% [markdown]
# ## Does a difference hold under every protocol?

# %% tags=["hide-input"]
missing = picks.loc[~picks["reached"], ["protocol", "scale", "strategy", "seed", "reason"]]
figures.show_html(figures.table_html(missing, caption="Cells that a protocol did not reach; no row below uses them"))

# %% tags=["hide-input"]
pairs, chosen = result["pairs"], settings.attribution
pairs = pairs[
    (pairs["measure"] == "normalised_entropy")
    & (pairs["sign"] == "net")
    & (pairs["method"] == chosen.method)
    & (pairs["baseline"] == (chosen.picked_baselines or chosen.baselines)[0])
]
keys = ["scale", "strategy_a", "strategy_b"]
pairs = pairs.sort_values(keys, kind="stable")
numbers = ["mean_a", "mean_b", "difference", "low", "high", "p", "p_runs"]
figures.show_html(
    figures.table_html(
        pairs[[*keys, "protocol", "n_clauses", "n_runs", *numbers]],
        caption="Normalised entropy: differences with 95 % interval for other clauses and other trainings",
        formats=dict.fromkeys(numbers, ".3f"),
    )
)
