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
# # Findings
#
# The four claims, each with a verdict that code computed from thresholds declared in the study's file. A verdict holds
# for the corpus and the models that it names and for nothing else; see [Limits](../../limits.md).
#
# *Reads* the comparisons. *Writes* `results/<study>/findings`. *Takes* seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"

# %% tags=["hide-input"]
from compliance_xai import figures, stages
from compliance_xai.study import load_study

settings = load_study(study)
result = stages.judge_claims(settings)
figures.show_html(figures.claims_html(result.findings.to_dict("records")))

# %% [markdown]
# ## How each verdict is decided

# %% tags=["hide-input"]
import pandas as pd

from compliance_xai.findings import RULES

rules = pd.DataFrame(RULES.items(), columns=["claim", "rule"])
figures.show_html(figures.table_html(rules, caption="Decision rules, fixed before anything was run"))

# %% tags=["hide-input"]
thresholds = pd.DataFrame(settings.thresholds.model_dump().items(), columns=["threshold", "value"])
figures.show_html(figures.table_html(thresholds, caption="Thresholds, from the study's file"))

# %% [markdown]
# ## In numbers

# %% tags=["hide-input"]
figures.show_html(
    figures.table_html(
        result.findings[["claim", "corpus", "ladder", "verdict", "effect_name", "effect", "low", "high", "n"]],
        caption="Effect, 95 % interval and number of clauses behind each verdict",
        formats=dict.fromkeys(("effect", "low", "high"), ".3f"),
    )
)
