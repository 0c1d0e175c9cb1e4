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
# # Fine-tune
#
# One model, one strategy, once for every training seed. The loss counts the tokens of the rule only; the clause is
# given. The settings are listed at the end of this page.
#
# *Reads* the corpus and the base model. *Writes* `results/<study>/runs/<scale>/<strategy>/finetune`. *Takes* a minute
# or two with its defaults on two cores; the table below says how long each seed took.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
scale: str = "1m"
strategy: str = "full"
overrides: dict = {}

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline

settings = pipeline.open_study(study, overrides)
result = pipeline.finetune(settings, scale, strategy)
figures.show(figures.draw_learning_curves(result["log"], strategy, folder=result.folder / "figures"))

# %% [markdown]
# ## What was trained

# %% tags=["hide-input"]
summary = result["summary"].merge(result["timing"], on="seed")
summary["memory"] = summary.pop("peak_memory_bytes") / 2**20
figures.show_html(figures.table_html(summary, caption="One row per training seed"))

# %% [markdown]
# ## Where the weights moved

# %% tags=["hide-input"]
moved = result["movement"].assign(strategy=strategy)
figures.show(figures.draw_movement(moved, folder=result.folder / "figures", where=scale))

# %% [markdown]
# ## Which tokens stay hard
#
# The validation loss of single tokens, the hardest first among those that occur at least ten times. A token that every
# seed finds hard although it is frequent would hint at something that this strategy cannot learn.

# %% tags=["hide-input"]
tokens = result["token_losses"]
frequent = tokens[tokens["count"] >= 10].groupby("token").agg({"count": "first", "loss": "mean"}).reset_index()
figures.show_html(
    figures.table_html(
        frequent.sort_values("loss", ascending=False).head(12),
        caption="Validation loss by rule token (nats, mean over seeds)",
        code=("token",),
    )
)
