"""The data of the attribution explorer: finished runs -> scripts that its page loads from the file system.

One script says what there is (``index.js``: clauses, strategies, seeds), one for each scale holds scores and written
rules and is loaded when a reader picks that scale. Scripts rather than JSON, since a page that was opened from the file
system may load nothing else. Clauses and rules are data in them; the page shows them as text.
"""

from __future__ import annotations

import base64
import difflib
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compliance_xai.attribution.review_items import PART
from compliance_xai.errors import InputError
from compliance_xai.figures.theme import style_strategies
from compliance_xai.files import digest, sha256_file
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.grid import stage_folder
from compliance_xai.pipeline.manifests import MANIFEST
from compliance_xai.pipeline.review import read_reviewed
from compliance_xai.pipeline.stores import keep_file
from compliance_xai.records import Attribution, Example, attribution_from_row, read_attribution_rows, read_records
from compliance_xai.study.labels import format_parameters, size_label
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study

FOLDER = Path("book") / "runs" / "_static" / "explorer"
LEXEME = re.compile(r"\d+(?:\.\d+)*|[^\W\d]\w*(?:\.\w+)*|\w+|\W+")
"""What a reader takes for one piece of a rule: a number, a name with its dots, or the marks between them."""
_COMPARED = re.compile(r"\d+(?:\.\d+)*|\w+|\W")

STEPS = 127
"""A score is stored as one signed byte, in steps of 1/127 of the largest score of its column."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Run:
    """What one cell left: its attributions by seed and baseline, in the order of the clauses, and its tables."""

    strategy: str
    blocks: dict[tuple[int, str], list[Attribution]]
    focus: pd.DataFrame
    written: pd.DataFrame


def write_explorer(study: Study, project: Path) -> Path:
    """Write the explorer's scripts for a study; gives their folder.

    Cells without finished attributions are left out. Nothing is written where no result and no code changed.

    Raises
    ------
    InputError
        If two runs of one scale do not explain the same clauses and rules.
    """
    folder = project / FOLDER
    keep_file(folder / "index.js", _describe(study), lambda: _write_scripts(study, folder))
    return folder


def _write_scripts(study: Study, folder: Path) -> str:
    """Write a script for each scale; returns that of what there is."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scales: list[dict[str, Any]] = []
    clauses: list[Attribution] = []
    for scale in study.scales:
        runs = [run for name in study.strategies if (run := _read_run(study, scale, name)) is not None]
        if not runs:
            continue
        file = f"scale-{len(scales)}.js"
        clauses = clauses or next(iter(runs[0].blocks.values()))
        call = f"explorerData.take({_to_json(scale)},{_to_json(describe_scale(study, scale, runs, clauses))});\n"
        folder.joinpath(file).write_text(call, encoding="utf-8")
        scales.append({"name": scale, "file": file, "strategies": [run.strategy for run in runs]})
    return f"window.explorerData = {_to_json(describe_study(study, scales, clauses))};"


def describe_study(study: Study, scales: list[dict[str, Any]], clauses: Sequence[Attribution]) -> dict[str, Any]:
    """What there is to choose from: scales, strategies, seeds, baselines, and the clauses with their words."""
    counts = {rung.name: rung.parameters for rung in load_ladder(study.ladder).rungs} if scales else {}
    examples = _read_examples(study)
    ran = [name for name in study.strategies if any(name in scale["strategies"] for scale in scales)]
    return {
        "study": study.name,
        "scales": [
            scale | {"label": size_label(scale["name"]), "size": format_parameters(counts[scale["name"]])}
            for scale in scales
        ],
        "strategies": [
            {"name": name, "label": style.label, "colour": style.colour, "seeds": study.seeds_of(name)}
            for name, style in style_strategies(ran).items()
        ],
        "seeds": list(study.seeds),
        "baselines": list(study.attribution.baselines),
        "clauses": [_describe_clause(attribution, examples.get(attribution.id)) for attribution in clauses],
    }


def _describe_clause(attribution: Attribution, example: Example | None) -> dict[str, Any]:
    links = example.alignment if example and example.rule == attribution.target else ()
    return {
        "id": attribution.id,
        "context": example.context if example else "",
        "clause": attribution.clause,
        "rule": attribution.target,
        "words": [[feature.start, feature.end, feature.category] for feature in attribution.features],
        "links": [[link.kind, link.start, link.end, [list(span) for span in link.spans]] for link in links],
    }


