"""Studies that were run elsewhere and are stored: their verdicts, figures and tables, from what the export holds."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.book.evidence import STORED, rules_note
from compliance_xai.book.markdown import raw_html
from compliance_xai.figures.contract import Figure, NothingToPlot, figure_html
from compliance_xai.figures.tables import claims_html, table_html
from compliance_xai.stats.frames import beside
from compliance_xai.study.settings import KINDS

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("scale", "strategy", "strategy_a", "strategy_b", "a", "b", "baseline", "context", "reason", "note")
"""Columns of text, where an empty cell is an empty text and no missing number."""


def read_stored(folder: Path, name: str) -> pd.DataFrame:
    """A stored table (see ``exports.export_tables``), text columns as text.

    Exports of version 0.1.0 before methods were compared have no column ``method`` and one distance; both are filled
    in. Empty where the export lacks the table.
    """
    import pandas as pd

    path = folder / f"{name}.csv"
    if not path.is_file():
        return pd.DataFrame()
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(_TEXTS, str))
    for column in frame.columns.intersection(list(_TEXTS)):
        frame[column] = frame[column].fillna("")
    if "baseline" in frame and "method" not in frame and name in _BY_METHOD:
        frame.insert(0, "method", "leave_one_out")
    if name == "distance_tests" and "measure" not in frame:
        frame.insert(0, "measure", "jensen_shannon")
    return frame


MANY = 4
"""So many strategies still make lines that can be told apart."""
_BY_METHOD = ("summary", "pairs", "effects", "distance_tests", "lift", "trends", "controls", "mixed", "reliability")


@dataclasses.dataclass(frozen=True)
class Stored:
    """A stored study: its folder, its manifest, and where figures of it go."""

    folder: Path
    manifest: Mapping[str, Any]
    drawings: Path

    @property
    def study(self) -> Mapping[str, Any]:
        """The study's settings."""
        return self.manifest["study"]

    @property
    def scales(self) -> list[str]:
        """Its scales, smallest first."""
        return [str(scale) for scale in self.study.get("scales", ())]

    @property
    def full(self) -> str:
        """The name of its strategy that trains everything."""
        kinds = {name: settings["kind"] for name, settings in self.study.get("strategies", {}).items()}
        return next((name for name, kind in kinds.items() if kind == "full"), "full")

    @property
    def attribution(self) -> Mapping[str, Any]:
        """How words were scored."""
        return self.study.get("attribution", {})

    @property
    def baseline(self) -> str:
        """The first way of taking a word away, which the figures show."""
        return str(self.attribution.get("baselines", ["delete"])[0])

    def read(self, name: str) -> pd.DataFrame:
        """A table, of the main method of attribution."""
        frame = read_stored(self.folder, name)
        return frame[frame["method"] == self.attribution.get("method", "leave_one_out")] if "method" in frame else frame

    def holds(self, names: Sequence[str]) -> bool:
        """Whether all these tables are there, and the first has a row."""
        return all((self.folder / f"{name}.csv").is_file() for name in names) and len(self.read(names[0])) > 0

    def on_evaluated(self, name: str) -> pd.DataFrame:
        """A table's rows of the split that verdicts are about."""
        frame = self.read(name)
        return frame[frame["split"] == self.study.get("corpus", {}).get("evaluate_on", "test")]

    def draw(self, draw: Callable[..., Figure], *arguments: Any, otherwise: str, **options: Any) -> str:
        """A figure as HTML, or the sentence ``otherwise`` where there is nothing to plot."""
        try:
            figure = draw(*arguments, folder=self.drawings, **options)
        except NothingToPlot:
            return f'<p class="cx-nothing">{html.escape(otherwise)}</p>'
        address = Path("..") / "_static" / self.drawings.parent.name / self.drawings.name
        return figure_html(dataclasses.replace(figure, folder=address))


def format_absent(name: str) -> str:
    """What stands in the place of a stored study that is not there."""
    place = (STORED / name).as_posix()
    return (
        "The results of this study are not stored in this copy of the project. It is run, and its tables stored, by\n\n"
        f"```bash\ncompliance-xai study run {name}\ncompliance-xai study export {name} {place}\n```\n"
    )


