"""The stage that compares strategies: patterns, numbers of words, and what their differences rest on."""

import dataclasses

import pandas as pd

from compliance_xai.attribution.distances import distance_frame
from compliance_xai.attribution.focus import MEASURES, share_frame
from compliance_xai.pipeline.raw_frames import RAW, declare, join_cells, join_costs, join_tables, keep_evaluated
from compliance_xai.pipeline.stage_examples import evaluated_examples, read_split
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.records import VIEW
from compliance_xai.rules.scores import score_rules
from compliance_xai.rules.sentence_encoder import load_encoder
from compliance_xai.stats.competence import floor_rules
from compliance_xai.stats.frames import CONTROL
from compliance_xai.stats.reliability import feature_reliability, measure_reliability, noise_table, split_half_table
from compliance_xai.stats.study_tables import RUN, RawFrames, as_categories, strategy_tables
from compliance_xai.stats.summary import summarise_measures
from compliance_xai.study.labels import size_label
from compliance_xai.study.settings import Study

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
        fine-tuned cells, with ``scale``, ``strategy`` and ``seed``: ``movement``, ``costs`` (``join_costs``).
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


def score_floors(study: Study) -> pd.DataFrame:
    """Scores of rules that need no training (``stats.competence``), on the clauses that rules are generated for.

    Returns
    -------
    pandas.DataFrame
        ``floor, id, split`` and the columns of ``score_rules``.
    """
    train = read_split(study, "train")
    wanted = evaluated_examples(study)
    references = [example.rule for example in wanted]
    encoder = load_encoder(study.metrics.encoder) if study.metrics.encoder else None
    choices = {"encoder": encoder, "spelling": "intermediate", "notation": study.corpus.notation}
    parts = []
    for floor, rules in floor_rules(train, wanted).items():
        scored = score_rules(rules, references, **choices).reset_index(drop=True)
        about = {"floor": floor, "id": [e.id for e in wanted], "split": [e.split for e in wanted]}
        parts.append(pd.concat([pd.DataFrame(about), scored], axis=1))
    return pd.concat(parts, ignore_index=True)


def _few_shot_floors(work: Work) -> list[pd.DataFrame]:
    """What untouched bases write with training pairs in their prompts, each named by its size."""
    bases = [cell for cell in work.study.cells() if not work.study.strategies[cell.strategy].trains]
    found = []
    for cell in bases if work.study.generate.examples else ():
        frame = work.result("generate", *cell)["few_shot"]
        found.append(frame.assign(floor=frame["floor"] + f" in the prompt of {size_label(cell.scale)}"))
    return found


def join_raw(work: Work) -> RawFrames:
    """The raw frames of a study whose cells are done."""
    focus = join_cells(work, "attribute", "focus")
    facts = [*RUN, "id", "split", "n_target_tokens", "baseline_log_prob"]
    runs = join_tables(work, "finetune", "summary").reindex(columns=[*RUN, "trained", "parameters", "validation_loss"])
    return RawFrames(
        words=join_cells(work, "attribute", "words"),
        clauses=focus[facts].drop_duplicates([*RUN, "id"]).reset_index(drop=True),
        scores=join_cells(work, "generate", "scores"),
        floors=pd.concat([score_floors(work.study), *_few_shot_floors(work)], ignore_index=True),
        runs=runs,
        elements=join_cells(work, "attribute", "elements"),
    )
