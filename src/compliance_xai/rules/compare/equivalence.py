"""Whether two rules mean the same, decided by z3.

What a rule means is said in ``compliance_xai.rules.compare.logic_reading``; here two meanings are compared.
"""

# z3 has no annotations, so what its functions return is guessed too widely.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportReturnType=false

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import z3

from compliance_xai.rules.compare import logic_formulas as logic
from compliance_xai.rules.compare.logic_formulas import Formula
from compliance_xai.rules.compare.logic_reading import BeyondReading, Wording, find_several, read_formula
from compliance_xai.rules.notation.parse import parse_rule
from compliance_xai.rules.notation.quantities import describe_dimension
from compliance_xai.rules.notation.tree import Rule, canonical

Answer = Literal["equivalent", "stronger", "weaker", "different", "unknown", "unreadable"]

TIMEOUT_MS = 5_000
"""What the solver may take for a pair of rules."""
# Work is counted by the solver itself, so that answers do not depend on the machine: this much takes a second or so.
# A pair of rules of the published corpus needs about a hundredth.
WORK = 300_000
LITTLE_WORK = 30_000
NO_TIMEOUT = 2**32 - 1


@dataclass(frozen=True)
class Counterexample:
    """A building, and what is said about it, on which one rule is satisfied and the other is not."""

    properties: Mapping[str, str]
    """Values in the units of the rules: ``{"riser.height": "185 mm"}``."""
    atoms: Mapping[str, bool]
    """Statements that are true or false. ``breach`` is whether the building may be in breach of an obligation, and
    ``permitted`` whether the option (names that begin with ``option``) is permitted."""
    satisfies: Literal["a", "b"]
    """The rule that is satisfied, ``a`` or ``b``; the other is not."""

    def __str__(self) -> str:
        facts = [f"{name} = {value}" for name, value in self.properties.items()]
        facts += [name if value else f"not {name}" for name, value in self.atoms.items()]
        other = "b" if self.satisfies == "a" else "a"
        return f"{', '.join(facts) or 'any building'}: satisfies {self.satisfies}, not {other}"


@dataclass(frozen=True)
class Verdict:
    """How two rules relate."""

    answer: Answer
    """``equivalent``; ``stronger`` (every building that satisfies a satisfies b, and not the other way round);
    ``weaker`` (the reverse); ``different`` (neither follows from the other); ``unknown`` (not decided)."""
    reason: str
    """Why, in one to three sentences."""
    counterexample: Counterexample | None = None
    """For ``different`` one that satisfies a and not b; for ``stronger`` and ``weaker`` the only kind there is; else
    None."""


def equivalent(a: Rule | str, b: Rule | str) -> Verdict:
    """Say whether two rules mean the same, whatever their wording.

    Rules are read as ``rules.compare.logic_reading.read_formula`` describes: obligations by their breaches,
    permissions by what they permit, comparisons as linear arithmetic over exact numbers in base units, everything else
    as atoms. Nothing is known about the words themselves: ``has(a,b)`` and ``include(a,b)`` are unrelated. Rules that
    differ are not decided if one holds a unit outside the list of ``rules.notation.quantities``.

    An answer that needs more than ``TIMEOUT_MS``, or more than a fixed amount of solver work for one question, is
    ``unknown``. Solver state is local to the call, so threads may call this at once.

    Returns
    -------
    Verdict
        Answer, reason and counter-example. ``equivalent(b, a)`` has ``stronger`` and ``weaker`` exchanged.

    Raises
    ------
    RuleSyntaxError
        If a text is not a rule.
    InputError
        If an argument is neither a rule nor a text.

    References
    ----------
    de Moura, L. and Bjørner, N. (2008), Z3: an efficient SMT solver, TACAS.

    Examples
    --------
    >>> a = "if(exist(stair)),then(obligation(lessThanEqual(riser.height,180 mm)))"
    >>> equivalent(a, "if(exist(stair)),then(prohibition(greaterThan(riser.height,0.18 m)))").answer
    'equivalent'
    >>> verdict = equivalent(a, "if(exist(stair)),then(obligation(lessThanEqual(riser.height,190 mm)))")
    >>> verdict.answer, verdict.counterexample.satisfies
    ('stronger', 'b')
    """
    rules = tuple(rule if isinstance(rule, Rule) else parse_rule(rule) for rule in (a, b))
    wording = Wording()
    try:
        several = find_several(rules[0]) | find_several(rules[1])
        formulas = tuple(read_formula(rule, wording, several=several) for rule in rules)
        return _Comparer(formulas, wording).compare()
    except BeyondReading as beyond:
        if canonical(rules[0]) == canonical(rules[1]):
            return Verdict("equivalent", "The rules are the same text but for the order of and and or.")
        return Verdict("unknown", f"Not decided: {beyond}.")


