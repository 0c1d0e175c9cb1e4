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
# # Summary
#
# The whole study on one page: the four claims, then one section for each question it can answer.
#
# *Reads* the results of all stages, or the folder of a stored study. *Writes* `results/<study>/summary`, the tables
# that `compliance-xai study export` copies. *Takes* seconds.

# %% tags=["parameters"]
study: str = "studies/quick.yaml"
overrides: dict = {}

# %% tags=["hide-input"]
import html

import numpy as np
import pandas as pd

from compliance_xai import figures, pipeline
from compliance_xai.stats.frames import beside
from compliance_xai.study.strategy_settings import KINDS

results = pipeline.summary(study, overrides)
settings, full, baseline, view = results.settings, results.full, results.baseline, results.view
options = {"folder": results.figures, **view}


def show_table(frame, **texts):
    figures.show_html(figures.table_html(frame, **texts))


def interval(frame, value, low="low", high="high"):
    """A value with its interval as text, for each row; empty if there is none."""
    rows = zip(frame[value], frame[low], frame[high], strict=True)
    return ["" if np.isnan(value) else figures.format_interval(value, *ends, digits=3) for value, *ends in rows]


figures.show_html(figures.claims_html(results.findings))

# %% [markdown] tags=["optional"]
# ## What each verdict rests on

# %% tags=["hide-input"]
figures.show_html(figures.statements_html(results.findings))

# %% [markdown] tags=["optional"]
# ## Further findings

# %% tags=["hide-input"]
if results.holds("observations"):
    for question, rows in results.read("observations").groupby("question", sort=False):
        lines = "".join(f"<li>{html.escape(text)}</li>" for text in rows["sentence"])
        figures.show_html(f"<p><b>{html.escape(question)}</b></p><ul>{lines}</ul>")

# %% [markdown] tags=["optional"]
# ## Which models count?

# %% tags=["hide-input"]
if results.holds("competence"):
    competence = results.read("competence")
    show_table(
        competence.assign(difference=interval(competence, "above_floor"))[
            ["scale", "strategy", "parses", "lrml_f1", "floor", "difference", "reason"]
        ],
        caption="The gate: LRML F1 of each cell against that of rules copied from the most similar training clause",
    )

# %% [markdown] tags=["optional"]
# ## Does attribution point at the right words?
#
# On this corpus the words that decide each element of a rule are known, because the program that wrote the clause
# recorded them. So the question has an answer.

# %% tags=["hide-input"]
if results.holds("correctness"):
    correctness = results.read_main("correctness")
    figures.show_drawn(
        figures.draw_correctness,
        correctness,
        folder=results.figures,
        baseline=baseline,
        otherwise="This corpus has no gold alignment.",
    )

# %% [markdown] tags=["optional"]
# ## How good are the rules?

# %% tags=["hide-input"]
METRICS = ["exact_match", "equivalence_rate", "parse_rate", "lrml_f1", "chrf", "numeric_fidelity"]
METRICS += ["identifier_fidelity", "semantic_similarity"]
if results.holds("quality", "scores"):
    figures.show_drawn(figures.draw_quality_by_scale, results.read_evaluated("scores"), folder=results.figures)
    quality = results.read("quality").groupby(["scale", "strategy", "split", "metric"], sort=False)["value"].mean()
    quality = quality.unstack().reindex(columns=METRICS).dropna(axis="columns", how="all")
    show_table(quality.reset_index(), caption="All scores by split: means over training seeds")

# %% [markdown] tags=["optional"]
# ## Which mistakes disappear with size?

# %% tags=["hide-input"]
if results.holds("error_shares"):
    figures.show_drawn(figures.draw_errors_by_scale, results.read_evaluated("error_shares"), folder=results.figures)

# %% [markdown] tags=["optional"]
# ## How focused is attribution?

# %% tags=["hide-input"]
if results.holds("summary"):
    figures.show_drawn(figures.draw_focus_by_scale, results.read_main("summary"), **options)

# %% [markdown] tags=["optional"]
# ## Who rests on fewer words?

# %% tags=["hide-input"]
if results.holds("contrasts"):
    contrasts = beside(results.read_main("contrasts", **view), full)
    show_table(
        contrasts.assign(difference=interval(contrasts, "difference"))[
            ["scale", "strategy_a", "strategy_b", "n_clauses", "difference", "p", "p_runs", "reason"]
        ],
        caption="Difference in the log of the number of words (0.05 is 5 %), first strategy less second, with 95 % "
        "interval for other clauses and other trainings",
    )

