import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.table_source import TableOptions
from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file
from compliance_xai.records import Example

SUBJECTS = ("door", "ramp", "stair", "gutter", "window", "beam", "duct", "drain", "handrail", "chimney", "deck", "tank")
CLAUSES = [f"{i}.1 Each {subject} of kind k{i} shall have v{i} and q{i}." for i, subject in enumerate(SUBJECTS)]
RULES = [f"if(exist({subject})),then(obligation(has({subject},v{i})))" for i, subject in enumerate(SUBJECTS)]
GIVEN_SPLITS = TableOptions(leaks="report")


def write_csv(path, *rows, header="clause,rule"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def load(path, **options):
    return load_corpus("table", path=path, options=TableOptions(**options) if options else None)


@pytest.fixture
def rows():
    return [
        {"clause": clause, "rule": rule, "id": f"c{i}", "context": "fire", "split": ("train", "test")[i % 2]}
        for i, (clause, rule) in enumerate(zip(CLAUSES, RULES, strict=True))
    ]


def save(rows, path):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        write_csv(path, *(",".join(f'"{cell}"' for cell in row.values()) for row in rows), header=",".join(rows[0]))
    return path


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_three_formats_give_the_same_examples(tmp_path, rows, ending):
    corpus = load_corpus("table", path=save(rows, tmp_path / f"mine.{ending}"))
    assert corpus.examples == tuple(Example(**row) for row in rows)
    assert corpus.name == "mine"
    assert corpus.notes == ()
    assert corpus.source_sha256 == sha256_file(tmp_path / f"mine.{ending}")


def test_clauses_are_kept_character_by_character(tmp_path):
    clause = '  Māori "wharenui":\n  no less than  1,5 m² '
    path = tmp_path / "mine.csv"
    quoted = clause.replace('"', '""')
    text = f'clause,rule,split\r\n"{quoted}",r,train\r\n'
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as a spreadsheet writes it
    assert load(path, rules="any").examples[0].clause == clause


def test_without_optional_columns_the_notes_say_what_stands_in_for_them(tmp_path):
    path = write_csv(
        tmp_path / "mine.csv",
        *(f'"{c}","{r}",x' for c, r in zip(CLAUSES, RULES, strict=True)),
        header="clause,rule,author",
    )
    corpus = load_corpus("table", path=path, seed=3)
    assert [example.id for example in corpus][:2] == ["row-00001", "row-00002"]
    assert {example.context for example in corpus} == {"mine"}
    assert [len(corpus.split(name)) for name in ("train", "validation", "test")] == [10, 1, 1]
    assert corpus.notes == (
        "Columns not read: author.",
        "No id column: ids are row numbers.",
        "No context column: the context of every row is the file's name.",
        "No split column: splits made with seed 3, scheme 'random', by groups of related clauses.",
    )


def test_columns_and_split_values_can_be_named(tmp_path):
    path = write_csv(
        tmp_path / "mine.tsv",
        "7\tSome text\tr(a)\tB1\t1",
        "8\tOther words here\tr(b)\tB2\t2",
        header="no\ttext\tlrml\tdoc\tpart",
    )
    corpus = load(
        path, clause="text", rule="lrml", id="no", context="doc", split="part", rules="any",
        split_values={"1": "train", "2": "validation"},
    )  # fmt: skip
    assert corpus.examples == (
        Example("7", "Some text", "r(a)", "B1", "train"),
        Example("8", "Other words here", "r(b)", "B2", "validation"),
    )


def test_whole_numbers_serve_as_ids_and_split_values(tmp_path):
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"clause": ["a b"], "rule": ["r"], "id": [12], "split": [1]}), path)
    corpus = load(path, rules="any", split_values={"1": "test"})
    assert (corpus.examples[0].id, corpus.examples[0].split) == ("12", "test")