class _Comparer:
    """One solver with both rules in it."""

    def __init__(self, formulas: tuple[Formula, ...], wording: Wording) -> None:
        self.end = time.monotonic() + TIMEOUT_MS / 1000
        self.formulas, self.wording = formulas, wording
        self.dimensions = logic.Dimensions.infer(formulas)
        self.context = z3.Context()
        self.solver = z3.SimpleSolver(ctx=self.context)
        self.numbers: dict[logic.Property, z3.ArithRef] = {}
        self.counts: list[z3.BoolRef] = []
        self.terms: dict[Formula, z3.BoolRef] = {}
        self.atoms: dict[str, z3.BoolRef] = {}
        self.modals: dict[logic.Modal, z3.BoolRef] = {}

    def compare(self) -> Verdict:
        a, b = self.formulas
        only_a, only_b = self.find(a, logic.Not(b)), self.find(b, logic.Not(a))
        notes = self.notes()
        if only_a is None and only_b is None:
            return Verdict("equivalent", f"Every building that satisfies one rule satisfies the other.{notes}")
        if self.wording.unknown_units:
            units = ", ".join(map(repr, self.wording.unknown_units))
            raise BeyondReading(f"the size of the unit {units} is not known")
        if only_a is None:
            reason = "Every building that satisfies a satisfies b, but not the other way round."
            return Verdict("stronger", reason + notes, self.show("b"))
        if only_b is None:
            reason = "Every building that satisfies b satisfies a, but not the other way round."
            return Verdict("weaker", reason + notes, self.show("a"))
        reason = "Some buildings satisfy only a, others only b."
        return Verdict("different", reason + notes, self.show("a"))

    # Formulas to terms of the solver

    def build(self, formula: Formula) -> z3.BoolRef:
        match formula:
            case logic.Atom(name):
                if name not in self.atoms:
                    self.atoms[name] = z3.Bool(f"atom {name}", self.context)
                return self.atoms[name]
            case logic.Modal():
                if formula not in self.modals:
                    self.modals[formula] = z3.Bool(f"modal {len(self.modals)}", self.context)
                return self.modals[formula]
            case logic.Not(part):
                return z3.Not(self.build(part))
            case logic.All(parts):
                return z3.And(*[self.build(part) for part in parts], z3.BoolVal(True, self.context))
            case logic.Any(parts):
                return z3.Or(*[self.build(part) for part in parts], z3.BoolVal(False, self.context))
            case logic.Comparison():
                return self.build_comparison(formula)

    def build_comparison(self, comparison: logic.Comparison) -> z3.BoolRef:
        base, total = self.dimensions.base(comparison), z3.RealVal(0, self.context)
        for names, number, dimension in comparison.parts:
            factor = z3.RealVal(str(number), self.context)
            if names:
                factor = factor * self.number(self.dimensions.property(names, base, dimension))
            total = total + factor
        if comparison.relation == "=":
            return total == 0
        return total < 0 if comparison.relation == "<" else total <= 0

    def number(self, prop: logic.Property) -> z3.ArithRef:
        if prop not in self.numbers:
            name = f"number {len(self.numbers)} {prop[0]}"
            plain = prop[0].removeprefix(logic.OPTION)
            if plain.startswith("count(") and "*" not in plain:
                count = z3.Int(name, self.context)
                self.counts.append(count >= 0)
                self.numbers[prop] = z3.ToReal(count)
            else:
                self.numbers[prop] = z3.Real(name, self.context)
        return self.numbers[prop]

    # Questions to the solver

    def find(self, *formulas: Formula) -> z3.ModelRef | None:
        """A case that satisfies all formulas, or None if there is none; BeyondReading if the solver cannot tell.

        The solver treats every ``Modal`` as an atom. If it proposes truths of modals that contradict each other, the
        reason is added and it is asked again; the bodies of modals nest less deeply, so this comes to an end.
        """
        modals = [part for part in dict.fromkeys(_surface(*formulas)) if isinstance(part, logic.Modal)]
        while True:
            model = self.find_once([self.term(formula) for formula in formulas])
            clashes = self.find_clashes(modals, model) if model is not None else []
            if not clashes:
                return model
            self.solver.add(*clashes)

    def find_once(self, terms: list[z3.BoolRef]) -> z3.ModelRef | None:
        self.solver.push()
        try:
            self.solver.add(*terms, *self.counts)
            answer = self.ask()
            if answer == z3.unknown:
                raise BeyondReading("the solver reached its limit of time or work")
            if answer == z3.unsat:
                return None
            return self.solver.model()
        finally:
            self.solver.pop()

    def find_clashes(self, modals: list[logic.Modal], model: z3.ModelRef) -> list[z3.BoolRef]:
        """The modals that a model takes for false although those that it takes for true entail them.

        What is obliged, or so of each element, is everything that follows from all such bodies together; what is
        permitted is every option that one of the bodies allows.
        """
        clashes = []
        for false in (modal for modal in modals if not self.truth(model, modal)):
            true = [modal for modal in modals if modal.kind == false.kind and self.truth(model, modal)]
            if false.kind.removeprefix(logic.OPTION) == "permission":
                witness = self.find(false.body, *[logic.Not(modal.body) for modal in true])
            else:
                witness = self.find(logic.Not(false.body), *[modal.body for modal in true])
            if witness is None:
                clashes.append(z3.Or(self.build(false), *[z3.Not(self.build(modal)) for modal in true]))
        return clashes

    def truth(self, model: z3.ModelRef, statement: logic.Atom | logic.Modal) -> bool:
        return z3.is_true(model.eval(self.build(statement), model_completion=True))

    def term(self, formula: Formula) -> z3.BoolRef:
        if formula not in self.terms:
            self.terms[formula] = self.build(formula)
        return self.terms[formula]

    def ask(self) -> z3.CheckSatResult:
        """One question; first with little work allowed, because a time limit costs more than most questions."""
        for work, timed in ((LITTLE_WORK, False), (WORK, True)):
            left = int((self.end - time.monotonic()) * 1000)
            if left <= 0:
                break
            self.solver.set(rlimit=work, timeout=left if timed else NO_TIMEOUT)
            try:
                answer = self.solver.check()
            except z3.Z3Exception as error:
                raise BeyondReading(f"the solver stopped ({error})") from None
            if answer != z3.unknown:
                return answer
        return z3.unknown

    # Answers

    def show(self, satisfied: Literal["a", "b"]) -> Counterexample:
        """A counter-example; what the bodies of modals say is about other cases, so it is left out."""
        a, b = self.formulas
        model = self.find_plausible(a, logic.Not(b)) if satisfied == "a" else self.find_plausible(b, logic.Not(a))
        parts = dict.fromkeys(_surface(a, b))
        several = {name for name, dimension in self.numbers if dimension is not None}
        properties = {}
        for name, read_in in dict.fromkeys(
            p for each in parts if isinstance(each, logic.Comparison) for p in self.read(each)
        ):
            dimension = self.dimensions.of((name, read_in))
            label = f"{_plain(name)} as {describe_dimension(dimension)}" if name in several else _plain(name)
            value = self.value(model, (name, read_in))
            properties[label] = self.wording.write(name.removeprefix(logic.OPTION), dimension, value)
        names = [part.name for part in parts if isinstance(part, logic.Atom)]
        labels = Counter(map(self.label, names))
        atoms = {}
        for name in names:
            label = self.label(name)
            atoms[label if labels[label] == 1 else _plain(name)] = self.truth(model, logic.Atom(name))
        for modal in (part for part in parts if isinstance(part, logic.Modal)):
            text = self.wording.modals.get(modal) or f"option {modal.kind.removeprefix(logic.OPTION)} {len(atoms)}"
            atoms[text] = self.truth(model, modal)
        return Counterexample(properties, atoms, satisfied)

    def value(self, model: z3.ModelRef, prop: logic.Property) -> Fraction:
        found = z3.simplify(model.eval(self.numbers[prop], model_completion=True))
        if not isinstance(found, z3.RatNumRef):
            raise BeyondReading("the solver's counter-example is not a fraction")
        return Fraction(found.numerator_as_long(), found.denominator_as_long())

    def find_plausible(self, *formulas: Formula) -> z3.ModelRef:
        """A case without values below zero, in the units of the rules, if there is one; else any."""
        self.solver.push()
        for prop, number in self.numbers.items():
            measure = self.wording.measure(prop[0].removeprefix(logic.OPTION), self.dimensions.of(prop))
            self.solver.add(number >= str(measure.unit.offset if measure else 0))
        model = self.find(*formulas)
        self.solver.pop()
        model = model if model is not None else self.find(*formulas)
        assert model is not None  # the caller has found one before
        return model

    def label(self, name: str) -> str:
        bare = name.removeprefix(logic.OPTION)
        return _plain(name.removesuffix(bare) + self.wording.atoms.get(bare, bare))

    def read(self, comparison: logic.Comparison) -> list[logic.Property]:
        base = self.dimensions.base(comparison)
        return [self.dimensions.property(names, base, dim) for names, _, dim in comparison.parts if names]

    def notes(self) -> str:
        """What else a reader should know: kinds of rule, rules that say nothing or too much, mixed dimensions."""
        kinds = [_kind(formula) for formula in self.formulas]
        notes = [f"a {kinds[0]}, b {kinds[1]}."] if kinds[0] != kinds[1] else []
        for name, formula in zip("ab", self.formulas, strict=True):
            if self.find(logic.Not(formula)) is None:
                notes.append(f"{name} is satisfied by every building.")
            elif self.find(formula, logic.Not(logic.Atom(logic.BREACH))) is None:
                notes.append(f"{name} can be satisfied by no building.")
        notes += [f"{conflict}, which no unit joins." for conflict in self.dimensions.conflicts()]
        return "".join(" " + note for note in notes)


def _plain(name: str) -> str:
    """A name for people: without the brackets that set the words of this module apart."""
    for word in (logic.BREACH, logic.PERMITTED, logic.OPTION):
        name = name.replace(word, word.replace("(", "").replace(")", ""))
    return name


def _kind(formula: Formula) -> str:
    names = {part.name for part in _surface(formula) if isinstance(part, logic.Atom)}
    verbs = [verb for name, verb in ((logic.BREACH, "obliges"), (logic.PERMITTED, "permits")) if name in names]
    return " and ".join(verbs) or "states what is so"


def _surface(*formulas: Formula) -> Iterator[Formula]:
    for formula in formulas:
        yield from logic.walk(formula, bodies=False)
