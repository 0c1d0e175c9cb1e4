"""Equivalence: the cases of the notation, agreement with an exhaustive search, and what must never happen."""

import csv
import itertools
import pickle
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
from buildings import COMPARE, SMALL_RULES, rebuild, satisfies, search
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from trees import DEEP, RULES

from compliance_xai.errors import InputError
from compliance_xai.rules.compare import equivalence
from compliance_xai.rules.compare.equivalence import equivalent
from compliance_xai.rules.notation.parse import parse_rule
from compliance_xai.rules.notation.spelling import expand
from compliance_xai.rules.notation.tree import Leaf, Rule, Term, canonical, fold, format_rule

FLIPPED = {
    "equivalent": "equivalent",
    "stronger": "weaker",
    "weaker": "stronger",
    "different": "different",
    "unknown": "unknown",
}


def answer(a, b):
    verdict = equivalent(a, b)
    assert equivalent(b, a).answer == FLIPPED[verdict.answer]
    assert (verdict.counterexample is None) == (verdict.answer in ("equivalent", "unknown"))
    return verdict.answer


def duty(statement, condition="exist(stair)"):
    return f"if({condition}),then(obligation({statement}))"


LOW = "lessThanEqual(riser.height,180 mm)"

SAME = {
    "order": (duty("and(has(a,b),exist(c))"), duty("and(exist(c),has(a,b))")),
    "nesting": (duty("and(p(a),and(p(b),p(c)))"), duty("and(p(a),p(b),p(c))")),
    "De Morgan": (duty("not(and(has(a,b),exist(c)))"), duty("or(not(exist(c)),not(has(a,b)))")),
    "double negation": (duty("not(not(exist(a)))"), duty("exist(a)")),
    "negated comparator": (duty("lessThan(a.b,5 m)"), duty("not(greaterThanEqual(a.b,5 m))")),
    "sides exchanged": (duty("lessThan(a.b,5 m)"), duty("greaterThan(5 m,a.b)")),
    "equal from both sides": (
        duty("equal(a.b,5 m)"),
        duty("and(lessThanEqual(a.b,5 m),greaterThanEqual(a.b,5000 mm))"),
    ),
    "unit": (duty("lessThan(a.b,0.9 m)"), duty("lessThan(a.b,900 mm)")),
    "square": (duty("lessThan(a.b,0.25 ha)"), duty("lessThan(a.b,2500 m2)")),
    "derived unit": (duty("lessThan(a.b,1 L/s)"), duty("lessThan(a.b,3.6 m3/h)")),
    "ratio": (duty("lessThan(a.b,1:80)"), duty("lessThan(a.b,1.25 percent)")),
    "Celsius": (duty("lessThan(a.b,60 degC)"), duty("lessThan(a.b,333.15 K)")),
    "difference in Celsius": (
        duty("lessThan(a.b,'a.c + 5 degC')"),
        duty("lessThan(a.b,'a.c + 5 K')"),
    ),
    "unit of a word": (duty("within(a,3 m)"), duty("within(a,3000 mm)")),
    "unknown unit": (duty("is(a.b,15 series)"), duty("equal(a.b,15 series)")),
    "contraposition": (duty("p(b)", "p(a)"), duty("not(p(a))", "not(p(b))")),
    "contraposition of a bare rule": ("if(p(a)),then(p(b))", "if(not(p(b))),then(not(p(a)))"),
    "condition into the duty": (duty("p(c)", "and(p(a),p(b))"), duty("or(not(p(b)),p(c))", "p(a)")),
    "prohibition": ("prohibition(greaterThan(a.b,5 m))", "obligation(lessThanEqual(a.b,5 m))"),
    "no permission": ("prohibition(exist(a))", "not(permission(exist(a)))"),
    "no prohibition": ("not(prohibition(exist(a)))", "permission(exist(a))"),
    "no obligation": ("not(obligation(exist(a)))", "permission(not(exist(a)))"),
    "permission of each": ("permission(or(p(a),p(b)))", "and(permission(p(a)),permission(p(b)))"),
    "alternatives": (duty("is(a.type,or(b,c))"), duty("or(is(a.type,c),is(a.type,b))")),
    "no alternative": (duty("not(has(a,or(b,c)))"), duty("and(not(has(a,b)),not(has(a,c)))")),
    "enumeration": (duty("complyWith(a,and(nzs_1,nzs_2))"), duty("and(complyWith(a,nzs_2),complyWith(a,nzs_1))")),
    "variable": (
        duty("and(define(a.b,x0),lessThan(c.d,'x0 + 150 mm'))"),
        duty("and(define(a.b,x7),lessThan(c.d,'0.15 m + x7'))"),
    ),
    "variable in a name": (duty("and(define(a.b,x0),is(x0.kind,c))"), duty("is(a.b.kind,c)")),
    "expression": (duty("lessThan(a.b,'2 * (x + 3 mm) / 4')"), duty("lessThan(a.b,'0.5 * x + 1.5 mm')")),
    "order of a product": (duty("lessThan(a.b,'x * y')"), duty("greaterThan('y * x',a.b)")),
    "coefficient with a unit": (duty("lessThan(a.b,'22 kg/m2 * x')"), duty("lessThan(a.b,'x * 0.022 kg/m2 * 1000')")),
    "whole numbers": (duty("greaterThan(count(exit),1)"), duty("greaterThanEqual(count(exit),2)")),
    "permission as a condition": (
        duty("p(c)", "not(permission(and(p(a),p(b))))"),
        duty("p(c)", "not(permission(not(or(not(p(b)),not(p(a))))))"),
    ),
    "loop": (
        duty("loop(forEach(x),and(p(a),not(or(p(b),p(c)))))"),
        duty("and(loop(forEach(x),not(p(c))),loop(forEach(x),and(not(p(b)),p(a))))"),
    ),
    "loops together": (
        duty("and(loop(forEach(x),or(p(a),p(b))),loop(forEach(x),not(p(a))))"),
        duty("and(loop(forEach(x),p(b)),loop(forEach(x),not(p(a))))"),
    ),
    "spaced": ("obligation( is( a, b))", "obligation(is(a,b))"),
}

