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
# The four claims. For each: does the effect exist, how big is it, how sure is that, how many views agree, and for which
# models and texts it holds. The verdicts follow from these by rules that were fixed before the study ran; they hold for
# the corpus and the models that they name and for nothing else; see [Limits](../../limits.md).
#
# *Reads* the comparisons. *Writes* `results/<study>/findings`. *Takes* seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
overrides: dict = {}

# %% tags=["hide-input"]
import html
import json

import pandas as pd

from compliance_xai import figures, pipeline
from compliance_xai.stats.claims import read_rules

settings = pipeline.open_study(study, overrides)
result = pipeline.findings(settings)
found = json.loads(result.path("findings.json").read_text(encoding="utf-8"))
figures.show_html(figures.claims_html(found))

# %% [markdown]
# ## What each verdict rests on

# %% tags=["hide-input"]
figures.show_html(figures.statements_html(found))

# %% [markdown]
# ## Further findings
#
# Each has a test of its own. They were first seen in tables of earlier studies; a study that shows them again with
# other seeds confirms them.

# %% tags=["hide-input"]
observations = result["observations"]
for question, rows in observations.groupby("question", sort=False):
    lines = "".join(f"<li>{html.escape(text)}</li>" for text in rows["sentence"])
    figures.show_html(f"<p><b>{html.escape(question)}</b></p><ul>{lines}</ul>")

# %% [markdown]
# ## How verdicts are decided
#
# All of this was in the study's file before anything ran, and is part of the key of this page.

# %% tags=["hide-input"]
tests = [{"claim": claim} | test.model_dump(mode="json") for claim, test in settings.tests]
figures.show_html(figures.table_html(pd.DataFrame(tests), caption="Outcomes and smallest effects of interest"))
rules = pd.DataFrame(read_rules().items(), columns=["claim", "rule"])
figures.show_html(figures.table_html(rules, caption="Decision rules"))

# %% tags=["hide-input"]
thresholds = pd.DataFrame(settings.thresholds.model_dump().items(), columns=["threshold", "value"])
figures.show_html(figures.table_html(thresholds, caption="Thresholds"))