def format_stored(folder: Path, drawings: Path) -> str:
    """A stored study as Markdown: settings and machine, verdicts, and a section for each question it answers.

    Parameters
    ----------
    folder
        What ``exports.export_tables`` wrote.
    drawings
        Where the files of the figures go; the page finds them under ``_static``, by the last two names of the path.

    A section whose tables the export lacks is left out, and named at the end.
    """
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    findings = findings["findings"] if isinstance(findings, dict) else findings
    stored = Stored(folder, manifest, drawings)
    note = rules_note(manifest)
    lines = [_describe(manifest), "", "## The four claims", ""]
    lines += [note, ""] if note else []
    lines += [raw_html(claims_html(findings)), ""]
    missing = []
    for title, tables, write in _SECTIONS:
        if stored.holds(tables):
            lines += [f"## {title}", "", *write(stored), ""]
        else:
            missing.append(title)
    lines += ["## The study", "", raw_html(table_html(_settings(manifest), caption="Settings and machine")), ""]
    if missing:
        lines += [
            "This export holds no numbers for these sections: " + "; ".join(f"*{title}*" for title in missing) + ".",
            "",
        ]
    return "\n".join(lines)


def _quality(stored: Stored) -> list[str]:
    from compliance_xai.figures.training_figures import draw_quality_by_scale

    table = table_html(_spread(stored.read("quality")), caption="Means over training seeds, by split", formats=_FORMATS)
    if stored.read("scores").empty:  # as version 0.1.0 first exported
        return [raw_html(table)]
    drawn = stored.draw(draw_quality_by_scale, stored.on_evaluated("scores"), otherwise="No rule was scored.")
    return [raw_html(drawn), "", *_fold("All scores, the held-out document included", table)]


def _fold(title: str, table: str) -> list[str]:
    """A long table that opens on demand; on paper it is open."""
    return [f"::::{{dropdown}} {title}", "", raw_html(table), "", "::::"]


def _interval(frame: pd.DataFrame, value: str, low: str = "low", high: str = "high", digits: int = 3) -> list[str]:
    """A value with its interval as text; empty where there is none."""
    return [
        "" if number != number else f"{number:.{digits}f} [{start:.{digits}f},\u00a0{end:.{digits}f}]"
        for number, start, end in zip(frame[value], frame[low], frame[high], strict=True)
    ]


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


def _spread(quality: pd.DataFrame) -> pd.DataFrame:
    """One row per scale, strategy and split, one column per score."""
    order = ["scale", "strategy", "split"]
    means = quality.groupby([*order, "metric"], sort=False)["value"].mean().unstack()
    return means[[name for name in _METRICS if name in means]].rename(columns=_METRICS).reset_index()


def _errors(stored: Stored) -> list[str]:
    from compliance_xai.figures.error_figures import draw_errors_by_scale

    shares = stored.on_evaluated("error_shares")
    return [raw_html(stored.draw(draw_errors_by_scale, shares, otherwise="No rule was written."))]


def _correctness(stored: Stored) -> list[str]:
    from compliance_xai.figures.correctness_figures import draw_correctness_by_element
    from compliance_xai.figures.faithfulness_figures import draw_correctness_by_scale

    text = (
        "On this corpus the words that decide each element of a rule are known, because the program that wrote the "
        "clause noted them. So the question has an answer: does attribution point at them?"
    )
    correctness = stored.read("correctness")
    # Lines of many strategies would cover each other.
    many = correctness["strategy"].nunique() > MANY
    draw = draw_correctness_by_element if many else draw_correctness_by_scale
    drawn = stored.draw(draw, correctness, baseline=stored.baseline, otherwise="This corpus has no gold alignment.")
    return [text, "", raw_html(drawn)]


def _focus(stored: Stored) -> list[str]:
    from compliance_xai.figures.focus_figures import draw_focus_by_scale

    drawn = stored.draw(
        draw_focus_by_scale, stored.read("summary"), baseline=stored.baseline, otherwise="No clause has mass."
    )
    return [raw_html(drawn)]