STRONGER = {
    "limit": (duty("lessThan(a.b,5 m)"), duty("lessThan(a.b,6 m)")),
    "strict": (duty("lessThan(a.b,5 m)"), duty("lessThanEqual(a.b,5 m)")),
    "equal": (duty("equal(a.b,5 m)"), duty("lessThanEqual(a.b,5 m)")),
    "fewer conditions": (duty("p(c)", "p(a)"), duty("p(c)", "and(p(a),p(b))")),
    "more duties": (duty("and(p(a),p(b))"), duty("p(a)")),
    "fewer alternatives": (duty("has(a,b)"), duty("has(a,or(b,c))")),
    "no room for a breach": ("obligation(p(a)),p(b)", "obligation(p(a))"),
    "so instead of due": ("if(p(a)),then(p(b))", duty("p(b)", "p(a)")),
    "wider permission": ("permission(or(p(a),p(b)))", "permission(p(a))"),
    "chain": (duty("and(lessThan(a.b,c.d),lessThan(c.d,5 mm))"), duty("lessThan(a.b,0.005 m)")),
    "loop": (duty("or(loop(forEach(x),p(a)),loop(forEach(x),p(b)))"), duty("loop(forEach(x),or(p(a),p(b)))")),
    "temperature": (duty("greaterThan(a.b,60 degC)"), duty("greaterThan(a.b,139 degF)")),
}

