"""A normal form for comparing rules: one way to nest, to negate and to turn a comparison."""

from __future__ import annotations

from compliance_xai.rules.notation.tree import CONNECTIVES, Leaf, Node, Rule, Term, fold

COMPARATORS = ("greaterThan", "greaterThanEqual", "lessThan", "lessThanEqual", "equal")
_OPPOSITE = {
    "greaterThan": "lessThanEqual",
    "greaterThanEqual": "lessThan",
    "lessThan": "greaterThanEqual",
    "lessThanEqual": "greaterThan",
}
_MIRRORED = {
    "greaterThan": "lessThan",
    "greaterThanEqual": "lessThanEqual",
    "lessThan": "greaterThan",
    "lessThanEqual": "greaterThanEqual",
    "equal": "equal",
}


def normalise(rule: Rule) -> Rule:
    """Rewrite a rule without changing what it says.

    ``and`` in ``and`` and ``or`` in ``or`` become one; an ``and`` or ``or`` of one argument is the argument; two
    negations cancel; a negated comparison is the opposite one (``not(lessThan(a,b))`` is ``greaterThanEqual(a,b)``); a
    comparison that starts with a quantity is turned round. Order and spelling stay; ``canonical`` sorts.

    >>> from compliance_xai.rules.notation.parse import parse_rule
    >>> from compliance_xai.rules.notation.tree import format_rule
    >>> format_rule(normalise(parse_rule("and(exist(a),and(exist(b),not(lessThan(2 m,a.width))))")))
    'and(exist(a),exist(b),lessThanEqual(a.width,2 m))'
    """
    nodes = fold(rule.statements, lambda leaf: leaf, _simplify)
    return Rule(tuple(node for node in nodes if isinstance(node, Term)), rule.layout)


def _simplify(term: Term, arguments: list[Node]) -> Node:
    name = term.name
    if name in CONNECTIVES:
        flat: list[Node] = []
        for node in arguments:
            flat.extend(node.args if isinstance(node, Term) and node.name == name else (node,))
        if len(flat) == 1 and isinstance(flat[0], Term):
            return flat[0]
        return Term(name, tuple(flat))
    if name == "not" and len(arguments) == 1 and isinstance(inner := arguments[0], Term):
        if inner.name == "not" and len(inner.args) == 1 and isinstance(inner.args[0], Term):
            return inner.args[0]
        if inner.name in _OPPOSITE and len(inner.args) == 2:
            return Term(_OPPOSITE[inner.name], inner.args)
    if name in _MIRRORED and len(arguments) == 2 and _is_amount(arguments[0]) and not _is_amount(arguments[1]):
        return Term(_MIRRORED[name], (arguments[1], arguments[0]))
    return Term(name, tuple(arguments))


def _is_amount(node: Node) -> bool:
    return isinstance(node, Leaf) and node.kind == "quantity"
