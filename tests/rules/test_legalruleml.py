"""LegalRuleML: exact round trips, the published documents, and XML that means harm."""

import csv
import re
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lxml import etree
from trees import DEEP, NODES, RULES, TERMS, relaxed

from compliance_xai.errors import InputError
from compliance_xai.rules.legalruleml.documents import Source, Statement, read_legalruleml, write_legalruleml
from compliance_xai.rules.legalruleml.safe_xml import Limits, read_limits
from compliance_xai.rules.notation.parse import NAME, parse_rule
from compliance_xai.rules.notation.tree import Leaf, Rule, Term, canonical, format_node, format_rule

DOCUMENT = """\
<lrml:LegalRuleML xmlns:lrml="http://docs.oasis-open.org/legalruleml/ns/v1.0/" xmlns:ruleml="http://ruleml.org/spec"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:lkm="https://cas.net.nz/" xmlns:x="urn:x">
  {head}
  <lrml:Statements>
    <lrml:PrescriptiveStatement key="a">{body}</lrml:PrescriptiveStatement>
  </lrml:Statements>
</lrml:LegalRuleML>
"""
RULE = "<ruleml:Rule><ruleml:if>{conditions}</ruleml:if><ruleml:then>{conclusions}</ruleml:then></ruleml:Rule>"
EXIST = (
    '<ruleml:Expr><ruleml:Fun iri="lovo:exist"/><ruleml:Atom><ruleml:Var iri="buvo:{}"/></ruleml:Atom></ruleml:Expr>'
)
PUBLISHED = {
    "NZ_NZBC-B1AS1#0.17": (66, 62, {"lrml:Data": 14}),
    "NZ_NZBC-CAS2#1.0": (67, 53, {"ruleml:Rule": 4, "ruleml:Expr": 1}),
    "NZ_NZBC-E1AS1#0.10": (229, 193, {"ruleml:Not": 13, "ruleml:Rule": 5, "ruleml:Expr": 1}),
    "NZ_NZBC-G14VM1#2.6": (57, 57, {"ruleml:Atom": 30, "fun": 2}),
    "NZ_NZBC-G4AS1#4.0": (5, 5, {}),
}
"""Statements, rules among them, and constructs that are unknown or read in a sense of their own."""


def read(tmp_path, *, body="", head=""):
    path = tmp_path / "document.lrml"
    path.write_text(DOCUMENT.format(head=head, body=body), encoding="utf-8")
    return read_legalruleml(path)


def read_rule(tmp_path, conclusions):
    (statement,) = read(tmp_path, body=RULE.format(conditions=EXIST.format("roof"), conclusions=conclusions))
    assert parse_rule(format_rule(statement.rule)) == statement.rule
    return ",".join(map(format_node, statement.rule.conclusions)), statement.unknown


def there_and_back(path, statements):
    write_legalruleml(statements, path)
    document = read_legalruleml(path)
    assert document.unknown == ()
    assert [statement.unknown for statement in document] == [()] * len(document)
    return list(document)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("legalruleml") / "rules.lrml"


# Anything that the notation and XML 1.0 can both hold.
XML_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
    lambda character: character >= " " or character in "\t\n\r"
), max_size=12)  # fmt: skip
ANY_NAME = st.from_regex(NAME, fullmatch=True).map(str.strip).filter(lambda name: name not in ("if", "then"))
ANY_LEAF = st.one_of(
    XML_TEXT.map(lambda text: f"'{text.replace(chr(39), '')}'"),
    XML_TEXT.map(lambda text: re.sub(r"[()\[\],{}\"'`;\\\x00-\x1f\x7f-\x9f]", "", text).strip()).filter(bool),
    st.sampled_from(["a + b * c", "x0", "x0.area", "-1.5", "2.0", "''", "a%20b", "lovo:is", "risk group", "true"]),
).map(Leaf)


def any_terms(arguments):
    names = st.sampled_from(["and", "not", "define", "prohibition", "loop", "riskGroup", "atom"]) | ANY_NAME
    return st.builds(Term, names, st.lists(arguments, min_size=1, max_size=3).map(tuple))


