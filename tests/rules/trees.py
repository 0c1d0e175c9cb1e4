"""Random rules for the property tests."""

from hypothesis import settings
from hypothesis import strategies as st

from compliance_xai.rules.notation.tree import Leaf, Rule, Term

LEAVES = st.sampled_from(
    [
        "building",
        "building.riskGroup",
        "60 degC",
        "0.25 ha",
        "1:12",
        "0",
        "'x0 + 150 mm'",
        "'0.01 * (x0 + x1), at most'",
        "nzbc_e1as1_t1",
        "nzbc_e2as1_f34 to nzbc_e2as1_f37",
        "risk group",
        "22.5°",
    ]
).map(Leaf)
relaxed = settings(deadline=None)
"""For busy machines: no limit on the time of one example."""

NAMES = st.sampled_from(["and", "or", "not", "is", "has", "greaterThanEqual", "define", "as per", "obligation"])


def _terms(arguments):
    return st.builds(Term, NAMES, st.lists(arguments, min_size=1, max_size=4).map(tuple))


NODES = st.recursive(LEAVES, _terms, max_leaves=25)
TERMS = _terms(NODES)


def _rule(terms, layout, conditional):
    statements = (Term("if", terms[:1]), Term("then", terms)) if conditional else terms
    return Rule(statements, layout)


RULES = st.builds(
    _rule,
    st.lists(TERMS, min_size=1, max_size=3).map(tuple),
    st.sampled_from(["tight", "spaced"]),
    st.booleans(),
)

DEEP = 10_000
HOSTILE = {
    "empty": "",
    "spaces": " " * 1_000_000,
    "open": "and(" * DEEP,
    "open and long": "and(" * 250_000,
    "deep": "and(" * DEEP + "a" + ")" * DEEP,
    "deep with siblings": "and(x," * DEEP + "y" + ")" * DEEP,
    "closing": ")" * 1_000_000,
    "unnamed": "(" * 1_000_000,
    "quotes": "'" * 1_000_001,
    "odd quotes": "a'" * 300_001,
    "commas": "," * 1_000_000,
    "statements": "a(b)," * 60_000,
    "if": "if(" * 100_000,
    "if words": "if " * 300_000,
    "then": "then(" * 60_000,
    "rules": "if(a),then(" * 30_000,
    "other brackets": "[{" * 500_000,
    "one word": "a" * 1_000_000,
    "digits": "a(" + "1" * 1_000_000 + ".)",
    "zeros": "\0" * 1_000_000,
    "surrogates": "is(\ud800,\udfff" * 50_000,
}
"""Texts of up to 1 MB, or 10,000 terms deep and more, that a careless reader raises or hangs on."""