@pytest.mark.parametrize(
    ("header", "row", "options", "message"),
    [
        ("text,rule", "a,b", {}, r"mine\.csv: expected a column 'clause', found 'text', 'rule'\. Rename the columns"),
        ("clause/rule", "a/b", {}, r"expected a column 'clause', found 'clause/rule'\. .*corpus.columns.*delimiter"),
        ("clause,rule", "a,b", {"context": "doc"}, r"expected a column 'doc', found 'clause', 'rule'"),
        ("clause,rule,rule", "a,b,c", {}, r"expected column names that occur once, found 2 columns 'rule'"),
        ("clause,rule", "  ,b", {}, r"row 1 \(line 2\), column 'clause': expected text, found '  ' \(empty\)"),
        (
            "clause,rule",
            "a,",
            {},
            r"row 1 \(line 2\), column 'rule': expected text, found '' \(empty\)\. Fill the cell",
        ),
        ("clause,rule", "a,b,c", {}, r"row 1 \(line 2\): expected 2 cells, as in the header, found 3\. Quote cells"),
        ("clause,rule", '"a"b,c', {}, r"row 1 \(line 2\): expected a CSV row, found ',' expected after '\"'"),
        ("clause,rule,split", "a,b,dev", {}, r"row 1 \(line 2\), column 'split': expected one of train, validation"),
        ("clause,rule,id", "a,b,", {}, r"row 1 \(line 2\), column 'id': expected text"),
    ],
)
def test_a_bad_table_is_explained(tmp_path, header, row, options, message):
    with pytest.raises(InputError, match=message):
        load(write_csv(tmp_path / "mine.csv", row, header=header), rules="any", **options)


def test_rows_are_counted_over_cells_with_line_breaks(tmp_path):
    path = write_csv(tmp_path / "mine.csv", '"one\ntwo",r', "", ",r")
    with pytest.raises(InputError, match=r"row 2 \(line 5\), column 'clause': expected text"):
        load(path, rules="any")


def test_a_file_that_is_not_utf8_is_named_with_the_byte(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes("clause,rule\nwall,r\nPäivi,r\n".encode("latin-1"))
    message = r"mine\.csv, byte offset 20 \(line 3\): expected UTF-8 text, found the byte 0xe4\. Save the file as UTF-8"
    with pytest.raises(InputError, match=message):
        load(path)


def test_missing_empty_and_unknown_files_are_explained(tmp_path):
    with pytest.raises(InputError, match=r"mine\.csv: expected a table, found no such file"):
        load(tmp_path / "mine.csv")
    with pytest.raises(InputError, match=r"mine\.csv: expected at least one row, found none"):
        load(write_csv(tmp_path / "mine.csv"))
    (tmp_path / "mine.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"expected a file ending in \.csv, .*\.parquet, found \.xlsx"):
        load(tmp_path / "mine.xlsx")
    (tmp_path / "mine.parquet").write_bytes(b"no Parquet at all")
    with pytest.raises(InputError, match=r"mine\.parquet: expected a Parquet file, found "):
        load(tmp_path / "mine.parquet")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'clause': 1}", r"row 2 \(line 2\): expected one JSON object, found Expecting property name"),
        ("", r"row 2 \(line 2\): expected one JSON object, found Expecting value at character 0"),
        ("[1]", r"expected one JSON object, found a JSON list"),
        ('{"clause": "b", "split": "test"}', r"row 2 \(line 2\), column 'rule': expected text, found nothing"),
        ('{"clause": 4, "rule": "r"}', r"row 2 \(line 2\), column 'clause': expected text, found 4 \(int\)"),
        (
            '{"clause": "b\\ud800", "rule": "r"}',
            r"column 'clause': expected Unicode text, found half a surrogate pair at",
        ),
    ],
)
def test_a_bad_json_line_is_explained(tmp_path, line, message):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"clause": "a", "rule": "r", "split": "train"}\n' + line + "\n" + '{"clause": "c", "rule": "q"}\n')
    with pytest.raises(InputError, match=message):
        load(path, rules="any")


def test_repeated_ids_are_refused(tmp_path):
    path = write_csv(tmp_path / "mine.csv", "a,b,7", "c,d,8", "e,f,7", header="clause,rule,id")
    with pytest.raises(
        InputError, match=r"expected ids that occur once, found '7' in row 1 \(line 2\) and row 3 \(line 4\)"
    ):
        load(path, rules="any")


