"""The strict reader: text to tree, or an error that points at the character.

An explicit stack rather than a grammar tool: nesting depth costs memory, never recursion, and every error can say what
was expected there.
"""

import re
from collections.abc import Iterator
from typing import NoReturn

from compliance_xai.errors import InputError
from compliance_xai.rules.notation.tree import Layout, Leaf, Node, Rule, Term

TOKEN = re.compile(r"[(),]|'[^']*'|'|[^(),']+")
NAME = re.compile(r"[^\W\d_](?:[\w.-]| (?! ))*")
ILLEGAL = re.compile(r"[\[\]{}\"`;\\\x00-\x1f\x7f-\x9f]")
"""Characters that no part of a rule outside quotes has; they mark prose, code fences or another notation."""

_WINDOW = 60


class RuleSyntaxError(InputError):
    """Text that is not a rule, with the place at fault.

    Attributes
    ----------
    text
        The whole text.
    position
        Zero-based offset of the character at fault; ``len(text)`` if the text ends too early.
    """

    def __init__(self, text: str, position: int, *, expected: str, found: str, remedy: str) -> None:
        self.text = text
        self.position = position
        super().__init__(f"rule, character {position + 1}", expected=expected, found=found, remedy=remedy)
        self.args = (f"{self.args[0]}\n{caret_lines(text, position)}",)

    def __reduce__(self):
        return _rebuild, (self.text, self.position, self.expected, self.found, self.remedy)


def _rebuild(text: str, position: int, expected: str, found: str, remedy: str) -> RuleSyntaxError:
    return RuleSyntaxError(text, position, expected=expected, found=found, remedy=remedy)


def caret_lines(text: str, position: int) -> str:
    """The text around a position, and below it a caret under the character."""
    start, end = max(0, position - _WINDOW), min(len(text), position + _WINDOW)
    left, right = "..." if start else "", "..." if end < len(text) else ""
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text[start:end])
    return f"  {left}{shown}{right}\n  {' ' * (len(left) + position - start)}^"


def parse_rule(text: str) -> Rule:
    """Read a rule in the LRML short form, in either published spelling.

    Spaces around brackets and commas are layout: a rule whose first bracket is followed by a space is ``spaced``, any
    other ``tight``. Leaves keep their text exactly, inner spaces included.

    Parameters
    ----------
    text
        ``if(...),then(...)`` or one or more bare statements.

    Returns
    -------
    Rule
        ``format_rule`` of it gives the text back.

    Raises
    ------
    RuleSyntaxError
        If the text is not a rule: position, what was expected and found, the remedy and a caret line.
    InputError
        If ``text`` is not a string.

    Examples
    --------
    >>> rule = parse_rule("if(exist(ramp)),then(obligation(lessThanEqual(ramp.gradient,1:12)))")
    >>> [leaf.kind for leaf in rule.leaves()]
    ['name', 'name', 'quantity']
    >>> parse_rule("if(exist(ramp)")
    Traceback (most recent call last):
    ...
    compliance_xai.rules.notation.parse.RuleSyntaxError: rule, character 15: expected ',' or ')', found the end of the text. Close the bracket of 'if' opened at character 3.
      if(exist(ramp)
                    ^
    """  # noqa: E501
    if not isinstance(text, str):
        raise InputError("rule", expected="a string", found=type(text).__name__, remedy="Pass the text of one rule.")
    return _Reader(text).read()


def first_layout(text: str) -> Layout:
    """``spaced`` if a space follows the first opening bracket, else ``tight``."""
    bracket = text.find("(")
    return "spaced" if text[bracket + 1 : bracket + 2] == " " and bracket >= 0 else "tight"


def tokens(text: str) -> Iterator[tuple[str, int]]:
    """Brackets, commas, quoted expressions, lone quotes and trimmed runs of other text, each with its offset."""
    for match in TOKEN.finditer(text):
        token = match.group()
        stripped = token.strip()
        if stripped:
            yield stripped, match.start() + len(token) - len(token.lstrip())


