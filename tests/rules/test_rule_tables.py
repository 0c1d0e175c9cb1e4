"""Tables of statements, and the command that converts them."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import RULES, relaxed

from compliance_xai import cli
from compliance_xai.errors import InputError
from compliance_xai.rules.legalruleml.documents import Source, Statement
from compliance_xai.rules.legalruleml.rule_tables import read_statements, write_statements
from compliance_xai.rules.notation.parse import parse_rule
from compliance_xai.rules.notation.tree import format_rule

STATEMENTS = [
    Statement("D1:3.1", parse_rule("if(exist(ramp)),then(lessThanEqual(ramp.gradient,1:12))"), Source("D1", "3.1")),
    Statement("D1:3.2", parse_rule("is( a, 'two,\nlines \"quoted\"')"), kind="constitutive", paraphrase="If, é."),
    Statement("D1:3.3", None, Source("D1", "3.3", "https://example.org/d1")),
]


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compliance-xai", "rules", "convert", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@relaxed
@given(st.lists(RULES, max_size=3), st.permutations([".csv", ".jsonl", ".lrml", ".xml"]))
def test_rules_go_round_all_files_exactly(folder, rules, suffixes):
    statements = [*STATEMENTS, *(Statement(f"k{index}", rule) for index, rule in enumerate(rules))]
    read = statements
    for suffix in suffixes:
        write_statements(read, folder / f"rules{suffix}")
        read = read_statements(folder / f"rules{suffix}")
    assert list(read) == statements
    assert [each.rule and format_rule(each.rule) for each in read] == [
        each.rule and format_rule(each.rule) for each in statements
    ]


def test_a_table_needs_only_keys_and_rules(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffrule,key\r\nexist(roof),a\r\n".encode())
    assert list(read_statements(tmp_path / "a.csv")) == [Statement("a", parse_rule("exist(roof)"))]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", None, "expected a table, found no such file"),
        ("a.txt", "", r"expected a file that ends in .lrml, .xml, .csv, .jsonl, found '.txt'"),
        ("a.csv", "", "expected at least one row, found none"),
        (
            "a.csv",
            "key,rule,text\na,b,c\n",
            "expected the columns key and rule, and others only of key, .*, found key, rule, text. Rename",
        ),
        ("a.csv", "key,rule,key\na,b,c\n", "found key, rule, key"),
        (
            "a.csv",
            "key,rule\na,is(a,b)\n",
            r"row 1 \(line 2\): expected 2 cells, as in the header, found 3. Quote cells",
        ),
        ("a.csv", "key,rule\na\n", r"row 1 \(line 2\): expected 2 cells, as in the header, found 1"),
        ("a.csv", "key,rule\na,exist(\n", r"row 1 \(line 2\), rule, character 7: expected an argument of 'exist'"),
        ("a.csv", "key,rule\n\xe4,exist(a)\n", r"byte offset 9 \(line 2\): expected UTF-8 text, found the byte 0xe4"),
        ("a.jsonl", '{"key": "a"}\n', "expected the columns key and rule"),
        ("a.jsonl", '{"key": "a", "rule": 1}\n', r"row 1 \(line 1\), column 'rule': expected text, found 1"),
        ("a.jsonl", "[" * 100_000, r"row 1 \(line 1\): expected one JSON object, found brackets nested too deep"),
        ("a.lrml", "<a/>", "expected the root LegalRuleML"),
    ],
)
def test_what_cannot_be_read_is_located(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        read_statements(tmp_path / name)


def test_all_rows_with_the_same_fault_are_counted(tmp_path):
    (tmp_path / "a.csv").write_text("key,rule\na,exist(\nb,exist(c)\nc,has(\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"row 1 \(line 2\), rule, character 7: expected an argument of 'exist'"):
        read_statements(tmp_path / "a.csv")
    (tmp_path / "a.jsonl").write_text('{"key": 1, "rule": ""}\n' * 3, encoding="utf-8")
    with pytest.raises(
        InputError, match=r"column 'key': expected text, found 1 \(2 more like this: row 2 \(line 2\), row 3"
    ):
        read_statements(tmp_path / "a.jsonl")


def test_the_command_converts_and_reports(shared_data, tmp_path, capsys, monkeypatch):
    source = shared_data / "legalruleml" / "NZ_NZBC-CAS2#1.0.lrml"
    code, out, err = run(capsys, monkeypatch, source, tmp_path / "a.csv")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{tmp_path / 'a.csv'}: 67 statements, 53 of them with a rule",
        "Note: 4 x ruleml:Rule: conditions without conclusions; not in the rule (line 1713, 1737, 1751, 1775)",
        "Note: 1 x ruleml:Expr: an expression without a function, kept as the term 'expr' (line 3196)",
    ]
    code, out, _ = run(capsys, monkeypatch, tmp_path / "a.csv", tmp_path / "b.lrml")
    assert (code, out) == (0, f"{tmp_path / 'b.lrml'}: 67 statements, 53 of them with a rule\n")
    assert list(read_statements(tmp_path / "b.lrml")) == list(read_statements(source))


def test_a_file_is_replaced_only_where_that_is_asked_for(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.csv").write_text("key,rule\na,exist(b)\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("precious", encoding="utf-8")
    code, _, err = run(capsys, monkeypatch, tmp_path / "a.csv", tmp_path / "b.csv")
    assert code == 2
    assert "b.csv: expected a new file, found one that exists. Choose another name, or give --overwrite." in err
    assert (tmp_path / "b.csv").read_text(encoding="utf-8") == "precious"
    assert run(capsys, monkeypatch, tmp_path / "a.csv", tmp_path / "b.csv", "--overwrite")[0] == 0
    assert list(read_statements(tmp_path / "b.csv")) == list(read_statements(tmp_path / "a.csv"))


def test_the_command_takes_limits_and_fails_where_nothing_is_found(shared_inputs, tmp_path, capsys, monkeypatch):
    source = shared_inputs / "xml" / "constructs.xml"
    code, _, err = run(capsys, monkeypatch, source, tmp_path / "a.csv", "--limit", "unknown=5")
    assert code == 2
    assert "at most 5 constructs" in err
    assert "--limit unknown=50000" in err
    assert run(capsys, monkeypatch, source, tmp_path / "a.csv", "--limit", "unknown=50")[0] == 0
    empty = '<LegalRuleML xmlns="http://docs.oasis-open.org/legalruleml/ns/v1.0/"/>'
    (tmp_path / "empty.lrml").write_text(empty, encoding="utf-8")
    code, out, err = run(capsys, monkeypatch, tmp_path / "empty.lrml", tmp_path / "b.csv")
    assert (code, out) == (2, "")
    assert "expected legal statements, found none" in err
    assert not (tmp_path / "b.csv").exists()


def test_what_cannot_be_written_is_said(tmp_path):
    for suffix in (".csv", ".jsonl", ".lrml"):
        write_statements(STATEMENTS, tmp_path / "new" / f"a{suffix}")
        assert (tmp_path / "new" / f"a{suffix}").is_file()
        with pytest.raises(InputError, match=r"characters that XML|text that UTF-8 can hold"):
            write_statements([Statement("\ud800", None)], tmp_path / f"a{suffix}")
        assert not (tmp_path / f"a{suffix}").exists()


def test_the_command_names_what_stands_around_the_statements(tmp_path, capsys, monkeypatch):
    text = '<a:LegalRuleML xmlns:a="http://docs.oasis-open.org/legalruleml/ns/v1.0/"><a:Agents/></a:LegalRuleML>'
    (tmp_path / "a.lrml").write_text(text, encoding="utf-8")
    _, out, _ = run(capsys, monkeypatch, tmp_path / "a.lrml", tmp_path / "a.csv")
    assert out.splitlines() == ["Note: 1 x lrml:Agents: not in any statement (line 1)"]


def test_the_command_explains_a_bad_table(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.csv").write_text("key,rule\na,exist(\n", encoding="utf-8")
    code, out, err = run(capsys, monkeypatch, tmp_path / "a.csv", tmp_path / "a.lrml")
    assert (code, out) == (2, "")
    assert err.startswith(
        f"Error: {tmp_path / 'a.csv'}, row 1 (line 2), rule, character 7: expected an argument of 'exist'"
    )
    assert not (tmp_path / "a.lrml").exists()