ANY_NODE = st.recursive(ANY_LEAF | NODES, any_terms, max_leaves=10)
ANY_RULE = st.builds(
    lambda conditions, conclusions, layout: Rule(
        (Term("if", conditions), Term("then", conclusions)) if conditions else conclusions, layout
    ),
    st.lists(ANY_NODE, max_size=2).map(tuple),
    st.lists(any_terms(ANY_NODE) | TERMS, min_size=1, max_size=2).map(tuple),
    st.sampled_from(["tight", "spaced"]),
)


@relaxed
@given(rule=RULES | ANY_RULE, kind=st.sampled_from(["prescriptive", "constitutive", "factual"]))
def test_any_rule_comes_back_exactly(path, rule, kind):
    assume(kind != "factual" or not rule.conditions)
    (again,) = there_and_back(path, [Statement("a", rule, kind=kind)])
    assert (again.kind, again.rule) == (kind, rule)
    assert format_rule(again.rule) == format_rule(rule)


@relaxed
@given(
    st.lists(
        st.builds(
            Statement,
            key=st.text("ab_x01F#:. é", min_size=1, max_size=12) | XML_TEXT.filter(bool),
            rule=st.none() | st.just(parse_rule("exist(roof)")),
            source=st.builds(Source, XML_TEXT, XML_TEXT, XML_TEXT),
            kind=st.sampled_from(["prescriptive", "constitutive"]),
            paraphrase=XML_TEXT.map(str.strip),
        ),
        unique_by=lambda statement: statement.key,
    )
)
def test_any_statement_comes_back_exactly(path, statements):
    assert there_and_back(path, statements) == statements


def test_keys_can_repeat_and_keep_their_sources(tmp_path):
    rule = parse_rule("exist(roof)")
    statements = [Statement(key, rule, Source("D", clause)) for key, clause in ("a1", "b2", "a2", "a1", "a3")]
    assert there_and_back(tmp_path / "a.lrml", statements) == statements
    with pytest.raises(InputError, match="statement 'a': expected a key, and a source for every statement of that key"):
        write_legalruleml([*statements, Statement("a", rule)], tmp_path / "a.lrml")


def test_what_is_written_is_the_standards_xml(tmp_path):
    rule = parse_rule(
        "if(and(define(floor.area,x0),not(exist(ramp)))),"
        "then(obligation(and(greaterThanEqual(count(x0),'0.05 * x1'),asPer(x0,nzbc_e1as1_t1),lessThan(a.b.c,60 degC))))"
    )
    write_legalruleml([Statement("NZBC:1.2", rule, Source("D1", "3.1", "https://example.org/d1"))], tmp_path / "a.lrml")
    root = etree.parse(tmp_path / "a.lrml").getroot()
    body = root.find(".//{*}Rule")
    assert [re.sub("{.*}", "", element.tag) for element in body.iter("*")] == [
        *("Rule", "if", "And", "Atom", "Rel", "Expr", "Fun", "Ind", "Var", "Neg", "Atom", "Rel", "Ind"),
        *("then", "Obligation", "And", "Atom", "Rel", "Expr", "Fun", "Var", "Data", "Atom", "Rel", "Var", "Data"),
        *("Atom", "Rel", "Expr", "Fun", "Expr", "Fun", "Ind", "Data"),
    ]
    assert [(element.text, element.values()) for element in body.iter("{*}Data")] == [
        ("'0.05 * x1'", ["xs:string"]),
        ("nzbc_e1as1_t1", ["xs:token"]),
        ("60 degC", ["xs:string"]),
    ]
    assert root.find(".//{*}PrescriptiveStatement").get("key") == "NZBC_x003A_1.2"
    assert dict(root.find(".//{*}LegalReference").attrib) == {
        "refersTo": "source-1",
        "refID": "3.1",
        "refIDSystemName": "D1",
        "refIDSystemSource": "https://example.org/d1",
    }


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (Statement("a", Rule((Term("is", (Leaf("'\x01'"),)),))), r"statement 'a': .* XML 1.0 can hold, found '\\x01'"),
        (Statement("a", Rule((Term("is", (Leaf("'\ud800'"),)),))), "characters that XML 1.0 can hold"),
        (Statement("a\uffff", None), "characters that XML 1.0 can hold"),
        (Statement("a", None, paraphrase="\0"), "characters that XML 1.0 can hold"),
        (Statement("a", None, Source("D", "\x0b")), "characters that XML 1.0 can hold"),
        (Statement("a", None, kind="moral"), "kind: expected one of prescriptive, .*, found 'moral'"),
        (Statement("a", parse_rule("if(a(b)),then(c(d))"), kind="factual"), "Make the statement prescriptive or"),
        (Statement("a", parse_rule("a(b)"), kind="penalty"), "Make the statement prescriptive or constitutive"),
        (
            Statement("a", parse_rule("not(" * DEEP + "a(b)" + ")" * DEEP)),
            f"nested at most 100 deep, found one of {DEEP + 2} levels",
        ),
    ],
)
def test_what_xml_cannot_hold_ends_in_a_clear_error(tmp_path, statement, message):
    with pytest.raises(InputError, match=message):
        write_legalruleml([statement], tmp_path / "a.lrml")
    assert not (tmp_path / "a.lrml").exists()


