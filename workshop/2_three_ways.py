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
# # Lesson 2: three ways to fine-tune, three ways to read?
#
# *Reads* the smallest model of the shipped ladder and the synthetic corpus. *Writes* fine-tuned weights to
# `results/workshop`, where a second run finds them. *Needs* lesson 1.
#
# :::{admonition} After this lesson you can
# - say what full fine-tuning, LoRA and QLoRA change in a model, and count it;
# - compare two ways of reading with one number, the Jensen–Shannon distance;
# - explain why a difference between two strategies means nothing before you know the difference between two seeds.
# :::

# %% tags=["parameters"]
scale: str = "0.3m"
steps: int = 60
seeds: list = [0, 1]
clauses: int = 16

# %% [markdown]
# ## Three ways
#
# The shipped models know building clauses, and rules in a short form. Now they learn the notation of this book:
# `if(...),then(obligation(...))`. *Full* fine-tuning changes every weight. *LoRA* freezes them and learns a small
# correction beside them. *QLoRA* does the same beside weights that were rounded to 4 bits. Each gets the same
# clauses, as many steps, and a learning rate that was chosen for it. The training is short, a few seconds each, so
# these models are bad: that will matter.

# %%
import numpy as np
import pandas as pd

from compliance_xai.models.strategies import count_parameters
from compliance_xai.pipeline.lessons import (
    check,
    load_writer,
    read_clauses,
    show_bars,
    train_writer,
)

strategies = ["full", "lora", "qlora"]
writers = {
    (name, seed): train_writer(scale, name, seed=seed, steps=steps)
    for name in strategies
    for seed in seeds
}
base_size = count_parameters(load_writer(scale).model)[1]

# %%
examples = read_clauses("test", clauses)


def mean_loss(writer):
    """Nats per token of the reference rules, for clauses that were not trained on."""
    return float(
        np.mean([-writer.log_probs([e.clause], e.rule).mean() for e in examples])
    )


table = pd.DataFrame(
    [
        {
            "strategy": name,
            "seed": seed,
            "weights trained": base_size
            if name == "full"
            else count_parameters(writer.model)[1] - base_size,
            "loss (nats per token)": mean_loss(writer),
        }
        for (name, seed), writer in writers.items()
    ]
)
table.round(3)

# %% [markdown]
# ## What does each of them read?
#
# For every clause and model we take the scores of lesson 1, add up their sizes over the rule's tokens, and divide by
# the total: each word then has a share, and the shares add up to 1.


# %%
def shares(writer, example):
    """The share of each word of the clause in the size of all scores."""
    sizes = np.abs(writer.explain(example.clause, example.rule).scores).sum(axis=1)
    return sizes / sizes.sum()


patterns = {
    key: [shares(writer, example) for example in examples]
    for key, writer in writers.items()
}

# %%
words = [
    feature.text
    for feature in writers["full", seeds[0]]
    .explain(examples[0].clause, examples[0].rule)
    .features
]
first = pd.DataFrame(
    {f"{name}, seed {seed}": patterns[name, seed][0] for name, seed in patterns},
    index=words,
)
first.round(2)

# %% [markdown]
# ```{exercise} A distance between two patterns
# :label: ex-2-distance
#
# The Jensen–Shannon distance of two lists of shares $p$ and $q$ is the root of $\frac12 \sum p \log_2 \frac{p}{m} +
# \frac12 \sum q \log_2 \frac{q}{m}$ with $m = (p + q) / 2$. It is 0 where both are the same and 1 where they have no
# word in common. Write `distance(p, q)` and use it on the first clause: full against LoRA, both with the first seed.
# (A share of 0 adds nothing.)
# ```

# %% [markdown]
# ```{solution-start} ex-2-distance
# :class: dropdown
# ```


# %% tags=["stub", "remove-cell"]
# def distance(p, q):
#     m = (p + q) / 2
#     return ...


# %% tags=["solution"]
def distance(p, q):
    m = (p + q) / 2
    half = [np.sum(r[r > 0] * np.log2(r[r > 0] / m[r > 0])) / 2 for r in (p, q)]
    return float(np.sqrt(max(sum(half), 0.0)))


from scipy.spatial.distance import jensenshannon

p, q = patterns["full", seeds[0]][0], patterns["lora", seeds[0]][0]
assert np.isclose(distance(p, q), jensenshannon(p, q, base=2))
print(round(distance(p, q), 3))

# %% [markdown]
# Scipy has it too, as `jensenshannon(p, q, base=2)`. Is this number large? There is no way to tell yet.

# %% [markdown]
# ```{solution-end}
# ```

# %% tags=["check"]
half, apart = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.0, 1.0])
check(
    lambda: np.allclose(
        [distance(half, half), distance(half, apart), distance(half, half[::-1])],
        [0, 1, 0.5**0.5],
    ),
    hint="skip shares of 0 in each sum, use base-2 logarithms, and take the root at the end.",
)

