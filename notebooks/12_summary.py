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

# %% tags=["hide-input"]
import html

import numpy as np
import pandas as pd

from compliance_xai import figures, pipeline
from compliance_xai.stats.frames import beside
from compliance_xai.study.strategy_settings import KINDS

results = pipeline.summary(study)
settings, full, baseline = results.settings, results.full, results.baseline
options = {"folder": results.figures, "baseline": baseline}


def show_table(frame, **texts):
    figures.show_html(figures.table_html(frame, **texts))


def interval(frame, value, low="low", high="high"):
    """A value with its interval as text, for each row; empty if there is none."""
    rows = zip(frame[value], frame[low], frame[high], strict=True)
    return ["" if np.isnan(value) else figures.format_interval(value, *ends, digits=3) for value, *ends in rows]


def from_full(frame, value):
    """Differences turned so that they are full fine-tuning less the other strategy, as ``difference, low, high``."""
    frame = beside(frame, full)
    turn = np.where(frame["strategy_a"] == full, 1.0, -1.0)
    low, high = np.sort([turn * frame["low"], turn * frame["high"]], axis=0)
    return frame.assign(difference=turn * frame[value], low=low, high=high)


figures.show_html(figures.claims_html(results.findings))

# %% [markdown] tags=["optional"]
# ## Does attribution point at the right words?
#
# On this corpus the words that decide each element of a rule are known, because the program that wrote the clause
# recorded them. So the question has an answer.

# %% tags=["hide-input"]
if results.holds("correctness"):
    correctness = results.read_main("correctness")
    many = correctness["strategy"].nunique() > 4
    draw = figures.draw_correctness_by_element if many else figures.draw_correctness_by_scale
    figures.show_drawn(draw, correctness, **options, otherwise="This corpus has no gold alignment.")

# %% [markdown] tags=["optional"]
# ## How good are the rules?

# %% tags=["hide-input"]
METRICS = {
    "exact_match": "exact (share)",
    "equivalence_rate": "equivalent (share)",
    "parse_rate": "parses (share)",
    "lrml_f1": "LRML F1",
    "chrf": "chrF",
    "numeric_fidelity": "numeric fidelity",
    "identifier_fidelity": "identifier fidelity",
    "semantic_similarity": "semantic similarity",
}
if results.holds("scores", "quality"):
    figures.show_drawn(
        figures.draw_quality_by_scale,
        results.read_evaluated("scores"),
        folder=results.figures,
        otherwise="No rule was scored.",
    )
    quality = results.read("quality").groupby(["scale", "strategy", "split", "metric"], sort=False)["value"].mean()
    quality = quality.unstack().reindex(columns=list(METRICS)).dropna(axis="columns", how="all").rename(columns=METRICS)
    formats = dict.fromkeys(METRICS.values(), ".2f") | {"LRML F1": ".1f", "chrF": ".1f"}
    show_table(quality.reset_index(), caption="All scores by split: means over training seeds", formats=formats)

# %% [markdown] tags=["optional"]
# ## Which mistakes disappear with size?

# %% tags=["hide-input"]
if results.holds("error_shares"):
    figures.show_drawn(
        figures.draw_errors_by_scale,
        results.read_evaluated("error_shares"),
        folder=results.figures,
        otherwise="No rule was written.",
    )

# %% [markdown] tags=["optional"]
# ## How focused is attribution?

# %% tags=["hide-input"]
if results.holds("summary"):
    figures.show_drawn(
        figures.draw_focus_by_scale, results.read_main("summary"), **options, otherwise="No clause has mass."
    )

# %% [markdown] tags=["optional"]
# ## The declared test of focus: one mixed model
#
# Strategy, size, clause length and log-probability are fixed effects; clauses and training runs are random intercepts.
# A negative difference means that full fine-tuning is more focused.

# %% tags=["hide-input"]
if results.holds("mixed"):
    mixed = from_full(results.read_main("mixed", sign="absolute"), "estimate")
    mixed["text"] = [
        f"{text}, p\u00a0=\u00a0{p:.2g}" if text else reason
        for text, p, reason in zip(interval(mixed, "difference"), mixed["p"], mixed["reason"], strict=True)
    ]
    table = mixed.pivot_table(index="other", columns="baseline", values="text", aggfunc="first", sort=False)
    outcome = str(mixed["measure"].iloc[0]).replace("_", " ") if len(mixed) else ""
    show_table(
        table.reset_index(),
        caption=f"Mixed model: {outcome}, {full} less the other strategy, with 95 % t interval",
        headings={"other": "strategy"},
    )