def test_the_deepest_rule_that_is_written_is_read(tmp_path):
    rule = parse_rule("not(" * 98 + "a(b)" + ")" * 98)
    assert there_and_back(tmp_path / "a.lrml", [Statement("a", rule)])[0].rule == rule
    for limits, message in (
        (Limits(bytes=500), "at most 500 bytes"),
        (Limits(elements=9), "at most 9 elements"),
        (Limits(depth=20), "nested at most 20 deep"),
    ):
        with pytest.raises(InputError, match=message):
            read_legalruleml(tmp_path / "a.lrml", limits=limits)
    write_legalruleml([], tmp_path / "new" / "a.lrml")
    assert list(read_legalruleml(tmp_path / "new" / "a.lrml")) == []


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HARM = {
    "no file": (None, "expected a file that exists, found none"),
    "empty": ("", "line 1: expected well-formed XML"),
    "cut off": ("<a><b></a>", "line 1: expected well-formed XML, found Opening and ending tag mismatch"),
    "billion laughs": (f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l9;</a>', "expected a document without DOCTYPE"),
    "laughs in an attribute": (f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a b="&l9;"/>', "amplification"),
    "a file": ('<!DOCTYPE a [<!ENTITY f SYSTEM "{secret}">]><a>&f;</a>', "without DOCTYPE, found <!DOCTYPE a>"),
    "the network": ('<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>', "without DOCTYPE, found <!DOCTYPE a SYSTEM"),
    "an entity of nobody": ("<a>&f;</a>", "Entity 'f' not defined"),
    "deep": ("<a>" * DEEP + "</a>" * DEEP, "nested at most 256 deep, found deeper ones. Split the document"),
    "open and deep": ("<a>" * 1_000_000, "nested at most 256 deep"),
    "wide": ("<a>" + "<b/>" * 1_000_001 + "</a>", "at most 1000000 elements, found more"),
    "large": ("<a>" + " " * 32 * 2**20 + "</a>", "at most 33554432 bytes, found 33554439. Split the document"),
    "another notation": ("<a/>", "expected the root LegalRuleML in the namespace http://docs.oasis-open.org/.*found a"),
    "another encoding": ('<?xml version="1.0" encoding="x"?><a/>', "expected well-formed XML, found Unsupported enc"),
}


@pytest.mark.parametrize("name", HARM)
def test_xml_that_means_harm_ends_in_a_clear_error(tmp_path, name):
    text, message = HARM[name]
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    if text is not None:
        text = text.replace("{secret}", (tmp_path / "secret.txt").as_uri())
        (tmp_path / "a.lrml").write_text(text, encoding="utf-8")
    start = time.process_time()
    with pytest.raises(InputError, match=message) as caught:
        read_legalruleml(tmp_path / "a.lrml")
    assert str(caught.value).startswith(str(tmp_path / "a.lrml"))
    assert time.process_time() - start < 60


def test_other_xml_in_the_right_wrapper_is_not_read_for_ever(tmp_path):
    with pytest.raises(InputError, match="with at most 10000 constructs outside the notation, found another at line 3"):
        read(tmp_path, head="<x:y/>" * 10_001)


@pytest.mark.parametrize("text", [" ", "\n ", "://", "_", "a.", "1/", "'", "x:", "%20", "_x0041_"])
def test_long_texts_take_no_long_time(tmp_path, text):
    text = "a" + text * 300_000 + "b"
    start = time.process_time()
    parts = f'<ruleml:Fun iri="{text}"/><ruleml:Ind iri="{text}"/><ruleml:Data>{text}</ruleml:Data>'
    (statement,) = read(tmp_path, body=RULE.format(conditions="", conclusions=f"<Exp>{parts}</Exp>"))
    assert len(statement.rule.leaves()) == 2
    assert time.process_time() - start < 60


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        # As the standard writes predicates.
        ("<ruleml:Atom><ruleml:Rel>owns</ruleml:Rel><ruleml:Ind>Ann</ruleml:Ind><ruleml:Var>x</ruleml:Var></ruleml:Atom>",
         "owns(Ann,x)"),
        ('<ruleml:Atom><ruleml:Rel iri="lovo:is"/><ruleml:Var>x</ruleml:Var></ruleml:Atom>', "is(x)"),
        # As the New Zealand documents write them: the function of an expression, or an operator at the end.
        ('<ruleml:Expr><ruleml:Fun iri="lovo:lessThan"/><ruleml:Expr><ruleml:Fun iri="fuvo:count"/><ruleml:Atom>'
         '<ruleml:Rel iri="buvo:door"/><ruleml:Var iri="buvo:room"/></ruleml:Atom></ruleml:Expr>'
         '<ruleml:Data xsi:type="xs:integer">3</ruleml:Data></ruleml:Expr>', "lessThan(count(room.door),3)"),
        ('<obligation><ruleml:Atom><ruleml:Rel iri="fuvo:type"/><ruleml:Var iri="buvo:waste"/>'
         '<ruleml:Data iri="hazardous"/><Operator iri="lovo:is "/></ruleml:Atom></obligation>',
         "obligation(is(waste.type,hazardous))"),
        ('<Exp><fun iri="lovo:is"/><ruleml:Atom><ruleml:Rel iri="buvo:type"/><ruleml:Var iri="buvo:waste"/>'
         "</ruleml:Atom><Or><ruleml:Data>a</ruleml:Data><ruleml:Data>b</ruleml:Data></Or></Exp>",
         "is(waste.type,or(a,b))"),
        ('<lrml:Not><lrml:Expr lkm:loop="true"><lkm:ruleStatement><lrml:Var iri="buvo:a"/></lkm:ruleStatement>'
         '<lkm:appliedStatement><lrml:Var iri="buvo:b"/></lkm:appliedStatement></lrml:Expr></lrml:Not>',
         "not(loop(a,b))"),
        # Values: measurements, calculations with and without a type, texts that the short form must quote.
        ('<Exp><fun value="f"/><ruleml:Data xsi:type="lkm:measurement"><lkm:baseUnit lkm:prefix="milli"'
         ' lkm:kind="metre" lkm:exponent="2.0"/><lkm:value>15.0</lkm:value></ruleml:Data></Exp>', "f(15 mm2)"),
        ('<Exp><fun value="f"/><ruleml:Data xsi:type="lkm:expression"><lkm:value>x - 2</lkm:value></ruleml:Data>'
         "<ruleml:Data>z3 + 150 mm</ruleml:Data><ruleml:Data>'as is'</ruleml:Data><ruleml:Data>eval(f3)</ruleml:Data>"
         "<ruleml:Data>65 x 50 mm</ruleml:Data></Exp>", "f('x - 2','z3 + 150 mm','as is','eval(f3)',65 x 50 mm)"),
    ],
)  # fmt: skip
def test_what_is_known_needs_no_note(tmp_path, xml, text):
    assert read_rule(tmp_path, xml) == (text, ())


