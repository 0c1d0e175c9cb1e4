"""The formulas inside a LegalRuleML rule: XML elements to terms and leaves, and back.

Reading takes what the standard has and what the published New Zealand documents have besides: predicates as ``Expr``
with ``Fun`` or as ``Atom`` with ``Operator``, elements in the wrong namespace or in lower case, ``lkm`` measurements
and loops. Anything else stays as a term of its own name and is noted. Left out without a note are the prefixes of the
three known vocabularies and the types of data: the short form has neither. Writing keeps to the compact schema of the
standard.

========================================  ==========================================================================
short form                                XML as written here
========================================  ==========================================================================
``and``, ``or``, ``not``                  ``ruleml:And``, ``ruleml:Or``, ``ruleml:Neg``
``obligation`` and the other deontics     ``lrml:Obligation`` ... in prescriptive statements, else as predicates
``greaterThan(a,b)`` as a formula         ``ruleml:Atom`` with ``ruleml:Rel iri="lovo:greaterThan"``
any term inside another                   ``ruleml:Expr`` with ``ruleml:Fun iri="fuvo:count"``
``building.riskGroup``                    ``ruleml:Expr`` with ``ruleml:Fun iri="buvo:riskGroup"`` and the owner
a defined variable such as ``x0``         ``ruleml:Var``
any other name                            ``ruleml:Ind iri="buvo:..."``
quantity, reference, quoted, other text   ``ruleml:Data``: integer, decimal, token (a reference) or string
a leaf as a formula                       ``ruleml:Atom`` with the text in ``ruleml:Rel``
several formulas where XML has one        ``ruleml:And`` marked ``<?short-form list?>``
========================================  ==========================================================================
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] (it has no stubs)

from compliance_xai.errors import InputError
from compliance_xai.rules.legalruleml.safe_xml import BROKEN, WIDER, Unknown
from compliance_xai.rules.notation import spelling
from compliance_xai.rules.notation.parse import ILLEGAL, NAME
from compliance_xai.rules.notation.tree import CONNECTIVES, DEONTICS, Leaf, Node, Term

LRML = "http://docs.oasis-open.org/legalruleml/ns/v1.0/"
RULEML = "http://ruleml.org/spec"
LKM = "https://cas.net.nz/"
"""The extension of the New Zealand documents: measurements, loops, data types."""
XSI = "http://www.w3.org/2001/XMLSchema-instance"
PREFIXES = {"lrml": LRML, "ruleml": RULEML, "lkm": LKM, "xsi": XSI}

VOCABULARIES = {
    "lovo": "https://lovo.acabim.com",
    "fuvo": "https://fuvo.acabim.com",
    "buvo": "https://buvo.acabim.com",
}
"""The vocabularies of the published documents: predicates, functions, and things with their properties."""

MARK = "short-form"
"""The processing instruction in which we keep what the short form has and XML has no place for."""

_TYPE = f"{{{XSI}}}type"
_LOOP = f"{{{LKM}}}loop"
_UNIT_FIELDS = ("prefix", "kind", "exponent")
_ATTRIBUTES = {
    **dict.fromkeys(("fun", "rel", "operator"), ("iri", "value")),
    **dict.fromkeys(("var", "ind"), ("iri", "key", "keyref")),
    "arg": ("index",),
    **dict.fromkeys(("expr", "exp"), (_LOOP,)),
    "data": ("iri", _TYPE),
    "baseunit": (*_UNIT_FIELDS, *(f"{{{LKM}}}{name}" for name in _UNIT_FIELDS)),
}
"""The attributes that are read, by element; any other is noted."""
_EDGES = ("formula", "arg", "op", "rulestatement", "appliedstatement")
"""Elements that only say which role their content has."""
_WITHOUT_TEXT = (*CONNECTIVES, *DEONTICS, *_EDGES, "not", "neg", "atom", "expr", "exp")
_PREFIXED = re.compile(r"([A-Za-z_][\w.-]*):(?!//)(.*)", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'")
_ARITHMETIC = re.compile(r"\s[-+*/]\s|[*]")
_BREAK = re.compile(r"[\t\n\r]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?[0-9]+\.[0-9]+")
_NAME_LENGTH = 80
_SYMBOLS = {name: symbol for symbol, name in (*spelling.UNIT_KINDS.items(), *spelling.UNIT_PREFIXES.items())}


@dataclass(frozen=True)
class _Part:
    """What one element came to: nodes for the element around it; a ``name`` says how to join its neighbours."""

    role: str
    nodes: tuple[Node, ...]
    name: str = ""
    prefix: str = ""
    inner: tuple[Node, ...] = ()
    index: int = 0


class Notes:
    """The constructs noted so far in a document; with more than ``limit`` it counts as another kind of XML."""

    def __init__(self, where: str, limit: int) -> None:
        self.where = where
        self.limit = limit
        self.count = 0
        self._found: list[Unknown] = []

    def take(self) -> tuple[Unknown, ...]:
        """What was noted since the last time."""
        found, self._found = tuple(self._found), []
        return found

    def add(self, element: etree._Element, reading: str, *, name: str = "") -> None:
        """Note an element, or what ``name`` names in it."""
        if self.count >= self.limit:
            raise InputError(
                self.where,
                expected=f"LegalRuleML with at most {self.limit} constructs outside the notation",
                found=f"another at line {element.sourceline}: {_shown(element)}",
                remedy=f"Check that this is a LegalRuleML document, or pass wider limits ({WIDER}).",
            )
        self.count += 1
        self._found.append(Unknown(name or _shown(element), element.sourceline or 0, reading))

    def check(self, element: etree._Element, known: Iterable[str] = (), *, text: bool = False) -> None:
        """Note attributes that are not known, and text between elements unless ``text`` is read."""
        for name in element.attrib:
            if name not in known and name != BROKEN:
                self.add(element, "not in the rule", name=f"@{_prefixed(str(name))}")
        stray = ["" if text else element.text, *(child.tail for child in element)]
        if any(each and each.strip() for each in stray):
            self.add(element, "text that no element holds, not in the rule", name="text")


def local_name(element: etree._Element) -> str:
    """The name in lower case if the namespace is one of those read here or none, else empty."""
    namespace, _, name = str(element.tag).rpartition("}")
    return name.lower() if namespace[1:] in ("", LRML, RULEML, LKM) else ""


def _prefixed(tag: str) -> str:
    namespace, _, name = tag.rpartition("}")
    prefix = next((prefix for prefix, known in PREFIXES.items() if known == namespace[1:]), namespace[1:])
    return f"{prefix}:{name}" if prefix else name


def _shown(element: etree._Element) -> str:
    return _prefixed(str(element.tag))[-_NAME_LENGTH:]


def has_mark(element: etree._Element, word: str) -> bool:
    """Whether the processing instruction ``<?short-form word?>`` is a child."""
    return any(child.tag is etree.PI and (child.target, child.text) == (MARK, word) for child in element)


def read_formulas(parent: etree._Element, notes: Notes) -> tuple[Node, ...]:
    """The formulas inside ``if``, ``then`` or a template, a term or leaf each; ``notes`` takes what is unknown."""
    reader = _Reader(notes)
    frames: list[list[_Part]] = [[]]
    for event, element in etree.iterwalk(parent, events=("start", "end")):
        if element is parent:
            continue
        if event == "start":
            frames.append([])
        else:
            parts = frames.pop()
            frames[-1].append(reader.read(element, parts))
    notes.check(parent)
    return reader.arguments(parent, frames[0])


class _Reader:
    """From one element and its finished children to a part."""

    def __init__(self, notes: Notes) -> None:
        self.note = notes.add
        self.check = notes.check

    def read(self, element: etree._Element, parts: list[_Part]) -> _Part:
        name = local_name(element)
        places = [place for place, part in enumerate(parts) if part.index]
        for place, part in zip(places, sorted((parts[p] for p in places), key=lambda part: part.index), strict=True):
            parts[place] = part
        self.check(element, _ATTRIBUTES.get(name, ()), text=name not in _WITHOUT_TEXT)
        if name in ("fun", "rel", "operator"):
            prefix, text = self.split_iri(element)
            inner = self.arguments(element, parts)
            if inner:
                self.note(element, "its content kept as arguments")
            return _Part(name, (self.leaf(element, text), *inner), text, prefix, inner)
        if name in ("var", "ind"):
            prefix, text = self.split_iri(element)
            if element.get("keyref") and not text:
                text = _resolve(element)
            return _Part(name, (self.leaf(element, text), *self.arguments(element, parts)), text, prefix)
        if name == "data":
            return _Part("node", self.read_data(element, parts))
        if name in ("value", "baseunit"):
            text = _strip_zero(element.text or "") if name == "value" else _unit(element)
            return _Part(name, (self.leaf(element, text), *self.arguments(element, parts)), text)
        if name in ("and", "or"):
            arguments = self.arguments(element, parts)
            return _Part("node", arguments if has_mark(element, "list") else (self.term(element, name, arguments),))
        if name == "neg" or (name == "not" and not any(part.role == "fun" for part in parts)):
            return _Part("node", (self.term(element, "not", self.arguments(element, parts)),))
        if name in DEONTICS:
            return _Part("node", (self.term(element, name, self.arguments(element, parts)),))
        if name == "atom":
            return _Part("node", self.read_atom(element, parts))
        if name in ("expr", "exp", "not"):
            return _Part("node", (self.read_expression(element, name, parts),))
        if name in _EDGES:
            part = parts[0] if len(parts) == 1 else _Part("node", self.arguments(element, parts))
            index = element.get("index", "") if name == "arg" else ""
            if index and not _INTEGER.fullmatch(index):
                self.note(element, "no whole number; arguments kept in the order of the file", name="@index")
            return replace(part, index=int(index) if _INTEGER.fullmatch(index) else 0)
        return _Part("node", (self.read_unknown(element, parts),))

    def split_iri(self, element: etree._Element) -> tuple[str, str]:
        """Prefix and name of an ``iri``; a name from the text or from ``value`` has no prefix."""
        iri, value, text = element.get("iri"), element.get("value"), (element.text or "").strip()
        if text and (iri or value):
            self.note(element, "the text beside a name, not in the rule", name="text")
        if iri is None:
            return "", (value or text).strip()
        if value:
            self.note(element, "the value beside an iri, not in the rule", name="@value")
        iri = iri.strip().removeprefix(":")  # the document's own vocabulary
        match = _PREFIXED.fullmatch(iri)
        if match:
            prefix, name = match.groups()
        else:
            name = re.split("[#/]", iri)[-1] if "://" in iri else iri
            prefix = iri[: len(iri) - len(name)]
        if prefix and prefix not in VOCABULARIES:
            self.note(element, f"the name without its vocabulary '{prefix}'")
        return prefix, name.strip().replace("%20", " ")

    def arguments(self, element: etree._Element, parts: list[_Part]) -> tuple[Node, ...]:
        """All nodes of the parts; a name that nothing joins stays as a leaf and is noted."""
        for part in parts:
            if part.role not in ("node", "var", "ind"):
                self.note(element, f"'{part.name}' of {part.role} kept as an argument")
        return tuple(node for part in parts for node in part.nodes)

    def leaf(self, element: etree._Element, text: str, *, exact: bool = True) -> Leaf:
        """A leaf of any text; quoted if the notation needs it, or if it calculates and is not ``exact``."""
        text = text.strip()
        if _QUOTED.fullmatch(text):
            return Leaf(text)
        text = " ".join(line.strip() for line in _BREAK.split(text))
        if not text:
            self.note(element, "nothing in it; an empty quotation")
        if "'" in text:
            self.note(element, "quotes inside the text written as \u2019")
            text = text.replace("'", "\u2019")
        calculates = not exact and _ARITHMETIC.search(text)
        plain = text and not calculates and not re.search(r"[(),]", text) and not ILLEGAL.search(text)
        return Leaf(text if plain else f"'{text}'")

    def term(self, element: etree._Element, name: str, arguments: tuple[Node, ...]) -> Node:
        """A term, with a name that the notation can hold."""
        if not arguments:
            self.note(element, "no arguments; kept as a leaf")
            return self.leaf(element, name)
        if not NAME.fullmatch(name) or name in ("if", "then"):
            self.note(element, f"the name '{name}' changed to one that the notation can hold")
            name = re.sub(r" +", " ", re.sub(r"[^\w. -]+|\s+", " ", name)).strip()
            name = re.sub(r"^[\W\d_]+", "", name) or "term"
            name += "_" if name in ("if", "then") else ""
        return Term(name, arguments)

    def read_data(self, element: etree._Element, parts: list[_Part]) -> tuple[Node, ...]:
        kind = element.get(_TYPE, "").rpartition(":")[2]
        measures = [part for part in parts if part.role in ("value", "baseunit") and len(part.nodes) == 1]
        given = {part.role: part.name for part in measures}
        if "value" in given and len(given) == len(parts):
            text = f"{given['value']} {given.get('baseunit', '')}".strip()
            is_quoted = kind == "expression" and not _QUOTED.fullmatch(text)
            return (self.leaf(element, f"'{text}'" if is_quoted and "'" not in text else text),)
        if parts:
            self.note(element, "elements inside Data kept as arguments")
            return (self.term(element, "data", self.arguments(element, parts)),)
        text = (element.text or "").strip() or element.get("iri") or ""
        if element.get("iri") not in (None, text):
            self.note(element, "the iri beside the text, not in the rule")
        return (self.leaf(element, text, exact=bool(kind)),)

    def read_atom(self, element: etree._Element, parts: list[_Part]) -> tuple[Node, ...]:
        """A predicate and its arguments; or a property of a thing, with or without an ``Operator`` as predicate."""
        relation = next((part for part in parts if part.role == "rel"), None)
        operator = next((part for part in parts if part.role == "operator"), None)
        rest = [part for part in parts if part is not relation and part is not operator]
        arguments = (
            *self.arguments(element, rest),
            *(node for part in (relation, operator) if part for node in part.inner),
        )
        if relation is not None and rest and self.is_property(element, relation, operator, rest):
            arguments = (self.property(element, arguments[0], relation.name), *arguments[1:])
            relation = None
        name = operator or relation
        if name is not None and arguments:
            return (self.term(element, name.name, arguments),)
        if name is not None:
            return name.nodes
        if len(arguments) != 1:
            self.note(element, "a predicate is missing; kept as the term 'atom'")
            return (self.term(element, "atom", arguments),)
        return arguments

    def is_property(self, element: etree._Element, relation: _Part, operator: _Part | None, rest: list[_Part]) -> bool:
        """Whether ``Rel`` names a property of what follows it (``buvo:area`` of ``buvo:roof``), not a predicate."""
        if operator is not None or relation.prefix in ("buvo", "fuvo"):
            return rest[0].role in ("var", "ind")
        parent = element.getparent()
        inside = parent is not None and local_name(parent) in ("expr", "exp", "fun", "not", "arg")
        return relation.prefix != "lovo" and inside and [part.role for part in rest] == ["var"]

    def property(self, element: etree._Element, owner: Node, name: str) -> Node:
        if isinstance(owner, Leaf) and owner.kind not in ("quoted", "quantity"):
            return self.leaf(element, f"{owner.text}.{name}")
        return self.term(element, name, (owner,))

    def read_expression(self, element: etree._Element, name: str, parts: list[_Part]) -> Node:
        function = next((part for part in parts if part.role == "fun"), None)
        arguments = self.arguments(element, [part for part in parts if part is not function])
        if name == "not":
            self.note(element, "a negation with a function of its own, read as Expr")
        if function is not None:
            if element.get(_LOOP):
                self.note(element, "a loop with a function, read as Expr")
            first = arguments[0] if len(arguments) == 1 else None
            if function.prefix == "buvo" and isinstance(first, Leaf) and first.kind == "name":
                return self.property(element, first, function.name)
            return self.term(element, function.name, (*function.inner, *arguments))
        if element.get(_LOOP) == "true":
            return self.term(element, "loop", arguments)
        self.note(element, "an expression without a function, kept as the term 'expr'")
        return self.term(element, "expr", arguments)

    def read_unknown(self, element: etree._Element, parts: list[_Part]) -> Node:
        name = str(element.tag).rpartition("}")[2]
        name = name[0].lower() + name[1:]
        arguments = self.arguments(element, parts)
        if element.text and element.text.strip():
            arguments = (self.leaf(element, element.text), *arguments)
        self.note(element, "kept as a term of its name")
        return self.term(element, name, arguments) if arguments else self.leaf(element, name)


def _resolve(element: etree._Element) -> str:
    """The text of the element that a ``keyref`` names, in the same statement if there is one; else the key itself."""
    key = element.get("keyref", "").removeprefix("#")
    scopes = [each for each in element.iterancestors() if local_name(each).endswith("statement")]
    for scope in (*scopes, element.getroottree().getroot()):
        for other in scope.iter(element.tag):
            if other.get("key") == key and (text := (other.text or "").strip()):
                return text
    return key.removeprefix(":")


def _strip_zero(text: str) -> str:
    """``2.0`` as ``2``: measurements are written with a decimal that the short form does not have."""
    return re.sub(r"(?<=\d)\.0+$", "", text.strip())


def _unit(element: etree._Element) -> str:
    """``metre`` with the prefix ``milli`` as ``mm``; a unit without a symbol keeps its name."""
    fields = {name: element.get(f"{{{LKM}}}{name}") or element.get(name) or "" for name in _UNIT_FIELDS[:2]}
    exponent = _strip_zero(element.get(f"{{{LKM}}}exponent") or element.get("exponent") or "")
    return "".join(_SYMBOLS.get(value, value) for value in fields.values()) + exponent


def write_formulas(parent: etree._Element, nodes: tuple[Node, ...], variables: Iterable[str], *, deontic: bool) -> None:
    """Append formulas to ``if``, ``then`` or a template; if there are several, a marked ``And`` goes around them.

    ``variables`` are the names that the rule defines. Unless the schema allows ``Obligation`` and its like there
    (``deontic``), they become predicates.
    """
    _Writer(frozenset(variables), deontic).write_list(nodes, parent)


@dataclass(frozen=True)
class _Writer:
    variables: frozenset[str]
    deontic: bool

    def write_list(self, nodes: tuple[Node, ...], parent: etree._Element) -> None:
        """Formulas where XML has one: several go into a conjunction that says it is only a list."""
        if len(nodes) > 1:
            parent = _add(parent, "And")
            parent.append(etree.PI(MARK, "list"))
        for node in nodes:
            self.write_formula(node, parent)

    def write_formula(self, node: Node, parent: etree._Element) -> None:
        if isinstance(node, Leaf):
            _add(_add(parent, "Atom"), "Rel").text = node.text
        elif node.name in CONNECTIVES:
            inner = _add(parent, node.name.capitalize())
            for argument in node.args:
                self.write_formula(argument, inner)
        elif node.name == "not":
            self.write_list(node.args, _add(parent, "Neg"))
        elif node.name in DEONTICS and self.deontic:
            self.write_list(node.args, _add(parent, node.name.capitalize(), namespace=LRML))
        else:
            self.write_call(node, "Rel", "lovo", _add(parent, "Atom"))

    def write_call(self, term: Term, role: str, vocabulary: str, holder: etree._Element) -> None:
        _add(holder, role, f"{vocabulary}:{term.name}")
        for argument in term.args:
            self.write_argument(argument, holder)

    def write_argument(self, node: Node, parent: etree._Element) -> None:
        if isinstance(node, Term):
            vocabulary = "lovo" if node.name in (*CONNECTIVES, *DEONTICS, "not") else "fuvo"
            self.write_call(node, "Fun", vocabulary, _add(parent, "Expr"))
        elif node.kind == "name":
            owner, *properties = [node.text] if node.text in self.variables else node.parts
            for name in reversed(properties):
                parent = _add(parent, "Expr")
                _add(parent, "Fun", f"buvo:{name}")
            if owner in self.variables:
                _add(parent, "Var").text = owner
            else:
                _add(parent, "Ind", f"buvo:{owner}")
        else:
            element = _add(parent, "Data")
            element.set(_TYPE, f"xs:{_data_type(node)}")
            element.text = node.text


def _add(parent: etree._Element, name: str, iri: str = "", *, namespace: str = RULEML) -> etree._Element:
    element = etree.SubElement(parent, f"{{{namespace}}}{name}")
    if iri:
        element.set("iri", iri.replace(" ", "%20"))
    return element


def _data_type(leaf: Leaf) -> str:
    if _INTEGER.fullmatch(leaf.text):
        return "integer"
    if _DECIMAL.fullmatch(leaf.text):
        return "decimal"
    return "token" if leaf.kind == "reference" else "string"
