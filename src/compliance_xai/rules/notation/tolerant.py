"""The tolerant reader: whatever a model wrote, to the nearest rule, with a list of what had to be repaired."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from compliance_xai.rules.notation.parse import ILLEGAL, NAME, TOKEN, first_layout
from compliance_xai.rules.notation.tree import Leaf, Node, Rule, Term

REPAIRS = {
    "not_text": "the input is not a string",
    "prose_before": "dropped text before the rule",
    "other_brackets": "read square or curly brackets as round ones",
    "illegal_characters": "dropped characters that no rule has",
    "unclosed_quote": "dropped a quote that nothing closes",
    "unnamed_brackets": "ignored brackets without a name",
    "bad_name": "rewrote the name of a term",
    "missing_comma": "read two arguments without a comma between them",
    "extra_comma": "dropped a comma without an argument",
    "empty_term": "read a term without arguments as a leaf",
    "extra_bracket": "dropped a closing bracket that closes nothing",
    "unclosed_before_then": "closed the terms that were open before 'then'",
    "nested_if": "read an inner 'if' or 'then' as 'and'",
    "unclosed_at_end": "closed the terms that were open at the end",
    "bare_text": "dropped text outside every term",
    "text_after": "dropped text after the rule",
    "moved_into_if": "moved statements between 'if' and 'then' into 'if'",
    "wrapped_in_then": "wrapped the statements after 'if' in 'then'",
    "wrapped_in_if": "wrapped the statements before 'then' in 'if'",
    "missing_then": "there is 'if' without 'then'",
    "missing_if": "there is 'then' without 'if'",
    "no_rule": "there is no term to read",
}
"""Every kind of repair and what it did; ``no_rule``, ``missing_if`` and ``missing_then`` could not be repaired."""

_BEYOND_REPAIR = ("not_text", "no_rule", "missing_if", "missing_then")
_OTHER_BRACKETS = str.maketrans("[]{}", "()()")


@dataclass(frozen=True)
class Repair:
    """One kind of repair: ``kind`` and ``message`` of ``REPAIRS``, the first offset it was made at, and how often."""

    kind: str
    position: int
    count: int

    @property
    def message(self) -> str:
        """What was done, in words."""
        return REPAIRS[self.kind]


@dataclass(frozen=True)
class TolerantRule:
    """What the tolerant reader made of a text.

    Attributes
    ----------
    rule
        The nearest rule; None if the text holds no term at all.
    repairs
        One entry per kind of repair, by first position; empty exactly where ``parse_rule`` accepts the text.
    """

    rule: Rule | None
    repairs: tuple[Repair, ...]

    @property
    def complete(self) -> bool:
        """Whether ``parse_rule`` accepts the repaired rule: there is one, with ``if`` and ``then`` or with neither."""
        return not any(repair.kind in _BEYOND_REPAIR for repair in self.repairs)


def read_tolerant(text: object) -> TolerantRule:
    """Read the nearest rule in any text; never raises, in time linear in the text.

    A missing bracket before ``then`` closes what is open (as the published LRML F1 does), brackets missing at the end
    are added, text before ``if(`` and after the rule is dropped, and so on: see ``REPAIRS``.

    Parameters
    ----------
    text
        What a model wrote. Anything but a string gives no rule and the repair ``not_text``.

    Returns
    -------
    TolerantRule
        The rule (or None) and the repairs. Text that ``parse_rule`` accepts comes back as the same tree, unrepaired.

    Examples
    --------
    >>> read = read_tolerant("Rule: if(and(exist(roof),then(obligation(has(roof,gutter)")
    >>> read.rule.statements
    (Term(if(and(exist(roof)))), Term(then(obligation(has(roof,gutter)))))
    >>> [repair.kind for repair in read.repairs]
    ['prose_before', 'unclosed_before_then', 'unclosed_at_end']
    """
    if not isinstance(text, str):
        return TolerantRule(None, (Repair("not_text", 0, 1),))
    return _Repairer(text).read()


class _Repairer:
    """The state of one tolerant reading; mirrors the strict reader, with a repair in place of every error."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: dict[str, list[int]] = {}
        self.statements: list[Term] = []
        self.open: list[tuple[str, list[Node]]] = []
        self.unnamed: list[int] = []  # how many terms were open at each bracket without a name
        self.pending: tuple[str, int] | None = None  # text that is a name if a bracket follows, else a leaf
        self.after = False

    def note(self, kind: str, position: int) -> None:
        self.found.setdefault(kind, [position, 0])[1] += 1

    def read(self) -> TolerantRule:
        start = self.skip_prose()
        for token, position in self.tokens(start):
            if self.finished():
                self.note("text_after", position)
                break
            if token == "(":
                self.open_bracket(position)
                continue
            self.settle()
            if token == ")":
                self.close_bracket(position)
            elif token == ",":
                if not self.after:
                    self.note("extra_comma", position)
                self.after = False
            elif token[0] == "'":
                self.add(Leaf(token), position)
            else:
                self.pending = (token, position)
        return self.finish()

    def skip_prose(self) -> int:
        """Where the rule starts: at the first ``if(`` that only prose precedes, else at the start of the text."""
        match = re.search(r"(?<![\w.])if\s*[(\[{]", self.text)
        if match is None or not self.text[: match.start()].strip():
            return 0
        before = self.text[: match.start()]
        if before.count("(") > before.count(")"):
            return 0  # inside a term: a rule does not start here
        self.note("prose_before", 0)
        return match.start()

    def tokens(self, start: int) -> Iterator[tuple[str, int]]:
        """The strict reader's tokens , with other brackets, stray characters and lone quotes repaired."""
        text = self.text
        offset = start
        end_of_quotes = text.rfind("'")
        while offset < len(text):
            match = TOKEN.match(text, offset)
            assert match is not None  # the alternatives of TOKEN cover every character
            token, position = match.group(), offset
            offset = match.end()
            if token == "'" and position == end_of_quotes:
                self.note("unclosed_quote", position)
            elif token[0] == "'" or token in "(),":
                yield token, position
            else:
                yield from self.repair_text(token, position)

    def repair_text(self, token: str, position: int) -> Iterator[tuple[str, int]]:
        if not ILLEGAL.search(token):
            stripped = token.strip()
            if stripped:
                yield stripped, position + len(token) - len(token.lstrip())
            return
        for match in re.finditer(r"[\[\]{}]|[^\[\]{}]+", token):
            piece, at = match.group(), position + match.start()
            if piece in "[]{}":
                self.note("other_brackets", at)
                yield piece.translate(_OTHER_BRACKETS), at
                continue
            stripped = piece.strip()
            at += len(piece) - len(piece.lstrip())
            if ILLEGAL.search(stripped):
                self.note("illegal_characters", at)
                stripped = " ".join(ILLEGAL.sub(" ", stripped).split())
            if stripped:
                yield stripped, at

    def finished(self) -> bool:
        """Whether ``then(...)`` has been closed: nothing more belongs to the rule."""
        return not self.open and bool(self.statements) and self.statements[-1].name == "then"

    def add(self, node: Node, position: int) -> None:
        if self.after:
            self.note("missing_comma", position)
        if self.open:
            self.open[-1][1].append(node)
            self.after = True
        elif isinstance(node, Term):
            self.statements.append(node)
            self.after = True
        else:
            self.note("bare_text", position)

    def settle(self) -> None:
        if self.pending is not None:
            token, position = self.pending
            self.pending = None
            self.add(Leaf(token), position)

    def open_bracket(self, position: int) -> None:
        if self.pending is None:
            self.note("unnamed_brackets", position)
            self.unnamed.append(len(self.open))
            return
        name, at = self.pending
        self.pending = None
        if not NAME.fullmatch(name):
            self.note("bad_name", at)
            name = re.sub(r"[^\w. -]+|\s+", " ", name).strip()
            name = re.sub(r"^[\W\d_]+", "", re.sub(r" +", " ", name)) or "term"
        name = self.place(name, at)
        if self.after:
            self.note("missing_comma", at)
        self.open.append((name, []))
        self.after = False

    def place(self, name: str, position: int) -> str:
        """Close what is open before the rule's ``then``; any other ``if`` or ``then`` out of place becomes ``and``."""
        if name == "then" and self.open and self.open[0][0] != "then":
            self.note("unclosed_before_then", position)
            self.after = bool(self.open[-1][1])  # the comma before 'then' is one too few terms out, not too many
            while self.open:
                self.close_term(position)
            self.unnamed.clear()
            self.after = False
        elif name in ("if", "then") and (self.open or (name == "if" and self.statements)):
            self.note("nested_if", position)
            return "and"
        return name

    def close_bracket(self, position: int) -> None:
        if self.unnamed and self.unnamed[-1] == len(self.open):
            self.unnamed.pop()
        elif self.open:
            self.close_term(position)
        else:
            self.note("extra_bracket", position)

    def close_term(self, position: int) -> None:
        if not self.after and self.open[-1][1]:
            self.note("extra_comma", position)
        name, arguments = self.open.pop()
        self.after = False
        if arguments:
            self.add_quietly(Term(name, tuple(arguments)))
            return
        self.note("empty_term", position)
        if self.open and name not in ("if", "then"):
            self.add_quietly(Leaf(name))

    def add_quietly(self, node: Node) -> None:
        """Add a closed term; a comma missing before it was noted where it opened."""
        if self.open:
            self.open[-1][1].append(node)
        elif isinstance(node, Term):
            self.statements.append(node)
        self.after = True

    def finish(self) -> TolerantRule:
        end = len(self.text)
        self.settle()
        if self.unnamed:
            self.note("unclosed_at_end", end)
        if self.open:
            self.note("unclosed_at_end", end)
        while self.open:
            self.close_term(end)
        if self.statements and not self.after:
            self.note("extra_comma", end)
        statements = self.arrange(end)
        layout = "spaced" if first_layout(self.text) == "spaced" else "tight"
        rule = Rule(tuple(statements), layout) if statements else None
        repairs = sorted(
            (Repair(kind, *counted) for kind, counted in self.found.items()), key=lambda repair: repair.position
        )
        return TolerantRule(rule, tuple(repairs))

    def arrange(self, end: int) -> list[Term]:
        """The statements as ``if`` and ``then``, or bare."""
        statements = self.statements
        has_if = bool(statements) and statements[0].name == "if"
        has_then = bool(statements) and statements[-1].name == "then"
        between = statements[has_if : len(statements) - has_then]
        if not statements:
            self.note("no_rule", end)
        elif has_if and has_then and between:
            self.note("moved_into_if", end)
            return [Term("if", (*statements[0].args, *between)), statements[-1]]
        elif has_if and not has_then:
            if between:
                self.note("wrapped_in_then", end)
                return [statements[0], Term("then", tuple(between))]
            self.note("missing_then", end)
        elif has_then and not has_if:
            if between:
                self.note("wrapped_in_if", end)
                return [Term("if", tuple(between)), statements[-1]]
            self.note("missing_if", end)
        return statements