def _mixed(stored: Stored) -> list[str]:
    """The declared test of the claim on focus: a row for each strategy, a column for each way of taking words away."""
    mixed = beside(stored.read("mixed").query("sign == 'absolute'"), stored.full)
    turn = np.where(mixed["strategy_a"] == stored.full, 1.0, -1.0)
    ends = np.sort([turn * mixed["low"], turn * mixed["high"]], axis=0)
    mixed = mixed.assign(difference=turn * mixed["estimate"], low=ends[0], high=ends[1])
    mixed["text"] = [
        f"{text}, p\u00a0=\u00a0{p:.2g}" if text else reason
        for text, p, reason in zip(_interval(mixed, "difference"), mixed["p"], mixed["reason"], strict=True)
    ]
    table = mixed.pivot_table(index="other", columns="baseline", values="text", aggfunc="first", sort=False)
    outcome = str(mixed["measure"].iloc[0]).replace("_", " ") if len(mixed) else ""
    text = (
        "Strategy, size, length and log-probability as fixed effects, clauses and training runs as random intercepts. "
        "A negative difference says that full fine-tuning is more focused."
    )
    caption = f"Mixed model: {outcome}, {stored.full} less the other, with 95 % t interval"
    return [text, "", raw_html(table_html(table.reset_index(), caption=caption, headings={"other": "strategy"}))]


def _same(stored: Stored) -> list[str]:
    """Which strategies are equivalent in focus, LoRA and QLoRA among them."""
    same = stored.read("strategy_equivalence")
    same = same[(same["baseline"] == stored.baseline) & (same["sign"] == "absolute")]
    numbers = ["margin", "p_tost", "p_tost_run"]
    table = same.assign(difference=_interval(same, "mean_difference"))
    text = (
        "Two strategies are called equivalent only where the interval of their difference lies inside what two "
        "trainings of one cell differ by, over clauses and over runs."
    )
    return [
        text,
        "",
        raw_html(
            table_html(
                table[["a", "b", "n", "difference", *numbers, "equivalent"]],
                caption="Two one-sided tests of the focus of strategies, second less first, with 90 % interval",
                headings={"n": "clauses", "p_tost": "p, clauses", "p_tost_run": "p, runs"},
                formats=dict.fromkeys(numbers, ".3f"),
            )
        ),
    ]


def _distances(stored: Stored) -> list[str]:
    from compliance_xai.figures.focus_figures import draw_separation
    from compliance_xai.figures.noise_figures import draw_noise

    test = stored.study.get("tests", {}).get("C1", {})
    lines = [
        "Two patterns of one clause differ for many reasons. What two seeds of one strategy differ by comes first."
    ]
    noise = read_stored(stored.folder, "noise")
    if len(noise):
        drawn = stored.draw(draw_noise, noise, scales=stored.scales, otherwise="No two patterns to compare.")
        lines += ["", raw_html(drawn)]
    tests = stored.read("distance_tests")
    drawn = stored.draw(
        draw_separation, tests, first=stored.full, margin=test.get("margin"), baseline=stored.baseline,
        otherwise="Seeds have no distance to compare with.",
    )  # fmt: skip
    return [*lines, "", raw_html(drawn), "", raw_html(_distance_table(tests, stored))]


def _distance_table(tests: pd.DataFrame, stored: Stored) -> str:
    """One row for each strategy that ``full`` is compared with, all scales together."""
    chosen = beside(tests[(tests["baseline"] == stored.baseline) & (tests["sign"] == "absolute")], stored.full)
    chosen = chosen[chosen["scale"] == "all"]
    columns = (chosen[name] for name in ("between", "within", "p_run", "reason"))
    chosen = chosen.assign(
        text=[
            f"{between:.3f} / {within:.3f}, p\u00a0=\u00a0{p:.2g}" if known else str(reason)
            for known, between, within, p, reason in zip(chosen["p_run"].notna(), *columns, strict=True)
        ]
    )
    table = chosen.pivot_table(index="other", columns="measure", values="text", aggfunc="first", sort=False)
    table = table[[name for name in _DISTANCES if name in table]].rename(columns=_DISTANCES).reset_index()
    least = [float(p) for p in chosen["p_run_smallest"].dropna()]
    possible = f"; this many seeds could reach p = {max(least):.1g}" if least else ""
    return table_html(
        table,
        caption=f"Mean distance to {stored.full} / between seeds, and the one-sided p of permuted runs{possible}",
        headings={"other": "strategy"},
    )


_DISTANCES = {"jensen_shannon": "Jensen–Shannon", "spearman": "1 − Spearman", "rank_biased_overlap": "1 − RBO"}


