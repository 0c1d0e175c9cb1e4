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
# # Lesson 6: real clauses, a real model
#
# *Reads* the models of the study `pretrained-quick`: SmolLM2 with 135 million parameters, fine-tuned on clauses of New
# Zealand acceptable solutions. *Writes* nothing. *Needs* lessons 1 and 4; and before the class, once, with a network,
# some 2 GB of disk and about half an hour:
#
#     compliance-xai ladder fetch pretrained 135M
#     compliance-xai corpus fetch nzbc-lrml
#     compliance-xai study run pretrained-quick
#
# :::{admonition} After this lesson you can
# - judge a generated rule of a real code against its reference, by kind of error;
# - say what carries over from the small models of the earlier lessons, and what does not;
# - run all of it on clauses of your own.
# :::

# %% tags=["parameters"]
study: str = "pretrained-quick"
strategy: str = "full"
clauses: int = 6

# %%
import pandas as pd

from compliance_xai.pipeline.review import load_writer
from compliance_xai.pipeline.stage_examples import load_examples
from compliance_xai.study.settings import load_study

writer = load_writer(study, "135M", strategy)
examples = load_examples(load_study(study))["validation"][:clauses]
written = writer.write([example.clause for example in examples], max_new_tokens=256)
for example, rule in zip(examples[:2], written, strict=False):
    print(f"{example.clause}\n  asked for: {example.rule}\n  written:   {rule}\n")

# %% [markdown]
# ```{exercise} What is wrong with them?
# :label: ex-6-errors
#
# Read three clauses and the rules that the model wrote, and list by hand what is wrong. Then let `error_kinds(rule,
# reference)` list the errors of all of them, and count them by kind. Which errors did you see that it does not list,
# and the other way round?
# ```

# %% [markdown]
# ```{solution-start} ex-6-errors
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# from compliance_xai.rules.compare.error_kinds import error_kinds
# for example, rule in zip(examples, written, strict=True):
#     ...  # each error has a kind, where it is, and what was expected and found

# %% tags=["solution"]
from compliance_xai.rules.compare.error_kinds import error_kinds

kinds = [
    error.kind
    for e, rule in zip(examples, written, strict=True)
    for error in error_kinds(rule, e.rule)
]
counts = (
    pd.Series(kinds).value_counts().rename_axis("kind").reset_index(name="errors")
)
counts

# %% [markdown]
# People rarely write the same rule for one clause: other names, another order, one condition more. A reference is one
# expert's reading. So an error against it is a place to look, and how far two experts agree is what to compare with.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} Copying, or reading?
# :label: ex-6-copies
#
# Some rules repeat numbers and names of the clause letter by letter. Explain each written rule, and find for each
# number of the clause that the rule repeats the word with the largest score. How often is it that number? What would
# you expect from a model that copies, and from one that guesses?
# ```

# %% [markdown]
# ```{solution-start} ex-6-copies
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# found = writer.explain(example.clause, rule)
# found.sum_spans([(start, end)])[:, 0]  # the score of each word for these characters of the rule

# %% tags=["solution"]
import re

rows = []
for example, rule in zip(examples, written, strict=True):
    if not rule.strip():
        continue
    found = writer.explain(example.clause, rule)
    words = [feature.text for feature in found.features]
    for number in re.finditer(r"\d+(?:\.\d+)?", rule):
        if number.group() in words:
            scores = found.sum_spans([number.span()])[:, 0]
            rows.append(
                {
                    "number": number.group(),
                    "heaviest word": words[int(scores.argmax())],
                    "chance": 1 / len(words),
                }
            )
copied = pd.DataFrame(rows, columns=["number", "heaviest word", "chance"])
hit = (copied["number"] == copied["heaviest word"]).mean()
print(
    f"{hit:.0%} of {len(copied)} numbers rest most on themselves; "
    f"a word picked at random: {copied['chance'].mean():.0%}"
)

# %% [markdown]
# A number can hardly be guessed, so a model that writes it has read it, and the score shows where. Names can be
# guessed. With so few clauses, this is an observation about these rules, not about models of this size.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} Your own clause
# :label: ex-6-own
#
# Take a clause from a code that you know, and review the rule that the model writes for it. Would you have found the
# errors faster with the list of checks, or without? What would you need before you let anybody use this rule?
# ```

# %% [markdown]
# ```{solution-start} ex-6-own
# :class: dropdown
# ```

# %% tags=["stub", "remove-cell"]
# from compliance_xai.pipeline.review import review_clause, review_html
# review = review_clause(writer, "Your clause.")
# review.checks

# %% tags=["solution"]
from compliance_xai import figures
from compliance_xai.pipeline.review import review_clause, review_html

own = review_clause(
    writer,
    "Handrails shall be provided on both sides of a ramp and be 900 mm above its surface.",
)
figures.show_html(review_html(own))

# %% [markdown]
# The flags of this study were measured on very few clauses, if at all: their rates say so. Before anybody uses such a
# rule, a person has to have read the clause and the rule. What the list can do is to say where to start.

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Quiz
#
# :::{dropdown} 1. The model is a hundred times larger than those of lessons 1 to 4. Are its explanations better?
# Nobody knows from this lesson: it differs in size, in what it was trained on before, and in the clauses.
# :::
#
# :::{dropdown} 2. A written rule parses, and every number is right. Is it right?
# Not by that. A condition may be missing, or a number may limit the wrong thing.
# :::
#
# :::{dropdown} 3. Why are these clauses taken from the validation split?
# Test clauses are read once, with settings that are fixed. A class that looks at them uses them up.
# :::
#
# :::{dropdown} 4. What would you compare the model with, before you call it good?
# With the rule of the most similar training clause, with one constant rule, and with a second expert.
# :::
