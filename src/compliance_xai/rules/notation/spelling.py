"""From the compact spelling to the spaced intermediate one, in which the published LRML F1 was computed.

Compact: ``is(space.riskGroup,or(si,sm))``. Intermediate: ``or( expression( function( is), atom( relation( risk group),
variable( space)), data( si)), expression( ...data( sm)))``. Fuchs et al. train on short spellings and expand every
prediction before they score it; this is a new implementation of that expansion, so that values on compact rules can be
compared with theirs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from compliance_xai.errors import InputError
from compliance_xai.rules.notation.tree import CONNECTIVES, DEONTICS, Leaf, Node, Rule, Term, fold, format_node

LIMIT = 100_000
"""Nodes that an expanded rule may have. Copies multiply where connectives nest inside predicates."""

UNIT_KINDS = {"degC": "celsius", "deg": "angleDegree", "ha": "hectare", "Pa": "pascal", "N": "newton", "l": "litre"}
UNIT_KINDS |= {"g": "gram", "m": "metre"}
UNIT_PREFIXES = {"k": "kilo", "m": "milli", "M": "mega"}
_OPERATORS = {"+": "addition", "-": "subtraction", "*": "multiplication", "/": "division"}
_UNIT = re.compile(rf"(?P<prefix>[kmM]?)(?P<kind>{'|'.join(UNIT_KINDS)})(?P<exponent>\d?)")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?) ([^ ]+)")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PROPERTY = re.compile(r"\.(?=[a-z])")


@dataclass(frozen=True)
class _Part:
    """One node on its way up: expanded, and as it is inside ``data``; the size counts the copies to come."""

    expanded: Node
    plain: Node
    size: int
    lifts: bool = False  # copies under a connective that merge into the next container


def expand(rule: Rule) -> Rule:
    """Write a compact rule in the intermediate spelling; one that holds an ``expression`` already is only laid out.

    Predicates become ``expression(function(..), atom(..), data(..))``, dotted names ``relation`` and ``variable``,
    quantities with known units ``baseunit`` or ``derivedunit`` and ``value``; names become separate lower-case words;
    ``and`` and ``or`` inside a predicate become copies of the predicate, outside ``not`` and the deontic term around
    it. The last step is the published one and changes what a negated ``or`` means, so score with this, do not reason.
    Departures from the published conversion: third and further arguments stay (as further ``data``), as do the parts
    of a name behind its second dot.
    If the copies would make more than ``LIMIT`` nodes, there is an InputError.

    Source: Fuchs, S. et al. (2023), https://github.com/stefan-1992/phd-thesis-supplementary-material, Chapter 8.

    >>> from compliance_xai.rules.notation.parse import parse_rule
    >>> from compliance_xai.rules.notation.tree import format_rule
    >>> format_rule(expand(parse_rule("is(space.riskGroup,or(si,sm))")))[:59]
    'or( expression( function( is), atom( relation( risk group),'
    """
    if any(isinstance(node, Term) and node.name == "expression" for node in rule.walk()):
        return Rule(rule.statements, "spaced")
    parts = fold(rule.statements, lambda leaf: _Part(leaf, Leaf(_words(format_node(leaf))), 1), _expand_term)
    return Rule(tuple(part.expanded for part in parts if isinstance(part.expanded, Term)), "spaced")


def _expand_term(term: Term, parts: list[_Part]) -> _Part:
    """One compact term from its expanded arguments."""
    plain = Term(_words(term.name), tuple(part.plain for part in parts))
    size = 1 + sum(part.size for part in parts)
    if term.name in (*DEONTICS, "not") and len(parts) == 1 and parts[0].lifts and isinstance(parts[0].expanded, Term):
        copies = tuple(Term(term.name, (copy,)) for copy in parts[0].expanded.args)
        return _Part(Term(parts[0].expanded.name, copies), plain, _checked(size + len(copies)), lifts=True)
    if term.name in ("if", "then", "not", *CONNECTIVES, *DEONTICS):
        return _Part(Term(term.name, _merge(term.name, parts)), plain, _checked(size))
    if term.name == "loop":
        names = ("rulestatement", *("appliedstatement" for _ in parts[1:]))
        arguments = tuple(Term(name, (_whole(part),)) for name, part in zip(names, parts, strict=True))
        return _Part(Term("expression", arguments), plain, _checked(size + len(parts)))
    subject = _map_alternatives(parts[0].expanded, lambda node: _atom(node.text) if isinstance(node, Leaf) else node)
    values = tuple(_map_alternatives(part.plain, lambda node: Term("data", _measure(node))) for part in parts[1:])
    copies = _count(subject) * (_count(values[0]) if values else 1)
    size = _checked((size + 3) * copies)
    expression = _copy(Term("function", (Leaf(_words(term.name)),)), subject, values)
    return _Part(expression, plain, size, lifts=expression.name in CONNECTIVES)


def _checked(size: int) -> int:
    if size > LIMIT:
        raise InputError(
            "rule",
            expected=f"at most {LIMIT} nodes in the intermediate spelling",
            found=f"{size} or more",
            remedy="Score the rule as written, or move nested 'and' and 'or' out of its predicates.",
        )
    return size


def _merge(name: str, parts: list[_Part]) -> tuple[Node, ...]:
    """The arguments of a container; copies under a connective of its own name become arguments of their own."""
    arguments: list[Node] = []
    for part in parts:
        node = _whole(part)
        arguments.extend(node.args if part.lifts and isinstance(node, Term) and node.name == name else (node,))
    return tuple(arguments)


def _whole(part: _Part) -> Node:
    return part.plain if isinstance(part.expanded, Leaf) else part.expanded


def _is_connective(term: Term) -> bool:
    return term.name in CONNECTIVES


def _map_alternatives(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same tree of connectives with every alternative changed; any other node is one alternative."""
    return fold((node,), change, lambda term, nodes: Term(term.name, tuple(nodes)), enter=_is_connective)[0]