def _controls(stored: Stored) -> list[str]:
    from compliance_xai.figures.noise_figures import draw_controls

    outcome = stored.study.get("tests", {}).get("C2", {}).get("outcome", "normalised_entropy")
    drawn = stored.draw(
        draw_controls, stored.read("controls"), first=stored.full, baseline=stored.baseline,
        title=f"difference in {outcome.replace('_', ' ')}", otherwise="No strategy to compare with.",
    )  # fmt: skip
    return [raw_html(drawn)]


def _protocols(stored: Stored) -> list[str]:
    from compliance_xai.figures.focus_figures import PROTOCOLS, draw_protocols

    baseline = (stored.attribution.get("picked_baselines") or [stored.baseline])[0]
    picks, pairs = stored.read("protocol_picks"), stored.read("protocol_pairs")
    drawn = stored.draw(
        draw_protocols, pairs, first=stored.full, baseline=baseline, scales=stored.scales,
        otherwise="No protocol was reached by two strategies.",
    )  # fmt: skip
    reached = picks.groupby(["protocol", "scale", "strategy"], sort=False).agg(
        seeds=("seed", "size"), reached=("reached", "sum"), steps=("step", "mean"), loss=("loss", "mean")
    )
    table = reached.reset_index()
    table["protocol"] = table["protocol"].map(PROTOCOLS)
    lines = [raw_html(drawn), ""]
    short = table[table["reached"] < table["seeds"]]
    caption = "Strategies that a protocol did not reach with every seed; the seeds that did are compared"
    lines += [raw_html(table_html(short, caption=caption, formats={"steps": ".0f", "loss": ".4f"}))]
    return [*lines, "", raw_html(_protocol_table(pairs[pairs["baseline"] == baseline], stored))]


def _protocol_table(pairs: pd.DataFrame, stored: Stored) -> str:
    """Differences of ``full`` to each other strategy, all scales together, a column for each protocol."""
    from compliance_xai.figures.focus_figures import PROTOCOLS

    own = beside(pairs[(pairs["measure"] == "normalised_entropy") & (pairs["sign"] == "absolute")], stored.full)
    own = own[own["scale"] == "all"]
    turn = np.where(own["strategy_a"] == stored.full, 1.0, -1.0)
    ends = np.sort([turn * own["low"], turn * own["high"]], axis=0)
    own = own.assign(difference=turn * own["mean_difference"], low=ends[0], high=ends[1])
    own = own.assign(
        text=[
            f"{text}, p\u00a0=\u00a0{p:.2g}"
            for text, p in zip(_interval(own, "difference"), own["p_holm"], strict=True)
        ]
    )
    table = own.pivot_table(index="other", columns="protocol", values="text", aggfunc="first", sort=False)
    table = table[[name for name in PROTOCOLS if name in table]].rename(columns=PROTOCOLS).reset_index()
    return table_html(
        table,
        caption=f"Normalised entropy, {stored.full} less the other, all scales: mean over clauses with 95 % bootstrap "
        "interval, and Wilcoxon's p after Holm's correction",
        headings={"other": "strategy"},
    )


def _lift(stored: Stored) -> list[str]:
    from compliance_xai.figures.comparison_figures import draw_category_lift, draw_lift_by_scale

    lift, options = stored.read("lift"), {"baseline": stored.baseline}
    lines = [raw_html(stored.draw(draw_lift_by_scale, lift, **options, otherwise="No such words in this corpus.")), ""]
    trends = stored.read("trends")
    trends = trends[(trends["baseline"] == stored.baseline) & (trends["sign"] == "absolute")]
    trends = trends[trends["category"].isin(("numerical_constraint", "rule_identifier_all"))]
    trends = trends.assign(
        text=[
            f"{text}, p\u00a0=\u00a0{page:.2g} and\u00a0{run:.2g}" if text else reason
            for text, page, run, reason in zip(
                _interval(trends, "slope"), trends["page_p"], trends["p_run"], trends["reason"], strict=True
            )
        ]
    )
    table = trends.pivot_table(index="strategy", columns="category", values="text", aggfunc="first", sort=False)
    table = table_html(
        table.reset_index(),
        caption="Slope of log lift for each factor of ten in parameters: mean over clauses with 95 % bootstrap "
        "interval, and p of Page's test and of permuted runs",
        headings={
            "rule_identifier_all": "rule identifiers, references",
            "numerical_constraint": "numerical constraints",
        },
    )
    return [*lines, raw_html(table), "", raw_html(stored.draw(draw_category_lift, lift, **options, otherwise="None."))]


