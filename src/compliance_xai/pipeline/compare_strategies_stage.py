"""The stage that compares strategies: patterns, numbers of words, and what their differences rest on."""

from __future__ import annotations

import dataclasses

import pandas as pd

from compliance_xai.attribution.distances import distance_frame
from compliance_xai.attribution.focus import MEASURES, share_frame
from compliance_xai.pipeline.joining import join_cells, join_costs, join_tables, keep_evaluated
from compliance_xai.pipeline.raw_frames import RAW, declare, join_raw
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.records import VIEW
from compliance_xai.stats.frames import CONTROL
from compliance_xai.stats.reliability import feature_reliability, measure_reliability, noise_table, split_half_table
from compliance_xai.stats.study_tables import as_categories, strategy_tables
from compliance_xai.stats.summary import summarise_measures

FOCUS = (*MEASURES, "total_mass")


@stage
def compare_strategies(work: Work) -> dict[str, pd.DataFrame]:
    """Compare the strategies of a study, clause by clause and run by run.

    Returns
    -------
    StageResult
        ``raw_...``: the frames of ``study_tables.RawFrames``, every split. ``competence, patterns, contrasts,
        controls, runs, sources, remaining, literals`` (``study_tables.strategy_tables``). ``focus`` (all cells and
        splits) and ``summary`` (``summarise_measures`` of it); ``noise`` (``noise_table``), ``reliability``,
        ``feature_reliability``, ``split_half``; ``distances`` (``distance_frame`` of the declared removals). Of the
        fine-tuned cells, with ``scale``, ``strategy`` and ``seed``: ``movement``, ``costs`` (``joining.join_costs``).
        All but the first and ``focus`` are of the evaluated split.
    """
    bootstrap, declared, raw = work.study.thresholds.bootstrap, declare(work.study), join_raw(work)
    evaluated = raw.keep(declared.split)
    everything = join_cells(work, "attribute", "focus")
    focus = keep_evaluated(work, everything)
    trained = focus[focus["strategy"] != CONTROL]
    shares = share_frame(evaluated.words)
    primary = declared.primary
    main = shares[(shares["method"] == primary["method"]) & (shares["baseline"] == primary["baseline"])]
    distances = distance_frame(main)
    own = shares[shares["strategy"] != CONTROL]
    numeric = join_cells(work, "attribute", "noise")
    tables = {
        "focus": everything,
        "summary": summarise_measures(focus, FOCUS, by=("scale", "parameters", "strategy", *VIEW), bootstrap=bootstrap),
        "noise": noise_table(
            distances[~distances[["strategy_a", "strategy_b"]].isin([CONTROL]).any(axis=1)],
            own,
            numeric[numeric["strategy"] != CONTROL],
            bootstrap=bootstrap,
        ),
        "reliability": measure_reliability(trained, ("effective_number", "total_mass")),
        "feature_reliability": feature_reliability(as_categories(own)),
        "split_half": split_half_table(trained, bootstrap=bootstrap),
        "distances": distances,
        "movement": join_tables(work, "finetune", "movement"),
        "costs": join_costs(work),
    }
    tables |= {f"{RAW}{field.name}": getattr(raw, field.name) for field in dataclasses.fields(raw)}
    return tables | strategy_tables(evaluated, declared)