# %% [markdown] tags=["optional"]
# ## Equivalent, or merely not shown to differ?
#
# Two strategies are called equivalent only if the interval of their difference lies within the margin, over clauses and
# over runs.

# %% tags=["hide-input"]
if results.holds("strategy_equivalence"):
    same = results.read_main("strategy_equivalence", baseline=baseline, sign="absolute")
    numbers = ["margin", "p_tost", "p_tost_run"]
    show_table(
        same.assign(difference=interval(same, "mean_difference"))[
            ["a", "b", "n", "difference", *numbers, "equivalent"]
        ],
        caption="Two one-sided tests of focus, second strategy less first, with 90 % interval",
        headings={"n": "clauses", "p_tost": "p, clauses", "p_tost_run": "p, runs"},
        formats=dict.fromkeys(numbers, ".3f"),
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
        otherwise="There are no two patterns to compare.",
    )
if results.holds("distance_tests"):
    distances = results.read_main("distance_tests")
    figures.show_drawn(
        figures.draw_separation,
        distances,
        first=full,
        margin=settings["tests"]["C1"].get("margin"),
        **options,
        otherwise="There is one seed, so no distance between seeds to compare with.",
    )

# %% [markdown] tags=["optional"]
# ## At equal confidence, and for short and long clauses

# %% tags=["hide-input"]
if results.holds("controls"):
    outcome = settings["tests"]["C2"]["outcome"].replace("_", " ")
    figures.show_drawn(
        figures.draw_controls,
        results.read_main("controls"),
        first=full,
        title=f"difference in {outcome}",
        **options,
        otherwise="There is no strategy to compare full fine-tuning with.",
    )

# %% [markdown] tags=["optional"]
# ## At equal compute, at equal loss, and each at its best

# %% tags=["hide-input"]
if results.holds("protocol_picks", "protocol_pairs"):
    picked = (settings["attribution"].get("picked_baselines") or [baseline])[0]
    picks = results.read("protocol_picks")
    figures.show_drawn(
        figures.draw_protocols,
        results.read_main("protocol_pairs"),
        first=full,
        baseline=picked,
        scales=results.scales,
        folder=results.figures,
        otherwise="No protocol was reached by two strategies.",
    )
    reached = picks.groupby(["protocol", "scale", "strategy"], sort=False)["reached"].agg(["size", "sum"])
    missed = reached[reached["sum"] < reached["size"]].reset_index()
    show_table(
        missed.rename(columns={"size": "seeds", "sum": "reached"}),
        caption="Strategies that did not reach a protocol's checkpoint with every seed",
    )
    matched = picks[picks["protocol"] == "matched_loss"]
    setters = matched.loc[np.isclose(matched["loss"], matched["target"], rtol=1e-6), "strategy"].value_counts()
    if len(setters):
        named = ", ".join(f"{name} in {count}" for name, count in setters.items())
        blocks = len(matched[["scale", "seed"]].drop_duplicates())
        figures.show_html(f"<p>The loss to match was set by {named} of {blocks} pairs of model size and seed.</p>")

# %% [markdown] tags=["optional"]
# ## Numerical constraints and rule identifiers

# %% tags=["hide-input"]
if results.holds("lift", "trends"):
    lift = results.read_main("lift")
    nothing = "This corpus has no such words."
    figures.show_drawn(figures.draw_lift_by_scale, lift, **options, otherwise=nothing)
    trends = results.read_main("trends", baseline=baseline, sign="absolute")
    trends = trends[trends["category"].isin(("numerical_constraint", "rule_identifier_all"))]
    trends = trends.assign(
        text=[
            f"{text}, p\u00a0=\u00a0{page:.2g} and\u00a0{run:.2g}" if text else reason
            for text, page, run, reason in zip(
                interval(trends, "slope"), trends["page_p"], trends["p_run"], trends["reason"], strict=True
            )
        ]
    )
    table = trends.pivot_table(index="strategy", columns="category", values="text", aggfunc="first", sort=False)
    show_table(
        table.reset_index(),
        caption="Slope of log lift for each factor of ten in parameters: mean over clauses with 95 % bootstrap "
        "interval, p of Page's test and p of permuted runs",
        headings={
            "rule_identifier_all": "rule identifiers, references",
            "numerical_constraint": "numerical constraints",
        },
    )
    figures.show_drawn(figures.draw_category_lift, lift, **options, otherwise=nothing)

