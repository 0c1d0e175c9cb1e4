"""Parts of the book's chapters that are computed when it is built, so that no number in them is typed."""

from collections.abc import Callable
from pathlib import Path

from compliance_xai.book import evidence, landing, strategy_parts
from compliance_xai.book import worked_example as worked
from compliance_xai.book.markup import raw_html
from compliance_xai.files import digest
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.grid import stage_folder
from compliance_xai.pipeline.running import Plan
from compliance_xai.pipeline.stores import keep_file, write_changed
from compliance_xai.pipeline.summary_stage import DESCRIPTION, STORED, open_summary

CHAPTERS = {"nzbc": "new_zealand"}
"""Chapters about stored studies, where they have another name than the study."""
REFERENCE = "reference"
"""The stored study whose results are on the landing page, and its chapter."""


def write_parts(project: Path, plan: Plan) -> list[Path]:
    """Write the computed parts into ``book/runs``, which chapters include; an unchanged one is left alone.

    The rule under review comes from one of the trained models of the book's study. Returns the parts, by name.
    """
    runs, study = project / "book" / "runs", plan.study
    runs.mkdir(parents=True, exist_ok=True)
    static, cell = runs / "_static", next(iter(worked.find_trained(plan)), None)
    summaries = {project / STORED / REFERENCE: f"runs/stored/{REFERENCE}.html"}
    summaries[stage_folder(study.name, "summary")] = f"runs/{study.name}/{{}}.html"
    code = code_digest(ROOMS)
    slow: dict[str, tuple[str, Callable[[], str]]] = {  # models and solvers, asked again only if the key is another
        "worked_scores": (code, worked.format_scores),
        "worked_verdicts": (code, worked.format_verdicts),
        "worked_plan": (strategy_parts.plan_key(), strategy_parts.format_plan),
        "worked_review": (digest([code, cell]), lambda: worked.format_review(study, cell)),
        "worked_score": (digest([code, cell]), lambda: worked.format_score(study, cell)),
    }
    quick: dict[str, Callable[[], str]] = {
        "worked_features": worked.format_features,
        "speed": lambda: evidence.format_speed(project),
        "landing": lambda: landing.format_landing(summaries),
        "reviewed": lambda: evidence.format_reviews(project, study.name),
        "verdicts": lambda: raw_html(evidence.format_findings(project)),
        "strategies_kinds": strategy_parts.format_kinds,
        "strategies_ladders": strategy_parts.format_ladders,
        "strategies_pretraining": lambda: strategy_parts.format_pretraining(static / "pretraining"),
        "strategies_costs": lambda: strategy_parts.format_costs(study),
    }
    files: dict[str, tuple[Path, Callable[[Path], str]]] = {
        "power": (evidence.POWER, lambda path: raw_html(evidence.format_power(path, static / "power"))),
        "measured_planner": (evidence.MEASURED / "planner.json", evidence.format_planned),
        "measured_training": (evidence.MEASURED / "training.json", evidence.format_training),
        "agreement": (evidence.AGREEMENT, evidence.format_agreement),
        "citation": (Path("CITATION.cff"), landing.format_citation),
    }
    texts = {name: make() for name, make in quick.items()}
    texts |= {name: make(project / file) for name, (file, make) in files.items() if (project / file).is_file()}
    for name, (key, make) in slow.items():
        keep_file(runs / f"{name}.md", key, make)
    write_short(runs / "short", project, plan)
    written = [write_changed(runs / f"{name}.md", text.rstrip("\n") + "\n") for name, text in texts.items()]
    return sorted([*written, *(runs / f"{name}.md" for name in slow)])


def write_short(folder: Path, project: Path, plan: Plan) -> list[Path]:
    """Write what each page of results found, in a few sentences, where ``page_anatomy`` looks for it."""
    texts: dict[str, str] = {}
    for stored in sorted(project.joinpath(STORED).glob(f"*/{DESCRIPTION}")):
        told = landing.format_short(open_summary(stored.parent))("summary")
        name = stored.parent.name
        texts |= {f"runs/stored/{name}": told, CHAPTERS.get(name, name): told}
    own = stage_folder(plan.study.name, "summary")
    if (own / DESCRIPTION).is_file():
        tell = landing.format_short(open_summary(own))
        texts |= {chapter: tell(chapter) for chapter in ("practice", "strategies")}
        for name, job in plan.jobs.items():
            texts[f"runs/{plan.study.name}/{name}"] = tell(job.stage, job.scale or "", job.strategy or "")
    told = {name: text for name, text in texts.items() if text.strip()}
    return [write_changed(folder / f"{name}.html", text) for name, text in told.items()]
