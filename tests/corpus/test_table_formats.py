"""Tables as spreadsheets and other programs write them: read and said, or refused with the likely cause."""

import pytest

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.table_source import TableOptions, read_decimal_commas
from compliance_xai.errors import InputError
from compliance_xai.files import read_rows
from compliance_xai.study.stage_settings import CorpusSettings

CLAUSES = ["Türen", "Wände", "Rampen"]
SEMICOLONS = "clause;rule\r\n" + "".join(f"{clause}, 0,90 m;a(b{clause[0]})\r\n" for clause in CLAUSES)


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (SEMICOLONS.encode("utf-8-sig"), ["Cells are separated by semicolons, judging by the first line."]),
        (b"sep=;\r\n" + SEMICOLONS.encode(), ["Cells are separated by semicolons, judging by the first line."]),
        (
            SEMICOLONS.replace(";", "\t").encode("utf-16"),
            [
                "Read as UTF-16, by the file's byte-order mark.",
                "Cells are separated by tabs, judging by the first line.",
            ],
        ),
        (SEMICOLONS.replace(",", "").replace(";", ",").encode(), []),
    ],
)
def test_what_is_guessed_is_said(tmp_path, content, notes):
    table = read_rows(write(tmp_path / "a.csv", content))
    assert table.columns == ["clause", "rule"]
    assert [row.cells["clause"][:4] for row in table.rows] == ["Türe", "Wänd", "Ramp"]
    assert table.notes == notes


@pytest.mark.parametrize("name", ["german.csv", "semicolon.csv"])
def test_reported_tables_are_read(shared_data, name):
    path = shared_data.parent / "inputs" / "tables" / name
    if not path.is_file():
        pytest.skip("no shared inputs beside this checkout")
    table = read_rows(path)
    assert table.columns == ["clause", "rule"]
    assert "semicolons" in table.notes[0]


def test_line_numbers_count_the_line_that_names_the_delimiter(tmp_path):
    path = write(tmp_path / "a.csv", b"sep=;\nclause;rule\na;b\nc\n")
    with pytest.raises(InputError, match=r"row 2 \(line 4\): expected 2 cells"):
        read_rows(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"clause,rule\na,b,c\nd,e\nf\n",
            r"row 1 \(line 2\): expected 2 cells.*found 3 \(1 more like this: row 3 \(line 4\)\)",
        ),
        (
            "clause,rule\nä,b\n".encode("cp1252"),
            r"byte offset 12 \(line 2\).*'CSV UTF-8'\), or give the encoding of a table",
        ),
        (b"clause,rule\na\0,b\n", r"line 2: expected text, found a NUL character"),
        (b'clause,rule\n"a,b\n' + b"c,d\n" * 40_000, r"expected cells of at most 131,072.*never closed"),
    ],
)
def test_errors_name_the_likely_cause(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_rows(write(tmp_path / "a.csv", content))


def test_an_encoding_can_be_given_and_a_wrong_name_is_refused(tmp_path):
    path = write(tmp_path / "a.csv", "clause,rule\nä,b\n".encode("cp1252"))
    assert read_rows(path, encoding="cp1252").rows[0].cells["clause"] == "ä"
    with pytest.raises(InputError, match="expected the name of an encoding, found 'windows'"):
        read_rows(path, encoding="windows")


def test_all_cells_with_the_same_fault_are_counted(tmp_path):
    path = write(tmp_path / "a.csv", b"clause,rule\na,\nb,c(d)\ne,\nf,\n")
    with pytest.raises(InputError, match=r"row 1 \(line 2\), column 'rule'.*2 more like this: row 3 \(line 4\), row 4"):
        load_corpus("table", path=path)


def test_all_lines_that_are_not_objects_are_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"clause": "a", "rule": "b"}\n[1]\n{"clause"\n')
    with pytest.raises(
        InputError, match=r"row 2 \(line 2\): .* found a JSON list \(1 more like this: row 3 \(line 3\)\)"
    ):
        load_corpus("table", path=path)


def test_decimal_commas_are_read_as_rules_write_them(shared_inputs):
    path = shared_inputs / "tables" / "german.csv"
    row = read_rows(path).rows[0].cells
    assert read_decimal_commas(row["clause"]) == row["clause"].replace("0,90", "0.90")


@pytest.mark.parametrize(
    ("clause", "read"),
    [
        ("mindestens 0,90 m", "mindestens 0.90 m"),
        ("1.200 mm, 1.200.000,5 mm", "1200 mm, 1200000.5 mm"),
        ("nach 4.2.1 und 1.2 a", "nach 4.2.1 und 1.2 a"),
        ("Punkt 3, 4 und M12,5x", "Punkt 3, 4 und M12,5x"),
        ("(10,5) und 7,5.", "(10.5) und 7.5."),
    ],
)
def test_only_numbers_with_a_decimal_comma_change(clause, read):
    assert read_decimal_commas(clause) == read


def test_a_decimal_comma_is_a_setting_and_is_noted(tmp_path):
    lines = "".join(
        f"Eine {name} von 0,9{i} m;is(a,0.9{i} m)\n" for i, name in enumerate(["Rampe", "Stufe", "Wand"] * 4)
    )
    path = write(tmp_path / "a.csv", ("clause;rule\n" + lines).encode())
    options = CorpusSettings.model_validate({"source": "table", "decimal": ",", "duplicates": "keep"}).table_options
    corpus = load_corpus("table", path=path, options=TableOptions(**options))
    assert corpus.examples[3].clause == "Eine Rampe von 0.93 m"
    assert "Decimal commas were read as points in 12 clauses." in corpus.notes


def test_a_study_can_name_columns_and_format(tmp_path):
    path = write(tmp_path / "a.csv", b"text|lrml|part\none|a(b)|1\ntwo words|c(d)|2\nthree more words|e(f)|3\n")
    settings = CorpusSettings.model_validate(
        {
            "source": "table",
            "columns": {"clause": "text", "rule": "lrml", "split": "part"},
            "split_values": {"1": "train", "2": "validation", "3": "test"},
            "delimiter": "|",
        }
    )
    corpus = load_corpus("table", path=path, options=TableOptions(**settings.table_options))
    assert [example.split for example in corpus] == ["train", "validation", "test"]
