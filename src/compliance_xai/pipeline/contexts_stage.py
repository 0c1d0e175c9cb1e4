"""The stage that compares regulatory contexts, the held-out one among them."""

import pandas as pd

from compliance_xai.attribution.focus import share_frame
from compliance_xai.pipeline.raw_frames import declare, join_cells, keep_method
from compliance_xai.pipeline.stage_examples import evaluated_examples
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.stats.contexts import KEYS, compare_held_out, gather_values, separate_contexts
from compliance_xai.stats.frames import CONTROL
from compliance_xai.stats.summary import summarise_measures


@stage
def contexts(work: Work) -> dict[str, pd.DataFrame]:
    """Focus, distances, lift, correctness, faithfulness and quality by regulatory context.

    Returns
    -------
    StageResult
        ``by_context`` (``stats.summarise_measures`` of ``contexts.gather_values`` by cell, baseline, measure, split and
        context; the measure's name is in ``measured``), ``held_out`` (``contexts.compare_held_out``), and
        ``distance_by_context`` (``contexts.separate_contexts`` in the primary view).
    """
    bootstrap, permutations = work.study.thresholds.bootstrap, work.study.thresholds.permutations
    examples = evaluated_examples(work.study)
    names = ("focus", "categories", "gold")
    tables = {name: keep_method(work, join_cells(work, "attribute", name)) for name in names}
    tables["scores"] = join_cells(work, "generate", "scores")
    tables["areas"] = work.result("faithfulness")["areas"]
    values = gather_values(tables, examples).rename(columns={"measure": "measured"})
    by = [*(name if name != "measure" else "measured" for name in KEYS), "split", "context"]
    summary = summarise_measures(values, "value", by=by, bootstrap=bootstrap).drop(columns="measure")
    values = values.rename(columns={"measured": "measure"})
    primary = declare(work.study).primary
    words = join_cells(work, "attribute", "words")
    words = words[(words["method"] == primary["method"]) & (words["baseline"] == primary["baseline"])]
    shares = share_frame(words[words["strategy"] != CONTROL])
    separation = separate_contexts(shares[shares["sign"] == primary["sign"]], examples, permutations=permutations)
    return {
        "by_context": summary,
        "held_out": compare_held_out(values, work.study.corpus.evaluate_on),
        "distance_by_context": separation,
    }
