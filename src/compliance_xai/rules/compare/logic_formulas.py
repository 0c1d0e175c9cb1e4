"""Formulas over cases: what a rule says, once it is read.

A *case* is a building and what is said about it: a number for every property, true or false for every atom. A rule is
a formula over cases, and two rules are compared by the cases that satisfy them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from compliance_xai.rules.compare.arithmetic import Monomial
from compliance_xai.rules.notation.quantities import Dimension, describe_dimension, times

BREACH, PERMITTED, OPTION = "(breach)", "(permitted)", "(option) "
"""The atoms that obligations and permissions speak about, and what precedes a name in a permitted option. The
brackets keep them apart from all names that a rule can have."""

Relation = Literal["<", "<=", "="]

Parts = tuple[tuple[Monomial, Fraction, Dimension], ...]
"""A sum as monomials, coefficients in base units and the dimensions of these."""


@dataclass(frozen=True)
class Atom:
    """A statement that is true or false of a case and has no further structure."""

    name: str


@dataclass(frozen=True)
class Comparison:
    """A sum against zero."""

    parts: Parts
    relation: Relation


@dataclass(frozen=True)
class Modal:
    """A statement about a formula instead of about the case: what is obliged or permitted, or holds of each element.

    ``kind`` is ``obligation``, ``permission`` or ``loop`` and the text of its ``forEach``.
    """

    kind: str
    body: Formula


@dataclass(frozen=True)
class Not:
    """True if ``part`` is false."""

    part: Formula


@dataclass(frozen=True)
class All:
    """True if every part is; without parts, always."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Any:
    """True if one part is; without parts, never."""

    parts: tuple[Formula, ...]


Formula = Atom | Comparison | Modal | Not | All | Any
TRUE = All(())


def rename(formula: Formula, prefix: str) -> Formula:
    """The same formula about another case, whose names begin with ``prefix``."""
    match formula:
        case Atom(name):
            return Atom(prefix + name)
        case Comparison(parts, relation):
            renamed = (
                (tuple(prefix + name for name in names), number, dimension) for names, number, dimension in parts
            )
            return Comparison(tuple(renamed), relation)
        case Modal(kind, body):
            return Modal(prefix + kind, body)
        case Not(part):
            return Not(rename(part, prefix))
        case All(parts):
            return All(tuple(rename(part, prefix) for part in parts))
        case Any(parts):
            return Any(tuple(rename(part, prefix) for part in parts))


def walk(formula: Formula, *, bodies: bool = True) -> Iterator[Formula]:
    """Every part, each after what it consists of; the bodies of ``Modal`` too unless told otherwise."""
    match formula:
        case Not(part):
            yield from walk(part, bodies=bodies)
        case Modal(_, body) if bodies:
            yield from walk(body)
        case All(parts) | Any(parts):
            for part in parts:
                yield from walk(part, bodies=bodies)
    yield formula


Property = tuple[str, Dimension | None]
"""A number of the case: its name (``a*b`` for a product), and the dimension it is read in if there are several."""


@dataclass(frozen=True)
class Dimensions:
    """The dimensions that the comparisons ask of each name.

    Compare a property with millimetres in one place and with kilograms in another, and it is two numbers: one read as
    a length, one as a mass. If nothing tells the dimension, a name is one plain number.
    """

    asked: Mapping[str, frozenset[Dimension]]

    @staticmethod
    def infer(formulas: tuple[Formula, ...]) -> Dimensions:
        """Read off the constants, then pass on along comparisons of properties with properties."""
        parts = {part.parts: None for formula in formulas for part in walk(formula) if isinstance(part, Comparison)}
        asked: dict[str, set[Dimension]] = {"*".join(names): set() for ps in parts for names, _, _ in ps if names}
        open_parts, settled = list(parts), True
        while settled and open_parts:
            rest = []
            for part in open_parts:
                base = _base(part, asked)
                if base is None:
                    rest.append(part)
                    continue
                for names, _, dimension in part:
                    if names:
                        asked["*".join(names)].add(times(base, dimension, -1))
            settled, open_parts = len(rest) < len(open_parts), rest
        return Dimensions({name: frozenset(dimensions) for name, dimensions in asked.items()})

    def property(self, names: Monomial, base: Dimension | None, coefficient: Dimension) -> Property:
        """The number that a monomial stands for in a comparison of dimension ``base``."""
        name = "*".join(names)
        if base is None or len(self.asked[name]) < 2:
            return name, None
        return name, times(base, coefficient, -1)

    def base(self, comparison: Comparison) -> Dimension | None:
        """The dimension that both sides of a comparison have; None if nothing tells it."""
        return _base(comparison.parts, self.asked)

    def of(self, prop: Property) -> Dimension:
        """The dimension that a property is shown in."""
        name, dimension = prop
        return dimension if dimension is not None else next(iter(self.asked[name]), ())

    def conflicts(self) -> list[str]:
        """In words, the properties that are read in several dimensions."""
        return [
            f"{name} is compared as {' and as '.join(sorted(map(describe_dimension, dimensions)))}"
            for name, dimensions in sorted(self.asked.items())
            if len(dimensions) > 1
        ]


def _base(parts: Parts, asked: Mapping[str, set[Dimension] | frozenset[Dimension]]) -> Dimension | None:
    for names, _, dimension in parts:
        if not names:
            return dimension
    known = (times(min(asked["*".join(names)]), dim) for names, _, dim in parts if asked["*".join(names)])
    return min(known, default=None)