def describe_scale(study: Study, scale: str, runs: Sequence[Run], clauses: Sequence[Attribution]) -> dict[str, Any]:
    """Scores, focus, distances and written rules of one scale.

    Keys are joined by ``|``: ``strategy|seed|baseline`` for scores and focus, ``strategy|seed`` for written rules,
    ``strategy|seed|strategy|seed|baseline`` for distances. Lists follow ``clauses``.
    """
    pieces = [cut_pieces(attribution) for attribution in next(iter(runs[0].blocks.values()))]
    data: dict[str, Any] = {"pieces": pieces, "scores": {}, "focus": {}, "written": {}, "distances": {}}
    for run in runs:
        for (seed, baseline), attributions in run.blocks.items():
            _check_same(attributions, clauses, pieces, f"{scale}, {run.strategy}, seed {seed}, {baseline}")
            name = f"{run.strategy}|{seed}|{baseline}"
            data["scores"][name] = pack_scores(attributions, pieces)
            focus = run.focus[(run.focus["seed"] == seed) & (run.focus["baseline"] == baseline)]
            data["focus"][name] = _in_order(focus, clauses, "normalised_entropy")
        for seed, rows in run.written.groupby("seed"):
            by_id: dict[str, Any] = {row["id"]: row for row in rows.to_dict("records")}
            data["written"][f"{run.strategy}|{seed}"] = [
                _describe_written(by_id.get(attribution.id), attribution.target) for attribution in clauses
            ]
    data["distances"] = _read_distances(study, scale, clauses)
    return data


def cut_pieces(attribution: Attribution) -> list[Span]:
    """The pieces of the explained rule that a reader can point at: spans that tokens and lexemes have in common.

    A word that the tokenizer splits is one piece. A token that spans several lexemes is not cut. The token that ends
    the rule has no characters, so the last piece is the empty span at the end.
    """
    starts = {match.start() for match in LEXEME.finditer(attribution.target)}
    tokens = [token for token in attribution.target_tokens if token.end > token.start]
    cuts = [token.start for token in tokens if token.start in starts]
    length = tokens[-1].end if tokens else 0
    return [*zip(cuts, [*cuts[1:], length], strict=True), (length, length)]


def pack_scores(attributions: Iterable[Attribution], pieces: Iterable[Sequence[Span]]) -> dict[str, str]:
    """Scores of each clause's words towards the whole rule and each piece of it, as base64.

    Returns
    -------
    dict
        ``peaks``: float32, the largest absolute score of each column in nats. ``steps``: int8, words x columns row by
        row; a score is ``step * peak / 127``. The columns are the whole rule, then its pieces; clauses follow another.
    """
    peaks, steps = [], []
    for attribution, spans in zip(attributions, pieces, strict=True):
        columns_FC = _sum_pieces(attribution, spans)
        peak_C = np.abs(columns_FC).max(axis=0)
        steps.append(np.rint(columns_FC / np.where(peak_C > 0, peak_C, 1.0) * STEPS).astype(np.int8).ravel())
        peaks.append(peak_C.astype("<f4"))
    return {"peaks": _to_base64(peaks), "steps": _to_base64(steps)}


def _sum_pieces(attribution: Attribution, spans: Sequence[Span]) -> np.ndarray:
    """Nats, shape (features, 1 + pieces). Log-probabilities of tokens add up, so these sums are exact."""
    scores_FT = attribution.scores.astype(np.float64)
    starts = np.array([start for start, _ in spans])
    # An empty token at the end belongs to the empty last piece; searchsorted puts it there.
    piece_T = np.searchsorted(starts, [token.start for token in attribution.target_tokens], side="right") - 1
    empty_T = np.array([token.end <= token.start for token in attribution.target_tokens])
    piece_T[empty_T] = len(spans) - 1
    columns_FC = np.zeros((len(scores_FT), 1 + len(spans)))
    columns_FC[:, 0] = scores_FT.sum(axis=1)
    np.add.at(columns_FC.T, 1 + piece_T, scores_FT.T)
    return columns_FC


def find_changes(written: str, reference: str) -> list[Span]:
    """The parts of a written rule that the reference does not have, lexeme by lexeme.

    Examples
    --------
    >>> find_changes("if(exist(door))", "if(exist(stair))")
    [(9, 13)]
    """
    spans = [match.span() for match in _COMPARED.finditer(written)]
    matcher = difflib.SequenceMatcher(None, _COMPARED.findall(reference), _COMPARED.findall(written), autojunk=False)
    return [
        (spans[start][0], spans[end - 1][1])
        for kind, _, _, start, end in matcher.get_opcodes()
        if kind != "equal" and end > start
    ]


def _describe_written(row: dict[str, Any] | None, reference: str) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "rule": row["rule"],
        "changes": find_changes(row["rule"], reference),
        "exact": bool(row["exact"]),
        "answer": row["answer"],
        "case": row["counterexample"],
        "errors": row["errors"],
        "items": row["items"],
    }


def _check_same(
    found: Sequence[Attribution], clauses: Sequence[Attribution], pieces: Sequence[Sequence[Span]], where: str
) -> None:
    """All runs must explain the same clauses, and those of one scale with the same tokens."""

    def name(attribution: Attribution) -> tuple[str, str, Any]:
        return attribution.id, attribution.target, attribution.features

    same = [name(attribution) for attribution in found] == [name(attribution) for attribution in clauses]
    if not same or [cut_pieces(attribution) for attribution in found] != list(pieces):
        raise InputError(
            f"explorer, {where}",
            expected=f"the {len(clauses)} clauses, rules, words and tokens of the other runs",
            found=f"{len(found)} clauses, or others",
            remedy="Attribute the same clauses with the same unit in every cell.",
        )


