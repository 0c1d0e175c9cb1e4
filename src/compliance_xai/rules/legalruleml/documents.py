"""LegalRuleML: documents of the OASIS standard as statements with a key, a source and a rule, and back.

A statement keeps the rule in the short form's tree; ``xml_formulas`` says which element means what. Whatever has
no place there is listed in ``unknown``, of the statement or of the document, with its line.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] (it has no stubs)

from compliance_xai.errors import InputError, require_choice
from compliance_xai.files import write_atomic
from compliance_xai.rules.legalruleml import xml_formulas as xml
from compliance_xai.rules.legalruleml.safe_xml import BROKEN, LIMITS, Limits, Unknown, parse_xml
from compliance_xai.rules.legalruleml.xml_formulas import LRML, PREFIXES, RULEML, Notes, local_name
from compliance_xai.rules.notation.tree import Leaf, Node, Rule, Term, format_rule

KINDS = ("prescriptive", "constitutive", "factual", "override", "penalty", "reparation")
"""What a statement can be; the first two hold rules with conditions and conclusions, a factual one holds formulas."""

DEEPEST = 100
"""Levels of a rule that is written, so that it stays within the depth that readers of XML accept."""

_XSD = "http://www.w3.org/2001/XMLSchema"
_ILLEGAL_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPE = re.compile(r"_x([0-9A-F]{4,6})_")


@dataclass(frozen=True)
class Source:
    """What a statement puts into rules; all empty if the document does not say."""

    document: str = ""
    """The document, by the key of its ``LegalSource`` or the name of its ``LegalReference``."""
    clause: str = ""
    """The part of it, such as ``r1.2.2``."""
    iri: str = ""
    """Where the document can be found."""


@dataclass(frozen=True)
class Statement:
    """One legal statement."""

    key: str
    """Its name in the document; empty if it has none. Keys can repeat."""
    rule: Rule | None
    """The rule; None if the statement holds none, or none that the notation can hold (then see ``unknown``)."""
    source: Source = Source()
    """What it puts into a rule."""
    kind: str = "prescriptive"
    """One of ``KINDS``."""
    paraphrase: str = ""
    """The rule in plain words."""
    line: int = field(default=0, compare=False)
    """Its line in the file, 0 if it comes from elsewhere; not compared."""
    unknown: tuple[Unknown, ...] = field(default=(), compare=False)
    """What the rule does not or not exactly hold; not compared."""


@dataclass(frozen=True)
class LegalDocument:
    """The statements of a document, in its order; ``unknown`` is what is outside them and is not known."""

    statements: tuple[Statement, ...]
    unknown: tuple[Unknown, ...] = ()

    def __getitem__(self, index: int) -> Statement:
        return self.statements[index]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self.statements)

    def __len__(self) -> int:
        return len(self.statements)


def read_legalruleml(path: str | Path, *, limits: Limits = LIMITS) -> LegalDocument:
    """Read a LegalRuleML document, in the compact or normalised form of the standard or as published for New Zealand.

    Comments, processing instructions that are not ours, and the keys of collections are left out.
    If the file is missing, above a limit, not well-formed XML, has a DOCTYPE, or is not LegalRuleML, there is an
    InputError.
    """
    path = Path(path)
    root, faults = parse_xml(path, limits, namespaces=PREFIXES)
    if root.tag != f"{{{LRML}}}LegalRuleML":
        raise InputError(
            f"{path}, line {root.sourceline}",
            expected=f"the root LegalRuleML in the namespace {LRML}",
            found=str(root.tag),
            remedy="Pass a LegalRuleML 1.0 document.",
        )
    document = _DocumentReader(Notes(str(path), limits.unknown)).read(root)
    return replace(document, unknown=(*faults, *document.unknown))


_CONTAINERS = ("statements", "context", "associations", "jurisdictions", "legalsources", "legalreferences", "prefixes")
_METADATA = {"key", "pre", "refID", "sameAs", "keyref", "refersTo", "refIDSystemName", "refIDSystemSource", "type"}
_METADATA |= {f"{{{xml.XSI}}}schemaLocation", f"{{{xml.LKM}}}version"}


class _DocumentReader:
    """What was read so far. References can come before what they refer to, so sources are looked up at the end."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.statements: list[Statement] = []
        self.named: dict[str, Source] = {}
        self.documents: dict[Source, None] = {}
        self.targets: dict[str, list[tuple[str, etree._Element]]] = {}
        self.unknown: list[Unknown] = []

    def read(self, root: etree._Element) -> LegalDocument:
        stack = [root]
        while stack:
            element = stack.pop()
            self.notes.check(element, _METADATA)
            inside = []
            for child in element.iterchildren("*"):
                name = local_name(child)
                if name in _CONTAINERS or name.startswith("has"):  # "hasStatements" and so on in the normalised form
                    inside.append(child)
                else:
                    self.read_entry(child)
            stack.extend(reversed(inside))
            self.unknown.extend(self.notes.take())
        statements = tuple(self.find_sources())
        return LegalDocument(statements, tuple(self.unknown))

    def read_entry(self, element: etree._Element) -> None:
        name, key = local_name(element), _decode(element.get("key", ""))
        if name.removesuffix("statement") in KINDS and name.endswith("statement"):
            if BROKEN in element.attrib:
                self.notes.add(element, "the file ends inside it; not read")
                return
            self.unknown.extend(self.notes.take())
            self.statements.append(_read_statement(element, self.notes))
            return
        if name == "association":
            self.read_association(element)
        elif name == "legalsource":
            self.name_source(key, Source(key, "", element.get("sameAs", "")))
        elif name == "legalreference":
            clause, document = element.get("refID", ""), element.get("refIDSystemName", "")
            self.name_source(
                element.get("refersTo", ""), Source(document, clause, element.get("refIDSystemSource", ""))
            )
        elif name not in ("prefix", "jurisdiction"):
            self.notes.add(element, "not in any statement")
            return
        self.notes.check(element, _METADATA)

    def name_source(self, key: str, source: Source) -> None:
        self.named[key] = source
        self.documents[Source(source.document, "", source.iri)] = None

    def read_association(self, element: etree._Element) -> None:
        sources: list[str] = []
        targets: list[etree._Element] = []
        for child in element.iterchildren("*"):
            name = local_name(child)
            if name not in ("appliessource", "totarget"):
                self.notes.add(child, "not in any statement")
                continue
            self.notes.check(child, _METADATA)
            if name == "appliessource":
                sources.append(child.get("keyref", ""))
            else:
                targets.append(child)
        if len(sources) != 1:
            self.notes.add(element, "no single source; not in any statement")
            return
        for target in targets:
            self.targets.setdefault(_decode(target.get("keyref", "")), []).append((sources[0], target))

    def find_sources(self) -> Iterator[Statement]:
        """Each statement with its source; if a key repeats, the associations of the key in their order."""
        used: Counter[str] = Counter()
        for statement in self.statements:
            name = statement.key  # an association names it with '#'; or, as published, alone or without its first part
            names = (f"#{name}", name, name.rpartition(":")[2], name.rpartition("_")[2])
            key = next((key for key in names if key and key in self.targets), None)
            if key is None:
                yield statement
                continue
            references = self.targets[key]
            reference, _ = references[min(used[key], len(references) - 1)]
            used[key] += 1
            yield replace(statement, source=self.resolve(reference))
        for key, references in self.targets.items():
            for _, element in references[used[key] :]:
                self.notes.add(element, "the target is not a statement")
        self.unknown.extend(self.notes.take())

    def resolve(self, reference: str) -> Source:
        """A source by its key; a reference to no key is a clause of the document, if that is only one."""
        reference = reference.removeprefix("#")
        if reference in self.named:
            return self.named[reference]
        only = next(iter(self.documents)) if len(self.documents) == 1 else Source()
        return Source(only.document, _decode(reference), only.iri)


