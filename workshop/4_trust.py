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
# # Lesson 4: can you trust an explanation?
#
# *Reads* the smallest model of the shipped ladder and the synthetic corpus with its gold alignments. *Writes*
# fine-tuned weights to `results/workshop`, where a second run finds them. *Needs* lesson 1; lesson 2 helps.
#
# :::{admonition} After this lesson you can
# - tell *correct* (points at the words that should decide), *faithful* (points at the words that did) and *stable*
#   (says the same again) apart, and measure each;
# - never read an explanation without a control beside it;
# - use an explanation in a review of a rule, and know what it cannot vouch for.
# :::

# %% tags=["parameters"]
scale: str = "0.3m"
steps: int = 200
seeds: list = [0, 1]
clauses: int = 20

# %%
import numpy as np
import pandas as pd

from compliance_xai.attribution.engine import score_masks
from compliance_xai.attribution.options import Options
from compliance_xai.pipeline.lessons import (
    check,
    read_clauses,
    show_bars,
    show_curves,
    train_writer,
)

writers = [train_writer(scale, "full", seed=seed, steps=steps) for seed in seeds]
writer = writers[0]
examples = read_clauses("test", clauses)
exact = np.mean(
    [
        rule == e.rule
        for rule, e in zip(
            writer.write([e.clause for e in examples]), examples, strict=True
        )
    ]
)
print(f"exact rules: {exact:.0%} of {len(examples)}")

# %% [markdown]
# ## Correct: does it point at the words that should decide?
#
# The synthetic corpus knows for every part of a rule which characters of the clause decide it: its *gold alignment*.
# No natural text has that.

# %%
example = examples[0]
print(example.clause)
for link in example.alignment:
    words = [example.clause[start:end] for start, end in link.spans]
    print(f"  {link.kind:<12} {example.rule[link.start : link.end]:<24} {words}")

# %% [markdown]
# ```{exercise} Precision at k
# :label: ex-4-gold
#
# A part of a rule is decided by $k$ words. Rank the clause's words by their score towards that part
# (`attribution.sum_spans` gives it) and count how many of the $k$ first are gold. Do it for every part of every
# clause, and do the same with two controls: words in random order, and words in the order of the text. How much of
# the precision is the explanation's?
# ```

# %% [markdown]
# ```{solution-start} ex-4-gold
# :class: dropdown
# ```


# %% tags=["stub", "remove-cell"]
# def precision(ranking, gold):
#     """Share of gold words among the first k of a ranking (places of words), k being the number of gold words."""
#     return ...


# %% tags=["solution"]
def precision(ranking, gold):
    """Share of gold words among the first k of a ranking, k being the number of gold words."""
    k = int(gold.sum())
    return float(gold[ranking[:k]].mean())


rng = np.random.default_rng(0)
rows = []
for e in examples:
    found = writer.explain(e.clause, e.rule)
    for link in e.alignment:
        gold = np.array(
            [
                any(f.start < end and start < f.end for start, end in link.spans)
                for f in found.features
            ]
        )
        if not gold.any() or gold.all():
            continue
        scores = found.sum_spans([(link.start, link.end)])[:, 0]
        order = np.arange(len(gold))
        rankings = {
            "leave-one-out": np.argsort(-scores),
            "random order": rng.permutation(order),
            "text order": order,
        }
        rows += [
            {"ranking": name, "kind": link.kind, "precision": precision(r, gold)}
            for name, r in rankings.items()
        ]
gold_table = pd.DataFrame(rows)
summary = (
    gold_table.groupby("ranking", sort=False)["precision"].mean().reset_index()
)
show_bars(
    summary,
    "ranking",
    "precision",
    unit="precision at k",
    title="Agreement with the gold alignment",
    caption="Means over all parts of all rules.",
    n=f"{len(examples)} clauses, {len(gold_table) // 3} parts",
    name="lesson-4-precision",
)

# %% tags=["solution"]
gold_table.pivot_table(
    index="kind", columns="ranking", values="precision", sort=False
).round(2)

# %% [markdown]
# Random order is the floor; nothing is "0.4, quite good" before it is compared with that. By kind, the differences
# are large: deontic words and units are often guessed from habit (lesson 1), so the words that *should* decide them
# do not.

# %% [markdown]
# ```{solution-end}
# ```

