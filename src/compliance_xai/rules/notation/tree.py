"""A rule as a frozen tree of terms and leaves, the walks over it, and a normal form for comparing rules.

No walk here recurses, so a tree may be as deep as memory allows: generated rules sometimes are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Literal, TypeVar

DEONTICS = ("obligation", "permission", "prohibition")
CONNECTIVES = ("and", "or")
"""The terms whose arguments have no order."""
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

Value = TypeVar("Value")
Layout = Literal["tight", "spaced"]
LeafKind = Literal["quantity", "quoted", "reference", "name", "text"]

# Units that may follow their number without a space ("1.5m"). Any word may follow after a space ("400 mmCentres").
_ATTACHED_UNITS = r"mm2|mm3|mm|cm|km|m2|m3|m|kg|g|l|ha|kN|N|kPa|MPa|Pa|kW|W|degC|deg|%|°C|°"
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:\s?[:/]\s?\d+(?:\.\d+)?)?"
_QUANTITY = re.compile(rf"(?P<value>{_NUMBER})(?:(?P<attached>{_ATTACHED_UNITS})|\s+(?P<unit>[A-Za-z°%µ][^\s]*))?")
_REFERENCE_WORD = r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*)+"
_REFERENCE = re.compile(rf"(?=.*\d){_REFERENCE_WORD}(?:\s+to\s+{_REFERENCE_WORD})?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Leaf:
    """An argument without arguments of its own, kept as written.

    ``kind`` reads the text: ``quantity`` (``60 degC``, ``0.25 ha``, ``1:12``, ``0``), ``quoted`` (``'x0 + 150 mm'``),
    ``reference`` (``nzbc_e1as1_t1``, ``nzbc_e2as1_f34 to nzbc_e2as1_f37``: an underscore and a digit, which a graded
    product such as ``alloy_c11000`` has too), ``name`` (``building.riskGroup``) and ``text`` (anything else, such as
    the separate words of the spaced spelling).

    Examples
    --------
    >>> Leaf("60 degC").kind, Leaf("60 degC").quantity, Leaf("pipe.gradient").parts
    ('quantity', ('60', 'degC'), ('pipe', 'gradient'))
    """

    text: str

    @cached_property
    def kind(self) -> LeafKind:
        """What the text is; see the class."""
        if self.text.startswith("'"):
            return "quoted"
        if _QUANTITY.fullmatch(self.text):
            return "quantity"
        if _REFERENCE.fullmatch(self.text):
            return "reference"
        return "name" if _NAME.fullmatch(self.text) else "text"

    @property
    def parts(self) -> tuple[str, ...]:
        """A name cut at its dots (the property ``riskGroup`` of ``building`` is the second part); else the text."""
        return tuple(self.text.split(".")) if self.kind == "name" else (self.text,)

    @property
    def quantity(self) -> tuple[str, str] | None:
        """Value and unit as written (the unit is empty for a bare number), or None if the leaf is not a quantity."""
        match = _QUANTITY.fullmatch(self.text) if self.kind == "quantity" else None
        return (match["value"], match["attached"] or match["unit"] or "") if match else None


@dataclass(frozen=True, eq=False, repr=False)
class Term:
    """A name with at least one argument, such as ``greaterThanEqual(pipe.gradient,1:80)``."""

    name: str
    args: tuple[Node, ...]

    def __eq__(self, other: object) -> bool:
        # The generated comparison would recurse. Names and leaves hold no brackets or commas outside quotes, so two
        # terms are the same tree exactly if they are the same text.
        return self is other or (isinstance(other, Term) and format_node(self) == format_node(other))

    def __hash__(self) -> int:
        return hash(format_node(self))

    def __repr__(self) -> str:
        text = format_node(self)
        return f"Term({text if len(text) <= 200 else text[:200] + '...'})"


Node = Leaf | Term


@dataclass(frozen=True)
class Rule:
    """A rule: either ``if(...)`` and ``then(...)``, or bare statements."""

    statements: tuple[Term, ...]
    """The terms at the top level, in order."""
    layout: Layout = field(default="tight", compare=False)
    """``tight`` (``is(a,b)``) or ``spaced`` (``is( a, b)``, the published intermediate form). Only how the rule is
    written; two rules that differ in nothing else are equal."""

    @property
    def conditions(self) -> tuple[Node, ...]:
        """The arguments of ``if``; none for bare statements."""
        return next((term.args for term in self.statements if term.name == "if"), ())

    @property
    def conclusions(self) -> tuple[Node, ...]:
        """The arguments of ``then``, or the bare statements themselves."""
        return next((term.args for term in self.statements if term.name == "then"), self.statements)

    @property
    def deontics(self) -> tuple[Term, ...]:
        """Every ``obligation``, ``permission`` and ``prohibition``, in order."""
        return tuple(node for node in self.walk() if isinstance(node, Term) and node.name in DEONTICS)

    @property
    def definitions(self) -> dict[str, Node]:
        """Variables that the rule defines: ``define(space.floorArea,x1)`` gives ``{"x1": Leaf("space.floorArea")}``."""
        return {
            node.args[1].text: node.args[0]
            for node in self.walk()
            if isinstance(node, Term)
            and node.name == "define"
            and len(node.args) == 2
            and isinstance(node.args[1], Leaf)
        }

    @property
    def depth(self) -> int:
        """Levels of terms and leaves."""
        level: list[Node] = list(self.statements)
        depth = 0
        while level:
            level = [argument for node in level if isinstance(node, Term) for argument in node.args]
            depth += 1
        return depth

    def walk(self) -> Iterator[Node]:
        """Every node, each before its arguments, in the order of the text."""
        stack: list[Node] = list(reversed(self.statements))
        while stack:
            node = stack.pop()
            yield node
            if isinstance(node, Term):
                stack.extend(reversed(node.args))

    def leaves(self) -> tuple[Leaf, ...]:
        """Every leaf, in the order of the text."""
        return tuple(node for node in self.walk() if isinstance(node, Leaf))


def fold(
    nodes: Iterable[Node],
    leaf: Callable[[Node], Value],
    term: Callable[[Term, list[Value]], Value],
    *,
    enter: Callable[[Term], bool] = lambda _: True,
) -> list[Value]:
    """One value for each of ``nodes``, from the values of its arguments, without recursion.

    ``leaf`` gives the value of a leaf, or of a term that ``enter`` does not look into; ``term`` that of any other term,
    from the values of its arguments.
    """
    done: list[Value] = []
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(tuple(nodes))]
    while stack:
        node, arguments_done = stack.pop()
        if isinstance(node, Leaf) or not enter(node):
            done.append(leaf(node))
        elif not arguments_done:
            stack.append((node, True))
            stack.extend((argument, False) for argument in reversed(node.args))
        else:
            values = done[len(done) - len(node.args) :]
            del done[len(done) - len(node.args) :]
            done.append(term(node, values))
    return done


def _join(nodes: tuple[Node, ...], layout: Layout) -> str:
    opening, comma = ("(", ",") if layout == "tight" else ("( ", ", ")
    pieces: list[str] = []
    stack: list[Node | str] = []

    def push(arguments: tuple[Node, ...]) -> None:
        for index in range(len(arguments) - 1, -1, -1):
            stack.append(arguments[index])
            if index:
                stack.append(comma)

    push(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            pieces.append(node)
        elif isinstance(node, Leaf):
            pieces.append(node.text)
        else:
            pieces.append(node.name + opening)
            stack.append(")")
            push(node.args)
    return "".join(pieces)


def format_node(node: Node) -> str:
    """One term or leaf as tight text."""
    return _join((node,), "tight")


def format_rule(rule: Rule, *, layout: Layout | None = None) -> str:
    """Write a rule in ``layout``, by default as it was written; undoes ``parse_rule`` if no space is superfluous.

    Examples
    --------
    >>> format_rule(Rule((Term("exist", (Leaf("roof"),)),)), layout="spaced")
    'exist( roof)'
    """
    return _join(rule.statements, layout or rule.layout)


def canonical(rule: Rule) -> Rule:
    """The same rule with the arguments of every ``and`` and ``or`` sorted; equal for rules that differ in order alone.

    The order is alphabetical by text. Nothing else changes: nested connectives stay nested, spellings stay as written
    (whether two rules mean the same is another question). Idempotent.

    >>> leaf = lambda text: Term("exist", (Leaf(text),))
    >>> format_rule(canonical(Rule((Term("and", (leaf("wall"), leaf("door"))),))))
    'and(exist(door),exist(wall))'
    """

    # A sort compares the start of an argument's text, then a digest of all of it: comparing whole texts would cost the
    # square of the depth on deeply nested rules.
    def key(text: str, *inside: str) -> tuple[str, str]:
        return text[:200], blake2b(
            "\0".join((text, *inside)).encode("utf-8", "surrogatepass"), digest_size=16
        ).hexdigest()

    def order(term: Term, keyed: list[tuple[tuple[str, str], Node]]) -> tuple[tuple[str, str], Node]:
        if term.name in CONNECTIVES:
            keyed.sort(key=lambda pair: pair[0])
        start = f"{term.name}({''.join(text + ',' for (text, _), _ in keyed[:200])}"
        return key(start, *(digest for (_, digest), _ in keyed)), Term(term.name, tuple(node for _, node in keyed))

    keyed = fold(rule.statements, lambda leaf: (key(format_node(leaf)), leaf), order)
    return Rule(tuple(node for _, node in keyed if isinstance(node, Term)), rule.layout)


def normalise(rule: Rule) -> Rule:
    """Rewrite a rule without changing what it says: one way to nest, to negate and to turn a comparison.

    ``and`` in ``and`` and ``or`` in ``or`` become one; an ``and`` or ``or`` of one argument is the argument; two
    negations cancel; a negated comparison is the opposite one (``not(lessThan(a,b))`` is ``greaterThanEqual(a,b)``); a
    comparison that starts with a quantity is turned round. Order and spelling stay; ``canonical`` sorts.

    >>> from compliance_xai.rules.notation.parse import parse_rule
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