# %% [markdown] tags=["optional"]
# ## Different patterns, or different seeds?
#
# First we measure how much two seeds of the same strategy differ. Only a larger difference says something about
# strategies.

# %% tags=["hide-input"]
if results.holds("noise"):
    figures.show_drawn(
        figures.draw_noise,
        results.read("noise"),
        folder=results.figures,
        scales=results.scales,
    )
if results.holds("patterns"):
    patterns = results.read_main("patterns", **view)
    figures.show_drawn(
        figures.draw_separation,
        patterns,
        first=full,
        **options,
    )
    pooled = beside(patterns[patterns["scale"] == "all"], full)
    show_table(
        pooled.assign(share=interval(pooled, "share", "share_low", "share_high"))[
            ["strategy_a", "strategy_b", "n_clauses", "n_seeds", "share", "p_runs", "reason"]
        ],
        caption="Share of the squared distance between two runs that is due to their strategies, all sizes together",
    )

# %% [markdown] tags=["optional"]
# ## At equal confidence, and for short and long clauses

# %% tags=["hide-input"]
if results.holds("controls"):
    figures.show_drawn(
        figures.draw_controls,
        results.read_main("controls"),
        first=full,
        **options,
    )

# %% [markdown] tags=["optional"]
# ## Numerical constraints and rule identifiers

# %% tags=["hide-input"]
if results.holds("lift", "sizes"):
    lift = results.read_main("lift")
    figures.show_drawn(figures.draw_lift_by_scale, lift, **options)
    sizes = results.read("sizes")
    changes = results.read_main("sizes", **view)
    changes = changes[changes["strategy"].isin(("trained", "none", "trained less base"))]
    show_table(
        changes.assign(change=interval(changes, "change"))[
            ["category", "family", "strategy", "kind", "a", "b", "n_clauses", "change", "p", "p_runs", "line_p"]
        ],
        caption="Change of log lift with model size (0.05 is 5 % more weight), with 95 % interval for other clauses "
        "and other trainings; a slope means something only if a line fits",
    )
    figures.show_drawn(figures.draw_category_lift, lift, **options)

# %% [markdown] tags=["optional"]
# ## Does correctness level off?

# %% tags=["hide-input"]
if results.holds("sizes"):
    sizes = results.read("sizes")
    steps = sizes[sizes["category"].isna() | (sizes["category"] == "")]
    steps = steps[(steps["kind"] == "step") & steps["change"].notna()]
    show_table(
        steps.assign(change=interval(steps, "change"))[
            ["measure", "family", "strategy", "a", "b", "n_clauses", "mean_a", "mean_b", "change", "p"]
        ],
        caption="Change from one model size to the next, with 95 % interval for other clauses and other trainings",
    )
if results.holds("floors"):
    floors = results.read_evaluated("floors")
    names = ["lrml_f1", "exact", "equivalent", "parses", "numeric_fidelity", "identifier_fidelity", "semantic"]
    show_table(
        floors[["floor", *(name for name in names if name in floors)]].rename(columns={"floor": "rule"}),
        caption="What rules score that need no training",
    )

# %% [markdown] tags=["optional"]
# ## Does the model depend on the words that score high?

# %% tags=["hide-input"]
if results.holds("area_summary", "curve_summary"):
    operator = settings["faithfulness"]["operators"][0]
    for draw, table in (
        (figures.draw_faithfulness, "area_summary"),
        (figures.draw_removal_curves, "curve_summary"),
    ):
        figures.show_drawn(
            draw,
            results.read_main(table),
            attribution=baseline,
            operator=operator,
            folder=results.figures,
        )

# %% [markdown] tags=["optional"]
# ## Does attribution find errors?

# %% tags=["hide-input"]
if results.holds("signals"):
    from compliance_xai.stats.review_flags import describe_gain

    signals = results.read_main("signals")
    for sentence in describe_gain(signals):
        figures.show_html(f"<p>{html.escape(sentence)}</p>")
    few = "Too few wrong elements were written."
    figures.show_drawn(figures.draw_signals, signals, folder=results.figures, otherwise=few)

# %% [markdown] tags=["optional"]
# ## By regulatory context, including the one held out

