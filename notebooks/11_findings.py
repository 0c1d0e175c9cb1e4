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
from compliance_xai import figures, pipeline
from compliance_xai.study.settings import load_study

settings = load_study(study)
result = pipeline.findings(settings)
figures.show_html(figures.claims_html(result["findings"].to_dict("records")))

# %% [markdown]
# ## In numbers

# %% tags=["hide-input"]
figures.show_html(
    figures.verdicts_html(result["findings"].to_dict("records"), caption="The source's claims, and this study")
)

# %% [markdown]
# ## How each verdict is decided
#
# All of it stood in the study's file before anything was run, and is part of the key of this page.

# %% tags=["hide-input"]
import pandas as pd

from compliance_xai.stats.claims import AGREEMENT, INTERVALS, RULES

tests = [{"claim": claim, "outcome": test.outcome, "margin": test.margin} for claim, test in settings.tests]
figures.show_html(figures.table_html(pd.DataFrame(tests), caption="Outcome and margin, from the study's file"))
rules = pd.DataFrame([*RULES.items(), ("C1 to C3", AGREEMENT), ("all", INTERVALS)], columns=["claim", "rule"])
figures.show_html(figures.table_html(rules, caption="Decision rules"))

# %% tags=["hide-input"]
thresholds = pd.DataFrame(settings.thresholds.model_dump().items(), columns=["threshold", "value"])
figures.show_html(figures.table_html(thresholds, caption="Thresholds, from the study's file"))