def _read_run(study: Study, scale: str, strategy: str) -> Run | None:
    """A cell's results by the study's first method; None where its attributions are not finished."""
    method = study.attribution.method
    folder = stage_folder(study.name, "attribute", scale, strategy)
    if not _is_finished(folder) or not (folder / "attributions.parquet").is_file():
        return None
    blocks: dict[tuple[int, str], list[Attribution]] = {}
    for row in read_attribution_rows(folder / "attributions.parquet"):
        attribution = attribution_from_row(row)
        if attribution.provenance["method"] == method:
            blocks.setdefault((row["seed"], row["baseline"]), []).append(attribution)
    focus = pd.read_parquet(folder / "focus.parquet")
    focus = focus[(focus["sign"] == "absolute") & (focus["method"] == method)]
    return Run(strategy, blocks, focus, _read_written(study, scale, strategy))


def _read_written(study: Study, scale: str, strategy: str) -> pd.DataFrame:
    """Written rules: ``id, seed, rule, exact, answer, counterexample``, ``errors`` (kinds, each once) and ``items`` of
    a review (or None); empty where none are finished."""
    folder = stage_folder(study.name, "generate", scale, strategy)
    if not _is_finished(folder):
        return pd.DataFrame(columns=["id", "seed"])
    keys = ["id", "seed"]
    rules, scores, verdicts, errors = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("generations", "scores", "verdicts", "errors")
    )
    kinds = errors.groupby(keys)["kind"].agg(lambda found: list(dict.fromkeys(found))).rename("errors")
    answers = verdicts[[*keys, "answer", "counterexample"]]
    joined = rules[[*keys, "rule"]].merge(scores[[*keys, "exact"]], on=keys).merge(answers, on=keys, how="left")
    joined = joined.merge(kinds, on=keys, how="left")
    joined["errors"] = [found if isinstance(found, list) else [] for found in joined["errors"]]
    reviewed = read_reviewed(study, scale, strategy) if study.strategies[strategy].trains else {}
    found = [_describe_items(reviewed.get(pair)) for pair in zip(joined["seed"], joined["id"], strict=True)]
    joined["items"] = pd.Series(found, index=joined.index, dtype=object)
    return joined


def _describe_items(items: list[dict[str, Any]] | None) -> list[list[Any]] | None:
    """What a reviewer sees of a rule: its parts, and what is flagged of the clause's words and the rule as a whole.

    For each ``item, text, start, end``, its chance of an error, its probability, the words that it rests on, and flags.
    """
    if items is None:
        return None
    shown = [item for item in items if item["item"] == PART or item["says"]]
    numbers = [
        [None if np.isnan(item[name]) else round(item[name], 3) for name in ("chance", "probability")] for item in shown
    ]
    return [[item["item"], item["text"], item["start"], item["end"], *pair, item["words"], item["says"]]
            for item, pair in zip(shown, numbers, strict=True)]  # fmt: skip


def _read_distances(study: Study, scale: str, clauses: Sequence[Attribution]) -> dict[str, list[float | None]]:
    """Jensen-Shannon distances between strategies, seed by seed; the untouched base goes with every seed."""
    folder = stage_folder(study.name, "compare_strategies")
    if not _is_finished(folder):
        return {}
    frame = pd.read_parquet(folder / "distances.parquet")
    frame = frame[(frame["scale"] == scale) & (frame["method"] == study.attribution.method)]
    frame = frame[(frame["sign"] == "absolute") & (frame["pair"] == "between")]
    found = {}
    keys = ["strategy_a", "seed_a", "strategy_b", "seed_b", "baseline"]
    for key, rows in frame.groupby(keys, sort=False):
        a, seed_a, b, seed_b, _ = map(str, key)
        if seed_a == seed_b or not (study.strategies[a].trains and study.strategies[b].trains):
            found["|".join(map(str, key))] = _in_order(rows, clauses, "jensen_shannon")
    return found


def _in_order(frame: pd.DataFrame, clauses: Sequence[Attribution], column: str) -> list[float | None]:
    values = dict(zip(frame["id"], frame[column], strict=True))
    return [None if np.isnan(value := values.get(c.id, np.nan)) else round(float(value), 3) for c in clauses]


def _read_examples(study: Study) -> dict[str, Example]:
    path = stage_folder(study.name, "corpus") / "examples.parquet"
    return {example.id: example for example in read_records(Example, path)} if path.is_file() else {}


def _is_finished(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _describe(study: Study) -> str:
    """Digest of the results that the scripts are made from, and of the code that makes them."""
    cells = [(name, *cell) for cell in study.cells() for name in ("attribute", "generate")]
    folders = [
        stage_folder(study.name, *cell) for cell in [("corpus",), ("compare_strategies",), ("faithfulness",), *cells]
    ]
    manifests = {str(place): sha256_file(folder / MANIFEST) if _is_finished(folder) else ""
                 for place, folder in enumerate(folders)}  # fmt: skip
    code = code_digest(ROOMS)
    return digest({"study": study.model_dump(mode="json"), "manifests": manifests, "code": code})


def _to_base64(parts: Sequence[np.ndarray]) -> str:
    return base64.b64encode(b"".join(part.tobytes() for part in parts)).decode("ascii")


def _to_json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