def _read_statement(element: etree._Element, notes: Notes) -> Statement:
    key = _decode(element.get("key", ""))
    kind = local_name(element).removesuffix("statement")
    notes.check(element, {"key"})
    holders = []
    for child in element.iterchildren("*"):
        name = local_name(child)
        template = next(iter(child.iterchildren("*")), None) if name == "hastemplate" else None
        if template is not None and local_name(template) == "rule" and len(child) == 1:
            notes.check(child)
            child, name = template, "rule"
        if name in ("rule", "hastemplate") and not holders:
            holders.append(_refer(child))
        else:
            notes.add(child, "not in the rule")
    rule, paraphrase = _read_rule(holders[0], element.get("key"), notes) if holders else (None, "")
    return Statement(key, rule, Source(), kind, paraphrase, element.sourceline or 0, notes.take())


def _refer(element: etree._Element) -> etree._Element:
    """The rule that an empty ``Rule keyref`` names, if the document has it; else the element itself."""
    wanted = "" if len(element) else element.get("keyref", "").removeprefix("#")
    rules = element.getroottree().iter("{*}Rule") if wanted else ()
    return next((rule for rule in rules if rule.get("key") == wanted), element)


def _read_rule(element: etree._Element, key: str | None, notes: Notes) -> tuple[Rule | None, str]:
    """The rule of ``Rule``, or of a template with formulas; and its paraphrase. A key other than ``key`` is noted."""
    paraphrase: list[str] = []
    sides: dict[str, tuple[Node, ...]] = {}
    if local_name(element) == "hastemplate":
        sides["then"] = xml.read_formulas(element, notes)
    else:
        notes.check(element, {"key"} if element.get("key") == key else ())
        for child in element.iterchildren("*"):
            name = local_name(child)
            if name in ("if", "then") and name not in sides:
                sides[name] = xml.read_formulas(child, notes)
            elif name == "paraphrase" and not paraphrase and not len(child):
                notes.check(child, text=True)
                paraphrase.append((child.text or "").strip())
            else:
                notes.add(child, "not in the rule")
    layout = "spaced" if xml.has_mark(element, "spaced") else "tight"
    conditions, conclusions = sides.get("if", ()), sides.get("then", ())
    if conditions and conclusions:
        rule = Rule((Term("if", conditions), Term("then", conclusions)), layout)
    elif conclusions:
        rule = Rule(tuple(_as_term(element, node, notes) for node in conclusions), layout)
        if "if" in sides:
            notes.add(element, "no conditions; only the conclusions kept")
    else:
        rule = None
        if conditions:
            notes.add(element, "conditions without conclusions; not in the rule")
    return rule, "".join(paraphrase)