# %% [markdown] tags=["optional"]
# ## Is there a plateau?

# %% tags=["hide-input"]
if results.holds("equivalence"):
    steps = results.read_main("equivalence")
    numbers = ["mean_a", "mean_b", "mean_difference", "low", "high", "margin", "p_tost", "p_tost_run"]
    show_table(
        steps[["strategy", "a", "b", "n", "n_runs", *numbers, "equivalent"]],
        caption="Neighbouring model sizes: equal within the margin? Two one-sided tests, 90 % interval over clauses",
        headings={"n": "clauses", "n_runs": "pairs of runs", "mean_difference": "difference"}
        | {"p_tost": "p, clauses", "p_tost_run": "p, runs"},
        formats=dict.fromkeys(numbers, ".3f"),
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
            otherwise="Nothing was judged.",
        )

# %% [markdown] tags=["optional"]
# ## Does attribution find errors?

# %% tags=["hide-input"]
if results.holds("signals", "regressions"):
    from compliance_xai.stats.error_detector import describe_gain

    signals = results.read_main("signals")
    for sentence in describe_gain(signals, results.read_main("regressions")):
        figures.show_html(f"<p>{html.escape(sentence)}</p>")
    few = "Too few wrong elements were written."
    figures.show_drawn(figures.draw_signals, signals, folder=results.figures, otherwise=few)
    if results.holds("bins"):
        figures.show_drawn(figures.draw_reliability, results.read_main("bins"), folder=results.figures, otherwise=few)

# %% [markdown] tags=["optional"]
# ## By regulatory context, including the one held out

# %% tags=["hide-input"]
if results.holds("held_out", "by_context"):
    from compliance_xai.stats.contexts import MEASURES, describe_held_out, describe_separation

    held_out = results.read_main("held_out")
    held_out = held_out[held_out["baseline"].isin((baseline, ""))]
    sentences = [describe_held_out(held_out, measure) for measure in MEASURES]
    apart = results.read_main("distance_by_context") if results.holds("distance_by_context") else None
    sentences += describe_separation(apart, full) if apart is not None else []
    figures.show_html("".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences))
    for measure in ("normalised_entropy", "precision_at_k"):
        figures.show_drawn(
            figures.draw_by_context,
            results.read_main("by_context"),
            measure,
            label=MEASURES[measure],
            **options,
            otherwise=f"There is nothing to show for {MEASURES[measure]}.",
        )
    if apart is not None:
        figures.show_drawn(
            figures.draw_distance_by_context,
            apart,
            first=full,
            folder=results.figures,
            otherwise="There is one seed, so no distance between seeds to compare with.",
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
        headings={"what": "what is trained", "trained": "trained parameters", "share": "share of all"}
        | {"validation_loss": "validation loss (nats per rule token)", "memory": "peak memory (MiB)"},
        formats={"trained": ",.0f", "share": ".1%", "validation_loss": ".4f", "seconds": ".1f", "memory": ".0f"},
    )
if results.holds("movement"):
    moved = results.read("movement")
    largest = results.scales[-1]
    figures.show_drawn(
        figures.draw_movement,
        moved[moved["scale"] == largest],
        where=largest,
        folder=results.figures,
        otherwise="Nothing moved.",
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
        formats=dict.fromkeys(("own settings", "best trial"), ".4f")
        | dict.fromkeys(("learning_rate", "full_learning_rate"), ".2g")
        | dict.fromkeys(("rank", "steps"), ".0f"),
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
        headings={
            "n_clauses": "clauses",
            "log_prob": "log-probability of the rule (mean, nats)",
            "largest_token": "largest at one token (nats)",
            "largest_score": "largest at one score (nats)",
            "distance": "distance of patterns (mean)",
            "same_word": "same word first",
        },
        formats=dict.fromkeys(("log_prob", "largest_token", "largest_score"), ".2g")
        | {"distance": ".3f", "same_word": ".0%"},
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
