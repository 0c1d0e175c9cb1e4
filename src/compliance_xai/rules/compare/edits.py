"""How many edits make one rule of another: on the tree, and on the tokens of the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from apted import APTED, Config
from rapidfuzz.distance import Levenshtein

from compliance_xai.rules.notation.tolerant import read_tolerant
from compliance_xai.rules.notation.tree import Leaf, Node, Term, canonical, fold, format_node

DEPTH = 60
"""Levels that the tree edit distance looks at; a deeper term counts as one leaf. Real rules have under fifteen."""

NODES = 1000
"""Nodes of each tree that are compared; further ones, in the order of the text, count as one edit each, which makes the
distance of larger trees an upper bound. Real rules have under 500 in either spelling."""

_TOKEN = re.compile(r"\d+(?:\.\d+)*|[^\W\d]\w*|[^\w\s]")


@dataclass(frozen=True, eq=False)
class _Branch:
    """A node as the distance sees it: its name, its arguments, its size, and a number that equal subtrees share."""

    name: str
    branches: tuple[_Branch, ...]
    size: int
    number: int


def tree_distance(prediction: str, reference: str) -> float:
    """Normalised edit distance of two rule trees; 0 (the same trees up to order) to 1 (nothing in common).

    Insertions, deletions and renamings of one node cost 1 each. With d edits between trees of m and n nodes the
    distance is 2 d / (m + n + d), which keeps the triangle inequality (Yujian and Bo 2007; the Steinhaus transform with
    the empty tree as its base point, so it holds for trees as for strings). Trees are in canonical order, and text that
    is not a rule counts as the nearest rule. If only one text holds a term the distance is 1; if neither does, it is 0
    for the same text and 1 otherwise. Levels below ``DEPTH`` and nodes beyond ``NODES``, far outside real rules, are
    simplified. Sorting by text can separate two arguments that differ in their first letters.

    >>> tree_distance("is(a,b)", "is(a,c)")  # 1 edit, 3 nodes each
    0.2857142857142857
    """
    numbers: dict[tuple, int] = {}
    one, other = (_branches(text, numbers) for text in (prediction, reference))
    if not one or not other:
        return float(bool(one) != bool(other) or prediction.strip() != reference.strip())
    return _normalised(_forest_edits(one, other), sum(_sizes(one)), sum(_sizes(other)))


def token_distance(prediction: str, reference: str) -> float:
    """Normalised Levenshtein distance of two texts' tokens; 0 (the same tokens) to 1 (none in common).

    A token is a number, a word (camelCase names stay whole) or a sign. Normalised as ``tree_distance``.

    >>> token_distance("is(a,b)", "is( a, c)")  # 1 edit, 6 tokens each
    0.15384615384615385
    """
    one, other = (_TOKEN.findall(text) for text in (prediction, reference))
    return _normalised(Levenshtein.distance(one, other), len(one), len(other))


def _normalised(edits: int, size: int, other: int) -> float:
    return 2 * edits / (size + other + edits) if edits else 0.0


def _sizes(branches: Sequence[_Branch]) -> list[int]:
    return [branch.size for branch in branches]


def _branches(text: str, numbers: dict[tuple, int]) -> tuple[_Branch, ...]:
    """The statements of a text in canonical order, nothing below ``DEPTH`` levels."""
    rule = read_tolerant(text)
    if rule is None:
        return ()

    def number(name: str, inner: Sequence[_Branch] = ()) -> int:
        return numbers.setdefault((name, *(branch.number for branch in inner)), len(numbers))

    statements = canonical(rule).statements
    deep = _below(statements)

    def leaf(node: Node) -> _Branch:
        name = format_node(node)
        return _Branch(name, (), 1, number(name))

    def term(node: Term, inner: list[_Branch]) -> _Branch:
        # The bracket tells a term from a leaf of the same name.
        name = node.name + "("
        return _Branch(name, tuple(inner), 1 + sum(_sizes(inner)), number(name, inner))

    return tuple(fold(statements, leaf, term, enter=lambda node: id(node) not in deep))


def _below(statements: Sequence[Node]) -> set[int]:
    """The terms at level ``DEPTH``."""
    level: list[Node] = list(statements)
    for _ in range(DEPTH - 1):
        level = [argument for node in level if isinstance(node, Term) for argument in node.args]
    return {id(node) for node in level if not isinstance(node, Leaf)}


def _forest_edits(one: Sequence[_Branch], other: Sequence[_Branch]) -> int:
    """Fewest insertions, deletions and renamings, each of one node, that make one forest of the other."""
    # With unit costs some optimal edit keeps what both forests start and end with, and two roots of the same name, so
    # only what remains is computed. The tests hold this to the distance of the whole trees.
    while True:
        start = sum(1 for _ in takewhile(_same, zip(one, other, strict=False)))
        one, other = one[start:], other[start:]
        end = sum(1 for _ in takewhile(_same, zip(reversed(one), reversed(other), strict=False)))
        one, other = one[: len(one) - end], other[: len(other) - end]
        if len(one) != 1 or len(other) != 1 or one[0].name != other[0].name:
            break
        one, other = one[0].branches, other[0].branches
    if not one or not other:
        return sum(_sizes(one)) + sum(_sizes(other))
    kept = _first(one, NODES), _first(other, NODES)
    left_out = sum(_sizes(one)) + sum(_sizes(other)) - sum(sum(_sizes(forest)) for forest in kept)
    roots = [_Branch("", forest, 0, -1) for forest in kept]
    return int(APTED(roots[0], roots[1], _UnitCosts()).compute_edit_distance()) + left_out


def _first(forest: Sequence[_Branch], nodes: int) -> tuple[_Branch, ...]:
    """The first nodes of a forest in the order of the text, those above each included."""
    kept: list[_Branch] = []
    for branch in forest:
        if nodes < 1:
            break
        if branch.size > nodes:
            inner = _first(branch.branches, nodes - 1)
            branch = _Branch(branch.name, inner, 1 + sum(_sizes(inner)), -1)
        kept.append(branch)
        nodes -= branch.size
    return tuple(kept)


def _same(pair: tuple[_Branch, _Branch]) -> bool:
    return pair[0].number == pair[1].number


class _UnitCosts(Config):
    def rename(self, node1: _Branch, node2: _Branch) -> int:
        return int(node1.name != node2.name)

    def children(self, node: _Branch) -> tuple[_Branch, ...]:
        return node.branches