def _plateau(stored: Stored) -> list[str]:
    steps = stored.read("equivalence")
    numbers = ["mean_a", "mean_b", "mean_difference", "low", "high", "margin", "p_tost", "p_tost_run"]
    known = [name for name in ("strategy", "a", "b", "n", "n_runs", *numbers, "equivalent", "reason") if name in steps]
    caption = "Neighbouring scales: the same within the margin? Two one-sided tests, 90 % interval over clauses"
    return [
        raw_html(
            table_html(
                steps[known],
                caption=caption,
                headings={"n": "clauses", "n_runs": "pairs of runs", "mean_difference": "difference"}
                | {"p_tost": "p same, clauses", "p_tost_run": "p same, runs"},
                formats=dict.fromkeys(numbers, ".3f"),
            )
        )
    ]


def _faithful(stored: Stored) -> list[str]:
    from compliance_xai.figures.faithfulness_figures import draw_faithfulness, draw_removal_curves

    operators = stored.study.get("faithfulness", {}).get("operators", ["mask"])
    options = {"attribution": stored.baseline, "operator": operators[0], "otherwise": "Nothing was judged."}
    drawn = [stored.draw(draw_faithfulness, stored.read("area_summary"), **options)]
    drawn.append(stored.draw(draw_removal_curves, stored.read("curve_summary"), **options))
    return [raw_html(drawn[0]), "", raw_html(drawn[1])]


def _detector(stored: Stored) -> list[str]:
    from compliance_xai.figures.faithfulness_figures import draw_reliability, draw_signals
    from compliance_xai.stats.error_detector import describe_gain

    signals, regressions = stored.read("signals"), stored.read("regressions")
    said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in describe_gain(signals, regressions))
    drawn = stored.draw(draw_signals, signals, otherwise="Too few wrong elements were written to tell.")
    lines = [raw_html(said), "", raw_html(drawn)]
    bins = stored.read("bins")
    nothing = "Too few wrong elements were written to calibrate on."
    return [*lines, "", raw_html(stored.draw(draw_reliability, bins, otherwise=nothing))] if len(bins) else lines


def _contexts(stored: Stored) -> list[str]:
    from compliance_xai.figures.faithfulness_figures import draw_by_context, draw_distance_by_context
    from compliance_xai.stats.contexts import MEASURES, describe_held_out, describe_separation

    held_out, by_context = stored.read("held_out"), stored.read("by_context")
    held_out = held_out[held_out["baseline"].isin((stored.baseline, ""))]
    said = "".join(f"<p>{html.escape(describe_held_out(held_out, measure))}</p>" for measure in MEASURES)
    lines = [raw_html(said)]
    for measure in ("normalised_entropy", "precision_at_k"):
        label = MEASURES[measure]
        drawn = stored.draw(
            draw_by_context, by_context, measure, label=label, baseline=stored.baseline,
            otherwise=f"Nothing to show for {label}.",
        )  # fmt: skip
        lines += ["", raw_html(drawn)]
    apart = stored.read("distance_by_context")
    if len(apart):
        said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in describe_separation(apart, stored.full))
        nothing = "Seeds have no distance to compare with."
        drawn = stored.draw(draw_distance_by_context, apart, first=stored.full, otherwise=nothing)
        lines += ["", raw_html(said), "", raw_html(drawn)]
    return lines


def _costs(stored: Stored) -> list[str]:
    from compliance_xai.figures.movement_figures import draw_movement

    costs = stored.read("training")
    kinds = {name: settings["kind"] for name, settings in stored.study.get("strategies", {}).items()}
    costs = costs.assign(
        what=[KINDS.get(kinds.get(name, name), "") for name in costs["strategy"]],
        share=costs["trained"] / costs["parameters"],
        memory=costs["peak_memory_bytes"] / 2**20,
    )
    numbers = ["trained", "share", "validation_loss", "seconds", "memory"]
    table = table_html(
        costs.groupby(["scale", "strategy", "what"], sort=False)[numbers].mean().reset_index(),
        caption="Means over training seeds; time and memory are those of the machine and of the whole process",
        headings={"what": "what is trained", "trained": "trained parameters", "share": "share of all"}
        | {"validation_loss": "validation loss (nats per rule token)", "memory": "peak memory (MiB)"},
        formats={"trained": ",.0f", "share": ".1%", "validation_loss": ".4f", "seconds": ".1f", "memory": ".0f"},
    )
    moved = stored.read("movement")
    if moved.empty:
        return [raw_html(table)]
    largest = stored.scales[-1]
    moved = moved[moved["scale"] == largest]
    return [
        raw_html(table),
        "",
        raw_html(stored.draw(draw_movement, moved, where=largest, otherwise="Nothing moved.")),
    ]


