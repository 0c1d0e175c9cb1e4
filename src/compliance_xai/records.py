"""The nouns of the project as frozen records, and their Parquet files.

Every stage takes and returns these. Character spans are half-open ``[start, end)`` offsets into the untouched text.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from compliance_xai.errors import InputError
from compliance_xai.files import write_atomic

SPLITS = ("train", "validation", "test", "document")
"""``document`` is the held-out regulatory context (synthetic) or the held-out documents (published table)."""

RULE_IDENTIFIER = ("rule_identifier", "cross_reference")
NUMERICAL_CONSTRAINT = ("number", "unit", "comparator")
CATEGORIES = (
    *RULE_IDENTIFIER,
    *NUMERICAL_CONSTRAINT,
    *("deontic", "condition", "negation", "object", "property", "other"),
)
"""Feature categories, in the order every table and figure shows them."""
Record = TypeVar("Record")


@dataclass(frozen=True)
class Link:
    """One gold alignment: the clause spans that decide one element of the rule.

    ``kind`` names the element (``value``, ``unit``, ``comparator``, ``object``, ``property``, ``deontic``,
    ``condition``, ``exception``, ``negation``, ``reference``, ``identifier``, ...); ``start``/``end`` are its
    characters in the rule, ``spans`` the deciding characters in the clause.
    """

    kind: str
    start: int
    end: int
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Example:
    """A clause, its reference rule and, on the synthetic corpus, which clause spans decide which rule elements.

    ``identifier_role`` and ``number_role`` say what the clause's own identifier (or an extra number) does to the
    rule: ``decides``, ``distracts`` or ``absent``; empty if unknown (natural corpora).
    """

    id: str
    clause: str
    rule: str
    context: str
    split: str
    alignment: tuple[Link, ...] = ()
    identifier_role: str = ""
    number_role: str = ""


@dataclass(frozen=True)
class Feature:
    """An interpretive feature: a character span of the clause and its category (one of ``CATEGORIES``)."""

    start: int
    end: int
    text: str
    category: str


@dataclass(frozen=True)
class TargetToken:
    """One token of the explained rule, with its character span in the rule (empty span for the end-of-text token)."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Generation:
    """The rule a model wrote for one clause. ``stopped`` is False if the token limit cut it off."""

    id: str
    seed: int
    rule: str
    tokens: int
    stopped: bool


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each feature of a clause contributes to each token of a target text.

    Attributes
    ----------
    id
        The clause's id.
    clause, target
        The untouched clause and the text whose log-probability is explained.
    features
        ``F`` features; character spans of ``clause``.
    target_tokens
        ``T`` tokens; character spans of ``target``.
    scores
        float32, shape (F, T), nats, signed: log p(token | clause) - log p(token | clause with the feature perturbed).
        Positive: the feature makes the token more likely.
    baseline_log_probs
        float32, shape (T,), nats: log p(token | untouched clause).
    provenance
        Method, unit, baseline, model and engine settings; JSON-serialisable.
    standard_errors
        float32, shape (F, T), nats: standard errors of scores that were sampled; None for exact methods.
    """

    id: str
    clause: str
    target: str
    features: tuple[Feature, ...]
    target_tokens: tuple[TargetToken, ...]
    scores: np.ndarray
    baseline_log_probs: np.ndarray
    provenance: dict[str, Any] = field(default_factory=dict)
    standard_errors: np.ndarray | None = None

    def tokens_in(self, start: int, end: int) -> np.ndarray:
        """Which target tokens share a character with the half-open span ``[start, end)`` of the target; bool, (T,)."""
        tokens = self.target_tokens
        return np.array([token.start < min(end, token.end) and start < token.end for token in tokens], dtype=bool)

    def sum_spans(self, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Scores towards parts of the target.

        Log-probabilities of tokens add up to that of their text, so this sum is exact for every method. (Sums over
        features are not: two words that say the same can each be removed without harm.)

        Parameters
        ----------
        spans
            ``S`` half-open character spans of ``target``; a token counts if it shares a character with the span.

        Returns
        -------
        float32, shape (F, S)
            Nats.

        Raises
        ------
        InputError
            If a span contains no token.
        """
        columns = []
        for start, end in spans:
            inside_T = self.tokens_in(start, end)
            if not inside_T.any():
                where = f"clause {self.id}, span ({start}, {end})"
                expected = f"characters of the target, 0 to {len(self.target)}"
                remedy = "Give half-open spans of the explained text."
                raise InputError(where, expected=expected, found="no token there", remedy=remedy)
            columns.append(self.scores[:, inside_T].sum(axis=1, dtype=np.float64))
        return np.array(columns, dtype=np.float32).T.reshape(len(self.features), len(spans))

    def to_frame(self) -> pd.DataFrame:
        """One row per feature and target token, features in text order.

        Returns
        -------
        pandas.DataFrame
            ``id``; ``feature`` (from 0), ``start, end, text, category``; ``token`` (from 0), ``token_start, token_end,
            token_text``; ``score`` (nats), ``standard_error`` (nats; NaN for exact methods).
        """
        features = _number_rows(self.features, Feature, "feature")
        tokens = _number_rows(self.target_tokens, TargetToken, "token", prefix="token_")
        frame = features.merge(tokens, how="cross")
        frame.insert(0, "id", self.id)
        errors = np.full(self.scores.shape, np.nan) if self.standard_errors is None else self.standard_errors
        return frame.assign(score=self.scores.ravel(), standard_error=errors.astype(np.float32).ravel())

    def to_parquet(self, path: Path | str) -> Path:
        """Write one row of ``ATTRIBUTION_SCHEMA``; ``from_parquet`` gives the same record back."""
        seed, baseline = self.provenance.get("seed", 0), self.provenance.get("baseline", "")
        return write_attributions([attribution_row(self, seed=seed, baseline=baseline)], path)

    @classmethod
    def from_parquet(cls, path: Path | str) -> Attribution:
        """Read what ``to_parquet`` wrote.

        Raises
        ------
        InputError
            If the file does not hold exactly one attribution.
        """
        rows = read_attribution_rows(path)
        if len(rows) != 1:
            found, remedy = f"{len(rows)} rows", "read_attribution_rows reads them all."
            raise InputError(str(path), expected="one attribution", found=found, remedy=remedy)
        return attribution_from_row(rows[0])


