"""Studies that were run elsewhere and are stored: their tables and verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance_xai.evidence import STORED
from compliance_xai.pages.markdown import raw_html

if TYPE_CHECKING:
    import pandas as pd


def format_stored(folder: Path) -> str:
    """The tables of a stored study (see ``exports.export_tables``), as Markdown."""
    import pandas as pd

    from compliance_xai.figures.tables import claims_html, table_html

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    quality = pd.read_csv(folder / "quality.csv")
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    lines = [_describe(manifest), "", "## How good are the rules?", ""]
    lines += [
        raw_html(table_html(_spread(quality), caption="Means over training seeds, by split", formats=_FORMATS)),
        "",
    ]
    lines += ["## What do the models read?", ""]
    summary = pd.read_csv(folder / "summary.csv")
    lines += [
        raw_html(table_html(_focus(summary), caption="Focus, means over clauses and seeds", formats=_FOCUS_FORMATS)),
        "",
    ]
    findings = findings["findings"] if isinstance(findings, dict) else findings
    lines += ["## The four claims on this corpus", "", raw_html(claims_html(findings)), ""]
    return "\n".join(lines)


_METRICS = {
    "exact_match": "exact (share)",
    "equivalence_rate": "says the same (share)",
    "parse_rate": "parses (share)",
    "lrml_f1": "LRML F1",
    "chrf": "chrF",
    "numeric_fidelity": "numeric fidelity",
    "identifier_fidelity": "identifier fidelity",
    "semantic_similarity": "semantic similarity",
}
_FORMATS = dict.fromkeys(_METRICS.values(), ".2f") | {"LRML F1": ".1f", "chrF": ".1f"}
_FOCUS = ("normalised_entropy", "gini", "top_3_mass", "effective_number")
_FOCUS_FORMATS = dict.fromkeys(_FOCUS, ".3f") | {"effective_number": ".1f"}


def _spread(quality: pd.DataFrame) -> pd.DataFrame:
    """One row per scale, strategy and split, one column per score."""
    order = ["scale", "strategy", "split"]
    means = quality.groupby([*order, "metric"], sort=False)["value"].mean().unstack()
    return means[[name for name in _METRICS if name in means]].rename(columns=_METRICS).reset_index()


def _focus(summary: pd.DataFrame) -> pd.DataFrame:
    chosen = summary[(summary["sign"] == "absolute") & summary["measure"].isin(_FOCUS)]
    means = chosen.groupby(["scale", "strategy", "baseline", "measure"], sort=False)["mean"].mean().unstack()
    return means[[name for name in _FOCUS if name in means]].reset_index()


def _describe(manifest: dict[str, Any]) -> str:
    machine = manifest["machine"]
    note = f" {manifest['note']}" if manifest["note"] else ""
    return (
        f"Run on {manifest['finished']} with compliance_xai {manifest['version']} on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory']}.{note} "
        f"The study's settings and these tables lie in `{STORED.as_posix()}/{manifest['study']['name']}`."
    )