# %% tags=["hide-input"]
if results.holds("held_out", "by_context"):
    from compliance_xai.stats.contexts import MEASURES, describe_held_out, describe_separation

    held_out = results.read_main("held_out")
    held_out = held_out[held_out["baseline"].isin((view["baseline"], ""))]
    sentences = [describe_held_out(held_out, measure) for measure in MEASURES]
    sentences = [text for text in sentences if "no interval" not in text and "not measured" not in text]
    apart = results.read_main("distance_by_context") if results.holds("distance_by_context") else None
    sentences += describe_separation(apart, full) if apart is not None else []
    figures.show_html("".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences))
    for measure in ("log_words", "precision_at_k"):
        figures.show_drawn(
            figures.draw_by_context,
            results.read_main("by_context"),
            measure,
            label=MEASURES[measure],
            folder=results.figures,
            baseline=view["baseline"],
        )
    if apart is not None:
        figures.show_drawn(
            figures.draw_distance_by_context,
            apart,
            first=full,
            folder=results.figures,
        )

# %% [markdown] tags=["optional"]
# ## What was trained, and at what cost

# %% tags=["hide-input"]
if results.holds("training"):
    costs = results.read("training")
    kinds = {name: chosen["kind"] for name, chosen in settings["strategies"].items()}
    costs = costs.assign(
        what=[KINDS.get(kinds.get(name, name), "") for name in costs["strategy"]],
        share=costs["trained"] / costs["parameters"],
        memory=costs["peak_memory_bytes"] / 2**20,
    )
    numbers = ["trained", "share", "validation_loss", "seconds", "memory"]
    show_table(
        costs.groupby(["scale", "strategy", "what"], sort=False)[numbers].mean().reset_index(),
        caption="Means over training seeds. Time and memory are those of the machine and of the whole process",
    )
if results.holds("movement"):
    moved = results.read("movement")
    largest = results.scales[-1]
    figures.show_drawn(
        figures.draw_movement,
        moved[moved["scale"] == largest],
        where=largest,
        folder=results.figures,
    )

# %% [markdown] tags=["optional"]
# ## How the settings were chosen
#
# A search tries the same number of settings for every strategy and size, with one training seed.

# %% tags=["hide-input"]
if results.holds("search_trials"):
    trials = results.read("search_trials")
    rows = []
    for (scale, strategy), block in trials.groupby(["scale", "strategy"], sort=False):
        best = block.sort_values("validation_loss", kind="stable").iloc[0]
        rows.append(
            {
                "scale": scale,
                "strategy": strategy,
                "trials": len(block),
                "own settings": float(block.loc[block["trial"] == 0, "validation_loss"].iloc[0]),
                "best trial": float(best["validation_loss"]),
                **{name: best[name] for name in ("learning_rate", "full_learning_rate", "rank", "steps")},
            }
        )
    search = pd.DataFrame(rows).dropna(axis="columns", how="all")
    show_table(
        search,
        caption="Validation loss (nats per rule token) with the study's own settings and in the best trial, whose "
        "settings follow; the study ran with its own",
        formats=dict.fromkeys(("own settings", "best trial"), ".4f") | dict.fromkeys(("rank", "steps"), ".0f"),
    )
    own = int((search["own settings"] == search["best trial"]).sum())
    figures.show_html(f"<p>The study's own settings were the best in {own} of {len(search)} cells.</p>")

# %% [markdown] tags=["optional"]
# ## What merging and 16 bits change

# %% tags=["hide-input"]
if results.holds("precision"):
    from compliance_xai.attribution.precision import CHANGES

    effects = results.read("precision")
    show_table(
        effects.assign(change=[f"{name.replace('_', ' ')}: {CHANGES[name]}" for name in effects["change"]]),
        caption="Changes from the model as trained, first training seed",
    )

# %% [markdown]
# ## The study

# %% tags=["hide-input"]
described = results.description
rows = {
    "corpus": settings["corpus"]["source"],
    "rules written for": settings["corpus"]["evaluate_on"],
    "ladder": settings["ladder"] if isinstance(settings["ladder"], str) else settings["ladder"].get("source", "listed"),
    "model sizes": ", ".join(results.scales),
    "strategies": ", ".join(settings["strategies"]),
    "training seeds": ", ".join(map(str, settings["seeds"])),
    "attributed clauses": settings["attribution"]["clauses"],
    "ways of removing a word": ", ".join(settings["attribution"]["baselines"]).replace("_", " "),
    "time of all notebooks": f"{sum(described['seconds'].values()) / 3600:.1f} hours",
    "largest memory of a process": f"{described['peak_memory_bytes'] / 2**30:.1f} GiB",
    "finished": f"{described['finished']}, with compliance_xai {described['version']}",
    "machine": ", ".join(map(str, described["machine"].values())),
    "versions": ", ".join(f"{name} {version}" for name, version in described["versions"].items()),
    "note": described["note"],
}
show_table(
    pd.DataFrame([(name, str(value)) for name, value in rows.items() if value], columns=["setting", "value"]),
    caption="Settings and machine",
)