def _number_rows(records: Sequence[Any], kind: type, number: str, prefix: str = "") -> pd.DataFrame:
    """A row for every record, its number first."""
    frame = pd.DataFrame([*map(dataclasses.asdict, records)], columns=list(get_type_hints(kind)))
    return frame.add_prefix(prefix).rename_axis(number).reset_index()


_ARROW = {
    str: pa.string(),
    int: pa.int32(),
    bool: pa.bool_(),
    tuple[int, int]: pa.struct([("start", pa.int32()), ("end", pa.int32())]),
    np.ndarray: pa.list_(pa.float32()),
    np.ndarray | None: pa.list_(pa.float32()),
    dict[str, Any]: pa.string(),
}


def _arrow_fields(record: Any, **types: pa.DataType) -> list[pa.Field]:
    """The Parquet columns of a record, one for each field; ``types`` overrides the type that a field would have."""
    return [pa.field(name, types.get(name) or _arrow_type(hint)) for name, hint in get_type_hints(record).items()]


def _arrow_type(hint: Any) -> pa.DataType:
    if dataclasses.is_dataclass(hint):
        return pa.struct(_arrow_fields(hint))
    return _ARROW[hint] if hint in _ARROW else pa.list_(_arrow_type(get_args(hint)[0]))


def _from_arrow(hint: Any, value: Any) -> Any:
    """A value of the type ``hint``, from what Parquet makes of it."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint(**{name: _from_arrow(part, value[name]) for name, part in get_type_hints(hint).items()})
    if hint == tuple[int, int]:
        return tuple(value.values())
    return tuple(_from_arrow(get_args(hint)[0], part) for part in value) if get_origin(hint) is tuple else value


EXAMPLE_SCHEMA = pa.schema(_arrow_fields(Example))
GENERATION_SCHEMA = pa.schema(_arrow_fields(Generation, seed=pa.int64()))
_SCHEMAS: dict[type, pa.Schema] = {Example: EXAMPLE_SCHEMA, Generation: GENERATION_SCHEMA}
_ID, *_REST = _arrow_fields(Attribution)
ATTRIBUTION_SCHEMA = pa.schema([_ID, ("split", pa.string()), ("seed", pa.int64()), ("baseline", pa.string()), *_REST])
"""One row per clause, seed, baseline and method (in ``provenance``, as JSON); ``scores`` and ``standard_errors`` (null
for exact methods) are the features x target-tokens matrices, row by row."""


def write_table(table: pa.Table, path: Path | str) -> Path:
    """Write a Parquet file in one step (see ``write_atomic``)."""
    with write_atomic(path) as part:
        pq.write_table(table, part, compression="zstd")
    return Path(path)


def write_frame(frame: pd.DataFrame, path: Path | str) -> Path:
    """Write a frame as Parquet, without its index, so that equal frames give equal files."""
    return write_table(pa.Table.from_pandas(frame, preserve_index=False), path)


def write_records(kind: type[Example] | type[Generation], records: Iterable[Any], path: Path | str) -> Path:
    """Write examples or generations as Parquet (``EXAMPLE_SCHEMA``, ``GENERATION_SCHEMA``)."""
    return write_table(pa.Table.from_pylist([*map(dataclasses.asdict, records)], schema=_SCHEMAS[kind]), path)


def read_records(kind: type[Record], path: Path | str) -> list[Record]:
    """Read what ``write_records`` wrote; the same records come back."""
    return [_from_arrow(kind, row) for row in pq.read_table(path, schema=_SCHEMAS[kind]).to_pylist()]


def attribution_row(attribution: Attribution, *, seed: int, baseline: str, split: str = "") -> dict[str, Any]:
    """One row of ``ATTRIBUTION_SCHEMA``; ``split`` is the clause's, empty if unknown."""
    cells = {name: _flat(value) for name, value in vars(attribution).items()}
    return cells | {"split": split, "seed": seed, "baseline": baseline}