def _as_term(element: etree._Element, node: Node, notes: Notes) -> Term:
    if isinstance(node, Leaf):
        notes.add(element, f"the bare conclusion '{node.text}' kept in the term 'atom'")
        return Term("atom", (node,))
    return node


def write_legalruleml(statements: Iterable[Statement], path: str | Path) -> None:
    """Write statements as LegalRuleML, valid against the compact schema of the standard.

    ``read_legalruleml`` gives the same statements back, each with the same key, rule, layout, source, kind and
    paraphrase (but for spaces around that); ``unknown`` and ``line`` are not written. In keys, characters that XML
    does not allow in a name are written as ``_x0023_``. Valid means every kind of statement in the elements that the
    schema gives it; that a source's ``iri`` is one is not checked.

    The file's folder is made if there is none. There is an InputError if a rule is nested too deep or holds a character
    that XML cannot; if the kind cannot hold the rule; if statements of one key differ in having a source.

    >>> import tempfile
    >>> from compliance_xai.rules.notation.parse import parse_rule
    >>> text = "if(exist(ramp)),then(obligation(lessThanEqual(ramp.gradient,1:12)))"
    >>> statement = Statement("d1-3.1", parse_rule(text), Source("NZBC-D1AS1", "3.1"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "rules.lrml")
    ...     write_legalruleml([statement], path)
    ...     (again,) = read_legalruleml(path)
    >>> again == statement
    True
    """
    path, statements = Path(path), list(statements)
    root = etree.Element(f"{{{LRML}}}LegalRuleML", nsmap=_NAMESPACES)
    for prefix, iri in xml.VOCABULARIES.items():
        etree.SubElement(root, f"{{{LRML}}}Prefix", pre=prefix, refID=iri)
    for statement in statements:
        rule = "" if statement.rule is None else format_rule(statement.rule)
        match = _ILLEGAL_CHARACTER.search(
            "".join((statement.key, *astuple(statement.source), statement.paraphrase, rule))
        )
        if match:
            where, expected = f"statement '{statement.key}'", "characters that XML 1.0 can hold"
            raise InputError(where, expected=expected, found=repr(match[0]), remedy="Remove the character.")
    _write_sources(root, statements)
    holder = etree.SubElement(root, f"{{{LRML}}}Statements")
    for statement in statements:
        _write_statement(holder, statement)
    with write_atomic(path) as part:
        part.write_bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True))


_NAMESPACES = {name: iri for name, iri in PREFIXES.items() if name != "lkm"} | {"xs": _XSD}


