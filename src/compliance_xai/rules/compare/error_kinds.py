"""What is wrong with a rule: kinds of error, from the difference of two trees.

Both trees are brought to the normal form (``tree.normalise``). Conditions are matched with conditions and
requirements with requirements, whatever their order, so that as much as possible is shared; a partner must share at
least half. What has no partner is missing or extra. Matched parts are compared term by term and argument by argument.
Kinds are named for the compact spelling; in the intermediate one, comparators and units are words like any others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from compliance_xai.rules.notation import tree
from compliance_xai.rules.notation.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.notation.quantities import amounts_in, read_amount, reference_in
from compliance_xai.rules.notation.tolerant import read_tolerant
from compliance_xai.rules.notation.tree import COMPARATORS, CONNECTIVES, DEONTICS, Leaf, Node, Rule, Term, format_node

KINDS = {
    "syntax": "the text is not a rule; the nearest one is compared",
    "wrong_deontic": "obliges, permits or forbids, but the reference does another of the three",
    "wrong_connective": "'and' for 'or', or 'or' for 'and'",
    "wrong_negation": "negated, but the reference is not, or the reverse",
    "wrong_comparator": "another comparison",
    "wrong_value": "another amount, or another value of a property",
    "wrong_unit": "the same number in a unit of another size or kind",
    "wrong_object": "another thing",
    "wrong_property": "another property of a thing",
    "wrong_predicate": "another relation between the same things",
    "wrong_reference": "cites another table, standard or clause in the same place",
    "missing_condition": "a condition of the reference is missing",
    "extra_condition": "a condition that the reference lacks",
    "missing_exception": "a negated condition of the reference is missing",
    "extra_exception": "a negated condition that the reference lacks",
    "missing_requirement": "a requirement of the reference is missing",
    "extra_requirement": "a requirement that the reference lacks",
    "missing_reference": "a table, standard or clause that the reference cites is not cited",
    "invented_reference": "cites a table, standard or clause although the reference cites none",
    "wrong_structure": "another nesting or number of arguments",
}
"""Every kind of error and what it says, in the order of reports."""

SHARED = 0.5
"""Two parts are partners if they share at least this much of their labels (Dice coefficient)."""

MATCHED = 200
"""Unequal parts of one list that are matched; further ones are missing or extra. Real rules have under twenty."""

Role = Literal["condition", "requirement"]


@dataclass(frozen=True)
class RuleError:
    """One error."""

    kind: str
    """One of ``KINDS``."""
    where: str
    """The terms above it, then the number of the argument (``then/obligation/greaterThanEqual/2``), in the reference
    or, for something extra, in the prediction; ``character 12`` for ``syntax``."""
    expected: str
    found: str
    """Text of the reference and of the prediction; empty on the side that has nothing."""


def error_kinds(prediction: object, reference: str) -> list[RuleError]:
    """Say what is wrong with a predicted rule; never raises, whatever the texts are.

    Order, nesting, negation and mirrored comparisons that change nothing, and amounts in another unit, are not errors:
    a rule with 1.2 m for 1200 mm is right. Variables are compared by name and formulas as text.

    Parameters
    ----------
    prediction
        What a model wrote. Text that is not a rule gives ``syntax``, and the nearest rule (``read_tolerant``) is
        compared; if there is none, ``syntax`` is the only error.
    reference
        The rule it should be.

    Returns
    -------
    list of RuleError
        In the order of ``KINDS``, then of the rule. Empty for the same rule; a part that is missing or extra as a whole
        counts once.

    >>> reference = "if(exist(door)),then(obligation(greaterThanEqual(door.width,1200 mm)))"
    >>> for error in error_kinds("if(exist(door)),then(permission(greaterThan(door.width,1.2 m)))", reference):
    ...     print(error)
    RuleError(kind='wrong_deontic', where='then/obligation', expected='obligation', found='permission')
    RuleError(kind='wrong_comparator', where='then/obligation/greaterThanEqual', expected='greaterThanEqual',
    found='greaterThan')
    """
    if isinstance(prediction, str) and prediction.strip() == reference.strip():
        return []
    errors = _syntax_errors(prediction)
    given, wanted = read_tolerant(prediction), read_tolerant(reference)
    if given is not None and wanted is not None:
        errors += _Difference(wanted, given).find()
    elif wanted is None and not errors:
        errors.append(RuleError("wrong_structure", "", reference.strip(), str(prediction).strip()))
    order = list(KINDS)
    return sorted(errors, key=lambda error: order.index(error.kind))


def _syntax_errors(prediction: object) -> list[RuleError]:
    if not isinstance(prediction, str):
        return [RuleError("syntax", "character 1", "a string", type(prediction).__name__)]
    try:
        parse_rule(prediction)
    except RuleSyntaxError as error:
        return [RuleError("syntax", f"character {error.position + 1}", error.expected, error.found)]
    return []


@dataclass(frozen=True)
class _Group:
    """What ``and`` or ``or`` joins; the connective means nothing if one member is left."""

    connective: str
    members: tuple[Node, ...]


@dataclass(frozen=True)
class _Task:
    """Two things to compare, where they are, and the predicate and argument number they fill."""

    where: str
    role: Role
    expected: Node | _Group
    found: Node | _Group
    holder: str = ""
    place: int = 0


@dataclass
class _Difference:
    """The comparison of two rules; an explicit stack, so that depth costs memory and never recursion."""

    wanted: Rule
    given: Rule
    errors: list[RuleError] = field(default_factory=list)
    # Equal trees get equal numbers, so that two subtrees compare at once however large they are.
    numbers: dict[tuple, int] = field(default_factory=dict)
    number_of: dict[int, int] = field(default_factory=dict)
    labels_of: dict[int, dict[str, int]] = field(default_factory=dict)
    kept: list[Node] = field(default_factory=list)  # keeps every node alive: the dictionaries go by id()

    def find(self) -> list[RuleError]:
        sides = [_sides(tree.normalise(rule)) for rule in (self.wanted, self.given)]
        for groups in sides:
            for group in groups:
                self.number(group.members)
        self.wanted_references, self.given_references = (
            {cited for group in groups for node in group.members for cited in _cited(node)} for groups in sides
        )
        (conditions, conclusions), (given_conditions, given_conclusions) = sides
        self.tasks = [
            _Task("then", "requirement", conclusions, given_conclusions),
            _Task("if", "condition", conditions, given_conditions),
        ]
        while self.tasks:
            self.compare(self.tasks.pop())
        unlike = any(self.digest(a) != self.digest(b) for a, b in zip(*sides, strict=True))
        if not self.errors and (unlike or _bundles(self.wanted) != _bundles(self.given)):
            texts = [" ".join(format_node(node) for group in groups for node in group.members) for groups in sides]
            self.note("wrong_structure", "then", *texts)
        return list(dict.fromkeys(self.errors))

    def note(self, kind: str, where: str, expected: str, found: str) -> None:
        self.errors.append(RuleError(kind, where, expected, found))

    def number(self, nodes: Sequence[Node]) -> None:
        """Number every subtree and count its labels."""

        def keep(node: Node, key: tuple, labels: dict[str, int]) -> tuple[int, dict[str, int]]:
            number = self.numbers.setdefault(key, len(self.numbers))
            self.kept.append(node)
            self.number_of[id(node)], self.labels_of[id(node)] = number, labels
            return number, labels

        def leaf(node: Node) -> tuple[int, dict[str, int]]:
            assert isinstance(node, Leaf)
            amount, cited = read_amount(node.text), reference_in(node)
            key = ("amount", amount) if amount else ("reference", cited) if cited else ("leaf", node.text)
            return keep(node, key, _leaf_labels(node))

        def term(node: Term, inner: list[tuple[int, dict[str, int]]]) -> tuple[int, dict[str, int]]:
            numbers = [number for number, _ in inner]
            key = tuple(sorted(set(numbers))) if node.name in CONNECTIVES else tuple(numbers)
            labels = dict.fromkeys(_name_labels(node.name), 1)
            for _, more in inner:
                for label, count in more.items():
                    labels[label] = labels.get(label, 0) + count
            return keep(node, (node.name, *key), labels)

        # fold rebuilds nothing, so the terms that it hands over are those of the tree
        tree.fold(nodes, leaf, term)

    def digest(self, group: _Group) -> tuple:
        numbers = sorted({self.number_of[id(node)] for node in group.members})
        return (group.connective if len(numbers) > 1 else "", *numbers)

    def compare(self, task: _Task) -> None:
        expected, found = task.expected, task.found
        if isinstance(expected, _Group) or isinstance(found, _Group):
            self.compare_groups(task, _group(expected), _group(found))
        elif self.number_of[id(expected)] == self.number_of[id(found)]:
            return
        elif _is_group(expected) or _is_group(found):
            self.compare_groups(task, _group(expected), _group(found))
        elif isinstance(expected, Leaf) and isinstance(found, Leaf):
            self.compare_leaves(task, expected, found)
        elif isinstance(expected, Term) and isinstance(found, Term):
            self.compare_terms(task, expected, found)
        else:  # a leaf against a term
            kind = self.missing(expected, self.invented(found, "wrong_structure"))
            self.note(kind, task.where, format_node(expected), format_node(found))

    def compare_groups(self, task: _Task, expected: _Group, found: _Group) -> None:
        where = task.where
        if len(expected.members) > 1 and len(found.members) > 1 and expected.connective != found.connective:
            self.note("wrong_connective", where, expected.connective, found.connective)
        ours, theirs = self.unlike(expected.members, found.members)
        partners = self.match(ours, theirs)
        tasks = [_Task(where, task.role, ours[a], theirs[b], task.holder, task.place) for a, b in partners]
        for index, node in enumerate(ours):
            if index not in {a for a, _ in partners}:
                self.note(
                    self.missing(node, f"missing_{_part(node, task.role)}"), _below(where, node), format_node(node), ""
                )
        for index, node in enumerate(theirs):
            if index not in {b for _, b in partners}:
                self.note(
                    self.invented(node, f"extra_{_part(node, task.role)}"), _below(where, node), "", format_node(node)
                )
        self.tasks.extend(reversed(tasks))

    def unlike(self, expected: Sequence[Node], found: Sequence[Node]) -> tuple[list[Node], list[Node]]:
        """The members of each side, once each, that the other side lacks."""
        ours = {self.number_of[id(node)]: node for node in reversed(expected)}
        theirs = {self.number_of[id(node)]: node for node in reversed(found)}
        return (
            [node for number, node in reversed(ours.items()) if number not in theirs],
            [node for number, node in reversed(theirs.items()) if number not in ours],
        )

    def match(self, expected: Sequence[Node], found: Sequence[Node]) -> list[tuple[int, int]]:
        """Pairs of indices that share most labels in total, each at least ``SHARED``."""
        if not expected or not found:
            return []
        from scipy.optimize import linear_sum_assignment

        labels_E = [self.labels_of[id(node)] for node in expected[:MATCHED]]
        labels_F = [self.labels_of[id(node)] for node in found[:MATCHED]]
        shared_EF = np.array([[_dice(one, other) for other in labels_F] for one in labels_E])
        shared_EF[shared_EF < SHARED] = 0.0
        rows, columns = linear_sum_assignment(shared_EF, maximize=True)
        return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True) if shared_EF[a, b] > 0]

    def missing(self, node: Node, otherwise: str) -> str:
        return "missing_reference" if _cited(node) - self.given_references else otherwise

    def invented(self, node: Node, otherwise: str) -> str:
        return "invented_reference" if _cited(node) - self.wanted_references else otherwise

    def compare_terms(self, task: _Task, expected: Term, found: Term) -> None:
        where = f"{task.where}/{expected.name}"
        for kind, names in (("wrong_negation", ("not",)), ("wrong_deontic", DEONTICS)):
            ours, theirs = (node.name if node.name in names else "" for node in (expected, found))
            if ours != theirs:
                self.note(kind, where, ours, theirs)
            if ours or theirs:
                self.tasks.append(_Task(where, task.role, _inside(expected, names), _inside(found, names)))
                return
        if expected.name != found.name:
            compared = expected.name in COMPARATORS or found.name in COMPARATORS
            self.note("wrong_comparator" if compared else "wrong_predicate", where, expected.name, found.name)
        self.compare_arguments(task, where, expected, found)

    def compare_arguments(self, task: _Task, where: str, expected: Term, found: Term) -> None:
        """One by one in their order; what one side has more is a reference or another structure."""
        both = min(len(expected.args), len(found.args))
        self.tasks.extend(
            _Task(f"{where}/{place + 1}", task.role, expected.args[place], found.args[place], expected.name, place)
            for place in reversed(range(both))
        )
        for place, node in enumerate(expected.args[both:], start=both + 1):
            self.note(self.missing(node, "wrong_structure"), f"{where}/{place}", format_node(node), "")
        for place, node in enumerate(found.args[both:], start=both + 1):
            self.note(self.invented(node, "wrong_structure"), f"{where}/{place}", "", format_node(node))

    def compare_leaves(self, task: _Task, expected: Leaf, found: Leaf) -> None:
        texts = expected.text, found.text
        references = reference_in(expected), reference_in(found)
        if any(references):
            kinds = {(True, True): "wrong_reference", (True, False): "missing_reference"}
            self.note(kinds.get((bool(references[0]), bool(references[1])), "invented_reference"), task.where, *texts)
        elif expected.quantity and found.quantity:
            for kind in _wrong_in_amount(expected, found):
                self.note(kind, task.where, *texts)
        elif "quoted" in (expected.kind, found.kind):
            same = sorted(map(str, amounts_in(expected))) == sorted(map(str, amounts_in(found)))
            self.note("wrong_structure" if same else "wrong_value", task.where, *texts)
        elif expected.quantity or found.quantity or (task.place and task.holder in ("is", *COMPARATORS)):
            self.note("wrong_value", task.where, *texts)
        else:
            (thing, *properties), (other, *others) = expected.parts, found.parts
            if thing != other:
                self.note("wrong_object", task.where, thing, other)
            if properties != others:
                self.note("wrong_property", task.where, ".".join(properties), ".".join(others))


def _sides(rule: Rule) -> tuple[_Group, _Group]:
    """Conditions and conclusions; a deontic term over 'and' stands for one over each part."""
    incomplete = [term.name for term in rule.statements] == ["if"]
    conclusions = _group_of("and", () if incomplete else rule.conclusions)
    conditions = _group_of("and", rule.conditions)
    if conclusions.connective == "or":
        return conditions, conclusions
    spread: list[Node] = []
    for node in conclusions.members:
        if (
            isinstance(node, Term)
            and node.name in DEONTICS
            and (inner := _group_of("and", node.args)).connective == "and"
        ):
            spread.extend(Term(node.name, (member,)) for member in inner.members)
        else:
            spread.append(node)
    return conditions, _Group("and", tuple(spread))


def _bundles(rule: Rule) -> list[int]:
    """How many parts each permission or prohibition holds: forbidding two things together forbids neither alone."""
    terms = (term for term in tree.normalise(rule).deontics if term.name != "obligation")
    return sorted(len(group.members) for term in terms if (group := _group_of("and", term.args)).connective == "and")


def _is_group(node: Node) -> bool:
    return isinstance(node, Term) and node.name in CONNECTIVES


def _group(part: Node | _Group) -> _Group:
    if isinstance(part, _Group):
        return part
    return _Group(part.name, part.args) if isinstance(part, Term) and _is_group(part) else _Group("", (part,))


def _group_of(connective: str, nodes: Sequence[Node]) -> _Group:
    """Nodes joined by a connective, with inner groups of the same connective opened."""
    if len(nodes) == 1:
        return _group(nodes[0])
    members: list[Node] = []
    for node in nodes:
        members.extend(node.args if isinstance(node, Term) and node.name == connective else (node,))
    return _Group(connective, tuple(members))


def _inside(term: Term, names: Sequence[str]) -> Term | _Group:
    """What a term of one of these names holds; any other term as it is."""
    return _group_of("and", term.args) if term.name in names else term


def _cited(node: Node) -> set[str]:
    leaves = Rule((node,)).leaves() if isinstance(node, Term) else (node,)
    return {cited for leaf in leaves if (cited := reference_in(leaf))}


def _below(where: str, node: Node) -> str:
    return f"{where}/{node.name}" if isinstance(node, Term) else where


def _part(node: Node, role: Role) -> str:
    return "exception" if role == "condition" and isinstance(node, Term) and node.name == "not" else role


def _leaf_labels(leaf: Leaf) -> dict[str, int]:
    """What a leaf can share with another: kind, number and unit of an amount; each part of a name."""
    if leaf.quantity:
        number, unit = leaf.quantity
        return {"#amount": 1, f"#{number}": 1, f"#unit {unit}": 1}
    cited = reference_in(leaf)
    return {"#reference": 1, cited: 1} if cited else dict.fromkeys(leaf.parts, 1)


def _name_labels(name: str) -> tuple[str, ...]:
    # Deontic terms, negations and connectives say nothing about what a part is about.
    if name in (*DEONTICS, *CONNECTIVES, "not"):
        return ()
    return (f"{name}(", "#comparator") if name in COMPARATORS else (f"{name}(",)


def _dice(one: dict[str, int], other: dict[str, int]) -> float:
    total = sum(one.values()) + sum(other.values())
    return 2 * sum(min(count, other.get(label, 0)) for label, count in one.items()) / total if total else 1.0


def _wrong_in_amount(expected: Leaf, found: Leaf) -> list[str]:
    """Value, unit or both: the unit alone is wrong if the numbers are the same."""
    assert expected.quantity is not None
    assert found.quantity is not None
    (number, unit), (other_number, other_unit) = expected.quantity, found.quantity
    bases = [getattr(read_amount(f"1 {each}" if each else "1"), "unit", each) for each in (unit, other_unit)]
    same_number = read_amount(number) == read_amount(other_number)
    if same_number:
        return ["wrong_unit"]
    return ["wrong_value"] if bases[0] == bases[1] else ["wrong_value", "wrong_unit"]
