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
# # Lesson 1: what does the model read?
#
# *Reads* one model that is shipped with this book, fine-tuned on clauses of a synthetic grammar. *Writes* nothing but
# figures. *Needs* Python; nothing about language models.
#
# :::{admonition} After this lesson you can
# - compute the score of one word for one part of a rule by hand;
# - write leave-one-out in ten lines;
# - say what a positive, a negative and a zero score mean, and name two things that a zero can hide.
# :::

# %% tags=["parameters"]
clause: str = "The clear width of an exit door shall be not less than 850 mm."

# %% [markdown]
# ## A model that writes rules
#
# This model is tiny, a million weights, and has read nothing but clauses and rules of one grammar. It turns a clause
# into a rule: `if(...)` holds the conditions, `then(...)` what follows, wrapped in `obligation`, `permission` or
# `prohibition`.

# %%
from compliance_xai.pipeline.lessons import check, load_tuned

writer = load_tuned()
rule = writer.write([clause])[0]
print(rule)

# %% [markdown]
# The model writes piece by piece. The pieces are called *tokens*; digits come one by one. At each token it holds a
# probability for every token it knows. We can give it the rule that we want and ask, token by token, how probable it
# finds it. That is called *teacher forcing*: it reads along, whatever it would have written itself.

# %%
import numpy as np
import pandas as pd

whole = writer.log_probs([clause], rule)[0]
tokens = [*writer.tokens(rule)[:-1], "(end)"]
pd.DataFrame(
    {
        "token": tokens,
        "log-probability": whole.round(3) + 0.0,
        "probability": np.exp(whole).round(3),
    }
)

# %% [markdown]
# ## One word removed
#
# Now delete the number from the clause, keep the rule as it is, and ask again. The model still has to predict `8`,
# `5`, `0`, but it can no longer see them. The table has the tokens for which that makes a difference.

# %%
changed = clause.replace("850 ", "")
print(changed)
one_removed = pd.DataFrame(
    {
        "token": tokens,
        "with": whole,
        "without": writer.log_probs([changed], rule)[0],
    }
)
one_removed[(one_removed["with"] - one_removed["without"]).abs() > 0.1].round(2)

# %% [markdown]
# ```{exercise} One number
# :label: ex-1-number
#
# The *score* of a word for a token is the log-probability with the word less the log-probability without it. Which
# token does the number matter for most, and how many times less likely does that token become without it?
# ```

# %% [markdown]
# ```{solution-start} ex-1-number
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# one_removed["score"] = ...

# %% tags=["solution"]
one_removed["score"] = one_removed["with"] - one_removed["without"]
most = one_removed.loc[one_removed["score"].idxmax()]
print(
    f"{most['token']!r}: {most['score']:.2f} nats, {np.exp(most['score']):,.0f} times less likely"
)
assert most["token"] in list("0123456789")

# %% [markdown]
# A difference of log-probabilities is the logarithm of a ratio of probabilities, so `exp` of the score is the ratio.
# The unit of natural logarithms is the *nat*. 0.69 nats halve a probability, 2.3 nats divide it by ten. Note also the
# *first* digit: the later digits are easier, because teacher forcing shows the model the digits before them.

# %% [markdown]
# ```{solution-end}
# ```

# %% tags=["check"]
check(
    lambda: np.allclose(
        one_removed["score"], one_removed["with"] - one_removed["without"]
    ),
    hint="add a column `score` to `one_removed`: the column `with` less the column `without`.",
)

# %% [markdown]
# ## Every word in turn
#
# ```{exercise} Leave-one-out
# :label: ex-1-loop
#
# First write down, on paper, the three words that you expect to matter most for this rule as a whole. Then write a
# function `leave_one_out(clause, rule)` that removes each word in turn and returns a table of words by tokens. The
# log-probabilities of the tokens add up to that of the rule, so the sum over tokens is the score of a word for the
# whole rule. Which three come out on top? `writer.log_probs` takes a list of clauses, so one call is enough.
# ```

# %% [markdown]
# ```{solution-start} ex-1-loop
# :class: dropdown
# ```


# %% tags=["stub", "remove-cell"]
# def leave_one_out(clause, rule):
#     words = clause.rstrip(".").split()
#     shorter = [...]  # the clause without each word in turn
#     log_probs = writer.log_probs([clause, *shorter], rule)  # one row for each text, one column for each token
#     return pd.DataFrame(..., index=words, columns=[*writer.tokens(rule)[:-1], "(end)"])


# %% tags=["solution"]
def leave_one_out(clause, rule):
    words = clause.rstrip(".").split()
    shorter = [
        " ".join(words[:i] + words[i + 1 :]) + "." for i in range(len(words))
    ]
    log_probs = writer.log_probs([clause, *shorter], rule)
    scores = log_probs[0] - log_probs[1:]
    return pd.DataFrame(
        scores, index=words, columns=[*writer.tokens(rule)[:-1], "(end)"]
    )


