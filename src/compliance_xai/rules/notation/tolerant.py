"""The tolerant reader: whatever a model wrote, to the nearest rule."""

import re
from collections.abc import Iterator

from compliance_xai.rules.notation.parse import ILLEGAL, NAME, TOKEN, first_layout
from compliance_xai.rules.notation.tree import Leaf, Node, Rule, Term

_OTHER_BRACKETS = str.maketrans("[]{}", "()()")


def read_tolerant(text: object) -> Rule | None:
    """The nearest rule in any text, or None if it holds no term at all; never raises, in time linear in the text.

    Text that ``parse_rule`` accepts comes back as the same tree. Of any other, text before ``if(``, text after the rule
    and outside every term, characters that no rule has, brackets without a name, superfluous commas and quotes that
    nothing closes are dropped; square and curly brackets are read as round ones, and names that no term can have are
    rewritten. A missing bracket before ``then`` closes what is open (as the published LRML F1 does); brackets missing
    at the end are added. An inner ``if`` or ``then`` is read as ``and``, a term without arguments as a leaf. Statements
    between ``if`` and ``then`` are moved into ``if``, those after ``if`` alone into ``then``, those before ``then``
    alone into ``if``.

    Examples
    --------
    >>> read_tolerant("Rule: if(and(exist(roof),then(obligation(has(roof,gutter)").statements
    (Term(if(and(exist(roof)))), Term(then(obligation(has(roof,gutter)))))
    """
    return _Reader(text).read() if isinstance(text, str) else None


class _Reader:
    """The state of one tolerant reading; mirrors the strict reader, with a repair in place of every error."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.statements: list[Term] = []
        self.open: list[tuple[str, list[Node]]] = []
        self.unnamed: list[int] = []  # how many terms were open at each bracket without a name
        self.pending = ""  # text that is a name if a bracket follows, else a leaf

    def read(self) -> Rule | None:
        for token in self.tokens():
            if not self.open and self.statements and self.statements[-1].name == "then":
                break  # nothing more belongs to the rule
            if token == "(":
                self.open_bracket()
                continue
            self.settle()
            if token == ")":
                if self.unnamed and self.unnamed[-1] == len(self.open):
                    self.unnamed.pop()
                elif self.open:
                    self.close_term()
            elif token[0] == "'":
                self.add(Leaf(token))
            elif token != ",":
                self.pending = token
        self.settle()
        while self.open:
            self.close_term()
        statements = self.arrange()
        return Rule(tuple(statements), first_layout(self.text)) if statements else None

    def tokens(self) -> Iterator[str]:
        """The strict reader's tokens, with other brackets, illegal characters and lone quotes repaired.

        They start at the first ``if(`` that only prose precedes, else with the text.
        """
        first = re.search(r"(?<![\w.])if\s*[(\[{]", self.text)
        before = self.text[: first.start()] if first else ""
        inside_a_term = before.count("(") > before.count(")")
        for match in TOKEN.finditer(self.text, 0 if inside_a_term else len(before)):
            token = match.group()
            if token in "()," or (token[0] == "'" and len(token) > 1):
                yield token
            elif token != "'":
                yield from self.repair_text(token)

    @staticmethod
    def repair_text(token: str) -> Iterator[str]:
        pieces = re.findall(r"[\[\]{}]|[^\[\]{}]+", token) if ILLEGAL.search(token) else [token]
        for piece in pieces:
            text = piece.strip()
            if piece in "[]{}":
                text = piece.translate(_OTHER_BRACKETS)
            elif ILLEGAL.search(text):
                text = " ".join(ILLEGAL.sub(" ", text).split())
            if text:
                yield text

    def add(self, node: Node) -> None:
        if self.open:
            self.open[-1][1].append(node)
        elif isinstance(node, Term):
            self.statements.append(node)

    def settle(self) -> None:
        if self.pending:
            self.add(Leaf(self.pending))
            self.pending = ""

    def open_bracket(self) -> None:
        name, self.pending = self.pending, ""
        if not name:
            self.unnamed.append(len(self.open))
            return
        if not NAME.fullmatch(name):
            name = re.sub(r"[^\w. -]+|\s+", " ", name).strip()
            name = re.sub(r"^[\W\d_]+", "", re.sub(r" +", " ", name)) or "term"
        if name == "then" and self.open and self.open[0][0] != "then":
            while self.open:
                self.close_term()
            self.unnamed.clear()
        elif name in ("if", "then") and (self.open or (name == "if" and self.statements)):
            name = "and"
        self.open.append((name, []))

    def close_term(self) -> None:
        name, arguments = self.open.pop()
        if arguments:
            self.add(Term(name, tuple(arguments)))
        elif self.open and name not in ("if", "then"):
            self.add(Leaf(name))

    def arrange(self) -> list[Term]:
        """The statements as ``if`` and ``then``, or bare."""
        statements = self.statements
        has_if = bool(statements) and statements[0].name == "if"
        has_then = bool(statements) and statements[-1].name == "then"
        between = tuple(statements[has_if : len(statements) - has_then])
        if not between:
            return statements
        if has_if and has_then:
            return [Term("if", (*statements[0].args, *between)), statements[-1]]
        if has_if:
            return [statements[0], Term("then", between)]
        return [Term("if", between), statements[-1]] if has_then else statements
