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
# # Faithfulness
#
# Does attribution point at the right words, does the model depend on them as the scores say, and do the scores find
# errors? Three questions with three answers: an attribution can be faithful to a model that reads the wrong words.
#
# *Reads* the attributions, rules and weights of all runs. *Writes* `results/<study>/faithfulness`. *Takes* a minute.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
overrides: dict = {}

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline
from compliance_xai.stats.review_flags import describe_gain

settings = pipeline.open_study(study, overrides)
result = pipeline.faithfulness(settings)
folder, baseline = result.folder / "figures", settings.attribution.baselines[0]
operators = settings.faithfulness.operators

# %% [markdown] tags=["optional"]
# ## Correctness: are they the right words?
#
# On the synthetic corpus the words that decide each element of a rule are known, because the program that wrote the
# clause noted them. For each element the clause's words are ranked by how much they raise its probability. *Precision
# at k* is the share of deciding words among the first k, k being their number; *average precision* and the *area under
# the ROC curve* look at the whole ranking. A correct attribution says that the model reads what it should; a wrong one
# may be the model's fault or the attribution's.

# %% tags=["hide-input"]
figures.show_drawn(
    figures.draw_correctness,
    result["correctness"],
    folder=folder,
    baseline=baseline,
    otherwise="This corpus has no gold alignment, so nobody knows which words are the right ones.",
)

# %% tags=["hide-input"]
correctness = result["correctness"]
correctness = correctness[correctness["n_clauses"] > 0]
labels = {"precision_at_k": "precision at k", "average_precision": "average precision", "auroc": "area under ROC"}
for name, label in labels.items():
    correctness[label] = [
        figures.format_interval(mean, low, high)
        for mean, low, high in zip(
            correctness[name], correctness[f"{name}_low"], correctness[f"{name}_high"], strict=True
        )
    ]
columns = ["baseline", "kind", "scale", "strategy", "n_clauses", "n_links", *labels.values()]
figures.show_html(
    figures.table_html(
        correctness.sort_values(["baseline", "kind"], kind="stable")[columns],
        caption="Correctness by element, with 95 % bootstrap interval over clauses; chance for the area is 0.5",
    )
)

# %% [markdown] tags=["optional"]
# ## Faithfulness: does the model depend on them?
#
# Words of the clause are removed in a few steps (their number is a setting of the study), and the log-probability of
# the reference rule is computed after each.
#
# - *Deletion*: the words with the highest scores go first. The area over the curve is set between the smallest and the
#   largest area that any order was found to have on the same model and clause {cite:p}`edin2024naopc`, so that models
#   can be compared: 0 is the worst order, 1 the best. The limits come from a beam search that takes, at each step, the
#   words that cost most (or least) by themselves; every other order that was looked at can only widen them.
# - *Insertion*: the same from the other end: only the words with the highest scores stay.
# - *LDS*: the rank correlation of the log-probability under random masks with the sum of the scores of the words that
#   are left {cite:p}`cohenwang2024contextcite`.
# - *Top-k drop*: what the first one or three words are worth, as a share of what all words are worth.
#
# Scores that were made by leaving words out would look good by construction if they were judged in the same way. They
# are judged with another operator.

# %% tags=["hide-input"]
for operator in operators:
    pair = {"folder": folder, "attribution": baseline, "operator": operator}
    figures.show_drawn(
        figures.draw_faithfulness, result["area_summary"], **pair, otherwise="No clause could be judged."
    )
    figures.show_drawn(
        figures.draw_removal_curves, result["curve_summary"], **pair, otherwise="No clause could be judged."
    )

# %% tags=["hide-input"]
summary = result["area_summary"].dropna(subset=["mean"])
summary["value"] = [
    figures.format_interval(mean, low, high)
    for mean, low, high in zip(summary["mean"], summary["low"], summary["high"], strict=True)
]
cell = ["attribution", "operator", "scale", "strategy"]
shown = ["deletion", "random_deletion", "reversed_deletion", "insertion", "lds", "top_1_drop", "top_3_drop"]
table = summary.pivot_table(index=cell, columns="measure", values="value", aggfunc="first", sort=False).reset_index()
counts = summary.groupby(cell, sort=False)["n_clauses"].max().reset_index(name="clauses")
table = table.merge(counts, on=cell)
figures.show_html(
    figures.table_html(
        table[[*cell, "clauses", *(name for name in shown if name in table)]],
        caption="Faithfulness and its controls, with 95 % bootstrap interval over clauses",
    )
)
remarks = result["areas"].loc[result["areas"]["reason"] != "", ["scale", "strategy", "id", "reason"]].drop_duplicates()
remarks = remarks.groupby(["scale", "strategy", "reason"], sort=False)["id"].nunique().reset_index(name="clauses")
figures.show_html(figures.table_html(remarks, caption="Clauses that could not be judged, and why"))