by_hand = leave_one_out(clause, rule)
by_hand.sum(axis=1).sort_values(ascending=False).round(2).head(6)

# %% [markdown]
# Most people expect "door" or "width". The model needs only one word of each pair: in all that it has read, "exit"
# comes before "door". One word of a phrase often carries all of it.

# %% [markdown]
# ```{solution-end}
# ```

# %% tags=["check"]
without_850 = (
    writer.log_probs([clause], rule)[0]
    - writer.log_probs([clause.replace("850 ", "")], rule)[0]
)
check(
    lambda: np.allclose(
        leave_one_out(clause, rule).loc["850"], without_850, atol=1e-3
    ),
    hint="subtract the rows of the shorter clauses from that of the whole clause; keep the full stop at the end.",
)

# %% [markdown]
# ## The same in the page
#
# In the built book, the fine-tuned model runs in this page, too. Choose a part of the rule, or change the clause.
#
# <div class="lm" data-clause="The clear width of an exit door shall be not less than 850 mm."></div>

# %% [markdown]
# ## The same from the library
#
# `explain` cuts the clause into words by their place in the text, so that every model is asked about the same words,
# and does the rest in batches.

# %%
from compliance_xai import figures
from compliance_xai.pipeline.lessons import FIGURES

found = writer.explain(clause, rule, id="exit door")
figures.show_html(
    figures.attribution_html(found, target_label="Rule that the model wrote")
)

# %%
figures.show(
    figures.draw_score_matrix(found, folder=FIGURES, name="lesson-1-scores")
)

# %% [markdown]
# ```{exercise} Why does the unit not count?
# :label: ex-1-unit
#
# The rule says `mm`, and the clause says "mm", yet deleting "mm" costs almost nothing. Does the model read the unit?
# Do not delete it: *replace* it, and look at what the model writes.
# ```

# %% [markdown]
# ```{solution-start} ex-1-unit
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# written = writer.write([clause.replace("mm", unit) for unit in ("mm", "m", ...)])

# %% tags=["solution"]
units = ["mm", "m", "degrees Celsius", "storeys"]
written = writer.write([clause.replace("mm", unit) for unit in units])
for unit, text in zip(units, written, strict=True):
    print(f"{unit:<16} {text}")

# %% [markdown]
# A score near zero has (at least) two explanations. Either the model does not read the word, or it reads it and would
# have guessed it anyway: clear widths were always in mm. Replacing the word by another of its kind, a
# *counterfactual*, tells the two apart where deleting cannot. Compare the rules above with the clauses: where the
# unit did not follow the clause, the model wrote from habit.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} A clause that says nothing
# :label: ex-1-nonsense
#
# Give the model a sentence that is no building clause, such as "Parties after ten shall be quiet." Does it refuse?
# Compare the rule's probability, and the words that it rests on, with those of a real clause. Could you tell from the
# scores alone?
# ```

# %% [markdown]
# ```{solution-start} ex-1-nonsense
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# found = writer.explain("Parties after ten shall be quiet.")
# found.target, found.baseline_log_probs.sum()  # the rule it writes, and the rule's log-probability

# %% tags=["solution"]
for text in (clause, "Parties after ten shall be quiet."):
    found_here = writer.explain(text)
    probability, total = (
        np.exp(found_here.baseline_log_probs.sum()),
        found_here.scores.sum(),
    )
    print(text)
    print(
        f"  {found_here.target}: probability {probability:.3f}, sum of all scores {total:.1f} nats"
    )

# %% [markdown]
# It never refuses. It was trained to write a rule after every clause, so it writes one. The scores look busy all the
# same: they say what the output *depends* on, not that it makes sense. What gives the nonsense away here is the
# probability. That is one number to look at before any explanation.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Quiz
#
# :::{dropdown} 1. A word scores −1.2 for the token `may`. What does that mean?
# Without the word, `may` becomes *more* likely: the word speaks against it. "Shall" does that.
# :::
#
# :::{dropdown} 2. Two words each score 0. Can the model do without both?
# Not necessarily. If either is enough, deleting one changes nothing, and deleting both changes everything.
# Leave-one-out cannot see that; [four methods by hand](../../attribution.md) shows methods that can.
# :::
#
# :::{dropdown} 3. Why give the model the rule, instead of letting it write anew after each deletion?
# Because then every deletion would be judged on another text, and there would be no number to subtract. With one
# fixed text the difference is a difference in one thing.
# :::
#
# :::{dropdown} 4. A token has a probability of 0.5. What is it without a word that scores 2.3 nats for it?
# About 0.05: 2.3 nats divide a probability by ten.
# :::
