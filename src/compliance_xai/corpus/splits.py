"""Splits that do not leak: clauses that say nearly the same, or have the same rule, stay on one side.

Two clauses are *related* if their words are the same (ignoring case and white space), if the Jaccard index of their
sets of words reaches a threshold, or if they have the same rule. Groups are the connected components of that relation;
a split takes whole groups, never single clauses.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from compliance_xai.corpus.word_breaks import word_set
from compliance_xai.errors import InputError
from compliance_xai.records import SPLITS, Example

KINDS = ("same clause", "near-duplicate clause", "same rule")

NEAR = 0.8
"""Jaccard index of the sets of words from which two clauses count as near-duplicates."""

FRACTIONS = {"test": 0.1, "validation": 0.1}
"""Of the rows, for splits that are made; the rest is for training."""

DOCUMENT = 0.1
"""Of the rows, for whole contexts that are held out."""


@dataclass(frozen=True)
class Relation:
    """Two related examples, by position; ``first < second``. ``kind`` is the strongest of ``KINDS`` that holds."""

    first: int
    second: int
    kind: str


def normalise(clause: str) -> str:
    """The clause in lower case with single spaces: what 'the same clause' compares."""
    return " ".join(clause.split()).casefold()


def find_relations(clauses: Sequence[str], rules: Sequence[str], *, near: float = NEAR) -> list[Relation]:
    """All pairs of related clauses; in groups of equal clauses or rules, each is paired with the first one only.

    ``near`` is the Jaccard index of the sets of words from which two clauses count as near-duplicates, in (0, 1].

    Notes
    -----
    Exact, not sampled: a pair with index >= t shares at least one of the ``|x| - ceil(t |x|) + 1`` rarest words of
    either clause (prefix filter; Bayardo, Ma and Srikant, WWW 2007), so only such pairs are compared.
    """
    found: dict[tuple[int, int], str] = {}
    firsts: dict[str, int] = {}
    for index, clause in enumerate(clauses):
        first = firsts.setdefault(normalise(clause), index)
        if first != index:
            found[first, index] = KINDS[0]
    for pair in _near_pairs([word_set(clause) for clause in clauses], near):
        if normalise(clauses[pair[0]]) != normalise(clauses[pair[1]]):
            found[pair] = KINDS[1]
    firsts = {}
    for index, rule in enumerate(rules):
        first = firsts.setdefault(" ".join(rule.split()), index)
        if first != index:
            found.setdefault((first, index), KINDS[2])
    return [Relation(first, second, kind) for (first, second), kind in sorted(found.items())]


def _near_pairs(bags: Sequence[frozenset[str]], near: float) -> Iterable[tuple[int, int]]:
    frequency = Counter(word for bag in bags for word in bag)
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for index, bag in enumerate(bags):
        # The small amount keeps rounding (0.8 * 5 > 4) from cutting the prefix short.
        prefix_length = len(bag) - math.ceil(near * len(bag) - 1e-9) + 1
        prefix = sorted(bag, key=lambda word: (frequency[word], word))[:prefix_length]
        for other in sorted({other for word in prefix for other in holders[word]}):
            union = len(bag | bags[other])
            if len(bag & bags[other]) >= near * union - 1e-9:
                yield other, index
        for word in prefix:
            holders[word].append(index)


def group(size: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Connected components of ``size`` items, each sorted, in the order of their first items."""
    links_P2 = np.array(list(pairs), dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(links_P2)), links_P2.T), shape=(size, size))
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for item, label in enumerate(connected_components(graph, directed=False)[1]):
        groups[label].append(item)
    return list(groups.values())


def make_splits(
    clauses: Sequence[str],
    rules: Sequence[str],
    *,
    seed: int,
    near: float = NEAR,
    contexts: Sequence[str] | None = None,
    where: str = "the table",
) -> list[str]:
    """Assign each clause to a split (``train``, ``validation``, ``test`` or ``document``), related clauses together.

    The result depends on the texts and the seed, not on the order of the rows. The held-out splits are filled as far
    as whole groups allow, train gets the rest.

    Parameters
    ----------
    seed
        Decides which groups are held out.
    near
        See ``find_relations``.
    contexts
        If given, whole contexts (together with those that share a group with them) are held out as ``document``
        first.
    where
        Named in errors.

    If the groups are so large that a split would stay empty, there is an InputError.
    """
    pairs = [(relation.first, relation.second) for relation in find_relations(clauses, rules, near=near)]
    groups = group(len(clauses), pairs)
    splits = ["train"] * len(clauses)
    if contexts is not None:
        held_out = _hold_out_contexts(contexts, groups, seed, DOCUMENT * len(clauses), where)
        for members in (members for members in groups if contexts[members[0]] in held_out):
            for member in members:
                splits[member] = "document"
        groups = [members for members in groups if splits[members[0]] == "train"]
    rows = sum(len(members) for members in groups)
    room = {split: fraction * rows for split, fraction in FRACTIONS.items()}
    order = sorted(groups, key=lambda members: _draw(seed, min(normalise(clauses[member]) for member in members)))
    for members in order:
        for split in room:
            if len(members) <= round(room[split]):
                room[split] -= len(members)
                for member in members:
                    splits[member] = split
                break
    for split in ("train", "validation", "test"):
        if split not in splits:
            raise InputError(
                where,
                expected=f"groups of related clauses small enough to fill split '{split}'",
                found=f"{rows} rows in {len(groups)} groups, the largest with {max(map(len, groups), default=0)} rows",
                remedy="Add clauses, or add a split column to the table.",
            )
    return splits


def _hold_out_contexts(
    contexts: Sequence[str], groups: Sequence[Sequence[int]], seed: int, room: float, where: str
) -> set[str]:
    names = sorted(set(contexts))
    position = {name: index for index, name in enumerate(names)}
    links = ((position[contexts[members[0]]], position[contexts[member]]) for members in groups for member in members)
    rows = Counter(contexts)
    families = [[names[index] for index in family] for family in group(len(names), links)]
    held_out: set[str] = set()
    for family in sorted(families, key=lambda family: _draw(seed, min(family))):
        size = sum(rows[name] for name in family)
        if size <= round(room):
            held_out.update(family)
            room -= size
    if not held_out:
        raise InputError(
            f"{where}, scheme 'document'",
            expected=f"a context with at most {round(room)} rows that shares no related clauses with a larger one",
            found=", ".join(f"{'+'.join(family)} ({sum(rows[name] for name in family)})" for family in families),
            remedy="Use scheme 'random', or add a split column to the table.",
        )
    return held_out


def _draw(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()


def find_leaks(examples: Sequence[Example], *, near: float = NEAR) -> list[Relation]:
    """Related examples in different splits (positions in ``examples``); see ``find_relations``."""
    clauses, rules = [example.clause for example in examples], [example.rule for example in examples]
    relations = find_relations(clauses, rules, near=near)
    return [relation for relation in relations if examples[relation.first].split != examples[relation.second].split]


def count_leaks(examples: Sequence[Example], leaks: Iterable[Relation]) -> list[str]:
    """One sentence for each kind of leak and pair of splits: the number of pairs and the ids of the first."""
    kinds: defaultdict[tuple[str, str, str], list[Relation]] = defaultdict(list)
    for leak in leaks:
        first, second = sorted((examples[leak.first].split, examples[leak.second].split), key=SPLITS.index)
        kinds[leak.kind, first, second].append(leak)
    return [
        f"{kind} in {first} and {second}: {len(pairs)} (first: {examples[pairs[0].first].id} and "
        f"{examples[pairs[0].second].id})"
        for (kind, first, second), pairs in sorted(kinds.items())
    ]
