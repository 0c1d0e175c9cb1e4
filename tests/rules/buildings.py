"""A second reading of small rules, without a solver and without the formulas of the package.

It walks the tree of a rule on one building. Properties are compared with one quantity each; there are no definitions.
"""

import itertools
import operator
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st

from compliance_xai.rules.notation.tree import Leaf, Rule, Term, format_node

LENGTHS = {"mm": Fraction(1, 1000), "m": Fraction(1), "cm": Fraction(1, 100)}
COMPARE = {
    "lessThan": operator.lt,
    "lessThanEqual": operator.le,
    "greaterThan": operator.gt,
    "greaterThanEqual": operator.ge,
    "equal": operator.eq,
}


def number(text):
    """Metres or kelvin; plain numbers as they are."""
    value, _, unit = text.partition(" ")
    if unit == "degC":
        return Fraction(value) + Fraction("273.15")
    return Fraction(value) * LENGTHS.get(unit, 1)


@dataclass(frozen=True)
class Building:
    numbers: dict
    atoms: dict
    option: "Building | None" = None
    breach: bool = False
    permitted: bool = False


def true(node, building):
    """Whether a statement is true of a building."""
    name, args = node.name, node.args
    if name == "and":
        return all(true(part, building) for part in args)
    if name == "or":
        return any(true(part, building) for part in args)
    if name == "not":
        return not true(args[0], building)
    last = args[-1]
    if isinstance(last, Term) and last.name in ("and", "or") and (last.name == "or" or name in ("has", "is")):
        each = (true(Term(name, (*args[:-1], part)), building) for part in last.args)
        return all(each) if last.name == "and" else any(each)
    if name in COMPARE:
        return COMPARE[name](building.numbers[args[0].text], number(args[1].text))
    return building.atoms[format_node(node)]


def concluded(node, building):
    if node.name in ("and", "or"):
        return (all if node.name == "and" else any)(concluded(part, building) for part in node.args)
    if node.name == "obligation":
        return building.breach or true(node.args[0], building)
    if node.name == "prohibition":
        return building.breach or not true(node.args[0], building)
    if node.name == "permission":
        return building.permitted or not true(node.args[0], building.option)
    return true(node, building)


def satisfies(rule, building):
    if not all(true(node, building) for node in rule.conditions):
        return True
    return all(concluded(node, building) for node in rule.conclusions)


def _atoms(names):
    return st.sampled_from(names).map(lambda name: Term("exist", (Leaf(name),)))


def comparisons(names=("riser.height",), quantities=("100 mm", "0.1 m", "20 cm", "200 mm", "0.3 m")):
    return st.builds(
        lambda name, left, right: Term(name, (Leaf(left), Leaf(right))),
        st.sampled_from(list(COMPARE)),
        st.sampled_from(names),
        st.sampled_from(quantities),
    )


def statements(depth=4):
    base = _atoms(("stair", "lift")) | comparisons()
    return st.recursive(
        base,
        lambda parts: st.builds(
            lambda name, args: Term(name, args[:1] if name == "not" else args),
            st.sampled_from(["and", "or", "not"]),
            st.lists(parts, min_size=1, max_size=3).map(tuple),
        ),
        max_leaves=depth,
    )


def _conclusions():
    deontic = st.builds(
        lambda name, part: Term(name, (part,)),
        st.sampled_from(["obligation", "permission", "prohibition"]),
        statements(3),
    )
    return deontic | statements(3) | st.builds(lambda a, b: Term("and", (a, b)), deontic, deontic)


SMALL_RULES = st.builds(
    lambda condition, conclusion: Rule((Term("if", (condition,)), Term("then", (conclusion,)))),
    statements(3),
    _conclusions(),
)


def every_building(*rules):
    """Every building that these rules can tell apart: all thresholds, one value between each two, one outside each."""
    leaves = {leaf.text for rule in rules for leaf in rule.leaves() if leaf.kind == "quantity"}
    marks = sorted({number(text) for text in leaves}) or [Fraction(0)]
    values = [marks[0] - 1, *marks, *((a + b) / 2 for a, b in itertools.pairwise(marks)), marks[-1] + 1]
    truths = (False, True)
    cases = [
        ({"riser.height": value}, {"exist(stair)": stair, "exist(lift)": lift})
        for value, stair, lift in itertools.product(values, truths, truths)
    ]
    permits = any(term.name == "permission" for rule in rules for term in rule.deontics)
    for (numbers, atoms), option in itertools.product(cases, cases if permits else cases[:1]):
        for breach, permitted in itertools.product(truths, truths if permits else truths[:1]):
            yield Building(numbers, atoms, Building(*option), breach, permitted)


def search(a, b):
    """The answer by trying every building: the reference that takes its time."""
    only_a = only_b = False
    for building in every_building(a, b):
        first, second = satisfies(a, building), satisfies(b, building)
        only_a |= first and not second
        only_b |= second and not first
    return {(0, 0): "equivalent", (0, 1): "stronger", (1, 0): "weaker", (1, 1): "different"}[only_a, only_b]


def rebuild(counterexample):
    """The building that a counter-example describes; what it does not mention is as small and false as can be."""
    numbers, atoms, option_numbers, option_atoms = {}, {}, {}, {}
    for name, text in counterexample.properties.items():
        (option_numbers if name.startswith("option ") else numbers)[name.removeprefix("option ")] = number(text)
    for name, truth in counterexample.atoms.items():
        (option_atoms if name.startswith("option ") else atoms)[name.removeprefix("option ")] = truth
    option = Building({"riser.height": Fraction(0)} | option_numbers, _false() | option_atoms)
    return Building(
        {"riser.height": Fraction(0)} | numbers,
        _false() | atoms,
        option,
        atoms.get("breach", False),
        atoms.get("permitted", False),
    )


def _false():
    return {"exist(stair)": False, "exist(lift)": False}
