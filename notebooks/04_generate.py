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
# # Generate
#
# The rules that the trained models write for clauses they have not seen, and how close they come to the reference.
# Decoding is greedy: the same model writes the same rule twice.
#
# *Reads* the trained weights and the corpus. *Writes* `results/<study>/runs/<scale>/<strategy>/generate`. *Takes*
# half a minute with its defaults on two cores.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
scale: str = "1m"
strategy: str = "full"
overrides: dict = {}

# %% tags=["hide-input"]
from compliance_xai import figures, pipeline

settings = pipeline.open_study(study, overrides)
result = pipeline.generate(settings, scale, strategy)
scores = result["corpus_scores"].pivot(index="metric", columns=["split", "seed"], values="value")
scores.columns = [f"{split}, seed {seed}" for split, seed in scores.columns]
scores = scores.reset_index()
scores["metric"] = scores["metric"].str.replace("_", " ")
figures.show_html(figures.table_html(scores, caption="Scores of each training seed, over all clauses of a split"))

# %% [markdown]
# ## By regulatory context
#
# Shares of rules that match exactly and that parse at all; means over clauses and seeds. Fidelity counts only clauses
# whose rules have a quantity, or cite something.

# %% tags=["hide-input"]
measures = ["exact", "equivalent", "parses", "lrml_f1", "numeric_fidelity", "identifier_fidelity", "semantic"]
contexts = result["scores"].groupby(["split", "context"])[measures].mean().reset_index()
contexts.insert(2, "clauses", result["scores"].groupby(["split", "context"])["id"].nunique().to_numpy())
figures.show_html(
    figures.table_html(
        contexts,
        caption="Quality by context",
    )
)

# %% [markdown]
# ## Kinds of error
#
# What the difference between the rule's tree and the reference's says is wrong. A rule counts once for each kind that
# it has, so shares add up to more than that of any error.

# %% tags=["hide-input"]
from compliance_xai import stats
from compliance_xai.rules.compare.error_kinds import KINDS

rules, errors = (frame.assign(strategy=strategy) for frame in (result["scores"], result["errors"]))
shares = stats.error_shares(rules, errors, kinds=list(KINDS), by=("strategy", "split"))
figures.show(figures.draw_error_kinds(shares, folder=result.folder / "figures", panel="split"))

# %% tags=["hide-input"]
counted = shares.loc[shares["n_rules"] > 0, ["split", "kind", "n_rules", "share", "low", "high"]]
counted = counted.assign(meaning=counted["kind"].map(KINDS).fillna("has at least one error"))
counted["kind"] = counted["kind"].str.replace("_", " ")
figures.show_html(
    figures.table_html(
        counted,
        caption="Rules with each kind of error, all seeds, with 95 % Wilson interval",
    )
)

# %% [markdown]
# ## Does it say the same?
#
# A solver compares what the rule says with what the reference says. A *stronger* rule asks more than the reference, a
# *weaker* one lets pass what the reference forbids, a *different* one does a bit of both; *unreadable* is no rule.
# [What is a correct rule?](../../rules.md) explains how.

# %% tags=["hide-input"]
from compliance_xai.rules.scores import ANSWERS

shown = result["verdicts"]
counts = shown.groupby("split")["answer"].value_counts().unstack(fill_value=0)
counts = counts.reindex(columns=[answer for answer in ANSWERS if answer in counts]).reset_index()
figures.show_html(figures.table_html(counts, caption="Rules by what they say, all seeds"))

# %% tags=["hide-input"]
apart = shown[shown["counterexample"] != ""].drop_duplicates("id")
apart = apart.merge(result["generations"][["seed", "id", "rule"]], on=["seed", "id"])
apart = apart.merge(
    pipeline.read_stage(settings, "corpus")["examples"][["id", "rule"]].rename(columns={"rule": "reference"}), on="id"
)
figures.show_html(
    figures.table_html(
        apart[["reference", "rule", "answer", "counterexample"]].rename(
            columns={"rule": "written", "counterexample": "a building on which they differ"}
        ),
        caption="Buildings that tell the written rule (a) from the reference (b); the first ones, not picked",
        code=("reference", "written"),
        limit=5,
    )
)

# %% [markdown]
# ## What it gets wrong
#
# The first rules of the first seed that differ from the reference, in the order of the corpus, not picked.

# %% tags=["hide-input"]
examples = pipeline.read_stage(settings, "corpus")["examples"][["id", "clause", "rule"]].rename(
    columns={"rule": "reference"}
)
first = result["generations"][result["generations"]["seed"] == result["generations"]["seed"].min()]
wrong = first.merge(examples, on="id").merge(result["scores"][["id", "seed", "exact"]], on=["id", "seed"])
wrong = wrong[wrong["exact"] == 0]
named = result["errors"].drop_duplicates(["seed", "id", "kind"]).groupby(["seed", "id"], sort=False)["kind"]
named = named.agg(lambda kinds: ", ".join(kinds).replace("_", " ")).rename("errors").reset_index()
wrong = wrong.merge(named, on=["id", "seed"], how="left")[["clause", "reference", "rule", "errors"]]
wrong = wrong.rename(columns={"rule": "written"})
same = "none: another spelling of the same"
wrong["errors"] = wrong["errors"].fillna(same if result["scores"]["parses"].notna().any() else "not compared")
figures.show_html(figures.table_html(wrong, caption="Rules that are not exact", code=("reference", "written"), limit=8))
