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
# # Lesson 3: bigger models, sharper eyes?
#
# *Reads* all models of the shipped ladder. *Writes* nothing but figures. *Needs* lesson 1.
#
# :::{admonition} After this lesson you can
# - measure how much a model favours a kind of word, as *lift*;
# - put an interval around a mean, and compare models on the same clauses;
# - say what three small models can, and cannot, show about model size.
# :::

# %% tags=["parameters"]
scales: list = ["0.3m", "1m", "4m"]
clauses: int = 24

# %% [markdown]
# ## Three sizes, one task
#
# "Larger models pay more attention to numbers and rule identifiers": a claim of that kind can be tested. The three
# models were trained on the same text in the same way, and differ in size. First: do they differ in skill? A model
# that cannot do the task reads in some way too, and we do not want to confuse the two.

# %%
import numpy as np
import pandas as pd

from compliance_xai.models.strategies import count_parameters
from compliance_xai.pipeline.lessons import (
    check,
    draw_pairs,
    load_writer,
    noun_categories,
    show_bars,
)

writers = {scale: load_writer(scale) for scale in scales}
pairs = draw_pairs(clauses)
skill = []
for scale, writer in writers.items():
    written = writer.write([clause for clause, _ in pairs])
    right = [text == rule for text, (_, rule) in zip(written, pairs, strict=True)]
    skill.append(
        {
            "scale": scale,
            "parameters": count_parameters(writer.model)[1],
            "exact rules": np.mean(right),
        }
    )
pd.DataFrame(skill).round(3)

# %% [markdown]
# ## Lift
#
# Every word of a clause has a category: number, unit, comparator ("not less than"), rule identifier, object and so
# on. *Lift* asks whether a category has more than its share. If a fifth of the words are numbers, units and
# comparators, and half of the size of all scores falls on them, the lift is 0.5 / 0.2 = 2.5. Its logarithm is 0 where
# the category gets exactly its share.

# %%
nouns = noun_categories()
found = {
    scale: [
        writer.explain(clause, rule, vocabulary=nouns) for clause, rule in pairs
    ]
    for scale, writer in writers.items()
}
example = found[scales[-1]][0]
pd.DataFrame(
    {
        "word": [f.text for f in example.features],
        "category": [f.category for f in example.features],
    }
).T

# %% [markdown]
# ```{exercise} Lift of numerical constraints
# :label: ex-3-lift
#
# Write `lift(attribution, categories)` and compute it for numbers, units and comparators together, for each model and
# clause. Leave out clauses that have no such word. Give one mean per model.
# ```

# %% [markdown]
# ```{solution-start} ex-3-lift
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# def lift(attribution, categories):
#     sizes = np.abs(attribution.scores).sum(axis=1)  # of each word
#     inside = np.array([feature.category in categories for feature in attribution.features])
#     return ...

# %% tags=["solution"]
NUMERICAL = ("number", "unit", "comparator")


def lift(attribution, categories):
    sizes = np.abs(attribution.scores).sum(axis=1)
    inside = np.array(
        [feature.category in categories for feature in attribution.features]
    )
    return (
        float((sizes[inside].sum() / sizes.sum()) / inside.mean())
        if inside.any()
        else float("nan")
    )


lifts = pd.DataFrame(
    {scale: [lift(one, NUMERICAL) for one in found[scale]] for scale in scales}
).dropna()
print(f"{len(lifts)} of {len(pairs)} clauses have a numerical constraint")
lifts.mean().round(2)

# %% [markdown]
# All of them above 1? Then every model favours numbers, whatever its size. That alone says nothing about model size.

# %% [markdown]
# ```{solution-end}
# ```

# %% tags=["check"]
every = {feature.category for feature in example.features}
numbers = [feature.category == "number" for feature in example.features]
sizes_here = np.abs(example.scores).sum(axis=1)
check(
    lambda: (
        np.isclose(lift(example, every), 1)
        and np.isclose(
            lift(example, ["number"]),
            sizes_here[numbers].sum() / sizes_here.sum() / np.mean(numbers),
        )
    ),
    hint="divide the share of the sizes that falls on the categories by the share of the words that they are.",
)

# %% [markdown]
# ```{exercise} How sure are you?
# :label: ex-3-interval
#
# Draw clauses with replacement a thousand times, take the mean each time, and read off the middle 95 %: the
# *bootstrap* interval. Do the intervals of the smallest and the largest model overlap? Then compute the interval of
# the *difference* between the two, clause by clause. Why is it the better question?
# ```