def _flat(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.astype(np.float32).ravel()
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return [*map(dataclasses.asdict, value)] if isinstance(value, tuple) else value


def attribution_from_row(row: Mapping[str, Any]) -> Attribution:
    """The record behind one row of ``ATTRIBUTION_SCHEMA``; lossless."""
    cells = {name: _from_arrow(hint, row[name]) for name, hint in get_type_hints(Attribution).items()}
    shape = len(cells["features"]), len(cells["target_tokens"])
    for name, length in (("scores", shape), ("standard_errors", shape), ("baseline_log_probs", shape[1])):
        if cells[name] is not None:
            cells[name] = np.asarray(cells[name], dtype=np.float32).reshape(length)
    return Attribution(**cells | {"provenance": json.loads(cells["provenance"])})


def write_attributions(rows: Sequence[dict[str, Any]], path: Path | str) -> Path:
    """Write rows made by ``attribution_row`` as Parquet."""
    return write_table(pa.Table.from_pylist(list(rows), schema=ATTRIBUTION_SCHEMA), path)


def read_attribution_rows(path: Path | str) -> list[dict[str, Any]]:
    """The rows of an attribution file; ``attribution_from_row`` turns each into a record."""
    return pq.read_table(path, schema=ATTRIBUTION_SCHEMA).to_pylist()


VIEW = ("method", "baseline", "sign")
"""One way of looking at the same models: how words were scored, what took their place, how signs were treated."""


def need_columns(frame: pd.DataFrame, columns: Sequence[str], where: str) -> None:
    """Refuse a frame that lacks a column, naming it."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        expected, found = f"columns {', '.join(columns)}", f"no {', '.join(missing)}"
        remedy = "Add scale, strategy and parameters to the cell's frame, and pass the frame that the measure is in."
        raise InputError(where, expected=expected, found=found, remedy=remedy)
