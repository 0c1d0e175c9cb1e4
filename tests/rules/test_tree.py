"""Canonical order."""

import random

from hypothesis import given
from hypothesis import strategies as st
from trees import DEEP, RULES, relaxed

from compliance_xai.rules.notation.parse import parse_rule
from compliance_xai.rules.notation.tree import Leaf, Rule, Term, canonical, fold, format_rule


def shuffled(rule: Rule, seed: int) -> Rule:
    source = random.Random(seed)

    def shuffle(term: Term, arguments: list) -> Term:
        if term.name in ("and", "or"):
            source.shuffle(arguments)
        return Term(term.name, tuple(arguments))

    return Rule(tuple(fold(rule.statements, lambda leaf: leaf, shuffle)), rule.layout)  # type: ignore[arg-type]


@relaxed
@given(RULES, st.integers(0, 2**32))
def test_the_order_of_and_and_or_does_not_count(rule, seed):
    assert canonical(shuffled(rule, seed)) == canonical(rule)
    assert canonical(canonical(rule)) == canonical(rule)
    assert sorted(leaf.text for leaf in canonical(rule).leaves()) == sorted(leaf.text for leaf in rule.leaves())


def test_the_order_is_alphabetical_and_every_other_order_stays():
    rule = parse_rule("if(or(b(z),a(and(y,x)))),then(is(d,c))")
    assert format_rule(canonical(rule)) == "if(or(a(and(x,y)),b(z))),then(is(d,c))"


def test_long_arguments_that_start_alike_are_ordered_too():
    start = "exist(" + "x" * 300
    rule = parse_rule(f"and({start}b),{start}a))")
    assert canonical(rule) == canonical(parse_rule(f"and({start}a),{start}b))"))
    assert canonical(rule) != canonical(parse_rule(f"and({start}a),{start}c))"))


def test_deep_rules_are_ordered():
    rule = canonical(parse_rule("and(a," * DEEP + "b" + ")" * DEEP))
    assert rule.leaves()[0] == Leaf("a")
    assert len(rule.leaves()) == DEEP + 1