@pytest.mark.parametrize(
    ("xml", "text", "note"),
    [
        ("<ruleml:Naf>{}</ruleml:Naf>", "naf(exist(a))", ("ruleml:Naf", "kept as a term of its name")),
        ("<x:Y z='1'>{}</x:Y>", "y(exist(a))", ("@z", "not in the rule")),
        ("<x:Y/>", "y", ("urn:x:Y", "kept as a term of its name")),
        ("<x:_1>{}</x:_1>", "term(exist(a))",
         ("urn:x:_1", "the name '_1' changed to one that the notation can hold")),
        ("<ruleml:And>stray{}</ruleml:And>", "and(exist(a))",
         ("text", "text that no element holds, not in the rule")),
        ("<ruleml:And/>", "and", ("ruleml:And", "no arguments; kept as a leaf")),
        ("<Exp><fun value='f'/><ruleml:Data>it's</ruleml:Data></Exp>", "f(it’s)",
         ("ruleml:Data", "quotes inside the text written as ’")),
        ("<Exp><fun iri='iso:f'/>{}</Exp>", "f(exist(a))", ("fun", "the name without its vocabulary 'iso'")),
        ("<Exp><fun iri='http://a.b/c#f'/>{}</Exp>", "f(exist(a))",
         ("fun", "the name without its vocabulary 'http://a.b/c#'")),
        ("<ruleml:Ind iri='buvo:a'>A</ruleml:Ind>", "a", ("text", "the text beside a name, not in the rule")),
        ("<Exp>{}</Exp>", "expr(exist(a))",
         ("Exp", "an expression without a function, kept as the term 'expr'")),
        ("<ruleml:Atom><ruleml:Var>x</ruleml:Var><ruleml:Data>1</ruleml:Data></ruleml:Atom>", "atom(x,1)",
         ("ruleml:Atom", "a predicate is missing; kept as the term 'atom'")),
        ("<ruleml:Atom><ruleml:Rel iri='lovo:is'>{}</ruleml:Rel><ruleml:Ind>b</ruleml:Ind></ruleml:Atom>",
         "is(b,exist(a))", ("ruleml:Rel", "its content kept as arguments")),
        ("<ruleml:Ind type='k'>b</ruleml:Ind>", "b", ("@type", "not in the rule")),
        ("<ruleml:Not><ruleml:Fun iri='lovo:is'/>{}</ruleml:Not>", "is(exist(a))",
         ("ruleml:Not", "a negation with a function of its own, read as Expr")),
    ],
)  # fmt: skip
def test_what_is_unknown_is_kept_and_located(tmp_path, xml, text, note):
    got, unknown = read_rule(tmp_path, xml.replace("{}", EXIST.format("a")))
    assert got == text
    found = {(each.name, each.reading): each for each in unknown}
    assert note in found
    assert found[note].line == 5