# %% tags=["check"]
check(
    lambda: (
        precision(np.array([3, 0, 1, 2]), np.array([True, False, False, True])) == 1
        and precision(np.array([1, 3, 0, 2]), np.array([True, False, False, True]))
        == 0.5
    ),
    hint="`gold` says for each word whether it is gold; take `gold[ranking[:k]]` and its mean.",
)

# %% [markdown]
# ## Faithful: does it point at the words that did?
#
# A wrong ranking can have two causes: the explanation is bad, or it is right about a model that reads the wrong
# words. Gold cannot tell these apart. *Faithfulness* asks about the model: take away the words that the explanation
# puts first, and watch how fast the rule becomes unlikely.
#
# ```{exercise} A deletion curve
# :label: ex-4-curve
#
# `score_masks(model, tokenizer, clause, rule, masks, options)` gives log-probabilities for any choice of kept words:
# `masks` has one row per choice and one column per word. Remove words one after the other: in the order of the
# explanation, in random order, and in the *reverse* order. Plot the mean log-probability of the rule against the
# share of words removed. We rank by *deleting* a word; to judge by the same would be circular, so replace removed
# words by a neutral one here (`Options(baseline="mask")`).
# ```

# %% [markdown]
# ```{solution-start} ex-4-curve
# :class: dropdown
# ```


# %% tags=["stub", "remove-cell"]
# def deletion_curve(example, features, ranking):
#     masks = np.ones((len(ranking) + 1, len(ranking)), dtype=bool)  # one row for each step, True: the word is kept
#     ...  # row k has the first k words of the ranking replaced
#     options = Options(prompt=writer.template, baseline="mask")
#     return score_masks(writer.model, writer.tokenizer, example.clause, example.rule, masks, options,
#                        features=features).sum(axis=1)


# %% tags=["solution"]
def deletion_curve(example, features, ranking):
    """Log-probability of the rule with the first 0, 1, ..., n words of a ranking replaced."""
    masks = np.ones((len(ranking) + 1, len(ranking)), dtype=bool)
    for removed in range(1, len(ranking) + 1):
        masks[removed:, ranking[removed - 1]] = False
    options = Options(prompt=writer.template, baseline="mask")
    log_probs = score_masks(
        writer.model,
        writer.tokenizer,
        example.clause,
        example.rule,
        masks,
        options,
        features=features,
    )
    return log_probs.sum(axis=1)


grid = np.linspace(0, 1, 11)
curves = {"leave-one-out": [], "random order": [], "reverse order": []}
for e in examples:
    found = writer.explain(e.clause, e.rule)
    best_first = np.argsort(-found.scores.sum(axis=1))
    orders = (best_first, rng.permutation(len(best_first)), best_first[::-1])
    for name, ranking in zip(curves, orders, strict=True):
        curve = deletion_curve(e, found.features, ranking)
        curves[name].append(np.interp(grid, np.linspace(0, 1, len(curve)), curve))
long = pd.concat(
    pd.DataFrame(
        {"ranking": name, "removed": grid, "log_prob": np.mean(some, axis=0)}
    )
    for name, some in curves.items()
)
show_curves(
    long,
    "removed",
    "log_prob",
    "ranking",
    units=("share of words replaced", "log-probability of the rule (nats)"),
    title="Deletion curves",
    caption="Means over clauses. The faster a curve falls, the more the words that it removes first mattered.",
    n=f"{len(examples)} clauses",
    name="lesson-4-deletion",
)

# %% tags=["solution"]
areas = long.groupby("ranking", sort=False)["log_prob"].mean()
areas.round(1)

# %% [markdown]
# The gap to the *random* curve is what the explanation knows; the reverse order shows how far one could go. All
# curves start and end at the same two points, so only the way between them tells anything. Areas of two *models* must
# not be compared like this: their curves start and end elsewhere.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Stable: does it say the same again?
#
# ```{exercise} Another seed
# :label: ex-4-noise
#
# Leave-one-out draws nothing at random: the same model gives the same scores. But train the model again with another
# seed, and you have another model for the same job. Compare the two models' scores for each clause by their rank
# correlation. Would you show a reviewer the third word of a ranking?
# ```

# %% [markdown]
# ```{solution-start} ex-4-noise
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# from scipy.stats import spearmanr
# for e in examples:
#     one, other = (some.explain(e.clause, e.rule).scores.sum(axis=1) for some in writers)
#     ...

