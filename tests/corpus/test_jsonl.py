import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_xai.corpus.shipped import read_jsonl, write_jsonl
from compliance_xai.errors import InputError
from compliance_xai.records import SPLITS, Example, Link

EXAMPLE = Example(
    "fire-1",
    "A door é shall",
    "if(x),then(y)",
    "fire",
    "train",
    (Link("value", 3, 4, ((0, 1), (2, 6))),),
    "decides",
    "",
)
LINE = (
    '{"id": "fire-1", "clause": "A door é shall", "rule": "if(x),then(y)", "context": "fire", "split": "train", '
    '"alignment": [["value", 3, 4, [[0, 1], [2, 6]]]], "identifier_role": "decides", "number_role": ""}\n'
)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@st.composite
def examples(draw):
    clause, rule = draw(texts), draw(texts)

    def span(length):
        start = draw(st.integers(0, length - 1))
        return start, draw(st.integers(start + 1, length))

    links = tuple(
        Link(
            draw(st.sampled_from(string.ascii_lowercase)), *span(len(rule)), tuple(span(len(clause)) for _ in range(2))
        )
        for _ in range(draw(st.integers(0, 3)))
    )
    return Example(draw(texts), clause, rule, draw(texts), draw(st.sampled_from(SPLITS)), links, draw(texts), "")


def test_the_bytes_are_those_of_the_format(tmp_path):
    path = write_jsonl([EXAMPLE, EXAMPLE], tmp_path / "new folder" / "train.jsonl")
    assert path.read_bytes() == (LINE + LINE).encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["train.jsonl"]


@given(rows=st.lists(examples(), min_size=1, max_size=4))
def test_what_was_written_is_read(rows, tmp_path_factory):
    path = write_jsonl(rows, tmp_path_factory.mktemp("jsonl") / "a.jsonl")
    assert read_jsonl(path) == rows


def test_line_separators_inside_a_clause_do_not_end_the_line(tmp_path):
    row = Example("a", "one\u2028two\u0085three\x0b", "r", "c", "test")
    assert read_jsonl(write_jsonl([row, row], tmp_path / "a.jsonl")) == [row, row]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"id": "fire-1", ', "", "key 'id': expected an object with the keys id, clause"),
        ('"fire-1"', "1", "key 'id': .*found input should be a valid string (the value is 1)"),
        ('"train"', '"dev"', "key 'split': .*should be 'train', 'validation', 'test' or 'document'"),
        ("[2, 6]", "[2, 15]", "key 'alignment': expected spans inside the rule (13 characters) and the clause (14)"),
        ("[2, 6]", "[6, 6]", "key 'alignment'"),
        ('"value", 3, 4', '"value", 3, 14', "key 'alignment'"),
        ('"value", 3, 4', '"value", true, 4', "key 'alignment.0.1': .*found input should be a valid integer"),
        ('[["value", 3, 4, [[0, 1], [2, 6]]]]', "{}", "key 'alignment': .*found input should be a valid array"),
        ("}\n", "\n", "expected one JSON object, found Expecting ',' delimiter"),
        (LINE, "[]\n", "expected one JSON object, found a JSON list"),
    ],
)
def test_a_bad_line_is_named(tmp_path, old, new, message):
    path = tmp_path / "train.jsonl"
    assert old in LINE
    path.write_text(LINE + LINE.replace(old, new), encoding="utf-8")
    with pytest.raises(
        InputError, match=rf"train\.jsonl, row 2 \(line 2\).*{re.escape(message).replace(re.escape('.*'), '.*')}"
    ):
        read_jsonl(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.jsonl: expected a table, found no such file"):
        read_jsonl(tmp_path / "nothing.jsonl")


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(LINE.encode() + LINE.encode("latin-1"))
    offset = len(LINE.encode()) + LINE.index("é")
    with pytest.raises(InputError, match=rf"byte offset {offset} \(line 2\): expected UTF-8 text, found the byte 0xe9"):
        read_jsonl(path)