# %% [markdown]
# ```{exercise} The noise floor
# :label: ex-2-floor
#
# Two seeds of *one* strategy differ only by chance: another order of the clauses, other first values of the
# corrections. Compare, as means over all clauses, the distance between the two seeds of each strategy with the
# distances between strategies. What would a reader conclude who had trained one seed only?
# ```

# %% [markdown]
# ```{solution-start} ex-2-floor
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# for a, b in combinations(patterns, 2):  # keys are (strategy, seed)
#     ...  # the mean over clauses of the distance between patterns[a] and patterns[b]

# %% tags=["solution"]
from itertools import combinations


def mean_distance(a, b):
    return float(
        np.mean(
            [
                jensenshannon(p, q, base=2)
                for p, q in zip(patterns[a], patterns[b], strict=True)
            ]
        )
    )


rows = []
for a, b in combinations(patterns, 2):
    kind = f"two seeds of {a[0]}" if a[0] == b[0] else f"{a[0]} against {b[0]}"
    rows.append({"pair": kind, "distance": mean_distance(a, b)})
distances = (
    pd.DataFrame(rows)
    .groupby("pair", sort=False)["distance"]
    .mean()
    .sort_values()
    .reset_index()
)
show_bars(
    distances,
    "pair",
    "distance",
    unit="Jensen–Shannon distance",
    title="Distances between ways of reading",
    caption="Means over clauses and over all pairs of runs of each kind.",
    n=f"{len(examples)} clauses, {len(seeds)} seeds",
    name="lesson-2-distances",
)

# %% tags=["solution"]
same = distances["pair"].str.startswith("two seeds")
ratio = (
    distances.loc[~same, "distance"].mean() / distances.loc[same, "distance"].mean()
)
print(f"Between strategies the distance is {ratio:.2f} times that between seeds.")

# %% [markdown]
# With one seed, every bar "between strategies" looks like a finding. Only what lies beyond the bars "two seeds of"
# says anything about strategies. And with two seeds the floor itself is two or three numbers: a rough idea, no more.
# The study's page on strategies does the same with an interval and a test.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} Focus, or lack of training?
# :label: ex-2-confound
#
# Somebody claims that full fine-tuning reads in a more *focused* way. Measure focus by the normalised entropy of the
# shares (1: every word counts the same; 0: one word carries everything) for each strategy. Then train *full* again
# with a quarter of the steps. Is its focus that of a strategy, or that of its loss?
# ```

# %% [markdown]
# ```{solution-start} ex-2-confound
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# from compliance_xai.attribution.focus import normalised_entropy
# short = train_writer(scale, "full", seed=seeds[0], steps=steps // 4)
# ...  # for each run: mean_loss(writer), and the mean of normalised_entropy over its patterns

# %% tags=["solution"]
from compliance_xai.attribution.focus import normalised_entropy

short = train_writer(scale, "full", seed=seeds[0], steps=steps // 4)
compared = {
    f"{name}, seed {seed}": (writers[name, seed], patterns[name, seed])
    for name, seed in patterns
}
compared["full, a quarter of the steps"] = (
    short,
    [shares(short, example) for example in examples],
)
focus = pd.DataFrame(
    [
        {
            "run": run,
            "loss": mean_loss(writer),
            "entropy": float(np.mean([normalised_entropy(p) for p in some])),
        }
        for run, (writer, some) in compared.items()
    ]
)
correlation = focus["loss"].corr(focus["entropy"], method="spearman")
print(
    f"Rank correlation of loss and entropy over {len(focus)} runs: {correlation:.2f}"
)
focus.sort_values("loss").round(3)

# %% [markdown]
# If runs with a higher loss have a higher entropy whatever their strategy, a comparison at unequal loss measures
# training, not strategy. So compare at equal compute *and* at equal loss, and show both. The correlation above is
# over very few runs: take it as a warning, not as a finding.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Quiz
#
# :::{dropdown} 1. LoRA "adds" weights. Why is it called parameter-efficient?
# Because only the small correction is trained and stored: memory for gradients, for the optimiser's state and for the
# saved result shrinks. The base is still needed to run it.
# :::
#
# :::{dropdown} 2. A and B differ by 0.30, two seeds of A by 0.28, two of B by 0.31. What do you conclude?
# Nothing about the strategies: another seed would have made as much of a difference.
# :::
#
# :::{dropdown} 3. Why shares, and not the scores themselves?
# A confident model has larger scores everywhere. Shares ask *where* a model looks; the total says *how much*. Report
# both.
# :::
#
# :::{dropdown} 4. Forty clauses, two seeds: how large is the sample for a claim about strategies?
# For a claim about these very models, forty clauses. For a claim about the *strategies*, two: the seed is what chance
# drew anew.
# :::