def _count(node: Node) -> int:
    return fold((node,), lambda _: 1, lambda _, counts: sum(counts), enter=_is_connective)[0]


def _copy(function: Term, subject: Node, values: tuple[Node, ...]) -> Term:
    """The expression, once per alternative of the subject and of the first value."""

    def for_subject(node: Node) -> Node:
        if not values:
            return Term("expression", (function, node))
        return _map_alternatives(values[0], lambda value: Term("expression", (function, node, value, *values[1:])))

    copies = _map_alternatives(subject, for_subject)
    assert isinstance(copies, Term)  # an expression, or a connective over expressions
    return copies


def _words(name: str) -> str:
    """``greaterThanEqual`` as ``greater than equal``; a text of several words keeps its capitals."""
    return (name if " " in name else _CAMEL.sub(" ", name).lower()).replace("_", " ")


def _atom(text: str) -> Term:
    variable, *relation = _PROPERTY.split(text, maxsplit=1) if "'" not in text else (text,)
    parts = (Term("variable", (Leaf(_words(variable)),)),)
    if relation:
        parts = (Term("relation", (Leaf(_words(relation[0])),)), *parts)
    return Term("atom", parts)


def _measure(node: Node) -> tuple[Node, ...]:
    """The content of ``data``: unit and value if the leaf is a quantity in known units, else the node."""
    match = _QUANTITY.fullmatch(node.text) if isinstance(node, Leaf) else None
    unit = _unit(match[2]) if match else None
    if match is None or unit is None:
        return (node,)
    return unit, Term("value", (Leaf(match[1] if "." in match[1] else match[1] + ".0"),))


def _unit(text: str) -> Term | None:
    for sign, name in _OPERATORS.items():
        left, found, right = text.partition(sign)
        if found:
            units = _base_unit(left), _base_unit(right)
            operator = Term("operator", (Term("name", (Leaf(name),)),))
            return Term("derivedunit", (units[0], operator, units[1])) if units[0] and units[1] else None
    return _base_unit(text)


def _base_unit(text: str) -> Term | None:
    match = _UNIT.fullmatch(text)
    if match is None:
        return None
    fields = (
        ("exponent", f"{match['exponent']}.0" if match["exponent"] else ""),
        ("prefix", UNIT_PREFIXES.get(match["prefix"], "")),
        ("kind", UNIT_KINDS[match["kind"]]),
    )
    return Term("baseunit", tuple(Term(name, (Leaf(value),)) for name, value in fields if value))