DIFFERENT = {
    "obligation and permission": (duty(LOW), f"if(exist(stair)),then(permission({LOW}))"),
    "obligation and prohibition": (duty(LOW), f"if(exist(stair)),then(prohibition({LOW}))"),
    "bare number": (duty(LOW), duty("lessThanEqual(riser.height,180)")),
    "bare number in base units": (duty("lessThan(a.b,5 m)"), duty("lessThan(a.b,5)")),
    "length and mass": (duty(LOW), duty("lessThanEqual(riser.height,180 kg)")),
    "angle and ratio": (duty("lessThan(a.b,45 deg)"), duty("lessThan(a.b,1:1)")),
    "at centres": (duty("is(a.b,400 mm)"), duty("is(a.b,400 mmCentres)")),
    "flipped": (duty("lessThan(a.b,5 m)"), duty("greaterThan(a.b,5 m)")),
    "converse": ("if(p(a)),then(p(b))", "if(p(b)),then(p(a))"),
    "condition and permitted act exchanged": ("if(p(a)),then(permission(p(b)))", "if(p(b)),then(permission(p(a)))"),
    "together and each": (duty("inBetween(a,and(b,c))"), duty("and(inBetween(a,b),inBetween(a,c))")),
    "order of arguments": (duty("above(a,b)"), duty("above(b,a)")),
    "two of a kind": (
        "if(and(define(pipe,x0),define(pipe,x1))),then(obligation(equal(x0.size,x1.size)))",
        "if(and(define(pipe,x0),define(pipe,x1))),then(obligation(equal(x0.size,x0.age)))",
    ),
    "several at once": (
        duty("and(is(bar.place,400 mmCentres),is(bar.place,200 mmCentres))"),
        duty("and(is(bar.place,400 mmCentres),is(bar.place,300 mmCentres))"),
    ),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_rules_that_mean_the_same(pair):
    assert answer(*pair) == "equivalent"


@pytest.mark.parametrize("pair", STRONGER.values(), ids=STRONGER)
def test_rules_that_ask_more(pair):
    assert answer(*pair) == "stronger"


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_rules_of_which_neither_follows(pair):
    assert answer(*pair) == "different"


def test_the_counterexample_is_a_building_in_the_units_of_the_rules():
    verdict = equivalent(duty("greaterThanEqual(door.width,900 mm)"), duty("greaterThanEqual(door.width,0.8 m)"))
    assert verdict.answer == "stronger"
    assert verdict.reason == "Every building that satisfies a satisfies b, but not the other way round."
    case = verdict.counterexample
    value, unit = case.properties["door.width"].split(" ")
    assert unit == "mm"
    assert 800 <= Fraction(value) < 900
    assert case.atoms == {"exist(stair)": True, "breach": False}
    assert case.satisfies == "b"
    assert str(case) == f"door.width = {value} mm, exist(stair), not breach: satisfies b, not a"


def test_a_temperature_is_shown_on_its_own_scale():
    case = equivalent("equal(water.temperature,60 degC)", "exist(tap)").counterexample
    assert case.properties == {"water.temperature": "60 degC"}
    cool = equivalent("lessThan(water.temperature,60 degC)", "lessThan(water.temperature,1 degC)").counterexample
    value, unit = cool.properties["water.temperature"].split(" ")
    assert 1 <= Fraction(value) < 60
    assert unit == "degC"
    bare = equivalent("lessThan(water.temperature,60 degC)", "lessThan(water.temperature,60)").counterexample
    assert bare.properties["water.temperature as temperature"] == "0 degC"


def test_an_option_is_told_from_the_building():
    case = equivalent("permission(exist(a))", "permission(exist(b))").counterexample
    assert case.atoms == {"option exist(a)": False, "option exist(b)": True, "permitted": False}


def test_the_reason_names_mixed_dimensions():
    verdict = equivalent("lessThan(a.b,180 mm)", "lessThan(a.b,180 kg)")
    assert "a.b is compared as length and as mass, which no unit joins." in verdict.reason
    assert set(verdict.counterexample.properties) == {"a.b as length", "a.b as mass"}


def test_the_reason_names_different_kinds_of_rule():
    assert "a obliges, b permits." in equivalent("obligation(p(a))", "permission(p(a))").reason


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ("obligation(and(p(a),not(p(a))))", "prohibition(p(a))", "a can be satisfied by no building."),
        ("obligation(p(a))", "obligation(lessThan(6 m,5 m))", "b can be satisfied by no building."),
        ("if(lessThan(a.b,a.b)),then(obligation(p(a)))", "p(a)", "a is satisfied by every building."),
        ("greaterThanEqual(count(a),0)", "p(a)", "a is satisfied by every building."),
    ],
)
def test_the_reason_names_a_rule_that_asks_nothing_or_too_much(a, b, reason):
    assert reason in equivalent(a, b).reason
    assert reason.replace("a ", "b ", 1) in equivalent(a, a.replace("p(z)", "p(y)")).reason or reason[0] == "b"