_SECTIONS: tuple[tuple[str, tuple[str, ...], Callable[[Stored], list[str]]], ...] = (
    ("Does attribution point at the right words?", ("correctness",), _correctness),
    ("How good are the rules?", ("quality",), _quality),
    ("Which mistakes go away with size?", ("error_shares",), _errors),
    ("How focused is attribution?", ("summary",), _focus),
    ("The declared test of focus: one mixed model", ("mixed",), _mixed),
    ("The same, or merely not different?", ("strategy_equivalence",), _same),
    ("Different patterns, or different seeds?", ("distance_tests",), _distances),
    ("At equal confidence, and for short and long clauses", ("controls",), _controls),
    ("At equal compute, at equal loss, and each at its best", ("protocol_picks", "protocol_pairs"), _protocols),
    ("Numerical constraints and rule identifiers", ("lift", "trends"), _lift),
    ("Is there a plateau?", ("equivalence",), _plateau),
    ("Does the model depend on the words that score high?", ("area_summary", "curve_summary"), _faithful),
    ("Does attribution find errors?", ("signals", "regressions"), _detector),
    ("By regulatory context, the held-out one among them", ("held_out", "by_context"), _contexts),
    ("What was trained, and at what cost", ("training",), _costs),
)
"""Title, the tables that it cannot do without, and what writes it."""


def _describe(manifest: Mapping[str, Any]) -> str:
    machine = manifest["machine"]
    note = f" {manifest['note']}" if manifest["note"] else ""
    return (
        f"Run on {manifest['finished']} with compliance_xai {manifest['version']} on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory']}.{note} "
        f"The study's settings and these tables lie in `{STORED.as_posix()}/{manifest['study']['name']}`."
    )


def _settings(manifest: Mapping[str, Any]) -> pd.DataFrame:
    """What was run, in words, a row for each setting that the export names."""
    import pandas as pd

    study, machine = manifest["study"], manifest["machine"]
    attribution, corpus = study.get("attribution", {}), study.get("corpus", {})
    methods = [attribution.get("method", "leave_one_out"), attribution.get("second_method")]
    ladder = study.get("ladder", "")
    rows = {
        "corpus": corpus.get("source"),
        "rules written for": corpus.get("evaluate_on"),
        "ladder": ladder if isinstance(ladder, str) else ladder.get("source"),
        "scales": _list(study.get("scales")),
        "strategies": _list(study.get("strategies")),
        "training seeds": _list(study.get("seeds")),
        "protocols": _list(study.get("protocols")),
        "attributed clauses": attribution.get("clauses"),
        "ways of taking a word away": _list(attribution.get("baselines")),
        "methods of attribution": _list(filter(None, methods)),
        "tests and margins": "; ".join(f"{claim}: {_pairs(test)}" for claim, test in study.get("tests", {}).items()),
        "thresholds": _pairs(study.get("thresholds", {})),
        "time of all notebooks": _hours(manifest.get("seconds")),
        "largest memory of a process": _memory(manifest.get("peak_memory_bytes")),
        "machine": ", ".join(str(value) for value in machine.values()),
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.get("versions", {}).items()),
    }
    rows = {name: str(value) for name, value in rows.items() if value not in (None, "")}
    return pd.DataFrame(rows.items(), columns=pd.Index(["setting", "value"]))


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}".replace("_", " ") for name, value in values.items())


def _list(names: Any) -> str:
    return ", ".join(str(name).replace("_", " ") for name in names or ())


def _hours(seconds: Mapping[str, float] | None) -> str:
    return f"{sum(seconds.values()) / 3600:.1f} hours" if seconds else ""


def _memory(count: int | None) -> str:
    return f"{count / 2**30:.1f} GiB" if count else ""