# %% [markdown] tags=["optional"]
# ## Does it matter? Attribution as an error detector
#
# A reviewer has no reference rule. Can attribution say which elements of a written rule to distrust? The rules that the
# fine-tuned models wrote are attributed, and each of their elements gets signals that need no reference: is the mass on
# words that could spell the element, is it concentrated, is there any? Whether the element is wrong comes from the
# comparison with the reference. Signals of attribution stand beside four that need none: how unlikely the model found
# its own token, how unsure it was, the length of the clause, and whether the clause has such a word at all.

# %% tags=["hide-input"]
for sentence in describe_gain(result["signals"]):
    figures.show_html(f"<p>{sentence}</p>", text=sentence)
figures.show_drawn(
    figures.draw_signals,
    result["signals"],
    folder=folder,
    otherwise="Too few elements were wrong, or right, for an area under the ROC curve.",
)

# %% tags=["hide-input"]
items = result["items"]
parts = items[(items["item"] == "part") & (items["split"] != "validation")]
kinds = parts.groupby(["split", "kind"], sort=False)["wrong"]
kinds = kinds.agg(n_elements="size", n_wrong="sum", share="mean").reset_index()
caption = "Elements of the written rules, all fine-tuned models together"
figures.show_html(figures.table_html(kinds, caption=caption))
figures.show_html(
    figures.table_html(
        result["left_out"].groupby(["scale", "strategy", "reason"], sort=False).size().reset_index(name="rules"),
        caption="Rules in which no element was recognised",
    )
)

# %% [markdown]
# ## What a reviewer is told
#
# `compliance-xai review` raises flags. Their thresholds, and the order in which parts of a rule are read, are chosen on
# the validation split, separately for each fine-tuned model. *Precision* is the share of flagged parts, words or rules
# that point at an error; *recall* is the share of those that are flagged. The other splits were not used to choose
# anything.

# %% tags=["hide-input"]
from compliance_xai.stats.review_flags import SAYS, describe_reading

for sentence in describe_reading(result["reading"], result["risk"]):
    figures.show_html(f"<p>{sentence}</p>", text=sentence)
flags = result["flags"]
if len(flags):
    flags["flag"] = flags["flag"].map(SAYS)
    for measure in ("precision", "recall"):
        columns = (flags[f"{measure}{end}"] for end in ("", "_low", "_high"))
        flags[measure] = [figures.format_interval(*row) for row in zip(*columns, strict=True)]
    flags = flags[["scale", "strategy", "split", "flag", "n_items", "n_wrong", "n_flagged", "precision", "recall"]]
    flags = flags.rename(columns={"n_items": "items", "n_wrong": "with an error", "n_flagged": "flagged"})
figures.show_html(
    figures.table_html(
        flags,
        caption="Flags: precision and recall with 95 % bootstrap intervals over clauses",
    )
)
numbers = ["read", "found", "low", "high"]
figures.show_html(
    figures.table_html(
        result["reading"],
        caption="The share of wrong parts found by reading the most suspect ones, all fine-tuned models together",
        formats=dict.fromkeys(numbers, ".2f"),
    )
)
missed = result["missed"].rename(columns={"n_wrong": "wrong parts", "n_missed": "without any flag"})
figures.show_html(figures.table_html(missed, caption="Where it fails: wrong parts that no flag marks, by kind"))

# %% [markdown]
# The order starts from likelihood alone. Another signal, or a logistic regression on several of them, takes its place
# only if it ranks the errors of the validation split better: each clause is predicted by a regression that has not seen
# it, and the interval of the difference must be above zero.

# %% tags=["hide-input"]
numbers = ["auroc", "low", "high", "difference", "difference_low", "difference_high"]
models = result["risk_models"]
figures.show_html(
    figures.table_html(
        models[["scale", "strategy", "signal", "n_elements", "n_wrong", *numbers, "reason"]] if len(models) else models,
        caption="Models of risk on validation, out of fold: area under ROC, and difference to the best single signal",
        formats=dict.fromkeys(numbers, ".3f"),
    )
)
risk = result["risk"]
fitted = risk[risk["name"] != ""][["scale", "strategy", "name", "signal", "mean", "spread", "weight"]]
figures.show_html(
    figures.table_html(
        fitted.rename(columns={"name": "order"}),
        caption="The regressions that give the order: each signal less its mean, over its spread, times its weight",
    )
)