UNKNOWN = {
    "circle": ("obligation(and(define('x1 + 1 mm',x0),define('x0 + 1 mm',x1),lessThan(x0,5 mm)))", "circular"),
    "warmer twice": ("lessThan('2 * a.b',60 degC)", "a temperature on a scale with its own zero is multiplied"),
    "long number": (f"lessThan(a.b,{'9' * 50})", "is not a number that can be compared"),
    "deep": ("not(" * DEEP + "p(a)" + ")" * DEEP, "a rule is more than 60 terms deep"),
    "wide": ("and(" + ",".join(f"p(a{i})" for i in range(6_000)) + ")", "a rule has more than 5000 nodes"),
    "intermediate spelling": (format_rule(expand(parse_rule("is(a.b,c)"))), "which hides its comparisons"),
    "alternatives": (f"p({','.join(['or(a,b)'] * 16)})", "once its alternatives are written out"),
}


@pytest.mark.parametrize(("rule", "reason"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_decided_is_unknown(rule, reason):
    verdict = equivalent(rule, "p(a)")
    assert verdict.answer == "unknown"
    assert reason in verdict.reason
    assert equivalent(rule, rule).answer == "equivalent"


def pigeons(holes):
    """Everyone has a hole of their own, one hole too few: short to write and long to refute."""
    somewhere = [Term("or", tuple(Term("p", (Leaf(f"a{i}x{j}"),)) for j in range(holes))) for i in range(holes + 1)]
    alone = [
        Term("not", (Term("and", (Term("p", (Leaf(f"a{i}x{j}"),)), Term("p", (Leaf(f"a{k}x{j}"),)))),))
        for j in range(holes)
        for i in range(holes + 1)
        for k in range(i)
    ]
    return Rule((Term("obligation", (Term("and", (*somewhere, *alone)),)),))


def test_no_time_no_answer(monkeypatch):
    monkeypatch.setattr(equivalence, "TIMEOUT_MS", 300)
    start = time.monotonic()
    verdict = equivalent(pigeons(10), "obligation(lessThan(6 m,5 m))")
    assert verdict.answer == "unknown"
    assert verdict.reason == "Not decided: the solver reached its limit of time or work."
    assert time.monotonic() - start < 20
    monkeypatch.setattr(equivalence, "TIMEOUT_MS", 1)
    assert equivalent(pigeons(10), pigeons(10)).answer == "equivalent"


def test_bad_text_is_refused_where_it_is_wrong():
    with pytest.raises(InputError, match="rule, character 4: expected"):
        equivalent("p(a)", "p(a")
    with pytest.raises(InputError, match="expected a string, found int"):
        equivalent("p(a)", 3)  # type: ignore[arg-type]


WIDE = "if(exist(a)),then(obligation(greaterThan(a.width,{})))"


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ("2 gauge", "3 gauge", "unknown"),
        ("2 furlong", "400 m", "unknown"),
        ("2 furlong", "2 furlong", "equivalent"),
        ("'2 furlong + 1 m'", "'3 furlong + 1 m'", "unknown"),
        ("0.3 W/m2K", "0.3 W/m2/K", "equivalent"),
        ("10 kNm", "10 kN*m", "equivalent"),
        ("1 W/m2K", "1 K*W/m2/s", "different"),
    ],
)
def test_a_verdict_that_hangs_on_an_unknown_unit_is_unknown(one, other, answer):
    verdict = equivalent(WIDE.format(one), WIDE.format(other))
    assert verdict.answer == answer
    if answer == "unknown":
        assert "unit" in verdict.reason
        assert "is not known" in verdict.reason
    turned = WIDE.format(one).replace("obligation(greaterThan", "prohibition(lessThanEqual")
    assert equivalent(turned, WIDE.format(one)).answer == "equivalent"


def test_importing_rules_loads_no_solver():
    code = "import sys, compliance_xai.rules; print({'z3'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_verdicts_can_be_pickled():
    verdict = equivalent("exist(a)", "exist(b)")
    assert pickle.loads(pickle.dumps(verdict)) == verdict


def test_threads_may_compare_at_once():
    pairs = [*SAME.values(), *STRONGER.values(), *DIFFERENT.values()]
    alone = [equivalent(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda pair: equivalent(*pair), pairs)) == alone


@settings(deadline=None, max_examples=40)
@given(RULES)
def test_every_rule_is_equivalent_to_itself_in_any_order(rule):
    assert equivalent(rule, rule).answer == "equivalent"
    assert equivalent(rule, canonical(rule)).answer == "equivalent"
    assert equivalent(format_rule(rule), rule).answer == "equivalent"


@settings(deadline=None, max_examples=40)
@given(RULES, RULES)
def test_exchanging_the_rules_exchanges_stronger_and_weaker(a, b):
    assert answer(a, b) in FLIPPED