def test_repeated_clauses_are_refused_or_kept_and_noted(tmp_path):
    header = "clause,rule,split"
    path = write_csv(tmp_path / "m.csv", "A wall,r,train", "b,q,train", "a  WALL,r,train", "b,s,train", header=header)
    sentence = (
        r"2 repeated: row 1 \(line 2\) and row 3 \(line 4\) \(same rule\); row 2 .* and row 4 .* \(another rule\)"
    )
    with pytest.raises(InputError, match=rf"column 'clause': expected clauses that occur once, found {sentence}"):
        load(path, rules="any")
    corpus = load(path, rules="any", duplicates="keep", context=None)
    assert [example.clause for example in corpus] == ["A wall", "b", "a  WALL", "b"]
    assert corpus.notes[-1].startswith("Repeated clauses were kept: 2 repeated: row 1 (line 2) and row 3")


def test_many_repeated_clauses_are_counted_not_listed(tmp_path):
    path = write_csv(tmp_path / "mine.csv", *["same,r"] * 9)
    with pytest.raises(InputError, match=r"found 8 repeated: .* and 3 more\. Remove the repeated rows"):
        load(path, rules="any")


def test_a_rule_that_does_not_parse_is_shown_with_the_parsers_message(tmp_path, rows):
    rows[4]["rule"] = "if(exist(window),then(obligation(x)))"
    rows[7]["rule"] = "drain the drain"
    path = save(rows, tmp_path / "mine.csv")
    with pytest.raises(InputError) as caught:
        load_corpus("table", path=path)
    message = str(caught.value)
    assert (
        "row 5 (line 6), column 'rule': expected a rule in LRML short notation, found one that does not parse"
        in message
    )
    assert "(2 of 12 rules do not)" in message
    assert "^" in message
    assert message.endswith("or state that they are in another language (rules: text).")
    assert len(load(path, rules="any")) == 12


def test_leaks_of_a_given_split_are_refused_or_reported(tmp_path, rows):
    rows[3]["rule"] = rows[0]["rule"]
    path = save(rows, tmp_path / "mine.csv")
    with pytest.raises(
        InputError, match=r"without related clauses on both sides, found same rule in train and test: 1 \(first: c0"
    ):
        load_corpus("table", path=path)
    corpus = load_corpus("table", path=path, options=GIVEN_SPLITS)
    assert corpus.notes == ("Leak: same rule in train and test: 1 (first: c0 and c3).",)
    assert corpus.examples[3] == Example(**rows[3])


def test_the_document_scheme_needs_contexts_and_no_split_column(tmp_path, rows):
    with pytest.raises(InputError, match=r"column 'split': expected no split column, for scheme 'document'"):
        load_corpus("table", path=save(rows, tmp_path / "mine.csv"), scheme="document")
    for i, row in enumerate(rows):
        del row["split"]
        row["context"] = "roof" if i == 4 else ("fire", "access")[i % 2]
    corpus = load_corpus("table", path=save(rows, tmp_path / "mine.csv"), scheme="document")
    held_out = {example.context for example in corpus.split("document")}
    assert held_out == {"roof"}
    assert not any(example.context in held_out for example in corpus if example.split != "document")
    for row in rows:
        del row["context"]
    with pytest.raises(InputError, match=r"expected a context column, for scheme 'document', found none"):
        load_corpus("table", path=save(rows, tmp_path / "mine.csv"), scheme="document")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": "LRML"}, r"table option 'rules': expected one of lrml, any, text, found 'LRML'"),
        ({"duplicates": "drop"}, r"table option 'duplicates': expected one of refuse, keep, found 'drop'"),
        ({"leaks": True}, r"table option 'leaks': expected one of refuse, report, found True"),
        ({"split_values": {"1": "dev"}}, r"table option 'split_values': expected one of train, .*, found 'dev'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        TableOptions(**options)