def _write_sources(root: etree._Element, statements: list[Statement]) -> None:
    """One reference per source, and one association per run of statements with the same source."""
    keys = {source: f"source-{index}" for index, source in enumerate(_distinct_sources(statements), start=1)}
    if not keys:
        return
    references = etree.SubElement(root, f"{{{LRML}}}LegalReferences")
    for source, key in keys.items():
        reference = etree.SubElement(references, f"{{{LRML}}}LegalReference", refersTo=key, refID=source.clause)
        for name, value in (("refIDSystemName", source.document), ("refIDSystemSource", source.iri)):
            if value:
                reference.set(name, value)
    associations = etree.SubElement(root, f"{{{LRML}}}Associations")
    previous, association = Source(), associations
    for statement in statements:
        if statement.source == Source():
            continue
        if statement.source != previous:
            previous, association = statement.source, etree.SubElement(associations, f"{{{LRML}}}Association")
            etree.SubElement(association, f"{{{LRML}}}appliesSource", keyref=f"#{keys[previous]}")
        etree.SubElement(association, f"{{{LRML}}}toTarget", keyref=f"#{_encode(statement.key)}")


def _distinct_sources(statements: list[Statement]) -> Iterator[Source]:
    """Every source once, checked: a key that repeats needs a source everywhere or nowhere to be told apart."""
    with_source = {statement.key for statement in statements if statement.source != Source()}
    for statement in statements:
        where = f"statement '{statement.key}'"
        if statement.key in with_source and (statement.source == Source() or not statement.key):
            raise InputError(
                where,
                expected="a key, and a source for every statement of that key",
                found="none",
                remedy="Give the statement a key of its own.",
            )
    return iter(dict.fromkeys(each.source for each in statements if each.source != Source()))


def _write_statement(holder: etree._Element, statement: Statement) -> None:
    where = f"statement '{statement.key}'"
    rule, paraphrase = statement.rule, statement.paraphrase.strip()
    _check_kind(statement, where)
    element = etree.SubElement(holder, f"{{{LRML}}}{statement.kind.capitalize()}Statement")
    if statement.key:
        element.set("key", _encode(statement.key))
    if rule is None and not paraphrase:
        return
    is_factual = statement.kind == "factual"
    body = etree.SubElement(element, f"{{{LRML}}}hasTemplate" if is_factual else f"{{{RULEML}}}Rule")
    if paraphrase:
        etree.SubElement(body, f"{{{LRML}}}Paraphrase").text = paraphrase
    if rule is None:
        return
    if rule.depth > DEEPEST:
        expected, found = f"a rule nested at most {DEEPEST} deep", f"one of {rule.depth} levels"
        raise InputError(where, expected=expected, found=found, remedy="Flatten the rule.")
    if rule.layout == "spaced":
        body.append(etree.PI(xml.MARK, "spaced"))
    for side, nodes in (("if", rule.conditions), ("then", rule.conclusions)):
        if nodes:
            parent = body if is_factual else etree.SubElement(body, f"{{{RULEML}}}{side}")
            xml.write_formulas(parent, nodes, rule.definitions, deontic=statement.kind == "prescriptive")


def _check_kind(statement: Statement, where: str) -> None:
    """The schema has a place for rules in the first two kinds, and for bare statements in factual ones."""
    require_choice(f"{where}, kind", statement.kind, KINDS)
    bare = statement.kind == "factual" and statement.rule is not None and not statement.rule.conditions
    if statement.kind not in KINDS[:2] and (statement.paraphrase or (statement.rule is not None and not bare)):
        raise InputError(
            where,
            expected=f"bare statements without paraphrase (factual), or nothing, in the kind {statement.kind}",
            found="a rule with conditions or a paraphrase",
            remedy="Make the statement prescriptive or constitutive.",
        )


def _encode(key: str) -> str:
    """A key as an XML name (ISO/IEC 9075-14, section 9.1): other characters by their number, reversibly."""
    key = re.sub(r"_(?=x)|[^A-Za-z0-9_.-]", lambda match: f"_x{ord(match.group()):04X}_", key)
    return key if re.match(r"[A-Za-z_]", key) else f"_x{ord(key[0]):04X}_{key[1:]}"


def _decode(name: str) -> str:
    return _ESCAPE.sub(lambda match: chr(number) if (number := int(match[1], 16)) < 0x110000 else match[0], name)
