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
# # Contexts
#
# Do models read clauses about fire safety as they read clauses about drainage? And does focus survive in a regulatory
# context that no model was trained on? There the words for things and properties are new; numbers, units, comparators
# and deontic words are not.
#
# *Reads* the attributions and scores of all runs. *Writes* `results/<study>/contexts`. *Takes* seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
overrides: dict = {}

# %% tags=["hide-input"]
import html

from compliance_xai import figures, pipeline
from compliance_xai.stats import contexts

settings = pipeline.open_study(study, overrides)
result = pipeline.contexts(settings)
folder, baseline = result.folder / "figures", pipeline.declare(settings).primary["baseline"]
held_out = result["held_out"][result["held_out"]["baseline"].isin((baseline, ""))]

# %% [markdown] tags=["optional"]
# ## Does focus survive where the model was not trained?
#
# The held-out context has other clauses than the known ones, so the comparison is not paired; what the untouched base
# does on the same clauses is taken off in the table's last columns. It is one context: another might differ.

# %% tags=["hide-input"]
told = [contexts.describe_held_out(held_out, measure) for measure in contexts.MEASURES]
told = [sentence for sentence in told if "no interval" not in sentence and "not measured" not in sentence]
told = told or ["The held-out context has too few clauses for an interval."]
figures.show_html(f"<ul>{''.join(f'<li>{html.escape(sentence)}</li>' for sentence in told)}</ul>")

# %% tags=["hide-input"]
measures = {name: label for name, label in contexts.MEASURES.items() if name in ("log_words", "precision_at_k")}
for measure, label in measures.items():
    figures.show_drawn(
        figures.draw_by_context,
        result["by_context"],
        measure,
        folder=folder,
        label=label,
        baseline=baseline,
    )

# %% tags=["hide-input"]
numbers = ["known", "held_out", "difference", "low", "high", "adjusted", "adjusted_low", "adjusted_high"]
figures.show_html(
    figures.table_html(
        held_out[["measure", "scale", "strategy", "n_known", "n_held_out", *numbers, "reason"]].assign(
            measure=held_out["measure"].map(contexts.MEASURES)
        ),
        caption="The held-out context against the known ones: difference with 95 % interval for other clauses of "
        "it and other trainings, and the same with what the untouched base does taken off each clause",
    )
)

# %% [markdown] tags=["optional"]
# ## Do strategies differ in some contexts only?
#
# The question of claim C1, asked of one context after the other: how far apart two strategies read its clauses, over
# how far apart two seeds of one strategy do.

# %% tags=["hide-input"]
full = next((name for name, chosen in settings.strategies.items() if chosen.kind == "full"), "full")
for sentence in contexts.describe_separation(result["distance_by_context"], full):
    figures.show_html(f"<p>{html.escape(sentence)}</p>", text=sentence)  # strategies are named by their study
figures.show_drawn(
    figures.draw_distance_by_context,
    result["distance_by_context"],
    folder=folder,
    first=full,
)

# %% [markdown] tags=["optional"]
# ## Every measure by context

# %% tags=["hide-input"]
by_context = result["by_context"].dropna(subset=["mean"])
by_context = by_context[by_context["baseline"].isin((baseline, ""))]
by_context["value"] = [
    figures.format_interval(mean, low, high)
    for mean, low, high in zip(by_context["mean"], by_context["low"], by_context["high"], strict=True)
]
table = by_context.pivot_table(
    index=["split", "context", "scale", "strategy"], columns="measured", values="value", aggfunc="first", sort=False
).reset_index()
figures.show_html(
    figures.table_html(
        table.rename(columns=contexts.MEASURES),
        caption="Means with 95 % bootstrap interval over clauses; no interval with a single clause",
    )
)