@settings(deadline=None, max_examples=60)
@given(SMALL_RULES, SMALL_RULES)
def test_the_solver_agrees_with_trying_every_building(a, b):
    verdict = equivalent(a, b)
    assert verdict.answer == search(a, b)
    if verdict.counterexample is not None:
        building = rebuild(verdict.counterexample)
        assert satisfies(a, building) == (verdict.counterexample.satisfies == "a")
        assert satisfies(b, building) == (verdict.counterexample.satisfies == "b")


@settings(deadline=None, max_examples=30)
@given(SMALL_RULES, st.data())
def test_a_part_and_its_negation_are_never_exchanged_unseen(rule, data):
    parts = [node for node in rule.walk() if isinstance(node, Term) and node.name in ("exist", "lessThan", "equal")]
    assume(parts)
    target = data.draw(st.sampled_from(parts))
    mutant = replace(rule, target, Term("not", (target,)))
    assert equivalent(rule, mutant).answer == search(rule, mutant)


def replace(rule, target, new):
    def leaf(node):
        return new if node is target else node

    def term(node, args):
        return new if node is target else Term(node.name, tuple(args))

    return Rule(tuple(fold(rule.statements, leaf, term)))  # type: ignore[arg-type]


BOUNDS = st.tuples(
    st.sampled_from(list(COMPARE)),
    st.permutations(["a.width", "b.width"]),
    st.sampled_from([-2, -1, 1, 2]),
    st.sampled_from([(-100, "mm"), (0, "mm"), (100, "mm"), (Fraction(1, 10), "m"), (10, "cm")]),
)
METRES = {"mm": Fraction(1, 1000), "cm": Fraction(1, 100), "m": Fraction(1)}


@settings(deadline=None, max_examples=30)
@given(st.lists(BOUNDS, min_size=2, max_size=4), st.booleans())
def test_linear_bounds_hold_on_a_grid(bounds, joined):
    """One rule has the first bound, the other all of them, which the solver must relate as a grid of widths does."""

    def text(bound):
        name, (left, right), factor, (number, unit) = bound
        return f"{name}({left},'{factor} * {right} + {float(number)} {unit}')".replace("'-", "'0 - ")

    def true(bound, widths):
        name, (left, right), factor, (number, unit) = bound
        return COMPARE[name](widths[left], factor * widths[right] + number * METRES[unit])

    rest = f"{'and' if joined else 'or'}({','.join(map(text, bounds[1:]))})"
    relation = equivalent(duty(text(bounds[0])), duty(rest)).answer
    grid = [Fraction(step, 20) for step in range(-8, 9)]
    for widths in ({"a.width": a, "b.width": b} for a in grid for b in grid):
        first, others = true(bounds[0], widths), (all if joined else any)(true(bound, widths) for bound in bounds[1:])
        assert not (first and not others and relation in ("equivalent", "stronger"))
        assert not (others and not first and relation in ("equivalent", "weaker"))


def _joined(parts):
    return st.builds(
        lambda name, args: Term(name, args[:1] if name == "not" else args),
        st.sampled_from(["and", "or", "not"]),
        st.lists(parts, min_size=1, max_size=2).map(tuple),
    )


EACH = st.recursive(st.sampled_from(["p(x)", "q(x)"]).map(lambda text: parse_rule(text).statements[0]), _joined)
LOOPS = st.recursive(
    EACH.map(lambda body: Term("loop", (Term("forEach", (Leaf("x"),)), body))), _joined, max_leaves=4
).map(lambda statement: Rule((statement,)))


def true_of(node, has):
    if node.name in ("and", "or", "not"):
        parts = [true_of(part, has) for part in node.args]
        return not parts[0] if node.name == "not" else all(parts) if node.name == "and" else any(parts)
    return has(node)


@settings(deadline=None, max_examples=60)
@given(LOOPS, LOOPS)
def test_loops_agree_with_trying_every_set_of_elements(a, b):
    kinds = list(itertools.product((False, True), repeat=2))
    sets = [chosen for size in range(5) for chosen in itertools.combinations(kinds, size)]

    def holds_of(rule, elements):
        def loop(node):
            return all(true_of(node.args[1], lambda atom, e=e: e[atom.name == "q"]) for e in elements)

        return true_of(rule.statements[0], loop)

    pairs = {(holds_of(a, elements), holds_of(b, elements)) for elements in sets}
    only_a, only_b = (True, False) in pairs, (False, True) in pairs
    expected = {(0, 0): "equivalent", (0, 1): "stronger", (1, 0): "weaker", (1, 1): "different"}[only_a, only_b]
    assert equivalent(a, b).answer == expected


