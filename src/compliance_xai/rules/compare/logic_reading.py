"""From a rule to what it says: the reading that equivalence is decided on.

``read_formula`` holds the reading; ``compliance_xai.rules.compare.logic_formulas`` has the words it is written in.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from compliance_xai.rules.compare import logic_formulas as logic
from compliance_xai.rules.compare.arithmetic import NotASum, Sum, add, constant, read_sum, symbol
from compliance_xai.rules.compare.logic_formulas import Formula, Parts, Relation
from compliance_xai.rules.notation.quantities import Dimension, Measure, describe_dimension, read_measure, write_number
from compliance_xai.rules.notation.tree import COMPARATORS, CONNECTIVES, DEONTICS, Leaf, Node, Rule, Term, format_node

DISTRIBUTIVE = ("is", "has", "exist", "include", "complyWith", "asPer", "applyTo", "requires", *COMPARATORS)
"""Predicates that hold of ``and(a,b)`` if they hold of each; of others ``and`` may mean both together."""

DEEPEST = 60
LARGEST = 5_000
MOST_OPENED = 10
"""Expressions that may be nested by way of definitions."""

_MEASURE = re.compile(r"\d+(?:\.\d+)?\s+(?!x\b)[A-Za-z°%µ][^\s()*+,'-]*")


class BeyondReading(Exception):
    """A rule that is too deep, too large or too unusual to be decided; the message says why."""


@dataclass
class Wording:
    """How the rules themselves write what the formulas name, for people to read."""

    atoms: dict[str, str] = field(default_factory=dict)
    """The text of an atom by its name."""
    units: dict[tuple[str, Dimension], Measure] = field(default_factory=dict)
    """A quantity in the unit that a property is first compared in, by property and dimension."""
    measures: dict[Dimension, Measure] = field(default_factory=dict)
    """The same by dimension alone."""
    modals: dict[logic.Modal, str] = field(default_factory=dict)
    """The text of a modal."""
    unknown_units: dict[str, None] = field(default_factory=dict)
    """Units that are not in the list, about which nothing is known."""

    def measure(self, name: str, dimension: Dimension) -> Measure | None:
        """A quantity in the unit that a property is written in."""
        return self.units.get((name, dimension)) or self.measures.get(dimension)

    def write(self, name: str, dimension: Dimension, value: Fraction) -> str:
        """A value in base units, in the unit of the rules."""
        measure = self.measure(name, dimension)
        if measure is None:
            return write_number(value) + (f" in base units of {describe_dimension(dimension)}" if dimension else "")
        number = (value - measure.unit.offset) / measure.unit.factor
        return f"{write_number(number)} {measure.unit_text}".rstrip()


def find_several(rule: Rule) -> frozenset[str]:
    """What a rule says to be several quantities: bars of which some are at 400 mm centres and some at 200 mm.

    >>> from compliance_xai.rules.notation.parse import parse_rule
    >>> find_several(parse_rule("and(is(bar.location,400 mmCentres),is(bar.location,200 mmCentres))"))
    frozenset({'bar.location'})
    """
    values: dict[str, set[object]] = defaultdict(set)
    for node in rule.walk():
        if isinstance(node, Term) and node.name == "is" and len(node.args) == 2 and isinstance(node.args[0], Leaf):
            measure = read_measure(node.args[1].text) if isinstance(node.args[1], Leaf) else None
            if measure:
                values[node.args[0].text].add((measure.absolute, measure.unit.dimension))
    return frozenset(subject for subject, found in values.items() if len(found) > 1)


def read_formula(rule: Rule, wording: Wording | None = None, *, several: frozenset[str] = frozenset()) -> Formula:
    """Read a rule as a formula that is satisfied by the cases that the rule allows.

    - *Obligation.* ``if(C),then(obligation(p))`` says: where C holds and p does not, there is a breach.
      ``prohibition(p)`` is ``obligation(not(p))``. Contraposition, or moving a condition into the obligation, changes
      which duty a clause speaks of but no breach, so it changes nothing here.
    - *Permission.* ``if(C),then(permission(q))`` says: where C holds, every option of which q holds is permitted. The
      option is another case, its names begin with ``(option)``; a permission is never breached, and the more it
      permits, the more it says. An alternative, ``permission(or(q,r))``, permits each. The condition cannot change
      places with the permitted act.
    - *Bare statements* say what is so: ``if(C),then(s)`` is C implies s, without room for a breach.
    - In a conclusion ``not(permission(p))`` is a prohibition, ``not(prohibition(p))`` permits p and
      ``not(obligation(p))`` permits not(p). A deontic term elsewhere (in a condition, inside another) is a ``Modal``.
    - *Comparisons* are linear arithmetic over properties; ``is(p,5 mm)`` is ``equal(p,5 mm)`` unless p is in
      ``several``. ``count(..)`` is a whole number from 0. Products of properties, functions (``max(..)``) and
      expressions that are not a sum are symbols.
    - *Other terms* are atoms over their arguments; ``is(a,b)`` and ``is(a,c)`` do not exclude one another. An ``or``
      among the arguments is taken out of the term, the first argument first; so is an ``and`` where the term is
      ``DISTRIBUTIVE``. Other ``and`` stay, in alphabetical order.
    - *Definitions* that hold throughout (``define`` under ``and``, one per variable) are written out, and the
      name of the variable does not count; a definition says nothing by itself. Where variables share a definition they
      are different things of that kind, known by their names. Other definitions are equations.
    - ``loop(forEach(x),s)`` is a ``Modal``: s is so for each.

    Parameters
    ----------
    rule
        The rule.
    wording
        If given, filled with the texts of the rule.
    several
        Properties of which ``is`` with a quantity is an atom, from ``find_several`` of all rules to be compared.

    Raises
    ------
    BeyondReading
        If the rule is more than 60 terms deep, has more than 5,000 nodes after definitions and alternatives are
        written out, defines variables in a circle, multiplies a temperature in Celsius, or is in the intermediate
        spelling (``expression(function(..), ..)``).

    >>> from compliance_xai.rules.notation.parse import parse_rule
    >>> read_formula(parse_rule("prohibition(has(door,lock))"))
    Any(parts=(Atom(name='(breach)'), Not(part=Atom(name='has(door,lock)'))))
    """
    if rule.depth > DEEPEST:
        raise BeyondReading(f"a rule is more than {DEEPEST} terms deep")
    if sum(1 for _ in rule.walk()) > LARGEST:
        raise BeyondReading(f"a rule has more than {LARGEST} nodes")
    if any(isinstance(node, Term) and node.name == "expression" for node in rule.walk()):
        raise BeyondReading("a rule is in the intermediate spelling, which hides its comparisons")
    reader = _Reader(rule, wording or Wording(), several)
    conditions = tuple(reader.read(node) for node in rule.conditions)
    conclusions = tuple(reader.conclude(node) for node in rule.conclusions)
    says = conclusions[0] if len(conclusions) == 1 else logic.All(conclusions)
    return logic.Any((logic.Not(logic.All(conditions)), says)) if conditions else says


def _find_definitions(rule: Rule) -> tuple[dict[str, Node], set[str]]:
    """The meaning of variables with one definition, which holds throughout; and the variables that share theirs."""
    found: dict[str, dict[str, Node]] = defaultdict(dict)
    scattered: set[str] = set()
    stack: list[tuple[Node, bool]] = [(statement, True) for statement in rule.statements]
    while stack:
        node, certain = stack.pop()
        if not isinstance(node, Term):
            continue
        certain_inside = node.name in ("if", "then", "and", *DEONTICS)
        stack.extend((argument, certain_inside) for argument in node.args)
        variable = _defined(node)
        if variable:
            found[variable][format_node(node.args[0])] = node.args[0]
            if not certain:
                scattered.add(variable)
    single = {v: next(iter(bodies.items())) for v, bodies in found.items() if len(bodies) == 1 and v not in scattered}
    shared = Counter(text for text, _ in single.values())
    # define(component,x0),define(component,x1) introduce two components, not two names of one.
    twins = {variable for variable, (text, _) in single.items() if shared[text] > 1}
    return {variable: body for variable, (_, body) in single.items() if variable not in twins}, twins


def _defined(node: Term) -> str:
    """The variable that a term defines; empty for every other term."""
    if node.name != "define" or len(node.args) != 2 or not isinstance(node.args[1], Leaf):
        return ""
    return node.args[1].text if len(node.args[1].parts) == 1 and node.args[1].kind == "name" else ""


class _Reader:
    def __init__(self, rule: Rule, wording: Wording, several: frozenset[str]) -> None:
        self.wording = wording
        self.definitions, self.twins = _find_definitions(rule)
        self.several = several
        self.nodes = self.depth = self.opened = 0

    def count_node(self) -> None:
        self.nodes += 1
        if self.nodes > LARGEST:
            raise BeyondReading(f"a rule has more than {LARGEST} nodes once its alternatives are written out")

    def resolve(self, node: Node) -> Node:
        """The node itself, or what the variable that it is stands for."""
        seen: set[str] = set()
        while isinstance(node, Leaf) and node.text in self.definitions:
            if node.text in seen:
                raise BeyondReading(f"the definition of {node.text} leads back to it")
            seen.add(node.text)
            node = self.definitions[node.text]
        return node

    @contextmanager
    def deeper(self) -> Iterator[None]:
        self.depth += 1
        if self.depth > DEEPEST:
            raise BeyondReading("definitions are circular or too deep")
        try:
            yield
        finally:
            self.depth -= 1

    # Arguments

    def name(self, node: Node) -> str:
        """The text that an argument is known by: the same for two that differ in units, order or variables."""
        self.count_node()
        with self.deeper():
            node = self.resolve(node)
            if isinstance(node, Leaf):
                return self.name_leaf(node)
            names = [self.name(argument) for argument in node.args]
        if node.name in CONNECTIVES:
            names = sorted(set(names) if node.name == "or" else names)
            if len(names) == 1:
                return names[0]
        inner = names[0] if len(names) == 1 else ""
        if node.name == "not" and inner.startswith("not("):
            return inner[4:-1]
        if node.name == "prohibition" and inner:
            return f"obligation({inner[4:-1] if inner.startswith('not(') else f'not({inner})'})"
        return f"{node.name}({','.join(names)})"

    def name_leaf(self, leaf: Leaf) -> str:
        if leaf.kind == "quantity" or leaf.kind == "quoted":
            try:
                return _name_sum(self.read_sum(leaf))
            except NotASum:
                return " ".join(leaf.text.split())
        first, *rest = leaf.parts
        if rest and first in self.definitions:
            return ".".join([self.name(Leaf(first)), *rest])
        return " ".join(leaf.text.split())

    def read_sum(self, node: Node) -> Sum:
        """An argument as a sum; NotASum only if a quoted expression adds different dimensions or is not a sum."""
        node = self.resolve(node)
        if isinstance(node, Leaf) and node.kind == "quantity":
            measure = read_measure(node.text)
            if measure is None:
                raise BeyondReading(f"{node.text[:40]} is not a number that can be compared")
            self.note_measure(measure)
            return constant(measure.difference, measure.unit.dimension)
        if isinstance(node, Leaf) and node.kind == "quoted":
            for match in _MEASURE.finditer(node.text):
                if measure := read_measure(match.group()):
                    self.note_measure(measure)
            self.opened += 1
            if self.opened > MOST_OPENED:
                raise BeyondReading("definitions are circular or too deep")
            try:
                return read_sum(node.text[1:-1], lambda name: self.read_sum(Leaf(name)))
            finally:
                self.opened -= 1
        return symbol(self.name(node))

    def side(self, node: Node) -> tuple[Sum, bool]:
        """One side of a comparison, and whether it is a point on a scale with an offset (a Celsius temperature)."""
        node = self.resolve(node)
        text = node.text.strip("'").strip() if isinstance(node, Leaf) else ""
        measure = read_measure(text)
        if measure and measure.unit.offset:
            self.wording.measures.setdefault(measure.unit.dimension, measure)
            return constant(measure.absolute, measure.unit.dimension), True
        with self.deeper():
            try:
                return self.read_sum(node), False
            except NotASum:
                return symbol(self.name(node)), False

    # Statements

    def read(self, node: Node) -> Formula:
        """A statement about the case."""
        self.count_node()
        node = self.resolve(node)
        if isinstance(node, Leaf):
            return self.read_atom(node)
        with self.deeper():
            return self.read_term(node)

    def read_term(self, term: Term) -> Formula:
        if term.name in CONNECTIVES:
            parts = tuple(self.read(argument) for argument in term.args)
            return logic.All(parts) if term.name == "and" else logic.Any(parts)
        if len(term.args) == 1 and term.name == "not":
            return logic.Not(self.read(term.args[0]))
        if len(term.args) == 1 and term.name in DEONTICS:
            body = self.read(term.args[0])
            forbids = term.name == "prohibition"
            modal = logic.Modal("obligation", logic.Not(body)) if forbids else logic.Modal(term.name, body)
            self.wording.modals.setdefault(modal, format_node(term))
            return modal
        if term.name == "loop" and len(term.args) > 1:
            each, *statements = term.args
            kind = f"loop {self.name(each)}"
            modal = logic.Modal(kind, logic.All(tuple(self.read(statement) for statement in statements)))
            self.wording.modals.setdefault(modal, format_node(term))
            return modal
        variable = _defined(term)
        if variable in self.definitions:
            return logic.TRUE
        if variable and variable not in self.twins:
            return self.compare("equal", *term.args)
        return self.read_atom(term) if variable else self.read_predicate(term)

    def read_predicate(self, term: Term) -> Formula:
        args = tuple(self.resolve(argument) for argument in term.args)
        for index, argument in enumerate(args):
            if not isinstance(argument, Term):
                continue
            if argument.name == "or" or (argument.name == "and" and term.name in DISTRIBUTIVE):
                copies = (Term(term.name, (*args[:index], part, *args[index + 1 :])) for part in argument.args)
                parts = tuple(self.read(copy) for copy in copies)
                return logic.All(parts) if argument.name == "and" else logic.Any(parts)
        if len(args) == 2:
            left, right = args
            # 'is' gives a property its one number
            if term.name == "is" and format_node(left) not in self.several and set(self.side(right)[0]) == {()}:
                return self.compare(term.name, left, right)
            if term.name in COMPARATORS:
                return self.compare(term.name, left, right)
        return self.read_atom(Term(term.name, args))

    def read_atom(self, node: Node) -> Formula:
        name = self.name(node)
        leaves = Rule((node,)).leaves() if isinstance(node, Term) else (node,)
        written_out = any(leaf.parts[0] in self.definitions for leaf in leaves)
        self.wording.atoms.setdefault(name, name if written_out else format_node(node))
        return logic.Atom(name)

    def compare(self, name: str, left: Node, right: Node) -> Formula:
        if name in ("greaterThan", "greaterThanEqual"):
            left, right = right, left
        (smaller, offset), (larger, other_offset) = self.side(left), self.side(right)
        self.note_unit(smaller, right)
        self.note_unit(larger, left)
        relation: Relation = "=" if name in ("equal", "is", "define") else "<" if name.endswith("Than") else "<="
        try:
            total = add(smaller, larger, -1)
        except NotASum:
            # Numbers of different dimensions side by side: a symbol for each side keeps 'not' and order meaningful.
            total = add(symbol(_name_sum(smaller)), symbol(_name_sum(larger)), -1)
        scaled = any(abs(coefficient) != 1 for monomial, (coefficient, _) in total.items() if monomial)
        if (offset or other_offset) and scaled:
            raise BeyondReading("a temperature on a scale with its own zero is multiplied")
        return logic.Comparison(_ordered(total, relation), relation)

    def note_measure(self, measure: Measure) -> None:
        self.wording.measures.setdefault(measure.unit.dimension, measure)
        if not measure.unit.known:
            self.wording.unknown_units[measure.unit_text] = None

    def note_unit(self, total: Sum, other: Node) -> None:
        """Remember the unit that a lone property is compared in."""
        other = self.resolve(other)
        measure = read_measure(other.text) if isinstance(other, Leaf) else None
        if measure and len(total) == 1 and () not in total:
            self.wording.units.setdefault(("*".join(*total), measure.unit.dimension), measure)

    def conclude(self, node: Node, negated: bool = False) -> Formula:
        """A conclusion: obligations speak about a breach, permissions about options, the rest about the case."""
        node = self.resolve(node)
        with self.deeper():
            if isinstance(node, Term) and node.name in CONNECTIVES:
                parts = tuple(self.conclude(argument, negated) for argument in node.args)
                return logic.All(parts) if (node.name == "and") != negated else logic.Any(parts)
            if isinstance(node, Term) and len(node.args) == 1:
                if node.name == "not":
                    return self.conclude(node.args[0], not negated)
                if node.name in DEONTICS:
                    return _oblige_or_permit(node.name, self.read(node.args[0]), negated)
            return logic.Not(self.read(node)) if negated else self.read(node)


def _oblige_or_permit(name: str, body: Formula, negated: bool) -> Formula:
    if (name == "permission") != negated:
        # not(obligation(p)) permits not(p); permission(p) and not(prohibition(p)) permit p
        act = logic.Not(body) if name == "obligation" else body
        return logic.Any((logic.Not(logic.rename(act, logic.OPTION)), logic.Atom(logic.PERMITTED)))
    return logic.Any((logic.Atom(logic.BREACH), body if name == "obligation" else logic.Not(body)))


def _ordered(total: Sum, relation: Relation) -> Parts:
    parts = tuple(sorted((names, number, dimension) for names, (number, dimension) in total.items()))
    if relation == "=" and next((number for names, number, _ in parts if names), 0) < 0:
        parts = tuple((names, -number, dimension) for names, number, dimension in parts)
    return parts


def _name_sum(total: Sum) -> str:
    """A sum as text that does not depend on how it was written."""
    parts = []
    for names, number, dimension in _ordered(total, "<"):
        factors = ["*".join(names)] if names else []
        if number != 1 or dimension or not names:
            factors.insert(0, f"{number} [{describe_dimension(dimension)}]" if dimension else str(number))
        parts.append("*".join(factors))
    return "+".join(parts)
