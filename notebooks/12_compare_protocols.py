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
# # Compare protocols
#
# Does a difference in focus hold at equal compute, at equal loss, and with each strategy at its best? One that holds at
# equal compute only may say that one of the two had not learned enough.
#
# *Reads* the focus of all picked checkpoints. *Writes* `results/<study>/compare_protocols`. *Takes* seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline
from compliance_xai.study.settings import load_study

settings = load_study(study)
result = pipeline.compare_protocols(settings)
missing = result.picks.loc[~result.picks["reached"], ["protocol", "scale", "strategy", "seed", "reason"]]
figures.show_html(figures.table_html(missing, caption="Cells that a protocol did not reach; no row below uses them"))

# %% tags=["hide-input"]
pairs = result.pairs[
    (result.pairs["measure"] == "normalised_entropy")
    & (result.pairs["sign"] == "absolute")
    & (result.pairs["method"] == settings.attribution.method)
    & (result.pairs["baseline"] == (settings.attribution.picked_baselines or settings.attribution.baselines)[0])
]
keys = ["scale", "strategy_a", "strategy_b"]
pairs = pairs.sort_values(keys, kind="stable")
figures.show_html(figures.pairs_html(pairs, keys=[*keys, "protocol"], caption="Normalised entropy, paired by clause"))