# %% [markdown]
# ```{solution-start} ex-3-interval
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# rng = np.random.default_rng(0)
# draws = rng.integers(0, ..., size=(1000, ...))  # a thousand times as many clauses as there are, with replacement
#
# def interval(values):
#     return np.percentile(np.asarray(values)[draws].mean(axis=1), [2.5, 97.5])

# %% tags=["solution"]
frame = pd.DataFrame(
    {
        scale: [lift(one, ("number", "unit", "comparator")) for one in found[scale]]
        for scale in scales
    }
)
frame = frame.dropna()
rng = np.random.default_rng(0)
draws = rng.integers(0, len(frame), size=(1000, len(frame)))


def interval(values):
    return np.percentile(np.asarray(values)[draws].mean(axis=1), [2.5, 97.5])


bars = pd.DataFrame(
    {"scale": scales, "lift": [frame[scale].mean() for scale in scales]}
)
bars[["low", "high"]] = [interval(frame[scale]) for scale in scales]
show_bars(
    bars,
    "scale",
    "lift",
    unit="lift of numbers, units and comparators (1: their share)",
    title="Numerical constraints, by size of the model",
    caption="Means over clauses.",
    n=f"{len(frame)} clauses",
    name="lesson-3-lift",
)

# %% tags=["solution"]
difference = frame[scales[-1]] - frame[scales[0]]
low, high = interval(difference)
print(
    f"{scales[-1]} less {scales[0]}: {difference.mean():.2f}, 95 % interval {low:.2f} to {high:.2f}"
)
print(
    "The interval holds 0: no difference shown."
    if low <= 0 <= high
    else "The interval leaves 0 out."
)

# %% [markdown]
# Clauses differ far more than models do: a clause with three numbers has another lift than one with none in its rule.
# The difference on the *same* clause takes that out. Two intervals can overlap although the paired difference is
# clear, and comparing overlaps is never the right test.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} Sharper, or just surer?
# :label: ex-3-total
#
# A model can look more decided because it is surer of everything. Compare the *total* size of the scores per clause,
# and the probability of the rule's tokens, across the three models. Does the order by size, by skill and by total
# agree? Which of your earlier numbers would change if you had used scores instead of shares?
# ```

# %% [markdown]
# ```{solution-start} ex-3-total
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# totals = {scale: np.mean([np.abs(one.scores).sum() for one in found[scale]]) for scale in scales}
# ...  # one.baseline_log_probs are the log-probabilities of the rule's tokens

# %% tags=["solution"]
totals = pd.DataFrame(
    {
        "total size (nats)": [
            np.mean([np.abs(one.scores).sum() for one in found[scale]])
            for scale in scales
        ],
        "mean probability of a token": [
            np.mean([np.exp(one.baseline_log_probs).mean() for one in found[scale]])
            for scale in scales
        ],
        "exact rules": [row["exact rules"] for row in skill],
    },
    index=scales,
)
totals.round(3)

# %% [markdown]
# Lift uses shares, so a model that is surer of everything by the same factor keeps its lift. A sum of raw scores
# would not. When a comparison between models changes its sign with that choice, it was about sureness. These models
# also differ in *how far* a deletion throws them off: a large total can mean that a clause with a hole confuses a
# model.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} What may you say?
# :label: ex-3-claim
#
# Write one sentence about model size that your numbers support. Then list what would have to be different before you
# could say it about large language models.
# ```

# %% [markdown]
# ```{solution-start} ex-3-claim
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# On ... clauses of ..., for ... models with ... training runs each, ...

# %% [markdown]
# A careful sentence names everything that was held fixed: "On 24 clauses of a synthetic grammar, for three models of
# our own with one training run each, the lift of numerical constraints ..." For more one would need several training
# runs per size (one run per size cannot tell size from luck), sizes that span more than one factor of ten, models
# trained by others on other text, and real clauses. [Limits](../../limits.md) has the whole list.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Quiz
#
# :::{dropdown} 1. A category has 10 % of the words and 10 % of the size of all scores. Its lift? Its log?
# 1 and 0: it gets exactly its share.
# :::
#
# :::{dropdown} 2. Why bootstrap over clauses and not over tokens?
# Tokens of one rule are not independent: they depend on the same clause. The clause is what was drawn at random, so it
# is the unit. Counting tokens makes intervals far too narrow.
# :::
#
# :::{dropdown} 3. Three sizes, and the middle one has the highest lift. Trend?
# Three points with one run each cannot show a trend. They can contradict a simple one.
# :::
#
# :::{dropdown} 4. The interval of the difference holds 0. Have you shown that size does not matter?
# No. You have not shown that it does. To show that two values are *equivalent*, declare a margin first and check that
# the interval lies inside it.
# :::