# %% tags=["solution"]
from scipy.stats import spearmanr

agreement, same_first = [], []
for e in examples:
    one, other = (
        some.explain(e.clause, e.rule).scores.sum(axis=1) for some in writers
    )
    agreement.append(spearmanr(one, other).statistic)
    same_first.append(
        [
            len({*np.argsort(-one)[:k]} & {*np.argsort(-other)[:k]}) / k
            for k in (1, 3, 5)
        ]
    )
print(
    f"rank correlation: median {np.median(agreement):.2f}, from {min(agreement):.2f} to {max(agreement):.2f}"
)
pd.DataFrame(
    {
        "first k words": [1, 3, 5],
        "share that both models name": np.mean(same_first, axis=0),
    }
).round(2)

# %% [markdown]
# An explanation belongs to one model. What two equally good models do not share is no property of the clause. This is
# the noise floor of lesson 2, seen clause by clause.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## In a review
#
# A reviewer has no gold and no reference rule: only the clause, and a rule that somebody's model wrote.
# `review_clause` lists what to check, the likeliest error first, and what each part of that rule rests on.

# %%
from compliance_xai import figures
from compliance_xai.pipeline.review import review_clause, review_html

review = review_clause(
    writer, "The clear width of an exit door shall be not less than 850 mm."
)
figures.show_html(review_html(review))

# %% [markdown]
# ```{exercise} Do the marks find errors?
# :label: ex-4-review
#
# Here the references are known, so a reviewer's order can be measured. Review the rule that the model writes for each
# clause, and note for each part whether it is wrong (`mark_wrong(rule, reference)` says so, in the order of
# `review.parts`). Now read only a fifth of all parts: the least probable first, those that rest on no word first, or
# any. Which order finds most errors?
# ```

# %% [markdown]
# ```{solution-start} ex-4-review
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# from compliance_xai.rules.compare.rule_elements import mark_wrong
# for e in examples:
#     review = review_clause(writer, e.clause, alternatives=False)
#     wrong = [bad for _, bad in mark_wrong(review.rule, e.rule)]
#     ...  # review.parts has the columns probability and words, among others

# %% tags=["solution"]
from compliance_xai.rules.compare.rule_elements import mark_wrong

reviewed = []
for e in examples:
    one = review_clause(writer, e.clause, alternatives=False)
    reviewed.append(
        one.parts.assign(wrong=[bad for _, bad in mark_wrong(one.rule, e.rule)])
    )
parts = pd.concat(reviewed, ignore_index=True)
chance = pd.Series(rng.random(len(parts)))
orders = {
    "least probable first": parts["probability"],
    "rests on no word first": (parts["words"] != "") + chance / 2,
    "random order": chance,
}
read = len(parts) // 5
errors = pd.DataFrame(
    {
        "order": list(orders),
        "errors found": [
            parts["wrong"][key.sort_values().index[:read]].sum()
            / parts["wrong"].sum()
            for key in orders.values()
        ],
    }
)
show_bars(
    errors,
    "order",
    "errors found",
    unit="share of all wrong parts",
    title="Errors found in the first fifth",
    caption="Parts of the rules that the model wrote, read in three orders.",
    n=f"{len(parts)} parts, {int(parts['wrong'].sum())} wrong",
    name="lesson-4-review",
)

# %% [markdown]
# What the model was not sure of comes first. That a part rests on no single word is a poor mark: habit is often
# right, and a part can rest on a word and be wrong (the wrong number of two). The other four fifths hold errors, too.
# So a flag gives a reviewer an *order* in which to look, not permission to look away; and a mark that nobody has
# measured gives not even that.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Quiz
#
# :::{dropdown} 1. An explanation is faithful and its precision on gold is low. What is wrong?
# The model: it decides by words that should not decide.
# :::
#
# :::{dropdown} 2. An explanation agrees with what experts would have marked. Is it faithful?
# Not by that. It may show what people find plausible. Only a test on the model can tell.
# :::
#
# :::{dropdown} 3. Why is judging leave-one-out by deletion curves with deletion circular?
# The first step of the curve *is* the score that made the ranking. Any ranking method looks good at its own game.
# :::
#
# :::{dropdown} 4. Which control would you ask for first when someone shows you a highlighted clause?
# The same picture for another seed, or for random words. If you cannot tell them apart, there is nothing to see.
# :::
