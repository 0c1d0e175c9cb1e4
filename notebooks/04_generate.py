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
# seconds to minutes.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
scale: str = "1m"
strategy: str = "full"

# %% tags=["hide-input"]
from compliance_xai import figures, stages

result = stages.generate_cell(study, scale, strategy)
scores = result.corpus_scores.pivot(index="metric", columns=["split", "seed"], values="value")
scores.columns = [f"{split}, seed {seed}" for split, seed in scores.columns]
scores = scores.reset_index()
scores["metric"] = scores["metric"].str.replace("_", " ")
figures.show_html(figures.table_html(scores, caption="Scores of each training seed, over all clauses of a split"))

# %% [markdown]
# ## By regulatory context
#
# Shares of rules that match exactly and that parse at all; means over clauses and seeds.

# %% tags=["hide-input"]
contexts = result.scores.groupby(["split", "context"])[["exact", "parses", "lrml_f1", "semantic"]].mean().reset_index()
contexts.insert(2, "clauses", result.scores.groupby(["split", "context"])["id"].nunique().to_numpy())
figures.show_html(
    figures.table_html(
        contexts,
        caption="Quality by context",
        headings={
            "exact": "exact match (share)",
            "parses": "parses (share)",
            "lrml_f1": "LRML F1 (0 to 100)",
            "semantic": "semantic similarity (cosine)",
        },
        formats={"exact": ".2f", "parses": ".2f", "lrml_f1": ".1f", "semantic": ".3f"},
    )
)

# %% [markdown]
# ## What it gets wrong
#
# The first rules of the first seed that differ from the reference, in the order of the corpus, not picked.

# %% tags=["hide-input"]
examples = stages.read_stage(study, "corpus").examples[["id", "clause", "rule"]].rename(columns={"rule": "reference"})
first = result.generations[result.generations["seed"] == result.generations["seed"].min()]
wrong = first.merge(examples, on="id").merge(result.scores[["id", "seed", "exact"]], on=["id", "seed"])
wrong = wrong[wrong["exact"] == 0][["clause", "reference", "rule"]].rename(columns={"rule": "written"})
figures.show_html(figures.table_html(wrong, caption="Rules that are not exact", code=("reference", "written"), limit=8))
