"""The published table: made-up rows in its format here, and the real one where it is at hand."""

import collections

import pytest

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.errors import InputError
from compliance_xai.records import Example

HEADER = "file,number,text,lrml,paraphrase,random_split,doc_split"
RULE = "if(exist(gutter)),then(obligation(has(gutter,grate)))"


def write(folder, *rows, header=HEADER):
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def row(number, text, random, doc, *, file="NZ_NZBC-E2AS1#3.8", rule=RULE):
    return f'{file},{number},"{text}","{rule}",p,{random},{doc}'


@pytest.fixture
def table(tmp_path):
    return write(
        tmp_path,
        row("1.1", "All gutters shall drain", 1, 1),
        row("1.2", "Roofs need falls of 1 in 40", 2, 0, rule="drain"),
        row("1.3", "Every gutter shall drain into a spout", 3, 2),
        row(
            "1.1",
            "Ramps are not steep",
            1,
            3,
            file="NZ_NZBC-D1AS1#2.6",
            rule="if(exist(ramp)),then(permission(is(ramp,low)))",
        ),
    )


def test_the_random_scheme_reads_its_column(table):
    corpus = load_corpus("nzbc-lrml", path=table)
    assert corpus.examples[0] == Example("E2AS1-1.1", "All gutters shall drain", RULE, "E2AS1", "train")
    assert [example.id for example in corpus] == ["E2AS1-1.1", "E2AS1-1.2", "E2AS1-1.3", "D1AS1-1.1"]
    assert [example.split for example in corpus] == ["train", "validation", "test", "train"]
    assert corpus.notes == (
        "Leak: same rule in train and test: 1 (first: E2AS1-1.1 and E2AS1-1.3).",
        "1 of 4 rules do not parse as LRML short notation: E2AS1-1.2.",
    )


def test_the_document_scheme_holds_out_documents_and_names_the_rows_outside_it(table):
    corpus = load_corpus("nzbc-lrml", path=table, scheme="document")
    assert [(example.id, example.split) for example in corpus] == [
        ("E2AS1-1.1", "train"),
        ("E2AS1-1.3", "validation"),
        ("D1AS1-1.1", "document"),
    ]
    assert corpus.notes[0] == (
        "Rows in no split of the scheme 'document' (doc_split 0), left out as in the publisher's own experiments: "
        "1 (E2AS1-1.2)."
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lrml,", "rule,", r"table\.csv: expected a column 'lrml', found 'file', 'number'"),
        (
            "p,2,0",
            "p,4,0",
            r"row 2 \(line 3\), column 'random_split': expected one of 1, 2, 3, found '4'\. Use the published",
        ),
        ("p,2,0", "p,0,0", r"row 2 \(line 3\), column 'random_split': expected one of 1, 2, 3, found '0'"),
        (
            "NZ_NZBC-D1AS1#2.6",
            "D1AS1",
            r"row 4 \(line 5\), column 'file': expected a name such as 'NZ_NZBC-E2AS1#3\.8'",
        ),
        (
            ",1.2,",
            ",1.1,",
            r"expected ids that occur once, found 'E2AS1-1\.1' in row 1 \(line 2\) and row 2 \(line 3\)",
        ),
    ],
)
def test_a_table_in_another_format_is_refused(table, old, new, message):
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_corpus("nzbc-lrml", path=table)


def test_all_rows_with_the_same_fault_are_counted(table):
    table.write_text(table.read_text().replace("NZ_NZBC-", ""))
    with pytest.raises(InputError, match=r"row 1 \(line 2\), column 'file': .*\(\d more like this: row 2 \(line 3\)"):
        load_corpus("nzbc-lrml", path=table)


def test_a_table_that_was_not_fetched_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"external.nzbc_lrml_v8\.csv: .*Run 'compliance-xai corpus fetch nzbc-lrml'"):
        load_corpus("nzbc-lrml")


def test_the_real_table(shared_data):
    corpus = load_corpus("nzbc-lrml", path=shared_data / "nzbc_lrml_v8_dev.csv")
    # pandas.read_csv("nzbc_lrml_v8_dev.csv")["random_split"].value_counts()
    assert collections.Counter(example.split for example in corpus) == {"train": 535, "validation": 66}
    assert len({example.id for example in corpus}) == 601
    assert len({example.clause for example in corpus}) == 601
    assert corpus.examples[0].id == "G4AS1-1.2.2.1"
    assert corpus.examples[0].clause.startswith("1.2.2 Natural ventilation of occupied spaces must")
    assert "The file has no row of the official split 'test'." in corpus.notes
    with pytest.raises(InputError, match=r"split: expected one of train, validation, found 'test'"):
        corpus.split("test")


def test_the_real_table_by_document(shared_data):
    corpus = load_corpus("nzbc-lrml", path=shared_data / "nzbc_lrml_v8_dev.csv", scheme="document")
    assert collections.Counter(example.split for example in corpus) == {"train": 524, "validation": 64}
    assert corpus.notes[0].startswith("Rows in no split of the scheme 'document' (doc_split 0), left out")
    assert "experiments: 13 (G14AS1-1.2.0.1, " in corpus.notes[0]


def test_the_real_table_as_a_table_of_ones_own_is_split_without_leaks(shared_data):
    from compliance_xai.corpus.splits import find_leaks
    from compliance_xai.corpus.table_source import TableOptions

    options = TableOptions(clause="text", rule="lrml", context="file", rules="any")
    corpus = load_corpus("table", path=shared_data / "nzbc_lrml_v8_dev.csv", options=options)
    assert collections.Counter(example.split for example in corpus) == {"train": 481, "validation": 60, "test": 60}
    assert find_leaks(corpus.examples) == []