LIMITS = st.builds(
    lambda comparator, prop, value, unit: Term(comparator, (Leaf(prop), Leaf(f"{value} {unit}"))),
    st.sampled_from(["lessThan", "lessThanEqual", "greaterThan", "greaterThanEqual", "equal"]),
    st.sampled_from(["riser.height", "door.width"]),
    st.integers(1, 5000),
    st.sampled_from(["mm", "m", "degC", "m2K/W", "percent", "series"]),
)
MADE = st.builds(
    lambda deontic, limit, use, system: parse_rule(
        f"if(and(is(building.use,{use}),not(has(building,{system})))),then({deontic}({limit.name}"
        f"({limit.args[0].text},{limit.args[1].text})))"
    ),
    st.sampled_from(["obligation", "permission", "prohibition"]),
    LIMITS,
    st.sampled_from(["school", "shop"]),
    st.sampled_from(["alarm", "sprinkler"]),
)
"""Rules of the shape that the synthetic corpus has, of which every part counts."""

OTHER = {
    "obligation": "permission",
    "permission": "prohibition",
    "prohibition": "obligation",
    "lessThan": "lessThanEqual",
    "lessThanEqual": "greaterThanEqual",
    "greaterThanEqual": "greaterThan",
    "greaterThan": "lessThan",
    "equal": "lessThanEqual",
    "mm": "m",
    "m": "kg",
    "degC": "K",
    "percent": "mm",
    "series": "gauge",
    "m2K/W": "mK/W",
    "school": "shop",
    "alarm": "sprinkler",
    "not": "and",
    "riser.height": "riser.depth",
}


def mutants(rule):
    """The rule with one word changed, one number changed, or one condition left out."""
    for node in list(rule.walk()):
        if isinstance(node, Term) and node.name in OTHER:
            yield replace(rule, node, Term(OTHER[node.name], node.args))
        elif isinstance(node, Leaf) and node.quantity:
            value, unit = node.quantity
            yield replace(rule, node, Leaf(f"{int(value) + 1} {unit}"))
            yield replace(rule, node, Leaf(value))
            yield replace(rule, node, Leaf(f"{value} {OTHER[unit]}"))
        elif isinstance(node, Leaf) and node.text in OTHER:
            yield replace(rule, node, Leaf(OTHER[node.text]))
        elif isinstance(node, Term) and node.name == "and":
            yield from (replace(rule, node, condition) for condition in node.args)


@settings(deadline=None, max_examples=8)
@given(MADE)
def test_a_mutant_is_never_equivalent_to_its_origin(rule):
    changed = list(mutants(rule))
    assert len(changed) >= 8
    assert [format_rule(mutant) for mutant in changed if equivalent(rule, mutant).answer == "equivalent"] == []


@settings(deadline=None, max_examples=30)
@given(MADE, st.integers(1, 5000), st.sampled_from([("mm", "m", 1000), ("kg", "g", Fraction(1, 1000)), ("%", "", 100)]))
def test_the_unit_does_not_count(rule, value, change):
    old, new, divisor = change
    leaf = next(leaf for leaf in rule.leaves() if leaf.quantity)
    here = replace(rule, leaf, Leaf(f"{value} {old}"))
    there = replace(rule, leaf, Leaf(f"{float(value / Fraction(divisor))} {new}".rstrip()))
    assert answer(here, there) == "equivalent"


def test_rules_of_the_published_corpus(shared_data):
    path = shared_data / "nzbc_lrml_v8_dev.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        rules = [parse_rule(row["lrml"]) for row in csv.DictReader(lines)]
    sample = random.Random(0).sample(rules, 40)
    for rule in sample:
        assert equivalent(rule, canonical(rule)).answer == "equivalent"
        deontic = next(iter(rule.deontics), None)
        if deontic is not None:
            other = Term(OTHER[deontic.name], deontic.args)
            assert answer(rule, replace(rule, deontic, other)) in ("different", "stronger", "weaker")
