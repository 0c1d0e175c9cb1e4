"""The stage that compares model sizes: quality of the rules, weight of categories of words, and plateaus."""

import pandas as pd

from compliance_xai.pipeline.raw_frames import declare, join_cells, keep_evaluated, read_raw
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.records import VIEW
from compliance_xai.rules.compare.error_kinds import KINDS
from compliance_xai.rules.scores import COLUMNS
from compliance_xai.stats.competence import failing_cells
from compliance_xai.stats.study_tables import size_tables
from compliance_xai.stats.summary import error_shares, summarise_measures


@stage
def compare_sizes(work: Work) -> dict[str, pd.DataFrame]:
    """Compare the model sizes of a study.

    Returns
    -------
    StageResult
        ``quality`` and ``lift`` (``summarise_measures`` of the scores, by split, and of category log-lift), ``floors``
        (mean scores of rules that need no training, by split), ``sizes`` (``study_tables.size_tables``) and
        ``error_shares`` (``error_shares``, by cell and split).
    """
    bootstrap, declared, raw = work.study.thresholds.bootstrap, declare(work.study), read_raw(work)
    categories = keep_evaluated(work, join_cells(work, "attribute", "categories"))
    group = ("scale", "parameters", "strategy")
    measured = [name for name in COLUMNS if raw.scores[name].notna().any()]
    competence = work.result("compare_strategies")["competence"]
    tables = {
        "quality": summarise_measures(raw.scores, measured, by=(*group, "split"), bootstrap=bootstrap),
        "floors": raw.floors.groupby(["floor", "split"], sort=False)[measured].mean().reset_index(),
        "lift": summarise_measures(categories, ("log_lift",), by=(*group, *VIEW, "category"), bootstrap=bootstrap),
        "error_shares": error_shares(
            raw.scores, join_cells(work, "generate", "errors"), kinds=list(KINDS), by=(*group, "split")
        ),
    }
    return tables | size_tables(raw.keep(declared.split), declared, failing_cells(competence))