class _Reader:
    """The state of one reading: open terms, finished statements, and whether an argument or its end comes next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.statements: list[Term] = []
        self.open: list[tuple[str, int, list[Node]]] = []
        self.after = False

    def read(self) -> Rule:
        pending: tuple[str, int] | None = None
        for token, position in tokens(self.text):
            if pending is not None:
                if token == "(":
                    self.open_term(*pending, position)
                    pending = None
                    continue
                self.add_leaf(*pending)
                pending = None
            if token == "(":
                self.fail(position, "a name before the bracket", "'('", "Name the term, such as and(...).")
            elif token == ")":
                self.close_term(position)
            elif token == ",":
                self.separate(position)
            elif token[0] == "'":
                self.add_leaf(token, position)
            else:
                pending = (token, position)
        if pending is not None:
            self.add_leaf(*pending)
        return self.finish()

    def fail(self, position: int, expected: str, found: str, remedy: str) -> NoReturn:
        raise RuleSyntaxError(self.text, position, expected=expected, found=found, remedy=remedy)

    def expect_argument(self, token: str, position: int) -> None:
        if self.after:
            what = "',' or ')'" if self.open else "',' or the end of the text"
            self.fail(position, what, _shown(token), "Separate arguments with a comma.")

    def open_term(self, name: str, position: int, bracket: int) -> None:
        self.expect_argument(name, position)
        if not NAME.fullmatch(name):
            self.fail(
                position,
                "the name of a term (a letter first; letters, digits, '_', '.', '-' and single spaces)",
                _shown(name),
                "Rename the term, or quote an expression that holds brackets.",
            )
        if self.open and name in ("if", "then"):
            owner, opened, _ = self.open[-1]
            remedy = f"Close the bracket of '{owner}' opened at character {opened + 1} first."
            self.fail(position, "a condition or conclusion", f"'{name}' inside '{owner}'", remedy)
        if not self.open:
            self.check_order(name, position)
        self.open.append((name, bracket, []))
        self.after = False

    def check_order(self, name: str, position: int) -> None:
        previous = self.statements[-1].name if self.statements else ""
        if previous == "if" and name != "then":
            self.fail(position, "then(...) after if(...)", f"'{name}'", "Put the conclusions into then(...).")
        elif previous == "then":
            self.fail(position, "the end of the text after then(...)", f"'{name}'", "Keep one rule per text.")
        elif name == "then" and previous != "if":
            self.fail(position, "if(...) before then(...)", "'then' alone", "Put the conditions into if(...).")
        elif name == "if" and previous:
            self.fail(position, "if(...) as the first statement", f"'if' after '{previous}'", "Keep one rule per text.")

    def add_leaf(self, token: str, position: int) -> None:
        if token == "'":
            self.fail(position, "a closing quote", "a quote that nothing closes", "Close or remove the quote.")
        self.expect_argument(token, position)
        if token[0] != "'" and (illegal := ILLEGAL.search(token)):
            self.fail(
                position + illegal.start(),
                "a name, a quantity, a reference or a quoted expression",
                _shown(illegal.group()),
                "Remove the character, or quote the expression.",
            )
        if not self.open:
            self.fail(position, "a statement such as exist(roof)", _shown(token), "Give the rule alone, without prose.")
        self.open[-1][2].append(Leaf(token))
        self.after = True

    def close_term(self, position: int) -> None:
        if not self.open:
            self.fail(position, "the end of the text", "')' that closes nothing", "Remove the bracket.")
        name, _, arguments = self.open.pop()
        if not self.after:
            self.fail(
                position, f"an argument of '{name}'", "')'", "Give the argument, or remove the term or the comma."
            )
        term = Term(name, tuple(arguments))
        (self.open[-1][2] if self.open else self.statements).append(term)

    def separate(self, position: int) -> None:
        if not self.after:
            what = f"an argument of '{self.open[-1][0]}'" if self.open else "a statement such as exist(roof)"
            self.fail(position, what, "','", "Give the argument, or remove the comma.")
        self.after = False

    def finish(self) -> Rule:
        end = len(self.text)
        if self.open:
            name, bracket, _ = self.open[-1]
            what = "',' or ')'" if self.after else f"an argument of '{name}'"
            remedy = f"Close the bracket of '{name}' opened at character {bracket + 1}."
            self.fail(end, what, "the end of the text", remedy)
        if not self.after:
            self.fail(
                end, "a statement such as exist(roof)", "the end of the text", "Give a rule, or remove the comma."
            )
        if self.statements and self.statements[-1].name == "if":
            self.fail(end, "then(...) after if(...)", "the end of the text", "Put the conclusions into then(...).")
        return Rule(tuple(self.statements), first_layout(self.text))


def _shown(token: str) -> str:
    return repr(token if len(token) <= 40 else token[:40] + "...")