def test_what_no_rule_can_hold_is_noted(tmp_path):
    body = '<lrml:hasStrength iri="x:s"/>' + RULE.format(conditions=EXIST.format("a"), conclusions="")
    document = read(tmp_path, body=body, head="<lrml:Agents><lrml:Agent key='b'/></lrml:Agents>")
    (statement,) = document
    assert statement.rule is None
    assert [(each.name, each.reading) for each in statement.unknown] == [
        ("lrml:hasStrength", "not in the rule"),
        ("ruleml:Rule", "conditions without conclusions; not in the rule"),
    ]
    assert [(each.name, each.line) for each in document.unknown] == [("lrml:Agents", 3)]


def test_sources_are_found_by_key_or_by_the_end_of_a_key(tmp_path):
    head = """<lrml:Prefix pre="buvo" refID="urn:b"/>
    <lrml:Jurisdictions><lrml:Jurisdiction key="nz"/></lrml:Jurisdictions>
    <lrml:LegalSources><lrml:LegalSource key="D1" sameAs="https://example.org/d1"/></lrml:LegalSources>
    <lrml:Context><lrml:Association><lrml:appliesSource keyref="{}"/><lrml:toTarget keyref="{}"/></lrml:Association>
    </lrml:Context>"""
    document = read(tmp_path, head=head.format("3.1", "a"))
    assert document[0].source == Source("D1", "3.1", "https://example.org/d1")
    assert document.unknown == ()
    assert read(tmp_path, head=head.format("#D1", "#a"))[0].source == Source("D1", "", "https://example.org/d1")
    missed = read(tmp_path, head=head.format("#D1", "#b"))
    assert missed[0].source == Source()
    found = [(each.name, each.reading) for each in missed.unknown]
    assert found == [("lrml:toTarget", "the target is not a statement")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_documents_read_and_come_back(shared_data, tmp_path, name):
    statements, rules, constructs = PUBLISHED[name]
    document = read_legalruleml(shared_data / "legalruleml" / f"{name}.lrml")
    assert document.unknown == ()
    assert (len(document), sum(statement.rule is not None for statement in document)) == (statements, rules)
    counts = {}
    for statement in document:
        assert statement.kind == "prescriptive"
        assert statement.rule is None or parse_rule(format_rule(statement.rule)) == statement.rule
        for each in statement.unknown:
            counts[each.name] = counts.get(each.name, 0) + 1
            assert each.line >= statement.line
    assert counts == constructs
    without = [statement.key for statement in document if statement.source == Source()]
    assert without == {
        "NZ_NZBC-B1AS1#0.17": ["NZBC-NZBC.B1AS1:8.0.0.1"],
        "NZ_NZBC-E1AS1#0.10": ["NZBC-NZBC.E1AS1:c5.5.2.0.1"],
    }.get(name, [])
    assert there_and_back(tmp_path / "again.lrml", document) == list(document)


def test_a_published_rule_reads_as_its_authors_would_write_it(shared_data):
    document = read_legalruleml(shared_data / "legalruleml" / "NZ_NZBC-E1AS1#0.10.lrml")
    texts = {statement.key.rpartition(":")[2]: format_rule(statement.rule) for statement in document if statement.rule}
    assert texts["2.0.1.0.1"] == (
        "if(and(equal(suspendedFloor.elevation,z1),equal(slabOnGround.elevation,z2),equal(ground.elevation,z3))),"
        "then(and(obligation(greaterThanEqual(z1,'z3 + 150 mm')),greaterThanEqual(z2,'z3 + 150 mm')))"
    )
    assert document[0].source == Source(
        "NZBC.E1",
        "1.0.1",
        "https://www.building.govt.nz/assets/Uploads/e1-surface-water-1st-edition-amendment10-rp.pdf",
    )


def test_every_published_short_rule_goes_through_xml_unchanged(shared_data, tmp_path):
    with (shared_data / "nzbc_lrml_v8_dev.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    statements = [
        Statement(f"{row['file']}_{row['number']}", parse_rule(row["lrml"]), Source(row["file"], row["number"]),
                  paraphrase=row["paraphrase"].strip())
        for row in rows
    ]  # fmt: skip
    again = there_and_back(tmp_path / "corpus.lrml", statements)
    assert again == statements
    assert [format_rule(statement.rule) for statement in again] == [row["lrml"] for row in rows]


def test_the_published_short_rules_are_a_later_encoding(shared_data):
    """No clause has the same rule in both publications, in whatever order; the mapping is not at fault for that."""
    with (shared_data / "nzbc_lrml_v8_dev.csv").open(encoding="utf-8", newline="") as file:
        short = {
            (row["file"].partition("#")[0], row["number"]): parse_rule(row["lrml"]) for row in csv.DictReader(file)
        }
    pairs = []
    for name in PUBLISHED:
        for statement in read_legalruleml(shared_data / "legalruleml" / f"{name}.lrml"):
            number = re.sub(r"^r(?=\d)", "", re.split("[:_]", statement.key)[-1])
            other = short.get((name.partition("#")[0], number))
            if statement.rule is not None and other is not None:
                pairs.append((statement.rule, other))
    assert len(pairs) == 122  # of 121 clauses; one has two statements
    assert sum(canonical(rule) == canonical(other) for rule, other in pairs) == 0


def texts_of(path):
    return {each.key: each.rule and format_rule(each.rule) for each in read_legalruleml(path)}


def test_constructs_of_the_standard_keep_their_meaning(shared_inputs):
    texts = texts_of(shared_inputs / "xml" / "constructs.xml")
    assert texts["argorder"] == "if(lessThan(load,50)),then(obligation(alarm(x)))"
    assert texts["fact"] == "isWaste(oil)"
    assert texts["varkeyref"] == "if(door(door)),then(obligation(selfClosing(door)))"
    assert texts["ref"] == texts["bearer"]
    assert texts["thenfirst"] == "if(big(x)),then(obligation(alarm(x)))"
    assert texts["neg-obl"] == "if(attic(X)),then(not(obligation(insulate(X))))"
    assert None not in texts.values()


def test_the_normalised_form_reads_as_the_compact_one(shared_inputs):
    assert texts_of(shared_inputs / "xml" / "normalized.xml") == {
        "ps1": "if(exist(ramp)),then(obligation(hasWidth(ramp,1200)))"
    }


@pytest.mark.parametrize(
    ("atom", "text"),
    [
        ('<ruleml:Var key=":x">x</ruleml:Var><ruleml:Var keyref=":x"/>', "p(x,x)"),
        ('<ruleml:Var key=":x">room</ruleml:Var><ruleml:Var keyref="#:x"/>', "p(room,room)"),
        ('<ruleml:Var keyref=":y"/>', "p(y)"),
        ('<ruleml:Ind iri=":oil"/>', "p(oil)"),
        (
            '<ruleml:arg index="3"><ruleml:Ind>c</ruleml:Ind></ruleml:arg>'
            '<ruleml:arg index="1"><ruleml:Ind>a</ruleml:Ind></ruleml:arg>'
            '<ruleml:arg index="2"><ruleml:Ind>b</ruleml:Ind></ruleml:arg>',
            "p(a,b,c)",
        ),
    ],
)
def test_arguments_follow_their_keys_and_numbers(tmp_path, atom, text):
    found, unknown = read_rule(tmp_path, f'<ruleml:Atom><ruleml:Rel iri=":p"/>{atom}</ruleml:Atom>')
    assert found == text
    assert unknown == ()


def test_an_argument_without_a_whole_number_keeps_its_place_and_is_noted(tmp_path):
    arguments = '<ruleml:arg index="b"><ruleml:Ind>b</ruleml:Ind></ruleml:arg><ruleml:Ind>a</ruleml:Ind>'
    found, unknown = read_rule(tmp_path, f'<ruleml:Atom><ruleml:Rel iri=":p"/>{arguments}</ruleml:Atom>')
    assert found == "p(b,a)"
    assert [each.name for each in unknown] == ["@index"]


def test_a_published_document_without_its_namespaces_is_read_and_the_fault_is_noted(shared_data):
    document = read_legalruleml(shared_data / "legalruleml" / "NZ_NZBC-G13AS1#2.8.lrml")
    assert (len(document), sum(each.rule is not None for each in document)) == (318, 170)
    assert [(each.line, each.reading) for each in document.unknown] == [
        (2, "the prefix 'lrml' is not declared; read as http://docs.oasis-open.org/legalruleml/ns/v1.0/"),
        (833, "the prefix 'ruleml' is not declared; read as http://ruleml.org/spec"),
    ]


@pytest.mark.parametrize(("cut", "statements"), [(5_000, 1), (7_000, 2), (10_911, 4), (11_181, 5), (11_208, 5)])
def test_a_document_without_its_end_is_read_up_to_the_break(shared_data, tmp_path, cut, statements):
    path = shared_data / "legalruleml" / "NZ_NZBC-G4AS1#4.0.lrml"
    data = path.read_bytes()[:cut]
    (tmp_path / "cut.lrml").write_bytes(data)
    document = read_legalruleml(tmp_path / "cut.lrml")
    assert [each.rule for each in document] == [each.rule for each in read_legalruleml(path)[:statements]]
    first = document.unknown[0]
    assert first.line == data.count(b"\n") + 1
    assert first.reading == "the end of the file is missing; everything before that line was read"
    assert not [each for each in document.unknown if each.name.startswith("@")]


def test_limits_are_read_from_texts():
    assert read_limits(["unknown=50000", "depth=9"]) == Limits(unknown=50_000, depth=9)
    for text in ("unknown", "size=3", "depth=0", "depth=-1"):
        with pytest.raises(InputError, match="Write for example unknown=50000"):
            read_limits([text])
